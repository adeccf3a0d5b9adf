"""Many changes, few redraws; and the last change is always drawn."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from qstate_nb.notebook.panel.redraw import Redraw

WAIT = 10


class Canvas:
    """Something that is drawn from a value that changes; `may_end` holds a drawing up."""

    def __init__(self) -> None:
        self.value = 0
        self.drawn: list[int] = []
        self.begun = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.may_end.set()
        self.error: Exception | None = None

    def draw(self) -> None:
        value = self.value
        self.begun.release()
        assert self.may_end.wait(WAIT)
        self.drawn.append(value)
        self.ended.release()
        if self.error is not None:
            raise self.error


@pytest.fixture
def canvas() -> Canvas:
    return Canvas()


def test_nothing_is_drawn_before_somebody_asks(canvas: Canvas) -> None:
    redraw = Redraw(canvas.draw, 0)
    redraw.close()
    assert canvas.drawn == []


def test_a_burst_of_changes_is_drawn_once_and_its_last_change_is(canvas: Canvas) -> None:
    redraw = Redraw(canvas.draw, 0)
    canvas.may_end.clear()
    redraw.ask()
    assert canvas.begun.acquire(timeout=WAIT)
    for _ in range(100_000):  # while it is being drawn
        canvas.value += 1
        redraw.ask()
    canvas.may_end.set()
    assert canvas.ended.acquire(timeout=WAIT)
    assert canvas.ended.acquire(timeout=WAIT)
    redraw.close()
    assert canvas.drawn == [0, 100_000]


def test_after_a_drawing_that_took_long_it_waits_as_long() -> None:
    """Where a task keeps Python busy, more drawings would keep others from having their turn."""
    begun: list[float] = []
    ended: list[float] = []
    twice = threading.Event()

    def draw() -> None:
        begun.append(time.monotonic())
        redraw.ask()
        if len(begun) == 2:
            twice.set()
        threading.Event().wait(0.05)
        ended.append(time.monotonic())

    redraw = Redraw(draw, 0)
    redraw.ask()
    assert twice.wait(WAIT)
    redraw.close()
    assert begun[1] - ended[0] >= ended[0] - begun[0]


def test_a_burst_from_many_threads_loses_no_last_change(canvas: Canvas) -> None:
    redraw = Redraw(canvas.draw, 0)
    lock = threading.Lock()

    def change() -> None:
        for _ in range(1_000):
            with lock:
                canvas.value += 1
            redraw.ask()

    threads = [threading.Thread(target=change) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while canvas.ended.acquire(timeout=WAIT) and canvas.drawn[-1] != 8_000:
        pass
    redraw.close()
    assert canvas.drawn[-1] == 8_000
    assert canvas.drawn == sorted(canvas.drawn)


class Pause(threading.Event):
    """What the thread waits for between two drawings; says so, and for how long."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Semaphore(0)
        self.lengths: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.lengths.append(timeout)
        self.begun.release()
        return super().wait(timeout)


def test_between_two_drawings_there_is_a_pause_that_close_ends(canvas: Canvas) -> None:
    """Changes that come steadily don't keep the thread drawing."""
    redraw = Redraw(canvas.draw, interval=3_600)
    pause = redraw._closed = Pause()
    redraw.ask()
    assert pause.begun.acquire(timeout=WAIT)
    for _ in range(1_000):
        redraw.ask()
    assert pause.lengths == [3_600]
    assert canvas.drawn == [0]
    redraw.close()
    assert canvas.drawn == [0]


def test_an_exception_is_logged_and_the_next_change_is_drawn(
    canvas: Canvas, caplog: pytest.LogCaptureFixture
) -> None:
    redraw = Redraw(canvas.draw, 0)
    canvas.error = LookupError("broken")
    with caplog.at_level(logging.ERROR):
        redraw.ask()
        assert canvas.ended.acquire(timeout=WAIT)
        canvas.value = 1
        redraw.ask()
        assert canvas.ended.acquire(timeout=WAIT)
        redraw.close()
    assert canvas.drawn == [0, 1]
    assert "the panel can't be drawn" in caplog.text
    assert "LookupError: broken" in caplog.text


def test_drawing_happens_in_a_thread_of_its_own_that_ends_with_close() -> None:
    threads: list[threading.Thread] = []
    drawn = threading.Event()

    def draw() -> None:
        threads.append(threading.current_thread())
        drawn.set()

    redraw = Redraw(draw, 0)
    redraw.ask()
    assert drawn.wait(WAIT)
    redraw.close()
    assert threads[0] is not threading.current_thread()
    assert not threads[0].is_alive()


def test_after_close_nothing_is_drawn_and_closing_twice_is_no_error(canvas: Canvas) -> None:
    redraw = Redraw(canvas.draw, 0)
    redraw.close()
    redraw.ask()
    redraw.close()
    assert canvas.drawn == []


def test_a_drawing_can_close_it() -> None:
    """A panel that is closed by what it draws must not wait for itself."""
    closed = threading.Event()

    def draw() -> None:
        redraw.close()
        closed.set()

    redraw = Redraw(draw, 0)
    redraw.ask()
    assert closed.wait(WAIT)


def test_asking_while_it_is_asked_for_already_costs_next_to_nothing(canvas: Canvas) -> None:
    """A task that changes State in a loop asks each time."""
    redraw = Redraw(canvas.draw, interval=3_600)
    redraw.ask()
    assert canvas.ended.acquire(timeout=WAIT)
    redraw.ask()
    with redraw._changed._cond:  # type: ignore[attr-defined] # the lock that every other use of it takes
        redraw.ask()
    redraw.close()


def test_without_a_change_the_next_drawing_comes_when_it_is_due(canvas: Canvas) -> None:
    """A clock that is shown goes on; and a change doesn't wait for it."""
    due = iter([0.0, 0.0, 3_600.0])
    redraw = Redraw(canvas.draw, 0, idle=lambda: next(due, None))
    assert not canvas.ended.acquire(blocking=False)
    redraw.ask()
    for _ in range(3):
        assert canvas.ended.acquire(timeout=WAIT)
    redraw.ask()
    assert canvas.ended.acquire(timeout=WAIT)
    redraw.close()
    assert len(canvas.drawn) == 4
    assert list(due) == []


def test_when_nothing_is_due_the_thread_waits_for_a_change() -> None:
    changed = Pause()

    def draw() -> None:
        redraw._changed = changed

    redraw = Redraw(draw, 0, idle=lambda: None)
    redraw.ask()
    assert changed.begun.acquire(timeout=WAIT)
    redraw.close()
    assert changed.lengths == [None]


def test_an_error_in_what_is_due_does_not_end_it(canvas: Canvas, caplog: pytest.LogCaptureFixture) -> None:
    def idle() -> float:
        raise LookupError("no clock")

    redraw = Redraw(canvas.draw, 0, idle=idle)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            redraw.ask()
            assert canvas.ended.acquire(timeout=WAIT)
        redraw.close()
    assert "LookupError: no clock" in caplog.text


def test_after_an_error_nothing_is_due() -> None:
    """What can't be drawn is not tried again and again."""
    changed = Pause()

    def draw() -> None:
        if redraw._changed is changed:
            raise LookupError("broken")
        redraw._changed = changed

    redraw = Redraw(draw, 0, idle=lambda: 0.0)
    redraw.ask()
    for _ in range(2):
        assert changed.begun.acquire(timeout=WAIT)
    redraw.close()
    assert changed.lengths == [0.0, None]
