"""Fields that are made of fields: a tick for what may be None, a framed form for a dataclass or Struct."""

from __future__ import annotations

import dataclasses
import inspect
import operator
import types
import typing
from collections.abc import Callable
from functools import reduce
from typing import Annotated, Any, TypeAlias, Union

import msgspec

from qstate_nb.core.formats import message
from qstate_nb.notebook.arguments import parts
from qstate_nb.notebook.panel.controls import EMPTY
from qstate_nb.notebook.panel.fields import Around, Field, Nothing, label_of
from qstate_nb.notebook.render import escape

Make: TypeAlias = Callable[[inspect.Parameter, Around], Field]

_DEEPEST = 3


class _MadeAnew:
    """Stands for a default that is another one each time."""

    def __repr__(self) -> str:
        return "made anew each time"


def without_none(annotation: Any) -> Any:
    """What a value can be that may also be None; `EMPTY` if it may not, or if it is a choice of more than one.

    Example:
        >>> without_none(int | None), without_none(int) is EMPTY
        (<class 'int'>, True)
    """
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        inner = without_none(annotation.__origin__)
        return inner if inner is EMPTY else Annotated[(inner, *annotation.__metadata__)]
    members = typing.get_args(annotation)
    if origin not in (Union, types.UnionType) or type(None) not in members:
        return EMPTY
    rest = tuple(member for member in members if member is not type(None))
    return rest[0] if len(rest) == 1 else reduce(operator.or_, rest)


class Maybe(Field):
    """A tick, and beside it, while it is set, the field of the value.

    Attributes:
        tick: the tick; without it, the value is None.
        inner: the field of the value.
    """

    def __init__(self, parameter: inspect.Parameter, around: Around, annotation: Any, make: Make) -> None:
        default = parameter.default
        self._was_set = default is not EMPTY and default is not None
        inner = parameter.replace(annotation=annotation, default=default if self._was_set else EMPTY)
        self.inner = make(inner, around)
        self.tick = around.looks.tick("", is_set=self._was_set)
        super().__init__(parameter, around, [self.tick, self.inner.box], [self.inner])
        self.box.add_class("qstate-maybe")
        self._show()
        self.tick.observe(self._changed, "value")

    def _show(self) -> None:
        is_set = self.tick.value
        self.tick.description = f"{label_of(self.parameter)} is {'set' if is_set else 'None'}"
        self.around.looks.show(self.inner.box, is_set)

    def _changed(self, _: object) -> None:
        self._show()
        self.around.changed()

    def read(self) -> Any:
        """See `Field`."""
        if self.tick.value:
            return self.inner.read()
        return Nothing.LEFT if self.parameter.default is None else None

    def typed(self) -> Any:
        """See `Field`."""
        typed = self.inner.typed()
        is_changed = typed is not None or self.tick.value is not self._was_set
        return (self.tick.value, typed) if is_changed else None

    def retype(self, typed: Any) -> None:
        """See `Field`."""
        if isinstance(typed, tuple):
            self.tick.value, inner = typed
            if inner is not None:
                self.inner.retype(inner)


