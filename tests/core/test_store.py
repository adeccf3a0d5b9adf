"""The memory store: data and journal change in one step, whatever interrupts it."""

from __future__ import annotations

import functools
import inspect
import itertools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any, Self

import pytest
from support.replay import assert_no_gaps, replay

from qstate_nb import ABSENT, Actor, Event, State, StateKey, StateRegistry
from qstate_nb.core import ops
from qstate_nb.core.store import MemoryStore
from qstate_nb.errors import ReentrantError

KEY = StateKey("Signup")
OTHER = StateKey("Order")
ACTOR = Actor("step1", 1)
BEFORE: dict[str, Any] = {"a": 1, "b": 2, "c": 3}

WRITES: dict[str, tuple[ops.Write, tuple[Any, ...], dict[str, Any]]] = {
    "set new": (ops.set_, ("d", 4), {"a": 1, "b": 2, "c": 3, "d": 4}),
    "set again": (ops.set_, ("a", 4), {"a": 4, "b": 2, "c": 3}),
    "update": (ops.update, ({"d": 4, "b": 5},), {"a": 1, "b": 5, "c": 3, "d": 4}),
    "delete": (ops.delete, ("b",), {"a": 1, "c": 3}),
    "clear": (ops.clear, (), {}),
}


def filled(max_events: int | None = None) -> MemoryStore:
    store = MemoryStore(max_events)
    for field, value in BEFORE.items():
        store.transact(KEY, ops.set_, (field, value), ACTOR)
    return store


def fields_of(store: MemoryStore) -> dict[str, Any]:
    fields: dict[str, Any] = store.read(KEY, ops.get_all)
    return fields


def test_a_write_gives_its_result_and_its_event() -> None:
    store = MemoryStore()
    result, event = store.transact(KEY, ops.update, ({"a": 1},), ACTOR)
    assert result == {"a": 1}
    assert event is not None
    assert (event.seq, event.key, event.op, event.actor) == (1, KEY, "update", ACTOR)
    assert store.history() == [event]
    assert store.transact(KEY, ops.set_, ("a", 2), ACTOR)[1] == store.history()[1]
    assert store.history()[1].op == "set"


def test_a_write_that_changes_nothing_has_no_event_and_takes_no_number() -> None:
    store = MemoryStore()
    assert store.transact(KEY, ops.delete, ("a",), ACTOR) == (None, None)
    assert store.history() == []
    store.transact(KEY, ops.set_, ("a", 1), ACTOR)
    assert_no_gaps(store.history())


def test_an_op_that_raises_commits_nothing_and_frees_the_store() -> None:
    def fail(fields: ops.Fields) -> ops.Outcome:
        raise RuntimeError("failed")

    store = filled()
    with pytest.raises(RuntimeError, match="failed"):
        store.transact(KEY, fail, (), ACTOR)
    with pytest.raises(RuntimeError, match="failed"):
        store.read(KEY, fail)
    assert fields_of(store) == BEFORE
    assert len(store.history()) == 3


def test_buckets_are_apart_and_listed_in_the_order_of_their_first_write() -> None:
    store = filled()
    assert store.read(OTHER, ops.get_all) == {}
    assert store.keys() == [KEY]
    store.transact(OTHER, ops.set_, ("a", 9), ACTOR)
    assert store.read(OTHER, ops.get_all) == {"a": 9}
    assert fields_of(store) == BEFORE
    assert store.keys() == [KEY, OTHER]


def test_each_field_knows_the_event_that_last_wrote_it() -> None:
    store = filled()
    store.transact(KEY, ops.update, ({"b": 5, "c": 6},), ACTOR)
    store.transact(KEY, ops.delete, ("c",), ACTOR)
    assert {field: event.seq for field, event in store.writers(KEY).items()} == {"a": 1, "b": 4}
    assert store.writers(OTHER) == {}
    store.writers(KEY).clear()
    assert len(store.writers(KEY)) == 2


