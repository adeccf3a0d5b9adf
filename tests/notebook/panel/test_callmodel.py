"""Which calls the panel lists, in which rows, and what is shown of each."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from qstate_nb import Call, InlineApp, Progress
from qstate_nb.notebook.panel.callmodel import ROWS, Calls, CallView, Listed

WAIT = 10
SECOND = 1_000_000_000


class Clock:
    """The time, moved by hand."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def after(self, call: Call, seconds: float) -> None:
        """Make it so many seconds after a call was made."""
        self.now = call._created + round(seconds * SECOND)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def calls(app: InlineApp, clock: Clock) -> Calls:
    return Calls(app, clock)


class Gates:
    """Calls of a task that run until they are let go."""

    def __init__(self, app: InlineApp) -> None:
        self.app = app
        self.gates: dict[int, threading.Event] = {}
        self.begun = threading.Semaphore(0)
        app.task(name="wait")(self._wait)

    def _wait(self, n: int) -> None:
        self.begun.release()
        self.gates[n].wait(WAIT)

    def start(self) -> Call:
        """Start one, and wait until it runs."""
        n = len(self.gates)
        self.gates[n] = threading.Event()
        call = self.app.start("wait", n)
        assert self.begun.acquire(timeout=WAIT)
        return call

    def end(self, call: Call) -> None:
        self.gates[call.args[0]].set()
        call.wait(WAIT)

    def end_all(self) -> None:
        for gate in self.gates.values():
            gate.set()
        for call in self.app.calls:
            if call.task.name == "wait":
                call.wait(WAIT)


@pytest.fixture
def gates(app: InlineApp) -> Iterator[Gates]:
    gates = Gates(app)
    yield gates
    gates.end_all()


def quick(app: InlineApp, number: int = 1, name: str = "quick") -> None:
    app.task(name=name)(lambda: None)
    for _ in range(number):
        app.run(name)


def numbers(listed: Listed) -> list[int | None]:
    return [None if call is None else call.number for call in listed.rows]


def only(calls: Calls) -> CallView:
    (call,) = calls.app.calls
    return calls.view(call)


# --- which, and where


def test_without_calls_all_rows_are_empty(calls: Calls) -> None:
    assert calls.listed() == Listed((None,) * ROWS, page=0, pages=1, total=0, running=0, hidden=0)


def test_those_that_run_come_first_and_then_the_newest(app: InlineApp, calls: Calls, gates: Gates) -> None:
    quick(app, 2)
    first = gates.start()
    quick(app, 2)
    gates.start()
    quick(app)
    assert numbers(calls.listed()) == [3, 6, 7, 5, 4, 2, 1, None]
    gates.end(first)
    assert numbers(Calls(app).listed()) == [6, 7, 5, 4, 3, 2, 1, None]


def test_a_call_that_runs_keeps_its_row(app: InlineApp, calls: Calls, gates: Gates) -> None:
    """Else a click on Stop could hit another call."""
    first, second, third = gates.start(), gates.start(), gates.start()
    assert calls.listed().rows[:3] == (first, second, third)
    gates.end(first)
    fourth = gates.start()
    assert calls.listed().rows[:4] == (fourth, second, third, first)


def test_a_thousand_calls_have_pages(app: InlineApp, calls: Calls) -> None:
    quick(app, 1_001)
    first = calls.listed()
    assert (first.total, first.pages, first.page, first.summary) == (1_000, 125, 0, "1 to 8 of 1,000 calls")
    calls.turn(1)
    second = calls.listed()
    assert (numbers(second), second.summary) == (list(range(993, 985, -1)), "9 to 16 of 1,000 calls")
    calls.turn(1_000)
    last = calls.listed()
    assert (numbers(last), last.page) == ([9, 8, 7, 6, 5, 4, 3, 2], 124)
    calls.turn(-1_000)
    assert calls.listed() == first


def test_the_last_page_may_be_short(app: InlineApp, calls: Calls) -> None:
    quick(app, ROWS + 1)
    calls.turn(1)
    listed = calls.listed()
    assert numbers(listed) == [1, *[None] * (ROWS - 1)]
    assert listed.summary == "9 to 9 of 9 calls"


