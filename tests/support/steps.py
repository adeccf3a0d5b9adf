"""Do something at one bytecode of a function: interrupt it, or run other code in the middle of it."""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Self

from qstate_nb.core.store import MemoryStore


@functools.cache
def _lines_of(code: CodeType, beginnings: tuple[str, ...]) -> frozenset[int]:
    """The numbers of a function's lines that begin so."""
    lines, first = inspect.getsourcelines(code)
    return frozenset(first + n for n, line in enumerate(lines) if line.strip().startswith(beginnings))


def interrupt() -> None:
    """What Ctrl-C does."""
    raise KeyboardInterrupt


class AtStep:
    """Does something before one bytecode of a function, counted from 1, while a block runs.

    A KeyboardInterrupt ends the block.

    Args:
        function: whose bytecode.
        at: which of those that are run.
        action: what to do.
        skip: lines of the source at which Python does not look for signals.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        at: int,
        action: Callable[[], object] = interrupt,
        skip: tuple[str, ...] = (),
    ) -> None:
        self._code, self._left, self._action = function.__code__, at, action
        self._skipped = _lines_of(self._code, skip) if skip else frozenset()
        self.happened = False

    def __enter__(self) -> Self:
        self._previous = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # else Python 3.12.1 has no opcode events the first time
        sys.settrace(self._trace)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        sys.settrace(self._previous)
        return kind is KeyboardInterrupt

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code is not self._code or self.happened:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_lineno not in self._skipped:
            self._left -= 1
            if self._left == 0:
                self.happened = True
                self._action()
        return self._trace


def is_free(store: MemoryStore) -> bool:
    """Tell whether no op is left in a store, and another thread can use it."""
    free: list[bool] = []

    def try_it() -> None:
        free.append(store.lock.acquire(blocking=False))
        if free[0]:
            store.lock.release()

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join(10)
    return free == [True] and not store.is_busy
