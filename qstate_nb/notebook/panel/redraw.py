"""Many changes, few redraws."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Redraw:
    """Calls a function soon after something changed, and not more often than every *interval* seconds.

    The function runs in a thread of its own, so that it shows what a busy cell does, and sees the last change
    of every burst. Where it takes longer than *interval*, as when a task keeps Python busy, it has half of the
    time at most. An exception in it is logged, and the next change calls it again.

    Args:
        draw: the function.
        interval: seconds between the end of a call and the start of the next, or as many as the call took.
        idle: is asked after each call in how many seconds the next one is due if nothing changes; None for never.
    """

    def __init__(
        self, draw: Callable[[], object], interval: float = 0.05, idle: Callable[[], float | None] = lambda: None
    ) -> None:
        self._draw = draw
        self._interval = interval
        self._idle = idle
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="qstate panel", daemon=True)
        self._thread.start()

    def ask(self, _: object = None) -> None:
        """Say that something has changed; costs next to nothing."""
        if not self._changed.is_set():
            self._changed.set()

    def close(self) -> None:
        """End the thread; what is not drawn by now is not drawn."""
        self._closed.set()
        self._changed.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        due: float | None = None
        while True:
            self._changed.wait(due)
            if self._closed.is_set():
                return
            self._changed.clear()
            due = None
            began = time.monotonic()
            try:
                self._draw()
                due = self._idle()
            except Exception:
                _log.exception("the panel can't be drawn")
            self._closed.wait(max(self._interval, time.monotonic() - began))
