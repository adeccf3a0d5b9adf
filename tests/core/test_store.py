"""The memory store: data and journal change in one step, in the caller's thread."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.owners import Owner
from support.replay import assert_no_gaps, events_of
from support.steps import is_free

from qstate_nb import ABSENT, Actor, Event, State, StateKey, StateRegistry
from qstate_nb.core import ops
from qstate_nb.core.fields import Rules
from qstate_nb.core.journal import Record, current_actor
from qstate_nb.core.store import MemoryStore
from qstate_nb.errors import ReentrantError

KEY = StateKey("Signup")
OTHER = StateKey("Order")
SCOPED = StateKey("Order", 42)
ACTOR = Actor("step1", 1)
BEFORE: dict[str, Any] = {"a": 1, "b": 2, "c": 3}


@pytest.fixture(autouse=True)
def actor() -> Iterator[None]:
    token = current_actor.set(ACTOR)
    yield
    current_actor.reset(token)


def run(store: MemoryStore, op: ops.Op, *args: Any, key: StateKey = KEY) -> Any:
    return store.run(store.bucket(key), op, args, None)


def filled(max_events: int | None = None) -> MemoryStore:
    store = MemoryStore(max_events)
    for field, value in BEFORE.items():
        run(store, ops.set_, field, value)
    return store


def fields_of(store: MemoryStore, key: StateKey = KEY) -> dict[str, Any]:
    fields: dict[str, Any] = run(store, ops.get_all, key=key)
    return fields


def test_a_write_gives_its_result_and_makes_its_event() -> None:
    store = MemoryStore()
    assert run(store, ops.update, {"a": 1}) == {"a": 1}
    assert run(store, ops.set_, "a", 2) is None
    first, second = events_of(store)
    assert (first.seq, first.states, first.op, first.actor) == (1, (KEY,), "update", ACTOR)
    assert first.stored == ((KEY, "a", ABSENT, 1),)
    assert (second.seq, second.op, second.stored) == (2, "set", ((KEY, "a", 1, 2),))
    assert events_of(store, 1) == [second]
    assert events_of(store, 0) == []
    assert events_of(store, 9) == [first, second]


@pytest.mark.parametrize("op", ["set", "increment"])
def test_the_short_way_to_set_one_field_makes_the_record_that_the_long_way_makes(op: str) -> None:
    short, long = filled(), filled()
    record = short.bucket(KEY).put("a", 5, op)
    run(long, ops.set_, "a", 5 if op == "set" else 6)
    assert record is not None
    event, other = Event.of(record), events_of(long)[-1]
    assert event == events_of(short)[-1]
    assert (event.seq, event.stored, event.actor) == (other.seq, other.stored, other.actor)
    assert (event.op, event.actor) == (op, ACTOR)
    assert fields_of(short) == fields_of(long)
    assert short.writers(KEY)["a"] == event
    assert_no_gaps(events_of(short))


def test_the_short_way_to_set_many_fields_makes_the_record_that_the_long_way_makes() -> None:
    short, long = filled(), filled()
    values = {"d": 4, "b": 5}
    assert short.bucket(KEY).put_all(values) == run(long, ops.update, values) == {**BEFORE, **values}
    event, other = events_of(short)[-1], events_of(long)[-1]
    assert (event.seq, event.op, event.stored, event.actor) == (4, "update", other.stored, ACTOR)
    assert list(fields_of(short).items()) == list(fields_of(long).items())
    assert short.writers(KEY)["d"] == short.writers(KEY)["b"] == event


@pytest.mark.parametrize(
    ("key", "value", "op"),
    [
        *(("a", [1], "set"), ("a", object(), "set"), (1, 1, "set"), (["a"], 1, "set")),
        *(("a", True, "increment"), ("new", 1, "increment"), ("a", "x", "increment"), ("a", None, "increment")),
    ],
)
def test_the_short_way_leaves_what_needs_a_closer_look(key: Any, value: Any, op: str) -> None:
    """What has to be copied or refused: it says so, does nothing, and lets go of the store."""
    store = filled()
    assert store.bucket(KEY).put(key, value, op) is None
    assert op == "increment" or store.bucket(KEY).put_all({"a": 5, key: value} if key == "a" else {}) is None
    assert fields_of(store) == BEFORE
    assert len(events_of(store)) == 3
    assert is_free(store)


def test_a_write_that_changes_nothing_has_no_event_and_takes_no_number() -> None:
    store = MemoryStore()
    assert run(store, ops.delete, "a") is None
    assert run(store, ops.pop, "a") is ABSENT
    for op in (ops.clear, ops.drop):
        run(store, op)
    assert store.bucket(KEY).put_all({}) is None
    assert events_of(store) == []
    assert store.keys() == []
    run(store, ops.set_, "a", 1)
    assert_no_gaps(events_of(store))


def test_an_op_that_raises_commits_nothing_and_frees_the_store() -> None:
    def fail(fields: ops.Fields) -> ops.Outcome:
        raise RuntimeError("failed")

    store = filled()
    with pytest.raises(RuntimeError, match="failed"):
        run(store, fail)
    with pytest.raises(RuntimeError, match="failed"):
        store.alone(fail, {})
    store.bucket(KEY).put("a", 10**400)
    with pytest.raises(OverflowError):
        store.bucket(KEY).put("a", 1.5, "increment")
    assert is_free(store)
    assert fields_of(store) == {**BEFORE, "a": 10**400}
    assert_no_gaps(events_of(store))
    assert len(events_of(store)) == 4


def test_buckets_are_apart_and_listed_in_the_order_of_their_first_write() -> None:
    store = filled()
    assert fields_of(store, OTHER) == fields_of(store, SCOPED) == {}
    assert store.keys() == [KEY]
    run(store, ops.set_, "a", 9, key=SCOPED)
    run(store, ops.set_, "a", 8, key=OTHER)
    assert fields_of(store, SCOPED) == {"a": 9}
    assert fields_of(store, OTHER) == {"a": 8}
    assert fields_of(store) == BEFORE
    assert store.keys() == [KEY, SCOPED, OTHER]
    assert store.names() == ["Signup", "Order"]
    assert [store.is_listed(key) for key in (KEY, SCOPED, StateKey("Order", 43))] == [True, True, False]


def test_a_bucket_can_be_listed_without_a_write() -> None:
    store = MemoryStore()
    bucket = store.bucket(OTHER)
    assert store.keys() == []
    store.enlist(bucket)
    store.enlist(bucket)
    assert store.keys() == [OTHER]
    assert bucket.put("a", 1) is not None
    assert events_of(store)[0].stored == ((OTHER, "a", ABSENT, 1),)


def test_a_dropped_bucket_is_empty_and_off_the_list_until_it_is_written_to_again() -> None:
    owner = Owner()
    last = owner.forgot
    store = MemoryStore(None)
    store.owners.add(owner)
    for key in (KEY, OTHER, SCOPED):
        run(store, ops.update, {"a": 1, "b": 2}, key=key)
    run(store, ops.drop, key=OTHER)
    assert (store.keys(), store.names(), last) == ([KEY, SCOPED], ["Signup", "Order"], [])
    assert events_of(store)[-1].stored == ((OTHER, "a", 1, ABSENT), (OTHER, "b", 2, ABSENT))
    assert store.bucket(OTHER).put("a", 1) is None
    run(store, ops.drop, key=SCOPED)
    run(store, ops.drop, key=SCOPED)
    assert (store.keys(), store.names(), last) == ([KEY], ["Signup"], ["Order"])
    assert fields_of(store, OTHER) == store.peek(OTHER) == store.writers(OTHER) == {}
    run(store, ops.set_, "a", 3, key=OTHER)
    assert (store.keys(), fields_of(store, OTHER)) == ([KEY, OTHER], {"a": 3})
    assert [event.op for event in events_of(store)] == ["update"] * 3 + ["drop"] * 2 + ["set"]
    run(store, ops.drop, key=OTHER)
    assert last == ["Order", "Order"]


@pytest.mark.parametrize("value", [None, 1, [1]])
def test_who_still_has_a_dropped_bucket_can_not_write_to_it_behind_the_stores_back(value: Any) -> None:
    store = MemoryStore()
    bucket = store.bucket(OTHER)
    store.enlist(bucket)
    if value is not None:
        run(store, ops.set_, "a", value, key=OTHER)
    run(store, ops.drop, key=OTHER)
    assert bucket.put("a", 1) is None
    assert bucket.put_all({"a": 1}) is None
    assert (store.keys(), store.peek(OTHER)) == ([], {})
    store.run(bucket, ops.set_, ("a", 1), None)
    assert (store.keys(), store.peek(OTHER)) == ([OTHER], {"a": 1})


def test_a_bucket_is_one_object_as_long_as_anybody_has_it() -> None:
    store = MemoryStore()
    bucket = store.bucket(OTHER)
    assert store.bucket(OTHER) is bucket
    run(store, ops.set_, "a", 1, key=OTHER)
    run(store, ops.drop, key=OTHER)
    assert store.bucket(OTHER) is bucket
    listed = id(store.bucket(KEY)), run(store, ops.set_, "a", 1)
    gc.collect()
    assert fields_of(store) == {"a": 1}, listed


def test_each_field_knows_the_event_that_last_wrote_it() -> None:
    store = filled()
    run(store, ops.update, {"b": 5, "c": 6})
    run(store, ops.delete, "c")
    assert {field: event.seq for field, event in store.writers(KEY).items()} == {"a": 1, "b": 4}
    assert {field: event.seq for field, event in store.writers(KEY, ["b", "c", "x"]).items()} == {"b": 4}
    assert store.writers(OTHER) == {}
    store.writers(KEY).clear()
    assert len(store.writers(KEY)) == 2


def test_lists_that_are_handed_out_are_the_callers() -> None:
    store = filled()
    events_of(store).clear()
    store.keys().clear()
    store.names().clear()
    store.peek(KEY).clear()
    fields_of(store).clear()
    assert (len(events_of(store)), store.keys(), store.names()) == (3, [KEY], ["Signup"])
    assert fields_of(store) == store.peek(KEY) == BEFORE


@pytest.mark.parametrize("max_events", [0, -1])
def test_a_journal_keeps_at_least_one_event(max_events: int) -> None:
    with pytest.raises(ValueError, match=rf"max_events must be at least 1, or None to keep all, not {max_events}"):
        MemoryStore(max_events)


def test_the_listener_hears_of_each_record_after_its_commit() -> None:
    store = filled()
    heard: list[tuple[Record, dict[str, Any], bool]] = []
    store.listener = lambda record: heard.append((record, fields_of(store), store.is_busy))
    bucket = store.bucket(KEY)
    bucket.put("a", 4)
    bucket.put_all({"b": 5})
    run(store, ops.delete, "c")
    run(store, ops.delete, "c")
    run(store, ops.get, "a")
    assert [Event.of(record) for record, _, _ in heard] == events_of(store)[3:]
    after: list[dict[str, Any]] = [{"a": 4, "b": 2, "c": 3}, {"a": 4, "b": 5, "c": 3}, {"a": 4, "b": 5}]
    assert [(fields, busy) for _, fields, busy in heard] == [(fields, False) for fields in after]


class Slow(int):
    """A number that takes its time to be added, and notes where that is done."""

    def __init__(self, _: int) -> None:
        self.inside, self.go_on = threading.Event(), threading.Event()
        self.threads: list[int] = []

    def __radd__(self, other: int) -> int:
        self.threads.append(threading.get_ident())
        self.inside.set()
        assert self.go_on.wait(10)
        return other + 1


def test_an_op_runs_in_the_callers_thread_and_under_the_lock() -> None:
    """While one op runs, another thread's op on the store waits; nothing is handed to another thread."""
    store = filled()
    slow, rules = Slow(1), Rules(KEY, None)
    first = threading.Thread(target=run, args=(store, ops.increment, "a", slow, rules))
    first.start()
    assert slow.inside.wait(10)
    assert not store.lock.acquire(blocking=False)
    events: list[Event] = []
    second = threading.Thread(target=lambda: events.extend(events_of(store)))
    second.start()
    slow.go_on.set()
    first.join(10)
    second.join(10)
    assert slow.threads == [first.ident]
    assert [event.seq for event in events] == [1, 2, 3, 4]


class Signup(State):
    pass


def test_state_that_is_used_inside_its_own_op_is_refused_and_hangs_nobody() -> None:
    """The finaliser of a value runs when the value is dropped: here, in the middle of an op."""
    registry = StateRegistry(max_events=1)
    state = registry.state(Signup)
    refused: list[Exception] = []

    class Thing:
        def __del__(self) -> None:
            for use in (lambda: state.set("b", 1), lambda: state.update(b=1), state.get_all, registry.history):
                try:
                    use()
                except ReentrantError as error:
                    refused.append(error)

    state.set("a", Thing())
    state.set("a", 1)
    state.set("a", 2)

    assert ["finaliser" in str(error) for error in refused] == [True] * 4
    assert state.get_all() == {"a": 2}
    assert registry.history()[-1].seq == 3
