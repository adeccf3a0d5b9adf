"""`%qstate` in a real IPython shell: what a user types, sees, and is told when it is wrong."""

from __future__ import annotations

import contextlib
import datetime
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.containers import Lazy
from support.shell import Shell

import qstate_nb
from qstate_nb import TaskResult
from qstate_nb.errors import QStateError
from qstate_nb.notebook.render import View
from qstate_nb.notebook.verbs import VERBS

# --- loading and unloading


def traces(ip: Any) -> dict[str, Any]:
    """Everything that an extension can leave in a shell."""
    return {
        "line magics": set(ip.magics_manager.magics["line"]),
        "cell magics": set(ip.magics_manager.magics["cell"]),
        "registry": set(ip.magics_manager.registry),
        "events": {name: len(callbacks) for name, callbacks in ip.events.callbacks.items()},
        "matchers": len(ip.Completer.custom_matchers),
        "configurables": len(ip.configurables),
        "html": set(ip.display_formatter.formatters["text/html"].type_printers),
        "html later": set(ip.display_formatter.formatters["text/html"].deferred_printers),
    }


def test_unloading_leaves_nothing_behind(bare: Shell) -> None:
    before = traces(bare.ip)
    bare.ip.extension_manager.load_extension("qstate_nb")
    loaded = traces(bare.ip)
    assert all(loaded[part] != before[part] for part in before if part != "html later")
    bare.ip.extension_manager.unload_extension("qstate_nb")
    assert traces(bare.ip) == before


def test_loading_twice_or_anew_is_loading_once(bare: Shell) -> None:
    bare.good("%load_ext qstate_nb")
    once = traces(bare.ip)
    bare.run("%load_ext qstate_nb")
    qstate_nb.load_ipython_extension(bare.ip)
    assert traces(bare.ip) == once
    bare.ip.extension_manager.reload_extension("qstate_nb")
    assert traces(bare.ip) == once


def test_unloading_what_is_not_loaded_is_no_error(bare: Shell) -> None:
    before = traces(bare.ip)
    qstate_nb.unload_ipython_extension(bare.ip)
    assert traces(bare.ip) == before


def test_loading_adds_no_variable_and_works_at_once(bare: Shell) -> None:
    before = set(bare.names)
    bare.good("%load_ext qstate_nb")
    assert {name for name in set(bare.names) - before if not name.startswith("_")} == set()
    assert "%qstate show [STATE]" in bare.good("%qstate help")


def test_the_magic_has_help_of_ipython_s_own_kind(shell: Shell) -> None:
    doc = shell.ip.find_line_magic("qstate").__doc__
    assert doc.startswith("Show and change State, and run tasks.")
    assert all(f"%qstate {verb.usage_line}" in doc for verb in VERBS.values())


# --- queries and commands


def test_the_overview(shell: Shell) -> None:
    shell.good("%qstate set Signup step 1")
    text = shell.good("%qstate")
    assert text.splitlines()[:4] == [
        "shop: 5 tasks, 1 state, 1 event",
        "Signup: 1 key",
        "  key   value  changed by",
        "  step  1      user, event 1",
    ]
    assert "step1(phone: str = '', n: int = 1)" in text
    assert "Ask for the phone number" in text


def test_queries_give_objects_and_commands_print_a_line(shell: Shell) -> None:
    assert shell.good("%qstate set Signup step 2") == "Signup.step = 2"
    assert shell.value("%qstate set Signup step 2") is None
    assert shell.good("%qstate update Signup a=1 b='x y'") == "Signup.a = 1\nSignup.b = 'x y'"
    assert isinstance(shell.value("%qstate show"), View)
    assert shell.value("x = %qstate show\nx.data") == {"Signup": {"step": 2, "a": 1, "b": "x y"}}
    assert shell.value("x = %qstate get Signup step\nx") == 2
    assert shell.value("x = %qstate tasks\nx.data") == ["step1", "step2", "fail", "give", "paint"]
    assert shell.good("%qstate delete Signup a") == "Signup.a deleted"
    assert shell.good("%qstate clear Signup") == "Signup cleared: 2 keys removed"
    assert shell.value("bucket().get()") == {}


