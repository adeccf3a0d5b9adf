"""The steps of a scenario: what was called or written, what came of it, and what that changed in State."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from qstate_nb.app.result import TaskResult
from qstate_nb.app.task import Task
from qstate_nb.core.diff import Diff
from qstate_nb.core.formats import message, printable, short
from qstate_nb.core.history import Snapshot
from qstate_nb.core.journal import ABSENT, Contents
from qstate_nb.core.keys import StateKey

StepStatus: TypeAlias = Literal["passed", "failed", "error", "not run"]


class CallRecord(msgspec.Struct, frozen=True, eq=False):
    """A call of a task.

    Args:
        task: the task.
        args, kwargs: copies of what the caller gave.
        result: how it ended, retries included; None if it had not ended when the recording did.
    """

    task: Task
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: TaskResult | None

    def __str__(self) -> str:
        given = [short(value, 60) for value in self.args]
        named = [f"{printable(name, 40)}={short(value, 60)}" for name, value in self.kwargs.items()]
        return f"{self.task.name}({', '.join([*given, *named])})"

    @property
    def outcome(self) -> str:
        """What it returned, or how else it ended, in one line."""
        return "not ended" if self.result is None else outcome_text(self.result)


def outcome_text(result: TaskResult, width: int = 80) -> str:
    """What a call returned, or its error, in one line."""
    error = result.exception
    return short(result.returning, width) if error is None else error_text(error, width)


def error_text(error: BaseException, width: int = 200) -> str:
    """An error in one line."""
    said = message(error, max(width, 200))
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


class Together(msgspec.Struct, frozen=True, eq=False):
    """Calls that ran at once, in the order of their beginnings; or just one.

    Args:
        calls: the calls.
    """

    calls: tuple[CallRecord, ...]

    def __str__(self) -> str:
        first, *others = map(str, self.calls)
        return f"concurrently({', '.join([first, *others])})" if others else f"await {first}"


class Write(msgspec.Struct, frozen=True, eq=False):
    """A change that was made by no task: in a cell, by a magic, in the panel.

    Args:
        op: its name, such as ``set``; it is kept to be shown.
        values: what each field was set to; `ABSENT` for those that were removed.
    """

    op: str
    values: Mapping[tuple[StateKey, str], Any]

    def __str__(self) -> str:
        shown = [
            f"{key}.{printable(field)}{' deleted' if value is ABSENT else f' = {short(value, 60)}'}"
            for (key, field), value in list(self.values.items())[:3]
        ]
        more = ["…"] if len(self.values) > len(shown) else []
        return f"{self.op}: {', '.join([*shown, *more])}"


Act: TypeAlias = "Together | Write"
"""What a step does that can be done again."""


class Check(msgspec.Struct, frozen=True, eq=False):
    """Something that was to be so.

    Args:
        text: what was checked, as it is written.
        problems: what is different, a line each; none if it was so.
        key: the bucket, if State was checked.
        fields: what its fields were to be; ``...`` for any value, `ABSENT` for no such field.
        place: how many acts of its step came before it.
    """

    text: str
    problems: Sequence[str] = ()
    key: StateKey | None = None
    fields: Mapping[str, Any] = {}
    place: int = 0

    @property
    def passed(self) -> bool:
        """Whether it was so."""
        return not self.problems


class Step(msgspec.Struct, frozen=True, eq=False):
    """One step.

    Args:
        number: from 1.
        source: what it does, as it was typed, or as it could be.
        status: ``passed``; ``failed`` if a check was not met; ``error``; ``not run`` after an error.
        acts: the calls and changes that it consists of, in order.
        checks: what was checked.
        returned: the value of the step, `ABSENT` if it has none.
        error: what ended it, and the scenario with it.
        output: what was printed.
        change: what it changed in State.
        after: the buckets that it changed: all their stored fields after it; an empty dict if none are left.
    """

    number: int
    source: str
    status: StepStatus = "passed"
    acts: tuple[Act, ...] = ()
    checks: tuple[Check, ...] = ()
    returned: Any = ABSENT
    error: BaseException | None = None
    output: str = ""
    change: Diff = Diff(())
    after: Contents = {}

    @classmethod
    def between(cls, before: Snapshot, after: Snapshot, number: int, source: str, **more: Any) -> Step:
        """A step before and after which State was so."""
        change = before.changes_to(after)
        changed = {each.state: after.contents.get(each.state, {}) for each in change}
        return cls(number, source, change=change, after=changed, **more)

    @property
    def calls(self) -> list[CallRecord]:
        """All calls in it."""
        return [call for act in self.acts if isinstance(act, Together) for call in act.calls]

    @property
    def sequence(self) -> list[Act | Check]:
        """Its acts and checks, in the order in which they were made."""
        places = [(each.place, 0, each) for each in self.checks] + [(n, 1, act) for n, act in enumerate(self.acts)]
        return [each for *_, each in sorted(places, key=lambda place: place[:2])]

    def outcome(self, width: int = 80) -> str:
        """What it returned, or its error, in one line."""
        if self.error is not None:
            return error_text(self.error, width)
        if self.returned is ABSENT or (self.returned is None and self.calls):
            return ", ".join(call.outcome for call in self.calls)
        return "" if self.returned is None else short(self.returned, width)

    def __repr__(self) -> str:
        return f"<Step {self.number}: {printable(self.source, 80)}: {self.status}>"
