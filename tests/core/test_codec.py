"""Values as JSON: every type comes back as it was, at every depth, and what can't is refused."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import math
import types
import uuid
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NewType, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstate_nb.core.codec import CodecError, classes_of, decode, encode

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    CRIMSON = "red"  # noqa: PIE796 - an alias
    BLUE = ("b", 2)


class Size(enum.IntEnum):
    S = 1


class Right(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Plain:
    parts: Any
    more: Any = dataclasses.field(default=0, init=False)


@dataclass(frozen=True, slots=True)
class Slotted:
    parts: Any


class Point(msgspec.Struct):
    x: Any
    y: Any = 7


class Hard(msgspec.Struct, frozen=True):
    x: Any


@dataclass
class Late:
    known: Any
    unset: Any = dataclasses.field(init=False)


@dataclass
class Loud:
    parts: Any

    def __init__(self) -> None:
        raise AssertionError("a constructor was called")


@dataclass
class ListLike(list[Any]):
    label: Any = None


CLASSES: dict[str, type] = {
    cls.__qualname__: cls for cls in (Colour, Size, Right, Plain, Slotted, Point, Hard, Late, Loud, ListLike)
}


def shape(value: Any) -> Any:
    """What tells two values apart, with the type at every depth, and the order but of sets. The codec isn't used."""
    kind = type(value)
    if kind in (list, tuple):
        return kind, [shape(item) for item in value]
    if kind is deque:
        return kind, value.maxlen, [shape(item) for item in value]
    if kind in (set, frozenset):
        return kind, sorted((shape(item) for item in value), key=repr)
    if kind is dict:
        return kind, [(shape(key), shape(item)) for key, item in value.items()]
    if dataclasses.is_dataclass(kind):
        return kind, [(f.name, shape(getattr(value, f.name, "unset"))) for f in dataclasses.fields(kind)]
    if issubclass(kind, msgspec.Struct):
        return kind, [(name, shape(getattr(value, name))) for name in kind.__struct_fields__]
    if kind is int:
        return kind, hex(value)  # also of one that is too long for repr()
    if kind is fractions.Fraction:
        return kind, hex(value.numerator), hex(value.denominator)
    fold = getattr(value, "fold", None)
    zone = getattr(value, "tzinfo", None)
    return kind, repr(value), fold, repr(zone)


def through_json(value: Any) -> Any:
    return decode(msgspec.json.decode(msgspec.json.encode(encode(value, CLASSES))), CLASSES)


offsets = st.builds(
    dt.timezone,
    st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)).map(lambda t: t - t % dt.timedelta(0, 1)),
)
zones = st.one_of(st.none(), st.just(dt.UTC), offsets)
named_zones = st.sampled_from([ZoneInfo("Europe/Paris"), ZoneInfo("UTC")])
any_text = st.text(st.characters(), max_size=4) | st.text(st.characters(categories=["Cs"]), min_size=1, max_size=2)
atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**63, 2**63 - 1, -(2**63), -(2**63) - 1, 2**64, -0.0, Colour.RED, Colour.BLUE, Size.S]),
    st.floats(),
    any_text,
    st.binary(max_size=4),
    st.dates(),
    st.datetimes(timezones=zones).flatmap(lambda d: st.sampled_from([d, d.replace(fold=1)])),
    st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1), timezones=named_zones),
    st.times(timezones=zones),
    st.timedeltas(),
    st.decimals(),
    st.sampled_from([decimal.Decimal("sNaN12"), decimal.Decimal("-0"), decimal.Decimal("1E+3"), Right(0), ~Right(0)]),
    st.sampled_from(list(Right)),
    st.fractions(),
    st.complex_numbers(),
    st.uuids(),
)
hashable = st.recursive(
    atoms.filter(lambda value: not (type(value) is decimal.Decimal and value.is_snan())),
    lambda parts: st.one_of(st.tuples(parts), st.frozensets(parts, max_size=3), st.builds(Slotted, parts)),
    max_leaves=4,
)
values = st.recursive(
    atoms | st.binary(max_size=3).map(bytearray) | st.sets(hashable, max_size=4) | hashable,
    lambda parts: st.one_of(
        st.lists(parts, max_size=3),
        st.lists(parts, max_size=3).map(tuple),
        st.builds(deque, st.lists(parts, max_size=3), st.none() | st.integers(3, 5)),
        st.dictionaries(any_text | st.sampled_from(["$set", "$"]), parts, max_size=3),
        st.dictionaries(hashable, parts, max_size=3),
        st.builds(Plain, parts),
        st.builds(Slotted, parts),
        st.builds(Point, parts, parts),
        st.builds(Hard, parts),
        st.builds(Late, parts),
    ),
    max_leaves=12,
)


