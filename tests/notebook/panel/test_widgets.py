"""The panel as a whole, as a front end that only listens has it: its parts are tested by themselves."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pytest
from support.comms import FrontEnd, listening
from support.forms import click, parts_of, soon
from support.markup import seen_in

import qstate_nb
from qstate_nb import AsyncState, InlineApp, State, StateRegistry
from qstate_nb.errors import ArgumentError
from qstate_nb.notebook.panel.parts import NO_CHOICE
from qstate_nb.notebook.panel.timebar import TimeBar
from qstate_nb.notebook.panel.widgets import Panel

WAIT = 10
TABS = ("Calls", "Timeline", "Events", "Scenarios", "Races")


class Signup(State):
    pass


class Order(AsyncState):
    pass


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


def seen(box: Any) -> str:
    """What is to be seen of the texts in a box."""
    if box.layout.display == "none":
        return ""
    own = seen_in(box.value) if isinstance(box, widgets.HTML) and not box.value.startswith("<style>") else ""
    return "\n".join([own, *map(seen, getattr(box, "children", ()))]).strip()


def is_seen(box: Any, text: str) -> bool:
    return text in seen(box)


def tab(panel: Panel, title: str) -> Any:
    """A tab's widget, after a click on its title."""
    (tabs,) = parts_of(panel, widgets.Tab)
    FrontEnd.fill(tabs, selected_index=TABS.index(title))
    return tabs.children[TABS.index(title)]


def card(panel: Panel, name: str) -> Any:
    return panel._tasks.cards[name]


def fill(panel: Panel, task: str, **values: Any) -> None:
    for box in parts_of(card(panel, task).form.box, widgets.Widget):
        if getattr(box, "description", None) in values:
            FrontEnd.fill(box, value=values[box.description])


def press_run(panel: Panel, task: str) -> None:
    click(card(panel, task).box, "Run")


def test_it_has_tasks_state_and_tabs(app: InlineApp, opened: Callable[[], Panel]) -> None:
    @app.task
    def step1(state: Signup, phone: str) -> None:
        """Ask for the number."""

    app.state(Signup).set("step", 1)
    panel = opened()
    text = seen(panel)
    for part in ("qstate · app", "Tasks", "step1(phone: str)Ask for the number.", "State", "Signup", "event 1"):
        assert part in text
    (tabs,) = parts_of(panel, widgets.Tab)
    assert tuple(tabs.titles) == TABS


def test_an_app_without_tasks_and_state_has_a_panel(opened: Callable[[], Panel]) -> None:
    text = seen(opened())
    assert "no tasks yet: define one with @app.task" in text
    assert "no State yet: run a task that has one" in text
    assert "no calls yet: run a task" in text


def test_filling_the_form_and_run_shows_call_output_and_state(app: InlineApp, opened: Callable[[], Panel]) -> None:
    @app.task
    def step1(state: Signup, phone: str, n: int = 1) -> str:
        print("asking", phone)
        state.update(phone=phone, n=n)
        return "ok"

    panel = opened()
    fill(panel, "step1", phone="+49170", n="3")
    press_run(panel, "step1")
    soon(lambda: "success, returned 'ok'" in seen(tab(panel, "Calls")))
    assert "asking +49170" in seen(tab(panel, "Calls"))
    soon(lambda: "'+49170'" in seen(panel._state.box))
    assert app.state(Signup).get("n") == 3


def test_a_wrong_value_is_marked_and_starts_nothing(app: InlineApp, opened: Callable[[], Panel]) -> None:
    @app.task
    def step1(ids: list[int], other: Any) -> None: ...

    panel = opened()
    fill(panel, "step1", ids='["<b>many</b>"]')
    press_run(panel, "step1")
    assert seen(card(panel, "step1").box).count("needs a value") == 1
    assert "not started: look at ids, other" in seen(card(panel, "step1").box)
    assert app.calls == []


def test_run_never_waits_and_stop_ends_it(app: InlineApp, opened: Callable[[], Panel]) -> None:
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
    soon(lambda: "1 of 4" in seen(tab(panel, "Calls")))
    (row,) = [row for row in panel._parts[0].rows if row.call is app.calls[0]]  # type: ignore[attr-defined]
    click(row.box, "Stop")
    assert app.calls[0].wait(WAIT).status == "cancel"
    soon(lambda: "stopped in the panel" in seen(tab(panel, "Calls")))


def test_each_tab_is_brought_up_to_date_when_it_is_chosen_and_then_stays_so(
    app: InlineApp, opened: Callable[[], Panel]
) -> None:
    panel = opened()
    state = app.state(Signup)
    state.set("n", 1)
    for number, (title, shown) in enumerate(
        [("Events", "Signup"), ("Timeline", "by: "), ("Scenarios", "no scenario chosen"), ("Calls", "no calls yet")]
    ):
        box = tab(panel, title)
        soon(partial(is_seen, box, shown))
        state.set("n", number)
    box = tab(panel, "Events")
    state.set("n", 777)
    soon(lambda: "777" in seen(box))


