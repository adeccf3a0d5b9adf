"""The panel's part for time travel: the timeline, a slider through it, undo, redo, labels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from qstate_nb.errors import QStateError
from qstate_nb.notebook.panel.model import PanelModel
from qstate_nb.notebook.panel.parts import button, problem_html
from qstate_nb.notebook.render import escape

_PLAY_MS = 400


class TimeBar:
    """Widgets that show and choose the moment that the panel shows.

    Args:
        model: the panel's.
        redraw: asks for the panel to be drawn again.
    """

    def __init__(self, model: PanelModel, redraw: Callable[[], object]) -> None:
        self.model = model
        self._redraw = redraw
        self._moving = threading.Lock()  # is held while the slider moves by itself
        self._picture = widgets.HTML()
        self._slider = widgets.IntSlider(
            0, 0, 0, description="after event", style={"description_width": "initial"}, layout={"flex": "1 1 200px"}
        )
        self._slider.observe(self._chosen, "value")
        self._play = widgets.Play(0, 0, 0, interval=_PLAY_MS, show_repeat=False, layout={"width": "auto"})
        self._link = widgets.jslink((self._play, "value"), (self._slider, "value"))
        self._labels = widgets.Dropdown(options=[("go to a label", None)], layout={"width": "150px"})
        self._labels.observe(self._label_chosen, "value")
        self._name = widgets.Text(placeholder="name of this moment", layout={"width": "160px"})
        self._problem = widgets.HTML()
        moving = widgets.HBox([self._play, self._slider, self._button("Now", "fast-forward", "Show now", self._now)])
        changing = widgets.HBox(
            [
                self._button("Undo", "undo", "Undo the last call or command", model.undo),
                self._button("Redo", "repeat", "Bring back what was undone", model.redo),
                self._button("Rewind", "history", "Make State as it was at this moment", model.rewind),
                self._name,
                self._button("Label", "tag", "Give the moment that is now this name", self._label),
                self._labels,
            ],
            layout={"flex_flow": "row wrap"},
        )
        self.box = widgets.VBox([self._picture, moving, changing, self._problem]).add_class("qstate-time")

    def close(self) -> None:
        """Close what is not below the box."""
        self._link.close()

    def _button(self, name: str, icon: str, tooltip: str, do: Callable[[], object]) -> Any:
        return button(name, icon, tooltip, lambda: self._try(do))

    def _try(self, do: Callable[[], object]) -> None:
        try:
            done = do()
            text = "" if done is None else f"<span>{escape(str(done))}</span>"
        except QStateError as error:
            text = problem_html(error)
        self._problem.value = text
        self._redraw()

    def draw(self) -> None:
        """Show the moment, and how far one can go."""
        first, last = self.model.range()
        with self._moving:
            for widget in (self._slider, self._play):
                ends = {"min": first, "max": last}
                for end in ("max", "min") if last >= widget.min else ("min", "max"):
                    if getattr(widget, end) != ends[end]:
                        setattr(widget, end, ends[end])
            shown = last if self.model.moment is None else self.model.moment
            if self._slider.value != shown:
                self._slider.value = shown
        options = [("go to a label", None), *((name, name) for name in self.model.labels())]
        if list(self._labels.options) != options:
            self._labels.options = options
        picture = self.model.timeline()
        if self._picture.value != picture:
            self._picture.value = picture

    def _chosen(self, change: Any) -> None:
        """The slider was moved, by the user or by Play."""
        if self._moving.acquire(blocking=False):
            try:
                self.model.go_to(change["new"])
            finally:
                self._moving.release()
            self._redraw()

    def _now(self) -> None:
        self.model.go_to(None)

    def _label_chosen(self, change: Any) -> None:
        if change["new"] is not None:
            self._try(lambda: self.model.go_to(change["new"]))
            self._labels.value = None

    def _label(self) -> str:
        done = self.model.label(self._name.value)
        self._name.value = ""
        return done
