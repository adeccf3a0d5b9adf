"""Typed text: how a line is split, what a word means, how a value becomes what a parameter wants."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import inspect
import re
import types
import uuid
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, Protocol, TypedDict, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qstate_nb.errors import ArgumentError, CommandError
from qstate_nb.notebook.arguments import Given, Variables, as_word, convert, literal, split

# --- split

LINES = st.text(st.sampled_from("ab=$ '\"\\()[]{}\t;-+#%:,.é\n\u00a0"), max_size=30) | st.text(max_size=30)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  a \t b  ", ["a", "b"]),
        ("set Signup it it's", ["set", "Signup", "it", "it's"]),
        ("x='a b' y=\"c d\"", ["x='a b'", 'y="c d"']),
        (r"'it\'s' b", [r"'it\'s'", "b"]),
        ("[1, [2, 3]] {'a': (1, 2)}", ["[1, [2, 3]]", "{'a': (1, 2)}"]),
        ("xs=[1, '] ['] b", ["xs=[1, '] [']", "b"]),
        ("{f('a b')}-{n + 1} c", ["{f('a b')}-{n + 1}", "c"]),
        (":-) smile :(", [":-)", "smile", ":("]),
        ("f(x y)", ["f(x", "y)"]),
        ("a=b='c d'", ["a=b='c d'"]),
        ("a== b", ["a==", "b"]),
        ("'' \"\"", ["''", '""']),
        ("path=C:\\dir\\ b", ["path=C:\\dir\\", "b"]),
    ],
)
def test_a_line_is_split_at_blanks_outside_quotes_and_brackets(line: str, words: list[str]) -> None:
    assert split(line) == words


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("set Signup it 'a b", "the quote ' is not closed: 'a b"),
        ('x="', 'the quote " is not closed: "'),
        (r"'a\'", "the quote ' is not closed"),
        ("xs=[1, 2", "']' is missing at the end of: xs=[1, 2"),
        ("xs=[1, {2]", "'}' is missing"),
        ("a {b", "'}' is missing at the end of: {b"),
        ("(1", "')' is missing"),
        ("[1, it's]", "the quote ' is not closed"),
    ],
)
def test_what_is_not_closed_is_an_error_that_shows_where(line: str, problem: str) -> None:
    with pytest.raises(CommandError, match=re.escape(problem)):
        split(line)


@given(LINES)
@example("'" * 3)
@example("\\")
@example("{[(")
def test_splitting_loses_only_blanks_between_words_and_raises_only_one_error(line: str) -> None:
    try:
        words = split(line)
    except CommandError:
        return
    rest = line
    for word in words:
        assert word
        before, _, rest = rest.partition(word)
        assert not before.strip()
    assert not rest.strip()
    assert split(" ".join(words)) == words


@given(LINES)
def test_a_text_can_always_be_typed_as_one_word(text: str) -> None:
    word = as_word(text)
    assert split(word) == [word]
    assert split(f"update S k={word} l=1") == ["update", "S", f"k={word}", "l=1"]
    value = Variables({}).value(word)
    assert text in (value.value, value.text)


# --- literals and variables

NOTHING = object()
NAMES: dict[str, Any] = {"n": 2, "text": "a b", "d": {"k": [1]}, "naïve": 3, "thing": NOTHING}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("1+2j", 1 + 2j),
        ("True", True),
        ("None", None),
        ("true", "true"),
        ("[1, 'a']", [1, "a"]),
        ("{'a': 1}", {"a": 1}),
        ("{100}", {100}),
        ("{}", {}),
        ("(1, 2)", (1, 2)),
        ("1,2", (1, 2)),
        ("b'x'", b"x"),
        ("'7'", "7"),
        ('"it\'s"', "it's"),
        ("it's", "it's"),
        ("await_phone", "await_phone"),
        ("+49170", "+49170"),
        ("+1.5", "+1.5"),
        ("007", "007"),
        ("2026-10-12", "2026-10-12"),
        ("cost=$5", "cost=$5"),
        ("$5", "$5"),
        ("$", "$"),
        ("100%", "100%"),
        ("a{}b", "a{}b"),
        ("", ""),
        ("f'abc'", "f'abc'"),
        ("9" * 5_000, "9" * 5_000),
        ("\0", "\0"),
        ("\ud800", "\ud800"),
        ("[" * 300 + "]" * 300, "[" * 300 + "]" * 300),
        ("-" * 100_000 + "1", "-" * 100_000 + "1"),
        ("{[]}", "{[]}"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else None,
)
def test_a_word_is_a_literal_or_else_text(word: str, value: object) -> None:
    given = literal(word)
    assert type(given.value) is type(value)
    assert given.value == value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$n", 2),
        ("$naïve", 3),
        ("$d", {"k": [1]}),
        ("{n}", 2),
        ("{n + 1}", 3),
        ("{ n }", 2),
        ("{d['k'][0]}", 1),
        ("{text.upper()}", "A B"),
        ("{'a': n}", {"a": 2}),
        ("{'a': {'b': n}}", {"a": {"b": 2}}),
        ("{1, n}", (1, 2)),
        ("{n, n + 1}", (2, 3)),
        ("{i for i in [n]}", {2}),
        ("{i: n for i in [n]}", {2: 2}),
        ("{[i + n for i in [1]]}", [3]),
        ("{(lambda: n)()}", 2),
        ("{n}-{n}", "2-2"),
        ("{n}.{n}", "2.2"),
        ("{n}[0]", "2[0]"),
        ("a$n", "a2"),
        ("$n$n", "22"),
        ("${n}", "$2"),
        ("cost=$5", "cost=$5"),
        ("$5 and $n", "$5 and 2"),
        ("'$n'", "$n"),
        ('"{n}"', "{n}"),
        ("+49{n}", "+492"),
    ],
)
def test_variables_and_expressions_are_expanded(word: str, value: object) -> None:
    found = Variables(NAMES).value(word).value
    assert type(found) is type(value)
    assert found == value


def test_a_variable_is_given_as_the_object_that_it_is() -> None:
    variables = Variables(NAMES)
    assert variables.value("$thing").value is NOTHING
    assert variables.value("{thing}").value is NOTHING
    assert variables.value("$thing").text is None


def test_the_first_names_win() -> None:
    """Local variables come after global ones in a call, and are what a function's code sees."""
    assert Variables({"n": "local"}, {"n": "global", "m": 1}).value("$n").value == "local"
    assert Variables({"n": "local"}, {"n": "global", "m": 1}).value("$m").value == 1


