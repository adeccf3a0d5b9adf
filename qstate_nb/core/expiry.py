"""State that expires: which bucket is next, and a thread that waits for that."""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import weakref
from collections.abc import Iterator
from time import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from qstate_nb.core.buckets import Bucket

_LONGEST = 60.0  # seconds that a thread sleeps: clocks can be set, and its store can be gone


class Swept(Protocol):
    """A store with buckets that expire."""

    def sweep(self) -> float | None:
        """Empty those whose time is over; gives the seconds until the next one's, None if there is none."""


class Due:
    """Buckets in the order in which they expire; each is in it at a time that is not later than its deadline."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Bucket]] = []
        self._numbers = itertools.count()
        self._times: dict[Bucket, float] = {}

    def add(self, bucket: Bucket) -> None:
        """Know a bucket's new deadline."""
        deadline = bucket.deadline
        if deadline is not None and deadline < self._times.get(bucket, math.inf):
            self._times[bucket] = deadline
            heapq.heappush(self._heap, (deadline, next(self._numbers), bucket))

    def pop(self, now: float) -> Iterator[Bucket]:
        """The buckets whose deadline is over; they are not known any more then."""
        while self._heap and self._heap[0][0] <= now:
            when, _, bucket = heapq.heappop(self._heap)
            if self._times.get(bucket) == when:
                del self._times[bucket]
                if bucket.deadline is None or bucket.deadline > now:
                    self.add(bucket)
                else:
                    yield bucket

    @property
    def next(self) -> float | None:
        """When the next bucket may expire, in seconds since the epoch."""
        return self._heap[0][0] if self._heap else None


class Sweeper:
    """Sweeps a store when a bucket expires: in a thread, as long as there is one that will.

    Args:
        store: is kept alive by its users alone.
    """

    def __init__(self, store: Swept) -> None:
        self._store = weakref.ref(store)
        self._changed = threading.Condition()
        self._due: float | None = None

    def plan(self, seconds: float) -> None:
        """Sweep after so many seconds, if not before."""
        due = time() + seconds
        with self._changed:
            if self._due is None:
                self._due = due
                threading.Thread(target=self._run, name="qstate expiry", daemon=True).start()
            elif due < self._due:
                self._due = due
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                assert self._due is not None
                left = self._due - time()
                if left > 0:
                    self._changed.wait(min(left, _LONGEST))
                    if self._store() is not None:
                        continue
                    self._due = None
                    return
                self._due = math.inf  # until it is known better
            seconds = self._sweep()
            with self._changed:
                self._due = min(self._due, math.inf if seconds is None else time() + seconds)
                if self._due == math.inf:
                    self._due = None
                    return

    def _sweep(self) -> float | None:
        store = self._store()
        return None if store is None else store.sweep()
