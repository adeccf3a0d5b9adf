"""The connections to an SQLite file: one a thread, used by one process."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, TypeVar

from qstate_nb.errors import ReentrantError, StoreError
from qstate_nb.stores.sqlite_schema import connected, explained, patiently

T = TypeVar("T")

_OURS: Final = __file__.removesuffix("_connections.py")
_INHERITED: Final[list[sqlite3.Connection]] = []


class Connection:
    """One thread's connection. As a context manager, it is a transaction that writes.

    It is closed when nobody has it any more, so also when its thread ends.
    """

    def __init__(self, sql: sqlite3.Connection, path: str, busy_timeout: float) -> None:
        self.sql = sql
        self.is_busy = False
        self.is_closed = False
        self._path = path
        self._busy_timeout = busy_timeout
        self._pid = os.getpid()

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._begin("BEGIN IMMEDIATE")
        except BaseException as error:
            self.end("ROLLBACK")
            self._explain(error)
            raise
        return self.sql

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.sql.execute("COMMIT")
        except BaseException as failure:
            error = failure
            raise
        finally:
            self.end("ROLLBACK")
            self._explain(error)

    def read(self, look: Callable[[sqlite3.Connection], T]) -> T:
        """What *look* gives, of one moment."""

        def once() -> T:
            try:
                self._begin("BEGIN")
                return look(self.sql)
            finally:
                self.end("COMMIT")

        return self._patiently(once)

    def ask(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of one query."""

        def once() -> list[tuple[Any, ...]]:
            try:
                self.is_busy = True
                return self.sql.execute(sql, parameters).fetchall()
            finally:
                self.end("ROLLBACK")

        return self._patiently(once)

    def _patiently(self, once: Callable[[], T]) -> T:
        try:
            return patiently(once, self._busy_timeout)
        except (sqlite3.Error, UnicodeEncodeError) as error:
            self._explain(error)
            raise

    def _begin(self, statement: str) -> None:
        self.is_busy = True
        if self.sql.in_transaction:  # an interrupt came in the way of its end
            self.sql.execute("ROLLBACK")
        try:
            self.sql.execute(statement)
        except sqlite3.OperationalError:
            patiently(lambda: self.sql.execute(statement), self._busy_timeout)

    def end(self, statement: str) -> None:
        """End the transaction, if there is one still."""
        try:
            if self.sql.in_transaction:
                self.sql.execute(statement)
        except sqlite3.Error:
            pass  # it was closed, or SQLite has rolled it back by itself
        finally:
            self.is_busy = False
            if self.is_closed:
                self.sql.close()

    def _explain(self, error: BaseException | None) -> None:
        if isinstance(error, sqlite3.Error):
            if self.is_closed:
                raise StoreError(f"{self._path} was closed; open it anew") from error
            raise explained(error, self._path) from error
        if isinstance(error, UnicodeEncodeError):
            raise StoreError(f"{self._path} can't hold the text {error.object[:100]!r}: it is no Unicode") from error

    def close(self) -> None:
        """Close it, or let its thread do so at the end of its step."""
        self.is_closed = True
        if not self.is_busy:
            self.sql.close()

    def __del__(self) -> None:
        if os.getpid() == self._pid:
            self.sql.close()
        else:  # SQLite says that the copy that a fork makes must not even be closed
            _INHERITED.append(self.sql)


def _is_in_step() -> bool:
    """Whether this thread is in a step of a backend already, besides the one that asks."""
    frame: FrameType | None = sys._getframe(1)
    is_asking = True
    while frame is not None:
        is_ours = frame.f_code.co_filename.startswith(_OURS)
        if is_ours and not is_asking:
            return True
        is_asking = is_asking and is_ours
        frame = frame.f_back
    return False


class Connections:
    """The connections of one process to a file.

    Args:
        path: of the file, absolute.
        durability: ``normal`` or ``full``.
        busy_timeout: seconds to wait for other processes.
    """

    def __init__(self, path: str, durability: str, busy_timeout: float) -> None:
        self.path = path
        self._durability = durability
        self._busy_timeout = busy_timeout
        self._pid = os.getpid()
        self.is_closed = False
        self._local = threading.local()
        self._all: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._connect(is_first=True)

    def mine(self) -> Connection:
        """The one of this thread.

        Raises:
            StoreError: it can't be opened, or they were closed, or inherited by a fork.
            ReentrantError: this thread is using it.
        """
        if self.is_closed:
            raise StoreError(f"{self.path} was closed; open it anew")
        if os.getpid() != self._pid:
            raise StoreError(f"{self.path} was opened before a fork; open it anew in the new process")
        try:
            connection: Connection = self._local.connection
        except AttributeError:
            connection = self._connect()
        if connection.is_busy:
            if _is_in_step():
                raise ReentrantError(
                    f"{self.path} was used from inside one of its own steps, by a finaliser (__del__) or a signal "
                    "handler; let that only note what is to be done, and do it later"
                )
            connection.end("ROLLBACK")  # an interrupt came in the way of its end
        return connection

    def _connect(self, *, is_first: bool = False) -> Connection:
        sql = connected(self.path, self._durability, self._busy_timeout, is_first=is_first)
        connection = Connection(sql, self.path, self._busy_timeout)
        self._all.add(connection)
        self._local.connection = connection
        return connection

    def close(self) -> None:
        """Close all of them."""
        self.is_closed = True
        for connection in list(self._all):
            connection.close()
