"""Nested values of every kind of container that State copies, and how to compare and to spoil them.

Nothing here uses the code under test: `same` and `spoil` walk a value on their own.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from hypothesis import strategies as st


@dataclass
class Plain:
    """A dataclass as most people write it."""

    parts: Any
    note: Any = None


@dataclass(frozen=True)
class Frozen:
    parts: Any


@dataclass(slots=True)
class Slotted:
    parts: Any


@dataclass(frozen=True, slots=True)
class FrozenSlotted:
    parts: Any


@dataclass(slots=True)
class SlottedChild(Slotted):
    more: Any = None


@dataclass(eq=False)
class ByIdentity:
    """Mutable and hashable, so that a set can hold it."""

    parts: Any


@dataclass
class Batch(list[Any]):
    """A dataclass that is a list as well; dataclasses give it a constructor without the items."""

    label: Any


class Point(NamedTuple):
    x: Any
    y: Any


class Labelled(dict[str, Any]):
    """A dict with an attribute of its own."""

    label: Any


class Stack(list[Any]):
    pass


class Tags(set[Any]):
    pass


class Fixed(frozenset[Any]):
    pass


class Buffer(bytearray):
    pass


class Window(deque[Any]):
    pass


class Path(tuple[Any, ...]):
    """A tuple with an attribute of its own."""

    label: Any


def labelled(items: dict[str, Any], label: Any) -> Labelled:
    value = Labelled(items)
    value.label = label
    return value


def path(items: list[Any], label: Any) -> Path:
    value = Path(items)
    value.label = label
    return value


def batch(items: list[Any], label: Any) -> Batch:
    value = Batch(label)
    value.extend(items)
    return value


def default_dict(items: dict[str, Any]) -> defaultdict[str, Any]:
    return defaultdict(list, items)


keys = st.sampled_from(["a", "b", "c", "step", "state", "self", "key"])

leaves: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-9, 9),
    st.floats(allow_nan=False, width=16),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.dates(datetime.date(2026, 1, 1), datetime.date(2026, 12, 31)),
)

hashables: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, inner),
        st.frozensets(inner, max_size=2),
        st.builds(Point, inner, inner),
        st.builds(Frozen, inner),
    ),
    max_leaves=3,
)


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=3)
    dicts = st.dictionaries(keys, inner, max_size=3)
    return st.one_of(
        lists,
        dicts,
        lists.map(tuple),
        st.builds(deque, lists, st.sampled_from([None, 3, 5])),
        st.builds(OrderedDict, dicts),
        st.builds(default_dict, dicts),
        st.builds(labelled, dicts, inner),
        st.builds(path, lists, inner),
        st.builds(batch, lists, inner),
        st.builds(Stack, lists),
        st.builds(Window, lists),
        st.builds(Point, inner, inner),
        *(st.builds(kind, inner) for kind in (Plain, Frozen, Slotted, FrozenSlotted)),
        st.builds(SlottedChild, inner, inner),
    )


values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        leaves,
        st.sets(hashables, max_size=3),
        st.builds(Tags, st.lists(hashables, max_size=3)),
        st.builds(Fixed, st.lists(hashables, max_size=3)),
        st.builds(Counter, st.text("ab", max_size=4)),
        st.binary(max_size=3).map(bytearray),
        st.binary(max_size=3).map(Buffer),
    ),
    _containers,
    max_leaves=8,
)
"""Values of State: leaves, and containers of all kinds around them."""


def attributes(value: Any) -> dict[str, Any]:
    """What a value holds beside its items: the fields of a dataclass, and its ``__dict__``."""
    if isinstance(value, type | enum.Enum):
        return {}
    found = dict(getattr(value, "__dict__", {}))
    if dataclasses.is_dataclass(value):
        found |= {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return found


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple | deque | set | frozenset) else []


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, and of the same types in the same order, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, set | frozenset):
        return one == other and sorted(map(_kinds, one)) == sorted(map(_kinds, other))
    if isinstance(one, dict) and list(one) != list(other):
        return False
    if isinstance(one, defaultdict) and one.default_factory is not other.default_factory:
        return False
    if isinstance(one, deque) and one.maxlen != other.maxlen:
        return False
    if attributes(one).keys() != attributes(other).keys():
        return False
    parts, others = ([*_items(v), *attributes(v).values()] for v in (one, other))
    if parts or others:
        return len(parts) == len(others) and all(map(same, parts, others))
    return bool(one == other)


def _kinds(value: Any) -> str:
    parts = [*_items(value), *attributes(value).values()]
    return f"{type(value).__qualname__}({', '.join(sorted(map(_kinds, parts)))})"


def mutable_parts(value: Any) -> Iterator[Any]:
    """Everything in a value, itself included, that can be changed in place."""
    inside = attributes(value)
    if inside or isinstance(value, dict | list | set | deque | bytearray):
        yield value
    for part in [*_items(value), *inside.values()]:
        yield from mutable_parts(part)


def spoil(value: Any) -> None:
    """Change everything in a value that can be changed in place, whatever it says about being frozen."""
    for part in list(mutable_parts(value)):
        for name in attributes(part):
            object.__setattr__(part, name, "spoilt")
        if isinstance(part, dict):
            part["spoilt"] = 1
        elif isinstance(part, set):
            part.add("spoilt")
        elif isinstance(part, bytearray):
            part.extend(b"spoilt")
        elif isinstance(part, list | deque):
            part.append("spoilt")


class Lazy:
    """An object of which nothing may be asked before it is needed."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("not yet")

    @__class__.setter
    def __class__(self, value: Any) -> None: ...
