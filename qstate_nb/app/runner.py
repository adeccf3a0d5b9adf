"""How a call runs: an async task on the loop that awaits it, a sync one in a thread of its own.

The function's result is awaited or iterated where it has to be; whatever happens becomes the call's
`TaskResult`. Only what is not about the task is raised: an interrupt, or the cancellation of the code around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import msgspec

from qstate_nb.app.call import Call
from qstate_nb.app.nesting import cancel, run_blocking
from qstate_nb.app.output import capture, release
from qstate_nb.app.result import TaskResult
from qstate_nb.app.threads import Stoppable, in_thread
from qstate_nb.core.frames import Frame, current_frame
from qstate_nb.errors import TaskCancelledError, TaskTimeoutError, TransactionError

if TYPE_CHECKING:
    from qstate_nb.app.task import Task


def perform(call: Call, *, timeout: float | None = None) -> Coroutine[Any, Any, TaskResult]:
    """Run a call, and its retries, to the end, without blocking the loop.

    Args:
        timeout: seconds after which it is stopped, retries included.
    """
    return call.task.perform(call) if timeout is None else _perform_limited(call, timeout)


def performer(task: Task) -> Callable[[Call], Coroutine[Any, Any, TaskResult]]:
    """What runs the calls of a task, with their retries."""
    if not task.is_async:
        return _perform_in_thread
    needs_more = task.options.retry or task.options.max_time is not None
    return _perform_attempts if needs_more else _attempt


async def _perform_limited(call: Call, timeout: float) -> TaskResult:
    with _limited(call, timeout, "timeout"):
        return await call.task.perform(call)


async def _perform_attempts(call: Call) -> TaskResult:
    attempt: Call | None = call
    while attempt is not None:
        with _limited(attempt, call.task.options.max_time, "max_time"):
            result = await _attempt(attempt)
        attempt = attempt.retried_as
    return result


@contextlib.contextmanager
def _limited(call: Call, seconds: float | None, name: str) -> Iterator[None]:
    """Stop the call if the block takes longer than *seconds*."""
    if seconds is None or seconds > threading.TIMEOUT_MAX:
        yield
        return
    error = TaskTimeoutError(f"{call} was stopped: it took longer than {name}={seconds:g} s")
    timer = threading.Timer(seconds, call.stop, (error,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def perform_in_background(call: Call) -> None:
    """Run a call, and its retries, in a thread of its own, whatever its colour."""
    if call.task.is_async:
        in_thread(lambda: run_blocking(perform(call)), name=f"qstate {call}")
    else:
        in_thread(lambda: perform_sync(call), name=f"qstate {call}")


async def _perform_in_thread(call: Call) -> TaskResult:
    end: Future[TaskResult] = Future()
    try:
        in_thread(lambda: perform_sync(call), name=f"qstate {call}", end=end)
        return await asyncio.shield(asyncio.wrap_future(end))
    except (asyncio.CancelledError, KeyboardInterrupt):  # an interrupt can come while the thread starts
        call.stop(TaskCancelledError(f"{call}: cancelled"))
        if end.cancel():
            call.finish(None, asyncio.CancelledError())
        else:
            await asyncio.wait([asyncio.wrap_future(end)])
        raise


def perform_sync(call: Call) -> TaskResult:
    """Run a call of a sync task, and its retries, in this thread."""
    attempt: Call | None = call
    while attempt is not None:
        with _limited(attempt, call.task.options.max_time, "max_time"):
            result = _attempt_sync(attempt)
        attempt = attempt.retried_as
    return result


async def _attempt(call: Call) -> TaskResult:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a task can only be awaited in an asyncio task")
    running = _Running(call, task, task.cancelling())
    frame = current_frame.get()
    cancelled = False
    value: Any = None
    error: BaseException | None = None
    try:
        try:
            call.begin(running)
            capture(call)
            value = call.invoke()
            value = await (value if type(value) is CoroutineType else _result_of(call, value))
        finally:
            release(call)
    except BaseException as caught:
        value, error = None, caught
        release(call)  # an interrupt may have cut the first one short
    if current_frame.get() is not frame:
        error = _left_open(call, frame, error)
    if task.cancelling() > running.before:
        cancelled = await running.settle(error)
    result = call.finish(value, error)
    if cancelled:
        raise asyncio.CancelledError
    if error is not None:
        _raise_if_fatal(error)
    return result


def _attempt_sync(call: Call) -> TaskResult:
    block = Stoppable()
    frame = current_frame.get()
    value: Any = None
    error: BaseException | None = None
    try:
        call.begin(block)
        capture(call)
        with block:  # innermost: a stop can't hit our own cleaning up
            value = _result_of_sync(call)
    except BaseException as caught:
        error = caught
    finally:
        release(call)
    if current_frame.get() is not frame:
        error = _left_open(call, frame, error)
    result = call.finish(value, error)
    if error is not None:
        _raise_if_fatal(error)
    return result


def _left_open(call: Call, around: Frame | None, error: BaseException | None) -> BaseException | None:
    """Roll back the transactions that a call has opened and not ended, up to the one around the call.

    Returns:
        The call's error, with a note of that, or, if it has none, one that says so.
    """
    inside = current_frame.get()
    current_frame.set(around)
    frames = [] if inside is None else list(itertools.takewhile(lambda frame: frame is not around, inside.chain()))
    left = [frame for frame in frames if frame.status == "open"]
    if not left:
        return error
    held = ", ".join(dict.fromkeys(name for frame in left for name in frame.held()))
    for frame in left:
        frame.abandon()
    report = f"{call} ended inside a transaction on {held}; what it changed there was undone"
    if error is None:
        return TransactionError(report)
    error.add_note(report)
    return error


def _raise_if_fatal(error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt | GeneratorExit):
        raise error


async def _result_of(call: Call, result: Any) -> Any:
    if not inspect.isasyncgen(result):
        return await _awaited(result)
    handler = call.task.options.generate_handler
    values: list[Any] = []
    async with contextlib.aclosing(result):
        call.tell_count(0)
        async for item in result:
            call.tell_count(len(values) + 1)
            values.append(item if handler is None else await _awaited(handler(item)))
    return values


async def _awaited(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def _result_of_sync(call: Call) -> Any:
    result = call.invoke()
    if not inspect.isgenerator(result):
        return _awaited_sync(result)
    handler = call.task.options.generate_handler
    values: list[Any] = []
    with contextlib.closing(result):
        call.tell_count(0)
        for item in result:
            call.tell_count(len(values) + 1)
            values.append(item if handler is None else _awaited_sync(handler(item)))
    return values


def _awaited_sync(result: Any) -> Any:
    return run_blocking(_awaited(result)) if inspect.iscoroutine(result) else result


class _Running(msgspec.Struct, eq=False):
    """Cancels the asyncio task that a call runs in: only while it runs, and so that only the call ends.

    The call may be a mere `await` in a cell's own asyncio task, which must not be cancelled with it; this is what
    `asyncio.timeout` does.
    """

    call: Call
    task: asyncio.Task[Any]
    before: int
    sent_to: asyncio.Task[Any] | None = None

    def stop(self) -> None:
        """Cancel it; from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended
            self.task.get_loop().call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self.call.outer is not None and self.sent_to is None:  # the task's function runs, and has not heard of it
            self.sent_to = cancel(self.task)

    async def settle(self, error: BaseException | None) -> bool:
        """Take back what was sent; tell whether somebody else has cancelled the asyncio task as well."""
        was_cancelled = isinstance(error, asyncio.CancelledError)
        if self.sent_to is self.task:
            if not was_cancelled:  # it may not have arrived yet
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
            self.task.uncancel()
            was_cancelled = True
        if self.task.cancelling() <= self.before:
            return False
        if self.call.stopped_by is None:  # no retry, even if the task made an error of it
            self.call.stopped_by = TaskCancelledError(f"{self.call}: cancelled")
        return was_cancelled
