"""`%qstate` in a kernel: its errors as a front end and nbval get them, and the Tab key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.kernel import Kernel

ERRORS = {
    "%qstate shwo": ("NotFoundError", "no verb 'shwo'; did you mean 'show'?"),
    "%qstate run wait": ("NotFoundError", "no task 'wait'; did you mean 'waits'?"),
    "%qstate run waits nam=1": ("NotFoundError", r"no parameter .*'nam'; did you mean 'name'\?"),
    "%qstate run waits --time 2": ("NotFoundError", r"no option .*'--time'; did you mean '--times' or '--timeout'"),
    "%qstate show Wrok": ("NotFoundError", r"no state 'Wrok'; did you mean 'Work'\?"),
    "%qstate get Work quikc": ("NotFoundError", "no key .*'quikc'; did you mean 'quick'?"),
    "%qstate app ap": ("NotFoundError", "no app 'ap'; did you mean 'app'?"),
    "%qstate set Work x $nope": ("CommandError", "name 'nope' is not defined"),
    "%qstate set Work x 'open": ("CommandError", "the quote ' is not closed"),
    "%qstate set Work": ("CommandError", "usage: %qstate set STATE KEY VALUE"),
    "%qstate run needs_int n=many": ("ArgumentError", "'many' doesn't fit"),
    "%qstate run needs_int": ("ArgumentError", "needs a value for: n"),
    "x = %qstate get Work quikc": ("NotFoundError", "did you mean 'quick'?"),
    "%%qstate\nget Work quick\nget Work quikc": ("NotFoundError", "did you mean 'quick'?"),
}
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def shell(k: Kernel, gate: Path) -> Kernel:
    """The kernel, with a State that has a key."""
    gate.touch()
    k.run("app.run('quick')\n@app.task\ndef needs_int(n: int):\n    pass")
    return k


@pytest.mark.parametrize(("code", "expected"), ERRORS.items(), ids=ERRORS)
def test_an_error_fails_the_cell_with_one_clean_line(shell: Kernel, code: str, expected: tuple[str, str]) -> None:
    ename, message = expected

    reply = shell.run(code)

    assert (reply.status, reply.ename) == ("error", ename)
    assert re.search(message, reply.evalue) or message in reply.evalue
    assert "\n" not in reply.evalue
    assert [COLOURS.sub("", line) for line in reply.traceback] == [f"{ename}: {reply.evalue}"]
    assert reply.stderr == ""


def test_cells_behind_a_wrong_line_are_aborted(shell: Kernel) -> None:
    """As behind any other error: "Run All" stops there."""
    wrong, queued = shell.send("%qstate shwo"), shell.send("print('never')")

    assert shell.wait(wrong).status == "error"
    assert shell.wait(queued).status == "aborted"


def test_a_run_that_fails_is_no_error_of_the_magic(shell: Kernel) -> None:
    """Its report says what happened, with a traceback of the user's own frames."""
    shell.run("@app.task\nasync def fails(state: Work):\n    await state.set('x', 1)\n    raise ValueError('no')")

    reply = shell.run("%qstate run fails")

    assert reply.status == "ok"
    assert "fails #2: error, ValueError: no" in reply.stdout
    assert "in fails" in reply.stdout
    assert re.search(r"Work +x +→ 1", reply.stdout)


def test_a_run_prints_output_result_and_change_the_same_each_time(shell: Kernel) -> None:
    """In a nested run too: call numbers go on, all else is the same."""
    replies = [shell.run("%qstate clear Work;\n%qstate run waits name=x") for _ in range(2)]

    one, two = (re.sub(r"#\d+", "#", reply.stdout) for reply in replies)
    assert one == two
    assert one.splitlines()[:3] == ["x began", "x goes on", "waits #: success, returned 'x'"]
    assert re.search(r"Work +x +→ 'ended'", one)


def test_the_value_of_a_line_can_be_assigned(shell: Kernel) -> None:
    assert shell.run("x = %qstate get Work quick\nx.upper()").results[0]["text/plain"] == "'ENDED'"
    assert shell.run("%qstate run waits -o kept\nkept.returning").results[0]["text/plain"] == "'waits'"


def test_a_view_has_text_and_html(shell: Kernel) -> None:
    (bundle,) = shell.run("%qstate show").results

    assert "quick  'ended'  quick #1, event 1" in bundle["text/plain"]
    assert "<table" in bundle["text/html"]


COMPLETIONS = {
    "": {
        *("show", "get", "set", "update", "incr", "append", "delete", "clear", "drop"),
        *("history", "diff", "blame", "undo", "redo", "rewind", "label", "fork", "save", "load"),
        *("tasks", "run", "races", "scenario", "record", "stop", "app", "use", "panel", "help"),
    },
    "sh": {"show"},
    "scenario --": {"--fresh", "--help"},
    "run ": {"waits", "blocks", "quick", "needs_int"},
    "run wa": {"waits"},
    "races wa": {"waits"},
    "races quick wa": {"waits"},
    "run waits ": {"name="},
    "get ": {"Work"},
    "get Work ": {"quick"},
    "get Work q": {"quick"},
    "update Work q": {"quick="},
    "run waits --t": {"--times", "--timeout"},
    "app ": {"app"},
    "use m": {"memory://"},
    "use s": {"sqlite:///"},
    "help cl": {"clear"},
}


@pytest.mark.parametrize("before", ["%qstate ", "x = %qstate ", "%%qstate\n", "y = 1\nx = %qstate ", "    %qstate "])
@pytest.mark.parametrize(("typed", "expected"), COMPLETIONS.items(), ids=COMPLETIONS)
def test_tab_offers_what_can_come_next_and_nothing_else(
    shell: Kernel, before: str, typed: str, expected: set[str]
) -> None:
    offered = shell.complete(before + typed)

    assert {candidate.strip() for candidate in offered} == expected
    assert len(offered) == len(expected)


def test_completion_is_live(shell: Kernel) -> None:
    """New tasks and keys are offered at once."""
    assert shell.complete("%qstate run fresh") == []
    shell.run("@app.task\ndef fresh_task():\n    pass\napp.state(SyncWork).set('fresh_key', 1)")

    assert shell.complete("%qstate run fresh") == ["fresh_task"]
    assert shell.complete("%qstate get Work fresh") == ["fresh_key"]


PYTHON = [
    "se",
    "he",
    "app.ru",
    "pathlib.Pa",
    "gat",
    "import thread",
    "%who",
    "content().ke",
    "x = 1; app.sta",
    "{'a': ap",
]


def test_completion_of_python_is_unchanged(shell: Kernel) -> None:
    with_qstate = [shell.complete(code) for code in PYTHON]
    shell.run("%unload_ext qstate_nb")
    try:
        without = [shell.complete(code) for code in PYTHON]
    finally:
        shell.run("%load_ext qstate_nb")

    assert with_qstate == without
    assert with_qstate[0][:2] == ["set", "setattr"]


def test_completion_works_while_a_task_runs_in_the_background(shell: Kernel, gate: Path) -> None:
    gate.unlink()
    shell.run("app.start('waits', 'bg')")
    shell.wait_until("content().get('bg') == 'began'")

    assert shell.complete("%qstate get Work b") == ["bg"]

    gate.touch()
    shell.wait_until("all(call.done for call in app.calls)")
