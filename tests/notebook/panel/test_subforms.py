"""Fields that are made of fields: the tick of what may be None, the forms of dataclasses and Structs."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Iterator
from dataclasses import InitVar, dataclass
from dataclasses import field as dataclass_field
from typing import Annotated, Any, Literal, Optional

import ipywidgets as widgets
import msgspec
import pytest
from support.comms import FrontEnd, listening
from support.forms import field, given, is_missing, parts_of, problems, simple

from qstate_nb.notebook.panel.controls import EMPTY
from qstate_nb.notebook.panel.fields import Field, Nothing, Simple
from qstate_nb.notebook.panel.subforms import Group, Maybe, without_none

HOSTILE = "<script>alert(1)</script>"


@dataclass
class Point:
    x: int
    y: int = 0


@dataclass
class Line:
    start: Point
    end: Point | None = None
    tags: list[str] = dataclass_field(default_factory=list)
    kind: Literal["thin", "thick"] = "thin"


class Order(msgspec.Struct, kw_only=True):
    name: str
    at: datetime.date = datetime.date(2026, 1, 2)
    items: list[int] = []


@dataclass
class Range:
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is over <b>high</b>")


@dataclass
class Node:
    value: int
    next: Optional[Node] = None  # noqa: UP045 - as it is written


@pytest.fixture(autouse=True)
def front_end() -> Iterator[FrontEnd]:
    with listening() as front_end:
        yield front_end


def maybe(annotation: Any, default: Any = EMPTY) -> Maybe:
    made = field(annotation, default)
    assert isinstance(made, Maybe)
    return made


def group(annotation: Any, default: Any = EMPTY) -> Group:
    made = field(annotation, default)
    assert isinstance(made, Group)
    return made


def inside(made: Field, path: str) -> Any:
    """The field at a path such as ``start.x``; the value's, where there is a tick."""
    for name in path.split("."):
        made = made.inner if isinstance(made, Maybe) else made
        (made,) = [each for each in made.inside if each.parameter.name == name]
    return made


def fill(made: Field, front_end: FrontEnd, **values: Any) -> None:
    for path, value in values.items():
        each = inside(made, path.replace("__", "."))
        front_end.fill(each.tick if isinstance(each, Maybe) else each.control, value=value)


# --- a tick


@pytest.mark.parametrize("default", [EMPTY, None])
@pytest.mark.parametrize("annotation", [int | None, Optional[int], Annotated[int | None, "some"]])  # noqa: UP045
def test_what_may_be_none_is_none_until_the_tick_is_set(annotation: Any, default: Any, front_end: FrontEnd) -> None:
    made = maybe(annotation, default)
    assert made.tick.description == "it is None"
    assert made.inner.box.layout.display == "none"
    assert given(made) is None
    front_end.fill(made.tick, value=True)
    assert made.tick.description == "it is set"
    assert made.inner.box.layout.display is None
    assert is_missing(made)
    front_end.fill(made.inner.control, value="5")  # type: ignore[attr-defined]
    assert given(made) == 5
    front_end.fill(made.tick, value=False)
    assert given(made) is None
    assert (made.read() is Nothing.LEFT) is (default is None)
    assert problems(made) == []


def test_a_default_that_is_no_none_is_set_and_can_be_taken_away(front_end: FrontEnd) -> None:
    made = maybe(int | None, 5)
    assert made.tick.value
    assert made.read() is Nothing.LEFT
    front_end.fill(made.inner.control, value="6")  # type: ignore[attr-defined]
    assert given(made) == 6
    front_end.fill(made.inner.control, value="")  # type: ignore[attr-defined]
    assert is_missing(made)
    front_end.fill(made.tick, value=False)
    assert made.read() is None


@pytest.mark.parametrize(
    ("annotation", "typed", "value"),
    [
        (str | None, "None", "None"),
        (str | None, "", ""),
        (list[int] | None, "[1]", [1]),
        (int | str | None, "x", "x"),
        (int | float | None, "1.5", 1.5),
    ],
)
def test_beside_the_tick_is_the_field_of_the_value(
    annotation: Any, typed: str, value: Any, front_end: FrontEnd
) -> None:
    made = maybe(annotation)
    front_end.fill(made.tick, value=True)
    front_end.fill(made.inner.control, value=typed)  # type: ignore[attr-defined]
    assert given(made) == value


