"""Values are values: copied containers, shared immutables, everything else by reference and marked so."""

from __future__ import annotations

import datetime
import enum
import os
import pathlib
import sys
import time
import types
import uuid
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, deque
from dataclasses import InitVar, dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

import pytest
from hypothesis import given
from support.containers import (
    Batch,
    Buffer,
    ByIdentity,
    Fixed,
    Frozen,
    FrozenSlotted,
    Labelled,
    Path,
    Plain,
    Point,
    Slotted,
    SlottedChild,
    Stack,
    Tags,
    Window,
    batch,
    labelled,
    mutable_parts,
    path,
    same,
    spoil,
    values,
)

from qstate_nb.core.values import IMMUTABLE, copy_value, is_by_reference
from qstate_nb.errors import StateValueError

CONTAINERS: list[Any] = [
    {"a": [1]},
    [[1], {"a": 1}],
    {1, "a", (2, 3)},
    frozenset({1, (2,)}),
    ([1], {"a": [2]}),
    bytearray(b"abc"),
    deque([[1]], maxlen=3),
    defaultdict(list, {"a": [1]}),
    OrderedDict(b=[1], a=[2]),
    Counter("aab"),
    Point([1], {"a": 1}),
    Plain([1], {"a": [2]}),
    Frozen([1]),
    Slotted([1]),
    FrozenSlotted([1]),
    SlottedChild([1], [2]),
    batch([[1]], ["label"]),
    labelled({"a": [1]}, ["label"]),
    path([[1]], ["label"]),
    Stack([[1]]),
    Tags({1, 2}),
    Fixed({1, (2,)}),
    Buffer(b"abc"),
    Window([[1]], maxlen=2),
]


def kind_of(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("value", CONTAINERS, ids=kind_of)
def test_each_kind_of_container_is_copied_all_the_way_down(value: Any) -> None:
    copied = copy_value(value)
    assert same(copied, value)
    assert {id(part) for part in mutable_parts(copied)}.isdisjoint(map(id, mutable_parts(value)))


@given(values)
def test_a_copy_is_equal_of_the_same_types_and_independent(value: Any) -> None:
    first = copy_value(value)
    assert same(first, value)
    second = copy_value(first)
    spoil(first)
    assert same(second, value)


@given(values)
def test_values_of_containers_and_immutables_are_not_by_reference(value: Any) -> None:
    assert not is_by_reference(value)


class Colour(enum.Enum):
    RED = "red"


class Planet(tuple[int, int], enum.Enum):
    EARTH = (1, 2)


@dataclass
class _Size:
    parts: list[int]


class Shirt(_Size, enum.Enum):
    SMALL = [1]  # noqa: RUF012


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        5,
        1.5,
        1j,
        "text",
        b"bytes",
        range(3),
        ...,
        Decimal("1.5"),
        Fraction(1, 2),
        uuid.UUID(int=1),
        pathlib.PurePosixPath("/a"),
        datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        Colour.RED,
        Planet.EARTH,
        Shirt.SMALL,
    ],
    ids=repr,
)
def test_an_immutable_value_is_shared_and_no_reference(value: object) -> None:
    assert copy_value(value) is value
    assert copy_value([value])[0] is value
    assert not is_by_reference([value])


def test_a_dataclass_that_is_mixed_into_an_enum_keeps_its_data() -> None:
    """The member is one object for all, so a copy must not even touch it."""
    parts = Shirt.SMALL.parts
    copy_value([Shirt.SMALL])
    assert Shirt.SMALL.parts is parts


@pytest.mark.parametrize("value", [time.gmtime(0), os.terminal_size((80, 24)), sys.version_info], ids=kind_of)
def test_a_tuple_that_c_code_made_keeps_its_type(value: object) -> None:
    assert copy_value({"it": value}) == {"it": value}
    assert type(copy_value({"it": value})["it"]) is type(value)


def test_nothing_counts_as_immutable_that_can_be_changed_or_can_hold_such_a_thing() -> None:
    """An op takes these as they are, without a closer look."""
    assert not any(issubclass(kind, dict | list | tuple | set | frozenset | bytearray | deque) for kind in IMMUTABLE)
    for kind in IMMUTABLE - {type(...), type(NotImplemented)}:
        assert "__slots__" in vars(kind) or "__dict__" not in dir(kind), kind
        assert kind.__hash__ is not None


class Thing:
    pass