def test_a_value_that_is_got_is_shown_as_itself(shell: Shell) -> None:
    shell.good("bucket().update(text='a', nothing=None, many=list(range(3)))")
    assert shell.good("%qstate get Signup text") == "'a'"
    assert shell.good("%qstate get Signup nothing") == ""
    assert shell.good("%qstate get Signup many") == "[0, 1, 2]"


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("-1e3", -1000.0),
        ("1.5", 1.5),
        ("True", True),
        ("None", None),
        ("text", "text"),
        ("Enter phone number", "Enter phone number"),
        ("'a  b'", "a  b"),
        ("it's", "it's"),
        ('"it\'s"', "it's"),
        ("+49170", "+49170"),
        ("cost=$5", "cost=$5"),
        ("$5 or so", "$5 or so"),
        ("{100}", {100}),
        ("{'a': 1}", {"a": 1}),
        ("{'a': {'b': [n, (1, 2)]}}", {"a": {"b": [3, (1, 2)]}}),
        ("[1, [2, [3, {'x': ']'}]]]", [1, [2, [3, {"x": "]"}]]]),
        ("$n", 3),
        ("{n + 1}", 4),
        ("'$n'", "$n"),
        ("'{n}'", "{n}"),
        ("a $n b", "a 3 b"),
        ("$text", "a b"),
        ("%time", "%time"),
        ("100%", "100%"),
        ("!ls", "!ls"),
        ("'what?'", "what?"),
        ("a;b", "a;b"),
        ("#1", "#1"),
        (r"C:\new", r"C:\new"),
        (r"'a\nb'", "a\nb"),
        ("naïve 日本", "naïve 日本"),
    ],
)
def test_values_are_what_was_typed(shell: Shell, typed: str, value: object) -> None:
    shell.names.update(n=3, text="a b")
    shell.good(f"%qstate set Signup it {typed}")
    found = shell.value("%qstate get Signup it")
    assert type(found) is type(value)
    assert found == value


def test_a_variable_is_stored_as_the_object_and_read_back_as_a_copy(shell: Shell) -> None:
    shell.names["tags"] = ["a"]
    shell.good("%qstate set Signup tags $tags")
    shell.names["tags"].append("b")
    assert shell.value("%qstate get Signup tags") == ["a"]
    thing = shell.names["thing"] = object()
    shell.good("%qstate set Signup thing $thing")
    assert shell.value("%qstate get Signup thing") is thing


@pytest.mark.parametrize(
    "line", ["set Signup it {count()}", "update Signup it={count()}", "run give it={count()} --times 3"]
)
def test_an_expression_happens_once(shell: Shell, line: str) -> None:
    shell.good("calls = []\ndef count():\n    calls.append(1)\n    return len(calls)")
    shell.good(f"%qstate {line}")
    assert shell.names["calls"] == [1]


def test_names_and_keys_can_be_variables_and_quoted(shell: Shell) -> None:
    shell.names.update(state="Signup", key="first name")
    shell.good("%qstate set $state $key 1")
    assert shell.value("%qstate get 'Signup' 'first name'") == 1
    assert shell.value("%qstate get {state} {key}") == 1
    assert shell.good("%qstate delete Signup $key") == "Signup.first name deleted"


def test_local_variables_of_a_function_are_seen_and_win(shell: Shell) -> None:
    shell.names["n"] = "global"
    shell.good("def f(n):\n    %qstate set Signup it $n\n    x = %qstate get Signup it\n    return x\n")
    assert shell.value("f('local')") == "local"
    assert shell.value("%qstate set Signup it $n\nbucket().get('it')") == "global"


def test_an_app_that_is_local_is_used(shell: Shell) -> None:
    shell.good("def f(app):\n    %qstate set Other a 1\n    return app.registry.history()")
    shell.good("other = InlineApp(registry=StateRegistry())\nclass Other(State): ...\nother.state(Other)")
    shell.good("%qstate app app")
    assert len(shell.value("f(other)")) == 1


