"""The panel: its parts put together, kept up to date, and shown."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
from IPython.core.getipython import get_ipython

from qstate_nb.app import InlineApp
from qstate_nb.app.nesting import running_loop
from qstate_nb.core.formats import message
from qstate_nb.core.registry import StateRegistry
from qstate_nb.errors import StoreError
from qstate_nb.notebook.panel.background import Background
from qstate_nb.notebook.panel.buckets import Buckets
from qstate_nb.notebook.panel.callmodel import Calls
from qstate_nb.notebook.panel.callpart import CallList
from qstate_nb.notebook.panel.eventlog import EventLog
from qstate_nb.notebook.panel.eventpart import EventPart
from qstate_nb.notebook.panel.explorer import Explorer
from qstate_nb.notebook.panel.model import PanelModel
from qstate_nb.notebook.panel.parts import Part, all_below, change, problem_html
from qstate_nb.notebook.panel.pool import Looks
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

_AT_MOST = 5.0  # seconds; a kernel that ends sends no more
_AGAIN = 1.0  # seconds between two looks at State that can't be read


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
        self._is_whole = True  # whether all could be drawn
        self._drawing = threading.Lock()  # the first time in this thread, then in the redraw's
        loop = running_loop()
        calls, buckets, ask = Calls(app), Buckets(app), self._ask
        self._looks = looks = Looks()
        self._redraw = Redraw(self._draw_and_send, idle=lambda: calls.next_tick() if self._is_whole else _AGAIN)
        self.model = PanelModel(app, buckets)
        self._still = Still(self.model.overview)
        self._runs = Runs(app, loop)
        self._tasks = TaskList(looks, app, self._runs, ask)
        self._state = StatePart(looks, buckets, ask)
        self._time = TimeBar(looks, self.model, ask)
        events, scenarios = EventLog(app), Scenarios(app, Background(loop), ask)
        self._of_state = (self._state, events, self._time, scenarios)  # begin anew with another State
        parts: dict[str, Part] = {
            "Calls": CallList(looks, calls, ask),
            "Timeline": self._time,
            "Events": EventPart(looks, events, ask),
            "Scenarios": ScenarioPart(looks, scenarios),
            "Races": RaceTab(looks, Explorer(app, ask)),
        }
        self._parts = list(parts.values())
        self._tabs = looks.make(widgets.Tab, [looks.column([]) for _ in parts], titles=tuple(parts))
        self._tabs.observe(self._tab_chosen, "selected_index")
        self._problem = looks.html()
        self._where = looks.html(css="qstate-where")
        self._unlisten: Callable[[], None] | None = None  # once it listens to the State that the app has
        self._unsubscribe = [app.subscribe(ask), app.on_use(self._moved)]
        try:
            self._draw()
            style = looks.html(f"<style>{CSS}</style>")
            children = [style, self._head(), self._problem, self._main(), self._tabs]
            with self._drawing:  # this sends it, as it is by now
                super().__init__(children, _dom_classes=("qstate-panel",))
        except BaseException:
            self.close()
            raise
        self._is_open = True
        self._redraw.ask()

    def _head(self) -> Any:
        title = self._looks.html(f"<h2>qstate · {escape(self.app.name)}</h2>", "qstate-title")
        close = self._looks.button("Close", "Close the panel", self.close)
        return self._looks.row([title, self._where, close], "qstate-head")

    def _main(self) -> Any:
        return self._looks.row([self._tasks.box, self._state.box], "qstate-main")

    def close(self) -> None:
        """Unsubscribe, and take the panel away."""
        if not self.closed:
            self.closed = True
            self._redraw.close()
            self._still.close()  # while State is listened to, which spares it to ask for it
            for unsubscribe in (*self._unsubscribe, *filter(None, [self._unlisten])):
                unsubscribe()
            self._runs.close()
            self._tasks.close()
            self._time.close()
            self._looks.close()
            self.layout.close()
        super().close()

    def _ask(self, _: object = None) -> None:
        """Ask for the panel to be drawn again; costs next to nothing."""
        self._redraw.ask()
        self._still.ask()

    def _moved(self, _: StateRegistry) -> None:
        """Show the State of another registry, which the app uses now."""
        with self._drawing:
            if self._unlisten is not None:
                self._unlisten()
                self._unlisten = None
            for part in self._of_state:
                part.restart()
        self._ask()

    def _tab_chosen(self, _: object) -> None:
        self._draw()
        self._ask()

    def _draw_and_send(self) -> None:
        self._draw()
        _wait_until_sent()

    def _draw(self) -> None:
        with self._drawing:
            if self.closed:
                return
            self._is_whole = True
            try:
                problems = self._draw_parts()
            except StoreError as error:
                problems = [self._unread(error)]
            change(self._problem, "value", "".join(map(problem_html, filter(None, problems))))
            change(self._where, "value", _where_html(*self.model.where()))
            _serve_while_busy(self)

    def _draw_parts(self) -> list[str]:
        """Bring all that can be seen up to date; what is wrong with it."""
        registry = self.app.registry
        if self._unlisten is None:
            self._unlisten = _listen(registry, self._ask)
        with registry.store.shown():
            tab = self._tabs.selected_index or 0
            named: dict[str, Part] = {"tasks": self._tasks, "State": self._state}
            named[self._tabs.titles[tab]] = self._parts[tab]
            away = registry.store.away
            problems = [f"what is shown may be old, as State is away: {away}" if away else ""]
            problems += [self._drawn(name, part) for name, part in named.items()]
            change(self._tabs.children[tab], "children", (self._parts[tab].box,))  # if it was never seen: it is sent
        return problems

    def _unread(self, error: StoreError) -> str:
        """What is said when State can't be read; it is tried again soon."""
        self._is_whole = False
        return f"State can't be read: {error}"

    def _drawn(self, name: str, part: Part) -> str:
        """Bring a part up to date; what is wrong, if it can't be: the others go on, and it is tried again."""
        try:
            part.draw()
        except StoreError as error:
            return self._unread(error)
        except Exception as error:
            if not self._is_open:
                raise
            _log.exception("the panel's part %s can't be drawn", name)
            return f"{name} can't be shown: {type(error).__name__}: {message(error)}"
        return ""

    def __repr__(self) -> str:
        return f"<Panel of {self.app!r}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs) or {}
        return {**bundle, "text/plain": self.model.overview().text}

    def _ipython_display_(self) -> None:
        self._still.show(self._repr_mimebundle_())


