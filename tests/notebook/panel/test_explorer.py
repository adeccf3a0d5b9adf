"""The panel's races tab, without a browser: the explorer, and its widgets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.markup import seen_in

from qstate_nb import AsyncState, InlineApp
from qstate_nb.notebook.panel.explorer import Explorer


class Account(AsyncState):
    balance: int = 100


@pytest.fixture
def explorer(app: InlineApp) -> Explorer:
    @app.task
    async def deposit(account: Account, amount: int = 10) -> None:
        await account.set("balance", await account.get("balance") + amount)

    return Explorer(app, lambda: None)


def explored(explorer: Explorer, calls: str, check: str = "", *, now: bool = False) -> str:
    thread = explorer.explore(calls, check, now=now)
    assert thread is not None
    thread.join()
    return seen_in(explorer.html())


def test_it_explores_what_is_typed(explorer: Explorer) -> None:
    assert "✗ race" in explored(explorer, "deposit deposit")
    assert explorer.problem == ""
    assert not explorer.is_busy
    assert "✗ check failed" in explored(explorer, "deposit(amount=5) deposit", "Account.balance == 1")
    assert explorer.app.registry.seq == 0


def test_it_begins_with_the_state_that_is_there(explorer: Explorer) -> None:
    asyncio.run(explorer.app.state(Account).set("balance", 5))
    assert "Account.balance = 15" in explored(explorer, "deposit", now=True)


@pytest.mark.parametrize(
    ("calls", "check", "problem"),
    [
        ("", "", "name the tasks that run at once, such as: deposit deposit"),
        ("nope", "", "no task 'nope'"),
        ("deposit(", "", "')' is missing at the end"),
        ("deposit(x=1)", "", "called 'x'"),
        ("deposit(amount)", "", "amount is no literal such as 80 or 'text'; the panel knows no variables"),
        ("deposit", "1 +", "is no expression"),
    ],
)
def test_what_is_wrong_is_said(explorer: Explorer, calls: str, check: str, problem: str) -> None:
    explored(explorer, "deposit")
    before = explorer.found
    explored(explorer, calls, check)
    assert problem in explorer.problem
    assert explorer.found is before
    explored(explorer, "deposit")
    assert explorer.problem == ""


def test_one_can_step(explorer: Explorer) -> None:
    explorer.step()
    assert explorer.choices() == []
    explored(explorer, "deposit deposit")
    explorer.step()
    assert [choice.task for choice in explorer.choices()] == ["deposit #1", "deposit #2"]
    first, _ = explorer.choices()
    explorer.choose(first)
    explorer.choose(first)  # a double click: that is no longer what can happen next
    explorer.choose(explorer.choices()[1])
    assert "get Account.balance → 100" in seen_in(explorer.html())
    assert "1 outcome can still come" in seen_in(explorer.html())
    explorer.back()
    explorer.back()
    explorer.back()
    assert "0 steps, 2 outcomes can still come" in seen_in(explorer.html())
    explorer.stop_stepping()
    assert "✗ race" in seen_in(explorer.html())


def test_it_explores_once_at_a_time(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(explorer, "_explore", lambda *_: started.append(explorer.explore("deposit", "", now=False)))
    thread = explorer.explore("deposit", "", now=False)
    assert thread is not None
    thread.join()
    assert started == [None]
    assert "exploring" in seen_in(explorer.html())


def test_another_exploration_ends_the_stepping(explorer: Explorer) -> None:
    explored(explorer, "deposit deposit")
    explorer.step()
    explorer.choose(explorer.choices()[0])
    assert "✓ safe" in explored(explorer, "deposit")
    assert "can still come" not in seen_in(explorer.html())
    assert explorer.choices() == []
