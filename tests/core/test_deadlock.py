"""Tasks and threads that wait for each other: one of them gets an error that shows the cycle, and nobody hangs."""

from __future__ import annotations

import asyncio
import pickle
import random
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextvars import Context
from typing import Any

import pytest
from support.actors import AccountAsync, Actor, ThreadActor, World, a_world
from support.leaks import DEADLINE, leaving_nothing

from qstate_nb import StateKey, StateRegistry, transaction
from qstate_nb.core.buckets import Bucket
from qstate_nb.errors import DeadlockError, TransactionError, TransactionTimeoutError, Wait

MIXES = [("task", "task"), ("task", "other loop"), ("task", "thread"), ("thread", "task"), ("thread", "thread")]


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as world:
        yield world


@pytest.fixture(params=MIXES, ids="-".join)
def pair(world: World, request: pytest.FixtureRequest) -> tuple[Actor, Actor]:
    return world.actor(request.param[0], "anna"), world.actor(request.param[1], "bert")


def who(actor: Actor) -> str:
    return f"user ({'thread' if isinstance(actor, ThreadActor) else 'asyncio task'} {actor.name})"


def held(*scopes: str) -> tuple[str, ...]:
    return tuple(f"Account[{scope}]" for scope in scopes)


def test_two_that_wait_for_each_other(world: World, pair: tuple[Actor, Actor]) -> None:
    """The one that closes the cycle gets the error; when it lets go, the other one goes on."""
    anna, bert = pair
    anna.enter("x")
    bert.enter("y")
    entered = anna.begin_enter("y")
    world.until_in_line(1, "y")
    with pytest.raises(DeadlockError) as caught:
        bert.enter("x")
    assert caught.value.cycle == (
        Wait(who(bert), held("y"), "Account[x]"),
        Wait(who(anna), held("x"), "Account[y]"),
    )
    assert str(caught.value).startswith(
        f"deadlock: {who(bert)} holds Account[y] and waits for Account[x]; "
        f"{who(anna)} holds Account[x] and waits for Account[y]. This error gives up {who(bert)}; "
    )
    assert "transaction(" in str(caught.value)
    assert isinstance(caught.value, TransactionError)
    assert pickle.loads(pickle.dumps(caught.value)).cycle == caught.value.cycle
    assert not entered.done()
    bert.op("y", "set", "a", 1)  # it is still in its own transaction
    bert.exit(caught.value)
    entered.result(DEADLINE)
    anna.op("y", "set", "a", 2)
    anna.exit()
    anna.exit()
    assert world.peek("y") == {"a": 2}
    assert [event.op for event in world.registry.history()] == ["transaction"]


@pytest.mark.parametrize("op", ["get_all", "set", "mutate", "increment"])
def test_a_plain_op_inside_a_transaction_waits_as_well_and_can_close_a_cycle(
    world: World, pair: tuple[Actor, Actor], op: str
) -> None:
    args = {"set": ("a", 1), "mutate": ("a", repr), "increment": ("a",)}
    anna, bert = pair
    anna.enter("x")
    bert.enter("y")
    waits = anna.begin("y", "get", "a")
    world.until_in_line(1, "y")
    with pytest.raises(DeadlockError) as caught:
        bert.op("x", op, *args.get(op, ()))
    assert [wait.waits_for for wait in caught.value.cycle] == ["Account[x]", "Account[y]"]
    assert world.bucket("x").queue == []
    bert.op("y", "set", "a", 5)
    bert.exit()
    assert waits.result(DEADLINE) == 5
    anna.exit()


@pytest.mark.parametrize("colours", [("thread",) * 3, ("task",) * 3, ("thread", "task", "other loop")])
def test_three_that_wait_for_each_other_in_a_circle(world: World, colours: tuple[str, ...]) -> None:
    actors = [world.actor(colour, name) for colour, name in zip(colours, ("anna", "bert", "carl"), strict=True)]
    for actor, scope in zip(actors, "xyz", strict=True):
        actor.enter(scope)
    waits = []
    for actor, scope in zip(actors[:2], "yz", strict=True):
        waits.append(actor.begin_enter(scope))
        world.until_in_line(1, scope)
    with pytest.raises(DeadlockError) as caught:
        actors[2].enter("x")
    assert caught.value.cycle == tuple(
        Wait(who(actor), held(holds), f"Account[{waits_for}]")
        for actor, holds, waits_for in zip([actors[2], *actors], "zxy", "xyz", strict=False)
    )
    actors[2].exit(caught.value)
    waits[1].result(DEADLINE)
    actors[1].exit()
    actors[1].exit()
    waits[0].result(DEADLINE)
    actors[0].exit()
    actors[0].exit()


def test_the_one_that_waits_can_have_a_timeout_as_well(world: World, pair: tuple[Actor, Actor]) -> None:
    """A deadlock is found before it."""
    anna, bert = pair
    anna.enter("x")
    bert.enter("y")
    entered = anna.begin_enter("y", timeout=60)
    world.until_in_line(1, "y")
    with pytest.raises(DeadlockError):
        bert.enter("x", timeout=60)
    bert.exit()
    entered.result(DEADLINE)
    anna.exit()
    anna.exit()


