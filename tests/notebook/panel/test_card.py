"""A card in the task list: what it says of a task, and what its buttons do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ipywidgets as widgets
import pytest
from support.comms import FrontEnd, listening
from support.forms import click, seen_problems
from support.markup import HOSTILE, seen_in

from qstate_nb import InlineApp, State
from qstate_nb.notebook.panel.card import Card, about_html
from qstate_nb.notebook.panel.pool import Looks
from qstate_nb.notebook.panel.runs import Runs

WAIT = 10


class Signup(State):
    pass


@pytest.fixture(autouse=True)
def front_end() -> Iterator[FrontEnd]:
    with listening() as front_end:
        yield front_end


@pytest.fixture
def runs(app: InlineApp) -> Runs:
    return Runs(app, None)


def card_of(app: InlineApp, runs: Runs, name: str = "step1") -> Card:
    card = Card(Looks(), app.tasks[name], runs, lambda: None, lambda _: ())
    card.box.open()
    return card


def control(card: Card, name: str) -> Any:
    (found,) = [each for each in card.form.fields if each.parameter.name == name]
    return found.control  # type: ignore[attr-defined]


def test_it_says_what_the_task_is(app: InlineApp) -> None:
    @app.task(tags=["signup", "first"])
    def step1(state: Signup, phone: str, n: int = 1) -> None:
        """Ask for the number.

        It must have *digits*.
        """

    html = about_html(step1)
    assert seen_in(html) == (
        "step1step1(phone: str, n: int = 1)Ask for the number.tags: signup, first"
        "more about step1Ask for the number.\n\nIt must have *digits*."
    )
    assert html.index("<details>") > html.index("Ask for the number.")
    assert "<details open" not in html


def test_a_docstring_of_one_line_is_not_said_twice(app: InlineApp) -> None:
    @app.task
    def step1() -> None:
        """Ask for the number."""

    assert "<details>" not in about_html(step1)
    app.task(name="step2")(lambda: None)
    assert seen_in(about_html(app.tasks["step2"])) == "step2step2()"


def test_names_descriptions_docstrings_and_defaults_are_text_and_not_markup(
    app: InlineApp, runs: Runs, front_end: FrontEnd
) -> None:
    def step1(it: str = HOSTILE) -> None: ...

    step1.__doc__ = f"{HOSTILE}\n{HOSTILE}"
    app.task(name=HOSTILE, tags=[HOSTILE])(step1)
    app.task(name="step2", description="half a character: \ud800\n" * 10_000)(step1)
    card = card_of(app, runs, HOSTILE)
    click(card.box, "Run")
    runs.app.calls[0].wait(WAIT)
    assert HOSTILE in seen_in(about_html(app.tasks[HOSTILE]))
    card_of(app, runs, "step2")
    for html in front_end.values("HTMLModel"):
        assert len(seen_in(html)) < 10_000


def test_run_starts_one_call_or_several(app: InlineApp, runs: Runs, front_end: FrontEnd) -> None:
    @app.task
    def step1(n: int) -> int:
        return n

    card = card_of(app, runs)
    front_end.fill(control(card, "n"), value="5")
    click(card.box, "Run")
    assert app.calls[0].wait(WAIT).returning == 5
    front_end.fill(card.times.control, value="3")
    front_end.fill(card.at_once, value=True)
    click(card.box, "Run")
    assert len(app.calls) == 4
    for call in app.calls:
        assert call.wait(WAIT).status == "success"


def test_wrong_input_is_refused_and_said_until_something_changes(
    app: InlineApp, runs: Runs, front_end: FrontEnd
) -> None:
    @app.task
    def step1(a: int, b: int) -> None: ...

    card = card_of(app, runs)
    for name in ("Run", "Add to together"):
        front_end.fill(control(card, "a"), value="x")
        front_end.fill(control(card, "b"), value="")
        click(card.box, name)
        assert seen_problems(card.box) == [
            "'x' doesn't fit (Expected `int`, got `str`)",
            "needs a value",
            "not started: look at a, b",
        ]
        front_end.fill(control(card, "a"), value="1")
        assert seen_problems(card.box) == ["needs a value"]
    assert app.calls == []
    assert runs.prepared == ()
    front_end.fill(control(card, "b"), value="2")
    click(card.box, "Run")
    assert seen_problems(card.box) == []
    assert app.calls[0].wait(WAIT).status == "success"


def test_what_the_runs_refuse_is_said_on_the_card(app: InlineApp, runs: Runs, front_end: FrontEnd) -> None:
    app.task(name="step1")(lambda: None)
    card = card_of(app, runs)
    front_end.fill(card.times.control, value="1000")
    click(card.box, "Add to together")
    assert seen_problems(card.box) == []
    click(card.box, "Add to together")
    assert seen_problems(card.box) == ["at most 1,000 calls can run together, not 2,000; remove some first"]
    click(card.box, "Run")
    runs.close()
    assert seen_problems(card.box) == []
    for call in app.calls:
        call.wait(WAIT)


def test_the_number_of_times_has_limits(app: InlineApp, runs: Runs, front_end: FrontEnd) -> None:
    app.task(name="step1")(lambda: None)
    card = card_of(app, runs)
    wrong = {"5000": "'5000' doesn't fit (Expected `int` <= 1000)", "0": "'0' doesn't fit (Expected `int` >= 1)"}
    wrong |= {"3.7": "'3.7' doesn't fit (Expected `int`, got `float`)", "": "needs a value"}
    for typed, said in wrong.items():
        front_end.fill(card.times.control, value=typed)
        assert seen_problems(card.box) == [said]
        assert "qstate-invalid" in card.times.box._dom_classes
        for name in ("Run", "Add to together"):
            click(card.box, name)
            assert seen_problems(card.box) == ["not started: look at times", said]
    assert (app.calls, runs.prepared) == ([], ())
    front_end.fill(card.times.control, value="2")
    assert seen_problems(card.box) == []
    click(card.box, "Add to together")
    assert [each.times for each in runs.prepared] == [2]


def test_what_is_wrong_is_announced_by_screen_readers(app: InlineApp, runs: Runs, front_end: FrontEnd) -> None:
    app.task(name="step1")(lambda it: None)
    card = card_of(app, runs)
    click(card.box, "Run")
    said = [html for html in front_end.values("HTMLModel") if "qstate-problem" in html]
    assert [html.split(">")[0] for html in said] == ['<div class="qstate-problem" role="alert"'] * 2


def test_every_control_has_a_label(app: InlineApp, runs: Runs) -> None:
    @app.task
    def step1(a: int, b: bool, c: str | None, d: list[int]) -> None: ...

    def look(box: Any) -> None:
        if not isinstance(box, widgets.Box | widgets.HTML):
            assert box.description.strip(), box
        for child in getattr(box, "children", ()):
            look(child)

    card = card_of(app, runs)
    look(card.box)
    assert card.run.tooltip == "Run step1"
