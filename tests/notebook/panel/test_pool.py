"""Widgets that are sent when they are to be seen, and share what they can."""

from __future__ import annotations

from collections.abc import Iterator

import ipywidgets as widgets
import pytest
from support.comms import FrontEnd, listening

from qstate_nb.notebook.panel.pool import Looks


@pytest.fixture
def front_end() -> Iterator[FrontEnd]:
    with listening() as front_end:
        yield front_end


@pytest.fixture
def looks(front_end: FrontEnd) -> Looks:
    return Looks()


def names(front_end: FrontEnd) -> list[str]:
    return [state["_model_name"] for state in front_end.models.values()]


def test_a_widget_is_sent_as_it_is_when_it_is_put_into_one_that_is_there(looks: Looks, front_end: FrontEnd) -> None:
    box = looks.column([])
    box.open()
    text = looks.html("before")
    row = looks.row([text], "qstate-row")
    text.value = "<b>now</b>"
    assert names(front_end) == ["LayoutModel", "VBoxModel"]
    sent = front_end.sent
    box.children = [row]
    assert names(front_end)[2:] == ["HTMLStyleModel", "HTMLModel", "HBoxModel"]
    assert front_end.sent - sent == 4
    assert front_end.values("HTMLModel") == ["<b>now</b>"]
    assert front_end.models[box.model_id]["children"] == [f"IPY_MODEL_{row.model_id}"]
    text.value = "later"
    assert front_end.values("HTMLModel") == ["later"]


def test_a_widget_is_sent_once(looks: Looks, front_end: FrontEnd) -> None:
    text = looks.html("x")
    one, two = looks.row([text]), looks.row([text])
    for box in (one, two, one):
        box.open()
    assert sorted(names(front_end)) == ["HBoxModel", "HBoxModel", "HTMLModel", "HTMLStyleModel", "LayoutModel"]


def test_same_looks_are_shared_and_others_are_not(looks: Looks) -> None:
    one, two, three = looks.html(width="auto"), looks.html(width="auto"), looks.html()
    assert one.layout is two.layout
    assert one.layout is not three.layout
    assert one.style is three.style
    assert one.layout is not Looks().html(width="auto").layout


def test_hiding_one_leaves_those_that_look_the_same(looks: Looks) -> None:
    one, two = looks.html(width="auto"), looks.html(width="auto")
    looks.show(one, is_shown=False)
    assert (one.layout.display, two.layout.display) == ("none", None)
    assert (looks.is_shown(one), looks.is_shown(two)) == (False, True)
    looks.arrange(one, order="1")
    assert (one.layout.order, one.layout.display, two.layout.order) == ("1", None, None)
    looks.show(one, is_shown=False)
    looks.show(one, is_shown=True)
    assert one.layout.order == "1"


def test_a_click_reaches_one_that_was_sent_late(looks: Looks, front_end: FrontEnd) -> None:
    clicks: list[str] = []
    button = looks.button("Run", "Run it", lambda: clicks.append("Run"))
    looks.row([button]).open()
    front_end.click(button)
    assert clicks == ["Run"]


def test_closing_takes_all_away_and_nothing_comes_back(looks: Looks, front_end: FrontEnd) -> None:
    text = looks.html("x")
    box = looks.column([text])
    box.open()
    looks.show(text, is_shown=False)
    never_sent = looks.html()
    looks.close()
    assert front_end.models == {}
    sent = front_end.sent
    box.children = [never_sent]
    text.value = "y"
    assert front_end.sent == sent


def test_closing_one_leaves_what_it_shares(looks: Looks, front_end: FrontEnd) -> None:
    one, two = looks.html("1"), looks.html("2")
    looks.column([one, two]).open()
    one.close()
    assert front_end.values("HTMLModel") == ["2"]
    assert "HTMLStyleModel" in names(front_end)
    assert one not in looks.sent.values()


def test_any_kind_of_widget_can_be_made(looks: Looks, front_end: FrontEnd) -> None:
    made = looks.make(widgets.Tab, [looks.row([])], titles=("one",), css="a b")
    made.open()
    assert front_end.models[made.model_id]["_dom_classes"] == ("a", "b")
    assert isinstance(made, widgets.Tab)
