"""`TaskResult`: how a call ended."""

from __future__ import annotations

import datetime
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID, uuid5

import msgspec

from qstate_nb.core.formats import message, short

if TYPE_CHECKING:
    from typing import Self

Status: TypeAlias = Literal["new", "process", "success", "error", "cancel"]


def call_uuid(namespace: UUID, number: int, created: int) -> UUID:
    """The identity of a call, the same whenever it is asked for: few do, and to make one for each call takes long.

    Args:
        namespace: of the app.
        number: of the call in its app.
        created: when it was made, as of `time.time_ns`: a forked process has the same namespace and numbers.
    """
    return uuid5(namespace, f"{number} {created}")


_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)


def moment(nanoseconds: int) -> datetime.datetime:
    """The time, in UTC, that `time.time_ns` gave as so many nanoseconds."""
    return _EPOCH + datetime.timedelta(microseconds=nanoseconds // 1_000)


class TaskResult(msgspec.Struct, frozen=True, eq=False):  # arguments may be unhashable; gather() hashes
    """How a call ended; what QTasks' results have, and a few more.

    Attributes:
        status: ``success``, ``error`` or ``cancel``.
        priority: the task's.
        task_name: the task's name.
        args, kwargs: what the caller gave.
        returning: what the task returned.
        traceback: of the exception that ended it, with the user's own frames.
        call: number of the call in its app, from 1.
        output: what it printed.
        exception: what ended it, if anything did.

    It can be awaited, which gives the result itself at once: so ``await task.add_task()`` is right for sync
    tasks as well.
    """

    status: Status
    priority: int
    task_name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    returning: Any
    traceback: str | None
    call: int
    output: str
    exception: BaseException | None
    _namespace: UUID
    _created: int
    _updated: int

    @property
    def uuid(self) -> UUID:
        """Identity of the call."""
        return call_uuid(self._namespace, self.call, self._created)

    @property
    def created_at(self) -> datetime.datetime:
        """When the call was made, in UTC."""
        return moment(self._created)

    @property
    def updated_at(self) -> datetime.datetime:
        """When the call ended, in UTC."""
        return moment(self._updated)

    def unwrap(self) -> Any:
        """What the task returned.

        Raises:
            BaseException: what ended the task, if it didn't return: its own exception, `TaskCancelledError` or
                `TaskTimeoutError`.
        """
        __tracebackhide__ = True
        if self.exception is not None:
            raise self.exception
        return self.returning

    def __await__(self) -> Generator[Any, None, Self]:
        return self
        yield

    def __repr__(self) -> str:
        end = f"returning {short(self.returning)}"
        if self.exception is not None:
            end = f"{type(self.exception).__name__}: {message(self.exception)}"
        return f"<TaskResult {self.task_name} #{self.call}: {self.status}, {end}>"
