"""Waiting for a transaction of others, here and in other processes; and deadlocks."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.transactions import transaction
from qstate_nb.errors import DeadlockError, TransactionTimeoutError, WouldBlockError
from qstate_nb.testing.conformance.suite import PATIENCE, AsyncBox, Box, Suite, begun, in_threads

SHORT = 0.03  # seconds after which what waits can be taken to wait


class Waiting(Suite):
    """What waits for others, and what may not."""

    def test_others_wait(self, registry: StateRegistry, elsewhere: StateRegistry, sync: bool) -> None:
        """Here and in other processes; then they work on what it has left, and no one has seen a part of it."""

        async def main() -> None:
            box = registry.state(AsyncBox)
            threads: list[asyncio.Future[Any]] = []
            async with begun(box, sync=sync):
                await box.update(n=10, m=1)
                outside = _outside()
                for each in (registry, elsewhere):
                    threads.append(asyncio.ensure_future(outside(each.state(Box).increment, "n")))
                    threads.append(asyncio.ensure_future(outside(each.state(Box).mutate, "n", lambda n: n + 1)))
                await asyncio.sleep(SHORT)
                assert not any(thread.done() for thread in threads)
                assert await outside(elsewhere.peek, StateKey("Box")) == {}
                assert elsewhere.seq == 0
                await box.increment("n", 10)
            assert sorted(await asyncio.gather(*threads)) == [21, 22, 23, 24]

        asyncio.run(main())
        assert registry.history()[0].op == "transaction"

    def test_it_waits_no_longer_than_allowed(
        self, registry: StateRegistry, elsewhere: StateRegistry, sync: bool
    ) -> None:
        """And says for whom; nothing is left of the wait."""
        others = [registry, elsewhere]

        async def wait(state: AsyncBox) -> None:
            with pytest.raises(TransactionTimeoutError, match=r"timeout=0.01 s for Box: .* holds it"):
                async with state.transaction(timeout=0.01):
                    raise AssertionError

        async def main() -> None:
            async with begun(registry.state(AsyncBox), sync=sync):
                for each in others:
                    await _outside()(lambda each=each: asyncio.run(wait(each.state(AsyncBox))))
            for each in others:
                await each.state(AsyncBox).increment("n")

        asyncio.run(main())
        assert registry.state(Box).get("n") == 2

    @pytest.mark.parametrize("who", [[0, 0], [0, 1], [0, 0, 1]], ids=["here", "elsewhere", "both"])
    def test_a_deadlock_is_told_to_one(
        self, registry: StateRegistry, elsewhere: StateRegistry, who: list[int]
    ) -> None:
        """The others go on. Each link of the cycle says who holds what the one before it waits for."""
        barrier = threading.Barrier(len(who))
        errors: list[DeadlockError] = []

        def cross(place: int) -> None:
            mine = (registry, elsewhere)[who[place]]
            one, two = mine.state(Box, scope=place), mine.state(Box, scope=(place + 1) % len(who))
            try:
                with transaction(one):
                    barrier.wait(PATIENCE)
                    with transaction(two):
                        two.increment("n")
            except DeadlockError as error:
                errors.append(error)

        in_threads(*(partial(cross, place) for place in range(len(who))))
        (error,) = errors
        for wait, following in zip(error.cycle, (*error.cycle[1:], error.cycle[0]), strict=True):
            assert wait.waits_for in following.holds
        done = [registry.state(Box, scope=place).get("n", 0) for place in range(len(who))]
        assert sum(done) == registry.seq == len(who) - 1

    def test_a_wait_that_is_over_is_no_part_of_a_deadlock(
        self, registry: StateRegistry, elsewhere: StateRegistry
    ) -> None:
        """Whoever gave it up may still hold what others wait for."""
        gave_up = threading.Event()

        def give_up() -> None:
            one, two = elsewhere.state(Box, scope=1), elsewhere.state(Box, scope=2)
            with transaction(two):
                with pytest.raises(TransactionTimeoutError), transaction(two), transaction(one, timeout=0):
                    raise AssertionError
                gave_up.set()
                threading.Event().wait(SHORT)

        with transaction(registry.state(Box, scope=1)):
            thread = threading.Thread(target=give_up, daemon=True)
            thread.start()
            assert gave_up.wait(PATIENCE)
            with transaction(registry.state(Box, scope=2), timeout=PATIENCE):
                registry.state(Box, scope=2).set("n", 1)
        thread.join(PATIENCE)
        assert registry.seq == 1

    def test_tasks_of_a_loop_find_their_deadlock(self, registry: StateRegistry) -> None:
        """As threads do."""

        async def main() -> Sequence[Any]:
            barrier = asyncio.Barrier(2)

            async def cross(first: int, second: int) -> None:
                one, two = registry.state(AsyncBox, scope=first), registry.state(AsyncBox, scope=second)
                async with one.transaction():
                    await barrier.wait()
                    await two.set("n", 1)

            return await asyncio.gather(cross(1, 2), cross(2, 1), return_exceptions=True)

        ends = asyncio.run(main())
        assert [type(end) for end in ends if end is not None] == [DeadlockError]
        assert registry.seq == 1

    def test_a_sync_op_that_would_block_a_loop_is_refused(
        self, registry: StateRegistry, elsewhere: StateRegistry
    ) -> None:
        """With a way out; here, and for what another process holds."""
        for each in (registry, elsewhere):

            async def blocked(box: Box) -> None:
                for call in (lambda: box.set("n", 1), lambda: box.mutate("n", str), box.transaction().__enter__):
                    with pytest.raises(WouldBlockError, match=r"Box is held by .*, and a sync op can't wait"):
                        call()

            with transaction(registry.state(Box)):
                in_threads(lambda: asyncio.run(blocked(each.state(Box))))  # noqa: B023
        registry.state(Box).set("n", 1)
        assert registry.seq == 1

    def test_mutate_keeps_others_away(self, registry: StateRegistry, elsewhere: StateRegistry) -> None:
        """While its function runs."""
        inside = threading.Event()

        def slowly(n: int) -> int:
            inside.set()
            threading.Event().wait(SHORT)
            return n + 1

        def increment() -> None:
            inside.wait(PATIENCE)
            assert elsewhere.state(Box).increment("n") == 12

        registry.state(Box).set("n", 10)
        in_threads(lambda: registry.state(Box).mutate("n", slowly), increment)
        assert [event.op for event in registry.history()] == ["set", "mutate", "increment"]

    def test_a_wait_that_is_cancelled_takes_nothing(self, registry: StateRegistry, elsewhere: StateRegistry) -> None:
        """Others get what it waited for."""

        async def wait() -> None:
            async with elsewhere.state(AsyncBox).transaction():
                raise AssertionError

        async def main() -> None:
            outside = contextvars.copy_context()
            async with registry.state(AsyncBox).transaction():
                waiting = asyncio.create_task(wait(), context=outside)
                await asyncio.sleep(SHORT)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            async with asyncio.timeout(PATIENCE), elsewhere.state(AsyncBox).transaction():
                await elsewhere.state(AsyncBox).set("n", 1)

        asyncio.run(main())
        assert registry.state(Box).get_all() == {"n": 1}


def _outside() -> Any:
    """What runs a function in a thread that takes part in no transaction."""
    loop = asyncio.get_running_loop()
    return lambda function, *args: loop.run_in_executor(None, lambda: function(*args))
