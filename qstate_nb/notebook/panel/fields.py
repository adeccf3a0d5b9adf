"""The fields of a form: a control for one value, and below it what is wrong with what was filled in."""

from __future__ import annotations

import abc
import enum
import inspect
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import ipywidgets as widgets

from qstate_nb.app.task import annotation_text
from qstate_nb.core.formats import encodable, message, printable, short_text
from qstate_nb.core.keys import ScopeId
from qstate_nb.errors import ArgumentError
from qstate_nb.notebook.arguments import convert, literal
from qstate_nb.notebook.panel.controls import EMPTY, Made
from qstate_nb.notebook.panel.parts import change, problem_html
from qstate_nb.notebook.panel.pool import Looks

_MOST_NESTED = 100


class Nothing(enum.Enum):
    """What a field gives where it gives no value."""

    LEFT = "the value is left to its default"
    WRONG = "what was filled in is wrong, and the field says so"


Suggest: TypeAlias = Callable[[], Sequence[ScopeId]]


@dataclass
class Room:
    """How many more fields may be made in sub-forms."""

    left: int = _MOST_NESTED

    def take(self, number: int) -> bool:
        """Take room for so many fields, if there is enough."""
        if number > self.left:
            return False
        self.left -= number
        return True


@dataclass(frozen=True)
class Around:
    """Where a field is.

    Args:
        task: the task's name.
        changed: is called when something else is filled in.
        suggest: gives the scopes that the value can be; None where it is no scope.
        within: the classes of the sub-forms around it.
        room: for all sub-forms of a form.
        looks: makes the widgets.
    """

    task: str
    changed: Callable[[], object]
    suggest: Suggest | None = None
    within: tuple[type, ...] = ()
    room: Room = field(default_factory=Room)
    looks: Looks = field(default_factory=Looks)


class Field(abc.ABC):
    """The field of one value.

    Args:
        parameter: what the value is for.
        around: where it is.
        parts: its widgets.
        inside: the fields that it is made of.

    Attributes:
        box: the field's widget.
        problem: what is wrong, as it is shown, or empty.
    """

    def __init__(
        self, parameter: inspect.Parameter, around: Around, parts: Sequence[Any], inside: Sequence[Field] = ()
    ) -> None:
        self.parameter = parameter
        self.inside = inside
        self.around = around
        self.problem = ""
        self.box = around.looks.column(parts, "qstate-field")
        self._told: Any = None  # is made when it is needed, which is seldom
        self._marking = threading.Lock()

    @property
    def is_required(self) -> bool:
        """Whether there is no default."""
        return self.parameter.default is EMPTY

    @abc.abstractmethod
    def read(self) -> Any:
        """The converted value, or a `Nothing`; what is wrong is shown from then on, until it is right."""

    @abc.abstractmethod
    def typed(self) -> Any:
        """What was filled in, for `retype` of a field like this; None if it is as it was at first."""

    @abc.abstractmethod
    def retype(self, typed: Any) -> None:
        """Fill in what was filled in elsewhere, as far as it can be."""

    def refresh(self) -> None:
        """Bring the suggestions up to date."""
        for each in self.inside:
            each.refresh()

    def mark(self, problem: str) -> None:
        """Show what is wrong; if that is empty, nothing is."""
        with self._marking:
            if problem == self.problem:
                return
            self.problem = problem
            if self._told is None:
                self._told = self.around.looks.html(css="qstate-told")
            self._told.value = problem_html(problem) if problem else ""
            self.around.looks.show(self._told, bool(problem))
            if self._told not in self.box.children:
                self.box.children = (*self.box.children, self._told)
            (self.box.add_class if problem else self.box.remove_class)("qstate-invalid")


def label_of(parameter: inspect.Parameter) -> str:
    """How a parameter is called where it is filled in."""
    return printable(parameter.name, 60)


class Simple(Field):
    """A field with one control.

    Args:
        made: the control, and what reads it.

    Attributes:
        control: the widget that is filled in.
    """

    def __init__(self, parameter: inspect.Parameter, around: Around, made: Made) -> None:
        self.control, self._given = made
        self.control.description = label_of(parameter)
        self.control.tooltip = encodable(short_text(f"{parameter.name}: {annotation_text(parameter)}"))
        super().__init__(parameter, around, [self.control])
        self._shown = self.control.value
        self.control.observe(self._changed, "value")

    def _changed(self, _: object) -> None:
        self.read()
        self.around.changed()

    def read(self) -> Any:
        """See `Field`."""
        is_left = not self.is_required and self.control.value == self._shown
        value, problem = (Nothing.LEFT, "") if is_left else self._converted()
        self.mark(problem)
        return value

    def _converted(self) -> tuple[Any, str]:
        try:
            given = self._given()
            if given is None:
                is_none = self.parameter.default is None
                return (Nothing.LEFT, "") if is_none else (Nothing.WRONG, "needs a value")
            return convert(self.parameter, given, self.around.task), ""
        except ArgumentError as error:
            return Nothing.WRONG, str(error).removeprefix(self._prefix)
        except Exception as error:  # of a user's class
            return Nothing.WRONG, f"{type(error).__name__}: {message(error)}"

    @property
    def _prefix(self) -> str:
        """What a message begins with that is clear at the field."""
        wanted = f"{self.parameter.name}: {annotation_text(self.parameter)}"
        return f"task {self.around.task!r}, parameter {wanted!r}: "

    def typed(self) -> Any:
        """See `Field`."""
        if self.control.value == self._shown:
            return None
        return self.control.label if isinstance(self.control, widgets.Dropdown) else self.control.value

    def retype(self, typed: Any) -> None:
        """See `Field`."""
        control = self.control
        if isinstance(control, widgets.Dropdown):
            if typed in control._options_labels:
                control.index = control._options_labels.index(typed)
        elif type(typed) is type(self._shown) or self._shown is None:
            control.value = typed


class Scope(Simple):
    """A text field that suggests the scopes that there are."""

    _known: Sequence[ScopeId] = ()

    def refresh(self) -> None:
        """See `Field`."""
        assert self.around.suggest is not None
        known = self.around.suggest()
        if known != self._known:
            self._known = known
            texts = dict.fromkeys(filter(None, map(self._written, known)))
            change(self.control, "options", tuple(texts))

    def _written(self, scope: ScopeId) -> str | None:
        """What to type to get a scope; None where nothing gives it."""
        if self.parameter.annotation is str:
            is_typed = isinstance(scope, str) and scope.isprintable()
            return encodable(str(scope)) if is_typed else None
        for text in (str(scope), repr(scope)):
            try:
                value = convert(self.parameter, literal(text), self.around.task)
            except ArgumentError:
                continue
            if type(value) is type(scope) and value == scope and text.isprintable():
                return text
        return None
