"""What is prepared to run together, as it is shown."""

from __future__ import annotations

from collections.abc import Iterator

import ipywidgets as widgets
import pytest
from support.comms import FrontEnd, listening
from support.forms import click, parts_of, seen_problems
from support.markup import HOSTILE, seen_in

from qstate_nb import InlineApp
from qstate_nb.notebook.panel.pool import Looks
from qstate_nb.notebook.panel.runs import Runs
from qstate_nb.notebook.panel.tray import SHOWN, Tray

WAIT = 10


@pytest.fixture(autouse=True)
def front_end() -> Iterator[FrontEnd]:
    with listening() as front_end:
        yield front_end


@pytest.fixture
def runs(app: InlineApp) -> Runs:
    app.task(name="step1")(lambda it: it)
    return Runs(app, None)


def open_tray(runs: Runs) -> Tray:
    tray = Tray(Looks(), runs, lambda: tray.draw())
    tray.box.open()
    tray.draw()
    return tray


def prepare(runs: Runs, *values: object) -> None:
    for value in values:
        runs.add(runs.app.tasks["step1"], {"it": value})


def shown(tray: Tray) -> list[str]:
    """The calls that are to be seen, and other texts."""
    seen = []
    for box in tray.box.children:
        for row in getattr(box, "children", [box]):
            if row.layout.display != "none":
                seen += [seen_in(html.value) for html in parts_of(row, widgets.HTML) if html.value]
    return seen


def test_it_is_to_be_seen_only_if_there_is_something(runs: Runs) -> None:
    tray = open_tray(runs)
    assert tray.box.layout.display == "none"
    prepare(runs, 1)
    tray.draw()
    assert tray.box.layout.display is None
    click(tray.box, "Empty")
    assert tray.box.layout.display == "none"


def test_it_lists_calls_and_says_how_many_there_are(runs: Runs) -> None:
    tray = open_tray(runs)
    prepare(runs, 1, HOSTILE)
    runs.add(runs.app.tasks["step1"], {"it": 2}, 5)
    tray.draw()
    assert shown(tray)[0] == "Together: 7 calls"
    assert shown(tray)[1] == "step1(it=1)"
    assert shown(tray)[2].startswith('step1(it="<script>')
    assert shown(tray)[3:] == ["step1(it=2), 5 times"]


def test_only_some_are_shown(runs: Runs, front_end: FrontEnd) -> None:
    tray = open_tray(runs)
    prepare(runs, *range(SHOWN + 5))
    tray.draw()
    assert len(shown(tray)) == SHOWN + 2
    assert shown(tray)[-1] == "… 5 more"
    sent = front_end.sent
    tray.draw()
    assert front_end.sent == sent


def test_remove_takes_the_one_away_that_it_stands_beside(runs: Runs) -> None:
    tray = open_tray(runs)
    prepare(runs, 1, 2, 3)
    tray.draw()
    remove = [each for each in parts_of(tray.box, widgets.Button) if each.description == "Remove"]
    assert remove[1].tooltip == "Remove step1(it=2)"
    tray._redraw = lambda: None  # two clicks before it is drawn again
    FrontEnd.click(remove[1])
    FrontEnd.click(remove[1])
    tray.draw()
    assert shown(tray) == ["Together: 2 calls", "step1(it=1)", "step1(it=3)"]


@pytest.mark.parametrize(
    ("row", "second"), [(0, "Remove"), (1, "Remove"), (2, "Empty"), (2, "Run together")], ids=str
)
def test_a_double_click_on_remove_removes_one(runs: Runs, row: int, second: str) -> None:
    """What stands below moves up under the mouse."""
    now = [0.0]
    tray = Tray(Looks(), runs, lambda: tray.draw(), lambda: now[0])
    prepare(runs, 1, 2, 3)
    tray.draw()
    removes = [each for each in parts_of(tray.box, widgets.Button) if each.description == "Remove"]
    FrontEnd.click(removes[row])
    now[0] = 0.4
    tray.draw()
    for _ in range(2):
        FrontEnd.click(removes[row]) if second == "Remove" else click(tray.box, second)
    assert shown(tray)[0] == "Together: 2 calls"
    assert runs.app.calls == []
    now[0] = 0.6
    FrontEnd.click(removes[0])
    assert shown(tray)[0] == "Together: 1 call"


def test_what_is_added_can_be_removed_and_run_at_once(runs: Runs) -> None:
    tray = Tray(Looks(), runs, lambda: tray.draw(), lambda: 0.0)
    for value in (1, 2):
        prepare(runs, value)
        tray.draw()
    click(tray.box, "Run together")
    assert len(runs.app.calls) == 2
    click(tray.box, "Empty")
    prepare(runs, 3)
    tray.draw()
    FrontEnd.click(next(each for each in parts_of(tray.box, widgets.Button) if each.description == "Remove"))
    assert runs.prepared == ()
    for call in runs.app.calls:
        call.wait(WAIT)


def test_run_together_starts_all_and_says_what_is_wrong(runs: Runs) -> None:
    tray = open_tray(runs)
    prepare(runs, 1, 2)
    tray.draw()
    click(tray.box, "Run together")
    assert [call.wait(WAIT).returning for call in runs.app.calls] == [1, 2]
    runs.app.task(name="step1")(lambda other: None)
    click(tray.box, "Run together")
    assert seen_problems(tray.box) == ["no parameter of task 'step1' called 'it'; there is: other"]
    assert tray._problem.value.startswith('<div class="qstate-problem" role="alert">no parameter')
    click(tray.box, "Empty")
    prepare_again = runs.app.tasks["step1"]
    runs.add(prepare_again, {"other": 1})
    tray.draw()
    assert seen_problems(tray.box) == []
