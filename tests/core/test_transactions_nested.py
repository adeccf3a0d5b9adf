"""A transaction inside another one joins it."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import Context

import pytest
from support.actors import Account, AccountAsync, Actor, World, a_world

from qstate_nb import StateKey, StateRegistry

COLOURS = ("thread", "task")


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as world:
        yield world


@pytest.fixture(params=COLOURS)
def anna(world: World, request: pytest.FixtureRequest) -> Actor:
    """Who has the transactions."""
    return world.actor(request.param, "anna")


@pytest.fixture(params=[*COLOURS, "other loop"])
def bert(world: World, anna: Actor, request: pytest.FixtureRequest) -> Actor:
    """Somebody else."""
    return world.actor(request.param, "bert")


def fail(anna: Actor) -> None:
    anna.exit(ValueError())


def test_on_the_same_state_its_changes_go_to_the_outer_one_and_are_committed_with_that(
    world: World, anna: Actor
) -> None:
    anna.op(None, "update", a=1)
    anna.enter(None)
    anna.op(None, "update", b=2)
    anna.enter(None)
    assert anna.op(None, "get_all") == {"a": 1, "b": 2}
    anna.op(None, "update", b=3, c=4)
    anna.op(None, "delete", "a")
    anna.exit()
    assert anna.op(None, "get_all") == {"b": 3, "c": 4}
    assert world.peek() == {"a": 1}
    anna.op(None, "set", "d", 5)
    anna.exit()
    assert world.peek() == {"b": 3, "c": 4, "d": 5}
    assert [len(event.stored) for event in world.registry.history()] == [1, 4]


def test_if_it_fails_only_its_own_changes_are_undone_and_the_outer_one_goes_on(world: World, anna: Actor) -> None:
    anna.op(None, "update", a=1, z=0)
    anna.enter(None)
    anna.op(None, "set", "b", 2)
    anna.enter(None)
    anna.op(None, "delete", "a")
    anna.op(None, "set", "b", 3)
    anna.enter(None)
    anna.op(None, "clear")
    fail(anna)
    assert anna.op(None, "get_all") == {"z": 0, "b": 3}
    fail(anna)
    assert list(anna.op(None, "get_all").items()) == [("a", 1), ("z", 0), ("b", 2)]
    anna.op(None, "set", "c", 4)
    anna.exit()
    assert world.peek() == {"a": 1, "z": 0, "b": 2, "c": 4}


def test_if_the_outer_one_fails_what_was_inside_is_undone_with_it(world: World, anna: Actor) -> None:
    anna.enter("x")
    for scopes in (("x",), ("y",), ("x", "z")):
        anna.enter(*scopes)
        for scope in scopes:
            anna.op(scope, "set", "a", 1)
        anna.exit()
    fail(anna)
    assert [world.peek(scope) for scope in "xyz"] == [{}, {}, {}]
    assert world.registry.history() == []
    assert anna.op("y", "get_all") == {}


def test_on_another_state_that_is_held_on_until_the_outermost_ends_and_committed_with_it(
    world: World, anna: Actor, bert: Actor
) -> None:
    anna.enter("x")
    anna.op("x", "set", "a", 1)
    anna.enter("x")
    anna.enter("y")
    anna.op("y", "set", "a", 2)
    anna.exit()
    get = bert.begin("y", "get", "a")
    world.until_in_line(1, "y")
    anna.exit()
    assert anna.op("y", "get", "a") == 2
    anna.op("y", "increment", "a")
    assert world.peek("y") == {}
    assert not get.done()
    anna.exit()
    assert get.result(10) == 3
    (event,) = world.registry.history()
    assert (event.op, [(str(change.state), change.after) for change in event.changes]) == (
        "transaction",
        [("Account[x]", 1), ("Account[y]", 3)],
    )


def test_on_another_state_it_lets_go_of_that_at_once_if_it_fails(world: World, anna: Actor, bert: Actor) -> None:
    anna.enter("x")
    anna.op("x", "set", "a", 1)
    anna.enter("x", "y")
    anna.op("x", "set", "a", 2)
    anna.op("y", "set", "a", 2)
    fail(anna)
    bert.op("y", "set", "a", 5)
    anna.exit()
    assert (world.peek("x"), world.peek("y")) == ({"a": 1}, {"a": 5})


@pytest.mark.parametrize("middle_fails", [True, False])
def test_what_was_inside_one_that_fails_is_undone_with_it_whoever_held_the_state_before(
    world: World, anna: Actor, middle_fails: bool
) -> None:
    """The innermost one is on the same State as the outermost, but it is inside the one between them."""
    anna.enter("x")
    anna.enter("y")
    anna.enter("x")
    anna.op("x", "set", "a", 1)
    anna.op("y", "set", "a", 1)
    anna.exit()
    assert anna.op("x", "get_all") == {"a": 1}
    anna.exit(ValueError() if middle_fails else None)
    assert anna.op("x", "get_all") == ({} if middle_fails else {"a": 1})
    anna.op("x", "set", "b", 1)
    anna.exit()
    assert world.peek("x") == ({"b": 1} if middle_fails else {"a": 1, "b": 1})
    assert world.peek("y") == ({} if middle_fails else {"a": 1})


def test_a_plain_op_in_it_on_a_state_of_the_outer_one_is_one_of_the_outer_one(world: World, anna: Actor) -> None:
    """An op is part of the innermost transaction that names its State."""
    anna.enter("x")
    anna.enter("y")
    anna.op("x", "set", "a", 1)
    anna.op("x", "mutate", "b", lambda _: 1)
    fail(anna)
    assert anna.op("x", "get_all") == {"a": 1, "b": 1}
    anna.exit()
    assert world.peek("x") == {"a": 1, "b": 1}


def test_mutate_inside_is_part_of_the_transaction(world: World, anna: Actor) -> None:
    anna.enter(None)
    anna.op(None, "set", "a", 1)
    assert anna.op(None, "mutate", "a", lambda old: old + 1) == 2
    anna.enter(None)
    assert anna.op(None, "mutate", "a", lambda old: old + 1) == 3
    fail(anna)
    assert anna.op(None, "get", "a") == 2
    anna.exit()
    assert [event.op for event in world.registry.history()] == ["transaction"]
    assert world.peek() == {"a": 2}


@pytest.mark.parametrize("fails", [True, False])
def test_a_transaction_inside_the_function_of_mutate_is_part_of_the_mutate(
    world: World, anna: Actor, fails: bool
) -> None:
    x, y = (world.registry.state(Account, scope) for scope in "xy")

    def change(_: object) -> int:
        with y.transaction():
            y.set("a", 1)
        with x.transaction():
            x.set("b", 1)
        assert Context().run(lambda: (world.peek("x"), world.peek("y"))) == ({}, {})
        return 1 // (not fails)

    if fails:
        with pytest.raises(ZeroDivisionError):
            anna.op("x", "mutate", "a", change)
        assert world.registry.history() == []
    else:
        anna.op("x", "mutate", "a", change)
        (event,) = world.registry.history()
        assert (event.op, event.states) == ("mutate", (StateKey("Account", "x"), StateKey("Account", "y")))
    assert anna.op("y", "get_all") == ({} if fails else {"a": 1})


def test_one_in_another_registry_is_committed_at_its_own_end(world: World, anna: Actor) -> None:
    """A commit can't span registries, so that of the outer one can't be waited for."""
    other = StateRegistry()
    anna.enter(None)
    anna.op(None, "set", "a", 1)
    sync_state = other.state(Account)

    def change() -> None:
        with sync_state.transaction():
            sync_state.set("a", 1)

    anna.do(change)
    assert other.peek(StateKey("Account")) == {"a": 1}
    fail(anna)
    assert other.peek(StateKey("Account")) == {"a": 1}
    assert world.peek() == {}


def test_nesting_is_as_deep_as_one_likes() -> None:
    registry = StateRegistry()
    state, other = registry.state(Account), registry.state(AccountAsync, "other")
    opened = [(other if depth % 2 else state).transaction() for depth in range(600)]
    for each in opened:
        each.__enter__()
        state.increment("a")
    for each in reversed(opened):
        each.__exit__(None, None, None)
    assert state.get("a") == 600
    assert len(registry.history()) == 1
