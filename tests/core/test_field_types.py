"""Declared types: what a field takes, what it refuses, and how that is said.

No ``from __future__ import annotations`` here: annotations are the types themselves. `test_fields` has strings.
"""

import datetime
import enum
import pathlib
import types
import typing
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import msgspec
import pytest
from support.containers import same

from qstate_nb import State, StateRegistry
from qstate_nb.errors import FieldDefinitionError, FieldTypeError, StateError


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.StrEnum):
    SMALL = "small"


class Level(enum.IntEnum):
    LOW = 1


class Right(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Place:
    x: int
    colour: Colour = Colour.RED


@dataclass
class Home(Place):
    street: str = ""


@dataclass(frozen=True)
class Spot:
    x: int


class Order(msgspec.Struct, frozen=True):
    number: int


class BigOrder(Order, frozen=True):
    discount: float = 0.1


class Point(NamedTuple):
    x: int
    colour: Colour


class Address(TypedDict):
    street: str
    colour: NotRequired[Colour]


class Custom:
    pass


class Child(Custom):
    pass


class Loud(str):
    pass


NOON = datetime.datetime(2026, 1, 2, 12)
TEXT = "2026-01-02T12:00:00"
ID = uuid.UUID(int=5)


def declaring(annotation: Any, *, name: str = "Signup") -> type[State]:
    """A State class with one field: ``it: annotation``."""

    def fill(namespace: dict[str, Any]) -> None:
        namespace.update(__module__=__name__, __annotations__={"it": annotation})

    return typing.cast("type[State]", types.new_class(name, (State,), {}, fill))


GOOD: list[tuple[Any, list[Any]]] = [
    (int, [0, -5, 2**100, Level.LOW]),
    (float, [0.5, float("inf"), float("nan"), 1, Level.LOW]),
    (str, ["", "a", Size.SMALL, Loud("a")]),
    (bool, [True, False]),
    (None, [None]),
    (int | None, [1, None]),
    (str | None, ["a", None]),
    (int | float, [1, 1.5]),
    (int | str | bool | None, [1, "a", True, None]),
    (typing.Optional[int], [1, None]),  # noqa: UP045
    (typing.Union[int, str], [1, "a"]),  # noqa: UP007
    (Literal["a", "b"], ["a", "b"]),
    (Literal[1, 2] | None, [1, 2, None]),
    (Colour, [Colour.RED]),
    (Size, [Size.SMALL]),
    (Level, [Level.LOW]),
    (Right, [Right.READ, Right.READ | Right.WRITE]),
    (Right | None, [None, Right.READ | Right.WRITE]),
    (Colour | None, [Colour.RED, None]),
    (datetime.datetime, [NOON, NOON.replace(tzinfo=datetime.UTC)]),
    (datetime.date, [NOON.date()]),
    (datetime.time, [NOON.time()]),
    (datetime.timedelta, [datetime.timedelta(hours=1)]),
    (uuid.UUID, [ID]),
    (Decimal, [Decimal("1.50"), Decimal("NaN")]),
    (bytes, [b"a"]),
    (bytearray, [bytearray(b"a")]),
    (list, [[], [1, "a", Colour.RED, object]]),
    (list[int], [[], [1, 2, Level.LOW]]),
    (list[float], [[1, 2.5]]),
    (list[Colour], [[Colour.RED, Colour.BLUE]]),
    (list[datetime.datetime], [[NOON]]),
    (list[list[Place]], [[[Place(1)], []]]),
    (dict, [{}, {1: "a", "b": Colour.RED}]),
    (dict[str, int], [{"a": 1}, OrderedDict(a=1), {Size.SMALL: 1}]),
    (dict[Colour, list[int]], [{Colour.RED: [1]}]),
    (dict[int, datetime.datetime], [{1: NOON}]),
    (dict[datetime.date, uuid.UUID], [{NOON.date(): ID}]),
    (set, [set(), {1, "a", Colour.RED}]),
    (set[int], [{1, 2}]),
    (set[float], [{1, 2.5}]),
    (set[Colour], [{Colour.RED, Colour.BLUE}]),
    (frozenset[str], [frozenset({"a"})]),
    (tuple, [(), (1, "a")]),
    (tuple[int, str], [(1, "a")]),
    (tuple[Colour, ...], [(), (Colour.RED, Colour.RED)]),
    (tuple[tuple[int, ...], dict[str, set[int]]], [((1,), {"a": {1}})]),
    (Place, [Place(1), Home(1, Colour.BLUE, "a")]),
    (Place | None, [Place(1), None]),
    (list[Place], [[Place(1), Home(1)]]),
    (dict[Spot, int], [{Spot(1): 1}]),
    (Order, [Order(1), BigOrder(1)]),
    (Point, [Point(1, Colour.RED)]),
    (Address, [{"street": "a"}, {"colour": Colour.RED, "street": "a"}]),
    (Annotated[int, msgspec.Meta(ge=0)], [0, 5]),
    (Annotated[str, msgspec.Meta(pattern="^a")], ["abc"]),
    (list[Annotated[int, msgspec.Meta(lt=5)]], [[4]]),
    (Custom, [Custom(), Child()]),
    (list[Custom], [[Custom(), Child()]]),
    (Custom | None, [Custom(), None]),
    (deque, [deque([1])]),
    (pathlib.Path, [pathlib.Path("/a")]),
    (complex, [1j]),
    (Any, [1, "a", None, [Colour.RED], Custom(), {Colour.RED: Place(1)}, Right.READ | Right.WRITE]),
    (object, [1, Custom()]),
    (typing.Callable[[int], int], [abs]),
]


@pytest.mark.parametrize(("annotation", "values"), GOOD, ids=[str(annotation) for annotation, _ in GOOD])
def test_a_field_takes_what_it_declares_and_gives_it_back_as_it_was(annotation: Any, values: list[Any]) -> None:
    """No conversion: an int stays an int in a float's field."""
    state = StateRegistry().state(declaring(annotation))
    for value in values:
        state.set("it", value)
        assert_as_it_was(state.get("it"), value)
        state.update(it=value)
        state.delete("it")
        assert_as_it_was(state.setdefault("it", value), value)
        assert_as_it_was(state.mutate("it", lambda old: old), value)


def assert_as_it_was(found: Any, value: Any) -> None:
    assert type(found) is type(value)
    assert found is value or found == value
    assert not isinstance(value, list | dict | tuple) or same(found, value)


@pytest.mark.parametrize("value", [Place("a"), Order("a"), Point("a", "red")])  # type: ignore[arg-type]
def test_an_object_of_the_declared_class_is_taken_whatever_is_in_it(value: Any) -> None:
    """Its class is who checks that."""
    state = StateRegistry().state(declaring(type(value)))
    state.set("it", value)
    assert state.get("it") == value


BAD: list[tuple[Any, Any, str]] = [
    (int, True, "True (bool): Expected `int`, got `bool`"),
    (int, "1", "'1' (str): Expected `int`, got `str`"),
    (int, 1.0, "1.0 (float): Expected `int`, got `float`"),
    (int, None, "None (NoneType): Expected `int`, got `null`"),
    (float, True, "True (bool): Expected `float`, got `bool`"),
    (float, "1", "'1' (str): Expected `float`, got `str`"),
    (float, Decimal(1), "Decimal('1') (Decimal): Expected `float`, got `Decimal`"),
    (str, 1, "1 (int): Expected `str`, got `int`"),
    (str, b"a", "b'a' (bytes): Expected `str`, got `bytes`"),
    (str, Colour.RED, "<Colour.RED: 'red'> (Colour): Expected `str`, got `Colour`"),
    (bool, 1, "1 (int): Expected `bool`, got `int`"),
    (None, 0, "0 (int): Expected `null`, got `int`; it is declared as None"),
    (int | None, "a", "'a' (str): Expected `int | null`, got `str`; it is declared as int | None"),
    (int | str, 1.5, "1.5 (float): Expected `int | str`, got `float`"),
    (Literal["a", "b"], "c", "'c' (str): Invalid enum value 'c'; it is declared as Literal['a', 'b']"),
    (Literal[1], True, "True (bool): Expected `int`, got `bool`"),
    (Colour, "red", "'red' (str): Expected `Colour`, got `str`"),
    (Colour, "green", "'green' (str): Invalid enum value 'green'; it is declared as Colour"),
    (Size, "small", "'small' (str): Expected `Size`, got `str`"),
    (Level, 1, "1 (int): Expected `Level`, got `int`"),
    (Right, 1, "1 (int): Expected `Right`, got `int`"),
    (int, Right.READ, "<Right.READ: 1> (Right): Expected `int`, got `Right`"),
    (datetime.datetime, TEXT, f"'{TEXT}' (str): Expected `datetime`, got `str`"),
    (datetime.datetime, NOON.date(), "datetime.date(2026, 1, 2) (date): Expected `datetime`, got `date`"),
    (datetime.datetime, 5.0, "5.0 (float): Expected `datetime`, got `float`"),
    (datetime.date, NOON, "datetime.datetime(2026, 1, 2, 12, 0) (datetime): Expected `date`, got `datetime`"),
    (datetime.date, "2026-01-02", "'2026-01-02' (str): Expected `date`, got `str`"),
    (uuid.UUID, str(ID), f"'{ID}' (str): Expected `UUID`, got `str`"),
    (Decimal, "1.5", "'1.5' (str): Expected `Decimal`, got `str`"),
    (Decimal, 1, "1 (int): Expected `Decimal`, got `int`"),
    (Decimal, 1.5, "1.5 (float): Expected `Decimal`, got `float`"),
    (bytes, "YQ==", "'YQ==' (str): Expected `bytes`, got `str`"),
    (bytes, bytearray(b"a"), "bytearray(b'a') (bytearray): Expected `bytes`, got `bytearray`"),
    (list, (1,), "(1,) (tuple): Expected `list`, got `tuple`"),
    (list[int], 5, "5 (int): Expected `array`, got `int`; it is declared as list[int]"),
    (list[int], [1, "a"], "[1, 'a'] (list): Expected `int`, got `str` - at `$[1]`"),
    (list[int], [True], "[True] (list): Expected `int`, got `bool` - at `$[0]`"),
    (
        list[Colour],
        [Colour.RED, "red"],
        "[<Colour.RED: 'red'>, 'red'] (list): Expected `Colour`, got `str` - at `$[1]`",
    ),
    (list[datetime.datetime], [TEXT], f"['{TEXT}'] (list): Expected `datetime`, got `str` - at `$[0]`"),
    (list[list[uuid.UUID]], [[], [str(ID)]], f"[[], ['{ID}']] (list): Expected `UUID`, got `str` - at `$[1][0]`"),
    (dict, [1], "[1] (list): Expected `object`, got `array`; it is declared as dict"),
    (dict[str, int], {"a": "1"}, "{'a': '1'} (dict): Expected `int`, got `str` - at `$[...]`"),
    (dict[str, int], {1: 1}, "{1: 1} (dict): Expected `str`, got `int` - at `key` in `$`"),
    (dict[str, Decimal], {"a": "1"}, "{'a': '1'} (dict): Expected `Decimal`, got `str` - at `$[...]`"),
    (dict[Colour, int], {"red": 1}, "{'red': 1} (dict): Expected `Colour`, got `str` - at `$[...]`"),
    (
        dict[str, list[uuid.UUID]],
        {"a": [str(ID)]},
        f"{{'a': ['{ID}']}} (dict): Expected `UUID`, got `str` - at `$[...][0]`",
    ),
    (set[int], {"a"}, "{'a'} (set): Expected `int`, got `str` - at `$[0]`"),
    (set[int], [1], "[1] (list): Expected `set`, got `list`"),
    (set[int], frozenset({1}), "frozenset({1}) (frozenset): Expected `set`, got `frozenset`"),
    (set[Colour], {"red"}, "{'red'} (set): Expected `Colour`, got `str` - at `$[...]`"),
    (set[Size], {"small"}, "{'small'} (set): Expected `Size`, got `str` - at `$[...]`"),
    (frozenset[int], {1}, "{1} (set): Expected `frozenset`, got `set`"),
    (tuple[int, ...], [1], "[1] (list): Expected `tuple`, got `list`"),
    (tuple[int, str], (1,), "(1,) (tuple): Expected `array` of length 2, got 1; it is declared as tuple[int, str]"),
    (tuple[Colour, int], ("red", 1), "('red', 1) (tuple): Expected `Colour`, got `str` - at `$[0]`"),
    (Place, {"x": 1}, "{'x': 1} (dict): Expected `Place`, got `dict`"),
    (Place, Spot(1), "Spot(x=1) (Spot): Expected `Place`, got `Spot`"),
    (Place, 1, "1 (int): Expected `object`, got `int`; it is declared as Place"),
    (Place | None, 1, "1 (int): Expected `object | null`, got `int`; it is declared as Place | None"),
    (list[Place], [{"x": 1}], "[{'x': 1}] (list): Expected `Place`, got `dict` - at `$[0]`"),
    (Order, {"number": 1}, "{'number': 1} (dict): Expected `Order`, got `dict`"),
    (Point, (1, Colour.RED), "(1, <Colour.RED: 'red'>) (tuple): Expected `Point`, got `tuple`"),
    (Point, [1, "red"], "[1, 'red'] (list): Expected `Point`, got `list`"),
    (Address, {}, "{} (dict): Object missing required field `street`"),
    (Address, {"street": "a", "zip": 1}, "{'street': 'a', 'zip': 1} (dict): Object contains unknown field `zip`"),
    (
        Address,
        {"colour": "red", "street": "a"},
        "{'colour': 'red', 'street': 'a'} (dict): Expected `Colour`, got `str` - at `$[...]`",
    ),
    (Annotated[int, msgspec.Meta(ge=0)], -1, "-1 (int): Expected `int` >= 0"),
    (Annotated[str, msgspec.Meta(max_length=2)], "abc", "'abc' (str): Expected `str` of length <= 2"),
    (list[Annotated[int, msgspec.Meta(lt=5)]], [5], "[5] (list): Expected `int` <= 4 - at `$[0]`"),
    (Custom, 1, "1 (int): Expected `Custom`, got `int`"),
    (pathlib.Path, "/a", "'/a' (str): Expected `Path`, got `str`"),
]


@pytest.mark.parametrize(("annotation", "value", "message"), BAD, ids=[f"{a} {v!r}" for a, v, _ in BAD])
def test_a_field_refuses_what_it_does_not_declare_and_says_what_it_wants(
    annotation: Any, value: Any, message: str
) -> None:
    """A str is no datetime, a list is no tuple, a dict is no dataclass, and True is no int."""
    registry = StateRegistry()
    state = registry.state(declaring(annotation), scope=42)
    with pytest.raises(FieldTypeError) as caught:
        state.set("it", value)
    assert str(caught.value) == f"Signup[42].it can't be {message}"
    assert isinstance(caught.value, TypeError)
    assert (state.get_all(), list(registry.history())) == ({}, [])


LONG: list[tuple[Any, Any]] = [(int, "x" * 10_000), (int, [list(range(1_000))] * 1_000), (str, 10**5_000)]
LONG += [(list[int], ["y" * 10_000] * 1_000), (dict[str, int], {str(n): "z" * 99 for n in range(1_000)})]


@pytest.mark.parametrize(("annotation", "value"), LONG, ids=[str(annotation) for annotation, _ in LONG])
def test_a_long_value_is_shortened_in_the_message(annotation: Any, value: Any) -> None:
    state = StateRegistry().state(declaring(annotation))
    with pytest.raises(FieldTypeError, match=r"^Signup.it can't be .*: Expected ") as caught:
        state.set("it", value)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"


UNCHECKABLE: list[tuple[Any, str]] = [
    (str | datetime.datetime, "Type unions may not contain more than one str-like type"),
    (Place | Order, "Type unions may not contain more than one dict-like type"),
    (Colour | Size, "Type unions may not contain more than one str enum type"),
    (Mixed, "Enums must contain either all str or all int values"),
    (dict[Mixed, int], "Enums must contain either all str or all int values"),
    (5, "Type '5' is not supported"),
    ("Missing", "its type 'Missing' can't be evaluated: name 'Missing' is not defined"),
    ("list[", r"its type 'list\[' can't be evaluated: "),
    ("Place.missing", "its type 'Place.missing' can't be evaluated: type object 'Place' has no attribute 'missing'"),
    (list["Missing"], "can't be evaluated: name 'Missing' is not defined"),  # type: ignore[name-defined] # noqa: F821
]


@pytest.mark.parametrize(
    ("annotation", "reason"), UNCHECKABLE, ids=[str(annotation) for annotation, _ in UNCHECKABLE]
)
def test_a_type_that_can_not_be_checked_is_a_clear_error_at_the_first_use(annotation: Any, reason: str) -> None:
    """Also at the second; and the State isn't there."""
    cls, registry = declaring(annotation, name="Order2"), StateRegistry()
    for _ in range(2):
        with pytest.raises(FieldDefinitionError, match=reason) as caught:
            registry.state(cls)
        assert str(caught.value).startswith("field 'it' of State class Order2: its type ")
        assert isinstance(caught.value, StateError)
        assert isinstance(caught.value, TypeError)
        with pytest.raises(FieldDefinitionError, match=reason):
            registry.state(cls, scope=1)
    assert registry.keys() == []


DEFAULTS: list[tuple[Any, Any, str]] = [
    (int, "1", "'1' is of another type: Expected `int`, got `str`"),
    (int, None, "None is of another type: Expected `int`, got `null`"),
    (int, True, "True is of another type: Expected `int`, got `bool`"),
    (datetime.datetime, TEXT, f"'{TEXT}' is of another type: Expected `datetime`, got `str`"),
    (list[Colour], ["red"], "['red'] is of another type: Expected `Colour`, got `str` - at `$[0]`"),
    (tuple[int, ...], [], "[] is of another type: Expected `tuple`, got `list`"),
    (Place, {"x": 1}, "{'x': 1} is of another type: Expected `Place`, got `dict`"),
    (str, "x" * 10_000, ""),
    (int, "x" * 10_000, "xxx"),
]


@pytest.mark.parametrize(
    ("annotation", "default", "message"), DEFAULTS, ids=[f"{a} {d!r:.20}" for a, d, _ in DEFAULTS]
)
def test_a_default_of_another_type_is_a_clear_error_at_the_first_use(
    annotation: Any, default: Any, message: str
) -> None:
    def fill(namespace: dict[str, Any]) -> None:
        namespace.update(__module__=__name__, __annotations__={"it": annotation}, it=default)

    cls = types.new_class("Signup", (State,), {}, fill)
    if not message:
        assert StateRegistry().state(cls).get("it") == default
        return
    with pytest.raises(FieldDefinitionError) as caught:
        StateRegistry().state(cls)
    assert str(caught.value).startswith("field 'it' of State class Signup: its default ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


WRITES: dict[str, Callable[[State], object]] = {
    "set": lambda state: state.set("it", "a"),
    "update": lambda state: state.update(other=1, it="a"),
    "setdefault": lambda state: state.setdefault("new", "a"),
    "mutate": lambda state: state.mutate("it", str),
    "increment": lambda state: state.increment("it", 0.5),
    "append": lambda state: state.append("many", "a"),
}
PROBLEMS = {
    "increment": "1.5 (float): Expected `int`, got `float`",
    "append": "['a'] (list): Expected `int`, got `str` - at `$[0]`",
}
PROBLEMS |= {"mutate": "'1' (str): Expected `int`, got `str`"}


@pytest.mark.parametrize("verb", WRITES)
def test_every_verb_that_writes_is_checked_and_changes_nothing(verb: str) -> None:
    class Signup(State):
        it: int
        new: int
        many: list[int]

    registry = StateRegistry()
    state = registry.state(Signup)
    state.set("it", 1)
    with pytest.raises(FieldTypeError) as caught:
        WRITES[verb](state)
    field = {"setdefault": "new", "append": "many"}.get(verb, "it")
    problem = PROBLEMS.get(verb, "'a' (str): Expected `int`, got `str`")
    assert str(caught.value) == f"Signup.{field} can't be {problem}"
    assert (state.get_all(), len(registry.history())) == ({"it": 1}, 1)
    state.set("it", 2)
    assert state.increment("it") == 3
