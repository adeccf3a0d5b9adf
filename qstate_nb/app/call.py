"""`Call`: one execution of a task."""

from __future__ import annotations

import asyncio
import datetime
import threading
import time
import uuid
from collections.abc import Generator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from qstate_nb.app.context import Progress, TaskHandle
from qstate_nb.app.output import Output, Printer
from qstate_nb.app.result import Status, TaskResult, call_uuid, moment
from qstate_nb.app.threads import hold_stop
from qstate_nb.app.tracebacks import format_error
from qstate_nb.core.journal import Actor, current_actor
from qstate_nb.errors import TaskCancelledError, TaskError

if TYPE_CHECKING:
    from qstate_nb.app.task import Task

# For what few calls need: stops, waits and retries. One for all, since most calls would make theirs for nothing; and
# reentrant, since a finaliser can use calls, too.
_lock = threading.RLock()


class Stoppable(Protocol):
    """What runs a task's function."""

    def stop(self) -> object:
        """Make the function raise `asyncio.CancelledError`; from any thread."""


class Call:
    """One execution of a task.

    Await it (or `wait` for it from a thread) to get its `TaskResult`; that of the last attempt, if it is retried.

    Attributes:
        number: of the call in its app, from 1.
        echo: whether what it prints is shown.
        own_status, own_result: as `status` and `result`, of this attempt alone.
        progress: the last `Progress` that the task told, or None.
        count: how many values the task has yielded so far; None for a task that isn't a generator.
        attempt_number: 1, or more for a retry.
        retried_as: the next attempt, or None.
        stopped_by: the error that `stop` was given, or None.
    """

    # Most calls end soon, and nobody waits for them or stops them: what few need is made when it is needed.
    own_status: Status = "new"
    own_result: TaskResult | None = None
    progress: Progress | None = None
    count: int | None = None
    attempt_number = 1
    retried_as: Call | None = None
    stopped_by: TaskError | None = None
    _first: Call | None = None  # the first attempt, in the others
    _end: Future[TaskResult] | None = None  # in the first attempt, for all
    _stop_signal: threading.Event | None = None
    _running: Stoppable | None = None
    _output: Output | None = None
    actor: Actor  # this and `outer` for `Printer`
    outer: tuple[Actor, Printer | None] | None = None

    def __init__(
        self,
        task: Task,
        number: int,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        echo: bool,
        *,
        retry_of: Call | None = None,
    ) -> None:
        self.task = task
        self.number = number
        self.args = args
        self.kwargs = kwargs
        self.echo = echo
        self._created = self._updated = time.time_ns()
        if retry_of is not None:
            self._first = retry_of._first or retry_of
            self.attempt_number = retry_of.attempt_number + 1

    @property
    def uuid(self) -> uuid.UUID:
        """Its identity, for those who know QTasks' calls."""
        return call_uuid(self.task.app.namespace, self.number, self._created)

    @property
    def created_at(self) -> datetime.datetime:
        """When it was made, in UTC."""
        return moment(self._created)

    @property
    def updated_at(self) -> datetime.datetime:
        """When it was made, began or ended, in UTC."""
        return moment(self._updated)

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return "" if self._output is None else self._output.text

    @property
    def last(self) -> Call:
        """The last attempt: the call itself, or what it was retried as."""
        call = self
        while call.retried_as is not None:
            call = call.retried_as
        return call

    @property
    def first(self) -> Call:
        """The first attempt: the call itself, or what it is a retry of."""
        return self._first or self

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
            with _lock:
                call = self.last
                if call.own_result is not None:
                    return False
                call._request_stop(error)
            call.task.app.tell(call)
            return True

    def _request_stop(self, error: TaskError) -> None:
        if self.stopped_by is None:
            self.stopped_by = error
        if self._running is not None:
            self._running.stop()
        if self._stop_signal is not None:
            self._stop_signal.set()

    @property
    def stop_signal(self) -> threading.Event:
        """Is set when the call was asked to end."""
        with _lock:
            if self._stop_signal is None:
                self._stop_signal = threading.Event()
                if self.stopped_by is not None:
                    self._stop_signal.set()
            return self._stop_signal

    def wait(self, timeout: float | None = None) -> TaskResult:
        """Block this thread until the call has ended; not where the loop runs that the call needs.

        Raises:
            TimeoutError: it has not ended within *timeout* seconds.
        """
        return self._ended().result(timeout)

    def __await__(self) -> Generator[Any, None, TaskResult]:
        return (yield from asyncio.wrap_future(self._ended()).__await__())

    def _ended(self) -> Future[TaskResult]:
        """What gets the result of the last attempt."""
        first = self._first or self
        with _lock:
            if first._end is None:
                end: Future[TaskResult] = Future()
                end.set_running_or_notify_cancel()  # who waits for it can't cancel it
                first._end = end  # from here on, `finish` settles it
            if self.result is not None:
                _settle(first._end, self.result)
            return first._end

    def __repr__(self) -> str:
        return f"<Call {self}: {self.own_status}>"

    def __str__(self) -> str:
        return f"{self.task.name} #{self.number}"

    def tell(self, progress: Progress) -> None:
        """Note how far the call is."""
        self.progress = progress
        self.task.app.tell(self)

    def tell_count(self, count: int) -> None:
        """Note how many values it has yielded."""
        self.count = count
        self.task.app.tell(self)

    def write(self, text: str, /) -> None:
        """Note what it has printed."""
        # Several threads may be the first to print, or a finaliser, just while the output is made.
        output = self._output or self.__dict__.setdefault("_output", Output())
        output.write(text)
        self.overhear(text)
        self.task.app.tell(self)

    def overhear(self, text: str, /) -> None:
        """Pass on what it, or a call that it made, has printed, to who wants to know all of that."""
        outer = self.outer
        if outer is not None and outer[1] is not None:
            outer[1].overhear(text)

    def begin(self, running: Stoppable) -> None:
        """Note that the attempt begins.

        Args:
            running: its ``stop`` makes the task's function raise `asyncio.CancelledError`.
        """
        task = self.task
        self._running = running
        self.actor = Actor(task.name, self.number, current_actor.get().cell)
        self.own_status, self._updated = "process", time.time_ns()
        task.app.tell(self)

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
        if error is None:
            result = self._result("success", returning, None, None)
            self.own_status, self._updated, self.own_result = "success", result._updated, result
        else:
            result = self._fail(returning, error)
        self._running = None
        end = (self._first or self)._end
        if end is not None and self.retried_as is None:
            _settle(end, result)
        self.task.app.note_end(self)
        return result

    def _fail(self, returning: Any, error: BaseException) -> TaskResult:
        if isinstance(error, asyncio.CancelledError):
            error = self.stopped_by or TaskCancelledError(f"{self}: cancelled")
        result = self._result(self._status_for(error), returning, error, format_error(error))
        self.own_status, self._updated = result.status, result._updated
        with _lock:  # a stop comes before the next attempt is decided on, or stops that
            self.retried_as = self._next_attempt(error)
            self.own_result = result
        return result

    def _result(self, status: Status, returning: Any, error: BaseException | None, trace: str | None) -> TaskResult:
        task = self.task
        return TaskResult(
            status=status,
            priority=task.options.priority,
            task_name=task.name,
            args=self.args,
            kwargs=self.kwargs,
            returning=returning,
            traceback=trace,
            call=self.number,
            output="" if self._output is None else self._output.text,
            exception=error,
            _namespace=task.app.namespace,
            _created=self._created,
            _updated=time.time_ns(),
        )

    def _status_for(self, error: BaseException) -> Status:
        stopped = error is self.stopped_by
        if isinstance(error, TaskCancelledError):  # of this call, or of one that it awaited: that is an error here
            stopped = stopped or not error.ended_a_call
            error.ended_a_call = True
        failed = isinstance(error, Exception | SystemExit)
        return "error" if failed and not stopped else "cancel"

    def _next_attempt(self, error: BaseException) -> Call | None:
        """The next attempt, if the task's options ask for one; who stopped the call wants none."""
        options = self.task.options
        if self.attempt_number > options.retry or self.stopped_by is not None:
            return None
        if self.own_status != "error" or not isinstance(error, options.retry_on_exc):
            return None
        return self.task.app.new_call(self.task, self.args, self.kwargs, echo=self.echo, retry_of=self)


def _settle(end: Future[TaskResult], result: TaskResult) -> None:
    with suppress(InvalidStateError):  # who waits and who ends it may both see to it
        end.set_result(result)