def test_who_gave_up_is_not_in_the_way_later(world: World, pair: tuple[Actor, Actor]) -> None:
    """Waits that timed out or were cancelled are no part of a cycle."""
    anna, bert = pair
    anna.enter("x")
    bert.enter("y")
    with pytest.raises(TransactionTimeoutError):
        anna.enter("y", timeout=0.01)
    entered = anna.begin_enter("y")
    world.until_in_line(1, "y")
    anna.cancel()
    with pytest.raises(asyncio.CancelledError):
        entered.result(DEADLINE)
    entered = bert.begin_enter("x")
    world.until_in_line(1, "x")
    anna.exit()
    entered.result(DEADLINE)
    bert.exit()
    bert.exit()


def test_what_is_no_cycle_is_no_deadlock(world: World, pair: tuple[Actor, Actor]) -> None:
    """A long line; the same bucket again; another's bucket after its end; a bucket that nobody holds."""
    anna, bert = pair
    anna.enter("x")
    anna.enter("x", "z")
    crowd = [world.actor(("thread", "task")[n % 2]) for n in range(6)]
    waits: list[Future[Any]] = []
    bert.enter("y")
    for count, actor in enumerate([bert, *crowd], start=1):
        waits.append(actor.begin("x", "increment", "a"))
        world.until_in_line(count, "x")
    assert anna.op("free", "get_all") == {}
    anna.exit()
    anna.op("x", "set", "a", 0)
    anna.exit()
    assert [wait.result(DEADLINE) for wait in waits] == [1, 2, 3, 4, 5, 6, 7]
    assert anna.begin("x", "get", "a").result(DEADLINE) == 7
    bert.exit()


# ---- inside one loop: children of a transaction


