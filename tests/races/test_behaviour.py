"""What the explorer does with all that a task can do."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest

from qstate_nb import AsyncState, InlineApp, Scope, State, StateRegistry
from qstate_nb.errors import HiddenStateError, OutOfScopeError
from qstate_nb.races import Exploration, explore


class Box(AsyncState):
    pass


class SyncBox(State, name="SyncBox"):
    pass


def ends(found: Exploration) -> list[tuple[Any, tuple[Any, ...]]]:
    return sorted(((o.state, o.results) for o in found.outcomes), key=repr)


# Hidden state


def roll(box: SyncBox) -> None:
    box.set("x", random.random())


def now(box: SyncBox) -> None:
    box.get("x")
    box.set("x", time.perf_counter_ns())


@pytest.mark.parametrize("task", [roll, now])
def test_random_numbers_and_time_are_reported_with_the_op(task: Callable[..., Any]) -> None:
    with pytest.raises(HiddenStateError, match=r"set SyncBox\.x = .* look for .*random numbers or time"):
        explore(task, n=2)


counter = {"n": 0}


async def counts_in_a_global(box: Box) -> None:
    counter["n"] += 1
    await box.get("x")
    await box.set("x", counter["n"])
    counter["n"] = 0


def test_a_global_that_tasks_share_is_a_warning_and_real_runs() -> None:
    counter["n"] = 0
    found = explore(counts_in_a_global, n=2)

    assert "tasks share something besides State" in found.warnings[0]
    assert "set Box.x = " in found.warnings[0]
    assert not found.complete
    assert found.verdict == "unknown"
    assert "random runs of all tasks together" in found.notes[-1]
    assert {outcome.state["Box"]["x"] for outcome in found.outcomes} <= {0, 1, 2}


def test_a_closure_that_tasks_share_is_found() -> None:
    seen: list[int] = []

    async def task(box: Box) -> int:
        seen.append(1)
        await box.get("x")
        count = len(seen)
        seen.clear()
        return count

    found = explore(task, n=2)
    assert found.warnings
    assert not found.complete


# Values


async def appends_in_place(box: Box) -> None:
    items = await box.get("items", [])
    items.append(len(items))
    await box.set("items", items)
    items.append("not stored")


def test_values_are_copied_in_and_out() -> None:
    assert [o.state["Box"]["items"] for o in explore(appends_in_place, n=2).outcomes] == [[0], [0, 1]]
    given: dict[str, dict[str, list[int]]] = {"Box": {"items": []}}
    explore(appends_in_place, n=2, state=given)
    assert given == {"Box": {"items": []}}


async def sets_key(box: Box, key: str) -> None:
    await box.set(key, 1)


async def first_key(box: Box) -> str:
    await box.set("m", 1)
    return (await box.keys())[0]


def test_the_order_of_keys_is_canonical() -> None:
    tasks = [_bound(sets_key, key="b"), _bound(sets_key, key="a")]
    assert len(explore(*tasks).outcomes) == 1
    assert _results(explore(*tasks, first_key)) == {(None, None, "a"), (None, None, "b"), (None, None, "m")}


def _bound(task: Callable[..., Any], **given: Any) -> Any:
    import functools

    return functools.partial(task, **given)


def _results(found: Exploration) -> set[tuple[Any, ...]]:
    return {outcome.results for outcome in found.outcomes}


async def sets_value(box: Box, value: Any) -> None:
    await box.set("x", value)


def test_values_are_told_apart_by_type() -> None:
    found = explore(_bound(sets_value, value=1), _bound(sets_value, value=True))
    assert sorted(repr(o.state["Box"]["x"]) for o in found.outcomes) == ["1", "True"]
    assert len(explore(_bound(sets_value, value=1), _bound(sets_value, value=1)).outcomes) == 1


@dataclasses.dataclass
class Point:
    x: int
    tags: list[str]


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize("value", [Point(1, ["a"]), Colour.RED, {1, 2}, (1, [2]), b"x", 1.5, None, {"a": {"b": 1}}])
def test_any_value_can_be_stored(value: Any) -> None:
    found = explore(_bound(sets_value, value=value), n=2)
    assert [o.state["Box"]["x"] for o in found.outcomes] == [value]
    assert found.complete


# Concurrency inside a task


async def adds(box: Box, by: int) -> None:
    await box.set("x", await box.get("x", 0) + by)


async def gathers(box: Box) -> None:
    await asyncio.gather(adds(box, 1), adds(box, 2))


async def groups(box: Box) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(adds(box, 1))
        group.create_task(adds(box, 2))


async def leaves_behind(box: Box) -> None:
    tasks.add(asyncio.create_task(adds(box, 1)))
    tasks.add(asyncio.create_task(adds(box, 2)))


tasks: set[Any] = set()


async def as_they_come(box: Box) -> list[Any]:
    return [await ended for ended in asyncio.as_completed([named(box, "a"), named(box, "b")])]


async def named(box: Box, name: str) -> str:
    await box.set("x", name)
    return name


@pytest.mark.parametrize("task", [gathers, groups, leaves_behind])
def test_children_are_further_pending_ops(task: Callable[..., Any]) -> None:
    found = explore(task)
    assert sorted(o.state["Box"]["x"] for o in found.outcomes) == [1, 2, 3]
    assert (found.total, found.complete, found.warnings) == (6, True, [])
    assert found.verdict == "safe"  # alone, it is a serial order


def test_children_are_done_in_any_order() -> None:
    assert ends(explore(as_they_come)) == [
        ({"Box": {"x": "a"}}, (["b", "a"],)),
        ({"Box": {"x": "b"}}, (["a", "b"],)),
    ]


async def sleeps_long(box: Box) -> None:
    await asyncio.sleep(3600)
    await box.increment("x")


async def sleeps_in_order(box: Box) -> None:
    async def later(seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        await box.append("names", name)

    await asyncio.gather(later(2, "c"), later(1, "b"), later(0, "a"), later(2, "d"))


async def in_time(box: Box) -> str:
    async with asyncio.timeout(1):
        return str(await box.get("x"))


async def too_late(box: Box) -> str:
    try:
        await asyncio.wait_for(asyncio.sleep(2), 1)
    except TimeoutError:
        return "late"
    return "in time"


def test_time_is_virtual() -> None:
    began = time.monotonic()
    assert explore(sleeps_long, n=2).outcomes[0].state == {"Box": {"x": 2}}
    assert time.monotonic() - began < 30
    assert _results(explore(in_time, n=2)) == {("None", "None")}
    assert _results(explore(too_late, n=2)) == {("late", "late")}
    names = {tuple(o.state["Box"]["names"]) for o in explore(sleeps_in_order).outcomes}
    assert ("a", "b", "c", "d") in names


async def cancels(box: Box) -> bool:
    child = asyncio.create_task(named(box, "child"))
    await box.set("y", 1)
    child.cancel()
    await asyncio.gather(child, return_exceptions=True)
    return child.cancelled()


def test_an_op_that_is_cancelled_while_it_waits_did_not_happen() -> None:
    assert ends(explore(cancels)) == [
        ({"Box": {"x": "child", "y": 1}}, (False,)),
        ({"Box": {"y": 1}}, (True,)),
    ]


# Ends


async def raises_if_set(box: Box) -> str:
    if await box.get("x"):
        raise LookupError("it is set")
    await box.set("x", 1)
    return "fine"


async def sets_false(box: Box) -> None:
    await box.set("x", 0)


def test_an_exception_is_an_outcome_and_the_others_go_on() -> None:
    found = explore(raises_if_set, sets_false)
    assert found.verdict == "safe"
    found = explore(raises_if_set, n=2)
    assert [(o.verdict, [type(e) for e in o.errors]) for o in found.outcomes] == [
        ("results differ", [type(None), type(None)]),
        ("safe", [type(None), LookupError]),
    ]


async def pays(box: Box) -> None:
    money = await box.get("money")
    if money - await box.get("money") != 0:
        raise RuntimeError("it changed under me")
    await box.set("money", money - 1)


def test_an_error_that_no_serial_order_has_is_an_error() -> None:
    found = explore(pays, _bound(sets_money, money=1), state={"Box": {"money": 5}})
    assert found.verdict == "race"
    assert any(outcome.verdict == "error" for outcome in found.outcomes)


async def sets_money(box: Box, money: int) -> None:
    await box.set("money", money)


async def always_raises(box: Box) -> None:
    await box.get("x")
    raise NameError("a mistake")


def test_a_task_that_always_raises_is_never_called_safe() -> None:
    found = explore(always_raises, n=2)
    assert found.verdict == "error"
    assert found.outcomes[0].reason == "always_raises raises in every interleaving"


async def exits(box: Box) -> None:
    await box.get("x")
    raise SystemExit(3)


def exits_sync(box: SyncBox) -> None:
    box.get("x")
    raise SystemExit(3)


@pytest.mark.parametrize("task", [exits, exits_sync])
def test_an_exit_is_an_outcome_like_another(task: Callable[..., Any]) -> None:
    found = explore(task, n=2)
    assert [type(error) for error in found.outcomes[0].errors] == [SystemExit, SystemExit]
    assert found.verdict == "error"


async def polls(box: Box) -> None:
    while not await box.get("ready"):
        await asyncio.sleep(0.1)


async def makes_ready(box: Box) -> None:
    await box.set("ready", True)


def test_a_polling_loop_may_never_finish() -> None:
    found = explore(polls, makes_ready, max_ops=10)
    assert (found.verdict, found.complete) == ("unknown", False)
    assert "may never finish: it did not after 10 ops" in repr(found)
    assert any(outcome.verdict == "safe" for outcome in found.outcomes)


async def spins(box: Box) -> None:
    while True:
        await asyncio.sleep(0)


async def ticks(box: Box) -> None:
    while True:
        await asyncio.sleep(1)


@pytest.mark.parametrize("task", [spins, ticks])
def test_a_loop_without_ops_may_never_finish(task: Callable[..., Any]) -> None:
    found = explore(task)
    assert (found.verdict, found.complete) == ("unknown", False)
    assert "may never finish: it goes on without an op" in repr(found)


async def waits_for_nothing(box: Box) -> None:
    await box.get("x")
    await asyncio.get_running_loop().create_future()


def test_a_wait_for_what_nobody_does_is_a_deadlock() -> None:
    found = explore(waits_for_nothing)
    assert found.verdict == "deadlock"
    assert "waits for what nobody will do" in found.outcomes[0].reason


# Out of scope


async def opens(box: Box) -> None:
    await box.get("x")
    with open(__file__):
        pass


def starts_thread(box: SyncBox) -> None:
    threading.Thread(target=print).start()


async def to_thread(box: Box) -> None:
    await asyncio.to_thread(print)


def connects(box: SyncBox) -> None:
    socket.create_connection(("127.0.0.1", 9))


async def connects_async(box: Box) -> None:
    await asyncio.open_connection("127.0.0.1", 9)


def removes_folder(box: SyncBox) -> None:
    os.rmdir("/nowhere")


def truncates(box: SyncBox) -> None:
    os.truncate("/nowhere", 0)


def sets_environment(box: SyncBox) -> None:
    os.environ["QSTATE_NOWHERE"] = "1"


def asks(box: SyncBox) -> None:
    input()


def runs_process(box: SyncBox) -> None:
    subprocess.run([sys.executable, "-c", ""], check=False)


async def catches(box: Box) -> None:
    try:
        await opens(box)
    except Exception:
        await box.set("x", "caught")


REFUSED = (
    *(opens, starts_thread, to_thread, connects, connects_async, runs_process, catches),
    *(removes_folder, truncates, sets_environment, asks),
)


@pytest.mark.parametrize("task", REFUSED)
def test_what_cannot_be_explored_is_refused_at_the_call(task: Callable[..., Any]) -> None:
    with pytest.raises(OutOfScopeError, match="move it out of the task"):
        explore(task, n=2)


async def imports(box: Box) -> str:
    import colorsys

    await box.get("x")
    return colorsys.__name__


def test_an_import_is_no_io() -> None:
    sys.modules.pop("colorsys", None)
    assert _results(explore(imports, n=2)) == {("colorsys", "colorsys")}


async def uses_sync_state(box: Box) -> None:
    apart.state(SyncBox).set("x", 1)


apart = InlineApp(registry=StateRegistry())


@apart.task
async def uses_sync_in_async(box: Box) -> None:
    apart.state(SyncBox).set("x", 1)


def test_a_sync_state_in_async_code_is_refused() -> None:
    with pytest.raises(OutOfScopeError, match="used in async code"):
        explore(uses_sync_in_async)


real = apart.state(Box)


async def uses_another_state(box: Box) -> None:
    await real.set("x", 1)


def test_a_state_object_made_elsewhere_is_refused() -> None:
    with pytest.raises(OutOfScopeError, match=r"uses real, a Box object .* declare a parameter: state: Box"):
        explore(uses_another_state)
    assert apart.registry.seq == 0


some_lock = threading.Lock()


def locks_thread(box: SyncBox) -> None:
    with some_lock:
        pass
    box.increment("x")


def test_other_locks_are_said_not_to_be_explored() -> None:
    assert explore(locks_thread, n=2).warnings == [
        "orders not explored: some_lock, a lock, is shared by tasks, and is not modelled"
    ]


def holds_lock(box: SyncBox) -> None:
    with some_lock:
        box.increment("x")


def test_a_lock_that_blocks_a_thread_does_not_hang_the_explorer() -> None:
    found = explore(holds_lock, n=2, max_seconds=5)
    assert not found.complete
    assert any("neither comes to an op nor ends" in warning for warning in found.warnings)


# Output


async def talks(box: Box) -> None:
    print("before")
    await box.get("x")
    logging.getLogger("talks").warning("after %s", "that")


def talks_sync(box: SyncBox) -> None:
    print("before")
    box.get("x")
    logging.getLogger("talks").warning("after %s", "that")


@pytest.mark.parametrize("task", [talks, talks_sync])
def test_what_is_printed_and_logged_is_kept_back_and_shown_in_a_replay(
    task: Callable[..., Any], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    stdout = sys.stdout
    found = explore(task, n=2)
    shown = found.replay(found.outcomes[0])

    assert (capsys.readouterr().out, caplog.records) == ("", [])
    assert sys.stdout is stdout
    assert [step.output for step in shown.steps] == ["WARNING talks: after that\n"] * 2
    assert "prints 'WARNING talks: after that'" in repr(shown)


# Kinds of tasks

app = InlineApp(registry=StateRegistry())
attempts: list[int] = []


class Account(AsyncState):
    balance: int = 0


@app.task
async def deposit(account: Account, amount: int = 1) -> int:
    balance = await account.get("balance")
    await account.set("balance", balance + amount)
    return int(balance + amount)


@app.task
async def twice(account: Account) -> None:
    await deposit()
    await deposit(amount=2)


@app.task(retry=1, retry_on_exc=[LookupError], max_time=5)
async def tries_again(account: Account) -> str:
    if await account.increment("tries") == 1:
        raise LookupError("the first time")
    return "fine"


@app.task(echo=True)
async def reports(self: Any, account: Account) -> None:
    self.ctx.progress(1, 2)
    await self.ctx.sleep(100)
    await account.increment("balance")


@app.task
def generates(box: SyncBox) -> Iterator[int]:
    yield box.increment("x")
    yield box.increment("x")


@app.task
async def generates_async(account: Account) -> AsyncIterator[int]:
    yield await account.increment("balance")
    yield await account.increment("balance")


@app.task
async def scoped(account: Annotated[Account, Scope("chat")], chat: int) -> None:
    await account.set("balance", await account.get("balance") + 1)


@app.task
async def asks_app() -> Any:
    state = app.state(Account)
    await state.set("balance", await state.get("balance") + 1)


def test_a_task_that_calls_tasks() -> None:
    found = explore(twice, n=2)
    assert sorted(o.state["Account"]["balance"] for o in found.outcomes) == [3, 4, 5, 6]
    assert found.complete
    assert app.registry.history() == []
    assert app.calls == []


def test_tasks_with_options() -> None:
    assert _results(explore(tries_again)) == {("fine",)}
    assert explore(reports, n=2).outcomes[0].state == {"Account": {"balance": 2}}
    assert [o.results for o in explore(generates).outcomes] == [([1, 2],)]
    assert len(explore(generates_async, n=2).outcomes) == 3
    assert explore(asks_app, n=2).verdict == "race"
    assert app.registry.history() == []


def test_scopes_are_buckets_of_their_own() -> None:
    assert explore(scoped.bind(chat=1), scoped.bind(chat=2)).verdict == "safe"
    found = explore(scoped.bind(chat=1), n=2, state={"Account[1]": {"balance": 5}})
    assert sorted(o.state["Account[1]"]["balance"] for o in found.outcomes) == [6, 7]
    assert found.verdict == "race"


def test_the_real_state_is_not_touched() -> None:
    app.state(Account)
    before = app.registry.seq
    explore(deposit, n=3)
    assert app.registry.seq == before


def adds_one(box: SyncBox) -> None:
    box.increment("y")


def sets_and_clears(box: SyncBox) -> None:
    with box.transaction():
        box.set("y", 1)
        box.clear()


def test_a_transaction_deletes_what_another_task_has_set_before() -> None:
    """Though what it sees inside is the same with and without that."""
    found = explore(adds_one, sets_and_clears)
    assert sorted(len(outcome.state) for outcome in found.outcomes) == [0, 1]
    assert found.verdict == "safe"
    assert (found.complete, found.warnings) == (True, [])


async def takes_two(box: Box, first: str, then: str) -> None:
    one, two = (apart.state(Box, scope=name) for name in (first, then))
    async with one.transaction(), two.transaction():
        await one.increment("n")


def test_a_deadlock_of_transactions_gives_up_each_of_them_in_turn() -> None:
    """As the real State does; nobody waits for ever."""
    found = explore(_bound(takes_two, first="a", then="b"), _bound(takes_two, first="b", then="a"))
    given_up = [[type(error).__name__ for error in o.errors] for o in found.outcomes if o.verdict == "deadlock"]
    assert sorted(given_up) == [["DeadlockError", "NoneType"], ["NoneType", "DeadlockError"]]
    assert all(not any(outcome.blocked) for outcome in found.outcomes)
