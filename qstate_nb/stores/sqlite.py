"""The SQLite backend: the data of a shared store in one file, for the processes of one machine.

The file is in WAL mode: readers never wait for a writer. Each thread has a connection of its own. Everything that
writes is one ``BEGIN IMMEDIATE`` transaction, data and event together, so killing a process at any instant takes
nothing that was committed and leaves nothing half done.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from qstate_nb.errors import HistoryError, ReentrantError, StoreError
from qstate_nb.stores import sqlite_locks as locking
from qstate_nb.stores import sqlite_tables as tables
from qstate_nb.stores.backend import (
    EXPIRY,
    Acquired,
    Commit,
    Committed,
    Deadlocked,
    Everything,
    Held,
    Lost,
    Raw,
    RawEvent,
    RawLabel,
    Stale,
    Stored,
)
from qstate_nb.stores.sqlite_connections import Connections
from qstate_nb.stores.sqlite_schema import value

_POLL: Final = 0.05  # seconds
_RETRY: Final = 1.0  # seconds after which to look again at a bucket whose time is over, but which is held


class SQLiteBackend:
    """A backend in an SQLite file, which is made if it isn't there. See `Backend` for the methods.

    Args:
        path: of the file. Two more are beside it while it is open, with ``-wal`` and ``-shm`` at the end.
        durability: what a power cut, or a crash of the operating system, may take. With ``normal``, the last
            commits, all of them whole, since the disk was last told to write (SQLite does so about each 1000 pages);
            with ``full``, nothing, but each commit waits for the disk. The end of a process takes nothing in either.
        max_events: how many events are kept at least, None for all. It belongs to the file: what made it
            counts, and the attribute says what that was.
        lease: seconds after which locks that are not renewed are void.
        busy_timeout: seconds to wait for other processes that write.

    Raises:
        StoreError: the file can't be opened, or isn't such a file.
        StoreUnavailableError: others have locked it for longer than *busy_timeout*.
        ValueError: *max_events* is less than 1.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Literal["normal", "full"] = "normal",
        max_events: int | None = 10_000,
        lease: float = 10.0,
        busy_timeout: float = 30.0,
    ) -> None:
        if durability not in ("normal", "full"):
            raise ValueError(f"durability must be 'normal' or 'full', not {durability!r}")
        if max_events is not None and max_events < 1:
            raise ValueError(f"max_events must be at least 1, or None to keep all, not {max_events}")
        self.url = f"sqlite:///{os.fspath(path)}"
        self.lease = lease
        self._connections = Connections(os.path.abspath(path), durability, busy_timeout)
        self._process = locking.Process(lease)
        self._waits: dict[str, tuple[Sequence[str], Sequence[str]]] = {}
        self._woken = threading.Condition()
        self._wakes = 0
        self._seen = threading.local()
        self.max_events = self._settled(max_events)
        self._journal = tables.Journal(self.max_events)

    def _settled(self, max_events: int | None) -> int | None:
        """Set how many events are kept, if nobody has; what it is."""
        with self._connections.mine() as sql:
            sql.execute("INSERT INTO meta VALUES ('max_events', ?) ON CONFLICT DO NOTHING", (max_events,))
            kept = value(sql, "SELECT value FROM meta WHERE key = 'max_events'")
        assert kept is None or isinstance(kept, int)
        return kept

    # Reading

    def read(self, bucket: str) -> Stored:
        """As `Backend.read`."""
        found, expires = tables.stored_and_expiry(self._connections.mine().ask(tables.READ, bucket))
        if expires is not None and expires <= time.time():
            self._expire_due(bucket)
            found, _ = tables.stored_and_expiry(self._connections.mine().ask(tables.READ, bucket))
        return found

    def read_field(self, bucket: str, field: str) -> Raw | None:
        """As `Backend.read_field`."""
        rows = self._connections.mine().ask(tables.READ_FIELD, bucket, field)
        if rows and rows[0][1] is not None and rows[0][1] <= time.time():
            self._expire_due(bucket)  # unless somebody else just has
            rows = self._connections.mine().ask(tables.READ_FIELD, bucket, field)
        return rows[0][0] if rows else None

    def since(self, epoch: str, seq: int) -> Sequence[RawEvent] | None:
        """As `Backend.since`."""

        def look(sql: sqlite3.Connection) -> list[RawEvent] | None:
            now = value(sql, "SELECT value FROM meta WHERE key = 'epoch'")
            return (
                tables.events(sql, "seq > ?", seq) if now == epoch and seq + 1 >= self._journal.first(sql) else None
            )

        self._expire_due()
        return self._connections.mine().read(look)

    def load(self) -> Everything:
        """As `Backend.load`."""
        self._expire_due()
        return self._connections.mine().read(self._journal.load)

    def labels(self) -> Mapping[str, RawLabel]:
        """As `Backend.labels`."""
        return self._connections.mine().read(tables.labels)

    # Writing

    def commit(self, commit: Commit) -> Committed | Stale | Held | Lost:
        """As `Backend.commit`."""
        with self._connections.mine() as sql:
            now = time.time()
            found, buckets = _found(sql, commit)
            if commit.fences or any(row[1] or (row[2] is not None and row[2] <= now) for row in buckets.values()):
                refused = self._made_way(sql, commit, buckets, now)
                if refused is not None:
                    return refused
                found, buckets = _found(sql, commit)
            if _is_stale(sql, commit, buckets):
                return Stale({bucket: tables.stored(sql, bucket) for bucket in commit.versions})
            return self._committed(sql, commit, now, found)

    def _made_way(
        self, sql: sqlite3.Connection, commit: Commit, buckets: Iterable[str], now: float
    ) -> Lost | Held | None:
        """Look at the locks of these buckets; let void ones, and what has expired, go."""
        held = locking.locks(sql)
        for bucket, fence in commit.fences.items():
            if bucket not in held or held[bucket].fence != fence:
                return Lost(bucket)
        free = [bucket for bucket in buckets if bucket not in commit.fences]
        blocked = locking.blocker(sql, free, held)
        if blocked is not None:
            return Held(blocked, held[blocked].who)
        locking.clear(sql, free, held)
        self._expire(sql, now, free)
        return None

    def _committed(
        self, sql: sqlite3.Connection, commit: Commit, now: float, found: Sequence[tables.Found]
    ) -> Committed:
        done = Committed(None)
        if commit.changes or commit.refers_to:
            heading = tables.Heading(now, commit.op, commit.refers_to, commit.actor, commit.drops)
            done = self._journal.write(sql, heading, commit.changes, found)
        tables.unlist(sql, commit.drops)
        for bucket, seconds in commit.expires.items():
            tables.set_expiry(sql, bucket, None if seconds is None else now + seconds)
        if commit.fences:
            locking.release(sql, commit.fences)
        return done

    def set_label(self, name: str, label: RawLabel) -> None:
        """As `Backend.set_label`."""
        with self._connections.mine() as sql:
            tables.set_label(sql, name, label)

    def replace(self, everything: Everything) -> None:
        """As `Backend.replace`."""
        with self._connections.mine() as sql:
            held = locking.locks(sql)
            blocked = locking.blocker(sql, list(held), held)
            if blocked is not None:
                raise HistoryError(f"{held[blocked].who} has a transaction on {blocked}; wait for its end")
            locking.clear(sql, list(held), held)
            self._journal.replace(sql, everything)

    # Expiry

    def set_expiry(self, bucket: str, seconds: float | None) -> None:
        """As `Backend.set_expiry`."""
        with self._connections.mine() as sql:
            now = time.time()
            self._expire(sql, now, (bucket,))
            tables.set_expiry(sql, bucket, None if seconds is None else now + seconds)

    def sweep(self) -> float | None:
        """As `Backend.sweep`."""
        self._expire_due()
        ((due,),) = self._connections.mine().ask("SELECT min(expires) FROM buckets WHERE expires IS NOT NULL")
        left = None if due is None else due - time.time()
        return _RETRY if left is not None and left < 0 else left

    def _expire_due(self, bucket: str | None = None) -> bool:
        """Empty all buckets whose time is over, or this one; tells whether there may be such."""
        due = self._connections.mine().read(lambda sql: tables.due(sql, time.time()))
        if not due or (bucket is not None and bucket not in due):
            return False
        with self._connections.mine() as sql:
            self._expire(sql, time.time(), None if bucket is None else (bucket,))
        return True

    def _expire(self, sql: sqlite3.Connection, now: float, buckets: Sequence[str] | None) -> None:
        """Empty the buckets whose time is over, of all or of these, but for those that a transaction holds."""
        due = [bucket for bucket in tables.due(sql, now) if buckets is None or bucket in buckets]
        held = locking.locks(sql) if due else {}
        for bucket in due:
            if locking.blocker(sql, (bucket,), held) is None:
                locking.clear(sql, (bucket,), held)
                changes = [(bucket, field, None) for field in tables.stored(sql, bucket).fields]
                if changes:
                    found = [tables.look(sql, bucket, field) for _, field, _ in changes]
                    self._journal.write(sql, tables.Heading(now, "expire", (), EXPIRY, (bucket,)), changes, found)
                tables.unlist(sql, (bucket,))

    # Locks

    def acquire(
        self, wanted: Sequence[str], held: Sequence[str], waiter: str, who: str
    ) -> Acquired | Held | Deadlocked:
        """As `Backend.acquire`."""
        if self._waits.get(waiter) == (wanted, held):  # whoever comes last finds the deadlock
            still = self._connections.mine().read(lambda sql: self._blocked(sql, wanted))
            if still is not None:
                return still
        with self._connections.mine() as sql:
            self._process.sign(sql)
            answer: Acquired | Held | Deadlocked | None = self._blocked(sql, wanted)
            if answer is None:
                locking.leave(sql, waiter)
                self._expire(sql, time.time(), wanted)
                fences = locking.take(sql, wanted, self._process.token, who)
                answer = Acquired(fences, {bucket: tables.stored(sql, bucket) for bucket in wanted})
            else:
                wait = locking.Wait(who, tuple(wanted), tuple(held))
                answer = locking.enter(sql, waiter, self._process.token, wait) or answer
        if isinstance(answer, Held):
            self._waits[waiter] = (wanted, held)
        else:
            self._waits.pop(waiter, None)
        return answer

    def _blocked(self, sql: sqlite3.Connection, wanted: Sequence[str]) -> Held | None:
        found = locking.locks(sql)
        blocked = locking.blocker(sql, wanted, found)
        return None if blocked is None else Held(blocked, found[blocked].who)

    def release(self, fences: Mapping[str, int]) -> None:
        """As `Backend.release`."""
        with self._connections.mine() as sql:
            locking.release(sql, fences)

    def forget(self, waiter: str) -> None:
        """As `Backend.forget`."""
        self._waits.pop(waiter, None)
        with self._connections.mine() as sql:
            locking.leave(sql, waiter)

    def renew(self) -> None:
        """As `Backend.renew`."""
        with self._connections.mine() as sql:
            self._process.renew(sql)

    # Waiting

    def wait(self, seq: int, timeout: float) -> None:
        """As `Backend.wait`. A change is seen within 50 ms."""
        deadline = time.monotonic() + timeout
        seen = None
        while True:
            connection = self._connections.mine()
            version = connection.ask("PRAGMA data_version")
            if version != seen and connection.read(tables.last_seq) > seq:
                return
            seen = version
            left = deadline - time.monotonic()
            if left <= 0 or self._is_woken(min(left, _POLL)):
                return

    def _is_woken(self, seconds: float) -> bool:
        """Whether `wake` was called since this thread last asked, or is within so many seconds."""
        before = getattr(self._seen, "wakes", 0)
        with self._woken:
            self._woken.wait_for(lambda: self._wakes != before, seconds)
            self._seen.wakes = self._wakes
        return bool(self._seen.wakes != before)

    def wake(self) -> None:
        """As `Backend.wake`."""
        with self._woken:
            self._wakes += 1
            self._woken.notify_all()

    def close(self) -> None:
        """As `Backend.close`."""
        if self._connections.is_closed:
            return
        try:
            with self._connections.mine() as sql:
                self._process.leave(sql)
        except (StoreError, ReentrantError):
            pass  # its locks are void when the lease is over
        self._connections.close()
        self.wake()


def _found(sql: sqlite3.Connection, commit: Commit) -> tuple[list[tables.Found], dict[str, tables.Found]]:
    """What there is of each field that a commit changes, and of each bucket that mustn't be held."""
    found = [tables.look(sql, bucket, field) for bucket, field, _ in commit.changes]
    buckets = {change[0]: row for change, row in zip(commit.changes, found, strict=True)}
    for bucket in (*commit.versions, *commit.drops):
        if bucket not in buckets:
            buckets[bucket] = tables.look(sql, bucket)
    return found, buckets


def _is_stale(sql: sqlite3.Connection, commit: Commit, buckets: Mapping[str, tables.Found]) -> bool:
    if commit.last is not None and commit.last != tables.last_seq(sql):
        return True
    return any((buckets[bucket][5] or 0) != version for bucket, version in commit.versions.items())
