"""The panel's scenarios tab: recorded, walked through, replayed; and its widgets."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from support.comms import FrontEnd, listening
from support.markup import HOSTILE, seen_in

from qstate_nb import InlineApp, State
from qstate_nb.notebook.panel.background import Background
from qstate_nb.notebook.panel.pool import Looks
from qstate_nb.notebook.panel.scenariopart import ScenarioPart
from qstate_nb.notebook.panel.scenarios import Scenarios

WAIT = 10


class Signup(State):
    pass


@pytest.fixture(autouse=True)
def front_end() -> Iterator[FrontEnd]:
    with listening() as front_end:
        yield front_end


@pytest.fixture
def app(app: InlineApp) -> InlineApp:
    @app.task
    def count(state: Signup, by: int = 1) -> int:
        return int(state.increment("count", by))

    @app.task(echo=True)
    def wait(self: object, state: Signup) -> None:
        state.set("waiting", True)
        self.ctx.sleep(WAIT)  # type: ignore[attr-defined]

    return app


@pytest.fixture
def model(app: InlineApp) -> Scenarios:
    return Scenarios(app, Background(None), lambda: None)


@pytest.fixture
def recorded(app: InlineApp, model: Scenarios) -> Scenarios:
    """A model whose scenario of two counts was recorded; State is empty again."""
    model.record("counts")
    app.run("count")
    app.run("count", 5)
    model.stop()
    app.registry.rewind(0)
    return model


def settled(model: Scenarios) -> None:
    """Wait until no step is being done."""
    deadline = time.monotonic() + WAIT
    while model.is_busy:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def shown(model: Scenarios) -> str:
    return seen_in(model.html())


def count(app: InlineApp) -> int | None:
    value: int | None = app.state(Signup).get("count")
    return value


def test_what_is_run_becomes_a_scenario_which_is_shown(app: InlineApp, model: Scenarios) -> None:
    assert "no scenario chosen" in shown(model)
    model.record("counts")
    assert (model.recording, model.said) == ("counts", "recording counts; %qstate stop ends it")
    model.record("other")
    assert model.is_problem
    app.run("count")
    model.stop()
    assert (model.recording, model.said, model.is_problem) == (None, "counts: 1 step recorded", False)
    assert model.names == ["counts"]
    assert "counts: 0 of 1 step done" in shown(model)
    assert "1 ▶ nextawait count()" in shown(model)
    model.stop()
    assert (model.is_problem, model.said.startswith("nothing is being recorded")) == (True, True)


def test_one_goes_forth_and_back_on_the_apps_state(app: InlineApp, recorded: Scenarios) -> None:
    recorded.forward()
    settled(recorded)
    assert count(app) == 1
    assert "counts: 1 of 2 steps done" in shown(recorded)
    assert "1 ✓ as recordedawait count()1Signup.count: → 12 ▶ nextawait count(5)" in shown(recorded)
    recorded.forward()
    settled(recorded)
    assert count(app) == 6
    recorded.forward()
    assert recorded.said == "that was the last step; Back takes one back, Again begins anew"
    recorded.back()
    assert (count(app), recorded.said) == (1, "State is as it was before step 2")
    recorded.back()
    assert count(app) is None
    recorded.back()
    assert recorded.said == "scenario 'counts' is at its beginning"


def test_all_steps_that_are_left_run(app: InlineApp, recorded: Scenarios) -> None:
    recorded.forward()
    settled(recorded)
    recorded.run()
    settled(recorded)
    assert (count(app), recorded.said) == (6, "2 of 2 steps done")
    recorded.again()
    assert "0 of 2 steps done" in shown(recorded)
    recorded.run()
    settled(recorded)
    assert "✗ different" in shown(recorded)
    assert "Signup.count: → 1 in the recording, 6 → 7 now" in shown(recorded)


def test_a_replay_leaves_the_apps_state_alone(app: InlineApp, recorded: Scenarios) -> None:
    recorded.replay()
    settled(recorded)
    assert count(app) is None
    assert "replay of counts: 2 steps, all as recorded" in shown(recorded)
    recorded.forward()
    settled(recorded)
    assert "1 of 2 steps done" in shown(recorded)


def test_a_call_that_is_stopped_stops_the_run(app: InlineApp, model: Scenarios) -> None:
    model.record("waits")
    call = app.start("wait")
    call.cancel()
    call.wait()
    app.run("count")
    model.stop()
    model.run()
    deadline = time.monotonic() + WAIT
    while not (running := [call for call in app.calls if call.own_status == "process"]):
        assert time.monotonic() < deadline
    model.back()
    assert model.said == "a step is being done; wait for its end, or stop its calls"
    running[0].cancel()
    settled(model)
    assert model.walk is not None
    assert len(model.walk.done) == 1


def test_on_a_loop_steps_run_there(app: InlineApp, recorded: Scenarios) -> None:
    threads = []

    @app.task(name="count")
    async def count() -> None:
        threads.append(threading.get_ident())

    async def main() -> None:
        model = Scenarios(app, Background(asyncio.get_running_loop()), lambda: None)
        model.choose("counts")
        clicked = threading.Thread(target=model.forward)
        clicked.start()
        clicked.join()
        while model.is_busy:
            await asyncio.sleep(0)

    asyncio.run(main())
    assert threads == [threading.get_ident()]


def test_a_wrong_choice_and_a_task_that_is_gone_are_said(app: InlineApp, recorded: Scenarios) -> None:
    recorded.choose("nothing")
    assert "no scenario 'nothing'" in recorded.said
    recorded.choose(None)
    recorded.forward()
    assert recorded.said == "choose a scenario first, or record one"
    del app.tasks["count"]
    recorded.choose("counts")
    assert "no task 'count'" in recorded.said


def test_an_empty_recording_is_no_walk(model: Scenarios) -> None:
    model.record("empty")
    model.stop()
    assert (model.said, model.is_problem, model.chosen) == ("empty: 0 steps recorded", False, None)
    model.choose("empty")
    assert "'empty' has no steps" in model.said


def test_its_buttons_do_it_and_are_there_when_they_can(app: InlineApp, model: Scenarios) -> None:
    part = ScenarioPart(Looks(), model)
    part.draw()
    assert [part._next.disabled, part._back.disabled, part._record.disabled, part._stop.disabled] == [
        *(True, True, False, True),
    ]
    FrontEnd.fill(part._name, value="counts")
    FrontEnd.click(part._record)
    part.draw()
    assert "● recording counts" in seen_in(part._said.value)
    app.run("count")
    FrontEnd.click(part._stop)
    part.draw()
    assert part._choice.value == "counts"
    FrontEnd.click(part._next)
    settled(model)
    part.draw()
    assert (part._next.disabled, part._back.disabled) == (True, False)
    assert "1 of 1 step done" in seen_in(part._steps.value)
    FrontEnd.click(part._back)
    assert count(app) == 1
    part.draw()
    FrontEnd.fill(part._choice, index=0)
    assert model.chosen is None


def test_drawing_it_again_sends_nothing_new(recorded: Scenarios, front_end: FrontEnd) -> None:
    part = ScenarioPart(Looks(), recorded)
    part.box.open()
    part.draw()
    sent = front_end.sent
    part.draw()
    assert front_end.sent == sent


def test_names_and_errors_are_text(app: InlineApp, model: Scenarios) -> None:
    part = ScenarioPart(Looks(), model)
    model.record(HOSTILE)
    app.run("count")
    part.draw()
    assert "<script>" in seen_in(part._said.value)
    model.stop()
    part.draw()
    assert "<script>" in seen_in(part._said.value)
    assert "<script>" in seen_in(part._steps.value)
    model.choose(f"{HOSTILE}2")
    part.draw()
    assert "<script>" in seen_in(part._said.value)
