"""`Task`: what can be one, the options and their errors, and the two ways to call it."""

from __future__ import annotations

import asyncio
import datetime
import enum
import functools
import inspect
import json
import math
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Literal

import pytest
from support.leaks import leaving_nothing

from qstate_nb import AsyncState, InlineApp, State, StateRegistry, TaskResult
from qstate_nb.errors import (
    ArgumentError,
    NotFoundError,
    QStateError,
    TaskCancelledError,
    TaskDefinitionError,
    TaskTimeoutError,
)


class Signup(State):
    pass


class AsyncSignup(AsyncState, name="Signup"):
    pass


async def coroutine(state: AsyncSignup, n: int) -> int:
    await state.set("n", n)
    return n * 2


def function(state: Signup, n: int) -> int:
    state.set("n", n)
    return n * 2


def generator(state: Signup, n: int) -> Iterator[int]:
    for i in range(n):
        state.set("n", n)
        yield i


async def async_generator(state: AsyncSignup, n: int) -> AsyncIterator[int]:
    for i in range(n):
        await asyncio.sleep(0)
        await state.set("n", n)
        yield i


KINDS = [(coroutine, 6), (function, 6), (generator, [0, 1, 2]), (async_generator, [0, 1, 2])]


@pytest.mark.parametrize(("function", "expected"), KINDS)
class TestEveryKind:
    def test_can_be_awaited(self, app: InlineApp, function: Callable[..., Any], expected: object) -> None:
        task = app.task(function)
        assert asyncio.run(leaving_nothing(task(3))) == expected
        assert asyncio.run(leaving_nothing(task(n=3))) == expected
        assert app.state(Signup).get_all() == {"n": 3}

    def test_can_be_added(self, app: InlineApp, function: Callable[..., Any], expected: object) -> None:
        task = app.task(function)

        async def main() -> TaskResult:
            return await task.add_task(3)

        result = asyncio.run(leaving_nothing(main()))
        assert (result.status, result.returning) == ("success", expected)

    def test_can_be_run(self, app: InlineApp, function: Callable[..., Any], expected: object) -> None:
        app.task(function)
        assert app.run(function.__name__, 3).unwrap() == expected
        assert app.state(Signup).get_all() == {"n": 3}

    def test_can_be_started(self, app: InlineApp, function: Callable[..., Any], expected: object) -> None:
        app.task(function)
        assert app.start(function.__name__, 3).wait(10).returning == expected


async def async_handler(item: int) -> str:
    await asyncio.sleep(0)
    return f"<{item}>"


def sync_handler(item: int) -> str:
    return f"<{item}>"


@pytest.mark.parametrize("handler", [async_handler, sync_handler])
@pytest.mark.parametrize("function", [generator, async_generator])
def test_what_a_generator_yields_passes_through_the_handler(
    app: InlineApp, function: Callable[..., Any], handler: Callable[[int], Any]
) -> None:
    task = app.task(generate_handler=handler)(function)
    assert asyncio.run(leaving_nothing(task(2))) == ["<0>", "<1>"]


@pytest.mark.parametrize("function", [generator, async_generator])
def test_an_error_in_the_handler_is_the_calls_error(app: InlineApp, function: Callable[..., Any]) -> None:
    def handler(item: int) -> None:
        raise LookupError(f"bad {item}")

    app.task(name="task", generate_handler=handler)(function)
    result = app.run("task", 2)
    assert result.status == "error"
    assert isinstance(result.exception, LookupError)


@pytest.mark.parametrize("is_async", [True, False])
def test_a_generator_is_closed_when_its_handler_fails(app: InlineApp, is_async: bool) -> None:
    closed = []

    def sync() -> Iterator[int]:
        try:
            yield 1
        finally:
            closed.append(True)

    async def async_() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.append(True)

    def handler(item: int) -> None:
        raise LookupError

    app.task(name="task", generate_handler=handler)(async_ if is_async else sync)
    assert app.run("task").status == "error"
    assert closed == [True]


def test_yielded_awaitables_are_values(app: InlineApp) -> None:
    """Without a handler, nothing that is yielded is touched, even if it could be awaited."""

    @app.task
    def task() -> Iterator[object]:
        yield app.start("function", 1)

    app.task(function)
    (call,) = app.run("task").returning
    assert call.wait(10).returning == 2