@pytest.mark.parametrize("word", ["{count()}", "a{count()}", "{count()}b", "{'a': count()}", "{count() + 1}"])
def test_an_expression_is_evaluated_once(word: str) -> None:
    calls: list[int] = []

    def count() -> int:
        calls.append(1)
        return len(calls)

    assert "1" in str(Variables({"count": count}).value(word).value) or calls == [1]
    assert calls == [1]


def test_an_expression_can_not_change_the_variables() -> None:
    names = {"n": 2}
    assert Variables(names).value("{(n := 5)}").value == 5
    assert names == {"n": 2}


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def raise_(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("$nobody", "name 'nobody' is not defined in '$nobody'; quote it to have it as text"),
        ("price$usd", "name 'usd' is not defined in 'price$usd'"),
        ("{nobody + 1}", "name 'nobody' is not defined"),
        ("{1/0}", "'1/0' fails with ZeroDivisionError: division by zero in '{1/0}'"),
        ("{n +}", "'n +' is no expression"),
        ("{n = 1}", "'n = 1' is no expression"),
        ("{{n}}", "fails with TypeError: unhashable type: 'set'"),
        ("{raise_(two_lines)}", "fails with ValueError: first second"),
        ("{raise_(broken)}", "fails with Broken: its message fails"),
        ("{d.nothing}", "fails with AttributeError"),
    ],
)
def test_an_expression_that_fails_is_an_error_that_says_how_to_go_on(word: str, problem: str) -> None:
    names = {**NAMES, "raise_": raise_, "two_lines": ValueError("first\nsecond"), "broken": Broken()}
    with pytest.raises(CommandError, match=re.escape(problem)) as caught:
        Variables(names).value(word)
    assert "quote it to have it as text" in str(caught.value)


