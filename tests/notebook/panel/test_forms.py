"""A field for each parameter: what it shows at first, and what it gives when it was filled in."""

from __future__ import annotations

import datetime
import decimal
import enum
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import ipywidgets as widgets
import pytest
from support.comms import FrontEnd, listening

from qstate_nb.errors import ArgumentError
from qstate_nb.notebook.arguments import Given, convert
from qstate_nb.notebook.panel.forms import Field, fields_for

EMPTY = inspect.Parameter.empty


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Planet(enum.Enum):
    EARTH = (1, 2)


class Nothing(enum.Enum):
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


def parameter(annotation: Any, default: Any = EMPTY) -> inspect.Parameter:
    return inspect.Parameter("it", inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def field(annotation: Any, default: Any = EMPTY) -> Field:
    return Field(parameter(annotation, default))


def given(field: Field) -> Any:
    """What a run gets: the converted value, the default, or the marker for a value that is missing."""
    read = field.read()
    return field.parameter.default if read is None else convert(field.parameter, read, "step1")


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
        (datetime.datetime, widgets.NaiveDatetimePicker),
        (int | None, widgets.Text),
        (list[int], widgets.Text),
        (Point, widgets.Text),
        (Nothing, widgets.Text),
        (Any, widgets.Text),
        (EMPTY, widgets.Text),
    ],
)
def test_the_annotation_decides_the_widget(annotation: Any, widget: type, front_end: FrontEnd) -> None:
    made = field(annotation)
    assert type(made.widget) is widget
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
        (str | None, "text", "text"),
        (str | None, "7", "7"),
        (str | None, "None", None),
        (int | None, "5", 5),
        (int | None, "None", None),
        (list[int], "[1, 2]", [1, 2]),
        (list[int], "1, 2", [1, 2]),
        (dict, "{'a': 1}", {"a": 1}),
        (Point, "{'x': 1}", Point(1)),
        (decimal.Decimal, "1.50", decimal.Decimal("1.50")),
        (Any, "[1]", [1]),
        (Any, "text", "text"),
        (EMPTY, "+49", "+49"),
    ],
)
def test_what_is_filled_in_is_what_the_task_gets(
    annotation: Any, typed: Any, value: Any, front_end: FrontEnd
) -> None:
    made = field(annotation)
    front_end.fill(made.widget, value=typed)
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
    made = field(annotation)
    assert made.widget._options_labels == labels
    for index, value in enumerate(values):
        front_end.fill(made.widget, index=index)
        assert given(made) is value or given(made) == value


def test_a_default_that_is_no_choice_is_one_more(front_end: FrontEnd) -> None:
    made = field(Colour, None)
    assert made.widget._options_labels == ("None", "RED", "BLUE")
    front_end.fill(made.widget, index=1)
    assert given(made) is Colour.RED


def test_dates_can_be_picked_and_taken_back(front_end: FrontEnd) -> None:
    made = field(datetime.date)
    assert made.read() is None
    front_end.fill(made.widget, value={"year": 2026, "month": 0, "date": 2})
    assert given(made) == datetime.date(2026, 1, 2)
    front_end.fill(made.widget, value=None)
    assert made.read() is None


@pytest.mark.parametrize("annotation", [Any, EMPTY, list[int], int | None, Point])
def test_a_field_that_is_empty_is_missing(annotation: Any, front_end: FrontEnd) -> None:
    made = field(annotation)
    assert made.read() is None
    front_end.fill(made.widget, value="x")
    front_end.fill(made.widget, value="")
    assert made.read() is None


def test_an_empty_text_is_a_text(front_end: FrontEnd) -> None:
    assert field(str).read() == Given("")


def test_a_text_that_is_emptied_is_an_empty_text(front_end: FrontEnd) -> None:
    made = field(str, "text")
    assert made.read() is None
    front_end.fill(made.widget, value="")
    assert made.read() == Given("")


@pytest.mark.parametrize(("default", "widget"), [(1, widgets.IntText), (1.5, widgets.FloatText)])
def test_a_number_with_a_default_has_a_number_field(default: float, widget: type, front_end: FrontEnd) -> None:
    assert type(field(type(default), default).widget) is widget


def test_a_field_that_is_emptied_is_its_default(front_end: FrontEnd) -> None:
    for annotation, default in ((int | None, 5), (Any, [1])):
        made = field(annotation, default)
        front_end.fill(made.widget, value="")
        assert made.read() is None


@pytest.mark.parametrize(
    ("annotation", "typed"),
    [(int | None, "many"), (list[int], "['a']"), (Point, "{}"), (dict, "[1]"), (decimal.Decimal, "x")],
)
def test_a_value_that_does_not_fit_is_an_error_that_names_the_parameter(
    annotation: Any, typed: str, front_end: FrontEnd
) -> None:
    made = field(annotation)
    front_end.fill(made.widget, value=typed)
    with pytest.raises(ArgumentError, match=r"task 'step1', parameter .*it: .* doesn't fit"):
        given(made)


def test_the_field_says_what_is_wanted() -> None:
    assert field(list[int]).widget.placeholder == "list[int]"
    assert field(int | None, None).widget.placeholder == "int | None (empty: None)"
    assert field(EMPTY).widget.placeholder == ""
    assert field(EMPTY, None).widget.placeholder == "(empty: None)"


def test_variadic_parameters_have_no_field() -> None:
    def step1(a: int, /, *args: int, b: int, **more: int) -> None: ...

    parameters = list(inspect.signature(step1, eval_str=True).parameters.values())
    assert [each.parameter.name for each in fields_for(parameters)] == ["a", "b"]


def test_a_name_with_markup_is_no_markup(front_end: FrontEnd) -> None:
    """Descriptions are text, and stay so."""
    made = field(str)
    assert made.widget.description_allow_html is False


@pytest.mark.parametrize("make", [widgets.IntText, widgets.FloatText])
def test_numbers_that_a_browser_can_not_hold_are_typed(make: Callable[..., Any]) -> None:
    assert type(field(int, 2**53).widget) is widgets.IntText
    for annotation, default in ((int, 2**53 + 1), (float, float("nan")), (float, 1e300)):
        made = field(annotation, default)
        assert type(made.widget) is widgets.Text
        made.widget.value = "5"
        assert given(made) == 5
