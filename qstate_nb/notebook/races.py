"""What `%qstate races` does, as plain functions: explore tasks, and show what was found."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qstate_nb.app import InlineApp, Task
from qstate_nb.core.formats import message
from qstate_nb.core.inject import POSITIONAL
from qstate_nb.errors import ArgumentError, CommandError
from qstate_nb.notebook.arguments import Given, convert
from qstate_nb.notebook.render import Block, Heading, Notice, Paragraph, View, escape
from qstate_nb.notebook.swimlanes import swimlanes
from qstate_nb.races import Exploration, Outcome, Stepper, Timeline, explore
from qstate_nb.races.report import MOST_SHOWN, NO_PROBABILITY, headline, outcome_lines, plural
from qstate_nb.races.timeline import timeline_text

_TONES = {
    "race": ("✗", "var(--jp-error-color1,#b00020)"),
    "deadlock": ("✗", "var(--jp-error-color1,#b00020)"),
    "check failed": ("✗", "var(--jp-error-color1,#b00020)"),
    "error": ("✗", "var(--jp-error-color1,#b00020)"),
    "results differ": ("△", "var(--jp-warn-color1,#a35d00)"),
    "unknown": ("?", "var(--jp-ui-font-color2,#666)"),
    "safe": ("✓", "var(--jp-success-color1,#2e7d32)"),
}
_DRAWN = 4  # outcomes whose schedule is drawn
_QUIET = "color:var(--jp-ui-font-color2,#666)"


def races(
    app: InlineApp,
    calls: Sequence[tuple[Task, Mapping[str, Any]]],
    *,
    n: int = 1,
    check: str | None = None,
    names: Mapping[str, Any] | None = None,
    now: bool = False,
    **options: Any,
) -> View:
    """Explore calls that run concurrently, and show each outcome. Its `View.data` is the `Exploration`.

    Args:
        calls: tasks with their arguments.
        n: how many of each.
        check: an expression that is true for a good State, such as ``Account.balance >= 0``.
        names: variables for it.
        now: whether to begin with a copy of the State as it is; else with none.
        options: of `qstate_nb.races.explore`.

    Raises:
        ArgumentError: there is no call, or an argument is missing.
        CommandError: the check is no expression.
        RaceError: the tasks can't be explored.
    """
    for task, values in calls:
        task.arguments(values)
    state = {str(key): app.registry.peek(key) for key in app.registry.keys()} if now else {}
    found = explore(
        *(functools.partial(task, **values) for task, values in calls),
        n=n,
        state={name: fields for name, fields in state.items() if fields},
        check=None if check is None else checker(check, names or {}),
        **options,
    )
    return exploration_view(found)


def parsed_call(app: InlineApp, text: str, value: Callable[[str], Any]) -> tuple[Task, dict[str, Any]]:
    """A call as it is typed: ``deposit``, ``withdraw(amount=80)`` or ``withdraw(80)``.

    Args:
        value: evaluates an argument that is no literal.

    Raises:
        CommandError: it is not of that form.
        NotFoundError: no task, or parameter, has that name.
        ArgumentError: an argument doesn't fit its parameter.
    """
    name, bracket, _ = text.partition("(")
    task = app.find(name)
    if not bracket:
        return task, {}
    try:
        call = ast.parse(f"f{text[len(name) :]}", mode="eval").body
    except SyntaxError:
        call = None
    if not isinstance(call, ast.Call) or any(keyword.arg is None for keyword in call.keywords):
        raise CommandError(f"{text!r} is no call of a task, such as {task.name}(amount=80)")
    positional = [p.name for p in task.parameters if p.kind in POSITIONAL]
    if len(call.args) > len(positional):
        raise ArgumentError(f"{text!r} has too many arguments; the task is {task.signature}")
    given = dict(zip(positional, call.args, strict=False)) | {str(k.arg): k.value for k in call.keywords}
    return task, {name: convert(task.parameter(name), _given(node, value), task.name) for name, node in given.items()}


def _given(node: ast.expr, value: Callable[[str], Any]) -> Given:
    text = ast.unparse(node)
    try:
        return Given(ast.literal_eval(node), None if isinstance(node, ast.Constant) else text)
    except ValueError:
        return Given(value(text))


def joined(words: Sequence[str]) -> list[str]:
    """Words of which those are joined that are inside one pair of brackets.

    Example:
        >>> joined(["deposit", "withdraw(amount=80,", "note='x')"])
        ['deposit', "withdraw(amount=80, note='x')"]
    """
    found: list[str] = []
    for word in words:
        if found and found[-1].count("(") > found[-1].count(")"):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


class Fields(Mapping[str, Any]):
    """A State in a check: ``Account.balance``, ``Account["balance"]``, ``Account[42].balance``.

    Args:
        state: all of it.
        name: of the bucket.
    """

    def __init__(self, state: Mapping[str, Mapping[str, Any]], name: str) -> None:
        self._state = state
        self._name = name
        self._fields = state.get(name, {})

    def __getattr__(self, name: str) -> Any:
        return self._fields.get(name)

    def __getitem__(self, name: Any) -> Any:
        if isinstance(name, str) and name in self._fields:
            return self._fields[name]
        return Fields(self._state, f"{self._name}[{name}]")

    def __iter__(self) -> Any:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


def checker(expression: str, names: Mapping[str, Any]) -> Callable[[Mapping[str, Mapping[str, Any]]], bool]:
    """A check of a State, of an expression in which States have their names, and ``s`` is all of it.

    Raises:
        CommandError: it is no expression.

    Example:
        >>> checker("Account.balance >= 0", {})({"Account": {"balance": 5}})
        True
    """
    try:
        code = compile(expression, "<check>", "eval")
    except SyntaxError as error:
        raise CommandError(
            f'--check {expression!r} is no expression ({message(error)}); write one such as "Account.balance >= 0"'
        ) from None
    missing = [name for name in code.co_names if name in names]

    def check(state: Mapping[str, Mapping[str, Any]]) -> bool:
        states = {name.partition("[")[0]: Fields(state, name.partition("[")[0]) for name in state}
        classes = {n: Fields(state, names[n].state_name) for n in missing if hasattr(names[n], "state_name")}
        return bool(eval(code, {**names, **classes, **states, "s": state}))  # noqa: S307 - the user's own line

    return check


@dataclass(frozen=True, slots=True)
class Card:
    """One outcome.

    Args:
        outcome: what is shown.
        found: that it is of.
        draws: whether its schedule is drawn.
    """

    outcome: Outcome
    found: Exploration
    draws: bool

    def text(self) -> str:
        """Its lines."""
        return "\n".join(outcome_lines(self.outcome, self.found))

    def html(self) -> str:
        """Its lines under a verdict with a sign, and its schedule beside the nearest serial one."""
        sign, colour = _TONES[self.outcome.verdict]
        first, *lines = outcome_lines(self.outcome, self.found)
        rest = first.removeprefix(f"{self.outcome.verdict}: ")
        shown = "".join(f'<div style="{_QUIET}">{escape(line.strip())}</div>' for line in lines)
        drawn = timeline_html(self.found.timeline(self.outcome)) if self.draws and self.outcome.id else ""
        details = f"<details open><summary>a schedule</summary>{drawn}</details>" if drawn else ""
        return (
            f'<div class="qstate-outcome" style="border-left:6px solid {colour};padding:4px 10px;margin:6px 0;'
            'background:var(--jp-layout-color1,#fff)">'
            f'<div><b style="color:{colour}">{sign} {escape(self.outcome.verdict)}</b> '
            f'<span style="font-family:var(--jp-code-font-family,monospace)">{escape(rest)}</span></div>'
            f"{shown}{details}</div>"
        )


def timeline_html(timeline: Timeline) -> str:
    """A schedule's picture, beside that of the nearest serial run if it is bad."""
    pictures = [f'<div style="overflow-x:auto">{swimlanes(timeline)}</div>']
    serial = timeline.nearest_serial
    if serial is not None:
        title = f'<div style="{_QUIET}">one after another: {escape(serial.order)}</div>'
        pictures.append(f'<div style="overflow-x:auto">{title}{swimlanes(serial)}</div>')
    output = "".join(f"<div>step {s.number}: {escape(s.output)}</div>" for s in timeline.steps if s.output)
    said = f'<pre style="white-space:pre-wrap">{output}</pre>' if output else ""
    return f'<div style="display:flex;flex-wrap:wrap;gap:16px">{"".join(pictures)}</div>{said}'


