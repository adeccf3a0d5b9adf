"""Where code that runs on behalf of a call can be stopped without harm: before an op, or while it waits for one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Final


class StopPoint:
    """Stands for code that nobody can stop; a sync call has another one."""

    def check(self) -> None:
        """Raise `asyncio.CancelledError` if the code is to end."""

    def waiting(self, wake: Callable[[], object]) -> AbstractContextManager[None]:  # noqa: ARG002
        """While the block waits, a stop calls *wake*, and is raised at the block's end."""
        return contextlib.nullcontext()


_NOBODY: Final = StopPoint()

stop_point: ContextVar[StopPoint] = ContextVar("qstate_nb.stop_point", default=_NOBODY)
"""How the running code is told to stop."""

stops: set[object] = set()
"""The stops that were asked for and have not arrived: while there are none, sync ops don't look at `stop_point`."""
