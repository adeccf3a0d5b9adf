"""What is explored: what tasks reach besides State, what tells programs apart, and what never is touched."""

from __future__ import annotations

import asyncio
import functools
import textwrap
import types
from typing import Any

import pytest

from qstate_nb import AsyncState, InlineApp, State, StateRegistry
from qstate_nb.errors import OutOfScopeError
from qstate_nb.races import explore
from qstate_nb.races.program import Program, as_calls

app = InlineApp(registry=StateRegistry())


class Account(AsyncState):
    balance: int = 0


class Sync(State):
    n: int = 0


@app.task
async def deposit(account: Account) -> None:
    await account.set("balance", await account.get("balance") + 1)


async def calls_a_task() -> None:
    await deposit()


def asks_the_app() -> None:
    state = app.state(Sync)
    state.set("n", state.get("n") + 1)


def asks_the_registry() -> None:
    state = app.registry.state(Sync)
    state.set("n", state.get("n") + 1)


@pytest.mark.parametrize("task", [calls_a_task, asks_the_app, asks_the_registry])
def test_a_plain_function_that_reaches_an_app_gets_the_explored_state(task: Any) -> None:
    before = app.registry.seq
    found = explore(task, n=2)
    assert (found.verdict, found.total) == ("race", 6)
    assert app.registry.seq == before


registry = StateRegistry()


def asks_another_registry() -> None:
    registry.state(Sync).increment("n")


def test_a_registry_that_is_reached_is_refused() -> None:
    with pytest.raises(OutOfScopeError, match=r"uses registry, a StateRegistry object .* use app\.state"):
        explore(asks_another_registry)
    assert registry.seq == 0


class Service:
    lock = asyncio.Lock()

    def __init__(self) -> None:
        self.own = asyncio.Lock()

    async def adds(self, account: Account) -> None:
        async with global_lock:
            await account.set("balance", await account.get("balance") + 1)


service = Service()
global_lock = asyncio.Lock()


async def by_argument(account: Account, lock: asyncio.Lock) -> None:
    async with lock:
        await account.set("balance", await account.get("balance") + 1)


async def by_attribute(account: Account) -> None:
    async with service.own:
        await account.set("balance", await account.get("balance") + 1)


async def by_class(account: Account) -> None:
    async with Service.lock:
        await account.set("balance", await account.get("balance") + 1)


async def by_method(account: Account) -> None:
    await service.adds(account)


async def by_inner(account: Account) -> None:
    async def one() -> None:
        async def two() -> None:
            async with global_lock:
                await account.set("balance", await account.get("balance") + 1)

        await two()

    await one()


@pytest.mark.parametrize(
    "task", [functools.partial(by_argument, lock=asyncio.Lock()), by_attribute, by_class, by_method, by_inner]
)
def test_a_lock_is_found_wherever_tasks_share_it(task: Any) -> None:
    found = explore(task, n=2)
    assert (found.verdict, found.total, found.warnings) == ("safe", 2, [])


def test_a_shared_primitive_is_as_it_was_before() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    queue.put_nowait(7)

    async def takes(account: Account) -> int:
        return await queue.get()

    found = explore(takes, n=2)
    assert found.verdict == "deadlock"
    assert {outcome.results for outcome in found.outcomes} <= {(7, None), (None, 7)}
    assert queue.qsize() == 1
    assert "get" not in vars(queue)
    assert asyncio.run(queue.get()) == 7


def test_tasks_that_are_alike_stand_together() -> None:
    one, two = functools.partial(by_argument, lock=global_lock), functools.partial(by_argument, lock=global_lock)
    program = Program(as_calls([one, deposit, two], 1), {})
    assert program.groups == [0, 0, 2]
    assert program.templates[0] is program.templates[1]


def _program(code: str, name: str = "task", **state: Any) -> Program:
    module = types.ModuleType("tests_made_up")
    exec(compile(textwrap.dedent(code), "<made up>", "exec"), vars(module))
    return Program(as_calls([getattr(module, name)], 1), state)


PLAIN = """
    LIMIT = 3

    def helper(x):
        return x + 1

    class Service:
        def run(self, x):
            return x + 1

    service = Service()

    def task():
        return helper(LIMIT) + service.run(2)
"""


@pytest.mark.parametrize(
    "change",
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("        return x + 1\n\n    class", "        return x + 2\n\n    class"),
        ("            return x + 1", "            return x - 1"),
        ("service.run(2)", "service.run(3)"),
    ],
)
def test_changed_code_has_another_fingerprint(change: tuple[str, str]) -> None:
    assert change[0] in PLAIN
    assert _program(PLAIN).fingerprint != _program(PLAIN.replace(*change)).fingerprint
    assert _program(PLAIN).fingerprint == _program(PLAIN).fingerprint


def test_arguments_and_state_are_part_of_the_fingerprint() -> None:
    def takes(items: list[int]) -> None: ...

    def made(items: list[int], **state: Any) -> str:
        return Program(as_calls([functools.partial(takes, items)], 1), state).fingerprint

    assert made([1] * 200) != made([1] * 199 + [5])
    assert made([1], Account={"names": {"a", "b"}}) == made([1], Account={"names": {"b", "a"}})
    assert made([1], Account={"names": {"a", "b"}}) != made([1], Account={"names": {"a", "c"}})
