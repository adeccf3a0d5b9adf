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
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

from qstate_nb.errors import MissingPackageError

T = TypeVar("T")


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run *coroutine* to its end and return its result or raise its exception.

    A KeyboardInterrupt cancels it, waits for its end, and is raised then; a second one doesn't wait.
    """
    loop = running_loop()
    if loop is None:
        with asyncio.Runner() as runner:
            return runner.run(coroutine)
    started = _Started(coroutine)
    task = started.step(loop)
    if task is None:
        return started.result()
    _make_reentrant(loop)
    try:
        return loop.run_until_complete(task)
    except KeyboardInterrupt:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        raise


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _make_reentrant(loop: asyncio.AbstractEventLoop) -> None:
    try:
        import nest_asyncio2
    except ImportError:
        raise MissingPackageError(
            "to run a task that waits inside a running event loop, install nest-asyncio2"
        ) from None
    nest_asyncio2.apply(loop)


class _Started(Generic[T]):
    """A coroutine that is run up to its first wait at once, and then by an asyncio task.

    It must be that task's from the first step on: ``asyncio.timeout`` and ``TaskGroup`` remember the task that
    they were entered in. (Python 3.12 has eager tasks for this; 3.11 has not.)
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._waits_for: Any = None
        self._value: T
        self._error: BaseException | None = None

    def step(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[T] | None:
        """Run up to the first wait; return the task that does the rest, or None if there is none."""
        context = contextvars.copy_context()
        task = loop.create_task(self._rest(), context=context)
        outer = asyncio.current_task(loop)
        if outer is not None:
            asyncio.tasks._leave_task(loop, outer)
        asyncio.tasks._enter_task(loop, task)
        try:
            ended = context.run(self._first_step)
        finally:
            asyncio.tasks._leave_task(loop, task)
            if outer is not None:
                asyncio.tasks._enter_task(loop, outer)
        if not ended:
            return task
        task.cancel()
        return None

    def _first_step(self) -> bool:
        try:
            self._waits_for = self._coroutine.send(None)
        except StopIteration as stop:
            self._value = stop.value
            return True
        except BaseException as error:
            self._error = error
            return True
        return False

    def result(self) -> T:
        """What the coroutine returned; or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._value

    async def _rest(self) -> T:
        return await self

    def __await__(self) -> Generator[Any, None, T]:
        waits_for = self._waits_for
        while True:
            try:
                yield waits_for
            except BaseException as error:
                step = functools.partial(self._coroutine.throw, error)
            else:
                step = functools.partial(self._coroutine.send, None)
            try:
                waits_for = step()
            except StopIteration as stop:
                result: T = stop.value
                return result
