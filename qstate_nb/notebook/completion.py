"""What can come next in a `%qstate` line: verbs, tasks, parameters, choices, States, keys, options.

The candidates are live: they are looked up when Tab is pressed.
"""

from __future__ import annotations

import inspect
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from qstate_nb.app import InlineApp, Task
from qstate_nb.core.inject import VARIADIC
from qstate_nb.errors import QStateError
from qstate_nb.notebook.apps import apps_in
from qstate_nb.notebook.arguments import as_word, listed, parts
from qstate_nb.notebook.verbs import VERBS

_ON_WHOLE_STATE = ("show", "clear", "drop", "history", "blame")
_MOMENTS = {"diff": 2, "rewind": 1, "fork": 1}  # verb → how many it takes
_ON_STATE = (*_ON_WHOLE_STATE, "get", "set", "update", "incr", "append", "delete")
_FEW_SCOPES = 20
_MOST = 1_000  # candidates
_FILE = "sqlite:///"
_SPECIAL = re.compile(r"""[\s%?'"$;{}]""")  # in a URL on a line

_PYTHON = re.compile(r"\s*%%qstate[ \t]+scenario\b")  # a cell of it
_LINE = re.compile(r"\s*(?:[\w.,\s\[\]'\"]+=\s*)?%{1,2}qstate\s+(.*)", re.DOTALL)


def command_before(line: str, cell: str) -> str | None:
    """The command that is being typed, or None if the line is none.

    Args:
        line: the line up to the cursor.
        cell: the whole cell; in a cell of ``%%qstate`` each line is a command.

    Example:
        >>> command_before("x = %qstate get Sig", ""), command_before("get Sig", "%%qstate"), command_before("x", "")
        ('get Sig', 'get Sig', None)
    """
    match = _LINE.fullmatch(line)
    if match is not None:
        return match[1]
    is_ours = cell.lstrip().startswith("%%qstate") and not _PYTHON.match(cell)
    return line.lstrip() if is_ours and "%" not in line else None


def candidates(command: str, names: Mapping[str, Any], app: Callable[[], InlineApp]) -> tuple[str, list[str]]:
    """The word that is being typed, and what it can become.

    Args:
        command: what was typed after ``%qstate``, up to the cursor.
        names: the user's variables.
        app: gives the app in use, or raises `QStateError`.
    """
    words = command.split()
    word = "" if not words or command[-1].isspace() else words.pop()
    try:
        found = list(_candidates(words, word, names, app))
    except QStateError:  # no app, an unknown State: nothing to offer
        found = []
    return word, [candidate for candidate in found if candidate.startswith(word)]


def _candidates(words: list[str], word: str, names: Mapping[str, Any], app: Callable[[], InlineApp]) -> Iterable[str]:
    if not words:
        return VERBS
    verb, given = words[0], words[1:]
    if word.startswith("-") and verb in VERBS:
        return VERBS[verb].options
    if verb in ("help", "app", "use"):
        if given:
            return ()
        return VERBS if verb == "help" else apps_in(names) if verb == "app" else urls(word)
    return _for_app(app, verb, given, word)


def urls(word: str) -> list[str]:
    """What the URL of a store can be: its kind, or a ``*.db`` file of the folder that is typed, or of this one."""
    folder = word.removeprefix(_FILE).rpartition("/")[0] if word.startswith(_FILE) else ""
    start = f"{folder}/" if folder or word.startswith(f"{_FILE}/") else ""
    try:
        found = sorted(os.listdir(os.path.expanduser(unquote(start)) or "."))
    except (OSError, ValueError):  # no such folder, or none at all
        found = []
    files = [f"{_FILE}{start}{_SPECIAL.sub(lambda at: quote(at[0]), name)}" for name in found if name.endswith(".db")]
    return ["memory://", *files[:_MOST], _FILE, "redis://"]


def _for_app(app: Callable[[], InlineApp], verb: str, given: list[str], word: str) -> Iterable[str]:
    if verb == "run":
        return _for_run(app(), given, word)
    if verb == "races":
        return app().tasks
    if verb == "scenario":
        return () if given else map(as_word, app().scenarios)
    if given[-1:] == ["--task"]:
        return map(as_word, app().tasks)
    if given[-1:] == ["--at"] or len(given) < _MOMENTS.get(verb, 0):
        return map(as_word, app().registry.labels)
    return _for_state(app(), verb, given, word) if verb in _ON_STATE else ()


def _for_state(app: InlineApp, verb: str, given: list[str], word: str) -> Iterable[str]:
    if not given:
        return _states(app, word)
    if verb in _ON_WHOLE_STATE or (len(given) > 1 and verb != "update"):
        return ()
    fields = app.registry.peek(app.registry.find(given[0], to_write=True))
    if verb == "update":
        return (f"{field}=" for field in fields if field and "=" not in field and as_word(field) == field)
    return map(as_word, fields)


def _states(app: InlineApp, word: str) -> Iterable[str]:
    """The names of buckets; of a State with many scopes, these only once its name and ``[`` are typed."""
    keys = app.registry.keys()
    scoped = Counter(key.name for key in keys if key.scope is not None)
    found = dict.fromkeys(app.registry.names())
    for key in keys:
        many = key.scope is not None and scoped[key.name] > _FEW_SCOPES
        if many and not word.startswith(f"{key.name}["):
            found[f"{key.name}["] = None
        elif len(found) < _MOST and (not many or str(key).startswith(word)):
            found[as_word(str(key))] = None
    return found


def _for_run(app: InlineApp, given: list[str], word: str) -> Iterable[str]:
    if not given:
        return app.tasks
    task = app.find(given[0])
    name, equals, _ = word.partition("=")
    if equals:
        return (f"{name}={choice}" for choice in _choices(task, name))
    taken = {pair.partition("=")[0] for pair in given[1:]}
    named = (p for p in task.parameters if p.kind not in VARIADIC)
    return (f"{p.name}=" for p in named if p.name not in taken)


def _choices(task: Task, name: str) -> list[str]:
    return [as_word(text) for text, _ in choices(task.parameter(name))]


def choices(parameter: inspect.Parameter) -> list[tuple[str, Any]]:
    """The values that a parameter can have, each with how it is written, where they are few: Literal, Enum, bool.

    None is one of them if it is in a union with these.
    """
    found: list[tuple[str, Any]] = []
    for part in parts(parameter.annotation):
        of_part = [("True", True), ("False", False)] if part is bool else listed(part)
        if not of_part:
            return []
        found += of_part
    return found if any(value is not None for _, value in found) else []
