"""A scenario done again: what is the same, what is said to be different, and one step at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from qstate_nb import AsyncState, InlineApp, State, StateRegistry
from qstate_nb.app.script import run_script
from qstate_nb.errors import HistoryError, NotFoundError, ScenarioError


class Signup(AsyncState):
    pass


class SyncSignup(State, name="Signup"):
    pass


class Opaque:
    pass


def register(app: InlineApp, *, step: int = 2, result: Callable[[], Any] = lambda: True, error: str = "no") -> None:
    @app.task
    async def step1(state: Signup) -> str:
        await state.update(step=1, cart={"apples": 1, "pears": [1, 2]})
        return "ok"

    @app.task
    async def step2(state: Signup, phone: str, tags: list[str] | None = None) -> Any:
        await asyncio.sleep(0)
        if not phone.isdigit():
            raise ValueError(f"{error}: {phone}")
        (tags or []).append("seen")
        await state.update(step=step, phone=phone)
        return result()

    @app.task
    def count(state: SyncSignup) -> int:
        return int(state.increment("count"))


@pytest.fixture
def app(app: InlineApp) -> InlineApp:
    register(app)
    return app


def recorded(app: InlineApp) -> Any:
    with app.scenario("all") as scenario:
        app.run("step1")
        app.run("step2", "1", ["a"])
        app.run("step2", "x")
        app.state(SyncSignup).set("hand", {"a": 1})
        app.state(SyncSignup).delete("hand")
        app.run("count")
        scenario.expect(Signup, step=2)
    return scenario


def test_the_same_again_is_the_same_and_the_apps_state_is_left_alone(app: InlineApp) -> None:
    app.state(SyncSignup).set("count", 10)
    scenario = recorded(app)
    before = app.registry.seq
    for _ in range(2):
        replay = scenario.replay(app)
        assert (replay.is_same, replay.differences) == (True, [])
    assert repr(replay) == "<Replay of 'all': 7 steps, all as recorded>"
    assert app.registry.seq == before
    assert [call.args for call in scenario.steps[1].calls] == [("1", ["a"])]


def test_other_results_errors_and_state_are_told_step_by_step(app: InlineApp) -> None:
    scenario = recorded(app)
    register(app, step=3, result=lambda: False, error="bad")
    replay = scenario.replay()
    assert replay.differences == [
        "step 2: step2('1', ['a']): True in the recording, False now",
        "step 2: Signup.step: 1 → 2 in the recording, 1 → 3 now",
        "step 3: step2('x'): ValueError: no: x in the recording, ValueError: bad: x now",
        "step 7: Signup.step: expected 2, it is 3",
    ]
    assert repr(replay) == "<Replay of 'all': 7 steps, 3 steps different>"
    row = replay.to_table()[1]
    assert (row["recorded"], row["now"]) == ("True", "False")
    assert row["different"].splitlines()[1] == "Signup.step: 1 → 2 in the recording, 1 → 3 now"


def test_a_change_that_is_missing_or_new_is_told(app: InlineApp) -> None:
    scenario = recorded(app)

    @app.task
    async def step1(state: Signup) -> str:
        await state.update(cart={"apples": 2, "pears": [1, 2]}, extra=True)
        return "ok"

    lines = scenario.replay().differences
    assert lines[:3] == [
        "step 1: Signup.step: → 1 in the recording, did not change now",
        (
            "step 1: Signup.cart: → {'apples': 1, 'pears': [1, 2]} in the recording, "
            "→ {'apples': 2, 'pears': [1, 2]} now"
        ),
        "step 1: Signup.extra: did not change in the recording, → True now",
    ]


def test_an_error_in_place_of_a_result_is_told(app: InlineApp) -> None:
    scenario = recorded(app)
    register(app, result=lambda: 1 / 0)
    (line,) = scenario.replay().differences
    assert line == "step 2: step2('1', ['a']): True in the recording, ZeroDivisionError: division by zero now"


def test_objects_by_reference_are_the_same_if_they_look_so(app: InlineApp) -> None:
    register(app, result=Opaque)
    scenario = recorded(app)
    assert scenario.replay().is_same
    register(app, result=object)
    assert not scenario.replay().is_same


def test_calls_that_ran_at_once_do_so_again(app: InlineApp) -> None:
    inside = []

    @app.task
    async def meet() -> int:
        inside.append(1)
        await asyncio.sleep(0)
        most = len(inside)
        await asyncio.sleep(0)
        inside.pop()
        return most

    scenario = asyncio.run(run_script(app, "meet", "concurrently(meet(), meet())", {"meet": meet}))
    assert scenario.steps[0].outcome() == "[2, 2]"
    assert scenario.replay().is_same


def test_a_cancelled_call_is_as_recorded_whatever_its_number(app: InlineApp) -> None:
    @app.task(echo=True)
    async def give_up(self: Any) -> None:
        self.ctx.cancel("enough")

    with app.scenario("cancelled") as scenario:
        assert app.run("give_up").status == "cancel"
    app.run("count")
    assert scenario.replay().is_same


def test_it_can_be_replayed_on_the_apps_own_state(app: InlineApp) -> None:
    scenario = recorded(app)
    replay = scenario.replay(fork=False)
    assert app.state(SyncSignup).get("count") == 2
    assert replay.differences == [
        "step 6: count(): 1 in the recording, 2 now",
        "step 6: Signup.count: → 1 in the recording, 1 → 2 now",
    ]


def test_on_another_app_the_tasks_are_found_by_name(app: InlineApp) -> None:
    scenario = recorded(app)
    other = InlineApp("other", registry=StateRegistry())
    with pytest.raises(NotFoundError, match="no task 'step1'; there is none yet"):
        scenario.replay(other)
    register(other)
    assert scenario.replay(other).is_same


def test_what_was_not_run_is_not_replayed(app: InlineApp) -> None:
    names = {"step1": app.tasks["step1"], "step2": app.tasks["step2"]}
    scenario = asyncio.run(run_script(app, "x", "await step2('x')\nawait step1()", names))
    assert len(scenario.replay().steps) == 1


def test_an_empty_one_or_one_that_is_being_recorded_can_not(app: InlineApp) -> None:
    scenario = app.scenario("x")
    with pytest.raises(ScenarioError, match="'x' has no steps"):
        scenario.replay()
    with scenario, pytest.raises(ScenarioError, match="'x' is being recorded; end that first"):
        scenario.replay()


def test_one_step_at_a_time_forth_and_back(app: InlineApp) -> None:
    scenario = recorded(app)
    state = app.state(SyncSignup)
    app.registry.rewind(0)
    walk = scenario.step()
    assert repr(walk) == "<Walk through 'all': 0 of 7 steps done>"

    seen = []
    while walk.next is not None:
        seen.append(state.get_all())
        assert not asyncio.run(walk.forward()).differences
    with pytest.raises(ScenarioError, match="'all' is at its end"):
        asyncio.run(walk.forward())
    for contents in reversed(seen):
        walk.back()
        assert state.get_all() == contents
    with pytest.raises(ScenarioError, match="'all' is at its beginning"):
        walk.back()
    assert walk.next is walk.steps[0]
    asyncio.run(walk.forward())
    assert state.get("step") == 1


def test_there_is_no_way_back_while_a_task_runs_and_then_there_is(app: InlineApp) -> None:
    scenario = recorded(app)
    walk = scenario.step()
    asyncio.run(walk.forward())

    @app.task
    async def busy() -> None:
        with pytest.raises(HistoryError, match="busy #"):
            walk.back()

    assert app.run("busy").status == "success"
    assert len(walk.done) == 1
    assert walk.back().number == 1


def test_two_steps_are_not_done_at_once(app: InlineApp) -> None:
    walk = recorded(app).step()
    problems = []

    async def main() -> None:
        await asyncio.gather(walk.forward(), try_again())

    async def try_again() -> None:
        try:
            await walk.forward()
            walk.back()
        except ScenarioError as error:
            problems.append(str(error))

    walk.steps.pop(0)
    asyncio.run(main())
    assert problems == ["a step is being done; wait for its end, or stop its calls"]
