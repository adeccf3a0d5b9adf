"""The panel's still picture: which outputs there are, and when they change."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.utils.capture import capture_output
from support.markup import HOSTILE, seen_in

from qstate_nb.notebook.panel.redraw import Redraw
from qstate_nb.notebook.panel.still import Still, still_html
from qstate_nb.notebook.render import Heading, Table, View

WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "qstate panel: app"}


class Notebook:
    """Keeps outputs as a front end does: by their display id."""

    def __init__(self) -> None:
        self.outputs: list[tuple[dict[str, Any], str | None]] = []
        self.updates = 0
        self.came = threading.Condition()

    def publish(self, data: dict[str, Any], *, transient: dict[str, str] | None = None, update: bool = False) -> None:
        with self.came:
            display_id = (transient or {}).get("display_id")
            if display_id is not None:
                self.outputs = [(data, id_) if id_ == display_id else (old, id_) for old, id_ in self.outputs]
            if not update:
                self.outputs.append((data, display_id))
            self.updates += update
            self.came.notify_all()

    def pictures(self) -> list[str]:
        return [data["text/html"] for data, display_id in self.outputs if display_id is not None]

    def wait_for(self, text: str) -> None:
        with self.came:
            assert self.came.wait_for(lambda: all(text in picture for picture in self.pictures()), 10), text


class Source:
    """What the picture is of."""

    def __init__(self) -> None:
        self.value = "first"
        self.made = 0

    def view(self) -> View:
        self.made += 1
        return View([Heading("qstate panel: app"), Table(["key", "value"], [["k", self.value]])])


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def still(notebook: Notebook, source: Source) -> Iterator[Still]:
    """One whose thread draws at once, and then not again within a test."""
    made = Still(source.view, notebook.publish, interval=60)
    yield made
    made.close()


@pytest.fixture
def quick(notebook: Notebook, source: Source) -> Iterator[Still]:
    """One whose thread draws all the time."""
    made = Still(source.view, notebook.publish, interval=0.001)
    yield made
    made.close()


def test_a_panel_is_the_widget_and_after_it_its_picture(still: Still, notebook: Notebook) -> None:
    """The text/html of the widget is empty: where widgets aren't shown, the text is not seen a second time."""
    still.show(WIDGET)

    widget, picture = notebook.outputs
    assert widget == ({**WIDGET, "text/html": ""}, None)
    assert list(picture[0]) == ["text/html"]
    assert "first" in picture[0]["text/html"]


def test_the_picture_ends_on_the_last_change(quick: Still, notebook: Notebook, source: Source) -> None:
    quick.show(WIDGET)
    for burst in range(3):
        for n in range(2_000):
            source.value = f"change {n} of {burst}."
            quick.ask()
        notebook.wait_for(f"change 1999 of {burst}.")


def test_a_burst_of_changes_is_few_pictures(still: Still, notebook: Notebook, source: Source) -> None:
    still.show(WIDGET)
    source.value = "begin"
    still.ask()
    notebook.wait_for("begin")
    for n in range(5_000):
        source.value = f"change {n}."
        still.ask()
        time.sleep(0)  # lets its thread run, if it wants to
    assert notebook.updates == 1

    still.draw()
    assert "change 4999." in notebook.pictures()[0]
    assert (notebook.updates, source.made) == (2, 3)


def test_the_same_picture_is_not_sent_again(still: Still, notebook: Notebook) -> None:
    still.show(WIDGET)
    still.ask()
    still.draw()

    assert notebook.updates == 0


def test_nothing_is_made_when_nothing_has_changed(still: Still, source: Source) -> None:
    still.show(WIDGET)
    still.draw()

    assert source.made == 1


def test_a_change_before_the_panel_is_shown_does_not_keep_later_ones_from_being_seen(
    quick: Still, notebook: Notebook, source: Source
) -> None:
    quick.ask()
    quick.show(WIDGET)
    source.value = "second"
    quick.ask()

    notebook.wait_for("second")


def test_a_panel_that_is_shown_twice_has_two_pictures_and_both_follow(
    quick: Still, notebook: Notebook, source: Source
) -> None:
    quick.show(WIDGET)
    quick.show(WIDGET)
    source.value = "second"
    quick.ask()

    assert len(notebook.outputs) == 4
    notebook.wait_for("second")


def test_the_last_picture_stays_when_the_panel_is_closed(still: Still, notebook: Notebook, source: Source) -> None:
    still.show(WIDGET)
    source.value = "third"
    still.ask()
    still.close()
    source.value = "later"
    still.ask()
    still.draw()

    assert "third" in notebook.pictures()[0]
    assert "qstate panel" not in {thread.name for thread in threading.enumerate()}


def test_a_closed_panel_can_still_be_shown(still: Still, notebook: Notebook) -> None:
    still.close()
    still.show(WIDGET)

    assert "first" in notebook.pictures()[0]
    assert "qstate panel" not in {thread.name for thread in threading.enumerate()}


def test_at_the_end_of_a_cell_the_picture_is_right(
    ip: Any, notebook: Notebook, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a second later: a notebook that a program runs has ended by then."""
    monkeypatch.setattr(Redraw, "ask", lambda *_: None)
    hooks = list(ip.events.callbacks["post_run_cell"])
    still = Still(source.view, notebook.publish)
    monkeypatch.setitem(ip.user_ns, "source", source)
    monkeypatch.setitem(ip.user_ns, "still", still)
    still.show(WIDGET)

    ip.run_cell("source.value = 'second'; still.ask()")

    assert "second" in notebook.pictures()[0]
    still.close()
    assert ip.events.callbacks["post_run_cell"] == hooks


def test_what_is_captured_is_drawn_after_that(ip: Any, still: Still, notebook: Notebook, source: Source) -> None:
    """Under ``%%capture`` the outputs of all threads go elsewhere."""
    still.show(WIDGET)
    with capture_output():
        source.value = "second"
        still.ask()
        still.draw()
        assert notebook.updates == 0
    still.draw()

    assert "second" in notebook.pictures()[0]


def test_a_picture_that_cannot_be_made_does_not_disturb(
    still: Still, notebook: Notebook, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    still.show(WIDGET)
    with caplog.at_level(logging.CRITICAL + 1, "qstate_nb"):
        source.value = None  # type: ignore[assignment]
        still.ask()
        still.draw()
    source.value = "second"
    still.ask()
    still.draw()

    assert "second" in notebook.pictures()[0]


def test_what_is_shown_is_text_in_html_that_needs_no_page() -> None:
    html = still_html(View([Heading(HOSTILE), Table([HOSTILE], [[HOSTILE]])]))

    without_style = re.sub("<style>.*?</style>", "", html, flags=re.DOTALL)
    assert seen_in(without_style).count(HOSTILE) == 3
    assert "Run the cell again" in seen_in(without_style)


def test_the_picture_is_the_same_in_every_run(notebook: Notebook, source: Source) -> None:
    """The id of the output is not saved in the notebook."""
    for _ in range(2):
        one = Still(source.view, notebook.publish)
        one.show(WIDGET)
        one.close()

    first, second = notebook.pictures()
    assert first == second
