"""Tab in a line of `%qstate`: what can come next, from live data, and nothing else."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.shell import Shell

from qstate_nb import InlineApp, State, StateRegistry
from qstate_nb.errors import CommandError
from qstate_nb.notebook.completion import candidates, command_before
from qstate_nb.notebook.verbs import VERBS


class Signup(State):
    pass


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


@pytest.fixture
def names(app: InlineApp) -> dict[str, Any]:
    app.state(Signup).update(**{"step": 1, "first name": 2, "a=b": 3, "": 4, "$5": 5, "-x": 6, "7": 7})

    @app.task
    def step1(state: Signup, phone: str, n: int = 1, *args: int, **more: int) -> None: ...

    @app.task
    def paint(
        colour: Colour,
        kind: Literal["dark", "very light", 7],
        fast: bool,
        maybe: Colour | None = None,
        either: Colour | int = 1,
    ) -> None: ...

    return {"app": app, "n": 1, "other": InlineApp("other", registry=StateRegistry())}


def offered(command: str, names: dict[str, Any]) -> list[str]:
    return candidates(command, names, lambda: names["app"])[1]


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("", list(VERBS)),
        ("s", ["show", "set", "save", "scenario", "stop"]),
        ("xyz", []),
        ("help ", list(VERBS)),
        ("help sh", ["show"]),
        ("help show ", []),
        ("app ", ["app", "other"]),
        ("app o", ["other"]),
        ("show ", ["Signup"]),
        ("show Sig", ["Signup"]),
        ("show Signup ", []),
        ("clear ", ["Signup"]),
        ("get ", ["Signup"]),
        ("get Signup ", ["step", "'first name'", "a=b", "''", "$5", "'-x'", "7"]),
        ("get Signup st", ["step"]),
        ("get Signup 'fi", ["'first name'"]),
        ("get Signup step ", []),
        ("get Sigup ", []),
        ("set Signup st", ["step"]),
        ("set Signup step ", []),
        ("delete Signup st", ["step"]),
        ("update Signup st", ["step="]),
        ("update Signup a=1 ", ["step=", "$5=", "7="]),
        ("run ", ["step1", "paint"]),
        ("run st", ["step1"]),
        ("run step1 ", ["phone=", "n="]),
        ("run step1 n=2 ", ["phone="]),
        ("run step1 n=2 --times 3 p", ["phone="]),
        ("run step1 n=", []),
        ("run step1 x=", []),
        ("run paint colour=", ["colour=RED", "colour=BLUE"]),
        ("run paint colour=R", ["colour=RED"]),
        ("run paint kind=", ["kind=dark", "kind='very light'", "kind=7"]),
        ("run paint fast=", ["fast=True", "fast=False"]),
        ("run paint maybe=", ["maybe=RED", "maybe=BLUE", "maybe=None"]),
        ("run paint either=", []),
        ("run nobody ", []),
        ("run step1 -", ["-h", "--help", "--times", "--concurrent", "--timeout", "-o"]),
        ("run step1 --t", ["--times", "--timeout"]),
        ("show -", ["-h", "--help", "--at"]),
        ("tasks ", []),
        ("panel ", []),
        ("use m", ["memory://"]),
        ("use r", ["redis://"]),
        ("use memory:// ", []),
        ("use -", ["-h", "--help"]),
        ("nonsense ", []),
        ("nonsense -", []),
    ],
)
def test_what_can_come_next(names: dict[str, Any], command: str, found: list[str]) -> None:
    assert offered(command, names) == found


def test_the_files_that_can_be_used(names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("b.db", "a 1?.db", "a.txt", "old/c.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    files = ["sqlite:///a%201%3F.db", "sqlite:///b.db"]
    assert offered("use ", names) == ["memory://", *files, "sqlite:///", "redis://"]
    assert offered("use sqlite:///b", names) == ["sqlite:///b.db"]
    assert offered("use sqlite:///old/", names) == ["sqlite:///old/c.db"]
    assert offered("use sqlite:///~/b", names) == ["sqlite:///~/b.db"]
    assert offered(f"use sqlite:///{tmp_path}/b", names) == [f"sqlite:///{tmp_path}/b.db"]
    assert offered("use sqlite:///nowhere/", names) == []
    assert offered("use redis://me:secret", names) == []


def test_what_is_offered_for_a_key_reads_as_that_key(shell: Shell) -> None:
    keys = ["step", "first name", "it's", "$5", "{n}", "-x", "7", "", 'a "b"', "a;", "[1", "#", "None", "a\nb", "é"]
    shell.names["state"] = shell.value("bucket()")
    shell.names["state"].clear()
    for number, key in enumerate(keys):
        shell.names["state"].set(key, number)
    words = shell.completions("%qstate get Signup ")
    assert len(words) == len(keys)
    assert sorted(shell.value(f"%qstate get Signup {word}") for word in words) == list(range(len(keys)))


def test_what_is_offered_for_an_update_is_the_key_that_it_writes(shell: Shell) -> None:
    shell.value("bucket()").update(**{"my-key": 1, "first name": 2, "a=b": 3, "$n": 4, "a\nb": 5})
    assert shell.completions("%qstate update Signup ") == ["my-key="]
    shell.good("%qstate update Signup my-key=5")
    assert shell.value("%qstate get Signup my-key") == 5


def test_without_an_app_there_is_nothing_to_offer_but_verbs() -> None:
    def no_app() -> InlineApp:
        raise CommandError("there is no app yet")

    assert candidates("sh", {}, no_app) == ("sh", ["show"])
    assert candidates("show ", {}, no_app) == ("", [])
    assert candidates("run ", {}, no_app) == ("", [])


@pytest.mark.parametrize(
    ("line", "cell", "command"),
    [
        ("%qstate ", "", ""),
        ("%qstate sh", "", "sh"),
        ("  %qstate sh", "", "sh"),
        ("x = %qstate get Sig", "", "get Sig"),
        ("x=%qstate get Sig", "", "get Sig"),
        ("a, b = %qstate get Sig", "", "get Sig"),
        ("d['k'] = %qstate get Sig", "", "get Sig"),
        ("%%qstate run st", "%%qstate run st", "run st"),
        ("run st", "%%qstate\nrun st", "run st"),
        ("  run st", "%%qstate\n  run st", "run st"),
        ("", "%%qstate\n", ""),
        ("%qstate", "", None),
        ("%qstates sh", "", None),
        ("qstate sh", "", None),
        ("x = y", "", None),
        ("%time sh", "", None),
        ("print('%qstate sh", "", None),
        ("sh", "%%timeit\nsh", None),
    ],
)
def test_lines_of_the_magic_are_recognised(line: str, cell: str, command: str | None) -> None:
    assert command_before(line, cell) == command


def test_a_long_line_is_no_trouble() -> None:
    """A line in which the pattern could try many ways to match must not take long."""
    assert command_before("a " * 20_000, "") is None
    assert command_before(" " * 5_000 + "x", "") is None


@pytest.mark.parametrize(
    ("line", "cell"),
    [
        ("%qstate run st", None),
        ("x = %qstate run st", None),
        ("%%qstate run st", None),
        ("run st", "%%qstate"),
        ("run st", "%%qstate\nshow Signup"),
    ],
)
def test_ipython_offers_ours_and_nothing_else(shell: Shell, line: str, cell: str | None) -> None:
    shell.names["strange"] = 1
    assert shell.completions(line, cell=cell) == ["step1", "step2"]


def test_elsewhere_ipython_offers_what_it_does_without_us(shell: Shell) -> None:
    shell.names["strange_name"] = 1
    assert "strange_name" in shell.completions("print(strange_na")
    assert "strange_name" in shell.completions("x = strange_na")


def test_what_is_offered_is_live(shell: Shell) -> None:
    assert shell.completions("%qstate get Signup pho") == []
    shell.good("bucket().set('phone', 1)")
    assert shell.completions("%qstate get Signup pho") == ["phone"]
    shell.good("@app.task\ndef stage(): ...")
    assert shell.completions("%qstate run st") == ["stage", "step1", "step2"]
    shell.good("bucket = None\ndel app")
    magics = shell.ip.magics_manager.registry["QStateMagics"]
    assert magics.complete(shell.context("%qstate run st"))["completions"] == []


def test_a_cursor_in_the_middle_of_a_line_sees_what_is_before_it(shell: Shell) -> None:
    magics = shell.ip.magics_manager.registry["QStateMagics"]
    context = shell.context("%qstate run st --times 3")
    context.cursor_position = len("%qstate run st")
    found = magics.complete(context)
    assert [each.text for each in found["completions"]] == ["step1", "step2"]
    assert found["matched_fragment"] == "st"


WORDS = st.sampled_from(
    [
        "%qstate",
        "%%qstate",
        "x =",
        "get",
        "set",
        "run",
        "update",
        "Signup",
        "step1",
        "paint",
        "colour=",
        "-",
        "'",
        "{",
        "$n",
        "\n",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORDS | st.text(max_size=5), max_size=8), st.booleans())
def test_any_text_can_be_completed(names: dict[str, Any], words: list[str], in_cell: bool) -> None:
    line = " ".join(words)
    command = command_before(line, "%%qstate\n" + line if in_cell else line)
    word, found = candidates(line if command is None else command, names, lambda: names["app"])
    assert all(candidate.startswith(word) for candidate in found)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORDS | st.text(max_size=5), max_size=8))
def test_the_matcher_never_raises(shell: Shell, words: list[str]) -> None:
    magics = shell.ip.magics_manager.registry["QStateMagics"]
    for line in (" ".join(words), "%qstate " + " ".join(words)):
        found = magics.complete(shell.context(line))
        assert set(found) >= {"completions"}
