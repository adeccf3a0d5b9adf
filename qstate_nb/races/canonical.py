"""Values as keys: equal keys for values that nobody can tell apart, whatever order they came in."""

from __future__ import annotations

import dataclasses
import enum
from collections import deque
from collections.abc import Hashable
from typing import Any

from qstate_nb.core.values import IMMUTABLE
from qstate_nb.errors import DeadlockError


def canonical(value: Any) -> Hashable:
    """A key of a value, by type and value: of a dict without its order, of any other object by its attributes.

    Example:
        >>> canonical({"a": 1, "b": [2]}) == canonical({"b": [2], "a": 1})
        True
        >>> canonical(1) == canonical(True) or canonical(1) == canonical(1.0)
        False
    """
    try:
        return _key(value, ())
    except RecursionError:
        return (type(value), "nested too deeply")


def _key(value: Any, around: tuple[int, ...]) -> Hashable:
    cls = type(value)
    if cls in IMMUTABLE:
        return (float, "nan") if value != value else (cls, value)  # noqa: PLR0124
    if id(value) in around:
        return ("around", len(around) - around.index(id(value)))
    around = (*around, id(value))
    if isinstance(value, enum.Enum):
        return (cls, value.name)
    if isinstance(value, BaseException):
        return error_key(value)
    parts: list[Any] = [cls]
    if isinstance(value, dict):
        parts.append(frozenset((_key(k, around), _key(v, around)) for k, v in dict.items(value)))
    elif isinstance(value, set | frozenset):
        parts.append(frozenset(_key(item, around) for item in value))
    elif isinstance(value, list | tuple | deque):
        parts.extend(_key(item, around) for item in value)
    elif isinstance(value, bytearray | str | int | float | bytes):
        parts.append(bytes(value) if isinstance(value, bytearray) else value)
    elif not _has_parts(value):
        return (cls, value) if _compares(cls) else (cls, id(value))
    parts.extend(_attributes(value, around))
    return tuple(parts)


def _has_parts(value: Any) -> bool:
    return hasattr(value, "__dict__") or hasattr(value, "__struct_fields__") or dataclasses.is_dataclass(value)


def _attributes(value: Any, around: tuple[int, ...]) -> list[Hashable]:
    named = dict(getattr(value, "__dict__", {}))
    if dataclasses.is_dataclass(value):
        named |= {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if hasattr(value, f.name)}
    named |= {name: getattr(value, name) for name in getattr(value, "__struct_fields__", ())}
    return [(name, _key(named[name], around)) for name in sorted(named)]


def _compares(cls: type) -> bool:
    """Whether objects of a class are compared by value, and can be keys."""
    return cls.__eq__ is not object.__eq__ and cls.__hash__ is not None  # type: ignore[comparison-overlap]


def error_key(error: BaseException) -> Hashable:
    """A key of an exception: its class and what it says; of a deadlock, who was in it."""
    if isinstance(error, DeadlockError):
        return (type(error), error.cycle)
    try:
        return (type(error), str(error))
    except Exception:  # a user's class can do anything
        return (type(error), "")
