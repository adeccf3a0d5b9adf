"""The task list: which cards there are, what they keep, search, and many tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import ipywidgets as widgets
import pytest
from support.comms import FrontEnd, listening
from support.forms import click, parts_of, soon
from support.markup import HOSTILE, seen_in

from qstate_nb import InlineApp, Scope, State
from qstate_nb.notebook.panel import tasklist as module
from qstate_nb.notebook.panel.parts import all_below
from qstate_nb.notebook.panel.pool import Looks
from qstate_nb.notebook.panel.runs import Runs
from qstate_nb.notebook.panel.tasklist import SHOWN, TaskList

WAIT = 10


class Chat(State):
    pass


@pytest.fixture(autouse=True)
def front_end() -> Iterator[FrontEnd]:
    with listening() as front_end:
        yield front_end


@pytest.fixture
def opened(app: InlineApp) -> Iterator[Callable[[], TaskList]]:
    """Opens a list that is drawn again when it asks for it, and closes it after the test."""
    lists: list[TaskList] = []

    def open_it() -> TaskList:
        made = TaskList(Looks(), app, Runs(app, None), lambda: made.draw())
        made.box.open()
        made.draw()
        lists.append(made)
        return made

    yield open_it
    for made in lists:
        made.close()


def define(app: InlineApp, *names: str) -> None:
    for name in names:
        app.task(name=name)(step)


def step(it: str = "") -> None: ...


def control(tasks: TaskList, task: str, name: str) -> Any:
    (found,) = [each for each in tasks.cards[task].form.fields if each.parameter.name == name]
    return found.control  # type: ignore[attr-defined]


def texts(tasks: TaskList) -> list[str]:
    """What the list says besides the cards."""
    html = [each for each in tasks.box.children if isinstance(each, widgets.HTML)]
    return [seen_in(each.value) for each in html if each.value]


# --- cards


def test_each_task_has_a_card(app: InlineApp, opened: Callable[[], TaskList]) -> None:
    tasks = opened()
    assert texts(tasks) == ["Tasks", "no tasks yet: define one with @app.task"]
    define(app, "step1", "step2")
    tasks.draw()
    assert list(tasks.cards) == ["step1", "step2"]
    assert texts(tasks) == ["Tasks"]
    boxes = [box for box in all_below(tasks.box) if "qstate-task" in box._dom_classes]
    assert boxes == [card.box for card in tasks.cards.values()]
    del app.tasks["step1"]
    tasks.draw()
    assert list(tasks.cards) == ["step2"]


def test_cards_stay_as_they_are_when_it_is_drawn_again(
    app: InlineApp, opened: Callable[[], TaskList], front_end: FrontEnd
) -> None:
    define(app, "step1")
    tasks = opened()
    first = tasks.cards["step1"]
    front_end.fill(control(tasks, "step1", "it"), value="typed")
    sent = front_end.sent
    tasks.draw()
    assert front_end.sent == sent
    define(app, "step2")
    tasks.draw()
    assert tasks.cards["step1"] is first
    assert control(tasks, "step1", "it").value == "typed"


def test_a_redefined_task_keeps_what_was_typed_where_parameters_are_the_same(
    app: InlineApp, opened: Callable[[], TaskList], front_end: FrontEnd
) -> None:
    @app.task(name="step1")
    def step1(a: str, b: int, c: str = "") -> None: ...

    tasks = opened()
    for name in "abc":
        front_end.fill(control(tasks, "step1", name), value="7")
    front_end.fill(tasks.cards["step1"].times.control, value="5")
    front_end.fill(tasks.cards["step1"].at_once, value=True)
    before = set(front_end.models)

    @app.task(name="step1")
    def step1_again(c: str, a: str, b: str) -> None: ...

    tasks.draw()
    assert [control(tasks, "step1", name).value for name in "abc"] == ["7", "", "7"]
    assert tasks.cards["step1"].times.control.value == "5"
    assert tasks.cards["step1"].at_once.value
    assert len(front_end.models) <= len(before)  # nothing of the old card is left


def test_closing_it_leaves_no_widget(app: InlineApp, front_end: FrontEnd) -> None:
    define(app, *(f"step{n}" for n in range(30)))
    tasks = TaskList(Looks(), app, Runs(app, None), lambda: tasks.draw())
    tasks.box.open()
    tasks.draw()
    tasks.search.value = "step29"
    click(tasks.cards["step29"].box, "Add to together")
    assert front_end.models
    tasks.close()
    tasks.box.looks.close()
    assert front_end.models == {}


# --- search


def test_search_is_there_when_there_are_many(app: InlineApp, opened: Callable[[], TaskList]) -> None:
    tasks = opened()
    define(app, *(f"step{n}" for n in range(6)))
    tasks.draw()
    assert tasks.search.layout.display == "none"
    define(app, "step6")
    tasks.draw()
    assert tasks.search.layout.display is None
    tasks.search.value = "6"
    del app.tasks["step6"]
    tasks.draw()
    assert tasks.search.layout.display is None  # else nobody could take it back


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("STEP1", ["step1"]),
        ("phone", ["step1", "step2"]),
        ("payment", ["step2"]),
        ("phone check", ["step2"]),
        (" ", ["step1", "step2", "step3"]),
        (".*", []),
        (HOSTILE, []),
    ],
)
def test_a_task_is_found_by_name_description_and_tags(
    app: InlineApp, opened: Callable[[], TaskList], query: str, names: list[str], front_end: FrontEnd
) -> None:
    app.task(name="step1", description="Ask for the phone")(step)
    app.task(name="step2", description="Check the Phone", tags=["payment"])(step)
    app.task(name="step3")(step)
    tasks = opened()
    front_end.fill(tasks.search, value=query)
    assert list(tasks.cards) == names
    if query.strip():
        assert texts(tasks)[1].startswith(f"{len(names)} of 3 tasks found by ")


def test_what_was_typed_is_there_again_after_a_search(
    app: InlineApp, opened: Callable[[], TaskList], front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEPT", 3)
    define(app, *"abcdef")
    tasks = opened()
    front_end.fill(control(tasks, "a", "it"), value="typed")
    for query in "bcdef":
        front_end.fill(tasks.search, value=query)
    assert len(parts_of(tasks.box, widgets.Button)) > 0
    assert len(tasks._kept) == 3
    front_end.fill(tasks.search, value="a")
    assert control(tasks, "a", "it").value == "typed"


# --- many


def test_two_hundred_tasks_are_drawn_soon_and_only_some_of_them(
    app: InlineApp, opened: Callable[[], TaskList], front_end: FrontEnd
) -> None:
    define(app, *(f"step{n:03}" for n in range(200)))
    began = time.perf_counter()
    tasks = opened()
    assert time.perf_counter() - began < 5
    assert len(tasks.cards) == SHOWN
    assert texts(tasks)[-1] == "… 180 more: search for them"
    assert len(front_end.models) < SHOWN * 40
    front_end.fill(tasks.search, value="step19")
    assert list(tasks.cards) == [f"step{n}" for n in range(190, 200)]
    assert texts(tasks) == ["Tasks", "10 of 200 tasks found by 'step19'"]


# --- together, and what waits


def test_what_is_prepared_is_shown_and_runs(app: InlineApp, opened: Callable[[], TaskList]) -> None:
    define(app, "step1")
    tasks = opened()
    click(tasks.cards["step1"].box, "Add to together")
    assert tasks.tray.box.layout.display is None
    click(tasks.box, "Run together")
    assert app.calls[0].wait(WAIT).status == "success"


def test_how_many_calls_follow_is_said(app: InlineApp, opened: Callable[[], TaskList]) -> None:
    define(app, "step1")
    tasks = opened()
    tasks._runs.waiting = 2
    tasks.draw()
    assert texts(tasks)[-1] == "2 calls to follow: Stop ends them, too"


# --- scopes


def test_new_scopes_are_suggested_when_it_is_drawn_but_not_all_the_time(
    app: InlineApp, opened: Callable[[], TaskList], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never later than after the pause, when nothing else asks for it."""
    monkeypatch.setattr(module, "_PAUSE", 0.2)

    @app.task
    def step1(state: Annotated[Chat, Scope("chat")], chat: int) -> None: ...

    app.state(Chat, 1).set("n", 1)
    tasks = opened()
    box = control(tasks, "step1", "chat")
    assert box.options == ("1",)
    seen: list[tuple[str, ...]] = []
    box.observe(lambda change: seen.append(change["new"]), "options")
    for scope in range(2, 100):
        app.state(Chat, scope).set("n", 1)
        tasks.draw()
    soon(lambda: len(box.options) == 99)
    assert box.options[0] == "99"
    assert len(seen) < 50
