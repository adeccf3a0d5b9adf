"""The memory store: the buckets of one process and their journal.

What it promises: an op is atomic on its bucket and its event gets the next sequence number in the same step,
never data without its event or the reverse; the lock is held for that step alone and never while anybody waits,
so any number of threads and event loops can share a store.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from qstate_nb.core.journal import ABSENT, Actor, Event
from qstate_nb.core.keys import StateKey
from qstate_nb.core.ops import Read, Write
from qstate_nb.errors import ReentrantError

T = TypeVar("T")


class _Bucket:
    __slots__ = ("fields", "writers")

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.writers: dict[str, Event] = {}


class MemoryStore:
    """Buckets and journal in memory.

    Stored values belong to the store: nobody changes one in place, an op replaces it. That is why events can
    refer to them and reads need no copy under the lock.

    Args:
        max_events: how many events to keep, at least 1; the oldest are dropped first. None keeps all.

    Raises:
        ValueError: *max_events* is not such a number.
    """

    def __init__(self, max_events: int | None = 10_000) -> None:
        if max_events is not None and max_events < 1:
            raise ValueError(f"max_events must be at least 1, or None to keep all, not {max_events}")
        self._lock = threading.RLock()
        self._busy = False
        self._buckets: dict[StateKey, _Bucket] = {}
        self._journal: deque[Event] = deque(maxlen=max_events)
        self._seq = 0
        self._pending: tuple[_Bucket, Event] | None = None

    def read(self, key: StateKey, op: Read, *args: Any) -> Any:
        """Run a reading op; its result may hold stored values, to be copied before they are handed out."""
        return self._alone(self._read, key, op, args)

    def transact(self, key: StateKey, op: Write, args: tuple[Any, ...], actor: Actor) -> tuple[Any, Event | None]:
        """Run a writing op and commit its changes with their event, or, if it raises, nothing.

        Returns:
            The op's result, and the event, or None if it changed nothing.

        Raises:
            ReentrantError: this thread is inside an op already.
        """
        return self._alone(self._transact, key, op, args, actor)

    def history(self) -> list[Event]:
        """The events that are kept, oldest first."""
        return self._alone(list, self._journal)

    def keys(self) -> list[StateKey]:
        """The buckets that were ever written to, oldest first."""
        return self._alone(list, self._buckets)

    def writers(self, key: StateKey) -> dict[str, Event]:
        """For each field of a bucket, the event that last wrote it."""
        return self._alone(self._writers, key)

    def _alone(self, step: Callable[..., T], *args: Any) -> T:
        """Run one step of the store while no other thread does.

        Python can run other code in the middle of it, such as a finaliser or a signal handler; if that uses the
        same State, a plain lock would wait for itself for ever.
        """
        with self._lock:
            if self._busy:
                raise ReentrantError(
                    "State was used from inside one of its own ops, by a finaliser (__del__) or a signal handler; "
                    "let that only note what is to be done, and do it later"
                )
            try:
                self._busy = True
                self._finish()
                return step(*args)
            finally:
                self._busy = False

    def _read(self, key: StateKey, op: Read, args: tuple[Any, ...]) -> Any:
        bucket = self._buckets.get(key)
        return op({} if bucket is None else bucket.fields, *args)

    def _writers(self, key: StateKey) -> dict[str, Event]:
        bucket = self._buckets.get(key)
        return {} if bucket is None else dict(bucket.writers)

    def _transact(self, key: StateKey, op: Write, args: tuple[Any, ...], actor: Actor) -> tuple[Any, Event | None]:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket()
        result, changes = op(bucket.fields, *args)
        if not changes:
            return result, None
        event = Event(self._seq + 1, time.time(), key, op.__name__.rstrip("_"), actor, changes)
        self._pending = (bucket, event)
        self._finish()
        return result, event

    def _finish(self) -> None:
        """Write the pending event down, if there is one.

        A KeyboardInterrupt, or the stop of a sync call, can raise between any two steps of this. Each step
        may be done twice, so whoever takes the lock next finishes what was cut short.
        """
        if self._pending is None:
            return
        bucket, event = self._pending
        for field, _, after in event.stored:
            if after is ABSENT:
                bucket.fields.pop(field, None)
                bucket.writers.pop(field, None)
            else:
                bucket.fields[field] = after
                bucket.writers[field] = event
        if not self._journal or self._journal[-1] is not event:
            self._journal.append(event)
        self._seq = event.seq
        self._pending = None
