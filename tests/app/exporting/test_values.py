"""Statements that give the same value again."""

from __future__ import annotations

import ast
import collections
import datetime
import enum

import pytest

from qstate_nb.app.exporting.values import is_made_anew, is_still


class Colour(enum.Enum):
    RED = 1


def made() -> object:
    return {}


NAMES = {"collections": collections, "datetime": datetime, "Colour": Colour, "limit": 3, "made": made}


def statement(source: str) -> ast.stmt:
    return ast.parse(source).body[0]


@pytest.mark.parametrize(
    "value",
    [
        "{'a': [1, -2, (3,)], **{}}",
        "60 * 60",
        "set()",
        "collections.defaultdict(list, a=[])",
        "datetime.datetime(2026, 1, 2)",
        "Colour.RED",
    ],
)
def test_literals_and_classes_that_are_called_are_the_same_at_any_time(value: str) -> None:
    assert is_made_anew(statement(f"x = {value}"), NAMES)


@pytest.mark.parametrize(
    "value", ["datetime.datetime.now()", "made()", "limit", "[limit]", "unknown", "made().a", "f'{limit}'", "{}['a']"]
)
def test_what_depends_on_others_is_not(value: str) -> None:
    assert not is_made_anew(statement(f"x: object = {value}"), NAMES)


def test_a_statement_without_a_value_makes_none() -> None:
    assert not is_made_anew(statement("x: int"), NAMES)
    assert not is_made_anew(statement("def x(): pass"), NAMES)


def test_a_value_is_still_that_of_its_statement() -> None:
    assert is_still(statement("x = {'a': 1}"), {"a": 1})
    assert not is_still(statement("x = {'a': 1}"), {"a": True})
    assert not is_still(statement("x = limit"), 3)
    assert not is_still(statement("x = dict()"), {})
