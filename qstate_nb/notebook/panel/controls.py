"""The controls that a value is filled in with, made from its annotation, and how they are read."""

from __future__ import annotations

import datetime
import inspect
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import ipywidgets as widgets

from qstate_nb.app.task import annotation_text
from qstate_nb.core.formats import encodable, short
from qstate_nb.errors import ArgumentError
from qstate_nb.notebook.arguments import Given, literal
from qstate_nb.notebook.completion import choices
from qstate_nb.notebook.panel.pool import AUTO, Looks

EMPTY = inspect.Parameter.empty
LONGEST = 10_000
_PLAIN = (str, int, bytes, bool)

Made: TypeAlias = tuple[Any, Callable[[], Given | None]]
"""A control, and what reads it: None where it is empty."""


def control_for(looks: Looks, parameter: inspect.Parameter) -> Made:
    """The control for a type, if the default fits it, or a text field, which takes anything."""
    if parameter.annotation is bool and (parameter.default is EMPTY or type(parameter.default) is bool):
        return _checkbox(looks, parameter)
    if choices(parameter):
        return _dropdown(looks, parameter)
    for kind, make in _PICKERS:
        if parameter.annotation is kind and _can_pick(kind, parameter.default):
            return _picker(looks, parameter, make)
    return text_control(looks, parameter)


def _can_pick(kind: type, default: Any) -> bool:
    """Tell whether a picker can show a default: its times have no zone."""
    if default is EMPTY or default is None:
        return True
    return type(default) is kind and getattr(default, "tzinfo", None) is None


def _checkbox(looks: Looks, parameter: inspect.Parameter) -> Made:
    box = looks.tick("", is_set=parameter.default is True)
    return box, lambda: Given(box.value)


def _dropdown(looks: Looks, parameter: inspect.Parameter) -> Made:
    options: list[tuple[str, Given | None]] = [(text, Given(value)) for text, value in choices(parameter)]
    default = parameter.default
    same = [index for index, (_, given) in enumerate(options) if given and _is_same(given.value, default)]
    if not same and default is not EMPTY:
        options.insert(0, (short(default), None))
    labels = [(encodable(text), index) for index, (text, _) in enumerate(options)]
    menu = looks.make(widgets.Dropdown, options=labels, value=same[0] if same else 0, layout=AUTO)
    return menu, lambda: options[menu.value][1]


def _is_same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and isinstance(value, _PLAIN) and value == default)


def _picker(looks: Looks, parameter: inspect.Parameter, kind: type) -> Made:
    picker = looks.make(kind, value=None if parameter.default is EMPTY else parameter.default, layout=AUTO)
    return picker, lambda: None if picker.value is None else Given(picker.value)


def text_control(looks: Looks, parameter: inspect.Parameter, kind: type = widgets.Text) -> Made:
    """A text field; also for numbers, as a browser's fields for these drop and round what is typed.

    Empty text is no value, except for a str.
    """
    is_text = parameter.annotation is str
    default = parameter.default
    known = default is not EMPTY and default is not None
    is_exact = is_text and isinstance(default, str) and len(default) <= LONGEST and encodable(default) == default
    shown = "" if not known else default if is_exact else short(default, 200)
    box = looks.make(kind, value=shown, placeholder=wanted(parameter), continuous_update=False, layout=AUTO)

    def read() -> Given | None:
        text = box.value
        if is_text:
            return Given(text)
        return _number_or_text(text) if text else None

    return box, read


def _number_or_text(text: str) -> Given:
    given = literal(text)
    if isinstance(given.value, float) and math.isinf(given.value):
        raise ArgumentError(f"{short(text)} is more than a float can hold")
    return given


def wanted(parameter: inspect.Parameter, how: str = "") -> str:
    """What is to be filled in, as an empty field says it."""
    text = f"{annotation_text(parameter)}{how}"
    return encodable(text if parameter.default is not None else f"{text} (empty: None)".strip())


_PICKERS: list[tuple[type, type]] = [
    (datetime.date, widgets.DatePicker),
    (datetime.time, widgets.TimePicker),
    (datetime.datetime, widgets.NaiveDatetimePicker),
]
