"""Transactions: what is seen inside and outside, what is committed, and what is undone. Both colours, one body."""

from __future__ import annotations

import asyncio
import math
import operator
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from support.actors import Account, AccountAsync, Actor, World, a_world

from qstate_nb import ABSENT, AsyncState, Event, State, StateKey, StateRegistry, transaction
from qstate_nb.errors import (
    FieldTypeError,
    NotAStateError,
    NotFoundError,
    TransactionError,
    UnlinkedStateError,
)

COLOURS = ("thread", "task")


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as world:
        yield world


@pytest.fixture(params=COLOURS)
def anna(world: World, request: pytest.FixtureRequest) -> Actor:
    """Who has the transaction."""
    return world.actor(request.param, "anna")


def filled(actor: Actor, scope: str | None = None) -> None:
    actor.op(scope, "update", a=1, b=2, c=[3])


FILLED: dict[str, Any] = {"a": 1, "b": 2, "c": [3]}

OPS: dict[str, tuple[tuple[Any, ...], Any, dict[str, Any]]] = {  # op: arguments, result, fields after
    "set": (("a", 9), None, {**FILLED, "a": 9}),
    "update": ((), {**FILLED}, FILLED),
    "delete": (("a",), None, {"b": 2, "c": [3]}),
    "clear": ((), None, {}),
    "drop": ((), None, {}),
    "increment": (("a", 4), 5, {**FILLED, "a": 5}),
    "append": (("c", 4), None, {**FILLED, "c": [3, 4]}),
    "setdefault": (("d", 4), 4, {**FILLED, "d": 4}),
    "pop": (("a",), 1, {"b": 2, "c": [3]}),
    "mutate": (("a", operator.neg), -1, {**FILLED, "a": -1}),
}


@pytest.mark.parametrize("op", OPS)
def test_every_op_inside_changes_what_is_seen_inside_and_nothing_outside_before_the_end(
    world: World, anna: Actor, op: str
) -> None:
    args, result, after = OPS[op]
    filled(anna)
    writers, events = world.registry.writers(StateKey("Account")), world.registry.history()
    anna.enter(None)
    assert anna.op(None, op, *args) == result
    assert list(anna.op(None, "get_all").items()) == list(after.items())
    assert anna.op(None, "get") == after
    assert anna.op(None, "keys") == list(after)
    assert [anna.op(None, "contains", key) for key in "abcd"] == [key in after for key in "abcd"]
    assert [anna.op(None, "get", key, "none") for key in "abcd"] == [after.get(key, "none") for key in "abcd"]
    assert world.peek() == FILLED
    assert world.registry.writers(StateKey("Account")) == writers
    assert world.registry.history() == events
    anna.exit()
    assert list(anna.op(None, "get_all").items()) == list(after.items())
    assert world.peek() == after


def test_all_of_it_is_one_event_that_lists_every_changed_key(world: World, anna: Actor) -> None:
    """In the order in which they were first changed, bucket by bucket, each from what it was to what it is."""
    heard: list[Event] = []
    for scope in ("x", "y"):
        filled(anna, scope)
    world.registry.subscribe(heard.append)
    anna.enter("y", "x")
    anna.op("y", "set", "b", 5)
    anna.op("x", "delete", "c")
    anna.op("x", "set", "new", 1)
    anna.op("x", "set", "a", 7)
    anna.op("x", "set", "new", 2)
    assert heard == []
    anna.exit()
    x, y = StateKey("Account", "x"), StateKey("Account", "y")
    (event,) = world.registry.history()[2:]
    assert event.stored == ((x, "c", [3], ABSENT), (x, "new", ABSENT, 2), (x, "a", 1, 7), (y, "b", 2, 5))
    assert (event.seq, event.op, event.states) == (3, "transaction", (x, y))
    assert heard == [event]
    assert world.registry.writers(x) == {"a": event, "b": world.registry.history()[0], "new": event}


@pytest.mark.parametrize("what", ["nothing", "reads", "a field that came and went", "a missing field"])
def test_if_nothing_is_different_in_the_end_there_is_no_event(world: World, anna: Actor, what: str) -> None:
    steps: dict[str, list[tuple[Any, ...]]] = {
        "nothing": [],
        "reads": [("get", "a"), ("get_all",), ("keys",), ("contains", "a")],
        "a field that came and went": [("set", "a", 1), ("delete", "a")],
        "a missing field": [("delete", "a"), ("pop", "a"), ("clear",)],
    }
    anna.enter("new")
    for step in steps[what]:
        anna.op("new", *step)
    anna.exit()
    assert world.registry.history() == []
    assert world.registry.keys() == []
    anna.op("new", "set", "a", 1)
    assert [event.seq for event in world.registry.history()] == [1]


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit(), SystemExit(1)],
    ids=repr,
)
def test_an_exception_undoes_all_of_it_also_the_order_of_the_keys(
    world: World, anna: Actor, error: BaseException
) -> None:
    filled(anna, "x")
    events = world.registry.history()
    anna.enter("x", "y")
    for op in OPS:
        anna.op("x", op, *OPS[op][0])
        filled(anna, "x")
    anna.op("x", "delete", "a")
    anna.op("x", "set", "a", 1)
    anna.op("y", "set", "a", 1)
    anna.exit(error)
    assert list(anna.op("x", "get_all").items()) == list(FILLED.items())
    assert world.peek("y") == {}
    assert world.registry.history() == events
    assert world.registry.keys() == [StateKey("Account", "x")]


