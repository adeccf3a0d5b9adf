"""The events tab, as a front end that only listens has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.comms import Asked, FrontEnd, listening
from support.markup import HOSTILE, seen_in

from qstate_nb import InlineApp, State
from qstate_nb.notebook.panel.eventlog import BUDGET, PAGE, USER, EventLog
from qstate_nb.notebook.panel.eventpart import EventPart
from qstate_nb.notebook.panel.parts import NO_CHOICE
from qstate_nb.notebook.panel.pool import Looks


class Signup(State):
    pass


class Chat(State):
    pass


@pytest.fixture(autouse=True)
def front_end() -> Iterator[FrontEnd]:
    with listening() as front_end:
        yield front_end


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def part(app: InlineApp, asked: Asked) -> Iterator[EventPart]:
    part = EventPart(Looks(), EventLog(app), asked)
    part.box.open()
    yield part
    part.box.looks.close()


def fill(app: InlineApp, number: int) -> None:
    state = app.state(Signup)
    for n in range(number):
        state.set("n", n)


def table(part: EventPart) -> str:
    return seen_in(part._table.value)


def where(part: EventPart) -> str:
    return seen_in(part._where.value)


def choose(menu: Any, value: Any) -> None:
    """Choose an option, as a browser does."""
    FrontEnd.fill(menu, index=[each for _, each in menu.options].index(value))


def drawn(part: EventPart, asked: Asked) -> None:
    """Draw, and again as often as that asks for it."""
    before = None
    while before != asked.times:
        before = asked.times
        part.draw()


def test_events_show_as_they_come(app: InlineApp, part: EventPart) -> None:
    part.draw()
    assert (table(part), where(part)) == ("no events yet", "no event")
    fill(app, 2)
    part.draw()
    assert table(part) == "eventstateopwhat changedby2Signupsetn: 0 → 1user1Signupsetn: → 0user"
    assert where(part) == "1 to 2 of 2 events"


def test_filters_ask_for_a_redraw_and_leave_out_the_others(app: InlineApp, part: EventPart, asked: Asked) -> None:
    @app.task
    def step1(state: Chat) -> None:
        state.update(other=1)

    fill(app, 1)
    app.run("step1")
    drawn(part, asked)
    for menu, value, number in (
        *((part._state, "Signup", 1), (part._state, "Chat", 2), (part._by, "step1", 2), (part._by, USER, 1)),
        *((part._op, "update", 2), (part._op, "set", 1)),
    ):
        before = asked.times
        choose(menu, value)
        assert asked.times > before
        drawn(part, asked)
        assert where(part) == "1 to 1 of 1 event that matches"
        assert table(part).startswith(f"eventstateopwhat changedby{number}")
        choose(menu, NO_CHOICE)
    for field, value, number in ((part._key, "oth", 2), (part._text, "n: → 0", 1)):
        FrontEnd.fill(field, value=value)
        drawn(part, asked)
        assert table(part).startswith(f"eventstateopwhat changedby{number}")
        FrontEnd.fill(field, value="")
    drawn(part, asked)
    assert where(part) == "1 to 2 of 2 events"


def test_what_was_chosen_stays_so_when_there_is_more_to_choose_from(
    app: InlineApp, part: EventPart, asked: Asked, front_end: FrontEnd
) -> None:
    fill(app, 1)
    drawn(part, asked)
    choose(part._state, "Signup")
    drawn(part, asked)
    app.state(Chat).set("n", 1)  # comes before it in the menu
    sent = front_end.sent
    drawn(part, asked)
    assert front_end.sent == sent + 1
    assert [value for _, value in part._state.options] == [NO_CHOICE, "Chat", "Signup"]
    assert part._state.value == "Signup"
    assert front_end.models[part._state.model_id]["index"] == 2
    assert where(part) == "1 to 1 of 1 event that matches"


def test_what_was_chosen_stays_a_choice(app: InlineApp, part: EventPart, asked: Asked) -> None:
    app.task(name="step1")(lambda: None)
    drawn(part, asked)
    choose(part._by, "step1")
    del app.tasks["step1"]
    drawn(part, asked)
    assert part._by.value == "step1"


def test_pause_keeps_what_is_shown(app: InlineApp, part: EventPart, asked: Asked) -> None:
    fill(app, 2)
    part.draw()
    shown = table(part)
    FrontEnd.fill(part._pause, value=True)
    fill(app, 3)
    part.draw()
    assert table(part) == shown
    assert where(part).endswith("paused: 3 events came since")
    FrontEnd.fill(part._pause, value=False)
    part.draw()
    assert table(part).startswith("eventstateopwhat changedby5")


def test_older_events_are_on_other_pages_and_pause_the_log(app: InlineApp, part: EventPart) -> None:
    fill(app, PAGE + 2)
    part.draw()
    assert [each.disabled for each in (part._newest, part._newer, part._older)] == [True, True, False]
    FrontEnd.click(part._older)
    part.draw()
    assert part._pause.value
    assert table(part).startswith("eventstateopwhat changedby2Signup")
    assert [each.disabled for each in (part._newest, part._newer, part._older)] == [False, False, True]
    FrontEnd.click(part._newer)
    part.draw()
    assert [each.disabled for each in (part._newest, part._newer, part._older)] == [False, True, False]
    fill(app, 1)
    FrontEnd.click(part._newest)
    part.draw()
    assert not part._pause.value
    assert where(part) == "1 to 50 of 53 events"


def test_times_are_off_at_first(app: InlineApp, part: EventPart) -> None:
    fill(app, 1)
    part.draw()
    assert "time" not in table(part)
    FrontEnd.fill(part._times, value=True)
    part.draw()
    assert table(part).startswith("eventtimestate")


def test_it_asks_to_be_drawn_again_while_there_is_more_to_look_at(
    app: InlineApp, part: EventPart, asked: Asked
) -> None:
    fill(app, BUDGET + 1)
    drawn(part, asked)
    FrontEnd.fill(part._text, value="no such text")
    before = asked.times
    part.draw()
    assert asked.times == before + 1
    assert "looking for older ones …" in where(part)
    part.draw()
    assert asked.times == before + 1
    assert where(part) == "no event that matches"


def test_what_the_user_wrote_is_never_markup(app: InlineApp, part: EventPart, asked: Asked) -> None:
    @app.task(name=HOSTILE)
    def step(state: Signup) -> None:
        state.set(HOSTILE, HOSTILE)

    app.run(HOSTILE)
    drawn(part, asked)
    assert table(part).count("<script>") >= 3


def test_every_control_has_a_name(part: EventPart) -> None:
    fields = (part._state, part._by, part._op, part._key, part._text, part._times)
    buttons = (part._pause, part._newest, part._newer, part._older)
    assert all(control.description for control in fields + buttons)
    assert all(control.tooltip for control in buttons)
    assert part._table.tabbable
    assert part._table.tooltip == "events"


def test_a_redraw_without_a_change_sends_nothing(
    app: InlineApp, part: EventPart, asked: Asked, front_end: FrontEnd
) -> None:
    fill(app, 3)
    drawn(part, asked)
    before = front_end.sent
    part.draw()
    assert front_end.sent == before


def test_a_burst_sends_as_much_as_one_change(
    app: InlineApp, part: EventPart, asked: Asked, front_end: FrontEnd
) -> None:
    fill(app, 3)
    drawn(part, asked)
    fill(app, 100_000)
    before = front_end.sent
    part.draw()
    assert front_end.sent - before == 3  # the table, how many there are, and that there are older ones now
    assert table(part).startswith("eventstateopwhat changedby100003")
    assert len(part._table.value) < 50_000
    part.box.looks.close()
    assert front_end.models == {}
