"""A form for a task: a field for each parameter, made from its annotation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets as widgets

from qstate_nb.app import Task
from qstate_nb.app.task import annotation_text
from qstate_nb.core.inject import VARIADIC
from qstate_nb.core.keys import ScopeId
from qstate_nb.notebook.completion import choices
from qstate_nb.notebook.panel.controls import EMPTY, control_for, text_control
from qstate_nb.notebook.panel.fields import Around, Field, Nothing, Room, Scope, Simple, Suggest
from qstate_nb.notebook.panel.jsonfields import is_container, json_control
from qstate_nb.notebook.panel.pool import Looks
from qstate_nb.notebook.panel.scopes import scoped_by
from qstate_nb.notebook.panel.subforms import Group, Maybe, class_of, shape_of, without_none

Typed = Mapping[str, tuple[str, Any]]
"""Parameter name → its annotation as text, and what was filled in."""


def field_for(parameter: inspect.Parameter, around: Around) -> Field:
    """The field of a parameter."""
    if choices(parameter):
        return Simple(parameter, around, control_for(around.looks, parameter))
    rest = without_none(parameter.annotation)
    if rest is not EMPTY:
        return Maybe(parameter, around, rest, field_for)
    cls = class_of(parameter)
    if cls is not None:
        shape = shape_of(cls, around)
        if shape is not None:
            return Group(parameter, around, cls, shape, field_for)
    if cls is not None or is_container(parameter.annotation):
        return Simple(parameter, around, json_control(around.looks, parameter))
    if around.suggest is not None:
        return Scope(parameter, around, text_control(around.looks, parameter, widgets.Combobox))
    return Simple(parameter, around, control_for(around.looks, parameter))


class Form:
    """The fields of a task; ``*args`` and ``**kwargs`` have none.

    Args:
        looks: makes the widgets.
        task: the task.
        scopes: gives the scopes of the State of a name, for parameters that are scopes.
        changed: is called when something else is filled in.

    Attributes:
        box: the form's widget.
        has_scopes: whether there is a field that is a scope.
        wrong: the parameters whose fields were wrong at the last `read`.
    """

    def __init__(
        self,
        looks: Looks,
        task: Task,
        scopes: Callable[[str], Sequence[ScopeId]] = lambda _: (),
        changed: Callable[[], object] = lambda: None,
    ) -> None:
        self.task = task
        self._scopes = scopes
        self.wrong: list[str] = []
        self.has_scopes = any(scoped_by(task, each.name) for each in task.parameters)
        room = Room()
        self.fields = [
            field_for(each, Around(task.name, changed, self._suggest(each.name), room=room, looks=looks))
            for each in task.parameters
            if each.kind not in VARIADIC
        ]
        self.box = looks.column([each.box for each in self.fields], "qstate-form")

    def _suggest(self, parameter: str) -> Suggest | None:
        states = scoped_by(self.task, parameter)
        return partial(self._scopes_of, states) if states else None

    def _scopes_of(self, states: list[str]) -> Sequence[ScopeId]:
        return (
            self._scopes(states[0]) if len(states) == 1 else [each for name in states for each in self._scopes(name)]
        )

    def read(self) -> dict[str, Any] | None:
        """The converted values by parameter name, without those that are left to their defaults.

        None if something is wrong; it is shown at each field where it is.
        """
        read = {each.parameter.name: each.read() for each in self.fields}
        self.wrong = [name for name, value in read.items() if value is Nothing.WRONG]
        return None if self.wrong else {name: value for name, value in read.items() if value is not Nothing.LEFT}

    def refresh(self) -> None:
        """Bring the suggested scopes up to date."""
        for each in self.fields:
            each.refresh()

    def typed(self) -> Typed:
        """What was filled in, for `retype` of another form."""
        typed = {each.parameter.name: (annotation_text(each.parameter), each.typed()) for each in self.fields}
        return {name: one for name, one in typed.items() if one[1] is not None}

    def retype(self, typed: Typed) -> None:
        """Fill in what was filled in elsewhere, where parameters have the same name and annotation."""
        for each in self.fields:
            annotation, value = typed.get(each.parameter.name, ("", None))
            if value is not None and annotation == annotation_text(each.parameter):
                each.retype(value)
