"""What is left open, thrown away or lost is undone, and nobody waits for it for ever."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, copy_context
from typing import Any

import pytest
from support.actors import Account, AccountAsync, World, a_world, until
from support.leaks import DEADLINE

from qstate_nb import StateKey, StateRegistry, transaction
from qstate_nb.core.frames import current_frame
from qstate_nb.core.store import MemoryStore
from qstate_nb.errors import ReentrantError, TransactionError


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as world:
        yield world


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was reported."""
    return lambda: [record.message for record in caplog.records if record.name == "qstate_nb.core.frames"]


def turns(coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop, name: str) -> asyncio.Task[Any]:
    """Run a task until it has to wait, and no further."""
    task = loop.create_task(coroutine, name=name, context=Context())

    async def some() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    loop.run_until_complete(some())
    return task


def test_what_a_thread_left_open_is_undone_and_reported(world: World, errors: Callable[[], list[str]]) -> None:
    state = world.registry.state(Account)
    waiting = world.actor("task")
    opened = [state.transaction(), world.registry.state(Account, "x").transaction()]
    go_on = threading.Event()

    def leave() -> None:
        for each in opened:
            each.__enter__()
        state.set("a", 1)
        assert go_on.wait(DEADLINE)

    thread = threading.Thread(target=leave, name="careless")
    thread.start()
    until(lambda: world.bucket("x").holder)
    get = waiting.begin(None, "get_all")
    world.until_in_line(1)
    go_on.set()
    assert get.result(DEADLINE) == {}
    thread.join(DEADLINE)
    until(lambda: len(errors()) == 2)
    what = "user (thread careless) left a transaction on {} open; what it changed there was undone"
    assert sorted(errors()) == sorted([what.format("Account"), what.format("Account[x]")])
    with pytest.raises(TransactionError, match="was rolled back before its end"):
        opened[0].__exit__(None, None, None)
    assert all(not isinstance(each, threading._DummyThread) for each in threading.enumerate())


def test_what_a_task_left_open_is_undone_and_reported(world: World, errors: Callable[[], list[str]]) -> None:
    """Once, though there is another one inside it."""
    state = world.registry.state(AccountAsync)
    opened = state.transaction(), transaction(state, world.registry.state(AccountAsync, "x"))

    async def leave() -> None:
        for each in opened:
            await each.__aenter__()
        await state.set("a", 1)

    async def main() -> None:
        task = asyncio.create_task(leave(), name="careless", context=Context())
        while world.bucket().holder is None:
            await asyncio.sleep(0)
        assert await asyncio.wait_for(state.get_all(), DEADLINE) == {}
        await task

    asyncio.run(main())
    what = "user (asyncio task careless) left a transaction on Account open; what it changed there was undone"
    assert errors() == [what]
    with pytest.raises(TransactionError, match="was rolled back before its end"):
        asyncio.run(opened[0].__aexit__(None, None, None))


def test_what_nobody_can_end_any_more_is_undone_and_reported_and_the_code_goes_on_outside(
    errors: Callable[[], list[str]],
) -> None:
    state = StateRegistry().state(Account)
    state.transaction().__enter__()
    assert len(errors()) == 1
    assert current_frame.get() is None
    state.set("a", 1)
    assert state.get_all() == {"a": 1}


@pytest.mark.parametrize("ends", ["closed", "collected", "goes on"])
def test_a_generator_that_is_thrown_away_undoes_its_transaction(ends: str, errors: Callable[[], list[str]]) -> None:
    state = StateRegistry().state(Account)

    def generate() -> Iterator[int]:
        with state.transaction():
            state.set("a", 1)
            yield 1

    generator: Any = generate()
    next(generator)
    if ends == "closed":
        generator.close()
    elif ends == "collected":
        cycle = [generator]
        cycle.append(cycle)
        del generator, cycle
        gc.collect()
    else:
        assert list(generator) == []
    assert Context().run(state.get_all) == ({"a": 1} if ends == "goes on" else {})
    assert current_frame.get() is None
    assert errors() == []


