"""State that waits at each op until it is let go on: what tasks get in an exploration.

It is the memory store, with a gate in front of every op and of every take of a transaction. A gate is a `Waiter`, so
both colours wait for it as they wait for another's transaction. Behind the gate the store's own code runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from qstate_nb.core import ops
from qstate_nb.core.buckets import Bucket, ClosedBucket, Draft
from qstate_nb.core.fields import Rules
from qstate_nb.core.frames import Frame, current_frame
from qstate_nb.core.journal import Record
from qstate_nb.core.keys import StateKey
from qstate_nb.core.ops import Changes, Op
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.store import MUST_WAIT, MemoryStore
from qstate_nb.core.waiting import Steps, Waiter
from qstate_nb.errors import OutOfScopeError
from qstate_nb.races.canonical import canonical, text_of

if TYPE_CHECKING:
    from qstate_nb.races.world import Root, World


class Gate(Waiter):
    """Where a task stands before it does something to what it shares with others.

    Attributes:
        kind: ``op``, one op of State; ``begin``, a transaction takes its buckets, or the rest of them; ``mutate``, as
            ``begin`` for that op; ``primitive``, an op on an asyncio primitive.
        name: of the op.
        place: the bucket's key, or the primitive.
        args: of the op.
        around: the transaction around an op.
        root, child: who stands there: the explored task, and the number of the asyncio task in it.
        limit: seconds that it may wait, if a transaction says so.
        error: what is raised instead of going on.
    """

    __slots__ = (
        "_is_async",
        "args",
        "around",
        "buckets",
        "child",
        "error",
        "kind",
        "limit",
        "name",
        "op",
        "place",
        "root",
    )

    def __init__(
        self, kind: Literal["op", "begin", "mutate", "primitive"], name: str, place: Any, op: Any, args: Sequence[Any]
    ) -> None:
        self.kind = kind
        self.name = name
        self.place = place
        self.op = op
        self.args = args
        self.buckets: list[Bucket] = []
        self.frame: Any = None
        self.around: Frame | None = None
        self.error: BaseException | None = None
        self.root: Root | None = None
        self.child = 0
        self.limit: float | None = None
        self._is_async = asyncio._get_running_loop() is not None
        self.is_over = False
        self._wake: Callable[[], object] | None = None

    @property
    def timeout(self) -> float | None:
        """Seconds to wait; sync code is told when they are over."""
        return self.limit if self._is_async else None

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self.limit = seconds

    @property
    def inside(self) -> Frame | None:
        """The transaction that the op is in, or that takes the buckets."""
        return self.around if self.kind == "op" else self.frame

    def chain(self) -> Iterator[Frame]:
        """That transaction, and those around it."""
        return iter(()) if self.inside is None else self.inside.chain()

    @property
    def is_refused(self) -> bool:
        """Whether it leads to an error, as a transaction around it was rolled back."""
        around = self.inside if self.kind == "op" or self.inside is None else self.inside.outer
        doubts = [doubt() for doubt in self.buckets[0].doubts] if self.buckets else []
        return around is not None and any(each is not None and around.takes_part_in(each) for each in doubts)

    @property
    def is_free(self) -> bool:
        """Whether nothing in its own world is in the way."""
        holder = self.buckets[0].holder if self.buckets else None
        return holder is None or (self.inside is not None and self.inside.takes_part_in(holder))

    @property
    def label(self) -> Hashable:
        """What it wants to do, as a key."""
        args = tuple(canonical(arg) for arg in self.args if type(arg) is not Rules)
        return (self.kind, self.name, str(self.place), args)

    @property
    def order(self) -> tuple[str, int]:
        """Where it comes among the gates of its root: asyncio may make children in any order."""
        return text_of(self.label), self.child

    def subscribe(self, wake: Callable[[], object]) -> bool:
        """Arrive at the gate, and call *wake* when it opens."""
        self._wake = wake
        self.is_over = current_world_of(self).arrive(self)
        return self.is_over

    @property
    def is_in_line(self) -> bool:
        """Whether it is waited for in a thread that does something else now: it never is."""
        return False

    def refuse_to_block(self) -> NoReturn:
        """A sync op in async code can't be suspended."""
        raise current_world_of(self).refused(
            OutOfScopeError(
                f"sync State {self.place} is used in async code, where its ops can't be ordered; use an AsyncState"
            )
        )

    def open(self, error: BaseException | None = None) -> None:
        """Let who waits here go on, or raise *error* there."""
        self.error = error
        self.wake()

    def leave(self) -> None:
        """It is not waited for any more."""
        if self.frame is not None:
            self.frame.waiter = None
        if self.root is not None and self in self.root.gates:
            self.root.gates.remove(self)

    def go_on(self) -> None:
        """Leave the gate that has opened, and raise what was to be raised."""
        self.leave()
        if self.error is not None:
            raise self.error


