"""The list of calls, as a front end that only listens has it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.comms import Asked, FrontEnd, listening
from support.markup import HOSTILE, seen_in

from qstate_nb import Call, InlineApp, Progress
from qstate_nb.notebook.panel.callmodel import ROWS, Calls
from qstate_nb.notebook.panel.callpart import CallList, CallRow
from qstate_nb.notebook.panel.pool import Looks

WAIT = 10


@pytest.fixture(autouse=True)
def front_end() -> Iterator[FrontEnd]:
    with listening() as front_end:
        yield front_end


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def part(app: InlineApp, asked: Asked) -> Iterator[CallList]:
    part = CallList(Looks(), Calls(app), asked)
    part.box.open()
    yield part
    part.box.looks.close()


def row_of(part: CallList, number: int) -> CallRow:
    (row,) = [row for row in part.rows if row.call is not None and row.call.number == number]
    return row


def seen(widget: Any) -> str:
    return seen_in(widget.value)


def is_shown(widget: Any) -> bool:
    return bool(widget.layout.display != "none")


def in_order(part: CallList) -> list[int]:
    """The numbers of the calls, from the top to the bottom."""
    shown = [row for row in part.rows if row.call is not None]
    assert [row for row in part.rows if is_shown(row.box)] == shown
    return [row.call.number for row in sorted(shown, key=lambda row: int(row.box.layout.order)) if row.call]


def sent_by(front_end: FrontEnd, action: Callable[[], object]) -> int:
    before = front_end.sent
    action()
    return front_end.sent - before


def made(app: InlineApp, name: str = "made", *args: Any) -> Call:
    """A call that runs, as far as one can see."""
    app.task(name=name)(lambda *_: None)
    call = app.new_call(app.tasks[name], args, {}, echo=False)
    call.own_status = "process"
    return call


def test_without_calls_that_is_said(part: CallList) -> None:
    part.draw()
    assert in_order(part) == []
    assert seen(part._none) == "no calls yet: run a task"
    assert part._stop_all.disabled
    FrontEnd.fill(part._text, value="x")
    part.draw()
    assert seen(part._none) == "no such calls"


def test_a_call_shows_name_arguments_status_time_and_output(app: InlineApp, part: CallList) -> None:
    @app.task
    def step1(n: int) -> int:
        print("one\n  two")
        return n

    app.run("step1", 5)
    part.draw()
    row = row_of(part, 1)
    assert seen(row._head) == "step1 #1 (5) · ✓ success, returned 5"
    assert seen(row._time).endswith(" s")
    assert seen(row._output) == "one\n  two"
    assert "<details" not in row._output.value
    assert [is_shown(each) for each in (row._stop, row._progress, row._traceback)] == [False, False, False]
    assert not is_shown(part._none)


def test_a_long_output_can_be_folded(app: InlineApp, part: CallList) -> None:
    app.task(name="long")(lambda n: print("\n".join(map(str, range(n)))))
    app.run("long", 10)
    app.run("long", 11)
    part.draw()
    assert "<details" not in row_of(part, 1)._output.value
    assert row_of(part, 2)._output.value.startswith("<details open><summary>output of long #2: 11 lines</summary>")


def test_a_traceback_is_folded_and_stays_as_the_reader_left_it(
    app: InlineApp, part: CallList, front_end: FrontEnd
) -> None:
    """What changes while other calls come and go is in other widgets, and the call keeps its own."""

    @app.task
    def fail() -> None:
        raise LookupError

    app.run("fail")
    part.draw()
    row = row_of(part, 1)
    assert row._traceback.value.startswith("<details><summary>traceback of fail #1</summary>")
    front_end.models[row._traceback.model_id]["value"] = "unfolded by the reader"
    for number in range(ROWS - 1):
        made(app)
        part.draw()
        assert in_order(part)[-1] == 1
        assert row_of(part, 1) is row, number
    assert front_end.models[row._traceback.model_id]["value"] == "unfolded by the reader"


def test_what_the_user_wrote_is_never_markup(app: InlineApp, part: CallList) -> None:
    @app.task(name=HOSTILE)
    def step(it: str) -> None:
        print(HOSTILE)
        raise LookupError(HOSTILE)

    app.run(HOSTILE, HOSTILE)
    call = made(app, HOSTILE, HOSTILE)
    call.write(f"{HOSTILE}\n" * 12)
    call.tell(quarter(HOSTILE))
    part.draw()
    for number in (1, 2):
        row = row_of(part, number)
        shown = "".join(seen(each) for each in (row._head, row._time, row._how_far, row._output, row._traceback))
        assert shown.count("<script>") >= 3
        assert "<script>" in row._stop.tooltip  # a browser shows it as it is


def quarter(message: str) -> Progress:
    return Progress(1, 4, message)


def test_progress_has_a_bar_with_a_text(app: InlineApp, part: CallList) -> None:
    call = made(app)
    part.draw()
    row = row_of(part, 1)
    assert not is_shown(row._progress)
    call.tell(quarter("reading"))
    part.draw()
    assert is_shown(row._progress)
    assert is_shown(row._bar)
    assert (row._bar.value, row._bar.description, row._bar.tooltip) == (0.25, "25%", "Progress of made #1")
    assert seen(row._how_far) == "1 of 4 reading"
    call.finish(None, LookupError())
    part.draw()
    assert not is_shown(row._bar)
    assert seen(row._how_far) == "at 1 of 4 reading"


def test_a_generator_has_a_bar_that_says_only_that_it_is_at_work(app: InlineApp, part: CallList) -> None:
    call = made(app)
    call.tell_count(12)
    part.draw()
    row = row_of(part, 1)
    assert (row._bar.value, row._bar.description) == (1, "at work")
    assert "qstate-indeterminate" in row._bar._dom_classes
    assert seen(row._how_far) == "12 values so far"
    call.tell(quarter(""))
    part.draw()
    assert "qstate-indeterminate" not in row._bar._dom_classes


def test_stop_ends_the_call_in_its_row(app: InlineApp, part: CallList, asked: Asked) -> None:
    first, second = made(app), made(app)
    part.draw()
    row = row_of(part, 2)
    assert is_shown(row._stop)
    assert row._stop.tooltip == "Stop made #2"
    FrontEnd.click(row._stop)
    assert (first.stopped_by is None, second.stopped_by is None) == (True, False)
    assert asked.times == 1
    part.draw()
    assert "▶ stopping" in seen(row._head)
    second.finish(None, second.stopped_by)
    part.draw()
    assert not is_shown(row_of(part, 2)._stop)


def test_a_click_that_was_meant_for_the_call_before_stops_nothing(app: InlineApp, part: CallList) -> None:
    first = made(app)
    part.draw()
    first.finish(None, None)
    second = made(app)
    part.draw()
    assert in_order(part) == [2, 1]
    FrontEnd.click(row_of(part, 2)._stop)
    assert second.stopped_by is None


def test_stop_all_ends_all(app: InlineApp, part: CallList, asked: Asked) -> None:
    calls = [made(app) for _ in range(ROWS + 2)]
    part.draw()
    assert not part._stop_all.disabled
    FrontEnd.click(part._stop_all)
    assert all(call.stopped_by for call in calls)
    assert asked.times == 1


def test_pages_appear_when_there_are_several(app: InlineApp, part: CallList, asked: Asked) -> None:
    app.task(name="quick")(lambda: None)
    for _ in range(ROWS):
        app.run("quick")
    part.draw()
    assert [is_shown(each) for each in (part._back, part._on, part._where)] == [False] * 3
    for _ in range(2):
        app.run("quick")
    part.draw()
    assert seen(part._where) == "1 to 8 of 10 calls"
    assert (part._back.disabled, part._on.disabled) == (True, False)
    FrontEnd.click(part._on)
    part.draw()
    assert in_order(part) == [2, 1]
    assert (part._back.disabled, part._on.disabled) == (False, True)
    FrontEnd.click(part._back)
    part.draw()
    assert in_order(part) == [10, 9, 8, 7, 6, 5, 4, 3]
    assert asked.times == 2


def test_how_many_more_run_is_said(app: InlineApp, part: CallList) -> None:
    for _ in range(ROWS + 2):
        made(app)
    part.draw()
    assert seen(part._more) == "▶ 2 more running"


def test_filters(app: InlineApp, part: CallList, asked: Asked) -> None:
    made(app)
    app.task(name="fail")(lambda: 1 / 0)
    app.task(name="quick")(lambda: None)
    app.run("fail")
    app.run("quick")
    for kind, shown in (("running", [1]), ("failed", [2]), ("all", [1, 3, 2])):
        index = [value for _, value in part._kind.options].index(kind)
        FrontEnd.fill(part._kind, index=index)
        part.draw()
        assert in_order(part) == shown
    FrontEnd.fill(part._text, value="ic")
    part.draw()
    assert in_order(part) == [3]
    assert asked.times == 4


def test_every_control_has_a_name(part: CallList) -> None:
    for control in (part._kind, part._text, part._stop_all, part._back, part._on):
        assert control.description
    for control in (part._stop_all, part._back, part._on):
        assert control.tooltip


# --- what is sent


def test_a_redraw_without_a_change_sends_nothing(app: InlineApp, part: CallList, front_end: FrontEnd) -> None:
    app.task(name="fail")(lambda: 1 / 0)
    for _ in range(3):
        app.run("fail")
    part.draw()
    assert sent_by(front_end, part.draw) == 0


def test_a_second_that_passes_sends_the_time_alone(app: InlineApp, front_end: FrontEnd) -> None:
    now = [0]
    part = CallList(Looks(), Calls(app, lambda: now[0]), lambda: None)
    part.box.open()
    call = made(app)
    call.write("x" * 4_000)
    now[0] = call._created
    part.draw()
    now[0] += 1_000_000_000
    assert sent_by(front_end, part.draw) == 1
    assert seen(row_of(part, 1)._time) == "1 s"
    part.box.looks.close()


def test_a_burst_sends_as_much_as_one_change(app: InlineApp, part: CallList, front_end: FrontEnd) -> None:
    call = made(app)
    call.tell_count(0)
    call.write("begin\n")
    part.draw()
    for n in range(100_000):
        call.tell_count(n)
    for _ in range(1_000):
        call.write("line\n")
    assert sent_by(front_end, part.draw) == 2
    assert seen(row_of(part, 1)._how_far) == "99,999 values so far"
    for n in range(1_000):
        call.tell(quarter(f"step {n}"))
    assert sent_by(front_end, part.draw) == 2


def test_a_thousand_calls_have_as_many_widgets_as_eight(app: InlineApp, part: CallList, front_end: FrontEnd) -> None:
    app.task(name="quick")(print)
    for _ in range(ROWS):
        app.run("quick")
    part.draw()
    before = len(front_end.models)
    for _ in range(1_000):
        app.run("quick")
    assert sent_by(front_end, part.draw) < ROWS * 6
    assert len(front_end.models) == before
    part.box.looks.close()
    assert front_end.models == {}


def test_it_can_be_drawn_while_calls_come_and_go(app: InlineApp, part: CallList) -> None:
    app.task(name="quick")(lambda n: print(n))
    done = threading.Event()

    def run() -> None:
        for n in range(30):
            app.run("quick", n)
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    while not done.is_set():
        part.draw()
    thread.join(WAIT)
    part.draw()
    assert in_order(part) == list(range(30, 22, -1))
