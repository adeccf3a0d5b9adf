"""`run_blocking`: from a script, a thread, a running loop, a task, a callback; and what an interrupt leaves."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.leaks import leaving_nothing
from support.script import run_script

from qstate_nb import AsyncState, InlineApp, State
from qstate_nb.app import runner
from qstate_nb.app.nesting import run_blocking
from qstate_nb.app.threads import in_thread

IS_PATCHED = """
def is_patched():
    return ("nest_asyncio2" in sys.modules, hasattr(asyncio, "_nest_patched"), asyncio.Task is asyncio.tasks._PyTask)
"""


class Signup(State):
    pass


class AsyncSignup(AsyncState, name="Signup"):
    pass


class TestNestsAsLateAsPossible:
    def test_not_for_a_coroutine_that_never_waits(self) -> None:
        code = """
            @app.task
            async def inner(state: AsyncSignup, n: int):
                await state.update(n=n)
                return await state.get("n")

            @app.task
            async def outer():
                return [app.run("inner", n).unwrap() for n in range(3)]

            async def main():
                print(app.run("outer").unwrap(), is_patched())
                asyncio.get_running_loop().call_soon(lambda: print(app.run("outer").unwrap(), is_patched()))
                await asyncio.sleep(0)

            asyncio.run(main())
            print(app.run("inner", 7).unwrap(), is_patched())
        """
        no = "(False, False, False)"
        assert run_script(IS_PATCHED + _dedented(code)) == f"[0, 1, 2] {no}\n[0, 1, 2] {no}\n7 {no}\n"

    def test_not_without_a_running_loop(self) -> None:
        code = """
            @app.task
            async def slow(state: AsyncSignup):
                await asyncio.sleep(0.001)

            @app.task
            def outer():
                return app.run("slow").status

            print(app.run("slow").status, app.run("outer").returning, is_patched())
        """
        assert run_script(IS_PATCHED + _dedented(code)) == "success success (False, False, False)\n"

    def test_for_one_that_waits(self) -> None:
        code = """
            @app.task
            async def slow():
                await asyncio.sleep(0.001)
                return "ok"

            async def main():
                print(app.run("slow").unwrap(), "nest_asyncio2" in sys.modules)

            asyncio.run(main())
        """
        assert run_script(code) == "ok True\n"

    def test_a_missing_nest_asyncio2_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "nest_asyncio2", None)
        ended = []

        async def waits() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                ended.append(1)

        async def main() -> None:
            with pytest.raises(ImportError, match="install nest-asyncio2"):
                run_blocking(waits())
            await asyncio.sleep(0)
            assert ended == [1]  # what it had begun doesn't run on

        asyncio.run(leaving_nothing(main()))


def _dedented(code: str) -> str:
    return textwrap.dedent(code)


def from_script(run: Callable[[], object]) -> object:
    return run()


def from_thread(run: Callable[[], object]) -> object:
    async def main() -> object:
        return await asyncio.to_thread(run)

    return asyncio.run(leaving_nothing(main()))


def from_loop(run: Callable[[], object]) -> object:
    async def main() -> object:
        return run()

    return asyncio.run(leaving_nothing(main()))


def from_loop_after_a_wait(run: Callable[[], object]) -> object:
    async def main() -> object:
        await asyncio.sleep(0)
        return run()

    return asyncio.run(leaving_nothing(main()))


def from_callback(run: Callable[[], object]) -> object:
    async def main() -> object:
        loop = asyncio.get_running_loop()
        result = loop.create_future()

        def callback() -> None:
            try:
                result.set_result(run())
            except Exception as error:
                result.set_exception(error)

        loop.call_soon(callback)
        return await result

    return asyncio.run(leaving_nothing(main()))


def from_async_task(run: Callable[[], object]) -> object:
    app = InlineApp()

    @app.task
    async def outer() -> object:
        return run()

    return from_loop(lambda: app.run("outer").unwrap())


def from_sync_task(run: Callable[[], object]) -> object:
    app = InlineApp()

    @app.task
    def outer() -> object:
        return run()

    return from_loop(lambda: app.run("outer").unwrap())


def from_several_levels(run: Callable[[], object]) -> object:
    return from_async_task(lambda: from_levels(4, run))


def from_levels(levels: int, run: Callable[[], object]) -> object:
    """Tasks of both colours, each in the one before."""
    app = InlineApp()

    @app.task
    async def async_(levels: int) -> object:
        if levels == 0:
            return run()
        await asyncio.sleep(0)
        return app.run("sync", levels - 1).unwrap()

    @app.task
    def sync(levels: int) -> object:
        return run() if levels == 0 else app.run("async_", levels - 1).unwrap()

    return app.run("async_", levels).unwrap()


PLACES = [
    from_script,
    from_thread,
    from_loop,
    from_loop_after_a_wait,
    from_callback,
    from_async_task,
    from_sync_task,
    from_several_levels,
]


async def returns_at_once() -> str:
    return "ok"


async def waits_and_returns() -> str:
    await asyncio.sleep(0.001)
    return "ok"


async def enters_timeout_first() -> str:
    async with asyncio.timeout(10):
        await asyncio.sleep(0.001)
    try:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(10)
    except TimeoutError:
        return "ok"
    return "no timeout"


async def enters_task_group_first() -> str:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(waits_and_returns())
    return task.result()


async def enters_lock_first() -> str:
    lock = asyncio.Lock()
    async with lock:
        other = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        assert not other.done()
    await other
    return "ok"


async def keeps_its_task_and_loop() -> str:
    before = asyncio.current_task(), asyncio.get_running_loop()
    await asyncio.sleep(0.001)
    assert before == (asyncio.current_task(), asyncio.get_running_loop())
    assert before[0] is not None
    return "ok"


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="default")


async def keeps_its_context() -> str:
    assert VARIABLE.get() == "default"
    VARIABLE.set("mine")
    await asyncio.sleep(0.001)
    assert VARIABLE.get() == "mine"
    return "ok"


@asynccontextmanager
async def _context() -> AsyncIterator[str]:
    await asyncio.sleep(0)
    yield "ok"
    await asyncio.sleep(0)


async def uses_async_generators() -> str:
    async with _context() as value:
        await asyncio.sleep(0)
    return value


COROUTINES = [
    returns_at_once,
    waits_and_returns,
    enters_timeout_first,
    enters_task_group_first,
    enters_lock_first,
    keeps_its_task_and_loop,
    keeps_its_context,
    uses_async_generators,
]


@pytest.mark.parametrize("place", PLACES)
class TestFromAnywhere:
    @pytest.mark.parametrize("coroutine", COROUTINES)
    def test_the_result_comes_back(
        self, place: Callable[[Callable[[], object]], object], coroutine: Callable[[], Coroutine[Any, Any, str]]
    ) -> None:
        assert place(lambda: run_blocking(coroutine())) == "ok"
        assert VARIABLE.get() == "default"

    @pytest.mark.parametrize("first_waits", [True, False])
    def test_an_exception_comes_back(
        self, place: Callable[[Callable[[], object]], object], first_waits: bool
    ) -> None:
        async def fails() -> None:
            if first_waits:
                await asyncio.sleep(0.001)
            raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            place(lambda: run_blocking(fails()))

    @pytest.mark.parametrize("is_async", [True, False])
    def test_app_run(self, place: Callable[[Callable[[], object]], object], app: InlineApp, is_async: bool) -> None:
        async def async_(state: AsyncSignup) -> str:
            await asyncio.sleep(0.001)
            await state.set("n", 1)
            return "ok"

        def sync(state: Signup) -> str:
            state.set("n", 1)
            return "ok"

        app.task(name="task")(async_ if is_async else sync)
        assert place(lambda: app.run("task").unwrap()) == "ok"
        assert app.state(Signup).get_all() == {"n": 1}


def test_the_current_task_comes_back() -> None:
    async def main() -> None:
        before = asyncio.current_task()
        run_blocking(returns_at_once())
        assert asyncio.current_task() is before
        run_blocking(waits_and_returns())
        assert asyncio.current_task() is before

    asyncio.run(leaving_nothing(main()))


def test_other_tasks_of_the_loop_go_on_meanwhile() -> None:
    async def main() -> None:
        event = asyncio.Event()

        async def sets() -> None:
            await asyncio.sleep(0)
            event.set()

        other = asyncio.create_task(sets())

        async def waits() -> str:
            await event.wait()
            return "ok"

        assert run_blocking(waits()) == "ok"
        await other

    asyncio.run(leaving_nothing(main()))


def test_a_loop_with_a_task_factory() -> None:
    """An eager factory (Python 3.12) must not take the first step."""

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        if hasattr(asyncio, "eager_task_factory"):
            options["eager_start"] = True
        return asyncio.Task(coroutine, loop=loop, **options)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        assert run_blocking(enters_task_group_first()) == "ok"

    asyncio.run(leaving_nothing(main()))


def test_the_loop_that_was_set_for_the_thread_stays() -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        assert run_blocking(waits_and_returns()) == "ok"
        assert asyncio.get_event_loop_policy().get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_cancelled_in_a_nested_run_before_its_task_has_begun() -> None:
    """The coroutine is at its first wait when its asyncio task, which has not taken a step, is cancelled."""
    ended: list[str] = []
    outer_task: list[asyncio.Task[Any]] = []

    async def inner() -> None:
        outer_task[0].cancel()
        await asyncio.sleep(0)

    async def outer() -> None:
        outer_task.extend(filter(None, [asyncio.current_task()]))
        try:
            run_blocking(inner())
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append("cleaned up")

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            run_blocking(outer())

    asyncio.run(leaving_nothing(main()))
    assert ended == ["cleaned up"]


def test_many_nested_runs_from_concurrent_tasks(app: InlineApp) -> None:
    @app.task
    async def inner(state: AsyncSignup, n: int) -> int:
        await asyncio.sleep(0.001)
        await state.set(f"n{n}", n)
        return n

    @app.task
    async def outer(n: int) -> int:
        await asyncio.sleep(0)
        return int(app.run("inner", n).unwrap())

    async def main() -> list[int]:
        outers = [app.tasks["outer"](n) for n in range(10)]
        return list(await asyncio.gather(*outers))

    assert asyncio.run(leaving_nothing(main())) == list(range(10))
    assert len(app.state(Signup).get_all()) == 10


def test_calls_from_many_threads_at_once(app: InlineApp) -> None:
    @app.task
    async def step(state: AsyncSignup, n: int) -> int:
        await asyncio.sleep(0)
        await state.set(f"n{n}", n)
        return n

    results: list[int] = []

    def work(n: int) -> None:
        results.append(app.run("step", n).unwrap())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == list(range(16))
    assert sorted(call.number for call in app.calls) == list(range(1, 17))


INTERRUPT = """
import nest_asyncio2  # an interrupt in the middle of an import leaves files open
began = threading.Event()
main_thread = threading.main_thread().ident

