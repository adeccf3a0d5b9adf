"""Values are values: what goes into a State is copied in, what comes out is a copy.

Containers (dict, list, set, frozenset, tuple, bytearray, deque, their subclasses, and dataclasses) are copied all
the way down; the keys of a dict are shared. So are immutable values, as nobody can tell the difference. Any other
object is kept *by reference*: State can hold it, but can't know when it changes; `is_by_reference` tells it, and
displays mark it.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import enum
import fractions
import pathlib
import uuid
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar, cast

from qstate_nb.errors import StateValueError

T = TypeVar("T")

IMMUTABLE: frozenset[type] = frozenset(
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
        StateValueError: the value contains itself, is nested too deeply, or holds an object that refuses a copy.

    Example:
        >>> inside = {"tags": ["new"]}
        >>> outside = copy_value(inside)
        >>> outside["tags"].append("vip")
        >>> inside
        {'tags': ['new']}
    """
    if type(value) in IMMUTABLE:
        return value
    try:
        return cast("T", _copy(value))
    except RecursionError:
        raise StateValueError(
            f"a {type(value).__name__} that contains itself, or is nested too deeply, can't be a value of a State"
        ) from None
    except Exception as error:  # how an instance of a user's class is copied is the user's code
        raise StateValueError(
            f"a {type(value).__name__} can't be a value of a State: copying it, or a part of it, failed with "
            f"{type(error).__name__}: {error}; store its data as a dict, or repair its class's copy.copy()"
        ) from error


def _copy(value: Any) -> Any:
    kind = type(value)
    if kind in IMMUTABLE:
        return value
    copier = _COPIERS.get(kind)
    if copier is not None:
        return copier(value)
    if _is_copied(kind) and not _is_unique(value):
        return _copy_instance(value, kind)
    return value


def _is_copied(kind: type) -> bool:
    return issubclass(kind, _CONTAINERS) or dataclasses.is_dataclass(kind)


def _is_unique(value: object) -> bool:
    """Tell whether it is an Enum's member or a tuple that C code made, such as a ``time.struct_time``."""
    return isinstance(value, enum.Enum) or hasattr(type(value), "n_sequence_fields")


def _copy_instance(value: Any, kind: type) -> Any:
    """Copy a dataclass, or an instance of a subclass of a container with the attributes that it adds."""
    if isinstance(value, tuple):
        new: Any = tuple.__new__(kind, map(_copy, value))
    elif isinstance(value, frozenset):
        new = frozenset.__new__(kind, map(_copy, value))
    else:
        new = copy.copy(value)  # with what the subclass adds, such as a default_factory
        for base, fill in _FILLERS.items():
            if isinstance(value, base):
                fill(new, value)
    if hasattr(value, "__dict__"):
        new.__dict__.update({name: _copy(item) for name, item in value.__dict__.items()})
    for name, item in _slot_fields(value).items():
        object.__setattr__(new, name, _copy(item))
    return new


def _slot_fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not in its ``__dict__``; one with init=False may not be set yet."""
    if not dataclasses.is_dataclass(value):
        return {}
    names = (field.name for field in dataclasses.fields(value))
    inside = getattr(value, "__dict__", ())
    return {name: getattr(value, name) for name in names if name not in inside and hasattr(value, name)}


_CONTAINERS = (dict, list, set, frozenset, tuple, bytearray, deque)

_COPIERS: dict[type, Callable[[Any], Any]] = {
    dict: lambda value: {key: _copy(item) for key, item in value.items()},
    list: lambda value: [_copy(item) for item in value],
    tuple: lambda value: tuple([_copy(item) for item in value]),
    set: lambda value: {_copy(item) for item in value},
    frozenset: lambda value: frozenset([_copy(item) for item in value]),
    bytearray: bytearray.copy,
    deque: lambda value: deque(map(_copy, value), value.maxlen),
}

# How the shallow copy of an instance of a subclass gets copies of its items, past what the subclass overrides.
_FILLERS: dict[type, Callable[[Any, Any], object]] = {
    dict: lambda new, old: dict.update(new, {key: _copy(item) for key, item in dict.items(old)}),
    list: lambda new, old: list.__setitem__(new, slice(None), [_copy(item) for item in list.__iter__(old)]),
    deque: lambda new, old: [deque.__setitem__(new, index, _copy(item)) for index, item in enumerate(old)],
    set: lambda new, old: (set.clear(new), set.update(new, map(_copy, set.__iter__(old)))),
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
    if kind in IMMUTABLE or isinstance(value, enum.Enum | bytearray):
        return False
    if not _is_copied(kind):
        return True
    parts = [*getattr(value, "__dict__", {}).values(), *_slot_fields(value).values()]
    if isinstance(value, dict):
        parts += [*value.keys(), *value.values()]
    elif isinstance(value, _CONTAINERS):
        parts += value
    return any(map(is_by_reference, parts))
