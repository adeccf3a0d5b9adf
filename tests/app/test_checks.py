"""What checks say where something is not as expected."""

from __future__ import annotations

from typing import Any

import pytest

from qstate_nb import ABSENT, InlineApp, State
from qstate_nb.app.checks import check_result, check_state, differences


class Cart(State):
    currency: str = "EUR"
    items: dict[str, int] | None = None


class Awkward:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("expected", "actual", "said"),
    [
        (1, 1, []),
        (1, True, []),
        ([float("nan")], [float("nan")], []),
        (1, 2, ["x: expected 1, it is 2"]),
        ({"a": 1, "b": [1, 2]}, {"a": 1, "b": [1, 3]}, ["x['b'][1]: expected 2, it is 3"]),
        ([1], [1, 2], ["x[1]: expected none, it is 2"]),
        ({"a": 1}, {}, ["x['a']: expected 1, there is none"]),
        ([1.0, 2], [1, 3], ["x[1]: expected 2, it is 3"]),
        ([1], (1,), ["x: expected [1], it is (1,)"]),
        ("one\ntwo\n", "one\nthree\n", ["x: expected (-), it is (+)", "  one", "- two", "+ three"]),
    ],
)
def test_a_difference_is_said_where_it_is(expected: Any, actual: Any, said: list[str]) -> None:
    assert differences("x", expected, actual) == said


def test_many_differences_are_counted() -> None:
    said = differences("x", list(range(100)), list(range(1, 101)))
    assert said[0] == "x[0]: expected 0, it is 1"
    assert (len(said), said[-1]) == (21, "… 80 more")


def test_an_object_that_can_not_be_compared_is_different() -> None:
    (line,) = differences("x", Awkward(), 1)
    assert line.startswith("x: expected <")


def test_declared_defaults_are_there(app: InlineApp) -> None:
    app.state(Cart)
    assert check_state(app.registry, Cart, {"currency": "EUR"}).passed
    check = check_state(app.registry, "Cart", {"currency": "USD"})
    assert list(check.problems) == ["Cart.currency: expected 'USD', it is 'EUR'"]


def test_a_scope_is_checked_by_its_name(app: InlineApp) -> None:
    app.state(Cart, scope=42).set("currency", "USD")
    assert check_state(app.registry, "Cart[42]", {"currency": "USD"}).passed
    assert check_state(app.registry, app.state(Cart, scope=42), {"currency": "USD"}).passed


def test_any_value_and_none(app: InlineApp) -> None:
    app.state(Cart).set("items", {"apples": 1})
    check = check_state(app.registry, Cart, {"items": ..., "x": ABSENT})
    assert check.passed
    assert check.text == "expect(Cart, items=..., x=ABSENT)"
    check = check_state(app.registry, Cart, {"items": ABSENT, "x": ...})
    assert list(check.problems) == [
        "Cart.items: expected none, it is {'apples': 1}",
        "Cart.x: expected any value, there is none",
    ]


def test_what_was_expected_is_kept_as_it_was(app: InlineApp) -> None:
    wanted = {"apples": 1}
    app.state(Cart).set("items", wanted)
    check = check_state(app.registry, Cart, {"items": wanted})
    wanted["pears"] = 2
    assert check.fields == {"items": {"apples": 1}}


def test_a_result_is_compared_and_an_error_is_none(app: InlineApp) -> None:
    @app.task
    def divide(by: int) -> float:
        return 1 / by

    good, bad = app.run("divide", 1), app.run("divide", 0)
    assert check_result("divide(1)", good, 1.0, None).passed
    assert check_result("divide(1)", good, ..., None).passed
    assert list(check_result("divide(1)", good, 2, None).problems) == ["result: expected 2, it is 1.0"]
    assert check_result("divide(0)", bad, ..., ZeroDivisionError).passed
    assert check_result("divide(0)", bad, ..., ArithmeticError).passed
    assert list(check_result("d", bad, ..., None).problems) == [
        "result: expected no error, it is ZeroDivisionError: division by zero"
    ]
    assert list(check_result("d", bad, ..., KeyError).problems) == [
        "result: expected KeyError, it is ZeroDivisionError: division by zero"
    ]
    assert list(check_result("d", good, ..., KeyError).problems) == [
        "result: expected KeyError, it is no error: it returned 1.0"
    ]
    assert check_result("d", good, 3, None).text == "expect_result(d, 3)"
