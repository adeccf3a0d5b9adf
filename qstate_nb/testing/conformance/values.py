"""Values are values: copied in and out, of any type that can be stored; what can't be is refused by name."""

from __future__ import annotations

import datetime
import enum
import math
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import AsyncState, State
from qstate_nb.core.transactions import transaction
from qstate_nb.errors import StateValueError
from qstate_nb.testing.conformance.suite import Blocking, Box, Suite

_MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, 678)
_BERLIN = ZoneInfo("Europe/Berlin")

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64, -(10**40)),
    *(0.0, -0.0, 1.0, 0.1, 1e300, 5e-324, math.inf, -math.inf, math.nan, 1 + 2j),
    *("", "a", "é", "e\u0301", "😀", "\0", "\x7f", '"\\', "\ud800", "$int", "1", "null", "x" * 100_000),
    *(b"", b"\0\xff", bytearray(b"\0\xff")),
    *(Decimal("1.50"), Decimal("-0"), Decimal("NaN"), Decimal("1E+100"), Fraction(-1, 3), uuid.UUID(int=7)),
    *(_MOMENT, _MOMENT.replace(tzinfo=datetime.UTC), _MOMENT.replace(tzinfo=_BERLIN), _MOMENT.replace(fold=1)),
    *(_MOMENT.date(), _MOMENT.time(), datetime.timedelta(-1, 2, 3), datetime.date.min, datetime.datetime.max),
    *([], [[]], {}, {"a": {"b": []}}, (), ((1,), 2), set(), {1, "a", (1, 2)}, frozenset({1}), deque([1], 3), deque()),
    *({"$int": 1}, {"": 1}, {1: "a", "1": "b"}, {None: 1, (1, 2): 2}, {True: "t"}, {1.5: 1}, {"\udfff": 1}),
    {"order": {"items": [("apples", Decimal("1.10")), {"when": _MOMENT, "tags": {"a", "b"}}], "paid": None}},
]


class Colour(enum.Enum):
    """Of a declared field."""

    RED = "red"
    BLUE = "blue"


class Permission(enum.Flag):
    """Of a declared field."""

    READ = 1
    WRITE = 2


@dataclass
class Address:
    """Of a declared field."""

    street: str
    lines: list[str]


class Point(msgspec.Struct):
    """Of a declared field."""

    x: int
    colour: Colour = Colour.RED


class Declaring(State):
    """Has fields of classes."""

    colour: Colour = Colour.RED
    permission: Permission = Permission.READ
    address: Address | None = None
    points: dict[str, list[Point]] = {}  # noqa: RUF012 - each State gets a copy


class AsyncDeclaring(AsyncState, name="Declaring"):
    """The same, for async code."""

    colour: Colour = Colour.RED
    permission: Permission = Permission.READ
    address: Address | None = None
    points: dict[str, list[Point]] = {}  # noqa: RUF012


class _Own:
    def __repr__(self) -> str:
        return "<own>"


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "an object": (_Own, "_Own"),
    "an object in a list": (lambda: [1, {"a": _Own()}], "_Own"),
    "an object in a key": (lambda: {_Own(): 1}, "_Own"),
    "a function": (lambda: len, "builtin_function_or_method"),
    "a class": (lambda: int, "type"),
    "a dataclass of no declared field": (lambda: Address("a", []), "Address"),
    "an enum of no declared field": (lambda: Colour.RED, "Colour"),
    "a path": (lambda: Path("a"), "Path"),
    "a range": (lambda: range(3), "range"),
    "a subclass of dict": (lambda: OrderedDict(a=1), "OrderedDict"),
    "another subclass of dict": (lambda: Counter("a"), "Counter"),
}


def described(value: Any) -> Any:
    """All that tells values apart: also True from 1, 1 from 1.0, 0.0 from -0.0, and the order of a dict."""
    if isinstance(value, dict):
        return "dict", type(value), [(described(key), described(item)) for key, item in value.items()]
    if isinstance(value, list | tuple | deque):
        return type(value), [described(item) for item in value], getattr(value, "maxlen", None)
    if isinstance(value, set | frozenset):
        return type(value), sorted(map(repr, map(described, value)))
    if isinstance(value, datetime.datetime):
        return type(value), value.isoformat(), str(value.tzinfo), value.fold
    if isinstance(value, Address | Point):
        return type(value), [(name, described(getattr(value, name))) for name in value.__annotations__]
    return type(value), repr(value)


