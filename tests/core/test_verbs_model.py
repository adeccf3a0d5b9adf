"""Any sequence of verbs does to a State what it does to a dict, in both colours, with declared fields or not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.blocking import Blocking
from support.containers import keys, leaves, same, spoil, values
from support.replay import assert_no_gaps, replay

from qstate_nb import AsyncState, State, StateKey, StateRegistry
from qstate_nb.core.state import StateBase
from qstate_nb.errors import FieldTypeError, NotFoundError

KEY = StateKey("Signup")


class Free(State, name="Signup"):
    pass


class FreeAsync(AsyncState, name="Signup"):
    pass


class Declared(State, name="Signup"):
    step: int = 5
    a: list[Any] = [[1]]  # noqa: RUF012
    b: str  # no default


class DeclaredAsync(AsyncState, name="Signup"):
    step: int = 5
    a: list[Any] = [[1]]  # noqa: RUF012
    b: str


class Strict(State, name="Signup", strict=True):
    step: int = 5
    a: list[Any] = [[1]]  # noqa: RUF012
    b: str


CLASSES: dict[str, tuple[type[StateBase], ...]] = {
    "sync": (Free,),
    "async": (FreeAsync,),
    "both": (Free, FreeAsync),
    "sync, declared": (Declared,),
    "both, declared": (Declared, DeclaredAsync),
    "strict": (Strict,),
}
FITS: dict[str, Callable[[Any], bool]] = {
    "step": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "a": lambda value: isinstance(value, list),
    "b": lambda value: isinstance(value, str),
}


class Refused(Exception):
    """What the model raises where a State raises one of its errors."""


class Failure(Exception):
    """What a function for mutate raises."""


class Model:
    """What State promises, in the simplest way: a dict, and defaults under it."""

    def __init__(self, *, declared: bool, strict: bool) -> None:
        self.fields: dict[str, Any] = {}
        self.declared = declared
        self.strict = strict

    @property
    def shown(self) -> dict[str, Any]:
        defaults: dict[str, Any] = {"step": 5, "a": [[1]]} if self.declared else {}
        return {**defaults, **self.fields}

    def checked(self, values: dict[str, Any]) -> None:
        for key, value in values.items():
            self.known(key)
            if self.declared and key in FITS and not FITS[key](value):
                raise Refused

    def known(self, key: str) -> None:
        if self.strict and key not in FITS:
            raise Refused

    def get(self, key: str, default: Any = None) -> Any:
        self.known(key)
        return self.shown.get(key, default)

    def get_all(self) -> dict[str, Any]:
        return self.shown

    def contains(self, key: str) -> bool:
        self.known(key)
        return key in self.shown

    def keys(self) -> list[str]:
        return list(self.shown)

    def set(self, key: str, value: Any) -> None:
        self.checked({key: value})
        self.fields[key] = value

    def update(self, /, **values: Any) -> dict[str, Any]:
        self.checked(values)
        self.fields.update(values)
        return self.shown

    def delete(self, key: str) -> None:
        self.known(key)
        self.fields.pop(key, None)

    def clear(self) -> None:
        self.fields.clear()

    drop = clear

    def increment(self, key: str, by: Any = 1) -> Any:
        old = self.get(key, 0)
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in (old, by)):
            raise Refused
        self.set(key, old + by)
        return old + by

    def append(self, key: str, item: Any) -> None:
        old = self.get(key, [])
        if not isinstance(old, list):
            raise Refused
        new = copy.deepcopy(old)
        list.append(new, item)
        self.set(key, new)

    def setdefault(self, key: str, value: Any = None) -> Any:
        self.checked({key: value})
        if key not in self.shown:
            self.fields[key] = value
        return self.shown[key]

    def pop(self, key: str, default: Any = None) -> Any:
        value = self.get(key, default)
        self.fields.pop(key, None)
        return value

    def mutate(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        new = function(copy.deepcopy(self.get(key, default)))
        self.set(key, new)
        return new


def spoil_and_fail(value: Any) -> Any:
    spoil(value)
    raise Failure


def spoiling(value: Any) -> Any:
    result = [copy.deepcopy(value)]
    spoil(value)
    return result


FUNCTIONS: list[Callable[[Any], Any]] = [
    lambda value: value,
    lambda value: [value],
    lambda _: 7,
    lambda value: f"{type(value).__name__}",
    spoiling,
    spoil_and_fail,
]

Call = tuple[str, tuple[Any, ...], dict[str, Any]]


numbers = st.one_of(st.integers(-9, 9), st.floats(-9, 9, width=16))
lists = st.lists(values, max_size=2)
anything = st.one_of(values, numbers, leaves, lists)
functions = st.sampled_from(FUNCTIONS)

# For each verb, strategies for its arguments, and how many of the last ones can be left out.
VERBS: list[tuple[str, tuple[st.SearchStrategy[Any], ...], int]] = [
    ("get", (keys, anything), 1),
    ("get_all", (), 0),
    ("contains", (keys,), 0),
    ("keys", (), 0),
    ("set", (keys, anything), 0),
    ("set", (st.just("a"), lists), 0),
    ("update", (), 0),
    ("delete", (keys,), 0),
    ("clear", (), 0),
    ("drop", (), 0),
    ("increment", (keys, st.one_of(numbers, anything)), 1),
    ("increment", (st.just("step"), numbers), 1),
    ("append", (keys, anything), 0),
    ("setdefault", (keys, anything), 1),
    ("pop", (keys, anything), 1),
    ("mutate", (keys, functions, anything), 1),
]


@st.composite
def calls(draw: st.DrawFn) -> Call:
    name, strategies, optional = draw(st.sampled_from(VERBS))
    given = strategies[: len(strategies) - draw(st.integers(0, optional))]
    kwargs = draw(st.dictionaries(keys, anything, max_size=3)) if name == "update" else {}
    return name, tuple(map(draw, given)), kwargs


def outcome(target: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a call gives, or the error that it raises."""
    try:
        return getattr(target, name)(*args, **kwargs)
    except (Refused, Failure, FieldTypeError, NotFoundError) as error:
        return Failure if isinstance(error, Failure) else Refused


