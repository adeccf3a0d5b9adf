"""A store whose data other processes use as well: State on any `Backend`.

An op reads what it needs, works on that, and commits what it changes if the bucket is still as it was, or else does
so again on what it is now. A transaction locks its buckets in the backend, works here, and commits all of it with the
proof that it has the locks still. So every change is one commit, which has its event and gets its number there.

What is shown is a mirror of all that: `qstate_nb.stores.mirror`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from qstate_nb.core import ops
from qstate_nb.core.buckets import KEEP, Bucket, ClosedBucket
from qstate_nb.core.frames import Frame, current_frame
from qstate_nb.core.history import Written
from qstate_nb.core.journal import ABSENT, Actor, Record, Revert, current_actor
from qstate_nb.core.keys import StateKey
from qstate_nb.core.ops import Changes, Fields, Op
from qstate_nb.core.store import MUST_WAIT, Changed, reentrant
from qstate_nb.core.transactions import perform, timed_out
from qstate_nb.core.waiting import Pause, Steps, Work
from qstate_nb.errors import (
    DeadlockError,
    HistoryError,
    StateKeyError,
    StoreError,
    TransactionError,
    TransactionLostError,
    TransactionTimeoutError,
    Wait,
    WouldBlockError,
)
from qstate_nb.stores.backend import (
    Acquired,
    Backend,
    Commit,
    Committed,
    Deadlocked,
    Held,
    Lost,
    Stale,
    Stored,
)
from qstate_nb.stores.codec import RawFields, check_field
from qstate_nb.stores.mirror import Mirror

if TYPE_CHECKING:
    pass

_log = logging.getLogger(__name__)

_LANES = 8  # worker threads for async code; the ops on one bucket go to the same one, so that they keep their order
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05  # seconds between two looks for locks that others hold
_AWAY = 1.0  # seconds between two tries of what runs in the background, while the backend is away


class _Here(threading.local):
    """Whether this thread is in an op: a finaliser or a signal handler can run other code in the middle of it.

    Raises:
        ReentrantError: when it is entered: the thread is in one already.
    """

    is_busy = False

    def __enter__(self) -> None:
        if self.is_busy and _is_in_op():  # else an interrupt came in the way of its end
            raise reentrant()
        self.is_busy = True

    def __exit__(self, *_: object) -> None:
        self.is_busy = False


class SharedBucket(ClosedBucket):
    """A bucket of a shared store. What ops work on is never its `fields`, which only mirror what is stored.

    Attributes:
        text: its name in the backend.
        turn: held by the thread that runs an op on it, so that those of this process don't get in each other's way.
        hint: what was there at the end of the last op: version and fields, if they are known.
        fence: the number of its lock, while a transaction here has it.
        locked: what was there when it was locked.
    """

    __slots__ = ("fence", "hint", "locked", "text", "turn")

    def __init__(self, store: SharedStore, key: StateKey) -> None:
        super().__init__(store, key)
        self.text = str(key)
        self.turn = threading.Lock()
        self.hint: tuple[int, RawFields] | None = None
        self.fence: int | None = None
        self.locked = RawFields(store.values, key, {})
        self.is_plain = False  # what is read is kept, so it has to be copied


class SharedStore(Mirror):
    """A store on a backend; made by `qstate_nb.open_store`.

    Args:
        backend: where the data is; it is closed with the store.
    """

    is_shared = True

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._lanes = [ThreadPoolExecutor(1, f"qstate store {number}") for number in range(_LANES)]
        self._transactions = ThreadPoolExecutor(_LANES, "qstate store transactions")  # never waits for subscribers
        self._background = ThreadPoolExecutor(1, "qstate store rest")  # what nobody waits for, or only `settle`
        self._process = os.getpid()
        self._here = _Here()
        self._keeper: threading.Thread | None = None
        self._locked: set[SharedBucket] = set()
        self._releases: deque[Future[None]] = deque(maxlen=100)
        workers = [*self._lanes, self._transactions, self._background]
        self._finalizer = weakref.finalize(self, _close, backend, workers)

    def __repr__(self) -> str:
        return f"<SharedStore {self.url}>"

    def close(self) -> None:
        """Give up connections and locks. Nothing can be done with the store then."""
        self._finalizer()

    @property
    def is_closed(self) -> bool:  # type: ignore[override]
        """Whether nothing can be done with it any more."""
        return not self._finalizer.alive

    def _known_bucket(self, key: StateKey) -> Bucket:
        bucket = self._known.get(key)
        if bucket is None:
            bucket = self._known[key] = SharedBucket(self, key)
        return bucket

    def _work(self, bucket: Bucket, call: Callable[..., Any], *args: Any, is_whole: bool = False) -> Work:
        if self.is_closed:
            raise StoreError(f"{self.url} was closed; open it anew")
        if os.getpid() != self._process:  # worker threads don't survive a fork, and would be waited for
            raise StoreError(f"{self.url} was opened before a fork; open it anew in the new process")
        work = partial(call, *args)
        if is_whole or self.listener is not None:  # it takes part in the transactions of who waits for it
            work = partial(copy_context().run, work)
        workers = self._transactions if is_whole else self._lanes[hash(bucket.key) % _LANES]
        return Work(work, workers, is_whole=is_whole)

    # ---- ops

    def run(self, bucket: Bucket, op: Op, args: Sequence[Any], frame: Frame | None) -> Any:
        """Run an op inside a transaction here; any other has to go to the backend."""
        if bucket.holder is None and not bucket.doubts and not self.is_busy:
            return MUST_WAIT
        return self.alone(self._run_inside, bucket, op, args, frame)

    def _run_inside(self, bucket: Bucket, op: Op, args: Sequence[Any], frame: Frame | None) -> Any:
        holder = bucket.holder
        if holder is None:
            bucket.check_doubts(frame)
        if holder is None or frame is None or not frame.takes_part_in(holder):
            return MUST_WAIT
        _, changes = op(holder.drafts[bucket], *args)
        self._encoded(bucket, changes)  # raises if it can't be
        return holder.run(bucket, op, args)

    def waiting(self, bucket: Bucket, op: Op, args: Sequence[Any]) -> Steps[Any]:
        """Run an op in the backend; if a transaction holds the bucket, as one of its own."""
        if bucket.holder is None:
            assert isinstance(bucket, SharedBucket)
            result = yield self._work(bucket, self._attempt, bucket, op, args, current_actor.get())
            if result is not MUST_WAIT:
                return result
        return (yield from perform(bucket, op, args))

    def _attempt(self, bucket: SharedBucket, op: Op, args: Sequence[Any], actor: Actor) -> Any:
        with self._here:
            if op is ops.get:
                return self._read_field(bucket, args[0])
            if op is ops.get_all:
                return RawFields(self.values, bucket.key, self.backend.read(bucket.text).fields).copy()
            with bucket.turn:
                try:
                    result, record = self._change(bucket, op, args, actor)
                except BaseException:
                    bucket.hint = None
                    raise
        if record is not None:
            self._note(record)
            self._deliver()
        return result

    def _read_field(self, bucket: SharedBucket, field: str) -> Any:
        if not field.isascii():
            try:
                check_field(bucket.key, field)
            except StateKeyError:  # nothing is ever stored there
                return ABSENT
        raw = self.backend.read_field(bucket.text, field)
        return ABSENT if raw is None else self.values.decode(bucket.key, field, raw)

    def _dropped(self, bucket: Bucket, was_there: bool) -> None:
        """Take a bucket off the list here as well, if nobody has written to it since; a step of the store."""
        if bucket.fields:
            return
        if was_there and not bucket.is_listed:
            self._list(bucket)  # it was, but without a mirror that was not known
        self.unlist(bucket)

    def _change(self, bucket: SharedBucket, op: Op, args: Sequence[Any], actor: Actor) -> tuple[Any, Record | None]:
        is_blind = op is ops.set_
        hint = bucket.hint
        if hint is None and not is_blind:
            hint = self._hint(bucket, self.backend.read(bucket.text))
        name = op.__name__.rstrip("_")
        while True:
            result, changes = op(_NOTHING if hint is None else hint[1], *args)
            commit = Commit(
                self._next_id(),
                name,
                self.actors.encode(actor),
                self._encoded(bucket, changes),
                drops=(bucket.text,) if op is ops.drop else (),
                versions={} if hint is None else {bucket.text: hint[0]},
                expires=self._lives(bucket, changes),
            )
            answer = self.backend.commit(commit)
            if isinstance(answer, Committed):
                self._keep(bucket, hint, commit, changes, answer)
                return result, self._record(answer, name, actor, ((bucket, changes),))
            if isinstance(answer, Held):
                bucket.hint = None
                return MUST_WAIT, None
            assert isinstance(answer, Stale)
            hint = None if is_blind else self._hint(bucket, answer.buckets[bucket.text])

    def _hint(self, bucket: SharedBucket, stored: Stored) -> tuple[int, RawFields]:
        return stored.version, RawFields(self.values, bucket.key, stored.fields)

    def _keep(
        self,
        bucket: SharedBucket,
        hint: tuple[int, RawFields] | None,
        commit: Commit,
        changes: Changes,
        answer: Committed,
    ) -> None:
        """Know what is in a bucket after an op."""
        if hint is not None and answer.seq is not None and not commit.drops:
            for (_, field, raw), (_, value) in zip(commit.changes, changes, strict=True):
                hint[1].write(field, raw, value)
            hint = answer.seq, hint[1]
        bucket.hint = None if commit.drops else hint
        if commit.drops:
            self.alone(self._dropped, bucket, answer.seq is not None)

    def _encoded(self, bucket: Bucket, changes: Changes) -> list[tuple[str, str, bytes | None]]:
        key, encode = bucket.key, self.values.encode
        text: str = bucket.text  # type: ignore[attr-defined]
        encoded = []
        for field, after in changes:
            if not field.isascii():
                check_field(key, field)
            encoded.append((text, field, None if after is ABSENT else encode(key, field, after)))
        return encoded

    def _next_id(self) -> str:
        return f"{self.token}.{next(self._numbers)}"

    def _lives(self, bucket: Bucket, changes: Changes) -> dict[str, float | None]:
        ttl = self.ttls.get(bucket.key.name)
        if ttl is None or not changes:
            return {}
        self._sweeper.plan(ttl)
        return {bucket.text: ttl}  # type: ignore[attr-defined]

    def _record(self, answer: Committed, op: str | Revert, actor: Actor, changed: Changed) -> Record | None:
        """The record of what was committed; the values before are only read if there is a mirror."""
        if answer.seq is None or self._epoch is None:
            return None
        record: list[Any] = [answer.seq, answer.time, op, actor]
        befores = iter(answer.befores)
        for bucket, changes in changed:
            key = bucket.key
            for field, after in changes:
                record += (key, field, self.values.shown(key, field, next(befores)), after)
        return tuple(record)

    # ---- transactions

    def base(self, bucket: Bucket) -> Fields:
        """What a transaction finds in a bucket that it takes: known once that is locked."""
        assert isinstance(bucket, SharedBucket)
        return bucket.locked

    def secure(self, frame: Frame, timeout: float | None, deadline: float | None) -> Steps[None]:
        """Lock what a transaction has taken here, as soon as no other process holds it.

        Raises:
            DeadlockError, TransactionTimeoutError, WouldBlockError: as taking it here does.
        """
        wanted = [
            bucket
            for bucket, draft in frame.drafts.items()
            if draft.under is None and isinstance(bucket, SharedBucket) and bucket.fence is None
        ]
        waiter, pause, is_waiting = self._next_id(), _FIRST_PAUSE, False
        try:
            while wanted:
                answer = yield self._work(wanted[0], self._acquire, frame, wanted, waiter, is_whole=True)
                if isinstance(answer, Acquired):
                    is_waiting = False
                    return
                is_waiting = isinstance(answer, Held)
                if isinstance(answer, Deadlocked):
                    raise DeadlockError([Wait(link.who, link.holds, link.wants) for link in answer.cycle])
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TransactionTimeoutError(timed_out(frame, answer.bucket, timeout, answer.by))
                yield Pause(pause if left is None else min(pause, left), partial(_refuse, answer))
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            if is_waiting:
                self._in_background(partial(self.backend.forget, waiter))

    def _acquire(self, frame: Frame, wanted: Sequence[SharedBucket], waiter: str) -> Acquired | Held | Deadlocked:
        texts = [bucket.text for bucket in wanted]
        holding = [text for text in self.alone(self._holding, frame) if text not in texts]
        who = f"{frame.who} @{self.actors.host}:{self.actors.process}"
        with self._here:
            answer = self.backend.acquire(texts, holding, waiter, who)
        if isinstance(answer, Acquired) and not self.alone(self._secured, frame, wanted, answer):
            self.backend.release(answer.fences)
        return answer

    def _holding(self, frame: Frame) -> list[str]:
        """The locked buckets that can't be let go of before a frame goes on; a step of the store."""
        found: dict[str, None] = {}
        seen: set[Frame] = set()
        todo = list(frame.chain())
        while todo:
            each = todo.pop()
            if each not in seen:
                seen.add(each)
                found.update((b.text, None) for b in each.drafts if isinstance(b, SharedBucket) and b.fence)
                waiting = [waiter for bucket in each.drafts for waiter in bucket.queue]
                todo += [around for waiter in waiting for around in waiter.frame.chain()]
        return list(found)

    def _secured(self, frame: Frame, buckets: Sequence[SharedBucket], answer: Acquired) -> bool:
        """Give a frame its locks, if it is still there; a step of the store."""
        if frame.status != "open":
            return False
        for bucket in buckets:
            bucket.fence = answer.fences[bucket.text]
            bucket.locked = RawFields(self.values, bucket.key, answer.buckets[bucket.text].fields)
            bucket.hint = None
            frame.drafts[bucket].base = bucket.locked
            self._locked.add(bucket)
        if self._keeper is None:
            self._keeper = threading.Thread(target=_keep_locks, args=(weakref.ref(self),), daemon=True)
            self._keeper.name = "qstate locks"
            self._keeper.start()
        return True

    def commit(self, frame: Frame) -> Steps[None]:
        """Commit what a transaction has changed, and unlock its buckets.

        Raises:
            TransactionLostError: other processes have taken them over.
            StoreUnavailableError: the backend is away.
        """
        buckets = self.alone(self._closing, frame)
        if not buckets:
            return
        try:
            yield self._work(buckets[0], self._commit_frame, frame, buckets, is_whole=True)
        except BaseException:  # a cancellation that came too late: it was waited for what became of it
            if all(bucket.fence is None for bucket in buckets):
                self.alone(frame.end, True)
                self._in_background(self._deliver)
            raise
        self.alone(frame.end, True)  # before subscribers are told: they may use the same State
        if self.listener is not None:
            yield self._work(buckets[0], self._deliver)

    def _closing(self, frame: Frame) -> list[SharedBucket]:
        """The buckets that a frame has locked, if it is time to commit them; a step of the store."""
        if frame.status != "open" or (frame.heir is not None and frame._heir() is not None):
            return []
        for bucket in frame.drafts:
            if bucket.holder is not frame:
                raise TransactionError(
                    f"a transaction on {bucket.key} that was begun inside this one is still open; await what you "
                    "start inside a transaction before it ends, for example with asyncio.TaskGroup"
                )
        frame.is_closing = True
        return [b for b, d in frame.drafts.items() if d.under is None and isinstance(b, SharedBucket) and b.fence]

    def _commit_frame(self, frame: Frame, buckets: Sequence[SharedBucket]) -> None:
        drafts = [(bucket, frame.drafts[bucket]) for bucket in buckets]
        changed = [(bucket, net) for bucket, draft in drafts if (net := draft.net())]
        expires = {text: ttl for bucket, net in changed for text, ttl in self._lives(bucket, net).items()}
        for bucket, draft in drafts:
            if draft.expires is not KEEP:
                expires[bucket.text] = draft.expires
                if draft.expires is not None:
                    self._sweeper.plan(draft.expires)
        commit = Commit(
            self._next_id(),
            frame.op,
            self.actors.encode(frame.actor),
            [change for bucket, net in changed for change in self._encoded(bucket, net)],
            drops=tuple(bucket.text for bucket, draft in drafts if draft.is_dropped),
            fences={bucket.text: bucket.fence for bucket in buckets if bucket.fence is not None},
            expires=expires,
        )
        with self._here:
            answer = self.backend.commit(commit)
        if isinstance(answer, Lost):
            raise TransactionLostError(
                f"the transaction of {frame.who} on {answer.bucket} was taken over by others, because this process "
                f"stood still for longer than the lease of {self.backend.lease:g} s; nothing of it was changed"
            )
        assert isinstance(answer, Committed), answer
        for bucket in buckets:
            bucket.fence = None
            self._locked.discard(bucket)
        record = self._record(answer, frame.op, frame.actor, changed)
        if record is not None:
            self._note(record)
        for bucket, _ in changed:
            if frame.drafts[bucket].is_dropped:
                self.alone(self._dropped, bucket, True)

    def let_go(self, bucket: Bucket) -> None:
        """Unlock a bucket that nobody holds here any more, after a rollback; a step of the store."""
        assert isinstance(bucket, SharedBucket)
        if bucket.fence is not None:  # each step may be done twice: an interrupt can come in between
            self._in_background(partial(self.backend.release, {bucket.text: bucket.fence}))
            bucket.fence = None
            self._locked.discard(bucket)

    def settle(self) -> Steps[None]:
        """Wait until what was let go of here is unlocked."""
        running = [work for work in self._releases if not work.done()]
        if running:
            yield Work(partial(wait, running), self._background)

    def _in_background(self, call: Callable[[], object]) -> None:
        def work() -> None:
            try:
                call()
            except StoreError as error:  # then the lease will end it
                self._report(error)

        with contextlib.suppress(RuntimeError):  # it is closed, and so are its locks
            self._releases.append(self._background.submit(work))

    def _report(self, error: StoreError) -> None:
        if not self.is_closed:
            _log.warning("%s", error)

    # ---- time travel, expiry

    def travel(self, plan: Callable[[int], Sequence[tuple[Revert, Written]]], n: int) -> list[Record]:
        """Write the events that *plan* gives for *n* steps back or forth.

        Nothing comes in between what a step is planned on and its commit; if something does, it is planned anew.
        """
        records: list[Record] = []
        while len(records) < n:
            self.sync()
            planned = self.alone(plan, n - len(records))
            if not planned:
                break
            for op, wanted in planned:
                record = self._travel(op, wanted)
                if record is None:
                    break
                records.append(record)
        return records

    def _travel(self, op: Revert, wanted: Written) -> Record | None:
        changed = list(self.alone(self.by_bucket, wanted).items())
        actor = current_actor.get()
        commit = Commit(
            self._next_id(),
            op.op,
            self.actors.encode(actor),
            [change for bucket, changes in changed for change in self._encoded(bucket, changes)],
            refers_to=op.refers_to,
            last=self.seq,
            expires={text: ttl for bucket, net in changed for text, ttl in self._lives(bucket, net).items()},
        )
        answer = self.backend.commit(commit)
        if isinstance(answer, Held):
            raise HistoryError(f"can't {op.op} while {answer.by} has a transaction on {answer.bucket}")
        if not isinstance(answer, Committed):
            return None
        record = self._record(answer, op, actor, changed)
        assert record is not None
        self._note(record)
        self._deliver()
        return record

    def tell(self, record: Record | None) -> None:
        """Nothing: subscribers are told when it is committed."""

    def live(self, bucket: Bucket) -> None:
        """Nothing: the backend knows when it expires."""

    def set_deadline(self, bucket: Bucket, seconds: float | None) -> None:
        """Nothing: the backend knows when it expires."""

    def expiring(self, bucket: Bucket, seconds: float | None) -> Steps[None]:
        """What lets a bucket expire after so many seconds, or never; in a transaction, counted from its end."""
        if not self.alone(self._expire_in, bucket, seconds, current_frame.get()):
            assert isinstance(bucket, SharedBucket)
            yield self._work(bucket, self.backend.set_expiry, bucket.text, seconds)
            if seconds is not None:
                self._sweeper.plan(seconds)

    def sweep(self) -> float | None:
        """Empty the buckets whose time is over; gives the seconds until the next one's, if any."""
        if self.is_closed:
            return None
        try:
            return self.backend.sweep()
        except StoreError as error:
            self._report(error)
            return None if self.is_closed else _AWAY


_NOTHING: Fields = {}

_OPS = frozenset(
    method.__code__ for method in (SharedStore._attempt, SharedStore._acquire, SharedStore._commit_frame)
)


def _is_in_op() -> bool:
    """Whether this thread is in another op than the one that asks."""
    frame = sys._getframe(3)
    while frame is not None:
        if frame.f_code in _OPS:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _refuse(held: Held) -> NoReturn:
    raise WouldBlockError(
        f"{held.bucket} is held by {held.by}, and a sync op can't wait for it here without blocking the event loop; "
        "use an AsyncState with await, or run this in a thread"
    )


def _close(backend: Backend, lanes: Sequence[ThreadPoolExecutor]) -> None:
    for lane in lanes:
        lane.shutdown(wait=False)
    backend.close()


def _keep_locks(ref: weakref.ref[SharedStore]) -> None:
    """Renew the locks of a store, as long as it has any."""
    while True:
        store = ref()
        if store is None:
            return
        with store.lock:
            if not store._locked or store.is_closed:
                store._keeper = None
                return
        backend = store.backend
        try:
            backend.renew()
        except StoreError as error:
            store._report(error)
        del store
        time.sleep(backend.lease / 4)