def interrupt():
    began.wait(30)
    # A signal that comes just before the loop waits doesn't wake it; only one that comes while it does.
    seen = 0
    while {waits} and seen < 10:
        seen = seen + 1 if sys._current_frames()[main_thread].f_code.co_name == "select" else 0
        time.sleep(0.002)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
ended = []

@app.task(retry=3)
async def async_(state: AsyncSignup):
    try:
        await state.set("committed", True)
        began.set()
        await asyncio.sleep(60)
        await state.set("late", True)
    finally:
        await asyncio.sleep(0.01)
        ended.append("ended")

@app.task(retry=3)
async def async_busy(state: AsyncSignup):
    try:
        await state.set("committed", True)
        began.set()
        while True:
            await state.get("committed")
    finally:
        ended.append("ended")

@app.task(retry=3)
def sync(state: Signup):
    try:
        state.set("committed", True)
        began.set()
        while True:
            state.get("committed")
    finally:
        ended.append("ended")

@app.task
async def outer(task: str):
    app.run(task)
    ended.append("not reached")

def run(*args):
    try:
        app.run(*args)
    except KeyboardInterrupt:
        print("KeyboardInterrupt", ended, [call.status for call in app.calls], app.state(Signup).get_all())

async def inside_a_loop(*args):
    run(*args)
    await asyncio.sleep(0)
    others = asyncio.all_tasks() - {{asyncio.current_task()}}
    print("left:", others or "nothing")
