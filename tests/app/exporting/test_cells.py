"""Scenarios as the cells of a notebook; `tests/exported` runs them."""

from __future__ import annotations

import asyncio
import textwrap
from typing import Any

import pytest
from support.cells import FakeNotebook

from qstate_nb.app.exporting.cells import Cells
from qstate_nb.app.exporting.plan import Plan
from qstate_nb.app.scenario import Scenario
from qstate_nb.app.script import run_script
from qstate_nb.app.steps import Step, Write
from qstate_nb.core.journal import ABSENT
from qstate_nb.core.keys import StateKey
from qstate_nb.errors import ScenarioError


def scripted(shop: Any, source: str, name: str = "signup") -> Scenario:
    return asyncio.run(run_script(shop.app, name, source, vars(shop)))


def body(scenario: Scenario) -> str:
    """The scenario's cell without its first line."""
    return Cells(Plan(scenario)).scenario.partition("\n")[2]


def test_a_recording_becomes_calls_and_what_they_changed(shop: Any) -> None:
    async def at_once() -> None:
        await asyncio.gather(shop.say(42, "hi"), shop.note("x", level=2))

    with shop.app.scenario("sign up") as scenario:
        shop.app.run("begin", shop.Plan.PRO)
        shop.app.run("confirm", "abc")
        asyncio.run(at_once())
        shop.app.run("loud", "quiet")
        shop.app.run("reset")
    cells = Cells(Plan(scenario))

    assert cells.title.startswith("# sign up\n\n")
    assert cells.setup == textwrap.dedent("""\
        %load_ext qstate_nb

        from qstate_nb import ABSENT

        from shop.tasks import (
            Audit,
            Plan,
            Signup,
            WrongCode,
            app,
            begin,
            confirm,
            note,
            reset,
            say,
            say_loud,
        )""")
    assert cells.scenario == textwrap.dedent("""\
        %%qstate scenario "sign up" --fresh
        await begin(Plan.PRO)
        expect(Signup, step=1, prompt="Enter your phone number", plan=Plan.PRO)
        expect_result(confirm("abc"), raises=WrongCode)
        concurrently(say(42, "hi"), note("x", level=2))
        expect(Audit, log=[("x", 2)])
        expect("Chat[42]", texts=["hi"])
        await say_loud("quiet")
        await reset()
        expect(Audit, log=ABSENT)""")


def test_checks_of_the_recording_take_the_place_of_others(shop: Any) -> None:
    source = "begin()\nexpect(Signup, step=1, no=__import__('qstate_nb').ABSENT)\nx = 1\nassert x == 1\nreset()"

    cells = Cells(Plan(scripted(shop, source)))
    assert "from shop.tasks import Signup, app, begin, reset" in cells.setup, "nothing else is needed"
    assert cells.scenario.partition("\n")[2] == textwrap.dedent("""\
        await begin()
        expect(Signup, step=1, no=ABSENT)
        # was checked: assert x == 1
        await reset()""")


def test_what_a_step_without_a_check_has_changed_is_expected_too(shop: Any) -> None:
    source = "await begin()\nassert True\nawait note('x')\nexpect(Audit, log=...)\nawait say(7, 'ho')"

    assert body(scripted(shop, source)) == textwrap.dedent("""\
        await begin()
        expect(Signup, step=1, prompt="Enter your phone number", plan=Plan.FREE)
        # was checked: assert True
        await note("x")
        expect(Audit, log=...)
        await say(7, "ho")
        expect("Chat[7]", texts=["ho"])""")


def test_checks_in_a_loop_stay_between_its_calls(shop: Any) -> None:
    source = "for text in 'ab':\n    expect_result(await say_loud(text), text.upper())\n    await say_loud('c')"

    assert body(scripted(shop, source)) == textwrap.dedent("""\
        expect_result(say_loud("a"), "A")
        await say_loud("c")
        expect_result(say_loud("b"), "B")
        await say_loud("c")""")
    source = "for n in (1, 2):\n    await app.state(Signup).set('step', n)\n    expect(Signup, step=n)"
    assert body(scripted(shop, source)) == textwrap.dedent("""\
        await app.state(Signup).set("step", 1)
        expect(Signup, step=1)
        await app.state(Signup).set("step", 2)
        expect(Signup, step=2)""")


def test_an_expected_result_stays_one(shop: Any) -> None:
    source = "expect_result(say_loud('a'), 'A')\nexpect_result(odd())\nexpect_result(confirm(''), raises=ValueError)"

    assert body(scripted(shop, source)) == textwrap.dedent("""\
        expect_result(say_loud("a"), "A")
        await odd()
        expect(Audit, thing=..., plain=1)
        expect_result(confirm(""), raises=WrongCode)""")


