"""Values as text: short, quick, on one line, and the same on every run."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import os
import subprocess
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.containers import Lazy, values

from qstate_nb.core.formats import encodable, message, one_line, printable, short, short_marked, short_text


class Colour(enum.Enum):
    RED = "r"


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class User:
    name: str
    password: str = field(default="secret", repr=False)


@dataclass
class Discreet:
    password: str

    def __repr__(self) -> str:
        return "<Discreet>"


class Child(User):
    pass


class Stack(list[Any]):
    pass


class Labelled(dict[str, Any]):
    pass


class Name(str):
    pass


class Loud(str):
    def __repr__(self) -> str:
        return "LOUD"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (-7, "-7"),
        (1.5, "1.5"),
        ("it's", '"it\'s"'),
        (b"ab", "b'ab'"),
        (bytearray(b"ab"), "bytearray(b'ab')"),
        ([], "[]"),
        ((), "()"),
        ((1,), "(1,)"),
        ({}, "{}"),
        (set(), "set()"),
        (frozenset(), "frozenset()"),
        (frozenset({2, 1}), "frozenset({1, 2})"),
        ({"b": 1, "a": {"c": (2, [3])}}, "{'b': 1, 'a': {'c': (2, [3])}}"),
        (collections.deque([1, 2]), "deque([1, 2])"),
        (collections.OrderedDict(b=1, a=2), "OrderedDict({'b': 1, 'a': 2})"),
        (Labelled(a=1), "Labelled({'a': 1})"),
        (Stack([1, 2]), "Stack([1, 2])"),
        (Point(1, 2), "Point(x=1, y=2)"),
        (Name("ab"), "'ab'"),
        (Loud("ab"), "LOUD"),
        (Colour.RED, "<Colour.RED: 'r'>"),
        (User("ann"), "User(name='ann')"),
        (Child("ann"), "Child(name='ann')"),
        (Discreet("secret"), "<Discreet>"),
        (datetime.date(2026, 1, 2), "datetime.date(2026, 1, 2)"),
        (decimal.Decimal("1.50"), "Decimal('1.50')"),
        ("jump at 0x40 now", "'jump at 0x40 now'"),
        (object(), "<object object>"),
        ([object()], "[<object object>]"),
        (len, "<built-in function len>"),
        ("a\nb\x1b[31m", r"'a\nb\x1b[31m'"),
        ("\ud800", r"'\ud800'"),
    ],
)
def test_a_small_value_is_shown_whole(value: object, text: str) -> None:
    assert short(value) == text


def test_functions_and_methods_show_no_address() -> None:
    assert "0x" not in short([test_functions_and_methods_show_no_address, User("a").__eq__, lambda: None], 500)


class Raising:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]


class NotText:
    def __repr__(self) -> str:
        return 5  # type: ignore[return-value]


class NoItems(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no items")


class NoLength(list[Any]):
    def __len__(self) -> int:
        raise RuntimeError("no length")


@dataclass
class Guarded:
    it: Any

    def __getattribute__(self, name: str) -> Any:
        if name == "it":
            raise RuntimeError("no field")
        return super().__getattribute__(name)


array = type("array", (), {})  # named like something that reprlib knows
named_int = type("int", (), {})


MISBEHAVING: dict[str, Callable[[], object]] = {
    "repr raises": Raising,
    "repr is no text": NotText,
    "class raises": Lazy,
    "items raises": lambda: NoItems(a=1),
    "length raises": lambda: NoLength([1]),
    "field raises": lambda: Guarded(1),
    "called array": array,
    "called int": named_int,
}


@pytest.mark.parametrize("make", MISBEHAVING.values(), ids=MISBEHAVING)
def test_an_object_that_misbehaves_is_still_shown(make: Callable[[], object]) -> None:
    value = make()
    for shown in (short(value), short([1, value, 2], 200), short({"a": value}), short_marked(value)):
        assert type(value).__name__ in shown
        assert "0x" not in shown


def test_what_stands_beside_an_object_that_misbehaves_is_shown() -> None:
    assert short([1, Raising(), 2]) == "[1, <Raising object, whose repr fails>, 2]"


def test_a_repr_of_several_lines_or_with_control_characters_becomes_one_plain_line() -> None:
    shown = short(types.SimpleNamespace(it=User("a")), 80)
    assert shown == "namespace(it=User(name='a'))"

    class Frame:
        def __repr__(self) -> str:
            return "   a  b\n0  1  2\r\n\x1b[31m\ud800"

    assert short(Frame()) == r"a b 0 1 2 \x1b[31m\ud800"


def nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


def containing_itself() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: 10**100_000, "<int of 332193 bits>"),
        (lambda: -(10**100_000), "<int of 332193 bits>"),
        (lambda: 10**90, "1" + "0" * 37 + "..." + "0" * 39),
        (lambda: "x" * 50_000_000, "'" + "x" * 37 + "..." + "x" * 38 + "'"),
        (lambda: set(range(2_000)), "<set of 2,000 items>"),
        (lambda: nested(100_000, lambda value: [value]), "[[[[[[...]]]]]]"),
        (lambda: nested(100_000, lambda value: {"a": value}), "{'a': {'a': {'a': {'a': {'a': {...}}}}}}"),
        (lambda: nested(100_000, lambda value: (value,)), "((((((...,),),),),),)"),
        (lambda: containing_itself(), "[[[[[[...]]]]]]"),
    ],
    ids=["int", "negative", "long int", "str", "set", "lists", "dicts", "tuples", "itself"],
)
def test_a_huge_value_is_shortened(make: Callable[[], object], text: str) -> None:
    value = make()
    assert short(value) == text
    assert short_marked(value) == text


@pytest.mark.parametrize("width", [10, 80, 20_000])
@pytest.mark.parametrize(
    "value",
    [10**5_000, 10**4_000, "x" * 30_000, b"x" * 30_000, list(range(9_999)), {1: "x" * 99_999}],
    ids=["very long int", "long int", "str", "bytes", "list", "dict"],
)
def test_nothing_is_longer_than_the_width(value: object, width: int) -> None:
    assert 0 < len(short(value, width)) <= width


def test_an_int_that_python_refuses_to_print_is_described_at_any_width() -> None:
    assert short(10**5_000, 20_000) == "<int of 16610 bits>"


def test_thirty_items_are_shown_of_a_container() -> None:
    assert short(list(range(31)), 200) == f"[{', '.join(map(str, range(30)))}, ...]"
    assert short(list(range(30)), 200) == f"[{', '.join(map(str, range(30)))}]"
    assert short(dict.fromkeys(range(31)), 500).endswith("29: None, ...}")


def slowness(shown: Callable[[], object]) -> float:
    start = time.perf_counter()
    shown()
    return time.perf_counter() - start


@pytest.mark.parametrize(
    "make",
    [
        lambda: list(range(10_000_000)),
        lambda: dict.fromkeys(map(str, range(100_000)), 1),
        lambda: "x" * 50_000_000,
        lambda: b"x" * 50_000_000,
        lambda: Name("x" * 50_000_000),
        lambda: [["x" * 1_000_000] * 1_000_000],
        lambda: set(range(1_000_000)),
        lambda: {"deep": [{"list": list(range(1_000_000))}]},
    ],
    ids=["list", "dict", "str", "bytes", "str subclass", "nested", "set", "deep"],
)
def test_the_size_of_a_value_costs_next_to_nothing(make: Callable[[], object]) -> None:
    """Showing it must not look at all of it: it is far quicker than one look at each item of a large list."""
    value = make()
    one_look_at_each = min(slowness(lambda: sum(1 for _ in range(10_000_000))) for _ in range(2))
    quickest = min(slowness(lambda: short_marked(value)) for _ in range(3))
    assert quickest < one_look_at_each / 5


def test_the_length_of_a_name_costs_next_to_nothing() -> None:
    name = "x" * 50_000_000 + "\n"
    whole = slowness(lambda: repr(name))
    assert min(slowness(lambda: printable(name)) for _ in range(3)) < whole / 5


@given(values, st.integers(10, 200))
def test_any_value_of_a_state_is_one_short_line_without_addresses(value: Any, width: int) -> None:
    shown = short(value, width)
    assert len(shown) <= width
    assert shown.isprintable()
    assert short(value, width) == shown


SETS = """
import sys
from qstate_nb.core.formats import short
class Thing: pass
print(short([
    {"b", "a", None, 1}, {frozenset({"a"}), frozenset({"b"}), frozenset({"c"})}, {("a", 1), ("b", None)},
    {str, int, bytes}, {Thing(), Thing()}, set(map(str, range(50))), {"a": {"x", "y", "z"}}, frozenset("hello"),
], 5_000))
"""


def test_sets_have_the_same_order_in_every_process() -> None:
    texts = set()
    for seed in "1234":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", SETS], env=environment, capture_output=True, text=True, check=True
        )
        texts.add(done.stdout)
    assert len(texts) == 1
    assert "{'a', 'b', 1, None}" in texts.pop()


@pytest.mark.parametrize(
    ("value", "marked"),
    [
        (object(), True),
        ([1, object()], True),
        ({"a": [object()]}, True),
        ({object(): 1}, True),
        (User(name=object()), True),  # type: ignore[arg-type]
        ("text", False),
        ([1, {"a": (2, {3})}], False),
        (User("ann"), False),
        (Colour.RED, False),
        (Point(1, 2), False),
    ],
)
def test_values_that_hold_an_object_by_reference_are_marked(value: object, marked: bool) -> None:
    assert short_marked(value).endswith(" (by reference)") is marked


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("step", "step"),
        ("first name", "first name"),
        ("", "''"),
        ("a\nb", r"'a\nb'"),
        ("\u202etxt", r"'\u202etxt'"),
        ("\ud800", r"'\ud800'"),
        ("x" * 50_000_000, "x" * 79 + "…"),
    ],
    ids=range(7),
)
def test_a_name_is_shown_as_it_is_unless_that_would_break_the_line(name: str, text: str) -> None:
    assert printable(name) == text


def test_a_message_is_one_short_line_without_addresses() -> None:
    assert short_text("first\n  second <object object at 0x7f00>") == "first second <object object>"
    assert short_text("") == ""
    assert len(short_text("x" * 1_000_000)) == 200
    assert one_line("a\x1bb") == r"a\x1bb"
    assert encodable("a\ud800b") == "a?b"


def test_an_exception_whose_message_fails_is_shown_too() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert message(Broken()) == "its message fails"
    assert message(ValueError("bad\nvalue")) == "bad value"
