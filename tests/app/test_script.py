"""Scenarios that are written as Python: statements as steps, checks, errors, and State of their own."""

from __future__ import annotations

import asyncio
import inspect
import textwrap
import threading
from typing import Any

import pytest

from qstate_nb import ABSENT, AsyncState, InlineApp, Scenario, State
from qstate_nb.app.inline import stand_ins_used
from qstate_nb.app.script import concurrently, run_script
from qstate_nb.errors import ScenarioError


class Signup(AsyncState):
    pass


class SyncSignup(State, name="Signup"):
    pass


@pytest.fixture
def names(app: InlineApp) -> dict[str, Any]:
    @app.task
    async def step1(state: Signup) -> str:
        print("asked")
        await state.update(step=1, prompt="phone")
        return "ok"

    @app.task
    async def step2(state: Signup, phone: str) -> bool:
        await asyncio.sleep(0)
        if not phone.isdigit():
            raise ValueError(f"not a number: {phone}")
        await state.update(step=2, phone=phone)
        return True

    @app.task
    def count(state: SyncSignup, by: int = 1) -> int:
        print("counting")
        return int(state.increment("count", by))

    @app.task
    async def both(state: Signup) -> list[Any]:
        print("both")
        return [await step1(), await step2("5")]

    return {"app": app, "Signup": Signup, "step1": step1, "step2": step2, "count": count, "both": both}


def run(names: dict[str, Any], source: str, *, fresh: bool = False) -> Scenario:
    return asyncio.run(run_script(names["app"], "test", textwrap.dedent(source), names, fresh=fresh))


def statuses(scenario: Scenario) -> str:
    """A letter a step: passed, failed, error, not run."""
    return "".join(step.status[0] for step in scenario.steps)


def test_each_statement_is_a_step(names: dict[str, Any]) -> None:
    scenario = run(
        names,
        """
        # the beginning
        await step1()
        phone = "123"
        done = await step2(phone)
        for n in range(2):
            print("n", n)
            await count(n)
        """,
    )
    assert [step.source for step in scenario.steps] == [
        "await step1()",
        'phone = "123"',
        "done = await step2(phone)",
        'for n in range(2):\n    print("n", n)\n    await count(n)',
    ]
    assert [step.outcome() for step in scenario.steps] == ["'ok'", "", "True", "0, 1"]
    assert [step.output for step in scenario.steps] == ["asked\n", "", "", "n 0\ncounting\nn 1\ncounting\n"]
    assert [list(map(str, step.change)) for step in scenario.steps] == [
        ["Signup.step: → 1", "Signup.prompt: → 'phone'"],
        [],
        ["Signup.step: 1 → 2", "Signup.phone: → '123'"],
        ["Signup.count: → 1"],
    ]
    assert (names["phone"], names["done"], names["n"]) == ("123", True, 1)
    assert scenario.passed
    assert names["app"].scenarios == {"test": scenario}
    assert names["app"].state(SyncSignup).get("step") == 2


