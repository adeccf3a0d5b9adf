"""What is read from, and written to, the tables of an SQLite file, inside a transaction of the caller.

`qstate_nb.stores.sqlite_schema` tells what is in them.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from qstate_nb.stores.backend import Committed, Everything, Raw, RawChange, RawEvent, RawLabel, Stored
from qstate_nb.stores.sqlite_schema import value

BUCKET: Final = b""
"""The name of a bucket's own row among its fields."""

_PLACES: Final = 2**24  # per event: of more changes, the order isn't kept

Found: TypeAlias = tuple[int | None, bool, float | None, int | None, int | None, int | None, Raw | None, int | None]
"""Number of the last event, and whether there is any lock; then when a bucket expires, its id, place and version, and
a field's value and writer, all of them None if it isn't there."""

_SMALL: Final = 4096  # bytes of an event
_RARELY: Final = 64  # commits, of which one looks at large events

_LOOK: Final = """
    SELECT (SELECT max(seq) FROM events), EXISTS (SELECT 1 FROM locks),
        b.expires, b.id, b.place, own.writer, f.value, f.writer
    FROM (SELECT 1)
        LEFT JOIN buckets b ON b.name = ?
        LEFT JOIN fields own ON own.bucket = b.id AND own.name = x''
        LEFT JOIN fields f ON f.bucket = b.id AND f.name = ?"""

_PUT: Final = """
    INSERT INTO fields (bucket, name, place, writer, value) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET writer = excluded.writer, value = excluded.value"""

_PUT_ONE: Final = """
    INSERT INTO fields (bucket, name, place, writer, value) VALUES (?, ?, ?, ?, ?), (?, x'', -1, ?, x'')
    ON CONFLICT DO UPDATE SET writer = excluded.writer, value = excluded.value"""

READ: Final = """
    SELECT f.name, f.value, f.writer, b.expires FROM buckets b JOIN fields f ON f.bucket = b.id
    WHERE b.name = ? ORDER BY f.place"""
"""The rows of a bucket, its own first."""

READ_FIELD: Final = """
    SELECT f.value, b.expires FROM buckets b JOIN fields f ON f.bucket = b.id WHERE b.name = ? AND f.name = ?"""

_encode = msgspec.msgpack.Encoder().encode
_event = msgspec.msgpack.Decoder(RawEvent).decode
_contents = msgspec.msgpack.Decoder(dict[str, dict[str, Raw]]).decode


class Heading(NamedTuple):
    """Of an event, all but its number and its changes; see `RawEvent`."""

    time: float
    op: str
    refers_to: tuple[int, ...]
    actor: Raw
    drops: tuple[str, ...]


