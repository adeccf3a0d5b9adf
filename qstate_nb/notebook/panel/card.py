"""One task in the panel: what it does, its form, and the ways to run it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from qstate_nb.app import Task
from qstate_nb.core.formats import encodable, printable, short_text
from qstate_nb.core.inject import innermost
from qstate_nb.core.keys import ScopeId
from qstate_nb.errors import QStateError
from qstate_nb.notebook.panel.controls import text_control
from qstate_nb.notebook.panel.fields import Around, Nothing, Simple
from qstate_nb.notebook.panel.forms import Form, Typed
from qstate_nb.notebook.panel.parts import change, problem_html
from qstate_nb.notebook.panel.pool import Looks
from qstate_nb.notebook.panel.runs import MOST, Runs
from qstate_nb.notebook.render import escape

_MAX_SIGNATURE = 300
_MAX_TEXT = 4_000

_TIMES = inspect.Parameter(
    "times", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[int, Meta(ge=1, le=MOST)], default=1
)

TypedCard: TypeAlias = tuple[Typed, Any, bool]
"""What was filled in in a form, how many times, and whether at once."""


class Card:
    """One task.

    Args:
        looks: makes the widgets.
        task: the task.
        runs: starts its calls.
        redraw: asks for the panel to be drawn again.
        scopes: gives the scopes of the State of a name.

    Attributes:
        box: the card's widget.
        form: its form.
        times: the field that tells how many calls.
    """

    def __init__(
        self,
        looks: Looks,
        task: Task,
        runs: Runs,
        redraw: Callable[[], object],
        scopes: Callable[[str], Sequence[ScopeId]],
    ) -> None:
        self.task = task
        self._looks = looks
        self._runs = runs
        self._redraw = redraw
        self.form = Form(looks, task, scopes, lambda: self._tell(""))
        self._problem = looks.html()
        looks.show(self._problem, is_shown=False)
        name = printable(task.name, 60)
        self.run = looks.button("Run", f"Run {name}", self._start, icon="play", button_style="primary")
        around = Around(task.name, lambda: self._tell(""), looks=looks)
        self.times = Simple(_TIMES, around, text_control(looks, _TIMES))
        self.times.control.tooltip = "How many calls"
        self.times.control.placeholder = f"1 to {MOST:,}"
        self.at_once = looks.tick("at once")
        self.add = looks.button(
            "Add to together", f"Prepare {name} to run together with other calls", self._add, icon="plus"
        )
        row = looks.row([self.run, self.times.box, self.at_once, self.add], "qstate-runs")
        about = looks.html(about_html(task))
        self.box = looks.column([about, self.form.box, self._problem, row], "qstate-task")

    def _start(self) -> None:
        self._try(lambda values, times: self._runs.start(self.task, values, times, self.at_once.value))

    def _add(self) -> None:
        self._try(lambda values, times: self._runs.add(self.task, values, times))

    def _try(self, do: Callable[[dict[str, Any], int], object]) -> None:
        values, times = self.form.read(), self.times.read()
        problem = ""
        if values is None or times is Nothing.WRONG:
            wrong = [*self.form.wrong, *(["times"] if times is Nothing.WRONG else [])]
            problem = f"not started: look at {', '.join(printable(name, 60) for name in wrong)}"
        else:
            try:
                do(values, _TIMES.default if times is Nothing.LEFT else times)
            except QStateError as error:
                problem = str(error)
        self._tell(problem)
        self._redraw()

    def typed(self) -> TypedCard:
        """What was filled in, for `retype` of another card."""
        return self.form.typed(), self.times.typed(), self.at_once.value

    def retype(self, typed: TypedCard | None) -> None:
        """Fill in what was filled in elsewhere, as far as it can be."""
        if typed is not None:
            filled, times, self.at_once.value = typed
            self.form.retype(filled)
            self.times.retype(times)

    def _tell(self, problem: str) -> None:
        change(self._problem, "value", problem_html(problem) if problem else "")
        self._looks.show(self._problem, bool(problem))


def about_html(task: Task) -> str:
    """What a task is called and does; the whole docstring is folded in if it says more."""
    name, options = printable(task.name, 80), task.options
    found = [
        f"<h4>{escape(name)}</h4>",
        f'<div class="qstate-code">{escape(short_text(task.signature, _MAX_SIGNATURE))}</div>',
    ]
    if options.description:
        found.append(f"<div>{escape(options.description[:_MAX_TEXT])}</div>")
    if options.tags:
        tags = short_text(", ".join(options.tags), _MAX_SIGNATURE)
        found.append(f'<div class="qstate-quiet">tags: {escape(tags)}</div>')
    doc = docstring_of(task)
    if len(doc.splitlines()) > 1:
        text = encodable(doc if len(doc) <= _MAX_TEXT else f"{doc[:_MAX_TEXT]}…")
        found.append(f"<details><summary>more about {escape(name)}</summary><pre>{escape(text)}</pre></details>")
    return "".join(found)


def docstring_of(task: Task) -> str:
    """The docstring of a task's function, or empty."""
    return (inspect.getdoc(innermost(task.function)) or "").strip()
