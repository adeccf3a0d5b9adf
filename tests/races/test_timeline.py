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
    assert {"increment Account.balance by 5 → 105", "append Stock.sold 'apple', commit"} <= texts or {
        "update Account balance=1, note='back', commit"
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


def takes(sync: Sync) -> str:
    if sync.get("taken"):
        return "late"
    sync.set("taken", True)
    sync.get("x")
    return "mine"


def test_what_each_task_returns_is_that_of_the_schedule() -> None:
    """Though tasks that are alike may change places."""
    found = explore(takes, n=2)
    serial = next(outcome for outcome in found.outcomes if outcome.verdict == "safe")
    assert serial.results == ("mine", "late")
    assert serial.serial == ("takes #1", "takes #2")
    start = serial.id.rpartition("-")[0]
    for choices, ends in (("AAAB", ["mine", "late"]), ("BBBA", ["late", "mine"])):
        shown = repr(found.replay(f"{start}-{choices}"))
        assert f"takes #1 returns '{ends[0]}'" in shown
        assert f"takes #2 returns '{ends[1]}'" in shown


def appends(sync: Sync, item: str) -> None:
    sync.append("items", item)


def test_the_end_is_that_of_the_schedule_also_if_others_count_as_equal() -> None:
    import functools

    found = explore(functools.partial(appends, item="a"), functools.partial(appends, item="b"), equal=sorted)
    start = found.outcomes[0].id.rpartition("-")[0]
    assert "end: Sync.items = ['a', 'b']" in repr(found.timeline(f"{start}-AB"))
    assert "end: Sync.items = ['b', 'a']" in repr(found.timeline(f"{start}-BA"))


def test_what_was_printed_before_the_first_op_is_shown() -> None:
    def talks(sync: Sync) -> None:
        print("before")
        sync.get("x")

    def says() -> None:
        print("alone")

    shown = repr(explore(talks, says).replay(explore(talks, says).outcomes[0]))
    assert "talks prints 'before'" in shown
    assert "says prints 'alone'" in shown


def test_an_end_that_was_not_looked_at() -> None:
    found = explore(deposit, n=2, preemptions=0)
    shown = found.timeline(found.outcomes[0].id.rpartition("-")[0] + "-ABAB")
    assert shown.outcome is None
    assert repr(shown).splitlines()[-2:] == [
        "end: Account.balance = 110",
        "this outcome is not among those that were looked at",
    ]


def mutates(sync: Sync) -> None:
    sync.mutate("n", lambda n: (n or 0) + 1)


def keeps_an_error(sync: Sync) -> None:
    sync.get("error")
    sync.set("error", ValueError("kept"))


def test_mutate_names_its_field_and_a_stored_error_is_not_raised() -> None:
    assert [step.text for step in worst(mutates).steps] == ["mutate Sync.n"]
    found = explore(keeps_an_error, n=2)
    texts = [step.text for step in found.timeline(found.outcomes[0].id.rpartition("-")[0] + "-AABB").steps]
    assert texts[2] == "get Sync.error → ValueError('kept')"


async def in_children(account: Account) -> None:
    import asyncio

    await asyncio.gather(deposit(account), deposit(account))


def test_children_of_one_task_overwrite_each_other() -> None:
    found = explore(in_children)
    lost = next(outcome for outcome in found.outcomes if outcome.state["Account"]["balance"] == 110)
    assert [step.note for step in found.timeline(lost).steps][-1] == "step 4 overwrites what step 3 wrote"


async def writes_twice(account: Account) -> None:
    await account.get("balance")
    await account.set("balance", 1)
    await account.set("balance", 2)


async def writes_blindly(account: Account) -> None:
    await account.set("balance", 9)


def test_only_the_first_write_after_a_stale_read_overwrites() -> None:
    found = explore(writes_twice, writes_blindly)
    steps = found.timeline(found.outcomes[0].id.rpartition("-")[0] + "-ABAA").steps
    assert [step.stale for step in steps] == [0, 0, 2, 0]


async def late_decision(account: Account) -> None:
    await account.get("x")
    await account.get("y")
    await deposit(account)


def test_the_decisive_step_is_where_the_last_way_out_is_missed() -> None:
    for tasks in ((late_decision, late_decision), (deposit, deposit), (late_decision, deposit)):
        found = explore(*tasks)
        timeline = found.timeline(found.outcomes[0])
        (number,) = [step.number for step in timeline.steps if step.is_decisive]
        stepper = found.step()
        bad = []
        for at, step in enumerate(timeline.steps):
            bad.append(all(outcome.is_bad for outcome in stepper.outcomes))
            names = [choice.task for choice in stepper.choices]
            assert at == step.number - 1
            stepper.choose(names.index(timeline.labels[step.lane]))
        assert bad == [at >= number for at in range(len(timeline.steps))]


def test_more_tasks_than_letters() -> None:
    found = explore(mutates, n=28)
    schedule = found.outcomes[0].id
    assert schedule.endswith("YZ(26)(27)")
    assert found.timeline(schedule).id == schedule


def test_the_nearest_serial_run_ends_in_the_same_order() -> None:
    found = explore(sells, takes_back)
    for outcome in found.outcomes:
        timeline = found.timeline(outcome)
        if timeline.nearest_serial is not None:
            last = timeline.steps[-1].lane
            assert timeline.nearest_serial.steps[-1].lane == last


def test_what_was_written_before_it_was_read_is_not_stale() -> None:
    found = explore(deposit, writes_blindly)
    start = found.outcomes[0].id.rpartition("-")[0]
    assert [step.note for step in found.timeline(f"{start}-BAA").steps] == ["", "", ""]
    assert found.timeline(f"{start}-ABA").steps[2].note == "step 3 overwrites what step 2 wrote"
