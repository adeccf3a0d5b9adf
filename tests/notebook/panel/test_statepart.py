"""The widgets of State, as a front end that only listens has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ipywidgets as widgets
import pytest
from support.comms import FrontEnd, listening
from support.markup import HOSTILE, seen_in

from qstate_nb import InlineApp, State, StateRegistry
from qstate_nb.core.keys import StateKey
from qstate_nb.notebook.panel.buckets import Buckets
from qstate_nb.notebook.panel.pool import Looks
from qstate_nb.notebook.panel.statepart import StatePart
from qstate_nb.notebook.panel.staterows import RowBox, SectionBox


class Signup(State):
    pass


class Chat(State):
    pass


class Order(State):
    step: int = 0


@pytest.fixture(autouse=True)
def front_end() -> Iterator[FrontEnd]:
    with listening() as front_end:
        yield front_end


class Screen:
    """The part, and a person before it.

    Args:
        app: whose State it is.
    """

    def __init__(self, app: InlineApp, front_end: FrontEnd) -> None:
        self.front_end = front_end
        self.asked = 0
        self.now = 0.0
        self.buckets = Buckets(app, clock=lambda: self.now)
        self.looks = Looks()
        self.part = StatePart(self.looks, self.buckets, self._ask, clock=lambda: self.now)
        self.part.box.open()
        self.part.draw()

    def _ask(self) -> None:
        self.asked += 1

    def draw(self) -> None:
        """Draw it, if that was asked for."""
        self.part.draw()

    def below(self, box: Any) -> list[Any]:
        """The widgets in a box that are shown, in order."""
        found = []
        for child in getattr(box, "children", ()):
            if child.layout.display != "none":
                found += [child, *self.below(child)]
        return found

    def text(self, box: Any = None) -> str:
        """What a person reads."""
        box = self.part.box if box is None else box
        return "\n".join(
            seen_in(each.value) if isinstance(each, widgets.HTML) else each.description
            for each in self.below(box)
            if isinstance(each, widgets.HTML | widgets.Button | widgets.Text)
        )

    def row(self, field: str, name: str = "Signup") -> RowBox:
        """The row of a key."""
        key = StateKey.parse(name)
        (found,) = [row for section in self.part._sections for row in section.rows if row.at == (key, field)]
        return found

    def section(self, title: str) -> SectionBox:
        """The box of a bucket or group."""
        (found,) = [each for each in self.part._sections if each.section is not None and each.section.title == title]
        return found

    def button(self, box: Any, name: str) -> Any:
        """A button that is shown."""
        (found,) = [each for each in self.below(box) if isinstance(each, widgets.Button) and each.description == name]
        return found

    def field(self, box: Any, name: str) -> Any:
        """A field that is shown."""
        (found,) = [each for each in self.below(box) if isinstance(each, widgets.Text) and each.description == name]
        return found

    def click(self, box: Any, name: str) -> None:
        """Click a button, after a look at it, and look again."""
        self.now += 2
        before = self.asked
        self.front_end.click(self.button(getattr(box, "box", box), name))
        assert self.asked > before, "nothing is drawn after the click"
        self.draw()

    def type(self, box: Any, text: str, name: str = "value") -> None:
        """Type something, and leave the field."""
        self.front_end.fill(self.field(getattr(box, "box", box), name), value=text)
        self.draw()

    def enter(self, box: Any, text: str | None = None) -> None:
        """Press Enter in the field, after another text was typed: a browser sends that last."""
        field = self.field(getattr(box, "box", box), "value")
        content = {"method": "custom", "content": {"event": "submit"}}
        field._handle_msg({"content": {"data": content}, "buffers": []})
        self.draw()
        if text is not None:
            self.front_end.fill(field, value=text)
        self.draw()

    def problems(self) -> list[str]:
        """What is said to be wrong."""
        return [
            seen_in(each.value)
            for each in self.below(self.part.box)
            if isinstance(each, widgets.HTML) and "qstate-problem" in each.value
        ]


@pytest.fixture
def screen(app: InlineApp, front_end: FrontEnd) -> Iterator[Screen]:
    screen = Screen(app, front_end)
    yield screen
    screen.looks.close()


def test_buckets_have_headings_and_rows(app: InlineApp, screen: Screen) -> None:
    assert "no State yet: run a task that has one" in screen.text()
    app.state(Signup).update(step=1, tags=["a"])
    app.state(Order)
    screen.draw()
    text = screen.text()
    assert text.startswith("State\nsearch State\nUndo\nRedo\nlast change: event 1, update Signup.step: → 1")
    assert "▾ Signup\nSignup: 2 keys\nAdd\nClear\nkeyvaluetypechanged by\n● step\n1\n" in text
    assert "1\ntype intchanged by user, event 1 last change\nEdit\nDelete\n● tags\n['a']\n" in text
    assert text.endswith("▾ Order\nOrder: 1 key\nAdd\nClear\nkeyvaluetypechanged by\nstep\n0\n" + DEFAULT)
    assert "qstate-row" in screen.row("step").box._dom_classes
    assert "qstate-marked" in screen.row("step").box._dom_classes
    assert "qstate-marked" not in screen.row("step", "Order").box._dom_classes
    app.state(Signup).set("tags", [])
    screen.draw()
    assert "qstate-marked" not in screen.row("step").box._dom_classes
    assert "● step" not in screen.text()


DEFAULT = "type intchanged by default\nEdit"


def test_every_control_has_a_name_or_says_what_it_does(app: InlineApp, screen: Screen) -> None:
    app.state(Signup).update(**{f"k{number}": [number] for number in range(40)})
    screen.draw()
    screen.click(screen.row("k1"), "Edit")
    for each in screen.below(screen.part.box):
        if isinstance(each, widgets.Button):
            assert each.description, each
            assert each.tooltip or each.description, each
        if isinstance(each, widgets.Text):
            assert each.description, each
    assert screen.button(screen.row("k2").box, "Edit").tooltip == "Edit Signup.k2"
    assert screen.button(screen.part.box, "▾ Signup").tooltip == "Fold Signup"


def test_a_bucket_folds_and_its_pages_turn(app: InlineApp, screen: Screen) -> None:
    app.state(Signup).update(**{f"k{number}": number for number in range(100)})
    screen.draw()
    screen.click(screen.part.box, "Next")
    assert "keys 31–60 of 100" in screen.text()  # noqa: RUF001
    assert "k30\n30" in screen.text()
    assert screen.button(screen.part.box, "Next").disabled is False
    screen.click(screen.part.box, "Previous")
    assert screen.button(screen.part.box, "Previous").disabled is True
    screen.type(screen.part, "k7", "filter keys")
    assert [row.at for row in screen.section("Signup").rows][:2] == [
        (StateKey("Signup"), "k7"),
        (StateKey("Signup"), "k70"),
    ]
    screen.click(screen.part, "▾ Signup")
    assert "Edit" not in screen.text()
    screen.click(screen.part, "▸ Signup")
    assert "k70" in screen.text()


def test_a_filter_that_is_typed_while_it_is_drawn_stays(app: InlineApp, screen: Screen) -> None:
    app.state(Signup).update(**{f"k{number}": number for number in range(100)})
    screen.draw()
    older = screen.buckets.picture()
    screen.front_end.fill(screen.field(screen.part.box, "filter keys"), value="k7")
    screen.part._draw_now(older)
    assert screen.field(screen.part.box, "filter keys").value == "k7"
    for number in range(6):
        app.state(Chat, number).set("n", number)
    app.state(Signup).drop()
    screen.draw()  # the same box shows another one
    assert screen.field(screen.part.box, "filter scopes").value == ""


def test_scopes_unfold_and_states_have_pages(app: InlineApp, screen: Screen) -> None:
    for number in range(50):
        app.state(Chat, number).set("n", number)
    for number in range(25):
        app.state(type(f"S{number}", (State,), {}))
    screen.draw()
    assert "▸ Chat\nChat: 50 scopes ● last change\n" in screen.text() or "▸ Chat\nChat: 50 scopes" in screen.text()
    screen.click(screen.part, "▸ Chat")
    assert "scopes 1–20 of 50" in screen.text()  # noqa: RUF001
    screen.click(screen.part, "▸ Chat[49]")
    assert "n\n49" in screen.text()
    screen.type(screen.part, "17", "filter scopes")
    assert "▸ Chat[17]" in screen.text()
    assert "▾ Chat[49]" not in screen.text()
    screen.type(screen.part, "S24", "search State")
    assert "▸ Chat" not in screen.text()
    assert "▾ Chat" not in screen.text()
    assert "▾ S24" in screen.text()
    screen.type(screen.part, "", "search State")
    assert "States 1–20 of 26" in screen.text()  # noqa: RUF001
    screen.click(screen.part.box.children[-1], "Next")
    assert "States 21–26 of 26" in screen.text()  # noqa: RUF001


def test_a_value_unfolds(app: InlineApp, screen: Screen) -> None:
    app.state(Signup).update(cart={"apples": [1]}, n=1)
    screen.draw()
    assert "Unfold" not in screen.text(screen.row("n").box)
    screen.click(screen.row("cart"), "▸ Unfold")
    assert "'apples': list of 1 [1]0: 1" in screen.text()
    html = screen.row("cart")._value.value
    assert html.index("{&#x27;apples&#x27;") < html.index(
        "<details open><summary>"
    )  # only the button folds all of it
    assert html.count("<summary>") == 1
    screen.click(screen.row("cart"), "▾ Fold")
    assert "list of 1" not in screen.text()


def test_an_unfolded_value_that_keeps_changing_can_be_read(app: InlineApp, screen: Screen) -> None:
    state = app.state(Signup)
    state.update(cart=[1], n=1)
    screen.draw()
    screen.click(screen.row("cart"), "▸ Unfold")
    screen.now += 0.9
    state.update(cart=[2], n=2)
    before = screen.asked
    screen.draw()
    assert "0: 1\n" in screen.text()
    assert "n\n2\n" in screen.text()
    assert screen.asked > before, "nobody draws the last value"
    screen.now += 0.1
    before = screen.asked
    screen.draw()
    assert "[2]0: 2\n" in screen.text()
    assert screen.asked == before
    screen.now += 1
    state.set("cart", [3])
    screen.draw()
    assert "[3]0: 3\n" in screen.text()  # a change after a while shows at once


def test_a_long_text_unfolds_as_well(app: InlineApp, screen: Screen) -> None:
    """It has two lines until then."""
    app.state(Signup).update(long="x" * 100, short="x" * 50)
    screen.draw()
    assert "Unfold" not in screen.text(screen.row("short").box)
    assert "qstate-tree" not in screen.row("long")._value.value
    screen.click(screen.row("long"), "▸ Unfold")
    assert screen.row("long")._value.value.startswith('<div class="qstate-tree"><span class="qstate-code">&#x27;xxx')
    screen.click(screen.row("long"), "▾ Fold")
    assert "qstate-tree" not in screen.row("long")._value.value


# --- editing


def test_a_value_is_edited_in_its_row(app: InlineApp, screen: Screen) -> None:
    state = app.state(Signup)
    state.update(step=1, other=2)
    screen.draw()
    row = screen.row("step")
    screen.click(row, "Edit")
    assert screen.field(row.box, "value").value == "1"
    assert "qstate-editing" in row.box._dom_classes
    screen.type(row, "5")
    assert state.get("step") == 1  # the field was only left
    screen.click(row, "Save")
    assert state.get("step") == 5
    assert "Signup.step = 5" in screen.text()
    assert "value" not in screen.text(row.box).split("\n")
    assert "qstate-editing" not in row.box._dom_classes
    assert str(app.registry.history()[-1]) == "<Event 2: Signup set step by user>"


def test_cancel_leaves_it_as_it_was(app: InlineApp, screen: Screen) -> None:
    state = app.state(Signup)
    state.set("step", 1)
    screen.draw()
    screen.click(screen.row("step"), "Edit")
    screen.type(screen.row("step"), "5")
    screen.click(screen.row("step"), "Cancel")
    assert state.get("step") == 1
    screen.click(screen.row("step"), "Edit")
    assert screen.field(screen.row("step").box, "value").value == "1"


def test_enter_saves_whatever_the_browser_has_sent_before(app: InlineApp, screen: Screen) -> None:
    state = app.state(Signup)
    state.set("step", 1)
    screen.draw()
    row = screen.row("step")
    screen.click(row, "Edit")
    screen.enter(row)  # nothing was typed
    assert app.registry.seq == 1
    screen.enter(row, "5")
    assert state.get("step") == 5
    assert app.registry.seq == 2
    screen.click(row, "Edit")
    screen.type(row, "6")  # left the field, and came back
    screen.enter(row)
    assert state.get("step") == 6
    screen.click(row, "Edit")
    screen.type(row, "7")
    screen.enter(row, "78")
    assert state.get("step") == 78


def test_a_text_that_comes_long_after_enter_is_not_saved(app: InlineApp, screen: Screen) -> None:
    state = app.state(Signup)
    state.set("step", 1)
    screen.draw()
    row = screen.row("step")
    screen.click(row, "Edit")
    screen.enter(row)
    screen.now += 1
    screen.type(row, "5")
    assert state.get("step") == 1
    screen.click(row, "Cancel")
    assert state.get("step") == 1


def test_what_is_wrong_is_said_at_the_field(app: InlineApp, screen: Screen) -> None:
    state = app.state(Order)
    screen.draw()
    row = screen.row("step", "Order")
    screen.click(row, "Edit")
    screen.enter(row, "one")
    assert screen.problems() == ["Order.step can't be 'one' (str): Expected `int`, got `str`"]
    assert "qstate-problem" in row.box.children[-1].children[-1].value
    assert screen.field(row.box, "value").value == "one"
    screen.enter(row)  # the same again
    assert len(screen.problems()) == 1
    screen.enter(row, "[1")
    assert screen.problems() == ["'[1' is no Python literal; put all of it in quotes to have it as text"]
    screen.enter(row, "3")
    assert state.get("step") == 3
    assert screen.problems() == []


def test_a_value_that_can_not_be_typed_says_so_in_its_row(app: InlineApp, screen: Screen) -> None:
    app.state(Signup).set("it", object())
    screen.draw()
    screen.click(screen.row("it"), "Edit")
    assert screen.problems() == ["Signup.it: a object can't be edited as text; a task or a cell can set it"]
    text = screen.text(screen.row("it").box)
    assert "Save" not in text
    screen.click(screen.row("it"), "Cancel")
    assert screen.problems() == []


def test_a_change_meanwhile_is_not_overwritten(app: InlineApp, screen: Screen) -> None:
    state = app.state(Signup)
    state.set("step", 1)
    screen.draw()
    row = screen.row("step")
    screen.click(row, "Edit")
    state.set("step", 7)
    screen.draw()
    screen.type(row, "5")
    screen.click(row, "Save")
    assert screen.problems() == ["Signup.step was changed to 7 by user meanwhile; look, and edit again"]
    assert state.get("step") == 7


def test_a_redraw_does_not_touch_what_is_typed(app: InlineApp, screen: Screen, front_end: FrontEnd) -> None:
    state = app.state(Signup)
    state.update(first=1, second=2, step=3)
    screen.draw()
    row = screen.row("step")
    screen.click(row, "Edit")
    field = screen.field(row.box, "value")
    sent: list[Any] = []
    field.send_state = sent.append
    inside = row.box.children
    state.delete("first")
    app.state(Chat, 1).set("n", 1)
    screen.draw()
    assert screen.row("step") is row
    state.delete("step")
    screen.draw()
    assert screen.row("step") is row
    assert "deleted" in row._value.value
    app.registry.undo(3)
    app.registry.undo()  # the bucket is empty
    screen.draw()
    assert screen.row("step") is row
    assert row.box.children == inside
    assert sent == []
    screen.type(row, "5")
    screen.click(row, "Save")
    assert "Signup.step was deleted by user meanwhile" in screen.problems()[0]


def test_a_bucket_that_is_edited_keeps_its_box(app: InlineApp, screen: Screen) -> None:
    for number in range(3):
        app.state(Chat, number).set("n", number)
    screen.draw()
    row, section = screen.row("n", "Chat[1]"), screen.section("Chat[1]")
    screen.click(row, "Edit")
    app.state(Chat, 0).drop()
    screen.draw()
    assert screen.section("Chat[1]") is section
    app.state(Chat).set("n", 1)  # comes first
    for number in range(10, 20):
        app.state(Chat, number).set("n", number)
    screen.draw()
    assert screen.section("Chat[1]") is section
    assert screen.row("n", "Chat[1]") is row
    screen.click(screen.part, "▾ Chat[1]")
    assert "save or cancel what you edit in Chat[1] first" in screen.text()
    screen.click(row, "Cancel")
    screen.click(screen.part, "▾ Chat[1]")
    assert "▸ Chat[1]" in screen.text()


def test_one_value_is_edited_at_a_time_and_no_text_is_lost(app: InlineApp, screen: Screen) -> None:
    app.state(Signup).update(a=1, b=2)
    screen.draw()
    screen.click(screen.row("a"), "Edit")
    screen.click(screen.row("b"), "Edit")
    assert "value" not in screen.text(screen.row("a").box)
    screen.type(screen.row("b"), "5")
    screen.click(screen.row("a"), "Edit")
    assert screen.problems() == ["save or cancel the edit of Signup.b first"]
    assert screen.field(screen.row("b").box, "value").value == "5"


def test_a_key_is_added(app: InlineApp, screen: Screen) -> None:
    state = app.state(Signup)
    state.set("a", 1)
    screen.draw()
    section = screen.section("Signup")
    screen.click(section, "Add")
    screen.type(section, "a", "new key")
    screen.enter(section, "2")
    assert screen.problems() == ["Signup.a is there already; edit that"]
    screen.type(section, "b", "new key")
    screen.click(section, "Save")
    assert state.get_all() == {"a": 1, "b": 2}
    assert "Signup.b = 2" in screen.text()
    screen.click(section, "Add")
    assert screen.field(section.box, "new key").value == ""
    screen.type(section, "c", "new key")
    screen.enter(section, "3")
    assert state.get("c") == 3
    screen.click(section, "Add")
    screen.click(section, "Cancel")
    assert "new key" not in screen.text()


def test_a_key_is_added_with_enter_after_the_field_was_left(app: InlineApp, screen: Screen) -> None:
    state = app.state(Signup)
    screen.draw()
    section = screen.section("Signup")
    screen.click(section, "Add")
    screen.type(section, "b", "new key")
    screen.type(section, "2")
    screen.enter(section, "23")
    assert state.get_all() == {"b": 23}


def test_delete_and_clear_are_asked_twice(app: InlineApp, screen: Screen) -> None:
    state = app.state(Signup)
    state.update(a=1, b=2)
    screen.draw()
    screen.click(screen.row("a"), "Delete")
    assert state.get_all() == {"a": 1, "b": 2}
    assert "Really delete?" not in screen.text(screen.row("b").box)
    screen.click(screen.row("b"), "Delete")  # another one: the first is forgotten
    assert "Really delete?" not in screen.text(screen.row("a").box)
    screen.click(screen.row("b"), "Really delete?")
    assert state.get_all() == {"a": 1}
    assert "Signup.b deleted" in screen.text()
    screen.click(screen.section("Signup"), "Clear")
    screen.click(screen.part, "▾ Signup")
    screen.click(screen.part, "▸ Signup")
    screen.click(screen.section("Signup"), "Clear")
    screen.click(screen.section("Signup"), "Really delete 1 key?")
    assert state.get_all() == {}
    assert "Clear" not in screen.text()
    screen.click(screen.part, "Undo")
    assert state.get_all() == {"a": 1}
    assert "event 4: undo of event 3" in screen.text()
    screen.click(screen.part, "Redo")
    assert state.get_all() == {}


@pytest.mark.parametrize("question", ["Really delete?", "Really delete 2 keys?"])
def test_a_double_click_only_asks(app: InlineApp, screen: Screen, question: str) -> None:
    state = app.state(Signup)
    state.update(a=1, b=2)
    screen.draw()
    box = screen.row("a").box if question == "Really delete?" else screen.section("Signup").box.children[0]
    screen.click(box, "Delete" if question == "Really delete?" else "Clear")
    button = screen.button(box, question)
    screen.now += 0.4
    FrontEnd.click(button)
    screen.draw()
    assert state.get_all() == {"a": 1, "b": 2}
    assert button.description == question
    screen.now += 0.1
    FrontEnd.click(button)
    assert state.get_all() == ({"b": 2} if question == "Really delete?" else {})


def test_after_a_delete_the_focus_is_on_the_next_one(
    app: InlineApp, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    focused: list[Any] = []
    monkeypatch.setattr(widgets.DOMWidget, "focus", lambda widget: focused.append(widget))

    def after(box: Any, name: str, question: str) -> Any:
        screen.click(box, name)
        assert focused == []
        screen.click(box, question)
        return focused.pop()

    order = app.state(Order)
    app.state(Signup).update(a=1, b=2)
    order.set("step", 1)
    screen.draw()
    assert after(screen.row("a"), "Delete", "Really delete?") is screen.row("b")._delete
    assert after(screen.row("b"), "Delete", "Really delete?") is screen.section("Signup")._fold
    assert after(screen.row("step", "Order"), "Delete", "Really delete?") is screen.section("Order")._fold
    assert screen.row("step", "Order").at is not None  # with its default, which can't be deleted
    app.state(Chat).set("n", 1)
    screen.draw()
    assert after(screen.section("Chat"), "Clear", "Really delete 1 key?") is screen.section("Chat")._fold
    order.set("step", 7)
    screen.type(screen.part, "7", "search State")
    assert after(screen.row("step", "Order"), "Delete", "Really delete?") is screen.part._search
    assert "nothing matches '7'" in screen.text()


def test_what_is_said_is_announced(app: InlineApp, screen: Screen) -> None:
    app.state(Signup).set("a", 1)
    screen.draw()
    screen.click(screen.part, "Redo")
    assert screen.part._message.value.startswith('<div class="qstate-problem" role="alert">there is nothing')
    screen.click(screen.part, "Undo")
    assert screen.part._message.value == '<div role="status">event 2: undo of event 1, Signup.a: 1 →</div>'


def test_a_row_that_is_asked_about_stays_and_one_that_is_gone_is_not(app: InlineApp, screen: Screen) -> None:
    state = app.state(Signup)
    state.update(a=1, b=2, c=3)
    screen.draw()
    row = screen.row("b")
    screen.click(row, "Delete")
    state.delete("a")
    screen.draw()
    assert screen.row("b") is row
    state.delete("b")
    screen.draw()
    screen.draw()
    assert "deleted" not in screen.text()
    assert screen.buckets.pins == frozenset()


def test_what_can_not_be_undone_is_said(app: InlineApp, screen: Screen) -> None:
    screen.click(screen.part, "Undo")
    assert "there is nothing" in screen.problems()[0]


# --- the past


def test_the_past_can_only_be_read(app: InlineApp, screen: Screen) -> None:
    state = app.state(Signup)
    state.set("n", 1)
    state.set("n", 2)
    screen.draw()
    screen.click(screen.row("n"), "Edit")
    screen.buckets.moment = 1
    screen.draw()
    text = screen.text()
    assert "PAST: State after event 1 of 2; it can only be read" in text
    assert "qstate-past" in screen.part.box._dom_classes
    assert "from then to now" in text
    assert "Edit" not in text
    assert "Save" not in text
    assert screen.button(screen.part.box, "Undo").disabled
    screen.buckets.moment = None
    screen.draw()
    assert "PAST" not in screen.text()
    assert "qstate-past" not in screen.part.box._dom_classes
    assert screen.field(screen.row("n").box, "value").value == "2"
    assert not screen.button(screen.part.box, "Undo").disabled


# --- costs


def test_a_burst_makes_no_widgets_few_messages_and_ends_on_the_right_values(
    app: InlineApp, screen: Screen, front_end: FrontEnd
) -> None:
    state = app.state(Signup)
    state.update(a=0, b=0, c=0)
    app.state(Chat, 1).set("n", 1)
    screen.draw()
    models, sent, draws = len(front_end.models), front_end.sent, 20
    for number in range(1, 100_001):
        state.set("abc"[number % 3], number)
        if number % (100_000 // draws) == 0:
            screen.draw()
    assert len(front_end.models) == models
    assert front_end.sent - sent <= draws * 12
    for name, value in state.get_all().items():
        assert f"{name}\n{value}\n" in screen.text()


def test_a_draw_without_a_change_sends_nothing(app: InlineApp, screen: Screen, front_end: FrontEnd) -> None:
    app.state(Signup).update(a=[1], b=object())
    for number in range(30):
        app.state(Chat, number).set("n", number)
    screen.draw()
    screen.click(screen.part, "▸ Chat")
    screen.click(screen.row("a"), "▸ Unfold")
    screen.draw()
    sent = front_end.sent
    for _ in range(3):
        screen.draw()
    assert front_end.sent == sent


def test_many_keys_and_scopes_cost_what_is_visible(app: InlineApp, screen: Screen, front_end: FrontEnd) -> None:
    state = app.state(Signup)
    state.update(**{f"k{number}": number for number in range(5_000)})
    for number in range(2_000):
        app.state(Chat, number).set("n", number)
    screen.draw()
    screen.click(screen.part, "▸ Chat")
    assert len([row for section in screen.part._sections for row in section.rows]) == 30
    models, sent = len(front_end.models), front_end.sent
    for number in range(30):
        state.set(f"k{number + 1_000}", -1)
        screen.draw()
    assert len(front_end.models) == models
    assert front_end.sent - sent <= 150  # the line with the last change, and once the marks that go
    assert models < 700


def test_rows_are_used_again(app: InlineApp, screen: Screen, front_end: FrontEnd) -> None:
    for name in ("A", "B", "C"):
        app.state(type(name, (State,), {})).update(**{f"k{number}": number for number in range(20)})
    screen.draw()
    screen.click(screen.part, "▾ A")
    screen.click(screen.part, "▾ B")
    screen.click(screen.part, "▸ A")
    models = len(front_end.models)
    for name in ("▾ A", "▾ C", "▸ B", "▸ C", "▸ A"):
        screen.click(screen.part, name)
    assert len(front_end.models) == models


def test_closing_leaves_no_widget(app: InlineApp, front_end: FrontEnd) -> None:
    before = set(front_end.models)
    screen = Screen(app, front_end)
    app.state(Signup).update(**{f"k{number}": [number] for number in range(40)})
    screen.draw()
    screen.click(screen.row("k1"), "Edit")
    screen.click(screen.row("k1"), "Cancel")
    screen.click(screen.part, "▾ Signup")
    screen.looks.close()
    assert set(front_end.models) == before
    screen.looks.close()  # no harm


# --- what is odd


def test_markup_stays_text(app: InlineApp, screen: Screen, front_end: FrontEnd) -> None:
    key = StateKey("Chat", HOSTILE)
    app.state(Chat, HOSTILE).update(**{HOSTILE: [HOSTILE], "n": 1})
    screen.draw()
    screen.click(screen.row(HOSTILE, str(key)), "▸ Unfold")
    screen.click(screen.row("n", str(key)), "Edit")
    screen.enter(screen.row("n", str(key)), f"[{HOSTILE}")
    screen.click(screen.row("n", str(key)), "Cancel")
    screen.click(screen.part, next(each for each in screen.text().split("\n") if each.startswith("▾ Chat")))
    assert "<script>" in seen_in(screen.part._sections[0]._info.value)
    screen.type(screen.part, HOSTILE, "search State")
    shown = "".join(map(seen_in, front_end.values("HTMLModel")))  # none has a tag that isn't ours
    assert "<script>" in shown


class NoRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_objects_that_misbehave_do_not_end_it(app: InlineApp, screen: Screen) -> None:
    app.state(Signup).update(a=NoRepr(), b="\ud800", c=[NoRepr()], **{"\ud800": 1, "": 2})
    app.state(Chat, "\ud800").set("n", 1)
    screen.draw()
    screen.click(screen.row("c"), "▸ Unfold")
    for field in ("a", "b", "c", "\ud800", ""):
        screen.click(screen.row(field), "Edit")
        screen.click(screen.row(field), "Cancel")
    assert "<NoRepr object, whose repr fails> (by reference)" in screen.text()
    for section in list(screen.part._sections):
        if section.section is not None:
            screen.front_end.click(section._fold)
            screen.draw()


@pytest.mark.parametrize("do", ["delete", "edit", "unfold", "clear", "fold", "add"])
def test_a_click_that_comes_too_late_does_no_harm(app: InlineApp, screen: Screen, do: str) -> None:
    state = app.state(Chat, 1)
    state.set("n", [1])
    screen.draw()
    row, section = screen.row("n", "Chat[1]"), screen.section("Chat[1]")
    late = {
        "delete": row._delete,
        "edit": row._edit,
        "unfold": row._unfold,
        "clear": section._clear,
        "fold": section._fold,
        "add": section._add,
    }[do]
    state.drop()
    screen.draw()
    seq = app.registry.seq
    FrontEnd.click(late)
    FrontEnd.click(late)
    screen.draw()
    assert app.registry.seq == seq


def test_two_parts_of_one_app_agree(app: InlineApp, screen: Screen, front_end: FrontEnd) -> None:
    other = Screen(app, front_end)
    state = app.state(Signup)
    state.set("n", 1)
    for each in (screen, other):
        each.draw()
    screen.click(screen.row("n"), "Edit")
    screen.enter(screen.row("n"), "2")
    other.draw()
    assert "n\n2\n" in other.text()
    assert screen.text().partition("▾ ")[2] == other.text().partition("▾ ")[2]
    other.looks.close()


def test_an_app_of_another_registry_is_not_shown(front_end: FrontEnd, screen: Screen) -> None:
    InlineApp(registry=StateRegistry()).state(Signup).set("n", 1)
    screen.draw()
    assert "Signup" not in screen.text()
