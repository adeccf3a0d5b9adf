"""Verbs in many threads, tasks and event loops at once: nothing is lost, and nothing is seen by halves."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.at_once import frequent_switches, in_threads
from support.replay import assert_no_gaps, replay
from support.steps import AtStep

from qstate_nb import AsyncState, State, StateKey, StateRegistry
from qstate_nb.core.buckets import Bucket
from qstate_nb.core.state import StateBase
from qstate_nb.core.store import MemoryStore
from qstate_nb.errors import ReentrantError


class Signup(State):
    pass


class SignupAsync(AsyncState, name="Signup"):
    pass


class Declared(State, name="Signup"):
    n: int = 0


class DeclaredAsync(AsyncState, name="Signup"):
    n: int = 0


KEY = StateKey("Signup")
THREADS, TASKS, ROUNDS = 8, 1_000, 500

pytestmark = pytest.mark.usefixtures("often")


@pytest.fixture
def often() -> Any:
    with frequent_switches():
        yield


@pytest.fixture
def registry() -> StateRegistry:
    return StateRegistry(max_events=None)


def assert_whole(registry: StateRegistry, ops: int) -> None:
    """The journal has each op once, and replays to the State."""
    history = registry.history()
    assert_no_gaps(history)
    assert len(history) == ops
    assert replay(history, KEY) == registry.state(Signup).get_all()


@pytest.mark.parametrize("cls", [Signup, Declared])
def test_threads_that_increment_lose_nothing(registry: StateRegistry, cls: type[State]) -> None:
    state = registry.state(cls)
    sums: list[list[int]] = [[] for _ in range(THREADS)]

    def work(mine: list[int]) -> None:
        mine.extend(state.increment("n") for _ in range(ROUNDS))

    in_threads(*(lambda mine=mine: work(mine) for mine in sums))
    assert state.get("n") == THREADS * ROUNDS
    assert sorted(itertools.chain(*sums)) == list(range(1, THREADS * ROUNDS + 1))
    assert all(mine == sorted(mine) for mine in sums)
    assert_whole(registry, THREADS * ROUNDS)


@pytest.mark.parametrize("cls", [SignupAsync, DeclaredAsync])
def test_tasks_that_increment_lose_nothing(registry: StateRegistry, cls: type[AsyncState]) -> None:
    state = registry.state(cls)

    async def work() -> list[int]:
        async def once() -> int:
            await asyncio.sleep(0)
            return int(await state.increment("n"))

        return [await once(), await once(), await once()]

    async def all_of_them() -> list[list[int]]:
        return await asyncio.gather(*(work() for _ in range(TASKS)))

    sums = asyncio.run(all_of_them())
    assert sorted(itertools.chain(*sums)) == list(range(1, 3 * TASKS + 1))
    assert_whole(registry, 3 * TASKS)


def test_threads_and_tasks_of_several_loops_at_once_lose_nothing(registry: StateRegistry) -> None:
    """With every verb that changes what is there."""
    sync_state, async_state = registry.state(Signup), registry.state(DeclaredAsync)

    def in_thread(worker: int) -> None:
        for number in range(ROUNDS // 5):
            sync_state.increment("n")
            sync_state.append("list", (worker, number))
            sync_state.mutate("m", lambda old: old + 1, 0)

    async def in_task(worker: int) -> None:
        for number in range(2):
            await async_state.increment("n")
            await async_state.append("list", (worker, number))
            await async_state.mutate("m", lambda old: old + 1, 0)
            await asyncio.sleep(0)

    async def in_loop(first: int) -> None:
        await asyncio.gather(*(in_task(first + number) for number in range(100)))

    in_threads(
        *(lambda n=n: in_thread(n) for n in range(4)),
        *(lambda n=n: asyncio.run(in_loop(n)) for n in (1_000, 2_000)),
    )
    rounds = 4 * ROUNDS // 5 + 2 * 100 * 2
    fields = sync_state.get_all()
    assert (fields["n"], fields["m"], len(fields["list"])) == (rounds, rounds, rounds)
    for worker in {worker for worker, _ in fields["list"]}:
        numbers = [number for who, number in fields["list"] if who == worker]
        assert numbers == list(range(len(numbers)))
    assert_whole(registry, 3 * rounds)


@pytest.mark.parametrize("cls", [Signup, Declared])
def test_one_of_many_threads_sets_a_default(registry: StateRegistry, cls: type[State]) -> None:
    state = registry.state(cls)
    found: list[dict[str, int]] = [{} for _ in range(THREADS)]

    def work(worker: int) -> None:
        for number in range(100):
            found[worker][str(number)] = state.setdefault(str(number), worker)

    in_threads(*(lambda n=n: work(n) for n in range(THREADS)))
    assert all(each == found[0] for each in found)
    assert_whole(registry, 100)


@pytest.mark.parametrize("cls", [Signup, Declared])
def test_each_field_is_popped_by_one_of_many_threads(registry: StateRegistry, cls: type[State]) -> None:
    state = registry.state(cls)
    state.update(**{str(number): number for number in range(200)})
    found: list[list[int]] = [[] for _ in range(THREADS)]

    def work(mine: list[int]) -> None:
        mine.extend(value for number in range(200) if (value := state.pop(str(number))) is not None)

    in_threads(*(lambda mine=mine: work(mine) for mine in found))
    assert sorted(itertools.chain(*found)) == list(range(200))
    assert_whole(registry, 201)


# -- readers -------------------------------------------------------------------------------------------------------

UPDATES: dict[str, Callable[[int], dict[str, Any]]] = {
    "at once": lambda n: {"a": n, "b": n},  # by `Bucket.put_all`
    "by the store": lambda n: {"a": n, "list": [n], "b": n},
}


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("cls", [Signup, Declared])
def test_readers_in_other_threads_never_see_half_an_update(
    registry: StateRegistry, cls: type[State], update: str
) -> None:
    """All fields at once are from one update; of two gets, the later one is never from an earlier update."""
    state = registry.state(cls)
    state.update(**UPDATES[update](0))
    done = threading.Event()

    def write() -> None:
        try:
            for number in range(1, 4 * ROUNDS):
                state.update(**UPDATES[update](number))
        finally:
            done.set()

    def read_all() -> None:
        is_last = False
        while not is_last:
            is_last = done.is_set()
            fields = state.get_all()
            assert fields["a"] == fields["b"]
            assert fields.get("list", [fields["a"]]) == [fields["a"]]

    def read_both(first: str, second: str) -> None:
        is_last = False
        while not is_last:
            is_last = done.is_set()
            earlier, later = state.get(first), state.get(second)
            assert earlier <= later

    in_threads(write, read_all, read_all, lambda: read_both("a", "b"), lambda: read_both("b", "a"))
    assert state.get("a") == state.get("b") == 4 * ROUNDS - 1


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("cls", [Signup, Declared])
@pytest.mark.parametrize("function", [Bucket.put_all, MemoryStore.run, MemoryStore.prepared, MemoryStore._finish])
def test_a_get_between_any_two_bytecodes_of_an_update_sees_none_of_it_or_has_to_wait(
    function: Callable[..., Any], cls: type[StateBase], update: str
) -> None:
    """Or it sees that field's new value, when every other field's can be seen, or has to be waited for.

    The reader is in the writer's own thread: where it had to wait, that is refused.
    """
    seen: set[tuple[Any, Any]] = set()

    def read(field: str) -> Any:
        try:
            return state.get(field)
        except ReentrantError:
            return "wait"

    for at in itertools.count(1):
        state = StateRegistry().state(Signup)
        writer = cls.linked(state._bucket)
        state.update(a=0, b=0)
        with AtStep(function, at, lambda: seen.add((read("a"), read("b")))) as step:
            writer.update(**UPDATES[update](1))  # type: ignore[attr-defined]
        if not step.happened:
            break
    assert seen <= {(0, 0), ("wait", "wait"), (1, 1)}
    is_long_way = cls is Declared or update == "by the store"
    if is_long_way is (function is not Bucket.put_all):
        assert (0, 0) in seen or function is MemoryStore._finish
        assert (1, 1) in seen or function is MemoryStore.prepared
    if function is MemoryStore._finish and is_long_way:
        assert ("wait", "wait") in seen