def test_how_many_more_run_is_said_on_each_page(app: InlineApp, calls: Calls, gates: Gates) -> None:
    for _ in range(ROWS + 3):
        gates.start()
    listed = calls.listed()
    assert (listed.running, listed.hidden) == (ROWS + 3, 3)
    calls.turn(1)
    assert calls.listed().hidden == ROWS
    calls.choose("failed")
    assert calls.listed().hidden == ROWS + 3


def test_one_can_list_only_those_that_run_or_failed(app: InlineApp, calls: Calls, gates: Gates) -> None:
    @app.task
    def fail() -> None:
        raise LookupError

    @app.task(max_time=0.01, echo=True)
    def slow(self: Any) -> None:
        self.ctx.sleep(WAIT)

    @app.task(echo=True)
    def give_up(self: Any) -> None:
        self.ctx.cancel()

    quick(app)
    for name in ("fail", "slow", "give_up"):
        app.run(name)
    running = gates.start()
    calls.choose("failed")
    listed = calls.listed()
    assert numbers(listed)[:3] == [3, 2, None]
    assert listed.total == 2
    calls.choose("running")
    assert calls.listed().rows[:2] == (running, None)
    calls.choose("all")
    assert calls.listed().total == 5


def test_one_can_list_those_of_a_task_by_a_part_of_its_name(app: InlineApp, calls: Calls) -> None:
    quick(app, 20, name="Load")
    quick(app, 2, name="store")
    calls.turn(2)
    calls.choose(text=" OA")
    listed = calls.listed()
    assert (listed.total, listed.page) == (20, 0)
    calls.choose(text="store #22")
    assert numbers(calls.listed())[:2] == [22, None]
    calls.choose(text="[")
    assert calls.listed().total == 0


# --- stop


def test_stop_ends_a_call(app: InlineApp, calls: Calls, gates: Gates) -> None:
    call = gates.start()
    assert calls.stop(call) is True
    assert calls.view(call).status == "stopping"
    gates.end(call)
    assert calls.stop(call) is False
    assert "stopped in the panel" in calls.view(call).detail


def test_stop_all_ends_all_of_them_listed_or_not(app: InlineApp, calls: Calls, gates: Gates) -> None:
    quick(app, 3)
    for _ in range(ROWS + 3):
        gates.start()
    waiting = app.new_call(app.tasks["quick"], (), {}, echo=False)
    assert calls.stop_all() == ROWS + 4
    app.begin(waiting)
    gates.end_all()
    assert {call.status for call in app.calls[3:]} == {"cancel"}
    assert calls.stop_all() == 0


def test_a_click_just_after_a_row_got_another_call_was_meant_for_the_one_before(
    app: InlineApp, calls: Calls, gates: Gates, clock: Clock
) -> None:
    first, other = gates.start(), gates.start()
    calls.listed()
    assert calls.stop_clicked(other) is True
    gates.end(first)
    second = gates.start()
    clock.now += 10 * SECOND
    assert calls.listed().rows[0] is second
    clock.now += SECOND // 4
    calls.listed()
    assert calls.stop_clicked(second) is False
    assert second.stopped_by is None
    clock.now += SECOND // 4
    assert calls.stop_clicked(second) is True


def test_also_when_the_row_was_empty_of_running_calls_for_a_moment(
    app: InlineApp, calls: Calls, gates: Gates, clock: Clock
) -> None:
    first = gates.start()
    calls.listed()
    gates.end(first)
    clock.now += SECOND
    calls.listed()
    second = gates.start()
    assert calls.listed().rows[0] is second
    assert calls.stop_clicked(second) is False
    clock.now += SECOND
    assert calls.stop_clicked(second) is True


# --- what is shown of a call


def test_a_call_that_succeeded(app: InlineApp, calls: Calls) -> None:
    @app.task
    def step1(n: int, name: str = "") -> dict[str, int]:
        print("one\n  two\n\n")
        return {"n": n}

    app.run("step1", 1, name="x")
    view = only(calls)
    assert (view.name, view.arguments, view.sign, view.status) == ("step1 #1", "1, name='x'", "✓", "success")
    assert (view.detail, view.output, view.traceback) == ("returned {'n': 1}", "one\n  two", "")
    assert (view.can_stop, view.fraction, view.progress, view.attempt) == (False, None, "", "")