class Scene:
    """A registry and its State of some scopes, in one event loop."""

    def __init__(self) -> None:
        self.registry = StateRegistry()

    def state(self, scope: str) -> AccountAsync:
        return self.registry.state(AccountAsync, scope)

    def bucket(self, scope: str) -> Bucket:
        return self.registry.bucket(StateKey("Account", scope))

    async def until_in_line(self, count: int, scope: str) -> None:
        while len(self.bucket(scope).queue) != count:
            await asyncio.sleep(0)

    def task(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """One that takes part in nothing."""
        return asyncio.create_task(coroutine, name=name, context=Context())


def play(scenario: Coroutine[Any, Any, None], scene: Scene) -> None:
    async def main() -> None:
        async with asyncio.timeout(DEADLINE):
            await leaving_nothing(scenario)

    asyncio.run(main())
    for key in scene.registry.keys():
        assert scene.registry.bucket(key).holder is None
        assert scene.registry.bucket(key).queue == []


@pytest.mark.parametrize("plain", [True, False])
def test_a_child_that_waits_keeps_its_transaction_waiting(plain: bool) -> None:
    """So a cycle can go through a child that holds nothing itself."""
    scene = Scene()

    async def child() -> None:
        if plain:
            await scene.state("y").get("a")
        else:
            async with scene.state("y").transaction():
                pass

    async def anna() -> None:
        async with scene.state("x").transaction():
            await asyncio.gather(child(), asyncio.sleep(0))

    async def bert() -> None:
        async with scene.state("y").transaction():
            await scene.until_in_line(1, "y")
            with pytest.raises(DeadlockError) as caught:
                await scene.state("x").get("a")
            assert [(wait.holds, wait.waits_for) for wait in caught.value.cycle] == [
                (held("y"), "Account[x]"),
                (held("x"), "Account[y]"),
            ]

    async def scenario() -> None:
        tasks = [scene.task(bert(), "bert"), scene.task(anna(), "anna")]
        await asyncio.gather(*tasks)

    play(scenario(), scene)


def test_two_children_of_one_transaction_that_wait_for_each_other() -> None:
    """Each has taken one of its States, in another order."""
    scene = Scene()

    async def child(first: str, second: str) -> None:
        async with scene.state(first).transaction():
            await asyncio.sleep(0)
            async with scene.state(second).transaction():
                await scene.state(second).increment("a")

    async def scenario() -> None:
        async with transaction(scene.state("x"), scene.state("y")):
            done = await asyncio.gather(child("x", "y"), child("y", "x"), return_exceptions=True)
        assert sorted(map(repr, map(type, done))) == sorted([repr(DeadlockError), repr(type(None))])
        assert len(scene.registry.history()) == 1

    play(scenario(), scene)


@pytest.mark.parametrize("held_on", ["new to the outer one", "taken from the outermost"])
def test_a_cycle_that_closes_when_a_bucket_is_held_on_is_found(held_on: str) -> None:
    """When a child's transaction ends, the outer one holds on to what it took; and others may wait for others.

    Nobody begins to wait then, so it is who waits for that bucket that gets the error.
    """
    scene = Scene()
    free, go_on = asyncio.Event(), asyncio.Event()

    async def holder() -> None:
        async with scene.state("b").transaction():
            await free.wait()

    async def carl() -> None:
        async with scene.state("d").transaction():
            await go_on.wait()
            with pytest.raises(DeadlockError) as caught:
                await scene.state("b").get("a")
            assert [wait.waits_for for wait in caught.value.cycle] == ["Account[b]", "Account[d]"]

    async def takes(scope: str) -> None:
        async with scene.state(scope).transaction():
            await scene.state(scope).increment("a")

    async def anna() -> None:
        async with scene.state("a").transaction():
            await asyncio.gather(takes("b"), takes("d"))

    async def outer() -> None:
        """The same between the children of one transaction that holds `b`."""
        async with scene.state("b").transaction():
            await asyncio.gather(holder(), carl(), anna())

    async def scenario() -> None:
        if held_on == "new to the outer one":
            tasks = [scene.task(coroutine, "someone") for coroutine in (holder(), carl(), anna())]
        else:
            tasks = [scene.task(outer(), "outer")]
        await scene.until_in_line(1, "d")
        await scene.until_in_line(1, "b")
        go_on.set()
        await scene.until_in_line(2, "b")
        free.set()
        await asyncio.gather(*tasks)

    play(scenario(), scene)


def test_a_wait_that_is_no_cycle_after_a_bucket_is_held_on_goes_on() -> None:
    """And keeps its place in the line."""
    scene = Scene()
    order: list[str] = []
    go_on = asyncio.Event()

    async def waits(name: str) -> None:
        async with scene.state("b").transaction():
            order.append(name)

    async def anna() -> None:
        async with scene.state("a").transaction():
            async with scene.state("b").transaction():
                await go_on.wait()
            await asyncio.sleep(0)
            order.append("anna")

    async def scenario() -> None:
        tasks = [scene.task(anna(), "anna")]
        for number in range(3):
            await asyncio.sleep(0)
            tasks.append(scene.task(waits(str(number)), "waits"))
            await scene.until_in_line(number + 1, "b")
        go_on.set()
        await asyncio.gather(*tasks)
        assert order == ["anna", "0", "1", "2"]

    play(scenario(), scene)


def test_two_hundred_tasks_with_random_pairs_always_end() -> None:
    scene = Scene()
    deadlocks: list[DeadlockError] = []

    async def one(seed: int) -> None:
        random_ = random.Random(seed)
        first, second = random_.sample("abcdef", 2)
        while True:
            try:
                async with scene.state(first).transaction():
                    await asyncio.sleep(0)
                    await scene.state(first).increment("a")
                    async with scene.state(second).transaction():
                        await scene.state(second).increment("a")
            except DeadlockError as error:
                deadlocks.append(error)
            else:
                return

    async def scenario() -> None:
        await asyncio.gather(*(scene.task(one(seed), f"task {seed}") for seed in range(200)))

    play(scenario(), scene)
    assert sum(sum(scene.registry.peek(key).values()) for key in scene.registry.keys()) == 400
    assert deadlocks
    for error in deadlocks:
        for wait, following in zip(error.cycle, (*error.cycle[1:], error.cycle[0]), strict=True):
            assert wait.waits_for in following.holds
            assert wait.waits_for not in wait.holds


@pytest.mark.parametrize("closed", [True, False])
def test_a_chain_of_1500_waiters_is_no_matter_of_recursion(closed: bool) -> None:
    """Each holds one and waits for the next; the last one closes the circle, or doesn't."""
    scene, count = Scene(), 1500
    last = asyncio.Event()

    async def link(number: int) -> None:
        async with scene.state(str(number)).transaction():
            if number == 0:
                await last.wait()
                if closed:
                    with pytest.raises(DeadlockError) as caught:
                        await scene.state(str(count - 1)).get("a")
                    assert len(caught.value.cycle) == count
            else:
                async with scene.state(str(number - 1)).transaction():
                    pass

    async def scenario() -> None:
        tasks = []
        for number in range(count):
            tasks.append(scene.task(link(number), str(number)))
            if number:
                await scene.until_in_line(1, str(number - 1))
            else:
                await asyncio.sleep(0)
        last.set()
        await asyncio.gather(*tasks)

    play(scenario(), scene)


def test_who_would_wait_for_what_it_holds_itself_is_told() -> None:
    """Code takes no part in a transaction that was opened in another context, though the same task holds it."""
    registry = StateRegistry()
    x = registry.state(AccountAsync, "x")
    told: list[tuple[Wait, ...]] = []

    async def anna() -> None:
        elsewhere = Context()
        opened = x.transaction()
        entering = asyncio.current_task()
        assert entering is not None
        entering.set_name("anna")

        assert elsewhere.run(lambda: drive(opened.__aenter__())) is opened
        with pytest.raises(DeadlockError) as caught:
            await x.set("n", 1)
        told.append(caught.value.cycle)
        elsewhere.run(lambda: drive(opened.__aexit__(None, None, None)))
        assert await x.get_all() == {}

    def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run one that doesn't wait."""
        with pytest.raises(StopIteration) as end:
            coroutine.send(None)
        return end.value.value

    asyncio.run(anna())
    assert told == [(Wait("user (asyncio task anna)", held("x"), "Account[x]"),)]
