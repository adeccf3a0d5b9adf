"""A scenario as what a test and a notebook have in common: its steps, with values as Python expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from qstate_nb.app.exporting.layout import Group, Item, Node, Text, names_in
from qstate_nb.app.exporting.literals import Unwritable, is_plain_name, text_of, written
from qstate_nb.app.exporting.repeatable import checked_steps, title
from qstate_nb.app.exporting.sources import Sources
from qstate_nb.app.exporting.states import state_class, taken_by
from qstate_nb.app.inline import InlineApp
from qstate_nb.app.result import TaskResult
from qstate_nb.app.steps import CallRecord, Check, Step, Together, Write
from qstate_nb.app.task import Task
from qstate_nb.core.diff import is_same
from qstate_nb.core.formats import one_line, short
from qstate_nb.core.journal import ABSENT
from qstate_nb.core.keys import StateKey
from qstate_nb.core.state import StateBase
from qstate_nb.errors import ScenarioError

if TYPE_CHECKING:
    from qstate_nb.app.scenario import Scenario

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class NotCompared(msgspec.Struct, frozen=True):
    """Stands for a value that can't be compared.

    Args:
        what: the value, to be shown, and why.
    """

    what: str


Value: TypeAlias = "Node | NotCompared"


class PlannedCall(msgspec.Struct, frozen=True, eq=False):
    """A call.

    Args:
        task: its task.
        arguments: what it is given.
        result: how it ended.
        returned: what it returned; None if it didn't.
    """

    task: Task
    arguments: tuple[Item, ...]
    result: TaskResult
    returned: Value | None


class PlannedWrite(msgspec.Struct, frozen=True):
    """What somebody writes to a bucket: field → its value, or None where it is removed."""

    key: StateKey
    fields: Mapping[str, Node | None]


class PlannedCheck(msgspec.Struct, frozen=True):
    """A check of a bucket: field → what it is to be, ``...`` for anything, None for no such field."""

    key: StateKey
    fields: Mapping[str, Value | None]
    text: str


PlannedAct: TypeAlias = "tuple[PlannedCall, ...] | PlannedWrite"


class PlannedStep(msgspec.Struct, frozen=True, eq=False):
    """A step.

    Args:
        number: its number.
        title: what it does, in one line.
        sequence: calls that run at once, writes, checks of State, and checks that are Python of the recording's own
            place, in the order in which they were made.
        changed: bucket → field → value, of those that it changed, complete.
        removed: bucket → the fields that are not there any more.
        touched: bucket → the fields that it changed.
    """

    number: int
    title: str
    sequence: tuple[PlannedAct | PlannedCheck | Check, ...]
    changed: Mapping[StateKey, Mapping[str, Value]]
    removed: Mapping[StateKey, tuple[str, ...]]
    touched: Mapping[StateKey, tuple[str, ...]]

    @property
    def acts(self) -> list[PlannedAct]:
        """What it does."""
        return [each for each in self.sequence if isinstance(each, tuple | PlannedWrite)]

    @property
    def checks(self) -> list[PlannedCheck]:
        """What it checks of State."""
        return [each for each in self.sequence if isinstance(each, PlannedCheck)]


class Plan:
    """A scenario, ready to be written.

    Args:
        scenario: the scenario.

    Attributes:
        app: whose tasks they are.
        start: what is written before the first step.
        steps: the steps that were run.
        classes: those whose declared defaults count, though no task of a step takes them.
        not_run: the titles of the others.
        sources: what they need.

    Raises:
        ScenarioError: it can't be done again, or something in it can't be written.
        NotFoundError: the app has no task of that name any more.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.name = scenario.name
        self.app: InlineApp = scenario.app
        steps = checked_steps(scenario)
        self.not_run = [title(step) for step in scenario.steps[len(steps) :]]
        self.sources = Sources(self.app.tasks)
        tasks = [call.task for step in steps for call in step.calls]
        for task in tasks:
            self.sources.add_task(task)
        self.classes: list[type[StateBase]] = []
        self._has_defaults = {cls.state_name: True for cls in taken_by(tasks)}
        self.start = [self._start(key, fields) for key, fields in scenario.start.items() if fields]
        self._contents = {key: dict(fields) for key, fields in scenario.start.items()}
        self.steps = [self._planned(step) for step in steps]

    @property
    def task(self) -> Task | None:
        """One of the tasks, if there is any."""
        calls = (act[0] for step in self.steps for act in step.acts if isinstance(act, tuple))
        return next((call.task for call in calls), None)

    def _start(self, key: StateKey, fields: Mapping[str, Any]) -> PlannedWrite:
        where = f"scenario {self.name!r} begins with {key}."
        hint = "begin with empty State, or use plain data"
        return PlannedWrite(
            key, {field: self._node(value, f"{where}{field} =", hint) for field, value in fields.items()}
        )

    def _planned(self, step: Step) -> PlannedStep:
        sequence: list[PlannedAct | PlannedCheck | Check] = []
        for each in step.sequence:
            if isinstance(each, Together):
                sequence.append(tuple(self._call(step, call) for call in each.calls))
            elif isinstance(each, Write):
                sequence += self._writes(step, each)
            else:
                sequence.append(each if each.key is None else self._check(each.key, each))
        changed, removed, touched = self._changes(step)
        return PlannedStep(
            step.number,
            title(step),
            tuple(sequence),
            changed,
            removed,
            touched,
        )

    def _call(self, step: Step, call: CallRecord) -> PlannedCall:
        where = f"step {step.number}, {call}:"
        items = [Item(self._node(value, f"{where} argument {at}")) for at, value in enumerate(call.args, 1)]
        rest: dict[str, Any] = {}
        for name, value in call.kwargs.items():
            node = self._node(value, f"{where} argument {name!r}")
            if is_plain_name(name):
                items.append(Item(node, Text(name), "="))
            else:
                rest[name] = node
        if rest:
            named = [Item(node, Text(text_of(name))) for name, node in rest.items()]
            items.append(Item(Group("{", named, "}"), Text("**"), ""))
        assert call.result is not None
        returned = self._value(call.result.returning) if call.result.exception is None else None
        return PlannedCall(call.task, tuple(items), call.result, returned)

    def _writes(self, step: Step, write: Write) -> Iterator[PlannedWrite]:
        by_bucket: dict[StateKey, dict[str, Node | None]] = {}
        for (key, field), value in write.values.items():
            node = None if value is ABSENT else self._node(value, f"step {step.number}, {write.op}: {key}.{field} =")
            by_bucket.setdefault(key, {})[field] = node
        return (PlannedWrite(key, fields) for key, fields in by_bucket.items())

    def _changes(self, step: Step) -> tuple[dict[StateKey, Any], dict[StateKey, Any], dict[StateKey, Any]]:
        changed: dict[StateKey, Any] = {}
        removed: dict[StateKey, Any] = {}
        touched: dict[StateKey, Any] = {}
        for key, stored in step.after.items():
            was = self._contents.get(key, {})
            self._contents[key] = dict(stored)
            before, after = self._complete(key, was), self._complete(key, stored)
            different = [name for name in {**before, **after} if _is_other(before, after, name)]
            if different or bool(was) != bool(stored):
                changed[key] = {field: self._value(value) for field, value in after.items()}
                removed[key] = tuple(field for field in different if field not in after)
                touched[key] = tuple(field for field in different if field in after)
        return changed, removed, touched

    def _complete(self, key: StateKey, stored: Mapping[str, Any]) -> dict[str, Any]:
        """All fields, with the declared defaults that the export can know as well."""
        declared = self.app.registry.declared(key.name)
        defaults = {} if declared is None else declared.all_defaults()
        if key.name not in self._has_defaults:
            self._has_defaults[key.name] = bool(defaults) and self._find_class(key.name)
        return {**(defaults if self._has_defaults[key.name] else {}), **stored}

    def _find_class(self, name: str) -> bool:
        """Need the class of a State that no task takes; tells whether it can be had."""
        cls = state_class(self.app, name)
        if cls is None or cls.declared is not self.app.registry.declared(name):
            return False
        try:
            self.sources.add(cls, "a check")
        except ScenarioError:
            return False
        self.classes.append(cls)
        return True

    def _check(self, key: StateKey, check: Check) -> PlannedCheck:
        fields: dict[str, Value | None] = {
            field: None if value is ABSENT else self._value(value) for field, value in check.fields.items()
        }
        self._complete(key, {})  # a default may be what is checked
        return PlannedCheck(key, fields, one_line(check.text))

    def _node(self, value: Any, where: str, hint: str = "use plain data instead") -> Node:
        """The expression for what has to be written.

        Raises:
            ScenarioError: it can't be.
        """
        try:
            node = written(value).node
            self._need(node, f"{where} {short(value, 60)}")
        except Unwritable as error:
            part = "" if error.value is value else f", in which {short(error.value, 60)}"
            raise ScenarioError(f"{where} {short(value, 60)}{part} {error.reason}; {hint}") from None
        return node

    def _need(self, node: Node, where: str) -> None:
        for thing in names_in(node):
            self.sources.add(thing, where)

    def _value(self, value: Any) -> Value:
        """The expression for what is compared, if it can be."""
        try:
            literal = written(value)
            if literal.is_equal:
                self._need(literal.node, "a value")
                return literal.node
        except Unwritable as error:
            what = "" if error.value is value else f", which has {short(error.value, 40)}"
            return NotCompared(one_line(f"{short(value, 60)}{what}"))
        except ScenarioError:
            return NotCompared(short(value, 60))
        return NotCompared(f"{short(value, 60)}, which is not equal to itself")


def _is_other(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> bool:
    return not is_same(before.get(name, ABSENT), after.get(name, ABSENT))


def is_any(value: Value | None) -> bool:
    """Whether a check lets it be anything."""
    return isinstance(value, Text) and value.text == "..."


def is_of_result(check: Check) -> bool:
    """Whether it checks how a call ended, which an export says of each call anyway."""
    return check.text.startswith("expect_result(")


def error_comparison(result: TaskResult, tasks: Mapping[str, Task]) -> str | None:
    """The repr of a result's exception, or None if that is another one on each run."""
    try:
        text = repr(result.exception)
    except Exception:  # the class is the user's
        return None
    names_a_call = any(re.search(rf"(?<!\w){re.escape(name)} #\d", text) for name in tasks)
    return None if _ADDRESS.search(text) or names_a_call else text