def current_world_of(gate: Gate) -> World:
    """The world that the code at a gate runs in."""
    from qstate_nb.races.world import current_root

    root = current_root.get()
    if root is None:
        raise OutOfScopeError(
            f"State {gate.place} of an exploration was used after it, or in a thread without context"
        )
    return root.world


class GatedStore(MemoryStore):
    """A memory store whose ops wait at gates, and whose fields are in alphabetical order.

    The order is so that the order of first sets makes no difference.
    """

    def __init__(self, world: World) -> None:
        super().__init__(max_events=1)
        self._world = world
        self._is_op = False

    def _known_bucket(self, key: StateKey) -> Bucket:
        bucket = self._known.get(key)
        if bucket is None:
            bucket = self._known[key] = ClosedBucket(self, key)
            self._world.fill(bucket)
        return bucket

    def run(self, bucket: Bucket, op: Op, args: Sequence[Any], frame: Frame | None) -> Any:
        """Run an op inside `mutate`; any other has to wait at its gate."""
        if frame is not None and not frame.was_entered and bucket in frame.drafts:
            return super().run(bucket, op, args, frame)
        return MUST_WAIT

    def waiting(self, bucket: Bucket, op: Op, args: Sequence[Any]) -> Steps[Any]:
        """Wait at the gate, and run the op."""
        gate = Gate("op", op.__name__.rstrip("_"), bucket.key, op, args)
        gate.buckets, gate.bucket, gate.around = [bucket], bucket, current_frame.get()
        try:
            yield gate
        finally:
            gate.leave()
        gate.go_on()
        self._is_op = True
        try:
            result = super().run(bucket, op, args, current_frame.get())
        finally:
            self._is_op = False
        assert result is not MUST_WAIT, f"the gate of {gate.label} was opened too early"
        return dict(sorted(result.items())) if op in (ops.get_all, ops.update) else result

    def take(self, frame: Frame, buckets: Iterable[Bucket]) -> Waiter | None:
        """Take what can be taken of the buckets once the gate has opened; wait at another one for the rest."""
        gate = frame.waiter
        self.alone(frame.take, ())  # raises if it was rolled back
        if gate is not None and gate.is_over:
            assert isinstance(gate, Gate)
            gate.go_on()
            rest = [bucket for bucket in buckets if bucket not in frame.drafts]
            while rest and self.is_free_for(rest[0], frame):
                rest[0].check_doubts(frame.outer)
                self.alone(frame.hold, rest.pop(0))
            if not rest:
                return None
        else:
            rest = [bucket for bucket in buckets if bucket not in frame.drafts]
        kind: Literal["begin", "mutate"] = "mutate" if frame.op == "mutate" else "begin"
        args = (frame.field,) if kind == "mutate" else ()
        gate = Gate(kind, frame.op, ", ".join(str(bucket.key) for bucket in rest), None, args)
        gate.frame, gate.buckets = frame, rest
        gate.bucket = rest[0] if rest else next(iter(buckets))
        frame.waiter = gate
        return gate

    def net(self, draft: Draft) -> Changes:
        """All that a transaction has changed, so that it is the same whatever was there before."""
        return list(draft.changed.items())

    def is_free_for(self, bucket: Bucket, frame: Frame) -> bool:
        """Whether a transaction may take a bucket now."""
        return bucket.key not in self._world.foreign and frame.may_take(bucket)

    def write(self, record: Record, changed: Sequence[tuple[Bucket, Changes]], *, drops: bool = False) -> None:
        """Commit, and tell the world of a transaction's changes."""
        if not self._is_op:
            self._world.committed(changed)
        super().write(record, changed, drops=drops)

    def _apply(self, bucket: Bucket, changes: Changes, record: Record) -> bool:
        deletes = super()._apply(bucket, changes, record)
        in_order(bucket.fields)
        return deletes


def in_order(fields: dict[str, Any]) -> None:
    """Put the fields of a bucket in alphabetical order, in place."""
    names = list(fields)
    if names != sorted(names):
        items = sorted(fields.items())
        fields.clear()
        fields.update(items)


class GatedRegistry(StateRegistry):
    """A registry whose State waits at gates."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._store = GatedStore(world)
        self._store.declared = world.contents.declared
