"""A scenario as the cells of a notebook."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from qstate_nb.app.exporting.imports import Import
from qstate_nb.app.exporting.layout import Group, Item, Layout, Name, Node, Text, call
from qstate_nb.app.exporting.literals import is_plain_name, text_of
from qstate_nb.app.exporting.plan import (
    NotCompared,
    Plan,
    PlannedCall,
    PlannedCheck,
    PlannedStep,
    PlannedWrite,
    Value,
    is_of_result,
)
from qstate_nb.app.exporting.states import state_class
from qstate_nb.app.inline import InlineApp
from qstate_nb.app.steps import Check
from qstate_nb.core.formats import one_line
from qstate_nb.core.journal import ABSENT
from qstate_nb.core.keys import StateKey
from qstate_nb.core.state import AsyncState, StateBase
from qstate_nb.errors import ScenarioError

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|$&~])")
_ASYNCIO = Import("asyncio")


class Cells:
    """The source of a notebook's cells.

    Args:
        plan: the scenario.

    Attributes:
        title: the text at its top.
        setup: what makes the tasks.
        scenario: the steps.

    Raises:
        ScenarioError: a State has no class by which Python can write to it.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._sources = plan.sources
        self._checked = _checked(plan.steps)
        self._classes: dict[str, type[StateBase]] = {}
        self._raised: dict[type, type] = {}
        self._collect()
        sources = self._sources
        sources.settle()
        layout = Layout(sources.name)
        expression = "" if plan.task is None else sources.app_of(plan.task)
        self._app = expression if expression.isidentifier() else sources.imports.free("app")
        name = one_line(plan.name)
        lines = [line for before, node in self._lines() for line in layout.statement(before, node)]
        self.title = (
            f"# {_markdown(name)}\n\nA scenario, on State of its own: each statement of the last cell is a step."
        )
        self.setup = self._setup(expression)
        head = f"%%qstate scenario {name if name.isidentifier() else text_of(name)} --fresh"
        self.scenario = "\n".join([head, *lines])

    def _collect(self) -> None:
        """Need all that the cells name, besides tasks and values."""
        if self._plan.task is None:
            self._sources.add(InlineApp, "a notebook")
        writes = [act for step in self._plan.steps for act in step.acts if isinstance(act, PlannedWrite)]
        for write in [*self._plan.start, *writes]:
            self._write_needs(write)
        for step in self._plan.steps:
            checked = [(check.key, check.fields) for check in step.checks]
            for key, fields in [*checked, *self._changed(step)]:
                if None in fields.values():
                    self._sources.add(ABSENT, "a notebook")
                self._find_class(key)
            for act in step.acts:
                if isinstance(act, tuple):
                    self._calls_need(act)

    def _write_needs(self, write: PlannedWrite) -> None:
        if not self._find_class(write.key):
            raise ScenarioError(
                f"scenario {self._plan.name!r} writes to {write.key}, of which no class is known that a notebook can "
                "import; to_pytest can do without"
            )

    def _find_class(self, key: StateKey) -> bool:
        """Need the class of a bucket; tells whether it can be had."""
        if key.name not in self._classes:
            cls = state_class(self._plan.app, key.name)
            if cls is None or not self._can_name(cls):
                return False
            self._classes[key.name] = cls
        return key.name in self._classes

    def _calls_need(self, calls: tuple[PlannedCall, ...]) -> None:
        failed = [planned.result.exception for planned in calls if planned.result.exception is not None]
        if failed and len(calls) > 1:
            self._sources.imports.use(_ASYNCIO)
        for error in failed:
            self._raised[type(error)] = next(filter(self._can_name, type(error).__mro__))

    def _can_name(self, cls: type) -> bool:
        try:
            self._sources.add(cls, "a notebook")
        except ScenarioError:
            return False
        return True

    def _setup(self, app: str) -> str:
        text = self._sources.text()
        parts = [text] if text.startswith("from __future__") else ["%load_ext qstate_nb", text]
        if app != self._app:
            parts.append(f"{self._app} = {app or self._sources.name(InlineApp) + '()'}")
        if "%load_ext qstate_nb" not in parts:
            parts.append("%load_ext qstate_nb")
        if self._sources.has_more_apps:
            parts.append(f"%qstate app {self._app};")
        return "\n\n".join(part for part in parts if part)

    def _lines(self) -> Iterator[tuple[str, Node]]:
        """The statements of the scenario: what is before an expression, and the expression."""
        for write in self._plan.start:
            yield from self._write(write)
        for step in self._plan.steps:
            yield from self._step(step)
        for title in self._plan.not_run:
            yield _comment(f"not run: {title}")

    def _step(self, step: PlannedStep) -> Iterator[tuple[str, Node]]:
        for each, after in zip_longest(step.sequence, step.sequence[1:]):
            if isinstance(each, PlannedWrite):
                yield from self._write(each)
            elif isinstance(each, PlannedCheck):
                yield "", self._expect(each.key, each.fields)
            elif isinstance(each, Check):
                if not (step.acts and is_of_result(each)):
                    yield _comment(f"was checked: {each.text}")
            elif len(each) == 1:
                yield self._call(each[0], is_expected=isinstance(after, Check) and is_of_result(after))
            else:
                yield from self._together(each)
        for key, fields in self._changed(step):
            yield "", self._expect(key, fields)

    def _write(self, write: PlannedWrite) -> Iterator[tuple[str, Node]]:
        cls = self._classes[write.key.name]
        scope = "" if write.key.scope is None else f", {_scope(write.key)}"
        state = f"{self._app}.state({self._sources.name(cls)}{scope})"
        before = "await " if issubclass(cls, AsyncState) else ""
        there = {name: node for name, node in write.fields.items() if node is not None}
        if len(there) > 1 and all(map(is_plain_name, there)):
            yield before, _named_call(f"{state}.update", there)
        else:
            for name, node in there.items():
                yield before, call(f"{state}.set", Text(text_of(name)), node)
        for name in write.fields:
            if name not in there:
                yield before, call(f"{state}.delete", Text(text_of(name)))

    def _call(self, planned: PlannedCall, *, is_expected: bool) -> tuple[str, Node]:
        made = Group("(", planned.arguments, ")", Name(planned.task))
        error = planned.result.exception
        if error is not None:
            return "", call("expect_result", made, raises=Name(self._raised[type(error)]))
        if is_expected and not isinstance(planned.returned, NotCompared | None):
            return "", call("expect_result", made, planned.returned)
        return "await ", made

    def _together(self, calls: tuple[PlannedCall, ...]) -> Iterator[tuple[str, Node]]:
        made = [Group("(", planned.arguments, ")", Name(planned.task)) for planned in calls]
        if not any(planned.result.exception for planned in calls):
            yield "", call("concurrently", *made)
            return
        results = self._sources.imports.free("results")
        gather = f"{self._sources.imports.use(_ASYNCIO)}.gather"
        yield f"{results} = await ", call(gather, *made, return_exceptions=Text("True"))
        for index, planned in enumerate(calls):
            result, error = Text(f"{results}[{index}]"), planned.result.exception
            if error is not None:
                yield "", call("expect_result", result, raises=Name(self._raised[type(error)]))
            elif not isinstance(planned.returned, NotCompared | None):
                yield "", call("expect_result", result, planned.returned)

    def _changed(self, step: PlannedStep) -> Iterator[tuple[StateKey, Mapping[str, Value | None]]]:
        """What a step has changed, if nothing checks State after it."""
        if step.number in self._checked:
            return
        for key, fields in step.changed.items():
            touched = {name: fields[name] for name in step.touched[key]}
            if touched or step.removed[key]:
                yield key, {**touched, **dict.fromkeys(step.removed[key])}

    def _expect(self, key: StateKey, fields: Mapping[str, Value | None]) -> Node:
        cls = self._classes.get(key.name)
        state: Node = Name(cls) if cls is not None and key.scope is None else Text(text_of(str(key)))
        nodes = {name: _expectation(value) for name, value in fields.items()}
        return _named_call("expect", nodes, state)


def _checked(steps: Sequence[PlannedStep]) -> set[int]:
    """The numbers of the steps with checks of State: in them, or before the next step that does something."""
    found: set[int] = set()
    acted: int | None = None
    for step in steps:
        if step.acts:
            acted = step.number
        if step.checks:
            found |= {step.number, *([] if acted is None else [acted])}
    return found


def _expectation(value: Value | None) -> Node:
    if value is None:
        return Name(ABSENT)
    return Text("...") if isinstance(value, NotCompared) else value


def _named_call(function: str, named: Mapping[str, Node], *arguments: Node) -> Node:
    """A call with such named arguments; where names can't be that, with a dict of them."""
    if all(map(is_plain_name, named)):
        return call(function, *arguments, **named)
    return call(
        function, *arguments, Group("{", [Item(node, Text(text_of(name))) for name, node in named.items()], "}")
    )


def _scope(key: StateKey) -> str:
    return text_of(key.scope) if isinstance(key.scope, str) else repr(key.scope)


def _comment(text: str) -> tuple[str, Node]:
    return f"# {one_line(text)}", Text("")


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)
