"""Nested values as HTML to unfold."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, deque
from typing import Any, NamedTuple

import msgspec
import pytest
from support.markup import HOSTILE, seen_in

from qstate_nb import State
from qstate_nb.notebook.panel.nested import is_nested, tree_html, type_text


@dataclasses.dataclass
class Point:
    x: int
    y: Any = 0


class Pair(NamedTuple):
    left: int
    right: int


class Item(msgspec.Struct):
    name: str


class Failing(dict[str, int]):
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __iter__(self) -> Any:
        raise RuntimeError("no items")

    def __len__(self) -> int:
        raise RuntimeError("no length")


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        ({"a": 1, 2: None}, "dict of 2", "'a': 12: None"),
        ([1, "x"], "list of 2", "0: 11: 'x'"),
        ((1,), "tuple of 1", "0: 1"),
        ({3, 1}, "set of 2", "13"),
        (frozenset({1}), "frozenset of 1", "1"),
        (deque([1]), "deque of 1", "0: 1"),
        (OrderedDict(a=1), "OrderedDict of 1", "'a': 1"),
        (Pair(1, 2), "Pair of 2", "left: 1right: 2"),
        (Point(1), "Point", "x: 1y: 0"),
        (Item("pen"), "Item", "name: 'pen'"),
        (Failing(a=1), "Failing of 1", "'a': 1"),
        ([Broken()], "list of 1", "0: <Broken object, whose repr fails>"),
    ],
)
def test_a_value_is_unfolded_into_its_parts(value: Any, kind: str, shown: str) -> None:
    assert is_nested(value)
    assert type_text(value) == kind
    assert seen_in(tree_html(value)) == shown


@pytest.mark.parametrize("value", [1, "text", None, [], {}, set(), object(), Point])
def test_what_has_no_parts_is_not_nested(value: Any) -> None:
    assert not is_nested(value)


def test_what_is_inside_unfolds_as_well_and_what_is_long_is_folded() -> None:
    html = tree_html({"few": {"a": [1]}, "many": list(range(11))})
    assert html.count("<details open>") == 2
    assert html.count("<details>") == 1
    assert seen_in(html).startswith("'few': dict of 1'a': list of 1 [1]0: 1'many': list of 11 [0, 1,")


def test_it_ends_after_five_levels_and_fifty_items_and_says_how_many_more() -> None:
    deep: Any = "bottom"
    for _ in range(8):
        deep = [deep]
    html = tree_html(deep)
    assert html.count("<details") == 4
    assert seen_in(html).endswith("0: list of 1")
    shown = seen_in(tree_html(list(range(1_000))))
    assert "49: 49… 950 more" in shown
    assert "50: 50" not in shown


def test_a_wide_tree_and_a_circle_stay_small_and_quick() -> None:
    wide = [[[[0] * 50] * 50] * 50] * 50
    assert tree_html(wide).count('class="qstate-leaf') < 1_100
    circle: list[Any] = []
    circle += [circle] * 50
    html = tree_html(circle)
    assert len(html) < 500_000
    assert "more" in seen_in(html)


def test_markup_in_keys_values_and_class_names_stays_text() -> None:
    odd = type(HOSTILE, (), {})()
    html = tree_html({HOSTILE: [HOSTILE], "odd": odd, "in": dataclasses.make_dataclass("D", ["a"])([HOSTILE])})
    assert "<script>alert(1)" in seen_in(html)


def test_an_attribute_that_fails_is_said() -> None:
    @dataclasses.dataclass
    class Late:
        value: int = dataclasses.field(init=False)
        other: int = 1

    assert seen_in(tree_html(Late())) == "value: <can't be read>other: 1"


def test_the_type_is_the_declared_one_where_there_is_one() -> None:
    class Signup(State):
        phone: str | None = None
        tags: list[int] = []  # noqa: RUF012 - a declared default

    assert type_text(None, "phone", Signup.declared) == "str | None"
    assert type_text([1, 2], "tags", Signup.declared) == "list[int] of 2"
    assert type_text(1, "other", Signup.declared) == "int"