def test_nothing_is_shown_meanwhile(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    scenario = run(names, "await both()\nawait count()\nprint('end')")
    assert capsys.readouterr().out == ""
    assert [step.output for step in scenario.steps] == ["both\nasked\n", "counting\n", "end\n"]


def test_an_error_stops_it_with_the_state_as_it_is(names: dict[str, Any]) -> None:
    scenario = run(names, "await step1()\nawait step2('abc')\nawait count()\nexpect(Signup, step=1)")
    assert statuses(scenario) == "penn"
    assert scenario.steps[1].outcome() == "ValueError: not a number: abc"
    assert scenario.verdict == "stopped at step 2"
    assert names["app"].state(SyncSignup).get_all() == {"step": 1, "prompt": "phone"}
    with pytest.raises(ScenarioError, match="test: step 2 ended with ValueError: not a number: abc") as caught:
        scenario.check()
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("source", ["raise SystemExit(1)", "undefined", "1 / 0", "expect(Signup)", "import nowhere"])
def test_any_error_is_the_steps(names: dict[str, Any], source: str) -> None:
    assert statuses(run(names, f"{source}\nawait step1()")) == "en"


def test_checks_are_steps_that_pass_or_fail_and_it_goes_on(names: dict[str, Any]) -> None:
    scenario = run(
        names,
        """
        await step1()
        expect(Signup, step=1, prompt=...)
        expect("Signup", step=2)
        await expect(app.state(Signup), step=1)
        assert await app.state(Signup).get("step") == 2, "the step is wrong"
        assert 1 in [1, 2]
        assert [] or {}
        result = expect_result(step1(), "ok")
        expect_result(step2("x"), raises=ValueError)
        expect_result(count(), 5)
        expect_result(result, "no")
        """,
    )
    assert statuses(scenario) == "ppfpfpfppff"
    problems = [line for step in scenario.steps for check in step.checks for line in check.problems]
    assert problems == [
        "Signup.step: expected 2, it is 1",
        "(await app.state(Signup).get('step')): expected 2, it is 1",
        "the step is wrong",
        "[] or {}: expected to be true, it is {}",
        "result: expected 5, it is 1",
        "result: expected 'no', it is 'ok'",
    ]
    assert scenario.steps[8].checks[0].text == "expect_result(step2('x'), raises=ValueError)"
    assert names["result"] == "ok"
    assert scenario.verdict == "5 steps failed"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("assert 1 != 1", "1: expected != 1, it is 1"),
        ("assert 3 < 2", "3: expected < 2, it is 3"),
        ("assert None is not None", "None: expected is not None, it is None"),
        ("assert 'a' in 'bcd'", "'a': expected in 'bcd', it is 'a'"),
        ("assert 1 < 3 < 2", "1 < 3 < 2: expected to be true, it is False"),
    ],
)
def test_an_assertion_says_what_it_is_about(names: dict[str, Any], source: str, said: str) -> None:
    assert list(run(names, source).steps[0].checks[0].problems) == [said]


def test_an_assertion_in_a_task_is_an_error(names: dict[str, Any]) -> None:
    @names["app"].task  # type: ignore[untyped-decorator]
    async def strict() -> None:
        raise AssertionError("inside")

    names["strict"] = strict
    assert statuses(run(names, "await strict()\nawait step1()")) == "en"


def test_concurrently_is_one_act_and_needs_no_await(names: dict[str, Any]) -> None:
    scenario = run(
        names,
        """
        a = concurrently(step1(), count())
        b = await concurrently(step2("1"), step2("2"))
        concurrently(step1())
        """,
    )
    assert [len(step.acts) for step in scenario.steps] == [1, 1, 1]
    assert str(scenario.steps[0].acts[0]) == "concurrently(step1(), count())"
    assert (names["a"], names["b"]) == (["ok", 1], [True, True])


def test_concurrently_waits_for_all_before_it_raises(names: dict[str, Any]) -> None:
    scenario = run(names, "concurrently(step2('x'), step2('7'))")
    assert statuses(scenario) == "e"
    assert names["app"].state(SyncSignup).get("phone") == "7"
    assert [call.outcome for call in scenario.steps[0].calls] == ["ValueError: not a number: x", "True"]