@pytest.mark.parametrize("name", CLASSES)
@given(data=st.data())
def test_any_sequence_of_verbs_does_what_it_does_to_a_dict(name: str, data: st.DataObject) -> None:
    """Results, errors, fields and journal.

    The State gets values of its own, and all that goes in and comes out of it is spoilt in every part as soon as it
    has been looked at.
    """
    classes = CLASSES[name]
    registry = StateRegistry()
    views = [Blocking(registry.state(cls)) for cls in classes]
    model = Model(declared=classes[0].declared is not None, strict=classes == (Strict,))
    for verb, args, kwargs in data.draw(st.lists(calls(), max_size=10)):
        view = data.draw(st.sampled_from(views)) if len(views) > 1 else views[0]
        before, events = copy.deepcopy(model.fields), len(registry.history())
        given_args, given_kwargs = copy.deepcopy((args, kwargs))
        result = outcome(view, verb, given_args, given_kwargs)
        expected = outcome(model, verb, *copy.deepcopy((args, kwargs)))
        assert same(result, expected), (verb, args, kwargs)
        spoil([given_args[1:], given_kwargs, result])
        new = registry.history()[events:]
        assert len(new) <= 1
        assert bool(new) or same(model.fields, before)
        assert all(event.op == verb for event in new)
        for event in registry.history():
            spoil(list(event.changes))
        assert all(same(each.get_all(), model.shown) for each in views)
    assert_no_gaps(registry.history())
    assert same(dict(sorted(replay(registry.history(), KEY).items())), dict(sorted(model.fields.items())))
    assert set(registry.writers(KEY)) == set(model.fields)
