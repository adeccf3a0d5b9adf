"""Scenarios that an export can do again, and those that it can't."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qstate_nb import InlineApp
from qstate_nb.app.exporting.repeatable import checked_steps, title
from qstate_nb.app.scenario import Scenario
from qstate_nb.app.script import run_script
from qstate_nb.app.steps import Step
from qstate_nb.errors import ScenarioError


def scripted(shop: Any, source: str) -> Scenario:
    return asyncio.run(run_script(shop.app, "signup", source, vars(shop)))


def refused(scenario: Scenario) -> str:
    with pytest.raises(ScenarioError) as caught:
        checked_steps(scenario)
    return str(caught.value)


def test_an_error_that_no_task_raised_is_refused(shop: Any) -> None:
    assert refused(scripted(shop, "await begin()\n1 / 0")) == (
        "scenario 'signup', step 2, 1 / 0: it ended with ZeroDivisionError: division by zero, which no task has "
        "raised; mend it first"
    )


def test_an_error_is_not_a_tasks_only_because_a_task_had_one_before(shop: Any) -> None:
    source = "for _ in (1,):\n    try:\n        await confirm('x')\n    except ValueError:\n        1 / 0"

    assert "ended with ZeroDivisionError: division by zero, which no task has raised" in refused(
        scripted(shop, source)
    )


def test_a_failed_check_is_refused(shop: Any) -> None:
    assert refused(scripted(shop, "await begin()\nexpect(Signup, step=2)")) == (
        "scenario 'signup', step 2, expect(Signup, step=2): 1 check failed (Signup.step: expected 2, it is 1); "
        "mend it first"
    )


def test_a_scenario_without_steps_or_that_is_recorded_is_refused(shop: Any) -> None:
    scenario = shop.app.scenario("signup")
    assert refused(scenario) == "scenario 'signup' has no steps"
    with scenario:
        assert refused(scenario) == "scenario 'signup' is being recorded; end that first"


def test_what_can_not_be_done_again_is_refused_with_the_reason(shop: Any) -> None:
    scenario = scripted(shop, "await begin()\nexpect(Signup, step=2)")
    scenario.unrepeatable = "a call ran on"

    assert refused(scenario) == "a call ran on"


def test_a_call_that_had_not_ended_is_refused(shop: Any) -> None:
    app: InlineApp = shop.app

    @app.task
    async def waits() -> None:
        await asyncio.Event().wait()

    shop.waits = waits

    async def main() -> Scenario:
        with app.scenario("signup") as scenario:
            call = app.start("waits")
            await asyncio.sleep(0)
        call.cancel()
        await call
        return scenario

    assert "waits() had not ended when the recording did; wait for it, and record again" in refused(
        asyncio.run(main())
    )


def test_a_call_that_was_stopped_from_outside_is_refused(shop: Any) -> None:
    app: InlineApp = shop.app

    @app.task
    async def waits() -> None:
        await asyncio.Event().wait()

    async def main() -> Scenario:
        with app.scenario("signup") as scenario:
            call = app.start("waits")
            await asyncio.sleep(0)
            call.cancel()
            await call
        with app.scenario("limited") as other:
            await waits.add_task(timeout=0.001)
        assert "waits() was stopped from outside, which can't be done again" in refused(other)
        return scenario

    assert "waits() was stopped from outside, which can't be done again" in refused(asyncio.run(main()))


def test_a_task_that_gives_up_by_itself_can_be_done_again(shop: Any) -> None:
    with shop.app.scenario("signup") as scenario:
        shop.app.run("give_up")

    assert checked_steps(scenario) == scenario.steps


def test_titles_are_one_line() -> None:
    assert title(Step(1, "for i in x:\n    pass")) == "for i in x: …"
    assert title(Step(1, "x = '\x07'")) == "x = '\\x07'"
    assert title(Step(1, "")) == ""