def test_a_long_sync_generator_makes_no_event_loops(app: InlineApp, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    original = asyncio.new_event_loop

    def counted() -> asyncio.AbstractEventLoop:
        made.append(1)
        return original()

    monkeypatch.setattr(asyncio, "new_event_loop", counted)

    @app.task(generate_handler=str)
    def numbers() -> Iterator[int]:
        yield from range(100)

    assert app.run("numbers").returning == [str(n) for n in range(100)]
    assert len(made) == 1  # of app.run itself


class TestColour:
    """A task is async if what is called first, or what runs in the end, is an async function or generator."""

    @pytest.mark.parametrize(
        ("function", "is_async"),
        [
            (coroutine, True),
            (async_generator, True),
            (function, False),
            (generator, False),
            (functools.partial(coroutine, n=1), True),
            (functools.partial(function, n=1), False),
        ],
    )
    def test_plain(self, app: InlineApp, function: Callable[..., Any], is_async: bool) -> None:
        assert app.task(function).is_async is is_async

    def test_callable_object(self, app: InlineApp) -> None:
        class Step:
            async def __call__(self, state: AsyncSignup) -> str:
                await state.set("a", 1)
                return "ok"

        task = app.task(Step())
        assert task.is_async
        assert task.name == "Step"
        assert app.run("Step").unwrap() == "ok"

    def test_wrapped_by_a_plain_function(self, app: InlineApp) -> None:
        def logged(function: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return function(*args, **kwargs)

            return wrapper

        task = app.task(logged(coroutine))
        assert task.is_async
        assert asyncio.run(leaving_nothing(task(1))) == 2

    def test_bound_method(self, app: InlineApp) -> None:
        class Steps:
            def step(self, state: Signup, n: int) -> int:
                state.set("n", n)
                return n

        app.task(Steps().step)
        assert app.run("step", 4).unwrap() == 4

    def test_task_in_a_class_is_called_like_a_method(self, app: InlineApp) -> None:
        class Steps:
            factor = 3

            @app.task
            async def step(self, state: AsyncSignup, n: int) -> int:
                await state.set("n", n)
                return n * self.factor

        assert asyncio.run(leaving_nothing(Steps().step(2))) == 6

        async def added() -> TaskResult:
            return await Steps().step.add_task(3)

        assert asyncio.run(leaving_nothing(added())).returning == 9
        assert app.run(Steps().step, n=4).returning == 12
        assert app.start(Steps().step, 5).wait(10).returning == 15
        assert Steps().step.signature == "step(n: int)"
        assert Steps.step is app.tasks["step"]


class TestOptions:
    def test_all_of_them(self, app: InlineApp) -> None:
        @app.task(
            name="first",
            description="the first",
            tags=["a", "b"],
            priority=3,
            echo=True,
            max_time=5,
            retry=2,
            retry_on_exc=[KeyError],
        )
        def step(self: Any) -> None:
            """Not this."""

        assert app.tasks == {"first": step}
        options = step.options
        assert (options.description, options.tags, options.priority) == ("the first", ("a", "b"), 3)
        assert (options.echo, options.max_time, options.retry, options.retry_on_exc) == (True, 5, 2, (KeyError,))

    def test_defaults(self, app: InlineApp) -> None:
        @app.task
        def step() -> None:
            """What it does.

            And more.
            """

        options = step.options
        assert (step.name, options.description, options.tags, options.priority) == ("step", "What it does.", (), 0)
        assert (options.echo, options.max_time, options.retry, options.retry_on_exc) == (
            False,
            None,
            0,
            (Exception,),
        )

    def test_name_by_position(self, app: InlineApp) -> None:
        app.task("other")(function)
        assert list(app.tasks) == ["other"]

    def test_a_task_looks_like_its_function(self, app: InlineApp) -> None:
        task: Any = app.task(function)
        assert (task.__name__, task.__wrapped__) == ("function", function)
        assert inspect.signature(task) == inspect.signature(function)

    def test_parameters_are_what_a_caller_gives(self, app: InlineApp) -> None:
        @app.task(echo=True)
        def step(self: Any, state: Signup, phone: str, code: int = 0) -> None: ...

        assert step.signature == "step(phone: str, code: int = 0)"
        assert repr(step) == "<Task step(phone: str, code: int = 0)>"
        assert [p.annotation for p in step.parameters] == [str, int]

    @pytest.mark.parametrize(
        ("options", "wanted"),
        [
            ({"description": 3}, "description must be a str, not 3"),
            ({"tags": "abc"}, "tags must be a list of str, not 'abc'"),
            ({"tags": [1]}, "tags must be a list of str"),
            ({"priority": "high"}, "priority must be an int, not 'high'"),
            ({"max_time": 0}, "max_time must be seconds, over 0, not 0"),
            ({"max_time": "1"}, "max_time must be seconds"),
            ({"retry": -1}, "retry must be an int, 0 or more, not -1"),
            ({"retry": 1.5}, "retry must be an int"),
            ({"retry_on_exc": [3]}, "retry_on_exc must be a list of exception classes"),
            ({"retry_on_exc": KeyError}, "retry_on_exc must be a list of exception classes"),
            ({"generate_handler": 3}, "generate_handler must be a function, not 3"),
        ],
    )
    def test_bad_value(self, app: InlineApp, options: dict[str, Any], wanted: str) -> None:
        with pytest.raises(TaskDefinitionError, match=wanted):
            app.task(**options)(generator)
        assert not app.tasks

    def test_unknown_option(self, app: InlineApp) -> None:
        with pytest.raises(TypeError, match="prioriti"):
            app.task(prioriti=3)(function)  # type: ignore[call-overload]

    def test_a_handler_without_a_generator(self, app: InlineApp) -> None:
        with pytest.raises(TaskDefinitionError, match="'function' has a generate_handler, but yields nothing"):
            app.task(generate_handler=str)(function)

    def test_echo_without_a_parameter_for_the_handle(self, app: InlineApp) -> None:
        with pytest.raises(TaskDefinitionError, match=r"echo=True, so its first parameter .*def step\(self, …\)"):

            @app.task(echo=True)
            def step(state: Signup) -> None: ...

    def test_no_function(self, app: InlineApp) -> None:
        with pytest.raises(TaskDefinitionError, match="3 can't be a task: it is not callable"):
            app.task(name="step")(3)  # type: ignore[arg-type]

    def test_a_name_that_another_module_has_taken(self, app: InlineApp) -> None:
        app.task(name="dumps")(function)
        with pytest.raises(TaskDefinitionError, match=r"task 'dumps' from .*test_task, and another from json"):
            app.task(json.dumps)

    def test_defining_it_again_replaces_it(self, app: InlineApp) -> None:
        app.task(name="step")(function)
        again = app.task(name="step")(coroutine)
        assert app.tasks == {"step": again}

    def test_a_task_can_be_registered_in_another_app(self, app: InlineApp) -> None:
        other = InlineApp(registry=StateRegistry())
        task = other.task(app.task(function))
        assert task.function is function
        assert other.run("function", 2).unwrap() == 4
        assert app.state(Signup).get_all() == {}


class TestAddTask:
    def test_result_of_an_async_task(self, app: InlineApp) -> None:
        task = app.task(priority=7)(coroutine)
        before = datetime.datetime.now(datetime.UTC)

        async def main() -> TaskResult:
            return await task.add_task(1)

        result = asyncio.run(leaving_nothing(main()))
        assert (result.status, result.returning, result.traceback) == ("success", 2, None)
        assert (result.task_name, result.priority, result.args, result.kwargs) == ("coroutine", 7, (1,), {})
        assert isinstance(result.uuid, uuid.UUID)
        assert before <= result.created_at <= result.updated_at <= datetime.datetime.now(datetime.UTC)
        assert (result.call, result.output, result.exception) == (1, "", None)

    def test_a_sync_task_needs_no_await(self, app: InlineApp) -> None:
        result = app.task(function).add_task(n=4)
        assert isinstance(result, TaskResult)
        assert (result.status, result.returning, result.kwargs) == ("success", 8, {"n": 4})

    def test_a_sync_task_may_be_awaited_as_well(self, app: InlineApp) -> None:
        task = app.task(function)

        async def main() -> TaskResult:
            return await task.add_task(4)

        assert asyncio.run(leaving_nothing(main())).returning == 8

    @pytest.mark.parametrize("function", [coroutine, function])
    def test_several_can_be_gathered(self, app: InlineApp, function: Callable[..., Any]) -> None:
        task = app.task(function)

        async def main() -> list[TaskResult]:
            return list(await asyncio.gather(task.add_task(1), task.add_task(2)))

        assert [result.returning for result in asyncio.run(leaving_nothing(main()))] == [2, 4]

    @pytest.mark.parametrize("is_async", [True, False])
    def test_timeout(self, app: InlineApp, is_async: bool) -> None:
        async def waits() -> None:
            await asyncio.Event().wait()

        def spins() -> None:
            while True:
                pass

        task = app.task(name="task")(waits if is_async else spins)

        async def main() -> TaskResult:
            return await task.add_task(timeout=0.02)

        result = asyncio.run(leaving_nothing(main()))
        assert result.status == "cancel"
        with pytest.raises(TaskTimeoutError, match=r"task #1 was stopped: it took longer than timeout=0.02 s"):
            result.unwrap()

    @pytest.mark.parametrize("timeout", [0, -1, "5"])
    def test_a_timeout_that_is_none_is_refused(self, app: InlineApp, timeout: Any) -> None:
        with pytest.raises(ArgumentError, match=f"timeout must be seconds, over 0, not {timeout!r}"):
            app.task(function).add_task(1, timeout=timeout)
        assert app.calls == []

    def test_an_endless_timeout_is_none(self, app: InlineApp) -> None:
        result = app.task(function).add_task(1, timeout=math.inf)
        assert isinstance(result, TaskResult)
        assert result.status == "success"

    def test_timeout_that_is_not_reached(self, app: InlineApp) -> None:
        result = app.task(function).add_task(1, timeout=60)
        assert isinstance(result, TaskResult)
        assert result.status == "success"

    def test_timeout_includes_the_retries(self, app: InlineApp) -> None:
        @app.task(retry=1_000_000)
        def fails() -> None:
            raise ValueError

        result = fails.add_task(timeout=0.05)
        assert isinstance(result, TaskResult)
        assert isinstance(result.exception, TaskTimeoutError | ValueError)
        assert result.call < 1_000_000

    def test_cancelled_before_it_began_there_is_no_call(self, app: InlineApp) -> None:
        task = app.task(coroutine)

        async def main() -> None:
            awaitable: Awaitable[TaskResult] = task.add_task(1)
            running = asyncio.ensure_future(awaitable)
            running.cancel()
            await asyncio.wait([running])

        asyncio.run(leaving_nothing(main()))
        assert app.calls == []


class TestDirectCall:
    @pytest.mark.parametrize("is_async", [True, False])
    def test_raises_what_the_task_raises(self, app: InlineApp, is_async: bool) -> None:
        async def async_() -> None:
            raise LookupError("mine")

        def sync() -> None:
            raise LookupError("mine")

        task = app.task(async_ if is_async else sync)
        with pytest.raises(LookupError, match="mine"):
            asyncio.run(leaving_nothing(task()))

    def test_wrong_arguments_are_the_calls_error(self, app: InlineApp) -> None:
        task = app.task(function)
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'n'"):
            asyncio.run(leaving_nothing(task()))
        assert [call.status for call in app.calls] == ["error"]

    def test_a_cancelled_call_raises(self, app: InlineApp) -> None:
        @app.task(echo=True)
        async def step(self: Any) -> None:
            self.ctx.cancel("enough")

        with pytest.raises(TaskCancelledError, match="step #1: enough"):
            asyncio.run(leaving_nothing(step()))

    def test_calls_run_concurrently(self, app: InlineApp) -> None:
        """A sync and an async task that wait for each other."""
        here, there = threading.Event(), threading.Event()

        @app.task
        def sync() -> str:
            here.set()
            assert there.wait(10)
            return "sync"

        @app.task
        async def async_() -> str:
            await asyncio.to_thread(here.wait, 10)
            there.set()
            return "async"

        async def main() -> list[str]:
            return list(await asyncio.gather(sync(), async_()))

        assert asyncio.run(leaving_nothing(main())) == ["sync", "async"]


class TestArguments:
    def test_named_values(self, app: InlineApp) -> None:
        @app.task
        def step(a: int, /, b: int, *, c: int = 3) -> tuple[int, ...]:
            return a, b, c

        args, kwargs = step.arguments({"a": 1, "b": 2})
        assert app.run(step, *args, **kwargs).unwrap() == (1, 2, 3)

    def test_unknown_name(self, app: InlineApp) -> None:
        task = app.task(function)
        with pytest.raises(NotFoundError, match="no parameter of task 'function' called 'm'"):
            task.arguments({"m": 1})

    def test_missing_value(self, app: InlineApp) -> None:
        task = app.task(function)
        with pytest.raises(ArgumentError, match="task 'function' needs a value for: n"):
            task.arguments({})

    def test_any_name_for_kwargs(self, app: InlineApp) -> None:
        @app.task
        def step(**more: int) -> dict[str, int]:
            return more

        assert step.arguments({"x": 1}) == ((), {"x": 1})


def test_every_error_of_the_app_has_the_one_root() -> None:
    for error in (TaskDefinitionError, TaskCancelledError, TaskTimeoutError, ArgumentError, NotFoundError):
        assert issubclass(error, QStateError)
    assert issubclass(TaskTimeoutError, TimeoutError)


class Colour(enum.Enum):
    RED = "r"


def test_its_signature_is_the_same_on_every_run(app: InlineApp) -> None:
    def step(it: object = object(), colour: Literal[Colour.RED] = Colour.RED) -> None: ...

    assert app.task(step).signature == "step(it: object = <object object>, colour: Literal[RED] = Colour.RED)"