def test_clicks_may_come_on_any_thread_while_the_loop_is_busy(app: InlineApp, opened: Callable[[], Panel]) -> None:
    """A front end can deliver them on a thread with a loop of its own."""

    @app.task
    def step1(state: Signup) -> None:
        state.set("n", 1)

    @app.task
    async def step2(state: Order) -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    async def click_run(panel: Panel, task: str) -> None:
        press_run(panel, task)

    async def main() -> None:
        panel = opened()
        for task in ("step1", "step2"):
            thread = threading.Thread(target=lambda task=task: asyncio.run(click_run(panel, task)))
            thread.start()
            thread.join()  # the loop of this thread is busy meanwhile
        while len(app.calls) < 2:
            await asyncio.sleep(0)
        assert (await app.calls[1]).returning == threading.get_ident()
        assert (await app.calls[0]).status == "success"

    asyncio.run(main())


@pytest.mark.parametrize("title", TABS)
def test_a_burst_sends_few_messages_and_ends_on_the_last_values(
    app: InlineApp, opened: Callable[[], Panel], front_end: FrontEnd, title: str
) -> None:
    panel = opened()
    tab(panel, title)
    state = app.state(Signup)
    state.set("step", 0)
    soon(lambda: "step" in seen(panel._state.box))
    for n in range(20_000):
        state.set("step", n)
    sent = front_end.sent
    soon(lambda: f"event 20001, set Signup.step: {n - 1} → {n}" in seen(panel._state.box))
    assert sent < 5_000


