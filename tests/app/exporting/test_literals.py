"""Values as Python: what is written makes the same value again, or is refused."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import math
import re
import uuid
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstate_nb import ABSENT
from qstate_nb.app.exporting.layout import Layout, names_in
from qstate_nb.app.exporting.literals import Unwritable, text_of, written
from qstate_nb.core.diff import is_same


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 1


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: Any = 0


@dataclasses.dataclass(frozen=True)
class Order:
    number: int
    items: tuple[Any, ...] = ()
    total: int = dataclasses.field(default=0, init=False)


class Item(msgspec.Struct):
    name: Any
    count: int = 1

    class Inner(enum.Enum):
        ONE = 1


def name_of(what: Any) -> str:
    return str(what.__qualname__)


def text(value: Any, width: int = 88) -> str:
    return "\n".join(Layout(name_of, width).statement("", written(value).node))


def made_again(value: Any, width: int) -> Any:
    """What the text of a value makes, when it is laid out in some way."""
    node = written(value).node
    names = {f"name{index}": what for index, what in enumerate(names_in(node))}
    called = {id(what): name for name, what in names.items()}
    lines = Layout(lambda what: called[id(what)], width).statement("made = ", node)
    exec("\n".join(lines), names)
    return names["made"]


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(allow_nan=False),
    st.text(),
    st.binary(max_size=8),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.dates(),
    st.datetimes(timezones=st.none() | st.just(datetime.UTC) | st.timezones()),
    st.times(),
    st.timedeltas(),
    st.sampled_from([Colour.RED, Level.LOW, Right.READ | Right.WRITE, Item.Inner.ONE, Path("a/b"), int, Order, ...]),
)
hashable = st.one_of(st.integers(), st.text(), st.booleans(), st.dates(), st.tuples(st.integers(), st.text()))
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(hashable, inner, max_size=4),
        st.sets(hashable, max_size=4),
        st.frozensets(hashable, max_size=4),
        st.builds(deque, st.lists(st.integers(), max_size=3), st.none() | st.just(5)),
        st.builds(Point, st.integers(), inner),
        st.builds(Item, inner, st.integers()),
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(values, st.sampled_from([20, 88]))
def test_what_is_written_makes_the_same_value_again(value: Any, width: int) -> None:
    made = made_again(value, width)

    assert is_same(made, value) or repr(made) == repr(value)
    if written(value).is_equal:
        assert made == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("inf"), 'float("inf")'),
        (-1e16, "-1e16"),
        (10**4000, f"0x{10**4000:X}"),
        (-(10**4000), f"-0x{10**4000:X}"),
        ("it's", '''"it's"'''),
        ('say "hi"', """'say "hi"'"""),
        ("\x00\n\ud800é", r'"\x00\n\ud800é"'),
        (b"it's", '''b"it's"'''),
        (bytearray(b"a"), 'bytearray(b"a")'),
        (bytearray(), "bytearray()"),
        (set(), "set()"),
        (frozenset(), "frozenset()"),
        ({3, 1, 2}, "{1, 2, 3}"),
        ({"b", "a", 1}, '{1, "a", "b"}'),
        ((), "()"),
        ((1,), "(1,)"),
        (deque(), "deque()"),
        (deque([1], 3), "deque([1], maxlen=3)"),
        (Counter("aab"), 'Counter({"a": 2, "b": 1})'),
        (OrderedDict(a=1), 'OrderedDict({"a": 1})'),
        (defaultdict(list, a=[1]), 'defaultdict(list, {"a": [1]})'),
        (datetime.date(2026, 1, 2), "date(2026, 1, 2)"),
        (datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC), "datetime(2026, 1, 2, 3, tzinfo=timezone.utc)"),
        (datetime.time(3, 4, fold=1), "time(3, 4, fold=1)"),
        (datetime.timedelta(days=1, seconds=2), "timedelta(days=1, seconds=2)"),
        (datetime.timezone(datetime.timedelta(hours=1), "CET"), 'timezone(timedelta(seconds=3600), "CET")'),
        (zoneinfo.ZoneInfo("Europe/Rome"), 'ZoneInfo("Europe/Rome")'),
        (Decimal("NaN"), 'Decimal("NaN")'),
        (Fraction(1, 3), "Fraction(1, 3)"),
        (uuid.UUID(int=1), 'UUID("00000000-0000-0000-0000-000000000001")'),
        (Path("a"), 'Path("a")'),
        (PurePosixPath("a"), 'PurePosixPath("a")'),
        (PureWindowsPath("a"), 'PureWindowsPath("a")'),
        (re.compile("a+", re.IGNORECASE), 'compile("a+", 2)'),
        (range(1, 5, 2), "range(1, 5, 2)"),
        (NotImplemented, "NotImplemented"),
        (Right.READ | Right.WRITE, "Right(3)"),
        (Item.Inner.ONE, "Item.Inner.ONE"),
        (Order(1, (Colour.RED,)), "Order(number=1, items=(Colour.RED,))"),
        (Point(1), "Point(x=1, y=0)"),
        (text_of, "text_of"),
    ],
    ids=repr,
)
def test_a_value_is_written_as_one_would_do_it(value: Any, expected: str) -> None:
    assert text(value, 5000) == expected


def test_absent_has_its_public_name() -> None:
    assert names_in(written(ABSENT).node) == [ABSENT]


def test_the_order_of_a_set_does_not_depend_on_its_history() -> None:
    names = [f"name{index}" for index in range(20)]
    grown: set[str] = set()
    for name in reversed(names):
        grown.add(name)

    assert text(set(names), 500) == text(grown, 500) == text(sorted(names), 500).replace("[", "{").replace("]", "}")


class Other:
    def __repr__(self) -> str:
        return "<Other>"


class Texts(list[str]):
    pass


@dataclasses.dataclass
class More(list[int]):
    field: int = 0


@dataclasses.dataclass
class Changes:
    number: int

    def __post_init__(self) -> None:
        self.number += 1


@dataclasses.dataclass
class NeedsMore:
    seed: dataclasses.InitVar[int]
    value: int = 0

    def __post_init__(self, seed: int) -> None:
        self.value = seed


def with_attribute() -> Order:
    order = Order(1)
    vars(order)["extra"] = 2
    return order


@dataclasses.dataclass(eq=False)
class Unequal:
    number: int


class _Local:
    @staticmethod
    def made() -> Any:
        @dataclasses.dataclass
        class Local:
            number: int = 1

        return Local()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Other(), "is of class Other, which can't be written as Python"),
        ({"a": [Other()]}, "is of class Other, which can't be written as Python"),
        (Texts(["a"]), "is of class Texts, which can't be written as Python"),
        (More(1), "is of class More, which is more than its fields"),
        (Changes(1), "can't be made again: Changes(…) gives another one"),
        (NeedsMore(1), "can't be made again: NeedsMore(…) raises TypeError"),
        (with_attribute(), "can't be made again: Order(…) gives another one"),
        (_Local.made(), "is of class Local, which is defined in a function"),
        (lambda: 1, "has no name in a module"),
        ([].append, "has no name in a module"),
        (ValueError("a"), "is of class ValueError, which can't be written as Python"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_can_not_be_made_again_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(Unwritable) as caught:
        written(value)

    assert caught.value.reason == reason


def test_what_is_nested_too_deeply_is_refused() -> None:
    value: Any = 1
    for _ in range(70):
        value = [value]

    with pytest.raises(Unwritable, match="is nested too deeply"):
        written(value)


@pytest.mark.parametrize("value", [math.nan, [math.nan], {"a": (math.nan,)}, Point(1, math.nan), Unequal(1)])
def test_what_is_not_equal_to_itself_is_told(value: Any) -> None:
    assert not written(value).is_equal


@pytest.mark.parametrize("value", [1, [1, {"a": Order(1)}], Item("a"), Colour.RED, {1, 2}])
def test_what_is_equal_is_told(value: Any) -> None:
    assert written(value).is_equal