def test_the_exception_itself_gets_out() -> None:
    error = ValueError("no")

    async def asynchronous() -> None:
        async with StateRegistry().state(AccountAsync).transaction():
            raise error

    with pytest.raises(ValueError, match="no") as caught, StateRegistry().state(Account).transaction():
        raise error
    assert caught.value is error
    with pytest.raises(ValueError, match="no") as caught:
        asyncio.run(asynchronous())
    assert caught.value is error


def test_the_order_of_keys_inside_is_that_after_the_commit(world: World, anna: Actor) -> None:
    filled(anna)
    anna.enter(None)
    steps: list[tuple[Any, ...]] = [
        ("set", "z", 1),
        ("delete", "a"),
        ("set", "y", 1),
        ("delete", "z"),
        ("set", "b", 5),
    ]
    for op, *args in steps:
        anna.op(None, op, *args)
    seen = anna.op(None, "get_all")
    assert list(seen) == ["b", "c", "y"]
    anna.exit()
    assert list(anna.op(None, "get_all").items()) == list(seen.items())


def test_values_are_copied_in_and_out_inside_as_well(world: World, anna: Actor) -> None:
    value = [1]
    anna.enter(None)
    anna.op(None, "set", "a", value)
    value.append(2)
    anna.op(None, "get", "a").append(3)
    anna.op(None, "get_all")["a"].append(4)
    assert anna.op(None, "get", "a") == [1]
    anna.exit()
    anna.op(None, "get", "a").append(5)
    assert anna.op(None, "get_all") == {"a": [1]}


@pytest.mark.parametrize("ends_well", [True, False])
def test_a_drop_inside_takes_the_name_off_the_list_at_the_commit(world: World, anna: Actor, ends_well: bool) -> None:
    filled(anna, "x")
    x = StateKey("Account", "x")
    anna.enter("x")
    anna.op("x", "drop")
    assert world.registry.keys() == [x]
    anna.exit(None if ends_well else ValueError())
    assert world.registry.keys() == ([] if ends_well else [x])
    assert world.peek("x") == ({} if ends_well else FILLED)


@pytest.mark.parametrize("then", ["nothing", "reads", "fails", "writes"])
def test_a_drop_is_only_taken_back_by_a_write_also_in_a_transaction_inside(
    world: World, anna: Actor, then: str
) -> None:
    filled(anna, "x")
    anna.enter("x")
    anna.op("x", "drop")
    anna.enter("x")
    if then == "reads":
        assert anna.op("x", "get_all") == {}
    elif then != "nothing":
        anna.op("x", "set", "a", 1)
    anna.exit(ValueError() if then == "fails" else None)
    anna.exit()
    assert [str(key) for key in world.registry.keys()] == (["Account[x]"] if then == "writes" else [])


class Order(State):
    step: int = 0
    lines: list[str] = []  # noqa: RUF012


class OrderAsync(AsyncState, name="Order", strict=True):
    step: int = 0


def test_declared_fields_are_the_same_inside() -> None:
    registry = StateRegistry()
    state, strict = registry.state(Order), registry.state(OrderAsync)
    with state.transaction():
        assert state.get_all() == {"step": 0, "lines": []}
        assert state.increment("step") == 1
        with pytest.raises(FieldTypeError):
            state.set("step", "one")
        state.append("lines", "pear")
        with pytest.raises(FieldTypeError):
            state.append("lines", 1)
        with pytest.raises(NotFoundError):
            asyncio.run(strict.get("stepp"))
        state.delete("step")
        assert state.get_all() == {"step": 0, "lines": ["pear"]}
    (event,) = registry.history()
    assert event.stored == ((StateKey("Order"), "lines", ABSENT, ["pear"]),)


