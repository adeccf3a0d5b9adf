"""How a call runs: an async task on the loop that awaits it, a sync one in a thread of its own.

The function's result is awaited or iterated where it has to be; whatever happens becomes the call's
`TaskResult`. Only what is not about the task is raised: an interrupt, or the cancellation of the code around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from concurrent.futures import Future
from typing import Any

from qstate_nb.app.call import Call
from qstate_nb.app.nesting import cancel, run_blocking
from qstate_nb.app.result import TaskResult
from qstate_nb.app.threads import Stoppable, in_thread
from qstate_nb.errors import TaskCancelledError


async def perform(call: Call, *, timeout: float | None = None) -> TaskResult:
    """Run a call, and its retries, to the end, without blocking the loop.

    Args:
        timeout: seconds after which it is stopped, retries included.
    """
    with call.limited(timeout, "timeout"):
        if not call.task.is_async:
            return await _perform_in_thread(call)
        attempt: Call | None = call
        while attempt is not None:
            result = await _attempt(attempt)
            attempt = attempt.retried_as
        return result


def perform_in_background(call: Call) -> None:
    """Run a call, and its retries, in a thread of its own, whatever its colour."""
    if call.task.is_async:
        in_thread(lambda: run_blocking(perform(call)), name=f"qstate {call}")
    else:
        in_thread(lambda: _perform_sync(call), name=f"qstate {call}")


async def _perform_in_thread(call: Call) -> TaskResult:
    end: Future[TaskResult] = Future()
    try:
        in_thread(lambda: _perform_sync(call), name=f"qstate {call}", end=end)
        return await asyncio.shield(asyncio.wrap_future(end))
    except (asyncio.CancelledError, KeyboardInterrupt):  # an interrupt can come while the thread starts
        call.stop(TaskCancelledError(f"{call}: cancelled"))
        if end.cancel():
            call.finish(None, asyncio.CancelledError())
        else:
            await asyncio.wait([asyncio.wrap_future(end)])
        raise


def _perform_sync(call: Call) -> TaskResult:
    attempt: Call | None = call
    while attempt is not None:
        result = _attempt_sync(attempt)
        attempt = attempt.retried_as
    return result


async def _attempt(call: Call) -> TaskResult:
    stop = _Stop(call)
    value: Any = None
    error: BaseException | None = None
    with call.attempt(stop.request):
        try:
            value = await _result_of(call)
        except BaseException as caught:
            error = caught
    cancelled_from_outside = await stop.settle(error)
    result = call.finish(value, error)
    if cancelled_from_outside:
        raise asyncio.CancelledError
    _raise_if_fatal(error)
    return result


def _attempt_sync(call: Call) -> TaskResult:
    block = Stoppable()
    value: Any = None
    error: BaseException | None = None
    with call.attempt(block.stop):
        try:
            with block:  # innermost: a stop can't hit our own cleaning up
                value = _result_of_sync(call)
        except BaseException as caught:
            error = caught
    result = call.finish(value, error)
    _raise_if_fatal(error)
    return result


def _raise_if_fatal(error: BaseException | None) -> None:
    if isinstance(error, KeyboardInterrupt | GeneratorExit):
        raise error


async def _result_of(call: Call) -> Any:
    result = call.invoke()
    handler = call.task.options.generate_handler
    if inspect.isasyncgen(result):
        async with contextlib.aclosing(result):
            return [item if handler is None else await _awaited(handler(item)) async for item in result]
    return await _awaited(result)


async def _awaited(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def _result_of_sync(call: Call) -> Any:
    result = call.invoke()
    handler = call.task.options.generate_handler
    if inspect.isgenerator(result):
        with contextlib.closing(result):
            return [item if handler is None else _awaited_sync(handler(item)) for item in result]
    return _awaited_sync(result)


def _awaited_sync(result: Any) -> Any:
    return run_blocking(_awaited(result)) if inspect.iscoroutine(result) else result


class _Stop:
    """Cancels the asyncio task that a call runs in: only while it runs, and so that only the call ends.

    The call may be a mere `await` in a cell's own asyncio task, which must not be cancelled with it; this is what
    `asyncio.timeout` does.
    """

    def __init__(self, call: Call) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a task can only be awaited in an asyncio task")
        self._call = call
        self._task = task
        self._before = task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._sent_to: asyncio.Task[Any] | None = None

    def request(self) -> None:
        """Cancel it; from any thread."""
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._call.own_result is None and self._sent_to is None:
            self._sent_to = cancel(self._task)

    async def settle(self, error: BaseException | None) -> bool:
        """Take back what was sent; tell whether somebody else has cancelled the asyncio task as well."""
        was_cancelled = isinstance(error, asyncio.CancelledError)
        if self._sent_to is self._task:
            if not was_cancelled:  # it may not have arrived yet
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
            self._task.uncancel()
            was_cancelled = True
        if self._task.cancelling() <= self._before:
            return False
        if self._call.stopped_by is None:  # no retry, even if the task made an error of it
            self._call.stopped_by = TaskCancelledError(f"{self._call}: cancelled")
        return was_cancelled
