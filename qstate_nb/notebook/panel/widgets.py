"""The panel: its parts put together, kept up to date, and shown."""

from __future__ import annotations

import logging
import threading
from typing import Any

import ipywidgets as widgets

from qstate_nb.app import InlineApp
from qstate_nb.app.nesting import running_loop
from qstate_nb.core.formats import message
from qstate_nb.notebook.panel.background import Background
from qstate_nb.notebook.panel.buckets import Buckets
from qstate_nb.notebook.panel.callmodel import Calls
from qstate_nb.notebook.panel.callpart import CallList
from qstate_nb.notebook.panel.eventlog import EventLog
from qstate_nb.notebook.panel.eventpart import EventPart
from qstate_nb.notebook.panel.explorer import Explorer
from qstate_nb.notebook.panel.model import PanelModel
from qstate_nb.notebook.panel.parts import Part, all_below, button, change, close_all, problem_html
from qstate_nb.notebook.panel.racetab import RaceTab
from qstate_nb.notebook.panel.redraw import Redraw
from qstate_nb.notebook.panel.runs import Runs
from qstate_nb.notebook.panel.scenariopart import ScenarioPart
from qstate_nb.notebook.panel.scenarios import Scenarios
from qstate_nb.notebook.panel.statepart import StatePart
from qstate_nb.notebook.panel.still import Still
from qstate_nb.notebook.panel.style import CSS
from qstate_nb.notebook.panel.tasklist import TaskList
from qstate_nb.notebook.panel.timebar import TimeBar
from qstate_nb.notebook.render import escape

_log = logging.getLogger(__name__)


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
        self._is_open = False  # until it was drawn once
        self._drawing = threading.Lock()  # the first time in this thread, then in the redraw's
        loop = running_loop()
        calls, buckets, ask = Calls(app), Buckets(app), self._ask
        self._redraw = Redraw(self._draw, idle=calls.next_tick)
        self.model = PanelModel(app, buckets)
        self._still = Still(self.model.overview)
        self._runs = Runs(app, loop)
        self._tasks = TaskList(app, self._runs, ask)
        self._state = StatePart(buckets, ask)
        self._time = TimeBar(self.model, ask)
        parts: dict[str, Part] = {
            "Calls": CallList(calls, ask),
            "Timeline": self._time,
            "Events": EventPart(EventLog(app), ask),
            "Scenarios": ScenarioPart(Scenarios(app, Background(loop), ask)),
            "Races": RaceTab(Explorer(app, ask)),
        }
        self._parts = list(parts.values())
        self._tabs = widgets.Tab([part.box for part in self._parts], titles=tuple(parts))
        self._tabs.observe(ask, "selected_index")
        self._problem = widgets.HTML()
        style = widgets.HTML(f"<style>{CSS}</style>")
        super().__init__([style, self._head(), self._problem, self._main(), self._tabs])
        self.add_class("qstate-panel")
        self._unsubscribe = [app.subscribe(ask), app.registry.subscribe(ask)]
        try:
            self._draw()
        except BaseException:
            self.close()
            raise
        self._is_open = True
        self._redraw.ask()

    def _head(self) -> Any:
        title = widgets.HTML(f"<h2>qstate · {escape(self.app.name)}</h2>").add_class("qstate-title")
        return widgets.HBox([title, button("Close", "", "Close the panel", self.close)]).add_class("qstate-head")

    def _main(self) -> Any:
        return widgets.HBox([self._tasks.box, self._state.box]).add_class("qstate-main")

    def close(self) -> None:
        """Unsubscribe, and take the panel away."""
        if not self.closed:
            self.closed = True
            for unsubscribe in self._unsubscribe:
                unsubscribe()
            self._redraw.close()
            self._still.close()
            self._runs.close()
            for part in (self._tasks, self._state, self._time):
                part.close()
            close_all(self)
        super().close()

    def _ask(self, _: object = None) -> None:
        """Ask for the panel to be drawn again; costs next to nothing."""
        self._redraw.ask()
        self._still.ask()

    def _draw(self) -> None:
        with self._drawing:
            tab = self._tabs.selected_index or 0
            named: dict[str, Part] = {"tasks": self._tasks, "State": self._state}
            named[self._tabs.titles[tab]] = self._parts[tab]
            problems = [self._drawn(name, part) for name, part in named.items()]
            change(self._problem, "value", "".join(filter(None, problems)))
            _serve_while_busy(self)

    def _drawn(self, name: str, part: Part) -> str:
        """Bring a part up to date; what is wrong, if it can't be: the others go on, and it is tried again."""
        try:
            part.draw()
        except Exception as error:
            if not self._is_open:
                raise
            _log.exception("the panel's part %s can't be drawn", name)
            return problem_html(f"{name} can't be shown: {type(error).__name__}: {message(error)}")
        return ""

    def __repr__(self) -> str:
        return f"<Panel of {self.app!r}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs) or {}
        return {**bundle, "text/plain": self.model.overview().text}

    def _ipython_display_(self) -> None:
        self._still.show(self._repr_mimebundle_())


def _serve_while_busy(box: Any) -> None:
    """Let clicks and inputs reach the kernel while a cell keeps its main thread busy.

    JupyterLab sends them to a subshell for that. ipykernel 7.4 and newer takes them to the thread that last sent
    something for the same widget instead, and a redraw counts as the main one; without its note of that, it doesn't.
    """
    for widget in (box, *all_below(box)):
        if widget.comm is not None:
            vars(widget.comm).pop("_reply_subshell_id", None)
