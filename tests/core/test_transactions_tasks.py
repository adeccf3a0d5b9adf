"""What is started inside a transaction takes part: `gather` and `TaskGroup` children, threads with its context."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

import pytest
from support.actors import Account, AccountAsync
from support.leaks import DEADLINE, leaving_nothing

from qstate_nb import StateKey, StateRegistry, transaction
from qstate_nb.core.buckets import Bucket
from qstate_nb.errors import TransactionError

ROLLED_BACK = "that this code took part in was rolled back; await what you start inside a transaction before it ends"


class Scene:
    """A registry with one State, seen from inside and from outside."""

    def __init__(self) -> None:
        self.registry = StateRegistry()
        self.state = self.registry.state(AccountAsync)
        self.sync_state = self.registry.state(Account)

    def bucket(self, scope: str | None = None) -> Bucket:
        return self.registry.bucket(StateKey("Account", scope))

    def committed(self, scope: str | None = None) -> dict[str, Any]:
        return Context().run(self.registry.peek, StateKey("Account", scope))

    def outside(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Somebody who does not take part."""
        return asyncio.create_task(coroutine, context=Context())

    async def until_in_line(self, count: int, scope: str | None = None) -> None:
        async with asyncio.timeout(DEADLINE):
            while len(self.bucket(scope).queue) != count:
                await asyncio.sleep(0)

    def assert_quiet(self) -> None:
        for key in self.registry.keys():
            assert self.registry.bucket(key).holder is None
            assert self.registry.bucket(key).queue == []


