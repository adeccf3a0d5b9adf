"""What one process knows of its data in Redis, and how it gets something done there although connections break."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, TypeVar

import msgspec

from qstate_nb.errors import StoreError
from qstate_nb.stores import redis_replies as replies
from qstate_nb.stores.backend import Commit, Committed, Held, Lost, Stale
from qstate_nb.stores.redis_connection import Attempts, Broken, Busy, Line, Lines, packed
from qstate_nb.stores.redis_scripts import SCRIPTS

T = TypeVar("T")

_OLDEST = (6, 2)
_pack = msgspec.msgpack.Encoder().encode


class Known(msgspec.Struct, frozen=True):
    """What is known of the data.

    Args:
        epoch: see `Everything.epoch`.
        seq, id: the last event that is known.
        run: the run of the server in which that was so.
    """

    epoch: bytes = b""
    seq: int = 0
    id: bytes = b""
    run: bytes = b""


class Session:
    """One process and its data.

    Args:
        url, timeout: as for `Lines`.
        prefix: as for `RedisBackend`.
        max_events: how many events are kept if nobody has said it before, None for all.
    """

    def __init__(self, url: str, prefix: str, max_events: int | None, timeout: float) -> None:
        self.lines = Lines(url, timeout)
        self._name = uuid.uuid4().hex
        self.token = self._name.encode()
        self.max_events = max_events
        self.timeout = timeout
        self._prefix = f"{{{prefix}}}:".encode()
        self.keys = (self.key(b"meta"), self.key(b"events"))
        self._lock = threading.Lock()
        self.known = Known()
        self._fresh: set[str] | None = None  # what was read since the epoch changed, until all is; else None
        self._numbers = itertools.count(1)
        self._left: list[tuple[Mapping[str, int], Sequence[str]]] = []

    def key(self, kind: bytes, name: str | None = None) -> bytes:
        """A key; some have the name of a bucket."""
        return self._prefix + kind if name is None else b"%b%b:%b" % (self._prefix, kind, name.encode())

    # What is known

    def see(self, epoch: bytes, run: bytes | None = None) -> None:
        """Know the epoch. When it is a new one, the versions that were read before don't count any more."""
        if epoch == self.known.epoch and run is None:
            return
        with self._lock:
            known = self.known
            run = known.run if run is None else run
            if epoch == known.epoch:
                self.known = msgspec.structs.replace(known, run=run)
            else:
                self._fresh = set() if known.epoch else None
                self.known = Known(epoch, run=run)

    def know(self, epoch: bytes, seq: int, name: bytes, fresh: Iterable[str] = ()) -> None:
        """Know the number and id of an event, and that these buckets were read in this epoch."""
        self.see(epoch)
        with self._lock:
            known = self.known
            if epoch == known.epoch:
                if seq > known.seq:
                    self.known = Known(epoch, seq, name, known.run)
                if self._fresh is not None:
                    self._fresh.update(fresh)

    def know_all(self, epoch: bytes) -> None:
        """All buckets were read in this epoch."""
        with self._lock:
            if epoch == self.known.epoch:
                self._fresh = None

    def certain(self, commit: Commit) -> tuple[Mapping[str, int], int | None]:
        """Versions and last event of a commit, none of the epoch before: that may be another event's number now."""
        fresh = self._fresh
        if fresh is None:
            return commit.versions, commit.last
        versions = {bucket: version if bucket in fresh else -1 for bucket, version in commit.versions.items()}
        return versions, -1 if commit.last else commit.last  # before the first event, nothing was

    # Getting something done

    def open(self, line: Line, patience: float) -> None:
        """Connect, see what time it is there and whether the data is what it was, and do what is left to do."""
        line.open(patience)
        known = self.known
        asked = (known.epoch, known.run, b"%d" % known.seq, known.id, b"%d" % (self.max_events or 0))
        answer = line.run(SCRIPTS["check"], self.keys, asked)
        if answer[0] == b"denied":
            raise StoreError(
                f"the user of {self.lines.url} may not use {answer[1].decode()} on keys {self._prefix.decode()}*: "
                "allow it with ACL SETUSER"
            )
        line.know_time(float(answer[1]), monotonic())
        if answer[5] and tuple(map(int, answer[5].split(b".")[:2])) < _OLDEST:
            raise StoreError(
                f"Redis at {self.lines.place} is of version {answer[5].decode()}; 6.2 or newer is needed"
            )
        self.see(answer[2], answer[3])
        self.max_events = int(answer[4]) or None
        left, self._left = self._left, []
        try:
            for fences, waiters in left:
                line.run(SCRIPTS["release"], self.keys, (self.token, _pack(fences), _pack(waiters)))
        except BaseException:
            self._left += left
            raise

    def repeated(
        self,
        step: Callable[[Line, bytes], T],
        is_unsure: Callable[[], bool] | None = None,
        timeout: float | None = None,
    ) -> T:
        """What *step* gives on some connection; if that breaks, it is called again with another one.

        Args:
            step: gets the deadline, too, by the server's clock.
            is_unsure: tells after failures whether it may be done; by default, if a connection has broken in it.
            timeout: seconds for all of it, if other than usual.
        """
        attempts = Attempts(timeout or self.timeout)
        has_broken = False
        while True:
            line = self.lines.take()
            try:
                if line.is_new:
                    self.open(line, attempts.patience)
                    line.is_new = False
                line.be_patient(attempts.patience)
                deadline = line.deadline(attempts.end)
                try:
                    answer = step(line, deadline)
                except Broken:
                    has_broken = True
                    raise
            except (Broken, Busy) as error:
                line.close()
                self.lines.drop()
                if not attempts.pause():
                    unsure = has_broken if is_unsure is None else is_unsure()
                    raise self.lines.unavailable(error, None if unsure else False) from None
            except BaseException as error:
                if isinstance(error, StoreError) and not line.is_new:
                    self.lines.give(line)  # it was refused, and that is all
                else:
                    line.close()
                raise
            else:
                self.lines.give(line)
                return answer

    def asked(self, script: str, *args: bytes, keys: Sequence[bytes] | None = None) -> Any:
        """What a script answers that may be run twice, at any time."""
        return self.repeated(lambda line, _: line.run(SCRIPTS[script], keys or self.keys, args))

    def told(self, script: str, *args: bytes) -> Any:
        """What a script answers that may be run twice, but not after its deadline, nor after the next attempt."""
        pending: list[str] = []

        def step(line: Line, deadline: bytes) -> Any:
            attempt = f"{self._name}:{next(self._numbers)}"
            request = (deadline, attempt.encode(), _pack(pending), *args)
            pending.append(attempt)
            try:
                return in_time(line.run(SCRIPTS[script], self.keys, request))
            except Busy:  # it was not run
                pending.remove(attempt)
                raise

        return self.repeated(step)

    def sent(self, *command: bytes, timeout: float | None = None) -> Any:
        """The reply to a command that may be run twice, at any time."""
        whole = packed(command)
        return self.repeated(lambda line, _: line.call(whole), timeout=timeout)

    def release(self, fences: Mapping[str, int], waiters: Sequence[str]) -> None:
        """Let go of locks, and of all that these waiters have; if nobody answers, when somebody does again."""
        try:
            self.asked("release", self.token, _pack(fences), _pack(waiters))
        except StoreError:
            self.release_later(fences, waiters)
            raise

    def release_later(self, fences: Mapping[str, int], waiters: Sequence[str]) -> None:
        """The same on the next connection."""
        self._left.append((fences, waiters))


