"""Transactions and calls: who takes part, and what becomes of one that a call leaves open."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from qstate_nb import AsyncState, InlineApp, State, StateRegistry, Transaction
from qstate_nb.errors import TransactionError


class Account(AsyncState):
    pass


class SyncAccount(State, name="Account"):
    pass


@pytest.fixture
def app() -> InlineApp:
    return InlineApp(registry=StateRegistry())


def balance(app: InlineApp) -> object:
    return app.state(SyncAccount).get("balance")


def assert_undone(app: InlineApp, caplog: pytest.LogCaptureFixture, name: str) -> None:
    result = app.calls[-1].result
    assert result is not None
    assert result.status == "error"
    assert isinstance(result.exception, TransactionError)
    assert str(result.exception) == (
        f"{name} #{result.call} ended inside a transaction on Account; what it changed there was undone"
    )
    assert balance(app) == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert f"{name} #{result.call}" in caplog.text
    app.state(SyncAccount).set("balance", 2)  # it is free


@pytest.fixture(autouse=True)
def _one(app: InlineApp) -> None:
    app.state(SyncAccount).set("balance", 1)


def test_what_an_async_call_leaves_open_is_undone_and_reported(
    app: InlineApp, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task
    async def leave(account: Account) -> str:
        left.append(account.transaction())
        await left[-1].__aenter__()
        await account.set("balance", 100)
        return "ok"

    left: list[Transaction] = []
    assert app.run("leave").returning == "ok"
    assert_undone(app, caplog, "leave")


def test_what_a_sync_call_leaves_open_is_undone_and_reported(
    app: InlineApp, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task
    def leave(account: SyncAccount) -> None:
        left.append(account.transaction())
        left[-1].__enter__()
        account.set("balance", 100)

    left: list[Transaction] = []
    app.run("leave")
    assert_undone(app, caplog, "leave")


def test_a_generator_that_stands_still_inside_is_undone(app: InlineApp, caplog: pytest.LogCaptureFixture) -> None:
    async def steps(account: Account) -> AsyncIterator[int]:
        async with account.transaction():
            for n in range(5):
                await account.increment("balance", 10)
                yield n

    @app.task
    async def leave(account: Account) -> int:
        kept.append(steps(account))
        async for n in kept[0]:
            return n
        return -1

    kept: list[AsyncIterator[int]] = []

    async def scenario() -> None:
        result = await leave.add_task()
        assert result.status == "error"
        assert balance(app) == 1
        with pytest.raises(TransactionError, match="was rolled back before its end"):
            [n async for n in kept[0]]

    asyncio.run(scenario())
    assert "leave #1" in caplog.text


def test_a_retry_does_not_take_part_in_what_the_first_attempt_left_open(app: InlineApp) -> None:
    seen = []

    @app.task(retry=1)
    def leave(account: SyncAccount) -> object:
        seen.append(account.get("balance"))
        if len(seen) == 1:
            left.append(account.transaction())
            left[-1].__enter__()
            account.set("balance", 100)
            raise ValueError
        return account.increment("balance")

    left: list[Transaction] = []
    call = app.start("leave")
    assert call.wait(10).returning == 2
    assert seen == [1, 1]


def test_the_error_of_a_call_that_also_left_one_open_is_not_lost(app: InlineApp) -> None:
    @app.task
    async def leave(account: Account) -> None:
        left.append(account.transaction())
        await left[-1].__aenter__()
        raise KeyError("the reason")

    left: list[Transaction] = []
    result = app.run("leave")
    assert isinstance(result.exception, KeyError)
    assert str(result.traceback).splitlines()[-2:] == [
        "KeyError: 'the reason'",
        "leave #1 ended inside a transaction on Account; what it changed there was undone",
    ]


@pytest.mark.parametrize("by", ["await", "add_task", "run", "gather", "start", "sync"])
def test_calls_that_are_made_inside_take_part(app: InlineApp, by: str) -> None:
    @app.task
    async def inner(account: Account) -> object:
        return await account.increment("balance", 10)

    @app.task
    def sync_inner(account: SyncAccount) -> object:
        return account.increment("balance", 10)

    @app.task
    async def outer(account: Account) -> None:
        async with account.transaction():
            await account.increment("balance", 100)
            if by == "await":
                await inner()
            elif by == "add_task":
                assert (await inner.add_task()).returning == 111
            elif by == "run":
                assert app.run("inner").returning == 111
            elif by == "gather":
                await asyncio.gather(inner())
            elif by == "start":
                assert (await app.start("inner")).returning == 111
            else:
                await sync_inner()
            assert await account.get("balance") == 111
            assert app.registry.peek(app.registry.find("Account")) == {"balance": 111}
            raise LookupError

    assert isinstance(app.run("outer").exception, LookupError)
    assert balance(app) == 1
    assert len(app.registry.history()) == 1


def test_a_call_of_another_context_waits(app: InlineApp) -> None:
    inside, waiting = threading.Event(), threading.Event()

    @app.task
    def hold(account: SyncAccount) -> None:
        with account.transaction():
            account.set("balance", 5)
            inside.set()
            assert waiting.wait(10)

    @app.task
    async def add(account: Account) -> object:
        return await account.increment("balance")

    holder = app.start("hold")
    assert inside.wait(10)

    async def scenario() -> object:
        task = asyncio.ensure_future(add())
        while not app.state(Account)._bucket.queue:
            await asyncio.sleep(0)
        waiting.set()
        return await task

    assert asyncio.run(scenario()) == 6
    assert holder.wait(10).status == "success"


def test_a_sync_call_that_waits_for_a_transaction_can_be_stopped(app: InlineApp) -> None:
    @app.task
    def add(account: SyncAccount) -> object:
        return account.increment("balance")

    bucket = app.state(SyncAccount)._bucket
    with app.state(SyncAccount).transaction():
        results: list[object] = []

        def run() -> None:  # a new thread has no part in it
            call = app.start("add")
            while not bucket.queue:
                pass
            assert call.cancel()
            results.append(call.wait(10).status)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(10)
        assert results == ["cancel"]
        assert not bucket.queue
    assert balance(app) == 1


def test_a_sync_call_that_is_stopped_inside_a_transaction_leaves_nothing(app: InlineApp) -> None:
    inside = threading.Event()

    @app.task
    def spin(account: SyncAccount) -> None:
        with account.transaction():
            account.set("balance", 100)
            inside.set()
            while True:
                account.increment("balance")

    call = app.start("spin")
    assert inside.wait(10)
    call.cancel()
    assert call.wait(10).status == "cancel"
    assert balance(app) == 1
    app.state(SyncAccount).set("balance", 3)


def test_generators_that_end_well_are_fine(app: InlineApp, caplog: pytest.LogCaptureFixture) -> None:
    @app.task
    def steps(account: SyncAccount) -> Iterator[int]:
        with account.transaction():
            yield account.increment("balance")
            yield account.increment("balance")

    assert app.run("steps").returning == [2, 3]
    assert balance(app) == 3
    assert not caplog.records
