"""`Call`: what it tells while it runs and after, who may wait for it, and what a cancellation ends."""

from __future__ import annotations

import asyncio
import datetime
import gc
import threading
import uuid
import weakref
from typing import Any

import pytest
from support.leaks import leaving_nothing, without_collections

from qstate_nb import AsyncState, Call, InlineApp, Progress, State, StateRegistry, TaskResult
from qstate_nb.app.inline import MAX_CALLS
from qstate_nb.errors import TaskCancelledError


class Signup(State):
    pass


class AsyncSignup(AsyncState, name="Signup"):
    pass


class Waiting:
    """A task of either colour that says that it has begun, and waits; cancelled, it cleans up."""

    def __init__(self, app: InlineApp, *, is_async: bool) -> None:
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.ended: list[str] = []
        app.task(name="waiting")(self.async_ if is_async else self.sync)

    async def async_(self) -> str:
        self.began.set()
        try:
            while not self.go_on.is_set():
                await asyncio.sleep(0.001)
        finally:
            await asyncio.sleep(0)
            self.ended.append("ended")
        return "done"

    def sync(self) -> str:
        self.began.set()
        try:
            while not self.go_on.is_set():
                pass
        finally:
            self.ended.append("ended")
        return "done"


COLOURS = pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])


@COLOURS
class TestFromAThread:
    """Started where no loop runs."""

    def test_status_and_result(self, app: InlineApp, is_async: bool) -> None:
        waiting = Waiting(app, is_async=is_async)
        call = app.start("waiting")
        assert waiting.began.wait(10)
        assert (call.status, call.result, call.done) == ("process", None, False)
        assert repr(call) == "<Call waiting #1: process>"
        waiting.go_on.set()
        result = call.wait(10)
        assert (call.status, call.result, call.done) == ("success", result, True)
        assert result.returning == "done"
        assert call.uuid == result.uuid

    def test_cancel(self, app: InlineApp, is_async: bool) -> None:
        waiting = Waiting(app, is_async=is_async)
        call = app.start("waiting")
        assert waiting.began.wait(10)
        assert call.cancel("no more") is True
        result = call.wait(10)
        assert (result.status, call.status, waiting.ended) == ("cancel", "cancel", ["ended"])
        with pytest.raises(TaskCancelledError, match="waiting #1: no more"):
            result.unwrap()
        assert call.cancel() is False

    def test_wait_with_a_timeout(self, app: InlineApp, is_async: bool) -> None:
        waiting = Waiting(app, is_async=is_async)
        call = app.start("waiting")
        with pytest.raises(TimeoutError):
            call.wait(0.01)
        waiting.go_on.set()
        assert call.wait(10).status == "success"

    def test_many_threads_wait(self, app: InlineApp, is_async: bool) -> None:
        waiting = Waiting(app, is_async=is_async)
        call = app.start("waiting")
        results: list[TaskResult] = []
        threads = [threading.Thread(target=lambda: results.append(call.wait(10))) for _ in range(5)]
        for thread in threads:
            thread.start()
        waiting.go_on.set()
        for thread in threads:
            thread.join(10)
        assert results == [call.result] * 5


