"""The panel's widgets: a view over `PanelModel`."""

from __future__ import annotations

import threading
from typing import Any

import ipywidgets as widgets

from qstate_nb.app import Call, InlineApp, Task
from qstate_nb.app.nesting import running_loop
from qstate_nb.errors import QStateError
from qstate_nb.notebook.panel.explorer import Explorer
from qstate_nb.notebook.panel.forms import Field, fields_for
from qstate_nb.notebook.panel.model import SHOWN_CALLS, PanelModel, call_html
from qstate_nb.notebook.panel.parts import change, problem_html
from qstate_nb.notebook.panel.racetab import RaceTab
from qstate_nb.notebook.panel.redraw import Redraw
from qstate_nb.notebook.panel.timebar import TimeBar
from qstate_nb.notebook.render import escape

_BOX = {"border": "1px solid var(--jp-border-color2, #ccc)", "padding": "8px", "margin": "0 8px 8px 0"}


class Panel(widgets.VBox):  # type: ignore[misc]
    """Run an app's tasks and see its calls and State live; made by ``%qstate panel`` or ``qstate_nb.panel(app)``.

    Args:
        app: the app.

    Attributes:
        closed: whether `close` was called.
    """

    def __init__(self, app: InlineApp) -> None:
        self.app = app
        self.closed = False
        self._drawing = threading.Lock()  # the first time in this thread, then in the redraw's
        self._cards: dict[str, TaskCard] = {}
        self._redraw = Redraw(self._draw)
        self.model = PanelModel(app, running_loop(), self._redraw.ask)
        self._time = TimeBar(self.model, self._redraw.ask)
        self._races = RaceTab(Explorer(app, self._redraw.ask))
        self._tabs = widgets.Tab([self._time.box, self._races.box], titles=("Timeline", "Races"))
        self._tasks = widgets.VBox(layout={**_BOX, "flex": "0 0 300px", "max_height": "480px", "overflow": "auto"})
        self._state = widgets.HTML(layout={**_BOX, "flex": "1 1 320px", "max_height": "480px", "overflow": "auto"})
        self._calls = [CallRow() for _ in range(SHOWN_CALLS)]
        self._more = widgets.HTML()
        close = widgets.Button(description="Close", tooltip="Close the panel", layout={"width": "auto"})
        close.on_click(lambda _: self.close())
        title = widgets.HTML(f"<b>qstate · {escape(app.name)}</b>", layout={"flex": "1"})
        super().__init__(
            [
                widgets.HBox([title, close]),
                widgets.HBox([self._tasks, self._state], layout={"flex_flow": "row wrap", "align_items": "stretch"}),
                self._tabs,
                widgets.VBox([*(row.box for row in self._calls), self._more]),
            ]
        )
        self.add_class("qstate-panel")
        for row in self._calls:
            row.model = self.model
        try:
            self._draw()
        except BaseException:
            self.close()
            raise
        _serve_while_busy([self, *_all_below(self)])

    def close(self) -> None:
        """Unsubscribe, and take the panel away."""
        if not self.closed:
            self.closed = True
            self.model.close()
            self._redraw.close()
            self._time.close()
            _close_all_below(self)
            self.layout.close()
        super().close()

    def _draw(self) -> None:
        with self._drawing:
            self._draw_tasks()
            self._time.draw()
            self._races.draw()
            change(self._state, "value", self.model.states().html)
            self._draw_calls()

    def _draw_calls(self) -> None:
        """A row keeps its call while that runs, so that nobody stops another one than he meant to."""
        calls, hidden = self.model.calls()
        kept = [row.call for row in self._calls if row.call in calls and row.call.own_result is None]
        others = iter([call for call in calls if call not in kept])
        for row in self._calls:
            row.show(row.call if row.call in kept else next(others, None))
        change(self._more, "value", f"… {hidden:,} more running" if hidden else "")

    def _draw_tasks(self) -> None:
        tasks = list(self.app.tasks.values())
        if [card.task for card in self._cards.values()] == tasks:
            return
        old = self._cards
        self._cards = {
            task.name: old[task.name] if task.name in old and old[task.name].task is task else TaskCard(task, self)
            for task in tasks
        }
        self._tasks.children = [card.box for card in self._cards.values()]
        _serve_while_busy(_all_below(self._tasks))
        for name, card in old.items():
            if self._cards.get(name) is not card:
                _close_all_below(card.box)
                _close(card.box)

    def __repr__(self) -> str:
        return f"<Panel of {self.app!r}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs) or {}
        return {**bundle, "text/plain": self.model.overview().text}


class TaskCard:
    """One task: what it does, a form, Run."""

    def __init__(self, task: Task, panel: Panel) -> None:
        self.task = task
        self._panel = panel
        self._fields: list[Field] = fields_for(task.parameters)
        self._problem = widgets.HTML(layout={"display": "none"})
        about = f"<div>{escape(task.options.description)}</div>" if task.options.description else ""
        run = widgets.Button(
            description="Run",
            icon="play",
            tooltip=f"Run {task.name}",
            layout={"width": "auto"},
            button_style="primary",
        )
        run.on_click(self._run)
        self.box = widgets.VBox(
            [
                widgets.HTML(f"<b>{escape(task.name)}</b>{about}"),
                *(field.widget for field in self._fields),
                self._problem,
                run,
            ],
            layout={"flex": "0 0 auto", "margin": "0 0 10px 0"},
        ).add_class("qstate-task")

    def _run(self, _: object) -> None:
        problem = ""
        try:
            given = {field.parameter.name: field.read() for field in self._fields}
            self._panel.model.run(self.task, {name: value for name, value in given.items() if value is not None})
        except QStateError as error:
            problem = problem_html(error)
        change(self._problem, "value", problem)
        self._problem.layout.display = "" if problem else "none"


class CallRow:
    """One call, and Stop while it runs."""

    model: PanelModel

    def __init__(self) -> None:
        self.call: Call | None = None
        self._text = widgets.HTML(layout={"flex": "0 1 auto"})
        self._stop = widgets.Button(
            description="Stop", icon="stop", tooltip="Stop this call", layout={"width": "auto"}
        )
        self._stop.on_click(self._on_stop)
        self.box = widgets.HBox([self._text, self._stop], layout={"display": "none"})

    def show(self, call: Call | None) -> None:
        """Show this call; None hides the row."""
        self.call = call
        self.box.layout.display = "none" if call is None else ""
        if call is not None:
            change(self._text, "value", call_html(call))
            self._stop.layout.visibility = "hidden" if call.own_result is not None else "visible"

    def _on_stop(self, _: object) -> None:
        if self.call is not None:
            self.model.stop(self.call)


def _serve_while_busy(boxes: list[Any]) -> None:
    """Let the clicks and inputs of these widgets reach the kernel while a cell keeps its main thread busy.

    JupyterLab sends them to a subshell for that. ipykernel 7.4 and newer takes them to the thread that last sent
    something for the same widget instead, at first the main thread; without its note of that, it doesn't.
    """
    for widget in boxes:
        if widget.comm is not None:
            vars(widget.comm).pop("_reply_subshell_id", None)


def _close_all_below(box: Any) -> None:
    for widget in reversed(_all_below(box)):
        _close(widget)


def _close(widget: Any) -> None:
    """Close a widget with the layout and the style that were made for it."""
    for part in (widget, widget.layout, getattr(widget, "style", None)):
        if isinstance(part, widgets.Widget):
            part.close()


def _all_below(box: Any) -> list[Any]:
    """The widgets inside a box, outer ones first."""
    found = []
    for child in getattr(box, "children", ()):
        found += [child, *_all_below(child)]
    return found
