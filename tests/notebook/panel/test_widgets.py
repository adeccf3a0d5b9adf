"""The panel's widgets, as a front end that only listens has them."""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pytest
from support.comms import FrontEnd, listening
from support.markup import seen_in

import qstate_nb
from qstate_nb import AsyncState, InlineApp, State, StateRegistry
from qstate_nb.errors import ArgumentError
from qstate_nb.notebook.panel.widgets import Panel, TaskCard

WAIT = 10


class Signup(State):
    pass


class Order(AsyncState):
    pass


class Colour(enum.Enum):
    RED = "r"


@pytest.fixture(autouse=True)
def front_end() -> Iterator[FrontEnd]:
    with listening() as front_end:
        yield front_end


@pytest.fixture
def opened(app: InlineApp) -> Iterator[Callable[[], Panel]]:
    """Opens a panel, and closes it after the test."""
    panels: list[Panel] = []

    def open_it() -> Panel:
        panels.append(qstate_nb.panel(app))
        return panels[-1]

    yield open_it
    for panel in panels:
        panel.close()


def soon(question: Callable[[], Any]) -> Any:
    """The answer of *question* as soon as it is true; the panel draws in a thread of its own."""
    pause = threading.Event()
    deadline = time.monotonic() + WAIT
    while not (answer := question()):
        assert time.monotonic() < deadline, "the panel never showed it"
        pause.wait(0.005)
    return answer


def texts(front_end: FrontEnd) -> str:
    return "\n".join(map(seen_in, front_end.values("HTMLModel")))


def buttons(panel: Panel, description: str) -> list[Any]:
    found: list[Any] = []

    def look(widget: Any) -> None:
        if isinstance(widget, widgets.Button) and widget.description == description:
            found.append(widget)
        for child in getattr(widget, "children", ()):
            look(child)

    look(panel)
    return found


def card(panel: Panel, name: str) -> TaskCard:
    return panel._cards[name]


def fill(panel: Panel, task: str, **values: Any) -> None:
    for field in card(panel, task)._fields:
        if field.parameter.name in values:
            FrontEnd.fill(field.widget, value=values[field.parameter.name])


def press_run(panel: Panel, task: str) -> None:
    (run,) = [child for child in card(panel, task).box.children if isinstance(child, widgets.Button)]
    FrontEnd.click(run)


def test_tasks_have_a_form_and_states_a_table(
    app: InlineApp, opened: Callable[[], Panel], front_end: FrontEnd
) -> None:
    @app.task
    def step1(state: Signup, phone: str, n: int = 1, colour: Colour = Colour.RED) -> None:
        """Ask for the number."""

    app.state(Signup).set("step", 1)
    panel = opened()
    shown = texts(front_end)
    assert "qstate · app" in shown
    assert "step1Ask for the number." in shown
    assert "Signup: 1 key" in shown
    assert "● step1user, event 1" in shown
    fields = {field.parameter.name: type(field.widget).__name__ for field in card(panel, "step1")._fields}
    assert fields == {"phone": "Text", "n": "IntText", "colour": "Dropdown"}


def test_an_app_without_tasks_and_state_has_a_panel(opened: Callable[[], Panel], front_end: FrontEnd) -> None:
    opened()
    assert "no State yet: run a task that has one" in texts(front_end)


def test_filling_the_form_and_run_shows_call_output_and_state(
    app: InlineApp, opened: Callable[[], Panel], front_end: FrontEnd
) -> None:
    @app.task
    def step1(state: Signup, phone: str, n: int = 1) -> str:
        print("asking", phone)
        state.update(phone=phone, n=n)
        return "ok"

    panel = opened()
    fill(panel, "step1", phone="+49170", n=3)
    press_run(panel, "step1")
    soon(lambda: "success, returned 'ok'asking +49170" in texts(front_end))
    soon(lambda: "phone'+49170'step1 #1, event 1" in texts(front_end))
    assert "n3step1 #1, event 1" in texts(front_end)


