"""The memory store: an op happens wholly or not at all, whatever comes in the middle of it.

Python looks for signals, and runs finalisers, between bytecodes: after most calls, and where a function begins or
jumps back. These tests interrupt an op before each one.
"""

from __future__ import annotations

import inspect
import itertools
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NamedTuple

import pytest
from support.owners import Owner
from support.replay import assert_no_gaps, events_of, replay
from support.steps import AtStep, is_free

from qstate_nb import ABSENT, State, StateKey, StateRegistry
from qstate_nb.core import ops
from qstate_nb.core.buckets import Bucket
from qstate_nb.core.fields import Rules
from qstate_nb.core.store import MemoryStore
from qstate_nb.errors import ReentrantError

KEY = StateKey("Signup")
BEFORE: dict[str, Any] = {"a": 1, "b": 2, "c": 3}
RULES = Rules(KEY, None)


class Write(NamedTuple):
    """A write, and the fields after it, if they were `BEFORE` before."""

    call: Callable[[MemoryStore], object]
    after: dict[str, Any]


def by_run(op: ops.Op, *args: Any) -> Callable[[MemoryStore], object]:
    return lambda store: store.run(store.bucket(KEY), op, args, None)


WRITES: dict[str, Write] = {
    "set new": Write(by_run(ops.set_, "d", 4), {"a": 1, "b": 2, "c": 3, "d": 4}),
    "set again": Write(by_run(ops.set_, "a", [4]), {"a": [4], "b": 2, "c": 3}),
    "update": Write(by_run(ops.update, {"d": 4, "b": 5}), {"a": 1, "b": 5, "c": 3, "d": 4}),
    "delete": Write(by_run(ops.delete, "b"), {"a": 1, "c": 3}),
    "clear": Write(by_run(ops.clear), {}),
    "drop": Write(by_run(ops.drop), {}),
    "increment": Write(by_run(ops.increment, "b", 5, RULES), {"a": 1, "b": 7, "c": 3}),
    "append": Write(by_run(ops.append, "d", 1, RULES), {"a": 1, "b": 2, "c": 3, "d": [1]}),
    "setdefault": Write(by_run(ops.setdefault, "d", 4, RULES), {"a": 1, "b": 2, "c": 3, "d": 4}),
    "pop": Write(by_run(ops.pop, "a"), {"b": 2, "c": 3}),
}
PUTS: dict[str, Write] = {
    "set new": Write(lambda store: store.bucket(KEY).put("d", 4), {"a": 1, "b": 2, "c": 3, "d": 4}),
    "set again": Write(lambda store: store.bucket(KEY).put("a", 4), {"a": 4, "b": 2, "c": 3}),
    "increment": Write(lambda store: store.bucket(KEY).put("b", 5, "increment"), {"a": 1, "b": 7, "c": 3}),
    "update": Write(lambda store: store.bucket(KEY).put_all({"d": 4, "b": 5}), {"a": 1, "b": 5, "c": 3, "d": 4}),
}

# No signal is looked for between a lock and its ``with``, at a ``try``, or between its end and its ``finally``.
SKIP = ("with self.lock", "try:", "self.is_busy = False")


def filled(max_events: int | None = None) -> MemoryStore:
    store = MemoryStore(max_events)
    for field, value in BEFORE.items():
        by_run(ops.set_, field, value)(store)
    return store


def fields_of(store: MemoryStore) -> dict[str, Any]:
    fields: dict[str, Any] = by_run(ops.get_all)(store)  # type: ignore[assignment]
    return fields


FIRST: dict[str, Callable[[MemoryStore], object]] = {
    "get_all": fields_of,
    "get": by_run(ops.get, "a"),
    "history": events_of,
    "peek": lambda store: store.peek(KEY),
    "writers": lambda store: store.writers(KEY),
    "keys": lambda store: (store.keys(), store.names()),
    "run": by_run(ops.set_, "e", 6),
    "put": lambda store: store.bucket(KEY).put("e", 6),
    "put_all": lambda store: store.bucket(KEY).put_all({"e": 6}),
}


