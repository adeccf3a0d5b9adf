"""A bucket of the memory store, and a transaction's draft of one."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from time import time
from typing import TYPE_CHECKING, Any, Final

from qstate_nb.core.journal import ABSENT, Record, current_actor
from qstate_nb.core.keys import StateKey
from qstate_nb.core.ops import Fields
from qstate_nb.core.values import IMMUTABLE
from qstate_nb.errors import TransactionError

if TYPE_CHECKING:
    from qstate_nb.core.frames import Frame
    from qstate_nb.core.store import MemoryStore
    from qstate_nb.core.waiting import Waiter

CLOSED: Final[dict[str, Any]] = {}
"""What an op finds in place of the fields of a bucket that needs a closer look. It stays empty."""

KEEP: Final = -1.0
"""A draft's `expires` that leaves it at what it was."""

_actor = current_actor.get

_NUMBERS: Final[tuple[type, ...]] = (int, float)


def _can_add(old: Any, by: Any) -> bool:
    return type(old) in _NUMBERS and type(by) in _NUMBERS


class Bucket:
    """The fields of one key, and who holds them.

    Attributes:
        fields: what is stored; only changed under the store's lock, and a value in it never.
        open: `fields`, or `CLOSED` while the bucket is held, is not listed, is in doubt, or can expire: so that one
            look tells an op that it can go straight on.
        writers: for each field, the record of the event that last wrote it.
        is_listed: whether the store lists it; one that was never written to, or was dropped, is not.
        is_plain: whether no value that has to be copied was ever put in.
        holder: the innermost open transaction that holds it.
        queue: who waits for it, first come first.
        doubts: transactions that were rolled back here, as long as code that took part in one may still run.
        deadline: when it expires, in seconds since the epoch, or None.
    """

    __slots__ = (
        *("__weakref__", "_hot", "deadline", "doubts", "fields", "holder", "is_listed", "is_plain", "key", "open"),
        *("queue", "store", "writers"),
    )

    def __init__(self, store: MemoryStore, key: StateKey) -> None:
        self.store = store
        self.key = key
        self.fields: dict[str, Any] = {}
        self.open = CLOSED
        self.writers: dict[str, Record] = {}
        self.is_listed = False
        self.is_plain = True
        self.holder: Frame | None = None
        self.queue: list[Waiter] = []
        self.doubts: tuple[weakref.ref[Frame], ...] = ()
        self.deadline: float | None = None
        # Unpacking one tuple costs less than looking each of them up.
        self._hot = (*store.hot, self.fields, self.writers)

    def put(self, key: str, value: Any, op: str = "set") -> Record | None:
        """Set a field to an immutable value, or increment one, if nothing else is to be looked at.

        These are the most common ops, so they go at the least cost. A lock's ``with`` would cost twice as much as its
        methods; but an interrupt can come between any two of these lines, and the lock is an RLock because that
        knows whether it was taken.

        Args:
            op: ``set`` or ``increment``.

        Returns:
            The record of the event, or None if nothing was done, because it can't be done here.
        """
        if type(key) is not str or type(value) not in IMMUTABLE or self.open is CLOSED or self.store.is_busy:
            return None
        store, acquire, release, append, fields, writers = self._hot
        record = None
        try:
            acquire()
            store.is_busy = True
            before = fields[key] if key in fields else ABSENT  # noqa: SIM401 - a call costs more
            adds = op == "increment"
            if self.open is not fields or (adds and not _can_add(before, value)):
                store.is_busy = False
                release()
                return None
            seq = store.seq + 1
            record = (seq, time(), op, _actor(), self.key, key, before, before + value if adds else value)
            fields[key] = record[7]
            writers[key] = record
            append(record)
            store.seq = seq
            store.is_busy = False
            release()
        except BaseException:
            store.recover(self, record)
            raise
        if store.listener is not None:
            store.listener(record)
        return record

    def put_all(self, values: dict[str, Any]) -> dict[str, Any] | None:
        """As `put`, for several fields at once.

        Returns:
            A copy of all fields as they are then, or None if nothing was done.
        """
        for key, value in values.items():
            if type(key) is not str or type(value) not in IMMUTABLE:
                return None
        store, acquire, release, append, fields, writers = self._hot
        if store.is_busy or not values:
            return None
        record: Record | None = None
        try:
            acquire()
            store.is_busy = True
            if self.open is not fields:
                store.is_busy = False
                release()
                return None
            seq = store.seq + 1
            named = self.key
            entries = [seq, time(), "update", _actor()]
            for key, value in values.items():
                entries += (named, key, fields[key] if key in fields else ABSENT, value)  # noqa: SIM401
            record = tuple(entries)
            fields.update(values)  # in one step, for those who read without the lock
            writers.update(dict.fromkeys(values, record))
            append(record)
            store.seq = seq
            result = fields.copy()
            store.is_busy = False
            release()
        except BaseException:
            store.recover(self, record)
            raise
        if store.listener is not None:
            store.listener(record)
        return result

    def reopen(self) -> None:
        """Let ops go straight on again, if they can."""
        is_free = self.is_listed and self.holder is None and not self.doubts
        can_expire = self.deadline is not None or self.key.name in self.store.ttls
        self.open = self.fields if is_free and not can_expire else CLOSED

    def doubt(self, frame: Frame) -> None:
        """Note that a transaction was rolled back; code that took part in it mustn't go on as if nothing was."""
        self.doubts = (*self.doubts, weakref.ref(frame))

    def check_doubts(self, frame: Frame | None) -> None:
        """Refuse an op of code that took part in a transaction that was rolled back.

        Raises:
            TransactionError: it did.
        """
        if not self.doubts:
            return
        alive = [found for found in (doubt() for doubt in self.doubts) if found is not None]
        self.doubts = tuple(map(weakref.ref, alive))
        self.reopen()
        if frame is not None and any(frame.takes_part_in(each) for each in alive):
            raise TransactionError(
                f"the transaction on {self.key} that this code took part in was rolled back; await what you start "
                "inside a transaction before it ends, for example with asyncio.TaskGroup"
            )


