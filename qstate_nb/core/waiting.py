"""Waiting for a bucket that another's transaction holds: the line, the deadlocks in it, and how to wait.

What has to wait is written once, as a generator that yields each `Waiter`, and each `Work` that would block a loop;
`wait_in_thread` drives it for sync code and `wait_in_loop` for async code. The waits themselves are a
`threading.Event` and an asyncio future; work is done in a worker thread for async code. (aiologic's
locks serve threads and loops at once as well. But what is needed here is a line that knows who is in it: to find
deadlocks, and to let in code that takes part in the transaction already.)
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, wait
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from qstate_nb.core.owners import elsewhere
from qstate_nb.core.stopping import stop_point
from qstate_nb.errors import ReentrantError, WouldBlockError

if TYPE_CHECKING:
    from qstate_nb.core.buckets import Bucket
    from qstate_nb.core.frames import Frame

T = TypeVar("T")


def holders(bucket: Bucket) -> Iterator[Frame]:
    """All frames that hold a bucket, from the inside out."""
    frame = bucket.holder
    while frame is not None:
        yield frame
        frame = frame.drafts[bucket].under


def serve(bucket: Bucket) -> None:
    """Give a bucket to the first who waits for it and may take it, or open it; a step of the store."""
    for waiter in tuple(bucket.queue) if bucket.queue else ():
        if waiter.frame.may_take(bucket) and waiter.grant():
            return
    bucket.reopen()


def wake_deadlocked(bucket: Bucket) -> None:
    """Wake those who wait for a bucket and whom its new holder waits for; a step of the store.

    They try again to take it, and that raises.
    """
    for waiter in bucket.queue:
        if waiter.cycle():
            waiter.wake()


class Waiter:
    """Somebody who waits for a bucket.

    Args:
        frame: for which.
        bucket: for what.

    Attributes:
        is_over: whether the wait is; what came of it shows in the next `Frame.take`.
        timeout: seconds that it may still take, or None.
    """

    __slots__ = ("_wake", "bucket", "frame", "is_over", "timeout")

    def __init__(self, frame: Frame, bucket: Bucket) -> None:
        self.frame = frame
        self.bucket = bucket
        self.is_over = False
        self.timeout: float | None = None
        self._wake: Callable[[], object] | None = None

    def notify(self, wake: Callable[[], object]) -> bool:
        """Call *wake* when the wait is over; a step of the store.

        Returns:
            Whether it is already, and *wake* won't be called.
        """
        self._wake = wake
        return self.is_over

    def subscribe(self, wake: Callable[[], object]) -> bool:
        """As `notify`, outside of a step."""
        return self.frame.store.alone(self.notify, wake)

    @property
    def is_in_line(self) -> bool:
        """Whether it still waits."""
        return self.frame.waiter is self

    def refuse_to_block(self) -> NoReturn:
        """Raise the error of a sync op that would have to wait where an event loop runs."""
        holder = self.bucket.holder
        raise WouldBlockError(
            f"{self.bucket.key} is held by {'another' if holder is None else holder.who}, and a sync op can't wait "
            "for it here without blocking the event loop; use an AsyncState with await, or run this in a thread"
        )

    def wake(self) -> bool:
        """End the wait; a step of the store, that may be done twice.

        Returns:
            Whether anybody is there to go on.
        """
        self.is_over = True
        try:
            if self._wake is not None:
                self._wake()
        except RuntimeError:  # its event loop is closed
            return False
        return True

    def grant(self) -> bool:
        """Give it the bucket, if anybody is there to take it; a step of the store.

        It is told first: after an interrupt in the middle of this, it takes by itself what it was not given.
        """
        if not self.wake():
            elsewhere(self.frame.abandon)
            self.leave()
            return False
        self.frame.hold(self.bucket)
        self.leave()
        return True

    def leave(self) -> None:
        """Get out of the line; a step of the store."""
        if self in self.bucket.queue:
            self.bucket.queue.remove(self)
        for frame in self.frame.chain():
            frame.blocked.pop(self, None)
        self.frame.waiter = None

    def cycle(self) -> list[Waiter] | None:
        """The shortest chain of waiters that leads from this one back to what its own task holds; None is good.

        A holder goes on only when all have what they wait for that wait in it, or in a transaction inside it. A task
        can hold what its code takes no part in: in a generator that stands still, or in another context.
        """
        mine, owner = set(self.frame.chain()), self.frame.owner()
        found: dict[Waiter, Waiter | None] = {self: None}
        todo = deque([self])
        while todo:
            waiter = todo.popleft()
            around = set(waiter.frame.chain())
            for holder in holders(waiter.bucket):
                if holder in around:
                    break
                if holder in mine or (owner is not None and holder.owner() is owner):
                    return _path(waiter, found)
                for blocked in holder.blocked:
                    if blocked not in found:
                        found[blocked] = waiter
                        todo.append(blocked)
        return None


def _path(waiter: Waiter | None, found: dict[Waiter, Waiter | None]) -> list[Waiter]:
    path = []
    while waiter is not None:
        path.append(waiter)
        waiter = found[waiter]
    return path[::-1]


class Work:
    """Something that can block a thread for a while, such as a call to a server.

    Args:
        call: does it.
        workers: where async code has it done; it can't be cancelled there.
        is_whole: whether sync code has it done there as well, so that no interrupt comes in the middle of it.
    """

    __slots__ = ("call", "is_whole", "workers")

    def __init__(self, call: Callable[[], Any], workers: Executor, *, is_whole: bool = False) -> None:
        self.call = call
        self.workers = workers
        self.is_whole = is_whole

    def run(self) -> Any:
        """Do it, and wait for the result; an interrupt is raised at the end of what must be whole."""
        if not self.is_whole:
            return self.call()
        future = self.workers.submit(self.call)
        try:
            return future.result()
        except BaseException:
            while not future.done():
                with contextlib.suppress(BaseException):
                    wait([future])
            raise


class Pause:
    """A wait for others, who can't tell when they have ended.

    Args:
        seconds: how long.
        refuse: raises what a sync op raises where it must not wait.
    """

    __slots__ = ("refuse", "seconds")

    def __init__(self, seconds: float, refuse: Callable[[], NoReturn]) -> None:
        self.seconds = seconds
        self.refuse = refuse


Steps: TypeAlias = Generator[Waiter | Work | Pause, Any, T]
"""What has to wait: it yields whom it waits as, and is sent nothing; or work, and is sent the result."""


class _Here(threading.local):
    """What this thread waits for."""

    waiter: Waiter | None = None


_here = _Here()


def wait_in_thread(steps: Steps[T]) -> T:
    """Run *steps* to their end, blocking this thread where they wait.

    Raises:
        WouldBlockError: they would have to wait, and an event loop runs in this thread.
        ReentrantError: they would have to wait inside a finaliser or signal handler, in a thread that waits already.
    """
    try:
        step = next(steps)
        while True:
            try:
                result = step.run() if isinstance(step, Work) else _block(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        steps.close()


def _sleep(pause: Pause) -> None:
    if asyncio._get_running_loop() is not None:
        pause.refuse()
    ready = threading.Event()
    with stop_point.get().waiting(ready.set):
        ready.wait(pause.seconds)


def _block(waiter: Waiter | Pause) -> Any:
    if isinstance(waiter, Pause):
        return _sleep(waiter)
    if asyncio._get_running_loop() is not None:
        waiter.refuse_to_block()
    if _here.waiter is not None and _here.waiter.is_in_line:
        raise ReentrantError(
            f"State was used by a finaliser (__del__) or a signal handler in a thread that waits already, and would "
            f"have to wait for {waiter.bucket.key}; let that only note what is to be done, and do it later"
        )
    ready = threading.Event()
    try:
        _here.waiter = waiter
        with stop_point.get().waiting(ready.set):
            is_over = waiter.subscribe(ready.set)
            if not is_over and not ready.wait(waiter.timeout):
                raise TimeoutError
    finally:
        _here.waiter = None
    return None


async def wait_in_loop(steps: Steps[T]) -> T:
    """Run *steps* to their end, without blocking the loop where they wait."""
    try:
        step = next(steps)
        while True:
            try:
                result = await _suspend(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        steps.close()


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _suspend(waiter: Waiter | Work | Pause) -> Any:
    loop = asyncio.get_running_loop()
    if isinstance(waiter, Work):
        return await _done(loop.run_in_executor(waiter.workers, waiter.call))
    if isinstance(waiter, Pause):
        return await asyncio.sleep(waiter.seconds)
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        loop.call_soon_threadsafe(_set, ready)

    if not waiter.subscribe(wake):
        async with asyncio.timeout(waiter.timeout):
            await ready
    return None


async def _done(work: asyncio.Future[T]) -> T:
    """What work gives; a cancellation waits for its end, so that it is known what became of it."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # it was asked for, so nobody is told of it
        raise
