"""What a shared store needs from where its data is: the `Backend` protocol.

A backend keeps buckets of named fields, the journal of what changed them, locks of transactions, and labels. It
knows bytes and names alone: `qstate_nb.stores.shared.SharedStore` makes State of it, the same for every backend.
Buckets are named as `str(StateKey)` writes them, and values, actors and the like are JSON (`qstate_nb.core.codec`).

Every method is atomic for all processes that use the same data, may block its thread, and may be called from any
thread. All may raise `StoreUnavailableError` (nobody answers), and `StoreError` (anything else that is wrong there).
None shows what has expired: a bucket whose time is over is emptied first, with an event ``expire``, unless a
transaction holds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

Raw: TypeAlias = bytes
"""A value as JSON."""

EXPIRY: Raw = b'{"task":"ttl"}'
"""The actor of an event ``expire``."""


class RawChange(msgspec.Struct, frozen=True, array_like=True):
    """One field of an event; None is for a field that was or is not there."""

    bucket: str
    field: str
    before: Raw | None
    after: Raw | None


class RawEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event as a backend keeps it.

    Args:
        seq: its number, from 1, without gaps.
        time: when it was committed, in seconds since the epoch.
        op: its name.
        refers_to: the events that it is about, if it is an undo, redo or rewind.
        actor: who did it, as JSON.
        changes: what changed, in order.
        drops: buckets that went off the list with it.
    """

    seq: int
    time: float
    op: str
    refers_to: tuple[int, ...]
    actor: Raw
    changes: tuple[RawChange, ...]
    drops: tuple[str, ...] = ()


class Stored(msgspec.Struct, frozen=True):
    """A bucket.

    Args:
        version: number of the last event that changed it; 0 if there was none.
        fields: in the order in which they were first set.
    """

    version: int
    fields: dict[str, Raw]


class RawLabel(msgspec.Struct, frozen=True):
    """A label: the number of the last event before it, and what was stored then: bucket → field → value."""

    seq: int
    contents: dict[str, dict[str, Raw]]


class Everything(msgspec.Struct, frozen=True):
    """All that a backend has, of one moment.

    Args:
        epoch: changes when the past is replaced.
        seq: number of the last event.
        events: those that are kept, oldest first.
        buckets: all that are listed, oldest first, with their fields.
        writers: bucket → field → the event that last wrote it, where that is not among *events* but still known.
        labels: by name.
    """

    epoch: str
    seq: int
    events: Sequence[RawEvent]
    buckets: Mapping[str, Mapping[str, Raw]]
    writers: Mapping[str, Mapping[str, RawEvent]]
    labels: Mapping[str, RawLabel]


class Commit(msgspec.Struct, frozen=True):
    """What is to be changed, as one event.

    Args:
        id: tells it apart from all others, of all processes.
        op, refers_to, actor, drops: of the event; all fields of what is dropped are deleted by *changes*.
        changes: bucket, field, and the value after, None to delete it. If there are neither these nor *refers_to*,
            there is no event, but all else is done.
        versions: buckets, each with the version that it must still have.
        fences: buckets that a transaction holds, each with the number of its lock, which must be held still; they are
            let go of.
        last: if given, the number of the event that must still be the last one.
        expires: buckets, each with the seconds after which it expires, or None so that it never does. Others keep
            their time, but a bucket that is dropped loses it.
    """

    id: str
    op: str
    actor: Raw
    changes: Sequence[tuple[str, str, Raw | None]]
    refers_to: tuple[int, ...] = ()
    drops: tuple[str, ...] = ()
    versions: Mapping[str, int] = {}
    fences: Mapping[str, int] = {}
    last: int | None = None
    expires: Mapping[str, float | None] = {}


class Committed(msgspec.Struct, frozen=True):
    """It is done.

    Args:
        seq: number of the event, None if nothing was changed.
        time: of the event, in seconds since the epoch.
        befores: for each change, the value before.
    """

    seq: int | None
    time: float = 0.0
    befores: tuple[Raw | None, ...] = ()


class Stale(msgspec.Struct, frozen=True):
    """Nothing was done: a version or `Commit.last` is another one now.

    Args:
        buckets: those of `Commit.versions`, as they are now.
    """

    buckets: Mapping[str, Stored]


