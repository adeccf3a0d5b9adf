"""The panel on State that other processes use as well, and when the app moves to another store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pytest
from support.comms import FrontEnd, listening
from support.forms import parts_of, soon
from support.markup import seen_in

import qstate_nb
from qstate_nb import InlineApp, State, StateRegistry
from qstate_nb.errors import StateError, StoreUnavailableError
from qstate_nb.notebook.panel.bucketedits import Edits
from qstate_nb.notebook.panel.buckets import Buckets
from qstate_nb.notebook.panel.widgets import Panel


class Signup(State):
    pass


@pytest.fixture(autouse=True)
def front_end() -> Iterator[FrontEnd]:
    with listening() as front_end:
        yield front_end


@pytest.fixture
def panel_of() -> Iterator[Callable[[InlineApp], Panel]]:
    with ExitStack() as stack:

        def open_it(app: InlineApp) -> Panel:
            panel = qstate_nb.panel(app)
            stack.callback(panel.close)
            return panel

        yield open_it


def seen(box: Any) -> str:
    own = seen_in(box.value) if isinstance(box, widgets.HTML) and not box.value.startswith("<style>") else ""
    return "\n".join([own, *map(seen, getattr(box, "children", ()))])


def choose(panel: Panel, tab: int) -> None:
    (tabs,) = parts_of(panel, widgets.Tab)
    FrontEnd.fill(tabs, selected_index=tab)


def test_it_shows_where_state_is_and_what_others_write_there(
    opened: Callable[[], StateRegistry], panel_of: Callable[[InlineApp], Panel], tmp_path: Path
) -> None:
    panel = panel_of(InlineApp(registry=opened()))
    assert f"State in sqlite:///{tmp_path}/state.db" in seen(panel)
    assert f"State in sqlite:///{tmp_path}/state.db" in panel.model.overview().text
    opened().state(Signup, scope="anna").set("step", 41)
    soon(lambda: "41" in seen(panel._state.box) and "Signup[anna]" in seen(panel._state.box))


def test_in_memory_nothing_is_said_of_where_it_is(panel_of: Callable[[InlineApp], Panel]) -> None:
    panel = panel_of(InlineApp(registry=StateRegistry()))
    assert "State in" not in seen(panel) + panel.model.overview().text


def test_it_follows_the_app_to_another_store(
    opened: Callable[[], StateRegistry], panel_of: Callable[[InlineApp], Panel]
) -> None:
    first = StateRegistry()
    app = InlineApp(registry=first)

    @app.task
    def step1(state: Signup) -> None:
        state.set("step", "from the task")

    app.state(Signup).set("old", "of the first one")
    app.state(Signup).set("old", "of the first one again")
    panel = panel_of(app)
    choose(panel, 2)
    soon(lambda: "of the first one again" in seen(panel))
    panel.model.go_to(1)
    second = opened()
    second.state(Signup).set("new", "of the second one")
    app.use(second)
    soon(lambda: "of the second one" in seen(panel._state.box))
    soon(lambda: "of the first one" not in seen(panel))
    assert panel.model.moment is None
    app.run("step1")
    soon(lambda: "from the task" in seen(panel._state.box))
    first.state(Signup).set("old", "nobody looks here any more")
    second.state(Signup).set("new", "the last one")
    soon(lambda: "the last one" in seen(panel._state.box))
    assert "nobody looks" not in seen(panel)


def test_an_edit_that_was_begun_on_another_store_is_ended(opened: Callable[[], StateRegistry]) -> None:
    app = InlineApp(registry=StateRegistry())
    app.state(Signup).set("step", 1)
    buckets = Buckets(app)
    key = app.registry.keys()[0]
    buckets.edits.begin_edit(key, "step")
    app.use(opened())
    app.state(Signup).set("step", 1)
    buckets.restart()
    with pytest.raises(StateError, match="was ended; begin again"):
        buckets.edits.save(key, "step", "2")


def test_while_the_store_is_away_it_says_so_and_shows_what_was_last(
    opened: Callable[[], StateRegistry], panel_of: Callable[[InlineApp], Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, other = opened(), opened()
    registry.state(Signup).set("step", "before")
    panel = panel_of(InlineApp(registry=registry))
    soon(lambda: "before" in seen(panel._state.box))
    backend: Any = registry.store.backend  # type: ignore[attr-defined]

    def away(*_: object) -> Any:
        raise StoreUnavailableError("the server is down")

    with monkeypatch.context() as patch:
        for name in ("wait", "since", "load", "labels"):
            patch.setattr(backend, name, away)
        soon(lambda: "what is shown may be old, as State is away: the server is down" in seen(panel))
        for tab in range(5):
            choose(panel, tab)
            assert "can't be shown" not in seen(panel)
        assert "before" in seen(panel._state.box)
        assert "before" in panel.model.overview().text
        with pytest.raises(StoreUnavailableError):
            registry.history()
        other.state(Signup).set("step", "after")
    soon(lambda: "after" in seen(panel._state.box))
    soon(lambda: "is away" not in seen(panel))


def test_a_redraw_asks_the_store_for_nothing(
    opened: Callable[[], StateRegistry], panel_of: Callable[[InlineApp], Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = opened()
    registry.state(Signup).set("step", 1)
    panel = panel_of(InlineApp(registry=registry))
    asked: list[str] = []
    backend: Any = registry.store.backend  # type: ignore[attr-defined]
    panel.model.labels()

    def since(*_: object) -> list[Any]:
        asked.append("since")
        return []

    monkeypatch.setattr(backend, "since", since)
    monkeypatch.setattr(backend, "wait", lambda *_: time.sleep(0.3))
    for _ in range(5):
        panel._draw()
    panel.model.overview()
    assert len(asked) <= 1, "but for the follower"


def test_an_edit_of_what_another_process_holds_says_who_holds_it(opened: Callable[[], StateRegistry]) -> None:
    app, other = InlineApp(registry=opened()), opened()
    app.state(Signup).set("step", 1)
    edits = Edits(app)
    key = app.registry.keys()[0]

    async def click() -> None:  # the kernel's main thread has a loop that runs
        with pytest.raises(StateError, match=r"^Signup is held by user .*@\S+:\d+: wait for the end of its transac"):
            edits.delete(key, "step")

    with other.state(Signup).transaction():
        asyncio.run(click())
    edits.delete(key, "step")
    assert app.state(Signup).get_all() == {}
