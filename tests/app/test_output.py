"""What a call prints belongs to it, from wherever it is printed; and everything else stays where it was."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import io
import itertools
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.leaks import leaving_nothing

from qstate_nb import AsyncState, InlineApp
from qstate_nb.app import call as call_module
from qstate_nb.app import output as output_module
from qstate_nb.app.output import MAX_CHARACTERS, Output, capture, release
from qstate_nb.core.journal import Actor, current_actor


def test_after_an_await_and_from_threads_that_have_the_context(app: InlineApp) -> None:
    @app.task
    async def step() -> None:
        print("before")
        await asyncio.sleep(0)
        print("after")
        await asyncio.to_thread(print, "in a thread")
        print("to stderr", file=sys.stderr)

    assert app.run("step").output == "before\nafter\nin a thread\nto stderr\n"


def test_of_a_sync_task_a_generator_and_its_handler(app: InlineApp) -> None:
    @app.task(generate_handler=lambda item: print("handler", item))
    def step() -> Iterator[int]:
        print("generator")
        yield 1

    assert app.run("step").output == "generator\nhandler 1\n"


@pytest.mark.parametrize("is_async", [True, False])
def test_of_concurrent_calls(app: InlineApp, is_async: bool) -> None:
    barrier = threading.Barrier(4)

    async def async_(name: str) -> None:
        for _ in range(50):
            print(name)
            await asyncio.sleep(0)

    def sync(name: str) -> None:
        barrier.wait(10)
        for _ in range(50):
            print(name)

    task = app.task(async_ if is_async else sync)

    async def main() -> None:
        await asyncio.gather(*map(task, "abcd"))

    asyncio.run(leaving_nothing(main()))
    assert [call.output for call in app.calls] == [f"{name}\n" * 50 for name in "abcd"]


def test_of_nested_calls(app: InlineApp, capsys: pytest.CaptureFixture[str]) -> None:
    """Each call has its own; it is shown once."""

    @app.task
    async def inner() -> None:
        print("inner")

    @app.task
    async def outer() -> None:
        print("before")
        await inner()
        app.run("inner")
        print("after")

    assert app.run("outer").output == "before\nafter\n"
    assert [call.output for call in app.calls[1:]] == ["inner\n"] * 2
    assert capsys.readouterr().out == "before\ninner\ninner\nafter\n"


def test_app_run_and_direct_calls_show_it(app: InlineApp, capsys: pytest.CaptureFixture[str]) -> None:
    @app.task
    def step() -> None:
        print("shown")
        print("error", file=sys.stderr)

    app.run("step")
    asyncio.run(step())
    step.add_task()
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("shown\n" * 3, "error\n" * 3)


def test_background_calls_show_nothing_nor_what_they_call(app: InlineApp, capsys: pytest.CaptureFixture[str]) -> None:
    @app.task
    async def inner() -> None:
        print("inner")

    @app.task
    async def outer() -> None:
        print("outer")
        await inner()
        app.run("inner")

    assert app.start("outer").wait(10).output == "outer\n"
    assert [call.output for call in app.calls] == ["outer\n", "inner\n", "inner\n"]
    assert capsys.readouterr().out == ""


def test_can_be_read_while_the_call_runs(app: InlineApp) -> None:
    printed, go_on = threading.Event(), threading.Event()

    @app.task
    def step() -> None:
        print("first")
        printed.set()
        go_on.wait(10)
        print("second")

    call = app.start("step")
    assert printed.wait(10)
    assert call.output == "first\n"
    go_on.set()
    assert call.wait(10).output == "first\nsecond\n"


def test_what_others_print_is_not_the_calls(app: InlineApp, capsys: pytest.CaptureFixture[str]) -> None:
    began, go_on = threading.Event(), threading.Event()

    @app.task
    def step() -> None:
        began.set()
        go_on.wait(10)

    call = app.start("step")
    assert began.wait(10)
    print("mine")
    go_on.set()
    assert call.wait(10).output == ""
    assert capsys.readouterr().out == "mine\n"


def test_is_bounded_and_says_so(app: InlineApp) -> None:
    @app.task
    def step() -> None:
        for n in range(60_000):
            print(f"{n:04}")
        sys.stdout.write("x" * (MAX_CHARACTERS - 4) + "end\n")

    call = app.start("step")
    output = call.wait(30).output
    note, _, rest = output.partition("\n")
    assert note == f"[… {10_000 * 5 + 50_000 * 6} characters before this were dropped]"
    assert rest == "x" * (MAX_CHARACTERS - 4) + "end\n"


def test_a_chunk_is_cut_where_the_bound_is() -> None:
    output = Output()
    output.write("a" * MAX_CHARACTERS)
    output.write("bc")
    assert output.text == "[… 2 characters before this were dropped]\n" + "a" * (MAX_CHARACTERS - 2) + "bc"


def test_is_that_of_a_failed_and_of_a_cancelled_call(app: InlineApp) -> None:
    @app.task(echo=True)
    async def step(self: Any, how: str) -> None:
        print(how)
        if how == "error":
            raise ValueError
        self.ctx.cancel()

    assert [app.run("step", how).output for how in ("error", "cancel")] == ["error\n", "cancel\n"]


class TestTheStreams:
    def test_are_back_when_the_last_call_ends(self, app: InlineApp) -> None:
        before = sys.stdout, sys.stderr
        inside = []

        @app.task
        def step() -> None:
            inside.append(sys.stdout)

        app.run("step")
        assert (sys.stdout, sys.stderr) == before
        assert inside[0] is not before[0]

    def test_redirected_around_a_call(self, app: InlineApp, capsys: pytest.CaptureFixture[str]) -> None:
        @app.task
        async def step() -> None:
            print("printed")

        before = sys.stdout
        with contextlib.redirect_stdout(io.StringIO()) as buffer:
            assert app.run("step").output == "printed\n"
            assert sys.stdout is buffer
        assert sys.stdout is before
        assert (buffer.getvalue(), capsys.readouterr().out) == ("printed\n", "")

    def test_redirected_inside_a_call(self, app: InlineApp) -> None:
        @app.task
        async def step() -> str:
            print("before")
            with contextlib.redirect_stdout(io.StringIO()) as buffer:
                print("redirected")
            print("after")
            return buffer.getvalue()

        before = sys.stdout
        result = app.run("step")
        assert (result.returning, result.output) == ("redirected\n", "before\nafter\n")
        assert sys.stdout is before

    def test_redirected_inside_a_call_that_calls(self, app: InlineApp) -> None:
        @app.task
        async def inner() -> None:
            print("inner")

        @app.task
        async def outer() -> str:
            with contextlib.redirect_stdout(io.StringIO()) as buffer:
                await inner()
            print("after")
            return buffer.getvalue()

        before = sys.stdout
        result = app.run("outer")
        assert (result.returning, result.output, app.calls[1].output) == ("inner\n", "after\n", "inner\n")
        assert sys.stdout is before

    def test_a_call_that_outlives_a_redirection(self, app: InlineApp) -> None:
        began, go_on = threading.Event(), threading.Event()

        @app.task
        def step() -> None:
            began.set()
            go_on.wait(10)

        before = sys.stdout
        with contextlib.redirect_stdout(io.StringIO()):
            call = app.start("step")
            assert began.wait(10)
        go_on.set()
        call.wait(10)
        app.run("step")
        assert sys.stdout is before

    def test_have_all_that_a_stream_has(self, app: InlineApp, capsys: pytest.CaptureFixture[str]) -> None:
        @app.task
        def step() -> str:
            print("a", end="", flush=True)
            sys.stdout.writelines(["b", "c"])
            assert sys.stdout.write("de") == 2
            assert sys.stdout.isatty() is False
            return sys.stdout.encoding

        result = app.run("step")
        assert (result.output, result.returning) == ("abcde", sys.stdout.encoding)
        assert capsys.readouterr().out == "abcde"


class FakeCall:
    """Prints into a list."""

    def __init__(self) -> None:
        self.actor = Actor("fake", 1)
        self.echo = True
        self.outer: Any = None
        self.texts: list[str] = []

    def write(self, text: str, /) -> None:
        self.texts.append(text)

    overhear = write


class FakeLock:
    """Somebody else does something just before it is taken."""

    def __init__(self, meanwhile: Callable[[], object], *, is_locked: bool) -> None:
        self._meanwhile = meanwhile
        self._is_locked = is_locked

    def locked(self) -> bool:
        return self._is_locked

    def __enter__(self) -> None:
        self._meanwhile()

    def __exit__(self, *exc_info: object) -> None:
        pass


class TestCallsThatBeginAndEndAtOnce:
    """The streams are put back by the call that ends last, and another may begin just then."""

    def test_one_begins_before_the_streams_are_put_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        first, second = FakeCall(), FakeCall()
        capture(first)
        with monkeypatch.context() as patch:
            patch.setattr(output_module, "_lock", FakeLock(lambda: capture(second), is_locked=False))
            release(first)
        print("second", end="")
        release(second)
        assert (first.texts, second.texts) == ([], ["second", ""])

    def test_one_begins_while_the_streams_are_put_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put_back = [sys.stdout]
        first, second = FakeCall(), FakeCall()

        def go_on() -> None:
            if put_back:
                sys.stdout = put_back.pop()

        capture(first)
        with monkeypatch.context() as patch:
            patch.setattr(output_module, "_lock", FakeLock(go_on, is_locked=True))
            capture(second)
        go_on()  # at the latest
        print("second", end="")
        release(second)
        release(first)
        assert second.texts == ["second", ""]


def test_two_first_prints_at_once(app: InlineApp, monkeypatch: pytest.MonkeyPatch) -> None:
    class SlowOutput(Output):
        def __init__(self) -> None:
            super().__init__()
            if not others:
                others.append(1)
                print("other ", end="")

    others: list[int] = []
    monkeypatch.setattr(call_module, "Output", SlowOutput)
    app.task(name="step")(lambda: print("one ", end=""))
    assert app.run("step").output == "other one "


def test_a_call_that_is_closed_from_elsewhere_leaves_that_alone(app: InlineApp) -> None:
    """As when the garbage collector finds it, in whatever runs just then."""

    @app.task
    async def waits() -> None:
        await asyncio.Event().wait()

    @app.task
    async def closes() -> None:
        waiting.close()
        print("mine")

    waiting = waits()

    async def main() -> None:
        contextvars.copy_context().run(waiting.send, None)
        assert (await closes.add_task()).output == "mine\n"

    asyncio.run(leaving_nothing(main()))
    assert [call.status for call in app.calls] == ["cancel", "success"]


class Shared(AsyncState):
    pass


class Interrupting:
    """Raises KeyboardInterrupt at one of the moments at which Python looks for signals in the code of the app.

    These are the begin of a function, and after a function that is written in C; *moment* counts them.
    """

    FOLDER = str(Path(output_module.__file__).parent)

    def __init__(self, moment: int) -> None:
        self.left = moment

    def __call__(self, frame: types.FrameType, event: str, argument: object) -> None:
        begins = event == "call" and not frame.f_code.co_flags & inspect.CO_COROUTINE  # it may go on after a wait
        if not (begins or event == "c_return") or not frame.f_code.co_filename.startswith(self.FOLDER):
            return
        self.left -= 1
        if self.left == 0:
            sys.setprofile(None)
            raise KeyboardInterrupt


def is_free(lock: Any) -> bool:
    """Whether another thread can take it."""
    taken: list[bool] = []
    thread = threading.Thread(target=lambda: taken.append(lock.acquire(blocking=False) and lock.release() is None))
    thread.start()
    thread.join()
    return taken == [True]


def test_an_interrupt_at_any_moment_leaves_all_as_it_was(app: InlineApp) -> None:
    @app.task
    async def step(state: Shared) -> None:
        print("x")
        await asyncio.sleep(0)

    async def interrupted(moment: int) -> bool:
        before = sys.stdout, sys.stderr, current_actor.get(), output_module._current.get()
        was_interrupted = False
        try:
            sys.setprofile(Interrupting(moment))
            await step()
        except KeyboardInterrupt:
            was_interrupted = True
        finally:
            sys.setprofile(None)
        assert (sys.stdout, sys.stderr, current_actor.get(), output_module._current.get()) == before
        assert is_free(output_module._lock)
        assert is_free(call_module._lock)
        assert (await step.add_task()).output == "x\n"
        return was_interrupted

    for moment in itertools.count(1):
        if not asyncio.run(leaving_nothing(interrupted(moment))):
            break
    assert moment > 20
