"""Locks of transactions in an SQLite file, who waits for them, and which processes live.

All of it runs in a write transaction of the caller. A lock is void when its process is dead, or has not renewed it
in time; whoever finds a void lock in the way deletes it, so a process whose lock is still there was never passed by.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import sqlite3
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from qstate_nb.stores.backend import Deadlocked, Link


class Lock(NamedTuple):
    """Who holds a bucket: the number of the lock, the token of the process, and a text for messages."""

    fence: int
    process: str
    who: str


class Process:
    """One process, as others see it: the one that this runs in.

    Args:
        lease: seconds for which its locks are good, if it doesn't renew them.
    """

    def __init__(self, lease: float) -> None:
        self.token = uuid.uuid4().hex
        self._lease = lease
        self._pid = os.getpid()
        self._started = _started(self._pid) or ""

    def sign(self, connection: sqlite3.Connection) -> None:
        """Write down that it lives."""
        connection.execute(
            "INSERT INTO processes VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET deadline = excluded.deadline",
            (self.token, _host(), self._pid, self._started, time.time() + self._lease),
        )

    def renew(self, connection: sqlite3.Connection) -> None:
        """Put its deadline off, if it has one."""
        connection.execute(
            "UPDATE processes SET deadline = ? WHERE token = ?", (time.time() + self._lease, self.token)
        )

    def leave(self, connection: sqlite3.Connection) -> None:
        """Give up all that it has, and what dead ones have left."""
        alive = _alive(connection) - {self.token}
        marks = ", ".join("?" * len(alive))
        for table, column in (("locks", "process"), ("waits", "process"), ("processes", "token")):
            connection.execute(f"DELETE FROM {table} WHERE {column} NOT IN ({marks})", tuple(alive))  # noqa: S608


def locks(connection: sqlite3.Connection) -> dict[str, Lock]:
    """All locks that are there, void or not."""
    return {row[0]: Lock(*row[1:]) for row in connection.execute("SELECT bucket, fence, process, who FROM locks")}


def _alive(connection: sqlite3.Connection) -> set[str]:
    """The tokens of the processes whose locks are not void."""
    now, host = time.time(), _host()
    rows = connection.execute("SELECT token, host, pid, started, deadline FROM processes").fetchall()
    return {
        token
        for token, its_host, pid, started, deadline in rows
        if deadline >= now and (its_host != host or _lives(pid, started))
    }


def blocker(connection: sqlite3.Connection, buckets: Sequence[str], found: Mapping[str, Lock]) -> str | None:
    """The first of these buckets that is really held.

    Args:
        found: what `locks` gave.
    """
    if found.keys().isdisjoint(buckets):
        return None
    alive = _alive(connection)
    return next((b for b in buckets if b in found and found[b].process in alive), None)


def clear(connection: sqlite3.Connection, buckets: Sequence[str], found: Mapping[str, Lock]) -> None:
    """Delete void locks on these buckets, as they are going to be changed."""
    connection.executemany("DELETE FROM locks WHERE bucket = ?", [(b,) for b in buckets if b in found])


def take(connection: sqlite3.Connection, buckets: Sequence[str], process: str, who: str) -> dict[str, int]:
    """Lock buckets that are free, or whose locks are void; the numbers of the locks."""
    ((last,),) = connection.execute(
        "UPDATE meta SET value = value + ? WHERE key = 'fence' RETURNING value", (len(buckets),)
    ).fetchall()
    fences = {bucket: last - n for n, bucket in enumerate(buckets)}
    connection.executemany(
        "INSERT OR REPLACE INTO locks VALUES (?, ?, ?, ?)",
        [(bucket, fence, process, who) for bucket, fence in fences.items()],
    )
    return fences


def release(connection: sqlite3.Connection, fences: Mapping[str, int]) -> None:
    """Let go of locks that are still there."""
    connection.executemany("DELETE FROM locks WHERE bucket = ? AND fence = ?", fences.items())


class Wait(NamedTuple):
    """Somebody who waits: the buckets that it wants and has."""

    who: str
    wanted: Sequence[str]
    held: Sequence[str]


def enter(connection: sqlite3.Connection, waiter: str, process: str, wait: Wait) -> Deadlocked | None:
    """Write down that somebody waits, unless that would be a deadlock."""
    leave(connection, waiter)
    alive = _alive(connection)
    rows = connection.execute("SELECT who, wanted, held, process FROM waits").fetchall()
    others = [Wait(who, json.loads(wanted), json.loads(held)) for who, wanted, held, its in rows if its in alive]
    cycle = _cycle(wait, others)
    if cycle is not None:
        return Deadlocked(cycle)
    row = (waiter, process, wait.who, json.dumps(wait.wanted), json.dumps(wait.held))
    connection.execute("INSERT INTO waits VALUES (?, ?, ?, ?, ?)", row)
    return None


def leave(connection: sqlite3.Connection, waiter: str) -> None:
    """Somebody waits no longer."""
    connection.execute("DELETE FROM waits WHERE waiter = ?", (waiter,))


def _cycle(caller: Wait, others: Sequence[Wait]) -> list[Link] | None:
    """The way from what the caller wants, through others, to what it holds; None if there is none."""
    paths = [(caller, [Link(caller.who, tuple(caller.held), wanted)]) for wanted in caller.wanted]
    seen: list[Wait] = []
    while paths:
        last, path = paths.pop()
        if last is not caller and path[-1].wants in caller.held:
            return path
        for other in others:
            if path[-1].wants in other.held and other not in seen:
                paths += [(other, [*path, Link(other.who, tuple(other.held), wanted)]) for wanted in other.wanted]
        seen.append(last)
    return None


@functools.cache
def _host() -> str:
    """Where a process number means the same process: the host, since it was started, and its container."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        pass  # no Linux
    return " ".join(parts)


def _started(pid: int) -> str | None:
    """When a process was started, as a text that tells it from another one of the same number; None if it is dead.

    Empty if the system doesn't tell.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else ""
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # its name, in parentheses, can hold anything
    return None if fields[0] in "ZX" else fields[19]


def _lives(pid: int, started: str) -> bool:
    """Whether a process of this host is still there."""
    now = _started(pid)
    if now is None or os.name != "posix":  # elsewhere, a signal 0 would end it
        return now is not None
    if now:
        return now == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is somebody else's
    return True
