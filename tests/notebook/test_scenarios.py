"""`%%qstate scenario`, `record` and `stop`: what is shown, what fails the cell, and what is data."""

from __future__ import annotations

import asyncio

import pytest
from support.markup import HOSTILE, seen_in
from support.shell import Shell

from qstate_nb import InlineApp, Scenario, State
from qstate_nb.app.script import run_script
from qstate_nb.errors import ScenarioError
from qstate_nb.notebook.scenarios import replay_view, scenario_view

CELL = """%%qstate scenario signup --fresh -o made
# ask, then answer
await step1("123")
expect(Signup, phone="123", n=...)
concurrently(step1("4"), step1("5"))
%qstate set Signup hand 7
for n in range(2):
    print("n", n)
assert await give(it=1) == 1
"""
SHOWN = """signup: 6 steps, passed
  1 ✓ await step1("123")                    'ok'
      | asking 123
      Signup.phone: → '123'
      Signup.n: → 1
  2 ✓ expect(Signup, phone="123", n=...)
  3 ✓ concurrently(step1("4"), step1("5"))  ['ok', 'ok']
      | asking 4
      | asking 5
      Signup.phone: '123' → '5'
  4 ✓ %qstate set Signup hand 7
      | Signup.hand = 7
      Signup.hand: → 7
  5 ✓ for n in range(2):
          print("n", n)
      | n 0
      | n 1
  6 ✓ assert await give(it=1) == 1          1"""


def test_a_cell_is_a_scenario_and_shows_its_steps(shell: Shell) -> None:
    assert shell.good(CELL) == SHOWN
    made = shell.names["made"]
    assert isinstance(made, Scenario)
    assert shell.names["n"] == 1
    assert shell.names["app"].registry.seq == 0
    assert shell.good("%qstate scenario signup") == SHOWN
    assert shell.good("%qstate scenario") == "signup: 6 steps, passed"


def test_it_shows_a_table_in_html(shell: Shell) -> None:
    shell.good(CELL)
    html = shell.value("%qstate scenario signup").html
    seen = seen_in(html)
    for text in ("1 ✓ passed", 'await step1("123")', "'ok'", "asking 123", "Signup.phone: → '123'", "Signup.n: → 1"):
        assert text in seen
    assert seen_in(shell.ip.display_formatter.format(shell.names["made"])[0]["text/html"]) == seen


def test_without_fresh_it_works_on_the_apps_state_and_variables_stay(shell: Shell) -> None:
    shell.good("%%qstate scenario real\nresult = await step1('7')")
    assert shell.names["result"] == "ok"
    assert shell.value("%qstate get Signup phone") == "7"


def test_an_error_fails_the_cell_after_the_table_and_the_rest_is_not_run(shell: Shell) -> None:
    ran = shell.run("%%qstate scenario broken -o made\nawait fail('no')\nawait step1()")
    assert isinstance(ran.error, ScenarioError)
    assert ran.text.splitlines() == [
        "broken: 2 steps, stopped at step 1",
        "  1 ✗ await fail('no')  LookupError: no",
        "  2 - await step1()     not run",
        "ScenarioError: broken: step 1 ended with LookupError: no",
    ]
    assert shell.names["made"].verdict == "stopped at step 1"
    assert "not run" in seen_in(shell.value("%qstate scenario broken").html)


def test_a_failed_check_fails_the_cell_at_its_end(shell: Shell) -> None:
    ran = shell.run("%%qstate scenario x\nawait step1('1')\nexpect(Signup, phone='2')\nawait step2()")
    assert ran.text.splitlines()[-3:] == [
        "      Signup.phone: expected '2', it is '1'",
        "  3 ✓ await step2()              {'phone': '1', 'n': 1}",
        "ScenarioError: x: step 2, expect(Signup, phone='2'): Signup.phone: expected '2', it is '1'",
    ]


def test_several_checks_of_one_step_are_told_apart(shell: Shell) -> None:
    ran = shell.run("%%qstate scenario x\nfor n in (1, 2):\n    expect(Signup, {'a': ...} if n == 1 else {'b': 1})")
    assert ran.text.splitlines()[2:7] == [
        "          expect(Signup, {'a': ...} if n == 1 else {'b': 1})",
        "      ✗ expect(Signup, a=...)",
        "      Signup.a: expected any value, there is none",
        "      ✗ expect(Signup, b=1)",
        "      Signup.b: expected 1, there is none",
    ]


