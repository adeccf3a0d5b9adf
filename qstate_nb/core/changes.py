"""Events of one bucket as they happen, for ``async for``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING

from qstate_nb.core.formats import short
from qstate_nb.core.history import is_whole
from qstate_nb.core.journal import Event

if TYPE_CHECKING:
    from typing import Self

    from qstate_nb.core.buckets import Bucket

_log = logging.getLogger(__name__)


class Changes:
    """The events that change a bucket, from the moment on when this is made; never ends by itself.

    They wait in a queue. When more than it holds have come, the oldest are skipped, which is counted and logged.

    Args:
        bucket: which.
        queue: how many events may wait.

    Attributes:
        skipped: how many events were skipped.

    Raises:
        ValueError: *queue* is less than 1.
    """

    def __init__(self, bucket: Bucket, queue: int = 1_000) -> None:
        if not is_whole(queue, 1):
            raise ValueError(f"queue must be a whole number, 1 or more, not {short(queue)}")
        self.skipped = 0
        self._told = 0
        self._key = bucket.key
        self._lock = threading.Lock()
        self._queue: deque[Event] = deque(maxlen=queue)
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        noted = weakref.WeakMethod(self._note)
        unsubscribe = bucket.store.subscribe(lambda event: (note := noted()) is not None and note(event))
        weakref.finalize(self, unsubscribe)  # a loop that is left with `break` needs no more

    def _note(self, event: Event) -> None:
        """Put an event in the queue, from any thread."""
        if self._key not in event.states:
            return
        with self._lock:
            self.skipped += len(self._queue) == self._queue.maxlen
            self._queue.append(event)
            waiting, self._waiting = self._waiting, []
        for loop, ready in waiting:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(ready.set)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            with self._lock:
                if self._queue:
                    event = self._queue.popleft()
                    missed, self._told = self.skipped - self._told, self.skipped
                    break
                ready = asyncio.Event()
                self._waiting.append((asyncio.get_running_loop(), ready))
            await ready.wait()
        if missed:
            _log.warning("%s changed faster than its changes were read: %s events were skipped", self._key, missed)
        return event
