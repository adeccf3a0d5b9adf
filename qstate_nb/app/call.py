"""`Call`: one execution of a task."""

from __future__ import annotations

import asyncio
import datetime
import threading
import uuid
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qstate_nb.app.context import Progress, TaskHandle
from qstate_nb.app.output import Output, capture
from qstate_nb.app.result import Status, TaskResult
from qstate_nb.app.threads import hold_stop
from qstate_nb.app.tracebacks import format_error
from qstate_nb.core.journal import Actor, current_actor
from qstate_nb.errors import TaskCancelledError, TaskError, TaskTimeoutError

if TYPE_CHECKING:
    from qstate_nb.app.task import Task


class Call:
    """One execution of a task.

    Await it (or `wait` for it from a thread) to get its `TaskResult`; that of the last attempt, if it is retried.

    Attributes:
        number: of the call in its app, from 1.
        own_status, own_result: as `status` and `result`, of this attempt alone.
        progress: the last `Progress` that the task told, or None.
        attempt_number: 1, or more for a retry.
        retried_as: the next attempt, or None.
        stopped_by: the error that `stop` was given, or None.
        stop_signal: is set when the call was asked to end.
    """

    def __init__(
        self,
        task: Task,
        number: int,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        echo: bool,
        retry_of: Call | None = None,
    ) -> None:
        self.task = task
        self.number = number
        self.args = args
        self.kwargs = kwargs
        self.uuid = uuid.uuid4()
        self.created_at = self.updated_at = _now()
        self.own_status: Status = "new"
        self.own_result: TaskResult | None = None
        self.progress: Progress | None = None
        self.retried_as: Call | None = None
        self.stopped_by: TaskError | None = None
        self.stop_signal = threading.Event()
        self._output = Output(echo=echo, on_write=self._changed)
        self._stopper: Callable[[], object] | None = None
        self._lock = threading.Lock()
        self.attempt_number: int = 1 if retry_of is None else retry_of.attempt_number + 1
        self._end: Future[TaskResult] = Future() if retry_of is None else retry_of._end
        if retry_of is None:
            self._end.set_running_or_notify_cancel()  # who waits for it can't cancel it

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.text

    @property
    def last(self) -> Call:
        """The last attempt: the call itself, or what it was retried as."""
        return self if self.retried_as is None else self.retried_as.last

    @property
    def status(self) -> Status:
        """``new``, ``process``, ``success``, ``error`` or ``cancel``; that of the last attempt."""
        return self.last.own_status

    @property
    def result(self) -> TaskResult | None:
        """How it ended, after the last attempt; None while it runs."""
        return self.last.own_result

    @property
    def done(self) -> bool:
        """Whether it has ended, retries included."""
        return self.result is not None

    def cancel(self, reason: str = "cancelled") -> bool:
        """Ask the call to end; from any thread.

        An async task gets `asyncio.CancelledError` where it waits; a sync one at its next op on State, or else soon,
        but not before it has ended a wait in C, such as ``time.sleep``.

        Returns:
            False if it has ended already.
        """
        return self.stop(TaskCancelledError(f"{self}: {reason}"))

    def stop(self, error: TaskError) -> bool:
        """As `cancel`, with the error that `TaskResult.unwrap` is to raise."""
        with hold_stop():  # the thread that stops this call may itself run one that is stopped
            with self._lock:
                ended, later = self.own_result is not None, self.retried_as
                if not ended:
                    self._request_stop(error)
            if later is not None:
                return later.stop(error)
            if not ended:
                self._changed()
            return not ended

    def _request_stop(self, error: TaskError) -> None:
        if self.stopped_by is None:
            self.stopped_by = error
        if self._stopper is not None:
            self._stopper()
        self.stop_signal.set()

    def wait(self, timeout: float | None = None) -> TaskResult:
        """Block this thread until the call has ended; not where the loop runs that the call needs.

        Raises:
            TimeoutError: it has not ended within *timeout* seconds.
        """
        return self._end.result(timeout)

    def __await__(self) -> Generator[Any, None, TaskResult]:
        return (yield from asyncio.wrap_future(self._end).__await__())

    def __repr__(self) -> str:
        return f"<Call {self}: {self.own_status}>"

    def __str__(self) -> str:
        return f"{self.task.name} #{self.number}"

    def tell(self, progress: Progress) -> None:
        """Note how far the call is."""
        self.progress = progress
        self._changed()

    @contextmanager
    def attempt(self, stopper: Callable[[], object]) -> Iterator[None]:
        """Everything that is true while the task's function runs: actor, output, time limit.

        Args:
            stopper: is called, from any thread, to make the block raise `asyncio.CancelledError`.
        """
        actor = Actor(self.task.name, self.number, current_actor.get().cell)
        token = current_actor.set(actor)
        self._begin(stopper)
        try:
            with capture(self._output), self.limited(self.task.options.max_time, "max_time"):
                yield
        finally:
            current_actor.reset(token)

    def _begin(self, stopper: Callable[[], object]) -> None:
        with self._lock:
            self._stopper = stopper
            self.own_status, self.updated_at = "process", _now()
        self._changed()

    @contextmanager
    def limited(self, seconds: float | None, name: str) -> Iterator[None]:
        """Stop the call if the block takes longer than *seconds*."""
        if seconds is None or seconds > threading.TIMEOUT_MAX:
            yield
            return
        error = TaskTimeoutError(f"{self} was stopped: it took longer than {name}={seconds:g} s")
        timer = threading.Timer(seconds, self.stop, (error,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def invoke(self) -> Any:
        """Call the task's function with what was given and what is injected.

        Raises:
            asyncio.CancelledError: the call was stopped before it began.
        """
        if self.stopped_by is not None:
            raise asyncio.CancelledError
        args = (TaskHandle(self), *self.args) if self.task.options.echo else self.args
        args, kwargs = self.task.injection.bind(args, self.kwargs)
        return self.task.function(*args, **kwargs)

    def finish(self, returning: Any, error: BaseException | None) -> TaskResult:
        """Note how the attempt ended, and make the next one in `retried_as` if there is to be one."""
        if isinstance(error, asyncio.CancelledError):
            error = self.stopped_by or TaskCancelledError(f"{self}: cancelled")
        result = self._result(returning, error)
        with self._lock:
            self.own_status, self.updated_at, self.own_result = result.status, result.updated_at, result
            self.retried_as = self._next_attempt()
        if self.retried_as is None:
            self._end.set_result(result)
        self._changed()
        return result

    def _result(self, returning: Any, error: BaseException | None) -> TaskResult:
        return TaskResult(
            status="success" if error is None else self._status_for(error),
            uuid=self.uuid,
            priority=self.task.options.priority,
            task_name=self.task.name,
            args=self.args,
            kwargs=self.kwargs,
            created_at=self.created_at,
            updated_at=_now(),
            returning=returning,
            traceback=None if error is None else format_error(error),
            call=self.number,
            output=self.output,
            exception=error,
        )

    def _status_for(self, error: BaseException) -> Status:
        stopped = error is self.stopped_by
        if isinstance(error, TaskCancelledError):  # of this call, or of one that it awaited: that is an error here
            stopped = stopped or not error.ended_a_call
            error.ended_a_call = True
        failed = isinstance(error, Exception | SystemExit)
        return "error" if failed and not stopped else "cancel"

    def _next_attempt(self) -> Call | None:
        """The next attempt, if the task's options ask for one; who stopped the call wants none."""
        options = self.task.options
        error = self.own_result and self.own_result.exception
        if self.attempt_number > options.retry or self.stopped_by is not None:
            return None
        if self.own_status != "error" or not isinstance(error, options.retry_on_exc):
            return None
        return self.task.app.new_call(self.task, self.args, self.kwargs, echo=self._output.echo, retry_of=self)

    def _changed(self) -> None:
        self.task.app.tell(self)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
