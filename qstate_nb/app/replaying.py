"""A scenario, done again: all of it, or one step at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from qstate_nb.app.checks import check_state
from qstate_nb.app.inline import InlineApp
from qstate_nb.app.recording import as_given
from qstate_nb.app.result import TaskResult
from qstate_nb.app.runner import perform
from qstate_nb.app.steps import Act, CallRecord, Check, Step, Write, outcome_text
from qstate_nb.core.diff import Diff, Difference, arrow, is_same
from qstate_nb.core.formats import counted, message, short, stable
from qstate_nb.core.journal import ABSENT, Contents
from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import AsyncState
from qstate_nb.core.values import is_by_reference
from qstate_nb.errors import QStateError, ScenarioError

if TYPE_CHECKING:
    from qstate_nb.app.scenario import Scenario


class Replayed(msgspec.Struct, frozen=True, eq=False):
    """A step that was done again.

    Args:
        step: as it was recorded.
        results: how its calls ended now, in the order in which they were recorded.
        change: what it changed in State now.
        differences: where results, State or checks are not as recorded, a line each.
    """

    step: Step
    results: tuple[TaskResult, ...]
    change: Diff
    differences: tuple[str, ...]


class Replay:
    """What came of a scenario that was done again.

    Args:
        scenario: the scenario.
        steps: its steps.
    """

    def __init__(self, scenario: Scenario, steps: Sequence[Replayed]) -> None:
        self.scenario = scenario
        self.steps = tuple(steps)

    @property
    def is_same(self) -> bool:
        """Whether everything was as recorded."""
        return not self.differences

    @property
    def differences(self) -> list[str]:
        """All differences, each with the number of its step before it."""
        return [f"step {done.step.number}: {line}" for done in self.steps for line in done.differences]

    def to_table(self) -> list[dict[str, Any]]:
        """The steps as rows of text, for pandas and the like: a dict each."""
        return [
            {
                "step": done.step.number,
                "source": done.step.source,
                "recorded": ", ".join(call.outcome for call in done.step.calls),
                "now": ", ".join(map(outcome_text, done.results)),
                "different": "\n".join(done.differences),
            }
            for done in self.steps
        ]

    def __repr__(self) -> str:
        changed = sum(bool(done.differences) for done in self.steps)
        end = f"{counted(changed, 'step')} different" if changed else "all as recorded"
        return f"<Replay of {self.scenario.name!r}: {counted(len(self.steps), 'step')}, {end}>"


async def replay(scenario: Scenario, app: InlineApp, *, fork: bool) -> Replay:
    """Do a scenario again; see `Scenario.replay`."""
    steps = steps_to_do(scenario, app)
    if fork:
        app = await beginning(scenario, app)
    return Replay(scenario, [await perform_step(app, step) for step in steps])


def steps_to_do(scenario: Scenario, app: InlineApp) -> list[Step]:
    """The steps that can be done again: all that were run.

    Raises:
        ScenarioError: there are none, or it is being recorded.
        NotFoundError: the app has no task of that name.
    """
    if scenario.is_recording:
        raise ScenarioError(f"scenario {scenario.name!r} is being recorded; end that first")
    if scenario.unrepeatable:
        raise ScenarioError(scenario.unrepeatable)
    steps = [step for step in scenario.steps if step.status != "not run"]
    if not steps:
        raise ScenarioError(f"scenario {scenario.name!r} has no steps")
    for step in steps:
        for call in step.calls:
            app.find(call.task.name)
    return steps


async def beginning(scenario: Scenario, app: InlineApp) -> InlineApp:
    """A twin of an app, with State as it was before the first step."""
    twin = app.twin(StateRegistry(), name=app.name, adopts=True)
    await write(
        twin, {(key, field): value for key, fields in scenario.start.items() for field, value in fields.items()}
    )
    return twin


async def write(app: InlineApp, values: Mapping[tuple[StateKey, str], Any]) -> None:
    """Set fields of buckets, or remove those whose value is `ABSENT`."""
    by_bucket: dict[StateKey, dict[str, Any]] = {}
    for (key, field), value in values.items():
        by_bucket.setdefault(key, {})[field] = value
    for key, fields in by_bucket.items():
        state = AsyncState.linked(app.registry.bucket(key), app.registry.declared(key.name))
        there = {field: value for field, value in fields.items() if value is not ABSENT}
        if there:
            await state.update(**there)
        for field in fields:
            if field not in there:
                await state.delete(field)


async def perform_step(app: InlineApp, step: Step) -> Replayed:
    """Do a step again, and compare."""
    registry = app.registry
    before = registry.at()
    results: list[TaskResult] = []
    different: list[str] = []
    for each in step.sequence:
        try:
            if isinstance(each, Check):
                different += _checked(registry, each)
            else:
                results += await perform_act(app, each)
        except QStateError as error:  # of a write, or a check: the State's fields are other ones by now
            different.append(f"{each.text if isinstance(each, Check) else each}: {message(error)}")
    after = registry.at()
    change = before.changes_to(after)
    for call, result in zip(step.calls, results, strict=False):
        different += _compared(call, result)
    different += _changes(step, after.complete(), change)
    return Replayed(step, tuple(results), change, tuple(different))


async def perform_act(app: InlineApp, act: Act) -> list[TaskResult]:
    """Do an act again; calls that ran at once do so now."""
    if isinstance(act, Write):
        await write(app, act.values)
        return []
    calls = [
        app.new_call(app.find(call.task.name), as_given(call.args), as_given(call.kwargs), echo=False)
        for call in act.calls
    ]
    for call in calls:
        app.tell(call)  # the panel shows it at once
    return await asyncio.gather(*map(perform, calls))


def _compared(call: CallRecord, result: TaskResult) -> list[str]:
    was = call.result
    if was is None:
        return [f"{call} had not ended in the recording"]
    if was.status == result.status and _is_alike(was, result):
        return []
    return [f"{call}: {outcome_text(was)} in the recording, {outcome_text(result)} now"]


def _is_alike(was: TaskResult, now: TaskResult) -> bool:
    if was.exception is not None and now.exception is not None:
        if type(was.exception).__name__ != type(now.exception).__name__:
            return False
        if was.status == "cancel":  # it names the call
            return True
        return stable(message(was.exception)) == stable(message(now.exception))
    if was.exception is not None or now.exception is not None:
        return False
    return _is_same_value(was.returning, now.returning)


def _changes(step: Step, after: Contents, change: Diff) -> list[str]:
    """Where State did not change as it did in the recording: what it changed then, and what it changed now."""
    found = []
    recorded, now = _by_place(step.change), _by_place(change)
    for place, was in recorded.items():
        made = now.get(place)
        if not _is_same_value(was.after, _value_at(after, place) if made is None else made.after):
            changed = "did not change" if made is None else arrow(made.before, made.after)
            found.append(f"{was.state}.{was.where}: {arrow(was.before, was.after)} in the recording, {changed} now")
    found += [
        f"{made.state}.{made.where}: did not change in the recording, {arrow(made.before, made.after)} now"
        for place, made in now.items()
        if place not in recorded
    ]
    return found


def _by_place(change: Diff) -> dict[tuple[StateKey, tuple[Any, ...]], Difference]:
    return {(each.state, each.path): each for each in change}


def _is_same_value(was: Any, now: Any) -> bool:
    if is_same(was, now):
        return True
    return type(was) is type(now) and is_by_reference(was) and short(was, 200) == short(now, 200)


def _value_at(contents: Contents, place: tuple[StateKey, tuple[Any, ...]]) -> Any:
    value: Any = contents.get(place[0], {})
    for part in place[1]:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return ABSENT
    return value


def _checked(registry: StateRegistry, check: Check) -> list[str]:
    """A check of State, made again. Other checks are Python of the recording's own place, and are not."""
    if check.key is None:
        return []
    again = check_state(registry, check.key, check.fields)
    if again.passed == check.passed:
        return []
    return [f"{check.text}: passed now, failed in the recording"] if again.passed else list(again.problems)


