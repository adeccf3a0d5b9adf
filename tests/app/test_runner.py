"""The runner: retries, time limits, and whose work an event is."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.leaks import leaving_nothing, without_collections

from qstate_nb import AsyncState, InlineApp, State, TaskResult
from qstate_nb.errors import TaskCancelledError, TaskTimeoutError


class Counter(State):
    pass


class AsyncCounter(AsyncState, name="Counter"):
    pass


COLOURS = pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])


class Failing:
    """A task that fails in the ways that it is told, one an attempt, and then succeeds."""

    def __init__(self, app: InlineApp, errors: list[BaseException], *, is_async: bool, **options: Any) -> None:
        self.errors = errors
        app.task(name="failing", **options)(self.async_ if is_async else self.sync)

    async def async_(self, n: int = 0) -> int:
        await asyncio.sleep(0)
        return self.sync(n)

    def sync(self, n: int = 0) -> int:
        print("attempt")
        if self.errors:
            raise self.errors.pop(0)
        return n


@COLOURS
class TestRetry:
    def test_each_attempt_is_its_own_call(self, app: InlineApp, is_async: bool) -> None:
        Failing(app, [ValueError("a"), KeyError("b")], is_async=is_async, retry=2)
        result = app.run("failing", 5)
        assert (result.status, result.returning, result.call) == ("success", 5, 3)
        assert [call.own_status for call in app.calls] == ["error", "error", "success"]
        assert [call.attempt_number for call in app.calls] == [1, 2, 3]
        assert [call.output for call in app.calls] == ["attempt\n"] * 3
        assert len({call.uuid for call in app.calls}) == 3
        first, second, third = app.calls
        assert (first.retried_as, second.retried_as, third.retried_as) == (second, third, None)

    def test_the_last_error_counts(self, app: InlineApp, is_async: bool) -> None:
        Failing(app, [ValueError("a"), ValueError("b")], is_async=is_async, retry=1)
        with pytest.raises(ValueError, match="b"):
            app.run("failing").unwrap()
        assert len(app.calls) == 2

    def test_only_the_exceptions_that_are_named(self, app: InlineApp, is_async: bool) -> None:
        errors: list[BaseException] = [KeyError("a"), ValueError("b"), KeyError("c")]
        Failing(app, errors, is_async=is_async, retry=5, retry_on_exc=[KeyError, OSError])
        assert isinstance(app.run("failing").exception, ValueError)
        assert len(app.calls) == 2

    def test_a_started_call_ends_with_its_last_attempt(self, app: InlineApp, is_async: bool) -> None:
        Failing(app, [ValueError("a")], is_async=is_async, retry=1)
        call = app.start("failing", 3)
        assert call.wait(10).returning == 3
        assert (call.own_status, call.retried_as) == ("error", app.calls[1])
        assert (call.status, call.result) == ("success", call.wait())

    def test_a_call_is_not_done_while_it_is_retried(self, app: InlineApp, is_async: bool) -> None:
        seen: list[tuple[str, bool, object]] = []
        Failing(app, [ValueError("a")], is_async=is_async, retry=1)
        app.subscribe(lambda _: seen.append((app.calls[0].status, app.calls[0].done, app.calls[0].result)))
        result = app.run("failing", 3)
        assert {status for status, done, _ in seen if not done} == {"new", "process"}
        assert [(status, shown) for status, done, shown in seen if done] == [("success", result)]

    def test_none_by_default(self, app: InlineApp, is_async: bool) -> None:
        Failing(app, [ValueError("a")], is_async=is_async)
        assert app.run("failing").status == "error"
        assert len(app.calls) == 1

    def test_the_task_that_cancels_itself_is_not_retried(self, app: InlineApp, is_async: bool) -> None:
        Failing(app, [TaskCancelledError("enough")], is_async=is_async, retry=3)
        assert app.run("failing").status == "cancel"
        assert len(app.calls) == 1

    def test_the_cancel_of_another_call_is_an_error(self, app: InlineApp, is_async: bool) -> None:
        Failing(app, [TaskCancelledError("a"), TaskCancelledError("b")], is_async=is_async)

        async def async_() -> object:
            return await app.tasks["failing"]()

        def sync() -> object:
            return app.run("failing").unwrap()

        app.task(name="outer", retry=1)(async_ if is_async else sync)
        result = app.run("outer")
        assert result.status == "error"
        assert [call.own_status for call in app.calls] == ["error", "cancel", "error", "cancel"]

    def test_system_exit_is_an_error_and_not_retried(self, app: InlineApp, is_async: bool) -> None:
        Failing(app, [SystemExit(3)], is_async=is_async, retry=3)
        assert app.run("failing").status == "error"
        assert len(app.calls) == 1

    def test_nothing_is_retried_after_a_cancel(self, app: InlineApp, is_async: bool) -> None:
        """Not even what makes an error of its cancellation."""
        began = threading.Event()

        async def async_() -> None:
            began.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise RuntimeError("mine") from None

        def sync() -> None:
            began.set()
            try:
                while True:
                    pass
            except asyncio.CancelledError:
                raise RuntimeError("mine") from None

        app.task(name="task", retry=5)(async_ if is_async else sync)
        call = app.start("task")
        assert began.wait(10)
        call.cancel()
        assert call.wait(10).status == "error"
        assert len(app.calls) == 1

    def test_cancelling_the_first_attempt_cancels_the_one_that_runs(self, app: InlineApp, is_async: bool) -> None:
        second = threading.Event()

        async def async_() -> None:
            if len(app.calls) == 1:
                raise ValueError
            second.set()
            await asyncio.sleep(60)

        def sync() -> None:
            if len(app.calls) == 1:
                raise ValueError
            second.set()
            while True:
                pass

        app.task(name="task", retry=5)(async_ if is_async else sync)
        call = app.start("task")
        assert second.wait(10)
        assert call.cancel() is True
        assert call.wait(10).status == "cancel"
        assert [call.own_status for call in app.calls] == ["error", "cancel"]

    def test_cancel_while_attempts_follow_each_other(self, app: InlineApp, is_async: bool) -> None:
        """A cancel that comes between two attempts is not lost."""

        async def async_() -> None:
            raise ValueError

        def sync() -> None:
            raise ValueError

        app.task(name="task", retry=1_000_000)(async_ if is_async else sync)
        with without_collections():
            for delay in range(0, 2_000, 40):
                call = app.start("task")
                for _ in range(delay):
                    pass
                call.cancel()
                call.wait(10)
        assert all(call.done for call in app.calls)


def test_cancelled_from_around_it_is_not_retried(app: InlineApp) -> None:
    """Also if the task makes an error of its cancellation."""
    began = threading.Event()

    @app.task(retry=5)
    async def step() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise RuntimeError("mine") from None

    async def main() -> None:
        running = asyncio.create_task(step())
        await asyncio.to_thread(began.wait, 10)
        running.cancel()
        with pytest.raises(RuntimeError, match="mine"):
            await running

    asyncio.run(leaving_nothing(main()))
    assert len(app.calls) == 1


class TestMaxTime:
    def test_of_an_async_sleep(self, app: InlineApp) -> None:
        @app.task(max_time=0.02)
        async def step(state: AsyncCounter) -> None:
            await state.set("n", 1)
            await asyncio.sleep(60)
            await state.set("n", 2)

        result = app.run("step")
        assert result.status == "cancel"
        with pytest.raises(TaskTimeoutError, match=r"step #1 was stopped: it took longer than max_time=0.02 s"):
            result.unwrap()
        assert app.state(Counter).get("n") == 1

    def test_of_a_sync_busy_loop(self, app: InlineApp) -> None:
        @app.task(max_time=0.02)
        def step(state: Counter) -> None:
            while True:
                state.set("n", 1)

        result = app.run("step")
        assert result.status == "cancel"
        assert isinstance(result.exception, TaskTimeoutError)

    def test_of_the_contexts_sleep(self, app: InlineApp) -> None:
        @app.task(max_time=0.02, echo=True)
        def step(self: Any) -> None:
            self.ctx.sleep(60)

        assert isinstance(app.run("step").exception, TaskTimeoutError)

    @COLOURS
    def test_is_not_retried(self, app: InlineApp, is_async: bool) -> None:
        async def async_() -> None:
            await asyncio.sleep(60)

        def sync() -> None:
            while True:
                pass

        app.task(name="task", max_time=0.02, retry=3)(async_ if is_async else sync)
        assert app.run("task").status == "cancel"
        assert len(app.calls) == 1

    @COLOURS
    def test_that_is_not_reached(self, app: InlineApp, is_async: bool) -> None:
        Failing(app, [], is_async=is_async, max_time=60)
        assert app.run("failing").status == "success"

    def test_is_for_each_attempt(self, app: InlineApp) -> None:
        """The limit of an attempt that has ended doesn't touch the next one."""

        @app.task(max_time=0.2, retry=3)
        async def step() -> None:
            await asyncio.sleep(0.12)
            if len(app.calls) < 3:
                raise ValueError

        assert app.run("step").status == "success"


