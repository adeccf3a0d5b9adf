"""Run a coroutine to its end from anywhere: a script, a thread, a running cell, a callback, a task.

Where no loop runs, a new one does it. Where one runs, the coroutine is stepped first: if it never waits, as
with State in memory, nothing else is needed. Only if it does wait is the loop made re-entrant with nest-asyncio2,
because that changes and slows asyncio for the whole process.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import signal
import threading
from collections.abc import Coroutine, Generator, Iterator, Sized
from typing import Any, TypeVar

from qstate_nb.app.threads import hold_stop
from qstate_nb.errors import MissingPackageError

T = TypeVar("T")


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run *coroutine* to its end and return its result or raise its exception.

    A KeyboardInterrupt cancels it, waits for its end, and is raised then; a second one doesn't wait.
    """
    loop = running_loop()
    if loop is None:
        # With a loop factory, the runner leaves the loop alone that was set for this thread.
        with hold_stop(), asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(_cancelled_by_stop(coroutine))
    with _interrupts_raised():
        return _run_inside(loop, coroutine)


def _run_inside(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    started = _Started(coroutine)
    task = started.step(loop)
    if task is None:
        return started.result()
    try:
        return _run_nested(loop, task)
    except BaseException:  # an interrupt, or the loop can't be made re-entrant
        if not task.done():
            task.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                _run_nested(loop, task)
        if task.done() and not task.cancelled():
            task.exception()  # is raised here already: asyncio must not warn that nobody has read it
        raise


@contextlib.contextmanager
def _interrupts_raised() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block; ``asyncio.run`` cancels its main task instead, which blocks in here."""
    handler = signal.getsignal(signal.SIGINT)
    owner = getattr(getattr(handler, "func", None), "__self__", None)
    if not isinstance(owner, asyncio.Runner) or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def cancel(task: asyncio.Task[Any]) -> asyncio.Task[Any]:
    """Cancel *task*, or what it blocks on in a nested run, since it can't hear of it before that has ended.

    Returns:
        The one that was cancelled.
    """
    inner = _blocks_on.get(task)
    if inner is not None and not inner.done():
        return cancel(inner)
    task.cancel()
    return task


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _cancelled_by_stop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await *coroutine*; if this thread runs a sync call, and that is stopped, it is cancelled."""
    task = asyncio.current_task()
    assert task is not None
    stop = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, cancel, task)
    with hold_stop(stop):
        return await coroutine


_blocks_on: dict[asyncio.Task[Any], asyncio.Task[Any]] = {}


def _run_nested(loop: asyncio.AbstractEventLoop, task: asyncio.Task[T]) -> T:
    _make_reentrant(loop)
    with _as_many_ready(loop), _blocking(asyncio.current_task(loop), task), _interrupted_between_steps(loop):
        return loop.run_until_complete(task)


_LOOP_MODULES = ("asyncio.", "nest_asyncio2", "selectors", "tornado.platform.asyncio", "qstate_nb.app.")


@contextlib.contextmanager
def _interrupted_between_steps(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let KeyboardInterrupt come in code that a task runs, or between two steps of the loop.

    In the loop's own code it can hit just after a callback was taken out of the queue: that is never run then, and
    a task that it belongs to never wakes up again.
    """
    old = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or old is not signal.default_int_handler:
        yield
        return

    def on_interrupt(number: int, frame: Any) -> None:
        if frame is None or frame.f_globals.get("__name__", "").startswith(_LOOP_MODULES):
            loop.call_soon_threadsafe(old, number, None)
        else:
            old(number, frame)

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)


@contextlib.contextmanager
def _blocking(outer: asyncio.Task[Any] | None, inner: asyncio.Task[Any]) -> Iterator[None]:
    if outer is None:  # a callback
        yield
        return
    _blocks_on[outer] = inner
    try:
        yield
    finally:
        del _blocks_on[outer]


@contextlib.contextmanager
def _as_many_ready(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Leave at least as many callbacks ready to run as there were.

    The turn of the loop in which nest-asyncio2 is applied is still asyncio's own: it has counted the callbacks that
    it is to run, and fails if the nested run has run some of them.
    """
    ready: Sized = getattr(loop, "_ready", ())
    count = len(ready)
    try:
        yield
    finally:
        for _ in range(count - len(ready)):
            loop.call_soon(int)  # does nothing


def _make_reentrant(loop: asyncio.AbstractEventLoop) -> None:
    try:
        import nest_asyncio2
    except ImportError:
        raise MissingPackageError(
            "to run a task that waits inside a running event loop, install nest-asyncio2"
        ) from None
    nest_asyncio2.apply(loop)


class _Started(Coroutine[Any, Any, T]):
    """A coroutine that is run up to its first wait at once, and then by an asyncio task.

    It must be that task's from the first step on: ``asyncio.timeout`` and ``TaskGroup`` remember the task that
    they were entered in. (Python 3.12 has eager tasks for this; 3.11 has not.)
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._waits_for: Any = None
        self._is_waiting = False
        self._ended = False
        self._value: T
        self._error: BaseException | None = None

    def step(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[T] | None:
        """Run up to the first wait; return the task that does the rest, or None if there is none."""
        context = contextvars.copy_context()
        task = asyncio.Task(self, loop=loop, context=context)  # no task factory: it could step it right away
        outer = asyncio.current_task(loop)
        if outer is not None:
            asyncio.tasks._leave_task(loop, outer)
        asyncio.tasks._enter_task(loop, task)
        try:
            context.run(self._first_step)
        finally:
            asyncio.tasks._leave_task(loop, task)
            if outer is not None:
                asyncio.tasks._enter_task(loop, outer)
        if not self._ended:
            return task
        task.cancel()
        return None

    def _first_step(self) -> None:
        try:
            self._waits_for = self._coroutine.send(None)
            self._is_waiting = True
        except StopIteration as stop:
            self._value = stop.value
            self._ended = True
        except BaseException as error:
            self._error = error
            self._ended = True

    def result(self) -> T:
        """What the coroutine returned; or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._value

    def send(self, value: Any) -> Any:
        """Go on; the task's first step only gets what the coroutine waits for already."""
        if self._is_waiting:
            self._is_waiting = False
            return self._waits_for
        return self._coroutine.send(value)

    def throw(self, error: Any, *more: Any) -> Any:
        """Raise in the coroutine; also before the task's first step, as a cancellation can come that early."""
        if self._ended:
            raise error
        self._is_waiting = False
        return self._coroutine.throw(error, *more)

    def close(self) -> None:
        """End the coroutine."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, None, T]:
        raise NotImplementedError("only an asyncio task runs this")