def interrupted(
    function: Callable[..., Any], write: Write, make: Callable[[], MemoryStore], skip: tuple[str, ...] = ()
) -> Iterator[MemoryStore]:
    """A store after an interrupted write, for each bytecode of *function* at which it can be interrupted."""
    for at in itertools.count(1):
        store = make()
        with AtStep(function, at, skip=skip) as step:
            write.call(store)
        if not step.happened:
            assert at > 4, "there was nothing to interrupt"
            return
        assert is_free(store)
        yield store


def assert_whole(store: MemoryStore, after: dict[str, Any], events: int, kept: int | None) -> None:
    """The write is in the data, in the journal, in the writers and in the list."""
    history = events_of(store)
    assert list(fields_of(store).items()) == list(after.items())
    assert_no_gaps(history, first=1 if kept is None else events - kept + 1)
    assert history[-1].seq == events
    if kept is None:
        assert replay(history, KEY) == after
    writers = store.writers(KEY)
    assert writers.keys() == after.keys()
    written = {change.field for change in history[-1].stored if change.after is not ABSENT}
    assert {field for field, event in writers.items() if event == history[-1]} == written
    listed = [] if history[-1].op == "drop" else [KEY]
    assert (store.keys(), store.names()) == (listed, [key.name for key in listed])


def assert_looked(first: str, looked: Any, after: dict[str, Any], events: int) -> None:
    """Who came first after the interrupt saw the whole write, or nothing of it."""
    if first in ("get_all", "peek", "writers"):
        assert list(looked) == list(after)
        assert first == "writers" or looked == after
    elif first == "get":
        assert looked == after.get("a", ABSENT)
    elif first == "history":
        assert looked[-1].seq == events


def check(
    function: Callable[..., Any], write: Write, first: str, max_events: int | None, skip: tuple[str, ...] = ()
) -> list[int]:
    """Interrupt a write everywhere in *function*.

    Returns:
        The number of events after each interrupt: 3, or, with the write, 4.
    """
    seen = []
    for store in interrupted(function, write, lambda: filled(max_events), skip):
        looked = FIRST[first](store)
        history = events_of(store)
        more = {"e": 6} if history[-1].stored[0].field == "e" else {}
        events = history[-1].seq - len(more)
        seen.append(events)
        after = write.after if events == 4 else BEFORE
        assert_looked(first, looked, after, events)
        assert_whole(store, after | more, events + len(more), max_events)
    assert seen == sorted(seen)
    return seen


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("max_events", [None, 2])
@pytest.mark.parametrize("write", WRITES)
def test_a_commit_that_is_interrupted_at_any_bytecode_is_finished(
    write: str, max_events: int | None, first: str
) -> None:
    """Whoever comes next, and with whatever, finds the whole write."""
    seen = check(MemoryStore._finish, WRITES[write], first, max_events)
    assert set(seen) == {4}
    assert len(seen) > 20


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    ("function", "skip", "outcomes"),
    [(MemoryStore.run, SKIP, {3, 4}), (MemoryStore.prepared, (), {3}), (MemoryStore.write, (), {3, 4})],
    ids=["run", "prepared", "write"],
)
def test_a_write_that_is_interrupted_at_any_bytecode_happens_wholly_or_not_at_all(
    write: str, function: Callable[..., Any], skip: tuple[str, ...], outcomes: set[int]
) -> None:
    for first in ("get_all", "run", "put", "put_all"):
        assert set(check(function, WRITES[write], first, None, skip)) == outcomes


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("max_events", [None, 2])
@pytest.mark.parametrize("write", PUTS)
def test_the_short_way_can_be_interrupted_at_any_bytecode(write: str, max_events: int | None, first: str) -> None:
    function = Bucket.put_all if write == "update" else Bucket.put
    seen = check(function, PUTS[write], first, max_events)
    assert set(seen) == {3, 4}
    assert len(seen) > 50


