"""What `%qstate` and the panel do, as plain functions."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from qstate_nb import AsyncState, InlineApp, State
from qstate_nb.errors import ArgumentError, CommandError, NotFoundError
from qstate_nb.notebook import commands
from qstate_nb.notebook.views import Limits


class Signup(State):
    pass


class Order(AsyncState):
    pass


@pytest.fixture
def state(app: InlineApp) -> Signup:
    return app.state(Signup)


def test_the_overview_shows_app_states_tasks_and_last_events(app: InlineApp, state: Signup) -> None:
    @app.task
    def step1(state: Signup) -> None: ...

    for n in range(7):
        state.set("step", n)
    lines = commands.overview(app).text.splitlines()
    assert lines[:2] == ["app: 1 task, 1 state, 7 events", "Signup: 1 key"]
    assert lines[4:6] == ["tasks", "  task     what it does"]
    assert [line.split()[0] for line in lines[lines.index("last events") + 2 :]] == ["3", "4", "5", "6", "7"]
    assert "last events" not in commands.overview(app, Limits(events=0)).text
    assert commands.overview(app, Limits(events=1)).text.splitlines()[-1].split()[0] == "7"


def test_the_overview_of_a_new_app_says_how_to_begin(app: InlineApp) -> None:
    assert commands.overview(app).text == (
        "app: 0 tasks, 0 states, 0 events\n"
        "tasks\n"
        "  no tasks yet: register one with @app.task\n"
        "last events\n"
        "  no events yet"
    )


def test_show_gives_copies_of_the_data(app: InlineApp, state: Signup) -> None:
    state.set("tags", ["a"])
    view = commands.show(app)
    assert view.data == {"Signup": {"tags": ["a"]}}
    assert commands.show(app, "Signup").data == {"tags": ["a"]}
    view.data["Signup"]["tags"].append("b")
    assert state.get("tags") == ["a"]


def test_show_of_nothing_says_so(app: InlineApp) -> None:
    assert commands.show(app).text == "no states yet"
    assert commands.show(app).data == {}


@pytest.mark.parametrize(
    "call",
    [
        lambda app: commands.show(app, "Sigup"),
        lambda app: commands.get(app, "Sigup", "a"),
        lambda app: commands.set_value(app, "Sigup", "a", 1),
        lambda app: commands.update(app, "Sigup", {"a": 1}),
        lambda app: commands.delete(app, "Sigup", "a"),
        lambda app: commands.clear(app, "Sigup"),
    ],
    ids=["show", "get", "set", "update", "delete", "clear"],
)
def test_an_unknown_state_gets_the_close_matches_and_is_not_made(app: InlineApp, state: Signup, call: Any) -> None:
    with pytest.raises(NotFoundError, match="no state 'Sigup'; did you mean 'Signup'"):
        call(app)
    assert list(map(str, app.registry.keys())) == ["Signup"]
    assert app.registry.history() == []


def test_an_unknown_key_gets_the_close_matches(app: InlineApp, state: Signup) -> None:
    state.update(phone=1, prompt=2)
    with pytest.raises(NotFoundError, match="no key of State Signup called 'phon'; did you mean 'phone'"):
        commands.get(app, "Signup", "phon")
    with pytest.raises(NotFoundError, match="no key of State Signup called 'phon'"):
        commands.delete(app, "Signup", "phon")


def test_get_gives_a_copy(app: InlineApp, state: Signup) -> None:
    state.update(tags=["a"], none=None)
    commands.get(app, "Signup", "tags").append("b")
    assert commands.get(app, "Signup", "tags") == ["a"]
    assert commands.get(app, "Signup", "none") is None


class Counting(list[int]):
    """A value that counts how often it is copied."""

    copies = 0

    def __copy__(self) -> Counting:
        type(self).copies += 1
        return Counting(self)


def test_a_key_is_read_or_removed_without_a_copy_of_the_other_values(app: InlineApp, state: Signup) -> None:
    state.update(large=Counting(), small=1)
    before = Counting.copies
    assert commands.get(app, "Signup", "small") == 1
    commands.delete(app, "Signup", "small")
    commands.clear(app, "Signup")
    assert Counting.copies == before


def test_changes_say_what_they_did_and_are_the_user_s(app: InlineApp, state: Signup) -> None:
    assert commands.set_value(app, "Signup", "step", 1) == "Signup.step = 1"
    assert commands.set_value(app, "Signup", "a\nb", "x" * 10_000).startswith(r"Signup.'a\nb' = 'xxx")
    assert commands.update(app, "Signup", {"a": 1, "self": None}) == "Signup.a = 1\nSignup.self = None"
    assert commands.delete(app, "Signup", "a") == "Signup.a deleted"
    assert commands.clear(app, "Signup") == "Signup cleared: 3 keys removed"
    assert commands.clear(app, "Signup") == "Signup cleared: 0 keys removed"
    assert state.get() == {}
    assert {str(event.actor) for event in app.registry.history()} == {"user"}


def test_an_update_of_nothing_is_refused(app: InlineApp, state: Signup) -> None:
    with pytest.raises(CommandError, match="update needs at least one k=v"):
        commands.update(app, "Signup", {})


def test_async_states_are_changed_as_well(app: InlineApp) -> None:
    order = app.state(Order)
    commands.set_value(app, "Order", "n", 1)
    assert asyncio.run(order.get("n")) == 1


def test_tasks_are_listed(app: InlineApp) -> None:
    @app.task
    def step1(n: int = 1) -> None:
        """Count."""

    assert commands.tasks(app).data == ["step1"]
    assert commands.tasks(app).text.splitlines()[1].split("  ")[1:] == ["step1(n: int = 1)", "Count."]


def test_the_app_in_use_is_marked(app: InlineApp) -> None:
    other = InlineApp(registry=app.registry)
    view = commands.app_list({"a": app, "b": other}, other)
    assert view.text == "  app  tasks\n  a    0 tasks\n* b    0 tasks"
    assert view.data == ["a", "b"]


# --- run


def test_a_run_reports_results_and_the_change_of_state(app: InlineApp, capsys: pytest.CaptureFixture[str]) -> None:
    @app.task
    def step1(state: Signup, n: int) -> int:
        print("counting")
        state.set("n", n)
        return n

    report = commands.run(app, "step1", {"n": 3})
    assert capsys.readouterr().out == "counting\n"
    assert (
        report.text
        == report.view.text
        == ("step1 #1: success, returned 3\n  state   key  change\n  Signup  n    → 3")
    )
    assert report.view.data is report.results
    assert [result.returning for result in report.results] == [3]


def test_a_report_starts_on_a_line_of_its_own(app: InlineApp, capsys: pytest.CaptureFixture[str]) -> None:
    @app.task
    def step1() -> None:
        print("no line end", end="")

    assert commands.run(app, "step1", {}).text == "\nstep1 #1: success, returned None\n  State did not change"


def test_a_failed_run_shows_where_in_the_user_s_code(app: InlineApp) -> None:
    @app.task
    def step1() -> None:
        raise LookupError("gone")

    report = commands.run(app, "step1", {})
    lines = report.text.splitlines()
    assert lines[0] == "step1 #1: error, LookupError: gone"
    assert lines[1] == "Traceback (most recent call last):"
    assert sum(line.startswith("  File") for line in lines) == 1
    assert __file__ in report.text
    assert lines[-1] == "  State did not change"


def test_times_runs_one_after_the_other(app: InlineApp) -> None:
    seen: list[str] = []

    @app.task
    async def step1() -> None:
        seen.append("in")
        await asyncio.sleep(0)
        seen.append("out")

    report = commands.run(app, "step1", {}, times=3)
    assert seen == ["in", "out"] * 3
    assert [line.split(":")[0] for line in report.text.splitlines()[:3]] == ["step1 #1", "step1 #2", "step1 #3"]
    assert report.text.splitlines()[3] == "3 calls, 3 with success"


def test_concurrent_calls_run_at_once_in_both_colours(app: InlineApp) -> None:
    meeting = threading.Barrier(3)

    @app.task
    def wait_for_all() -> int:
        return meeting.wait(10)

    here: list[int] = []

    @app.task
    async def gather() -> None:
        here.append(1)
        while len(here) < 3:
            await asyncio.sleep(0)

    assert [r.status for r in commands.run(app, "wait_for_all", {}, times=3, concurrent=True).results] == [
        "success"
    ] * 3
    assert [r.status for r in commands.run(app, "gather", {}, times=3, concurrent=True).results] == ["success"] * 3


def test_the_calls_of_a_run_do_not_share_what_they_were_given(app: InlineApp) -> None:
    @app.task
    def step1(**values: Any) -> int:
        values.pop("a")
        return len(values)

    assert [r.returning for r in commands.run(app, "step1", {"a": 1, "b": 2}, times=2).results] == [1, 1]


def test_a_timeout_stops_each_call(app: InlineApp) -> None:
    @app.task
    async def step1() -> None:
        await asyncio.Event().wait()

    report = commands.run(app, "step1", {}, times=2, timeout=0.01)
    assert [result.status for result in report.results] == ["cancel", "cancel"]
    assert (
        "step1 #1: cancel, TaskTimeoutError: step1 #1 was stopped: it took longer than timeout=0.01 s" in report.text
    )
    assert "2 calls, 0 with success" in report.text


def test_a_run_in_a_running_loop_works(app: InlineApp) -> None:
    @app.task
    async def step1() -> str:
        await asyncio.sleep(0)
        return "ok"

    async def cell() -> object:
        return commands.run(app, "step1", {}).results[0].returning

    assert asyncio.run(cell()) == "ok"


def test_wrong_names_and_missing_values_run_nothing(app: InlineApp) -> None:
    @app.task
    def step1(phone: str, n: int = 1) -> None: ...

    with pytest.raises(NotFoundError, match="no task 'stpe1'; did you mean 'step1'"):
        commands.run(app, "stpe1", {})
    with pytest.raises(NotFoundError, match="no parameter of task 'step1' called 'fone'; did you mean 'phone'"):
        commands.run(app, "step1", {"fone": 1})
    with pytest.raises(ArgumentError, match="task 'step1' needs a value for: phone"):
        commands.run(app, "step1", {"n": 1})
    assert app.calls == []


def test_many_results_are_cut(app: InlineApp) -> None:
    @app.task
    def step1() -> None: ...

    text = commands.run(app, "step1", {}, times=5, limits=Limits(rows=2)).text
    assert text.count("success, returned") == 2
    assert "5 calls, 5 with success" in text


def test_huge_values_cost_a_run_no_more_than_setting_them_does(app: InlineApp, state: Signup) -> None:
    """The State's change is found by identity, not by looking at every item of a value that did not change."""
    large = list(range(3_000_000))

    @app.task
    def step1(state: Signup) -> None:
        state.set("n", 1)

    start = time.perf_counter()
    state.set("large", large)
    setting = time.perf_counter() - start
    took = []
    for _ in range(3):
        start = time.perf_counter()
        report = commands.run(app, "step1", {})
        commands.overview(app)
        took.append(time.perf_counter() - start)
    assert min(took) < setting
    assert "large" not in report.text
