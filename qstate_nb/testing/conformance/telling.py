"""Who is told of changes, and State that expires."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Any

import pytest

from qstate_nb.core.journal import ABSENT, Event
from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import AsyncState, State
from qstate_nb.core.transactions import transaction
from qstate_nb.errors import StateValueError
from qstate_nb.testing.conformance.suite import PATIENCE, AsyncBox, Box, Suite, begun, fails, in_threads, until

TTL = 0.1  # seconds


class Session(State, ttl=TTL):
    """Expires by itself."""


class AsyncSession(AsyncState, name="Session", ttl=TTL):
    """The same, for async code."""


def heard_by(registry: StateRegistry) -> list[Event]:
    """The events that a subscriber has heard of so far."""
    heard: list[Event] = []
    registry.subscribe(heard.append)
    return heard


class Telling(Suite):
    """Subscribers."""

    def test_a_subscriber_has_heard_when_the_op_returns(self, registry: StateRegistry, box: Any) -> None:
        """Of an op here; of each once, in order, as the journal has it."""
        heard = heard_by(registry)
        for number in range(5):
            box.set("n", number)
            assert len(heard) == number + 1
        with transaction(registry.state(Box)):
            registry.state(Box).set("n", 5)
            registry.state(Box).set("m", 5)
            assert len(heard) == 5
        registry.undo()
        assert heard == list(registry.history())
        assert [event.op for event in heard[5:]] == ["transaction", "undo"]

    def test_it_has_heard_when_the_op_returns_also_of_what_others_did(
        self, registry: StateRegistry, elsewhere: StateRegistry
    ) -> None:
        """Before it, as that came first."""
        heard = heard_by(registry)
        for number in range(1, 6):
            elsewhere.state(Box).set("n", number)
            registry.state(Box).increment("n")
            assert [event.seq for event in heard] == list(range(1, 2 * number + 1))

    def test_a_subscriber_that_left_hears_no_more(self, registry: StateRegistry) -> None:
        """Others do."""
        first: list[Event] = []
        leave = registry.subscribe(first.append)
        second = heard_by(registry)
        registry.state(Box).set("n", 1)
        leave()
        leave()
        registry.state(Box).set("n", 2)
        assert ([event.seq for event in first], [event.seq for event in second]) == ([1], [1, 2])

    def test_a_subscriber_that_fails_harms_nobody(
        self, registry: StateRegistry, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is logged."""

        def fail(event: Event) -> None:
            raise ZeroDivisionError(event.seq)

        registry.subscribe(fail)
        heard = heard_by(registry)
        with caplog.at_level(logging.ERROR, "qstate_nb"):
            registry.state(Box).set("n", 1)
        assert len(heard) == 1
        assert "a subscriber failed on <Event 1: Box set n by user>" in caplog.text

    def test_a_subscriber_can_change_the_state_that_changed(self, registry: StateRegistry, box: Any) -> None:
        """With a verb that keeps others away, too."""

        def count(event: Event) -> None:
            if event.op == "set":
                registry.state(Box).mutate("changes", lambda n: n + 1, default=0)
                with transaction(registry.state(Box)):
                    registry.state(Box).increment("changes", 10)

        registry.subscribe(count)
        in_threads(lambda: box.set("n", 1))
        until(lambda: registry.state(Box).get_all() == {"n": 1, "changes": 11})

    @pytest.mark.parametrize("way", ["set", "mutate", "with", "async with"])
    def test_a_subscriber_can_use_the_state_that_changed(self, registry: StateRegistry, way: str) -> None:
        """Nobody holds it any more when it is told."""
        seen: list[Any] = []

        async def main() -> None:
            async with registry.state(AsyncBox).transaction():
                await registry.state(AsyncBox).set("n", 1)
            assert len(seen) == 1, "it has heard when the transaction has ended"

        registry.subscribe(lambda event: seen.append((event.op, registry.state(Box).get("n"))))
        if way == "async with":
            asyncio.run(asyncio.wait_for(main(), PATIENCE))
        elif way == "mutate":
            registry.state(Box).mutate("n", lambda _: 1)
        else:
            with transaction(registry.state(Box, scope="another" if way == "set" else None)):
                registry.state(Box).set("n", 1)
        assert seen == [("transaction" if "with" in way else way, 1)]

    def test_a_subscriber_may_look_at_what_a_transaction_around_the_op_holds(
        self, registry: StateRegistry, sync: bool
    ) -> None:
        """The code that waits for the subscriber is not waited for by it for ever."""
        seen: list[Any] = []
        found: list[Any] = []
        held, free = registry.state(AsyncBox, scope="held"), registry.state(AsyncBox, scope="free")

        def look(event: Event) -> None:
            seen.append(event.op)
            found.append(registry.state(Box, scope="held").get("n"))

        async def main() -> None:
            async with begun(held, sync=sync):
                await held.set("n", 1)
                await free.set("n", 2)

        registry.subscribe(look)
        in_threads(lambda: asyncio.run(main()))
        until(lambda: len(found) == 2)
        assert (seen, found) == (["set", "transaction"], [1, 1])

    def test_a_subscriber_can_use_state(self, registry: StateRegistry) -> None:
        """What it reads is what was committed, or newer; what it writes is told as well."""
        seen: list[Any] = []

        def copy(event: Event) -> None:
            seen.append((event.seq, registry.state(Box).get("n"), registry.peek(StateKey("Box"))["n"]))
            if event.states == (StateKey("Box"),):
                registry.state(Box, scope="copy").set("n", event.changes[0].after)

        registry.subscribe(copy)
        registry.state(Box).set("n", 1)
        until(lambda: len(seen) == 2)
        assert seen == [(1, 1, 1), (2, 1, 1)]
        assert registry.state(Box, scope="copy").get("n") == 1

    def test_it_hears_of_other_processes(self, registry: StateRegistry, other: StateRegistry) -> None:
        """Soon, of each event once, and in order."""
        heard = heard_by(registry)
        other.state(Box).set("n", 0)
        until(lambda: heard)
        waits = []
        for number in range(2, 6):
            begin = time.monotonic()
            other.state(Box).set("n", number)
            until(lambda number=number: len(heard) == number)  # type: ignore[misc]
            waits.append(time.monotonic() - begin)
        assert sorted(waits)[1] < 0.15, "seconds until it was told"
        assert heard == list(registry.history()) == list(other.history())

    def test_all_hear_the_same(self, registry: StateRegistry, elsewhere: StateRegistry) -> None:
        """While many write, here and elsewhere."""
        heard = [heard_by(each) for each in (registry, elsewhere)]

        def work(registry: StateRegistry) -> None:
            for _ in range(10):
                registry.state(Box).increment("n")

        in_threads(*(partial(work, each) for each in (registry, registry, elsewhere, elsewhere)))
        for each in heard:
            until(lambda each=each: len(each) == 40)  # type: ignore[misc]
            seqs = [event.seq for event in each]
            assert sorted(seqs) == list(range(1, 41))
            assert seqs == sorted(seqs) or not self.shared

    def test_changes(self, registry: StateRegistry, elsewhere: StateRegistry) -> None:
        """Those of one bucket, as they happen, whoever makes them."""

        async def main() -> list[Any]:
            box = registry.state(AsyncBox)
            changes = box.changes()
            await registry.state(AsyncBox, scope=1).set("n", 0)
            await box.set("n", 1)
            await elsewhere.state(AsyncBox).set("n", 2)
            await box.set("n", 3)
            async with asyncio.timeout(PATIENCE):
                return [(await anext(changes)).changes[0].after for _ in range(3)]

        assert asyncio.run(main()) == [1, 2, 3]

    def test_what_is_loaded_is_told(self, registry: StateRegistry, elsewhere: StateRegistry, tmp_path: Any) -> None:
        """So that displays show it; then the next event is."""
        registry.state(Box).set("n", 1)
        registry.save(tmp_path / "saved")
        registry.state(Box).set("n", 2)
        heard = [heard_by(registry), heard_by(elsewhere)]
        elsewhere.load(tmp_path / "saved")
        for each in heard:
            until(lambda each=each: each and each[-1].changes[0].after == 1)  # type: ignore[misc]
            each.clear()
        assert registry.seq == elsewhere.seq
        elsewhere.state(Box).set("n", 3)
        for each in heard:
            until(lambda each=each: each)  # type: ignore[misc]
            assert [event.changes[0].after for event in each] == [3], "what was told is not told again"


