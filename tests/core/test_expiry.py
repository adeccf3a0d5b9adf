"""State that expires: by its class's ttl, and by `expire`; expiry is an event."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from qstate_nb import ABSENT, AsyncState, Event, State, StateRegistry, transaction
from qstate_nb.core import expiry
from qstate_nb.core.buckets import Bucket
from qstate_nb.core.expiry import Due, Sweeper
from qstate_nb.core.keys import StateKey
from qstate_nb.core.store import MemoryStore
from qstate_nb.errors import StateValueError

TTL = 0.05  # seconds


class Session(State, ttl=TTL):
    """Expires."""


class AsyncSession(AsyncState, name="Session", ttl=TTL):
    """The same, in the other colour."""


class Plain(State):
    """Does not expire by itself."""


@pytest.fixture
def registry() -> StateRegistry:
    return StateRegistry()


def until(happened: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it didn't happen"
        time.sleep(0.002)


def sweepers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "qstate expiry"}


def ops(registry: StateRegistry) -> list[str]:
    return [event.op for event in registry.history()]


def test_it_expires_after_its_last_write_as_one_event(registry: StateRegistry) -> None:
    session = registry.state(Session, scope=1)
    session.update(a=1, b=2)
    heard: list[Event] = []
    registry.subscribe(heard.append)
    until(lambda: heard)
    assert session.get_all() == {}
    (event,) = heard
    assert repr(event) == "<Event 2: Session[1] expire a, b by ttl>"
    assert [(change.before, change.after) for change in event.changes] == [(1, ABSENT), (2, ABSENT)]
    assert StateKey("Session", 1) not in registry.keys()
    assert event.time - registry.history()[0].time >= TTL


def test_each_write_lets_it_live_anew(registry: StateRegistry) -> None:
    session = registry.state(Session)
    for number in range(8):
        session.set("n", number)
        time.sleep(TTL / 4)
    assert session.get("n") == 7
    until(lambda: "expire" in ops(registry))
    assert ops(registry) == ["set"] * 8 + ["expire"]


def test_an_op_sees_what_is_over_before_the_sweeper_does(registry: StateRegistry, monkeypatch: Any) -> None:
    monkeypatch.setattr(Sweeper, "plan", lambda self, seconds: None)
    session = registry.state(Session)
    session.set("n", 5)
    time.sleep(TTL * 1.1)
    assert session.increment("n") == 1
    assert ops(registry) == ["set", "expire", "increment"]


def test_both_colours_and_every_verb_work_on_it(registry: StateRegistry) -> None:
    async def main() -> None:
        session = registry.state(AsyncSession)
        await session.set("a", 1)
        assert await session.update(b=2) == {"a": 1, "b": 2}
        assert await session.get("a") == 1
        await session.append("c", 1)
        await session.expire(None)
        await asyncio.sleep(TTL * 2)
        assert await session.get_all() == {"a": 1, "b": 2, "c": [1]}
        await session.expire(0)
        assert await session.get_all() == {}

    asyncio.run(main())


def test_expire_sets_and_takes_away_the_time(registry: StateRegistry) -> None:
    plain = registry.state(Plain)
    plain.expire(0.01)  # there is nothing
    plain.set("a", 1)
    time.sleep(0.03)
    assert plain.get("a") == 1
    plain.expire(60)
    plain.expire(0.01)
    plain.expire(None)
    time.sleep(0.03)
    assert plain.get("a") == 1
    plain.expire(0.01)
    plain.set("b", 2)  # a State without a ttl keeps its time
    until(lambda: "expire" in ops(registry))
    assert plain.get_all() == {}
    plain.set("a", 1)
    time.sleep(0.03)
    assert plain.get("a") == 1, "what expired doesn't do so again"


def test_many_expire_each_at_its_time(registry: StateRegistry) -> None:
    order = [5, 3, 1, 4, 2]
    for number in order:
        state = registry.state(Plain, scope=number)
        state.set("n", number)
        state.expire(0.02 * number)
    until(lambda: ops(registry).count("expire") == 5)
    expired = [event.states[0].scope for event in registry.history() if event.op == "expire"]
    assert expired == sorted(order)
    assert registry.keys() == []


def test_what_a_transaction_holds_lives_until_its_end(registry: StateRegistry) -> None:
    session, plain = registry.state(Session), registry.state(Plain)
    session.set("n", 1)
    plain.set("n", 1)
    plain.expire(TTL)
    with transaction(session, plain):
        time.sleep(TTL * 1.5)
        assert (session.get("n"), plain.get("n")) == (1, 1)
        session.set("n", 2)
    assert session.get("n") == 2, "the commit lets it live anew"
    until(lambda: ops(registry).count("expire") == 2)


@pytest.mark.parametrize("how", ["transaction", "mutate"])
def test_what_is_only_written_in_a_transaction_expires_too(registry: StateRegistry, how: str) -> None:
    session = registry.state(Session)
    if how == "mutate":
        session.mutate("n", lambda _: 1)
    else:
        with session.transaction(), session.transaction():
            session.set("n", 1)
    until(lambda: "expire" in ops(registry))
    assert ops(registry) == [how, "expire"]


def test_expire_in_a_transaction_counts_if_that_is_committed(registry: StateRegistry) -> None:
    plain = registry.state(Plain)
    plain.set("n", 1)
    with pytest.raises(RuntimeError), plain.transaction():
        plain.expire(0)
        raise RuntimeError
    time.sleep(0.02)
    assert plain.get("n") == 1
    with plain.transaction(), plain.transaction():
        plain.expire(0.01)
    until(lambda: "expire" in ops(registry))
    assert plain.get_all() == {}


def test_an_expiry_can_be_undone_and_blamed(registry: StateRegistry) -> None:
    registry.state(Plain).set("n", 1)
    registry.state(Plain).expire(0)
    until(lambda: "expire" in ops(registry))
    registry.undo()
    assert registry.state(Plain).get("n") == 1
    assert registry.blame("Plain")["n"].op == "undo"


def test_a_class_that_is_defined_again_can_lose_its_ttl(registry: StateRegistry) -> None:
    registry.state(Session).set("n", 1)

    class Session2(State, name="Session"):
        pass

    state = registry.state(Session2)
    state.set("n", 2)
    state.expire(None)
    time.sleep(TTL * 1.5)
    assert state.get("n") == 2
    state.set("m", 1)
    time.sleep(TTL * 1.5)
    assert state.get("m") == 1


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, "1", True, [], -0.001])
def test_a_time_that_is_none(registry: StateRegistry, seconds: Any) -> None:
    state = registry.state(Plain)
    state.set("n", 1)
    with pytest.raises(StateValueError, match=r"State Plain expires must be seconds, 0 or more, not "):
        state.expire(seconds)
    with pytest.raises(StateValueError, match=r"the ttl of State Wrong must be seconds, more than 0, not "):
        type("Wrong", (State,), {}, ttl=seconds)
    with pytest.raises(StateValueError, match="more than 0"):
        type("Wrong", (State,), {}, ttl=0)
    assert state.get("n") == 1


def test_subclasses_have_the_ttl_of_their_base() -> None:
    class Derived(Session):
        pass

    assert (Derived.state_ttl, Session.state_ttl, Plain.state_ttl) == (TTL, TTL, None)


def test_no_thread_stays_when_nothing_expires_any_more(registry: StateRegistry) -> None:
    before = sweepers()
    registry.state(Session).set("n", 1)
    assert len(sweepers() - before) == 1
    until(lambda: "expire" in ops(registry))
    until(lambda: not sweepers() - before)


def test_a_sweeper_keeps_no_store_alive(monkeypatch: Any) -> None:
    monkeypatch.setattr(expiry, "_LONGEST", 0.01)
    before = sweepers()
    store = MemoryStore()
    store._sweeper.plan(60)
    assert len(sweepers() - before) == 1
    gone = weakref.ref(store)
    del store
    gc.collect()
    assert gone() is None
    until(lambda: not sweepers() - before)


class Sweeps:
    """A store whose sweep plans another one meanwhile."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.sweeper = Sweeper(self)

    def sweep(self) -> float | None:
        self.times.append(time.monotonic())
        if len(self.times) == 1:
            self.sweeper.plan(0.01)
            return 3600
        return None


def test_what_is_planned_during_a_sweep_is_not_forgotten() -> None:
    store = Sweeps()
    store.sweeper.plan(0)
    until(lambda: len(store.times) == 2)


def test_an_earlier_time_comes_first_and_a_later_one_replaces_none() -> None:
    store = Sweeps()
    store.times.append(0)
    store.sweeper.plan(60)
    store.sweeper.plan(0.01)
    store.sweeper.plan(50)
    until(lambda: len(store.times) == 2)


def test_due_gives_each_bucket_once_and_knows_later_deadlines() -> None:
    store = MemoryStore()
    one, two = (Bucket(store, StateKey("S", number)) for number in (1, 2))
    due = Due()
    for bucket, deadline in ((one, 5.0), (two, 3.0), (one, 9.0), (one, 7.0), (two, 1.0)):
        bucket.deadline = deadline
        due.add(bucket)
    assert list(due.pop(0.5)) == []
    assert list(due.pop(4.0)) == [two]
    assert list(due.pop(6.0)) == []
    assert due.next == 7.0
    one.deadline = None
    assert list(due.pop(8.0)) == []
    assert due.next is None