class Group(Field):
    """The framed form of a dataclass or Struct.

    Args:
        cls: the class.
        shape: its parameters, as `shape_of` gives them.
    """

    def __init__(
        self, parameter: inspect.Parameter, around: Around, cls: type, shape: list[inspect.Parameter], make: Make
    ) -> None:
        self.cls = cls
        inside = dataclasses.replace(around, changed=self._changed, suggest=None, within=(*around.within, cls))
        fields = [make(self._with_default(each, parameter.default), inside) for each in shape]
        title = f"<div><b>{escape(label_of(parameter))}</b> <span>{escape(cls.__name__)}</span></div>"
        super().__init__(parameter, around, [around.looks.html(title), *(each.box for each in fields)], fields)
        self.box.add_class("qstate-subform")

    @staticmethod
    def _with_default(inner: inspect.Parameter, default: Any) -> inspect.Parameter:
        return inner if default is EMPTY else inner.replace(default=getattr(default, inner.name))

    def _changed(self) -> None:
        self.mark("")  # what was wrong with all of it may be right now
        self.around.changed()

    def read(self) -> Any:
        """See `Field`."""
        read = {each.parameter.name: each.read() for each in self.inside}
        default = self.parameter.default
        value, problem = Nothing.WRONG, ""
        if all(each is not Nothing.WRONG for each in read.values()):
            if default is not EMPTY and all(each is Nothing.LEFT for each in read.values()):
                value = Nothing.LEFT
            else:
                value, problem = self._made(read)
        self.mark(problem)
        return value

    def _made(self, read: dict[str, Any]) -> tuple[Any, str]:
        given = {name: value for name, value in read.items() if value is not Nothing.LEFT}
        try:
            if self.parameter.default is not EMPTY:
                given = {name: getattr(self.parameter.default, name) for name in read} | given
            return self.cls(**given), ""
        except Exception as error:  # the class's own check
            return Nothing.WRONG, f"{type(error).__name__}: {message(error)}"

    def typed(self) -> Any:
        """See `Field`."""
        typed = {each.parameter.name: each.typed() for each in self.inside}
        return {name: one for name, one in typed.items() if one is not None} or None

    def retype(self, typed: Any) -> None:
        """See `Field`."""
        for each in self.inside:
            if isinstance(typed, dict) and each.parameter.name in typed:
                each.retype(typed[each.parameter.name])


def class_of(parameter: inspect.Parameter) -> type | None:
    """The dataclass or Struct that a parameter wants, if its default is one, too."""
    members = list(parts(parameter.annotation))
    cls = members[0] if len(members) == 1 else None
    if not isinstance(cls, type) or not (dataclasses.is_dataclass(cls) or issubclass(cls, msgspec.Struct)):
        return None
    return cls if parameter.default is EMPTY or type(parameter.default) is cls else None


def shape_of(cls: type, around: Around) -> list[inspect.Parameter] | None:
    """The parameters of a dataclass or Struct; None if it can't have a form here: then JSON has to do."""
    if cls in around.within or len(around.within) >= _DEEPEST:
        return None
    try:  # another ``__init__`` than the generated one wants other things
        shape = _of_struct(cls) if issubclass(cls, msgspec.Struct) else _of_dataclass(cls)
        is_whole = {each.name for each in shape} == set(inspect.signature(cls).parameters)
    except Exception:  # an annotation of the class can't be evaluated, or its fields can't be asked for
        return None
    return shape if is_whole and around.room.take(len(shape)) else None


def _of_struct(cls: Any) -> list[inspect.Parameter]:
    absent = msgspec.NODEFAULT
    return [
        _parameter(
            each.name,
            each.type,
            EMPTY if each.default is absent else each.default,
            None if each.default_factory is absent else each.default_factory,
        )
        for each in msgspec.structs.fields(cls)
    ]


def _of_dataclass(cls: Any) -> list[inspect.Parameter]:
    absent = dataclasses.MISSING
    hints = typing.get_type_hints(cls, include_extras=True)
    return [
        _parameter(
            each.name,
            hints[each.name],
            EMPTY if each.default is absent else each.default,
            None if each.default_factory is absent else each.default_factory,
        )
        for each in dataclasses.fields(cls)
        if each.init
    ]


def _parameter(name: str, annotation: Any, default: Any, factory: Callable[[], Any] | None) -> inspect.Parameter:
    shown = default if factory is None else _made_by(factory)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=shown)


def _made_by(factory: Callable[[], Any]) -> Any:
    """What a ``default_factory`` makes, if that is always the same."""
    try:
        first, second = factory(), factory()
        return first if type(first) is type(second) and first == second else _MadeAnew()
    except Exception:  # it says so itself when the value is needed
        return _MadeAnew()
