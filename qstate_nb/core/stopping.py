"""Where code that runs on behalf of a call can be stopped without harm: before an op."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar


def _go_on() -> None:
    """Nobody wants this code to stop."""


stop_point: ContextVar[Callable[[], object]] = ContextVar("qstate_nb.stop_point", default=_go_on)
"""Is called before each op; raises `asyncio.CancelledError` if the call is to end."""
