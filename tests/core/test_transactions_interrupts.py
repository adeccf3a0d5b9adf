"""A transaction that is interrupted at any bytecode is committed or undone wholly, and nobody waits for it for ever.

Python looks for signals between bytecodes. These tests interrupt a transaction before each one of the functions that
open it, wait for it and end it, while others wait for its States.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import pytest
from support.actors import Account, Actor, World, a_world, until
from support.leaks import DEADLINE
from support.steps import AtStep, is_free

from qstate_nb import transaction
from qstate_nb.core import owners, transactions, waiting
from qstate_nb.core.frames import Frame, current_frame
from qstate_nb.core.transactions import Transaction
from qstate_nb.core.waiting import Waiter
from qstate_nb.errors import TransactionTimeoutError


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    caplog.set_level(logging.CRITICAL, "qstate_nb")
    with a_world() as world:
        yield world


class Scene:
    """States x and y, and two others who wait for them while a transaction is open."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.x, self.y = (world.registry.state(Account, scope) for scope in "xy")
        self.others: list[Actor] = [world.actor("task"), world.actor("thread")]
        self.number = 0
        self.gets: list[Future[Any]] = []

    def write(self) -> None:
        """What a transaction does; it changes each field to the same number, and removes one."""
        for state in (self.x, self.y):
            state.set("a", self.number)
            state.delete("gone")
            state.set("b", self.number)

    def let_others_wait(self) -> None:
        self.gets = [actor.begin(scope, "get_all") for actor, scope in zip(self.others, "xy", strict=True)]
        self.world.until_in_line(1, "x")
        self.world.until_in_line(1, "y")

    def check(self) -> bool:
        """All is free, and the transaction was wholly done or not at all; tells which."""
        for get in self.gets:
            get.result(DEADLINE)
        until(lambda: all(self.world.bucket(scope).holder is None for scope in "xy"))
        assert current_frame.get() is None
        assert is_free(self.world.registry._store)
        done, undone = {"a": self.number, "b": self.number}, {"a": 0, "b": 0, "gone": 0}
        seen = [actor.op(scope, "get_all") for actor in self.others for scope in "xy"]
        assert seen in ([done] * 4, [undone] * 4)
        assert all(get.result() in (done, undone) for get in self.gets)  # x is free between two inner transactions
        assert self.x.get_all() == seen[0]
        self.world.assert_quiet()
        return bool(seen[0] == done)

    def reset(self) -> None:
        self.number += 1
        self.gets = []
        self.x.clear()
        self.y.clear()
        self.x.update(a=0, b=0, gone=0)
        self.y.update(a=0, b=0, gone=0)


def commits(scene: Scene) -> None:
    with transaction(scene.x, scene.y):
        scene.write()
        scene.let_others_wait()


def fails(scene: Scene) -> None:
    with suppress(ValueError), transaction(scene.x, scene.y):
        scene.write()
        scene.let_others_wait()
        raise ValueError


def nests(scene: Scene) -> None:
    with scene.x.transaction():
        scene.x.set("a", scene.number)
        with transaction(scene.x, scene.y):
            scene.write()
            scene.let_others_wait()


def nests_and_fails_inside(scene: Scene) -> None:
    with scene.y.transaction():
        with suppress(ValueError), transaction(scene.x, scene.y):
            scene.x.set("a", -1)
            scene.y.clear()
            scene.let_others_wait()
            raise ValueError
        with scene.x.transaction():
            scene.write()


def drops_and_writes(scene: Scene) -> None:
    with transaction(scene.x, scene.y):
        scene.x.drop()
        scene.write()
        scene.let_others_wait()


SCENARIOS: dict[str, Callable[[Scene], None]] = {
    each.__name__: each for each in (commits, fails, nests, nests_and_fails_inside, drops_and_writes)
}
ENDING: list[Callable[..., Any]] = [
    *(Transaction.__exit__, transactions._end, Frame.end, Frame._end, Frame._write, Frame._let_go, owners.unwatch),
    *(waiting.serve, Waiter.grant, Waiter.wake, Waiter.leave, Frame.hold, Frame.may_take, Frame._roll_back_inside),
]
OPENING: list[Callable[..., Any]] = [
    *(Transaction.__enter__, Transaction._new_frame, Transaction._opened, Frame.__init__),
    *(transactions.begin, Frame.take, Frame.hold, Frame.may_take, owners.watch, Frame._open_around),
]


