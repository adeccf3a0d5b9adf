"""The panel's events tab: a live log with filters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from qstate_nb.core.formats import printable
from qstate_nb.notebook.panel.eventlog import HERE, OTHERS, USER, EventLog, Filter
from qstate_nb.notebook.panel.parts import NO_CHOICE, change, quiet_html
from qstate_nb.notebook.panel.pool import ROW, Looks


class EventPart:
    """Widgets over an `EventLog`.

    Args:
        looks: makes the widgets.
        log: what is shown.
        redraw: asks for the panel to be drawn again.

    Attributes:
        box: what holds them.
    """

    def __init__(self, looks: Looks, log: EventLog, redraw: Callable[[], object]) -> None:
        self.log = log
        self._looks = looks
        self._redraw = redraw
        self._state, self._by, self._op = self._menu("State"), self._menu("By"), self._menu("Op")
        self._process = self._menu("Process")
        self._key = self._field("Key", "a part of its name")
        self._text = self._field("Text", "anything that is shown")
        self._times = looks.tick("times")
        self._times.observe(self._changed, "value")
        self._pause = looks.make(
            widgets.ToggleButton,
            False,
            description="Pause",
            icon="pause",
            tooltip="Keep what is shown",
            layout={"width": "auto"},
        )
        self._pause.observe(self._pause_changed, "value")
        self._table = looks.scrolling("events", "32em")
        self._newer = self._button("Newer", "chevron-left", "Newer events", log.newer)
        self._older = self._button("Older", "chevron-right", "Older events; this pauses the log", log.older)
        self._newest = self._button("Newest", "angle-double-left", "The newest events, live", log.follow)
        self._where = looks.html(margin="0 0.6em", width="auto")
        filters = looks.row([self._state, self._by, self._process, self._op, self._key, self._text], **ROW)
        pages = looks.row([self._newest, self._newer, self._older, self._pause, self._times, self._where], **ROW)
        self.box = looks.column([filters, pages, self._table], "qstate-log")

    def _menu(self, name: str) -> Any:
        menu = self._looks.menu(name, [("all", NO_CHOICE)], width="auto")
        menu.observe(self._changed, "value")
        return menu

    def _field(self, name: str, placeholder: str) -> Any:
        return self._looks.text(name, placeholder, self._changed, layout={"width": "auto", "flex": "0 1 16em"})

    def _button(self, name: str, icon: str, tooltip: str, do: Callable[[], object]) -> Any:
        def done() -> None:
            do()
            self._redraw()

        return self._looks.button(name, tooltip, done, icon=icon)

    def _changed(self, _: object) -> None:
        self._redraw()

    def _pause_changed(self, change: Any) -> None:
        """Pause, or go on; also when `draw` shows that an older page has paused the log."""
        if change["new"] != self.log.paused:
            self.log.paused = change["new"]
            self._redraw()

    def draw(self) -> None:
        """Show the events as they are now."""
        log = self.log
        log.times = self._times.value
        menus = (self._state, self._by, self._op, self._process)
        state, by, op, process = (None if menu.value is NO_CHOICE else menu.value for menu in menus)
        log.filter = Filter(state, by, self._key.value, op, self._text.value, process)
        log.update()
        self._fill(self._state, [*((printable(name), name) for name in log.states())])
        tasks = [(f"task {printable(name)}", name) for name in log.tasks()]
        self._fill(self._by, [("user", USER), *tasks])
        self._fill(self._op, [*((op, op) for op in log.ops())])
        self._draw_processes()
        change(self._pause, "value", log.paused)
        change(self._newer, "disabled", log.page == 0)
        change(self._newest, "disabled", log.page == 0 and not log.paused)
        change(self._older, "disabled", log.page >= log.pages - 1)
        change(self._where, "value", quiet_html(log.summary))
        change(self._table, "value", log.html())
        if log.is_searching:
            self._redraw()

    def _draw_processes(self) -> None:
        others = self.log.processes()
        self._fill(
            self._process,
            [("this one", HERE), ("all others", OTHERS), *((f"@{printable(name)}", name) for name in others)],
        )
        self._looks.show(self._process, bool(others) or self._process.value is not NO_CHOICE)

    @staticmethod
    def _fill(menu: Any, found: list[tuple[str, str]]) -> None:
        """Offer other options; what was chosen stays chosen."""
        options, chosen = [("all", NO_CHOICE), *found], menu.value
        if chosen not in [value for _, value in options]:
            options.append((printable(chosen), chosen))
        if list(menu.options) != options:
            with menu.hold_sync():
                menu.options = options
                menu.value = chosen
