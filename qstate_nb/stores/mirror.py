"""The mirror of a shared store: all that it has, to be shown.

It is filled when somebody looks for the first time, and then brought up to date with the events that are new. Whoever
only runs ops has none.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from qstate_nb.core.buckets import Bucket
from qstate_nb.core.frames import Frame
from qstate_nb.core.history import Captured
from qstate_nb.core.journal import ABSENT, Contents, Event, Label, Record, Revert, fields_of
from qstate_nb.core.keys import StateKey
from qstate_nb.core.store import MemoryStore
from qstate_nb.errors import StoreError, StoreUnavailableError
from qstate_nb.stores.backend import Backend, Everything, RawChange, RawEvent, RawLabel
from qstate_nb.stores.codec import Actors, Values

if TYPE_CHECKING:
    from qstate_nb.core.saving import Saved

_log = logging.getLogger(__name__)

_AWAY = 1.0  # seconds between two tries to hear of news while the backend is away


_LONGEST_TELLING = 0.3  # seconds that an op waits for subscribers whom another thread tells of it
_LABELS = 1.0  # seconds after which labels that are only shown are read again


class _IsShown(threading.local):
    """Whether what this thread reads is only shown."""

    now = False


class Mirror(MemoryStore):
    """A memory store that shows what a backend has, and tells of what is new there.

    Args:
        backend: where the data is.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend.max_events)
        self.backend = backend
        self.url = backend.url
        self.values = Values(self.declared.get)
        self.token = secrets.token_hex(6)
        self.actors = Actors(self.token)
        self._numbers = itertools.count(1)
        self._epoch: str | None = None  # of what is mirrored
        self._unlisted: set[str] = set()  # names, of which a bucket went off the list, maybe the last one
        self._syncing = threading.RLock()
        self._telling = threading.RLock()
        self._untold: deque[Record] = deque()
        self._is_shown = _IsShown()
        self._last_labels: tuple[float, Mapping[str, Label]] = -_LABELS, {}
        self._follower: threading.Thread | None = None

    def sync(self) -> None:
        """Bring the mirror up to date, and tell subscribers what is new."""
        if self._is_shown.now and self._epoch is not None:
            return
        self._catch_up()
        self._deliver()

    def _catch_up(self) -> None:
        with self._syncing:
            news = None if self._epoch is None else self.backend.since(self._epoch, self.seq)
            if news is None:
                self._mirror(self.backend.load())
            else:
                for event in news:
                    self._take(self._record_of(event), event.drops)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """What is read in the block is only shown.

        If somebody subscribes, the mirror is kept up to date, so it is not asked for news each time; and while the
        backend is away, what is known last is shown.
        """
        if self._follower is None:
            self.sync()
        before, self._is_shown.now = self._is_shown.now, True
        try:
            yield
        finally:
            self._is_shown.now = before

    def set_away(self, reason: str) -> None:
        """Know that the backend is away, or, with an empty reason, that it isn't."""
        if reason != self.away:
            self.away = reason
            if reason and not self.is_closed:
                _log.warning("%s", reason)
            self.on_away.tell(reason)

    def _note(self, record: Record) -> None:
        """Take note of an event of this process; subscribers are told by `_deliver`, once nothing is held here."""
        if record[0] == self.seq + 1:
            with self._syncing:
                if record[0] == self.seq + 1:
                    self._take(record, ())
        if record[0] > self.seq:
            try:
                self._catch_up()
            except StoreUnavailableError as error:  # the op was done all the same
                _log.warning("%s", error)

    def _take(self, record: Record, drops: Iterable[str]) -> None:
        self.alone(self._mirrored, record, drops)
        if self.listener is not None:
            self._untold.append(record)

    def _mirrored(self, record: Record, drops: Iterable[str]) -> None:
        by_bucket: dict[Bucket, list[tuple[str, Any]]] = {}
        for at in range(4, len(record), 4):
            by_bucket.setdefault(self._known_bucket(record[at]), []).append((record[at + 1], record[at + 3]))
        super().write(record, list(by_bucket.items()))
        if record[2] in ("drop", "expire"):
            drops = map(str, dict.fromkeys(key for key, _ in fields_of(record)))
        for text in drops:
            self.unlist(self._known_bucket(StateKey.parse(text)))

    def unlist(self, bucket: Bucket) -> None:
        """As `MemoryStore.unlist`; whether it was the last one of its name is not known before there is a mirror."""
        self._off(bucket)
        if self._epoch is not None:
            self._free_names()

    def _off(self, bucket: Bucket) -> None:
        if bucket.is_listed:
            self._listed.pop(bucket.key, None)
            self._names[bucket.key.name].discard(bucket.key)
            self._unlisted.add(bucket.key.name)
            bucket.is_listed = False

    def _free_names(self) -> None:
        """Forget the names of which no bucket is listed any more."""
        for name in [name for name in self._unlisted if not self._names.get(name)]:
            self._names.pop(name, None)
            for owner in list(self.owners):
                owner.forget(name)
        self._unlisted.clear()

    def _deliver(self) -> None:
        """Tell subscribers what they don't know yet, each event once and in order, or wait until others have.

        Not for long, though: a subscriber that others tell may itself wait for a transaction around the calling code.
        """
        if (self._untold or self.listener is not None) and self._telling.acquire(timeout=_LONGEST_TELLING):
            try:
                while self._untold:
                    record = self._untold.popleft()
                    if self.listener is not None:
                        self.listener(record)
            finally:
                self._telling.release()

    def _record_of(self, event: RawEvent) -> Record:
        op = event.op
        kind: str | Revert = op
        if op in ("undo", "redo", "rewind"):
            kind = Revert(op, tuple(event.refers_to))  # type: ignore[arg-type]
        record: list[Any] = [event.seq, event.time, kind, self.actors.decode(event.actor)]
        shown = self.values.shown
        for text, field, before, after in map(_parts, event.changes):
            key = self._key(text)
            record += (key, field, shown(key, field, before), shown(key, field, after))
        return tuple(record)

    def _key(self, text: str) -> StateKey:
        return StateKey.parse(text)

    def _mirror(self, everything: Everything) -> None:
        """Fill the mirror anew."""
        records = [self._record_of(event) for event in everything.events]
        last = {field: record for record in records for field in fields_of(record)}
        writers = {
            (self._key(text), field): self._record_of(event)
            for text, fields in everything.writers.items()
            for field, event in fields.items()
        }
        self.alone(self._fill, everything, records, {**writers, **last})
        is_new = self._epoch is None
        self._epoch = everything.epoch
        if self.listener is not None and records and not is_new:
            self._untold.append(records[-1])  # so that displays show what is there now

    def _fill(
        self, everything: Everything, records: Sequence[Record], writers: Mapping[tuple[StateKey, str], Record]
    ) -> None:
        for bucket in list(self._known.values()):
            bucket.fields.clear()
            bucket.writers.clear()
            if bucket.key.scope is not None:
                self._off(bucket)
        for text, fields in everything.buckets.items():
            key = self._key(text)
            bucket = self._known_bucket(key)
            self._list(bucket)
            bucket.fields.update((field, self.values.shown(key, field, raw)) for field, raw in fields.items())
            bucket.writers.update((field, writers[key, field]) for field in fields if (key, field) in writers)
        self._free_names()
        self._blocks = {}
        for kept in (self.journal, self.deletions):
            kept.clear()
        self.journal.extend(records)
        self.deletions.extend(record for record in records if ABSENT in record[7::4])
        self.seq = everything.seq

    def subscribe(self, subscriber: Callable[[Event], object]) -> Callable[[], None]:
        """Call *subscriber* with each event from now on, of any process, until the returned function is called."""
        self.sync()
        unsubscribe = super().subscribe(subscriber)
        with self._subscribing:
            if self._follower is None:
                self._follower = threading.Thread(target=_follow, args=(weakref.ref(self),), daemon=True)
                self._follower.name = "qstate follower"
                self._follower.start()
        self._sweeper.plan(0)

        def remove() -> None:
            unsubscribe()
            if self.listener is None:
                self.backend.wake()

        return remove

    def names(self) -> list[str]:
        """The names of the listed buckets."""
        self.sync()
        return super().names()

    def is_listed(self, key: StateKey) -> bool:
        """Whether the bucket is listed."""
        self.sync()
        return super().is_listed(key)

    def peek(self, key: StateKey, frame: Frame | None = None) -> dict[str, Any]:
        """What is committed in a bucket, or what *frame* sees in it: only to be shown."""
        self.sync()
        return super().peek(key, frame)

    def records(self, last: int | None = None) -> list[Record]:
        """The records of the events that are kept, oldest first: all, or the *last* ones."""
        self.sync()
        return super().records(last)

    def capture(self) -> Captured:
        """All that there is, of one moment."""
        self.sync()
        return super().capture()

    def keys(self) -> list[StateKey]:
        """The buckets that were written to and not dropped, oldest first."""
        self.sync()
        return super().keys()

    def writers(self, key: StateKey, fields: Iterable[str] | None = None) -> dict[str, Event]:
        """For each field of a bucket, or each of *fields*, the event that last wrote it."""
        self.sync()
        return super().writers(key, fields)

    def label(self, name: str) -> int:
        """Give this moment a name; the number of the last event before it is the result."""
        now = self.capture()
        self.backend.set_label(name, RawLabel(now.seq, self._raw_contents(now.contents)))
        self._last_labels = -_LABELS, {}
        return now.seq

    @property
    def labels(self) -> Mapping[str, Label]:
        """Names for moments."""
        read, labels = self._last_labels
        if self._is_shown.now and (self.away or time.monotonic() < read + _LABELS):
            return labels
        labels = {
            name: Label(label.seq, {self._key(text): self._shown(text, raw) for text, raw in label.contents.items()})
            for name, label in self.backend.labels().items()
        }
        self._last_labels = time.monotonic(), labels
        return labels

    def _shown(self, text: str, fields: Mapping[str, bytes]) -> dict[str, Any]:
        key = self._key(text)
        return {field: self.values.shown(key, field, raw) for field, raw in fields.items()}

    def _raw_contents(self, contents: Contents) -> dict[str, dict[str, bytes]]:
        return {
            str(key): {field: self.values.encode(key, field, value) for field, value in fields.items()}
            for key, fields in contents.items()
        }

    def replace(self, saved: Saved, check: Callable[[], object]) -> None:
        """Replace all that is stored, the journal, and the labels, for all processes.

        No event gets a number that another one has had here: those of *saved* come after the last one.

        Raises:
            HistoryError: a transaction holds a bucket.
        """
        check()
        self.sync()
        saved = _moved(saved, self.seq)
        scratch = MemoryStore(None)
        scratch.replace(saved, int)
        now = scratch.capture()
        kept = {id(record) for record in saved.records}
        everything = Everything(
            "",
            now.seq,
            [self._raw_event(record) for record in saved.records],
            self._raw_contents(now.contents),
            {
                str(key): {
                    field: self._raw_event(record) for field, record in fields.items() if id(record) not in kept
                }
                for key, fields in now.writers.items()
            },
            {name: RawLabel(label.seq, self._raw_contents(label.contents)) for name, label in saved.labels.items()},
        )
        self.backend.replace(everything)
        self.sync()

    def _raw_event(self, record: Record) -> RawEvent:
        op, refers_to = record[2] if isinstance(record[2], Revert) else (record[2], ())
        changes = []
        for at in range(4, len(record), 4):
            key, field, before, after = record[at : at + 4]
            raws = [None if value is ABSENT else self.values.encode(key, field, value) for value in (before, after)]
            changes.append(RawChange(str(key), field, *raws))
        return RawEvent(record[0], record[1], op, refers_to, self.actors.encode(record[3]), tuple(changes))


