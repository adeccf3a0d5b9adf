"""Scenarios that are recorded: what becomes a step, and what is noted of it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from qstate_nb import ABSENT, AsyncState, InlineApp, Scenario, State, StateRegistry, TaskResult
from qstate_nb.app.steps import Together, Write
from qstate_nb.core.keys import StateKey
from qstate_nb.errors import NotFoundError, ScenarioError


class Signup(AsyncState):
    pass


class SyncSignup(State, name="Signup"):
    pass


@pytest.fixture
def app(app: InlineApp) -> InlineApp:
    @app.task
    async def step1(state: Signup) -> str:
        print("asked")
        await state.update(step=1, prompt="phone")
        return "ok"

    @app.task
    async def step2(state: Signup, phone: str) -> bool:
        await asyncio.sleep(0)
        if not phone.isdigit():
            raise ValueError(f"not a number: {phone}")
        await state.update(step=2, phone=phone)
        return True

    @app.task
    def count(state: SyncSignup, by: int = 1) -> int:
        return int(state.increment("count", by))

    @app.task
    async def both(state: Signup) -> list[Any]:
        return [await step1(), await step2("5")]

    return app


def sources(scenario: Scenario) -> list[str]:
    return [step.source for step in scenario.steps]


def test_each_call_is_a_step_with_its_result_its_output_and_what_it_changed(app: InlineApp) -> None:
    with app.scenario("signup") as scenario:
        app.run("step1")
        app.run("step2", "123")

    first, second = scenario.steps
    assert (first.number, first.source, first.status) == (1, "await step1()", "passed")
    assert first.output == "asked\n"
    assert first.outcome() == "'ok'"
    assert list(map(str, first.change)) == ["Signup.step: → 1", "Signup.prompt: → 'phone'"]
    assert first.after == {StateKey("Signup"): {"step": 1, "prompt": "phone"}}
    assert (second.source, second.outcome()) == ("await step2('123')", "True")
    assert list(map(str, second.change)) == ["Signup.step: 1 → 2", "Signup.phone: → '123'"]
    assert second.after[StateKey("Signup")] == {"step": 2, "prompt": "phone", "phone": "123"}
    assert scenario.start == {}
    assert scenario.passed
    assert app.scenarios == {"signup": scenario}
    assert repr(scenario) == "<Scenario 'signup': 2 steps, passed>"


def test_what_was_there_before_is_the_start_and_no_change(app: InlineApp) -> None:
    app.run("step1")
    with app.scenario("later") as scenario:
        app.run("count")
    assert scenario.start == {StateKey("Signup"): {"step": 1, "prompt": "phone"}}
    assert list(map(str, scenario.steps[0].change)) == ["Signup.count: → 1"]


def test_what_a_task_calls_belongs_to_it(app: InlineApp) -> None:
    with app.scenario("nested") as scenario:
        app.run("both")
    assert sources(scenario) == ["await both()"]
    assert list(map(str, scenario.steps[0].change)) == [
        "Signup.step: → 2",
        "Signup.prompt: → 'phone'",
        "Signup.phone: → '5'",
    ]


def test_calls_that_overlap_are_one_step(app: InlineApp) -> None:
    async def main() -> None:
        await asyncio.gather(app.tasks["step2"]("1"), app.tasks["step2"]("2"))
        await app.tasks["step1"]()

    with app.scenario("at once") as scenario:
        asyncio.run(main())
    assert sources(scenario) == ["concurrently(step2('1'), step2('2'))", "await step1()"]
    assert [len(step.calls) for step in scenario.steps] == [2, 1]
    assert scenario.steps[0].outcome() == "True, True"


def test_calls_in_threads_are_steps(app: InlineApp) -> None:
    with app.scenario("threads") as scenario:
        thread = threading.Thread(target=app.run, args=("count",), kwargs={"by": 2})
        thread.start()
        thread.join()
        app.start("count").wait()
    assert sources(scenario) == ["await count(by=2)", "await count()"]


def test_what_no_task_changes_is_a_step_as_well(app: InlineApp) -> None:
    state = app.state(SyncSignup)
    with app.scenario("by hand") as scenario:
        state.set("step", 7)
        app.run("count")
        state.delete("step")
        app.registry.undo()
    assert sources(scenario) == [
        "set: Signup.step = 7",
        "await count()",
        "delete: Signup.step deleted",
        "undo: Signup.step = 7",
    ]
    key = StateKey("Signup")
    acts = [step.acts[0] for step in scenario.steps]
    assert [act.values for act in acts if isinstance(act, Write)] == [
        {(key, "step"): 7},
        {(key, "step"): ABSENT},
        {(key, "step"): 7},
    ]
    assert list(map(str, scenario.steps[2].change)) == ["Signup.step: 7 →"]


def test_what_another_apps_tasks_change_is_no_step_but_part_of_the_next_change(app: InlineApp) -> None:
    other = InlineApp("other", registry=app.registry)

    @other.task
    def meddle(state: SyncSignup) -> None:
        state.set("meddled", True)

    with app.scenario("meddled with") as scenario:
        other.run("meddle")
        app.run("count")
    assert sources(scenario) == ["await count()"]
    assert list(map(str, scenario.steps[0].change)) == ["Signup.meddled: → True", "Signup.count: → 1"]


def test_an_error_of_a_call_that_the_block_handles_is_its_outcome(app: InlineApp) -> None:
    with app.scenario("wrong") as scenario:
        assert app.run("step2", "abc").status == "error"
    assert scenario.steps[0].outcome() == "ValueError: not a number: abc"
    assert scenario.passed


def test_a_retried_call_is_one_step_with_its_last_result(app: InlineApp) -> None:
    tries = []

    @app.task(retry=2)
    async def flaky(state: Signup) -> str:
        await asyncio.sleep(0)
        tries.append(1)
        if len(tries) < 3:
            raise OSError("not yet")
        await state.set("sent", True)
        return "sent"

    with app.scenario("retried") as scenario:
        app.run("flaky")
    assert sources(scenario) == ["await flaky()"]
    assert scenario.steps[0].outcome() == "'sent'"
    assert len(tries) == 3


def test_arguments_are_noted_as_they_were_given(app: InlineApp) -> None:
    @app.task
    async def spoil(cart: list[int]) -> None:
        cart.append(99)

    with app.scenario("spoilt") as scenario:
        app.run("spoil", [1])
    assert scenario.steps[0].calls[0].args == ([1],)


def test_a_call_that_has_not_ended_is_said_to_be_so(app: InlineApp) -> None:
    go_on = threading.Event()

    @app.task
    def waits() -> None:
        go_on.wait(10)

    with app.scenario("open") as scenario:
        call = app.start("waits")
    go_on.set()
    call.wait()
    assert [call.outcome for call in scenario.steps[0].calls] == ["not ended"]


def test_a_call_that_ran_before_is_no_step_whatever_is_told_of_it(app: InlineApp) -> None:
    go_on = threading.Event()

    @app.task(echo=True)
    def waits(self: Any) -> None:
        go_on.wait(10)
        self.ctx.progress(1, 2)

    call = app.start("waits")
    while call.own_status != "process":
        pass
    with app.scenario("others") as scenario:
        app.tell(call)
        go_on.set()
        call.wait()
        app.run("step1")
    assert sources(scenario) == ["await step1()"]


def test_nothing_is_noted_after_the_end(app: InlineApp) -> None:
    with app.scenario("ended") as scenario:
        app.run("step1")
    app.run("step1")
    app.state(SyncSignup).set("x", 1)
    assert len(scenario.steps) == 1


def test_several_can_be_recorded_at_once(app: InlineApp) -> None:
    with app.scenario("outer") as outer:
        app.run("step1")
        with app.scenario("inner") as inner:
            app.run("count")
    assert (sources(outer), sources(inner)) == (["await step1()", "await count()"], ["await count()"])


def test_an_exception_in_the_block_passes_and_what_was_recorded_is_kept(app: InlineApp) -> None:
    with pytest.raises(KeyError, match="mine"), app.scenario("broken"):
        app.run("step1")
        raise KeyError("mine")
    assert sources(app.scenarios["broken"]) == ["await step1()"]


def test_expect_checks_state_and_raises_at_the_end(app: InlineApp) -> None:
    with pytest.raises(ScenarioError) as caught, app.scenario("checked") as scenario:
        app.run("step1")
        scenario.expect(Signup, step=1, prompt=..., phone=ABSENT)
        scenario.expect("Signup", {"step": 3}, prompt="phone", count=...)
        app.run("count")
    assert [step.status for step in scenario.steps] == ["passed", "passed", "failed", "passed"]
    assert scenario.steps[1].source == "expect(Signup, step=1, prompt=..., phone=ABSENT)"
    assert str(caught.value) == (
        "checked: step 3, expect(Signup, step=3, prompt='phone', count=...): Signup.step: expected 3, it is 1; "
        "Signup.count: expected any value, there is none"
    )
    assert not scenario.passed
    assert scenario.verdict == "1 step failed"


def test_expect_result_checks_what_a_call_returned_or_raised(app: InlineApp) -> None:
    async def main(scenario: Scenario) -> None:
        assert await scenario.expect_result(app.tasks["step1"](), "ok") == "ok"
        await scenario.expect_result(app.tasks["step2"]("abc"), raises=ValueError)
        await scenario.expect_result(app.start("count"))

    scenario = app.scenario("results")
    with pytest.raises(ScenarioError, match=r"step 8, .*result: expected 5, it is 2"), scenario:
        asyncio.run(main(scenario))
        scenario.expect_result(app.run("count"), 5)
    assert [step.status for step in scenario.steps] == [*["passed"] * 7, "failed"]


def test_a_check_needs_a_recording_fields_and_a_state(app: InlineApp) -> None:
    with pytest.raises(ScenarioError, match="'x' is not being recorded, so there is nothing to check"):
        app.scenario("x").expect(Signup, step=1)
    with app.scenario("x") as scenario:
        with pytest.raises(ScenarioError, match=r"expect\(Signup\) says nothing about it"):
            scenario.expect(Signup)
        with pytest.raises(NotFoundError, match="no state 'Singup'"):
            scenario.expect("Singup", step=1)


@pytest.mark.parametrize("name", ["", "  ", None, 3])
def test_a_name_must_be_a_text(app: InlineApp, name: Any) -> None:
    with pytest.raises(ScenarioError, match="a scenario needs a name, a text, not"):
        app.scenario(name)


def test_a_scenario_is_recorded_once(app: InlineApp) -> None:
    scenario = app.scenario("once")
    with pytest.raises(ScenarioError, match="'once' is not being recorded"):
        scenario.end()
    scenario.begin()
    assert repr(scenario) == "<Scenario 'once': 0 steps, recording>"
    with pytest.raises(ScenarioError, match="has been recorded; app"):
        scenario.begin()
    app.run("step1")
    scenario.end()
    with pytest.raises(ScenarioError, match="has been recorded"), scenario:
        pass


def test_the_steps_as_rows_of_text(app: InlineApp) -> None:
    with app.scenario("rows") as scenario:
        app.run("step1")
    assert scenario.to_table() == [
        {
            "step": 1,
            "source": "await step1()",
            "status": "passed",
            "result": "'ok'",
            "output": "asked\n",
            "change": "Signup.step: → 1\nSignup.prompt: → 'phone'",
        }
    ]


def test_in_a_fork_it_records_the_forks_calls(app: InlineApp) -> None:
    fork = app.fork()
    with fork.scenario("tried") as scenario:
        fork.run("step1")
        app.run("count")
    assert sources(scenario) == ["await step1()"]
    assert app.scenarios == {}


def test_a_full_journal_loses_no_step() -> None:
    app = InlineApp(registry=StateRegistry(max_events=2))

    @app.task
    def many(state: SyncSignup) -> None:
        for number in range(10):
            state.set("n", number)

    with app.scenario("long") as scenario:
        app.run("many")
        app.state(SyncSignup).set("n", 77)
        app.run("many")
    assert [list(map(str, step.change)) for step in scenario.steps] == [
        ["Signup.n: → 9"],
        ["Signup.n: 9 → 77"],
        ["Signup.n: 77 → 9"],
    ]


def test_a_step_says_what_ran_together(app: InlineApp) -> None:
    with app.scenario("acts") as scenario:
        app.run("step1")
    (act,) = scenario.steps[0].acts
    assert isinstance(act, Together)
    assert isinstance(act.calls[0].result, TaskResult)
    assert repr(scenario.steps[0]) == "<Step 1: await step1(): passed>"


def test_what_the_user_writes_while_a_call_runs_is_done_after_it(app: InlineApp) -> None:
    go_on = threading.Event()

    @app.task
    def wait(state: SyncSignup) -> None:
        go_on.wait(10)
        state.set("waited", True)

    with app.scenario("meanwhile") as scenario:
        call = app.start("wait")
        app.state(SyncSignup).set("n", 5)
        go_on.set()
        call.wait()
    assert sources(scenario) == ["await wait(); set: Signup.n = 5"]
    assert scenario.replay().is_same


def test_a_task_can_record_what_it_calls(app: InlineApp) -> None:
    @app.task
    async def records() -> Scenario:
        with app.scenario("inner") as scenario:
            await app.tasks["step1"]()
            await app.tasks["both"]()
        return scenario

    assert sources(app.run("records").unwrap()) == ["await step1()", "await both()"]


def test_nothing_recorded_is_said(app: InlineApp) -> None:
    with app.scenario("nothing") as scenario:
        pass
    assert repr(scenario) == "<Scenario 'nothing': 0 steps, nothing recorded>"


def test_events_that_were_dropped_unseen_are_told() -> None:
    app = InlineApp(registry=StateRegistry(max_events=2))
    with app.scenario("long") as scenario:
        for number in range(5):
            app.state(SyncSignup).set("n", number)
    assert len(scenario.steps) == 2
    assert scenario.notes == [
        "3 events of it were dropped by the journal unseen: StateRegistry(max_events=…) keeps more"
    ]


def test_a_check_that_is_not_awaited_fails(app: InlineApp) -> None:
    scenario = app.scenario("forgotten")
    with pytest.raises(ScenarioError, match="it was not awaited, so nothing was checked"), scenario:
        scenario.expect_result(app.tasks["step1"](), "no")
    assert scenario.steps[0].status == "failed"


def test_a_check_while_a_call_runs_makes_it_unrepeatable(app: InlineApp) -> None:
    go_on = threading.Event()

    @app.task
    def wait(state: SyncSignup) -> None:
        state.set("began", True)
        go_on.wait(10)

    with app.scenario("open") as scenario:
        call = app.start("wait")
        while not app.state(SyncSignup).get("began"):
            pass
        scenario.expect(Signup, began=True)
        go_on.set()
        call.wait()
    with pytest.raises(ScenarioError, match="wait #1 ran on in the background at step 1"):
        scenario.replay()