def test_it_can_be_ended_in_another_task_or_thread(world: World, errors: Callable[[], list[str]]) -> None:
    for colour, other in (("thread", "task"), ("task", "thread"), ("task", "task"), ("thread", "thread")):
        anna, bert = world.actor(colour), world.actor(other)
        anna.enter(None)
        anna.op(None, "increment", "a")
        opened = anna.open.pop()
        is_sync = other == "thread"
        bert.do(lambda: (opened.__exit__ if is_sync else opened.__aexit__)(None, None, None))  # noqa: B023
        assert world.registry.state(Account).get("a") == anna.op(None, "get", "a")
        anna.enter(None)
        anna.op(None, "get", "a")
        anna.exit()
        anna.close()
        world.actors.remove(anna)
    assert world.peek() == {"a": 4}
    assert errors() == []


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One that is closed with tasks in it, as no `asyncio.run` would."""
    loop = asyncio.new_event_loop()
    logging.getLogger("asyncio").disabled = True  # "Task was destroyed but it is pending!"
    yield loop
    loop.close()
    gc.collect()
    logging.getLogger("asyncio").disabled = False


@pytest.mark.parametrize("what", ["transaction", "set", "inside"])
def test_who_waits_in_a_loop_that_is_closed_is_passed_over(
    world: World, loop: asyncio.AbstractEventLoop, what: str
) -> None:
    """And lets go of what it held."""
    anna, bert = world.actor("thread"), world.actor("task")
    x, y = (world.registry.state(AccountAsync, scope) for scope in "xy")

    async def wait() -> None:
        if what == "transaction":
            await transaction(x, y).__aenter__()
        elif what == "set":
            await y.set("a", 1)
        else:
            async with x.transaction():
                await y.set("a", 1)

    anna.enter("y")
    task = turns(wait(), loop, "lost")
    assert len(world.bucket("y").queue) == 1
    get = bert.begin("y", "get_all")
    world.until_in_line(2, "y")
    loop.close()
    anna.exit()
    assert get.result(DEADLINE) == {}
    del task
    gc.collect()
    assert anna.op("x", "get_all") == {}


def test_a_task_that_is_lost_inside_a_transaction_is_undone(world: World, loop: asyncio.AbstractEventLoop) -> None:
    """The bucket must not be what keeps it alive."""
    state = world.registry.state(AccountAsync, "x")

    async def body() -> None:
        async with state.transaction():
            await state.set("a", 1)
            await asyncio.get_running_loop().create_future()

    task = turns(body(), loop, "lost")
    anna = world.actor("thread")
    get = anna.begin("x", "get_all")
    world.until_in_line(1, "x")
    del task
    loop.close()
    gc.collect()
    assert get.result(DEADLINE) == {}


@pytest.mark.parametrize("what", ["set", "mutate", "transaction"])
def test_a_coroutine_that_is_closed_while_it_waits_leaves_the_line(
    world: World, loop: asyncio.AbstractEventLoop, what: str
) -> None:
    state, other = world.registry.state(AccountAsync, "x"), world.registry.state(AccountAsync, "a")
    anna = world.actor("thread")

    async def wait() -> None:
        if what == "transaction":
            await transaction(other, state).__aenter__()
        else:
            await getattr(state, what)("a", repr)

    coroutine = wait()

    async def step() -> None:
        coroutine.send(None)

    anna.enter("x")
    loop.run_until_complete(step())
    assert len(world.bucket("x").queue) == 1
    coroutine.close()
    assert world.bucket("x").queue == []
    assert world.bucket("a").holder is None
    anna.exit()


def in_a_step(store: MemoryStore, action: Callable[[], object]) -> None:
    """Do something in the middle of a step of the store, as a garbage collection would."""
    store.alone(action)


def test_a_generator_that_is_collected_in_the_middle_of_an_op_undoes_its_transaction_after_that(
    world: World, errors: Callable[[], list[str]]
) -> None:
    """Python can collect garbage at any time: also where the State can't be used."""
    state, store = world.registry.state(Account), world.registry._store

    def generate() -> Iterator[int]:
        with state.transaction():
            state.set("a", 1)
            yield 1

    generator = Context().run(lambda: [generate()])
    Context().run(next, generator[0])
    anna = world.actor("thread")
    get = anna.begin(None, "get_all")
    world.until_in_line(1)
    with pytest.raises(ReentrantError):
        in_a_step(store, generator.pop().close)  # type: ignore[attr-defined]
    assert get.result(DEADLINE) == {}
    until(errors)


def test_a_coroutine_that_is_collected_in_the_middle_of_an_op_leaves_the_line_after_that(
    world: World, loop: asyncio.AbstractEventLoop
) -> None:
    state, store = world.registry.state(AccountAsync), world.registry._store
    anna, bert = world.actor("thread"), world.actor("task")
    coroutines = [state.set("a", 1)]

    async def step() -> None:
        coroutines[0].send(None)

    anna.enter(None)
    loop.run_until_complete(step())
    get = bert.begin(None, "get_all")
    world.until_in_line(2)
    with pytest.raises(ReentrantError):
        in_a_step(store, coroutines.pop().close)
    world.until_in_line(1)
    anna.exit()
    assert get.result(DEADLINE) == {}


def test_a_finaliser_in_a_thread_that_waits_can_not_wait_as_well(world: World) -> None:
    """It would be in line behind the very thread that it keeps from going on."""
    state = world.registry.state(Account)
    anna = world.actor("task")
    refused: list[str] = []

    class Thing:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            try:
                state.set("a", 2)
            except ReentrantError as error:
                refused.append(str(error))

    thread = threading.Thread(target=state.set, args=("a", 1))
    anna.enter(None)
    original = threading.Event.wait

    def wait(self: threading.Event, timeout: float | None = None) -> bool:
        if threading.current_thread() is thread and not refused:
            Thing()
            gc.collect()
        return original(self, timeout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Event, "wait", wait)
        thread.start()
        world.until_in_line(1)
        until(lambda: refused)
    anna.exit()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert "finaliser" in refused[0]
    assert "Account" in refused[0]
    state.set("a", 3)
    assert world.peek() == {"a": 3}


def test_a_state_is_in_doubt_no_longer_than_code_of_the_transaction_may_run() -> None:
    """Then ops go the short way again."""
    registry = StateRegistry()
    state, bucket = registry.state(Account), registry.bucket(StateKey("Account"))
    with pytest.raises(ValueError, match="no"), state.transaction():
        raise ValueError("no")
    state.get_all()
    assert bucket.doubts == ()
    assert bucket.open is bucket.fields
    context = Context()

    def enter_and_fail() -> Context:
        with pytest.raises(ValueError, match="no"), state.transaction():
            inside = copy_context()
            raise ValueError("no")
        return inside

    inside = context.run(enter_and_fail)
    state.get_all()
    assert len(bucket.doubts) == 1
    with pytest.raises(TransactionError, match="rolled back"):
        inside.run(state.get_all)
    del inside, context
    gc.collect()
    state.get_all()
    assert bucket.open is bucket.fields