class Expiry(Suite):
    """State that is removed when its time is over."""

    def test_it_expires_as_one_event(self, registry: StateRegistry, elsewhere: StateRegistry) -> None:
        """So long after the last write; all hear of it, and the bucket goes off the list."""
        heard = [heard_by(registry), heard_by(elsewhere)]
        session = registry.state(Session, scope=1)
        session.update(a=1, b=2)
        time.sleep(TTL / 2)
        session.set("a", 3)
        for each in heard:
            until(lambda each=each: len(each) == 3)  # type: ignore[misc]
            event = each[-1]
            assert (event.op, str(event.actor)) == ("expire", "ttl")
            assert [change[1:] for change in event.changes] == [("a", 3, ABSENT), ("b", 2, ABSENT)]
            assert event.time - each[-2].time >= TTL
        assert session.get_all() == {}
        assert StateKey("Session", 1) not in elsewhere.keys()
        assert registry.history() == elsewhere.history()

    def test_nobody_sees_what_is_over(self, registry: StateRegistry, elsewhere: StateRegistry) -> None:
        """Whoever looks first, and however."""
        for number in range(4):
            registry.state(Box, scope=number).set("n", 5)
            registry.state(Box, scope=number).expire(0.02)
        time.sleep(0.04)
        assert elsewhere.state(Box, scope=0).get("n") is None
        assert elsewhere.state(Box, scope=1).get_all() == {}
        assert elsewhere.state(Box, scope=2).increment("n") == 1
        assert {**elsewhere.at()} == {"Box[2]": {"n": 1}}
        assert sorted(event.op for event in registry.history()) == sorted(
            [*["set"] * 4, *["expire"] * 4, "increment"]
        )

    def test_async_state_expires(self, registry: StateRegistry) -> None:
        """And its time can be set, and taken away."""

        async def main() -> None:
            session = registry.state(AsyncSession)
            await session.set("n", 1)
            await session.expire(None)
            await session.delete("missing")
            await session.setdefault("n", 2)
            assert await session.update() == {"n": 1}, "what changes nothing leaves its time"
            await asyncio.sleep(TTL * 1.5)
            assert await session.get("n") == 1
            await session.expire(0)
            assert await session.get("n") is None

        asyncio.run(main())

    def test_expire_sets_the_time(self, registry: StateRegistry, elsewhere: StateRegistry) -> None:
        """The last one counts, and a write leaves it; what is empty doesn't expire, and what has doesn't again."""
        box = registry.state(Box)
        box.expire(0.01)
        box.set("n", 1)
        box.expire(0.01)
        elsewhere.state(Box).expire(None)
        time.sleep(0.03)
        assert box.get("n") == 1
        elsewhere.state(Box).expire(PATIENCE)
        elsewhere.state(Box).expire(0.05)
        box.set("m", 1)
        time.sleep(0.07)
        assert elsewhere.state(Box).get_all() == {}
        elsewhere.state(Box).set("n", 2)
        time.sleep(0.03)
        assert box.get_all() == {"n": 2}

    def test_a_transaction_keeps_what_it_holds(self, registry: StateRegistry) -> None:
        """What is said in it counts from its end; one that is undone has said nothing."""
        session, box = registry.state(Session), registry.state(Box)
        box.set("n", 1)
        with fails(), transaction(box):
            box.expire(0)
            raise ZeroDivisionError
        session.set("n", 1)
        with transaction(session, box):
            box.expire(TTL / 2)
            time.sleep(TTL * 1.2)
            assert (session.get("n"), box.get("n")) == (1, 1)
            session.set("m", 2)
        assert (session.get("m"), box.get("n")) == (2, 1)
        until(lambda: [event.op for event in registry.history()].count("expire") == 2)
        assert (session.get_all(), box.get_all()) == ({}, {})

    def test_expiry_can_be_undone(self, registry: StateRegistry) -> None:
        """As any event."""
        box = registry.state(Box)
        box.update(a=1, b=2)
        box.expire(0)
        assert box.get_all() == {}
        registry.undo()
        assert box.get_all() == {"a": 1, "b": 2}

    @pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "1", True], ids=repr)
    def test_what_is_no_time_is_refused(self, box: Any, seconds: Any) -> None:
        """Nothing is changed."""
        box.set("n", 1)
        with pytest.raises(StateValueError, match="the time after which State Box expires must be seconds"):
            box.expire(seconds)
        assert box.get("n") == 1
