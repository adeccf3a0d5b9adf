"""Views of State, tasks, events and results."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qstate_nb import InlineApp, State, StateRegistry, TaskResult
from qstate_nb.core.diff import arrow
from qstate_nb.core.formats import counted
from qstate_nb.core.journal import ABSENT
from qstate_nb.core.keys import StateKey
from qstate_nb.notebook import views
from qstate_nb.notebook.render import Block, View
from qstate_nb.notebook.views import Limits

KEY = StateKey("Signup")


class Signup(State):
    pass


def text(blocks: list[Block]) -> str:
    return View(blocks).text


def test_a_bucket_shows_each_key_its_value_and_who_changed_it(app: InlineApp) -> None:
    @app.task
    def step1(state: Signup) -> None:
        state.set("step", 1)

    app.state(Signup).set("phone", "123")
    app.run("step1")
    assert text(views.state_blocks(app.registry, KEY, Limits())) == (
        "Signup: 2 keys\n  key    value  changed by\n  phone  '123'  user, event 1\n  step   1      step1 #1, event 2"
    )


def test_an_empty_bucket_is_its_title(app: InlineApp) -> None:
    app.state(Signup)
    assert text(views.state_blocks(app.registry, KEY, Limits())) == "Signup: 0 keys"


def test_the_fields_of_one_event_are_marked(app: InlineApp) -> None:
    app.state(Signup).set("a", 1)
    app.state(Signup).update(b=2, c=3)
    lines = text(views.state_blocks(app.registry, KEY, Limits(), newest=2)).splitlines()
    assert [line[:3] for line in lines[2:]] == ["  a", "* b", "* c"]


def test_a_large_bucket_is_cut_and_says_so(app: InlineApp) -> None:
    app.state(Signup).update(**{f"k{n}": n for n in range(100_000)})
    shown = text(views.state_blocks(app.registry, KEY, Limits(rows=3)))
    assert shown.startswith("Signup: 100,000 keys\n")
    assert shown.endswith("… 99,997 more")
    assert len(shown.splitlines()) == 6


def test_keys_that_would_break_a_line_are_shown_as_literals(app: InlineApp) -> None:
    app.state(Signup).update(**{"": 1, "a\nb": 2, "x" * 1_000: 3})
    lines = text(views.state_blocks(app.registry, KEY, Limits())).splitlines()
    assert len(lines) == 5
    assert lines[2].startswith("  ''")
    assert lines[3].startswith(r"  'a\nb'")
    assert all(len(line) < 200 for line in lines)


def test_a_change_between_two_reads_never_hides_behind_its_own_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value may be newer than the event that is shown with it, but never older.

    The panel makes a text once for each event: an old value with a new event's number would stay for ever.
    """
    registry = StateRegistry()
    state = registry.state(Signup)
    state.set("n", 1)
    writers = StateRegistry.writers

    def with_a_change(self: StateRegistry, *args: Any) -> Any:
        found = writers(self, *args)
        state.set("n", 2)
        return found

    reads: list[tuple[object, int]] = []

    def shown(key: StateKey, field: str, value: Any, event: Any) -> str:
        reads.append((value, event.seq))
        return ""

    monkeypatch.setattr(StateRegistry, "writers", with_a_change)
    views.state_blocks(registry, KEY, Limits(), shown=shown)
    assert reads == [(2, 1)]


def test_tasks_show_how_to_call_them_and_what_they_do(app: InlineApp) -> None:
    assert text(views.task_blocks(app, Limits())) == "  no tasks yet: register one with @app.task"

    @app.task
    def step1(state: Signup, phone: str, code: int = 0) -> None:
        """Ask for the number.

        More.
        """

    @app.task(name="later", description="one\ntwo")
    def step2(it: object = object) -> None: ...

    assert text(views.task_blocks(app, Limits())).splitlines() == [
        "  task                                  what it does",
        "  step1(phone: str, code: int = 0)      Ask for the number.",
        r"  later(it: object = <class 'object'>)  'one\ntwo'",
    ]
    assert text(views.task_blocks(app, Limits(rows=1))).endswith("… 1 more")


def test_events_show_what_changed_and_by_whom(app: InlineApp) -> None:
    assert text(views.event_blocks([], Limits())) == "  no events yet"
    state = app.state(Signup)
    state.set("step", 1)
    state.update(step=2, a=1, b=2, c=3)
    state.delete("step")
    lines = [
        " ".join(line.split()) for line in text(views.event_blocks(app.registry.history(), Limits())).splitlines()
    ]
    assert lines[1] == "1 Signup set step: → 1 user"
    assert lines[2] == "2 Signup update step: 1 → 2, a: → 1, b: → 2, … user"
    assert lines[3] == "3 Signup delete step: 2 → user"


