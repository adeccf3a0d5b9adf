"""Scenarios as test modules. One run of pytest, in a process of its own, tries all modules of this file."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.cells import FakeNotebook

from qstate_nb.app.exporting import to_pytest
from qstate_nb.app.exporting.pytest_module import is_ours, test_name
from qstate_nb.app.scenario import Scenario
from qstate_nb.app.script import run_script
from qstate_nb.app.steps import Step, Write
from qstate_nb.core.keys import StateKey
from qstate_nb.errors import ScenarioError

test_name.__test__ = False  # type: ignore[attr-defined]

SIGN_UP = """\
await begin(Plan.PRO)
expect(Signup, step=1, prompt=...)
expect_result(confirm("abc"), raises=WrongCode)
order = await confirm(code="12")
assert order.number == 1
nothing = 1
concurrently(say(42, "hi"), say(7, "ho"), note("x", level=2))
await app.state(Chat, 42).update(texts=["changed"], more=None)
reset()
"""

SIGN_UP_TEST = '''\
"""The scenario "sign up" as a test: each step's results, and what it changes in State."""

import datetime
from decimal import Decimal

from qstate_nb.testing import Trial

from shop.tasks import Order, Plan, app, begin, confirm, note, reset, say


def test_sign_up() -> None:
    trial = Trial(app)

    # 1: await begin(Plan.PRO)
    result = trial.run(begin, Plan.PRO)
    assert result.unwrap() == "ok"
    assert trial.state("Signup") == {
        "step": 1,
        "prompt": "Enter your phone number",
        "plan": Plan.PRO,
    }
    assert trial.changed() == ["Signup"]

    # 2: expect(Signup, step=1, prompt=...)
    assert trial.state("Signup")["step"] == 1
    assert "prompt" in trial.state("Signup")

    # 3: expect_result(confirm("abc"), raises=WrongCode)
    result = trial.run(confirm, "abc")
    assert repr(result.exception) == "WrongCode('not a number: abc')"
    assert trial.changed() == []

    # 4: order = await confirm(code="12")
    result = trial.run(confirm, code="12")
    assert result.unwrap() == Order(number=1, price=Decimal("1.50"), tags=["new"])
    assert trial.state("Signup") == {
        "step": 2,
        "prompt": "Enter your phone number",
        "plan": Plan.PRO,
        "code": "12",
        "when": datetime.date(2026, 1, 2),
    }
    assert trial.changed() == ["Signup"]

    # 7: concurrently(say(42, "hi"), say(7, "ho"), note("x", level=2))
    results = trial.together(
        say.bind(42, "hi"), say.bind(7, "ho"), note.bind("x", level=2)
    )
    assert results[0].unwrap() == 2
    assert results[1].unwrap() == 2
    assert results[2].unwrap() is None
    assert trial.state("Audit") == {"log": [("x", 2)]}
    assert trial.state("Chat[42]") == {"texts": ["hi"]}
    assert trial.state("Chat[7]") == {"texts": ["ho"]}
    assert trial.changed() == ["Audit", "Chat[42]", "Chat[7]"]

    # 8: await app.state(Chat, 42).update(texts=["changed"], more=None)
    trial.write("Chat[42]", {"texts": ["changed"], "more": None})
    assert trial.state("Chat[42]") == {"texts": ["changed"], "more": None}
    assert trial.changed() == ["Chat[42]"]

    # 9: reset()
    result = trial.run(reset)
    assert result.unwrap() is None
    assert trial.state("Audit") == {}
    assert trial.changed() == ["Audit"]
