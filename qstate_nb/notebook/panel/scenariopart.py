"""The panel's scenarios tab: record, go through step by step, replay."""

from __future__ import annotations

import ipywidgets as widgets

from qstate_nb.notebook.panel.parts import LABEL, NO_CHOICE, ROW, button, change, problem_html, scrolling
from qstate_nb.notebook.panel.scenarios import Scenarios
from qstate_nb.notebook.render import escape


class ScenarioPart:
    """Widgets over `Scenarios`.

    Args:
        scenarios: what it shows.
    """

    def __init__(self, scenarios: Scenarios) -> None:
        self.scenarios = scenarios
        self._is_drawing = False
        self._choice = widgets.Dropdown(options=[("none", NO_CHOICE)], description="scenario", style=LABEL)
        self._choice.observe(self._chosen, "value")
        self._next = button("Next step", "step-forward", "Do the next step on the app's State", scenarios.forward)
        self._back = button("Back", "step-backward", "State as it was before the last step", scenarios.back)
        self._run = button("Run", "play", "Do all steps that are left, on the app's State", scenarios.run)
        self._again = button(
            "Again", "fast-backward", "Begin at the first step; State stays as it is", scenarios.restart
        )
        self._replay = button("Replay", "repeat", "Do it all on State of its own, and compare", scenarios.replay)
        self._name = widgets.Text(description="record as", placeholder="name of a scenario", style=LABEL)
        self._record = button("Record", "circle", "Record what is run from now on", self._begin)
        self._stop = button("Stop recording", "stop", "End the recording, and show it", scenarios.stop)
        self._said = widgets.HTML()
        self._steps = scrolling("steps", "40em")
        self.box = widgets.VBox(
            [
                widgets.HBox(
                    [self._choice, self._next, self._back, self._run, self._again, self._replay], layout=ROW
                ),
                widgets.HBox([self._name, self._record, self._stop], layout=ROW),
                self._said,
                self._steps,
            ]
        ).add_class("qstate-scenarios")

    def _begin(self) -> None:
        self.scenarios.record(self._name.value)

    def _chosen(self, changed: dict[str, object]) -> None:
        if not self._is_drawing:
            name = changed["new"]
            self.scenarios.choose(name if isinstance(name, str) else None)

    def draw(self) -> None:
        """Show where one is."""
        model = self.scenarios
        options = [("none", NO_CHOICE), *((name, name) for name in model.names)]
        chosen = None if model.chosen is None else model.chosen.name
        self._is_drawing = True
        try:
            if list(self._choice.options) != options:
                self._choice.options = options
            change(self._choice, "value", chosen if chosen in model.names else NO_CHOICE)
        finally:
            self._is_drawing = False
        walk = model.walk
        change(self._next, "disabled", model.is_busy or walk is None or walk.next is None)
        change(self._run, "disabled", self._next.disabled)
        change(self._back, "disabled", model.is_busy or walk is None or not walk.done)
        change(self._again, "disabled", self._back.disabled)
        change(self._replay, "disabled", model.is_busy or walk is None)
        change(self._record, "disabled", model.recording is not None)
        change(self._stop, "disabled", model.recording is None)
        change(self._said, "value", self._said_html())
        change(self._steps, "value", model.html())

    def _said_html(self) -> str:
        model = self.scenarios
        recording = model.recording
        notice = "" if recording is None else f"<b>● recording {escape(recording)}</b> "
        return notice + (problem_html(model.said) if model.is_problem else f"<span>{escape(model.said)}</span>")
