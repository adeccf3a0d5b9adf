"""Values are values: what goes into a State is copied in, what comes out is a copy.

Containers (dict, list, set, tuple, bytearray, deque, their subclasses, and dataclasses) are copied all the way
down. Immutable values are shared, as nobody can tell the difference. Any other object is kept *by reference*:
State can hold it, but can't know when it changes; `is_by_reference` tells it, and displays mark it.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import enum
import fractions
import pathlib
import types
import uuid
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar, cast

from qstate_nb.errors import StateValueError

T = TypeVar("T")

_IMMUTABLE: frozenset[type] = frozenset(
    {
        *(type(None), bool, int, float, complex, str, bytes, range, type(...), type(NotImplemented)),
        *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone),
        *(Decimal, fractions.Fraction, uuid.UUID),
        *(pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath),
    }
)


def copy_value(value: T) -> T:
    """Copy containers all the way down and leave everything else as it is.

    Raises:
        StateValueError: the value contains itself or is nested too deeply.

    Example:
        >>> inside = {"tags": ["new"]}
        >>> outside = copy_value(inside)
        >>> outside["tags"].append("vip")
        >>> inside
        {'tags': ['new']}
    """
    if type(value) in _IMMUTABLE:
        return value
    try:
        return cast("T", _copy(value))
    except RecursionError:
        raise StateValueError(
            f"a {type(value).__name__} that contains itself, or is nested too deeply, can't be a value of a State"
        ) from None


def _copy(value: Any) -> Any:
    kind = type(value)
    if kind in _IMMUTABLE:
        return value
    copier = _COPIERS.get(kind)
    if copier is not None:
        return copier(value)
    if dataclasses.is_dataclass(kind):
        return _copy_dataclass(value)
    for base, fill in _FILLERS.items():
        if isinstance(value, base):
            new = copy.copy(value)  # with what the subclass adds, such as a default_factory
            fill(new, value)
            return new
    return tuple.__new__(kind, map(_copy, value)) if isinstance(value, tuple) else value


def _copy_dataclass(value: Any) -> Any:
    new = copy.copy(value)
    for field in dataclasses.fields(value):
        if hasattr(value, field.name):  # a field with init=False may not be set yet
            object.__setattr__(new, field.name, _copy(getattr(value, field.name)))
    return new


_COPIERS: dict[type, Callable[[Any], Any]] = {
    dict: lambda value: {key: _copy(item) for key, item in value.items()},
    list: lambda value: [_copy(item) for item in value],
    tuple: lambda value: tuple([_copy(item) for item in value]),
    set: set.copy,
    bytearray: bytearray.copy,
    deque: lambda value: deque(map(_copy, value), value.maxlen),
}

# How the shallow copy of an instance of a subclass gets copies of its items, past what the subclass overrides.
_FILLERS: dict[type, Callable[[Any, Any], object]] = {
    dict: lambda new, old: dict.update(new, {key: _copy(item) for key, item in old.items()}),
    list: lambda new, old: list.__setitem__(new, slice(None), [_copy(item) for item in old]),
    deque: lambda new, old: [deque.__setitem__(new, index, _copy(item)) for index, item in enumerate(old)],
    set: set.update,
    bytearray: lambda new, old: bytearray.__setitem__(new, slice(None), old),
}


def is_by_reference(value: object) -> bool:
    """Tell whether a change of the object behind *value* would escape the State's notice.

    Example:
        >>> is_by_reference({"when": datetime.date(2026, 1, 2), "tags": {"a", "b"}})
        False
        >>> is_by_reference([object()])
        True
    """
    kind = type(value)
    if kind in _IMMUTABLE or isinstance(value, enum.Enum | bytearray):
        return False
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        return any(is_by_reference(getattr(value, name, None)) for name in names)
    if isinstance(value, dict | types.MappingProxyType):
        return any(is_by_reference(part) for item in value.items() for part in item)
    if isinstance(value, list | tuple | set | frozenset | deque):
        return any(map(is_by_reference, value))
    return True