'''

NOTEBOOK = (
    """
    from dataclasses import dataclass
    from qstate_nb import AsyncState, InlineApp, State, StateRegistry
    app = InlineApp(registry=StateRegistry())

    class Cart(AsyncState):
        count: int = 0

    class Log(State):
        pass
    """,
    """
    @dataclass
    class Line:
        name: str

    def checked(name):
        if not name:
            raise ValueError("no name")
        return Line(name)

    @app.task
    async def add(cart: Cart, name: str):
        line = checked(name)
        await app.tasks["log"](name)
        await cart.append("lines", line)
        return await cart.increment("count")

    @app.task
    def log(log: Log, text: str):
        log.append("texts", text)
    """,
)


def scripted(app: Any, name: str, source: str, names: dict[str, Any]) -> Scenario:
    scenario = asyncio.run(run_script(app, name, source, names))
    scenario.check()
    return scenario


def text_of(path: Path) -> str:
    """The module without its first line."""
    return path.read_text(encoding="utf-8").partition("\n")[2]


def sign_up(shop: Any) -> Scenario:
    return scripted(shop.app, "sign up", SIGN_UP, vars(shop))


def odd(shop: Any) -> Scenario:
    """What can't be compared, errors of other kinds, and State that was there before."""
    shop.app.state(shop.Audit).update(old=[1], gone="x")
    shop.app.state(shop.Unused).set("y", 1)
    scenario: Scenario
    with shop.app.scenario("odd") as scenario:
        shop.app.run("odd")
        shop.app.run("give_up")
        shop.app.run("where")
        shop.app.run("loud", "quiet")
        shop.app.state(shop.Audit).delete("gone")
        shop.app.run("anything", **{"a b": float("inf"), "c": True})
    return scenario


def stopped(shop: Any) -> Scenario:
    """An error of a task ends it."""
    source = "await begin()\nawait confirm('\"it\\'s\"')\nawait reset()"
    return asyncio.run(run_script(shop.app, 'stop "it"\\', source, vars(shop), fresh=True))


def only_writes(shop: Any) -> Scenario:
    write = Write("set", {(StateKey("Free", "a b"), "field"): 1, (StateKey("Free", 1), "x"): 2})
    after = {StateKey("Free", 1): {"x": 2}, StateKey("Free", "a b"): {"field": 1}}
    return Scenario(shop.app, "only writes", start={}, steps=[Step(1, "set", acts=(write,), after=after)])


def in_a_loop(shop: Any) -> Scenario:
    body = ["await app.state(Signup).set('step', n)", "expect(Signup, step=n)", "await anything(**{'class': n})"]
    source = "\n    ".join(["for n in (1, 2):", *body])
    return scripted(shop.app, "in a loop", source, vars(shop))


def declared(shop: Any) -> Scenario:
    shop.app.state(shop.Settings).set("level", 3)
    source = (
        "expect(Settings, name='')\nreset()\napp.state(Settings).set('level', 2)\napp.state(Settings).set('level', 1)"
    )
    return scripted(shop.app, "declared", source, vars(shop))


def in_a_notebook(notebook: FakeNotebook) -> Scenario:
    notebook.run(*NOTEBOOK)
    source = "await add('a')\nexpect_result(add(''), raises=ValueError)\nexpect_result(add('b'), 2)"
    return scripted(notebook["app"], "notebook", source, notebook.names)


EXPORTS: dict[str, Callable[[Any], Scenario]] = {
    "sign_up": sign_up,
    "odd": odd,
    "stopped": stopped,
    "only_writes": only_writes,
    "in_a_loop": in_a_loop,
    "declared": declared,
}


@pytest.fixture
def written(shop: Any, notebook: FakeNotebook, tmp_path: Path) -> dict[str, Path]:
    """The modules, in a folder from which the package can be imported."""
    made = {}
    for name, make in EXPORTS.items():
        made[name] = to_pytest(make(shop), tmp_path / f"test_{name}.py")
        shop.app.registry.rewind(0)
    made["notebook"] = to_pytest(in_a_notebook(notebook), tmp_path / "test_notebook.py")
    return made


def test_a_module_is_what_one_would_write(shop: Any, tmp_path: Path) -> None:
    assert text_of(sign_up(shop).to_pytest(tmp_path / "a.py")) == SIGN_UP_TEST


def test_the_modules_pass_and_fail_when_a_task_changes(written: dict[str, Path], tmp_path: Path) -> None:
    """The changed copies import a package whose tasks, or carry tasks that, do something else."""
    changed = (tmp_path / "shop" / "tasks.py").read_text()
    for old, new in (
        ('return "ok"', 'return "fine"'),
        ("update(step=2", "update(step=3"),
        ("await chat.append", "await chat.set"),
    ):
        assert old in changed
        changed = changed.replace(old, new)
    (tmp_path / "changed").mkdir()
    (tmp_path / "changed" / "tasks.py").write_text(changed)
    sign_up = written["sign_up"].read_text()
    (tmp_path / "test_changed.py").write_text(sign_up.replace("shop.tasks", "changed.tasks"))
    later = sign_up.replace("shop.tasks", "changed.tasks").replace('unwrap() == "ok"', 'unwrap() == "fine"')
    (tmp_path / "test_changed_later.py").write_text(later)
    carried = written["notebook"].read_text()
    assert "return Line(name)" in carried
    (tmp_path / "test_changed_notebook.py").write_text(carried.replace("return Line(name)", "return Line(name * 2)"))
    (tmp_path / "test_broken.py").write_text(carried.replace("return Line(name)", "return Lin(name)"))

    options = ["-p", "no:cacheprovider", "-W", "error", "-q", "-rA", "--import-mode=importlib", "-o", "pythonpath=."]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    outcomes = {
        file: end for end, file in re.findall(r"^(PASSED|FAILED) (test_\w+)\.py::", done.stdout, re.MULTILINE)
    }
    assert outcomes == {
        **{path.stem: "PASSED" for path in written.values()},
        **dict.fromkeys(("test_changed", "test_changed_later", "test_changed_notebook", "test_broken"), "FAILED"),
    }, done.stdout
    for line in (
        "AssertionError: assert 'fine' == 'ok'",
        "{'step': 3} != {'step': 2}",
        "{'lines': [Line(name='aa')]} != {'lines': [Line(name='a')]}",
        "NameError: name 'Lin' is not defined",
    ):
        assert line in done.stdout, done.stdout


def test_what_can_not_be_compared_is_left_out_with_a_comment(shop: Any, tmp_path: Path) -> None:
    text = text_of(to_pytest(odd(shop), tmp_path / "test_a.py"))

    assert 'trial = Trial(app, {"Audit": {"old": [1], "gone": "x"}, "Unused": {"y": 1}})' in text
    for part in (
        """
        result = trial.run(odd)
        # not compared: [<object object>], which has <object object>
        result.unwrap()
        state = trial.state("Audit")
        # not compared: thing, <object object>
        state.pop("thing")
        assert state == {"old": [1], "gone": "x", "plain": 1}
        assert trial.changed() == ["Audit"]
        """,
        """
        result = trial.run(give_up)
        assert result.status == "cancel"
        assert repr(result.exception) == "TaskCancelledError('no more')"
        """,
        """
        result = trial.run(where)
        assert type(result.exception).__name__ == "LookupError"
        """,
        """
        trial.write("Audit", {"gone": ABSENT})
        """,
        """
        result = trial.run(anything, c=True, **{"a b": float("inf")})
        assert result.unwrap() == {"a b": float("inf"), "c": True}
        """,
        """
        result = trial.run(say_loud, "quiet")
        """,
    ):
        assert textwrap.indent(textwrap.dedent(part).strip(), "    ") in text


def test_steps_after_an_error_are_listed(shop: Any, tmp_path: Path) -> None:
    text = text_of(to_pytest(stopped(shop), tmp_path / "test_a.py"))

    assert r'"""The scenario "stop \"it\"\\" as a test' in text
    assert text.endswith("    assert trial.changed() == []\n\n    # not run: await reset()\n")


def test_without_a_task_there_is_an_app_without_tasks(shop: Any, tmp_path: Path) -> None:
    text = text_of(to_pytest(only_writes(shop), tmp_path / "test_a.py"))

    assert "trial = Trial(InlineApp())" in text
    assert """trial.write("Free['a b']", {"field": 1})""" in text
    assert """assert trial.changed() == ["Free['a b']", "Free[1]"]""" in text


def test_tasks_of_a_notebook_are_carried(notebook: FakeNotebook, tmp_path: Path) -> None:
    text = text_of(to_pytest(in_a_notebook(notebook), tmp_path / "test_a.py"))

    assert "app = InlineApp(registry=StateRegistry())\n\n\nclass Cart(AsyncState):\n    count: int = 0\n\n\n" in text
    assert 'assert trial.state("Log") == {"texts": ["a"]}\n' in text


def test_names_of_the_test_do_not_hide_those_of_tasks(notebook: FakeNotebook, tmp_path: Path) -> None:
    notebook.run(
        """
        from qstate_nb import InlineApp, StateRegistry
        app = InlineApp(registry=StateRegistry())
        class Trial: pass
        @app.task
        def trial(): return 1
        @app.task
        def result(): return Trial.__name__
        """
    )
    text = text_of(to_pytest(scripted(notebook["app"], "x", "trial()\nresult()", notebook.names), tmp_path / "a.py"))

    assert "from qstate_nb.testing import Trial as Trial_" in text
    assert "trial_ = Trial_(app)" in text
    assert "result_ = trial_.run(trial)" in text


def test_what_pytest_would_take_for_a_test_is_refused(notebook: FakeNotebook, tmp_path: Path) -> None:
    notebook.run("from qstate_nb import InlineApp, StateRegistry\napp = InlineApp(registry=StateRegistry())")
    notebook.run("@app.task\ndef test_line(): return 1")
    scenario = scripted(notebook["app"], "x", "test_line()", notebook.names)

    with pytest.raises(ScenarioError, match="pytest would take 'test_line' for a test; rename it, or define it in a"):
        to_pytest(scenario, tmp_path / "test_a.py")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("signup", "test_signup"),
        ("Sign up: 2 €!", "test_sign_up_2"),
        ("日本", "test_scenario"),
        ("a__b", "test_a__b"),
    ],
)
def test_the_test_is_named_after_the_scenario(name: str, expected: str) -> None:
    assert test_name(name) == expected


def test_only_what_an_export_has_written_is_replaced(shop: Any, tmp_path: Path) -> None:
    scenario, path = sign_up(shop), tmp_path / "test_a.py"
    to_pytest(scenario, path)
    assert is_ours(path)
    to_pytest(scenario, path)

    for text in (path.read_text() + "# mine\n", "mine", b"\xff"):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ScenarioError, match=r"test_a\.py is there already, and was not written by an export, or"):
            to_pytest(scenario, path)
    assert path.read_bytes() == b"\xff"
    assert to_pytest(scenario, path, overwrite=True) == path
    assert text_of(path) == SIGN_UP_TEST


def test_nothing_is_written_if_something_can_not_be(shop: Any, tmp_path: Path) -> None:
    path = tmp_path / "test_a.py"
    path.write_text("old")
    with shop.app.scenario("signup") as scenario:
        shop.app.run("note", object())

    with pytest.raises(ScenarioError, match="argument 1"):
        to_pytest(scenario, path, overwrite=True)
    assert path.read_text() == "old"


def test_what_python_can_not_read_is_refused(shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qstate_nb.app.exporting.sources.Sources.text", lambda _: "def")

    with pytest.raises(
        ScenarioError, match="scenario 'sign up' gives a module that Python can't read: invalid syntax"
    ):
        to_pytest(sign_up(shop), tmp_path / "test_a.py")
