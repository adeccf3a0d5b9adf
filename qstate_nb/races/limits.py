"""When an exploration ends early, and the thread that it runs in."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from qstate_nb.core.formats import short
from qstate_nb.core.history import is_whole
from qstate_nb.errors import ArgumentError, OutOfScopeError
from qstate_nb.races.sandbox import running_task
from qstate_nb.races.world import Cut, Limit

T = TypeVar("T")

_SERIOUS = 1.0
"""Seconds after the limit after which a task that makes no op is cut off."""

_HOPELESS = 4.0
"""Seconds after the limit after which one that can't be cut off is left alone."""


@dataclass(frozen=True)
class Limits:
    """When an exploration ends early.

    Args:
        preemptions: how many a schedule may have; None for any number.
        max_states: positions: what is in State and where each task stands.
        max_ops: of one task.
        max_seconds: of the whole.

    Raises:
        ArgumentError: one is no such number.
    """

    preemptions: int | None = None
    max_states: int = 500_000
    max_ops: int = 200
    max_seconds: float = 10

    def __post_init__(self) -> None:
        for name, least in (("preemptions", 0), ("max_states", 1), ("max_ops", 1), ("max_seconds", 0)):
            value = getattr(self, name)
            is_seconds = name == "max_seconds" and isinstance(value, float) and value >= least
            if not (is_whole(value, least) or is_seconds or (value is None and name == "preemptions")):
                raise ArgumentError(f"{name} must be a number, at least {least}, not {short(value)}")


class Budget:
    """Counts what an exploration may still do.

    Attributes:
        states: positions that were gone through.
        reason: why it ended early; empty if it didn't.
        is_interrupted: whether the user has asked for that.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.states = 0
        self.reason = ""
        self.is_interrupted = False
        self._most = limits.max_states
        self._began = time.monotonic()
        self._part = 1.0

    def check(self, states: int = 0, known: int = 0) -> None:
        """Go on, if it may.

        Args:
            states: positions that are gone through now.
            known: others that are kept.

        Raises:
            Limit: it may not; `reason` says why.
        """
        self.states += states
        if self.is_interrupted:
            self.reason = "it was interrupted"
        elif self.late > (self._part - 1) * self.limits.max_seconds:
            self.reason = self.reason or f"max_seconds={self.limits.max_seconds:g} is too little"
        elif self.states + known > self._most:
            self.reason = f"there are more than max_states={self.limits.max_states:,} positions"
        else:
            return
        raise Limit({})

    @property
    def late(self) -> float:
        """Seconds since the time was over."""
        return time.monotonic() - self._began - self.limits.max_seconds

    def extend(self, most: int | None = None, *, part: float = 1.0) -> None:
        """Begin another way to search.

        Args:
            most: positions, by default as many as the limit is.
            part: of all the time, after which it ends.
        """
        self.states = 0
        self._part = part
        self._most = self.limits.max_states if most is None else min(most, self.limits.max_states)


def run_apart(function: Callable[[], T], budget: Budget) -> T:
    """Run *function* in a thread of its own, where no event loop runs.

    An interrupt ends what it searches, and so does the end of the time; a task that goes on is cut off.

    Raises:
        OutOfScopeError: a task can't be cut off.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=run, name="qstate races", daemon=True)
    thread.start()
    while not done.is_set():
        try:
            _wait(thread, done, budget)
        except KeyboardInterrupt:
            budget.is_interrupted = True
    if errors:
        raise errors[0]
    return results[0]


def _wait(thread: threading.Thread, done: threading.Event, budget: Budget) -> None:
    if done.wait(0.25) or budget.late < _SERIOUS:
        return
    task = running_task(thread.ident)
    if task is not None and budget.late > _HOPELESS:
        raise OutOfScopeError(
            f"task {task!r} makes no op and can't be stopped: it waits in C code, such as time.sleep or a lock, or "
            "catches every exception; it still runs in a thread of its own"
        )
    if task is not None:
        budget.reason = f"task {task!r} makes no op, and does not end"
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Cut))
