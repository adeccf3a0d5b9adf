"""What a person changes in State by hand."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from qstate_nb import InlineApp, State
from qstate_nb.core.journal import Actor, current_actor
from qstate_nb.core.keys import StateKey
from qstate_nb.errors import FieldTypeError, HistoryError, NotFoundError, QStateError, StateError, StateValueError
from qstate_nb.notebook.panel.bucketedits import Edits

KEY = StateKey("Signup")
WAIT = 10


class Signup(State):
    pass


class Order(State):
    step: int = 0
    phone: str | None = None


class Strict(State, strict=True):
    step: int = 0


class Foo:
    pass


class Text(str):
    pass


@pytest.fixture
def edits(app: InlineApp) -> Edits:
    return Edits(app)


def typed(app: InlineApp, edits: Edits, text: str, before: Any = 1) -> Any:
    """The value of a key after it was edited like that."""
    state = app.state(Signup)
    state.set("k", before)
    edits.begin_edit(KEY, "k")
    edits.save(KEY, "k", text)
    return state.get("k")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        ("await_phone", "'await_phone'"),
        ("1", "'1'"),
        ("", "''"),
        ("two\nlines", "'two\\nlines'"),
        ("\ud800", "'\\ud800'"),
        (None, "None"),
        (-1.5, "-1.5"),
        (1 + 2j, "(1+2j)"),
        (b"x", "b'x'"),
        ({"a": [1, (2,)], "b": {3}}, "{'a': [1, (2,)], 'b': {3}}"),
        (set(), "set()"),
    ],
    ids=repr,
)
def test_a_value_is_given_as_it_would_be_typed_and_saving_that_changes_nothing(
    app: InlineApp, edits: Edits, value: Any, text: str
) -> None:
    state = app.state(Signup)
    state.set("k", value)
    assert edits.begin_edit(KEY, "k") == text
    assert edits.save(KEY, "k", text).endswith(" already")
    assert app.registry.seq == 1
    edits.begin_edit(KEY, "k")
    edits.save(KEY, "k", "'other'")
    edits.begin_edit(KEY, "k")
    edits.save(KEY, "k", text)
    assert state.get("k") == value
    assert type(state.get("k")) is type(value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Foo(), "Foo"),
        ([Foo()], "Foo"),
        (datetime.date(2026, 1, 2), "date"),
        (Text("x"), "Text"),
        ({"a": frozenset()}, "frozenset"),
        (float("nan"), "nan"),
        ([float("inf")], "[inf]"),
        ("x" * 20_000, "str that is so long"),
        (10**5_000, "<int of 16610 bits>"),
        (type("<b>", (), {})(), "<b>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_can_not_be_typed_is_refused(app: InlineApp, edits: Edits, value: Any, kind: str) -> None:
    app.state(Signup).set("k", value)
    with pytest.raises(StateValueError) as caught:
        edits.begin_edit(KEY, "k")
    assert str(caught.value) == f"Signup.k: a {kind} can't be edited as text; a task or a cell can set it"


def test_a_long_or_deep_value_is_refused(app: InlineApp, edits: Edits) -> None:
    app.state(Signup).set("k", ["x" * 6_000, "y" * 6_000])
    with pytest.raises(StateValueError, match=r"Signup\.k is too long to be edited here"):
        edits.begin_edit(KEY, "k")
    deep: Any = 1
    for _ in range(230):
        deep = [deep]
    app.state(Signup).set("k", deep)
    with pytest.raises(StateValueError, match="can't be edited as text"):
        edits.begin_edit(KEY, "k")  # Python's parser refuses so many brackets


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("'7'", "7"),
        ("seven", "seven"),
        (" it's so ", "it's so"),
        ("+49170", "+49170"),
        ("[1, {'a': None}]", [1, {"a": None}]),
        ("True", True),
        ("''", ""),
    ],
)
def test_the_text_is_a_python_literal_or_else_text(app: InlineApp, edits: Edits, text: str, value: Any) -> None:
    found = typed(app, edits, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "type a value; '' is empty text"),
        ("  ", "type a value; '' is empty text"),
        ("[1, 2", r"'\[1, 2' is no Python literal; put all of it in quotes to have it as text"),
        ("'it", "is no Python literal"),
        ("{a: b}", "is no Python literal"),
    ],
)
def test_what_can_not_be_read_is_refused(app: InlineApp, edits: Edits, text: str, message: str) -> None:
    with pytest.raises(StateValueError, match=message):
        typed(app, edits, text)
    assert app.state(Signup).get("k") == 1
    edits.save(KEY, "k", "2")  # the edit goes on


def test_it_is_the_user_s_event_whatever_the_code_around_acts_for(app: InlineApp, edits: Edits) -> None:
    app.state(Signup).set("k", 1)
    edits.begin_edit(KEY, "k")
    token = current_actor.set(Actor("step1", 3))
    try:
        assert edits.save(KEY, "k", "2") == "Signup.k = 2"
        edits.add(KEY, "new", "3")
        edits.delete(KEY, "new")
        edits.clear(KEY)
        edits.undo()
    finally:
        current_actor.reset(token)
    events = app.registry.history()
    assert [event.op for event in events] == ["set", "set", "set", "delete", "clear", "undo"]
    assert {str(event.actor) for event in events} == {"user"}


def test_another_type_is_allowed_and_said(app: InlineApp, edits: Edits) -> None:
    app.state(Signup).update(k=1, n=None)
    edits.begin_edit(KEY, "k")
    done = edits.save(KEY, "k", "one")
    assert done == "Signup.k = 'one'; note that it was of type int, and is of type str now"
    edits.begin_edit(KEY, "n")
    assert edits.save(KEY, "n", "1") == "Signup.n = 1"


def test_a_declared_type_is_checked(app: InlineApp, edits: Edits) -> None:
    state, key = app.state(Order), StateKey("Order")
    assert edits.begin_edit(key, "step") == "0"  # the default
    with pytest.raises(FieldTypeError, match=r"Order\.step can't be 'one' \(str\): Expected `int`, got `str`"):
        edits.save(key, "step", "one")
    assert app.registry.seq == 0
    assert edits.save(key, "step", "2") == "Order.step = 2"
    edits.begin_edit(key, "phone")
    assert edits.save(key, "phone", "none yet") == "Order.phone = 'none yet'"
    assert state.get_all() == {"step": 2, "phone": "none yet"}


def by_a_task(app: InlineApp, change: Callable[[Signup], object]) -> None:
    @app.task(name="step1")
    def step1(state: Signup) -> None:
        change(state)

    app.run("step1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.set("k", 5), r"Signup\.k was changed to 5 by step1 #1 meanwhile; look, and edit again"),
        (lambda state: state.delete("k"), r"Signup\.k was deleted by step1 #1 meanwhile; look, and edit again"),
        (lambda state: state.set("k", True), r"Signup\.k was changed to True by step1 #1 meanwhile"),
    ],
)
def test_a_value_that_somebody_has_changed_meanwhile_is_not_overwritten(
    app: InlineApp, edits: Edits, change: Callable[[Signup], object], message: str
) -> None:
    state = app.state(Signup)
    state.set("k", 1)
    edits.begin_edit(KEY, "k")
    by_a_task(app, change)
    found = state.get_all()
    with pytest.raises(StateError, match=message):
        edits.save(KEY, "k", "2")
    assert state.get_all() == found


def test_a_change_of_another_key_or_to_the_same_value_does_not_matter(app: InlineApp, edits: Edits) -> None:
    app.state(Signup).update(k=[1], other=1)
    edits.begin_edit(KEY, "k")
    by_a_task(app, lambda state: state.update(k=[1], other=2))
    assert edits.save(KEY, "k", "[2]") == "Signup.k = [2]"


def test_an_edit_begins_and_ends(app: InlineApp, edits: Edits) -> None:
    state = app.state(Signup)
    with pytest.raises(StateError, match=r"Signup\.k is not there any more"):
        edits.begin_edit(KEY, "k")
    state.set("k", 1)
    edits.begin_edit(KEY, "k")
    edits.end_edit(KEY, "k")
    with pytest.raises(StateError, match=r"the edit of Signup\.k was ended; begin again"):
        edits.save(KEY, "k", "2")
    edits.end_edit(KEY, "k")  # no harm


@contextmanager
def held(app: InlineApp) -> Iterator[None]:
    """A task has a transaction on the bucket."""
    begun, go_on = threading.Event(), threading.Event()

    @app.task(name="hold")
    def hold(state: Signup) -> None:
        with state.transaction():
            state.set("k", 9)
            begun.set()
            go_on.wait(WAIT)

    call = app.start("hold")
    assert begun.wait(WAIT)
    try:
        yield
    finally:
        go_on.set()
        call.wait(WAIT)


def test_nothing_waits_for_a_transaction(app: InlineApp, edits: Edits) -> None:
    state = app.state(Signup)
    state.set("k", 1)
    edits.begin_edit(KEY, "k")
    message = r"hold #1 has a transaction on Signup: wait for its end, or stop it; nothing was changed"
    with held(app):
        changes: list[Callable[[], object]] = [
            lambda: edits.save(KEY, "k", "2"),
            lambda: edits.add(KEY, "new", "2"),
            lambda: edits.delete(KEY, "k"),
            lambda: edits.clear(KEY),
        ]
        for change in changes:
            with pytest.raises(StateError, match=message):
                change()
        with pytest.raises(HistoryError, match="can't undo while hold #1 runs"):
            edits.undo()
    assert state.get_all() == {"k": 9}


def test_a_key_is_added_once(app: InlineApp, edits: Edits) -> None:
    state = app.state(Signup)
    assert edits.add(KEY, "first name", "[1]") == "Signup.first name = [1]"
    assert state.get_all() == {"first name": [1]}
    for field, text, message in (
        ("first name", "2", "is there already; edit that"),
        ("", "2", "type the name of the new key first"),
        ("b", "", "type a value"),
    ):
        with pytest.raises(QStateError, match=message):
            edits.add(KEY, field, text)
    assert state.get_all() == {"first name": [1]}
    app.state(Strict)
    with pytest.raises(NotFoundError, match="did you mean 'step'"):
        edits.add(StateKey("Strict"), "stpe", "1")


def test_delete_clear_undo_and_redo(app: InlineApp, edits: Edits) -> None:
    state = app.state(Signup)
    state.update(a=1, b=2)
    assert edits.delete(KEY, "a") == "Signup.a deleted"
    with pytest.raises(StateError, match=r"Signup\.a is not there any more"):
        edits.delete(KEY, "a")
    assert edits.undo() == "event 3: undo of event 2, Signup.a: → 1"
    assert edits.redo() == "event 4: redo of event 2, Signup.a: 1 →"
    assert edits.clear(KEY) == "Signup cleared: 1 key removed"
    assert state.get_all() == {}
    edits.undo()
    assert state.get_all() == {"b": 2}
