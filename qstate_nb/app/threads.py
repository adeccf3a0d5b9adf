"""Run sync code in a thread of its own, and stop it from outside.

A stopped call ends at its next op on State. Where it makes none, an exception is raised in its thread from outside
(``PyThreadState_SetAsyncExc``): it arrives at the next bytecode, so a call that waits in C code, such as a long
``time.sleep``, ends only after that; and it is held back where an exception out of nowhere would do harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import functools
import gc
import inspect
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import TypeVar

from qstate_nb.core.stopping import StopPoint, stop_point, stops

T = TypeVar("T")


def in_thread(function: Callable[[], T], *, name: str, end: Future[T] | None = None) -> Future[T]:
    """Run *function* in a new daemon thread, in a copy of this context.

    A thread a call, not a pool: in a pool, calls that wait for other calls can use up all threads.

    Args:
        end: gets the result; by default a new one. If it is cancelled before the thread begins, nothing runs.
    """
    future: Future[T] = Future() if end is None else end
    context = contextvars.copy_context()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(context.run(function))
        except BaseException as error:
            future.set_exception(error)

    with hold_stop():
        threading.Thread(target=run, name=name, daemon=True).start()
    return future


# An exception that is raised in here is lost (in the callback of a weak reference), keeps a lock locked for ever
# (in ``threading.Condition.__enter__``), or leaves half of something: where a thread is in one of these, it isn't
# stopped. In the second list, what these call counts as well, such as the subscribers of an event.
_UNSAFE_INNERMOST = frozenset(
    {"_weakrefset", "weakref", "threading", "logging", "contextlib", "qstate_nb.app.threads"}
)
_UNSAFE_ANYWHERE = frozenset(
    {f"qstate_nb.core.{name}" for name in ("buckets", "frames", "store", "subscribers", "transactions", "waiting")}
    | {"qstate_nb.app.output"}
)

# But these wait in C most of the time, and are written to be interrupted there; from 3.13 on ``join`` is, too.
_WAITS: dict[types.CodeType, str] = {
    threading.Condition.wait.__code__: "waiter.acquire(",
    threading.Thread.join.__code__: "self._handle.join(",
}


@functools.cache
def _waiting_lines(code: types.CodeType) -> frozenset[int]:
    """The lines at which one of `_WAITS` waits; where it has a ``try``, those in it."""
    try:
        lines, first = inspect.getsourcelines(code)
    except OSError:  # no source: it can't be stopped there
        return frozenset()
    begin = next((n for n, line in enumerate(lines) if line.strip().startswith("try:")), 0)
    return frozenset(first + n for n, line in enumerate(lines) if n >= begin and _WAITS[code] in line)


def _is_safe(frame: types.FrameType) -> bool:
    """Tell whether an exception may be raised in a thread that is in *frame*."""
    if frame.f_globals.get("__name__") in _UNSAFE_INNERMOST:
        waits = frame.f_code in _WAITS and frame.f_lineno in _waiting_lines(frame.f_code)
        if not waits:
            return False
    callbacks = {getattr(callback, "__code__", None) for callback in gc.callbacks}
    outer: types.FrameType | None = frame
    while outer is not None:
        drops = outer.f_code.co_name == "__del__" or outer.f_code in callbacks  # whatever is raised in these
        if drops or outer.f_globals.get("__name__") in _UNSAFE_ANYWHERE:
            return False
        outer = outer.f_back
    return True


# Python also drops what the callback of a weak reference raises, and a thread that is just about to enter a finaliser
# can't be told from here. A stop whose thread goes on for so many seconds, and is not cleaning up after it, was lost.
_LOST_AFTER = 1.0


def _handles_stop(thread: int) -> bool:
    """Tell whether a thread is in an ``except`` or ``finally`` block that a stop has brought it to."""
    active = sys._current_exceptions().get(thread)
    return isinstance(active[1] if isinstance(active, tuple) else active, asyncio.CancelledError)  # 3.11: a tuple


class Stoppable(StopPoint):
    """A block of code in one thread that other threads can stop.

        with stoppable:
            ...  # asyncio.CancelledError is raised in here after stoppable.stop()

    After the block no stop can arrive any more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._is_stopped = False
        self._is_sent = False
        self._holds: list[Callable[[], object]] = []

    def __enter__(self) -> None:
        with self._lock:
            if self._is_stopped:
                raise asyncio.CancelledError
            self._thread = threading.get_ident()
        _here.block = self
        self._token = stop_point.set(self)

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:  # a stop that was sent before arrives in here at the latest
            self._thread = None
            stops.discard(self)
        stop_point.reset(self._token)
        _here.block = None

    def stop(self) -> None:
        """Raise `asyncio.CancelledError` in the block: soon, or when it is entered or not held; not after it."""
        with self._lock:
            if self._is_stopped:
                return
            self._is_stopped = True
            if self._thread is not None:
                stops.add(self)
            for instead in self._holds:
                instead()
            self._send_if_safe()
        threading.Thread(target=self._see_it_through, name="qstate stop", daemon=True).start()

    def check(self) -> None:
        """Raise a stop that has not been sent yet; before an op that does no harm."""
        if not self._is_stopped:
            return
        with self._lock:
            if self._is_sent or self._holds or self._thread != threading.get_ident():
                return
            self._is_sent = True
        raise asyncio.CancelledError

    def _see_it_through(self) -> None:
        """Send the stop as soon as that is safe, and again if it was lost, until the block has ended."""
        delay, since = 0.0005, time.monotonic()
        while (thread := self._thread) is not None:
            with self._lock:
                if not self._is_sent or _handles_stop(thread):
                    since = time.monotonic()
                self._is_sent = self._is_sent and time.monotonic() - since < _LOST_AFTER
                self._send_if_safe()
            time.sleep(delay)  # the thread moves on meanwhile
            delay = min(delay * 1.2, 0.02)

    def _send_if_safe(self) -> None:
        if self._thread is None or self._is_sent or self._holds:
            return
        frame = sys._current_frames().get(self._thread)
        if frame is not None and _is_safe(frame):
            self._is_sent = True
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread), ctypes.py_object(asyncio.CancelledError)
            )

    def waiting(self, wake: Callable[[], object]) -> AbstractContextManager[None]:
        """As `holding`, in its own thread; a thread that only got its context is not stopped with it."""
        return self.holding(wake) if self._thread == threading.get_ident() else contextlib.nullcontext()

    @contextlib.contextmanager
    def holding(self, instead: Callable[[], object]) -> Iterator[None]:
        """As `hold_stop`, for the thread that is in this block."""
        with self._lock:
            self._holds.append(instead)
            if self._is_stopped and not self._is_sent:
                instead()
        try:
            yield
        finally:
            with self._lock:
                self._holds.pop()
                arrives = self._is_stopped and not self._is_sent and not self._holds
                self._is_sent = self._is_sent or arrives
            if arrives:
                raise asyncio.CancelledError


class _Here(threading.local):
    """What this thread is in."""

    block: Stoppable | None = None


_here = _Here()


def hold_stop(instead: Callable[[], object] = lambda: None) -> AbstractContextManager[None]:
    """Hold back a stop of this thread while code runs that must not be cut short; it is raised after that.

    Args:
        instead: is called at once, by the thread that stops this one, so that the code can end early.
    """
    block = _here.block
    return contextlib.nullcontext() if block is None else block.holding(instead)
