"""The words after a verb, with the user's variables in them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from qstate_nb.errors import CommandError
from qstate_nb.notebook.arguments import Given, split
from qstate_nb.notebook.line import Line
from qstate_nb.notebook.verbs import VERBS

NAMES = {"n": 3, "key": "first name", "task": "step1", "negative": -1, "thing": object()}


def line(text: str) -> Line:
    verb, *words = split(text)
    return Line(VERBS[verb], VERBS[verb].parse(words), NAMES)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("step", "step"),
        ("'first name'", "first name"),
        ('"it\'s"', "it's"),
        ("$key", "first name"),
        ("{key.upper()}", "FIRST NAME"),
        ("a$n", "a3"),
        ("$n", "3"),
        ("7", "7"),
        ("1.50", "1.50"),
        ("None", "None"),
        ("0", "0"),
        ("[1]", "[1]"),
        ("''", ""),
        ("it's", "it's"),
    ],
)
def test_a_name_is_text_whatever_it_looks_like(typed: str, name: str) -> None:
    assert line(f"get Signup {typed}")["key"] == name


def test_a_name_may_be_missing() -> None:
    assert line("show").maybe("state") is None
    assert line("show Signup").maybe("state") == "Signup"


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("7", 7),
        ("$n", 3),
        ("'a b'", "a b"),
        ("Enter phone number", "Enter phone number"),
        ("cost is $5", "cost is $5"),
        ("step $n of {n + 1}", "step 3 of 4"),
        ("'a' or 'b'", "'a' or 'b'"),
        ("it's here", "it's here"),
        ("1 2", "1 2"),
    ],
)
def test_several_words_are_one_text(typed: str, value: object) -> None:
    assert line(f"set Signup x {typed}").value("value") == value


def test_a_variable_reaches_a_value_as_it_is() -> None:
    assert line("set Signup x $thing").value("value") is NAMES["thing"]
    assert line("run give it=$thing").pairs()["it"] == Given(NAMES["thing"])


def test_pairs_keep_their_order_and_what_was_typed() -> None:
    pairs = line("update Signup b=1 a='x y' c=a=b d= my-key=+49").pairs()
    assert pairs == {
        "b": Given(1, "1"),
        "a": Given("x y"),
        "c": Given("a=b", "a=b"),
        "d": Given("", ""),
        "my-key": Given("+49", "+49"),
    }


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("a", "'a' must be of the form name=value"),
        ("=1", "'=1' must be of the form name=value"),
        ("a = 1", "'a' must be of the form name=value"),
        ("a=1 b=2 a=3", "'a' was given twice"),
        ("a=$nobody", "name 'nobody' is not defined"),
    ],
)
def test_a_pair_that_can_not_be_read_is_an_error(typed: str, problem: str) -> None:
    with pytest.raises(CommandError, match=re.escape(problem)):
        line(f"run step1 {typed}").pairs()


def test_options_are_expanded_and_converted() -> None:
    given = line("run step1 --times $n --timeout {n / 2}")
    assert (given.option("times"), given.option("timeout"), given.option("concurrent")) == (3, 1.5, False)
    assert line("run step1").option("times") == 1
    assert line("run step1").option("timeout") is None
    assert line("run step1 --concurrent").option("concurrent") is True
    with pytest.raises(CommandError, match="--times -1: it must be a whole number"):
        line("run step1 --times $negative").option("times")


@pytest.mark.parametrize("name", ["a b", "1a", "n=4", "class", "a.b", "'a b'", "x[0]"])
def test_a_result_can_only_go_to_a_variable(name: str) -> None:
    with pytest.raises(CommandError, match="that can't be the name of a variable"):
        line(f"run step1 -o {as_typed(name)}").variable("o")


def as_typed(name: str) -> str:
    return name if " " not in name or name.startswith("'") else repr(name)


def test_a_variable_may_be_named_by_a_variable() -> None:
    given: Any = line("run step1 -o $task")
    assert given.variable("o") == "step1"
    assert line("run step1").variable("o") is None