def test_an_interrupt_in_an_expression_is_none_of_ours() -> None:
    with pytest.raises(KeyboardInterrupt):
        Variables({"raise_": raise_, "it": KeyboardInterrupt()}).value("{raise_(it)}")


def test_reading_a_word_never_warns_about_it() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        words = [r"'\d+'", "5or", "1_if", "0x1for", r"{'\d'}", "[1 is 1]"]
        values = [literal(word).value for word in words]
    assert values[:2] == [r"\d+", "5or"]
    assert not caught


@given(LINES)
def test_any_word_has_a_value_or_an_error_of_ours(word: str) -> None:
    given = literal(word)
    assert given.text in (None, word)
    try:
        value = Variables(NAMES).value(word)
    except CommandError:
        return
    if "$" not in word and "{" not in word:
        assert value == given or value.value != value.value  # nan


# --- conversion to annotations


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"
    ALIAS = RED


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Planet(enum.Enum):
    EARTH = (1, 2)
    MARS = (3, 4)


class Ratio(enum.Enum):
    HALF = 0.5
    ALL = None


class Swapped(enum.Enum):
    A = "B"
    B = "A"


@dataclass
class Place:
    x: int
    y: int = 0


class Place3(Place):
    pass


@dataclass
class Checked:
    x: int

    def __post_init__(self) -> None:
        if self.x < 0:
            raise RuntimeError("x is negative")


class Pair(NamedTuple):
    a: int
    b: str


class Fields(TypedDict):
    a: int


class Custom:
    pass


class Speaks(Protocol):
    def speak(self) -> None: ...


UserId = NewType("UserId", int)
MaybeColour = Optional[Colour]  # noqa: UP045 - the old way to write it is read as well as the new one
MaybePlanet = Optional[Planet]  # noqa: UP045
MaybeInt = Optional[int]  # noqa: UP045
MaybeStr = Optional[str]  # noqa: UP045
T = TypeVar("T")
UTC = datetime.UTC


def converted(annotation: Any, word: str, **names: Any) -> Any:
    parameter = inspect.Parameter("it", inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=object())
    return convert(parameter, Variables(names).value(word), "task1")


