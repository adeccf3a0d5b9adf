"""How a call runs: an async task on the loop that awaits it, a sync one in a thread of its own.

The function's result is awaited or iterated where it has to be; whatever happens becomes the call's
`TaskResult`. Only what is not about the task is raised: an interrupt, or the cancellation of the code around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from typing import Any

from qstate_nb.app.call import Call
from qstate_nb.app.nesting import run_blocking
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
    ended = asyncio.wrap_future(in_thread(lambda: _perform_sync(call), name=f"qstate {call}"))
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        call.stop(TaskCancelledError(f"{call}: cancelled"))
        await asyncio.wait([ended])
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
    if inspect.isasyncgen(result):
        async with contextlib.aclosing(result):
            return [await _handled(call, item) async for item in result]
    return await result if inspect.isawaitable(result) else result


async def _handled(call: Call, item: Any) -> Any:
    handler = call.task.options.generate_handler
    result = item if handler is None else handler(item)
    return await result if inspect.isawaitable(result) else result


def _result_of_sync(call: Call) -> Any:
    result = call.invoke()
    if inspect.isgenerator(result):
        with contextlib.closing(result):
            return [run_blocking(_handled(call, item)) for item in result]
    return run_blocking(result) if inspect.iscoroutine(result) else result


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
        self._sent = False

    def request(self) -> None:
        """Cancel it; from any thread."""
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if not self._call.done and not self._sent:
            self._sent = True
            self._task.cancel()

    async def settle(self, error: BaseException | None) -> bool:
        """Take back what was sent; tell whether somebody else has cancelled the asyncio task as well."""
        if not self._sent:
            return isinstance(error, asyncio.CancelledError)
        if not isinstance(error, asyncio.CancelledError):  # it may not have arrived yet
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        return self._task.uncancel() > self._before
