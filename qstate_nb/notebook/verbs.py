"""The verbs of `%qstate`: their grammar and help, and the parsing of a line."""

from __future__ import annotations

import argparse
import re
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from qstate_nb.errors import CommandError, NotFoundError
from qstate_nb.notebook.render import Block, Heading, Paragraph, Table, View


class HelpRequested(Exception):  # noqa: N818 - it is no error
    """``-h`` was in the line."""


class _Once(argparse.Action):
    """An option that may be given once."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        seen = namespace.__dict__.setdefault("seen", set())
        if self.dest in seen:
            parser.error(f"{option_string} was given twice")
        seen.add(self.dest)
        setattr(namespace, self.dest, True if self.nargs == 0 else values)


class Verb(argparse.ArgumentParser):
    """One verb: what comes after it in a line.

    Args:
        name: the verb.
        summary: what it does, for help and README.
    """

    def __init__(self, name: str, summary: str) -> None:
        super().__init__(prog=f"%qstate {name}", add_help=False, allow_abbrev=False)
        self.name = name
        self.summary = summary
        self.options = ["-h", "--help"]
        self.explained: dict[str, str] = {}
        self._text_from = sys.maxsize
        self._converters: dict[str, Callable[[str], Any]] = {}
        self._negative_number_matcher = re.compile(r"-\.?\d")  # argparse's takes -1e3 and -5C for options

    def words(self, *names: str, nargs: str | None = None) -> Verb:
        """Add positional words."""
        for name in names:
            extra: dict[str, Any] = {"default": []} if nargs == "*" else {}  # else argparse says that it is required
            self.add_argument(name.lower(), metavar=name, nargs=nargs, **extra)
        return self

    def text(self, name: str) -> Verb:
        """Add words that are a text together; a ``-h`` in it asks for no help."""
        self._text_from = len(self._actions)
        return self.words(name, nargs="+")

    def option(
        self,
        flag: str,
        metavar: str | None = None,
        *,
        explained: str,
        convert: Callable[[str], Any] = str,
        default: Any = None,
    ) -> Verb:
        """Add an option, with a value if it has a *metavar*."""
        self.options.append(flag)
        self.explained[f"{flag} {metavar or ''}".rstrip()] = explained
        extra: dict[str, Any] = {"nargs": 0} if metavar is None else {"metavar": metavar}
        action = self.add_argument(flag, action=_Once, default=default, **extra)
        self._converters[action.dest] = convert
        return self

    def converted(self, name: str, text: str) -> Any:
        """The value of an option, whose variables are expanded by now.

        Raises:
            CommandError: it can't be used.
        """
        try:
            return self._converters[name](text)
        except ValueError as error:
            self.error(f"--{name} {text}: {error}")

    @property
    def usage_line(self) -> str:
        """The verb as it is typed, such as ``show [STATE]``."""
        words = [_as_typed(action) for action in self._actions]
        return " ".join([self.name, *sorted(words, key=lambda word: word.startswith("[-"))])

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """What was given after the verb.

        Raises:
            HelpRequested: ``-h`` is among the words.
            NotFoundError: an option is unknown.
            CommandError: a word is missing or can't be used.
        """
        asked = words if len(words) <= self._text_from else words[:1]  # a -h may be in the text
        if "-h" in asked or "--help" in asked:
            raise HelpRequested
        namespace, unknown = self.parse_known_intermixed_args(list(words))
        for word in unknown:
            if word in self.options:
                self.error(f"{word} stands first; in a text it has to be quoted")
            if word.startswith("-"):
                raise NotFoundError(f"option of %qstate {self.name} called", word, self.options)
            self.error(f"{word!r} is one word too many")
        return namespace

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        raise CommandError(f"{message}; usage: %qstate {self.usage_line}")


def _as_typed(action: argparse.Action) -> str:
    metavar = str(action.metavar)
    if action.option_strings:
        return f"[{action.option_strings[0]}{'' if action.nargs == 0 else f' {metavar}'}]"
    return {"?": f"[{metavar}]", "*": f"[{metavar} …]", "+": f"{metavar} …"}.get(str(action.nargs), metavar)


def count(text: str) -> int:
    """A whole number, 1 or more.

    Raises:
        ValueError: it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("it must be a whole number, 1 or more")
    return int(text)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("it must be a whole number, 0 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= threading.TIMEOUT_MAX:
        raise ValueError("it must be a number of seconds, more than 0")
    return number


def _verbs() -> dict[str, Verb]:
    run = Verb("run", "run a task; show its output, its result and what it changed in State")
    run.words("TASK").words("k=v", nargs="*")
    run.option("--times", "N", convert=count, default=1, explained="make N calls, one after the other")
    run.option("--concurrent", default=False, explained="make them all at once")
    run.option("--timeout", "S", convert=_seconds, explained="stop each call after S seconds")
    run.option("-o", "NAME", explained="assign the TaskResult, or the list of them, to a variable")
    show = Verb("show", "show all States, or one: keys, values, and who changed them").words("STATE", nargs="?")
    show.option("--at", "MOMENT", explained="as it was after the event of that number, or at that label")
    history = Verb("history", "list the events: what changed, and who did it").words("STATE", nargs="?")
    history.option("-n", "N", convert=count, explained="the last N")
    history.option("--task", "T", explained="those of a task")
    history.option("--key", "K", explained="those that changed a key")
    history.option("--times", default=False, explained="say when, too")
    undo = Verb("undo", "undo what the last call or command changed, or the last N").words("N", nargs="?")
    undo.option("--event", default=False, explained="undo single events, not whole calls")
    fork = Verb("fork", "try things on a copy of the State, as it is or was: an app with the same tasks")
    fork.words("MOMENT", nargs="?").option("-o", "NAME", explained="the variable to assign the app to")
    races = Verb("races", "find every outcome of calls that run at once: deposit deposit, or pay(amount=80) pay(5)")
    races.words("TASK", nargs="+")
    races.option("-n", "N", convert=count, default=1, explained="N of each")
    races.option("--check", "EXPR", explained='what is true for a good State: "Account.balance >= 0"')
    races.option("--now", default=False, explained="begin with a copy of the State as it is, not with none")
    races.option("--preemptions", "N", convert=_whole, explained="only schedules with at most N preemptions")
    races.option("--seconds", "S", convert=_seconds, default=10.0, explained="stop after S seconds; 10 if not given")
    races.option("-o", "NAME", explained="assign the Exploration to a variable")
    scenario = Verb("scenario", "run a cell of Python as a scenario: each statement a step; or show one that was run")
    scenario.words("NAME", nargs="?")
    scenario.option("--fresh", default=False, explained="begin with empty State, and leave the real one alone")
    scenario.option("-o", "NAME", explained="assign the Scenario to a variable")
    use = Verb("use", "keep State in memory://, sqlite:///path.db or redis://host; or say where it is kept")
    verbs = (
        show,
        Verb("get", "the value of a key: x = %qstate get STATE KEY").words("STATE", "KEY"),
        Verb("set", "give a key a value: a Python literal, or else text").words("STATE", "KEY").text("VALUE"),
        Verb("update", "give several keys a value at once").words("STATE").words("k=v", nargs="+"),
        Verb("incr", "add to a number: 1, or BY").words("STATE", "KEY").words("BY", nargs="?"),
        Verb("append", "add an item to the end of a list").words("STATE", "KEY").text("VALUE"),
        Verb("delete", "remove a key").words("STATE", "KEY"),
        Verb("clear", "remove all keys of a State").words("STATE"),
        Verb("drop", "remove all keys of a State, and its name").words("STATE"),
        history,
        Verb("diff", "what changed from one moment to another, or to now").words("A").words("B", nargs="?"),
        Verb("blame", "for each key of a State, the event that wrote it").words("STATE"),
        undo,
        Verb("redo", "bring back what the last undo reverted, or the last N").words("N", nargs="?"),
        Verb("rewind", "make State as it was after an event, or at a label").words("MOMENT"),
        Verb("label", "give this moment a name, to come back to").words("NAME"),
        fork,
        Verb("save", "write events, labels and State to a file").words("FILE"),
        Verb("load", "replace events, labels and State by those of a file").words("FILE"),
        Verb("tasks", "list the tasks"),
        run,
        races,
        scenario,
        Verb("record", "record what is run from now on, in cells or in the panel, as a scenario").words("NAME"),
        Verb("stop", "end the recording, and show it"),
        Verb("app", "say which app is in use, or choose one by its variable").words("NAME", nargs="?"),
        use.words("URL", nargs="?"),
        Verb("panel", "open the panel: run tasks and see State live"),
        Verb("help", "explain all verbs, or one").words("VERB", nargs="?"),
    )
    return {verb.name: verb for verb in verbs}


VERBS = _verbs()


def find_verb(name: str) -> Verb:
    """The verb of that name.

    Raises:
        NotFoundError: there is none; it shows the close matches.
    """
    if name not in VERBS:
        raise NotFoundError("verb", name, VERBS)
    return VERBS[name]


def help_view(name: str | None = None) -> View:
    """The help of one verb, or of all."""
    if name is not None:
        verb = find_verb(name)
        options = [Table(("option", "what it does"), list(verb.explained.items()), frozenset({0}))]
        heading = Heading(f"%qstate {verb.usage_line}")
        return View([heading, Paragraph(verb.summary), *(options if verb.explained else [])])
    rows = [("%qstate", "show the app, its States, its tasks and the last events")]
    rows += [(f"%qstate {verb.usage_line}", verb.summary) for verb in VERBS.values()]
    blocks: list[Block] = [
        Table(("command", "what it does"), rows, frozenset({0})),
        Paragraph("Values are Python literals or else text. $name and {expr} are your variables; quotes keep them."),
        Paragraph("STATE is a name, such as Signup, or that of one scope, such as Signup[42]."),
        Paragraph("MOMENT, A and B are the number of an event, 0 for the beginning, or a label."),
        Paragraph("A ; at the end silences. -h after a verb explains it."),
    ]
    return View(blocks)
