"""The form of a task: which field a parameter has, what a run gets, and what is refused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import ipywidgets as widgets
import pytest
from support.comms import FrontEnd, listening
from support.forms import parts_of, seen_problems

from qstate_nb import InlineApp, Scope, State
from qstate_nb.core.keys import ScopeId
from qstate_nb.notebook.panel.forms import Form
from qstate_nb.notebook.panel.pool import Looks


class Chat(State):
    pass


class Order(State):
    pass


@dataclass
class Point:
    x: int
    y: int = 0


@pytest.fixture(autouse=True)
def front_end() -> Iterator[FrontEnd]:
    with listening() as front_end:
        yield front_end


def control(form: Form, name: str) -> Any:
    (found,) = [each for each in form.fields if each.parameter.name == name]
    return found.control  # type: ignore[attr-defined]


def test_each_parameter_has_a_field_but_not_variadic_ones_nor_states(app: InlineApp) -> None:
    @app.task
    def step1(chat: Chat, a: int, /, b: str = "x", *args: int, c: Point, **more: int) -> None: ...

    form = Form(Looks(), step1)
    assert [each.parameter.name for each in form.fields] == ["a", "b", "c"]
    assert form.box.children == tuple(each.box for each in form.fields)


def test_it_gives_what_was_filled_in_and_leaves_the_rest_to_the_defaults(app: InlineApp, front_end: FrontEnd) -> None:
    @app.task
    def step1(a: int, b: str = "x", c: list[int] = [1], d: bool = False, e: Point = Point(1)) -> None: ...  # noqa: B006, B008

    form = Form(Looks(), step1)
    front_end.fill(control(form, "a"), value="5")
    assert form.read() == {"a": 5}
    front_end.fill(control(form, "b"), value="")
    front_end.fill(control(form, "c"), value="[2]")
    front_end.fill(control(form, "d"), value=True)
    assert form.read() == {"a": 5, "b": "", "c": [2], "d": True}
    assert form.wrong == []


def test_all_that_is_wrong_is_marked_at_once_and_goes_away_when_it_is_right(
    app: InlineApp, front_end: FrontEnd
) -> None:
    @app.task
    def step1(a: int, b: dict[str, int], c: Any, d: str = "") -> None: ...

    form = Form(Looks(), step1)
    front_end.fill(control(form, "a"), value="<img src=x>")
    assert form.read() is None
    assert form.wrong == ["a", "b", "c"]
    assert seen_problems(form.box) == [
        "'<img src=x>' doesn't fit (Expected `int`, got `str`)",
        "needs a value",
        "needs a value",
    ]
    front_end.fill(control(form, "a"), value="1")
    front_end.fill(control(form, "b"), value="{}")
    front_end.fill(control(form, "c"), value="x")
    assert seen_problems(form.box) == []
    assert form.read() == {"a": 1, "b": {}, "c": "x"}


def test_each_change_is_told(app: InlineApp, front_end: FrontEnd) -> None:
    @app.task
    def step1(a: int, p: Point, o: int | None) -> None: ...

    told: list[None] = []
    form = Form(Looks(), step1, changed=lambda: told.append(None))
    front_end.fill(control(form, "a"), value="x")
    for box in parts_of(form.box, widgets.Text)[1:]:
        front_end.fill(box, value="1")
    for tick in parts_of(form.box, widgets.Checkbox):
        front_end.fill(tick, value=True)
    assert len(told) == 5


# --- scopes


@pytest.mark.parametrize(
    ("annotation", "known", "options"),
    [
        (int, [7, 42, "anna"], ("7", "42")),
        (str, ["anna", "42", 42, "two\nlines", "<b>"], ("anna", "42", "<b>")),
        (str | int, ["42", 42, "anna"], ("'42'", "42", "anna")),
        (Any, ["42", 42, "anna", uuid.UUID(int=1)], ("'42'", "42", "anna")),
        (uuid.UUID, [uuid.UUID(int=1), "x"], ("00000000-0000-0000-0000-000000000001",)),
        (int | None, [7], ("7",)),
    ],
)
def test_a_parameter_that_is_a_scope_suggests_those_that_there_are(
    app: InlineApp, front_end: FrontEnd, annotation: Any, known: list[ScopeId], options: tuple[str, ...]
) -> None:
    """What is suggested means just that scope if it is chosen."""

    def step1(state: Annotated[Chat, Scope("chat")], chat: Any) -> None: ...

    step1.__annotations__ |= {"state": Annotated[Chat, Scope("chat")], "chat": annotation}
    asked: list[str] = []

    def known_scopes(name: str) -> list[ScopeId]:
        asked.append(name)
        return known

    form = Form(Looks(), app.task(step1), known_scopes)
    form.refresh()
    (box,) = parts_of(form.box, widgets.Combobox)
    assert form.has_scopes
    assert asked == ["Chat"]
    assert front_end.models[box.model_id]["options"] == options
    assert box.ensure_option is False
    for tick in parts_of(form.box, widgets.Checkbox):
        front_end.fill(tick, value=True)
    for option in options:
        front_end.fill(box, value=option)
        assert (form.read() or {})["chat"] in known


def test_a_default_scope_is_filled_in_and_a_number_is_typed(app: InlineApp) -> None:
    @app.task
    def step1(state: Annotated[Chat, Scope("chat")], chat: int = 2**60) -> None: ...

    form = Form(Looks(), step1)
    assert control(form, "chat").value == str(2**60)
    assert form.read() == {}


def test_scopes_of_several_states_are_suggested_and_only_sent_when_they_change(
    app: InlineApp, front_end: FrontEnd
) -> None:
    @app.task
    def step1(one: Annotated[Chat, Scope("c")], two: Annotated[Order, Scope("c")], c: int) -> None: ...

    known: dict[str, list[ScopeId]] = {"Chat": [1, 2], "Order": [2, 3]}
    form = Form(Looks(), step1, known.__getitem__)
    form.box.open()
    form.refresh()
    assert control(form, "c").options == ("1", "2", "3")
    sent = front_end.sent
    form.refresh()
    assert front_end.sent == sent
    known["Chat"] = [2, 1]
    form.refresh()
    assert control(form, "c").options == ("2", "1", "3")


def test_without_scopes_there_is_nothing_to_refresh(app: InlineApp, front_end: FrontEnd) -> None:
    @app.task
    def step1(state: Chat, a: int, p: Point, o: int | None) -> None: ...

    form = Form(Looks(), step1)
    form.box.open()
    sent = front_end.sent
    form.refresh()
    assert not form.has_scopes
    assert front_end.sent == sent


# --- another form


def test_what_was_typed_goes_where_name_and_annotation_are_the_same(app: InlineApp, front_end: FrontEnd) -> None:
    @app.task(name="step1")
    def step1(a: int, b: str, c: int, d: int = 1) -> None: ...

    first = Form(Looks(), step1)
    for name in "abc":
        front_end.fill(control(first, name), value="7")

    @app.task(name="step1")
    def step1_again(c: str, a: int, e: int, d: int = 2) -> None: ...

    second = Form(Looks(), app.tasks["step1"])
    second.retype(first.typed())
    assert {each.parameter.name: control(second, each.parameter.name).value for each in second.fields} == {
        "c": "",
        "a": "7",
        "e": "",
        "d": "2",
    }
