"""asyncio's primitives that tasks share: in each program, what brute force finds, and what is to be expected."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from races.brute import all_schedules, outcome_key

from qstate_nb import AsyncState
from qstate_nb.races import Exploration, explore

lock, other_lock = asyncio.Lock(), asyncio.Lock()
two = asyncio.BoundedSemaphore(2)
ready = asyncio.Event()
condition = asyncio.Condition()
queue: asyncio.Queue[Any] = asyncio.Queue()
small: asyncio.Queue[Any] = asyncio.Queue(1)
heap: asyncio.PriorityQueue[Any] = asyncio.PriorityQueue()
stack: asyncio.LifoQueue[Any] = asyncio.LifoQueue()


class Log(AsyncState):
    n: int = 0


async def adds(log: Log) -> None:
    await log.set("n", await log.get("n") + 1)


async def adds_locked(log: Log) -> None:
    async with lock:
        await adds(log)


async def adds_limited(log: Log) -> None:
    async with two:
        await adds(log)


async def one_way(log: Log) -> None:
    async with lock, other_lock:
        await log.increment("n")


async def other_way(log: Log) -> None:
    async with other_lock, lock:
        await log.increment("n")


async def waits_for_event(log: Log) -> Any:
    await ready.wait()
    return await log.get("n")


async def sets_event(log: Log) -> None:
    await log.set("n", 1)
    ready.set()


async def clears_event(log: Log) -> None:
    ready.clear()
    await log.increment("n")


async def waits_for_condition(log: Log) -> Any:
    async with condition:
        while not await log.get("n"):
            await condition.wait()
    return await log.get("n")


async def notifies(log: Log) -> None:
    async with condition:
        await log.set("n", 1)
        condition.notify_all()


async def notifies_one(log: Log) -> None:
    async with condition:
        await log.set("n", 1)
        condition.notify()


async def produces(log: Log, items: tuple[int, ...]) -> None:
    for item in items:
        await queue.put(item)


async def consumes(log: Log, count: int) -> list[int]:
    return [await queue.get() for _ in range(count)]


async def puts(log: Log, to: str) -> None:
    for item in (3, 1, 2):
        await QUEUES[to].put(item)


async def out_of(log: Log, to: str, count: int) -> list[int]:
    found = []
    for _ in range(count):
        found.append(await QUEUES[to].get())
        await log.increment("n")
    return found


async def takes_what_is_there(log: Log) -> str:
    try:
        return str(queue.get_nowait())
    except asyncio.QueueEmpty:
        return "empty"


async def gives_at_once(log: Log) -> None:
    await log.increment("n")
    queue.put_nowait("one")


async def works(log: Log) -> None:
    await queue.get()
    await log.increment("n")
    queue.task_done()


async def waits_for_work(log: Log) -> Any:
    await queue.put("job")
    await queue.join()
    return await log.get("n")


async def gives_up(log: Log) -> str:
    try:
        async with asyncio.timeout(1):
            async with lock:
                return "had it"
    except TimeoutError:
        return "late"


async def keeps(log: Log) -> None:
    await lock.acquire()
    await log.increment("n")


async def is_it_locked(log: Log) -> bool:
    await log.get("n")
    return lock.locked()


QUEUES = {"small": small, "heap": heap, "stack": stack}

Tasks = tuple[Callable[..., Any], ...]

PROGRAMS: dict[str, tuple[Tasks, str]] = {
    "lock": ((adds_locked, adds_locked), "safe"),
    "lock, one without": ((adds_locked, adds), "race"),
    "semaphore": ((adds_limited, adds_limited, adds_limited), "race"),
    "locks in two orders": ((one_way, other_way), "deadlock"),
    "event": ((waits_for_event, sets_event, waits_for_event), "safe"),
    "event that may be cleared": ((waits_for_event, sets_event, clears_event), "deadlock"),
    "condition": ((waits_for_condition, notifies, waits_for_condition), "safe"),
    "condition that tells one": ((waits_for_condition, notifies_one, waits_for_condition), "deadlock"),
    "queue with too little in it": ((functools.partial(consumes, count=2), gives_at_once), "deadlock"),
    "queue at once": ((takes_what_is_there, gives_at_once, gives_at_once), "safe"),
    "queue's join": ((works, waits_for_work), "safe"),
    "lock with a timeout": ((gives_up, keeps), "safe"),
    "a look at a lock": ((is_it_locked, adds_locked), "results differ"),
}


@pytest.mark.parametrize(("tasks", "verdict"), PROGRAMS.values(), ids=PROGRAMS)
def test_the_explorer_finds_what_brute_force_finds(tasks: Tasks, verdict: str) -> None:
    found = explore(*tasks)

    assert (found.verdict, found.warnings, found.complete) == (verdict, [], True)
    real = all_schedules(found, 20_000)
    assert Counter({outcome_key(found, o): o.schedules for o in found.outcomes}) == real.counts
    assert {outcome_key(found, o): o.preemptions for o in found.outcomes} == real.preemptions


def test_a_deadlock_of_locks_says_who_holds_what() -> None:
    assert explore(one_way, other_way).outcomes[0].reason == (
        "nobody can go on: one_way holds lock and waits: acquire other_lock; "
        "other_way holds other_lock and waits: acquire lock"
    )


def test_a_producer_and_a_consumer() -> None:
    """What comes out is what was put in, in that order; neither order one after the other would do in the reverse."""
    found = explore(functools.partial(produces, items=(1, 2)), functools.partial(consumes, count=2))

    assert _results(found) == [(None, [1, 2])]
    assert found.verdict == "safe"


ORDERS = {
    "small": [[3, 1, 2]],
    "heap": [[1, 2, 3], [1, 3, 2], [3, 1, 2]],
    "stack": [[1, 2, 3], [1, 3, 2], [2, 1, 3], [3, 1, 2], [3, 2, 1]],
}


@pytest.mark.parametrize(("kind", "expected"), ORDERS.items())
def test_the_order_of_a_queue_is_its_own(kind: str, expected: list[list[int]]) -> None:
    found = explore(functools.partial(puts, to=kind), functools.partial(out_of, to=kind, count=3))

    assert sorted(results[1] for results in _results(found)) == expected


def _results(found: Exploration) -> list[tuple[Any, ...]]:
    return [outcome.results for outcome in found.outcomes]