@pytest.mark.parametrize(
    ("annotation", "word", "value"),
    [
        (int, "7", 7),
        (int, "'7'", 7),
        (int, "-7", -7),
        (int, "1_000", 1000),
        (float, "7", 7.0),
        (float, "1e3", 1000.0),
        (float, "'1.5'", 1.5),
        (bool, "True", True),
        (bool, "true", True),
        (bool, "0", False),
        (str, "text", "text"),
        (str, "7", "7"),
        (str, "007", "007"),
        (str, "1.50", "1.50"),
        (str, "None", "None"),
        (str, "True", "True"),
        (str, "[1, 2]", "[1, 2]"),
        (str, "+49170", "+49170"),
        (str, "'a b'", "a b"),
        (str, "", ""),
        (bytes, "b'ab'", b"ab"),
        (Colour, "RED", Colour.RED),
        (Colour, "r", Colour.RED),
        (Colour, "'BLUE'", Colour.BLUE),
        (Colour, "$it", Colour.BLUE),
        (Colour, "ALIAS", Colour.RED),
        (Level, "2", Level.HIGH),
        (Level, "HIGH", Level.HIGH),
        (Level, "'2'", Level.HIGH),
        (Planet, "EARTH", Planet.EARTH),
        (Planet, "(3, 4)", Planet.MARS),
        (Ratio, "HALF", Ratio.HALF),
        (Ratio, "0.5", Ratio.HALF),
        (Swapped, "A", Swapped.B),
        (MaybeColour, "RED", Colour.RED),
        (MaybePlanet, "EARTH", Planet.EARTH),
        (Planet | None, "None", None),
        (Annotated[Colour, "which"], "BLUE", Colour.BLUE),
        (Annotated[int, []], "7", 7),
        (Literal["a", 1], "a", "a"),
        (Literal["a", 1], "1", 1),
        (Literal["1"], "1", "1"),
        (Literal[True], "True", True),
        (Literal[Colour.RED], "RED", Colour.RED),
        (Literal[b"x", "y"], "b'x'", b"x"),
        (datetime.date, "2026-10-12", datetime.date(2026, 10, 12)),
        (datetime.date, "'2026-01-02'", datetime.date(2026, 1, 2)),
        (datetime.datetime, "2026-10-12T08:30:00", datetime.datetime(2026, 10, 12, 8, 30)),
        (datetime.datetime, "2026-10-12T08:30", datetime.datetime(2026, 10, 12, 8, 30)),
        (datetime.datetime, "'2026-10-12 08:30:00'", datetime.datetime(2026, 10, 12, 8, 30)),
        (datetime.datetime, "2026-10-12", datetime.datetime(2026, 10, 12)),
        (datetime.datetime, "2026-10-12T08:30:00Z", datetime.datetime(2026, 10, 12, 8, 30, tzinfo=UTC)),
        (datetime.datetime | None, "2026-10-12T08:30", datetime.datetime(2026, 10, 12, 8, 30)),
        (list, "[1, 'a']", [1, "a"]),
        (list[int], "[1, 2]", [1, 2]),
        (list[int], "1,2", [1, 2]),
        (tuple[int, str], "[1, 'a']", (1, "a")),
        (set[int], "{1, 2}", {1, 2}),
        (dict, "{'a': 1}", {"a": 1}),
        (dict[str, int], "{'a': 1}", {"a": 1}),
        (dict[str, list[Place]], "{'a': [{'x': 1}]}", {"a": [Place(1)]}),
        (MaybeInt, "None", None),
        (MaybeInt, "7", 7),
        (MaybeStr, "7", "7"),
        (MaybeStr, "None", None),
        (int | str, "7", 7),
        (int | str, "a", "a"),
        (Place, "{'x': 1, 'y': 2}", Place(1, 2)),
        (Pair, "[1, 'a']", Pair(1, "a")),
        (Fields, "{'a': 1}", {"a": 1}),
        (UserId, "7", 7),
        (decimal.Decimal, "1.50", decimal.Decimal("1.50")),
        (uuid.UUID, "12345678123456781234567812345678", uuid.UUID(int=0x12345678123456781234567812345678)),
        (Any, "7", 7),
        (object, "text", "text"),
        (inspect.Parameter.empty, "[1]", [1]),
        (T, "7", 7),
    ],
)
def test_what_was_typed_becomes_what_the_parameter_wants(annotation: Any, word: str, value: Any) -> None:
    found = converted(annotation, word, it=Colour.BLUE)
    assert type(found) is type(value)
    assert found == value


@pytest.mark.parametrize(
    ("annotation", "thing"),
    [
        (list, [1]),
        (dict, {"a": 1}),
        (Place, Place3(1)),
        (Custom, Custom()),
        (Custom | Place, Place(1)),
        (collections.OrderedDict, collections.OrderedDict(a=1)),
        (Speaks, Custom()),  # nobody can check it
        (Callable[[int], int], len),
        (5, Custom()),
        ([], Custom()),
        (datetime.date, datetime.datetime(2026, 1, 2)),
    ],
    ids=str,
)
def test_a_variable_that_fits_reaches_the_task_as_it_is(annotation: Any, thing: object) -> None:
    assert converted(annotation, "$thing", thing=thing) is thing