FIRST_WRITES: dict[str, Callable[[MemoryStore], object]] = {
    "set": by_run(ops.set_, "a", 1),
    "append": by_run(ops.append, "a", 1, RULES),
}


@pytest.mark.parametrize("function", [MemoryStore.run, MemoryStore.prepared, MemoryStore._finish, MemoryStore._list])
@pytest.mark.parametrize("write", FIRST_WRITES)
def test_a_first_write_that_is_interrupted_lists_its_bucket_or_not_as_it_happens_or_not(
    write: str, function: Callable[..., Any]
) -> None:
    """And the bucket can be dropped and written to afterwards, as any other."""
    for store in interrupted(function, Write(FIRST_WRITES[write], {}), MemoryStore, SKIP):
        owner = Owner()
        last = owner.forgot
        store.owners.add(owner)
        listed = [KEY] if fields_of(store) else []
        assert (store.keys(), store.names()) == (listed, [key.name for key in listed])
        assert len(events_of(store)) == len(listed)
        for _ in range(2):
            by_run(ops.set_, "a", 1)(store)
            assert (store.keys(), store.names()) == ([KEY], ["Signup"])
            by_run(ops.drop)(store)
            assert (store.keys(), store.names()) == ([], [])
        assert last == ["Signup"] * 2
        assert_no_gaps(events_of(store))


def listed() -> MemoryStore:
    store = MemoryStore()
    store.enlist(store.bucket(KEY))
    return store


@pytest.mark.parametrize("make", [filled, listed])
@pytest.mark.parametrize("function", [MemoryStore.run, MemoryStore._finish, MemoryStore.unlist])
def test_a_drop_that_is_interrupted_takes_its_bucket_off_the_list_or_not_as_it_happens_or_not(
    function: Callable[..., Any], make: Callable[[], MemoryStore]
) -> None:
    """Also of a bucket that is empty, and has no event."""
    bucket = None

    def kept() -> MemoryStore:
        nonlocal bucket
        store = make()
        bucket = store.bucket(KEY)
        return store

    for store in interrupted(function, WRITES["drop"], kept, SKIP):
        assert store.bucket(KEY) is bucket
        is_dropped = not store.keys()
        assert store.names() == ([] if is_dropped else ["Signup"])
        assert fields_of(store) == ({} if is_dropped or make is listed else BEFORE)
        assert store.bucket(KEY).is_listed is not is_dropped
        assert not (is_dropped and store.bucket(KEY).put("a", 1))
        by_run(ops.set_, "b", 1)(store)
        assert store.bucket(KEY).put("a", 1) is not None
        assert (store.keys(), store.names()) == ([KEY], ["Signup"])
        assert_no_gaps(events_of(store))


STEPS: dict[str, Callable[[MemoryStore], object]] = {
    "history": events_of,
    "enlist": lambda store: store.enlist(store.bucket(StateKey("Order"))),
    "bucket": lambda store: store.bucket(StateKey("Order")),
}


@pytest.mark.parametrize("step", STEPS)
def test_any_other_step_that_is_interrupted_can_be_done_again(step: str) -> None:
    for function in (MemoryStore.alone, MemoryStore._list, MemoryStore._known_bucket):
        for at in itertools.count(1):
            store = filled()
            with AtStep(function, at, skip=SKIP) as interruption:
                STEPS[step](store)
            if not interruption.happened:
                break
            assert is_free(store)
            assert len(events_of(store)) == 3
            bucket = store.bucket(StateKey("Order"))
            store.enlist(bucket)
            assert store.keys() == [KEY, StateKey("Order")]
            assert store.names() == ["Signup", "Order"]
            store.run(bucket, ops.set_, ("a", 1), None)
            assert bucket.put("a", 2) is not None


