"""Fields with one control: what they show at first, what they give when filled in, what they say is wrong."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import ipywidgets as widgets
import msgspec
import pytest
from support.comms import FrontEnd, listening
from support.forms import field, given, is_missing, parameter, problems, simple

from qstate_nb.notebook.panel.controls import EMPTY
from qstate_nb.notebook.panel.fields import Around, Nothing, Room, Simple
from qstate_nb.notebook.panel.forms import field_for


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Planet(enum.Enum):
    EARTH = (1, 2)


class NoMember(enum.Enum):
    pass


@dataclass
class Point:
    x: int


class Strange:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def front_end() -> Iterator[FrontEnd]:
    with listening() as front_end:
        yield front_end


@pytest.mark.parametrize(
    ("annotation", "widget"),
    [
        (int, widgets.Text),  # it can be empty, as a value that is required must be
        (float, widgets.Text),
        (bool, widgets.Checkbox),
        (str, widgets.Text),
        (Colour, widgets.Dropdown),
        (Colour | None, widgets.Dropdown),
        (bool | None, widgets.Dropdown),
        (Annotated[Colour, []], widgets.Dropdown),
        (Literal["a", 1], widgets.Dropdown),
        (datetime.date, widgets.DatePicker),
        (datetime.time, widgets.TimePicker),
        (datetime.datetime, widgets.NaiveDatetimePicker),
        (int | str, widgets.Text),
        (list[int], widgets.Textarea),
        (NoMember, widgets.Text),
        (Any, widgets.Text),
        (EMPTY, widgets.Text),
    ],
)
def test_the_annotation_decides_the_widget(annotation: Any, widget: type, front_end: FrontEnd) -> None:
    made = simple(annotation)
    assert type(made.control).__name__ == widget.__name__
    made.box.open()
    assert [state["description"] for state in front_end.models.values() if "description" in state] == ["it"]


DEFAULTS: list[tuple[Any, Any]] = [
    (int, 7),
    (int, -(10**400)),
    (int, 2**60 + 1),
    (int, True),
    (int, 1.5),
    (int, None),
    (int, "x"),
    (int, int),
    (float, 0.5),
    (float, 7),
    (float, float("inf")),
    (float, float("-inf")),
    (float, 1e300),
    (float, None),
    (bool, True),
    (bool, False),
    (bool, None),
    (bool, 1),
    (bool | None, None),
    (str, "text"),
    (str, "two\nlines"),
    (str, "x" * 1_000_000),
    (str, "half a character: \ud800"),
    (Literal["\ud800", "a"], "\ud800"),
    (str, ""),
    (str, None),
    (str, 5),
    (Colour, Colour.BLUE),
    (Colour, None),
    (Colour, "b"),
    (Colour | None, None),
    (Planet, Planet.EARTH),
    (Literal["a", 1], 1),
    (Literal["a", 1], "a"),
    (Literal["a", 1], None),
    (Literal[1, 2], True),
    (datetime.date, datetime.date(2026, 1, 2)),
    (datetime.date, datetime.datetime(2026, 1, 2, 3)),
    (datetime.date, None),
    (datetime.datetime, datetime.datetime(2026, 1, 2, 3, 4)),
    (datetime.datetime, datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)),
    (datetime.datetime, datetime.date(2026, 1, 2)),
    (datetime.datetime, None),
    (int | None, None),
    (int | None, 5),
    (list[int], [1, 2]),
    (list[int], list(range(100_000))),
    (dict, {"a": {1}}),
    (Point, Point(1)),
    (Point | None, Point(1)),
    (Point | None, None),
    (datetime.time, datetime.time(1, 2, 3, 4)),
    (datetime.time, datetime.time(1, tzinfo=datetime.UTC)),
    (datetime.time, None),
    (list[Point], [Point(1)]),
    (set[str], {"b", "a"}),
    (dict[int, str], {1: "a"}),
    (list[Any], [Strange()]),
    (tuple[int, ...], (1, 2)),
    (list, [(1,), float("nan")]),
    (Point, 5),
    (Point | None, 5),
    (decimal.Decimal, decimal.Decimal("1.50")),
    (Any, object()),
    (Any, "text"),
    (EMPTY, "text"),
    (EMPTY, None),
    (Strange, Strange()),
    (bool, Strange()),
    (Colour, Strange()),
    (int, Strange()),
    (datetime.date, Strange()),
    (5, 6),
    ([], []),
    (Annotated[int, {"a": []}], 5),
]


@pytest.mark.parametrize(("annotation", "default"), DEFAULTS, ids=range(len(DEFAULTS)))
def test_a_form_that_is_left_as_it_is_runs_the_defaults(annotation: Any, default: Any, front_end: FrontEnd) -> None:
    made = field(annotation, default)
    made.box.open()
    value = given(made)
    assert value is default or (type(value) is type(default) and value == default) or (value == default == 7)
    for state in front_end.models.values():
        assert len(str(state.get("value", ""))) < 20_000


@pytest.mark.parametrize(
    ("annotation", "typed", "value"),
    [
        (int, "5", 5),
        (float, "1.5", 1.5),
        (bool, True, True),
        (str, "text", "text"),
        (str, "7", "7"),
        (str, "'quoted'", "'quoted'"),
        (str, "  blanks ", "  blanks "),
        (str, "$n {n}", "$n {n}"),
        (int | str, "5", 5),
        (int | str, "x", "x"),
        (list[int], "[1, 2]", [1, 2]),
        (list[int], "1, 2", [1, 2]),
        (dict, "{'a': 1}", {"a": 1}),
        (uuid.UUID, "00000000-0000-0000-0000-000000000001", uuid.UUID(int=1)),
        (decimal.Decimal, "1.50", decimal.Decimal("1.50")),
        (Any, "[1]", [1]),
        (Any, "text", "text"),
        (EMPTY, "+49", "+49"),
    ],
)
def test_what_is_filled_in_is_what_the_task_gets(
    annotation: Any, typed: Any, value: Any, front_end: FrontEnd
) -> None:
    made = simple(annotation)
    front_end.fill(made.control, value=typed)
    found = given(made)
    assert type(found) is type(value)
    assert found == value


@pytest.mark.parametrize(
    ("annotation", "labels", "values"),
    [
        (Colour, ("RED", "BLUE"), [Colour.RED, Colour.BLUE]),
        (Planet, ("EARTH",), [Planet.EARTH]),
        (Colour | None, ("RED", "BLUE", "None"), [Colour.RED, Colour.BLUE, None]),
        (Literal["a", 1, "1"], ("a", "1", "1"), ["a", 1, "1"]),
        (bool | None, ("True", "False", "None"), [True, False, None]),
    ],
)
def test_every_choice_can_be_chosen(
    annotation: Any, labels: tuple[str, ...], values: list[Any], front_end: FrontEnd
) -> None:
    made = simple(annotation)
    assert made.control._options_labels == labels
    for index, value in enumerate(values):
        front_end.fill(made.control, index=index)
        assert given(made) is value or given(made) == value


def test_a_default_that_is_no_choice_is_one_more(front_end: FrontEnd) -> None:
    made = simple(Colour, None)
    assert made.control._options_labels == ("None", "RED", "BLUE")
    front_end.fill(made.control, index=1)
    assert given(made) is Colour.RED


def test_dates_can_be_picked_and_taken_back(front_end: FrontEnd) -> None:
    made = simple(datetime.date)
    assert is_missing(made)
    front_end.fill(made.control, value={"year": 2026, "month": 0, "date": 2})
    assert given(made) == datetime.date(2026, 1, 2)
    assert problems(made) == []
    front_end.fill(made.control, value=None)
    assert is_missing(made)


@pytest.mark.parametrize("annotation", [Any, EMPTY, list[int], int, int | str])
def test_a_field_that_is_empty_is_missing(annotation: Any, front_end: FrontEnd) -> None:
    made = simple(annotation)
    assert problems(made) == []
    assert is_missing(made)
    front_end.fill(made.control, value="x")
    front_end.fill(made.control, value="")
    assert is_missing(made)


def test_an_empty_text_is_a_text(front_end: FrontEnd) -> None:
    assert given(field(str)) == ""


def test_a_text_that_is_emptied_is_an_empty_text(front_end: FrontEnd) -> None:
    made = simple(str, "text")
    assert made.read() is Nothing.LEFT
    front_end.fill(made.control, value="")
    assert made.read() == ""


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        *((int, 5), (float, 1.5), (int | str, 5), (Any, [1]), (EMPTY, "text"), (list[int], [1]), (dict, {})),
        *((datetime.date, datetime.date(2026, 1, 2)), (datetime.time, datetime.time(1, 2))),
        (datetime.datetime, datetime.datetime(2026, 1, 2, 3)),
    ],
)
def test_a_field_that_is_emptied_does_not_stand_for_its_default(
    annotation: Any, default: Any, front_end: FrontEnd
) -> None:
    made = simple(annotation, default)
    shown = made.control.value
    front_end.fill(made.control, value="" if isinstance(shown, str) else None)
    assert problems(made) == ["needs a value"]
    assert is_missing(made)
    made.control.value = shown
    assert problems(made) == []
    assert made.read() is Nothing.LEFT


@pytest.mark.parametrize("annotation", [int, Any, EMPTY, str, list[int], datetime.date])
def test_a_field_that_is_emptied_is_none_where_it_was_empty_at_first(annotation: Any, front_end: FrontEnd) -> None:
    made = simple(annotation, None)
    first = made.control.value
    front_end.fill(made.control, value="x" if first == "" else {"year": 2026, "month": 0, "date": 2})
    for empty in (first, " ") if annotation == list[int] else (first,):
        front_end.fill(made.control, value=empty)
        assert made.read() is Nothing.LEFT
        assert problems(made) == []


@pytest.mark.parametrize(
    ("annotation", "typed", "problem"),
    [
        (int, "many", "'many' doesn't fit (Expected `int`, got `str`)"),
        (int, "1.5", "'1.5' doesn't fit"),
        (float, "x", "'x' doesn't fit"),
        (decimal.Decimal, "x", "'x' doesn't fit"),
        (uuid.UUID, "x", "'x' doesn't fit"),
        (int | bool, "x", "'x' doesn't fit"),
        (Annotated[int, msgspec.Meta(ge=1)], "0", "'0' doesn't fit (Expected `int` >= 1)"),
        (int, "<b>x</b>", "'<b>x</b>' doesn't fit"),
    ],
)
def test_a_value_that_does_not_fit_is_said_below_and_the_field_is_marked(
    annotation: Any, typed: str, problem: str, front_end: FrontEnd
) -> None:
    """As soon as the field is left, and until it is right."""
    made = simple(annotation)
    front_end.fill(made.control, value=typed)
    (said,) = problems(made)
    assert said.startswith(problem)
    assert made.read() is Nothing.WRONG
    assert "qstate-invalid" in front_end.models[made.box.model_id]["_dom_classes"]
    front_end.fill(made.control, value="5" if annotation is not uuid.UUID else str(uuid.UUID(int=5)))
    assert problems(made) == []
    assert made.box.children[1].layout.display == "none"
    assert "qstate-invalid" not in front_end.models[made.box.model_id]["_dom_classes"]
    assert made.read() is not Nothing.WRONG


def test_a_class_that_fails_is_said_like_any_problem(front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(*_: object) -> None:
        raise RuntimeError("no\nway")

    monkeypatch.setattr("qstate_nb.notebook.panel.fields.convert", convert)
    made = simple(int)
    front_end.fill(made.control, value="1")
    assert problems(made) == ["RuntimeError: no way"]


def test_each_change_is_told_after_it_was_checked(front_end: FrontEnd) -> None:
    seen: list[str] = []
    made = field_for(parameter(int), Around("step1", lambda: seen.append(made.problem)))
    assert isinstance(made, Simple)
    front_end.fill(made.control, value="x")
    front_end.fill(made.control, value="1")
    assert seen == ["'x' doesn't fit (Expected `int`, got `str`)", ""]


def test_input_is_checked_when_the_field_is_left_and_not_at_each_key() -> None:
    for annotation in (int, str, Any, list):
        assert simple(annotation).control.continuous_update is False


def test_the_field_says_what_is_wanted() -> None:
    assert simple(int | str).control.placeholder == "int | str"
    assert simple(list[int]).control.placeholder == "list[int] as JSON"
    assert simple(int, None).control.placeholder == "int (empty: None)"
    assert simple(EMPTY).control.placeholder == ""
    assert simple(EMPTY, None).control.placeholder == "(empty: None)"


def test_a_name_with_markup_is_no_markup() -> None:
    """Descriptions are text, and stay so."""
    assert simple(str).control.description_allow_html is False


@pytest.mark.parametrize(
    ("annotation", "default", "shown"), [(int, 7, "7"), (int, -(2**64), str(-(2**64))), (float, 1e-7, "1e-07")]
)
def test_a_default_number_is_filled_in_as_text(annotation: Any, default: float, shown: str) -> None:
    made = simple(annotation, default)
    assert type(made.control).__name__ == "Text"
    assert made.control.value == shown
    assert made.control.placeholder == annotation.__name__


@pytest.mark.parametrize("default", [EMPTY, 3])
@pytest.mark.parametrize(
    ("annotation", "typed", "value"),
    [
        (int, "12345678901234567891", 12345678901234567891),
        (int, "1e3", 1000),
        (int, " -5 ", -5),
        (float, "1e3", 1000.0),
        (float, "5", 5.0),
        (float, "inf", float("inf")),
        (int, "3.7", None),
        (int, "3,7", None),
        (int, "5x", None),
        (float, "1.5x", None),
        (float, "1e400", None),
        (float, "-1e400", None),
        (int, "1e400", None),
    ],
)
def test_a_number_is_the_one_that_was_typed_or_it_is_wrong(
    annotation: Any, default: Any, typed: str, value: float | None, front_end: FrontEnd
) -> None:
    made = simple(annotation, default)
    front_end.fill(made.control, value=typed)
    read = made.read()
    assert read is Nothing.WRONG if value is None else (type(read) is annotation and read == value)
    assert bool(problems(made)) is (value is None)


def test_a_number_that_no_float_can_hold_is_said(front_end: FrontEnd) -> None:
    made = simple(float, 1.5)
    front_end.fill(made.control, value="1e400")
    assert problems(made) == ["'1e400' is more than a float can hold"]


def test_what_is_wrong_is_announced_by_screen_readers(front_end: FrontEnd) -> None:
    made = simple(int)
    front_end.fill(made.control, value="<b>")
    assert made.box.children[1].value.startswith('<div class="qstate-problem" role="alert">&#x27;&lt;b&gt;')


@pytest.mark.parametrize(
    ("annotation", "default", "filled"),
    [
        (int, EMPTY, {"value": "x"}),
        (int, 5, {"value": "7"}),
        (bool, False, {"value": True}),
        (Colour, Colour.RED, {"index": 1}),
        (str, "a", {"value": ""}),
        (datetime.date, EMPTY, {"value": {"year": 2026, "month": 0, "date": 2}}),
        (list[int], [1], {"value": "[1, 2]"}),
    ],
)
def test_what_was_typed_can_be_taken_to_another_field(
    annotation: Any, default: Any, filled: Any, front_end: FrontEnd
) -> None:
    first, second = simple(annotation, default), simple(annotation, default)
    assert first.typed() is None
    front_end.fill(first.control, **filled)
    second.retype(first.typed())
    assert second.control.value == first.control.value
    assert second.read() == first.read()
    assert problems(second) == problems(first)


def test_what_can_not_be_filled_in_elsewhere_is_left_out() -> None:
    for annotation, default, typed in ((int, 5, 7), (int, EMPTY, 5), (Colour, EMPTY, "GREEN"), (bool, True, "x")):
        made = simple(annotation, default)
        before = made.control.value
        made.retype(typed)
        assert made.control.value == before


def test_room_is_taken_until_there_is_none() -> None:
    room = Room(3)
    assert [room.take(2), room.take(2), room.take(1), room.take(1)] == [True, False, True, False]