def test_a_wrong_value_is_said_beside_the_form_and_starts_nothing(
    app: InlineApp, opened: Callable[[], Panel], front_end: FrontEnd
) -> None:
    @app.task
    def step1(ids: list[int], other: Any) -> None: ...

    panel = opened()
    fill(panel, "step1", ids="<b>many</b>")
    press_run(panel, "step1")
    assert "'<b>many</b>' doesn't fit" in texts(front_end)
    fill(panel, "step1", ids="[1]")
    press_run(panel, "step1")
    assert "task 'step1' needs a value for: other" in texts(front_end)
    assert "doesn't fit" not in texts(front_end)
    assert app.calls == []
    fill(panel, "step1", other="x")
    press_run(panel, "step1")
    assert "needs a value" not in texts(front_end)
    assert card(panel, "step1")._problem.layout.display == "none"
    assert app.calls[0].wait(WAIT).status == "success"


def test_run_never_waits_and_stop_ends_it(app: InlineApp, opened: Callable[[], Panel], front_end: FrontEnd) -> None:
    begun = threading.Event()

    @app.task(echo=True)
    def slow(self: Any) -> None:
        self.ctx.progress(1, 4)
        begun.set()
        self.ctx.sleep(WAIT)

    panel = opened()
    press_run(panel, "slow")
    assert begun.wait(WAIT)
    assert not app.calls[0].done
    soon(lambda: "slow #1 () · running, 1 of 4" in texts(front_end))
    stop = soon(lambda: [each for each in buttons(panel, "Stop") if each.layout.visibility == "visible"])
    FrontEnd.click(stop[0])
    assert app.calls[0].wait(WAIT).status == "cancel"
    soon(lambda: "stopped in the panel" in texts(front_end))
    soon(lambda: not [each for each in buttons(panel, "Stop") if each.layout.visibility == "visible"])


def test_clicks_may_come_on_any_thread_while_the_loop_is_busy(
    app: InlineApp, opened: Callable[[], Panel], front_end: FrontEnd
) -> None:
    """A front end can deliver them on a thread with a loop of its own."""

    @app.task
    def step1(state: Signup) -> None:
        state.set("n", 1)

    @app.task
    async def step2(state: Order) -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    async def click(panel: Panel, task: str) -> None:
        press_run(panel, task)

    async def main() -> None:
        panel = opened()
        for task in ("step1", "step2"):
            thread = threading.Thread(target=lambda task=task: asyncio.run(click(panel, task)))
            thread.start()
            thread.join()  # the loop of this thread is busy meanwhile
        while len(app.calls) < 2:
            await asyncio.sleep(0)
        assert (await app.calls[1]).returning == threading.get_ident()
        assert (await app.calls[0]).status == "success"

    asyncio.run(main())


def test_changes_of_cells_and_other_tasks_show(
    app: InlineApp, opened: Callable[[], Panel], front_end: FrontEnd
) -> None:
    opened()
    state = app.state(Signup)
    state.set("step", 1)
    soon(lambda: "step1user, event 1" in texts(front_end))
    for n in range(20_000):
        state.set("step", n)
    sent = front_end.sent
    soon(lambda: f"step{n}user, event 20001" in texts(front_end))
    assert sent < 5_000


def test_a_new_task_gets_a_card_and_others_keep_what_was_typed(
    app: InlineApp, opened: Callable[[], Panel], front_end: FrontEnd
) -> None:
    @app.task
    def step1(phone: str) -> None: ...

    panel = opened()
    fill(panel, "step1", phone="123")

    @app.task
    def step2() -> None: ...

    soon(lambda: "step2" in texts(front_end))
    assert card(panel, "step1")._fields[0].widget.value == "123"

    @app.task(name="step1")
    def step1_again(phone: str, n: int) -> None: ...

    soon(lambda: len(card(panel, "step1")._fields) == 2)


def test_the_newest_calls_are_shown(app: InlineApp, opened: Callable[[], Panel], front_end: FrontEnd) -> None:
    @app.task
    def step1() -> None: ...

    opened()
    for _ in range(20):
        app.run("step1")
    soon(lambda: "step1 #20 () · success" in texts(front_end))
    assert texts(front_end).count("step1 #") == 8
    assert "step1 #12 " not in texts(front_end)