def test_an_op_that_fails_inside_changes_nothing_and_the_transaction_goes_on(world: World, anna: Actor) -> None:
    filled(anna)
    anna.enter(None)
    anna.op(None, "set", "b", 5)
    with pytest.raises(FieldTypeError):
        anna.op(None, "increment", "c")
    with pytest.raises(ZeroDivisionError):
        anna.op(None, "mutate", "a", lambda _: 1 // 0)
    with pytest.raises(FieldTypeError):
        anna.op(None, "mutate", "a", lambda _: asyncio.sleep(0))
    anna.exit()
    assert world.peek() == {**FILLED, "b": 5}


def test_mutate_may_use_the_same_state(world: World, anna: Actor) -> None:
    sync_state = world.registry.state(Account)

    def total(_: Any) -> int:
        sync_state.set("seen", True)
        return int(sum(sync_state.get("c")) + sync_state.get("a"))

    filled(anna)
    assert anna.op(None, "mutate", "sum", total) == 4
    assert world.peek() == {**FILLED, "seen": True, "sum": 4}
    assert [(event.op, len(event.stored)) for event in world.registry.history()] == [("update", 3), ("mutate", 2)]


@pytest.mark.parametrize("op", ["set", "increment", "mutate", "update"])
def test_an_op_on_a_state_that_it_does_not_name_is_committed_at_once(world: World, anna: Actor, op: str) -> None:
    args: dict[str, tuple[Any, ...]] = {"set": ("a", 1), "mutate": ("a", lambda _: 1), "increment": ("a",)}
    anna.enter("x")
    anna.op("x", "set", "a", 1)
    anna.op("y", op, *args.get(op, ()), **({"a": 1} if op == "update" else {}))
    assert world.peek("y") == {"a": 1}
    anna.exit(ValueError())
    assert world.peek("y") == {"a": 1}
    assert [event.op for event in world.registry.history()] == [op]


def test_either_colour_of_with_takes_states_of_either_colour_and_each_of_them_once() -> None:
    registry = StateRegistry()
    state, same = registry.state(Account), registry.state(AccountAsync)
    with transaction(state, same, state):
        state.set("a", 1)
        asyncio.run(same.increment("a"))

    async def asynchronous() -> None:
        async with transaction(same, state):
            await same.increment("a")
            state.increment("a")
        with same.transaction():
            await same.increment("a")

    asyncio.run(asynchronous())
    assert state.get_all() == {"a": 5}
    assert [event.op for event in registry.history()] == ["transaction"] * 3


class Other(State):
    pass


class HasBucket:
    _bucket = "mine"


BAD: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "no states": (transaction, TransactionError, r"needs at least one State: transaction\(state\)"),
    "two registries": (
        lambda: transaction(StateRegistry().state(Account), StateRegistry().state(Other)),
        TransactionError,
        "can't span several registries",
    ),
    "one state of two registries": (
        lambda: transaction(StateRegistry().state(Account), StateRegistry().state(Account)),
        TransactionError,
        "can't span several registries",
    ),
    "made by hand": (lambda: transaction(Account()), UnlinkedStateError, r"made by hand.*app\.state\(Account\)"),
    "one of two made by hand": (
        lambda: transaction(StateRegistry().state(Other), AccountAsync()),
        UnlinkedStateError,
        "made by hand",
    ),
    "its own method, made by hand": (lambda: Account().transaction(), UnlinkedStateError, "made by hand"),
    "a class": (lambda: transaction(Account), NotAStateError, "on State objects.*not on <class"),  # type: ignore[arg-type]
    "something else": (lambda: transaction("Account"), NotAStateError, "not on 'Account'"),  # type: ignore[arg-type]
    "something like it": (lambda: transaction(HasBucket()), NotAStateError, "not on <"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", BAD)
def test_what_can_not_be_a_transaction_is_a_clear_error(what: str) -> None:
    make, error, message = BAD[what]
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("timeout", [-1, -0.001, True, "1", math.nan, -math.inf, Decimal(1), [1]], ids=repr)
def test_a_timeout_must_be_seconds(timeout: Any) -> None:
    state = StateRegistry().state(Account)
    for make in (state.transaction, lambda **kwargs: transaction(state, **kwargs)):
        with pytest.raises(TransactionError, match="timeout must be seconds, 0 or more, or None, not"):
            make(timeout=timeout)


@pytest.mark.parametrize("timeout", [0, 0.0, 5, 1.5, math.inf, 10**400, None], ids=str)
def test_a_timeout_harms_nobody_who_need_not_wait(anna: Actor, timeout: Any) -> None:
    anna.enter(None, timeout=timeout)
    anna.op(None, "set", "a", 1)
    anna.exit()
    assert anna.op(None, "get", "a") == 1


def test_a_transaction_is_entered_once_and_ended_once() -> None:
    state = StateRegistry().state(Account)
    made = state.transaction()
    assert repr(made) == "<Transaction on Account: not begun>"
    with pytest.raises(TransactionError, match="not entered"):
        made.__exit__(None, None, None)
    with made as entered:
        assert entered is made
        assert (str(made), repr(made)) == ("Account", "<Transaction on Account: open>")
        with pytest.raises(TransactionError, match="only once; make another one"):
            made.__enter__()
        state.set("a", 1)
    assert repr(made) == "<Transaction on Account: ended>"
    with pytest.raises(TransactionError, match="has ended"):
        made.__exit__(None, None, None)
    with pytest.raises(TransactionError, match="only once; make another one"), made:
        pass
    assert state.get_all() == {"a": 1}
    assert str(transaction(StateRegistry().state(Account, "x"))) == "Account[x]"