def _listen(registry: StateRegistry, ask: Callable[[object], None]) -> Callable[[], None]:
    """Call *ask* when State changes, or where it is comes and goes; what is returned ends that."""
    ends = registry.subscribe(ask), registry.store.on_away.add(ask)

    def end() -> None:
        for each in ends:
            each()

    return end


def _where_html(where: str, safety: str) -> str:
    return where and f"<details><summary>{escape(where)}</summary>{escape(safety)}</details>"


def _wait_until_sent() -> None:
    """Wait until the kernel has sent what it has to send by now.

    Its thread for that gets slow while a task keeps Python busy. What waits there would get more and more, and all
    answers of the kernel would wait behind it.
    """
    thread = getattr(getattr(get_ipython(), "kernel", None), "iopub_thread", None)
    if thread is not None:
        sent = threading.Event()
        thread.schedule(sent.set)
        sent.wait(_AT_MOST)


def _serve_while_busy(box: Any) -> None:
    """Let clicks and inputs reach the kernel while a cell keeps its main thread busy.

    JupyterLab sends them to a subshell for that. ipykernel 7.4 and newer takes them to the thread that last sent
    something for the same widget instead, and a redraw counts as the main one; without its note of that, it doesn't.
    """
    for widget in (box, *all_below(box)):
        if widget.comm is not None:
            vars(widget.comm).pop("_reply_subshell_id", None)
