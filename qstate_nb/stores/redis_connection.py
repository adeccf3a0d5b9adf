"""Connections to a Redis server: what is sent, how long to wait, and what its errors mean.

redis-py is used for what it knows best (URLs, sockets, TLS, logging in, parsing replies), and imported here alone.
Its retries are off: they would run a script again that was run.
"""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic, sleep
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from qstate_nb.errors import MissingPackageError, StoreError, StoreUnavailableError
from qstate_nb.stores.redis_scripts import Script

T = TypeVar("T")

_PAUSE = 0.01  # seconds before the third attempt; doubled for each one after, up to _LONGEST_PAUSE
_LONGEST_PAUSE = 0.5
_LAST = 0.002  # seconds that an attempt needs
_BUSY = {"BUSY", "LOADING", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "UNBLOCKED"}
"""First words of errors that mean: not done, try again."""
_WORDS = {
    "BusyLoadingError": "LOADING",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "MovedError": "MOVED",
    "NoPermissionError": "NOPERM",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "TryAgainError": "TRYAGAIN",
}
"""Errors of redis-py → the first word of what Redis sent, which it has cut off."""
_HINTS = {
    "MISCONF": "it can't write to its disk, and so changes nothing",
    "MOVED": "the data is on another node of the cluster: open the URL of that one",
    "NOPERM": "the user may not do what is needed: allow it with ACL SETUSER",
    "NOREPLICAS": "it has too few replicas to change anything",
    "OOM": "it has no memory left (maxmemory), and so changes nothing",
    "READONLY": "it is a replica: open the URL of its master",
    "WRONGTYPE": "something else is stored under a key of this prefix",
}


class Broken(Exception):  # noqa: N818 - it is caught here and in redis.py
    """The connection is gone, or nothing came in time: nobody knows whether the command was run."""


class Busy(Exception):  # noqa: N818 - as above
    """The server says that it can't just now; the command was not run."""


def redis_py() -> Any:
    """The package redis.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import redis
    except ImportError:
        raise MissingPackageError(
            "to keep State in Redis, redis-py is needed: pip install 'qstate-nb[redis]'"
        ) from None
    return redis


def without_password(url: str) -> str:
    """The URL as it may be shown.

    Example:
        >>> without_password("redis://ann:secret@example.org:6380/1?password=x&prefix=shop")
        'redis://ann@example.org:6380/1?prefix=shop'
    """
    parts = urlsplit(url)
    login, _, place = parts.netloc.rpartition("@")
    name = login.partition(":")[0]
    query = urlencode([(key, value) for key, value in parse_qsl(parts.query) if "password" not in key])
    return f"{parts.scheme}://{name}{'@' if name else ''}{place}{parts.path}{'?' if query else ''}{query}"


def packed(args: Sequence[bytes]) -> bytes:
    """A command as it is sent."""
    parts = [b"*%d\r\n" % len(args)]
    parts.extend([b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args])
    return b"".join(parts)


class Line:
    """One connection.

    Args:
        connection: of redis-py.
        errors: the module redis.exceptions.
    """

    def __init__(self, connection: Any, errors: Any) -> None:
        self._connection = connection
        self._errors = errors
        self._offset = 0.0
        self._timeout = 0.0
        self.is_new = True
        """Whether it must be opened before it is used."""

    def open(self, timeout: float) -> None:
        """Connect and log in."""
        connection = self._connection
        connection.socket_timeout = connection.socket_connect_timeout = self._timeout = timeout
        try:
            connection.connect()
        except self._errors.RedisError as error:
            raise self._meant(error) from error.__context__
        except (OSError, ValueError) as error:
            raise Broken(str(error)) from error

    def be_patient(self, timeout: float) -> None:
        """Wait at most so many seconds for a reply from now on."""
        if timeout != self._timeout:
            self._doing(lambda: self._connection._sock.settimeout(timeout))
            self._timeout = timeout

    def call(self, command: bytes) -> Any:
        """Send a command and give its reply.

        Raises:
            Broken: see there. Busy: see there. StoreError: Redis refuses it.
        """
        self.send(command)
        return self.reply()

    def send(self, command: bytes) -> None:
        """Send a command."""
        if self._connection._sock is None:  # redis-py would connect by itself
            raise Broken("the connection is closed")
        self._doing(lambda: self._connection.send_packed_command((command,), False))

    def reply(self) -> Any:
        """The next reply."""
        return self._doing(self._connection.read_response)

    def run(self, script: Script, keys: Sequence[bytes], args: Sequence[bytes]) -> Any:
        """Run a script; one round trip if the server knows it."""
        rest = (b"%d" % len(keys), *keys, *args)
        try:
            return self.call(packed((b"EVALSHA", script.sha, *rest)))
        except self._errors.NoScriptError:
            return self.call(packed((b"EVAL", script.text, *rest)))

    def _doing(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except self._errors.NoScriptError:
            raise
        except self._errors.RedisError as error:
            raise self._meant(error) from None
        except (OSError, ValueError, AttributeError) as error:  # the last two: another thread has closed it
            self.close()
            raise Broken(str(error)) from None

    def know_time(self, server: float, received: float) -> None:
        """Know the server's clock: it was *server* before it was *received* on the monotonic clock here."""
        self._offset = server - received

    def deadline(self, at: float) -> bytes:
        """A time of the monotonic clock, by the server's clock, or a bit before it."""
        return b"%.6f" % (at + self._offset)

    def cut(self) -> None:
        """End what another thread waits for on it."""
        found = self._connection._sock
        if found is not None:
            with suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        self._connection.disconnect()

    def _meant(self, error: Any) -> Exception:
        """What an error of redis-py means."""
        errors, text = self._errors, str(error)
        word = _WORDS.get(type(error).__name__) or text.partition(" ")[0]
        if word in _BUSY:
            return Busy(text)
        if isinstance(error, errors.AuthenticationError | errors.AuthorizationError):
            return StoreError(f"Redis lets nobody in with this name and password, or without one: {text}")
        if isinstance(error, errors.InvalidResponse):
            self.close()
            return StoreError("what answers there is no Redis server")
        if isinstance(error, errors.ConnectionError | errors.TimeoutError):
            self.close()
            return Broken(text)
        return StoreError(f"Redis refuses: {_HINTS.get(word, 'it says')}: {text}")


