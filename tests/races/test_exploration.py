"""`explore` and `assert_no_races`: what they give, their options, their limits, and their messages."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from qstate_nb import AsyncState, InlineApp, State, StateRegistry
from qstate_nb.errors import ArgumentError, RacesFoundError, ScheduleMismatch, StateNameError
from qstate_nb.races import assert_no_races, explore


class Account(AsyncState):
    balance: int = 100


class Sync(State):
    n: int = 0


app = InlineApp(registry=StateRegistry())


@app.task
async def deposit(account: Account) -> None:
    await account.set("balance", await account.get("balance") + 10)


@app.task
async def withdraw(account: Account, amount: int) -> str:
    balance = await account.get("balance")
    if balance < amount:
        return "refused"
    await account.increment("balance", -amount)
    return "paid"


def adds(sync: Sync) -> None:
    sync.set("n", sync.get("n") + 1)


def test_the_example_of_three_deposits() -> None:
    found = explore(deposit, n=3)

    assert (found.verdict, found.complete, found.total) == ("race", True, 90)
    assert [(o.state, o.schedules, o.share, o.preemptions, o.verdict) for o in found.outcomes] == [
        ({"Account": {"balance": 110}}, 48, Fraction(48, 90), 1, "race"),
        ({"Account": {"balance": 120}}, 36, Fraction(36, 90), 1, "race"),
        ({"Account": {"balance": 130}}, 6, Fraction(6, 90), 0, "safe"),
    ]
    assert found.outcomes[2].serial == ("deposit #1", "deposit #2", "deposit #3")
    assert found.outcomes[0].serial is None
    assert found.executions <= 9
    assert found.replays == 53
    assert found.outcomes[0].results == (None, None, None)
    assert found.outcomes[0].errors == (None, None, None)
    assert found.outcomes[0].blocked == ("", "", "")


def test_the_text_is_stable_and_says_what_a_share_is() -> None:
    text = repr(explore(deposit, n=2))
    assert text == repr(explore(deposit, n=2))
    fingerprint = explore(deposit, n=2).outcomes[0].id.split("-")[1]
    assert text == textwrap.dedent(f"""\
        race: deposit #1 | deposit #2; 2 outcomes, all of 6 interleavings
        race: Account.balance = 110
          no serial order leads to this State
          4 of 6 schedules (67 %); fewest preemptions: 1; id 1-{fingerprint}-ABBA
        safe: Account.balance = 120
          as one after another: deposit #1, then deposit #2
          2 of 6 schedules (33 %); fewest preemptions: 0; id 1-{fingerprint}-AABB
        (a share of schedules is no probability: real ones are not all as likely)""")


def test_counts_are_exact_where_nobody_could_count() -> None:
    """16! / 4!**4, and the prototype's 20! / 4!**5, in tens of task runs."""
    twice = functools.partial(_adds, times=2)
    found = explore(twice, n=4)
    assert (found.total, found.complete) == (63_063_000, True)
    assert found.executions < 100
    assert sum(outcome.schedules for outcome in found.outcomes) == found.total
    assert explore(twice, n=5).total == 305_540_235_000


async def _adds(account: Account, times: int) -> None:
    for _ in range(times):
        await account.set("x", await account.get("x", 0) + 1)


def test_ops_that_do_not_matter_to_each_other_are_one_order() -> None:
    found = explore(*(functools.partial(_on_key, key=key) for key in "abc"))
    assert (found.total, found.orders, len(found.outcomes), found.verdict) == (34_650, 1, 1, "safe")
    assert "all interleavings are essentially one order" in found.notes[0]
    assert explore(deposit, n=2).orders is None
    assert explore(functools.partial(_on_key, key="a"), n=2).orders is None


async def _on_key(account: Account, key: str) -> None:
    for _ in range(2):
        await account.set(key, await account.get(key, 0) + 1)


# Options


def test_state_is_given_by_name_class_or_scope() -> None:
    for state in ({"Account": {"balance": 1}}, {Account: {"balance": 1}}):
        assert explore(deposit, state=state).outcomes[0].state == {"Account": {"balance": 11}}


def test_a_check_is_about_each_outcome() -> None:
    tasks = withdraw.bind(amount=80), withdraw.bind(amount=50)
    found = explore(*tasks, check=lambda s: s["Account"]["balance"] >= 0)

    assert found.verdict == "check failed"
    assert [(o.verdict, o.state["Account"]["balance"]) for o in found.outcomes] == [
        ("check failed", -30),
        ("safe", 20),
        ("safe", 50),
    ]


def test_a_check_can_assert() -> None:
    def check(state: Any) -> bool:
        assert state["Account"]["balance"] > 105, "too little"
        return True

    found = explore(deposit, n=2, check=check, state={"Account": {"balance": 90}})
    assert [outcome.reason.startswith("the check says: too little") for outcome in found.outcomes] == [True, False]