@pytest.mark.parametrize(
    ("annotation", "word", "problem"),
    [
        (int, "foo", "task 'task1', parameter 'it: int': 'foo' doesn't fit (Expected `int`, got `str`)"),
        (int, "1.5", "'1.5' doesn't fit"),
        (int, "None", "'None' doesn't fit"),
        (int, "True", "'True' doesn't fit"),
        (int, "", "'' doesn't fit"),
        (int, "9" * 5_000, "doesn't fit"),
        (float, "fast", "doesn't fit (Expected `float`, got `str`)"),
        (bool, "yes", "doesn't fit (Expected `bool`, got `str`)"),
        (bool, "2", "doesn't fit"),
        (bytes, "abcd", "doesn't fit (Expected `bytes`, got `str`)"),
        (Colour, "GREEN", "parameter 'it: Colour': 'GREEN' doesn't fit (it can be RED, BLUE, ALIAS)"),
        (Colour, "1", "it can be RED, BLUE"),
        (Planet, "VENUS", "it can be EARTH, MARS"),
        (Planet | None, "VENUS", "it can be EARTH, MARS, None"),
        (Literal["a", 1], "b", "it can be a, 1"),
        (Literal[Colour.RED], "BLUE", "it can be RED"),
        (datetime.date, "tomorrow", "'tomorrow' doesn't fit (Invalid RFC3339 encoded date)"),
        (datetime.date, "2026-13-01", "doesn't fit"),
        (datetime.datetime, "noon", "'noon' doesn't fit"),
        (list[int], "[1, 'a']", "Expected `int`, got `str` - at `$[1]`"),
        (list[int], "7", "Expected `array`, got `int`"),
        (list[Colour], "RED", "Expected `array`, got `str`"),
        (dict, "[1]", "doesn't fit"),
        (dict[str, int], "{1: 2}", "doesn't fit"),
        (Place, "{'x': 'a'}", "Expected `int`, got `str` - at `$.x`"),
        (Place, "{}", "missing required field `x`"),
        (Checked, "{'x': -1}", "x is negative"),
        (Custom, "text", "Expected `Custom`, got `str`"),
        (int, "$big", "doesn't fit"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_value_that_does_not_fit_is_an_error_that_says_which_where_and_why(
    annotation: Any, word: str, problem: str
) -> None:
    with pytest.raises(ArgumentError, match=re.escape(problem)) as caught:
        converted(annotation, word, big=list(range(100_000)))
    text = str(caught.value)
    assert text.startswith("task 'task1', parameter ")
    assert len(text) < 400
    assert "0x" not in text  # the default's address, for one


ANNOTATIONS = [
    *(int, float, bool, str, bytes, Colour, Level, Planet, Ratio, Literal["a", 1], datetime.date, datetime.datetime),
    *(list[int], dict[str, int], MaybeInt, int | str, Place, Pair, Custom, Any),
]


@given(LINES, st.sampled_from(ANNOTATIONS))
def test_any_text_is_converted_or_refused_with_an_error_of_ours(word: str, annotation: Any) -> None:
    try:
        value = converted(annotation, as_word(word))
    except ArgumentError:
        return
    if isinstance(annotation, type) and annotation is not Any:
        assert isinstance(value, annotation)


@given(st.sampled_from(ANNOTATIONS), st.data())
def test_a_text_field_can_hold_what_a_value_is_written_as(annotation: Any, data: st.DataObject) -> None:
    """A literal that is typed reads back as the value it was written from."""
    value = data.draw(st.from_type(annotation)) if annotation in (int, bool, str, list[int], dict[str, int]) else 7
    wanted = annotation if annotation in (int, bool, str, list[int], dict[str, int]) else int
    assert converted(wanted, repr(value)) == value
    assert Given(value) == Given(value, None)


def test_attributes_of_variables_are_read_and_variables_in_brackets_are_refused() -> None:
    variables = Variables({"box": types.SimpleNamespace(size=3), "n": 1})
    assert variables.value("$box.size") == Given(3)
    assert variables.text("size $box.size.") == "size 3."
    with pytest.raises(CommandError, match=r"write the whole as an expression, such as \{\[n, 2\]\}"):
        variables.value("[$n, 2]")