class TestErrors:
    @COLOURS
    def test_state_is_as_it_was_committed_and_later_tasks_run(self, app: InlineApp, is_async: bool) -> None:
        async def async_(state: AsyncCounter) -> None:
            await state.set("n", 1)
            raise ValueError("mine")

        def sync(state: Counter) -> None:
            state.set("n", 1)
            raise ValueError("mine")

        app.task(name="bad")(async_ if is_async else sync)
        Failing(app, [], is_async=is_async)
        result = app.run("bad")
        assert (result.status, str(result.exception)) == ("error", "mine")
        assert app.state(Counter).get_all() == {"n": 1}
        assert app.run("failing").status == "success"

    @COLOURS
    def test_keyboard_interrupt_in_a_task_is_recorded_and_raised(self, app: InlineApp, is_async: bool) -> None:
        Failing(app, [KeyboardInterrupt()], is_async=is_async, retry=3)
        with pytest.raises(KeyboardInterrupt):
            app.run("failing")
        assert [call.status for call in app.calls] == ["cancel"]

    @COLOURS
    def test_stop_iteration(self, app: InlineApp, is_async: bool) -> None:
        Failing(app, [StopIteration(3)], is_async=is_async)
        assert app.run("failing").status == "error"


class TestActor:
    """An event says which task, which call."""

    @COLOURS
    def test_of_concurrent_calls(self, app: InlineApp, is_async: bool) -> None:
        async def async_(state: AsyncCounter, name: str) -> None:
            for n in range(20):
                await state.set(name, n)
                await asyncio.sleep(0)

        def sync(state: Counter, name: str) -> None:
            for n in range(20):
                state.set(name, n)

        for name in "abc":
            app.task(name=name)(async_ if is_async else sync)

        async def main() -> None:
            await asyncio.gather(*(app.tasks[name](name) for name in "abcabc"))

        asyncio.run(leaving_nothing(main()))
        events = app.registry.history()
        assert len(events) == 120
        for event in events:
            (change,) = event.changes
            assert event.actor.task == change.field
            assert event.actor.call is not None
            assert app.calls[event.actor.call - 1].task.name == event.actor.task
        counts = [sum(event.actor.call == call.number for event in events) for call in app.calls]
        assert counts == [20] * 6

    def test_of_nested_calls_and_of_the_code_around_them(self, app: InlineApp) -> None:
        @app.task
        async def inner(state: AsyncCounter) -> None:
            await state.set("inner", 1)
            await asyncio.sleep(0)
            await state.set("inner", 2)

        @app.task
        async def outer(state: AsyncCounter) -> None:
            await state.set("outer", 1)
            await inner()
            app.run("inner")
            await state.set("outer", 2)

        state = app.state(Counter)

        async def main() -> None:
            state.set("main", 1)
            app.run("outer")
            state.set("main", 2)

        asyncio.run(leaving_nothing(main()))
        actors = [str(event.actor) for event in app.registry.history()]
        assert actors == ["user", "outer #1", *["inner #2"] * 2, *["inner #3"] * 2, "outer #1", "user"]

    def test_in_a_thread_that_was_given_the_context(self, app: InlineApp) -> None:
        state = app.state(Counter)

        @app.task
        async def step() -> None:
            await asyncio.to_thread(state.set, "n", 1)

        app.run("step")
        assert [str(event.actor) for event in app.registry.history()] == ["step #1"]

    def test_of_a_generator_and_its_handler(self, app: InlineApp) -> None:
        state = app.state(Counter)

        @app.task(generate_handler=lambda item: state.set("handler", item))
        def step(counter: Counter) -> Any:
            counter.set("step", 1)
            yield 1

        app.run("step")
        assert [str(event.actor) for event in app.registry.history()] == ["step #1", "step #1"]


