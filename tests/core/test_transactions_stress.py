"""Money that threads and event loops move between buckets is neither lost nor made, whatever goes wrong."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from functools import partial

from support.leaks import no_threads_left
from support.replay import assert_no_gaps, replay

from qstate_nb import AsyncState, State, StateKey, StateRegistry, transaction
from qstate_nb.errors import DeadlockError

BUCKETS, THREADS, LOOPS, TASKS, ROUNDS = 50, 4, 2, 10, 40
START = 100


class Account(State):
    balance: int = START


class AsyncAccount(AsyncState, name="Account"):
    balance: int = START


class GaveUp(Exception):
    """Somebody changes his mind in the middle."""


class Bank:
    """Accounts, and ways to move money between two of them."""

    def __init__(self) -> None:
        self.registry = StateRegistry(max_events=None)
        self.deadlocks = 0
        for n in range(BUCKETS):
            self.registry.state(Account, n).set("balance", START)

    def total(self) -> int:
        """What all accounts have, looked at in one transaction."""
        accounts = [self.registry.state(Account, n) for n in range(BUCKETS)]
        while True:
            try:
                with transaction(*accounts):
                    return sum(account.get("balance") for account in accounts)
            except DeadlockError:  # with one who takes two the other way round
                self.deadlocks += 1

    def transfers(self, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(ROUNDS * TASKS):
            self.transfer(chance)

    def transfer(self, chance: random.Random) -> None:
        source, target = (self.registry.state(Account, n) for n in chance.sample(range(BUCKETS // 5), 2))
        try:
            if chance.random() < 0.5:
                with transaction(source, target):
                    self._move(source, target, chance)
            else:
                with source.transaction():
                    source.increment("balance", -1)
                    with target.transaction():
                        target.mutate("balance", lambda balance: balance + 1)
                        self._maybe_give_up(chance)
        except GaveUp:
            pass
        except DeadlockError:
            self.deadlocks += 1

    def _move(self, source: Account, target: Account, chance: random.Random) -> None:
        balance = source.get("balance")
        source.set("balance", balance - 1)
        self._maybe_give_up(chance)
        target.increment("balance")

    def _maybe_give_up(self, chance: random.Random) -> None:
        if chance.random() < 0.1:
            raise GaveUp

    async def transfer_async(self, chance: random.Random) -> None:
        source, target = (self.registry.state(AsyncAccount, n) for n in chance.sample(range(BUCKETS), 2))
        try:
            if chance.random() < 0.5:
                async with transaction(source, target):
                    balance = await source.get("balance")
                    await asyncio.sleep(0)
                    await source.set("balance", balance - 1)
                    self._maybe_give_up(chance)
                    await asyncio.gather(target.increment("balance"), asyncio.sleep(0))
            else:
                async with source.transaction():
                    await source.increment("balance", -1)
                    await asyncio.sleep(0)
                    async with target.transaction():
                        await target.increment("balance")
        except GaveUp:
            pass
        except DeadlockError:
            self.deadlocks += 1

    async def work(self, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(ROUNDS):
            task = asyncio.create_task(self.transfer_async(chance))
            if chance.random() < 0.2:
                for _ in range(chance.randrange(6)):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None

    def run_loop(self, seed: int) -> None:
        asyncio.run(self.works(seed))

    async def works(self, seed: int) -> None:
        await asyncio.gather(*(self.work(seed * 1000 + n) for n in range(TASKS)))
        assert asyncio.all_tasks() == {asyncio.current_task()}


class Worker(threading.Thread):
    """A thread that keeps what its work raises."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self._work = work
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.failure = error

    def end(self) -> None:
        self.join(60)
        assert not self.is_alive(), "somebody hangs"
        assert self.failure is None, self.failure


def test_no_cent_is_lost_or_made() -> None:
    bank = Bank()
    running = threading.Event()
    running.set()

    def observe() -> None:
        while running.is_set():
            assert bank.total() == BUCKETS * START

    workers = [Worker(partial(bank.transfers, n)) for n in range(THREADS)]
    workers += [Worker(partial(bank.run_loop, n)) for n in range(LOOPS)]
    observer = Worker(observe)
    with no_threads_left():
        for each in (observer, *workers):
            each.start()
        for each in workers:
            each.end()
        running.clear()
        observer.end()
    assert bank.total() == BUCKETS * START
    assert bank.deadlocks
    history = bank.registry.history()
    assert_no_gaps(history)
    for n in range(BUCKETS):
        key = StateKey("Account", n)
        bucket = bank.registry.bucket(key)
        assert replay(history, key) == bank.registry.peek(key)
        assert (bucket.holder, bucket.queue) == (None, [])


def test_random_nested_pairs_meet_deadlocks_and_all_of_them_end() -> None:
    """200 tasks that take two of four accounts one inside the other: some give up, nobody hangs."""
    bank = Bank()
    seen: list[DeadlockError] = []

    async def nested(chance: random.Random) -> None:
        first, second = (bank.registry.state(AsyncAccount, n) for n in chance.sample(range(4), 2))
        try:
            async with first.transaction():
                await first.increment("balance", -1)
                await asyncio.sleep(0)
                async with second.transaction():
                    await second.increment("balance", 1)
        except DeadlockError as error:
            seen.append(error)

    async def scenario() -> None:
        async with asyncio.timeout(30):
            await asyncio.gather(*(nested(random.Random(n)) for n in range(200)))

    asyncio.run(scenario())
    assert seen
    for error in seen:
        names = [wait.waits_for for wait in error.cycle]
        assert all(name in after.holds for name, after in zip(names, [*error.cycle[1:], error.cycle[0]], strict=True))
    assert bank.total() == BUCKETS * START