def test_a_semicolon_silences_the_table_but_no_error(shell: Shell) -> None:
    assert shell.good("%%qstate scenario x;\nawait step1()") == ""
    assert shell.fails("%%qstate scenario x;\nawait fail('y')")[0] == "ScenarioError"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%qstate scenario\nawait step1()", "CommandError: a scenario needs a name: %%qstate scenario signup"),
        ("%%qstate scenario x\nawait (", "ScenarioError: scenario 'x' is no Python in line 1"),
        ("%%qstate scenario x\n# nothing", "ScenarioError: scenario 'x' has no steps; write them below it"),
        ("%%qstate scenario x --frehs\n1", "NotFoundError: no option of %qstate scenario called '--frehs'"),
        ("%qstate scenario x", "NotFoundError: no scenario 'x'; there is none yet"),
        ("%qstate scenario x --fresh", "CommandError: --fresh needs steps to run: begin the cell with %%qstate"),
        ("%qstate stop", "CommandError: nothing is being recorded; begin with %qstate record NAME"),
    ],
)
def test_what_is_wrong_is_said_on_one_line(shell: Shell, cell: str, said: str) -> None:
    name, message = shell.fails(cell)
    assert f"{name}: {message}".startswith(said)


def test_help_of_a_cell(shell: Shell) -> None:
    assert shell.good("%%qstate scenario -h\n1").startswith("%qstate scenario [NAME] [--fresh] [-o NAME]")


def test_what_is_run_while_recording_becomes_a_scenario(shell: Shell) -> None:
    assert shell.good("%qstate record byhand") == "recording byhand; %qstate stop ends it"
    assert shell.fails("%qstate record other")[1].startswith("scenario 'byhand' is being recorded; end it first")
    shell.good("await step1('1')")
    shell.good("%qstate run step1 phone=2")
    shell.good("%qstate set Signup n 5")
    shell.good("x = 1")
    assert shell.good("%qstate stop").splitlines() == [
        "byhand: 3 steps, passed",
        "  1 ✓ await step1('1')        'ok'",
        "      | asking 1",
        "      Signup.phone: → '1'",
        "      Signup.n: → 1",
        "  2 ✓ await step1(phone='2')  'ok'",
        "      | asking 2",
        "      Signup.phone: '1' → '2'",
        "  3 ✓ set: Signup.n = 5",
        "      Signup.n: 1 → 5",
    ]
    assert shell.value("app.scenarios['byhand'].replay().is_same") is True
    assert shell.good("%qstate record again").startswith("recording again")
    shell.good("%qstate stop")


def test_a_replay_shows_what_is_different(shell: Shell) -> None:
    shell.good(CELL)
    shell.good(
        "@app.task\ndef step1(state: Signup, phone: str = '', n: int = 1):\n    return state.update(phone='9')"
    )
    replay = shell.value("made.replay()")
    assert replay_view(replay).text.splitlines()[:5] == [
        "replay of signup: 6 steps, 3 steps different",
        "  1 ✗ await step1(\"123\")                    {'phone': '9'}",
        "      step1('123'): 'ok' in the recording, {'phone': '9'} now",
        "      Signup.phone: → '123' in the recording, → '9' now",
        "      Signup.n: → 1 in the recording, did not change now",
    ]
    assert "1 ✗ different" in seen_in(shell.ip.display_formatter.format(replay)[0]["text/html"])


def test_in_its_cell_tab_completes_python(shell: Shell) -> None:
    assert "step1" in shell.completions("ste", cell="%%qstate scenario signup")
    assert "show" not in shell.completions("sh", cell="%%qstate scenario signup")
    assert shell.completions("%%qstate scenario x --f") == ["--fresh"]
    shell.good(CELL)
    assert shell.completions("%qstate scenario ") == ["signup"]


class Hostile(State):
    pass


def test_everything_in_it_is_text(app: InlineApp) -> None:
    @app.task(name=HOSTILE)
    def hostile(state: Hostile) -> None:
        state.set(HOSTILE, HOSTILE)
        print(HOSTILE)
        raise LookupError(HOSTILE)

    names = {"hostile": hostile, "HOSTILE": HOSTILE}
    source = f"expect('Hostile', {{HOSTILE: 1}})\nx = {HOSTILE!r}\nawait hostile()"
    scenario = asyncio.run(run_script(app, HOSTILE, source, names))
    seen = seen_in(scenario_view(scenario).html)
    assert seen.count("<script>") >= 5
    assert "<script>" in seen_in(replay_view(scenario.replay()).html)


def test_long_sources_outputs_and_changes_are_shortened(app: InlineApp) -> None:
    @app.task
    def much(state: Hostile) -> None:
        state.update(**{f"k{n}": n for n in range(100)})
        print("x" * 100_000)

    source = f"await much()\nx = '{'1' * 5_000}'"
    scenario = asyncio.run(run_script(app, "long", source, {"much": much}))
    text = scenario_view(scenario).text
    assert "… 88 more" in text
    assert len(text) < 5_000
