"""The panel as a text or picture of its own."""

from __future__ import annotations

import pytest
from support.markup import HOSTILE, seen_in

from qstate_nb import InlineApp, State
from qstate_nb.notebook.panel.buckets import Buckets
from qstate_nb.notebook.panel.model import PanelModel


class Signup(State):
    pass


@pytest.fixture
def model(app: InlineApp) -> PanelModel:
    return PanelModel(app, Buckets(app))


def test_the_overview_is_the_same_on_every_run(app: InlineApp, model: PanelModel) -> None:
    assert model.overview().text.splitlines()[-1] == "  no State yet: run a task that has one"

    @app.task
    def step1(state: Signup, n: int = 1) -> None:
        """Count."""
        state.set("n", object())

    app.run("step1")
    assert model.overview().text.splitlines() == [
        "qstate panel: app",
        "  task               what it does",
        "  step1(n: int = 1)  Count.",
        "  last change: event 1, set Signup.n: → <object object> by step1 #1",
        "Signup: 1 key",
        "  key  value                           changed by",
        "* n    <object object> (by reference)  step1 #1, event 1",
    ]


def test_of_many_buckets_and_keys_it_has_some(app: InlineApp, model: PanelModel) -> None:
    app.state(Signup).update(**{f"k{n}": n for n in range(100_000)})
    for scope in range(1_000):
        app.state(Signup, scope=scope).set("n", 1)
    text = model.overview().text
    assert "… 99,800 more" in text
    assert "Signup: 1,000 scopes" in text
    assert len(text) < 20_000


def test_markup_in_it_is_text(app: InlineApp, model: PanelModel) -> None:
    app.state(Signup).set(HOSTILE, HOSTILE)
    assert seen_in(model.overview().html).count("<script>") >= 2