def test_a_semicolon_silences(shell: Shell) -> None:
    for line in ("", "show ", "set Signup it 5 ", "get Signup it", "run step2 ", "tasks", "help"):
        assert shell.good(f"%qstate {line};") == ""
    assert shell.value("bucket().get('it')") == 5
    assert shell.good("%qstate run step1 phone=1;") == "asking 1"  # what the task prints is its own


# --- run


def test_a_run_shows_output_result_and_change(shell: Shell) -> None:
    assert shell.good("%qstate run step1 phone=+49170 n=2") == (
        "asking +49170\n"
        "step1 #1: success, returned 'ok'\n"
        "  state   key    change\n"
        "  Signup  phone  → '+49170'\n"
        "  Signup  n      → 2"
    )
    assert shell.good("%qstate run step2") == (
        "step2 #2: success, returned {'phone': '+49170', 'n': 2}\n  State did not change"
    )


def test_the_text_of_a_session_is_the_same_on_every_run(tmp_path: Any) -> None:
    script = tmp_path / "session.py"
    script.write_text(SESSION)
    texts = set()
    for seed in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, script],
            env={"PYTHONHASHSEED": seed, "IPYTHONDIR": str(tmp_path / seed), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
        texts.add(done.stdout + done.stderr)
    assert len(texts) == 1
    text = texts.pop()
    assert "<__main__.Thing object>" in text
    assert "0x" not in text
    assert "LookupError" in text


SESSION = '''
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
config.InteractiveShell.colors = "nocolor"
shell = InteractiveShell.instance(config=config)
for cell in (
    "%load_ext qstate_nb",
    """
from qstate_nb import *
class Thing: pass
class Signup(State): pass
app = InlineApp(registry=StateRegistry())
@app.task
def step1(state: Signup, it=None, *, f=print):
    state.update(thing=Thing(), tags={"b", "a", None}, words=set("hello"), deep=[{Thing(), Thing()}])
    return Thing(), {"x", "y", "z"}
@app.task
def fail(n: int):
    raise LookupError(Thing(), {"x", "y"} and 1)
""",
    "%qstate", "%qstate run step1", "%qstate run step1 --times 2 -o r", "app", "%qstate run fail n=1",
    "%qstate", "%qstate show", "%qstate tasks", "%qstate run fail n=x", "%qstate help", "%qstate nothing",
    "%qstate app", "%qstate run fail n=$app", "%%qstate\\nshow Signup\\nrun step1\\nshow Sigup",
):
    shell.run_cell(cell, store_history=True)
'''


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("colour=RED", "(Colour.RED, 'dark', False)"),
        ("colour=b kind=light fast=true", "(Colour.BLUE, 'light', True)"),
        ("colour=$c fast={1 > 0}", "(Colour.BLUE, 'dark', True)"),
    ],
)
def test_what_is_typed_becomes_what_the_task_declares(shell: Shell, line: str, value: str) -> None:
    shell.good("c = Colour.BLUE")
    assert shell.good(f"%qstate run paint {line} -o r;") == ""
    assert shell.value(f"r.returning == {value}") is True


@pytest.mark.parametrize(
    ("annotation", "typed", "value"),
    [
        ("int", "7", 7),
        ("float", "7", 7.0),
        ("str", "7", "7"),
        ("datetime.date", "2026-10-12", datetime.date(2026, 10, 12)),
        ("datetime.datetime", "2026-10-12T08:30", datetime.datetime(2026, 10, 12, 8, 30)),
        ("list[int]", "[1,2]", [1, 2]),
        ("dict[str, int]", "{'a':1}", {"a": 1}),
        ("Optional[int]", "None", None),
        ("Literal['a', 1]", "1", 1),
    ],
)
def test_annotations_of_a_cell_are_followed(shell: Shell, annotation: str, typed: str, value: object) -> None:
    shell.good(f"@app.task\ndef typed(it: {annotation}):\n    return it")
    shell.good(f"%qstate run typed it={typed} -o r;")
    assert shell.names["r"].returning == value
    assert type(shell.names["r"].returning) is type(value)
    shell.good("@app.task\ndef typed(it: Point): return it\n%qstate run typed it={'x': 1} -o r;")
    assert shell.value("r.returning == Point(1)") is True


