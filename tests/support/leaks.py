"""What a test must not leave behind: threads, asyncio tasks, a captured stdout, a patched asyncio."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

DEADLINE = 10.0  # seconds


async def leaving_nothing(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await *coroutine*, and fail if an asyncio task that it made is still there a few turns of the loop later."""
    before = asyncio.all_tasks()
    result = await coroutine
    for _ in range(3):
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - before
    assert not left, f"asyncio tasks were left: {left}"
    return result


@contextmanager
def nothing_left() -> Iterator[None]:
    """Fail if the block leaves threads or streams behind, and undo what it did to asyncio."""
    with asyncio_restored(), no_threads_left(), streams_restored():
        yield


@contextmanager
def without_collections() -> Iterator[None]:
    """No garbage is collected in the block.

    Finalisers of event loops, of other tests too, would run in whatever thread is stopped just then; Python drops a
    stop that is raised in one, with a warning. What becomes of such a stop is the subject of tests of its own.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def no_threads_left() -> Iterator[None]:
    """Fail if a thread that the block started doesn't end."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + DEADLINE
    for thread in set(threading.enumerate()) - before:
        while thread.ident is None and time.monotonic() < deadline:
            time.sleep(0.001)  # it is just being started, by one that has ended
        thread.join(max(0.0, deadline - time.monotonic()))
        assert not thread.is_alive(), f"a thread was left: {thread}"


@contextmanager
def streams_restored() -> Iterator[None]:
    """Fail if the block leaves another ``sys.stdout`` or ``sys.stderr`` behind."""
    before = sys.stdout, sys.stderr
    yield
    assert (sys.stdout, sys.stderr) == before


@contextmanager
def asyncio_restored() -> Iterator[None]:
    """Undo what nest-asyncio2 does to asyncio in the block, so that it can't hide something in the next test."""
    policy = type(asyncio.get_event_loop_policy())
    loop = asyncio.SelectorEventLoop
    spots: list[Any] = [asyncio, asyncio.tasks, asyncio.futures, asyncio.events, policy, loop]
    before = [dict(vars(spot)) for spot in spots]
    yield
    if not hasattr(asyncio, "_nest_patched"):
        return
    for spot, names in zip(spots, before, strict=True):
        for name, value in list(vars(spot).items()):
            if name not in names:
                delattr(spot, name)
            elif value is not names[name]:
                setattr(spot, name, names[name])
