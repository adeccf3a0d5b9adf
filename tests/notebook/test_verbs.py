"""The verbs: their grammar, their help, and what a wrong line is told."""

from __future__ import annotations

import contextlib
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstate_nb.errors import CommandError, NotFoundError, QStateError
from qstate_nb.notebook import magic
from qstate_nb.notebook.verbs import VERBS, HelpRequested, Verb, find_verb, help_view

PROMISED = [
    *("show", "get", "set", "update", "incr", "append", "delete", "clear", "drop"),
    *("history", "diff", "blame", "undo", "redo", "rewind", "label", "fork", "save", "load"),
    *("tasks", "run", "races", "scenario", "record", "stop", "app", "use", "panel", "help"),
]


def test_the_verbs_are_those_that_were_promised() -> None:
    assert list(VERBS) == PROMISED


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_every_verb_has_a_handler_and_help(verb: Verb) -> None:
    assert callable(magic._HANDLERS[verb.name])
    assert verb.summary
    assert f"%qstate {verb.usage_line}" in help_view().text
    assert verb.summary in help_view().text
    lines = help_view(verb.name).text.splitlines()
    assert lines[:2] == [f"%qstate {verb.usage_line}", f"  {verb.summary}"]
    assert [line.split()[0] for line in lines[3:]] == [option.split()[0] for option in verb.explained]
    assert all(verb.explained.values())


def test_there_is_no_handler_without_a_verb() -> None:
    assert list(magic._HANDLERS) == list(VERBS)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_every_verb_parses_its_own_usage(verb: Verb) -> None:
    """As it is written in help, with and without what is in brackets."""
    words = re.findall(r"\[[^]]*\]|\S+", verb.usage_line.replace(" …", ""))[1:]
    needed = [word for word in words if not word.startswith("[")]
    verb.parse(needed)
    everything = [part for word in words for part in word.strip("[]").split()]
    parsed = vars(verb.parse(everything))
    for word in everything:
        if word.startswith("-"):
            assert parsed[word.lstrip("-")] is not None
        else:
            assert any(value in (word, [word]) for value in parsed.values())


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_asked_for_anywhere_in_a_line(verb: Verb, flag: str) -> None:
    for words in ([flag], ["a", flag], [flag, "a", "b", "c", "--nonsense"]):
        with pytest.raises(HelpRequested):
            verb.parse(words)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_an_unknown_flag_is_refused_with_the_known_ones(verb: Verb) -> None:
    words = re.findall(r"\[[^]]*\]|\S+", verb.usage_line)[1:]
    needed = [word for word in words if word[0] not in "[…"]
    with pytest.raises(NotFoundError, match=f"no option of %qstate {verb.name} called '--hlep'.*--help"):
        verb.parse([*needed, "--hlep"])


def test_a_flag_is_not_guessed_from_its_beginning() -> None:
    with pytest.raises(NotFoundError, match="called '--time'; did you mean '--times' or '--timeout'"):
        VERBS["run"].parse(["step1", "--time", "3"])


@pytest.mark.parametrize("flag", ["--times 3", "--concurrent", "--timeout 1", "-o x"])
def test_a_repeated_flag_is_refused(flag: str) -> None:
    with pytest.raises(CommandError, match=f"{flag.partition(' ')[0]} was given twice; usage: %qstate run TASK"):
        VERBS["run"].parse(["step1", *flag.split(), *flag.split()])


def test_what_is_missing_or_too_much_is_named_with_the_usage() -> None:
    with pytest.raises(CommandError, match="required: KEY; usage: %qstate get STATE KEY"):
        VERBS["get"].parse(["Signup"])
    with pytest.raises(CommandError, match="required: STATE, KEY, VALUE"):
        VERBS["set"].parse([])
    with pytest.raises(CommandError, match="'c' is one word too many; usage: %qstate get STATE KEY"):
        VERBS["get"].parse(["a", "b", "c"])
    with pytest.raises(CommandError, match="'x' is one word too many; usage: %qstate tasks"):
        VERBS["tasks"].parse(["x"])
    with pytest.raises(CommandError, match="expected one argument; usage: %qstate run"):
        VERBS["run"].parse(["step1", "-o"])


@pytest.mark.parametrize(
    "line",
    [
        "step1 a=1 b=2 --times 3 -o x",
        "step1 --times 3 -o x a=1 b=2",
        "--times 3 step1 a=1 -o x b=2",
        "-o x step1 a=1 b=2 --times=3",
    ],
)
def test_options_can_stand_anywhere(line: str) -> None:
    parsed = VERBS["run"].parse(line.split())
    assert (parsed.task, vars(parsed)["k=v"], parsed.times, parsed.o) == ("step1", ["a=1", "b=2"], "3", "x")
    assert (parsed.concurrent, parsed.timeout) == (False, None)


@pytest.mark.parametrize("word", ["-5", "-1.5", "-1e3", "-5C", "-1_000", "-.5", "-1+2j"])
def test_a_negative_number_is_a_value(word: str) -> None:
    assert VERBS["set"].parse(["Signup", "x", word]).value == [word]
    assert VERBS["set"].parse(["Signup", "x", "a", word]).value == ["a", word]


def test_a_quoted_word_that_starts_with_a_dash_is_a_value() -> None:
    assert VERBS["set"].parse(["Signup", "x", "'-h'"]).value == ["'-h'"]


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "", "1e3", "9" * 5_000, "²"])
def test_a_count_must_be_a_whole_number_over_zero(text: str) -> None:
    with pytest.raises(CommandError, match=r"--times .*usage: %qstate run"):
        VERBS["run"].converted("times", text)
    assert VERBS["run"].converted("times", "12") == 12


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e300", "soon", ""])
def test_a_timeout_must_be_seconds_that_a_timer_can_wait(text: str) -> None:
    with pytest.raises(CommandError, match="it must be a number of seconds, more than 0; usage: %qstate run"):
        VERBS["run"].converted("timeout", text)
    assert VERBS["run"].converted("timeout", "0.5") == 0.5
    assert VERBS["run"].converted("timeout", str(threading.TIMEOUT_MAX)) == threading.TIMEOUT_MAX


def test_an_unknown_verb_gets_the_close_matches() -> None:
    with pytest.raises(NotFoundError, match="no verb 'rnu'; did you mean 'run'"):
        find_verb("rnu")
    with pytest.raises(NotFoundError, match="no verb 'xyz'; there is: app, append, blame"):
        find_verb("xyz")
    with pytest.raises(NotFoundError, match="no verb 'RUN'"):
        help_view("RUN")


@given(
    st.sampled_from(list(VERBS.values())),
    st.lists(st.text(min_size=1, max_size=6) | st.sampled_from(["-o", "--times", "--", "-", "a=1"]), max_size=6),
)
def test_any_words_parse_or_give_an_error_of_ours(verb: Verb, words: list[str]) -> None:
    with contextlib.suppress(QStateError, HelpRequested):
        verb.parse(words)
