"""What is behind a transaction: a frame holds buckets, has a draft of each, and waits for those that others hold.

What is called a step of the store runs under its lock. A bucket has one innermost holder;
another transaction inside that one can take it from it and gives it back. So code may take a bucket, and run ops on
it, if the innermost holder is its own frame or one around that.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal

from qstate_nb.core import ops
from qstate_nb.core.buckets import CLOSED, KEEP, Bucket, Draft
from qstate_nb.core.journal import ABSENT, Actor, Record, current_actor
from qstate_nb.core.owners import Owner, elsewhere, running_owner
from qstate_nb.core.values import IMMUTABLE
from qstate_nb.core.waiting import Waiter, holders, serve, wake_deadlocked
from qstate_nb.errors import DeadlockError, ReentrantError, TransactionError, Wait

if TYPE_CHECKING:
    from qstate_nb.core.store import MemoryStore

_log = logging.getLogger(__name__)

current_frame: ContextVar[Frame | None] = ContextVar("qstate_nb.current_frame", default=None)
"""The innermost transaction that the running code takes part in; asyncio tasks that are started inside get it too."""


class Frame:
    """One transaction, or one op that has to wait.

    Args:
        outer: the frame around it, open or not.
        op: name of the event.
        joins: whether its commit leaves to the open transaction around it what that doesn't hold yet.

    Attributes:
        drafts: the buckets that it holds, each with what it has changed.
        blocked: who waits for a bucket in it, or in a frame inside it.
        heir: the transaction that it was opened in and joins, if any.
        is_closing: whether what it has changed is on its way to a shared store; then it can change nothing more.
        field: what it is about, if it is one op; not set otherwise.
    """

    __slots__ = (
        *("__weakref__", "_record", "actor", "blocked", "drafts", "field", "heir", "is_closing", "op", "outer"),
        *("owner", "status", "store", "waiter", "was_entered"),
    )
    field: str

    def __init__(self, store: MemoryStore, outer: Frame | None, op: str, *, joins: bool) -> None:
        self.store = store
        self.outer = outer
        self.op = op
        self.actor: Actor = current_actor.get()
        self.owner: weakref.ref[Owner] = weakref.ref(running_owner())  # a task that is lost may be collected
        self.status: Literal["open", "committed", "rolled back"] = "open"
        self.was_entered = False
        self.is_closing = False
        self.drafts: dict[Bucket, Draft] = {}
        self.blocked: dict[Waiter, None] = {}  # an ordered set
        self.waiter: Waiter | None = None
        self._record: Record | None = None
        self.heir: Frame | None = self._open_around() if joins and outer is not None else None

    def chain(self) -> Iterator[Frame]:
        """The frame itself and those around it, from the inside out."""
        frame: Frame | None = self
        while frame is not None:
            yield frame
            frame = frame.outer

    def takes_part_in(self, other: Frame) -> bool:
        """Tell whether *other* is the frame itself or one around it."""
        frame: Frame | None = self
        while frame is not None:
            if frame is other:
                return True
            frame = frame.outer
        return False

    def run(self, bucket: Bucket, op: ops.Op, args: Sequence[Any]) -> Any:
        """Run an op on the draft of a bucket that it holds; a step of the store."""
        if self.is_closing:
            raise TransactionError(f"the transaction on {bucket.key} ends already; await what you start inside it")
        draft = self.drafts[bucket]
        result, changes = op(draft, *args)
        if changes:
            for _, after in changes:
                if type(after) not in IMMUTABLE and after is not ABSENT:
                    bucket.is_plain = False
            draft.changed.update(changes)  # in one step: an interrupt leaves all of them or none
            draft.is_dropped = False
        if op is ops.drop:
            draft.is_dropped = True
        return result

    def take(self, buckets: Iterable[Bucket]) -> Waiter | None:
        """Take buckets that it doesn't hold yet, up to one that it has to get in line for; a step of the store.

        Raises:
            DeadlockError: whoever holds it waits for what this frame, or one around it, holds.
            TransactionError: the code took part in a transaction on this bucket that was rolled back.
        """
        if self.status != "open":
            raise TransactionError(f"the transaction that {self.who} took part in was rolled back while it waited")
        if self.waiter is not None:
            self.waiter.leave()
        for bucket in buckets:
            if bucket.doubts:
                bucket.check_doubts(self.outer)
            if bucket in self.drafts:
                continue
            if not self.may_take(bucket):
                return self._get_in_line(bucket)
            self.hold(bucket)
        return None

    def _get_in_line(self, bucket: Bucket) -> Waiter:
        waiter = Waiter(self, bucket)
        cycle = waiter.cycle()
        if cycle:
            raise DeadlockError(_waits(cycle))
        self.waiter = waiter
        bucket.queue.append(waiter)
        for frame in self.chain():
            frame.blocked[waiter] = None
        return waiter

    def may_take(self, bucket: Bucket) -> bool:
        """Tell whether nobody holds a bucket but frames around this one."""
        holder = bucket.holder
        return holder is None or (self.outer is not None and self.outer.takes_part_in(holder))

    def hold(self, bucket: Bucket) -> None:
        """Become the innermost holder of a bucket; inside a step of the store."""
        holder = bucket.holder
        under = None if holder is None else holder.drafts[bucket]
        draft = self.drafts[bucket] = Draft(self.store.base(bucket) if under is None else under, holder)
        draft.is_dropped = under is not None and under.is_dropped
        bucket.open = CLOSED
        bucket.holder = self

    def end(self, commit: bool) -> Record | None:
        """Commit what it has changed, or forget it, and let go of everything; a step of the store.

        Returns:
            The record of its event, if it made one.
        """
        try:
            self._end(commit)
        except BaseException:  # an interrupt; each step may be done twice
            self._end(commit)
            raise
        return self._record

    def _end(self, commit: bool) -> None:
        if self.status != "open":
            return
        if self.waiter is not None:  # unless that is why it ends, it is told so
            self.waiter.wake()
            self.waiter.leave()
        heir = None if self.heir is None else self._heir()
        commit = commit and (heir is None or heir.status == "open")
        if not commit:
            self._roll_back_inside()
        elif heir is None and not self.store.is_shared:
            self._write()
        for bucket, draft in list(self.drafts.items()):
            self._let_go(bucket, draft, heir, commit)
        self.status = "committed" if commit else "rolled back"

    def _open_around(self) -> Frame | None:
        around = () if self.outer is None else self.outer.chain()
        return next((frame for frame in around if frame.status == "open" and frame.store is self.store), None)

    def _heir(self) -> Frame | None:
        """The transaction that it joins; if that was committed before this one, the one that that joined."""
        heir = self.heir
        while heir is not None and heir.status == "committed":
            heir = heir.heir
        return heir

    def _roll_back_inside(self) -> None:
        """Undo what is still open in it and has taken a bucket from it: code that goes on after its end."""
        for bucket in self.drafts:
            for inner in tuple(holders(bucket)):
                if inner is not self and inner.takes_part_in(self):
                    inner.end(commit=False)

    def _write(self) -> None:
        """Commit the changes of the buckets that were not taken from a transaction around it."""
        changed = [
            (bucket, net)
            for bucket, draft in self.drafts.items()
            if draft.changed and draft.under is None and (net := self.store.net(draft))
        ]
        if self._record is None and changed:
            self._record = self.store.prepared(self.op, self.actor, changed)
        if self._record is not None and self.store.seq < self._record[0]:
            self.store.write(self._record, changed)

    def _let_go(self, bucket: Bucket, draft: Draft, heir: Frame | None, commit: bool) -> None:
        under = draft.under
        if commit and under is not None and heir in (None, under):
            under.drafts[bucket].changed.update(draft.changed)
            under.drafts[bucket].is_dropped = draft.is_dropped
            if draft.expires is not KEEP:
                under.drafts[bucket].expires = draft.expires
        elif commit and heir is not None:
            heir.drafts[bucket] = draft
            under = heir
        elif commit and draft.is_dropped:
            self.store.unlist(bucket)
        elif commit and draft.expires is not KEEP:
            self.store.set_deadline(bucket, draft.expires)
        elif commit and draft.changed:
            self.store.live(bucket)
        self._leave(bucket, under)
        if not commit and self.was_entered:
            bucket.doubt(self)
        serve(bucket)
        if under is not draft.under:
            wake_deadlocked(bucket)
        del self.drafts[bucket]

    def _leave(self, bucket: Bucket, under: Frame | None) -> None:
        """Hold a bucket no longer; the frame around it does so again, if there is one."""
        if bucket.holder is self:
            bucket.holder = under
        else:
            self._hand_over(bucket, under)
        if bucket.holder is None:
            self.store.let_go(bucket)

    def _hand_over(self, bucket: Bucket, under: Frame | None) -> None:
        """Let a transaction inside this one, that outlives it, give the bucket back to the one around this one."""
        for inner in holders(bucket):
            draft = inner.drafts[bucket]
            if draft.under is self:
                draft.under = under
                draft.base = self.store.base(bucket) if under is None else under.drafts[bucket]

    def leave(self) -> None:
        """Take the running code out of it after its end, and out of those in and around it that this task has ended.

        A child task stays in one that its parent has ended: its ops may be refused.
        """
        frame = current_frame.get()
        if frame is None or not frame.takes_part_in(self):
            return
        while frame is not None and frame.status != "open" and frame.owner() is self.owner():
            frame = frame.outer
        current_frame.set(frame)

    def abandon(self, _: object = None) -> None:
        """Roll it back if it was left open by who opened it, and report that."""
        if self.status != "open":
            return
        held = ", ".join(str(bucket.key) for bucket in tuple(self.drafts))
        try:
            self.store.alone(self.end, False)
        except ReentrantError:  # a finaliser does this in the middle of another step
            elsewhere(self.abandon)
        else:
            if self.was_entered:
                _log.error("%s left a transaction on %s open; what it changed there was undone", self.who, held)

    @property
    def who(self) -> str:
        """Whose it is, for messages."""
        if self.actor.task is not None:
            return str(self.actor)
        owner = self.owner()
        if owner is None:
            return f"{self.actor} (an asyncio task that is gone)"
        if isinstance(owner, threading.Thread):
            return f"{self.actor} (thread {owner.name})"
        return f"{self.actor} (asyncio task {owner.get_name()})"

    def held(self) -> tuple[str, ...]:
        """The names of all buckets that it, and the frames around it, hold."""
        return tuple(dict.fromkeys(str(bucket.key) for frame in self.chain() for bucket in frame.drafts))


def _waits(cycle: list[Waiter]) -> list[Wait]:
    """What the error tells of a cycle; what each one waits for, the next one's task holds."""
    names = [str(waiter.bucket.key) for waiter in cycle]
    holds = ((*w.frame.held(), name) for w, name in zip(cycle, [names[-1], *names], strict=False))
    return [
        Wait(waiter.frame.who, tuple(dict.fromkeys(held)), name)
        for waiter, held, name in zip(cycle, holds, names, strict=True)
    ]