def play(scenario: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario; nothing must be left of it."""

    async def main() -> None:
        scene = Scene()
        async with asyncio.timeout(DEADLINE):
            await leaving_nothing(scenario(scene))
        scene.assert_quiet()

    asyncio.run(main())


async def in_gather(*children: Coroutine[Any, Any, None]) -> None:
    await asyncio.gather(*children)


async def in_task_group(*children: Coroutine[Any, Any, None]) -> None:
    async with asyncio.TaskGroup() as group:
        for child in children:
            group.create_task(child)


STARTED: list[Callable[..., Coroutine[Any, Any, None]]] = [in_gather, in_task_group]


@pytest.mark.parametrize("start", STARTED)
def test_children_work_on_the_transactions_own_view(start: Callable[..., Coroutine[Any, Any, None]]) -> None:
    async def scenario(scene: Scene) -> None:
        async def child(by: int) -> None:
            await scene.state.increment("a", by)
            await asyncio.sleep(0)
            await scene.state.increment("a", await scene.state.get("a") * 0)

        async with scene.state.transaction():
            await scene.state.set("a", 1)
            await start(child(2), child(3), asyncio.to_thread(scene.sync_state.increment, "a", 4))
            assert await scene.state.get("a") == 10
            assert scene.committed() == {}
        assert scene.committed() == {"a": 10}
        assert len(scene.registry.history()) == 1

    play(scenario)


def test_if_a_child_fails_all_is_undone_and_another_that_goes_on_can_not_write() -> None:
    """`gather` lets the others run on. What they write then must not be there without what came before."""

    async def scenario(scene: Scene) -> None:
        go_on, tries = asyncio.Event(), []

        async def fails() -> None:
            raise ValueError("no")

        async def goes_on() -> None:
            await scene.state.set("b", 1)
            await go_on.wait()
            for attempt in (
                lambda: scene.state.set("b", 2),
                lambda: scene.state.get_all(),
                lambda: scene.state.mutate("b", repr),
                lambda: scene.state.transaction().__aenter__(),
                lambda: asyncio.to_thread(scene.sync_state.set, "b", 2),
            ):
                with pytest.raises(TransactionError, match=ROLLED_BACK):
                    await attempt()
                tries.append(attempt)
            await scene.registry.state(AccountAsync, "other").set("a", 1)  # which it did not name

        with pytest.raises(ValueError, match="no"):
            async with scene.state.transaction():
                await scene.state.set("a", 1)
                other = asyncio.create_task(goes_on())
                await asyncio.gather(fails(), other)
        await scene.state.set("c", 1)
        go_on.set()
        await other
        assert len(tries) == 5
        assert scene.committed() == {"c": 1}
        assert scene.committed("other") == {"a": 1}

    play(scenario)


def test_if_a_child_of_a_task_group_fails_all_is_undone() -> None:
    async def scenario(scene: Scene) -> None:
        async def fails() -> None:
            await scene.state.set("b", 1)
            raise ValueError("no")

        async def is_cancelled() -> None:
            await scene.state.set("c", 1)
            await asyncio.Event().wait()

        with pytest.raises(ExceptionGroup) as caught:
            async with scene.state.transaction():
                await in_task_group(is_cancelled(), fails())
        assert [str(error) for error in caught.value.exceptions] == ["no"]
        assert scene.committed() == {}

    play(scenario)


def test_a_child_that_goes_on_after_the_commit_does_ordinary_ops() -> None:
    async def scenario(scene: Scene) -> None:
        go_on = asyncio.Event()

        async def detached() -> None:
            await scene.state.set("a", 1)
            await go_on.wait()
            await scene.state.increment("a")
            async with scene.state.transaction():
                await scene.state.increment("a")

        async with scene.state.transaction():
            child = asyncio.create_task(detached())
            await asyncio.sleep(0)
        assert scene.committed() == {"a": 1}
        go_on.set()
        await child
        assert [event.op for event in scene.registry.history()] == ["transaction", "increment", "transaction"]

    play(scenario)


@pytest.mark.parametrize("outer_ends_well", [True, False])
@pytest.mark.parametrize("scope", [None, "x"])
def test_a_transaction_in_a_child_that_outlives_the_outer_one_shares_its_fate(
    scope: str | None, outer_ends_well: bool
) -> None:
    """If that was committed, it is one of its own from then on; if that was undone, it is undone as well."""

    async def scenario(scene: Scene) -> None:
        go_on, entered = asyncio.Event(), asyncio.Event()
        state = scene.registry.state(AccountAsync, scope)

        async def outlives() -> None:
            async with transaction(state):
                await state.set("b", await scene.state.get("a"))
                entered.set()
                await go_on.wait()

        async def outer() -> asyncio.Task[None]:
            async with scene.state.transaction():
                await scene.state.set("a", 1)
                child = asyncio.create_task(outlives())
                children.append(child)
                await entered.wait()
                if not outer_ends_well:
                    raise ValueError("no")
            return child

        children: list[asyncio.Task[None]] = []
        await asyncio.gather(scene.outside(outer()), return_exceptions=True)
        assert scene.committed() == ({"a": 1} if outer_ends_well else {})
        if scope is None and not outer_ends_well:
            assert await scene.state.get_all() == {}  # it is free at once
        go_on.set()
        if outer_ends_well:
            await children[0]
            assert [len(event.stored) for event in scene.registry.history()] == [1, 1]
            assert scene.committed(scope)["b"] == 1
        else:
            with pytest.raises(TransactionError, match="rolled back before its end: because one around it was"):
                await children[0]
            assert scene.registry.history() == []
            assert await state.get_all() == {}

    play(scenario)


@pytest.mark.parametrize("what", ["transaction", "set", "mutate"])
def test_what_waits_inside_a_transaction_that_is_undone_is_undone_as_well(what: str) -> None:
    """A child waits for a State of the transaction that another child has, or for one that somebody else has."""

    async def scenario(scene: Scene) -> None:
        go_on, x = asyncio.Event(), scene.registry.state(AccountAsync, "x")

        async def holds() -> None:
            async with scene.state.transaction():
                await go_on.wait()

        async def waits() -> None:
            if what == "set":
                await scene.state.set("a", 1)
            elif what == "mutate":
                await scene.state.mutate("a", lambda _: 1)
            else:
                async with transaction(x, scene.state):
                    await scene.state.set("a", 1)

        with pytest.raises(ValueError, match="no"):
            async with scene.state.transaction():
                children = [asyncio.create_task(child) for child in (holds(), waits())]
                await scene.until_in_line(1)
                raise ValueError("no")
        assert await scene.state.get_all() == {}
        go_on.set()
        done = await asyncio.gather(*children, return_exceptions=True)
        assert [type(error) for error in done] == [TransactionError, TransactionError]
        assert scene.registry.history() == []

    play(scenario)


def test_a_transaction_inside_that_has_begun_and_waits_for_more_ends_at_once_with_the_outer_one() -> None:
    async def scenario(scene: Scene) -> None:
        x, go_on = scene.registry.state(AccountAsync, "x"), asyncio.Event()

        async def holds() -> None:
            async with x.transaction():
                await go_on.wait()

        async def waits() -> None:
            async with transaction(scene.state, x):
                raise AssertionError

        holder = scene.outside(holds())
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="no"):
            async with scene.state.transaction():
                child = asyncio.create_task(waits())
                await scene.until_in_line(1, "x")
                raise ValueError("no")
        with pytest.raises(TransactionError, match="rolled back while it waited"):
            await child
        assert scene.bucket("x").queue == []
        go_on.set()
        await holder

    play(scenario)


def test_children_that_each_have_a_transaction_exclude_each_other_and_let_nobody_in_before_the_end() -> None:
    async def scenario(scene: Scene) -> None:
        go_on = asyncio.Event()

        async def child(name: str) -> None:
            async with scene.state.transaction():
                seen = await scene.state.get("seen", [])
                await go_on.wait()
                await scene.state.set("seen", [*seen, name])

        async def outsider() -> Any:
            return await scene.state.get("seen")

        async with scene.state.transaction():
            group = asyncio.gather(child("a"), child("b"))
            await scene.until_in_line(1)
            out = scene.outside(outsider())
            await scene.until_in_line(2)
            late = asyncio.create_task(child("c"))
            await scene.until_in_line(3)
            go_on.set()
            await group
            await late
            assert not out.done()
        assert await out == ["a", "b", "c"]

    play(scenario)


def test_a_child_that_fails_undoes_only_its_own_changes_if_that_is_caught() -> None:
    async def scenario(scene: Scene) -> None:
        async def child(number: int) -> None:
            async with scene.state.transaction():
                await scene.state.set(str(number), number)
                await asyncio.sleep(0)
                if number == 1:
                    raise ValueError("no")

        async with scene.state.transaction():
            done = await asyncio.gather(*map(child, range(3)), return_exceptions=True)
        assert [type(result) for result in done] == [type(None), ValueError, type(None)]
        assert scene.committed() == {"0": 0, "2": 2}

    play(scenario)


def test_a_plain_op_waits_while_a_child_has_its_own_transaction() -> None:
    async def scenario(scene: Scene) -> None:
        go_on = asyncio.Event()

        async def child() -> None:
            async with scene.state.transaction():
                await scene.state.set("a", 1)
                await go_on.wait()
                await scene.state.set("a", 2)

        async with scene.state.transaction():
            task = asyncio.create_task(child())
            await asyncio.sleep(0)
            get = asyncio.create_task(scene.state.get("a"))
            await scene.until_in_line(1)
            go_on.set()
            assert await get == 2
            await task

    play(scenario)


def test_a_cancellation_in_the_body_undoes_all_of_it() -> None:
    async def scenario(scene: Scene) -> None:
        inside = asyncio.Event()

        async def body() -> None:
            async with scene.state.transaction():
                await scene.state.set("a", 1)
                inside.set()
                await asyncio.Event().wait()

        task = scene.outside(body())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await scene.state.get_all() == {}
        assert scene.registry.history() == []

    play(scenario)


def test_a_timeout_in_the_body_undoes_all_of_it() -> None:
    async def scenario(scene: Scene) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), scene.state.transaction():
                await scene.state.set("a", 1)
                await asyncio.Event().wait()
        assert await scene.state.get_all() == {}

    play(scenario)


def test_a_timeout_around_a_wait_is_that_timeout_and_leaves_the_line() -> None:
    """It is a cancellation for the wait, and no `TransactionTimeoutError`."""

    async def scenario(scene: Scene) -> None:
        async def waits() -> None:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.01):
                    await scene.state.set("a", 1)
            assert type(caught.value) is TimeoutError

        async with scene.state.transaction():
            await scene.outside(waits())
            assert scene.bucket().queue == []

    play(scenario)


def test_a_thread_with_the_context_takes_part_and_one_without_does_not() -> None:
    async def scenario(scene: Scene) -> None:
        bare: list[threading.Thread] = []

        def with_context() -> None:
            with scene.sync_state.transaction():
                scene.sync_state.increment("a")
            bare.append(threading.Thread(target=Context().run, args=(scene.sync_state.increment, "a")))
            bare[0].start()

        async with scene.state.transaction():
            await scene.state.set("a", 1)
            await asyncio.to_thread(with_context)
            await scene.until_in_line(1)
            assert await scene.state.get("a") == 2
        await asyncio.to_thread(bare[0].join, DEADLINE)
        assert scene.committed() == {"a": 3}
        assert [event.op for event in scene.registry.history()] == ["transaction", "increment"]

    play(scenario)


def test_a_thread_that_goes_on_after_the_rollback_can_not_write() -> None:
    async def scenario(scene: Scene) -> None:
        inside, go_on = threading.Event(), threading.Event()

        def goes_on() -> None:
            scene.sync_state.set("a", 1)
            inside.set()
            assert go_on.wait(DEADLINE)
            scene.sync_state.set("a", 2)

        with pytest.raises(ValueError, match="no"):
            async with scene.state.transaction():
                thread = asyncio.create_task(asyncio.to_thread(goes_on))
                await asyncio.to_thread(inside.wait, DEADLINE)
                raise ValueError("no")
        go_on.set()
        with pytest.raises(TransactionError, match=ROLLED_BACK):
            await thread
        assert scene.registry.history() == []

    play(scenario)


def test_two_registries_have_nothing_to_do_with_each_other() -> None:
    async def scenario(scene: Scene) -> None:
        other = Scene()
        async with scene.state.transaction():
            assert await scene.outside(other.state.get_all()) == {}
            await other.state.set("a", 1)
        assert other.committed() == {"a": 1}

    play(scenario)