def test_concurrently_works_outside_as_well() -> None:
    async def value(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def main() -> list[int]:
        return await concurrently(value(1), value(2))

    assert asyncio.run(main()) == [1, 2]


def test_a_coroutine_that_stands_alone_is_awaited(names: dict[str, Any]) -> None:
    assert run(names, "step1()").steps[0].outcome() == "'ok'"


def test_all_of_python_can_be_used(names: dict[str, Any]) -> None:
    scenario = run(
        names,
        """
        import contextlib
        async def twice():
            "In it, nothing is awaited by itself."
            return [await step1(), await concurrently(step1())]
        results = await twice()
        numbers = [await count(n) for n in range(3)]
        with contextlib.suppress(ValueError):
            await step2("abc")
        import asyncio
        async with asyncio.timeout(5):
            await step1()
        a = 1; b = a + 1
        class Local: x = b
        """,
    )
    assert [step.outcome() for step in scenario.steps if step.status != "passed"] == []
    assert names["results"] == ["ok", ["ok"]]
    assert names["numbers"] == [0, 1, 3]
    assert names["Local"].x == 2
    assert inspect.getsource(names["twice"]).startswith("async def twice():")


def test_statements_on_one_line_are_steps_of_their_own(names: dict[str, Any]) -> None:
    assert [step.source for step in run(names, "a = 1; b = 2").steps] == ["a = 1", "b = 2"]


def test_the_helpers_are_there_only_meanwhile(names: dict[str, Any]) -> None:
    names["expect"] = "mine"
    run(names, "expect(Signup, x=...)\nconcurrently = 5\n1 / 0")
    assert names["expect"] == "mine"
    assert "expect_result" not in names
    run(names, "concurrently = 5")
    assert names["concurrently"] == 5
    assert "__builtins__" in names


def test_an_interrupt_passes_and_leaves_nothing_behind(names: dict[str, Any]) -> None:
    names["stop"] = KeyboardInterrupt
    before = {*names, "__builtins__"}
    with pytest.raises(KeyboardInterrupt):
        run(names, "await step1()\nraise stop", fresh=True)
    assert set(names) == before
    assert names["app"].scenarios == {}
    assert names["app"].registry.seq == 0
    assert run(names, "await step1()").passed
    assert not names["app"]._subscribers


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "scenario 'test' has no steps; write them below it"),
        ("# only a comment", "has no steps"),
        ("a = 1\nawait (", "scenario 'test' is no Python in line 2: '\\(' was never closed"),
        ("x = '\0'", "scenario 'test' is no Python"),
        ("a = 1\nreturn 4", "is no Python in line 2: 'return' outside function"),
    ],
)
def test_what_is_no_python_is_refused_before_anything_is_run(names: dict[str, Any], source: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        run(names, source)
    assert "a" not in names


def test_a_fresh_one_begins_with_empty_state_and_leaves_the_real_one_alone(names: dict[str, Any]) -> None:
    app = names["app"]
    names["state"] = state = app.state(SyncSignup)
    state.update(step=7, phone="0")
    before = app.registry.seq
    names |= {"ABSENT": ABSENT, "in_thread": lambda: app.run("step1")}

    scenario = run(
        names,
        """
        assert state.get_all() == {}
        await both()
        expect(state, step=2, phone="5", count=ABSENT)
        state.set("hand", 1)
        expect(app.state(Signup), hand=1)
        await count()
        app.run("count")
        in_thread()
        assert app.registry.seq == 6
        """
        if names.update(ABSENT=__import__("qstate_nb").ABSENT, in_thread=lambda: app.run("step1")) is None
        else "",
        fresh=True,
    )

    assert scenario.passed, [step.checks for step in scenario.steps]
    assert scenario.start == {}
    assert scenario.notes == []
    assert app.registry.seq == before
    assert state.get_all() == {"step": 7, "phone": "0"}
    assert names["state"] is state
    assert scenario.app is app


def test_a_state_object_from_elsewhere_that_reaches_the_real_state_is_told(names: dict[str, Any]) -> None:
    state = names["app"].state(SyncSignup)
    names["sneak"] = lambda: state.set("x", 1)
    scenario = run(names, "sneak()", fresh=True)
    assert len(scenario.notes) == 1
    assert scenario.notes[0].startswith("1 change of the real State meanwhile, the first of Signup by user: what was")


def test_after_it_everything_is_as_before(names: dict[str, Any]) -> None:
    app = names["app"]
    real = app.registry

    async def main() -> None:
        with stand_ins_used():
            await run_script(app, "fresh", "await count()", names, fresh=True)
            assert app.registry is real

    asyncio.run(main())
    assert not app._subscribers


def test_annotations_are_what_they_are_in_any_cell(names: dict[str, Any]) -> None:
    run(names, "def typed(number: int) -> str: ...")
    assert names["typed"].__annotations__ == {"number": int, "return": str}


def test_two_fresh_ones_at_once_do_not_meet(names: dict[str, Any]) -> None:
    results: list[Scenario] = []
    source = "await count()\nawait count()\nexpect(Signup, count=2)"
    threads = [
        threading.Thread(target=lambda: results.append(run(dict(names), source, fresh=True))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [scenario.passed for scenario in results] == [True] * 4
    assert names["app"].registry.seq == 0


def test_in_a_fresh_one_other_apps_on_the_same_state_are_apart_as_well(names: dict[str, Any]) -> None:
    other = InlineApp("other", registry=names["app"].registry)

    @other.task
    def meddle(state: SyncSignup) -> None:
        state.set("meddled", True)

    names["meddle"] = meddle
    scenario = run(names, "await meddle()\nexpect(Signup, meddled=True)", fresh=True)
    assert scenario.passed
    assert other.registry.seq == 0


def test_what_a_fresh_one_leaves_running_keeps_to_its_state(names: dict[str, Any]) -> None:
    go_on = names["go_on"] = asyncio.Event()
    app = names["app"]
    source = """
        import asyncio
        async def later():
            await go_on.wait()
            return await count()
        left = asyncio.create_task(later())
        await asyncio.sleep(0)
    """

    async def main() -> int:
        scenario = await run_script(app, "left", textwrap.dedent(source), names, fresh=True)
        assert scenario.passed
        go_on.set()
        return int(await names["left"])

    assert asyncio.run(main()) == 1
    assert app.registry.seq == 0


def test_a_call_that_another_thread_makes_on_the_real_state_is_told(names: dict[str, Any]) -> None:
    def in_thread() -> None:
        thread = threading.Thread(target=names["app"].run, args=("count",))
        thread.start()
        thread.join()

    names["in_thread"] = in_thread
    (note,) = run(names, "in_thread()", fresh=True).notes
    assert note.startswith("1 change of the real State meanwhile, the first of Signup by count #1")


def test_a_task_that_is_defined_anew_in_a_fresh_one_is_what_runs(names: dict[str, Any]) -> None:
    names["__name__"] = __name__
    source = "@app.task\nasync def step1(state: Signup) -> str:\n    return 'new'\nx = await step1()"
    scenario = run(names, source, fresh=True)
    assert names["x"] == "new"
    assert scenario.steps[0].source.startswith("@app.task\nasync def step1")


def test_checks_between_calls_of_one_step_keep_their_place(names: dict[str, Any]) -> None:
    scenario = run(names, "for n in range(1, 4):\n    await count()\n    expect(Signup, count=n)")
    assert scenario.passed
    (step,) = scenario.steps
    assert [str(getattr(each, "text", each)) for each in step.sequence] == [
        *("await count()", "expect(Signup, count=1)", "await count()", "expect(Signup, count=2)"),
        *("await count()", "expect(Signup, count=3)"),
    ]
    assert scenario.replay().is_same


def test_a_call_that_runs_on_from_step_to_step_can_not_be_done_again(names: dict[str, Any]) -> None:
    names["gate"] = gate = threading.Event()

    @names["app"].task  # type: ignore[untyped-decorator]
    def wait() -> None:
        gate.wait(10)

    scenario = run(names, "call = app.start('wait')\nawait step1()\ngate.set()\nawait call")
    assert scenario.passed
    with pytest.raises(ScenarioError, match="'test' can't be done again: wait #1 ran on in the background at step 1"):
        scenario.replay()


def test_a_check_that_is_not_awaited_fails(names: dict[str, Any]) -> None:
    source = """
        def check():
            expect_result(step1(), 'no')
        check()
        async def check():
            await expect_result(step1())
        await check()
    """
    scenario = run(names, source)
    assert statuses(scenario) == "pfpp"
    assert list(scenario.steps[1].checks[0].problems) == [
        "it was not awaited, so nothing was checked: write await expect_result(…)"
    ]


def test_checks_can_be_made_at_once(names: dict[str, Any]) -> None:
    source = """
        concurrently(expect_result(step1(), "ok"), expect_result(count(), 5))
        import asyncio
        await asyncio.gather(expect_result(step2("1"), True), concurrently(step1(), step1()))
    """
    scenario = run(names, source)
    assert statuses(scenario) == "fpp"
    assert sum(len(step.checks) for step in scenario.steps) == 3


def test_blank_lines_and_continued_ones_do_not_shift_the_text(names: dict[str, Any]) -> None:
    """As IPython gives it: without the blank lines at the beginning, and with magics as calls."""
    names["magic"] = lambda line: None
    typed = "\n\n%one\n\n%two"
    made = asyncio.run(run_script(names["app"], "x", "magic('one')\n\nmagic('two')\n", names, typed=typed))
    assert [step.source for step in made.steps] == ["%one", "%two"]
    made = asyncio.run(run_script(names["app"], "x", "magic('one two')\n", names, typed="%one \\\n two"))
    assert [step.source for step in made.steps] == ["magic('one two')"]
