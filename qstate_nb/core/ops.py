"""The ops: pure functions of a bucket's fields.

An op gives its result and what it changes, as a tuple of ``(field, after)`` with `ABSENT` for a field that is
removed. Ops never change ``fields`` and never wait, so a store can run them under its lock. An op's name in the
journal is its function's name. The results may be stored values, to be copied before they are handed out.

``fields`` has what is stored. What a State class declares comes as ``rules``: the defaults of its fields, and the
check of a value before it is stored.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, TypeAlias

from qstate_nb.core.formats import short
from qstate_nb.core.journal import ABSENT
from qstate_nb.core.keys import StateKey
from qstate_nb.core.values import copy_value
from qstate_nb.errors import FieldTypeError


class Fields(Protocol):
    """The fields of a bucket, as a dict has them."""

    def get(self, key: str, default: Any, /) -> Any:
        """The value of *key*, or *default*."""

    def __contains__(self, key: object, /) -> bool: ...

    def __iter__(self) -> Any: ...

    def copy(self) -> dict[str, Any]:
        """All fields, in the order in which they were first set."""


class Rules(Protocol):
    """What a State class declares; see `qstate_nb.core.fields`."""

    key: StateKey

    def default(self, field: str, fallback: Any) -> Any:
        """The declared default of a field, or *fallback*."""

    def check(self, field: str, value: Any) -> None:
        """Raise FieldTypeError if the field can't have that value."""


Changes: TypeAlias = Collection[tuple[str, Any]]
Outcome: TypeAlias = tuple[Any, Changes]
Op: TypeAlias = Callable[..., Outcome]


def get(fields: Fields, key: str) -> Outcome:
    """The value of *key*, or `ABSENT`."""
    return fields.get(key, ABSENT), ()


def get_all(fields: Fields) -> Outcome:
    """All fields, in the order in which they were first set."""
    return fields.copy(), ()


def set_(_: Fields, key: str, value: Any) -> Outcome:
    """Give *key* a value."""
    return None, ((key, value),)


def update(fields: Fields, values: Mapping[str, Any]) -> Outcome:
    """Give several keys a value at once; the result is all fields as they are then."""
    return {**fields.copy(), **values}, values.items()


def delete(fields: Fields, key: str) -> Outcome:
    """Remove *key* if it is there."""
    return None, ((key, ABSENT),) if key in fields else ()


def clear(fields: Fields) -> Outcome:
    """Remove all fields."""
    return None, [(key, ABSENT) for key in fields]


def drop(fields: Fields) -> Outcome:
    """Remove all fields; the store takes the bucket's name off its list as well."""
    return clear(fields)


def setdefault(fields: Fields, key: str, value: Any, rules: Rules) -> Outcome:
    """Give *key* a value if it has none; the result is the value that it has then."""
    known = rules.default(key, ABSENT) if key not in fields else fields.get(key, ABSENT)
    return (known, ()) if known is not ABSENT else (value, ((key, value),))


def pop(fields: Fields, key: str) -> Outcome:
    """Remove *key*; the result is the value that it had, or `ABSENT`."""
    return fields.get(key, ABSENT), ((key, ABSENT),) if key in fields else ()


def increment(fields: Fields, key: str, by: Any, rules: Rules) -> Outcome:
    """Add a number to the value of *key*, which counts as 0 if there is none; the result is the sum.

    Raises:
        FieldTypeError: one of the two is no number, or they can't be added.
    """
    old = _old(fields, key, rules, 0)
    if not (_is_number(old) and _is_number(by)):
        wrong = by if _is_number(old) else old
        raise _wrong(rules, key, f"incremented by {short(by)}", wrong, "that is no number")
    try:
        new = old + by
    except TypeError:  # such as a float and a Decimal
        raise _wrong(rules, key, f"incremented by {short(by)}", old, f"{type(by).__name__} can't be added") from None
    rules.check(key, new)
    return new, ((key, new),)


def append(fields: Fields, key: str, item: Any, rules: Rules) -> Outcome:
    """Add an item to the end of the list at *key*, which counts as empty if there is none.

    Raises:
        FieldTypeError: the value is no list.
    """
    old = _old(fields, key, rules, [])
    if not isinstance(old, list):
        raise _wrong(rules, key, "appended to", old, "that is no list")
    new = old.copy() if type(old) is list else copy_value(old)  # a subclass has more than its items
    list.append(new, item)
    rules.check(key, new)
    return None, ((key, new),)


def _old(fields: Fields, key: str, rules: Rules, missing: Any) -> Any:
    return fields.get(key, ABSENT) if key in fields else rules.default(key, missing)


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Number) and not isinstance(value, bool)


def _wrong(rules: Rules, key: str, what: str, value: object, why: str) -> FieldTypeError:
    return FieldTypeError(
        f"{rules.key}.{key} can't be {what}: {short(value, 60)} is of type {type(value).__name__}, and {why}"
    )
