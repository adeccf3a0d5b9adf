"""The verbs of State beside get, set, update, delete and clear: one body for both colours.

And for both ways that an op can go: straight to the bucket, or, where a class declares fields, by the store.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from support.blocking import Blocking
from support.containers import same, spoil
from support.replay import assert_no_gaps, replay

from qstate_nb import ABSENT, AsyncState, State, StateKey, StateRegistry
from qstate_nb.core.state import StateBase
from qstate_nb.errors import FieldTypeError, StateValueError


class Signup(State):
    pass


class SignupAsync(AsyncState, name="Signup"):
    pass


class Declared(State, name="Signup"):
    other: int


class DeclaredAsync(AsyncState, name="Signup"):
    other: int


KEY = StateKey("Signup")
BEFORE: dict[str, Any] = {"n": 1, "x": 1.5, "list": [[1]], "tuple": (1,), "none": None, "text": "a", "yes": True}
CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.fixture
def registry() -> StateRegistry:
    return StateRegistry()


@pytest.fixture(params=[Signup, SignupAsync, Declared, DeclaredAsync], ids=lambda cls: cls.__name__)
def state(request: pytest.FixtureRequest, registry: StateRegistry) -> Blocking:
    """A State with the fields in `BEFORE`, and no event but the first."""
    cls: type[StateBase] = request.param
    state = Blocking(registry.state(cls))
    state.update(**copy.deepcopy(BEFORE))
    return state


def new_events(registry: StateRegistry) -> list[tuple[str, list[tuple[str, Any, Any]]]]:
    """Op and changes of each event after the first."""
    history = registry.history()
    assert_no_gaps(history)
    assert all(event.states == (KEY,) for event in history)
    return [(event.op, [(c.field, c.before, c.after) for c in event.changes]) for event in history[1:]]


Changes = list[tuple[str, Any, Any]]
Doing = tuple[str, tuple[Any, ...], Any, Changes]

WRITES: list[Doing] = [
    ("increment", ("n",), 2, [("n", 1, 2)]),
    ("increment", ("n", 5), 6, [("n", 1, 6)]),
    ("increment", ("n", -5), -4, [("n", 1, -4)]),
    ("increment", ("n", 0), 1, [("n", 1, 1)]),
    ("increment", ("n", 0.5), 1.5, [("n", 1, 1.5)]),
    ("increment", ("x",), 2.5, [("x", 1.5, 2.5)]),
    ("increment", ("new",), 1, [("new", ABSENT, 1)]),
    ("increment", ("new", 2.5), 2.5, [("new", ABSENT, 2.5)]),
    ("increment", ("n", Decimal("0.1")), Decimal("1.1"), [("n", 1, Decimal("1.1"))]),
    ("increment", ("n", Fraction(1, 3)), Fraction(4, 3), [("n", 1, Fraction(4, 3))]),
    ("increment", ("n", 10**30), 10**30 + 1, [("n", 1, 10**30 + 1)]),
    ("append", ("list", 2), None, [("list", [[1]], [[1], 2])]),
    ("append", ("list", [2]), None, [("list", [[1]], [[1], [2]])]),
    ("append", ("new", None), None, [("new", ABSENT, [None])]),
    ("setdefault", ("new", [5]), [5], [("new", ABSENT, [5])]),
    ("setdefault", ("new",), None, [("new", ABSENT, None)]),
    ("pop", ("n",), 1, [("n", 1, ABSENT)]),
    ("pop", ("list", "default"), [[1]], [("list", [[1]], ABSENT)]),
    ("pop", ("none", "default"), None, [("none", None, ABSENT)]),
    ("mutate", ("n", lambda value: value * 10), 10, [("n", 1, 10)]),
    ("mutate", ("n", lambda value: value), 1, [("n", 1, 1)]),
    ("mutate", ("n", lambda _: None), None, [("n", 1, None)]),
    ("mutate", ("list", lambda value: [*value, 2]), [[1], 2], [("list", [[1]], [[1], 2])]),
    ("mutate", ("new", lambda value: [value]), [None], [("new", ABSENT, [None])]),
    ("mutate", ("new", lambda value: value + 1, 41), 42, [("new", ABSENT, 42)]),
    ("mutate", ("none", lambda value: [value], 41), [None], [("none", None, [None])]),
    ("drop", (), None, [(field, value, ABSENT) for field, value in BEFORE.items()]),
]


@pytest.mark.parametrize(("method", "args", "result", "changes"), WRITES)
def test_a_write_gives_its_result_and_is_one_event(
    state: Blocking, registry: StateRegistry, method: str, args: tuple[Any, ...], result: Any, changes: Changes
) -> None:
    assert same(getattr(state, method)(*args), result)
    assert same(new_events(registry), [(method, changes)])
    after = dict(BEFORE)
    for field, _, value in changes:
        after[field] = value
        if value is ABSENT:
            del after[field]
    assert same(state.get_all(), after)
    assert replay(registry.history(), KEY) == after


READS: list[tuple[str, tuple[Any, ...], Any]] = [
    ("contains", ("n",), True),
    ("contains", ("none",), True),
    ("contains", ("new",), False),
    ("contains", ("",), False),
    ("keys", (), list(BEFORE)),
    ("setdefault", ("n", 5), 1),
    ("setdefault", ("none", 5), None),
    ("setdefault", ("list", 5), [[1]]),
    ("pop", ("new",), None),
    ("pop", ("new", "default"), "default"),
    ("delete", ("new",), None),
]


@pytest.mark.parametrize(("method", "args", "result"), READS)
def test_what_changes_nothing_is_no_event(
    state: Blocking, registry: StateRegistry, method: str, args: tuple[Any, ...], result: Any
) -> None:
    assert same(getattr(state, method)(*args), result)
    assert new_events(registry) == []
    assert same(state.get_all(), BEFORE)


def test_names_of_arguments_are_those_of_the_documentation(state: Blocking) -> None:
    assert state.increment(key="n", by=2) == 3
    assert state.append(key="list", item=2) is None
    assert state.setdefault(key="s", value=3) == 3
    assert state.pop(key="s", default=4) == 3
    assert state.mutate(key="m", function=lambda value: value + 1, default=4) == 5
    assert state.contains(key="m") is True


def test_a_dropped_state_is_as_new(state: Blocking, registry: StateRegistry) -> None:
    state.drop()
    assert (state.get_all(), state.keys(), registry.keys()) == ({}, [], [])
    assert registry.writers(KEY) == {}
    state.drop()
    assert len(registry.history()) == 2
    assert state.increment("n") == 1
    assert registry.keys() == [KEY]
    assert state.get_all() == {"n": 1}


# -- wrong types ---------------------------------------------------------------------------------------------------

NO_NUMBER = "can't be incremented by 1: {} is of type {}, and that is no number"
NO_LIST = "can't be appended to: {} is of type {}, and that is no list"

WRONG: list[tuple[str, tuple[Any, ...], str]] = [
    ("increment", ("text",), NO_NUMBER.format("'a'", "str")),
    ("increment", ("yes",), NO_NUMBER.format("True", "bool")),
    ("increment", ("none",), NO_NUMBER.format("None", "NoneType")),
    ("increment", ("list",), NO_NUMBER.format("[[1]]", "list")),
    ("increment", ("tuple",), NO_NUMBER.format("(1,)", "tuple")),
    ("increment", ("n", "1"), "can't be incremented by '1': '1' is of type str, and that is no number"),
    ("increment", ("n", True), "can't be incremented by True: True is of type bool, and that is no number"),
    ("increment", ("n", None), "can't be incremented by None: None is of type NoneType, and that is no number"),
    ("increment", ("n", [1]), "can't be incremented by [1]: [1] is of type list, and that is no number"),
    ("increment", ("new", "1"), "can't be incremented by '1': '1' is of type str, and that is no number"),
    (
        "increment",
        ("x", Decimal("0.1")),
        "can't be incremented by Decimal('0.1'): 1.5 is of type float, and Decimal can't be added",
    ),
    ("append", ("tuple", 2), NO_LIST.format("(1,)", "tuple")),
    ("append", ("text", "b"), NO_LIST.format("'a'", "str")),
    ("append", ("none", 2), NO_LIST.format("None", "NoneType")),
    ("append", ("n", 2), NO_LIST.format("1", "int")),
]


@pytest.mark.parametrize(("method", "args", "message"), WRONG)
def test_a_wrong_type_names_state_key_and_type_and_changes_nothing(
    state: Blocking, registry: StateRegistry, method: str, args: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(FieldTypeError) as caught:
        getattr(state, method)(*args)
    assert str(caught.value) == f"Signup.{args[0]} {message}"
    assert new_events(registry) == []
    assert same(state.get_all(), BEFORE)


def test_a_sum_that_can_not_be_computed_changes_nothing(state: Blocking, registry: StateRegistry) -> None:
    with pytest.raises(OverflowError):
        state.increment("x", 10**400)
    assert new_events(registry) == []
    assert state.increment("x") == 2.5


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("append", ("list", CYCLE)),
        ("setdefault", ("new", CYCLE)),
        ("mutate", ("n", lambda _: CYCLE)),
        ("mutate", ("new", lambda value: value, CYCLE)),
    ],
)
def test_a_value_that_can_not_be_copied_changes_nothing(
    state: Blocking, registry: StateRegistry, method: str, args: tuple[Any, ...]
) -> None:
    with pytest.raises(StateValueError, match="contains itself"):
        getattr(state, method)(*args)
    assert new_events(registry) == []
    assert same(state.get_all(), BEFORE)
    assert state.increment("n") == 2


# -- values are values ---------------------------------------------------------------------------------------------


def nested() -> Any:
    return {"a": [{"b": [1]}], "c": ({"d"}, [bytearray(b"e")])}


def test_what_is_put_in_and_what_comes_out_are_copies_at_every_depth(state: Blocking) -> None:
    given: list[Any] = []

    def function(value: Any) -> Any:
        given.extend((value, nested()))
        return given[-1]

    item, value, default = nested(), nested(), nested()
    state.append("list", item)
    first = state.setdefault("s", value)
    second = state.setdefault("s", None)
    result = state.mutate("m", function, default)
    for each in (item, value, default, first, second, result, *given):
        spoil(each)
    assert same(given[0], spoilt(nested()))  # the function got a copy of the default, not the default
    expected = {**BEFORE, "list": [[1], nested()], "s": nested(), "m": nested()}
    assert same(state.get_all(), expected)
    spoil(state.get_all())
    spoil(state.pop("s"))
    state.set("s", nested())
    assert same(state.get_all(), {**BEFORE, "list": [[1], nested()], "m": nested(), "s": nested()})


def spoilt(value: Any) -> Any:
    spoil(value)
    return value


def test_events_have_values_of_their_own(state: Blocking, registry: StateRegistry) -> None:
    state.append("list", nested())
    state.mutate("list", lambda value: [spoilt(value)])
    state.pop("list")
    before = [[1], nested()]
    after = [spoilt(copy.deepcopy(before))]
    changes = [("list", [[1]], before), ("list", before, after), ("list", after, ABSENT)]
    for _ in range(2):
        events = new_events(registry)
        assert same([changed for _, (changed,) in events], changes)
        spoil(events)


def test_a_default_that_is_not_stored_is_given_back_as_it_is(state: Blocking) -> None:
    default = [1]
    assert state.pop("new", default) is default
    assert state.get("new", default) is default


# -- mutate --------------------------------------------------------------------------------------------------------


class Failure(Exception):
    pass


@pytest.mark.parametrize("error", [Failure, KeyboardInterrupt, asyncio.CancelledError, SystemExit])
def test_a_function_that_raises_changes_nothing_and_the_state_goes_on(
    state: Blocking, registry: StateRegistry, error: type[BaseException]
) -> None:
    def fail(value: Any) -> Any:
        value.append("spoilt")
        value[0].append("spoilt")
        raise error

    with pytest.raises(error):
        state.mutate("list", fail)
    with pytest.raises(error):
        state.mutate("new", fail, [[]])
    assert new_events(registry) == []
    assert same(state.get_all(), BEFORE)
    assert state.mutate("n", lambda value: value + 1) == 2
    assert [op for op, _ in new_events(registry)] == ["mutate"]


async def async_function(value: Any) -> Any:
    return value


class Awaitable:
    def __await__(self) -> Any:
        raise AssertionError


@pytest.mark.parametrize(("function", "kind"), [(async_function, "coroutine"), (lambda _: Awaitable(), "Awaitable")])
def test_an_async_function_is_refused(
    state: Blocking, registry: StateRegistry, function: Callable[[Any], Any], kind: str
) -> None:
    with pytest.raises(FieldTypeError) as caught:
        state.mutate("n", function)
    assert str(caught.value) == (
        "the function that mutate was given for Signup.n must not be async, and not return an "
        f"awaitable ({kind}); to await between a get and a set, use a transaction"
    )
    assert new_events(registry) == []
    assert same(state.get_all(), BEFORE)


def test_a_function_can_use_the_same_state(state: Blocking, registry: StateRegistry) -> None:
    """It sees what it has done itself, others don't; all of it is one event, and the result comes last."""
    inner = registry.state(Signup)

    def function(value: Any) -> Any:
        assert inner.get("n") == value == 1
        inner.set("n", 50)
        inner.update(a=[1], n=51)
        assert inner.increment("n") == 52
        assert inner.mutate("x", lambda x: x + inner.get("n")) == 53.5
        inner.delete("text")
        assert registry.history()[-1].seq == 1
        return inner.get("n") + 1

    assert state.mutate("n", function) == 53
    assert new_events(registry) == [
        ("mutate", [("n", 1, 53), ("a", ABSENT, [1]), ("x", 1.5, 53.5), ("text", "a", ABSENT)])
    ]


def test_what_a_function_did_to_the_state_is_undone_if_it_raises(state: Blocking, registry: StateRegistry) -> None:
    inner = registry.state(Signup)

    def fail(_: Any) -> Any:
        inner.set("n", 50)
        inner.drop()
        raise Failure

    with pytest.raises(Failure):
        state.mutate("n", fail)
    assert new_events(registry) == []
    assert same(state.get_all(), BEFORE)
    assert registry.keys() == [KEY]


def test_a_function_can_use_another_state(state: Blocking, registry: StateRegistry) -> None:
    """Which is not held meanwhile: its ops are ordinary ones."""
    other = registry.state(Signup, scope=42)
    assert state.mutate("n", lambda value: other.increment("n", value)) == 1
    assert [(event.op, *event.states) for event in registry.history()[1:]] == [
        ("increment", StateKey("Signup", 42)),
        ("mutate", KEY),
    ]


def test_a_function_that_drops_the_state_and_gives_a_value_leaves_that(
    state: Blocking, registry: StateRegistry
) -> None:
    inner = registry.state(Signup)

    def function(_: Any) -> int:
        inner.drop()
        return 5

    assert state.mutate("n", function) == 5
    assert state.get_all() == {"n": 5}
    assert registry.keys() == [KEY]
