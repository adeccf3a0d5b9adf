"""Others wait for a transaction: every op of theirs, in order, and until it ends, is given up or times out."""

from __future__ import annotations

import asyncio
import math
import operator
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextvars import Context
from typing import Any

import pytest
from support.actors import Account, AccountAsync, Actor, ThreadActor, World, a_world, until

from qstate_nb import StateKey, StateRegistry, transaction
from qstate_nb.errors import TransactionTimeoutError, WouldBlockError

COLOURS = ("thread", "task")


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as world:
        yield world


@pytest.fixture(params=COLOURS)
def anna(world: World, request: pytest.FixtureRequest) -> Actor:
    """Who has the transaction."""
    return world.actor(request.param, "anna")


@pytest.fixture(params=[*COLOURS, "other loop"])
def bert(world: World, anna: Actor, request: pytest.FixtureRequest) -> Actor:
    """Who waits for it."""
    return world.actor(request.param, "bert")


OPS: dict[str, tuple[tuple[Any, ...], Any]] = {  # op: arguments, result on {"a": 2, "b": [2]}
    "get": (("a",), 2),
    "get_all": ((), {"a": 2, "b": [2]}),
    "keys": ((), ["a", "b"]),
    "contains": (("b",), True),
    "set": (("a", 9), None),
    "update": ((), {"a": 2, "b": [2]}),
    "delete": (("a",), None),
    "clear": ((), None),
    "drop": ((), None),
    "increment": (("a", 4), 6),
    "append": (("b", 4), None),
    "setdefault": (("a", 4), 2),
    "pop": (("a",), 2),
    "mutate": (("a", operator.neg), -2),
}


@pytest.mark.parametrize("ends_well", [True, False])
@pytest.mark.parametrize("op", OPS)
def test_every_op_of_others_waits_for_the_end_also_a_get(
    world: World, anna: Actor, bert: Actor, op: str, ends_well: bool
) -> None:
    args, result = OPS[op]
    if not ends_well:
        anna.op(None, "update", a=2, b=[2])
    anna.enter(None)
    anna.op(None, "update", a=3, b=[3])
    anna.op(None, "update", **({"a": 2, "b": [2]} if ends_well else {}))
    waits = bert.begin(None, op, *args)
    world.until_in_line(1)
    assert anna.op(None, "get", "a") == (2 if ends_well else 3)
    assert not waits.done()
    anna.exit(None if ends_well else ValueError())
    assert waits.result(10) == result


def test_buckets_that_it_does_not_name_are_free(world: World, anna: Actor, bert: Actor) -> None:
    anna.enter("x")
    anna.op("y", "get_all")
    bert.op("y", "set", "a", 1)
    bert.op(None, "set", "a", 1)
    bert.enter("z")
    bert.exit()
    anna.exit()


def test_in_a_bucket_that_was_never_written_others_wait_as_well(world: World, anna: Actor, bert: Actor) -> None:
    anna.enter("new")
    waits = bert.begin("new", "get_all")
    world.until_in_line(1, "new")
    anna.op("new", "set", "a", 1)
    anna.exit()
    assert waits.result(10) == {"a": 1}


def test_what_is_only_to_be_shown_waits_for_nobody(world: World, anna: Actor) -> None:
    """The panel must not hang because a task is in a transaction."""
    registry, key = world.registry, StateKey("Account", "x")
    anna.op("x", "set", "a", 1)
    anna.enter("x", "y")
    anna.op("x", "set", "a", 2)
    anna.op("y", "set", "a", 2)
    assert registry.peek(key) == {"a": 1}
    assert [event.op for event in registry.history()] == ["set"]
    assert registry.writers(key)["a"].seq == 1
    assert registry.keys() == [key]
    assert registry.names() == ["Account"]
    assert registry.state(Account, "y") is not None
    assert registry.find("Account[x]") == key
    anna.exit()


def test_they_are_served_in_order(world: World, anna: Actor) -> None:
    anna.enter(None)
    waits = []
    for number in range(20):
        actor = world.actor(("thread", "task", "other loop", "task")[number % 4])
        waits.append(actor.begin(None, "append", "order", number))
        world.until_in_line(number + 1)
    anna.exit()
    for wait in waits:
        wait.result(10)
    assert world.peek() == {"order": list(range(20))}