def test_a_result_is_saved_under_a_name(shell: Shell) -> None:
    shell.good("%qstate run step1 -o one;")
    assert isinstance(shell.names["one"], TaskResult)
    shell.good("%qstate run step1 --times 2 -o many phone=1;")
    assert [result.status for result in shell.names["many"]] == ["success", "success"]
    shell.good("%qstate run fail reason=x -o failed;")
    assert shell.names["failed"].status == "error"


def test_a_failed_task_shows_its_traceback_and_the_cell_goes_on(shell: Shell) -> None:
    text = shell.good("%qstate run fail reason='gone away'")
    assert text.splitlines()[0] == "fail #1: error, LookupError: gone away"
    assert text.splitlines()[-1] == "  State did not change"
    assert "qstate_nb" not in text
    assert 'File "<cell>"' in text


def test_times_concurrent_and_timeout(shell: Shell) -> None:
    shell.good("import asyncio\n@app.task\nasync def wait():\n    await asyncio.Event().wait()")
    text = shell.good("%qstate run wait --times 2 --concurrent --timeout 0.02")
    assert text.count("cancel, TaskTimeoutError") == 2
    assert "2 calls, 0 with success" in text
    shell.names["n"] = 3
    assert "3 calls, 3 with success" in shell.good("%qstate run --times $n step2")


# --- errors


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("rnu step1", "NotFoundError", "no verb 'rnu'; did you mean 'run'?"),
        ("Show", "NotFoundError", "no verb 'Show'; did you mean 'show'?"),
        ("run stpe1", "NotFoundError", "no task 'stpe1'; did you mean 'step1' or 'step2'?"),
        ("run", "CommandError", "required: TASK"),
        ("run step1 fone=1", "NotFoundError", "no parameter of task 'step1' called 'fone'; did you mean 'phone'?"),
        ("run step1 state=1", "NotFoundError", "no parameter of task 'step1' called 'state'"),
        ("run fail", "ArgumentError", "task 'fail' needs a value for: reason"),
        ("run step1 n=many", "ArgumentError", "task 'step1', parameter 'n: int': 'many' doesn't fit (Expected `int`"),
        ("run paint colour=GREEN", "ArgumentError", "'GREEN' doesn't fit (it can be RED, BLUE)"),
        ("run step1 n", "CommandError", "'n' must be of the form name=value"),
        ("run step1 n=1 n=2", "CommandError", "'n' was given twice"),
        ("run step1 --time 2", "NotFoundError", "called '--time'; did you mean '--times' or '--timeout' or"),
        ("run step1 --times 2 --times 3", "CommandError", "--times was given twice; usage: %qstate run"),
        ("run step1 --times 0", "CommandError", "--times 0: it must be a whole number, 1 or more; usage:"),
        ("run step1 --timeout inf", "CommandError", "--timeout inf: it must be a number of seconds, more than 0"),
        ("run step1 -o 1a", "CommandError", "-o 1a: that can't be the name of a variable"),
        ("run step1 phone='a", "CommandError", "the quote ' is not closed: 'a"),
        ("run step1 phone=[1", "CommandError", "']' is missing at the end of: phone=[1"),
        ("run step1 phone=$nobody", "CommandError", "name 'nobody' is not defined in '$nobody'; quote it to have it"),
        ("run step1 phone={1/0}", "CommandError", "fails with ZeroDivisionError"),
        ("show Sigup", "NotFoundError", "no state 'Sigup'; did you mean 'Signup'?"),
        ("show --all", "NotFoundError", "no option of %qstate show called '--all'"),
        ("get Signup phon", "NotFoundError", "no key of State Signup called 'phon'; did you mean 'phone'?"),
        ("get Signup", "CommandError", "required: KEY; usage: %qstate get STATE KEY"),
        ("get Signup phone more", "CommandError", "'more' is one word too many; usage: %qstate get STATE KEY"),
        ("set Sigup a 1", "NotFoundError", "no state 'Sigup'; did you mean 'Signup'?"),
        ("set Signup a", "CommandError", "required: VALUE"),
        ("set Signup a $nobody", "CommandError", "name 'nobody' is not defined"),
        ("set Signup a cost is $nobody", "CommandError", "name 'nobody' is not defined in 'cost is $nobody'"),
        ("update Signup", "CommandError", "required: k=v"),
        ("update Signup a", "CommandError", "'a' must be of the form name=value"),
        ("delete Signup phon", "NotFoundError", "no key of State Signup called 'phon'; did you mean 'phone'?"),
        ("clear Sigup", "NotFoundError", "no state 'Sigup'"),
        ("app shp", "NotFoundError", "no app 'shp'; there is: app"),
        ("help rnu", "NotFoundError", "no verb 'rnu'; did you mean 'run'?"),
        ("panel", "CommandError", "the panel needs a notebook, such as JupyterLab; in a terminal use %qstate show"),
    ],
)
def test_a_wrong_line_fails_the_cell_with_one_clean_line(shell: Shell, line: str, error: str, message: str) -> None:
    shell.good("bucket().update(phone='1')")
    before = shell.names["app"].registry.history()
    name, text = shell.fails(f"%qstate {line}")
    assert name == error
    assert message in text
    assert shell.names["app"].calls == []
    assert shell.names["app"].registry.history() == before


