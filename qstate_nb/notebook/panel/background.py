"""Coroutines that the panel starts, from whatever thread a click comes in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from qstate_nb.app.nesting import run_blocking
from qstate_nb.app.threads import in_thread


class Background:
    """Runs coroutines on the loop of the kernel's main thread, or in a thread where there is none.

    Args:
        loop: the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._running: set[asyncio.Task[Any]] = set()  # asyncio itself keeps only weak references

    def start(self, make: Callable[[], Coroutine[Any, Any, object]], name: str) -> None:
        """Run the coroutine that *make* makes; returns at once."""
        loop = self._loop
        if loop is None or loop.is_closed():
            in_thread(lambda: run_blocking(make()), name=name)
        else:  # a callback may run on any thread, with a loop of its own that doesn't last
            loop.call_soon_threadsafe(self._begin, loop, make, name)

    def _begin(
        self, loop: asyncio.AbstractEventLoop, make: Callable[[], Coroutine[Any, Any, object]], name: str
    ) -> None:
        task = loop.create_task(make(), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
