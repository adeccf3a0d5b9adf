"""The SQLite file of a store: its tables, how it is opened, and what its errors mean.

Values and actors are JSON. Events, and the contents of labels, are MessagePack, laid out as the structs in
`qstate_nb.stores.backend`; what a wait wants and holds are JSON arrays. All else are plain columns:

- ``meta``: ``epoch``; ``first``, the first of the events that are all kept; ``fence``, the number of the last lock;
  ``max_events``.
- ``buckets``: ``place`` orders those that are listed, and is NULL for others; ``expires`` is in seconds since the
  epoch.
- ``fields``: ``place`` orders those of a bucket; ``writer`` is the event that last wrote it, 0 if it isn't known. One
  row of each bucket, whose name is an empty blob, is no field: its writer is the bucket's version. It is here
  because a commit is the quicker the fewer pages it changes.
- ``events``: the last one is always there. Empty data stand for one that is not known any more.
- ``locks``, ``waits``, ``processes``: see `qstate_nb.stores.sqlite_locks`.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from qstate_nb.errors import StoreError, StoreUnavailableError

T = TypeVar("T")

APPLICATION_ID: Final = 0x71537462  # "qStb": tells our files from others

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
        "CREATE TABLE buckets (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, place INTEGER)",
        "CREATE INDEX unlisted ON buckets (id) WHERE place IS NULL",
        """CREATE TABLE fields (bucket INTEGER NOT NULL, name TEXT NOT NULL, place INTEGER NOT NULL,
            writer INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (bucket, name)) WITHOUT ROWID""",
        "CREATE TABLE events (seq INTEGER PRIMARY KEY, data BLOB NOT NULL)",
        """CREATE TABLE labels (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, seq INTEGER NOT NULL,
            contents BLOB NOT NULL)""",
        """CREATE TABLE processes (token TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL,
            started TEXT NOT NULL, deadline REAL NOT NULL) WITHOUT ROWID""",
        """CREATE TABLE locks (bucket TEXT PRIMARY KEY, fence INTEGER NOT NULL, process TEXT NOT NULL,
            who TEXT NOT NULL) WITHOUT ROWID""",
        """CREATE TABLE waits (waiter TEXT PRIMARY KEY, process TEXT NOT NULL, who TEXT NOT NULL,
            wanted TEXT NOT NULL, held TEXT NOT NULL) WITHOUT ROWID""",
    ),
    (
        "ALTER TABLE buckets ADD COLUMN expires REAL",
        "CREATE INDEX expiring ON buckets (expires) WHERE expires IS NOT NULL",
    ),
)
"""What makes version 1 of an empty file, version 2 of version 1, and so on."""

_OLDEST: Final = (3, 35)  # the first that has RETURNING

_BUSY: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}

_MEANINGS: Final = {
    sqlite3.SQLITE_FULL: "no space left where {path} is, and nothing was changed; make room, then it works again",
    sqlite3.SQLITE_READONLY: "{path} can't be written to; its file, those beside it (-wal, -shm) and its directory "
    "must be writable for this user",
    sqlite3.SQLITE_CANTOPEN: "{path} can't be opened; is its directory there, and may this user write to it?",
    sqlite3.SQLITE_PERM: "{path} can't be opened: this user may not",
    sqlite3.SQLITE_NOTADB: "{path} is no SQLite database, and was left as it is; give the name of another file",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged; go back to a copy of it, or save what can be read with "
    "`sqlite3 FILE .recover`",
    sqlite3.SQLITE_IOERR: "reading or writing {path} failed; look at the disk or file system",
    sqlite3.SQLITE_TOOBIG: "what was to be stored in {path} is larger than SQLite can hold, and nothing was changed",
}


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code, 0 if the error came from Python's module."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def explained(error: sqlite3.Error, path: str) -> StoreError:
    """What an error of SQLite means, and what to do."""
    code = code_of(error)
    if code in _BUSY:
        return StoreUnavailableError(
            f"{path} is locked by another process, and nothing was changed; is one of them stopped in the middle of "
            f"a write, or copying the file? ({error})"
        )
    meaning = _MEANINGS.get(code, "something is wrong with {path}")
    return StoreError(f"{meaning.format(path=path)} ({error})")


def patiently(step: Callable[[], T], seconds: float) -> T:
    """Do *step* again until no other process is in the way.

    SQLite itself doesn't wait in all cases; and where it does, then for so long between two looks that those who have
    waited longest get their turn last.

    Raises:
        sqlite3.OperationalError: it is still in the way after so many *seconds*.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if code_of(error) not in _BUSY or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.0005, 0.005))


def connected(path: str, durability: str, busy_timeout: float, *, is_first: bool) -> sqlite3.Connection:
    """A connection to a file, which is made, or brought to the current version, if it is the *is_first* of a process.

    Raises:
        StoreError: it can't be opened, or isn't ours.
    """
    if sqlite3.sqlite_version_info < _OLDEST:
        raise StoreError(f"SQLite is {sqlite3.sqlite_version} here, and 3.35 or newer is needed; use a newer Python")
    if os.path.isdir(path):
        raise StoreError(f"{path} is a directory; give the name of a file in it")
    uri = f"{Path(path).as_uri()}?mode={'rwc' if is_first else 'rw'}"
    connection = None
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
        return _prepared(connection, path, durability, busy_timeout)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise explained(error, path) from error
        raise


def _prepared(connection: sqlite3.Connection, path: str, durability: str, seconds: float) -> sqlite3.Connection:
    version = patiently(lambda: _version(connection, path), seconds)
    if patiently(lambda: value(connection, "PRAGMA journal_mode = WAL"), seconds) != "wal":
        raise StoreError(f"{path} is where SQLite's write-ahead log can't be used; take a disk of this machine")
    connection.execute(f"PRAGMA synchronous = {durability}")
    if version < len(MIGRATIONS):
        patiently(lambda: connection.execute("BEGIN IMMEDIATE"), seconds)
        _migrate(connection, _version(connection, path))
        connection.execute("COMMIT")
    return connection


def value(connection: sqlite3.Connection, sql: str, *parameters: object) -> object:
    """The first column of the first row, None if there is no row."""
    row = connection.execute(sql, parameters).fetchone()
    return None if row is None else row[0]


def _version(connection: sqlite3.Connection, path: str) -> int:
    """The version of the schema, 0 for an empty file.

    Raises:
        StoreError: the file is another application's, or a newer version's.
    """
    application, version, tables = connection.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)"
        " FROM pragma_application_id, pragma_user_version"
    ).fetchone()
    if application != APPLICATION_ID and (application, version, tables) != (0, 0, 0):
        raise StoreError(
            f"{path} is an SQLite database of something else, and was left as it is; give the name of another file"
        )
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} was written by a newer qstate_nb (version {version} of the file, this one knows "
            f"{len(MIGRATIONS)}), and was left as it is; upgrade qstate_nb"
        )
    return int(version)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a file to the current version, in the open transaction."""
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    if version == 0:
        meta = {"epoch": uuid.uuid4().hex, "first": 1, "fence": 0}
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