class Journal:
    """Writes events with what they change, and deletes old ones, a batch at a time.

    Events that are not kept, but are the last that wrote a field, stay in the file.

    Args:
        max_events: how many are kept at least, None for all.
    """

    def __init__(self, max_events: int | None) -> None:
        self.max_events = max_events
        self._batch = max(1, min(1000, (max_events or 0) // 10))

    def first(self, sql: sqlite3.Connection) -> int:
        """The number of the first event of those that are all kept."""
        first = value(sql, "SELECT value FROM meta WHERE key = 'first'")
        assert isinstance(first, int)
        return max(first, self._horizon(last_seq(sql)))

    def _horizon(self, seq: int) -> int:
        """The same, when that was the last event, if none were missing before."""
        if self.max_events is None:
            return 1
        return max(1, seq - seq % self._batch - self.max_events + 1)

    def write(
        self,
        sql: sqlite3.Connection,
        heading: Heading,
        changes: Sequence[tuple[str, str, Raw | None]],
        found: Sequence[Found],
    ) -> Committed:
        """Change fields, and write the event of it.

        Args:
            found: what `look` gave for each of the changes.
        """
        seq = ((found[0][0] or 0) if found else last_seq(sql)) + 1
        if len(changes) == 1 and changes[0][2] is not None and found[0][4] is not None:
            befores = _set_one(sql, seq, changes[0], found[0])
        else:
            befores = _set_all(sql, seq, changes, found)
        written = [RawChange(*change[:2], before, change[2]) for change, before in zip(changes, befores, strict=True)]
        _add_event(sql, RawEvent(seq, *heading[:4], tuple(written), heading.drops))
        self._trim(sql, seq, found)
        return Committed(seq, heading.time, befores)

    def _trim(self, sql: sqlite3.Connection, seq: int, overwritten: Iterable[Found]) -> None:
        """Delete events that the last one pushes out, and, of older ones, those that it has made superfluous."""
        first = self._horizon(seq)
        if first == 1:
            return
        for writer in {found[7] for found in overwritten}:
            if writer is not None and writer < first and (seq % _RARELY == 0 or _is_small(sql, writer)):
                _forget_events(sql, writer, writer)
        if seq % self._batch == 0:
            _forget_events(sql, self._horizon(seq - 1), first - 1)
            _forget_buckets(sql, first)

    def load(self, sql: sqlite3.Connection) -> Everything:
        """All that there is."""
        first = self.first(sql)
        older = {event.seq: event for event in events(sql, "seq < ?", first)}
        buckets: dict[str, dict[str, Raw]] = {}
        writers: dict[str, dict[str, RawEvent]] = {}
        rows = sql.execute(
            "SELECT b.name, f.name, f.value, f.writer FROM buckets b JOIN fields f ON f.bucket = b.id"
            " WHERE b.place IS NOT NULL ORDER BY b.place, f.place"
        )
        for bucket, field, content, writer in rows:
            if field == BUCKET:
                buckets[bucket] = {}
                continue
            buckets[bucket][field] = content
            if writer in older:
                writers.setdefault(bucket, {})[field] = older[writer]
        epoch = str(value(sql, "SELECT value FROM meta WHERE key = 'epoch'"))
        return Everything(epoch, last_seq(sql), events(sql, "seq >= ?", first), buckets, writers, labels(sql))

    def replace(self, sql: sqlite3.Connection, everything: Everything) -> None:
        """Replace all that there is."""
        for table in ("buckets", "fields", "events", "labels"):
            sql.execute(f"DELETE FROM {table}")  # noqa: S608 - they are ours
        older = {event.seq: event for fields in everything.writers.values() for event in fields.values()}
        kept = older | {event.seq: event for event in everything.events}
        _fill(sql, everything, [kept[seq] for seq in sorted(kept)])
        first = everything.events[0].seq if everything.events else everything.seq + 1
        sql.execute("UPDATE meta SET value = ? WHERE key = 'first'", (first,))
        sql.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (uuid.uuid4().hex,))
        _forget_events(sql, 0, self._horizon(everything.seq) - 1)
        sql.execute("INSERT INTO events VALUES (?, x'') ON CONFLICT DO NOTHING", (everything.seq,))
        for name, label in everything.labels.items():
            set_label(sql, name, label)


def look(sql: sqlite3.Connection, bucket: str, field: str | bytes = BUCKET) -> Found:
    """All that a commit must know of a field and its bucket, in one query."""
    found: Found = sql.execute(_LOOK, (bucket, field)).fetchone()
    return found


def stored(sql: sqlite3.Connection, bucket: str) -> Stored:
    """A bucket."""
    return stored_and_expiry(sql.execute(READ, (bucket,)).fetchall())[0]


def stored_and_expiry(rows: Sequence[tuple[Any, ...]]) -> tuple[Stored, float | None]:
    """What the rows of `READ` say."""
    if not rows:
        return Stored(0, {}), None
    (_, _, version, expires), *fields = rows
    return Stored(version, {name: content for name, content, _, _ in fields}), expires


def last_seq(sql: sqlite3.Connection) -> int:
    """The number of the last event."""
    seq = value(sql, "SELECT max(seq) FROM events")
    assert seq is None or isinstance(seq, int)
    return seq or 0


def events(sql: sqlite3.Connection, which: str, seq: int) -> list[RawEvent]:
    """Those that are known, by a condition on their number."""
    rows = sql.execute(f"SELECT data FROM events WHERE {which} AND data != x'' ORDER BY seq", (seq,))  # noqa: S608
    return [_event(row[0]) for row in rows]


def unlist(sql: sqlite3.Connection, buckets: Iterable[str]) -> None:
    """Take buckets off the list."""
    for bucket in buckets:
        sql.execute("UPDATE buckets SET place = NULL, expires = NULL WHERE name = ?", (bucket,))


def due(sql: sqlite3.Connection, now: float) -> list[str]:
    """The buckets whose time is over, the first one first."""
    return [row[0] for row in sql.execute("SELECT name FROM buckets WHERE expires <= ? ORDER BY expires", (now,))]


def set_expiry(sql: sqlite3.Connection, bucket: str, when: float | None) -> None:
    """Let a bucket expire then, or never, if it is listed."""
    sql.execute("UPDATE buckets SET expires = ? WHERE name = ? AND place IS NOT NULL", (when, bucket))


def labels(sql: sqlite3.Connection) -> dict[str, RawLabel]:
    """All labels, the oldest first."""
    rows = sql.execute("SELECT name, seq, contents FROM labels ORDER BY id")
    return {name: RawLabel(seq, _contents(contents)) for name, seq, contents in rows}


def set_label(sql: sqlite3.Connection, name: str, label: RawLabel) -> None:
    """Add a label, or move it."""
    sql.execute(
        "INSERT INTO labels (name, seq, contents) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET seq = excluded.seq, contents = excluded.contents",
        (name, label.seq, _encode(label.contents)),
    )


def _list(sql: sqlite3.Connection, bucket: str, place: int) -> int:
    """Put a bucket on the list; its id."""
    ((key,),) = sql.execute(
        "INSERT INTO buckets (name, place) VALUES (?, ?) ON CONFLICT DO UPDATE SET place = excluded.place"
        " RETURNING id",
        (bucket, place),
    ).fetchall()
    return int(key)


def _set_one(
    sql: sqlite3.Connection, seq: int, change: tuple[str, str, Raw | None], found: Found
) -> tuple[Raw | None, ...]:
    """Set a field of a bucket that is listed, as `_set_all` does: the most frequent commit, in one statement."""
    key = found[3]
    sql.execute(_PUT_ONE, (key, change[1], seq * _PLACES, seq, change[2], key, seq))
    return (found[6],)


def _set_all(
    sql: sqlite3.Connection, seq: int, changes: Sequence[tuple[str, str, Raw | None]], found: Sequence[Found]
) -> tuple[Raw | None, ...]:
    """Set and delete fields; their values before."""
    place = seq * _PLACES
    ids: dict[str, int] = {}
    after: dict[tuple[int, str], tuple[int, Raw | None]] = {}
    deletes: list[tuple[int, str]] = []
    befores: list[Raw | None] = []
    for at, (bucket, name, new) in enumerate(changes, place):
        _, _, _, key, listed, _, old, _ = found[at - place]
        if bucket not in ids:
            ids[bucket] = key if key is not None and listed is not None else _list(sql, bucket, at)
        field = (ids[bucket], name)
        befores.append(after[field][1] if field in after else old)  # a commit can change a field twice
        if new is None:
            deletes.append(field)
        after[field] = (at, new)
    sql.executemany("DELETE FROM fields WHERE bucket = ? AND name = ?", deletes)
    sql.executemany(_PUT, [(*field, at, seq, new) for field, (at, new) in after.items() if new is not None])
    sql.executemany(_PUT, [(key, BUCKET, -1, seq, b"") for key in ids.values()])
    return tuple(befores)


def _add_event(sql: sqlite3.Connection, event: RawEvent) -> None:
    sql.execute("INSERT INTO events VALUES (?, ?)", (event.seq, _encode(event)))


def _forget_events(sql: sqlite3.Connection, first: int, last: int) -> None:
    """Delete events, but for those that are the last that wrote some field."""
    rows = sql.execute("SELECT seq, data FROM events WHERE seq BETWEEN ? AND ? ORDER BY seq DESC", (first, last))
    seen: set[tuple[str, str]] = set()
    gone: list[tuple[int]] = []
    for seq, data in rows.fetchall():
        fields = {(change.bucket, change.field) for change in (_event(data).changes if data else ())}
        if all(look(sql, *field)[7] != seq for field in fields - seen):
            gone.append((seq,))
        seen |= fields  # older events didn't write them last
    sql.executemany("DELETE FROM events WHERE seq = ?", gone)


def _is_small(sql: sqlite3.Connection, seq: int) -> bool:
    """Whether it costs little to look at an event."""
    size = value(sql, "SELECT length(data) FROM events WHERE seq = ?", seq)
    return not isinstance(size, int) or size < _SMALL


def _forget_buckets(sql: sqlite3.Connection, first: int) -> None:
    """Forget the versions of buckets that are not listed, and that no event from *first* on has changed."""
    rows = sql.execute(
        "SELECT b.id FROM buckets b JOIN fields own ON own.bucket = b.id AND own.name = x''"
        " WHERE b.place IS NULL AND own.writer < ?",
        (first,),
    ).fetchall()
    sql.executemany("DELETE FROM buckets WHERE id = ?", rows)
    sql.executemany("DELETE FROM fields WHERE bucket = ?", rows)


def _fill(sql: sqlite3.Connection, everything: Everything, known: Iterable[RawEvent]) -> None:
    """Write buckets and events into empty tables."""
    versions: dict[str, int] = dict.fromkeys(everything.buckets, 0)
    writers: dict[tuple[str, str], int] = {}
    for event in known:
        _add_event(sql, event)
        for change in event.changes:
            versions[change.bucket] = writers[change.bucket, change.field] = event.seq
    for bucket, version in versions.items():
        key = _list(sql, bucket, len(writers))
        sql.execute(_PUT, (key, BUCKET, -1, version, b""))
        fields = everything.buckets.get(bucket, {})
        rows = [(key, f, at, writers.get((bucket, f), 0), raw) for at, (f, raw) in enumerate(fields.items())]
        sql.executemany(_PUT, rows)
    places = {bucket: place for place, bucket in enumerate(everything.buckets)}
    sql.executemany("UPDATE buckets SET place = ? WHERE name = ?", [(places.get(b), b) for b in versions])
