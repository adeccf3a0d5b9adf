"""Type checkers know what the public calls take and give: mypy is asked once, for all of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import qstate_nb

PRELUDE = """\
import asyncio
from collections.abc import Callable
from uuid import UUID
from qstate_nb import *
from qstate_nb.errors import *

class Signup(State):
    step: int = 0

class Chat(AsyncState, name="chat", strict=True):
    text: str | None = None

class Plain: ...

registry = StateRegistry(max_events=None)
app = InlineApp(registry=registry)
signup = registry.state(Signup)
chat = registry.state(Chat)
event = registry.history()[-1]
change = event.changes[0]
key = StateKey("Signup", 42)
def length(value: str) -> int: return len(value)
def use(event: Event) -> None: ...
def scopes(number: int, text: str, unique: UUID) -> None: ...
async def examples(deadlock: DeadlockError, missing: NotFoundError, wait: Wait) -> None:
"""

SYNC = {
    "get('a')": "Any",
    "get()": "Any",
    "get('a', 5)": "Any",
    "get_all()": "dict[str, Any]",
    "set('a', 1)": "None",
    "update(a=1, b='x')": "dict[str, Any]",
    "delete('a')": "None",
    "clear()": "None",
    "drop()": "None",
    "contains('a')": "bool",
    "keys()": "list[str]",
    "increment('n')": "Any",
    "increment('n', 0.5)": "Any",
    "append('a', 1)": "None",
    "setdefault('a', 1)": "Any",
    "pop('a', 1)": "Any",
    "mutate('a', length, '')": "Any",
}
OTHERS = {
    "signup": "Signup",
    "chat": "Chat",
    "registry.state(Signup, scope=42)": "Signup",
    "registry.state(Signup, 'anna')": "Signup",
    "registry.state(Chat, scope=UUID(int=5))": "Chat",
    "app.state(Signup)": "Signup",
    "app.state(Chat, scope=42)": "Chat",
    "signup.transaction()": "Transaction",
    "chat.transaction(timeout=1.5)": "Transaction",
    "transaction(signup, chat, timeout=1)": "Transaction",
    "transaction(signup).__enter__()": "Transaction",
    "await transaction(signup).__aenter__()": "Transaction",
    "transaction(signup).__exit__(None, None, None)": "None",
    "default_registry()": "StateRegistry",
    "registry.history()": "History",
    "registry.history('Signup', limit=1)[1:]": "History",
    "registry.history(call=1)[0]": "Event",
    "registry.at(1)": "Snapshot",
    "registry.at('label')['Signup']": "Mapping[str, Any]",
    "registry.diff(1, 2)": "Diff",
    "registry.diff(1).added": "tuple[tuple[StateKey, tuple[Any, ...], Any, Any, fallback=Difference], ...]",
    "registry.blame(Signup)": "dict[str, Event]",
    "registry.undo(2, by='event')": "History",
    "registry.redo()": "History",
    "registry.rewind('label')": "Event | None",
    "registry.label('label')": "int",
    "registry.labels": "dict[str, int]",
    "registry.fork(3)": "StateRegistry",
    "app.fork('label')": "InlineApp",
    "registry.save('x')": "int",
    "registry.load('x')": "int",
    "signup.changes()": "Changes",
    "registry.keys()": "list[StateKey]",
    "registry.names()": "list[str]",
    "registry.find('Signup[42]')": "StateKey",
    "registry.key(Signup)": "StateKey",
    "registry.peek(key)": "dict[str, Any]",
    "registry.writers(key)": "dict[str, Event]",
    "registry.subscribe(use)": "def ()",
    "event.seq": "int",
    "event.time": "float",
    "event.op": "str",
    "event.actor": "Actor",
    "event.states": "tuple[StateKey, ...]",
    "event.changes": "tuple[tuple[StateKey, str, Any, Any, fallback=Change], ...]",
    "change.state": "StateKey",
    "change.field": "str",
    "change.before": "Any",
    "event.actor.task": "str | None",
    "event.actor.call": "int | None",
    "event.actor.cell": "int | None",
    "key.name": "str",
    "key.scope": "str | int | UUID | None",
    "StateKey.parse('Signup')": "StateKey",
    "str(key)": "str",
    "deadlock.cycle": "tuple[Wait, ...]",
    "wait.who": "str",
    "wait.holds": "tuple[str, ...]",
    "wait.waits_for": "str",
    "missing.name": "str",
    "missing.known": "list[str]",
    "Signup.state_name": "str",
    "SyncStateRegistry(registry).update(Plain, {})": "dict[str, Any]",
    "await AsyncStateRegistry(registry).get(Plain, 'a')": "Any",
}
REVEALED = {
    **{f"signup.{call}": kind for call, kind in SYNC.items()},
    **{f"await chat.{call}": kind for call, kind in SYNC.items()},
    **OTHERS,
}
BLOCKS = {
    "with signup.transaction() as t: reveal_type(t)": "Transaction",
    "async with chat.transaction() as t: reveal_type(t)": "Transaction",
    "async with transaction(signup, chat) as t: reveal_type(t)": "Transaction",
    "with transaction(chat): reveal_type(signup.increment('n'))": "Any",
}
WRONG = {
    "registry.state(Plain)": "type-var",
    "app.state(5)": "arg-type",
    "registry.state(Signup, scope=1.5)": "arg-type",
    "registry.state(Signup, scope=b'a')": "arg-type",
    "signup.increment(5)": "arg-type",
    "signup.set('a')": "call-arg",
    "signup.append('a')": "call-arg",
    "signup.mutate('a', 5)": "arg-type",
    "signup.contains(None)": "arg-type",
    "await signup.set('a', 1)": "func-returns-value",
    "chat.drop()": "unused-coroutine",
    "signup.stpe": "attr-defined",
    "signup.transaction('1')": "call-arg",
    "transaction(Signup)": "arg-type",
    "transaction(Plain())": "arg-type",
    "signup.transaction(timeout='1')": "arg-type",
    "event.seq = 5": "misc",
    "key.name = 'x'": "misc",
    "event.key": "attr-defined",
    "wait.who = 'x'": "misc",
    "registry.subscribe(length)": "arg-type",
}
LINES = [
    *(f"reveal_type({call})" for call in REVEALED),
    *BLOCKS,
    *WRONG,
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What mypy says of each line."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "calls.py").write_text(PRELUDE + "".join(f"    {line}\n" for line in LINES))
    options = ["--strict", "--hide-error-context", "--no-error-summary", "--cache-dir", str(folder / "cache")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "calls.py"],
        cwd=folder,
        env={"MYPYPATH": str(Path(qstate_nb.__file__).parents[1]), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.stderr == ""
    first = PRELUDE.count("\n") + 1
    told: dict[str, str] = {}
    for number, text in re.findall(r"^calls\.py:(\d+): (.*)$", done.stdout, re.MULTILINE):
        line = LINES[int(number) - first] if int(number) >= first else PRELUDE.splitlines()[int(number) - 1]
        told[line] = f"{told[line]}; {text}" if line in told else text
    return told


def revealed(text: str) -> str:
    """The type in mypy's note, with names instead of paths."""
    match = re.fullmatch(r'note: Revealed type is "(.*)"', text)
    assert match is not None, text
    plain = re.sub(r"\b(?:[a-z_]+\.)+(?=\w)", "", match[1].replace("calls.", ""))
    return re.sub(r"Union\[(.*)\]", lambda union: union[1].replace(", ", " | "), plain)


@pytest.mark.parametrize("call", REVEALED)
def test_the_type_of_a_call_is_known(told: dict[str, str], call: str) -> None:
    assert revealed(told[f"reveal_type({call})"]) == REVEALED[call]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_transaction_is_a_context_manager_of_both_kinds(told: dict[str, str], block: str) -> None:
    assert revealed(told[block]) == BLOCKS[block]


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_call_is_an_error(told: dict[str, str], line: str) -> None:
    assert "error: " in told[line]
    assert f"[{WRONG[line]}]" in told[line]


def test_nothing_else_is_an_error(told: dict[str, str]) -> None:
    """Neither the classes with declared fields nor any right call."""
    assert [line for line, text in told.items() if "error: " in text and line not in WRONG] == []