class ClosedBucket(Bucket):
    """A bucket that is never open, so that every op asks the store."""

    __slots__ = ()

    open = property(lambda _: CLOSED, lambda *_: None)


class Draft:
    """A bucket as a transaction sees it: what it has changed, over what was there.

    Args:
        base: what was there.
        under: the transaction around it that the bucket was taken from, if any.

    Attributes:
        expires: the seconds after its end that the bucket is to expire, None for never; `KEEP` if that is as it was.

    Example:
        >>> draft = Draft({"a": 1, "b": 2})
        >>> draft.write([("a", ABSENT), ("c", 3)])
        >>> draft.copy(), "a" in draft, draft.net()
        ({'b': 2, 'c': 3}, False, [('a', <absent>), ('c', 3)])
    """

    __slots__ = ("base", "changed", "expires", "is_dropped", "under")

    def __init__(self, base: Fields, under: Frame | None = None) -> None:
        self.base = base
        self.under = under
        self.changed: dict[str, Any] = {}
        self.is_dropped = False
        self.expires: float | None = KEEP

    def get(self, key: str, default: Any, /) -> Any:
        """The value of *key*, or *default*."""
        value = self.changed.get(key, self)
        if value is self:
            return self.base.get(key, default)
        return default if value is ABSENT else value

    def __contains__(self, key: object, /) -> bool:
        return self.changed[key] is not ABSENT if key in self.changed else key in self.base

    def __iter__(self) -> Iterator[str]:
        changed = self.changed
        return iter([key for key in dict.fromkeys((*self.base, *changed)) if changed.get(key) is not ABSENT])

    def copy(self) -> dict[str, Any]:
        """All fields; those that were there keep their places."""
        return {key: self.get(key, None) for key in self}  # what was replaced isn't read: it may be unreadable

    def write(self, changes: Iterable[tuple[str, Any]]) -> None:
        """Note what an op changes."""
        self.changed.update(changes)

    def net(self) -> list[tuple[str, Any]]:
        """What is different in the end: a field that came and went is not."""
        return [(key, value) for key, value in self.changed.items() if value is not ABSENT or key in self.base]