def test_a_call_that_failed_has_a_traceback(app: InlineApp, calls: Calls) -> None:
    @app.task
    def step1() -> None:
        raise LookupError("a\nb")

    app.run("step1")
    view = only(calls)
    assert (view.sign, view.status, view.detail) == ("✗", "error", "LookupError: a b")
    assert view.traceback.startswith("Traceback (most recent call last)")


def test_a_call_that_was_cancelled_has_none(app: InlineApp, calls: Calls) -> None:
    @app.task(echo=True)
    def step1(self: Any) -> None:
        self.ctx.cancel("enough")

    app.run("step1")
    view = only(calls)
    assert (view.sign, view.status, view.detail) == ("■", "cancelled", "TaskCancelledError: step1 #1: enough")
    assert view.traceback == ""


def test_a_call_that_waits_or_runs(app: InlineApp, calls: Calls) -> None:
    call = made(app)
    assert (calls.view(call).sign, calls.view(call).status, calls.view(call).elapsed) == ("…", "waiting", "")
    call.own_status = "process"
    view = calls.view(call)
    assert (view.sign, view.status, view.detail, view.can_stop) == ("▶", "running", "", True)


def made(app: InlineApp, *args: Any, **kwargs: Any) -> Call:
    """A call that has not begun."""
    app.task(name="made")(lambda *args, **kwargs: None)
    return app.new_call(app.tasks["made"], args, kwargs, echo=False)


def test_attempts_are_told(app: InlineApp, calls: Calls) -> None:
    @app.task(retry=2)
    def flaky() -> None:
        if len(app.calls) < 3:
            raise ConnectionError

    app.run("flaky")
    assert [calls.view(call).attempt for call in app.calls] == [
        "↻ tried again as #2",
        "↻ attempt 2 ↻ tried again as #3",
        "↻ attempt 3",
    ]


def test_many_or_long_arguments_and_names_are_shortened(app: InlineApp, calls: Calls) -> None:
    call = made(app, *["x" * 1_000] * 20, **{"y" * 1_000: 1})
    arguments = calls.view(call).arguments
    assert arguments.endswith(", …")
    assert len(arguments) < 500
    app.task(name="n\n" * 1_000)(lambda: None)
    call = app.new_call(app.tasks["n\n" * 1_000], (), {}, echo=False)
    assert len(calls.view(call).name) < 100


def test_of_a_long_output_the_end_is_kept(app: InlineApp, calls: Calls) -> None:
    call = made(app)
    call.write("x" * 1_000_000 + "half a character: \ud800")
    output = calls.view(call).output
    assert output.startswith("…xxx")
    assert output.endswith("half a character: ?")
    assert len(output) == 4_001


def test_what_is_printed_after_the_end_is_shown_too(app: InlineApp, calls: Calls) -> None:
    """By a thread that the task has left behind."""
    quick(app)
    assert only(calls).output == ""
    app.calls[0].write("late")
    assert only(calls).output == "late"


class Counted:
    """An object whose text takes long."""

    asked = 0

    def __repr__(self) -> str:
        Counted.asked += 1
        return "counted"


def test_the_text_of_a_call_in_a_row_is_made_once(app: InlineApp, calls: Calls) -> None:
    app.task(name="give")(lambda it: it)
    app.run("give", Counted())
    Counted.asked = 0
    for _ in range(5):
        calls.listed()
        assert only(calls).detail == "returned counted"
    assert Counted.asked == 2
    calls.choose("running")
    calls.listed()
    assert calls._texts == {}


# --- progress


