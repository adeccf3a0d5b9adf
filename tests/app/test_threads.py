"""Stopping sync code from outside: it ends, leaves nothing locked, and nothing half done."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from support.leaks import without_collections
from support.replay import assert_no_gaps, replay

from qstate_nb import AsyncState, InlineApp, State, StateKey
from qstate_nb.app.threads import Stoppable, hold_stop, in_thread


class Counter(State):
    pass


class AsyncCounter(AsyncState, name="Counter"):
    pass


def stop_many_times(app: InlineApp, task: str, times: int) -> None:
    """Start the task and stop it, at ever other moments."""
    with without_collections():
        for delay in range(times):
            call = app.start(task)
            while call.status == "new":
                pass
            for _ in range(delay * 37 % 5_000):
                pass
            assert call.cancel()
            assert call.wait(20).status == "cancel"


def test_state_ops_at_full_speed(app: InlineApp) -> None:
    """The journal replays to the State, and the next op finds nothing locked."""

    @app.task
    def ops(state: Counter) -> None:
        for n in itertools.count():
            state.set("n", n)
            state.update(a=n, b=[n])
            state.delete("n")
            state.get("a")
            if n % 5 == 0:
                state.clear()

    stop_many_times(app, "ops", 60)
    events = app.registry.history()
    assert_no_gaps(events)
    assert replay(events, StateKey("Counter")) == app.state(Counter).get_all()


def wait_for_event() -> None:
    event = threading.Event()
    while not event.wait(0.05):
        pass


def wait_for_queue() -> None:
    waiting: queue.Queue[int] = queue.Queue()
    while True:
        with contextlib.suppress(queue.Empty):
            waiting.get(timeout=0.05)


def wait_for_future() -> None:
    future: Future[int] = Future()
    while True:
        with contextlib.suppress(TimeoutError):
            future.result(0.05)


@pytest.mark.parametrize("wait", [wait_for_event, wait_for_queue, wait_for_future])
def test_a_task_that_waits_again_and_again_is_stopped(app: InlineApp, wait: Callable[[], None]) -> None:
    app.task(name="wait", max_time=0.1)(wait)
    assert app.start("wait").wait(20).status == "cancel"


def test_a_task_is_stopped_at_its_next_op_while_subscribers_are_slow(app: InlineApp) -> None:
    pause = threading.Event()
    app.registry.subscribe(lambda _: pause.wait(0.01))

    @app.task
    def ops(state: Counter) -> None:
        while True:
            state.set("n", 1)

    for _ in range(5):
        call = app.start("ops")
        while not app.registry.history():
            pass
        call.cancel()
        after = app.registry.history()[-1].seq
        assert call.wait(20).status == "cancel"
        assert app.registry.history()[-1].seq <= after + 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stop_that_is_lost_is_sent_again(app: InlineApp) -> None:
    """Python drops an exception that is raised in the callback of a weak reference."""
    inside, go_on = threading.Event(), threading.Event()

    class Thing:
        pass

    def callback(_: object) -> None:
        inside.set()
        while not go_on.is_set():
            pass

    @app.task
    def lossy() -> None:
        thing = Thing()
        reference = weakref.ref(thing, callback)
        del thing
        assert reference() is None
        while True:
            pass

    call = app.start("lossy")
    assert inside.wait(10)
    call.cancel()
    assert call.wait(20).status == "cancel"
    go_on.set()


def test_a_stop_waits_for_a_finaliser(app: InlineApp) -> None:
    inside = threading.Event()
    finalised: list[bool] = []

    class Thing:
        def __del__(self) -> None:
            inside.set()
            for _ in range(5_000_000):  # many times as long as a stop takes
                pass
            finalised.append(True)

    @app.task
    def drops() -> None:
        Thing()
        while True:
            pass

    call = app.start("drops")
    assert inside.wait(10)
    call.cancel()
    assert call.wait(20).status == "cancel"
    assert finalised


def test_subscribers_hear_of_every_event(app: InlineApp) -> None:
    """A stop doesn't come between the commit of an event and telling the subscribers of it."""
    heard: list[int] = []
    app.registry.subscribe(lambda event: heard.append(event.seq))

    @app.task
    def ops(state: Counter) -> None:
        while True:
            state.set("n", 1)

    stop_many_times(app, "ops", 40)
    assert heard == [event.seq for event in app.registry.history()]


