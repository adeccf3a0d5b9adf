"""JSON as text: what it gives, what it says is wrong and where, and how a default is shown."""

from __future__ import annotations

import collections.abc
import datetime
import enum
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import ipywidgets as widgets
import pytest
from support.comms import FrontEnd, listening
from support.forms import given, parameter, problems, simple

from qstate_nb.notebook.panel.jsonfields import is_container, json_control
from qstate_nb.notebook.panel.pool import Looks


@dataclass
class Point:
    x: int


class Number(enum.IntEnum):
    ONE = 1


class Options(TypedDict):
    fast: bool


@pytest.fixture(autouse=True)
def front_end() -> Iterator[FrontEnd]:
    with listening() as front_end:
        yield front_end


@pytest.mark.parametrize(
    "annotation",
    [
        *(list, dict, tuple, set, frozenset, list[int], dict[str, list[int]], tuple[int, str], set[str]),
        *(typing.List, typing.Dict[str, int], Annotated[list[int], "some"], Options),  # noqa: UP006 - still written
        *(collections.abc.Sequence[int], collections.abc.Mapping[str, int]),
    ],
)
def test_containers_have_a_text_area(annotation: Any) -> None:
    assert is_container(annotation)
    assert isinstance(simple(annotation).control, widgets.Textarea)


@pytest.mark.parametrize("annotation", [int, str, Any, list[int] | str, None, Point, 5, []])
def test_others_have_none(annotation: Any) -> None:
    assert not is_container(annotation)


@pytest.mark.parametrize(
    ("annotation", "typed", "value"),
    [
        (list[int], "[1, 2]", [1, 2]),
        (list[int], " [1,\n 2]\n", [1, 2]),
        (list[int], "1, 2", [1, 2]),
        (list[int], f"[{10**30}]", [10**30]),
        (list, '[true, null, "a"]', [True, None, "a"]),
        (list, "[True, None, 'a']", [True, None, "a"]),
        (dict, '{"a": {"b": 1.5}}', {"a": {"b": 1.5}}),
        (dict, "{'a': 1}", {"a": 1}),
        (dict[int, str], '{"1": "a"}', {1: "a"}),
        (dict[int, str], "{1: 'a'}", {1: "a"}),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (set[int], "[1, 1]", {1}),
        (set[int], "{1, 2}", {1, 2}),
        (frozenset, "[1]", frozenset({1})),
        (list[Point], '[{"x": 1}]', [Point(1)]),
        (list[datetime.date], '["2026-01-02"]', [datetime.date(2026, 1, 2)]),
        (Options, '{"fast": true}', {"fast": True}),
        (collections.abc.Sequence[int], "[1]", [1]),
    ],
)
def test_json_and_python_literals_give_values(annotation: Any, typed: str, value: Any, front_end: FrontEnd) -> None:
    made = simple(annotation)
    front_end.fill(made.control, value=typed)
    found = given(made)
    assert type(found) is type(value)
    assert found == value


@pytest.mark.parametrize(
    ("annotation", "typed", "problem"),
    [
        (list[int], "[1,\n 2", "this is no JSON at line 2, column 3: Expecting ',' delimiter"),
        (list[int], "<b>many</b>", "this is no JSON at line 1, column 1: Expecting value"),
        (dict, "{a: 1}", "this is no JSON at line 1, column 2: Expecting property name enclosed in double quotes"),
        (list[int], '{"a": 1}', "{'a': 1} is no list, such as [1, 2]"),
        (list[int], "5", "5 is no list, such as [1, 2]"),
        (list[int], '"abc"', "'abc' is no list, such as [1, 2]"),
        (dict, "[1]", """[1] is no object, such as {"a": 1}"""),
        (list[int], '[1, "a"]', "[1, 'a'] doesn't fit (Expected `int`, got `str` - at `$[1]`)"),
        (dict[str, int], '{"a": null}', "{'a': None} doesn't fit (Expected `int`, got `null` - at `$[...]`)"),
        (tuple[int, int], "[1]", "[1] doesn't fit (Expected `array` of length 2, got 1)"),
        (list[Point], "[{}]", "[{}] doesn't fit (Object missing required field `x` - at `$[0]`)"),
        (list, "[" * 100_000, "this is nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(annotation: Any, typed: str, problem: str, front_end: FrontEnd) -> None:
    made = simple(annotation)
    front_end.fill(made.control, value=typed)
    assert problems(made) == [problem]
    front_end.fill(made.control, value="")
    assert problems(made) == ["needs a value"]


def test_a_number_with_too_many_digits_is_said(front_end: FrontEnd) -> None:
    made = simple(list)
    front_end.fill(made.control, value="[" + "1" * 5_000 + "]")
    (problem,) = problems(made)
    assert "integer string conversion" in problem


@pytest.mark.parametrize(
    ("annotation", "default", "text"),
    [
        (list[int], [1, 2], "[1, 2]"),
        (dict, {"a": [True, None]}, '{"a": [true, null]}'),
        (tuple[int, ...], (1, 2), "[1, 2]"),
        (list[Point], [Point(1)], '[{"x": 1}]'),
        (list[datetime.date], [datetime.date(2026, 1, 2)], '["2026-01-02"]'),
        (list[str], ["ö"], '["ö"]'),
        (list, [], "[]"),
        (list, None, ""),
        # JSON would mean something else
        (list, [(1,)], "[(1,)]"),
        (dict, {1: "a"}, "{1: 'a'}"),
        (list, [float("nan")], "[nan]"),
        (list[str], ["\ud800"], r"['\ud800']"),
        (set, [1], "[1]"),
        (list, [Number.ONE], "[<Number.ONE: 1>]"),
    ],
)
def test_a_default_is_shown_as_json_if_that_means_the_same(annotation: Any, default: Any, text: str) -> None:
    area, _ = json_control(Looks(), parameter(annotation, default))
    assert area.value == text


def test_a_long_default_has_a_line_for_each_item_and_a_larger_area() -> None:
    area, _ = json_control(Looks(), parameter(list[str], ["x" * 30] * 3))
    assert area.value.splitlines()[:2] == ["[", '  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",']
    assert area.rows == 5
    area, _ = json_control(Looks(), parameter(list[int], list(range(100))))
    assert area.rows == 8