@COLOURS
class TestFromALoop:
    """Started where a loop runs."""

    def test_several_waiters_get_the_one_result(self, app: InlineApp, is_async: bool) -> None:
        waiting = Waiting(app, is_async=is_async)

        async def waiter(call: Call) -> TaskResult:
            return await call

        async def main() -> None:
            call = app.start("waiting")
            waiters = [asyncio.create_task(waiter(call)) for _ in range(3)]
            await asyncio.to_thread(waiting.began.wait, 10)
            waiting.go_on.set()
            assert await asyncio.gather(*waiters) == [await call] * 3

        asyncio.run(leaving_nothing(main()))

    def test_waiters_in_other_loops(self, app: InlineApp, is_async: bool) -> None:
        waiting = Waiting(app, is_async=is_async)

        async def waiter(call: Call) -> TaskResult:
            return await call

        async def main() -> None:
            call = app.start("waiting")
            others = [asyncio.to_thread(asyncio.run, waiter(call)) for _ in range(3)]
            gathered = asyncio.gather(*others)
            await asyncio.to_thread(waiting.began.wait, 10)
            waiting.go_on.set()
            assert await gathered == [await call] * 3

        asyncio.run(leaving_nothing(main()))

    def test_cancelling_a_waiter_does_not_cancel_the_call(self, app: InlineApp, is_async: bool) -> None:
        waiting = Waiting(app, is_async=is_async)

        async def main() -> None:
            call = app.start("waiting")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call, 0.01)
            assert await asyncio.to_thread(waiting.began.wait, 10)
            assert call.status == "process"
            waiting.go_on.set()
            assert (await call).returning == "done"

        asyncio.run(leaving_nothing(main()))

    def test_cancel_from_another_thread(self, app: InlineApp, is_async: bool) -> None:
        waiting = Waiting(app, is_async=is_async)

        async def main() -> None:
            call = app.start("waiting")
            assert await asyncio.to_thread(waiting.began.wait, 10)
            assert await asyncio.to_thread(call.cancel)
            assert (await call).status == "cancel"
            assert waiting.ended == ["ended"]

        asyncio.run(leaving_nothing(main()))

    def test_cancelled_before_it_began_it_never_runs(self, app: InlineApp, is_async: bool) -> None:
        waiting = Waiting(app, is_async=is_async)
        if not is_async:
            app.tasks["waiting"] = app.task(name="waiting", retry=3)(waiting.sync)

        async def main() -> TaskResult:
            call = app.start("waiting")
            call.cancel()
            return await call

        assert asyncio.run(leaving_nothing(main())).status == "cancel"
        if is_async:
            assert not waiting.began.is_set()

    def test_the_end_of_the_loop_is_recorded(self, app: InlineApp, is_async: bool) -> None:
        """An async call ends with its loop; a sync one, in its thread, goes on."""
        waiting = Waiting(app, is_async=is_async)

        async def main() -> None:
            app.start("waiting")
            await asyncio.to_thread(waiting.began.wait, 10)

        asyncio.run(main())
        (call,) = app.calls
        waiting.go_on.set()
        assert call.wait(10).status == ("cancel" if is_async else "success")

    def test_only_the_call_ends_and_not_the_code_around_it(self, app: InlineApp, is_async: bool) -> None:
        waiting = Waiting(app, is_async=is_async)
        task = app.tasks["waiting"]

        async def around() -> str:
            with pytest.raises(TaskCancelledError, match="waiting #1"):
                await task()
            await asyncio.sleep(0)  # would raise if the asyncio task were cancelled
            current = asyncio.current_task()
            assert current is not None
            assert current.cancelling() == 0
            return "went on"

        async def main() -> None:
            running = asyncio.create_task(around())
            assert await asyncio.to_thread(waiting.began.wait, 10)
            app.calls[0].cancel()
            assert await running == "went on"

        asyncio.run(leaving_nothing(main()))

    def test_cancelling_the_code_around_it_ends_both(self, app: InlineApp, is_async: bool) -> None:
        waiting = Waiting(app, is_async=is_async)
        task = app.tasks["waiting"]

        async def main() -> None:
            running = asyncio.create_task(task())
            assert await asyncio.to_thread(waiting.began.wait, 10)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert waiting.ended == ["ended"]
            assert [call.status for call in app.calls] == ["cancel"]

        asyncio.run(leaving_nothing(main()))

    def test_both_cancelled_at_once(self, app: InlineApp, is_async: bool) -> None:
        waiting = Waiting(app, is_async=is_async)
        task = app.tasks["waiting"]

        async def main() -> None:
            running = asyncio.create_task(task())
            assert await asyncio.to_thread(waiting.began.wait, 10)
            app.calls[0].cancel()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert app.calls[0].status == "cancel"

        asyncio.run(leaving_nothing(main()))

    def test_timeout_around_it(self, app: InlineApp, is_async: bool) -> None:
        waiting = Waiting(app, is_async=is_async)
        task = app.tasks["waiting"]

        async def main() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await task()
            assert waiting.ended == ["ended"]
            assert [call.status for call in app.calls] == ["cancel"]

        asyncio.run(leaving_nothing(main()))