@pytest.mark.parametrize(
    "value",
    [
        Thing(),
        Thing,
        print,
        lambda: None,
        memoryview(b"a"),
        UserDict(a=1),
        ChainMap({}),
        types.SimpleNamespace(a=[1]),
        types.MappingProxyType({"a": 1}),
        Plain,
    ],
    ids=kind_of,
)
def test_any_other_object_is_kept_by_reference_and_marked(value: object) -> None:
    assert copy_value(value) is value
    assert is_by_reference(value)
    for around in (
        [value],
        {"a": value},
        (value,),
        Plain(value),
        Slotted(value),
        labelled({}, value),
        deque([value]),
    ):
        assert is_by_reference([around]), around


def test_a_reference_in_a_set_or_a_key_is_marked() -> None:
    thing = Thing()
    assert is_by_reference({thing})
    assert is_by_reference({thing: 1})


@pytest.mark.parametrize("kind", [set, frozenset, Tags, Fixed])
def test_what_a_set_holds_is_copied_even_if_it_is_hashed_by_identity(kind: Any) -> None:
    value = kind({ByIdentity([1])})
    (copied,) = copy_value(value)
    (original,) = value
    assert copied is not original
    assert copied.parts == [1]
    assert copied.parts is not original.parts


@dataclass
class Late:
    given: list[int]
    extra: InitVar[int] = 1
    later: list[int] = field(init=False)


def test_a_field_that_is_not_set_yet_stays_unset() -> None:
    copied = copy_value(Late([1]))
    assert copied.given == [1]
    assert not hasattr(copied, "later")
    assert not is_by_reference(Late([1]))


@dataclass
class Cached:
    parts: list[int]

    @cached_property
    def doubled(self) -> list[int]:
        return [2 * part for part in self.parts]


def test_an_attribute_that_is_no_field_is_copied_too() -> None:
    value = Cached([1])
    assert value.doubled == [2]
    copied = copy_value(value)
    copied.doubled.append(9)
    assert value.doubled == [2]


class Upper(dict[str, Any]):
    """A dict that changes what it is given."""

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key.upper(), value)


class Loud(list[Any]):
    """A list whose items look different from outside."""

    def __iter__(self) -> Any:
        return (f"{item}!" for item in super().__iter__())


def test_a_copy_holds_what_is_inside_whatever_the_subclass_shows() -> None:
    upper = Upper()
    upper["a"] = [1]
    assert dict(copy_value(upper)) == {"A": [1]}
    assert copy_value(upper)["A"] is not upper["A"]
    assert copy_value(Loud(["a"]))[0] == "a"


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_deep_but_reasonable_nesting_is_copied() -> None:
    assert same(copy_value(nested(100)), nested(100))


def test_a_value_that_contains_itself_is_refused() -> None:
    value: dict[str, Any] = {}
    value["me"] = [value]
    with pytest.raises(StateValueError, match=r"a dict that contains itself.*can't be a value of a State"):
        copy_value(value)


def test_a_value_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(StateValueError, match=r"a list .*nested too deeply"):
        copy_value(nested(100_000))


class Constant(dict[str, int]):
    """A dict that can't be changed, so `copy.copy` can't fill it."""

    def __setitem__(self, key: str, value: int) -> None:
        raise TypeError("it is constant")


def test_a_class_that_refuses_to_be_copied_is_named_with_its_reason() -> None:
    with pytest.raises(
        StateValueError, match=r"a Constant can't be a value.*TypeError: it is constant.*store its data as a dict"
    ) as caught:
        copy_value(Constant(a=1))
    assert isinstance(caught.value, ValueError)
    with pytest.raises(StateValueError, match="a list can't be a value"):
        copy_value([Constant(a=1)])


def test_the_kinds_of_the_tests_themselves_are_told_apart() -> None:
    """`same` and `spoil` must see a difference, or the tests above can't fail."""
    assert not same([1], [True])
    assert not same({"a": 1}, OrderedDict(a=1))
    assert not same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not same({(1, True)}, {(1, 1)})
    assert not same(deque([1], 2), deque([1], 3))
    assert not same(labelled({}, 1), labelled({}, 2))
    assert not same(labelled({}, 1), Labelled())
    assert not same(path([1], [1]), path([1], [2]))
    assert not same(batch([1], 0), Batch(0))
    assert isinstance(path([], 0), Path)
    value = Frozen([{"a": Slotted(bytearray(b"x"))}])
    inner = value.parts[0]["a"]
    buffer = inner.parts
    spoil(value)
    assert (value.parts, inner.parts, buffer) == ("spoilt", "spoilt", bytearray(b"xspoilt"))