def test_lists_that_are_handed_out_are_the_callers() -> None:
    store = filled()
    store.history().clear()
    store.keys().clear()
    fields_of(store).clear()
    assert (len(store.history()), store.keys(), fields_of(store)) == (3, [KEY], BEFORE)


@pytest.mark.parametrize("max_events", [0, -1])
def test_a_journal_keeps_at_least_one_event(max_events: int) -> None:
    with pytest.raises(ValueError, match=rf"max_events must be at least 1, or None to keep all, not {max_events}"):
        MemoryStore(max_events)


@functools.cache
def lines_of(code: CodeType, beginnings: tuple[str, ...]) -> set[int]:
    """The numbers of a function's lines that begin so."""
    lines, first = inspect.getsourcelines(code)
    return {first + n for n, line in enumerate(lines) if line.strip().startswith(beginnings)}


class Interruption:
    """Raises KeyboardInterrupt at one step of a function, counted from 1, while a block runs.

    Args:
        code: the function's.
        at: which step.
        by: a step is an ``opcode`` or a ``line``.
        skip: lines of the source at which the interpreter can't be interrupted.
    """

    def __init__(self, code: CodeType, at: int, by: str, skip: tuple[str, ...] = ()) -> None:
        self._code, self._left, self._by = code, at, by
        self._skipped = lines_of(code, skip)
        self.happened = False

    def __enter__(self) -> Self:
        self._previous = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # else Python 3.12.1 has no opcode events the first time
        sys.settrace(self._trace)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        sys.settrace(self._previous)
        return kind is KeyboardInterrupt

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code is not self._code:
            return None
        frame.f_trace_opcodes = self._by == "opcode"
        if event == self._by and frame.f_lineno not in self._skipped:
            self._left -= 1
            if self._left == 0:
                self.happened = True
                raise KeyboardInterrupt
        return self._trace


def interrupted_writes(
    function: Callable[..., Any], by: str, max_events: int | None, write: str, skip: tuple[str, ...] = ()
) -> Iterator[MemoryStore]:
    """A store after an interrupted write, for each step of *function* at which it can be interrupted."""
    op, args, _ = WRITES[write]
    for at in itertools.count(1):
        store = filled(max_events)
        with Interruption(function.__code__, at, by, skip) as interruption:
            store.transact(KEY, op, args, ACTOR)
        if not interruption.happened:
            assert at > 4, "there was nothing to interrupt"
            return
        yield store


def assert_whole(store: MemoryStore, after: dict[str, Any], events: int, kept: int | None) -> None:
    """The write is in the data, in the journal and in the writers."""
    history = store.history()
    assert list(fields_of(store).items()) == list(after.items())
    assert_no_gaps(history, first=1 if kept is None else events - kept + 1)
    assert history[-1].seq == events
    if kept is None:
        assert replay(history, KEY) == after
    writers = store.writers(KEY)
    assert writers.keys() == after.keys()
    written = {field for field, _, value in history[-1].stored if value is not ABSENT}
    assert {field for field, event in writers.items() if event is history[-1]} == written


FIRST: dict[str, Callable[[MemoryStore], object]] = {
    "read": fields_of,
    "history": MemoryStore.history,
    "writers": lambda store: store.writers(KEY),
    "write": lambda store: store.transact(KEY, ops.set_, ("e", 6), ACTOR),
}


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("max_events", [None, 2])
@pytest.mark.parametrize("write", WRITES)
def test_a_commit_that_is_interrupted_at_any_bytecode_is_finished(
    write: str, max_events: int | None, first: str
) -> None:
    """Whoever comes next, and with whatever, finds the whole write, or, if it had not begun, nothing of it."""
    seen = []
    for store in interrupted_writes(MemoryStore._finish, "opcode", max_events, write):
        looked = FIRST[first](store)
        events = store.history()[-1].seq - (first == "write")
        seen.append(events)
        after = WRITES[write][2] if events == 4 else BEFORE
        if first in ("read", "writers"):
            assert isinstance(looked, dict)
            assert list(looked) == list(after)
            assert looked == (after if first == "read" else store.writers(KEY))
        more = {"e": 6} if first == "write" else {}
        assert_whole(store, after | more, events + len(more), max_events)
    assert seen == sorted(seen)
    assert seen.count(4) > 20