async def turning(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def spinning(turns: int) -> None:
    for _ in range(turns):
        pass


@pytest.mark.parametrize(("function", "attempts"), [(turning, 16), (spinning, 200)])
def test_cancel_races_with_the_end(app: InlineApp, function: Any, attempts: int) -> None:
    """At whatever moment it comes, the call has one end, the code around it none, and nothing hangs."""
    task = app.task(function)
    statuses = []

    async def around() -> str:
        try:
            await task(8)
        except TaskCancelledError:
            await asyncio.sleep(0)
            return "cancel"
        await asyncio.sleep(0)
        return "success"

    async def main() -> None:
        for turns in range(attempts):
            running = asyncio.create_task(around())
            await turning(turns % 16)
            if app.calls and not app.calls[-1].done:
                app.calls[-1].cancel()
            statuses.append(await running)

    asyncio.run(leaving_nothing(main()))
    assert statuses == [call.status for call in app.calls]
    assert "success" in statuses
    assert function is spinning or "cancel" in statuses


@COLOURS
def test_cancel_from_a_thread_races_with_the_end(app: InlineApp, is_async: bool) -> None:
    async def async_() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    def sync() -> None:
        for _ in range(2_000):
            pass

    app.task(name="task")(async_ if is_async else sync)
    for delay in range(100):
        call = app.start("task")
        for _ in range(delay * 20):
            pass
        was_running = call.cancel()
        result = call.wait(10)
        assert result.status in ("success", "cancel")
        assert was_running or result.status == "success"
        assert call.cancel() is False


def test_a_task_that_ignores_its_cancellation_succeeds(app: InlineApp) -> None:
    began = threading.Event()

    @app.task
    async def stubborn() -> str:
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "stayed"

    async def main() -> None:
        call = app.start("stubborn")
        await asyncio.to_thread(began.wait, 10)
        call.cancel()
        assert (await call).returning == "stayed"

    asyncio.run(leaving_nothing(main()))


def test_a_cancellation_of_the_tasks_own_making_is_not_the_callers(app: InlineApp) -> None:
    """What is around the call isn't cancelled by something that is cancelled inside it."""

    @app.task
    async def step() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def main() -> None:
        with pytest.raises(TaskCancelledError, match="step #1: cancelled"):
            await step()

    asyncio.run(leaving_nothing(main()))
    assert app.run("step").status == "cancel"


def test_state_is_as_it_was_committed(app: InlineApp) -> None:
    committed = threading.Event()

    @app.task
    async def step(state: AsyncSignup) -> None:
        await state.set("before", 1)
        committed.set()
        await asyncio.sleep(60)
        await state.set("after", 1)

    call = app.start("step")
    assert committed.wait(10)
    call.cancel()
    call.wait(10)
    assert app.state(Signup).get_all() == {"before": 1}


@COLOURS
def test_a_call_that_blocks_on_another_ends_it_when_it_is_cancelled(app: InlineApp, is_async: bool) -> None:
    """In a sync task's thread, and nested in a running loop, where the outer task can't hear of it itself."""
    waiting = Waiting(app, is_async=True)
    after = []

    async def async_() -> None:
        app.run("waiting")
        after.append("not reached")

    def sync() -> None:
        app.run("waiting")
        after.append("not reached")

    app.task(name="outer")(async_ if is_async else sync)
    call = app.start("outer")
    assert waiting.began.wait(10)
    call.cancel()
    assert call.wait(10).status == "cancel"
    assert [call.status for call in app.calls] == ["cancel", "cancel"]
    assert (waiting.ended, after) == (["ended"], [])


def test_cleaning_up_after_a_nested_call_was_cancelled(app: InlineApp) -> None:
    """The outer task is told once, and can wait while it cleans up."""
    waiting = Waiting(app, is_async=True)
    cleaned = []

    @app.task
    async def outer() -> None:
        try:
            app.run("waiting")
        finally:
            await asyncio.sleep(0.001)
            cleaned.append("outer")

    async def main() -> None:
        threading.Thread(target=lambda: waiting.began.wait(10) and app.calls[0].cancel()).start()
        result = app.run("outer")
        assert result.status == "cancel"
        await asyncio.sleep(0)

    asyncio.run(leaving_nothing(main()))
    assert cleaned == ["outer"]


def test_a_task_can_cancel_its_own_call(app: InlineApp) -> None:
    after = []

    @app.task
    def sync() -> None:
        app.calls[-1].cancel("myself")
        after.append(1)

    @app.task
    async def async_() -> None:
        app.calls[-1].cancel("myself")
        await asyncio.sleep(0)
        after.append(1)

    assert app.run("sync").status == "cancel"
    assert app.run("async_").status == "cancel"
    assert after == []


def test_a_call_tells_how_far_it_is(app: InlineApp) -> None:
    @app.task(echo=True)
    def step(self: Any) -> None:
        self.ctx.progress(1, 4, "first")

    call = app.start("step")
    call.wait(10)
    assert call.progress == Progress(1, 4, "first")


def test_a_cancel_that_has_not_arrived_when_the_task_ends_is_taken_back(app: InlineApp) -> None:
    """It is sent while the task blocks in a nested run that has just ended, and the task waits no more."""

    @app.task
    async def inner() -> None:
        await asyncio.sleep(0)
        app.calls[0].cancel()

    @app.task
    async def outer() -> str:
        app.run("inner")
        return "done"

    async def main() -> None:
        assert await outer() == "done"
        await asyncio.sleep(0)  # would raise if the cancellation were still on its way

    asyncio.run(leaving_nothing(main()))


class TestIdentity:
    """The uuid is made when it is asked for, and stays."""

    def test_is_the_same_whenever_and_wherever_it_is_asked_for(self, app: InlineApp) -> None:
        app.task(name="step")(lambda: 1)
        call = app.start("step")
        result = call.wait(10)
        assert isinstance(call.uuid, uuid.UUID)
        assert call.uuid == call.uuid == result.uuid == result.uuid

    def test_is_no_other_calls(self, app: InlineApp) -> None:
        apps = [app, InlineApp(registry=StateRegistry())]
        for each in apps:
            each.task(name="step")(lambda: 1)
        calls = [each.new_call(each.tasks["step"], (), {}, echo=False) for each in apps for _ in range(20)]
        for call in calls:
            call._created = 0
        assert len({call.uuid for call in calls}) == 40

    def test_is_another_in_a_forked_process_that_goes_on_counting(self, app: InlineApp) -> None:
        """There, the app and its numbers are the same; but it is later."""
        task = app.task(name="step")(lambda: 1)
        one, other = Call(task, 1, (), {}, echo=False), Call(task, 1, (), {}, echo=False)
        other._created = one._created + 1
        assert one.uuid != other.uuid


@COLOURS
def test_times_are_those_of_its_making_its_begin_and_its_end(app: InlineApp, is_async: bool) -> None:
    def now() -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)

    waiting = Waiting(app, is_async=is_async)
    before = now()
    call = app.new_call(app.tasks["waiting"], (), {}, echo=False)
    made = now()
    assert before <= call.created_at == call.updated_at <= made
    app.begin(call)
    assert waiting.began.wait(10)
    begun = now()
    assert made <= call.updated_at <= begun
    waiting.go_on.set()
    result = call.wait(10)
    assert begun <= result.updated_at == call.updated_at <= now()
    assert before <= result.created_at == call.created_at <= made
    assert result.created_at.tzinfo is result.updated_at.tzinfo is datetime.UTC


