"""Events: who changed what, from which value to which."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import pickle
import threading
import time
from typing import Any

import pytest
from support.containers import same, spoil

from qstate_nb import ABSENT, Actor, Change, Event, State, StateKey, StateRegistry, transaction
from qstate_nb.core.journal import changes_of, current_actor


class Signup(State):
    pass


class Order(State):
    pass


KEY, ORDER = StateKey("Signup"), StateKey("Order", 42)


def changed(event: Event) -> list[tuple[Any, ...]]:
    """The changes of an event of one bucket, without it."""
    assert {change.state for change in event.changes} == {KEY}
    return [tuple(change)[1:] for change in event.changes]


def test_an_event_tells_when_who_where_and_what() -> None:
    registry = StateRegistry()
    state = registry.state(Signup)
    earliest = time.time()
    state.update(step=1, phone="1")
    token = current_actor.set(Actor("step2", 3, cell=7))
    try:
        state.set("step", 2)
    finally:
        current_actor.reset(token)
    state.delete("phone")
    state.clear()
    events = registry.history()
    assert [(event.seq, event.states, event.op, event.actor, changed(event)) for event in events] == [
        (1, (KEY,), "update", Actor(), [("step", ABSENT, 1), ("phone", ABSENT, "1")]),
        (2, (KEY,), "set", Actor("step2", 3, 7), [("step", 1, 2)]),
        (3, (KEY,), "delete", Actor(), [("phone", "1", ABSENT)]),
        (4, (KEY,), "clear", Actor(), [("step", 2, ABSENT)]),
    ]
    assert earliest <= events[0].time <= events[-1].time <= time.time()
    change = events[1].changes[0]
    assert (change.state, change.field, change.before, change.after) == (KEY, "step", 1, 2)


def test_what_changes_nothing_is_no_event() -> None:
    registry = StateRegistry()
    state = registry.state(Signup)
    state.delete("missing")
    state.clear()
    state.update()
    state.drop()
    state.pop("missing")
    state.get("missing")
    state.get_all()
    state.contains("missing")
    state.keys()
    assert registry.history() == []
    state.set("step", 1)
    assert [event.seq for event in registry.history()] == [1]


def test_setting_the_same_value_again_is_an_event() -> None:
    registry = StateRegistry()
    registry.state(Signup).set("step", 1)
    registry.state(Signup).set("step", 1)
    assert list(map(changed, registry.history())) == [[("step", ABSENT, 1)], [("step", 1, 1)]]


def test_the_values_in_changes_are_copies() -> None:
    registry = StateRegistry()
    state = registry.state(Signup)
    state.set("it", {"a": [1]})
    state.set("it", {"a": [2]})
    for event in registry.history():
        for change in event.changes:
            spoil(change.before)
            spoil(change.after)
    assert same(state.get("it"), {"a": [2]})
    assert list(map(changed, registry.history())) == [
        [("it", ABSENT, {"a": [1]})],
        [("it", {"a": [1]}, {"a": [2]})],
    ]


def test_what_is_done_later_to_a_value_is_not_in_earlier_events() -> None:
    registry = StateRegistry()
    state = registry.state(Signup)
    value = [1]
    state.set("it", value)
    value.append(2)
    state.get("it").append(3)
    state.set("it", value)
    assert [event.changes[0].after for event in registry.history()] == [[1], [1, 2]]


def test_all_buckets_share_one_order() -> None:
    registry = StateRegistry()
    registry.state(Signup).set("a", 1)
    registry.state(Order, scope=42).set("a", 1)
    registry.state(Signup).set("a", 2)
    assert [(event.seq, event.states) for event in registry.history()] == [(1, (KEY,)), (2, (ORDER,)), (3, (KEY,))]


def test_an_event_can_be_of_several_buckets() -> None:
    """One change is of one bucket; `states` has each once, in the order in which they were changed."""
    registry = StateRegistry()
    order, signup = registry.state(Order, scope=42), registry.state(Signup)
    with transaction(order, signup):
        signup.set("a", 1)
        order.set("b", 2)
        signup.set("c", 3)
    (event,) = registry.history()
    assert event.op == "transaction"
    assert event.states == (ORDER, KEY)
    assert event.changes == ((ORDER, "b", ABSENT, 2), (KEY, "a", ABSENT, 1), (KEY, "c", ABSENT, 3))
    assert repr(event) == "<Event 1: transaction Order[42].b, Signup.a, Signup.c by user>"


def test_the_journal_is_bounded_and_drops_the_oldest() -> None:
    registry = StateRegistry(max_events=3)
    state = registry.state(Signup)
    for step in range(10):
        state.set("step", step)
    assert [(event.seq, event.changes[0].after) for event in registry.history()] == [(8, 7), (9, 8), (10, 9)]


def test_the_journal_is_bounded_unless_it_is_told_otherwise() -> None:
    bounded, unbounded = StateRegistry(), StateRegistry(max_events=None)
    for registry in (bounded, unbounded):
        state = registry.state(Signup)
        for step in range(10_001):
            state.set("step", step)
    assert len(bounded.history()) == 10_000
    assert len(unbounded.history()) == 10_001


def test_an_actor_follows_its_context_into_tasks_and_threads() -> None:
    registry = StateRegistry()
    state = registry.state(Signup)

    async def act(number: int) -> None:
        current_actor.set(Actor("act", number))
        await asyncio.sleep(0)
        await asyncio.to_thread(state.set, "number", number)

    async def both() -> None:
        await asyncio.gather(act(1), act(2))

    asyncio.run(both())
    context = contextvars.copy_context()
    context.run(current_actor.set, Actor("thread", 3))
    thread = threading.Thread(target=context.run, args=(state.set, "number", 3))
    thread.start()
    thread.join()
    events = registry.history()
    assert [event.actor.call for event in events] == [event.changes[0].after for event in events]
    assert {str(event.actor) for event in events} == {"act #1", "act #2", "thread #3"}


@pytest.mark.parametrize(
    ("actor", "text"),
    [(Actor(), "user"), (Actor(cell=3), "user"), (Actor("step1", 2), "step1 #2"), (Actor("step1", 2, 3), "step1 #2")],
)
def test_an_actor_reads_well(actor: Actor, text: str) -> None:
    assert str(actor) == text


def test_absent_is_one_object_and_not_none() -> None:
    assert repr(ABSENT) == "<absent>"
    assert not ABSENT
    assert ABSENT is not None
    assert copy.deepcopy(ABSENT) is ABSENT
    assert pickle.loads(pickle.dumps(ABSENT)) is ABSENT


def test_an_event_reads_well_and_can_not_change() -> None:
    changes = (Change(KEY, "a", ABSENT, 1), Change(KEY, "b", 1, 2))
    event = Event(7, 0.0, "update", Actor("step1", 3), changes)
    assert repr(event) == "<Event 7: Signup update a, b by step1 #3>"
    field: Any = "seq"
    with pytest.raises(AttributeError):
        setattr(event, field, 8)


@pytest.mark.parametrize("fields", [{}, {"a": 1}, {"a": 1, "b": [2], "c": ABSENT}])
def test_a_record_is_flat_and_an_event_shows_it(fields: dict[str, Any]) -> None:
    flat = [part for field, value in fields.items() for part in (KEY, field, ABSENT, value)]
    event = Event.of((3, 1.5, "update", Actor("step1", 2), *flat))
    assert (event.seq, event.time, event.op, event.actor) == (3, 1.5, "update", Actor("step1", 2))
    assert event.stored == tuple(Change(KEY, field, ABSENT, value) for field, value in fields.items())
    assert event.stored == event.changes == changes_of((3, 1.5, "update", Actor(), *flat))
    assert event.states == ((KEY,) if fields else ())
