"""Who opens a transaction, and what becomes of it if that ends first: an asyncio task, or else a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from qstate_nb.core.frames import Frame

Owner: TypeAlias = "asyncio.Task[Any] | threading.Thread"


def running_owner() -> Owner:
    """The asyncio task, or else the thread, that the code runs in."""
    if asyncio._get_running_loop() is not None:
        task = asyncio.current_task()
        if task is not None:
            return task
    return threading.current_thread()


def watch(frame: Frame) -> None:
    """Abandon a frame that is still open when who opened it, which runs now, ends."""
    owner = frame.owner()
    if isinstance(owner, threading.Thread):
        _here.opened.add(frame)
    elif owner is not None:
        owner.add_done_callback(frame.abandon)


def unwatch(frame: Frame) -> None:
    """The frame has ended."""
    owner = frame.owner()
    if isinstance(owner, threading.Thread):
        _here.opened.discard(frame)
    elif owner is not None:
        owner.remove_done_callback(frame.abandon)


def elsewhere(function: Callable[[], object]) -> None:
    """Call *function* in a thread of its own."""
    with contextlib.suppress(RuntimeError):  # Python is ending
        threading.Thread(target=function, name="qstate rollback", daemon=True).start()


class _Opened(set["Frame"]):
    """The frames that one thread has opened, outside asyncio tasks; this goes when the thread ends."""

    def __del__(self) -> None:
        for frame in self:
            if frame.status == "open":
                elsewhere(frame.abandon)  # logging in a thread that is ending would leave things behind


class _Here(threading.local):
    """What this thread has."""

    def __init__(self) -> None:
        self.opened = _Opened()


_here = _Here()
