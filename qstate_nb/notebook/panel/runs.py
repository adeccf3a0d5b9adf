"""Runs of tasks that a user starts: once, some times, or several tasks at once. No widget is here."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qstate_nb.app import Call, InlineApp, Task
from qstate_nb.app.recording import as_given
from qstate_nb.core.formats import printable, short
from qstate_nb.errors import ArgumentError
from qstate_nb.notebook.panel.background import Background

MOST = 1_000


@dataclass(frozen=True, eq=False)
class Prepared:
    """A call that is to run together with others.

    Args:
        task: the task.
        values: parameter name → value.
        times: how many such calls.
    """

    task: Task
    values: Mapping[str, Any]
    times: int = 1

    def __str__(self) -> str:
        named = ", ".join(f"{printable(name, 40)}={short(value, 40)}" for name, value in self.values.items())
        return f"{printable(self.task.name)}({named}){f', {self.times:,} times' if self.times > 1 else ''}"


class Runs:
    """Starts calls in the background, from any thread.

    Args:
        app: whose tasks they are.
        loop: where async tasks run: the loop of the kernel's main thread. None runs them in threads.

    Attributes:
        prepared: the calls that are to run together, in the order in which they were added.
        waiting: how many calls of sequences are not made yet.
    """

    def __init__(self, app: InlineApp, loop: asyncio.AbstractEventLoop | None) -> None:
        self.app = app
        self._background = Background(loop)
        self._lock = threading.Lock()
        self._closed = False
        self.prepared: tuple[Prepared, ...] = ()
        self.waiting = 0

    def close(self) -> None:
        """Let what runs go on, but start no more calls of sequences."""
        self._closed = True

    def start(self, task: Task, values: Mapping[str, Any], times: int = 1, at_once: bool = False) -> list[Call]:
        """Start calls of a task, one after another or all at once.

        If a call is stopped, those after it are not started; an error in one is no reason for that.

        Args:
            values: parameter name → value; a parameter that is not there has its default.
            times: how many calls.

        Returns:
            Those that were made by now: one, or all.

        Raises:
            ArgumentError: a value is missing, or *times* can't be; nothing is started.
            NotFoundError: no parameter has such a name.
        """
        times = _checked(times)
        if at_once:
            return [self._begin(task, values) for _ in range(times)]
        first = self._begin(task, values)
        if times > 1:
            self._count(times - 1)
            rest = threading.Thread(
                target=self._go_on, args=(first, values, times - 1), name="qstate panel sequence", daemon=True
            )
            rest.start()  # not the loop, which a cell may keep busy, nor the call's own thread, which may be stopped
        return [first]

    def _go_on(self, call: Call, values: Mapping[str, Any], left: int) -> None:
        try:
            while left and call.wait().status != "cancel" and not self._closed:
                left -= 1
                self._count(-1)
                call = self._begin(call.task, values)
        finally:
            self._count(-left)
            self.app.tell(call)  # what is waiting has changed

    def _count(self, more: int) -> None:
        with self._lock:
            self.waiting += more

    def _begin(self, task: Task, values: Mapping[str, Any]) -> Call:
        args, kwargs = task.arguments({name: as_given(value) for name, value in values.items()})
        call = self.app.new_call(task, args, kwargs, echo=False)
        self.app.tell(call)  # it shows at once, and can be stopped, also while the loop is busy
        if task.is_async:
            self._background.call(self.app.begin, call)
        else:
            self.app.begin(call)
        return call

    def add(self, task: Task, values: Mapping[str, Any], times: int = 1) -> None:
        """Prepare calls, to run together with others.

        Raises:
            ArgumentError: a value is missing, or *times* can't be, or they are too many.
            NotFoundError: no parameter has such a name.
        """
        task.arguments(values)
        more = Prepared(task, dict(values), _checked(times))
        with self._lock:
            number = sum(each.times for each in (*self.prepared, more))
            if number > MOST:
                raise ArgumentError(f"at most {MOST:,} calls can run together, not {number:,}; remove some first")
            self.prepared += (more,)

    def remove(self, prepared: Prepared) -> None:
        """Prepare these calls no more; that they were removed already is no harm."""
        with self._lock:
            self.prepared = tuple(each for each in self.prepared if each is not prepared)

    def empty(self) -> None:
        """Prepare nothing any more."""
        with self._lock:
            self.prepared = ()

    def run_together(self) -> list[Call]:
        """Start all calls that are prepared, at once; they stay prepared, to be run again.

        A task that was defined anew meanwhile runs as it is now.

        Raises:
            ArgumentError: none is prepared, or a value is missing; nothing is started.
            NotFoundError: a parameter is no longer there; nothing is started.
        """
        together = [(self.app.tasks.get(each.task.name, each.task), each) for each in self.prepared]
        if not together:
            raise ArgumentError("nothing is prepared: add calls first")
        for task, each in together:
            task.arguments(each.values)
        return [self._begin(task, each.values) for task, each in together for _ in range(each.times)]


def _checked(times: int) -> int:
    if type(times) is not int or not 1 <= times <= MOST:
        raise ArgumentError(f"times must be 1 to {MOST:,}, not {short(times)}")
    return times