class Lines:
    """The connections of one process to one server, each used by one thread at a time.

    Args:
        url: as for `redis.Redis.from_url`.
        timeout: seconds that anything may take in all.

    Raises:
        StoreError: the URL can't be understood.
        MissingPackageError: redis-py is not installed.
    """

    def __init__(self, url: str, timeout: float) -> None:
        redis = redis_py()
        self._errors = redis.exceptions
        self._timeout = timeout
        self._free: list[Line] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._is_closed = False
        try:
            self.url = without_password(url)
            pool = redis.ConnectionPool.from_url(  # for its parser: it makes no more connections than it may
                url,
                retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
                protocol=2,
                decode_responses=False,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
            )
            self._connection = partial(pool.connection_class, **pool.connection_kwargs)
            self._connection()
        except (TypeError, ValueError):  # its text may have a part of the password
            raise StoreError(
                "this is no URL of a Redis server; write redis://user:password@host:port/db, special characters of "
                "the password like %2F; rediss:// is for TLS, and unix:///path?db=0 for a socket"
            ) from None
        where = pool.connection_kwargs
        self.place = str(where.get("path") or f"{where.get('host', 'localhost')}:{where.get('port', 6379)}")

    def take(self) -> Line:
        """A connection; if `Line.is_new`, it must be opened.

        Raises:
            StoreError: as `check`.
        """
        self.check()
        try:
            return self._free.pop()
        except IndexError:
            return self.new()

    def new(self) -> Line:
        """A connection that is not open yet."""
        return Line(self._connection(), self._errors)

    def check(self) -> None:
        """See whether they can be used.

        Raises:
            StoreError: they were closed, or are another process's.
        """
        if self._is_closed:
            raise StoreError(f"{self.url} was closed; open it anew")
        if self._pid != os.getpid():
            raise StoreError(f"{self.url} was opened before a fork; open it anew in the new process")

    def give(self, line: Line) -> None:
        """Nobody uses it for now."""
        self._free.append(line)
        if self._is_closed:
            self.close()

    def drop(self) -> None:
        """Close those that nobody uses: one has broken, so they have, too, or will."""
        while self._free:
            try:
                self._free.pop().close()
            except IndexError:  # another thread has
                return

    def close(self) -> None:
        """Close all; those that are in use when they are given back."""
        self._is_closed = True
        self.drop()

    def unavailable(self, why: object, is_done: bool | None = False) -> StoreUnavailableError:
        """The error that says so."""
        done = "the op was not done" if is_done is False else "nobody can tell whether the op was done"
        return StoreUnavailableError(
            f"Redis at {self.place} can't be reached, or doesn't answer within {self._timeout:g} s ({why}): {done}; "
            "look whether the server runs, and try again",
            is_done=is_done,
        )


class Attempts:
    """Attempts at one thing, with pauses that get longer, until the time is over.

    Args:
        timeout: seconds for all of them.
        sleep: waits for so many seconds.
    """

    def __init__(self, timeout: float, sleep: Callable[[float], object] = sleep) -> None:
        self.end = monotonic() + timeout
        self._half = timeout / 2
        self._pause = 0.0
        self._sleep = sleep

    @property
    def patience(self) -> float:
        """Seconds to wait for a reply: half of the time, so that there is time to look what became of it."""
        return max(0.001, min(self._half, self.end - monotonic()))

    def pause(self) -> bool:
        """Wait a bit before the next attempt; False if there is no time for one."""
        left = self.end - monotonic()
        self._sleep(max(0.0, min(self._pause * random.uniform(0.5, 1.0), left)))
        self._pause = min(max(_PAUSE, self._pause * 2), _LONGEST_PAUSE)
        return self.end - monotonic() > _LAST