class Values(Suite):
    """What can be stored, and that nobody can change it from outside."""

    @pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
    def test_a_value_comes_back_as_it_was(self, registry: StateRegistry, value: Any) -> None:
        """From every verb that gives one."""
        box, wanted = registry.state(Box), described(value)
        box.set("value", value)
        assert described(box.get("value")) == wanted
        assert described(box.get_all()["value"]) == wanted
        assert described(box.update(other=[value])["value"]) == wanted
        assert described(box.setdefault("value", 0)) == wanted
        assert described(box.setdefault("new", value)) == wanted
        assert described(box.mutate("value", lambda given: given)) == wanted
        box.append("other", value)
        assert described(box.get("other")) == described([value, value])
        assert described(box.pop("value")) == wanted

    def test_values_come_back_elsewhere(self, registry: StateRegistry, other: StateRegistry) -> None:
        """In other processes, and in the journal."""
        fields = {f"value {number}": value for number, value in enumerate(VALUES)}
        registry.state(Box).update(**fields)
        assert described(other.state(Box).get_all()) == described(fields)
        (event,) = other.history()
        assert described([change.after for change in event.changes]) == described(VALUES)
        assert described({**other.at(1)["Box"]}) == described(fields)

    def test_declared_classes_come_back(self, registry: StateRegistry, opened: Callable[[], StateRegistry]) -> None:
        """Enums, dataclasses and Structs that a declared field names."""
        fields = {
            "colour": Colour.BLUE,
            "permission": Permission.READ | Permission.WRITE,
            "address": Address("Lane", ["1", "2"]),
            "points": {"a": [Point(1), Point(2, Colour.BLUE)]},
        }
        for kind in (Declaring, AsyncDeclaring):
            state = Blocking(registry.state(kind))
            state.update(**fields)
            assert described(state.get_all()) == described(fields)
            state.clear()
            assert state.get("colour") is Colour.RED
        registry.state(Declaring).update(**fields)
        again = opened() if self.shared else registry
        assert described(again.state(Declaring).get_all()) == described(fields)
        assert described({**again.at()["Declaring"]}) == described(fields)

    @pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
    def test_what_goes_in_and_out_is_a_copy(self, registry: StateRegistry, inside: bool) -> None:
        """So nobody can change it but by a verb."""
        box = registry.state(Box)
        with transaction(box) if inside else transaction(registry.state(Box, scope="another")):
            self._copies(box)
        assert described({**registry.at()["Box"]}) == described(registry.state(Box).get_all())

    def _copies(self, box: Box) -> None:
        given: list[Any] = [1, ["a"]]
        box.set("list", given)
        box.update(dict={"a": [1]}, set={1}, bytes=bytearray(b"a"), deque=deque([1]), tuple=([1],))
        before = described(box.get_all())
        found = box.get_all()
        for value in (given, box.get("list"), found["list"], box.setdefault("list", None), box.update()["list"]):
            value.append(2)
            value[1].append("b")
        for fields in (found, box.get_all()):
            fields["dict"]["a"].append(2)
            fields["set"].add(2)
            fields["bytes"].append(2)
            fields["deque"].append(2)
            fields["tuple"][0].append(2)
            fields["new"] = 1
        box.mutate("list", lambda value: value).append(2)
        item: list[int] = []
        box.append("items", item)
        item.append(1)
        box.mutate("items", lambda value: given.append(value) or value)  # type: ignore[func-returns-value]
        given[-1].append(2)
        assert box.pop("items") == [[]]
        assert described(box.get_all()) == before

    def test_events_give_copies(self, registry: StateRegistry) -> None:
        """So nobody can change the past."""
        box = registry.state(Box)
        box.set("list", [1])
        box.append("list", 2)
        for _ in range(2):
            (change,) = registry.history()[-1].changes
            assert (change.before, change.after) == ([1], [1, 2])
            change.before.append(0)
            change.after.append(0)
            registry.at(1)["Box"]["list"].append(0)
        assert registry.at(1)["Box"] == {"list": [1]}
        assert box.get("list") == [1, 2]

    @pytest.mark.parametrize("name", REFUSED)
    def test_what_cant_be_stored_is_refused_by_name(self, registry: StateRegistry, name: str) -> None:
        """Before anything is stored, by every verb; a store of one process keeps it, if only by reference."""
        make, called = REFUSED[name]
        box = registry.state(Box)
        if not self.shared:
            box.set("value", make())
            assert isinstance(box.get("value"), type(make()))
            own = _Own()
            box.append("items", own)
            assert box.get("items")[0] is own
            return
        box.update(n=1, items=[])
        for call in (
            lambda: box.set("n", make()),
            lambda: box.update(n=2, new=make()),
            lambda: box.append("items", make()),
            lambda: box.setdefault("new", make()),
            lambda: box.mutate("n", lambda _: make()),
        ):
            with pytest.raises(StateValueError, match=rf"Box\.\w+ can't be stored: .*{called}"):
                call()
        assert (box.get_all(), registry.seq) == ({"n": 1, "items": []}, 1)

    def test_what_cant_be_stored_is_refused_in_a_transaction(self, registry: StateRegistry) -> None:
        """By the op itself; the others of the transaction can go on."""
        self.need_sharing()
        box = registry.state(Box)
        with transaction(box):
            box.set("n", 1)
            with pytest.raises(StateValueError, match=r"Box\.own can't be stored: .*_Own"):
                box.set("own", _Own())
            box.increment("n")
        assert (box.get_all(), registry.seq) == ({"n": 2}, 1)

    def test_what_contains_itself_is_refused(self, box: Any, registry: StateRegistry) -> None:
        """It has no copy."""
        own: list[Any] = []
        own.append(own)
        with pytest.raises(StateValueError, match="list"):
            box.set("own", own)
        assert (box.get_all(), registry.seq) == ({}, 0)

    def test_a_large_value(self, registry: StateRegistry) -> None:
        """Of a few megabytes."""
        large = {"text": "é" * 1_000_000, "numbers": list(range(50_000))}
        registry.state(Box).set("large", large)
        assert registry.state(Box).get("large") == large