@pytest.mark.parametrize(("function", "outcomes"), [(MemoryStore._alone, {3}), (MemoryStore._transact, {3, 4})])
@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_is_interrupted_at_any_line_happens_wholly_or_not_at_all(
    write: str, function: Callable[..., Any], outcomes: set[int]
) -> None:
    """The interpreter lets nothing come between a lock and its ``with``, or before an assignment in a ``finally``."""
    seen = set()
    for store in interrupted_writes(function, "line", None, write, skip=("with", "self._busy =")):
        events = len(store.history())
        seen.add(events)
        assert_whole(store, WRITES[write][2] if events == 4 else BEFORE, events, None)
    assert seen == outcomes


class Signup(State):
    pass


def test_real_interrupts_in_the_middle_of_ops_leave_the_state_whole() -> None:
    registry = StateRegistry(max_events=None)
    state = registry.state(Signup)
    hits = 0
    store_file = inspect.getfile(MemoryStore)

    def interrupt(_: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code.co_filename == store_file:
            raise KeyboardInterrupt

    def send(stop: threading.Event, to: int) -> None:
        while not stop.wait(0.0002):
            signal.pthread_kill(to, signal.SIGUSR1)

    stop = threading.Event()
    sender = threading.Thread(target=send, args=(stop, threading.get_ident()))
    previous = signal.signal(signal.SIGUSR1, interrupt)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)  # else the sender waits 5 ms for its turn
    sender.start()
    try:
        for number in itertools.count():
            try:
                state.update(a=number, b=number)
                state.delete("b")
            except KeyboardInterrupt:
                hits += 1
            if hits == 200:
                break
    finally:
        stop.set()
        sender.join()
        sys.setswitchinterval(interval)
        signal.signal(signal.SIGUSR1, previous)
    history = registry.history()
    assert_no_gaps(history)
    assert replay(history, KEY) == state.get_all()


def test_an_op_runs_in_the_callers_thread_and_under_the_lock() -> None:
    """While one op runs, another thread's op on the store waits; nothing is handed to another thread."""
    store = MemoryStore()
    inside, go_on = threading.Event(), threading.Event()
    threads: list[int] = []

    def slow(fields: ops.Fields) -> ops.Outcome:
        threads.append(threading.get_ident())
        inside.set()
        assert go_on.wait(10)
        return ops.set_(fields, "a", 1)

    first = threading.Thread(target=store.transact, args=(KEY, slow, (), ACTOR))
    first.start()
    assert inside.wait(10)
    events: list[Event] = []
    second = threading.Thread(target=lambda: events.extend(store.history()))
    second.start()
    go_on.set()
    first.join(10)
    second.join(10)
    assert threads == [first.ident]
    assert [event.seq for event in events] == [1]


def test_state_that_is_used_inside_its_own_op_is_refused_and_hangs_nobody() -> None:
    """The finaliser of a value runs when the value is dropped: here, in the middle of an op."""
    registry = StateRegistry(max_events=1)
    state = registry.state(Signup)
    refused: list[Exception] = []

    class Thing:
        def __del__(self) -> None:
            try:
                state.set("b", 1)
            except ReentrantError as error:
                refused.append(error)

    state.set("a", Thing())
    state.set("a", 1)
    state.set("a", 2)

    assert ["finaliser" in str(error) for error in refused] == [True]
    assert state.get_all() == {"a": 2}
    assert registry.history()[-1].seq == 3
