"""Tasks and threads that use one registry and are driven step by step, from a test that is plain sync code.

One body works for both colours: an actor's steps run one after the other in one asyncio task, or in one thread, so
what a step opens is open in the next.
"""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final

from support.leaks import DEADLINE, no_threads_left
from support.replay import assert_no_gaps, replay

from qstate_nb import AsyncState, State, StateKey, StateRegistry, Transaction, transaction
from qstate_nb.app.threads import Stoppable
from qstate_nb.core.buckets import Bucket
from qstate_nb.core.keys import ScopeId
from qstate_nb.core.state import StateBase


class Account(State):
    pass


class AccountAsync(AsyncState, name="Account"):
    pass


_END: Final = object()


def until(is_so: Callable[[], object]) -> None:
    """Wait until something is so that no event tells of, such as that a thread has begun to wait."""
    deadline = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not is_so():
        assert time.monotonic() < deadline, "it never became so"
        pause.wait(0.0005)


class Actor:
    """Somebody who does one step at a time, and the transactions that it has open.

    Args:
        name: of its thread or task.
        registry: whose State it uses.
    """

    cls: type[StateBase]

    def __init__(self, name: str, registry: StateRegistry) -> None:
        self.name = name
        self.registry = registry
        self.open: list[Transaction] = []
        self.step: Future[Any] = Future()
        self.step.set_result(None)

    def state(self, scope: ScopeId | None = None) -> Any:
        return self.registry.state(self.cls, scope)

    def start(self, function: Callable[[], Any]) -> Future[Any]:
        """Begin a step: *function* gives its result, or a coroutine for it."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Cancel the step that waits."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def do(self, function: Callable[[], Any]) -> Any:
        """Do a whole step, and give its result or raise its exception."""
        return self.start(function).result(DEADLINE)

    def begin(self, scope: ScopeId | None, op: str, *args: Any, **kwargs: Any) -> Future[Any]:
        """Begin an op on a State."""
        return self.start(lambda: getattr(self.state(scope), op)(*args, **kwargs))

    def op(self, scope: ScopeId | None, op: str, *args: Any, **kwargs: Any) -> Any:
        """Do an op on a State."""
        return self.begin(scope, op, *args, **kwargs).result(DEADLINE)

    def begin_enter(self, *scopes: ScopeId | None, timeout: float | None = None) -> Future[Any]:
        """Begin to open a transaction."""
        opened = transaction(*map(self.state, scopes), timeout=timeout)
        is_sync = isinstance(self, ThreadActor)

        def enter() -> Any:
            if is_sync:
                opened.__enter__()
                self.open.append(opened)
                return None
            return self._enter(opened)

        return self.start(enter)

    async def _enter(self, opened: Transaction) -> None:
        await opened.__aenter__()
        self.open.append(opened)

    def enter(self, *scopes: ScopeId | None, timeout: float | None = None) -> None:
        """Open a transaction."""
        self.begin_enter(*scopes, timeout=timeout).result(DEADLINE)

    def exit(self, error: BaseException | None = None) -> None:
        """End the innermost transaction, as *error* would that is raised in it."""
        opened = self.open.pop()
        end = opened.__exit__ if isinstance(self, ThreadActor) else opened.__aexit__
        self.do(lambda: end(type(error) if error is not None else None, error, None))


class ThreadActor(Actor):
    """Does its steps in a thread."""

    cls = Account

    def __init__(self, name: str, registry: StateRegistry) -> None:
        super().__init__(name, registry)
        self._steps: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stop = Stoppable()
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    def _run(self) -> None:
        while (next_step := self._steps.get()) is not _END:
            function, step, stop = next_step
            next_step = None
            try:
                with stop:
                    result = function()
            except BaseException as error:
                step.set_exception(error)
            else:
                step.set_result(result)
            function = step = stop = result = None

    def start(self, function: Callable[[], Any]) -> Future[Any]:
        assert self.step.done()
        self.step, self._stop = Future(), Stoppable()
        self._steps.put((function, self.step, self._stop))
        return self.step

    def cancel(self) -> None:
        self._stop.stop()

    def close(self) -> None:
        self._steps.put(_END)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), f"{self.name} hangs"


class TaskActor(Actor):
    """Does its steps in an asyncio task."""

    cls = AccountAsync

    def __init__(self, name: str, registry: StateRegistry, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name, registry)
        self.loop = loop
        self._steps: asyncio.Queue[Any] = asyncio.Queue()
        self._end = asyncio.run_coroutine_threadsafe(self._run(), loop)
        self.task: asyncio.Task[None]

    async def _run(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name(self.name)
        self.task = task
        while (next_step := await self._steps.get()) is not _END:
            function, step = next_step
            next_step = None
            try:
                result = function()
                if inspect.isawaitable(result):
                    result = await result
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError):
                    task.uncancel()
                step.set_exception(error)
            else:
                step.set_result(result)
            function = step = result = None

    def start(self, function: Callable[[], Any]) -> Future[Any]:
        assert self.step.done()
        self.step = Future()
        self.loop.call_soon_threadsafe(self._steps.put_nowait, (function, self.step))
        return self.step

    def cancel(self) -> None:
        self.loop.call_soon_threadsafe(self.task.cancel)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self._steps.put_nowait, _END)
        self._end.result(DEADLINE)


class World:
    """A registry, its actors, and the event loops in which those that are tasks run."""

    def __init__(self) -> None:
        self.registry = StateRegistry(max_events=None)
        self.actors: list[Actor] = []
        self._loops: list[tuple[asyncio.AbstractEventLoop, threading.Thread]] = []

    def actor(self, colour: str, name: str | None = None) -> Actor:
        """Bring in another one.

        Args:
            colour: ``thread``; ``task`` of a loop that is the first one's as well; ``other loop`` for its own.
        """
        name = f"{colour} {len(self.actors)}" if name is None else name
        actor: Actor
        if colour == "thread":
            actor = ThreadActor(name, self.registry)
        else:
            if not self._loops or colour == "other loop":
                self._loops.append(_started_loop())
            actor = TaskActor(name, self.registry, self._loops[-1 if colour == "other loop" else 0][0])
        self.actors.append(actor)
        return actor

    def bucket(self, scope: ScopeId | None = None) -> Bucket:
        return self.registry.bucket(StateKey("Account", scope))

    def peek(self, scope: ScopeId | None = None) -> dict[str, Any]:
        """What is committed."""
        return self.registry.peek(StateKey("Account", scope))

    def until_in_line(self, count: int, scope: ScopeId | None = None) -> None:
        """Wait until so many wait for a bucket."""
        bucket = self.bucket(scope)
        until(lambda: len(bucket.queue) == count)

    def assert_quiet(self) -> None:
        """Nobody holds or waits for anything, and the journal tells how all came to be what it is."""
        history = self.registry.history()
        assert_no_gaps(history)
        for key in {*self.registry.keys(), *(state for event in history for state in event.states)}:
            bucket = self.registry.bucket(key)
            assert bucket.holder is None, f"{bucket.holder.who} still holds {key}"
            assert bucket.queue == [], f"somebody still waits for {key}"
            assert list(replay(history, key).items()) == list(self.registry.peek(key).items())

    def close(self) -> None:
        for actor in self.actors:
            actor.close()
        for loop, thread in self._loops:
            _stop_loop(loop, thread)


def _started_loop() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="loop")
    thread.start()
    return loop, thread


def _stop_loop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    left = asyncio.run_coroutine_threadsafe(_other_tasks(), loop).result(DEADLINE)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(DEADLINE)
    loop.close()
    assert not left, f"asyncio tasks were left: {left}"


async def _other_tasks() -> set[asyncio.Task[Any]]:
    for _ in range(3):
        await asyncio.sleep(0)
    return asyncio.all_tasks() - {asyncio.current_task()}


@contextmanager
def a_world() -> Iterator[World]:
    """A world of which nothing is left after the block: no thread, task, waiter or held bucket."""
    with no_threads_left():
        world = World()
        try:
            yield world
        finally:
            world.close()
        world.assert_quiet()
