"""Values as keys: what nobody can tell apart has one key, all else has another."""

from __future__ import annotations

import datetime
import decimal
import enum
import functools
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstate_nb.core.diff import is_same
from qstate_nb.core.values import copy_value
from qstate_nb.races.canonical import canonical, text_of


class Slotted:
    __slots__ = ("amount",)

    def __init__(self, amount: int) -> None:
        self.amount = amount


class Money(Slotted):
    pass


class Day(datetime.date):
    pass


@dataclass
class Point:
    x: Any


@dataclass(slots=True)
class SlotPoint:
    x: Any


class Record(msgspec.Struct):
    x: Any


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Bare:
    pass


class Keeper:
    def first(self) -> None: ...

    def second(self) -> None: ...


keeper = Keeper()

DIFFERENT: list[tuple[Any, Any]] = [
    (1, True),
    (1, 1.0),
    ("a", b"a"),
    (b"a", bytearray(b"a")),
    ([1], (1,)),
    ([1, 2], [2, 1]),
    ({1}, frozenset({1})),
    ({"a": 1}, OrderedDict(a=1)),
    ([1], deque([1])),
    (Money(1), Money(2)),
    (Money(1), Slotted(1)),
    (Day(2020, 1, 1), Day(2020, 1, 2)),
    (Day(2020, 1, 1), datetime.date(2020, 1, 1)),
    (Point(1), Point(True)),
    (SlotPoint([1]), SlotPoint([2])),
    (Record(1), Record(2)),
    (Colour.RED, Colour.BLUE),
    (Bare(), Bare()),
    (object(), object()),
    (len, max),
    (keeper.first, keeper.second),
    (functools.partial(pow, 2), functools.partial(pow, 3)),
    (lambda: 1, lambda: 2),
    (ValueError("a"), ValueError("b")),
    (ValueError("a"), TypeError("a")),
    (decimal.Decimal(1), 1),
    (None, False),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_can_be_told_apart_has_two_keys(one: Any, other: Any) -> None:
    assert canonical(one) != canonical(other)
    assert canonical([one]) != canonical([other])
    assert canonical({"x": one}) != canonical({"x": other})


SAME: list[Callable[[], Any]] = [
    lambda: {"b": [1], "a": {2, 3}},
    lambda: Money(5),
    lambda: Day(2020, 1, 1),
    lambda: Point([1, {"a": Point(2)}]),
    lambda: SlotPoint([1]),
    lambda: Record({"a": 1}),
    lambda: Colour.RED,
    lambda: float("nan"),
    lambda: ValueError("a"),
    lambda: [deque([1], 3), bytearray(b"x"), (1, None)],
]


@pytest.mark.parametrize("make", SAME)
def test_what_is_alike_has_one_key(make: Callable[[], Any]) -> None:
    assert canonical(make()) == canonical(make())
    assert hash(canonical(make())) == hash(canonical(make()))
    assert text_of(canonical(make())) == text_of(canonical(make()))


def test_the_order_of_a_dict_is_none() -> None:
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})


def test_what_contains_itself_has_a_key() -> None:
    def made() -> Any:
        value: list[Any] = [1]
        value.append(value)
        return value

    assert canonical(made()) == canonical(made())


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@given(values, values)
def test_keys_are_equal_where_values_are_the_same(one: Any, other: Any) -> None:
    """`is_same` compares by type and value, too; it takes -0.0 for 0.0, as keys do."""
    assert canonical(copy_value(one)) == canonical(one)
    if is_same(one, other):
        assert canonical(one) == canonical(other)
    if canonical(one) == canonical(other):
        assert one == other