"""

SEEN = "KeyboardInterrupt ['ended'] {} {{'committed': True}}\n"


class TestInterrupt:
    """The task is cancelled, and has ended when KeyboardInterrupt is raised."""

    @pytest.mark.parametrize("task", ["async_", "sync"])
    def test_in_a_script(self, task: str) -> None:
        seen = run_script(INTERRUPT.format(waits=True) + f"run({task!r})\n")
        assert seen == SEEN.format(["cancel"])

    @pytest.mark.parametrize("task", ["async_", "sync", "async_busy"])
    def test_in_a_running_loop(self, task: str) -> None:
        seen = run_script(INTERRUPT.format(waits=task != "async_busy") + f"asyncio.run(inside_a_loop({task!r}))\n")
        assert seen == SEEN.format(["cancel"]) + "left: nothing\n"

    @pytest.mark.parametrize("task", ["async_", "sync"])
    def test_in_a_run_in_a_task(self, task: str) -> None:
        seen = run_script(INTERRUPT.format(waits=True) + f"asyncio.run(inside_a_loop('outer', {task!r}))\n")
        assert seen == SEEN.format(["cancel", "cancel"]) + "left: nothing\n"

    @pytest.mark.parametrize("task", ["async_", "sync"])
    def test_in_a_callback(self, task: str) -> None:
        code = f"""
            async def main():
                ran = asyncio.Event()
                asyncio.get_running_loop().call_soon(lambda: (run({task!r}), ran.set()))
                await ran.wait()

            asyncio.run(main())
        """
        seen = run_script(INTERRUPT.format(waits=True) + _dedented(code))
        assert seen == SEEN.format(["cancel"])

    def test_a_later_run_works(self) -> None:
        code = """
            @app.task
            async def fine():
                await asyncio.sleep(0.001)
                return "fine"

            async def main():
                run("async_")
                print(app.run("fine").unwrap())

            asyncio.run(main())
            print(app.run("fine").unwrap())
        """
        seen = run_script(INTERRUPT.format(waits=True) + _dedented(code))
        assert seen == SEEN.format(["cancel"]) + "fine\nfine\n"


@pytest.mark.parametrize("began", [True, False])
@pytest.mark.parametrize("place", [from_script, from_loop])
def test_interrupted_while_a_sync_tasks_thread_starts(
    app: InlineApp, monkeypatch: pytest.MonkeyPatch, place: Callable[[Callable[[], object]], object], began: bool
) -> None:
    """Whether the thread has begun by then or not, nothing runs on."""
    ran, go_on = [], threading.Event()

    @app.task
    def step() -> None:
        ran.append("began")
        go_on.set()
        while True:
            pass

    def interrupted(*args: Any, **kwargs: Any) -> None:
        if began:
            in_thread(*args, **kwargs)
            assert go_on.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "in_thread", interrupted)
    with pytest.raises(KeyboardInterrupt):
        place(lambda: app.run("step"))
    assert [call.status for call in app.calls] == ["cancel"]
    assert ran == (["began"] if began else [])
