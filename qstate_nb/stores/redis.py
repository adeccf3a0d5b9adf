"""The Redis backend: the data of a shared store on a server, for the processes of all machines that reach it.

All that changes something is one Lua script (`qstate_nb.stores.redis_scripts`), data and event together, in one round
trip. When a connection breaks, nobody knows whether the script was run. What can be done twice is done again. A
commit is looked for in the journal, by its id, on a new connection; in the same step the attempt is made void, so
that it can't be run any more, wherever it still waits. Then it is done, or is sent again. When the time is over, the
last attempt can't be run any more either: each says until when, by the server's clock.

Redis tells when it has written something to its disk only with ``appendonly yes`` and ``appendfsync always``; with
other settings a crash of the server takes the last commits. This is noticed on the next connection: the data gets a
new epoch, so that everybody loads it again.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final

import msgspec

from qstate_nb.errors import HistoryError, StoreError
from qstate_nb.stores import redis_replies as replies
from qstate_nb.stores.backend import (
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
from qstate_nb.stores.redis_connection import Attempts, Broken, Busy, Line, packed
from qstate_nb.stores.redis_session import Sending, Session

_SLICE: Final = 1.0  # seconds of one blocking read: data that went back is noticed after it
_CLOSING: Final = 0.5  # seconds that it may take to say goodbye
_PARTS: Final = 2**64 - 1  # the second half of a stream's id, at most

_pack = msgspec.msgpack.Encoder().encode


class RedisBackend:
    """A backend in a Redis server, of version 6.2 or newer. See `Backend` for the methods.

    Args:
        url: ``redis://user:password@host:port/db``, ``rediss://…`` for TLS, or ``unix:///path?db=0``.
        prefix: all keys begin with it, in braces.
        max_events: how many events are kept at least, None for all. It belongs to the data: what made it counts, and
            the attribute says what that was.
        lease: seconds after which locks that are not renewed are void.
        timeout: seconds that the server may be away or silent, before StoreUnavailableError is raised.

    Raises:
        StoreError: the URL is wrong, or the server doesn't let us in, or isn't one that can be used.
        StoreUnavailableError: nobody answers.
        MissingPackageError: redis-py is not installed.
        ValueError: a number or the prefix can't be used.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "qstate",
        max_events: int | None = 10_000,
        lease: float = 10.0,
        timeout: float = 5.0,
    ) -> None:
        if max_events is not None and max_events < 1:
            raise ValueError(f"max_events must be at least 1, or None to keep all, not {max_events}")
        if not prefix or set(prefix) & set("{}"):
            raise ValueError(f"prefix must be a text without braces, not {prefix!r}")
        if not lease > 0 or not timeout > 0:
            raise ValueError(f"lease and timeout must be some seconds, not {lease} and {timeout}")
        self.lease = lease
        self._session = session = Session(url, prefix, max_events, timeout)
        self.url = session.lines.url
        self._is_alive = False
        self._woken = threading.Event()
        self._waiting: set[Line] = set()
        self._waiters: list[Line] = []
        session.repeated(lambda _line, _deadline: None)
        self.max_events = session.max_events

    # Reading

    def read(self, bucket: str) -> Stored:
        """As `Backend.read`."""
        epoch, seq, name, reply = self._session.asked("read", bucket.encode())
        found = replies.stored(reply)
        self._session.know(epoch, seq, name, (bucket,))
        return found

    def read_field(self, bucket: str, field: str) -> Raw | None:
        """As `Backend.read_field`."""
        session = self._session
        keys = (session.key(b"bucket", bucket), session.key(b"expiry"))
        found = session.asked("read_field", bucket.encode(), field.encode(), keys=keys)
        if found == 0:
            return self.read(bucket).fields.get(field)
        assert found is None or isinstance(found, bytes)
        return found

    def since(self, epoch: str, seq: int) -> Sequence[RawEvent] | None:
        """As `Backend.since`."""
        entries = self._session.asked("since", epoch.encode(), b"%d" % seq)
        if entries is None:
            return None
        found = replies.events(entries)
        if found:
            self._session.know(epoch.encode(), found[-1].seq, replies.last_id(entries))
        return found

    def load(self) -> Everything:
        """As `Backend.load`."""
        reply = self._session.asked("load")
        found = replies.everything(reply)
        self._session.know(*reply[:3])
        self._session.know_all(reply[0])
        return found

    def labels(self) -> Mapping[str, RawLabel]:
        """As `Backend.labels`; those of older moments first."""
        return replies.labels(self._session.sent(b"HGETALL", self._session.key(b"labels")))

    # Writing

    def commit(self, commit: Commit) -> Committed | Stale | Held | Lost:
        """As `Backend.commit`."""
        sending = Sending(self._session, commit)
        return self._session.repeated(sending.step, lambda: bool(sending.pending))

    def replace(self, everything: Everything) -> None:
        """As `Backend.replace`."""
        answer = self._session.told("replace", uuid.uuid4().hex.encode(), *replies.replacing(everything))
        if answer[0] == b"held":
            who, bucket = replies.text(answer[2]), replies.text(answer[1])
            raise HistoryError(f"{who} has a transaction on {bucket}; wait for its end")

    def set_label(self, name: str, label: RawLabel) -> None:
        """As `Backend.set_label`."""
        self._session.told("set_label", name.encode(), _pack(label))

    def set_expiry(self, bucket: str, seconds: float | None) -> None:
        """As `Backend.set_expiry`."""
        self._session.told("set_expiry", bucket.encode(), b"" if seconds is None else b"%.6f" % seconds)

    def sweep(self) -> float | None:
        """As `Backend.sweep`."""
        found = self._session.asked("sweep")
        return None if found is None else float(found)

    # Locks

    def acquire(
        self, wanted: Sequence[str], held: Sequence[str], waiter: str, who: str
    ) -> Acquired | Held | Deadlocked:
        """As `Backend.acquire`."""
        session = self._session
        self._is_alive = True
        request = (session.token, self._lease, waiter.encode(), who.encode(), _pack((wanted, held)))
        try:
            answer = session.told("acquire", *request)
        except BaseException:  # it may have got them
            session.release_later({}, (waiter,))
            raise
        if answer[0] == b"held":
            return Held(replies.text(answer[1]), replies.text(answer[2]))
        if answer[0] == b"deadlock":
            return replies.deadlocked(answer, who, held)
        found = replies.acquired(answer)
        epoch, seq, name = answer[1:4]
        session.know(epoch, seq, name, found.buckets)
        return found

    def release(self, fences: Mapping[str, int]) -> None:
        """As `Backend.release`; if nobody answers, it is done as soon as somebody does."""
        self._session.release(fences, ())

    def forget(self, waiter: str) -> None:
        """As `Backend.forget`."""
        self._session.sent(b"HDEL", self._session.key(b"waits"), waiter.encode())

    def renew(self) -> None:
        """As `Backend.renew`."""
        self._is_alive = True
        self._session.sent(b"SET", self._process, b"1", b"PX", self._lease)

    @property
    def _lease(self) -> bytes:
        return b"%d" % max(1, round(self.lease * 1000))

    @property
    def _process(self) -> bytes:
        return self._session.key(b"process", self._session.token.decode())

    # Waiting

    def wait(self, seq: int, timeout: float) -> None:
        """As `Backend.wait`."""
        end = monotonic() + timeout
        attempts: Attempts | None = None
        self._session.lines.check()
        while not self._woken.is_set():
            left = end - monotonic()
            if left <= 0:
                return
            try:
                if self._listened(seq, min(left, _SLICE)):
                    return
                attempts = None
            except (Broken, Busy) as error:
                attempts = attempts or Attempts(self._session.timeout, self._woken.wait)
                if not attempts.pause() and not self._woken.is_set():
                    raise self._session.lines.unavailable(error) from None
        self._woken.clear()

    def _listened(self, seq: int, seconds: float) -> bool:
        """Whether there is an event after that number, or may be, within so many seconds."""
        line = self._waiters.pop() if self._waiters else self._session.lines.new()
        self._waiting.add(line)
        try:
            if line.is_new:
                self._session.open(line, self._session.timeout / 2)
                line.is_new = False
            line.be_patient(seconds + self._session.timeout / 2)
            is_new = self._woken.is_set() or self._heard(line, seq, seconds)
        except BaseException:
            line.close()
            raise
        finally:
            self._waiting.discard(line)
        self._waiters.append(line)
        return is_new

    def _heard(self, line: Line, seq: int, seconds: float) -> bool:
        session = self._session
        ahead = packed((b"HMGET", session.keys[0], b"epoch", b"seq"))
        block, after = b"%d" % max(1, round(seconds * 1000)), b"%d-%d" % (seq, _PARTS)
        line.send(ahead + packed((b"XREAD", b"COUNT", b"1", b"BLOCK", block, b"STREAMS", session.keys[1], after)))
        epoch, last = line.reply()
        if epoch != session.known.epoch or int(last or 0) < seq:  # the data went back: there may be no event for long
            line.close()
            line.is_new = True
            return True
        return line.reply() is not None

    def wake(self) -> None:
        """As `Backend.wake`; if nobody waits, the next one comes back at once."""
        self._woken.set()
        for line in tuple(self._waiting):
            line.cut()

    def close(self) -> None:
        """As `Backend.close`."""
        if self._is_alive:
            self._is_alive = False
            with suppress(StoreError):  # its locks are void in any case when the lease is over
                self._session.sent(b"DEL", self._process, timeout=min(_CLOSING, self._session.timeout))
        self._session.lines.close()
        self.wake()
        while self._waiters:
            self._waiters.pop().close()