def test_contextvars_of_the_caller_are_seen(app: InlineApp) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")

    @app.task
    async def async_() -> str:
        return variable.get()

    @app.task
    def sync() -> str:
        value = variable.get()
        variable.set("changed by the task")
        return value

    def run_both() -> list[TaskResult]:
        variable.set("mine")
        results = [app.run("async_"), app.run("sync"), app.start("sync").wait(10)]
        assert variable.get() == "mine"
        return results

    results = contextvars.copy_context().run(run_both)
    assert [result.returning for result in results] == ["mine"] * 3


class TestWhatAnAsyncTaskReturns:
    """A wrapper of an async function counts as async, whatever it gives back."""

    def wrapped(self, app: InlineApp, result: Callable[[], object]) -> None:
        async def step() -> None: ...

        @functools.wraps(step)
        def wrapper() -> object:
            return result()

        app.task(name="step")(wrapper)

    def test_an_awaitable(self, app: InlineApp) -> None:
        async def coroutine() -> int:
            await asyncio.sleep(0)
            return 3

        self.wrapped(app, lambda: asyncio.ensure_future(coroutine()))
        assert app.run("step").unwrap() == 3

    def test_a_value(self, app: InlineApp) -> None:
        self.wrapped(app, lambda: 3)
        assert app.run("step").unwrap() == 3
