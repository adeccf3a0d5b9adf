"""What a call prints belongs to the call.

While any call runs, ``sys.stdout`` and ``sys.stderr`` are routers that look up a context variable: text that is
printed on behalf of a call goes to that call, also after an await, in a thread that was given the context, and with
any number of calls at once. Everything else passes through.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from contextvars import ContextVar
from typing import Any, Protocol, TextIO

import msgspec

from qstate_nb.core.journal import Actor, current_actor

MAX_CHARACTERS = 100_000


class Output:
    """The text that one call has printed; of more than `MAX_CHARACTERS`, the last ones."""

    def __init__(self) -> None:
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


class Printer(Protocol):
    """On whose behalf code runs: a call.

    Attributes:
        actor: its name in the journal.
        echo: whether what it prints also goes to where it would have gone without a call.
        outer: on whose behalf the code around it runs, while this one's does.
    """

    actor: Actor
    echo: bool
    outer: tuple[Actor, Printer | None] | None

    def write(self, text: str, /) -> object:
        """Take text that was printed."""

    def overhear(self, text: str, /) -> object:
        """Hear what a printer inside this one has printed."""


_current: ContextVar[Printer | None] = ContextVar("qstate_nb.current_printer", default=None)


def current_printer() -> Printer | None:
    """On whose behalf the running code runs."""
    return _current.get()


class _Router(msgspec.Struct, eq=False, dict=True, weakref=True):  # as other streams, it takes any attribute
    """Stands in for a stream: writes go to the current printer, all else to the stream."""

    stream: TextIO

    def write(self, text: str) -> int:
        printer = _current.get()
        if printer is not None:
            printer.write(text)
        if printer is None or printer.echo:
            self.stream.write(text)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


_capturing: set[Printer] = set()
_lock = threading.Lock()  # is held while the streams are put back


def capture(printer: Printer) -> None:
    """Let what runs from now on, here and wherever this context goes, act and print for *printer*, until `release`.

    Within another one that doesn't echo, nothing echoes: what a background call runs stays in the background.
    """
    outer = _current.get()
    printer.outer = current_actor.get(), outer
    if outer is not None and not outer.echo:
        printer.echo = False
    _capturing.add(printer)
    if _lock.locked():  # by who may not have seen this printer
        with _lock:
            pass
    stdout, stderr = sys.stdout, sys.stderr
    if type(stdout) is not _Router:  # else another call runs, or somebody put an earlier one back
        sys.stdout = _Router(stdout)
    if type(stderr) is not _Router:
        sys.stderr = _Router(stderr)
    _current.set(printer)
    current_actor.set(printer.actor)


def release(printer: Printer) -> None:
    """Undo `capture`, or as much of it as was done before an interrupt; to undo it again does nothing."""
    if printer.outer is None:
        return
    actor, outer = printer.outer
    if _current.get() is printer:
        current_actor.set(actor)
        _current.set(outer)
    _capturing.discard(printer)
    if not _capturing:
        with _lock:
            if not _capturing:  # else somebody came meanwhile, and counts on the routers
                if type(sys.stdout) is _Router:
                    sys.stdout = sys.stdout.stream
                if type(sys.stderr) is _Router:
                    sys.stderr = sys.stderr.stream
    printer.outer = None