def test_calls_at_once_of_which_one_fails_are_gathered(shop: Any) -> None:
    async def at_once() -> None:
        await asyncio.gather(shop.say(7, "ho"), shop.confirm("x"), shop.odd(), return_exceptions=True)

    with shop.app.scenario("signup") as scenario:
        asyncio.run(at_once())
    cells = Cells(Plan(scenario))

    assert "import asyncio\n" in cells.setup
    assert cells.scenario.partition("\n")[2] == textwrap.dedent("""\
        results = await asyncio.gather(
            say(7, "ho"), confirm("x"), odd(), return_exceptions=True
        )
        expect_result(results[0], 2)
        expect_result(results[1], raises=WrongCode)
        expect(Audit, thing=..., plain=1)
        expect("Chat[7]", texts=["ho"])""")


def test_writes_are_those_of_a_state_object(shop: Any) -> None:
    chat = StateKey("Chat", "it's")
    write = Write(
        "undo", {(StateKey("Audit"), "a"): 1, (StateKey("Audit"), "b"): ABSENT, (chat, "a b"): 2, (chat, "c"): 3}
    )
    two = Write("update", {(StateKey("Signup"), "step"): 1, (StateKey("Signup"), "code"): "1"})
    start = {StateKey("Chat", 7): {"texts": ["old"]}}
    steps = [Step(1, "undo", acts=(write,)), Step(2, "update", acts=(two,))]

    assert body(Scenario(shop.app, "signup", start=start, steps=steps)) == textwrap.dedent("""\
        await app.state(Chat, 7).set("texts", ["old"])
        app.state(Audit).set("a", 1)
        app.state(Audit).delete("b")
        await app.state(Chat, "it's").set("a b", 2)
        await app.state(Chat, "it's").set("c", 3)
        await app.state(Signup).update(step=1, code="1")""")


def test_a_default_that_is_written_is_nothing_to_expect(shop: Any) -> None:
    with shop.app.scenario("signup") as scenario:
        asyncio.run(shop.app.state(shop.Signup).set("step", 0))

    assert body(scenario) == 'await app.state(Signup).set("step", 0)'


def test_names_that_are_no_identifiers_are_in_a_dict(shop: Any) -> None:
    with shop.app.scenario("signup") as scenario:
        shop.app.state(shop.Audit).set("a b", 1)
        shop.app.state(shop.Audit).set("class", 2)

    assert body(scenario) == textwrap.dedent("""\
        app.state(Audit).set("a b", 1)
        expect(Audit, {"a b": 1})
        app.state(Audit).set("class", 2)
        expect(Audit, {"class": 2})""")


def test_a_state_without_a_class_can_be_expected_but_not_written_to(shop: Any) -> None:
    key = StateKey("Free")
    write = Write("set", {(key, "a"): 1})
    scenario = Scenario(shop.app, "signup", steps=[Step(1, "set", acts=(write,), after={key: {"a": 1}})])

    with pytest.raises(ScenarioError, match="scenario 'signup' writes to Free, of which no class is known that a"):
        Cells(Plan(scenario))
    other = Scenario(shop.app, "signup", steps=[Step(1, "set", after={key: {"a": 1}})])
    assert body(other) == 'expect("Free", a=1)'


def test_tasks_of_a_notebook_are_carried(notebook: FakeNotebook) -> None:
    notebook.run(
        "from __future__ import annotations\nfrom qstate_nb import InlineApp, State, StateRegistry",
        "class Stock(State): pass\nmine = InlineApp(registry=StateRegistry())",
        "@mine.task\ndef sell(stock: Stock): return 1",
    )
    scenario = asyncio.run(run_script(notebook["mine"], "x", "sell()", notebook.names))
    cells = Cells(Plan(scenario))

    assert cells.setup.startswith("from __future__ import annotations\n\nfrom qstate_nb import InlineApp")
    assert cells.setup.endswith("def sell(stock: Stock): return 1\n\n%load_ext qstate_nb")
    assert cells.scenario == "%%qstate scenario x --fresh\nawait sell()"


def test_of_several_apps_the_right_one_is_chosen(notebook: FakeNotebook) -> None:
    notebook.run(
        "from qstate_nb import InlineApp, StateRegistry\nmine = InlineApp(registry=StateRegistry())",
        "other = InlineApp('other', registry=StateRegistry())",
        "@mine.task\ndef sell(): return other.name",
    )
    scenario = asyncio.run(run_script(notebook["mine"], "x", "sell()", notebook.names))

    assert Cells(Plan(scenario)).setup.endswith("\n\n%qstate app mine;")


def test_an_app_without_a_name_gets_one(shop: Any) -> None:
    scenario = scripted(shop, "await begin()")
    del shop.app

    assert Cells(Plan(scenario)).setup.endswith("from shop.tasks import Plan, Signup, begin\n\napp = begin.app")


def test_steps_that_were_not_run_are_comments(shop: Any) -> None:
    assert body(scripted(shop, "confirm('x')\nreset()")) == textwrap.dedent("""\
        expect_result(confirm("x"), raises=WrongCode)
        # not run: reset()""")


def test_the_title_is_no_markup(shop: Any) -> None:
    cells = Cells(Plan(scripted(shop, "begin()", "<b>*a*\n# b")))

    assert cells.title.splitlines()[0] == r"# \<b\>\*a\* \# b"
    assert cells.scenario.splitlines()[0] == '%%qstate scenario "<b>*a* # b" --fresh'