class Walk:
    """A scenario, one step at a time, on the State of an app.

    Args:
        scenario: the scenario.
        app: the app.

    Attributes:
        done: the steps that were done, in order.
    """

    def __init__(self, scenario: Scenario, app: InlineApp) -> None:
        self.scenario = scenario
        self.app = app
        self.steps = steps_to_do(scenario, app)
        self.done: list[Replayed] = []
        self._moments: list[int] = []  # the number of the last event before each step that was done
        self._busy = threading.Lock()

    @property
    def next(self) -> Step | None:
        """The step that comes next, if there is one."""
        return self.steps[len(self.done)] if len(self.done) < len(self.steps) else None

    async def forward(self) -> Replayed:
        """Do the next step.

        Raises:
            ScenarioError: there is none, or one is being done.
        """
        if not self._busy.acquire(blocking=False):
            raise ScenarioError("a step is being done; wait for its end, or stop its calls")
        try:
            step = self.next
            if step is None:
                raise ScenarioError(f"scenario {self.scenario.name!r} is at its end")
            moment = self.app.registry.seq
            done = await perform_step(self.app, step)
            self._moments.append(moment)
            self.done.append(done)
            return done
        finally:
            self._busy.release()

    def back(self) -> Step:
        """Take the last step back: State is as it was before it, also where somebody else has changed it since.

        Returns:
            The step, which is the next one now.

        Raises:
            ScenarioError: there is none, or one is being done.
            HistoryError: a task runs, or that moment is not known any more.
        """
        if not self._busy.acquire(blocking=False):
            raise ScenarioError("a step is being done; wait for its end, or stop its calls")
        try:
            if not self.done:
                raise ScenarioError(f"scenario {self.scenario.name!r} is at its beginning")
            self.app.registry.rewind(self._moments[-1])
            self._moments.pop()
            return self.done.pop().step
        finally:
            self._busy.release()

    def __repr__(self) -> str:
        return f"<Walk through {self.scenario.name!r}: {len(self.done)} of {counted(len(self.steps), 'step')} done>"
