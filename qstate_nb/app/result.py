"""`TaskResult`: how a call ended."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from qstate_nb.core.formats import message, short

if TYPE_CHECKING:
    from typing import Self

Status: TypeAlias = Literal["new", "process", "success", "error", "cancel"]


@dataclass(frozen=True, slots=True, eq=False)  # arguments may be unhashable; gather() hashes
class TaskResult:
    """How a call ended; the fields that QTasks has, and a few more.

    Args:
        status: ``success``, ``error`` or ``cancel``.
        uuid: identity of the call.
        priority: the task's.
        task_name: the task's name.
        args, kwargs: what the caller gave.
        created_at, updated_at: when the call was made and when it ended, in UTC.
        returning: what the task returned.
        traceback: of the exception that ended it, with the user's own frames.
        call: number of the call in its app, from 1.
        output: what it printed.
        exception: what ended it, if anything did.

    It can be awaited, which gives the result itself at once: so ``await task.add_task()`` is right for sync
    tasks as well.
    """

    status: Status
    uuid: uuid.UUID
    priority: int
    task_name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    created_at: datetime.datetime
    updated_at: datetime.datetime
    returning: Any
    traceback: str | None
    call: int
    output: str
    exception: BaseException | None = field(repr=False)

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
