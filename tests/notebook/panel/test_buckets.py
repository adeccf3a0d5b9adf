"""What is shown of State, without a widget."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.markup import HOSTILE, seen_in

from qstate_nb import InlineApp, State, StateRegistry
from qstate_nb.core.keys import StateKey
from qstate_nb.errors import StateError
from qstate_nb.notebook.panel import bucketindex, bucketrows
from qstate_nb.notebook.panel.bucketrows import BucketView, GroupView, Picture, Row
from qstate_nb.notebook.panel.buckets import MOST_ROWS, MOST_SCOPES, PAGE_BUCKETS, PAGE_ROWS, Buckets


class Signup(State):
    pass


class Chat(State):
    pass


class Order(State):
    step: int = 0
    phone: str | None = None


SIGNUP = StateKey("Signup")


@pytest.fixture
def buckets(app: InlineApp) -> Buckets:
    return Buckets(app, clock=itertools.count().__next__)


def lines(picture: Picture) -> list[str]:
    """A picture as a person would note it down."""
    found = []
    for section in picture.sections:
        inside = "  " if isinstance(section, BucketView) and section.is_inside else ""
        found.append(f"{inside}{'v' if section.is_open else '>'} {section.title}: {section.count}")
        found += [f"{inside}  {row.name}" for row in rows(section)]
    return found


def rows(section: GroupView | BucketView) -> list[Row]:
    return list(section.rows) if isinstance(section, BucketView) else []


def bucket(buckets: Buckets, title: str = "Signup") -> BucketView:
    (found,) = [each for each in buckets.picture().sections if isinstance(each, BucketView) and each.title == title]
    return found


def group(buckets: Buckets) -> GroupView:
    (found,) = [each for each in buckets.picture().sections if isinstance(each, GroupView)]
    return found


def row(buckets: Buckets, name: str, title: str = "Signup") -> Row:
    (found,) = [each for each in bucket(buckets, title).rows if each.name == name]
    return found


def titles(buckets: Buckets, name: str = "Chat") -> list[str]:
    return [each.title for each in buckets.picture().sections if each.title.startswith(f"{name}[")]


def chats(app: InlineApp, count: int) -> None:
    for number in range(count):
        app.state(Chat, number).set("n", number)


# --- rows


def test_a_row_tells_the_value_its_type_and_who_changed_it(app: InlineApp, buckets: Buckets) -> None:
    @app.task
    def step1(state: Signup) -> None:
        state.set("step", 2)

    app.state(Signup).update(step=1, tags=["a", "b"], it=object())
    app.run("step1")
    first, second, third = bucket(buckets).rows
    assert first == Row("step", "step", "2", "int", "step1 #1, event 2", is_last=True)
    assert second == Row("tags", "tags", "['a', 'b']", "list of 2", "user, event 1", can_unfold=True)
    assert third == Row("it", "it", "<object object> (by reference)", "object", "user, event 1", is_by_reference=True)
    assert buckets.picture().last == "last change: event 2, set Signup.step: 1 → 2 by step1 #1"


def test_declared_fields_have_their_type_and_their_default(app: InlineApp, buckets: Buckets) -> None:
    app.state(Order)
    assert row(buckets, "step", "Order") == Row("step", "step", "0", "int", "default", is_default=True)
    assert row(buckets, "phone", "Order").kind == "str | None"
    app.state(Order).set("step", 0)
    assert row(buckets, "step", "Order").by == "user, event 1"
    assert not row(buckets, "step", "Order").is_default


def test_the_last_change_is_marked_and_said_also_where_it_leaves_no_row(app: InlineApp, buckets: Buckets) -> None:
    assert buckets.picture() == Picture(message="no State yet: run a task that has one")
    app.state(Signup).update(a=1, b=2)
    app.state(Signup).update(b=3, c=4)
    assert [each.name for each in bucket(buckets).rows if each.is_last] == ["b", "c"]
    app.state(Signup).delete("c")
    assert not any(each.is_last for each in bucket(buckets).rows)
    assert buckets.picture().last == "last change: event 3, delete Signup.c: 4 → by user"
    app.registry.undo()
    assert buckets.picture().last == "last change: event 4, undo of event 3, Signup.c: → 4 by user"


def test_a_value_is_made_text_once_until_it_is_replaced(
    app: InlineApp, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []

    def short_marked(value: object, width: int) -> str:
        made.append(value)
        return f"{value}{' (by reference)' if isinstance(value, Exception) else ''}"

    monkeypatch.setattr(bucketrows, "short_marked", short_marked)
    state = app.state(Signup)
    state.update(a=1_000, b=2_000)
    for _ in range(3):
        buckets.picture()
    assert made == [1_000, 2_000]
    state.set("a", 3_000)
    state.set("a", 4_000)
    assert row(buckets, "a").value == "4000"
    assert made == [1_000, 2_000, 4_000]
    state.set("b", 2_000.0)  # equal, but another
    assert row(buckets, "b").value == "2000.0"
    made.pop()
    error = ValueError()
    state.set("c", error)
    for _ in range(3):  # nobody tells when it changes
        buckets.picture()
    assert made[3:] == [error] * 3


def test_texts_of_fields_that_are_gone_are_not_kept(app: InlineApp, buckets: Buckets) -> None:
    state = app.state(Signup)
    for number in range(100):
        state.set(f"k{number}", number)
        buckets.picture()
        state.delete(f"k{number}")
    for _ in range(2):
        buckets.picture()
    assert not buckets._rows._known
    assert not buckets._rows._made


def test_a_change_while_it_is_looked_at_is_seen_the_next_time(
    app: InlineApp, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = app.state(Signup)
    chats(app, 6)
    state.set("n", 1)
    for text in ("", "n"):
        buckets.search(text)
        buckets.picture()
        for hooked in ("writers", "peek", "history", "keys"):
            original = getattr(StateRegistry, hooked)
            once = [True]

            def changing(
                self: Any, *args: Any, original: Any = original, once: list[bool] = once, **kwargs: Any
            ) -> Any:
                found = original(self, *args, **kwargs)
                if once:
                    once.clear()
                    state.set("n", state.get("n") + 1)
                return found

            monkeypatch.setattr(StateRegistry, hooked, changing)
            buckets.picture()
            monkeypatch.undo()
            assert not once
            assert row(buckets, "n").value == str(state.get("n"))


# --- nested values


def test_a_nested_value_unfolds_and_folds_again(app: InlineApp, buckets: Buckets) -> None:
    @dataclasses.dataclass
    class Point:
        x: int

    app.state(Signup).update(cart={"apples": [1, 2]}, where=Point(1), n=1, empty=[])
    assert [each.can_unfold for each in bucket(buckets).rows] == [True, True, False, False]
    assert row(buckets, "cart").tree == ""
    buckets.unfold(SIGNUP, "cart")
    found = row(buckets, "cart")
    assert found.is_open
    assert seen_in(found.tree) == "'apples': list of 2 [1, 2]0: 11: 2"
    app.state(Signup).set("cart", {"pears": 3})
    assert seen_in(row(buckets, "cart").tree) == "'pears': 3"
    buckets.unfold(SIGNUP, "cart")
    assert row(buckets, "cart").tree == ""


def test_a_tree_is_made_only_for_what_is_unfolded_and_once(
    app: InlineApp, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []

    def tree_html(value: object) -> str:
        made.append(value)
        return "tree"

    monkeypatch.setattr(bucketrows, "tree_html", tree_html)
    app.state(Signup).update(a=[1], b=[2])
    buckets.picture()
    assert made == []
    buckets.unfold(SIGNUP, "a")
    for _ in range(3):
        buckets.picture()
    assert made == [[1]]


# --- groups, folds


def test_few_scopes_are_shown_one_by_one_and_many_are_folded(app: InlineApp, buckets: Buckets) -> None:
    app.state(Chat).set("a", 1)
    chats(app, 5)
    assert lines(buckets.picture()) == [
        *("v Chat: 1 key", "  a"),
        *(line for number in range(5) for line in (f"v Chat[{number}]: 1 key", "  n")),
    ]
    app.state(Chat, "anna").set("n", 1)
    assert lines(buckets.picture()) == ["v Chat: 1 key", "  a", "> Chat: 6 scopes"]
    buckets.fold("Chat")
    shown = lines(buckets.picture())
    assert shown[2:5] == ["v Chat: 6 scopes", "  > Chat[anna]: 1 key", "  > Chat[4]: 1 key"]
    buckets.fold(StateKey("Chat", 4))
    assert lines(buckets.picture())[4:6] == ["  v Chat[4]: 1 key", "    n"]
    buckets.fold("Chat")
    assert lines(buckets.picture()) == ["v Chat: 1 key", "  a", "> Chat: 6 scopes"]


def test_a_bucket_folds_and_says_what_is_in_it(app: InlineApp, buckets: Buckets) -> None:
    app.state(Signup).set("n", 1)
    app.state(Chat).set("n", 2)
    buckets.picture()
    buckets.fold(StateKey("Chat"))
    assert lines(buckets.picture()) == ["v Signup: 1 key", "  n", "> Chat: 1 key"]
    folded = bucket(buckets, "Chat")
    assert folded.preview == "{'n': 2} user, event 2"
    assert folded.is_last
    assert not bucket(buckets).is_last  # its rows say so
    buckets.fold(StateKey("Chat"))
    assert bucket(buckets, "Chat").is_open


def test_a_folded_group_says_that_the_last_change_is_in_it(app: InlineApp, buckets: Buckets) -> None:
    chats(app, 6)
    assert group(buckets).is_last
    app.state(Signup).set("n", 1)
    assert not group(buckets).is_last


def test_the_scopes_that_changed_last_come_first_and_then_keep_their_places(app: InlineApp, buckets: Buckets) -> None:
    chats(app, 100)
    for number in (7, 50, 3):
        app.state(Chat, number).set("n", -1)
    buckets.picture()
    buckets.fold("Chat")
    before = titles(buckets)
    assert before[:4] == ["Chat[3]", "Chat[50]", "Chat[7]", "Chat[99]"]
    assert len(before) == PAGE_BUCKETS
    assert group(buckets).page == bucketrows.Page(1, 20, 100, "scopes")
    app.state(Chat, 7).set("n", -2)
    assert titles(buckets) == before
    app.state(Chat, 0).set("n", -2)  # comes in place of the one that changed least
    assert titles(buckets) == [*before[:-1], "Chat[0]"]
    buckets.turn("Chat", 1)
    buckets.turn("Chat", -1)
    assert titles(buckets)[:4] == ["Chat[0]", "Chat[7]", "Chat[3]", "Chat[50]"]


def test_a_scope_that_is_unfolded_or_pinned_stays(app: InlineApp, buckets: Buckets) -> None:
    chats(app, 100)
    buckets.picture()
    buckets.fold("Chat")
    before = titles(buckets)
    buckets.fold(StateKey("Chat", 99))
    buckets.pins = frozenset({(StateKey("Chat", 98), "n"), (StateKey("Chat", 0), "n")})
    assert "Chat[0]" in titles(buckets)
    for number in range(50):
        app.state(Chat, number).set("n", -1)
        buckets.picture()
    after = titles(buckets)
    assert after[:2] == before[:2] == ["Chat[99]", "Chat[98]"]
    assert set(after[2:]) == {f"Chat[{number}]" for number in (0, *range(33, 50))}


def test_scopes_come_and_go(app: InlineApp, buckets: Buckets) -> None:
    chats(app, 30)
    buckets.picture()
    buckets.fold("Chat")
    assert "Chat[29]" in titles(buckets)
    app.state(Chat, 29).drop()
    app.state(Chat, "new").set("n", 1)
    shown = titles(buckets)
    assert "Chat[29]" not in shown
    assert "Chat[new]" in shown
    assert group(buckets).count == "30 scopes"
    for number in range(29):
        app.state(Chat, number).drop()
    app.state(Chat, "new").drop()
    assert buckets.picture().sections == ()


def test_a_file_that_is_loaded_is_shown(app: InlineApp, buckets: Buckets, tmp_path: Path) -> None:
    chats(app, 8)
    app.state(Chat, 2).set("n", "old")
    app.registry.save(tmp_path / "file")
    buckets.picture()
    buckets.fold("Chat")
    buckets.search("old")
    assert titles(buckets) == ["Chat[2]"]
    for number in range(30):
        app.state(Chat, number).set("n", "new")
    assert buckets.picture().message == "nothing matches 'old'"
    app.registry.load(tmp_path / "file")
    assert titles(buckets) == ["Chat[2]"]
    assert row(buckets, "n", "Chat[2]").value == "'old'"


def test_a_file_that_has_more_events_is_shown(app: InlineApp, buckets: Buckets, tmp_path: Path) -> None:
    other = InlineApp(registry=StateRegistry())
    other.state(Signup).set("n", "old")
    other.state(Chat).set("n", 1)
    other.registry.save(tmp_path / "file")
    app.state(Signup).set("n", "new")
    buckets.search("old")
    assert buckets.picture().message == "nothing matches 'old'"
    app.registry.load(tmp_path / "file")
    assert row(buckets, "n").value == "'old'"


# --- pages


def test_many_keys_are_shown_page_by_page(app: InlineApp, buckets: Buckets) -> None:
    app.state(Signup).update(**{f"k{number}": number for number in range(5_000)})
    found = bucket(buckets)
    assert [each.name for each in found.rows] == [f"k{number}" for number in range(PAGE_ROWS)]
    assert found.page is not None
    assert (found.page.text, found.page.has_previous, found.page.has_next) == ("keys 1–30 of 5,000", False, True)  # noqa: RUF001
    buckets.turn(SIGNUP, 1)
    found = bucket(buckets)
    assert found.page is not None
    assert found.page.text == "keys 31–60 of 5,000"  # noqa: RUF001
    assert found.rows[0].name == "k30"
    for pages, text in ((1_000, "keys 4,981–5,000 of 5,000"), (-1_000, "keys 1–30 of 5,000")):  # noqa: RUF001
        buckets.turn(SIGNUP, pages)
        found = bucket(buckets)
        assert found.page is not None
        assert found.page.text == text
    app.state(Signup).clear()
    assert bucket(buckets).page is None


def test_many_states_are_shown_page_by_page(app: InlineApp, buckets: Buckets) -> None:
    for number in range(45):
        app.state(type(f"S{number}", (State,), {})).set("k", number)
    picture = buckets.picture()
    assert len(picture.sections) == PAGE_BUCKETS
    assert picture.page is not None
    assert picture.page.text == "States 1–20 of 45"  # noqa: RUF001
    buckets.turn(None, 9)
    picture = buckets.picture()
    assert [section.title for section in picture.sections] == [f"S{number}" for number in range(40, 45)]
    buckets.pins = frozenset({(StateKey("S0"), "k")})
    assert [section.title for section in buckets.picture().sections][-1] == "S0"


def test_only_so_many_rows_are_shown_at_once_and_the_last_unfolded_first(app: InlineApp, buckets: Buckets) -> None:
    for number in range(6):
        app.state(type(f"S{number}", (State,), {})).update(**{f"k{n}": n for n in range(30)})
    opened = [section.title for section in buckets.picture().sections if section.is_open]
    assert opened == ["S0", "S1", "S2", "S3"]
    assert sum(map(len, map(rows, buckets.picture().sections))) == MOST_ROWS
    for number in (5, 4):
        buckets.fold(StateKey(f"S{number}"))
    opened = [section.title for section in buckets.picture().sections if section.is_open]
    assert opened == ["S0", "S1", "S4", "S5"]


def test_only_so_many_scopes_are_shown_at_once(app: InlineApp, buckets: Buckets) -> None:
    for name in "ABCDE":
        cls = type(name, (State,), {})
        for number in range(30):
            app.state(cls, number).set("k", number)
    buckets.picture()
    for name in "ABCDE":
        buckets.fold(name)
        buckets.picture()
    groups = [each for each in buckets.picture().sections if isinstance(each, GroupView)]
    assert [each.title for each in groups if each.is_open] == ["C", "D", "E"]
    assert len(buckets.picture().sections) == len(groups) + MOST_SCOPES


# --- search


@pytest.fixture
def mixed(app: InlineApp, buckets: Buckets) -> Buckets:
    app.state(Signup).update(step=1, prompt="Enter phone")
    app.state(Order).set("step", 2)
    for name in ("anna", "bert", "carl", "dora", "emil", "fritz"):
        app.state(Chat, name).update(n=1, said=f"I am {name.title()}")
    return buckets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sign", ["v Signup: 2 keys", "  step", "  prompt"]),
        ("STEP", ["v Signup: 2 keys", "  step", "v Order: 2 keys", "  step"]),
        (" enter ", ["v Signup: 2 keys", "  prompt"]),
        ("bert", ["v Chat: 6 scopes", "  > Chat[bert]: 2 keys"]),
        ("'I am Be", ["v Chat: 6 scopes", "  v Chat[bert]: 2 keys", "    said"]),
        ("none", ["v Order: 2 keys", "  phone"]),
        ("nowhere", []),
    ],
)
def test_a_search_shows_only_what_matches(mixed: Buckets, text: str, shown: list[str]) -> None:
    mixed.search(text)
    assert lines(mixed.picture()) == shown


def test_a_search_follows_what_changes(app: InlineApp, mixed: Buckets) -> None:
    mixed.search("nowhere")
    assert mixed.picture().message == "nothing matches 'nowhere'"
    app.state(Chat, "new").set("where", "nowhere")
    app.state(Signup).set("nowhere", 1)
    assert lines(mixed.picture()) == ["v Signup: 3 keys", "  nowhere", "v Chat: 7 scopes", *CHAT_NEW]
    app.state(type("Nowhere", (State,), {}))  # without an event
    assert lines(mixed.picture())[-1] == "v Nowhere: 0 keys"
    app.state(type("Nowhere", (State,), {})).drop()
    app.state(Signup).delete("nowhere")
    assert lines(mixed.picture()) == ["v Chat: 7 scopes", *CHAT_NEW]
    app.state(Chat, "new").drop()
    assert lines(mixed.picture()) == []
    mixed.search("")
    assert len(lines(mixed.picture())) == 7


CHAT_NEW = ["  v Chat[new]: 1 key", "    where"]


def test_what_is_folded_during_a_search_is_so_only_for_it(mixed: Buckets) -> None:
    mixed.picture()
    mixed.fold(StateKey("Order"))
    mixed.search("step")
    assert [section.is_open for section in mixed.picture().sections] == [True, True]
    mixed.fold(SIGNUP)
    assert [section.is_open for section in mixed.picture().sections] == [False, True]
    mixed.search("")
    assert [section.is_open for section in mixed.picture().sections[:2]] == [True, False]


def test_a_search_looks_again_only_where_something_has_changed(
    app: InlineApp, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats(app, 1_000)
    buckets.search("n")
    buckets.picture()
    looked: list[StateKey] = []
    original = StateRegistry.peek

    def peek(self: StateRegistry, key: StateKey) -> dict[str, Any]:
        looked.append(key)
        return original(self, key)

    monkeypatch.setattr(StateRegistry, "peek", peek)
    buckets.picture()
    shown = len(looked)
    assert shown == PAGE_BUCKETS
    app.state(Chat, 5).set("n", 6)
    buckets.picture()
    assert len(looked) == 2 * shown + 1


def test_a_value_that_is_looked_for_is_made_text_once(
    app: InlineApp, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []

    def short(value: object, _: int) -> str:
        made.append(value)
        return str(value)

    monkeypatch.setattr(bucketindex, "short", short)
    app.state(Signup).update(**{f"k{number}": 1_000 + number for number in range(500)})
    looks: list[Callable[[str], object]] = [buckets.search, lambda text: buckets.filter(SIGNUP, text)]
    for look in looks:
        made.clear()
        look("10")
        for _ in range(3):
            buckets.picture()
        assert len(made) == 500
        app.state(Signup).set("k3", 2_000 + len(made))
        buckets.picture()
        assert len(made) == 501
        look("")
        app.state(Signup).set("k3", 1_003)


def test_a_filter_of_a_group_looks_in_its_scopes_and_of_a_bucket_in_its_rows(
    app: InlineApp, buckets: Buckets
) -> None:
    chats(app, 100)
    app.state(Signup).update(**{f"k{number}": number for number in range(100)})
    assert (group(buckets).filter, bucket(buckets).filter) == ("", "")
    buckets.filter("Chat", "7")
    assert group(buckets).is_open
    assert len(titles(buckets)) == 19
    assert titles(buckets)[:2] == ["Chat[97]", "Chat[87]"]
    buckets.filter("Chat", "chat")
    assert titles(buckets) == []
    buckets.filter(SIGNUP, "k9")
    assert [each.name for each in bucket(buckets).rows] == ["k9", *(f"k{number}" for number in range(90, 100))]
    buckets.filter(SIGNUP, "")
    assert len(bucket(buckets).rows) == PAGE_ROWS
    app.state(Order).set("step", 1)
    assert bucket(buckets, "Order").filter is None


# --- pins


def test_what_is_edited_stays_in_sight(app: InlineApp, buckets: Buckets) -> None:
    state = app.state(Signup)
    state.update(**{f"k{number}": number for number in range(100)})
    buckets.picture()
    buckets.pins = frozenset({(SIGNUP, "k3")})
    buckets.turn(SIGNUP, 1)
    buckets.search("k99")
    assert [each.name for each in bucket(buckets).rows] == ["k99", "k3"]
    buckets.search("nowhere")
    assert [each.name for each in bucket(buckets).rows] == ["k3"]
    with pytest.raises(StateError, match="save or cancel what you edit in Signup first"):
        buckets.fold(SIGNUP)
    state.delete("k3")
    assert bucket(buckets).rows == [Row("k3", "k3", "deleted", is_gone=True)]
    buckets.pins = frozenset()
    assert buckets.picture().message == "nothing matches 'nowhere'"


def test_a_bucket_that_is_dropped_while_it_is_edited_stays(app: InlineApp, buckets: Buckets) -> None:
    app.state(Chat, 1).set("n", 1)
    buckets.pins = frozenset({(StateKey("Chat", 1), "n")})
    buckets.picture()
    app.state(Chat, 1).drop()
    assert lines(buckets.picture()) == ["v Chat[1]: 0 keys", "  n"]
    buckets.pins = frozenset()
    assert lines(buckets.picture()) == []


# --- the past


def test_the_past_is_marked_and_only_to_be_read(app: InlineApp, buckets: Buckets) -> None:
    state = app.state(Signup)
    for value in range(5):
        state.set("n", value)
    buckets.moment = 2
    picture = buckets.picture()
    assert picture.sections == ()
    assert seen_in(picture.past) == (
        "PAST: State after event 2 of 5; it can only be read"
        "Signup: 1 keykeyvaluen1from then to nowstatekeychangeSignupn1 → 4"
    )
    state.set("n", 9)
    assert "1 → 9" in seen_in(buckets.picture().past)
    buckets.moment = None
    assert row(buckets, "n").value == "9"


def test_the_past_is_made_once_for_each_event(
    app: InlineApp, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.state(Signup).set("n", 1)
    buckets.moment = 0
    buckets.picture()
    monkeypatch.setattr(StateRegistry, "at", None)
    assert "PAST" in buckets.picture().past


def test_a_moment_that_was_dropped_says_so() -> None:
    app = InlineApp(registry=StateRegistry(max_events=3))
    for value in range(5):
        app.state(Signup).set("n", value)
    buckets = Buckets(app)
    buckets.moment = 1
    assert "its events up to 2 were dropped" in buckets.picture().past


# --- what is odd


class NoRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_objects_that_misbehave_and_half_characters_are_shown(app: InlineApp, buckets: Buckets) -> None:
    app.state(Signup).update(a=NoRepr(), b="\ud800", **{"\ud800": 1, "": 2, "two\nlines": 3})
    shown = bucket(buckets).rows
    assert shown[0].value == "<NoRepr object, whose repr fails> (by reference)"
    assert [each.name for each in shown] == ["a", "b", "'\\ud800'", "''", "'two\\nlines'"]
    buckets.search("lines")
    assert [each.field for each in bucket(buckets).rows] == ["two\nlines"]


def test_long_names_are_cut(app: InlineApp, buckets: Buckets) -> None:
    state = app.state(Chat, "x" * 200)
    state.set("k" * 1_000, "v" * 100_000)
    (found,) = buckets.picture().sections
    assert len(found.title) == 100
    (shown,) = rows(found)
    assert len(shown.name) == 80
    assert len(shown.value) == 160


def test_markup_stays_text_for_whoever_makes_html_of_it(app: InlineApp, buckets: Buckets) -> None:
    app.state(Chat, HOSTILE).set(HOSTILE, [HOSTILE])
    key = StateKey("Chat", HOSTILE)
    buckets.picture()
    buckets.unfold(key, HOSTILE)
    (found,) = buckets.picture().sections
    assert "<script>" in found.title
    (shown,) = rows(found)
    assert shown.name == HOSTILE
    assert "<script>" in seen_in(shown.tree)


@pytest.fixture
def busy(app: InlineApp) -> Iterator[None]:
    """State changes all the time, in another thread."""
    end = threading.Event()

    def work() -> None:
        number = 0
        while not end.is_set():
            number += 1
            app.state(Chat, number % 50).set(f"k{number % 7}", number)
            app.state(Signup).update(**{f"k{number % 90}": [number]})
            if number % 10 == 0:
                app.state(Chat, number % 50).drop()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    end.set()
    thread.join()


def test_it_is_drawn_while_everything_changes(app: InlineApp, buckets: Buckets, busy: None) -> None:
    for number in range(60):
        buckets.search("k1" if number % 3 == 0 else "")
        if number % 7 == 0:
            buckets.fold("Chat")
        buckets.turn("Chat", number % 5 - 2)
        assert buckets.picture().past == ""
