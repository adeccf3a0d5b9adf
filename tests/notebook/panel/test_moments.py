"""The panel's model and the journal: moments, the timeline, undo and labels."""

from __future__ import annotations

import pytest
from support.markup import HOSTILE, seen_in

from qstate_nb import InlineApp, State, StateRegistry
from qstate_nb.errors import HistoryError, NotFoundError
from qstate_nb.notebook.panel.buckets import Buckets
from qstate_nb.notebook.panel.model import PanelModel


class Signup(State):
    pass


@pytest.fixture
def model(app: InlineApp) -> PanelModel:
    return PanelModel(app, Buckets(app))


def test_the_past_is_shown_marked_and_only_to_be_read(app: InlineApp) -> None:
    model = PanelModel(app, buckets := Buckets(app))
    state = app.state(Signup)
    for value in range(5):
        state.set("n", value)
    assert model.range() == (0, 5)
    model.go_to(2)
    assert "PAST: State after event 2 of 5; it can only be read" in seen_in(buckets.picture().past)
    assert "Signupn1 → 4" in seen_in(buckets.picture().past)
    state.set("n", 9)
    assert "1 → 9" in seen_in(buckets.picture().past)
    for now in (6, 99, None):
        model.go_to(now)
        assert model.moment is None
        assert buckets.picture().past == ""


def test_undo_redo_rewind_and_labels(app: InlineApp, model: PanelModel) -> None:
    state = app.state(Signup)
    state.set("n", 1)
    assert model.label("one") == "label 'one' after event 1"
    state.set("n", 2)
    assert model.undo() == "event 3: undo of event 2, Signup.n: 2 → 1"
    assert model.redo() == "event 4: redo of event 2, Signup.n: 1 → 2"
    with pytest.raises(HistoryError, match="choose a moment first: give the number of its event"):
        model.rewind()
    model.go_to("one")
    assert model.moment == 1
    assert model.rewind() == "event 5: rewind to event 1, Signup.n: 2 → 1"
    assert [model.moment, state.get("n"), model.labels()] == [None, 1, ["one"]]
    with pytest.raises(NotFoundError, match="no label 'two'"):
        model.go_to("two")


def test_a_moment_that_is_dropped_while_it_is_shown_says_so() -> None:
    app = InlineApp(registry=StateRegistry(max_events=3))
    model = PanelModel(app, buckets := Buckets(app))
    state = app.state(Signup)
    for value in range(4):
        state.set("n", value)
    model.go_to(1)
    state.update(n=5)
    state.update(n=6)
    assert "its events up to 3 were dropped" in seen_in(buckets.picture().past)
    assert "qstate-timeline" in model.timeline()
    model.go_to(0)
    assert model.moment == model.range()[0] == 3


def test_the_timeline_has_a_lane_for_each_key_and_says_who(app: InlineApp, model: PanelModel) -> None:
    assert model.timeline() == ""

    @app.task
    def step1(state: Signup) -> None:
        state.set(HOSTILE, 1)

    app.state(Signup).set("n", 1)
    app.run("step1")
    html = model.timeline()
    seen = seen_in(html)
    assert "Signup.n" in seen
    assert "by: " in seen
    assert "user" in seen
    assert "step1" in seen
    assert f"event 2: set, Signup.{HOSTILE}: → 1 by step1 #1" in seen
    assert html.count('fill="#0072b2"') == 2  # the user's mark, and in the legend
    assert html.count("<circle") == 2
    assert html.count("<rect") == 2


def test_the_timeline_of_many_events_and_keys_is_small(app: InlineApp, model: PanelModel) -> None:
    for number in range(10_000):
        app.state(Signup).set(f"k{number % 500}", number)
    for moment in (None, 1, 5_000):
        model.go_to(moment)
        html = model.timeline()
        assert len(html) < 60_000
        assert "… 88 more keys" in html
    app.state(Signup).update(**{f"k{number}": 0 for number in range(500)})
    model.go_to(None)
    assert len(model.timeline()) < 100_000
