"""Transactions: several ops on one or more buckets that happen together or not at all.

They are made of frames (`qstate_nb.core.frames`), which wait as `qstate_nb.core.waiting` says.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from qstate_nb.core import ops
from qstate_nb.core.buckets import Bucket
from qstate_nb.core.formats import short
from qstate_nb.core.frames import Frame, current_frame
from qstate_nb.core.journal import ABSENT, Record
from qstate_nb.core.owners import unwatch, watch
from qstate_nb.core.values import copy_value
from qstate_nb.core.waiting import Steps, Waiter, wait_in_loop, wait_in_thread
from qstate_nb.errors import FieldTypeError, NotAStateError, ReentrantError, TransactionError, TransactionTimeoutError

if TYPE_CHECKING:
    from typing import Self

    from qstate_nb.core.state import StateBase

T = TypeVar("T")


def begin(frame: Frame, buckets: Sequence[Bucket], timeout: float | None = None) -> Steps[None] | None:
    """Take buckets for a frame, in the order in which they are given; whatever is raised, its caller ends it.

    Args:
        timeout: seconds to wait for all of them.

    Returns:
        What has to wait for them; None if they were taken at once.

    Raises:
        DeadlockError, TransactionError: see `Frame.take`.
    """
    waiter = frame.store.take(frame, buckets)
    return None if waiter is None and not frame.store.is_shared else _take(frame, buckets, timeout, waiter)


def _take(frame: Frame, buckets: Sequence[Bucket], timeout: float | None, waiter: Waiter | None) -> Steps[None]:
    deadline = None if timeout is None else time.monotonic() + min(timeout, threading.TIMEOUT_MAX)
    try:
        while waiter is not None:
            waiter.timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
            yield waiter
            waiter = frame.store.take(frame, buckets)
    except TimeoutError:
        assert waiter is not None
        holder = waiter.bucket.holder
        by = None if holder is None else holder.who
        raise TransactionTimeoutError(timed_out(frame, waiter.bucket.key, timeout, by)) from None
    yield from frame.store.secure(frame, timeout, deadline)


def timed_out(frame: Frame, key: object, timeout: float | None, by: str | None) -> str:
    """What is said when a wait took too long."""
    held = "it was held" if by is None else f"{by} holds it"
    return f"{frame.who} waited longer than timeout={timeout:g} s for {key}: {held}"


def perform(bucket: Bucket, op: ops.Op, args: Sequence[Any]) -> Steps[Any]:
    """Run an op on a bucket that somebody else holds."""
    frame = Frame(bucket.store, current_frame.get(), op.__name__.rstrip("_"), joins=False)
    return _within(frame, bucket, lambda: bucket.store.run(bucket, op, args, frame))


def mutate(bucket: Bucket, key: str, function: Callable[[Any], Any], default: Any, rules: ops.Rules) -> Steps[Any]:
    """Give *key* what *function* makes of its value, while nobody else can use the bucket.

    Raises:
        FieldTypeError: *function* returned an awaitable.
    """
    frame = Frame(bucket.store, current_frame.get(), "mutate", joins=False)
    frame.field = key

    def call() -> Any:
        token = current_frame.set(frame)  # the function may use the same State
        try:
            old = bucket.store.run(bucket, ops.get, (key,), frame)
            new = copy_value(function(copy_value(rules.default(key, default) if old is ABSENT else old)))
            _refuse_awaitable(new, key, rules)
            rules.check(key, new)
            bucket.store.run(bucket, ops.set_, (key, new), frame)
        finally:
            current_frame.reset(token)
        return copy_value(new)

    return _within(frame, bucket, call)


def _refuse_awaitable(value: Any, key: str, rules: ops.Rules) -> None:
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise FieldTypeError(
            f"the function that mutate was given for {rules.key}.{key} must not be async, and not return an "
            f"awaitable ({type(value).__name__}); to await between a get and a set, use a transaction"
        )


def _within(frame: Frame, bucket: Bucket, call: Callable[[], T]) -> Steps[T]:
    """Run *call* once a frame has a bucket, and end the frame.

    Raises:
        TransactionError: meanwhile a transaction around it was rolled back, and this with it.
    """
    done = is_left = False
    try:
        yield from begin(frame, [bucket]) or ()
        result = call()
        if frame.store.is_shared:
            yield from frame.store.commit(frame)
        done = True
    except GeneratorExit:
        is_left = True  # then nothing can be waited for any more
        raise
    finally:
        try:
            record = _end(frame, commit=done)
        except BaseException:  # an interrupt
            _end(frame, commit=done)
            raise
        frame.store.tell(record)
        if frame.store.is_shared and not done and not is_left:
            yield from frame.store.settle()
    _check_committed(frame, bucket.key)
    return result


def _end(frame: Frame, *, commit: bool) -> Record | None:
    """End a frame, and leave it; may be done twice, as an interrupt can come at any time."""
    try:
        record = frame.store.alone(frame.end, commit)
    except ReentrantError:
        frame.abandon()
        raise
    unwatch(frame)
    frame.leave()
    return record


def _check_committed(frame: Frame, buckets: object) -> None:
    if frame.status != "committed":
        raise TransactionError(
            f"the transaction on {buckets} was rolled back before its end: because one around it was, or because the "
            "task that opened it has ended"
        )


class Transaction:
    """Several ops on one or more States that happen together or not at all; used with ``with`` or ``async with``.

    Made by `transaction` and by the method of that name of a State.

    Args:
        states: State objects of one registry, of either colour.
        timeout: seconds to wait for others to let go of them; None waits as long as it takes.

    Raises:
        TransactionError: there are no states, they are not of one registry, or *timeout* is not such a number.
    """

    _frame: Frame | None = None

    def __init__(self, states: Sequence[StateBase], timeout: float | None = None) -> None:
        self._was_entered = False
        self._buckets = [_bucket_of(state) for state in states]
        if len(states) > 1:
            self._buckets = sorted(set(self._buckets), key=lambda bucket: bucket.key.order)
        self._timeout = timeout
        if not self._buckets:
            raise TransactionError("a transaction needs at least one State: transaction(state)")
        if len(states) > 1 and len({bucket.store for bucket in self._buckets}) > 1:
            raise TransactionError("a transaction can't span several registries; take its States from one")
        if timeout is not None:
            is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
            if not (is_number and timeout >= 0):
                raise TransactionError(f"timeout must be seconds, 0 or more, or None, not {short(timeout)}")

    def __enter__(self) -> Self:
        frame = self._new_frame()
        try:
            steps = begin(frame, self._buckets, self._timeout)
            if steps is not None:
                wait_in_thread(steps)
            self._opened(frame)
        except BaseException:
            self._undo(frame)
            raise
        return self

    async def __aenter__(self) -> Self:
        frame = self._new_frame()
        try:
            steps = begin(frame, self._buckets, self._timeout)
            if steps is not None:
                await wait_in_loop(steps)
            self._opened(frame)
        except BaseException:
            self._undo(frame)
            raise
        return self

    def _new_frame(self) -> Frame:
        if self._was_entered:
            raise TransactionError("a transaction can be entered only once; make another one")
        self._was_entered = True
        self._frame = frame = Frame(self._buckets[0].store, current_frame.get(), "transaction", joins=True)
        return frame

    def _opened(self, frame: Frame) -> None:
        watch(frame)
        frame.was_entered = True
        current_frame.set(frame)

    def _undo(self, frame: Frame) -> None:
        try:
            _end(frame, commit=False)
        finally:
            _end(frame, commit=False)  # an interrupt may have cut that short
            self._frame = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        frame = self._ending()
        done = False
        try:
            if kind is None and frame.store.is_shared:
                wait_in_thread(frame.store.commit(frame))
            done = kind is None
        finally:
            self._finish(frame, done)
            if not done and frame.store.is_shared:
                wait_in_thread(frame.store.settle())

    def _ending(self) -> Frame:
        if self._frame is None:
            raise TransactionError("a transaction that was not entered, or has ended, can't end")
        return self._frame

    def _finish(self, frame: Frame, commit: bool) -> None:
        try:
            record = _end(frame, commit=commit)
        except BaseException:  # an interrupt
            _end(frame, commit=commit)
            raise
        finally:
            self._frame = None  # so that a bucket can be sure that the frame is gone
        frame.store.tell(record)
        if commit:
            _check_committed(frame, self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        frame = self._ending()
        if not frame.store.is_shared:
            self.__exit__(kind, error, traceback)
            return
        done = False
        try:
            if kind is None:
                await wait_in_loop(frame.store.commit(frame))
            done = kind is None
        finally:
            self._finish(frame, done)
            if not done and kind is not GeneratorExit:  # then nothing can be awaited any more
                await wait_in_loop(frame.store.settle())

    def __del__(self) -> None:
        frame = self._frame
        if frame is not None:  # an interrupt came just before `__exit__` or `_undo`, or it was entered by hand
            frame.abandon()
            frame.leave()

    def __str__(self) -> str:
        return ", ".join(str(bucket.key) for bucket in self._buckets)

    def __repr__(self) -> str:
        status = "open" if self._frame is not None else "ended" if self._was_entered else "not begun"
        return f"<Transaction on {self}: {status}>"


def _bucket_of(state: object) -> Bucket:
    bucket = getattr(state, "_bucket", None)
    if isinstance(bucket, Bucket):
        return bucket
    if isinstance(state, type) or not hasattr(bucket, "store"):  # of an object that was made by hand, that raises
        raise NotAStateError(f"a transaction is on State objects, such as app.state(Signup), not on {short(state)}")
    raise AssertionError


def transaction(*states: StateBase, timeout: float | None = None) -> Transaction:
    """Make several ops on several States happen together or not at all.

    Inside the block, the ops of these States see and change a draft that nobody else sees; others' ops on them
    wait. At its end all changes are committed as one event; after an exception or a cancellation, none are.
    A transaction inside another one becomes part of it. What is started inside with ``asyncio.gather`` or a
    ``TaskGroup`` takes part.

    Args:
        states: State objects of one registry, of either colour.
        timeout: seconds to wait for others to let go of them; None waits as long as it takes.

    Raises:
        TransactionError: there are no states, they are not of one registry, or *timeout* is not such a number.
        DeadlockError: when it is entered: others wait for this code, and it would wait for them.
        TransactionTimeoutError: when it is entered: others held a State longer than *timeout*.
        WouldBlockError: when it is entered with a plain ``with`` where an event loop runs, and would have to wait.

    Example:
        >>> from qstate_nb import State, StateRegistry, transaction
        >>> class Account(State):
        ...     pass
        >>> registry = StateRegistry()
        >>> anna, bert = (registry.state(Account, scope=name) for name in ("anna", "bert"))
        >>> with transaction(anna, bert):
        ...     anna.increment("balance", -5)
        ...     bert.increment("balance", 5)
        -5
        5
        >>> registry.history()
        [<Event 1: transaction Account[anna].balance, Account[bert].balance by user>]
    """
    return Transaction(states, timeout)