def test_huge_values_outputs_and_buckets_are_shortened(
    app: InlineApp, opened: Callable[[], Panel], front_end: FrontEnd
) -> None:
    @app.task
    def step1(state: Signup, it: Any = "x" * 1_000_000) -> object:
        print("y" * 1_000_000)
        state.update(**{f"k{n}": "z" * 10_000 for n in range(1_000)})
        return "w" * 1_000_000

    panel = opened()
    press_run(panel, "step1")
    app.calls[0].wait(WAIT)
    soon(lambda: "success" in texts(front_end))
    soon(lambda: "… 800 more" in texts(front_end))
    assert len(texts(front_end)) < 200_000
    assert all(len(repr(state)) < 200_000 for state in front_end.models.values())


class NoRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_objects_that_misbehave_do_not_end_it(
    app: InlineApp, opened: Callable[[], Panel], front_end: FrontEnd, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task
    def step1(state: Signup, it: Any = NoRepr()) -> object:  # noqa: B008 - such a default
        print("half a character: \ud800")
        state.update(a=NoRepr(), b="\ud800", **{"\ud800": 1})
        return NoRepr()

    with caplog.at_level(logging.ERROR):
        panel = opened()
        press_run(panel, "step1")
        app.calls[0].wait(WAIT)
        soon(lambda: "half a character: ?" in texts(front_end))
        soon(lambda: "<NoRepr object, whose repr fails> (by reference)" in texts(front_end))
    assert "can't be drawn" not in caplog.text


def test_the_plain_text_stands_beside_the_widget(app: InlineApp, opened: Callable[[], Panel]) -> None:
    @app.task
    def step1(state: Signup, n: int = 1) -> None: ...

    panel = opened()
    bundle = panel._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.model_id
    assert bundle["text/plain"] == (
        "qstate panel: app\n  task               what it does\n  step1(n: int = 1)  -\nSignup: 0 keys"
    )
    assert repr(panel) == "<Panel of <InlineApp 'app': 1 tasks>>"


@pytest.mark.parametrize("how", ["method", "button", "close all", "drawing"])
def test_closing_it_unsubscribes_ends_its_thread_and_takes_it_away(
    app: InlineApp, front_end: FrontEnd, how: str
) -> None:
    @app.task
    def step1(state: Signup, n: int = 1) -> None: ...

    panel = qstate_nb.panel(app)
    thread = panel._redraw._thread
    if how == "method":
        panel.close()
    elif how == "button":
        FrontEnd.click(buttons(panel, "Close")[0])
    elif how == "close all":
        widgets.Widget.close_all()
    else:
        panel.model.states = panel.close  # type: ignore[method-assign, assignment]
        app.state(Signup).set("n", 1)
        thread.join(WAIT)
    assert panel.closed
    assert not app._subscribers
    assert not app.registry._store._subscribers
    assert not thread.is_alive()
    boxes_and_texts = [
        s for s in front_end.models.values() if not s["_model_name"].endswith(("LayoutModel", "StyleModel"))
    ]
    assert boxes_and_texts == []
    sent = front_end.sent
    app.state(Signup).set("n", 2)
    panel.close()
    assert front_end.sent == sent


def test_two_panels_are_independent(app: InlineApp, opened: Callable[[], Panel]) -> None:
    one, two = opened(), opened()
    one.close()
    assert not two.closed
    assert two.model.overview().text.startswith("qstate panel: app")


def test_a_panel_of_another_app_shows_only_that(front_end: FrontEnd) -> None:
    registry = StateRegistry()
    first, second = InlineApp("first", registry=registry), InlineApp("second", registry=registry)

    @first.task
    def only_here() -> None: ...

    panel = qstate_nb.panel(second)
    assert "only_here" not in texts(front_end)
    panel.close()


def test_what_is_no_app_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"a panel needs an app, such as app = InlineApp\(\), not 'x'"):
        qstate_nb.panel("x")  # type: ignore[arg-type]


def test_closing_it_leaves_no_widget_and_a_replaced_task_none_of_its_own(
    app: InlineApp, opened: Callable[[], Panel], front_end: FrontEnd
) -> None:
    @app.task
    def step1(phone: str) -> None: ...

    panel = opened()
    before = len(front_end.models)
    first = card(panel, "step1")
    app.task(step1.function)
    soon(lambda: card(panel, "step1") is not first)
    soon(lambda: len(front_end.models) == before)
    panel.close()
    assert front_end.models == {}