class SlowKernel:
    """A kernel whose thread that sends does so when it is told to."""

    def __init__(self) -> None:
        self.kernel = self.iopub_thread = self
        self.waiting: list[Callable[[], object]] = []

    def schedule(self, send: Callable[[], object]) -> None:
        self.waiting.append(send)

    def send(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


def test_it_is_not_drawn_again_before_the_kernel_has_sent_what_it_had_to(
    app: InlineApp, opened: Callable[[], Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else more and more would wait there, and the kernel's answers behind it."""
    kernel = SlowKernel()
    monkeypatch.setattr("qstate_nb.notebook.panel.widgets.get_ipython", lambda: kernel)
    panel = opened()
    soon(lambda: kernel.waiting)  # drawn, and not sent
    for n in range(100):
        app.state(Signup).set("n", n)
    assert len(kernel.waiting) == 1
    assert "99" not in seen(panel._state.box)
    kernel.send()
    soon(lambda: "99" in seen(panel._state.box))
    monkeypatch.undo()
    kernel.send()


def test_opening_it_costs_few_messages_and_a_tab_is_sent_when_it_is_chosen(
    app: InlineApp, opened: Callable[[], Panel], front_end: FrontEnd
) -> None:
    """A kernel drops messages for a browser that is slow when there are a thousand of them."""

    @app.task
    def step1(state: Signup, phone: str) -> None: ...
    @app.task
    def step2(state: Signup, code: int, retry: bool = False) -> None: ...
    @app.task
    def step3(state: Signup) -> None: ...

    app.state(Signup).update(a=1, b=2, c=[3])
    app.run("step3")
    panel = opened()
    soon(lambda: not panel._redraw._changed.is_set())
    assert front_end.sent <= 150
    for title, text in (
        ("Timeline", "now: event 1"),
        ("Events", "Signup"),
        ("Scenarios", "no scenario"),
        ("Races", ""),
    ):
        before = front_end.sent
        assert text in seen(tab(panel, title))  # at once
        assert 10 < front_end.sent - before < 45
        tab(panel, "Calls")
        before = front_end.sent
        tab(panel, title)
        assert front_end.sent - before < 5


def test_two_panels_of_one_app_agree_and_are_closed_by_themselves(
    app: InlineApp, opened: Callable[[], Panel]
) -> None:
    @app.task
    def step1(state: Signup) -> None:
        state.set("n", 77)

    one, two = opened(), opened()
    press_run(one, "step1")
    for panel in (one, two):
        soon(partial(is_seen, panel._state.box, "77"))
        soon(partial(is_seen, panel._parts[0].box, "step1 #1"))
    one.close()
    app.state(Signup).set("n", 78)
    soon(lambda: "78" in seen(two._state.box))
    assert not two.closed


def test_a_new_task_gets_a_card_and_others_keep_what_was_typed(app: InlineApp, opened: Callable[[], Panel]) -> None:
    @app.task
    def step1(phone: str) -> None: ...

    panel = opened()
    fill(panel, "step1", phone="123")

    @app.task
    def step2() -> None: ...

    soon(lambda: "step2" in panel._tasks.cards)
    press_run(panel, "step1")
    assert app.calls[0].wait(WAIT).kwargs == {"phone": "123"}


class NoRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_objects_that_misbehave_do_not_end_it(
    app: InlineApp, opened: Callable[[], Panel], caplog: pytest.LogCaptureFixture
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
        for title in TABS:
            tab(panel, title)
            panel._draw()
        soon(lambda: "half a character: ?" in seen(tab(panel, "Calls")))
        soon(lambda: "<NoRepr object, whose repr fails>" in seen(panel._state.box))
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
def test_closing_it_unsubscribes_ends_its_threads_and_takes_it_away(
    app: InlineApp, front_end: FrontEnd, how: str
) -> None:
    @app.task
    def step1(state: Signup, n: int = 1) -> None: ...

    app.state(Signup).update(a=1, b={"c": 2})
    panel = qstate_nb.panel(app)
    thread = panel._redraw._thread
    if how == "method":
        panel.close()
    elif how == "button":
        click(panel, "Close")
    elif how == "close all":
        widgets.Widget.close_all()
    else:
        panel._tasks.draw = panel.close  # type: ignore[method-assign]
        app.state(Signup).set("n", 1)
        thread.join(WAIT)
    assert panel.closed
    assert not app._subscribers
    assert not app.registry._store._subscribers
    assert not thread.is_alive()
    assert [state["_model_name"] for state in front_end.models.values()] == []
    sent = front_end.sent
    app.state(Signup).set("n", 2)
    panel.close()
    assert front_end.sent == sent


def test_a_panel_of_another_app_shows_only_that(front_end: FrontEnd) -> None:
    registry = StateRegistry()
    first, second = InlineApp("first", registry=registry), InlineApp("second", registry=registry)

    @first.task
    def only_here() -> None: ...

    panel = qstate_nb.panel(second)
    assert "only_here" not in "".join(front_end.values("HTMLModel"))
    panel.close()


def test_what_is_no_app_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"a panel needs an app, such as app = InlineApp\(\), not 'x'"):
        qstate_nb.panel("x")  # type: ignore[arg-type]


def test_a_replaced_task_leaves_no_widget_behind(
    app: InlineApp, opened: Callable[[], Panel], front_end: FrontEnd
) -> None:
    @app.task
    def step1(phone: str) -> None: ...

    panel = opened()
    before = len(front_end.models)
    first = card(panel, "step1")
    app.task(step1.function)
    soon(lambda: panel._tasks.cards.get("step1") not in (first, None))
    soon(lambda: len(front_end.models) == before)


def test_a_panel_that_can_not_be_drawn_leaves_nothing_behind(app: InlineApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr("qstate_nb.notebook.panel.buckets.Buckets.picture", fail)
    with pytest.raises(ValueError, match="no"):
        qstate_nb.panel(app)
    assert not app._subscribers
    assert not app.registry._store._subscribers
    assert "qstate panel" not in [thread.name for thread in threading.enumerate()]


# --- the timeline tab


def timeline(panel: Panel) -> TimeBar:
    tab(panel, "Timeline")
    return panel._time


def test_the_moment_follows_until_one_is_typed_and_the_past_is_marked(
    app: InlineApp, opened: Callable[[], Panel]
) -> None:
    state = app.state(Signup)
    panel = opened()
    bar = timeline(panel)
    for value in range(5):
        state.set("n", value)
    soon(partial(is_seen, bar.box, "now: event 5"))
    FrontEnd.fill(bar._moment, value=" 2 ")
    soon(partial(is_seen, panel._state.box, "PAST: State after event 2 of 5"))
    assert bar._moment.value == ""
    state.set("n", 9)
    soon(partial(is_seen, bar.box, "PAST: event 2 of 6"))
    app.registry.label("later")
    FrontEnd.fill(bar._moment, value="later")
    soon(lambda: "PAST" not in seen(panel._state.box))
    FrontEnd.fill(bar._moment, value="nowhere")
    assert "no label 'nowhere'; did you mean" in seen_in(bar._problem.value) or "no label" in bar._problem.value
    FrontEnd.fill(bar._moment, value="99")
    soon(partial(is_seen, bar.box, "now: event 6"))


def test_nothing_is_written_into_what_one_types(app: InlineApp, opened: Callable[[], Panel]) -> None:
    bar = timeline(opened())
    bar._moment.value = ""
    sent: list[Any] = []
    bar._moment.observe(sent.append)
    for value in range(100):
        app.state(Signup).set("n", value)
    soon(partial(is_seen, bar.box, "now: event 100"))
    assert sent == []


def test_one_goes_back_and_forward_by_one_event(app: InlineApp, opened: Callable[[], Panel]) -> None:
    state = app.state(Signup)
    for value in range(3):
        state.set("n", value)
    panel = opened()
    bar = timeline(panel)
    soon(lambda: "now: event 3" in seen(bar.box) and bar._on.disabled)
    for moment in (2, 1, 0):
        click(bar.box, "Back")
        soon(partial(is_seen, bar.box, f"PAST: event {moment} of 3"))
    soon(lambda: bar._back.disabled)
    for moment in (1, 2):
        click(bar.box, "Forward")
        soon(partial(is_seen, bar.box, f"PAST: event {moment} of 3"))
    click(bar.box, "Forward")
    soon(partial(is_seen, bar.box, "now: event 3"))
    assert panel.model.moment is None


def test_play_shows_one_event_after_the_other_and_ends(app: InlineApp, opened: Callable[[], Panel]) -> None:
    state = app.state(Signup)
    for value in range(3):
        state.set("n", value)
    panel = opened()
    bar = timeline(panel)
    bar._player._interval = 0.01
    moments: list[int | str | None] = []
    go_to = bar.model.go_to

    def noted(moment: int | str | None) -> None:
        moments.append(moment)
        go_to(moment)

    bar.model.go_to = noted  # type: ignore[method-assign]
    click(bar.box, "Play")
    soon(lambda: moments == [0, 1, 2, 3])
    soon(lambda: bar._play.description == "Play")
    assert panel.model.moment is None


def test_pause_and_any_other_button_ends_the_play(app: InlineApp, opened: Callable[[], Panel]) -> None:
    app.state(Signup).set("n", 1)
    bar = timeline(opened())
    for button in ("Pause", "Now", "Undo"):
        click(bar.box, "Play")
        soon(lambda: bar._play.description == "Pause")
        click(bar.box, button)
        soon(lambda: bar._play.description == "Play")
    assert not bar._player.plays


def test_undo_redo_label_and_rewind_have_buttons(app: InlineApp, opened: Callable[[], Panel]) -> None:
    state = app.state(Signup)
    state.set("n", 1)
    bar = timeline(opened())

    def press(name: str) -> None:
        click(bar.box, name)

    press("Undo")
    assert state.get_all() == {}
    press("Undo")
    assert "there is nothing more to undo" in bar._problem.value
    press("Redo")
    assert state.get_all() == {"n": 1}
    assert "redo of event 1, Signup.n: → 1" in bar._problem.value
    press("Label")
    assert "a label must be a text" in bar._problem.value
    bar._name.value = "<b>one</b>"
    press("Label")
    assert "&lt;b&gt;one" in bar._problem.value
    assert bar._name.value == ""
    state.set("n", 2)
    soon(lambda: ("<b>one</b>", "<b>one</b>") in bar._labels.options)
    bar._labels.value = "<b>one</b>"
    assert bar._labels.value is NO_CHOICE
    soon(partial(is_seen, bar.box, "PAST: event 3 of 4"))
    press("Rewind")
    assert state.get_all() == {"n": 1}
    soon(partial(is_seen, bar.box, "now: event 5"))
    FrontEnd.fill(bar._moment, value="1")
    soon(partial(is_seen, bar.box, "PAST: event 1 of 5"))
    press("Now")
    soon(partial(is_seen, bar.box, "now: event 5"))


def test_the_moment_keeps_up_with_a_file_that_has_fewer_events(
    app: InlineApp, opened: Callable[[], Panel], tmp_path: Path
) -> None:
    state = app.state(Signup)
    state.set("n", 1)
    app.registry.save(tmp_path / "x")
    for value in range(20):
        state.set("n", value)
    bar = timeline(opened())
    soon(partial(is_seen, bar.box, "now: event 21"))
    app.registry.load(tmp_path / "x")
    soon(partial(is_seen, bar.box, "now: event 1"))


def test_menus_show_their_first_option(app: InlineApp, opened: Callable[[], Panel]) -> None:
    """ipywidgets takes a value of None for nothing chosen, in some processes."""
    panel = opened()
    for title in TABS:
        menus = [each for each in parts_of(tab(panel, title), widgets.Dropdown) if each.options]
        assert [menu.index for menu in menus] == [0] * len(menus)
        assert all(menu.value is not None for menu in menus)


def test_a_part_that_can_not_be_drawn_says_so_and_the_others_go_on(
    app: InlineApp, opened: Callable[[], Panel], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    panel = opened()

    def fail() -> None:
        raise ValueError("<b>no</b>")

    monkeypatch.setattr(panel._tasks, "draw", fail)
    app.state(Signup).set("n", 77)
    soon(partial(is_seen, panel._state.box, "77"))
    soon(partial(is_seen, panel, "tasks can't be shown: ValueError: <b>no</b>"))
    monkeypatch.undo()
    app.state(Signup).set("n", 78)
    soon(lambda: "can't be shown" not in seen(panel))
    assert "the panel's part tasks can't be drawn" in caplog.text