class Sending:
    """A commit on its way.

    Attributes:
        pending: the attempt of which nobody knows what became, if any.
    """

    def __init__(self, session: Session, commit: Commit) -> None:
        self.pending = b""
        self._session = session
        self._commit = commit
        self._known = session.known
        self._name = commit.id.encode()
        self._keys = (*session.keys, *[session.key(b"bucket", name) for name in replies.names(commit)])
        self._attempts = 0

    def step(self, line: Line, deadline: bytes) -> Committed | Stale | Held | Lost:
        """Look what became of the attempt before, if nobody knows, and make another one."""
        if self.pending:
            done = self._recovered(line, deadline)
            if done is not None:
                return done
        answer = self._attempt(line, deadline)
        while answer[0] == b"epoch":
            self._session.see(answer[1])
            answer = self._attempt(line, deadline)
        return self._meaning(in_time(answer))

    def _attempt(self, line: Line, deadline: bytes) -> Any:
        session = self._session
        self._attempts += 1
        attempt = b"%b:%d" % (self._name, self._attempts)
        kept = b"" if session.max_events is None else b"%d" % session.max_events
        self._epoch = session.known.epoch
        request = replies.request(self._commit, *session.certain(self._commit))
        self.pending = attempt
        try:
            answer = line.run(
                SCRIPTS["commit"],
                self._keys,
                (request, session.token, kept, self._epoch, attempt, deadline),
            )
        except (Busy, StoreError):  # it was refused
            self.pending = b""
            raise
        self.pending = b""
        return answer

    def _recovered(self, line: Line, deadline: bytes) -> Committed | None:
        """What became of the attempt before, if it was done; it surely won't be any more, if it wasn't."""
        known = self._known
        answer = line.run(
            SCRIPTS["recover"],
            self._session.keys,
            (self.pending, deadline, known.epoch, b"%d" % known.seq, self._name),
        )
        if answer[0] == b"unknown":
            raise self._session.lines.unavailable("so much was done meanwhile that nobody knows its end", None)
        self.pending = b""
        return replies.recovered(answer[1]) if answer[0] == b"found" else None

    def _meaning(self, answer: Sequence[Any]) -> Committed | Stale | Held | Lost:
        session, commit = self._session, self._commit
        if answer[0] == b"done":
            done = replies.committed(answer)
            if done.seq is not None:
                session.know(self._epoch, done.seq, self._name, commit.versions)
            return done
        if answer[0] == b"stale":
            found = {replies.text(name): replies.stored(bucket) for name, bucket in replies.pairs(answer[4:])}
            epoch, seq, name = answer[1:4]
            session.know(epoch, seq, name, found)
            return Stale(found)
        if answer[0] == b"lost" and self._attempts > 1 and not commit.changes:
            # an attempt before may have let go of the locks; the journal can't tell, as there is no event
            if commit.drops or commit.expires:
                raise session.lines.unavailable("the connection broke", None)
            return Committed(None)
        return replies.refused(answer)


def in_time(answer: Any) -> Any:
    """An answer.

    Raises:
        Busy: the script found that it came too late, by the server's clock, and did nothing.
    """
    if answer[0] == b"late":
        raise Busy("it came too late, by the server's clock")
    return answer