def test_a_wrong_line_stops_the_cell(shell: Shell) -> None:
    shell.run("%qstate get Signup nothing\nreached = True")
    assert "reached" not in shell.names


def test_no_app_is_said(bare: Shell) -> None:
    bare.good("%load_ext qstate_nb")
    for line in ("", "show", "tasks", "run step1", "app", "get A b"):
        assert bare.fails(f"%qstate {line}") == (
            "CommandError",
            "there is no app yet; make one: app = InlineApp()",
        )
    assert "%qstate" in bare.good("%qstate help")


def test_two_apps_are_said_and_one_is_chosen(shell: Shell) -> None:
    shell.good("other = InlineApp('other', registry=StateRegistry())")
    assert shell.fails("%qstate") == (
        "CommandError",
        "there is more than one app (app, other); choose one: %qstate app app",
    )
    assert shell.good("%qstate app other") == "  app    tasks\n  app    5 tasks\n* other  0 tasks".strip()
    assert shell.good("%qstate").startswith("other: 0 tasks")
    shell.good("%qstate app app")
    assert shell.good("%qstate").startswith("shop: 5 tasks")
    shell.good("del app")
    assert shell.good("%qstate").startswith("other: 0 tasks")


def test_an_error_of_several_lines_is_one_line(shell: Shell) -> None:
    shell.good("def f():\n    raise ValueError('first\\n\\x1b[31msecond')")
    ran = shell.run("%qstate set Signup a {f()}")
    assert isinstance(ran.error, QStateError)
    assert len(ran.text.splitlines()) == 1
    assert "\x1b" not in ran.text
    shell.names["name"] = "a\nb"
    assert shell.run("%qstate run step1 -o $name").text == (
        "CommandError: -o a b: that can't be the name of a variable"
    )


def test_an_interrupt_stays_an_interrupt(shell: Shell) -> None:
    shell.good("def f():\n    raise KeyboardInterrupt")
    assert isinstance(shell.run("%qstate set Signup a {f()}").error, KeyboardInterrupt)


# --- the panel


class Notebook:
    """What stands for a kernel in a shell that has one."""


def in_a_notebook(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell.ip, "kernel", Notebook(), raising=False)


