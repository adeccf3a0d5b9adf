"""A scenario as a module for pytest: plain asserts on each step's results, and on what it changed in State."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from qstate_nb.app.exporting import files
from qstate_nb.app.exporting.imports import Import
from qstate_nb.app.exporting.layout import WIDTH, Group, Item, Layout, Name, Node, Text, call, collection
from qstate_nb.app.exporting.literals import text_of
from qstate_nb.app.exporting.plan import (
    NotCompared,
    Plan,
    PlannedCall,
    PlannedCheck,
    PlannedStep,
    PlannedWrite,
    Value,
    error_comparison,
    is_any,
    is_of_result,
)
from qstate_nb.app.inline import InlineApp
from qstate_nb.app.steps import Check
from qstate_nb.core.formats import one_line
from qstate_nb.core.journal import ABSENT
from qstate_nb.errors import ScenarioError

if TYPE_CHECKING:
    from qstate_nb.app.scenario import Scenario

_MARK = re.compile(
    rf"# Written by qstate_nb, which may replace it as long as nobody changes it: (\w{{{files.DIGITS}}})\n"
)
_SINGLE = ("None", "True", "False")


def to_pytest(scenario: Scenario, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a scenario as a test module.

    Tasks are imported from the module that holds them. Those of a notebook or script are carried: their source, and
    that of what it uses. The module's first line says that it was written by this, and has digits that tell whether
    it was changed: such a file is replaced, any other one only with *overwrite*.

    Values are compared by ``==``, to which True, 1 and 1.0 are the same; only a result or a checked field that is
    True, False or None as a whole has to be that very one.

    Args:
        path: the file; pytest finds it if it is called ``test_….py``.
        overwrite: whether to replace any file.

    Returns:
        The file.

    Raises:
        ScenarioError: the scenario can't be done again, something in it can't be written as Python, or the file
            can't be written. Nothing is written then.
        NotFoundError: the app has no task of that name any more.
    """
    target = files.target_of(path, ".py")
    if target.exists() and not overwrite and not is_ours(target):
        raise files.refuse(target)
    text = _Module(Plan(scenario)).text()
    try:
        compile(text, str(target), "exec")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ScenarioError(f"scenario {scenario.name!r} gives a module that Python can't read: {error}") from None
    files.write(
        target,
        f"# Written by qstate_nb, which may replace it as long as nobody changes it: {files.digest(text)}\n{text}",
    )
    return target