def test_a_check_that_fails_otherwise_is_said_so() -> None:
    with pytest.raises(ArgumentError, match=r"the check raised KeyError: 'Acount'.*s\['Account'\]\['balance'\]"):
        explore(deposit, check=lambda s: s["Acount"])


def test_few_preemptions() -> None:
    none = explore(deposit, n=3, preemptions=0)
    assert (none.total, none.complete, none.verdict) == (6, False, "unknown")
    one = explore(deposit, n=3, preemptions=1)
    assert one.verdict == "race"
    assert "at most 1 preemptions" in one.notes[0]
    assert explore(deposit, n=3, preemptions=9).total == 90


def test_equal_makes_values_alike() -> None:
    tasks = [functools.partial(_appends, item=item) for item in "ab"]
    assert len(explore(*tasks).outcomes) == 2
    assert len(explore(*tasks, equal=sorted).outcomes) == 1
    assert len(explore(*tasks, equal={"Account.items": sorted}).outcomes) == 1
    assert len(explore(*tasks, equal={"Account.items": None}).outcomes) == 1
    assert len(explore(*tasks, equal={"Account.other": sorted}).outcomes) == 2


async def _appends(account: Account, item: str) -> None:
    await account.append("items", item)


def test_a_seed_makes_runs_the_same() -> None:
    assert repr(explore(deposit, n=3, seed=1)) == repr(explore(deposit, n=3, seed=2))


def test_sync_and_async_tasks_together() -> None:
    found = explore(adds, deposit, n=2)
    assert found.total == 8 * 7 * 6 * 5 * 4 * 3 * 2 // 2**4
    assert {(o.state["Sync"]["n"], o.state["Account"]["balance"]) for o in found.outcomes} == {
        (n, balance) for n in (1, 2) for balance in (110, 120)
    }


# Limits


async def _many(account: Account, me: int) -> None:
    for _ in range(5):
        await account.set("x", (await account.get("x", 0)) * 3 + me)


def test_too_many_positions_are_never_safe() -> None:
    tasks = [functools.partial(_many, me=me) for me in range(4)]
    found = explore(*tasks, max_states=2_000)

    assert not found.complete
    assert found.verdict == "race"  # found with few preemptions, or at random
    assert found.notes[0] == "not complete: there are more than max_states=2,000 positions"
    assert any("PCT" in note and "probability of at least" in note for note in found.notes)
    assert any(outcome.preemptions >= 0 for outcome in found.outcomes)
    worst = found.outcomes[0]
    assert found.replay(worst).outcome is worst


async def _independent(account: Account, key: str) -> None:
    for number in range(30):
        await account.set(key, number)


def test_incomplete_and_nothing_found_is_unknown() -> None:
    found = explore(*(functools.partial(_independent, key=key) for key in "abcd"), max_states=1_000)
    assert (found.verdict, found.complete) == ("unknown", False)
    with pytest.raises(RacesFoundError, match="not complete, so not said to be safe"):
        assert_no_races(*(functools.partial(_independent, key=key) for key in "abcd"), max_states=1_000)


def test_time_is_limited() -> None:
    tasks = [functools.partial(_many, me=me) for me in range(6)]
    began = time.monotonic()
    found = explore(*tasks, max_seconds=1, max_states=10**9)
    assert time.monotonic() - began < 15
    assert not found.complete
    assert "max_seconds=1 is too little" in found.notes[0]


def hangs(sync: Sync) -> None:
    while True:
        pass


async def hangs_async(account: Account) -> None:
    await account.get("x")
    while True:
        pass


@pytest.mark.parametrize("task", [hangs, hangs_async])
def test_a_task_that_hangs_is_cut_off(task: Callable[..., Any]) -> None:
    began = time.monotonic()
    found = explore(task, max_seconds=0.5)
    assert time.monotonic() - began < 10
    assert (found.complete, found.verdict) == (False, "unknown")
    assert "makes no op, and does not end" in repr(found)