class Held(msgspec.Struct, frozen=True):
    """Nothing was done: a transaction holds a bucket.

    Args:
        bucket: the first such one.
        by: who, for messages, such as ``step1 #3 @worker-1:4711``.
    """

    bucket: str
    by: str


class Lost(msgspec.Struct, frozen=True):
    """Nothing was done: a lock is not held any more, as this process stood still for longer than the lease."""

    bucket: str


class Acquired(msgspec.Struct, frozen=True):
    """Locks were taken: bucket → the number of its lock, and bucket → what it has."""

    fences: Mapping[str, int]
    buckets: Mapping[str, Stored]


class Link(msgspec.Struct, frozen=True):
    """One of those who wait for each other: who, the buckets that they hold, and the one that they wait for."""

    who: str
    holds: tuple[str, ...]
    wants: str


class Deadlocked(msgspec.Struct, frozen=True):
    """Nothing was taken: who holds a bucket waits, maybe through others, for what the caller holds.

    Args:
        cycle: the caller first; what each one wants, the next one holds, and the last one wants what the caller has.
    """

    cycle: Sequence[Link]


class Backend(Protocol):
    """Where the data of a shared store is. It belongs to one process, which it knows by a token of its own.

    Attributes:
        url: what it was opened with, without a password: for displays.
        max_events: how many events are kept at least, None for all.
        lease: seconds after which the locks of a process that doesn't `renew` them are void.
    """

    url: str
    max_events: int | None
    lease: float

    def read(self, bucket: str) -> Stored:
        """A bucket; one without fields if it isn't there."""

    def read_field(self, bucket: str, field: str) -> Raw | None:
        """The value of a field, or None if it isn't there."""

    def commit(self, commit: Commit) -> Committed | Stale | Held | Lost:
        """Change something, together with its event, or nothing.

        A bucket of *changes*, *versions* or *drops* mustn't be held by any transaction, but for those of *fences*.
        It is answered for all that must be so, in this order: `Lost`, `Held`, `Stale`.

        When the answer says `Committed`, it is stored as safely as the backend promises. If the connection is lost
        meanwhile, it finds out what became of it by itself; `StoreUnavailableError.is_done` says what it knows.
        """

    def acquire(
        self, wanted: Sequence[str], held: Sequence[str], waiter: str, who: str
    ) -> Acquired | Held | Deadlocked:
        """Take the locks of all these buckets for a transaction, or none; doesn't wait.

        Args:
            wanted: the buckets, none of which the caller holds.
            held: buckets that can't be let go of before the caller has got these: for the search for deadlocks.
            waiter: tells this wait apart from all others. Until it has got its locks, was told of a deadlock, or
                `forget` is called, it counts as waiting, with what the last call said.
            who: for messages.

        Each lock has a number, its fence, which is never used again; it is what proves it in `commit`.
        """

    def release(self, fences: Mapping[str, int]) -> None:
        """Let go of locks, as far as they are still held."""

    def forget(self, waiter: str) -> None:
        """Somebody waits no longer."""

    def renew(self) -> None:
        """Keep the locks of this process for another `lease`; called often enough while it has any."""

    def since(self, epoch: str, seq: int) -> Sequence[RawEvent] | None:
        """All events after that number; None if they are not all kept, or the epoch is another one now."""

    def load(self) -> Everything:
        """All that there is."""

    def replace(self, everything: Everything) -> None:
        """Replace all data, journal and labels; the given epoch doesn't count, a new one begins.

        Raises:
            HistoryError: a transaction holds a bucket.
        """

    def wait(self, seq: int, timeout: float) -> None:
        """Come back when there may be an event after that number, soon after `wake`, or after so many seconds."""

    def wake(self) -> None:
        """Let whoever is in `wait`, or comes to it next, come back."""

    def labels(self) -> Mapping[str, RawLabel]:
        """All labels."""

    def set_label(self, name: str, label: RawLabel) -> None:
        """Add a label, or move it."""

    def set_expiry(self, bucket: str, seconds: float | None) -> None:
        """Let a bucket expire after so many seconds from now, or never. Nothing happens if it isn't listed."""

    def sweep(self) -> float | None:
        """Empty all buckets whose time is over; gives the seconds until the next one's, None if there is none."""

    def close(self) -> None:
        """Give up connections and locks; may be called twice. Other methods then raise StoreError."""
