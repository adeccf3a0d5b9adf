"""What shared stores do that no store alone could: work for several processes, and never block a loop."""

from __future__ import annotations

import _thread
import asyncio
import gc
import logging
import sqlite3
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.redis_server import RedisServer, needed, running_server

from qstate_nb import AsyncState, Event, State, StateRegistry, open_store, transaction
from qstate_nb.errors import (
    DeadlockError,
    ReentrantError,
    StoreError,
    StoreUnavailableError,
    TransactionError,
    TransactionTimeoutError,
    WouldBlockError,
)
from qstate_nb.stores.shared import SharedStore


class Box(State):
    """In both colours."""


class AsyncBox(AsyncState, name="Box"):
    """In both colours."""


class Open:
    """Opens registries on the data of a test, each as if in another process."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self.url = url
        self._stack = stack

    def __call__(self) -> StateRegistry:
        store = open_store(self.url)
        assert isinstance(store, SharedStore)
        self._stack.callback(store.close)
        return StateRegistry(store=store)


@pytest.fixture
def open_sqlite(tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:
        yield Open(f"sqlite:///{tmp_path}/state.db", stack)


@pytest.fixture(params=["sqlite", "redis"])
def opened(request: pytest.FixtureRequest) -> Iterator[Open]:
    if request.param == "sqlite":
        yield request.getfixturevalue("open_sqlite")
        return
    with ExitStack() as stack:
        yield Open(f"{request.getfixturevalue('redis_url')}?prefix=s{time.time_ns()}", stack)


def until(happened: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it didn't happen"
        time.sleep(0.002)


class Crossing(threading.Thread):
    """Takes one box, waits for all others to have theirs, and takes another one."""

    def __init__(self, registry: StateRegistry, first: str, second: str, barrier: threading.Barrier) -> None:
        super().__init__(daemon=True)
        self.boxes = [registry.state(Box, scope=scope) for scope in (first, second)]
        self.barrier = barrier
        self.outcome: object = None

    def run(self) -> None:
        first, second = self.boxes
        try:
            with first.transaction():
                self.barrier.wait(10)
                with second.transaction():
                    second.append("by", repr(first))
            self.outcome = "done"
        except DeadlockError as error:
            self.outcome = error


def cross(*pairs: tuple[StateRegistry, str, str]) -> list[object]:
    barrier = threading.Barrier(len(pairs))
    threads = [Crossing(*pair, barrier) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "nobody found the deadlock"
    return [thread.outcome for thread in threads]


def assert_one_gives_up(outcomes: list[object]) -> None:
    errors = [outcome for outcome in outcomes if isinstance(outcome, DeadlockError)]
    assert len(errors) == 1
    assert outcomes.count("done") == len(outcomes) - 1
    assert {wait.waits_for for wait in errors[0].cycle} == {held for wait in errors[0].cycle for held in wait.holds}


def test_a_deadlock_across_two_processes(opened: Open) -> None:
    one, two = opened(), opened()
    assert_one_gives_up(cross((one, "x", "y"), (two, "y", "x")))
    assert len(one.history()) == 1


def test_a_deadlock_across_three_processes(opened: Open) -> None:
    assert_one_gives_up(cross((opened(), "x", "y"), (opened(), "y", "z"), (opened(), "z", "x")))


def test_a_deadlock_of_waits_in_this_process_and_for_others(opened: Open) -> None:
    """The first one waits for the second here; the second one waits for another process."""
    here, there = opened(), opened()
    outcomes = cross((here, "x", "y"), (here, "y", "z"), (there, "z", "x"))
    errors = [outcome for outcome in outcomes if isinstance(outcome, DeadlockError)]
    assert len(errors) == 1
    assert outcomes.count("done") == 2


def test_ops_wait_for_another_processs_transaction_and_see_what_it_did(opened: Open) -> None:
    async def main() -> None:
        one, two, three = (opened().state(AsyncBox) for _ in range(3))
        async with one.transaction():
            await one.set("n", 1)
            waiting = asyncio.create_task(two.increment("n"))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            assert await three.get("n") is None, "a get sees what is committed, and doesn't wait"
            await one.set("n", 41)
        assert await waiting == 42

    asyncio.run(main())


def test_a_transaction_that_waits_says_for_whom(opened: Open) -> None:
    one, two = opened().state(Box), opened().state(Box)
    with one.transaction():
        with pytest.raises(TransactionTimeoutError, match=r"timeout=0.05 s for Box: user .* @\S+:\d+ holds it"):
            two.transaction(timeout=0.05).__enter__()

        async def sync_in_a_loop() -> None:
            two.set("n", 1)

        with pytest.raises(WouldBlockError, match=r"Box is held by user .*, and a sync op can't wait"):
            asyncio.run(sync_in_a_loop())
    two.set("n", 1)


def test_a_wait_that_is_cancelled_takes_nothing(opened: Open) -> None:
    async def main() -> None:
        one, two = opened().state(AsyncBox), opened().state(AsyncBox)
        async with one.transaction():
            waits = [asyncio.create_task(two.set("n", 1)), asyncio.create_task(begin(two))]
            await asyncio.sleep(0.03)
            for each in waits:
                each.cancel()
            assert all(isinstance(end, asyncio.CancelledError) for end in await gather(waits))
        async with asyncio.timeout(5):
            await two.set("m", 1)
            async with one.transaction():
                pass
        assert await one.get_all() == {"m": 1}

    async def begin(box: AsyncBox) -> None:
        async with box.transaction():
            raise AssertionError

    async def gather(tasks: list[asyncio.Task[None]]) -> list[BaseException | None]:
        return await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def test_an_op_that_is_cancelled_is_done_or_not(opened: Open) -> None:
    registry = opened()

    async def main() -> int:
        box, done = registry.state(AsyncBox), 0
        for number in range(60):
            task = asyncio.create_task(box.increment("n"))
            await asyncio.sleep(number * 0.00001)
            task.cancel()
            try:
                await task
                done += 1
            except asyncio.CancelledError:
                pass
        return done

    done = asyncio.run(main())
    n = registry.state(Box).get("n", 0)
    assert done <= n <= 60
    assert registry.seq == n


def test_async_ops_on_one_bucket_keep_their_order(opened: Open) -> None:
    async def main() -> None:
        box = opened().state(AsyncBox)
        assert await asyncio.gather(*(box.increment("n") for _ in range(50))) == list(range(1, 51))

    asyncio.run(main())


def test_the_loop_goes_on_while_an_op_waits_for_the_disk(open_sqlite: Open, tmp_path: Path) -> None:
    registry = open_sqlite()
    registry.state(Box).set("n", 0)
    writer = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")

    async def main() -> int:
        task = asyncio.create_task(registry.state(AsyncBox).set("n", 1))
        ticks = 0
        while ticks < 50:
            await asyncio.sleep(0.001)
            ticks += 1
        assert not task.done()
        writer.execute("ROLLBACK")
        await task
        return ticks

    assert asyncio.run(main()) == 50
    writer.close()
    assert registry.state(Box).get("n") == 1


def test_a_transaction_that_outlives_the_one_around_it_is_refused(opened: Open) -> None:
    async def main() -> None:
        box = opened().state(AsyncBox)
        go = asyncio.Event()

        async def inner() -> None:
            async with box.transaction():
                go.set()
                await asyncio.sleep(0.05)

        with pytest.raises(TransactionError, match="begun inside this one is still open; await what you start"):
            async with box.transaction():
                await box.set("n", 1)
                task = asyncio.create_task(inner())
                await go.wait()
        with pytest.raises(TransactionError):
            await task
        assert await box.get_all() == {}
        await box.set("n", 2)

    asyncio.run(main())


def test_nothing_polls_when_nobody_subscribes(opened: Open) -> None:
    def followers() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "qstate follower"}

    before = followers()
    registry, other = opened(), opened()
    heard: list[Event] = []
    registry.state(Box).set("n", 1)
    registry.history()
    assert followers() == before
    stop = registry.subscribe(heard.append)
    assert len(followers() - before) == 1
    other.state(Box).set("n", 2)
    until(lambda: heard)
    stop()
    until(lambda: followers() == before)
    again = registry.subscribe(heard.append)
    other.state(Box).set("n", 3)
    until(lambda: len(heard) == 2)
    again()
    until(lambda: followers() == before)
    assert [event.seq for event in heard] == [2, 3]


def test_subscribers_hear_of_ops_here_and_elsewhere_once_and_in_order(opened: Open) -> None:
    one, two = opened(), opened()
    heard: list[int] = []
    one.subscribe(lambda event: heard.append(event.seq))

    def write(registry: StateRegistry) -> None:
        for _ in range(50):
            registry.state(Box).increment("n")

    threads = [threading.Thread(target=write, args=(registry,)) for registry in (one, one, two, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: len(heard) == 200)
    assert heard == list(range(1, 201))


def test_a_subscriber_has_heard_when_the_op_returns(opened: Open) -> None:
    registry = opened()
    heard: list[Event] = []
    registry.subscribe(heard.append)
    for number in range(20):
        registry.state(Box).set("n", number)
        assert len(heard) == number + 1
    with transaction(registry.state(Box)):
        registry.state(Box).set("n", 0)
    assert heard[-1].op == "transaction"


def test_a_store_that_is_closed_says_so_and_ends_quietly(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    registry = opened()
    store: Any = registry.store
    registry.subscribe(lambda _: None)
    registry.state(Box).set("n", 1)
    registry.state(Box).expire(0.05)
    with caplog.at_level(logging.WARNING):
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            registry.state(Box).get("n")
        with pytest.raises(StoreError, match="closed"):
            asyncio.run(registry.state(AsyncBox).get("n"))
        time.sleep(0.1)
    assert caplog.records == []


def test_a_store_that_nobody_has_is_closed(opened: Open) -> None:
    store = open_store(opened.url)
    registry = StateRegistry(store=store)
    registry.state(Box).set("n", 1)
    registry.subscribe(lambda _: None)
    gone = weakref.ref(store)
    del store, registry

    def is_gone() -> bool:
        gc.collect()
        return gone() is None

    until(is_gone)


def test_a_cancellation_that_comes_too_late_leaves_what_was_committed(opened: Open, monkeypatch: Any) -> None:
    registry = opened()
    store: Any = registry.store
    commit = store.backend.commit
    heard: list[str] = []
    registry.subscribe(lambda event: heard.append(event.op))
    other = opened().state(Box)

    def slow(request: Any) -> Any:
        answer = commit(request)
        time.sleep(0.1)
        return answer

    async def change() -> None:
        async with registry.state(AsyncBox).transaction():
            await registry.state(AsyncBox).set("n", 1)

    async def main() -> None:
        task = asyncio.create_task(change())
        while other.get("n") is None:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await registry.state(AsyncBox).increment("n") == 2

    monkeypatch.setattr(store.backend, "commit", slow)
    asyncio.run(main())
    assert heard == ["transaction", "increment"]


def test_a_lock_is_not_lost_when_an_interrupt_comes_while_it_is_taken(opened: Open, monkeypatch: Any) -> None:
    one, two = opened(), opened()
    store: Any = one.store
    acquire = store.backend.acquire

    def interrupted(*args: Any) -> Any:
        answer = acquire(*args)
        _thread.interrupt_main()
        time.sleep(0.05)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(store.backend, "acquire", interrupted)
        with pytest.raises(KeyboardInterrupt), one.state(Box).transaction():
            raise AssertionError
    with two.state(Box).transaction(timeout=5):
        two.state(Box).set("n", 1)
    assert one.state(Box).increment("n") == 2


def test_a_failed_mutate_holds_nothing_when_it_has_ended(opened: Open) -> None:
    box = opened().state(Box)

    async def main() -> None:  # where a loop runs, a sync op can't wait
        for _ in range(20):
            with pytest.raises(ZeroDivisionError):
                box.mutate("n", lambda _: 1 // 0)
            box.increment("n")

    asyncio.run(main())
    assert box.get("n") == 20


def test_a_subscriber_can_roll_back_whatever_thread_tells_it(opened: Open) -> None:
    registry = opened()
    rolled_back: list[Event] = []

    def subscriber(event: Event) -> None:
        if event.states[0].scope is not None:
            with pytest.raises(ZeroDivisionError), registry.state(Box).transaction():
                raise ZeroDivisionError
            rolled_back.append(event)

    async def main() -> None:
        async with asyncio.timeout(20):
            for scope in range(16):  # so that each worker thread is met
                await registry.state(AsyncBox, scope=scope).set("n", 1)

    registry.subscribe(subscriber)
    asyncio.run(main())
    assert len(rolled_back) == 16


def test_an_undo_is_planned_anew_when_others_write_meanwhile(opened: Open, monkeypatch: Any) -> None:
    one, two = opened(), opened()
    one.state(Box).set("n", 1)
    store: Any = one.store
    commit = store.backend.commit

    def late(request: Any) -> Any:
        if two.seq == 1:
            two.state(Box).set("n", 2)
        return commit(request)

    monkeypatch.setattr(store.backend, "commit", late)
    (undone,) = one.undo(by="event")
    assert undone.refers_to == (2,)
    assert one.state(Box).get("n") == 1


def test_a_file_that_is_loaded_gets_numbers_that_no_event_had(opened: Open, tmp_path: Path) -> None:
    """Else what a process knows of an event could be taken for another one."""
    one, two = opened(), opened()
    one.state(Box).set("n", 1)
    one.label("here")
    one.undo()
    one.save(tmp_path / "journal.jsonl")
    two.state(Box).set("n", 5)
    two.state(Box).increment("n")  # knows what is there
    one.load(tmp_path / "journal.jsonl")
    assert [(event.seq, event.op, event.refers_to) for event in two.history()] == [(5, "set", ()), (6, "undo", (5,))]
    assert two.labels == {"here": 5}
    assert two.state(Box).increment("n") == 1
    assert (two.dropped, one.at("here")["Box"]) == (4, {"n": 1})


def test_labels_that_are_only_shown_are_new_once_one_is_made(opened: Open) -> None:
    registry = opened()
    stop = registry.subscribe(lambda _: None)
    with registry.store.shown():
        assert registry.labels == {}
        registry.label("here")
        assert registry.labels == {"here": 0}
    stop()


def test_a_finaliser_in_the_middle_of_an_op_is_refused(opened: Open, monkeypatch: Any) -> None:
    registry = opened()
    box, other = registry.state(Box), registry.state(Box, scope="other")
    store: Any = registry.store
    commit = store.backend.commit
    errors: list[str] = []

    def interrupted(request: Any) -> Any:
        for each in (box, other):
            try:
                each.set("n", 7)
            except (ReentrantError, TransactionError) as error:
                errors.append(type(error).__name__)
        return commit(request)

    monkeypatch.setattr(store.backend, "commit", interrupted)
    box.set("n", 1)
    with box.transaction():
        box.increment("n")
    assert errors == ["ReentrantError", "ReentrantError", "TransactionError", "ReentrantError"]
    assert box.get("n") == 2


def test_a_process_that_was_forked_is_told_to_open_it_anew(opened: Open, tmp_path: Path) -> None:
    code = """if True:
        import asyncio, os, sys
        from qstate_nb import AsyncState, StateRegistry, open_store
        class Box(AsyncState): pass
        box = StateRegistry(store=open_store(sys.argv[1])).state(Box)
        asyncio.run(box.set("n", 1))
        if os.fork() == 0:
            try:
                asyncio.run(box.get("n"))
            except Exception as error:
                os.write(1, f"{type(error).__name__}: {error}".encode())
            os._exit(0)
        os.wait()
    """
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, opened.url], capture_output=True, text=True, timeout=30
    )
    assert "StoreError: " in shown.stdout, shown
    assert "was opened before a fork; open it anew" in shown.stdout


def test_two_registries_can_have_one_store(opened: Open) -> None:
    one = opened()
    two = StateRegistry(store=one.store)
    two.state(Box).set("n", 1)
    assert one.state(Box).increment("n") == 2
    assert one.history() == two.history()


class TestRedisThatIsAway:
    @pytest.fixture
    def server(self) -> Iterator[RedisServer]:
        needed()
        with running_server(appendonly="yes", appendfsync="always") as server:
            yield server

    def test_an_op_says_so_and_nothing_is_queued(self, server: RedisServer) -> None:
        with ExitStack() as stack:
            registry = Open(f"{server.url}?timeout=0.3", stack)()
            box = registry.state(Box)
            box.set("n", 1)
            server.kill()
            for call in (lambda: box.set("n", 2), lambda: box.get("n"), lambda: registry.history()):
                with pytest.raises(StoreUnavailableError, match=rf"127.0.0.1:{server.port}"):
                    call()
            with pytest.raises(StoreUnavailableError), box.transaction():
                pass
            server.restart()
            assert box.get("n") == 1
            assert box.increment("n") == 2
            assert [event.op for event in registry.history()] == ["set", "increment"]

    def test_a_transaction_whose_commit_fails_is_rolled_back(self, server: RedisServer) -> None:
        with ExitStack() as stack:
            registry = Open(f"{server.url}?timeout=0.3&lease=0.3", stack)()
            box = registry.state(Box)
            box.set("n", 1)
            with pytest.raises(StoreUnavailableError, match="the op"), box.transaction():
                box.set("n", 2)
                server.kill()
            server.restart()
            with box.transaction(timeout=10):
                assert box.increment("n") == 2

    def test_subscribers_hear_what_they_missed(self, server: RedisServer) -> None:
        with ExitStack() as stack:
            opened = Open(f"{server.url}?timeout=0.3", stack)
            one, two = opened(), opened()
            heard: list[int] = []
            one.subscribe(lambda event: heard.append(event.seq))
            two.state(Box).set("n", 1)
            until(lambda: heard == [1])
            server.kill()
            time.sleep(0.4)
            server.restart()
            two.state(Box).set("n", 2)
            until(lambda: heard == [1, 2])
