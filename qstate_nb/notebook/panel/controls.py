"""The controls that a value is filled in with, made from its annotation, and how they are read."""

from __future__ import annotations

import datetime
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import ipywidgets as widgets

from qstate_nb.app.task import annotation_text
from qstate_nb.core.formats import encodable, short
from qstate_nb.notebook.arguments import Given, literal
from qstate_nb.notebook.completion import choices

EMPTY = inspect.Parameter.empty
LONGEST = 10_000
_PLAIN = (str, int, bytes, bool)
_EXACT = 2**53  # up to here, a float holds every whole number

Made: TypeAlias = tuple[Any, Callable[[], Given | None]]
"""A control, and what reads it: None where it is empty."""


def control_for(parameter: inspect.Parameter) -> Made:
    """The control for a type, if the default fits it, or a text field, which takes anything."""
    if parameter.annotation is bool and (parameter.default is EMPTY or type(parameter.default) is bool):
        return _checkbox(parameter)
    if choices(parameter):
        return _dropdown(parameter)
    for kind, default_kinds, make in _MAKERS:
        if parameter.annotation is kind and _suits(parameter.default, default_kinds):
            return make(parameter)
    return text_control(parameter)


def _suits(default: Any, kinds: tuple[type, ...]) -> bool:
    """Tell whether a widget can show a default: in a browser, numbers are floats, and its times have no zone."""
    if type(default) in (int, float):
        return type(default) in kinds and abs(default) <= _EXACT
    if default is EMPTY:
        return EMPTY in kinds
    return type(default) in kinds and getattr(default, "tzinfo", None) is None


def _checkbox(parameter: inspect.Parameter) -> Made:
    box = widgets.Checkbox(value=parameter.default is True, indent=False)
    return box, lambda: Given(box.value)


def _dropdown(parameter: inspect.Parameter) -> Made:
    options: list[tuple[str, Given | None]] = [(text, Given(value)) for text, value in choices(parameter)]
    default = parameter.default
    same = [index for index, (_, given) in enumerate(options) if given and _is_same(given.value, default)]
    if not same and default is not EMPTY:
        options.insert(0, (short(default), None))
    labels = [(encodable(text), index) for index, (text, _) in enumerate(options)]
    menu = widgets.Dropdown(options=labels, value=same[0] if same else 0)
    return menu, lambda: options[menu.value][1]


def _is_same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and isinstance(value, _PLAIN) and value == default)


def _number(make: Callable[..., Any]) -> Callable[[inspect.Parameter], Made]:
    def control(parameter: inspect.Parameter) -> Made:
        box = make(value=parameter.default)
        return box, lambda: Given(box.value)

    return control


def _picker(make: Callable[..., Any]) -> Callable[[inspect.Parameter], Made]:
    def control(parameter: inspect.Parameter) -> Made:
        picker = make(value=None if parameter.default is EMPTY else parameter.default)
        return picker, lambda: None if picker.value is None else Given(picker.value)

    return control


def text_control(parameter: inspect.Parameter, make: Callable[..., Any] = widgets.Text) -> Made:
    """A text field; empty text leaves a value to its default, except for a str."""
    is_text = parameter.annotation is str
    default = parameter.default
    known = default is not EMPTY and default is not None
    is_exact = is_text and isinstance(default, str) and len(default) <= LONGEST and encodable(default) == default
    shown = "" if not known else default if is_exact else short(default, 200)
    box = make(value=shown, placeholder=wanted(parameter), continuous_update=False)

    def read() -> Given | None:
        text = box.value
        if is_text:
            return Given(text)
        return literal(text) if text else None

    return box, read


def wanted(parameter: inspect.Parameter, how: str = "") -> str:
    """What is to be filled in, as an empty field says it."""
    text = f"{annotation_text(parameter)}{how}"
    return encodable(text if parameter.default is not None else f"{text} (empty: None)".strip())


# The type, the types of the defaults that the widget can show, and the widget. A number that is required has a text
# field, as a field for numbers can't be empty.
_MAKERS: list[tuple[type, tuple[type, ...], Callable[[inspect.Parameter], Made]]] = [
    (int, (int,), _number(widgets.IntText)),
    (float, (int, float), _number(widgets.FloatText)),
    (datetime.date, (datetime.date, type(None), EMPTY), _picker(widgets.DatePicker)),
    (datetime.time, (datetime.time, type(None), EMPTY), _picker(widgets.TimePicker)),
    (datetime.datetime, (datetime.datetime, type(None), EMPTY), _picker(widgets.NaiveDatetimePicker)),
]
