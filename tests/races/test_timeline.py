"""The picture of a schedule, as text and as Mermaid; and stepping through one."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from qstate_nb import AsyncState, State
from qstate_nb.errors import RaceError
from qstate_nb.races import explore
from qstate_nb.races.timeline import Timeline


class Account(AsyncState):
    balance: int = 100


class Stock(AsyncState):
    pass


class Sync(State):
    pass


async def deposit(account: Account) -> None:
    await account.set("balance", await account.get("balance") + 10)


async def rests(account: Account) -> None:
    if await account.get("open", True):
        await account.increment("balance", -5)


async def closes(account: Account) -> None:
    await account.set("open", False)


async def sells(account: Account, stock: Stock) -> None:
    async with account.transaction():
        await account.increment("balance", 5)
        async with stock.transaction():
            await stock.append("sold", "apple")


async def takes_back(account: Account, stock: Stock) -> None:
    async with stock.transaction(), account.transaction():
        await account.update(balance=1, note="back")


def worst(*tasks: Any, **options: Any) -> Timeline:
    found = explore(*tasks, **options)
    return found.timeline(found.outcomes[0])


def text(timeline: Timeline) -> str:
    return "\n" + "\n".join(line.rstrip() for line in repr(timeline).splitlines())


def test_a_lost_update_as_text() -> None:
    assert text(worst(deposit, n=2)) == textwrap.dedent("""
             deposit #1                 deposit #2
          1  get Account.balance → 100
          2»                            get Account.balance → 100  ← from here on, only bad outcomes
          3                             set Account.balance = 110  Account.balance: 100 → 110
          4  set Account.balance = 110                             ← step 4 overwrites what step 3 wrote
        end: Account.balance = 110
        race: no serial order leads to this State
        one after another (deposit #1, then deposit #2): Account.balance = 120""")


def test_a_step_can_rest_on_what_has_changed() -> None:
    timeline = worst(rests, closes)
    assert timeline.outcome is not None
    notes = {step.note for step in explore(rests, closes).timeline(_id(timeline, "ABA")).steps}
    assert notes == {"", "step 3 rests on what step 1 read, which step 2 has changed"}


def _id(timeline: Timeline, choices: str) -> str:
    return timeline.id.rpartition("-")[0] + "-" + choices


def test_a_deadlock_shows_the_cycle_and_who_is_given_up() -> None:
    found = explore(sells, takes_back)
    bad = found.outcomes[0]
    assert bad.verdict == "deadlock"
    assert bad.reason == (
        "takes_back holds Stock and waits for Account; sells holds Account and waits for Stock"
        if bad.errors[1]
        else "sells holds Account and waits for Stock; takes_back holds Stock and waits for Account"
    )
    shown = repr(found.timeline(bad))
    assert "transaction Account raises DeadlockError" in shown or "transaction Stock raises DeadlockError" in shown
    assert "one after another" in shown


def test_ops_are_written_as_they_are_called() -> None:
    found = explore(sells, takes_back)
    steps = found.timeline(found.outcomes[-1]).steps
    texts = {step.text for step in steps}
    assert {"increment Account.balance by 5 → 105", "append Stock.sold 'apple'"} <= texts or {
        "update Account balance=1, note='back'"
    } <= texts
    assert {"transaction Account", "transaction Stock"} <= texts


def test_state_after_each_step() -> None:
    timeline = worst(deposit, n=2)
    states = [timeline.state_after(number)["Account"]["balance"] for number in range(5)]
    assert states == [100, 100, 100, 110, 110]


def test_marks_of_switches() -> None:
    assert [step.mark for step in worst(deposit, n=2).steps] == ["", "preempts", "", "switch"]


def test_mermaid() -> None:
    found = explore(deposit, n=2)
    diagram = format(found, "mermaid").splitlines()
    assert diagram[:5] == [
        "sequenceDiagram",
        "    participant T0 as deposit #35;1",
        "    participant T1 as deposit #35;2",
        "    participant S as State",
        "    T0->>S: 1 get Account.balance → 100",
    ]
    assert "    Note over T0,S: step 4 overwrites what step 3 wrote" in diagram
    assert format(found, "") == repr(found)
    with pytest.raises(ValueError, match=r"'mermaid'.* not as 'dot'"):
        format(found, "dot")


EVIL = "a;\nb#<script>alert(1)</script>%%{init}"


def writes_evil(sync: Sync) -> None:
    sync.set(EVIL, EVIL)


def test_what_tasks_write_is_no_markup_of_mermaid_or_of_lines() -> None:
    found = explore(writes_evil, n=2)
    diagram = format(found, "mermaid")
    assert "<script>" not in diagram
    assert "%%" not in diagram
    assert all(line.startswith(("sequence", "    participant", "    T", "    Note")) for line in diagram.splitlines())
    assert len(repr(found.timeline(found.outcomes[0])).splitlines()) == 4


def test_stepping() -> None:
    stepper = explore(deposit, n=2).step()
    assert [(c.task, c.text) for c in stepper.choices] == [
        ("deposit #1", "get Account.balance"),
        ("deposit #2", "get Account.balance"),
    ]
    assert len(stepper.outcomes) == 2
    stepper.choose("deposit #2").choose(0)
    assert [outcome.verdict for outcome in stepper.outcomes] == ["race"]
    assert stepper.timeline.outcome is None
    stepper.back()
    assert [len(choice.outcomes) for choice in stepper.choices] == [1, 1]
    assert stepper.choices[1].outcomes[0].verdict == "safe"
    stepper.choose("deposit #2").choose(0).choose(0)
    assert stepper.choices == []
    assert stepper.state == {"Account": {"balance": 120}}
    assert stepper.id.endswith("-BBAA")
    assert stepper.timeline.outcome is stepper.outcomes[0]
    assert repr(stepper) == "<Stepper: 4 steps, 1 outcome can still come>"


@pytest.mark.parametrize(
    ("choice", "problem"),
    [
        (2, "nobody can go on as 2: it is 0 to 1, or one of deposit #1, deposit #2"),
        (-1, "nobody can go on as -1"),
        ("nobody", "nobody can go on as 'nobody'"),
        (True, "nobody can go on as True"),
        (None, "nobody can go on as None"),
    ],
)
def test_a_wrong_choice(choice: Any, problem: str) -> None:
    with pytest.raises(RaceError, match=problem):
        explore(deposit, n=2).step().choose(choice)


def test_before_the_beginning_and_after_the_end() -> None:
    stepper = explore(deposit).step()
    with pytest.raises(RaceError, match="this is the beginning"):
        stepper.back()
    stepper.choose(0).choose(0)
    with pytest.raises(RaceError, match="this is the end"):
        stepper.choose(0)