def test_the_panel_opens_once_for_an_app(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_notebook(shell, monkeypatch)
    panel = shell.value("%qstate panel")
    assert panel.app is shell.names["app"]
    assert shell.value("%qstate panel") is panel
    shell.good("other = InlineApp(registry=StateRegistry())\n%qstate app other")
    other = shell.value("%qstate panel")
    assert other.app is shell.names["other"]
    assert not panel.closed
    panel.close()
    shell.good("%qstate app app")
    again = shell.value("%qstate panel")
    assert again is not panel
    assert again.app is panel.app
    again.close()
    other.close()


def test_the_panel_of_an_app_that_is_made_anew_is_a_new_one(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_notebook(shell, monkeypatch)
    panel = shell.value("%qstate panel")
    shell.good("app = InlineApp(registry=StateRegistry())")
    again = shell.value("%qstate panel")
    assert panel.closed
    assert again.app is shell.names["app"]
    again.close()


def test_without_ipywidgets_the_panel_says_what_to_install(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_notebook(shell, monkeypatch)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert shell.fails("%qstate panel") == (
        "MissingPackageError",
        "the panel needs ipywidgets: pip install ipywidgets",
    )


# --- help


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_there_for_every_verb(shell: Shell, verb: str) -> None:
    text = f"%qstate {VERBS[verb].usage_line}\n  {VERBS[verb].summary}"
    for line in (f"help {verb}", f"{verb} -h", f"{verb} --help", f"{verb} a -h"):
        assert shell.good(f"%qstate {line}").startswith(text)
    assert VERBS[verb].summary in shell.good("%qstate -h")
    assert shell.good("%qstate -h") == shell.good("%qstate help") == shell.good("%qstate --help")


def test_a_h_in_a_text_is_not_taken_for_help(shell: Shell) -> None:
    assert "-h stands first; in a text it has to be quoted" in shell.fails("%qstate set Signup note see -h")[1]
    shell.good("%qstate set Signup note 'see -h'")
    assert shell.good("%qstate get Signup note") == "'see -h'"


def test_a_state_class_is_known_before_a_task_takes_it(shell: Shell) -> None:
    shell.good("from qstate_nb import State\nclass Fresh(State): pass")
    assert shell.good("%qstate set Fresh a 1") == "Fresh.a = 1"


def test_update_reads_names_as_get_does(shell: Shell) -> None:
    shell.good("key = 'k'")
    shell.good("%qstate update Signup 'first name'=Bob \"a=b\"=1 $key=2")
    assert shell.good("%qstate get Signup 'first name'") == "'Bob'"
    assert shell.good("%qstate get Signup a=b") == "1"
    assert shell.good("%qstate get Signup k") == "2"


# --- cells


def test_a_cell_is_one_command_a_line(shell: Shell) -> None:
    text = shell.good("%%qstate set Signup a 1\n# a comment\n\nset Signup b 2;\n  get Signup b\nshow Signup")
    assert text.splitlines() == [
        "Signup.a = 1",
        "2",
        "Signup: 2 keys",
        "  key  value  changed by",
        "  a    1      user, event 1",
        "  b    2      user, event 2",
    ]


def test_a_cell_ends_at_its_first_error(shell: Shell) -> None:
    ran = shell.run("%%qstate\nset Signup a 1\nset Sigup b 2\nset Signup c 3")
    assert type(ran.error).__name__ == "NotFoundError"
    assert ran.text.splitlines() == ["Signup.a = 1", "NotFoundError: no state 'Sigup'; did you mean 'Signup'?"]
    assert shell.value("bucket().get()") == {"a": 1}


def test_a_cell_sees_what_an_earlier_line_made(shell: Shell) -> None:
    shell.good("%%qstate\nrun step1 -o r\nset Signup n 5")
    assert shell.value("bucket().get('n')") == 5
    assert shell.names["r"].status == "success"
    shell.good("%%qstate\nrun step2 -o later;\nset Signup status $later.status")
    assert shell.value("bucket().get('status')") != ""


def test_an_empty_cell_does_nothing(shell: Shell) -> None:
    assert shell.good("%%qstate\n\n# nothing\n") == ""


# --- cells and actors


def test_events_say_which_cell_they_come_from(shell: Shell) -> None:
    shell.good("bucket().set('a', 1)")
    shell.good("%qstate set Signup b 2")
    shell.good("%qstate run step1;")
    events = shell.names["app"].registry.history()
    number = events[0].actor.cell
    assert [(event.actor.cell - number, str(event.actor)) for event in events] == [
        (0, "user"),
        (1, "user"),
        (2, "step1 #1"),
    ]
    assert "bucket().set('a', 1)" in shell.names["In"][number]


def test_what_comes_between_cells_is_of_no_cell(shell: Shell) -> None:
    shell.good("state = bucket()")
    shell.names["state"].set("a", 1)
    assert shell.names["app"].registry.history()[-1].actor.cell is None
    shell.run("raise ValueError")
    shell.names["state"].set("a", 2)
    assert shell.names["app"].registry.history()[-1].actor.cell is None


def test_after_unloading_events_have_no_cell(shell: Shell) -> None:
    shell.good("state = bucket()")
    shell.good("%unload_ext qstate_nb")
    shell.names["state"].set("a", 1)
    shell.good("state.set('b', 1)")
    assert [event.actor.cell for event in shell.names["app"].registry.history()] == [None, None]


# --- settings and displays


def test_settings_change_what_is_shown(shell: Shell) -> None:
    shell.good("bucket().update(a='x' * 100, b=2, c=3)")
    shell.good("%config QStateMagics.value_width = 20")
    shell.good("%config QStateMagics.max_rows = 2")
    shell.good("%config QStateMagics.last_events = 0")
    text = shell.good("%qstate show")
    assert "'xxxxxxx...xxxxxxxx'" in text
    assert "… 1 more" in text
    assert "last events" not in shell.good("%qstate")
    shell.run("%config QStateMagics.max_rows = 0")  # IPython logs that it can't be
    assert "… 1 more" in shell.good("%qstate show")


def test_unloading_closes_the_panels(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_notebook(shell, monkeypatch)
    panel = shell.value("%qstate panel")
    shell.good("%unload_ext qstate_nb")
    assert panel.closed


def test_results_and_apps_have_html_while_it_is_loaded(shell: Shell) -> None:
    shell.good("%qstate run step1 -o r;")
    html = shell.ip.display_formatter.format(shell.names["r"])[0]["text/html"]
    assert "step1 #1: success" in html
    assert "asking" in html
    assert "5 tasks" in shell.ip.display_formatter.format(shell.names["app"])[0]["text/html"]
    shell.good("%unload_ext qstate_nb")
    assert "text/html" not in shell.ip.display_formatter.format(shell.names["r"])[0]


def test_a_view_is_text_and_html_in_a_notebook(shell: Shell) -> None:
    bundle = shell.ip.display_formatter.format(shell.value("%qstate show"))[0]
    assert bundle["text/plain"] == "Signup: 0 keys"
    assert bundle["text/html"].startswith('<div class="qstate">')


def test_other_variables_are_left_alone(shell: Shell) -> None:
    """An object that wakes up when it is asked for its class (as lazy objects do) is not asked."""
    shell.names["lazy"] = Lazy()
    assert shell.good("%qstate").startswith("shop")
    assert shell.fails("%qstate show Nowhere")[0] == "NotFoundError"


def test_the_expression_in_the_name_of_a_state_is_evaluated_once(shell: Shell) -> None:
    shell.good("asked = []")
    shell.good("%qstate show {asked.append(1) or 'Signup'}")
    assert shell.value("asked") == [1]


# --- clumsy users


LINES = st.lists(
    st.sampled_from(
        [*VERBS, "Signup", "step1", "give", "phone", "a=1", "it=", "--times", "1", "-o", "x", "$n", "{n}", ";"]
    )
    | st.text(
        st.characters(exclude_characters="\n\r{}$", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=8
    ),
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(LINES)
def test_any_line_works_or_fails_with_an_error_of_ours(shell: Shell, tmp_path: Path, words: list[str]) -> None:
    shell.names["n"] = 3
    lines: list[str] = []
    try:
        with contextlib.chdir(tmp_path):  # some of them save to a file
            shell.ip.run_line_magic("qstate", " ".join(words))
    except QStateError as error:
        lines = error._render_traceback_()  # type: ignore[attr-defined]
        lines[0] = lines[0].removeprefix(f"{type(error).__name__}: ")
    assert all("\n" not in line and "Error: " not in line[:20] for line in lines)