@given(values)
def test_a_value_of_any_types_comes_back_with_every_type(value: Any) -> None:
    assert shape(through_json(value)) == shape(value)


@pytest.mark.parametrize(
    "value",
    [
        *(-0.0, math.nan, math.inf, -math.inf, complex(-0.0, math.nan), 2**63, -(2**63), 10**5000),
        *(fractions.Fraction(10**5000, 3), decimal.Decimal("-0.00"), "\ud800", "\ud83d\ude00", {"\udfff": 1}),
        *(
            {"$set": [1]},
            {"$x": 1, "y": 2},
            {1: 2, "1": 3},
            {(1, 2): {frozenset({1}): ()}},
            {},
            (),
            set(),
            deque(maxlen=0),
        ),
        *(dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Paris")), dt.time(1, fold=1)),
        *(dt.datetime(1, 1, 1, fold=1), dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=-1)))),
        *(Right.READ, Right.READ | Right.WRITE, Right(0), Colour.CRIMSON, Size.S, Late(1), Point(1), Hard({1: 2})),
        uuid.UUID(int=5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_edge_comes_back(value: Any) -> None:
    assert shape(through_json(value)) == shape(value)


def test_no_constructor_of_a_dataclass_is_called() -> None:
    value: Any = object.__new__(Loud)
    value.parts = [1]
    assert shape(through_json(value)) == shape(value)


@given(st.lists(st.text(max_size=3) | st.integers() | st.booleans(), unique=True))
def test_a_set_is_written_in_one_order(items: list[Any]) -> None:
    backward = items[::-1]
    assert encode(set(items), {}) == encode(set(backward), {})


class Text(str):
    pass


class Local(dt.tzinfo):
    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(0)

    dst = utcoffset

    def tzname(self, when: dt.datetime | None) -> str:
        return "local"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        *((object(), "object"), (range(3), "range"), (Text("x"), "Text"), (OrderedDict(a=1), "OrderedDict")),
        *(
            (..., "ellipsis"),
            (memoryview(b""), "memoryview"),
            (math.sin, "builtin_function_or_method"),
            (int, "type"),
        ),
        *((Colour.RED, "Colour"), (Plain(1), "Plain"), (Point(1), "Point"), (Text, "type")),
        (dt.datetime(2026, 1, 1, tzinfo=Local()), "time zone"),
        (dt.time(1, tzinfo=Local()), "time zone"),
        (dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(0, 60), "named")), "time zone"),
    ],
)
@pytest.mark.parametrize(
    "wrap",
    [lambda value: value, lambda value: [{"a": (value,)}], lambda value: {1: value}, lambda value: deque([value])],
)
def test_a_value_of_another_type_is_refused_by_its_name(wrap: Any, value: Any, named: str) -> None:
    with pytest.raises(CodecError) as caught:
        encode(wrap(value), {})
    assert named in str(caught.value)
    assert "can't be saved" in str(caught.value)


def test_a_dataclass_that_is_more_than_its_fields_is_refused_and_not_cut_short() -> None:
    more = Plain(1)
    more.__dict__["extra"] = 2
    for value in (more, ListLike([1, 2])):
        with pytest.raises(CodecError, match="can't be saved"):
            encode(value, CLASSES)


def test_what_is_nested_so_deeply_that_it_could_not_be_read_is_refused() -> None:
    """Whatever can be written can be read, also from somewhat deeper in the stack."""
    for make in (
        lambda inner: [inner],
        lambda inner: (inner,),
        lambda inner: {1: inner},
        lambda inner: deque([inner]),
    ):
        value: Any = 1
        for depth in range(400):
            value = make(value)
            try:
                text = msgspec.json.encode(encode(value, {}))
            except (CodecError, RecursionError):
                assert depth > 50
                break
            assert decode(msgspec.json.decode(text), {}) == value


