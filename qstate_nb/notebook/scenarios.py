"""What `%qstate` does with scenarios: run a cell as one, record one, show it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qstate_nb.app import InlineApp
from qstate_nb.app.nesting import run_blocking
from qstate_nb.app.replaying import Replay, Replayed
from qstate_nb.app.scenario import Scenario
from qstate_nb.app.script import run_script
from qstate_nb.app.steps import Step, outcome_text
from qstate_nb.core.diff import Diff
from qstate_nb.core.formats import counted, encodable, printable
from qstate_nb.errors import CommandError, NotFoundError
from qstate_nb.notebook.render import Block, Heading, Notice, Paragraph, Table, View
from qstate_nb.notebook.views import Limits, shortened

_SIGNS = {"passed": "✓", "failed": "✗", "error": "✗", "not run": "-"}
_MOST_CHANGES = 12
_MOST_SOURCE = 600
_MOST_OUTPUT = 2_000


@dataclass(frozen=True, slots=True)
class Row:
    """A step, as it is shown.

    Args:
        number: of the step.
        sign, status: how it went, as a sign and in words.
        source: what it does.
        result: what came of it.
        output: what it printed.
        notes: what was checked, or is different.
        change: what it changed in State, a line each.
    """

    number: int
    sign: str
    status: str
    source: str
    result: str
    output: str = ""
    notes: Sequence[str] = ()
    change: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """Steps as a table; in text, what belongs to a step stands below it.

    Args:
        rows: the steps.
    """

    rows: Sequence[Row]

    def text(self) -> str:
        """A step a line, with what it printed, checked and changed below."""
        width = min(60, max((len(line) for row in self.rows for line in row.source.split("\n")), default=0))
        return "\n".join(line for row in self.rows for line in _lines(row, width))

    def html(self) -> str:
        """The table."""
        columns = ("step", "source", "result", "output", "State")
        body = [
            (
                f"{row.number} {row.sign} {row.status}",
                row.source,
                "\n".join([*([row.result] if row.result else []), *row.notes]),
                row.output,
                "\n".join(row.change),
            )
            for row in self.rows
        ]
        bad = frozenset(index for index, row in enumerate(self.rows) if row.sign == "✗")
        return Table(columns, body, code=frozenset({1, 2, 3, 4}), marked=bad).html()


def _lines(row: Row, width: int) -> list[str]:
    first, *others = row.source.split("\n")
    lines = [f"{row.number:>3} {row.sign} {first.ljust(width)}  {row.result}".rstrip()]
    below = [*others, *(f"| {line}" for line in row.output.splitlines()), *row.notes, *row.change]
    return [*lines, *(f"      {line}".rstrip() for line in below)]


def scenario_view(scenario: Scenario, limits: Limits | None = None) -> View:
    """The steps of a scenario: what each did, what came of it, and what it changed in State."""
    width = (limits or Limits()).width
    title = f"{printable(scenario.name)}: {counted(len(scenario.steps), 'step')}, {scenario.verdict}"
    blocks: list[Block] = [Heading(title)]
    if scenario.steps:
        blocks.append(Rows([step_row(step, width) for step in scenario.steps]))
    return View([*blocks, *map(Notice, scenario.notes)], scenario)


def step_row(step: Step, width: int = Limits().width) -> Row:
    """A step as it was recorded, as it is shown."""
    notes: list[str] = []
    for check in step.checks:
        if len(step.checks) > 1:  # else it is the step itself
            notes.append(f"{'✓' if check.passed else '✗'} {check.text}")
        notes += check.problems
    return Row(
        step.number,
        _SIGNS[step.status],
        step.status,
        _clean(step.source, _MOST_SOURCE),
        "not run" if step.status == "not run" else encodable(step.outcome(width)),
        _clean(step.output.rstrip("\n"), _MOST_OUTPUT),
        [encodable(line) for line in notes],
        changes(step.change),
    )


def _clean(text: str, most: int) -> str:
    """A text of several lines, in which nothing can break the page."""
    lines = shortened(textwrap.dedent(text), most).split("\n")
    return "\n".join("".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in line) for line in lines)


def changes(change: Diff) -> list[str]:
    """What was changed in State, a line each."""
    shown = [encodable(printable(str(each), 200)) for each in change[:_MOST_CHANGES]]
    more = len(change) - len(shown)
    return [*shown, *([f"… {more:,} more"] if more else [])]


def replay_view(replay: Replay) -> View:
    """A scenario that was done again: what came of each step now, and what is different."""
    count = sum(bool(done.differences) for done in replay.steps)
    end = f"{counted(count, 'step')} different" if count else "all as recorded"
    title = f"replay of {printable(replay.scenario.name)}: {counted(len(replay.steps), 'step')}, {end}"
    return View([Heading(title), Rows([replayed_row(done) for done in replay.steps])], replay)


def replayed_row(done: Replayed) -> Row:
    """A step that was done again, as it is shown."""
    return Row(
        done.step.number,
        "✗" if done.differences else "✓",
        "different" if done.differences else "as recorded",
        _clean(done.step.source, _MOST_SOURCE),
        encodable(", ".join(outcome_text(result) for result in done.results)),
        _clean("".join(result.output for result in done.results).rstrip("\n"), _MOST_OUTPUT),
        [encodable(line) for line in done.differences],
        changes(done.change),
    )


def run_cell(
    app: InlineApp, name: str, source: str, names: dict[str, Any], *, fresh: bool = False, typed: str | None = None
) -> Scenario:
    """Run Python statements as a scenario; see `qstate_nb.app.script.run_script`.

    Raises:
        ScenarioError: *source* is no Python, or empty.
    """
    return run_blocking(run_script(app, name, source, names, fresh=fresh, typed=typed))


def find(app: InlineApp, name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        NotFoundError: none was recorded.
    """
    if name not in app.scenarios:
        raise NotFoundError("scenario", name, app.scenarios)
    return app.scenarios[name]


def listing(app: InlineApp) -> View:
    """The scenarios that were recorded."""
    known = [f"{printable(name)}: {counted(len(s.steps), 'step')}, {s.verdict}" for name, s in app.scenarios.items()]
    return View([Paragraph(line) for line in known] or [Paragraph("no scenarios yet")], list(app.scenarios))


def record(app: InlineApp, name: str) -> str:
    """Record from now on what is run, in cells or in the panel, and what is changed by hand.

    Raises:
        CommandError: something is being recorded already.
    """
    if app.recorder is not None:
        raise CommandError(f"scenario {app.recorder.name!r} is being recorded; end it first: %qstate stop")
    recorder = app.scenario(name)
    recorder.begin()
    app.recorder = recorder
    return f"recording {printable(name)}; %qstate stop ends it"


def stop(app: InlineApp) -> Scenario:
    """End the recording that `record` began.

    Raises:
        CommandError: nothing is being recorded.
    """
    recorder, app.recorder = app.recorder, None
    if recorder is None:
        raise CommandError("nothing is being recorded; begin with %qstate record NAME")
    recorder.end()
    return recorder
