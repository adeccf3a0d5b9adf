"""The ops: pure functions of a bucket's fields.

A reading op gives its result. A writing op gives its result and what it changes, as a tuple of
``(field, before, after)`` with `ABSENT` for a field that is not there. Ops never change ``fields`` and never wait,
so a store can run them under its lock. An op's name in the journal is its function's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from qstate_nb.core.journal import ABSENT, StoredChange

Fields: TypeAlias = Mapping[str, Any]
Read: TypeAlias = Callable[..., Any]
Outcome: TypeAlias = tuple[Any, tuple[StoredChange, ...]]
Write: TypeAlias = Callable[..., Outcome]


def get(fields: Fields, key: str) -> Any:
    """The value of *key*, or `ABSENT`."""
    return fields.get(key, ABSENT)


def get_all(fields: Fields) -> dict[str, Any]:
    """All fields, in the order in which they were first set."""
    return dict(fields)


def set_(fields: Fields, key: str, value: Any) -> Outcome:
    """Give *key* a value."""
    return None, ((key, fields.get(key, ABSENT), value),)


def update(fields: Fields, values: Mapping[str, Any]) -> Outcome:
    """Give several keys a value at once; the result is all fields as they are then."""
    changes = tuple((key, fields.get(key, ABSENT), value) for key, value in values.items())
    return {**fields, **values}, changes


def delete(fields: Fields, key: str) -> Outcome:
    """Remove *key* if it is there."""
    return None, ((key, fields[key], ABSENT),) if key in fields else ()


def clear(fields: Fields) -> Outcome:
    """Remove all fields."""
    return None, tuple((key, before, ABSENT) for key, before in fields.items())