def is_ours(file: Path) -> bool:
    """Whether a file is as an export has written it."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    mark = _MARK.match(text)
    return mark is not None and mark[1] == files.digest(text[mark.end() :])


def test_name(name: str) -> str:
    """The name of a test function.

    Example:
        >>> test_name("sign up: wrong code!")
        'test_sign_up_wrong_code'
    """
    return f"test_{re.sub(r'[^0-9a-zA-Z_]+', '_', name).strip('_').lower() or 'scenario'}"


class _Module:
    """The text of one module."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        sources = self._sources = plan.sources
        bad = [name for name in sources.defined if name.startswith("test")]
        if bad:
            raise ScenarioError(f"pytest would take {bad[0]!r} for a test; rename it, or define it in a module")
        self._trial_class = Import("qstate_nb.testing", "Trial")
        sources.imports.use(self._trial_class)
        if plan.task is None:
            sources.add(InlineApp, "a test")
        if any(
            None in act.fields.values() for step in plan.steps for act in step.acts if isinstance(act, PlannedWrite)
        ):
            sources.add(ABSENT, "a test")
        sources.settle()
        self._layout = Layout(sources.name)
        imports = sources.imports
        self._test = imports.free(test_name(plan.name))
        self._trial, self._result, self._results, self._state_name = map(
            imports.free, ("trial", "result", "results", "state")
        )

    def text(self) -> str:
        """The module, without its first line."""
        body = [*self._beginning()]
        for step in self._plan.steps:
            lines = list(self._step(step))
            if lines:
                body += ["", _comment(f"{step.number}: {step.title}"), *lines]
        if self._plan.not_run:
            body += ["", *(_comment(f"not run: {each}") for each in self._plan.not_run)]
        title = one_line(self._plan.name).replace("\\", "\\\\").replace('"', '\\"')
        what = "each step's results, and what it changes in State"
        return (
            f'"""The scenario "{title}" as a test: {what}."""\n\n{self._sources.text()}\n\n\n'
            f"def {self._test}() -> None:\n" + "\n".join(body) + "\n"
        )

    def _beginning(self) -> Iterator[str]:
        task = self._plan.task
        app = Text(self._sources.app_of(task)) if task is not None else call(InlineApp)
        start = [Item(_fields(write.fields), Text(text_of(str(write.key)))) for write in self._plan.start]
        state = [Group("{", start, "}")] if start else []
        classes = [Name(cls) for cls in self._plan.classes]
        named = {"classes": collection("[", classes, "]")} if classes else {}
        trial = call(self._sources.imports.use(self._trial_class), app, *state, **named)
        return self._statement(f"{self._trial} = ", trial)

    def _statement(self, before: str, node: Node) -> Iterator[str]:
        yield from self._layout.statement(before, node, indent=4)

    def _step(self, step: PlannedStep) -> Iterator[str]:
        for each in step.sequence:
            if isinstance(each, PlannedWrite):
                yield from self._write(each)
            elif isinstance(each, PlannedCheck):
                yield from self._check(each)
            elif isinstance(each, Check):
                if each.text not in step.title and not (step.acts and is_of_result(each)):
                    yield _comment(f"was checked: {one_line(each.text)}")
            elif len(each) == 1:
                yield from self._call(each[0])
            else:
                yield from self._together(each)
        if step.acts or step.changed:
            yield from self._state(step)

    def _write(self, write: PlannedWrite) -> Iterator[str]:
        arguments = Text(text_of(str(write.key))), _fields(write.fields)
        return self._statement("", call(f"{self._trial}.write", *arguments))

    def _call(self, planned: PlannedCall) -> Iterator[str]:
        items = [Item(Name(planned.task)), *planned.arguments]
        yield from self._statement(f"{self._result} = ", Group("(", items, ")", Text(f"{self._trial}.run")))
        yield from self._outcome(self._result, planned)

    def _together(self, calls: tuple[PlannedCall, ...]) -> Iterator[str]:
        nodes: list[Node] = [
            Group("(", planned.arguments, ")", Name(planned.task, ".bind"))
            if planned.arguments
            else Name(planned.task)
            for planned in calls
        ]
        yield from self._statement(f"{self._results} = ", call(f"{self._trial}.together", *nodes))
        for index, planned in enumerate(calls):
            yield from self._outcome(f"{self._results}[{index}]", planned)

    def _outcome(self, result: str, planned: PlannedCall) -> Iterator[str]:
        """What says that a call has ended as it did."""
        if planned.returned is not None:
            yield from self._equal(f"{result}.unwrap()", planned.returned)
            return
        error = planned.result.exception
        if planned.result.status == "cancel":
            yield f'    assert {result}.status == "cancel"'
        text = error_comparison(planned.result, self._plan.app.tasks)
        if text is None:
            yield from self._statement(
                f"assert type({result}.exception).__name__ == ", Text(text_of(type(error).__name__))
            )
        else:
            yield from self._statement(f"assert repr({result}.exception) == ", Text(text_of(text)))

    def _equal(self, left: str, value: Value) -> Iterator[str]:
        if isinstance(value, NotCompared):
            yield _comment(f"not compared: {value.what}")
            yield f"    {left}"
            return
        is_single = isinstance(value, Text) and value.text in _SINGLE
        yield from self._statement(f"assert {left} {'is' if is_single else '=='} ", value)

    def _state(self, step: PlannedStep) -> Iterator[str]:
        """What says that State has changed as it did, and nothing else."""
        for key, fields in step.changed.items():
            left = f"{self._trial}.state({text_of(str(key))})"
            nodes = {name: value for name, value in fields.items() if not isinstance(value, NotCompared)}
            if len(nodes) < len(fields):
                yield f"    {self._state_name} = {left}"
                left = self._state_name
            for field, value in fields.items():
                if isinstance(value, NotCompared):
                    yield _comment(f"not compared: {one_line(field)}, {value.what}")
                    yield f"    {left}.pop({text_of(field)})"
            yield from self._statement(f"assert {left} == ", _fields(nodes))
        names = collection("[", [Text(text_of(name)) for name in sorted(map(str, step.changed))], "]")
        yield from self._statement(f"assert {self._trial}.changed() == ", names)

    def _check(self, check: PlannedCheck) -> Iterator[str]:
        state = call(f"{self._trial}.state", Text(text_of(str(check.key))))
        for field, value in check.fields.items():
            name = text_of(field)
            if value is None or is_any(value):
                yield from self._statement(f"assert {name} {'not in' if value is None else 'in'} ", state)
            else:
                yield from self._equal(f"{self._layout.flat(state)}[{name}]", value)


def _fields(fields: Mapping[str, Node | None]) -> Group:
    """Fields as a dict; `ABSENT` for those that are removed."""
    items = [Item(Name(ABSENT) if node is None else node, Text(text_of(name))) for name, node in fields.items()]
    return Group("{", items, "}")


def _comment(text: str) -> str:
    room = WIDTH - 6  # the margin and the sign
    return f"    # {text if len(text) <= room else text[: room - 1] + '…'}"