@pytest.mark.parametrize(
    "data",
    [
        *(
            {"$nothing": 1},
            {"$set": [1], "x": 2},
            {"x": 1, "$set": [2]},
            {"$set": 1},
            {"$set": [[1]]},
            {"$tuple": {}},
        ),
        *(
            {"$int": 5},
            {"$int": "x"},
            {"$float": "many"},
            {"$str": ["a"]},
            {"$str": [-1]},
            {"$bytes": "a"},
            {"$bytes": 1},
        ),
        *(
            {"$date": "2026-13-01"},
            {"$date": 1},
            {"$datetime": "soon"},
            {"$datetime": ["2026-01-01T00:00:00", "No/Zone", 0]},
        ),
        *(
            {"$time": "25:00"},
            {"$timedelta": ["a"]},
            {"$timedelta": [10**10, 0, 0]},
            {"$decimal": "x"},
            {"$uuid": "x"},
        ),
        *({"$complex": [1]}, {"$complex": ["1", "2"]}, {"$fraction": "1/0"}, {"$deque": [[1, 2], -1]}, {"$deque": 1}),
        *(
            {"$dict": [[1]]},
            {"$dict": [[[1], 2]]},
            {"$dict": 5},
            {"$enum": ["Colour", "GREEN"]},
            {"$enum": ["Nope", "A"]},
        ),
        *(
            {"$enum": ["Plain", "RED"]},
            {"$enum": ["Right", 99]},
            {"$enum": ["Colour", "red"]},
            {"$enum": 1},
            {"$enum": [[], 1]},
        ),
        *({"$object": ["Plain", {}]}, {"$object": ["Plain", {"parts": 1, "x": 2}]}, {"$object": ["Colour", {}]}),
        *({"$object": ["Nope", {}]}, {"$object": ["Point", {"x": 1}]}, {"$object": ["Point", 1]}, {"$object": None}),
        *({"$set": [1, 1]}, {"$frozenset": [1, 1.0]}, {"$dict": [[1, 2], [1, 3]]}, {"$deque": [[1, 2, 3], 2]}),
    ],
    ids=repr,
)
def test_data_that_no_value_is_written_as_is_refused_with_a_reason(data: Any) -> None:
    with pytest.raises(CodecError) as caught:
        decode([data], CLASSES)
    assert len(str(caught.value)) > 10


class Item(msgspec.Struct):
    colour: Colour


@dataclass
class Order(Generic[T]):
    item: T
    inside: list[Order[T]]


Alias = NewType("Alias", Slotted)


@pytest.mark.parametrize(
    ("annotation", "names"),
    [
        (int, set()),
        (Any, set()),
        (Colour, {"Colour"}),
        (dict[str, list[Item] | None], {"Item", "Colour"}),
        (Order[Item], {"Order", "Item", "Colour"}),
        (Annotated[Size, "meta"], {"Size"}),
        (Annotated[int, Size], set()),
        (Literal[Colour.RED], {"Colour"}),
        (Alias, {"Slotted"}),
        (tuple[Right, ...] | Point, {"Right", "Point"}),
    ],
    ids=repr,
)
def test_the_classes_that_a_type_reaches(annotation: Any, names: set[str]) -> None:
    found = classes_of(annotation)
    assert set(found) == names
    assert all(found[name] is globals()[name] for name in names)


def test_an_instance_of_a_class_that_was_defined_again_comes_back_as_one_of_the_new_class() -> None:
    """Running a cell again makes another class of the same name; older events hold instances of the old one."""

    def defined() -> tuple[type[enum.Enum], Any]:
        class Kind(enum.Enum):
            A = 1

        @dataclass
        class Thing:
            kind: Kind

        Thing.__annotations__["kind"] = Kind
        return Kind, Thing

    (old_kind, old), (new_kind, new) = defined(), defined()
    known = classes_of(types.GenericAlias(dict, (str, new)))
    assert decode(encode(old(old_kind["A"]), known), known) == new(new_kind["A"])
    foreign = type("Thing", (), {"__qualname__": old.__qualname__, "__module__": "elsewhere"})
    with pytest.raises(CodecError, match="can't be saved"):
        encode(foreign(), known)
