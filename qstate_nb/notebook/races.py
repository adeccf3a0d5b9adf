"""What `%qstate races` does, as plain functions: explore tasks, and show what was found."""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qstate_nb.app import InlineApp
from qstate_nb.core.formats import counted, message
from qstate_nb.core.inject import POSITIONAL
from qstate_nb.core.keys import StateKey, checked_scope
from qstate_nb.errors import ArgumentError, CommandError
from qstate_nb.notebook.arguments import Given, convert
from qstate_nb.notebook.render import Block, Heading, Notice, Paragraph, View, escape
from qstate_nb.notebook.swimlanes import swimlanes
from qstate_nb.races import Exploration, Outcome, Stepper, Timeline, explore
from qstate_nb.races.report import MOST_SHOWN, NO_PROBABILITY, headline, outcome_lines
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
    calls: Sequence[functools.partial[Any]],
    *,
    check: str | None = None,
    names: Mapping[str, Any] | None = None,
    now: bool = False,
    **options: Any,
) -> View:
    """Explore calls that run concurrently, and show each outcome. Its `View.data` is the `Exploration`.

    Args:
        calls: tasks with their arguments; see `parsed_call`.
        check: an expression that is true for a good State, such as ``Account.balance >= 0``.
        names: variables for it.
        now: whether to begin with a copy of the State as it is; else with none.
        options: of `qstate_nb.races.explore`.

    Raises:
        CommandError: the check is no expression.
        RaceError: the tasks can't be explored.
    """
    state = {str(key): app.registry.peek(key) for key in app.registry.keys()} if now else {}
    found = explore(
        *calls,
        state={name: fields for name, fields in state.items() if fields},
        check=None if check is None else checker(check, names or {}, app.registry.names()),
        **options,
    )
    return exploration_view(found)


_CALL = re.compile(r"""('[^']*'|"[^"]*"|[^(]*)(.*)""", re.DOTALL)


def parsed_call(app: InlineApp, text: str, value: Callable[[str], Any]) -> functools.partial[Any]:
    """A call as it is typed: ``deposit``, ``withdraw(amount=80)`` or ``withdraw(80)``; a name can be quoted.

    Args:
        value: evaluates an argument that is no literal.

    Raises:
        CommandError: it is not of that form.
        NotFoundError: no task, or parameter, has that name.
        ArgumentError: an argument doesn't fit its parameter, or one is missing.
    """
    match = _CALL.fullmatch(text)
    assert match is not None
    task = app.find(match[1][1:-1] if match[1][:1] in ("'", '"') else match[1])
    call = _parsed(match[2] or "()")
    if call is None:
        raise CommandError(f"{text!r} is no call of a task, such as {task.name}(amount=80)")
    names = [p.name for p in task.parameters if p.kind in POSITIONAL]
    takes_more = any(p.kind is p.VAR_POSITIONAL for p in task.parameters)
    if len(call.args) > len(names) and not takes_more:
        raise ArgumentError(f"{text!r} has too many arguments; the task is {task.signature}")
    given = [*zip(names, call.args, strict=False), *((str(k.arg), k.value) for k in call.keywords)]
    twice = [name for name, times in Counter(name for name, _ in given).items() if times > 1]
    if twice:
        raise ArgumentError(f"{text!r} gives {twice[0]!r} more than once; the task is {task.signature}")
    values = {name: convert(task.parameter(name), _given(node, value), task.name) for name, node in given}
    more = [_given(node, value).value for node in call.args[len(names) :]]
    if more:
        return functools.partial(task, *(values.pop(name) for name in names), *more, **values)
    args, kwargs = task.arguments(values)
    return functools.partial(task, *args, **kwargs)


def _parsed(brackets: str) -> ast.Call | None:
    """The arguments of a call; None if it is none, or has stars."""
    try:
        call = ast.parse(f"f{brackets}", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    is_call = isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    if not is_call or not isinstance(call, ast.Call):
        return None
    has_stars = any(isinstance(arg, ast.Starred) for arg in call.args) or any(k.arg is None for k in call.keywords)
    return None if has_stars else call


def _given(node: ast.expr, value: Callable[[str], Any]) -> Given:
    text = ast.unparse(node)
    try:
        return Given(ast.literal_eval(node), None if isinstance(node, ast.Constant) else text)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return Given(value(text))


class Fields:
    """A State in a check: ``Account.balance``, ``Account["balance"]``, ``Account[42].balance``.

    Args:
        state: all of it.
        key: of the bucket.
    """

    def __init__(self, state: Mapping[str, Mapping[str, Any]], key: StateKey) -> None:
        self.__state = state
        self.__key = key

    def __getattr__(self, name: str) -> Any:
        return self.__state.get(str(self.__key), {}).get(name)

    def __getitem__(self, name: Any) -> Any:
        fields = self.__state.get(str(self.__key), {})
        if name in fields:
            return fields[name]
        return Fields(self.__state, StateKey(self.__key.name, checked_scope(name, "the check")))


def checker(
    expression: str, names: Mapping[str, Any], states: Iterable[str] = ()
) -> Callable[[Mapping[str, Mapping[str, Any]]], bool]:
    """A check of a State, of an expression in which States have their names, and ``s`` is all of it.

    Args:
        states: the names of States that may be missing in an outcome.

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
    classes = {name: names[name].state_name for name in code.co_names if hasattr(names.get(name), "state_name")}

    def check(state: Mapping[str, Mapping[str, Any]]) -> bool:
        known = {name: name for name in (*states, *(name.partition("[")[0] for name in state))} | classes
        fields = {variable: Fields(state, StateKey(name)) for variable, name in known.items()}
        return bool(eval(code, {**names, **fields, "s": state}))  # noqa: S307 - the user's own line

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
    said_first = "".join(
        f"<div>{escape(timeline.labels[lane])}, before its first op: {escape(text)}</div>"
        for lane, text in timeline.output_before
    )
    output = said_first + "".join(
        f"<div>step {s.number}: {escape(s.output)}</div>" for s in timeline.steps if s.output
    )
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
        ends = [] if outcome is None else self.timeline.ends
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
        cards.append(Paragraph(f"… and {counted(more, 'outcome')} more"))
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
                f"{number}: {choice.task}: {choice.text} ({counted(len(choice.outcomes), 'outcome')}, {bad} bad)"
            )
        )
    blocks += [Card(outcome, stepper.exploration, draws=False) for outcome in stepper.outcomes[:MOST_SHOWN]]
    return View(blocks, stepper)
