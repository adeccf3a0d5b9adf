"""The memory store: the buckets of one process and their journal.

What it promises: an op is atomic on its bucket and its event gets the next sequence number in the same step,
never data without its event or the reverse. The lock is held for such a step alone and never while anybody waits,
so any number of threads and event loops can share a store. A `get` of a bucket that is open takes no lock: it reads
one field, and a field changes in one step.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from time import time
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

from qstate_nb.core import ops
from qstate_nb.core.buckets import CLOSED, Bucket, Draft
from qstate_nb.core.expiry import Due, Sweeper
from qstate_nb.core.frames import Frame, current_frame
from qstate_nb.core.history import Captured, Written
from qstate_nb.core.journal import (
    ABSENT,
    Contents,
    Event,
    Label,
    Record,
    Revert,
    changes_of,
    current_actor,
    expiry,
)
from qstate_nb.core.keys import StateKey
from qstate_nb.core.ops import Changes, Fields, Op
from qstate_nb.core.subscribers import Subscribers
from qstate_nb.core.transactions import perform
from qstate_nb.core.values import IMMUTABLE
from qstate_nb.core.waiting import Steps, Waiter
from qstate_nb.errors import HistoryError, ReentrantError

if TYPE_CHECKING:
    from qstate_nb.core.fields import Declared
    from qstate_nb.core.saving import Saved

T = TypeVar("T")

Changed: TypeAlias = Sequence[tuple[Bucket, Changes]]

_NAMES: Final = {op: name.rstrip("_") for name, op in vars(ops).items() if callable(op)}

_RETRY = 0.05  # seconds after which a bucket is looked at again that was held when its time was over

MUST_WAIT: Final = object()
"""What `MemoryStore.run` gives for an op on a bucket that somebody else holds."""


class Owner(Protocol):
    """What a store works for: a registry."""

    def forget(self, name: str) -> None:
        """The last bucket of a name was dropped; called inside a step of the store."""


class MemoryStore:
    """Buckets and journal in memory.

    Stored values belong to the store: nobody changes one in place, an op replaces it. That is why events can
    refer to them and reads need no copy under the lock.

    Args:
        max_events: how many events to keep, at least 1; the oldest are dropped first. None keeps all.

    Attributes:
        url: how to open a store like this one.
        owners: the registries that it works for.
        declared: State name → the fields that its class declares; of two classes, the one that was used last.
        ttls: State name → seconds that its buckets live after their last write.
        listener: is called with the record of each event after its commit, in the thread that made it.

    Raises:
        ValueError: *max_events* is not such a number.
    """

    is_shared = False
    """Whether other processes use what is stored as well: then ops go elsewhere; see `SharedStore`."""

    url = "memory://"

    is_closed = False
    """Whether nothing can be done with it any more."""

    def __init__(self, max_events: int | None = 10_000) -> None:
        if max_events is not None and max_events < 1:
            raise ValueError(f"max_events must be at least 1, or None to keep all, not {max_events}")
        self.lock = threading.RLock()
        self.is_busy = False
        self.journal: deque[Record] = deque(maxlen=max_events)
        self.deletions: deque[Record] = deque(maxlen=max_events)  # of these, those that delete something
        self._blocks: dict[int, Written] = {}
        self.seq = 0
        self.away = ""  # why a shared store can't be reached, if that is known
        self.on_away = Subscribers[str]()  # are told when that changes
        self.listener: Callable[[Record], object] | None = None
        self._subscribers = Subscribers[Event]()
        self._subscribing = threading.RLock()  # a finaliser can unsubscribe at any time
        self.owners: weakref.WeakSet[Owner] = weakref.WeakSet()
        self.declared: dict[str, Declared] = {}
        self._labels: Mapping[str, Label] = {}
        self.ttls: dict[str, float] = {}
        self._due = Due()
        self._sweeper = Sweeper(self)
        self._listed: dict[StateKey, Bucket] = {}
        self._names: dict[str, set[StateKey]] = {}  # which of each are listed
        self._known: weakref.WeakValueDictionary[StateKey, Bucket] = weakref.WeakValueDictionary()
        self._pending: tuple[Record, Changed, bool] | None = None
        self.hot = (self, self.lock.acquire, self.lock.release, self.journal.append)  # for `Bucket.put`

    def bucket(self, key: StateKey) -> Bucket:
        """The bucket of a key: the same object as long as anybody has it, listed or not."""
        bucket = self._listed.get(key)
        return self.alone(self._known_bucket, key) if bucket is None else bucket

    def _known_bucket(self, key: StateKey) -> Bucket:
        bucket = self._known.get(key)
        if bucket is None:
            bucket = self._known[key] = Bucket(self, key)
        return bucket

    def run(self, bucket: Bucket, op: Op, args: Sequence[Any], frame: Frame | None) -> Any:
        """Run an op: on what *frame*'s transaction sees, if it holds the bucket, or else commit it with its event.

        Args:
            frame: the innermost transaction that the caller takes part in.

        Returns:
            The op's result, which may hold stored values; or `MUST_WAIT`, and nothing was done.

        Raises:
            ReentrantError: this thread is inside an op already.
            TransactionError: the caller took part in a transaction on this bucket that was rolled back.
        """
        if bucket.deadline is not None:
            self.sweep()
        with self.lock:
            if self.is_busy:
                raise reentrant()
            record = None
            try:
                self.is_busy = True
                if bucket.open is CLOSED:
                    holder = bucket.holder
                    if holder is not None:
                        takes_part = frame is holder or (frame is not None and frame.takes_part_in(holder))
                        return holder.run(bucket, op, args) if takes_part else MUST_WAIT
                    bucket.check_doubts(frame)
                result, changes = op(bucket.fields, *args)
                changed = ((bucket, changes),)
                if changes:
                    record = self.prepared(_NAMES[op], current_actor.get(), changed)
                if changes or op is ops.drop:
                    self.write(record or (), changed, drops=op is ops.drop)
            finally:
                self.is_busy = False
                if self._pending is not None:  # an interrupt came in between
                    self._finish(*self._pending)
        self.tell(record)
        return result

    def waiting(self, bucket: Bucket, op: Op, args: Sequence[Any]) -> Steps[Any]:
        """What runs an op for which `run` gave `MUST_WAIT`."""
        return perform(bucket, op, args)

    def base(self, bucket: Bucket) -> Fields:
        """What a transaction finds in a bucket that it takes."""
        return bucket.fields

    def secure(self, frame: Frame, timeout: float | None, deadline: float | None) -> Steps[None]:  # noqa: ARG002
        """Wait until no other process holds what a transaction has taken here: nothing to do in memory."""
        yield from ()

    def commit(self, frame: Frame) -> Steps[None]:  # noqa: ARG002
        """Write what a transaction has changed where others see it, before its end: in memory its end does that."""
        yield from ()

    def settle(self) -> Steps[None]:
        """Wait until other processes can take what was let go of here."""
        yield from ()

    def let_go(self, bucket: Bucket) -> None:
        """Nobody holds a bucket here any more; a step of the store."""

    def sync(self) -> None:
        """Know what is stored now, to show it."""

    def shown(self) -> AbstractContextManager[None]:
        """What is read in the block is only shown: then it needn't be asked for each time, if somebody subscribes."""
        return contextlib.nullcontext()

    def net(self, draft: Draft) -> Changes:
        """What the end of a transaction changes in a bucket."""
        return draft.net()

    def take(self, frame: Frame, buckets: Iterable[Bucket]) -> Waiter | None:
        """Take buckets for a transaction; see `Frame.take`."""
        return self.alone(frame.take, buckets)

    def tell(self, record: Record | None) -> None:
        """Let the listener know of an event."""
        if record is not None and self.listener is not None:
            self.listener(record)

    def subscribe(self, subscriber: Callable[[Event], object]) -> Callable[[], None]:
        """Call *subscriber* with each event from now on, until the returned function is called."""
        with self._subscribing:
            unsubscribe = self._subscribers.add(subscriber)
            self.listener = self._tell_subscribers

        def remove() -> None:
            with self._subscribing:
                unsubscribe()
                if not self._subscribers:
                    self.listener = None

        return remove

    def _tell_subscribers(self, record: Record) -> None:
        self._subscribers.tell(Event.of(record))

    def prepared(self, op: str | Revert, actor: object, changed: Changed) -> Record:
        """The record of the next event; nothing is changed but that the buckets are closed."""
        record = [self.seq + 1, time(), op, actor]
        for bucket, changes in changed:
            bucket.open = CLOSED  # so that nobody reads one field before another
            key, get = bucket.key, bucket.fields.get
            for field, after in changes:
                if type(after) not in IMMUTABLE and after is not ABSENT:
                    bucket.is_plain = False
                record += (key, field, get(field, ABSENT), after)
        return tuple(record)

    def write(self, record: Record, changed: Changed, *, drops: bool = False) -> None:
        """Commit what a record says.

        Args:
            record: empty if nothing is changed.
            drops: whether the buckets go off the list.
        """
        self._pending = (record, changed, drops)
        self._finish(record, changed, drops)

    def _finish(self, record: Record, changed: Changed, drops: bool) -> None:
        """Write a record down.

        A KeyboardInterrupt, or the stop of a sync call, can raise between any two steps of this. Each step
        may be done twice, so that what was cut short can be finished.
        """
        deletes = [self._apply(bucket, changes, record) for bucket, changes in changed]
        if any(deletes) and (not self.deletions or self.deletions[-1] is not record):
            self.deletions.append(record)
        if record and self.seq != record[0]:
            if not self.journal or self.journal[-1] is not record:
                self.journal.append(record)
            self.seq = record[0]
        for bucket, _ in changed:
            if drops:
                self.unlist(bucket)
            elif bucket.holder is None:
                if self.ttls and record:
                    self.live(bucket)
                bucket.reopen()
        self._pending = None

    def _apply(self, bucket: Bucket, changes: Changes, record: Record) -> bool:
        """Change a bucket's fields; tells whether one was deleted. As `_finish`."""
        fields, writers = bucket.fields, bucket.writers
        if changes and not bucket.is_listed:
            self._list(bucket)
        deletes = False
        for field, after in changes:
            if after is ABSENT:
                deletes = True
                fields.pop(field, None)
                writers.pop(field, None)
            else:
                fields[field] = after
                writers[field] = record
        return deletes

    def live(self, bucket: Bucket) -> None:
        """Let a bucket that was written to live for as long as its State says; a step of the store."""
        ttl = self.ttls.get(bucket.key.name)
        if ttl is not None and bucket.fields:
            self.set_deadline(bucket, ttl)

    def set_ttl(self, name: str, ttl: float | None) -> None:
        """Let the buckets of a State expire that many seconds after they were last written to; None for never."""
        if ttl != self.ttls.get(name):
            self.alone(self._set_ttl, name, ttl)

    def _set_ttl(self, name: str, ttl: float | None) -> None:
        self.ttls = {key: known for key, known in self.ttls.items() if key != name}
        if ttl is not None:
            self.ttls[name] = ttl
        for bucket in self._known.values():
            if bucket.key.name == name:
                bucket.reopen()

    def expiring(self, bucket: Bucket, seconds: float | None) -> Steps[None]:
        """What lets a bucket expire after so many seconds, or never; in a transaction, counted from its end."""
        self.alone(self._expire_in, bucket, seconds, current_frame.get())
        yield from ()

    def _expire_in(self, bucket: Bucket, seconds: float | None, frame: Frame | None) -> bool:
        holder = bucket.holder
        if frame is not None and holder is not None and frame.takes_part_in(holder):
            holder.drafts[bucket].expires = seconds
            return True
        if bucket.fields:
            self.set_deadline(bucket, seconds)
        return False

    def set_deadline(self, bucket: Bucket, seconds: float | None) -> None:
        """Let a bucket expire after so many seconds, or never; a step of the store."""
        bucket.deadline = None if seconds is None else time() + seconds
        bucket.reopen()
        if seconds is not None:
            self._due.add(bucket)
            self._sweeper.plan(seconds)

    def sweep(self) -> float | None:
        """Empty the buckets whose time is over, each with an event; gives the seconds until the next one's, if any.

        One that a transaction holds lives until its end.
        """
        for record in self.alone(self._sweep):
            self.tell(record)
        following = self._due.next
        return None if following is None else max(0.0, following - time())

    def _sweep(self) -> list[Record]:
        records = []
        for bucket in list(self._due.pop(time())):
            if bucket.holder is not None:
                bucket.deadline = time() + _RETRY
                self._due.add(bucket)
                continue
            bucket.deadline = None
            changed = ((bucket, ops.drop(bucket.fields)[1]),)
            if bucket.fields:
                record = self.prepared("expire", expiry(), changed)
                self.write(record, changed, drops=True)
                records.append(record)
        return records

    def travel(self, plan: Callable[[int], Sequence[tuple[Revert, Written]]], n: int) -> list[Record]:
        """Write the events that *plan* gives for *n* steps back or forth; nothing else comes in between.

        Args:
            plan: is called inside a step of the store.
        """
        records = self.alone(lambda: [self._travelled(op, wanted) for op, wanted in plan(n)])
        for record in records:
            self.tell(record)
        return records

    def _travelled(self, op: Revert, wanted: Written) -> Record:
        changed = list(self.by_bucket(wanted).items())
        record = self.prepared(op, current_actor.get(), changed)
        self.write(record, changed)
        return record

    def by_bucket(self, wanted: Written) -> dict[Bucket, list[tuple[str, Any]]]:
        """What is to be changed in each bucket; inside a step."""
        found: dict[Bucket, list[tuple[str, Any]]] = {}
        for (key, field), value in wanted.items():
            bucket = self._known_bucket(key)
            if value is not ABSENT or field in bucket.fields:
                found.setdefault(bucket, []).append((field, value))
        return found

    def holder(self, key: StateKey) -> str | None:
        """Who has a transaction on a bucket; inside a step."""
        bucket = self._known.get(key)
        return None if bucket is None or bucket.holder is None else bucket.holder.who

    def label(self, name: str) -> int:
        """Give this moment a name; the number of the last event before it is the result."""
        now = self.capture()
        self._labels = {**self._labels, name: Label(now.seq, now.contents)}
        return now.seq

    @property
    def labels(self) -> Mapping[str, Label]:
        """Names for moments."""
        return self._labels

    def recover(self, bucket: Bucket, record: Record | None) -> None:
        """Finish an op of `Bucket.put` or `put_all` that was interrupted, if it had begun to change something."""
        if self.lock._is_owned():  # type: ignore[attr-defined]
            try:
                if record is not None:
                    self.write(record, ((bucket, [(c.field, c.after) for c in changes_of(record)]),))
            finally:
                self.is_busy = False
                self.lock.release()

    def alone(self, step: Callable[..., T], *args: Any) -> T:
        """Run one step of the store while no other thread does.

        Python can run other code in the middle of it, such as a finaliser or a signal handler; if that uses the
        same State, a plain lock would wait for itself for ever.

        Raises:
            ReentrantError: this thread is inside a step already.
        """
        with self.lock:
            if self.is_busy:
                raise reentrant()
            try:
                self.is_busy = True
                return step(*args)
            finally:
                self.is_busy = False
                if self._pending is not None:  # an interrupt came in between
                    self._finish(*self._pending)

    def replace(self, saved: Saved, check: Callable[[], object]) -> None:
        """Replace all that is stored, the journal, and the labels.

        Args:
            check: is called before, inside the step, and may raise.

        Raises:
            HistoryError: somebody holds a bucket.
        """
        self.alone(self._replace, saved, check)

    def _replace(self, saved: Saved, check: Callable[[], object]) -> None:
        check()
        self.restore(saved.seq, saved.records, saved.base, saved.writers)
        self._labels = dict(saved.labels)

    def restore(
        self, seq: int, records: Sequence[Record], base: Contents, writers: Mapping[StateKey, Mapping[str, Record]]
    ) -> None:
        """Replace all that is stored, and the journal; inside a step.

        Args:
            seq: number of the last event.
            records: of the events that are kept.
            base: what was stored before the first of them.
            writers: for fields of *base*, the older events that last wrote them, as far as they are known.

        Raises:
            HistoryError: somebody holds a bucket.
        """
        for bucket in self._known.values():
            if bucket.holder is not None:
                raise HistoryError(f"{bucket.holder.who} has a transaction on {bucket.key}; wait for its end")
        try:
            self._restore(seq, records, base, writers)
        except BaseException:  # an interrupt
            self._restore(seq, records, base, writers)
            raise

    def _restore(
        self, seq: int, records: Sequence[Record], base: Contents, writers: Mapping[StateKey, Mapping[str, Record]]
    ) -> None:
        for bucket in list(self._known.values()):
            bucket.open = CLOSED
            bucket.fields.clear()
            bucket.writers.clear()
        for key, fields in base.items():
            bucket = self._known_bucket(key)
            self._list(bucket)
            bucket.fields.update(fields)
            bucket.writers.update(writers.get(key, {}))
        self.deletions.clear()
        for record in records:
            deletes = False
            for key, field, after in zip(record[4::4], record[5::4], record[7::4], strict=True):
                bucket = self._listed.get(key) or self._known_bucket(key)
                deletes |= self._apply(bucket, ((field, after),), record)
            if deletes:
                self.deletions.append(record)
        self._blocks = {}  # who still has the old ones has the old records as well
        self.journal.clear()
        self.journal.extend(records)
        self.seq = seq
        for bucket in list(self._listed.values()):
            bucket.is_plain = False
            if not bucket.fields and bucket.key.scope is not None:
                self.unlist(bucket)
            bucket.reopen()

    def enlist(self, bucket: Bucket) -> None:
        """List a bucket, whether it has fields or not."""
        if not bucket.is_listed:
            self.alone(self._list, bucket)
            self.alone(bucket.reopen)

    def _list(self, bucket: Bucket) -> None:
        """List a bucket; inside a step. As in `_finish`, each step may be done twice."""
        key = bucket.key
        self._listed[key] = bucket
        self._names.setdefault(key.name, set()).add(key)
        bucket.is_listed = True

    def unlist(self, bucket: Bucket) -> None:
        """Forget the name of a bucket that is empty; as `_list`."""
        if bucket.is_listed:
            key = bucket.key
            bucket.open = CLOSED
            self._listed.pop(key, None)
            others = self._names.get(key.name, set())
            others.discard(key)
            if not others:
                self._names.pop(key.name, None)
                for owner in list(self.owners):
                    owner.forget(key.name)
            bucket.is_listed = False
            bucket.deadline = None

    def names(self) -> list[str]:
        """The names of the listed buckets."""
        return self.alone(list, self._names)

    def is_listed(self, key: StateKey) -> bool:
        """Whether the bucket is listed."""
        return key in self._listed

    def peek(self, key: StateKey, frame: Frame | None = None) -> dict[str, Any]:
        """What is committed in a bucket, whoever holds it, or what *frame* sees in it: only to be shown."""
        bucket = self._known.get(key)
        return {} if bucket is None else self.alone(self._peek, bucket, frame)

    def _peek(self, bucket: Bucket, frame: Frame | None) -> dict[str, Any]:
        holder = bucket.holder
        if frame is not None and holder is not None and frame.takes_part_in(holder):
            return holder.drafts[bucket].copy()
        return bucket.fields.copy()

    def records(self, last: int | None = None) -> list[Record]:
        """The records of the events that are kept, oldest first: all, or the *last* ones."""
        return self.alone(self._records, last)

    def _records(self, last: int | None) -> list[Record]:
        if last is None or last >= len(self.journal):
            return list(self.journal)
        return list(itertools.islice(reversed(self.journal), last))[::-1]

    def capture(self) -> Captured:
        """All that there is, of one moment."""
        return self.alone(self._capture)

    def _capture(self) -> Captured:
        writers = {key: bucket.writers.copy() for key, bucket in self._listed.items()}
        return Captured(self.seq, list(self.journal), self.contents(), writers, list(self.deletions), self._blocks)

    def contents(self) -> dict[StateKey, dict[str, Any]]:
        """What is committed in all buckets that have fields; inside a step."""
        return {key: bucket.fields.copy() for key, bucket in self._listed.items() if bucket.fields}

    def keys(self) -> list[StateKey]:
        """The buckets that were written to and not dropped, oldest first."""
        return self.alone(list, self._listed)

    def writers(self, key: StateKey, fields: Iterable[str] | None = None) -> dict[str, Event]:
        """For each field of a bucket, or each of *fields*, the event that last wrote it."""
        bucket = self._listed.get(key)
        records: dict[str, Record] = {} if bucket is None else self.alone(bucket.writers.copy)
        found = {name: records[name] for name in (records if fields is None else fields) if name in records}
        events = {
            id(record): Event.of(record) for record in {id(record): record for record in found.values()}.values()
        }
        return {name: events[id(record)] for name, record in found.items()}


def reentrant() -> ReentrantError:
    """What is raised when State is used from inside one of its own ops."""
    return ReentrantError(
        "State was used from inside one of its own ops, by a finaliser (__del__) or a signal handler; "
        "let that only note what is to be done, and do it later"
    )
