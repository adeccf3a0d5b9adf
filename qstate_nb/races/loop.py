"""An event loop without waiting: it runs what is ready, its clock is virtual, and it does no I/O.

A clock belongs to a root, one of the explored tasks: it goes forward only when all of that root waits for time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, NoReturn

from qstate_nb.errors import OutOfScopeError

MAX_CALLBACKS = 20_000
"""So many callbacks in a row, with no op in between, are an endless loop."""


class Clock:
    """The virtual time of one root, in seconds, and what waits for it."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()

    def add(self, timer: asyncio.TimerHandle) -> None:
        """Wait for a moment; of several timers for one moment, the first that was added comes first."""
        heapq.heappush(self._timers, (timer.when(), next(self._numbers), timer))

    def next(self) -> float | None:
        """The moment that is waited for next, if any is."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def advance(self) -> asyncio.TimerHandle:
        """Go forward to the next moment, and give the timer that waits for it; `next` says that there is one."""
        self.next()
        when, _, timer = heapq.heappop(self._timers)
        self.now = max(self.now, when)
        return timer


current_clock: ContextVar[Clock | None] = ContextVar("qstate_nb.races.current_clock", default=None)
"""The clock of the root that the code runs in."""


_Loop: Any = asyncio.AbstractEventLoop  # it has many methods that make no sense here


class VirtualLoop(_Loop):  # type: ignore[misc]
    """Runs the async tasks of an exploration, in the thread that calls `run`.

    Attributes:
        on_task: is called with each asyncio task that is made.
        refused: notes an error that is about to be raised.
        is_endless: whether `run` gave up.
    """

    def __init__(
        self,
        on_task: Callable[[asyncio.Task[Any]], object],
        refused: Callable[[OutOfScopeError], OutOfScopeError],
    ) -> None:
        self.on_task = on_task
        self.refused = refused
        self.is_endless = False
        self._ready: deque[asyncio.Handle] = deque()

    def run(self, first: asyncio.Handle | None = None) -> None:
        """Run what is ready until nothing is.

        Args:
            first: what to run before that.
        """
        ready = self._ready
        if first is not None:
            ready.append(first)
        asyncio._set_running_loop(self)
        try:
            for _ in range(MAX_CALLBACKS):
                if not ready:
                    return
                handle = ready.popleft()
                if not handle.cancelled():
                    handle._run()
            self.is_endless = True
        except (SystemExit, KeyboardInterrupt):  # a task's own; the asyncio task has it as its exception
            self.run()
        finally:
            asyncio._set_running_loop(None)

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """As of `asyncio.AbstractEventLoop`."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As of `asyncio.AbstractEventLoop`."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As of `asyncio.AbstractEventLoop`."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        clock = current_clock.get()
        if clock is not None:
            clock.add(timer)
        return timer

    def time(self) -> float:
        """The virtual time of the root that runs."""
        clock = current_clock.get()
        return 0.0 if clock is None else clock.now

    def create_future(self) -> asyncio.Future[Any]:
        """As of `asyncio.AbstractEventLoop`."""
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None, **_: Any
    ) -> asyncio.Task[Any]:
        """As of `asyncio.AbstractEventLoop`."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self.on_task(task)
        return task

    def get_debug(self) -> bool:
        """Whether it is in debug mode; it never is."""
        return False

    def is_running(self) -> bool:
        """Whether it runs; it is asked only then."""
        return True

    def is_closed(self) -> bool:
        """Whether it can't be used any more."""
        return False

    def _timer_handle_cancelled(self, _: asyncio.TimerHandle) -> None: ...

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Say nothing of exceptions that nobody asks for: of tasks that are left behind there are many."""

    def get_task_factory(self) -> None:
        """There is none."""


def _out_of_scope(name: str) -> Callable[..., NoReturn]:
    def refuse(loop: VirtualLoop, *_: Any, **__: Any) -> NoReturn:
        raise loop.refused(
            OutOfScopeError(
                f"asyncio's loop.{name} does real I/O, or needs a thread or process, and an exploration can't order "
                "that; move it out of the task, or give the task a fake"
            )
        )

    return refuse


for _name in (
    *("run_in_executor", "create_connection", "create_server", "create_unix_connection", "create_unix_server"),
    *("create_datagram_endpoint", "subprocess_exec", "subprocess_shell", "connect_read_pipe", "connect_write_pipe"),
    *("connect_accepted_socket", "getaddrinfo", "getnameinfo", "add_reader", "add_writer", "add_signal_handler"),
    *("sock_recv", "sock_recv_into", "sock_sendall", "sock_connect", "sock_accept", "sendfile", "start_tls"),
    *("run_forever", "run_until_complete", "set_task_factory"),
):
    setattr(VirtualLoop, _name, _out_of_scope(_name))