def test_an_interrupt_keeps_what_was_found() -> None:
    code = """
        import functools, os, signal, threading
        from qstate_nb import AsyncState
        from qstate_nb.races import explore

        class Account(AsyncState):
            pass

        async def many(account: Account, me: int):
            for _ in range(6):
                await account.set("x", (await account.get("x", 0)) * 3 + me)

        threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        tasks = [functools.partial(many, me=me) for me in range(6)]
        found = explore(*tasks, max_seconds=60, max_states=10**9)
        print(found.complete, found.verdict, found.notes[0])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout == "False unknown not complete: it was interrupted\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert os.getpid()


# Wrong arguments

anything: Any = explore
adds_anything: Any = adds


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: anything(), r"nothing to explore; give a task: explore\(deposit, n=2\)"),
        (lambda: anything(3), "3 is no task"),
        (lambda: anything(deposit, n=0), "n must be how many of each task run at once, 1 or more, not 0"),
        (lambda: anything(deposit, n="2"), "n must be .* not '2'"),
        (lambda: anything(withdraw), r"task 'withdraw': missing a required argument: 'amount'.*withdraw\.bind"),
        (
            lambda: anything(functools.partial(adds_anything, x=1)),
            "task 'adds': got an unexpected keyword argument 'x'",
        ),
        (lambda: withdraw.bind(sum=1), r"got an unexpected keyword argument 'sum'; it is withdraw\(amount: int\)"),
        (lambda: anything(deposit, state=[1]), r"state must be a dict such as .* not \[1\]"),
        (lambda: anything(deposit, state={"Account": 1}), r"state\['Account'\] must be a dict of fields, not 1"),
        (lambda: anything(deposit, max_states=0), "max_states must be a number, at least 1, not 0"),
        (lambda: anything(deposit, max_ops="x"), "max_ops must be a number, at least 1, not 'x'"),
        (lambda: anything(deposit, max_seconds=None), "max_seconds must be a number, at least 0, not None"),
        (lambda: anything(deposit, preemptions=-1), "preemptions must be a number, at least 0, not -1"),
        (lambda: anything(deposit, equal=3), "equal must be a function, or a dict of such, not 3"),
        (lambda: anything(deposit, check=3), "check must be a function of the State, not 3"),
    ],
)
def test_wrong_arguments_are_said_to_be_wrong(call: Callable[[], Any], problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        call()


def test_a_coroutine_is_no_task() -> None:
    with pytest.raises(ArgumentError, match=r"give the task itself, not a call of it: __call__"):
        explore(deposit())


def test_a_wrong_name_of_a_state() -> None:
    with pytest.raises(StateNameError):
        explore(deposit, state={"Account[": {}})


# Schedules


def test_any_schedule_can_be_replayed_by_its_id() -> None:
    found = explore(deposit, n=2)
    start = found.outcomes[0].id.rpartition("-")[0]

    assert found.replay(f"{start}-ABAB").outcome is found.outcomes[0]
    assert found.replay(f"{start}-BBAA").outcome is found.outcomes[1]
    assert found.timeline(f"{start}-AB").outcome is None
    assert found.timeline(f"{start}-ABAB").id == f"{start}-ABAB"


@pytest.mark.parametrize("bad", ["", "x", "1-aaaaaa", "1-{0}-AB?", "1-{0}-AAAA", "1-{0}-C", "1-{0}-A!", 3, None])
def test_what_is_no_schedule_is_refused(bad: Any) -> None:
    found = explore(deposit, n=2)
    fingerprint = found.outcomes[0].id.split("-")[1]
    with pytest.raises(ScheduleMismatch):
        found.replay(bad.format(fingerprint) if isinstance(bad, str) else bad)


def test_a_schedule_of_other_code_is_refused() -> None:
    found = explore(deposit, n=2)
    other = explore(deposit, n=2, state={"Account": {"balance": 5}})
    with pytest.raises(ScheduleMismatch, match="of other code, arguments or State: its fingerprint is"):
        other.replay(found.outcomes[0].id)
    with pytest.raises(ScheduleMismatch, match="is of version 0, and this is 1"):
        found.replay(found.outcomes[0].id.replace("1-", "0-", 1))


SCRIPT = """
    from qstate_nb import AsyncState
    from qstate_nb.races import explore

    class Account(AsyncState):
        pass

    async def helper(account: Account):
        return await account.get("x", 0)

    async def task(account: Account):
        {comment}
        await account.set("x", await helper(account) + {by})

    found = explore(task, n=2)
    print(found.outcomes[0].id)
"""


def test_the_same_code_has_the_same_ids_in_another_process(tmp_path: Any) -> None:
    """But for comments; with other code they differ."""

    def run(comment: str, by: int) -> str:
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(SCRIPT.format(comment=comment, by=by)))
        return subprocess.run([sys.executable, path], capture_output=True, text=True, check=True).stdout

    assert run("# one", 1) == run("# another", 1)
    assert run("# one", 1) != run("# one", 2)


# Around it


def test_it_runs_where_a_loop_runs_and_in_many_threads_at_once() -> None:
    async def inside() -> str:
        return explore(deposit, n=2).verdict

    assert asyncio.run(inside()) == "race"
    verdicts: list[str] = []
    threads = [threading.Thread(target=lambda: verdicts.append(explore(adds, n=3).verdict)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == ["race"] * 4


def test_nothing_is_left_behind() -> None:
    explore(adds, deposit)
    threads, stdout, stderr = set(threading.enumerate()), sys.stdout, sys.stderr
    explore(adds, deposit, n=2)
    gc.collect()
    assert set(threading.enumerate()) <= threads
    assert (sys.stdout, sys.stderr) == (stdout, stderr)


def test_an_assertion_shows_the_outcome_and_its_schedule() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_no_races(deposit, n=2)
    text = str(caught.value)
    assert text.startswith("race: deposit #1 | deposit #2; 2 outcomes, all of 6 interleavings\nrace: Account.balance")
    assert "  1  get Account.balance → 100" in text
    assert "step 4 overwrites what step 3 wrote" in text
    assert isinstance(caught.value, RacesFoundError)
