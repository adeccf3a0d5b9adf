"""Scenarios that can be exported, and those that can't."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qstate_nb import ABSENT, AsyncState, InlineApp
from qstate_nb.app.exporting.layout import Layout, Text
from qstate_nb.app.exporting.plan import (
    NotCompared,
    Plan,
    PlannedWrite,
    error_comparison,
    is_any,
)
from qstate_nb.app.scenario import Scenario
from qstate_nb.app.script import run_script
from qstate_nb.app.steps import Check, Step, Write
from qstate_nb.core.keys import StateKey
from qstate_nb.errors import ScenarioError

SIGNUP, AUDIT = StateKey("Signup"), StateKey("Audit")


def shown(value: Any) -> Any:
    """Expressions as text."""
    if isinstance(value, dict):
        return {str(key): shown(item) for key, item in value.items()}
    if isinstance(value, NotCompared | None):
        return value
    return Layout(lambda what: str(getattr(what, "__name__", what))).flat(value)


def scripted(shop: Any, source: str, *, fresh: bool = False, **more: Any) -> Scenario:
    return asyncio.run(run_script(shop.app, "signup", source, {**vars(shop), **more}, fresh=fresh))


def refused(scenario: Scenario) -> str:
    with pytest.raises(ScenarioError) as caught:
        Plan(scenario)
    return str(caught.value)


def test_steps_have_what_changed_complete(shop: Any) -> None:
    with shop.app.scenario("signup") as scenario:
        shop.app.run("begin", shop.Plan.PRO)
        shop.app.run("confirm", code="12")
        shop.app.run("begin", shop.Plan.PRO)
    first, second, third = Plan(scenario).steps

    assert shown(first.changed) == {
        "Signup": {"step": "1", "prompt": '"Enter your phone number"', "plan": "Plan.PRO"}
    }
    assert second.touched == {SIGNUP: ("step", "code", "when")}
    assert list(third.changed[SIGNUP]) == ["step", "prompt", "plan", "code", "when"]
    assert third.touched == {SIGNUP: ("step",)}
    assert third.removed == {SIGNUP: ()}


def test_declared_defaults_are_among_the_fields(shop: Any) -> None:
    state = shop.app.state(shop.Signup)
    with shop.app.scenario("signup") as scenario:
        asyncio.run(state.set("code", "1"))
        asyncio.run(state.set("step", 2))
        asyncio.run(state.clear())
        asyncio.run(state.set("step", 0))
    first, _, third, fourth = Plan(scenario).steps

    assert (shown(first.changed), first.touched) == ({"Signup": {"step": "0", "code": '"1"'}}, {SIGNUP: ("code",)})
    assert (shown(third.changed), third.touched) == ({"Signup": {"step": "0"}}, {SIGNUP: ("step",)})
    assert third.removed == {SIGNUP: ("code",)}
    assert (shown(fourth.changed), fourth.touched) == ({"Signup": {"step": "0"}}, {SIGNUP: ()})


def test_defaults_of_a_class_that_no_task_takes_need_the_class(shop: Any) -> None:
    class Local(AsyncState):
        level: int = 1

    asked = "app.state(Settings).set('level', 2)\nexpect(Settings, name='')"
    plan = Plan(scripted(shop, f"await begin()\n{asked}"))
    local = Plan(scripted(shop, "await app.state(Local).set('more', 2)", Local=Local))

    assert shown(plan.steps[1].changed) == {"Settings": {"level": "2", "name": '""'}}
    assert (plan.classes, local.classes) == ([shop.Settings], [])
    assert shown(local.steps[0].changed) == {"Local": {"more": "2"}}
    assert Plan(scripted(shop, asked.partition("\n")[2], fresh=False)).classes == [shop.Settings], "it is checked"
    assert Plan(scripted(shop, "await begin()")).classes == []


def test_what_is_stored_at_the_beginning_is_written_first(shop: Any) -> None:
    shop.app.state(shop.Audit).update(a=1, b=[2])
    with shop.app.scenario("signup") as scenario:
        shop.app.run("reset")
    plan = Plan(scenario)

    assert [(write.key, shown(write.fields)) for write in plan.start] == [(AUDIT, {"a": "1", "b": "[2]"})]
    assert plan.steps[0].removed == {AUDIT: ("a", "b")}


def test_writes_are_by_bucket(shop: Any) -> None:
    chat = StateKey("Chat", 1)
    write = Write("undo", {(AUDIT, "a"): 1, (chat, "b"): ABSENT, (AUDIT, "c"): ABSENT})
    plan = Plan(Scenario(shop.app, "signup", steps=[Step(1, "undo", acts=(write,))]))

    assert plan.task is None
    assert [(act.key, shown(act.fields)) for act in plan.steps[0].acts if isinstance(act, PlannedWrite)] == [
        (AUDIT, {"a": "1", "c": None}),
        (chat, {"b": None}),
    ]


def test_checks_of_state_are_kept_and_others_as_text(shop: Any) -> None:
    scenario = scripted(
        shop,
        "await begin()\nexpect(Signup, step=1, prompt=..., gone=__import__('qstate_nb').ABSENT)\nassert 1 == 1",
    )
    _, second, third = Plan(scenario).steps

    (check,) = second.checks
    assert (check.key, shown(check.fields)) == (SIGNUP, {"step": "1", "prompt": "...", "gone": None})
    assert [each.text for each in third.sequence if isinstance(each, Check)] == ["assert 1 == 1"]
    assert is_any(Text("..."))
    assert not is_any(Text("1"))


def test_what_can_not_be_compared_is_said(shop: Any) -> None:
    with shop.app.scenario("odd") as scenario:
        shop.app.run("odd")
        shop.app.state(shop.Audit).set("number", float("nan"))
    first, second = Plan(scenario).steps

    (call,) = first.acts[0]  # type: ignore[misc]
    assert call.returned == NotCompared("[<object object>], which has <object object>")
    assert shown(first.changed) == {"Audit": {"thing": NotCompared("<object object>"), "plain": "1"}}
    assert second.changed[AUDIT]["number"] == NotCompared("nan, which is not equal to itself")


def test_an_error_of_a_task_ends_it_and_the_rest_is_not_run(shop: Any) -> None:
    plan = Plan(scripted(shop, "await begin()\nawait confirm('x')\nawait reset()\nfor i in (1,):\n    reset()"))

    assert [step.number for step in plan.steps] == [1, 2]
    assert plan.not_run == ["await reset()", "for i in (1,): …"]


def test_checks_keep_their_place_among_acts(shop: Any) -> None:
    source = "for n in (1, 2):\n    expect_result(await note('x', level=n))\n    expect(Audit, log=...)"
    (step,) = Plan(scripted(shop, source)).steps

    assert [type(each).__name__ for each in step.sequence] == ["tuple", "Check", "PlannedCheck"] * 2


def test_arguments_and_state_that_can_not_be_written_are_refused(shop: Any) -> None:
    with shop.app.scenario("signup") as first:
        shop.app.run("note", {"a": object()})
    with shop.app.scenario("again") as second:
        shop.app.run("reset")

    assert refused(first) == (
        "step 1, note({'a': <object object>}): argument 1 {'a': <object object>}, in which <object object> "
        "is of class object, which can't be written as Python; use plain data instead"
    )
    assert refused(second) == (
        "scenario 'again' begins with Audit.log = [({'a': <object object>}, 0)], in which <object object> "
        "is of class object, which can't be written as Python; begin with empty State, or use plain data"
    )


def test_errors_are_compared_by_what_is_the_same_on_each_run(shop: Any, app: InlineApp) -> None:
    assert error_comparison(shop.app.run("confirm", "x"), shop.app.tasks) == "WrongCode('not a number: x')"
    assert error_comparison(shop.app.run("where"), shop.app.tasks) is None

    @app.task(max_time=0.001)
    async def waits() -> None:
        await asyncio.Event().wait()

    class Silent(Exception):
        def __repr__(self) -> str:
            raise RuntimeError

    @app.task
    def raises() -> None:
        raise Silent

    assert error_comparison(app.run("waits"), app.tasks) is None, "it names the call"
    assert error_comparison(app.run("raises"), app.tasks) is None


def test_names_that_are_no_identifiers(shop: Any) -> None:
    with shop.app.scenario("signup") as scenario:
        shop.app.run("anything", **{"a b": 1, "c": 2, "class": 3, "ﬁ": 4})

    ((call,),) = Plan(scenario).steps[0].acts  # type: ignore[misc]
    assert [shown(item.value) for item in call.arguments] == ["2", '{"a b": 1, "class": 3, "ﬁ": 4}']
