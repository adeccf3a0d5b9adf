"""The calls that are prepared to run together, with what can be done with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from qstate_nb.core.formats import counted
from qstate_nb.errors import QStateError
from qstate_nb.notebook.panel.parts import change, problem_html
from qstate_nb.notebook.panel.pool import Looks
from qstate_nb.notebook.panel.runs import Prepared, Runs
from qstate_nb.notebook.render import escape

SHOWN = 10
_SETTLED = 0.5  # seconds after which who clicks has seen what stands there now


class Tray:
    """A list of prepared calls; it is to be seen only if there are any.

    Args:
        looks: makes the widgets.
        runs: has them.
        redraw: asks for the panel to be drawn again.
        clock: tells the time, as `time.monotonic` does.

    Attributes:
        box: the tray's widget.
    """

    def __init__(
        self, looks: Looks, runs: Runs, redraw: Callable[[], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._looks = looks
        self._runs = runs
        self._redraw = redraw
        self._clock = clock
        self._shown: Sequence[Prepared] = ()
        self._moved = -_SETTLED  # when something else came to stand where a button was
        self._heading = looks.html()
        self._rows: list[_Row] = []
        self._list = looks.column([])
        self._more = looks.html()
        self._problem = looks.html()
        run = looks.button(
            "Run together",
            "Start all these calls at once",
            lambda: self._try(runs.run_together),
            icon="play",
            button_style="primary",
        )
        empty = looks.button("Empty", "Remove all these calls", lambda: self._try(runs.empty), icon="trash")
        buttons = looks.row([run, empty], "qstate-runs")
        self._parts = (self._heading, self._list, self._more, self._problem, buttons)
        self.box = looks.column([], "qstate-together")

    def _try(self, do: Callable[[], object]) -> None:
        if self._clock() - self._moved < _SETTLED:  # else a double click would do two things
            return
        problem = ""
        try:
            do()
        except QStateError as error:
            problem = problem_html(error)
        change(self._problem, "value", problem)
        self._redraw()

    def draw(self) -> None:
        """Show what is prepared."""
        prepared = self._runs.prepared
        self._looks.show(self.box, bool(prepared))
        if not prepared:
            change(self._problem, "value", "")
        shown = prepared[:SHOWN]
        if shown and self._shown != shown[: len(self._shown)]:
            self._moved = self._clock()
        self._shown = shown
        self._make_rows(len(shown))
        for number, row in enumerate(self._rows):
            row.show(shown[number] if number < len(shown) else None)
        number = sum(each.times for each in prepared)
        change(self._heading, "value", f"<h4>Together: {counted(number, 'call')}</h4>")
        hidden = len(prepared) - len(shown)
        change(self._more, "value", f"<div>… {hidden:,} more</div>" if hidden else "")
        if prepared:
            change(self.box, "children", self._parts)

    def _make_rows(self, number: int) -> None:
        more = [
            _Row(self._looks, lambda each: self._try(lambda: self._runs.remove(each)))
            for _ in range(number - len(self._rows))
        ]
        if more:
            self._rows += more
            self._list.children = [row.box for row in self._rows]


class _Row:
    """One prepared call, and Remove."""

    def __init__(self, looks: Looks, remove: Callable[[Prepared], object]) -> None:
        self._shown: Prepared | None = None
        self._looks = looks
        self._remove = remove
        self._text = looks.html()
        self._button = looks.button("Remove", "", self._clicked, icon="times")
        self.box = looks.row([self._text, self._button], "qstate-prepared")

    def _clicked(self) -> None:
        if self._shown is not None:
            self._remove(self._shown)

    def show(self, prepared: Prepared | None) -> None:
        """Show this call; None hides the row."""
        self._shown = prepared
        self._looks.show(self.box, prepared is not None)
        if prepared is not None:
            change(self._text, "value", f'<div class="qstate-code">{escape(str(prepared))}</div>')
            change(self._button, "tooltip", f"Remove {prepared}")