def test_a_panel_that_can_not_be_drawn_leaves_nothing_behind(app: InlineApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr("qstate_nb.notebook.panel.model.PanelModel.states", fail)
    with pytest.raises(ValueError, match="no"):
        qstate_nb.panel(app)
    assert not app._subscribers
    assert not app.registry._store._subscribers
    assert "qstate panel" not in [thread.name for thread in threading.enumerate()]


def test_a_row_keeps_its_call_while_that_runs(app: InlineApp, opened: Callable[[], Panel]) -> None:
    """Else a click on Stop could hit another call."""
    gates = [threading.Event() for _ in range(3)]
    app.task(name="wait")(lambda n: gates[n].wait(WAIT))
    panel = opened()
    first, second, third = (app.start("wait", n) for n in range(3))
    soon(lambda: [row.call for row in panel._calls[:3]] == [first, second, third])
    gates[0].set()
    first.wait(WAIT)
    fourth = app.start("wait", 2)
    soon(lambda: fourth in [row.call for row in panel._calls])
    assert [row.call for row in panel._calls[1:3]] == [second, third]
    for gate in gates:
        gate.set()
    for call in app.calls:
        call.wait(WAIT)


def test_the_slider_follows_until_it_is_moved_and_the_past_is_marked(
    app: InlineApp, opened: Callable[[], Panel], front_end: FrontEnd
) -> None:
    state = app.state(Signup)
    panel = opened()
    bar = panel._time
    for value in range(5):
        state.set("n", value)
    soon(lambda: bar._slider.value == bar._slider.max == bar._play.max == 5)
    bar._slider.value = 2
    soon(lambda: "PAST: State after event 2 of 5" in panel._state.value)
    state.set("n", 9)
    soon(lambda: bar._slider.max == 6)
    assert bar._slider.value == 2
    bar._slider.value = 6
    soon(lambda: "PAST" not in panel._state.value)
    state.set("n", 10)
    soon(lambda: bar._slider.value == 7)


def test_undo_redo_label_and_rewind_have_buttons(app: InlineApp, opened: Callable[[], Panel]) -> None:
    state = app.state(Signup)
    state.set("n", 1)
    bar = opened()._time

    def click(name: str) -> None:
        (button,) = [each for box in bar.box.children[1:3] for each in box.children if each.description == name]
        button.click()

    click("Undo")
    assert state.get_all() == {}
    click("Undo")
    assert "there is nothing more to undo" in bar._problem.value
    click("Redo")
    assert state.get_all() == {"n": 1}
    assert "redo of event 1, Signup.n: → 1" in bar._problem.value
    click("Label")
    assert "a label must be a text" in bar._problem.value
    bar._name.value = "<b>one</b>"
    click("Label")
    assert "&lt;b&gt;one" in bar._problem.value
    assert bar._name.value == ""
    state.set("n", 2)
    soon(lambda: ("<b>one</b>", "<b>one</b>") in bar._labels.options)
    bar._labels.value = "<b>one</b>"
    assert bar._labels.value is None
    soon(lambda: bar._slider.value == 3)
    click("Rewind")
    assert state.get_all() == {"n": 1}
    soon(lambda: bar._slider.value == bar._slider.max == 5)
    bar._slider.value = 1
    click("Now")
    soon(lambda: bar._slider.value == 5)


def test_the_slider_keeps_up_with_a_file_that_has_fewer_events(
    app: InlineApp, opened: Callable[[], Panel], tmp_path: Path
) -> None:
    state = app.state(Signup)
    state.set("n", 1)
    app.registry.save(tmp_path / "x")
    for value in range(20):
        state.set("n", value)
    bar = opened()._time
    assert (bar._slider.min, bar._slider.max, bar._slider.value) == (0, 21, 21)
    app.registry.load(tmp_path / "x")
    soon(lambda: (bar._slider.min, bar._slider.max, bar._slider.value) == (0, 1, 1))