def apart(play: Callable[[], None]) -> None:
    """Play it in a generator, which has handled exceptions of its own.

    An exception that a trace function raises where another one is just being handled would leave that one set.
    """

    def playing() -> Iterator[None]:
        play()
        yield

    next(playing())


def at_every_step(scene: Scene, function: Callable[..., Any], play: Callable[[Scene], None]) -> set[bool]:
    """Interrupt *function* before each bytecode that it runs; gives what became of the transactions."""
    seen: set[bool] = set()
    for at in itertools.count(1):
        scene.reset()
        with AtStep(function, at) as step:
            apart(lambda: play(scene))
        if not step.happened:
            return seen
        seen.add(scene.check())
    raise AssertionError


CASES = [
    *((function, scenario) for function in ENDING for scenario in SCENARIOS),
    *((function, scenario) for function in OPENING for scenario in ("commits", "nests")),
]


@pytest.mark.parametrize(("function", "scenario"), CASES, ids=lambda each: getattr(each, "__qualname__", each))
def test_at_any_bytecode(world: World, function: Callable[..., Any], scenario: str) -> None:
    seen = at_every_step(Scene(world), function, SCENARIOS[scenario])
    if scenario == "fails":
        assert True not in seen
    elif function in (Frame._write, Frame._let_go, Waiter.grant) and "nests" not in scenario:
        assert seen == {True}, "once it has begun to commit, it does"
    elif function in (Frame.take, Transaction._opened):
        assert seen == {False}, "nothing has been done yet"


def waits(scene: Scene) -> None:
    """The thread that is interrupted waits for another's transaction."""
    holder = scene.world.actors[2]
    with transaction(scene.x, scene.y):
        scene.write()
        holder.do(lambda: None)


WAITING: list[Callable[..., Any]] = [
    *(transactions._take, waiting.wait_in_thread, waiting._block, Waiter.__init__, Waiter.notify, Waiter.leave),
    *(Waiter.cycle, Frame.take, Frame._get_in_line, Transaction.__enter__, Transaction._undo, transactions._end),
    transactions.timed_out,
]
WAITING_CASES = [
    (function, what) for function in WAITING for what in ("transaction", "transaction with timeout", "set", "mutate")
]


@pytest.mark.parametrize(("function", "what"), WAITING_CASES, ids=lambda each: getattr(each, "__qualname__", each))
def test_at_any_bytecode_of_a_wait(world: World, function: Callable[..., Any], what: str) -> None:
    scene = Scene(world)
    holder, helper = scene.world.actor("task"), scene.world.actor("thread")

    def play(scene: Scene) -> None:
        if what == "transaction":
            with transaction(scene.x, scene.y):
                scene.write()
        elif what == "set":
            scene.y.set("a", -1)
        elif what == "mutate":
            scene.y.mutate("a", lambda _: -1)
        else:
            with suppress(TransactionTimeoutError), transaction(scene.x, scene.y, timeout=0):
                raise AssertionError

    def let_go_when_somebody_waits() -> None:
        until(lambda: world.bucket("y").queue or over)
        holder.exit()

    for at in itertools.count(1):
        scene.reset()
        over: list[bool] = []
        holder.enter("y")
        helping = helper.start(let_go_when_somebody_waits) if "timeout" not in what else None
        with AtStep(function, at) as step:
            apart(lambda: play(scene))
        over.append(True)
        if helping is None:
            holder.exit()
        else:
            helping.result(DEADLINE)
        if not step.happened:
            break
        if what in ("set", "mutate"):
            until(lambda: world.bucket("y").holder is None)
            assert world.bucket("y").queue == []
            assert current_frame.get() is None
            assert holder.op("y", "get", "a") in (0, -1)
        else:
            scene.check()