def test_an_attempt_of_many(app: InlineApp) -> None:
    """As many as Python has no stack for."""

    @app.task(retry=3_000)
    async def fails() -> None:
        if len(calls) < 3_000:
            raise ValueError
        assert calls[0].cancel()
        assert calls[0].status == "process"
        await asyncio.sleep(0)

    calls: list[Call] = []
    app.subscribe(lambda it: calls.append(it) if isinstance(it, Call) and it.own_status == "process" else None)
    result = app.run("fails")
    assert (result.status, result.call) == ("cancel", 3_000)
    assert calls[0].result is calls[1_000].result is result
    assert calls[1_000].wait(0) is result


def test_who_comes_late_gets_the_result_of_the_last_attempt(app: InlineApp) -> None:
    @app.task(retry=1)
    async def fails_once() -> int:
        if len(app.calls) == 1:
            raise ValueError
        return 1

    result = app.run("fails_once")

    async def wait_for(call: Call) -> TaskResult:
        return await call

    for call in app.calls:
        assert call.wait(0) is result
        assert asyncio.run(wait_for(call)) is result


def test_the_signal_of_a_stop_that_came_before_anybody_asked_for_it(app: InlineApp) -> None:
    call = app.new_call(app.task(name="step")(lambda: 1), (), {}, echo=False)
    other = app.new_call(app.tasks["step"], (), {}, echo=False)
    call.cancel()
    signal = other.stop_signal
    assert (call.stop_signal.is_set(), signal.is_set()) == (True, False)
    other.cancel()
    assert signal.is_set()


@COLOURS
def test_a_call_that_was_dropped_leaves_no_garbage(app: InlineApp, is_async: bool) -> None:
    """It is freed at once; to collect it would take longer than to run it."""

    async def async_(state: AsyncSignup) -> None:
        print("x")

    def sync(state: Signup) -> None:
        print("x")

    task = app.task(max_time=600)(async_ if is_async else sync)
    other = app.task(name="other")(async_)

    async def main() -> None:
        await task()
        for _ in range(MAX_CALLS):
            await other()

    app.subscribe(lambda call: calls.add(call) if isinstance(call, Call) and call.task is task else None)
    calls: weakref.WeakSet[Call] = weakref.WeakSet()
    gc.collect()
    with without_collections():
        asyncio.run(leaving_nothing(main()))
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join(10)
        assert not calls


def test_a_call_that_was_cut_short_stops_nothing(app: InlineApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt came between the end of its function and the note of it."""

    @app.task
    async def step() -> None: ...

    async def main() -> None:
        with pytest.raises(KeyboardInterrupt):
            await step()
        app.calls[0].cancel()
        await asyncio.sleep(0)  # would raise if the asyncio task around it were cancelled
        await asyncio.sleep(0)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Call, "finish", interrupted)
    asyncio.run(leaving_nothing(main()))


def test_a_stop_when_its_loop_is_closed(app: InlineApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread saw it running; it has ended since, and so has the loop."""

    @app.task
    async def step() -> None:
        running.append(app.calls[0]._running)

    running: list[Any] = []
    app.run("step")
    running[0].stop()