def test_prints_progress_and_logs_at_full_speed(app: InlineApp, caplog: pytest.LogCaptureFixture) -> None:
    told: list[object] = []
    app.subscribe(told.append)

    @app.task(echo=True)
    def talks(self: Any) -> None:
        logger = self.ctx.get_logger()
        while True:
            print("x")
            self.ctx.progress(1, 2)
            logger.debug("y")

    stop_many_times(app, "talks", 100)
    assert told


def test_the_contexts_sleep_at_full_speed(app: InlineApp) -> None:
    @app.task(echo=True)
    def naps(self: Any) -> None:
        while True:
            self.ctx.sleep(0)

    stop_many_times(app, "naps", 150)


def test_runs_and_starts_of_other_tasks_at_full_speed(app: InlineApp) -> None:
    @app.task
    async def async_(state: AsyncCounter) -> None:
        await state.set("a", 1)

    @app.task
    def sync(state: Counter) -> None:
        state.set("b", 1)

    @app.task
    def outer() -> None:
        while True:
            app.run("async_")
            app.run("sync")
            app.start("sync")

    stop_many_times(app, "outer", 40)
    for call in app.calls:
        assert call.wait(20).status in ("success", "cancel")
    assert replay(app.registry.history(), StateKey("Counter")) == app.state(Counter).get_all()


def test_a_stop_is_not_lost_in_a_weak_references_callback(app: InlineApp) -> None:
    """Python drops what is raised there, as in the callbacks of a WeakSet."""

    class Thing:
        pass

    @app.task
    def task() -> None:
        things: weakref.WeakSet[Thing] = weakref.WeakSet()
        while True:
            things.add(Thing())

    stop_many_times(app, "task", 150)


class TestStoppable:
    """A block in the thread that `in_thread` starts."""

    def blocked(self, body: Callable[[Stoppable], object]) -> tuple[Stoppable, Any]:
        block = Stoppable()

        def run() -> object:
            with block:
                return body(block)

        return block, in_thread(run, name="block")

    def test_stopped_before_it_is_entered(self) -> None:
        block = Stoppable()
        block.stop()
        with pytest.raises(asyncio.CancelledError), block:
            pytest.fail("was entered")

    def test_stopped_after_it(self) -> None:
        block, end = self.blocked(lambda _: "done")
        assert end.result(10) == "done"
        block.stop()

    def test_stopped_once(self) -> None:
        began, cleaning, go_on = threading.Event(), threading.Event(), threading.Event()

        def body(_: Stoppable) -> str:
            try:
                began.set()
                while True:
                    pass
            except asyncio.CancelledError:
                cleaning.set()
                go_on.wait(10)
                return "cleaned up"

        block, end = self.blocked(body)
        assert began.wait(10)
        block.stop()
        assert cleaning.wait(10)
        block.stop()
        go_on.set()
        assert end.result(10) == "cleaned up"

    def test_held_back(self) -> None:
        """*instead* is called at once; the exception comes when the outermost hold ends."""
        held, seen = threading.Event(), []
        told = threading.Event()

        def body(_: Stoppable) -> None:
            with hold_stop(told.set):
                with hold_stop():
                    held.set()
                    assert told.wait(10)
                    seen.append("inner")
                seen.append("outer")
            seen.append("not reached")

        block, end = self.blocked(body)
        assert held.wait(10)
        block.stop()
        with pytest.raises(asyncio.CancelledError):
            end.result(10)
        assert seen == ["inner", "outer"]

    def test_what_begins_while_it_is_held_back_is_told(self) -> None:
        held, stopped, seen = threading.Event(), threading.Event(), []

        def body(_: Stoppable) -> None:
            with hold_stop():
                held.set()
                assert stopped.wait(10)
                with hold_stop(lambda: seen.append("told")):
                    pass

        block, end = self.blocked(body)
        assert held.wait(10)
        block.stop()
        stopped.set()
        with pytest.raises(asyncio.CancelledError):
            end.result(10)
        assert seen == ["told"]

    def test_holding_elsewhere_is_nothing(self) -> None:
        with hold_stop():
            pass


def test_a_thread_that_was_cancelled_before_it_began_does_nothing() -> None:
    end: Future[None] = Future()
    end.cancel()
    ran: list[int] = []
    in_thread(lambda: ran.append(1), name="late", end=end)
    assert ran == []
