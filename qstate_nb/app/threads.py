"""Run sync code in a thread of its own, and stop it from outside.

Python can't end a thread, but it can raise an exception in one (``PyThreadState_SetAsyncExc``): it arrives at the
thread's next bytecode, so a call that waits in C code, such as a long ``time.sleep``, ends only after that.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_thread(function: Callable[[], T], *, name: str) -> Future[T]:
    """Run *function* in a new daemon thread, in a copy of this context.

    A thread a call, not a pool: in a pool, calls that wait for other calls can use up all threads.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # who waits for it can't cancel it
    context = contextvars.copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(function))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


class Stoppable:
    """A block of code in one thread that other threads can stop, once.

        with stoppable:
            ...  # asyncio.CancelledError is raised in here after stoppable.stop()

    After the block no stop can arrive any more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._stopped = False

    def __enter__(self) -> None:
        with self._lock:
            if self._stopped:
                raise asyncio.CancelledError
            self._thread = threading.get_ident()

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:  # a stop that was sent before arrives in here at the latest
            self._thread = None

    def stop(self) -> None:
        """Raise `asyncio.CancelledError` in the block: now, or when it is entered; not after it."""
        with self._lock:
            if self._thread is not None and not self._stopped:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread), ctypes.py_object(asyncio.CancelledError)
                )
            self._stopped = True
