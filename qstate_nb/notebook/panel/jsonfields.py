"""Fields for lists, dicts, tuples and sets: their JSON as text."""

from __future__ import annotations

import collections.abc
import inspect
import json
import typing
from typing import Any

import ipywidgets as widgets
import msgspec

from qstate_nb.core.formats import message, short
from qstate_nb.errors import ArgumentError
from qstate_nb.notebook.arguments import Given, convert, literal, parts
from qstate_nb.notebook.panel.controls import EMPTY, LONGEST, Made, wanted
from qstate_nb.notebook.panel.pool import AUTO, Looks

_ABC = collections.abc
_DICTS = (dict, _ABC.Mapping, _ABC.MutableMapping)
_LISTS = (
    list,
    tuple,
    set,
    frozenset,
    _ABC.Sequence,
    _ABC.MutableSequence,
    _ABC.Set,
    _ABC.MutableSet,
    _ABC.Collection,
)
_GIVEN_AS_LIST = (list, tuple, set, frozenset)
_WIDE, _LINES = 60, 8


def is_container(annotation: Any) -> bool:
    """Tell whether an annotation is one of list, dict, tuple, set and their like, with or without parameters."""
    return _is_dict(annotation) or any(_origin(annotation) is kind for kind in _LISTS)


def _is_dict(annotation: Any) -> bool:
    origin = _origin(annotation)
    return any(origin is kind for kind in _DICTS) or typing.is_typeddict(origin)


def _origin(annotation: Any) -> Any:
    members = list(parts(annotation))
    return (typing.get_origin(members[0]) or members[0]) if len(members) == 1 else None


def json_control(looks: Looks, parameter: inspect.Parameter) -> Made:
    """A text area for JSON; a Python literal will do as well. Empty text is no value."""
    is_list = is_container(parameter.annotation) and not _is_dict(parameter.annotation)
    text = _text_of(parameter)
    area = looks.make(
        widgets.Textarea,
        value=text,
        placeholder=wanted(parameter, " as JSON"),
        continuous_update=False,
        rows=min(max(text.count("\n") + 1, 2), _LINES),
        layout=AUTO,
    )

    def read() -> Given | None:
        if not area.value.strip():
            return None
        value = parsed(area.value)
        if not isinstance(value, _GIVEN_AS_LIST if is_list else dict):
            raise ArgumentError(f"{short(value)} is no {_kind(is_list)}")
        return Given(value)

    return area, read


def _kind(is_list: bool) -> str:
    return "list, such as [1, 2]" if is_list else 'object, such as {"a": 1}'


def parsed(text: str) -> Any:
    """The value that JSON means, or a Python literal.

    Raises:
        ArgumentError: it is neither; it says where it isn't JSON.

    Example:
        >>> parsed('[true, "a"]'), parsed("{'a': (1, None)}")
        ([True, 'a'], {'a': (1, None)})
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ArgumentError("this is nested too deeply") from None
    except json.JSONDecodeError as error:
        given = literal(text.strip())
        if isinstance(given.value, str):
            where = f"line {error.lineno}, column {error.colno}"
            raise ArgumentError(f"this is no JSON at {where}: {error.msg}") from None
        return given.value
    except ValueError as error:  # a number with too many digits
        raise ArgumentError(message(error)) from None


def _text_of(parameter: inspect.Parameter) -> str:
    """A default as text: as JSON if that means exactly the same."""
    default = parameter.default
    if default is EMPTY or default is None:
        return ""
    try:
        plain = msgspec.to_builtins(default) if len(default) <= LONGEST else object()
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
        text = text if len(text) <= _WIDE else json.dumps(plain, ensure_ascii=False, indent=2)
        text.encode()  # half characters can't be sent
        same = convert(parameter, Given(json.loads(text)), "")
        is_same = type(same) is type(default) and repr(same) == repr(default)
    except Exception:  # a user's class can do anything
        is_same = False
    return text if is_same and len(text) <= LONGEST else short(default, 200)