@pytest.mark.parametrize(
    ("progress", "fraction", "text"),
    [
        (Progress(2, 5, "second\nstep"), 0.4, "2 of 5 second step"),
        (Progress(0.5, 1), 0.5, "0.5 of 1"),
        (Progress(7, 5), 1, "7 of 5"),
        (Progress(-1, 5), 0, "-1 of 5"),
        (Progress(10**400, 10**401), 0.1, "<int of 1329 bits> of <int of 1333 bits>"),
        (Progress(10**400, 1), None, "<int of 1329 bits> of 1"),
        (Progress(float("nan"), float("inf")), None, "nan of inf"),
        (Progress(1, 2, "x" * 1_000_000), 0.5, "1 of 2 " + "x" * 79 + "…"),
        (Progress(True, 2), 0.5, "True of 2"),
    ],
    ids=["message", "float", "too much", "too little", "huge", "huge part", "nan", "long message", "bool"],
)
def test_any_progress_can_be_shown(
    app: InlineApp, calls: Calls, progress: Progress, fraction: float | None, text: str
) -> None:
    call = made(app)
    call.own_status = "process"
    call.tell(progress)
    view = calls.view(call)
    assert view.fraction == (None if fraction is None else pytest.approx(fraction))
    assert view.progress == text


def test_of_a_call_that_did_not_succeed_it_is_said_how_far_it_came(app: InlineApp, calls: Calls) -> None:
    @app.task(echo=True)
    def step1(self: Any, *, fails: bool) -> None:
        self.ctx.progress(2, 5)
        if fails:
            raise LookupError

    app.run("step1", fails=True)
    app.run("step1", fails=False)
    failed, succeeded = map(calls.view, app.calls)
    assert (failed.fraction, failed.progress) == (None, "at 2 of 5")
    assert (succeeded.fraction, succeeded.progress) == (None, "")


def test_a_generator_s_values_are_counted(app: InlineApp, calls: Calls) -> None:
    call = made(app)
    call.own_status = "process"
    for count, text in ((0, "0 values so far"), (1, "1 value so far"), (1_200, "1,200 values so far")):
        call.tell_count(count)
        view = calls.view(call)
        assert (view.fraction, view.progress) == (None, text)
    call.finish([], None)
    assert calls.view(call).progress == "1,200 values"


def test_a_generator_s_own_progress_counts_more(app: InlineApp, calls: Calls) -> None:
    call = made(app)
    call.own_status = "process"
    call.tell_count(3)
    call.tell(Progress(3, 4))
    assert (calls.view(call).fraction, calls.view(call).progress) == (0.75, "3 of 4")


# --- time


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-5, "0 s"), (0.4, "0 s"), (1.9, "1 s"), (59.9, "59 s"), (60, "1 m 00 s"), (125, "2 m 05 s")),
        *((3_599, "59 m 59 s"), (3_720, "1 h 02 m"), (86_400 * 50, "1,200 h 00 m")),
    ],
)
def test_the_time_of_a_call_that_runs_is_in_whole_seconds(
    app: InlineApp, calls: Calls, clock: Clock, seconds: float, text: str
) -> None:
    call = made(app)
    call.own_status = "process"
    clock.after(call, seconds)
    assert calls.view(call).elapsed == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.09, "< 0.1 s"), (0.44, "0.4 s"), (9.9, "9.9 s"), (10.9, "10 s"), (125, "2 m 05 s")]
)
def test_the_time_of_a_call_that_has_ended_is_more_exact(
    app: InlineApp, calls: Calls, clock: Clock, seconds: float, text: str
) -> None:
    quick(app)
    call = app.calls[0]
    call._updated = call._created + round(seconds * SECOND)
    clock.after(call, 1_000)
    assert only(calls).elapsed == text


def test_a_tick_is_due_at_the_next_second_while_a_listed_call_runs(
    app: InlineApp, calls: Calls, gates: Gates, clock: Clock
) -> None:
    quick(app)
    made(app)  # waits only
    calls.listed()
    assert calls.next_tick() is None
    call = gates.start()
    calls.listed()
    clock.after(call, 3.25)
    assert calls.next_tick() == pytest.approx(0.75, abs=0.001)
    calls.choose("failed")
    calls.listed()
    assert calls.next_tick() is None
    calls.choose("all")
    calls.listed()
    gates.end(call)
    assert calls.next_tick() is None
