"""A field for each parameter of a task, made from its annotation."""

from __future__ import annotations

import datetime
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from qstate_nb.app.task import annotation_text
from qstate_nb.core.formats import encodable, short
from qstate_nb.core.inject import VARIADIC
from qstate_nb.notebook.arguments import Given, literal
from qstate_nb.notebook.completion import choices

_EMPTY = inspect.Parameter.empty
_PLAIN = (str, int, bytes, bool)
_EXACT = 2**53  # up to here, a float holds every whole number
_LONGEST = 10_000


class Field:
    """One parameter's field.

    Args:
        parameter: the parameter.

    Attributes:
        widget: what is filled in.
    """

    def __init__(self, parameter: inspect.Parameter) -> None:
        self.parameter = parameter
        self.widget, self._read = _maker(parameter)(parameter)
        self.widget.description = parameter.name
        self.widget.style.description_width = "30%"
        self.widget.layout.width = "auto"

    def read(self) -> Given | None:
        """What was filled in, or None to leave the parameter to its default."""
        return self._read()


Made: typing.TypeAlias = "tuple[Any, Callable[[], Given | None]]"


def fields_for(parameters: Sequence[inspect.Parameter]) -> list[Field]:
    """The fields of a form; ``*args`` and ``**kwargs`` have none."""
    return [Field(parameter) for parameter in parameters if parameter.kind not in VARIADIC]


def _maker(parameter: inspect.Parameter) -> Callable[[inspect.Parameter], Made]:
    """What makes the field: a widget for the type, if the default fits it, or a text field, which takes anything."""
    if parameter.annotation is bool and (parameter.default is _EMPTY or type(parameter.default) is bool):
        return _checkbox
    if choices(parameter):
        return _dropdown
    for kind, default_kinds, make in _MAKERS:
        if parameter.annotation is kind and _suits(parameter.default, default_kinds):
            return make
    return _text


def _suits(default: Any, kinds: tuple[type, ...]) -> bool:
    """Tell whether a widget can show a default: in a browser, numbers are floats, and its times have no zone."""
    if type(default) in (int, float):
        return type(default) in kinds and abs(default) <= _EXACT
    if default is _EMPTY:
        return _EMPTY in kinds
    return type(default) in kinds and getattr(default, "tzinfo", None) is None


def _checkbox(parameter: inspect.Parameter) -> Made:
    box = widgets.Checkbox(value=parameter.default is True, indent=True)
    return box, lambda: Given(box.value)


def _dropdown(parameter: inspect.Parameter) -> Made:
    options: list[tuple[str, Given | None]] = [(text, Given(value)) for text, value in choices(parameter)]
    default = parameter.default
    same = [index for index, (_, given) in enumerate(options) if given and _is_same(given.value, default)]
    if not same and default is not _EMPTY:
        options.insert(0, (short(default), None))
    labels = [(encodable(text), index) for index, (text, _) in enumerate(options)]
    menu = widgets.Dropdown(options=labels, value=same[0] if same else 0)
    return menu, lambda: options[menu.value][1]


def _is_same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and isinstance(value, _PLAIN) and value == default)


def _number(make: Callable[..., Any]) -> Callable[[inspect.Parameter], Made]:
    def field(parameter: inspect.Parameter) -> Made:
        box = make(value=parameter.default)
        return box, lambda: Given(box.value)

    return field


def _picker(make: Callable[..., Any]) -> Callable[[inspect.Parameter], Made]:
    def field(parameter: inspect.Parameter) -> Made:
        picker = make(value=None if parameter.default is _EMPTY else parameter.default)
        return picker, lambda: None if picker.value is None else Given(picker.value)

    return field


def _text(parameter: inspect.Parameter) -> Made:
    """A text field; what is left as it was is the default, and so is empty text, except for a str."""
    is_text = parameter.annotation is str
    default = parameter.default
    known = default is not _EMPTY and default is not None
    is_exact = is_text and isinstance(default, str) and len(default) <= _LONGEST and encodable(default) == default
    shown = "" if not known else default if is_exact else short(default, 200)
    box = widgets.Text(value=shown, placeholder=_placeholder(parameter), continuous_update=False)

    def read() -> Given | None:
        text = box.value
        if default is not _EMPTY and (text == shown or not (text or is_text)):
            return None
        if is_text:
            return Given(text)
        return literal(text) if text else None

    return box, read


def _placeholder(parameter: inspect.Parameter) -> str:
    wanted = annotation_text(parameter)
    return wanted if parameter.default is not None else f"{wanted} (empty: None)".strip()


# The type, the types of the defaults that the widget can show, and the widget. A number that is required has a text
# field, as a field for numbers can't be empty.
_MAKERS: list[tuple[type, tuple[type, ...], Callable[[inspect.Parameter], Made]]] = [
    (int, (int,), _number(widgets.IntText)),
    (float, (int, float), _number(widgets.FloatText)),
    (datetime.date, (datetime.date, type(None), _EMPTY), _picker(widgets.DatePicker)),
    (datetime.datetime, (datetime.datetime, type(None), _EMPTY), _picker(widgets.NaiveDatetimePicker)),
]
