"""Where the panel runs what a click starts, from whatever thread that comes in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from qstate_nb.app.nesting import run_blocking
from qstate_nb.app.threads import in_thread


class Background:
    """Runs functions and coroutines on the loop of the kernel's main thread, or in a thread where there is none.

    Args:
        loop: the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._running: set[asyncio.Task[Any]] = set()  # asyncio itself keeps only weak references

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Call a function on the loop, soon; where there is none, here and now."""
        if self._loop is None or self._loop.is_closed():
            function(*args)
        else:  # a callback may run on any thread, with a loop of its own that doesn't last
            self._loop.call_soon_threadsafe(function, *args)

    def start(self, make: Callable[[], Coroutine[Any, Any, object]], name: str) -> None:
        """Run the coroutine that *make* makes; returns at once."""
        self.call(self._begin, make, name)

    def _begin(self, make: Callable[[], Coroutine[Any, Any, object]], name: str) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            in_thread(lambda: run_blocking(make()), name=name)
        else:
            task = loop.create_task(make(), name=name)
            self._running.add(task)
            task.add_done_callback(self._running.discard)
