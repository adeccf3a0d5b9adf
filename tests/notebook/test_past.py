"""`%qstate` and the journal: see what was, go back and forth, fork, save."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.markup import HOSTILE, seen_in
from support.shell import Shell

SETUP = """
from typing import Annotated
from qstate_nb import AsyncState, InlineApp, Scope, State, StateRegistry
app = InlineApp(registry=StateRegistry())
class Signup(State):
    step: int = 0
@app.task
def step1(state: Signup, phone: str = "123"):
    state.set("phone", phone)
    state.increment("step")
"""


@pytest.fixture
def ready(shell: Shell) -> Shell:
    shell.good(SETUP)
    shell.good("app.run('step1')")
    return shell


def bad(shell: Shell, line: str) -> str:
    """The error of a line, as it is shown."""
    return ": ".join(shell.fails(line))


def test_history_lists_events_and_filters_them(ready: Shell) -> None:
    text = ready.good("%qstate history")
    assert [line.split() for line in text.splitlines()] == [
        ["event", "state", "op", "what", "changed", "by"],
        ["1", "Signup", "set", "phone:", "→", "'123'", "step1", "#1"],
        ["2", "Signup", "increment", "step:", "→", "1", "step1", "#1"],
    ]
    assert len(ready.good("%qstate history Signup -n 1").splitlines()) == 2
    assert "increment" not in ready.good("%qstate history --key phone")
    assert ready.good("%qstate history --task nobody") == "no events yet"
    assert ready.good("%qstate history") == text, "it is the same on every run"
    timed = ready.good("%qstate history --times")
    assert ":" in timed.splitlines()[1].split()[2]
    assert "did you mean 'Signup'" in bad(ready, "%qstate history Sgnup")
    assert "it must be a whole number, 1 or more" in bad(ready, "%qstate history -n 0")


def test_history_is_bounded_and_says_so(shell: Shell) -> None:
    shell.good(SETUP.replace("StateRegistry()", "StateRegistry(max_events=150)"))
    shell.good("for n in range(160): app.state(Signup).set('n', n)")
    lines = shell.good("%qstate history").splitlines()
    assert lines[:2] == ["the first 10 events of all were dropped", "  … 50 earlier"]
    assert len(lines) == 103
    assert "its events up to 10 were dropped" in bad(shell, "%qstate rewind 3")


def test_undo_redo_and_rewind_say_what_they_changed(ready: Shell) -> None:
    ready.good("%qstate set Signup step 5")
    assert ready.good("%qstate undo") == "event 4: undo of event 3, Signup.step: 5 → 1"
    assert ready.good("%qstate undo") == "event 5: undo of events 1, 2, Signup.step: 1 →, Signup.phone: '123' →"
    assert ready.good("%qstate redo 2").splitlines()[1] == "event 7: redo of event 3, Signup.step: 1 → 5"
    assert ready.good("%qstate undo 2 --event").count("undo of event ") == 2
    assert "there is nothing more to undo" in bad(ready, "%qstate undo 9")
    assert "N 0: it must be a whole number, 1 or more" in bad(ready, "%qstate undo 0")
    assert ready.good("%qstate rewind 0").startswith("event 10: rewind to event 0, Signup.phone: '123' →")
    assert ready.good("%qstate rewind 0") == "State is so already"
    assert "there is no event 99 yet" in bad(ready, "%qstate rewind 99")


def test_labels(ready: Shell) -> None:
    assert ready.good("%qstate label 'before payment'") == "label 'before payment' after event 2"
    ready.good("%qstate set Signup step 5")
    assert ready.good("%qstate diff 'before payment'").split() == [
        *("state", "key", "change"),
        *("Signup", "step", "1", "→", "5"),
    ]
    assert ready.good("%qstate diff 'before payment' 2") == "no difference"
    assert ready.good("%qstate rewind 'before payment'") == "event 4: rewind to event 2, Signup.step: 5 → 1"
    assert "(it was after event 2)" in ready.good("%qstate label 'before payment'")
    assert "a label must not be a number" in bad(ready, "%qstate label 12")
    assert "no label 'nope'; there is: before payment" in bad(ready, "%qstate rewind nope")
    assert ready.completions("%qstate rewind ") == ready.completions("%qstate show --at ") == ["'before payment'"]
    assert ready.completions("%qstate history --task ") == ["step1"]


def test_blame_and_show_at(ready: Shell) -> None:
    ready.good("%qstate set Signup step 5")
    lines = ready.good("%qstate blame Signup").splitlines()
    assert lines[0] == "Signup: 2 keys written"
    assert [line.split() for line in lines[2:]] == [
        ["phone", "'123'", "1", "set", "step1", "#1"],
        ["step", "5", "3", "set", "user"],
    ]
    assert ready.good("%qstate show --at 1").splitlines()[0] == "as it was after event 1"
    assert ready.good("%qstate show Signup --at 2").split()[-2:] == ["phone", "'123'"]
    assert ready.good("%qstate show --at 0").splitlines() == ["as it was after event 0", "  no State yet"]
    assert "no Signup yet" in ready.good("%qstate show Signup --at 0")


def test_a_fork_leaves_the_app_alone_and_in_use(ready: Shell) -> None:
    assert (
        ready.good("%qstate fork 1 -o trial") == "trial is a fork of app after event 1; %qstate app trial chooses it"
    )
    ready.good("trial.run('step1', '9')")
    assert ready.good("%qstate get Signup phone") == "'123'"
    ready.good("%qstate app trial")
    assert ready.good("%qstate get Signup phone") == "'9'"
    ready.good("%qstate app app")
    assert "a fork needs a variable" in bad(ready, "%qstate fork")
    assert "that is the app itself" in bad(ready, "%qstate fork -o app")
    assert "can't be the name of a variable" in bad(ready, "%qstate fork -o 1x")


def test_in_a_task_of_a_fork_the_app_is_the_fork(shell: Shell) -> None:
    shell.good(SETUP)
    shell.good(
        "@app.task\ndef both(state: Signup):\n    app.run('step1')\n    app.registry.state(Signup).set('here', 1)"
    )
    shell.good("trial = app.fork()\nagain = trial.fork()\nagain.run('both').unwrap()\ntrial.run('both').unwrap()")
    assert shell.good("[len(each.registry.history()) for each in (app, trial, again)]") == "[0, 3, 3]"
    shell.good("@app.task\ndef late(state: Signup):\n    state.set('late', 1)")
    shell.good("@trial.task\ndef calls():\n    app.run('late')\ntrial.run('calls').unwrap()")
    assert shell.good("[len(each.registry.history()) for each in (app, trial)]") == "[0, 4]"


def test_save_and_load(ready: Shell, tmp_path: Path) -> None:
    path = tmp_path / "a b.jsonl"
    assert ready.good(f"%qstate save '{path}'") == f"2 events saved to {path}"
    ready.good("%qstate set Signup step 5")
    assert ready.good(f"%qstate load '{path}'") == f"2 events loaded from {path}, in place of 3"
    assert ready.good("%qstate get Signup step") == "1"
    ready.good("app.state(Signup).set('odd', object())")
    assert "can't save Signup.odd" in bad(ready, f"%qstate save '{path}'")
    assert ready.good(f"%qstate load '{path}'").startswith("2 events")
    path.write_bytes(path.read_bytes()[:-20])
    assert "LoadError: can't load" in bad(ready, f"%qstate load '{path}'")
    assert "No such file" in bad(ready, "%qstate load nowhere.jsonl")


@pytest.mark.parametrize("line", ["history", "diff 0", "blame Signup", "show --at 2"])
def test_markup_stays_text(shell: Shell, line: str) -> None:
    shell.good(SETUP)
    shell.ip.user_ns["hostile"] = HOSTILE
    shell.good("app.state(Signup).set(hostile, hostile)")
    shell.good("app.state(Signup).set('list', [hostile])")
    shell.good(f"view = %qstate {line}")
    seen = seen_in(shell.ip.user_ns["view"].html)
    assert "<script>" in seen


def test_history_diff_and_moments_have_html(ready: Shell) -> None:
    formatter = ready.ip.display_formatter.formatters["text/html"]
    registry = ready.ip.user_ns["app"].registry
    for thing in (registry.history(), registry.diff(0), registry.at(1)):
        assert "'123'" in seen_in(formatter(thing))
