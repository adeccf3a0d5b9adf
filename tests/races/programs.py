"""Random programs for the explorer: small trees of statements, and what runs one on State."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable
from typing import Any

from qstate_nb import AsyncState, State, transaction

KEYS = ("x", "y")
OPS = (
    *("get", "get", "set", "set", "add", "add", "increment", "append", "delete", "pop", "setdefault", "update"),
    *("mutate", "get_all", "keys", "clear", "contains"),
)

Block = tuple[Any, ...]


class A(AsyncState, name="A"):
    pass


class B(AsyncState, name="B"):
    n: int = 7


class SyncA(State, name="A"):
    pass


class SyncB(State, name="B"):
    n: int = 7


class Failed(Exception):
    pass


async def run_async(a: A, b: B, block: Block) -> Any:
    return await _Async({"a": a, "b": b}).block(block)


def run_sync(a: SyncA, b: SyncB, block: Block) -> Any:
    return _Sync({"a": a, "b": b}).block(block)


def program(chooser: random.Random, *, is_async: bool, tasks: int, ops: int) -> list[Callable[..., Any]]:
    """Tasks with so many ops in all, or a few more."""
    share = [1] * tasks
    for _ in range(ops - tasks):
        share[chooser.randrange(tasks)] += 1
    blocks: list[Block] = []
    for size in share:
        if blocks and chooser.random() < 0.3:
            blocks.append(blocks[0])
        else:
            blocks.append(tuple(_block(chooser, size, 2, is_async=is_async)))
    run = run_async if is_async else run_sync
    return [functools.partial(run, block=block) for block in blocks]


def _block(chooser: random.Random, size: int, depth: int, *, is_async: bool) -> list[Any]:
    block: list[Any] = []
    while size > 0:
        kind = chooser.random()
        inner = chooser.randint(1, size)
        if depth and kind < 0.25:
            states = chooser.choice([("a",), ("b",), ("a", "b"), ("b", "a")])
            block.append(("tx", states, tuple(_block(chooser, inner, depth - 1, is_async=is_async))))
            size -= inner
        elif depth and is_async and kind < 0.4 and size > 1:
            first = chooser.randint(1, size - 1)
            parts = [tuple(_block(chooser, part, depth - 1, is_async=is_async)) for part in (first, size - first)]
            block.append((chooser.choice(["gather", "group", "cancel", "timeout"]), *parts))
            size = 0
        elif depth and kind < 0.5:
            block.append(("try", tuple(_block(chooser, inner, depth - 1, is_async=is_async))))
            size -= inner
        elif kind < 0.55:
            block.append(("raise",))
            size -= 1
        elif kind < 0.6 and is_async:
            block.append(("sleep", chooser.choice([0, 1, 2])))
        else:
            block.append(_op(chooser))
            size -= 1
    return block


def _op(chooser: random.Random) -> tuple[Any, ...]:
    name = chooser.choice(OPS)
    return ("op", chooser.choice("aab"), name, chooser.choice(KEYS), chooser.randint(1, 3))


def _plus(old: Any, new: int) -> Any:
    return new if not isinstance(old, int) else old + new


class _Async:
    """Runs a block; the value of the last op is its result, and what ``add`` adds to."""

    def __init__(self, states: dict[str, Any]) -> None:
        self.states = states
        self.value: Any = 0

    async def block(self, block: Block) -> Any:
        for statement in block:
            await getattr(self, f"do_{statement[0]}")(*statement[1:])
        return self.value

    async def do_op(self, state: str, name: str, key: str, number: int) -> None:
        bucket = self.states[state]
        if name == "add":
            await bucket.set(key, _plus(self.value, number))
        else:
            value = await _called(bucket, name, key, number)
            self.value = value if not isinstance(value, bool) else int(value)

    async def do_tx(self, states: tuple[str, ...], block: Block) -> None:
        async with transaction(*(self.states[name] for name in states)):
            await self.block(block)

    async def do_try(self, block: Block) -> None:
        try:
            await self.block(block)
        except Exception as error:
            self.value = type(error).__name__

    async def do_raise(self) -> None:
        raise Failed("on purpose")

    async def do_sleep(self, seconds: int) -> None:
        await asyncio.sleep(seconds)

    async def do_gather(self, *parts: Block) -> None:
        self.value = await asyncio.gather(*(self._other().block(part) for part in parts), return_exceptions=True)
        self.value = str([_text(value) for value in self.value])

    async def do_group(self, *parts: Block) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                children = [group.create_task(self._other().block(part)) for part in parts]
        except* Exception as errors:
            self.value = str([_text(error) for error in errors.exceptions])
        else:
            self.value = str([_text(child.result()) for child in children])

    async def do_cancel(self, first: Block, second: Block) -> None:
        child = asyncio.create_task(self._other().block(first))
        try:
            await self.block(second)
        finally:
            child.cancel()
            ended = await asyncio.gather(child, return_exceptions=True)
        self.value = _text(ended[0])

    async def do_timeout(self, first: Block, second: Block) -> None:
        try:
            async with asyncio.timeout(1):
                await self.block(first)
        except TimeoutError:
            self.value = "late"
        await self.block(second)

    def _other(self) -> _Async:
        return _Async(self.states)


def _text(value: Any) -> str:
    return type(value).__name__ if isinstance(value, BaseException) else repr(value)


def _called(bucket: Any, name: str, key: str, number: int) -> Any:
    if name in ("get_all", "keys", "clear"):
        return getattr(bucket, name)()
    if name == "update":
        return bucket.update(**{key: number, "z": number})
    if name == "mutate":
        return bucket.mutate(key, lambda old: _plus(old, number))
    args = (number,) if name in ("set", "increment", "append", "setdefault") else ()
    return getattr(bucket, name)(key, *args)


class _Sync:
    """As `_Async`."""

    def __init__(self, states: dict[str, Any]) -> None:
        self.states = states
        self.value: Any = 0

    def block(self, block: Block) -> Any:
        for statement in block:
            getattr(self, f"do_{statement[0]}")(*statement[1:])
        return self.value

    def do_op(self, state: str, name: str, key: str, number: int) -> None:
        bucket = self.states[state]
        if name == "add":
            bucket.set(key, _plus(self.value, number))
        else:
            value = _called(bucket, name, key, number)
            self.value = value if not isinstance(value, bool) else int(value)

    def do_tx(self, states: tuple[str, ...], block: Block) -> None:
        with transaction(*(self.states[name] for name in states)):
            self.block(block)

    def do_try(self, block: Block) -> None:
        try:
            self.block(block)
        except Exception as error:
            self.value = type(error).__name__

    def do_raise(self) -> None:
        raise Failed("on purpose")