def test_what_restricts_the_whole_restricts_the_value(front_end: FrontEnd) -> None:
    annotations: list[Any] = [Annotated[int | None, msgspec.Meta(ge=1)], Annotated[int, msgspec.Meta(ge=1)] | None]
    for annotation in annotations:
        made = maybe(annotation, None)
        front_end.fill(made.tick, value=True)
        front_end.fill(made.inner.control, value="0")  # type: ignore[attr-defined]
        assert problems(made) == ["'0' doesn't fit (Expected `int` >= 1)"]


def test_what_may_be_none_is_found_in_any_spelling() -> None:
    assert without_none(int | str | None) == int | str
    assert without_none(None | int) is int
    others: list[Any] = [int, int | str, type(None), None, EMPTY, Any, 5, [], Annotated[int, 1]]
    for annotation in others:
        assert without_none(annotation) is EMPTY


def test_a_tick_can_be_taken_to_another_field(front_end: FrontEnd) -> None:
    first, second = maybe(int | None, None), maybe(int | None, None)
    assert first.typed() is None
    front_end.fill(first.tick, value=True)
    second.retype(first.typed())
    assert second.tick.value
    front_end.fill(first.inner.control, value="x")  # type: ignore[attr-defined]
    second.retype(first.typed())
    assert problems(second) == problems(first) != []
    second.retype("nonsense")


# --- a form


def test_a_dataclass_has_a_framed_form_with_its_defaults(front_end: FrontEnd) -> None:
    made = group(Line)
    assert "qstate-subform" in made.box._dom_classes
    assert [type(each).__name__ for each in made.inside] == ["Group", "Maybe", "Simple", "Simple"]
    assert inside(made, "start.y").control.value == "0"
    assert inside(made, "tags").control.value == "[]"
    assert inside(made, "kind").control.label == "thin"
    fill(made, front_end, start__x="1", tags='["a"]', end=True)
    fill(made, front_end, end__x="3")
    assert given(made) == Line(Point(1), Point(3), ["a"])


def test_a_struct_has_a_form_too(front_end: FrontEnd) -> None:
    made = group(Order)
    assert inside(made, "at").control.value == datetime.date(2026, 1, 2)
    fill(made, front_end, name="a", items="[1]")
    assert given(made) == Order(name="a", items=[1])


def test_all_that_is_missing_in_it_is_said_at_once(front_end: FrontEnd) -> None:
    made = group(Range)
    assert made.read() is Nothing.WRONG
    assert problems(made) == ["needs a value", "needs a value"]
    fill(made, front_end, low="x", high="2")
    assert problems(made) == ["'x' doesn't fit (Expected `int`, got `str`)"]


def test_a_check_of_the_class_is_said_at_the_form_until_something_changes(front_end: FrontEnd) -> None:
    made = group(Range)
    fill(made, front_end, low="2", high="1")
    assert problems(made) == []
    assert made.read() is Nothing.WRONG
    assert problems(made) == ["ValueError: low is over <b>high</b>"]
    assert "qstate-invalid" in made.box._dom_classes
    fill(made, front_end, high="3")
    assert problems(made) == []
    assert given(made) == Range(2, 3)


def test_a_form_that_is_left_as_it_is_gives_the_default_itself(front_end: FrontEnd) -> None:
    default = Line(Point(1, 2), Point(3), ["a"], "thick")
    made = group(Line, default)
    assert made.read() is Nothing.LEFT
    assert inside(made, "start.y").control.value == "2"
    fill(made, front_end, start__y="7")
    assert given(made) == Line(Point(1, 7), Point(3), ["a"], "thick")
    assert default.start.y == 2