@dataclass(frozen=True, slots=True)
class Drawn:
    """A schedule."""

    timeline: Timeline

    def text(self) -> str:
        """Its steps in lanes of text."""
        return timeline_text(self.timeline)

    def html(self) -> str:
        """Its picture, and how it ends."""
        outcome = self.timeline.outcome
        ends = [] if outcome is None else [outcome.state_text, *outcome.ends(self.timeline.labels)]
        verdict = [] if outcome is None or not outcome.is_bad else [f"{outcome.verdict}: {outcome.reason}"]
        said = "".join(f'<div style="{_QUIET}">{escape(text)}</div>' for text in [*verdict, *ends])
        return timeline_html(self.timeline) + said


def exploration_view(found: Exploration) -> View:
    """All outcomes as cards, the worst first. Its `View.data` is the `Exploration`."""
    cards: list[Block] = []
    for number, outcome in enumerate(found.outcomes[:MOST_SHOWN]):
        cards.append(Card(outcome, found, draws=outcome.is_bad and number < _DRAWN))
    more = len(found.outcomes) - MOST_SHOWN
    if more > 0:
        cards.append(Paragraph(f"… and {plural(more, 'outcome')} more"))
    notes: list[Block] = [Paragraph(f"note: {note}") for note in found.notes]
    notes += [Notice(f"warning: {warning}") for warning in found.warnings]
    share = [Paragraph(NO_PROBABILITY)] if len(found.outcomes) > 1 else []
    return View([Heading(headline(found)), *cards, *notes, *share], found)


def timeline_view(timeline: Timeline) -> View:
    """A schedule as lanes. Its `View.data` is the `Timeline`."""
    return View([Drawn(timeline)], timeline)


def stepper_view(stepper: Stepper) -> View:
    """Where one is, what can happen next, and which outcomes can still come. Its `View.data` is the `Stepper`."""
    blocks: list[Block] = [Heading(repr(stepper).strip("<>"))]
    if stepper.steps:
        blocks.append(Drawn(stepper.timeline))
    for number, choice in enumerate(stepper.choices):
        bad = sum(outcome.is_bad for outcome in choice.outcomes)
        blocks.append(
            Paragraph(
                f"{number}: {choice.task}: {choice.text} ({plural(len(choice.outcomes), 'outcome')}, {bad} bad)"
            )
        )
    blocks += [Card(outcome, stepper.exploration, draws=False) for outcome in stepper.outcomes[:MOST_SHOWN]]
    return View(blocks, stepper)