class Incomparable:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]


def test_what_a_run_changed_is_a_row_for_each_field() -> None:
    before: views.Contents = {KEY: {"kept": [1], "changed": 1, "gone": "x", "kind": 1}}
    after: views.Contents = {KEY: {"kept": [1], "changed": 2, "new": None, "kind": True}, StateKey("Order"): {"a": 1}}
    lines = [" ".join(line.split()) for line in text(views.difference(before, after, Limits())).splitlines()]
    assert lines == [
        "state key change",
        "Signup changed 1 → 2",
        "Signup gone 'x' →",
        "Signup kind 1 → True",
        "Signup new → None",
        "Order a → 1",
    ]
    assert text(views.difference(before, after, Limits(rows=1))).endswith("… 4 more")


def test_no_change_is_said() -> None:
    same = {KEY: {"a": [1, {"b": 2}]}}
    assert text(views.difference(same, {KEY: {"a": [1, {"b": 2}]}}, Limits())) == "  State did not change"
    assert text(views.difference({}, {}, Limits())) == "  State did not change"
    one = Incomparable()
    assert text(views.difference({KEY: {"a": one}}, {KEY: {"a": one}}, Limits())) == "  State did not change"


def test_values_that_can_not_be_compared_count_as_changed() -> None:
    shown = text(views.difference({KEY: {"a": Incomparable()}}, {KEY: {"a": Incomparable()}}, Limits()))
    assert shown.splitlines()[1].split()[:2] == ["Signup", "a"]


def test_an_absent_side_of_a_change_is_left_out() -> None:
    assert arrow(1, ABSENT, 80) == "1 →"
    assert arrow(ABSENT, 1, 80) == "→ 1"


def result_of(app: InlineApp, **values: Any) -> TaskResult:
    (name,) = app.tasks
    return app.run(name, **values)


def test_a_result_says_how_the_call_ended(app: InlineApp, capsys: pytest.CaptureFixture[str]) -> None:
    @app.task
    def step1(n: int) -> float:
        print("dividing")
        return 1 / n

    assert views.result_line(result_of(app, n=2), 80) == "step1 #1: success, returned 0.5"
    failed = result_of(app, n=0)
    assert views.result_line(failed, 80) == "step1 #2: error, ZeroDivisionError: division by zero"
    assert text(views.result_blocks(failed, Limits())).splitlines()[:2] == [
        "step1 #2: error, ZeroDivisionError: division by zero",
        "dividing",
    ]
    assert "Traceback" in text(views.result_blocks(failed, Limits(), output=False))
    assert "dividing" not in text(views.result_blocks(failed, Limits(), output=False)).splitlines()


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Broken(), "error, Broken: its message fails"),
        (ValueError("first\n  second"), "error, ValueError: first second"),
        (ValueError(object()), "error, ValueError: <object object>"),
        (ValueError(), "error, ValueError:"),
        (ValueError("x" * 50_000_000), "error, ValueError: " + "x" * 199 + "…"),
        (ValueError("\x1b[31m\ud800"), r"error, ValueError: \x1b[31m\ud800"),
    ],
    ids=["broken", "lines", "address", "empty", "huge", "control"],
)
def test_any_exception_is_one_short_stable_line(app: InlineApp, error: Exception, line: str) -> None:
    @app.task
    def step1() -> None:
        raise error

    result = result_of(app)
    assert views.ending(result, 80).rstrip() == line
    shown = text(views.result_blocks(result, Limits()))
    assert len(shown) < 12_000
    assert "0x" not in shown
    shown.encode()


def test_a_cancelled_call_says_why(app: InlineApp) -> None:
    @app.task(max_time=0.01)
    async def step1() -> None:
        await asyncio.Event().wait()

    line = views.result_line(result_of(app), 80)
    assert line.startswith(
        "step1 #1: cancel, TaskTimeoutError: step1 #1 was stopped: it took longer than max_time=0.01"
    )


def test_numbers_have_their_noun() -> None:
    assert [counted(n, "key") for n in (0, 1, 2_000)] == ["0 keys", "1 key", "2,000 keys"]


def test_a_long_text_is_shown_from_its_end() -> None:
    assert views.shortened("abc", 3) == "abc"
    assert views.shortened("abcd", 3) == "…bcd"
    assert views.shortened("\ud800") == "?"