def _moved(saved: Saved, by: int) -> Saved:
    """The same with other numbers for all events."""
    moved: dict[int, Record] = {}

    def move(record: Record) -> Record:
        found = moved.get(id(record))
        if found is None:
            seq, when, op, *rest = record
            if isinstance(op, Revert):
                op = Revert(op.op, tuple(number + by for number in op.refers_to))
            found = moved[id(record)] = (seq + by, when, op, *rest)
        return found

    return msgspec.structs.replace(
        saved,
        seq=saved.seq + by,
        records=[move(record) for record in saved.records],
        writers={
            key: {name: move(record) for name, record in fields.items()} for key, fields in saved.writers.items()
        },
        labels={name: Label(label.seq + by, label.contents) for name, label in saved.labels.items()},
    )


def _parts(change: RawChange) -> tuple[str, str, bytes | None, bytes | None]:
    return change.bucket, change.field, change.before, change.after


def _follow(ref: weakref.ref[Mirror]) -> None:
    """Tell a store of the events of other processes, as long as it has subscribers."""
    while True:
        store = ref()
        if store is None:
            return
        with store._subscribing:
            if store.listener is None or store.is_closed:
                store._follower, store.away = None, ""
                return
        backend, seq = store.backend, store.seq
        del store
        reason = ""
        try:
            backend.wait(seq, 1.0)
            store = ref()
            if store is not None:
                store.sync()
        except StoreError as error:
            reason, store = str(error), ref()
        if store is not None:
            store.set_away(reason)
            del store
        if reason:
            time.sleep(_AWAY)