def test_nobody_in_a_hurry_overtakes_those_who_wait(world: World, anna: Actor, bert: Actor) -> None:
    """Between two transactions the bucket is not open for a moment, not even for a reader."""
    carl, dora = world.actor("thread", "carl"), world.actor("task", "dora")
    anna.enter(None)
    entered = bert.begin_enter(None)
    world.until_in_line(1)
    get = carl.begin(None, "get", "a")
    world.until_in_line(2)
    anna.exit()
    entered.result(10)
    late = dora.begin(None, "get", "a")
    world.until_in_line(2)
    bert.op(None, "set", "a", 1)
    assert not get.done()
    assert not late.done()
    bert.exit()
    assert get.result(10) == late.result(10) == 1


def test_several_are_taken_in_one_order_whatever_order_they_are_named_in(
    world: World, anna: Actor, bert: Actor
) -> None:
    """So two that name the same ones can't wait for each other."""
    carl = world.actor("thread", "carl")
    anna.enter("y")
    entered = bert.begin_enter("y", "z", "x")
    world.until_in_line(1, "y")
    assert [world.bucket(scope).holder is not None for scope in "xyz"] == [True, True, False]
    get = carl.begin("x", "get_all")
    world.until_in_line(1, "x")
    anna.exit()
    entered.result(10)
    assert not get.done()
    bert.exit()
    assert get.result(10) == {}


def test_a_task_that_waits_does_not_block_its_loop(world: World, anna: Actor) -> None:
    bert, carl = world.actor("task", "bert"), world.actor("task", "carl")
    anna.enter(None)
    waits = bert.begin(None, "get", "a")
    world.until_in_line(1)
    assert carl.op("x", "increment", "a") == 1
    assert not waits.done()
    anna.exit()
    waits.result(10)


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_a_wait_can_have_a_timeout(world: World, anna: Actor, bert: Actor, timeout: float) -> None:
    anna.enter("y")
    with pytest.raises(TransactionTimeoutError) as caught:
        bert.enter("x", "y", timeout=timeout)
    assert isinstance(caught.value, TimeoutError)
    who, whom = (
        f"user ({'thread' if isinstance(a, ThreadActor) else 'asyncio task'} {a.name})" for a in (bert, anna)
    )
    message = f"{who} waited longer than timeout={timeout:g} s for Account[y]: {whom} holds it"
    assert str(caught.value) == message
    assert (world.bucket("x").holder, world.bucket("y").queue) == (None, [])
    anna.exit()
    bert.enter("x", "y", timeout=timeout)
    bert.exit()


@pytest.mark.parametrize("timeout", [60, math.inf, 10**400, None], ids=str)
def test_a_wait_that_is_shorter_than_its_timeout_is_a_wait(
    world: World, anna: Actor, bert: Actor, timeout: Any
) -> None:
    anna.enter(None)
    entered = bert.begin_enter(None, timeout=timeout)
    world.until_in_line(1)
    anna.op(None, "set", "a", 1)
    anna.exit()
    entered.result(10)
    assert bert.op(None, "get", "a") == 1
    bert.exit()


@pytest.mark.parametrize("what", ["transaction", "mutate", "set"])
def test_one_that_is_cancelled_while_it_waits_changes_nothing_and_leaves_the_line(
    world: World, anna: Actor, bert: Actor, what: str
) -> None:
    """A task by its cancellation, a thread of a sync task by its stop. What it held already is free again."""
    carl = world.actor("thread", "carl")
    anna.enter("y")
    if what == "transaction":
        waits = bert.begin_enter("x", "y")
    else:
        waits = bert.begin("y", what, "a", *(lambda _: 1,) if what == "mutate" else (1,))
    world.until_in_line(1, "y")
    get = carl.begin("y", "get_all")
    world.until_in_line(2, "y")
    bert.cancel()
    with pytest.raises(asyncio.CancelledError):
        waits.result(10)
    assert world.bucket("x").holder is None
    assert len(world.bucket("y").queue) == 1
    assert bert.op("x", "get_all") == {}
    anna.exit()
    assert get.result(10) == {}
    assert world.registry.history() == []


