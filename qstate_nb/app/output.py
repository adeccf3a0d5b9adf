"""What a call prints belongs to the call.

While any call runs, ``sys.stdout`` and ``sys.stderr`` are routers that look up a context variable: text that is
printed on behalf of a call goes to its `Output`, also after an await, in a thread that was given the context,
and with any number of calls at once. Everything else passes through.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TextIO

MAX_CHARACTERS = 100_000


class Output:
    """The text that one call has printed; of more than `MAX_CHARACTERS`, the last ones.

    Args:
        echo: whether the text also goes to where it would have gone without a call.
        on_write: is called after each write.
    """

    def __init__(self, *, echo: bool, on_write: Callable[[], object]) -> None:
        self.echo = echo
        self._on_write = on_write
        self._lock = threading.Lock()
        self._chunks: deque[str] = deque()
        self._size = 0
        self._dropped = 0

    def write(self, text: str) -> None:
        """Add text to the end."""
        with self._lock:
            self._chunks.append(text)
            self._size += len(text)
            while self._size > MAX_CHARACTERS:
                self._drop(self._size - MAX_CHARACTERS)
        self._on_write()

    def _drop(self, surplus: int) -> None:
        first = self._chunks.popleft()
        if len(first) > surplus:
            self._chunks.appendleft(first[surplus:])
        cut = min(len(first), surplus)
        self._size -= cut
        self._dropped += cut

    @property
    def text(self) -> str:
        """What was printed."""
        with self._lock:
            note = f"[… {self._dropped} characters before this were dropped]\n" if self._dropped else ""
            return note + "".join(self._chunks)


_current: ContextVar[Output | None] = ContextVar("qstate_nb.current_output", default=None)


class _Router:
    """Stands in for a stream: writes go to the current call's output, all else to the stream."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        output = _current.get()
        if output is not None:
            output.write(text)
        if output is None or output.echo:
            self.stream.write(text)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


_lock = threading.Lock()
_captures = 0
_STREAMS = ("stdout", "stderr")


@contextlib.contextmanager
def capture(output: Output) -> Iterator[None]:
    """Send what the block prints, here and wherever its context goes, to *output*.

    Within another capture that doesn't echo, nothing echoes: what a background call runs stays in the background.
    """
    outer = _current.get()
    if outer is not None and not outer.echo:
        output.echo = False
    _install()
    token = _current.set(output)
    try:
        yield
    finally:
        _current.reset(token)
        _uninstall()


def _install() -> None:
    global _captures
    with _lock:
        _captures += 1
        for name in _STREAMS:
            stream = getattr(sys, name)
            if not isinstance(stream, _Router):  # else somebody put an earlier one back
                setattr(sys, name, _Router(stream))


def _uninstall() -> None:
    global _captures
    with _lock:
        _captures -= 1
        if _captures:
            return
        for name in _STREAMS:
            stream = getattr(sys, name)
            if isinstance(stream, _Router):
                setattr(sys, name, stream.stream)
