"""Runs of tasks: once, some times one after another or at once, and several tasks together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.forms import soon

from qstate_nb import AsyncState, Call, InlineApp, State
from qstate_nb.errors import ArgumentError, NotFoundError
from qstate_nb.notebook.panel.runs import MOST, Prepared, Runs

WAIT = 10


class Signup(State):
    pass


class Order(AsyncState):
    pass


@pytest.fixture
def runs(app: InlineApp) -> Runs:
    return Runs(app, None)


def ended(app: InlineApp, number: int) -> list[Call]:
    """The calls, when there are so many and all have ended."""
    calls = soon(lambda: app.calls if len(app.calls) == number else None)
    for call in calls:
        call.wait(WAIT)
    return list(calls)


# --- one


def test_a_run_starts_a_call_and_does_not_wait(app: InlineApp, runs: Runs) -> None:
    gate = threading.Event()

    @app.task
    def step1(n: int, name: str = "x") -> tuple[int, str]:
        gate.wait(WAIT)
        return n, name

    (call,) = runs.start(step1, {"n": 7})
    assert app.calls == [call]
    assert not call.done
    gate.set()
    assert call.wait(WAIT).returning == (7, "x")


def test_positional_only_and_keyword_only_parameters_are_filled(app: InlineApp, runs: Runs) -> None:
    @app.task
    def step1(a: int, b: int = 2, /, *, c: int = 3) -> tuple[int, int, int]:
        return a, b, c

    (call,) = runs.start(step1, {"a": 5, "c": 6})
    assert call.wait(WAIT).returning == (5, 2, 6)


@pytest.mark.parametrize(
    ("values", "times", "error", "message"),
    [
        ({}, 1, ArgumentError, "task 'step1' needs a value for: n"),
        ({"n": 1, "m": 1}, 1, NotFoundError, "no parameter of task 'step1' called 'm'"),
        ({"n": 1}, 0, ArgumentError, "times must be 1 to 1,000, not 0"),
        ({"n": 1}, 1_001, ArgumentError, "times must be 1 to 1,000, not 1001"),
        ({"n": 1}, 1.5, ArgumentError, "times must be 1 to 1,000, not 1.5"),
        ({"n": 1}, True, ArgumentError, "times must be 1 to 1,000, not True"),
    ],
)
def test_what_can_not_be_is_refused_and_starts_nothing(
    app: InlineApp, runs: Runs, values: dict[str, Any], times: Any, error: type[Exception], message: str
) -> None:
    @app.task
    def step1(n: int) -> None: ...

    for at_once in (False, True):
        with pytest.raises(error, match=message):
            runs.start(step1, values, times, at_once)
    with pytest.raises(error, match=message):
        runs.add(step1, values, times)
    assert app.calls == []
    assert runs.prepared == ()


def on_this_thread(function: Callable[[], object]) -> None:
    function()


def on_another_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def on_another_loop(function: Callable[[], object]) -> None:
    async def run() -> None:
        function()

    on_another_thread(lambda: asyncio.run(run()))


@pytest.mark.parametrize("click", [on_this_thread, on_another_thread, on_another_loop])
@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("at_once", [False, True])
def test_it_works_from_any_thread_and_async_tasks_run_on_the_main_loop(
    app: InlineApp, click: Callable[[Callable[[], object]], None], colour: str, at_once: bool
) -> None:
    loops: list[object] = []

    if colour == "sync":

        @app.task(name="step1")
        def step1(state: Signup) -> int:
            state.set("n", 1)
            return threading.get_ident()
    else:

        @app.task(name="step1")
        async def step1_async(state: Order) -> int:
            loops.append(asyncio.get_running_loop())
            await asyncio.sleep(0)
            await state.set("n", 1)
            return threading.get_ident()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        runs = Runs(app, loop)
        click(lambda: runs.start(app.tasks["step1"], {}, 3, at_once))  # and doesn't wait for the loop
        while len(app.calls) < 3:
            await asyncio.sleep(0.001)
        for call in app.calls:
            result = await call
            assert result.status == "success"
            assert (result.returning == threading.get_ident()) is (colour == "async")
        assert loops == ([loop] * 3 if colour == "async" else [])

    asyncio.run(main())
    assert {event.actor.cell for event in app.registry.history()} == {None}
    assert next(str(event.actor) for event in app.registry.history()) == "step1 #1"


def test_without_a_main_loop_async_tasks_run_in_threads(app: InlineApp, runs: Runs) -> None:
    @app.task
    async def step1() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    (call,) = runs.start(step1, {})
    assert call.wait(WAIT).returning != threading.get_ident()


def test_a_run_shows_and_can_be_stopped_while_the_loop_is_busy(app: InlineApp) -> None:
    @app.task
    async def step1(state: Order) -> None:
        await state.set("n", 1)

    async def main() -> None:
        heard: list[object] = []
        app.subscribe(heard.append)
        (call,) = Runs(app, asyncio.get_running_loop()).start(step1, {})
        assert heard == [call]
        call.cancel()
        assert (await call).status == "cancel"

    asyncio.run(main())
    assert app.registry.history() == []


# --- some times


def test_calls_run_one_after_another_and_show_only_when_they_are_made(app: InlineApp, runs: Runs) -> None:
    gates = [threading.Semaphore(0) for _ in range(3)]
    numbers = iter(range(3))

    @app.task
    def step1() -> None:
        gates[next(numbers)].acquire(timeout=WAIT)

    runs.start(step1, {}, 3)
    for number in range(3):
        soon(lambda number=number: len(app.calls) == number + 1)  # type: ignore[misc]
        assert runs.waiting == 2 - number
        assert app.calls[-1].result is None
        gates[number].release()
    assert [call.status for call in ended(app, 3)] == ["success"] * 3
    soon(lambda: runs.waiting == 0)


def test_an_error_does_not_end_a_sequence(app: InlineApp, runs: Runs) -> None:
    @app.task
    def step1() -> None:
        raise LookupError

    runs.start(step1, {}, 3)
    assert [call.status for call in ended(app, 3)] == ["error"] * 3


def test_a_stop_ends_a_sequence(app: InlineApp, runs: Runs) -> None:
    begun = threading.Semaphore(0)

    @app.task(echo=True)
    def step1(self: Any) -> None:
        begun.release()
        if len(app.calls) == 2:
            self.ctx.sleep(WAIT)

    runs.start(step1, {}, 5)
    assert begun.acquire(timeout=WAIT)
    assert begun.acquire(timeout=WAIT)
    app.calls[1].cancel()
    soon(lambda: runs.waiting == 0)
    assert [call.status for call in ended(app, 2)] == ["success", "cancel"]


def test_a_retried_call_is_waited_for_to_its_last_attempt(app: InlineApp, runs: Runs) -> None:
    @app.task(retry=1)
    def step1() -> int:
        if app.calls[-1].attempt_number == 1:
            raise LookupError
        return len(app.calls)

    runs.start(step1, {}, 2)
    calls = ended(app, 4)
    assert [call.attempt_number for call in calls] == [1, 2, 1, 2]


def test_closing_lets_a_call_end_and_starts_no_more(app: InlineApp, runs: Runs) -> None:
    gate, begun = threading.Event(), threading.Event()

    @app.task
    def step1() -> None:
        begun.set()
        gate.wait(WAIT)

    runs.start(step1, {}, 5)
    assert begun.wait(WAIT)
    runs.close()
    gate.set()
    soon(lambda: runs.waiting == 0)
    assert [call.status for call in ended(app, 1)] == ["success"]


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_at_once_all_run_together(app: InlineApp, colour: str) -> None:
    """Each waits for all the others, so none could end before all have begun."""

    async def main() -> None:
        if colour == "sync":
            barrier = threading.Barrier(10)
            app.task(name="step1")(lambda: barrier.wait(WAIT))
        else:
            meeting = asyncio.Barrier(10)

            @app.task(name="step1")
            async def step1() -> None:
                await meeting.wait()

        calls = Runs(app, asyncio.get_running_loop()).start(app.tasks["step1"], {}, 10, at_once=True)
        assert len(calls) == 10
        assert [(await call).status for call in calls] == ["success"] * 10

    asyncio.run(main())


def test_a_call_does_not_see_what_another_one_did_to_a_value(app: InlineApp, runs: Runs) -> None:
    @app.task
    def step1(items: list[int]) -> list[int]:
        items.append(2)
        return items

    values = {"items": [1]}
    runs.start(step1, values, 3)
    assert [call.wait(WAIT).returning for call in ended(app, 3)] == [[1, 2]] * 3
    assert values == {"items": [1]}


def test_a_value_that_can_not_be_copied_is_given_as_it_is(app: InlineApp, runs: Runs) -> None:
    class Odd(dict[str, int]):
        def __copy__(self) -> None:
            raise RuntimeError

    odd = Odd()
    step1 = app.task(name="step1")(lambda it: it)
    (call,) = runs.start(step1, {"it": odd})
    assert call.wait(WAIT).returning is odd


# --- together


def test_prepared_calls_run_at_once_and_stay_prepared(app: InlineApp, runs: Runs) -> None:
    barrier = threading.Barrier(3)

    @app.task
    def step1(n: int) -> int:
        barrier.wait(WAIT)
        return n

    @app.task
    def step2() -> str:
        barrier.wait(WAIT)
        return "two"

    runs.add(step1, {"n": 1}, 2)
    runs.add(step2, {})
    assert list(map(str, runs.prepared)) == ["step1(n=1), 2 times", "step2()"]
    for _ in range(2):
        calls = runs.run_together()
        assert [call.wait(WAIT).returning for call in calls] == [1, 1, "two"]
    assert len(runs.prepared) == 2


def test_one_is_removed_and_all_are(app: InlineApp, runs: Runs) -> None:
    step1 = app.task(name="step1")(lambda n: n)
    for n in range(3):
        runs.add(step1, {"n": n})
    first = runs.prepared[0]
    runs.remove(first)
    runs.remove(first)  # another click, before it was drawn
    assert list(map(str, runs.prepared)) == ["step1(n=1)", "step1(n=2)"]
    runs.empty()
    with pytest.raises(ArgumentError, match="nothing is prepared: add calls first"):
        runs.run_together()


def test_too_many_are_refused(app: InlineApp, runs: Runs) -> None:
    step1 = app.task(name="step1")(lambda: None)
    runs.add(step1, {}, MOST)
    with pytest.raises(ArgumentError, match="at most 1,000 calls can run together, not 1,001; remove some first"):
        runs.add(step1, {})


def test_a_task_that_was_defined_anew_runs_as_it_is_now(app: InlineApp, runs: Runs) -> None:
    runs.add(app.task(name="step1")(lambda n: "old"), {"n": 1})
    app.task(name="step1")(lambda n: "new")
    assert runs.run_together()[0].wait(WAIT).returning == "new"
    app.task(name="step2")(lambda: None)
    runs.add(app.tasks["step2"], {})
    app.task(name="step1")(lambda m: "newer")
    with pytest.raises(NotFoundError, match="no parameter of task 'step1' called 'n'"):
        runs.run_together()
    assert len(app.calls) == 1


def test_a_prepared_call_is_short_and_on_one_line(app: InlineApp) -> None:
    task = app.task(name="a\nb" * 100)(lambda it: it)
    text = str(Prepared(task, {"it": "x\n" * 1_000}))
    assert text.isprintable()
    assert len(text) < 150