@pytest.mark.parametrize("exit_first", [True, False])
@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("what", ["transaction", "set"])
def test_a_cancellation_and_the_end_of_the_wait_may_come_together(what: str, turns: int, exit_first: bool) -> None:
    """In the same turn of the loop, or some turns apart."""
    registry = StateRegistry()
    state, bucket = registry.state(AccountAsync), registry.bucket(StateKey("Account"))

    async def wait() -> None:
        if what == "set":
            await state.set("a", 1)
        else:
            async with transaction(state, registry.state(AccountAsync, "x")):
                await state.set("a", 1)
                await asyncio.sleep(0)

    async def main() -> None:
        async with state.transaction():
            tasks = [asyncio.create_task(wait(), context=Context()) for _ in range(3)]
            while len(bucket.queue) < 3:
                await asyncio.sleep(0)
            if not exit_first:
                tasks[0].cancel()
                for _ in range(turns):
                    await asyncio.sleep(0)
        for _ in range(turns if exit_first else 0):
            await asyncio.sleep(0)
        tasks[0].cancel()
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert done[1:] == [None, None]
        assert exit_first or isinstance(done[0], asyncio.CancelledError)
        writes = 2 + (done[0] is None)
        assert len(registry.history()) == writes

    asyncio.run(main())
    assert bucket.holder is None
    assert bucket.queue == []


def test_ctrl_c_while_a_thread_waits_changes_nothing(world: World, anna: Actor) -> None:
    state, other = world.registry.state(Account), world.registry.state(Account, "x")
    main = threading.get_ident()

    def interrupt() -> None:
        world.until_in_line(1)
        signal.pthread_kill(main, signal.SIGINT)

    anna.enter(None)
    for wait in (lambda: state.set("a", 1), transaction(state, other).__enter__, lambda: state.mutate("a", repr)):
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            wait()
        thread.join(10)
        assert world.bucket().queue == []
        assert world.bucket("x").holder is None
    anna.exit()
    assert state.get_all() == {}


@pytest.mark.parametrize("what", ["get", "set", "mutate", "with"])
def test_sync_ops_in_a_coroutine_work_unless_they_would_have_to_wait(world: World, anna: Actor, what: str) -> None:
    """They would block the loop, maybe for ever: who holds the State may need that very loop."""
    state, other = world.registry.state(Account), world.registry.state(Account, "a")

    def use() -> None:
        if what == "get":
            state.get_all()
        elif what == "set":
            state.set("a", 1)
        elif what == "mutate":
            state.mutate("a", lambda _: 1)
        else:
            with transaction(state, other):
                state.set("a", 1)

    async def main() -> None:
        use()
        events = world.registry.history()
        await asyncio.to_thread(anna.enter, None)
        with pytest.raises(
            WouldBlockError, match=r"Account is held by user \(.* anna\).*use an AsyncState with await"
        ):
            use()
        assert world.bucket().queue == []
        assert world.bucket("a").holder is None
        await asyncio.to_thread(anna.exit)
        assert world.registry.history() == events
        use()

    asyncio.run(main())


def test_a_bucket_that_is_dropped_while_others_wait_for_it_is_written_anew(
    world: World, anna: Actor, bert: Actor
) -> None:
    anna.op("x", "set", "a", 1)
    anna.enter("x")
    waits = bert.begin("x", "increment", "a")
    world.until_in_line(1, "x")
    anna.op("x", "drop")
    anna.exit()
    assert waits.result(10) == 1
    assert world.peek("x") == {"a": 1}
    assert [str(key) for key in world.registry.keys()] == ["Account[x]"]


def test_a_plain_drop_waits_like_any_op_and_those_after_it_find_nothing(
    world: World, anna: Actor, bert: Actor
) -> None:
    carl = world.actor("task", "carl")
    anna.enter("x")
    anna.op("x", "set", "a", 1)
    waits: list[Future[Any]] = []
    for actor, op, *args in ((bert, "drop"), (carl, "get", "a", "none")):
        waits.append(actor.begin("x", op, *args))
        world.until_in_line(len(waits), "x")
    anna.exit()
    assert [wait.result(10) for wait in waits] == [None, "none"]
    assert world.registry.keys() == []


def test_the_line_stays_though_nobody_else_has_the_bucket(world: World, anna: Actor, bert: Actor) -> None:
    """The store knows unlisted buckets only as long as somebody uses them: here, who holds it and who waits."""
    anna.enter("x")
    waits = bert.begin("x", "increment", "a")
    until(lambda: world.bucket("x").queue)
    anna.op("x", "set", "a", 5)
    anna.op("x", "drop")
    anna.open[0]._buckets.clear()
    anna.exit()
    assert waits.result(10) == 1
