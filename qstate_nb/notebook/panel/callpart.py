"""The panel's list of calls: how each stands, what it printed, Stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from qstate_nb.app import Call
from qstate_nb.notebook.panel.callmodel import Calls, CallView, Listed
from qstate_nb.notebook.panel.parts import change, quiet_html
from qstate_nb.notebook.panel.pool import LABEL, ROW, Looks
from qstate_nb.notebook.render import escape

_FEW_LINES = 10
_KINDS = [("all calls", "all"), ("those that run", "running"), ("those that failed", "failed")]
_INDETERMINATE = "qstate-indeterminate"


class CallList:
    """Widgets over `Calls`.

    Args:
        looks: makes the widgets.
        calls: what is listed.
        redraw: asks for the panel to be drawn again.

    Attributes:
        box: what holds them.
        rows: the rows; which of them shows a call stays so as long as it is on the page.
    """

    def __init__(self, looks: Looks, calls: Calls, redraw: Callable[[], object]) -> None:
        self.calls = calls
        self._looks = looks
        self._redraw = redraw
        self._kind = looks.menu("Show", _KINDS, width="auto")
        self._kind.observe(lambda change: self._do(lambda: calls.choose(kind=change["new"])), "value")
        self._text = looks.text(
            "Task",
            "a part of its name",
            lambda text: self._do(lambda: calls.choose(text=text)),
            layout={"width": "auto", "flex": "0 1 16em"},
        )
        self._stop_all = self._button("Stop all", "stop", "Stop every call that runs or waits", calls.stop_all)
        self._none = looks.html()
        self.rows: list[CallRow] = []  # made when there are so many calls: each is some ten messages
        self._list = looks.column([])
        self._back = self._button("Previous", "chevron-left", "Calls of the page before", lambda: calls.turn(-1))
        self._on = self._button("Next", "chevron-right", "Calls of the page after", lambda: calls.turn(1))
        self._where = looks.html()
        self._more = looks.html()
        head = looks.row([looks.html("<h3>Calls</h3>"), self._kind, self._text, self._stop_all], **ROW)
        pages = looks.row([self._back, self._on, self._where, self._more], **ROW)
        self.box = looks.column([head, self._none, self._list, pages], "qstate-calls")

    def _button(self, name: str, icon: str, tooltip: str, do: Callable[[], object]) -> Any:
        return self._looks.button(name, tooltip, lambda: self._do(do), icon=icon)

    def _do(self, do: Callable[[], object]) -> None:
        do()
        self._redraw()

    def _stop(self, call: Call) -> None:
        self._do(lambda: self.calls.stop_clicked(call))
        self._kind.focus()  # the button goes, and the keyboard's focus with it

    def draw(self) -> None:
        """Show the calls as they are now."""
        listed = self.calls.listed()
        self._draw_rows(listed)
        _show(self._looks, self._none, "" if listed.total else quiet_html(self._nothing()))
        _show(self._looks, self._where, quiet_html(listed.summary) if listed.pages > 1 else "")
        _show(self._looks, self._more, f"<b>▶ {listed.hidden:,} more running</b>" if listed.hidden else "")
        change(self._stop_all, "disabled", listed.running == 0)
        for each, is_end in ((self._back, listed.page == 0), (self._on, listed.page == listed.pages - 1)):
            self._looks.show(each, listed.pages > 1)
            change(each, "disabled", is_end)

    def _nothing(self) -> str:
        if self.calls.kind == "all" and not self.calls.text:
            return "no calls yet: run a task"
        return "no such calls"

    def _draw_rows(self, listed: Listed) -> None:
        """A call keeps the widgets that show it while it moves: so what was unfolded stays so."""
        at = {row.call: row for row in self.rows if row.call is not None and row.call in listed.rows}
        free = [row for row in self.rows if row not in at.values()]
        shown = {place: call for place, call in enumerate(listed.rows) if call is not None}
        more = [CallRow(self._looks, self._stop) for _ in range(len(shown) - len(self.rows))]
        if more:
            self.rows += more
            self._list.children = [row.box for row in self.rows]
        unused = iter([*free, *more])
        for place, call in shown.items():
            row = at[call] if call in at else next(unused)
            row.show(call, self.calls.view(call), place)
        for row in unused:
            row.show(None, None, 0)


class CallRow:
    """One call, and Stop while it runs.

    What changes often is apart from what a reader may have unfolded or selected.

    Args:
        looks: makes the widgets.
        stop: stops a call.
    """

    def __init__(self, looks: Looks, stop: Callable[[Call], object]) -> None:
        self.call: Call | None = None
        self._looks = looks
        self._head = looks.html(flex="1 1 20em", width="auto", min_width="0")
        self._time = looks.html(width="auto", margin="0 0.6em")
        self._stop = looks.button("Stop", "", lambda: None if self.call is None else stop(self.call), icon="stop")
        self._bar = looks.make(
            widgets.FloatProgress, 0, max=1, style=LABEL, layout={"width": "auto", "flex": "0 1 20em"}
        )
        self._how_far = looks.html(width="auto", margin="0 0.6em")
        self._progress = looks.row([self._bar, self._how_far], **ROW, margin="0 0 0 1em")
        self._output = looks.html()
        self._traceback = looks.html()
        line = looks.row([self._head, self._time, self._stop], **ROW)
        self.box = looks.column([line, self._progress, self._output, self._traceback], "qstate-row")

    def show(self, call: Call | None, view: CallView | None, place: int) -> None:
        """Show this call at that place; None hides the row."""
        self.call = call
        if view is None:
            self._looks.show(self.box, is_shown=False)
            return
        self._looks.arrange(self.box, flex="0 0 auto", order=str(place))
        change(self._head, "value", head_html(view))
        change(self._time, "value", quiet_html(view.elapsed))
        self._looks.show(self._stop, view.can_stop)
        change(self._stop, "tooltip", f"Stop {view.name}")
        self._draw_progress(view)
        _show(self._looks, self._output, output_html(view))
        _show(self._looks, self._traceback, traceback_html(view))

    def _draw_progress(self, view: CallView) -> None:
        self._looks.show(self._progress, bool(view.progress))
        change(self._how_far, "value", quiet_html(view.progress))
        is_shown, is_known = view.can_stop and bool(view.progress), view.fraction is not None
        self._looks.show(self._bar, is_shown)
        if is_shown:
            with self._bar.hold_sync():
                change(self._bar, "value", view.fraction if is_known else 1.0)
                change(self._bar, "description", f"{view.fraction:.0%}" if is_known else "at work")
                change(self._bar, "tooltip", f"Progress of {view.name}")
                change(self._bar, "_dom_classes", () if is_known else (_INDETERMINATE,))


def _show(looks: Looks, widget: Any, html: str) -> None:
    """Give an HTML widget this content; hide it if there is none."""
    change(widget, "value", html)
    looks.show(widget, bool(html))


def head_html(view: CallView) -> str:
    """What was called, and how it stands."""
    status = escape(f"{view.sign} {view.status}")
    detail = f", {escape(view.detail)}" if view.detail else ""
    attempt = f' <span class="qstate-quiet">{escape(view.attempt)}</span>' if view.attempt else ""
    return (
        f'<div class="qstate-call"><b>{escape(view.name)}</b> ({escape(view.arguments)}) · '
        f'<span class="qstate-status qstate-{view.status}">{status}</span>{detail}{attempt}</div>'
    )


def output_html(view: CallView) -> str:
    """What a call printed; foldable if it is long."""
    if not view.output:
        return ""
    text = f'<pre class="qstate-output">{escape(view.output)}</pre>'
    lines = view.output.count("\n") + 1
    if lines <= _FEW_LINES:
        return text
    return f"<details open><summary>output of {escape(view.name)}: {lines:,} lines</summary>{text}</details>"


def traceback_html(view: CallView) -> str:
    """Where a call failed, folded."""
    if not view.traceback:
        return ""
    summary = f"<summary>traceback of {escape(view.name)}</summary>"
    return f'<details>{summary}<pre class="qstate-output">{escape(view.traceback)}</pre></details>'