def test_a_form_without_a_default_that_needs_nothing_makes_one() -> None:
    cls = dataclasses.make_dataclass("cls", [("a", int, 1), ("b", list, dataclass_field(default_factory=list))])
    first, second = (given(group(cls)) for _ in range(2))
    assert first == cls()
    assert first.b is not second.b


def test_an_optional_form(front_end: FrontEnd) -> None:
    made = maybe(Point | None, None)
    assert given(made) is None
    front_end.fill(made.tick, value=True)
    fill(made, front_end, x="1")
    assert given(made) == Point(1)


def test_a_class_in_itself_ends_in_json(front_end: FrontEnd) -> None:
    made = group(Node)
    fill(made, front_end, value="1", next=True)
    (area,) = parts_of(made.box, widgets.Textarea)
    front_end.fill(area, value='{"value": 2, "next": {"value": 3}}')
    assert given(made) == Node(1, Node(2, Node(3)))
    front_end.fill(area, value='{"value": "x"}')
    assert problems(made) == ["{'value': 'x'} doesn't fit (Expected `int`, got `str` - at `$.value`)"]


def test_forms_in_forms_end_somewhere() -> None:
    cls: type = Point
    for depth in range(6):
        cls = dataclasses.make_dataclass(f"C{depth}", [(f"a{n}", cls) for n in range(3)])
    made = group(cls)
    assert len(parts_of(made.box, widgets.Textarea)) == 27
    wide = dataclasses.make_dataclass("Wide", [(f"a{n}", int, n) for n in range(1_000)])
    assert isinstance(simple(wide).control, widgets.Textarea)


def test_a_class_that_is_made_otherwise_is_given_as_json() -> None:
    @dataclass
    class Counted:
        a: int
        extra: InitVar[int]

    @dataclass
    class Own:
        a: int

        def __init__(self, text: str) -> None:
            self.a = int(text)

    @dataclass
    class Unknown:
        a: NoSuchClass  # type: ignore[name-defined]  # noqa: F821

    for cls in (Counted, Own, Unknown):
        assert isinstance(simple(cls).control, widgets.Textarea)


def test_a_field_that_is_not_given_has_no_control() -> None:
    cls = dataclasses.make_dataclass("cls", [("a", int), ("b", int, dataclass_field(init=False, default=1))])
    assert [each.parameter.name for each in group(cls).inside] == ["a"]


def test_a_default_that_is_made_anew_is_not_shown_as_if_it_were_used(front_end: FrontEnd) -> None:
    def fail() -> int:
        raise LookupError("nothing")

    cls = dataclasses.make_dataclass(
        "cls",
        [
            ("key", uuid.UUID, dataclass_field(default_factory=uuid.uuid4)),
            ("bad", int, dataclass_field(default_factory=fail)),
        ],
    )
    made = group(cls)
    assert [each.control.value for each in made.inside if isinstance(each, Simple)] == ["made anew each time"] * 2
    assert made.read() is Nothing.WRONG
    assert problems(made) == ["LookupError: nothing"]
    fill(made, front_end, bad="1")
    assert isinstance(given(made).key, uuid.UUID)


def test_a_default_of_another_class_is_a_text() -> None:
    class Sub(Point):
        pass

    for default in (5, None, Sub(1)):
        made = simple(Point, default)
        assert isinstance(made.control, widgets.Text)
        assert given(made) is default


def test_names_are_text_and_not_markup() -> None:
    cls = dataclasses.make_dataclass(HOSTILE, [("a", int)])
    made = group(cls)
    assert "<script>" not in made.box.children[0].value
    assert "&lt;script&gt;" in made.box.children[0].value


def test_a_form_can_be_taken_to_another_one(front_end: FrontEnd) -> None:
    first, second = group(Line), group(Line)
    assert first.typed() is None
    fill(first, front_end, start__x="x", end=True)
    front_end.fill(inside(first, "kind").control, index=1)
    second.retype(first.typed())
    assert inside(second, "start.x").control.value == "x"
    assert inside(second, "kind").control.label == "thick"
    assert inside(second, "end").tick.value
    second.retype("nonsense")