# -- other code of the same thread in the middle of an op ----------------------------------------------------------

USES: dict[str, Callable[[MemoryStore], object]] = {
    "increment": by_run(ops.increment, "n", 1, RULES),
    "increment the short way": lambda store: (
        store.bucket(KEY).put("n", 1, "increment") or by_run(ops.increment, "n", 1, RULES)(store)
    ),
    "update": lambda store: store.bucket(KEY).put_all({"a": 1}) or by_run(ops.update, {"a": 1})(store),
    "history": events_of,
}


@pytest.mark.parametrize("inner", USES)
@pytest.mark.parametrize("outer", ["increment", "increment the short way", "update"])
def test_a_signal_handler_or_finaliser_that_uses_the_state_in_the_middle_of_an_op_harms_nothing(
    outer: str, inner: str
) -> None:
    """Between any two bytecodes, its op is done before or after the one that it comes into, or is refused."""
    outcomes: Counter[str] = Counter()

    def use() -> None:
        try:
            USES[inner](store)
            outcomes["done"] += 1
        except ReentrantError:
            outcomes["refused"] += 1

    for function in (MemoryStore.run, MemoryStore.prepared, MemoryStore._finish, Bucket.put, Bucket.put_all):
        for at in itertools.count(1):
            store = MemoryStore(None)
            store.bucket(KEY)
            by_run(ops.update, {"n": 0, "a": 0})(store)
            done = outcomes["done"]
            with AtStep(function, at, use) as step:
                USES[outer](store)
            if not step.happened:
                break
            assert is_free(store)
            assert_no_gaps(events_of(store))
            assert replay(events_of(store), KEY) == fields_of(store)
            ops_done = [outer, inner] if outcomes["done"] > done else [outer]
            assert fields_of(store)["n"] == sum(name.startswith("increment") for name in ops_done)
            assert len(events_of(store)) == 1 + len(ops_done) - ops_done.count("history")
    assert min(outcomes["done"], outcomes["refused"]) > 10


# -- real signals --------------------------------------------------------------------------------------------------


class Signup(State):
    pass


HIT = ("put", "put_all", "run", "prepared", "_finish")
ROUNDS = 25


def test_real_interrupts_in_the_middle_of_ops_leave_the_state_whole() -> None:
    registry = StateRegistry(max_events=None)
    state = registry.state(Signup)
    hits: Counter[str] = Counter()
    files = {inspect.getfile(MemoryStore), inspect.getfile(Bucket)}

    def interrupt(_: int, frame: FrameType | None) -> None:
        in_the_core = frame is not None and frame.f_code.co_filename in files
        if in_the_core and sys.exception() is None:  # one interrupt at a time
            raise KeyboardInterrupt

    def send(stop: threading.Event, to: int) -> None:
        while not stop.wait(0.0002):
            signal.pthread_kill(to, signal.SIGUSR1)

    def work(number: int) -> None:
        state.set("a", number)
        state.increment("n")
        state.update(b=number, c=number)
        state.set("list", [number])
        state.delete("b")

    stop = threading.Event()
    sender = threading.Thread(target=send, args=(stop, threading.get_ident()))
    previous = signal.signal(signal.SIGUSR1, interrupt)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)  # else the sender waits 5 ms for its turn
    sender.start()
    try:
        for number in itertools.count():
            try:
                work(number)
            except KeyboardInterrupt as error:
                frames = traceback.extract_tb(error.__traceback__)
                hits.update({frame.name for frame in frames})
                assert is_free(registry._store)
            if all(hits[name] >= ROUNDS for name in HIT):
                break
    finally:
        stop.set()
        sender.join()
        sys.setswitchinterval(interval)
        signal.signal(signal.SIGUSR1, previous)
    history = registry.history()
    assert_no_gaps(history)
    assert replay(history, KEY) == state.get_all()
    assert state.get("n") == sum(event.op == "increment" for event in history)
