"""What a task with ``echo=True`` gets as its first parameter: its own handle, with a context.

@app.task(echo=True)
async def slow(self, state: Signup):
    for n in range(10):
        self.ctx.progress(n, 10)
        await self.ctx.sleep(1)
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from qstate_nb.app.threads import hold_stop
from qstate_nb.errors import ArgumentError, TaskCancelledError

if TYPE_CHECKING:
    from qstate_nb.app.call import Call
    from qstate_nb.app.task import Task

_LOGGER = "qstate_nb.tasks"
_logger_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a call says it is: *done* of *total*, in any unit."""

    done: float
    total: float
    message: str = ""


class TaskContext:
    """A running call, as its own task sees it; the task's colour decides which of the two subclasses it gets."""

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def task_name(self) -> str:
        """Name of the task."""
        return self._call.task.name

    @property
    def task_uuid(self) -> uuid.UUID:
        """Identity of the call."""
        return self._call.uuid

    def cancel(self, reason: str = "") -> NoReturn:
        """End the call with status ``cancel``.

        Raises:
            TaskCancelledError: always; let it pass.
        """
        raise TaskCancelledError(f"{self._call}: {reason or 'cancelled by the task itself'}")

    def progress(self, done: float, total: float, message: str = "") -> None:
        """Tell how far the call is, for displays.

        Args:
            done, total: in any unit; *total* is more than 0.
            message: what it is doing.

        Raises:
            ArgumentError: *done* or *total* is not such a number.
        """
        for name, value in (("done", done), ("total", total)):
            if not isinstance(value, int | float):
                raise ArgumentError(f"progress: {name} must be a number, not {value!r}")
        if not total > 0:
            raise ArgumentError(f"progress: total must be more than 0, not {total!r}")
        self._call.tell(Progress(done, total, str(message)))

    def get_logger(self, name: str | None = None) -> logging.Logger:
        """A logger for the task; unless logging is configured otherwise, its lines become part of the output.

        Args:
            name: by default the task's.
        """
        with hold_stop(), _logger_lock:
            parent = logging.getLogger(_LOGGER)
            if not parent.hasHandlers():
                parent.addHandler(_ToOutput())
                parent.setLevel(logging.INFO)
            return parent.getChild(name or self.task_name)


class AsyncTaskContext(TaskContext):
    """The context of an async task."""

    async def sleep(self, seconds: float) -> None:
        """Wait for *seconds*, or until the call is cancelled."""
        await asyncio.sleep(seconds)


class SyncTaskContext(TaskContext):
    """The context of a sync task."""

    def sleep(self, seconds: float) -> None:
        """Block the task's thread for *seconds*, or until the call is cancelled (``time.sleep`` goes on)."""
        with hold_stop():  # `Call.stop` sets the signal as well
            self._call.stop_signal.wait(seconds)


class _ToOutput(logging.StreamHandler[Any]):
    """Writes to whatever ``sys.stderr`` is when a line comes, so that it belongs to the call."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def handle(self, record: logging.LogRecord) -> bool:
        with hold_stop():
            return bool(super().handle(record))

    @property
    def stream(self) -> Any:
        return sys.stderr


class TaskHandle:
    """The task of a running call, from inside: everything that the task has, and `ctx`."""

    def __init__(self, call: Call) -> None:
        self._task: Task = call.task
        self.ctx: Any = AsyncTaskContext(call) if call.task.is_async else SyncTaskContext(call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def __repr__(self) -> str:
        return f"<TaskHandle {self._task.name}>"
