"""The rows of `stores.py` that are about async code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import TypeAlias

from benchmarks.measuring import Timer, undisturbed
from benchmarks.stores_ops import (
    SCRIPT,
    UPSERT,
    Counter,
    Line,
    Places,
    bare_sqlite,
    compared,
    missing,
    opened,
    request_of,
)

from qstate_nb import AsyncState, StateRegistry

TASKS = 100


class AsyncCounter(AsyncState):
    """Its fields are not declared."""


Step: TypeAlias = Callable[[int, int], Awaitable[object]]
"""Sets something to a number (the second one) in one of the tasks (the first one)."""

Opening: TypeAlias = Callable[[], AbstractAsyncContextManager[Step]]
"""Opens what steps need, on the running loop."""


async def _rounds(opening: Opening, tasks: int, n: int) -> float:
    async with opening() as step:

        async def work(task: int, rounds: int) -> None:
            for i in range(rounds):
                await step(task, i)

        await asyncio.gather(*[work(task, 1) for task in range(tasks)])  # connections are opened
        rounds = -(-n // tasks)
        start = time.perf_counter()
        await asyncio.gather(*[work(task, rounds) for task in range(tasks)])
        return (time.perf_counter() - start) / (rounds * tasks)


def in_tasks(opening: Opening, tasks: int) -> Timer:
    """A loop in several tasks at once."""
    return lambda n: asyncio.run(_rounds(opening, tasks, n))


async def _blocked(opening: Opening, tasks: int, seconds: float) -> float:
    async with opening() as step:
        end = time.perf_counter() + seconds

        async def work(task: int) -> None:
            while time.perf_counter() < end:
                await step(task, 1)

        await asyncio.gather(*[step(task, 1) for task in range(tasks)])
        works = asyncio.gather(*[work(task) for task in range(tasks)])
        longest = 0.0
        while not works.done():
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - start - 0.001)
        await works
    return longest


def of_async(places: Places) -> Iterator[Line]:
    """Async sets, and how long they block the loop."""
    limits = {"aiosqlite": "", "redis.asyncio": "1.3"}
    for kind, url in places.urls("async").items():
        with opened(url) as registry:
            openings = {"ours": our_steps(registry)}
            try:
                openings |= aiosqlite_steps(places) if kind == "sqlite" else redis_steps(places, registry)
            except ImportError as error:
                yield missing(f"AsyncState.set, {kind}", error)
            ours, *_ = openings.values()
            for tasks in (1, TASKS):
                row = f"AsyncState.set, {kind}, {tasks} at once"
                others = {
                    name: (in_tasks(each, tasks), limits.get(name, ""))
                    for name, each in openings.items()
                    if name != "ours"
                }
                yield from compared(row, places.repeat, in_tasks(ours, tasks), others, has_threads=True)
                with undisturbed():
                    found = {name: asyncio.run(_blocked(each, tasks, 0.7)) for name, each in openings.items()}
                yield Line(f"{row}, blocked", ", ".join(f"{name} {t * 1e3:.1f} ms" for name, t in found.items()))
    idle = asyncio.run(_blocked(idle_steps, 1, 0.7))
    yield Line("nothing at all, blocked", f"{idle * 1e3:.1f} ms")


def our_steps(registry: StateRegistry) -> Opening:
    """Sets of `AsyncState`."""
    states = [registry.state(AsyncCounter, scope=task) for task in range(TASKS)]

    @asynccontextmanager
    async def opening() -> AsyncIterator[Step]:
        yield lambda task, i: states[task].set("n", i)

    return opening


def aiosqlite_steps(places: Places) -> dict[str, Opening]:
    """An upsert and a commit."""
    aiosqlite = import_module("aiosqlite")
    path = places.folder / "aiosqlite.db"
    with bare_sqlite(path):
        pass

    @asynccontextmanager
    async def opening() -> AsyncIterator[Step]:
        async with aiosqlite.connect(path) as sql:
            await sql.execute("PRAGMA synchronous = normal")

            async def step(task: int, i: int) -> None:
                await sql.execute(UPSERT, (task, b"%d" % i))
                await sql.commit()

            yield step

    return {"aiosqlite": opening}


def redis_steps(places: Places, registry: StateRegistry) -> dict[str, Opening]:
    """HSET, a script that adds an event, and the request that ours sends."""
    asyncio_client = import_module("redis.asyncio").Redis
    state = registry.state(Counter)
    request = request_of(lambda: state.set("n", 1))

    @asynccontextmanager
    async def hset() -> AsyncIterator[Step]:
        async with asyncio_client.from_url(places.redis_url) as client:
            yield lambda task, i: client.hset(f"bare:{task}", "n", i)

    @asynccontextmanager
    async def script() -> AsyncIterator[Step]:
        async with asyncio_client.from_url(places.redis_url) as client:
            sha = await client.script_load(SCRIPT.format(command="HSET"))
            yield lambda task, i: client.evalsha(sha, 2, f"bare:{task}", "journal", "n", i, "x" * 100)

    @asynccontextmanager
    async def ours() -> AsyncIterator[Step]:
        async with asyncio_client.from_url(places.redis_url) as client:
            yield lambda _task, _i: client.evalsha(*request)

    return {"redis.asyncio": hset, "its script": script, "our request": ours}


@asynccontextmanager
async def idle_steps() -> AsyncIterator[Step]:
    """Nothing to do."""
    yield lambda _task, _i: asyncio.sleep(0.05)
