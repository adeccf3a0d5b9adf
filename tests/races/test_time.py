"""Time in an exploration: it is virtual, and it can pass whenever somebody waits for it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest
from races.brute import all_schedules, outcome_key

from qstate_nb import AsyncState, State, transaction
from qstate_nb.races import Exploration, explore


class Box(AsyncState):
    pass


class SyncBox(State, name="SyncBox"):
    pass


event = asyncio.Event()
lock = asyncio.Lock()


async def waits(box: Box) -> str:
    try:
        async with asyncio.timeout(0.1):
            await event.wait()
    except TimeoutError:
        return "late"
    return "in time"


async def sets_later(box: Box) -> None:
    await asyncio.sleep(0.5)
    event.set()


async def sleeps_first(box: Box) -> None:
    await asyncio.sleep(1)
    event.set()


async def waits_for_event(box: Box) -> int:
    await event.wait()
    return 1


async def sleeps_between(box: Box) -> None:
    await box.set("x", 1)
    await asyncio.sleep(1)
    event.set()


async def looks(box: Box) -> tuple[bool, bool]:
    return bool(await box.get("x")), event.is_set()


async def sets_now(box: Box) -> None:
    event.set()


async def holds(box: Box) -> None:
    async with lock:
        await asyncio.sleep(5)
        await box.increment("n")


async def wants(box: Box) -> str:
    try:
        async with asyncio.timeout(1), lock:
            return "had it"
    except TimeoutError:
        return "late"


async def reads_sleeps_writes(box: Box) -> None:
    value = await box.get("n", 0)
    await asyncio.sleep(0.01)
    await box.set("n", value + 1)


async def waits_for_op(box: Box) -> str:
    async with asyncio.timeout(1):
        await box.set("x", 1)
    return "done"


async def holds_transaction(box: Box) -> None:
    async with box.transaction():
        await asyncio.sleep(5)
        await box.increment("n")


async def wants_transaction(box: Box) -> str:
    try:
        async with transaction(box, timeout=1):
            return "had it"
    except TimeoutError:
        return "late"


async def two_timeouts(box: Box) -> str:
    async with asyncio.timeout(1):
        await box.get("x")
    return await waits(box)


async def beats(box: Box) -> None:
    async def beat() -> None:
        while True:
            await asyncio.sleep(1)

    heart = asyncio.create_task(beat())
    await box.set("n", await box.get("n", 0) + 1)
    heart.cancel()


async def leaves_heart_beating(box: Box) -> None:
    async def beat() -> None:
        while True:
            await asyncio.sleep(1)

    hearts.append(asyncio.create_task(beat()))
    await box.set("n", await box.get("n", 0) + 1)


hearts: list[Any] = []


def results(found: Exploration) -> set[Any]:
    return {outcome.results[0] for outcome in found.outcomes}


PROGRAMS: dict[str, tuple[tuple[Callable[..., Any], ...], set[Any]]] = {
    "a timeout, and another that sleeps longer": ((waits, sets_later), {"late", "in time"}),
    "a timeout, and another that doesn't sleep": ((waits, sets_now), {"in time"}),
    "a lock that is held over a long sleep": ((wants, holds), {"late", "had it"}),
    "a transaction that is held over a long sleep": ((wants_transaction, holds_transaction), {"late", "had it"}),
    "a transaction that nobody else wants": ((wants_transaction, waits_for_op), {"had it"}),
    "a timeout around an op": ((waits_for_op, reads_sleeps_writes), {"done"}),
    "two timeouts, one after the other": ((two_timeouts,), {"late"}),
    "a sleep, and then what others wait for": ((waits_for_event, sleeps_first), {1}),
    "what is done after a sleep can be seen": (
        (looks, sleeps_between),
        {(False, False), (True, False), (True, True)},
    ),
    "sleeps alone": ((reads_sleeps_writes, reads_sleeps_writes), {None}),
    "a background task that only sleeps": ((beats, beats), {None}),
}


@pytest.mark.parametrize(("tasks", "expected"), PROGRAMS.values(), ids=PROGRAMS)
def test_time_can_pass_and_counts_are_those_of_brute_force(
    tasks: tuple[Callable[..., Any], ...], expected: set[Any]
) -> None:
    found = explore(*tasks)

    assert results(found) == expected
    assert (found.complete, found.warnings) == (True, [])
    real = all_schedules(found, 20_000)
    assert {outcome_key(found, o): o.schedules for o in found.outcomes} == dict(real.counts)
    assert {outcome_key(found, o): o.preemptions for o in found.outcomes} == real.preemptions


def test_a_sleep_orders_nothing_and_is_no_step() -> None:
    """Another task can be late by more than any sleep."""
    found = explore(reads_sleeps_writes, n=2)
    assert (found.verdict, found.total) == ("race", 6)


def test_what_is_left_behind_and_only_sleeps_is_not_waited_for() -> None:
    found = explore(leaves_heart_beating, n=2)
    assert (found.verdict, found.complete, found.total) == ("race", True, 6)
    assert sorted(outcome.state["Box"]["n"] for outcome in found.outcomes) == [1, 2]


def sync_holds(box: SyncBox, other: bool) -> str:
    try:
        with transaction(box, timeout=1):
            box.increment("n")
            return "had it"
    except TimeoutError:
        return "late"


def test_a_sync_transaction_gives_up_only_if_nobody_can_go_on() -> None:
    tasks = [functools.partial(sync_holds, other=other) for other in (True, False)]
    assert results(explore(*tasks)) == {"had it"}
