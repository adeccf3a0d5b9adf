"""Values as keys: equal keys for values that nobody can tell apart, whatever order they came in."""

from __future__ import annotations

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
    if isinstance(value, enum.Enum):
        return (cls, value.name)
    if isinstance(value, BaseException):
        return error_key(value)
    if id(value) in around:
        return ("around", len(around) - around.index(id(value)))
    around = (*around, id(value))
    content = _content(value, around)
    if content is None:
        return (cls, id(value))
    kind: Any = cls
    return (kind, *content, *_attributes(value, around))


def _content(value: Any, around: tuple[int, ...]) -> list[Hashable] | None:
    """What is in an object besides its attributes; None if it is only itself."""
    cls = type(value)
    if isinstance(value, dict):
        return [frozenset((_key(k, around), _key(v, around)) for k, v in dict.items(value))]
    if isinstance(value, set | frozenset):
        return [frozenset(_key(item, around) for item in value)]
    if isinstance(value, list | tuple | deque):
        return [_key(item, around) for item in value]
    if isinstance(value, bytearray):
        return [bytes(value)]
    if not _is_all_python(cls):  # such as a subclass of int, or a function
        return [value] if _compares(cls) else None
    is_bare = cls.__init__ is object.__init__ and not _slots(cls) and not getattr(value, "__dict__", {})
    return None if is_bare else []


def _is_all_python(cls: type) -> bool:
    """Whether all that an object is made of are attributes."""
    return all(base is object or base.__flags__ & _HEAP_TYPE for base in cls.__mro__) or hasattr(
        cls, "__struct_fields__"
    )


_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE


def _slots(cls: type) -> list[str]:
    found: list[str] = []
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        found += [slots] if isinstance(slots, str) else list(slots)
    return [name for name in found if name not in ("__weakref__", "__dict__")]


def _attributes(value: Any, around: tuple[int, ...]) -> list[Hashable]:
    named = dict(getattr(value, "__dict__", {}))
    names = [*_slots(type(value)), *getattr(value, "__struct_fields__", ())]
    named |= {name: getattr(value, name) for name in names if hasattr(value, name)}
    return [(name, _key(named[name], around)) for name in sorted(named)]


def _compares(cls: type) -> bool:
    """Whether objects of a class are compared by value, and can be keys."""
    return cls.__eq__ is not object.__eq__ and cls.__hash__ is not None  # type: ignore[comparison-overlap]


def text_of(key: Hashable) -> str:
    """A key as text that is the same in every process, as far as that can be.

    Example:
        >>> text_of(canonical({"b": {2, 1}, "a": None}))
        "(dict, [((str, 'a'), (NoneType, None)), ((str, 'b'), (set, [(int, 1), (int, 2)]))])"
    """
    if isinstance(key, frozenset):
        return f"[{', '.join(sorted(map(text_of, key)))}]"
    if isinstance(key, tuple):
        if len(key) == 2 and isinstance(key[0], type) and isinstance(key[1], int) and key[0] not in (int, bool):
            return f"({key[0].__qualname__})"  # an identity
        return f"({', '.join(map(text_of, key))})"
    return key.__qualname__ if isinstance(key, type) else repr(key)


def error_key(error: BaseException) -> Hashable:
    """A key of an exception: its class and what it says; of a deadlock, who was in it."""
    if isinstance(error, DeadlockError):
        return (type(error), error.cycle)
    try:
        return (type(error), str(error))
    except Exception:  # a user's class can do anything
        return (type(error), "")
