"""`Scenario`: a list of steps, with the results and the State seen after each; recorded, and run again.

with app.scenario("signup") as s: …  ─►  Recording ─► steps
s.replay(app), s.step(app)           ─►  replaying
s.to_pytest(path), s.to_notebook(path) ─► exporting
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Awaitable, Coroutine, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qstate_nb.app.call import Call
from qstate_nb.app.checks import check_result, check_state
from qstate_nb.app.inline import InlineApp
from qstate_nb.app.recording import Noted, Recording
from qstate_nb.app.result import TaskResult
from qstate_nb.app.steps import Check, Step, Together
from qstate_nb.core.formats import counted, short
from qstate_nb.core.history import Snapshot
from qstate_nb.core.journal import Contents
from qstate_nb.core.timetravel import StateLike
from qstate_nb.errors import ScenarioError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from qstate_nb.app.replaying import Replay, Walk


class Scenario:
    """Steps of an app: what was called, what came of it, and what it changed in State.

    As a context manager it records: each call that is made in the block is a step, calls that overlap are one, and so
    is each change that is made by no task. What a called task calls belongs to it.

    Args:
        app: whose tasks and State.
        name: its name.
        start: what was stored before the first step; by default, what is stored now.
        steps: those that there are already.
        notes: what else there is to say of it.

    Attributes:
        steps: the steps, in order.
        unrepeatable: why it can't be replayed or exported; empty if it can.

    Example:
        >>> from qstate_nb import InlineApp, State, StateRegistry
        >>> app = InlineApp(registry=StateRegistry())
        >>> class Stock(State):
        ...     pass
        >>> @app.task
        ... def sell(stock: Stock, what: str):
        ...     return stock.increment(what, -1)
        >>> with app.scenario("two sales") as scenario:
        ...     done = app.run("sell", "apples")
        ...     done = app.run("sell", "apples")
        ...     scenario.expect("Stock", apples=-2)
        >>> scenario
        <Scenario 'two sales': 3 steps, passed>
        >>> scenario.steps[1]
        <Step 2: await sell('apples'): passed>
        >>> scenario.replay(app)
        <Replay of 'two sales': 3 steps, all as recorded>
    """

    def __init__(
        self,
        app: InlineApp,
        name: str,
        *,
        start: Contents | None = None,
        steps: Iterable[Step] = (),
        notes: Iterable[str] = (),
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ScenarioError(f"a scenario needs a name, a text, not {short(name)}")
        self.app = app
        self.name = name
        self.steps: list[Step] = list(steps)
        self.notes = list(notes)
        self.unrepeatable = ""
        self._lock = threading.RLock()
        self._recording: Recording | None = None
        self._pending: list[Pending] = []
        self._before: Snapshot | None = None
        self.start: Contents = app.registry.at().contents if start is None else start

    @property
    def passed(self) -> bool:
        """Whether all steps have passed."""
        return all(step.status == "passed" for step in self.steps)

    @property
    def verdict(self) -> str:
        """How it ended, in some words."""
        if not self.steps:
            return "nothing recorded"
        bad = next((step for step in self.steps if step.status != "passed"), None)
        if bad is None:
            return "passed"
        failed = sum(step.status == "failed" for step in self.steps)
        if all(step.status in ("passed", "failed") for step in self.steps):
            return f"{counted(failed, 'step')} failed"
        stopped = next(step for step in self.steps if step.status == "error")
        return f"stopped at step {stopped.number}"

    def begin(self) -> None:
        """Begin to record; `with` does it.

        Raises:
            ScenarioError: it records already, or has steps.
        """
        with self._lock:
            if self._recording is not None or self.steps:
                raise ScenarioError(f"scenario {self.name!r} has been recorded; app.scenario(…) makes a new one")
            self._before = self.app.registry.at()
            self.start = self._before.contents
            self._recording = Recording(self.app, self._note)

    def end(self) -> None:
        """End the recording; `with` does it. The app knows the scenario from now on.

        Raises:
            ScenarioError: it doesn't record.
        """
        with self._lock:
            recording, self._recording = self._recording, None
        if recording is None:
            raise ScenarioError(f"scenario {self.name!r} is not being recorded")
        recording.close()
        for pending in self._pending:
            if not pending.was_awaited:
                pending.close()
                self._add(pending.text, self.app.registry.at(), status="failed", checks=(pending.missed(),))
        self.notes += lost(recording)
        self.app.scenarios[self.name] = self

    @property
    def is_recording(self) -> bool:
        """Whether it is being recorded."""
        return self._recording is not None

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        if error is None:
            self.check()

    def check(self) -> None:
        """Do nothing if all steps passed.

        Raises:
            ScenarioError: a check was not met, or a step ended the scenario with an error.
        """
        for step in self.steps:
            problems = [line for check in step.checks for line in check.problems]
            if step.status == "error":
                raise ScenarioError(f"{self.name}: step {step.number} ended with {step.outcome()}") from step.error
            if problems:
                raise ScenarioError(f"{self.name}: step {step.number}, {step.source}: {'; '.join(problems)}")

    def _note(self, noted: Noted) -> None:
        records = [call for act in noted.acts if isinstance(act, Together) for call in act.calls]
        output = "".join(record.result.output for record in records if record.result is not None)
        self._add("; ".join(map(str, noted.acts)), noted.after, acts=noted.acts, output=output)

    def _add(self, source: str, after: Snapshot, **more: Any) -> None:
        with self._lock:
            assert self._before is not None
            before, self._before = self._before, after
            self.steps.append(Step.between(before, after, len(self.steps) + 1, source, **more))

    def expect(self, state: StateLike, values: Mapping[str, Any] | None = None, /, **fields: Any) -> None:
        """Check some fields of a State; how it went is a step, and the block's end raises if it was not met.

        Args:
            state: its name, class or object.
            values, fields: what they are to be: ``...`` stands for any value, `qstate_nb.ABSENT` for none.

        Raises:
            ScenarioError: nothing is being recorded, or there are no fields.
            NotFoundError: there is no such State.
        """
        self._checked(check_state(self.app.registry, state, {**(values or {}), **fields}))

    def expect_result(
        self, call: Any, expected: Any = ..., /, *, raises: type[BaseException] | None = None
    ) -> Any | Awaitable[Any]:
        """Check what a call returned, or that it raised; how it went is a step.

        Args:
            call: a `TaskResult` or a value; or a coroutine or a `Call`, which is awaited.
            expected: what it is to be; anything, if not given.
            raises: the exception that it is to end with.

        Returns:
            The value; for a coroutine or a `Call`, an awaitable of it.
        """
        if inspect.iscoroutine(call) or isinstance(call, Call):
            pending = Pending(self._expect_later(call, expected, raises), call)
            self._pending.append(pending)
            return pending
        return self._expect_now("result", call, expected, raises)

    async def _expect_later(self, call: Any, expected: Any, raises: type[BaseException] | None) -> Any:
        return self._expect_now("result", await ended(call), expected, raises)

    def _expect_now(self, what: str, result: Any, expected: Any, raises: type[BaseException] | None) -> Any:
        self._checked(check_result(what, result, expected, raises))
        return result.returning if isinstance(result, TaskResult) else result

    def _checked(self, check: Check) -> None:
        recording = self._recording
        if recording is None:
            raise ScenarioError(f"scenario {self.name!r} is not being recorded, so there is nothing to check")
        self.unrepeatable = self.unrepeatable or spanning(self.name, recording.open_calls, len(self.steps) + 1)
        recording.settle()
        status = "passed" if check.passed else "failed"
        self._add(check.text, self.app.registry.at(), status=status, checks=(check,))

    def replay(self, app: InlineApp | None = None, *, fork: bool = True) -> Replay:
        """Do all steps again, and say where results or State differ from the recording.

        Args:
            app: whose tasks; by default the one that it was recorded on. They are found by their names.
            fork: whether to work on State of its own that begins as the recording did, rather than the app's.

        Raises:
            ScenarioError: it has no steps, or is being recorded.
            NotFoundError: the app has no task of that name; nothing is run.
        """
        from qstate_nb.app.nesting import run_blocking
        from qstate_nb.app.replaying import replay

        return run_blocking(replay(self, self.app if app is None else app, fork=fork))

    def step(self, app: InlineApp | None = None) -> Walk:
        """Go through it one step at a time, forth and back, on the State of an app.

        Raises:
            ScenarioError, NotFoundError: as `replay`.
        """
        from qstate_nb.app.replaying import Walk

        return Walk(self, self.app if app is None else app)

    def to_table(self) -> list[dict[str, Any]]:
        """The steps as rows of text, for pandas and the like: a dict each, with the columns that are shown."""
        return [
            {
                "step": step.number,
                "source": step.source,
                "status": step.status,
                "result": step.outcome(),
                "output": step.output,
                "change": "\n".join(map(str, step.change)),
            }
            for step in self.steps
        ]

    def to_pytest(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write it as a test module: see `qstate_nb.app.exporting`."""
        from qstate_nb.app.exporting import to_pytest

        return to_pytest(self, path, overwrite=overwrite)

    def to_notebook(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write it as a notebook with its outputs: see `qstate_nb.app.exporting`."""
        from qstate_nb.app.exporting import to_notebook

        return to_notebook(self, path, overwrite=overwrite)

    def __repr__(self) -> str:
        state = "recording" if self.is_recording else self.verdict
        return f"<Scenario {self.name!r}: {counted(len(self.steps), 'step')}, {state}>"


async def ended(call: Any) -> Any:
    """A coroutine's value or its exception; a call's result; anything else as it is."""
    if isinstance(call, Call):
        return await call
    if not inspect.isawaitable(call):
        return call
    try:
        return await call
    except Exception as error:
        return error


class Pending:
    """A check of a call that has to be awaited.

    Args:
        coroutine: makes the check.
        call: what is checked; a coroutine that nobody awaits is closed with it.
    """

    text = "expect_result(…)"

    def __init__(self, coroutine: Coroutine[Any, Any, Any], call: object) -> None:
        self._coroutine = coroutine
        self._call = call
        self.was_awaited = False

    def __await__(self) -> Generator[Any, Any, Any]:
        self.was_awaited = True
        return self._coroutine.__await__()

    def close(self) -> None:
        """Have nothing wait to be awaited."""
        self._coroutine.close()
        if inspect.iscoroutine(self._call):
            self._call.close()

    def missed(self) -> Check:
        """The check that was not made."""
        return Check(self.text, ["it was not awaited, so nothing was checked: write await expect_result(…)"])


def spanning(name: str, calls: Sequence[str], step: int) -> str:
    """Why a scenario can't be done again in which calls went on from one step to the next; empty if none did."""
    if not calls:
        return ""
    return (
        f"scenario {name!r} can't be done again: {', '.join(calls)} ran on in the background at step {step}, and "
        "nobody knows how far; run such calls with others in one step: concurrently(…)"
    )


def lost(recording: Recording) -> list[str]:
    """Say so if events were dropped before they were seen."""
    if not recording.lost:
        return []
    dropped = counted(recording.lost, "event")
    return [f"{dropped} of it were dropped by the journal unseen: StateRegistry(max_events=…) keeps more"]
