"""The panel's scenarios tab: record, go through step by step, replay."""

from __future__ import annotations

from qstate_nb.notebook.panel.parts import NO_CHOICE, change, problem_html
from qstate_nb.notebook.panel.pool import ROW, Looks
from qstate_nb.notebook.panel.scenarios import Scenarios
from qstate_nb.notebook.render import escape


class ScenarioPart:
    """Widgets over `Scenarios`.

    Args:
        looks: makes the widgets.
        scenarios: what it shows.
    """

    def __init__(self, looks: Looks, scenarios: Scenarios) -> None:
        self.scenarios = scenarios
        self._is_drawing = False
        self._choice = looks.menu("scenario", [("none", NO_CHOICE)])
        self._choice.observe(self._chosen, "value")
        self._next = looks.button(
            "Next step", "Do the next step on the app's State", scenarios.forward, icon="step-forward"
        )
        self._back = looks.button(
            "Back", "State as it was before the last step", scenarios.back, icon="step-backward"
        )
        self._run = looks.button("Run", "Do all steps that are left, on the app's State", scenarios.run, icon="play")
        self._again = looks.button(
            "Again", "Begin at the first step; State stays as it is", scenarios.again, icon="fast-backward"
        )
        self._replay = looks.button(
            "Replay", "Do it all on State of its own, and compare", scenarios.replay, icon="repeat"
        )
        self._name = looks.text("record as", "name of a scenario", lambda _: None, layout={})
        self._record = looks.button("Record", "Record what is run from now on", self._begin, icon="circle")
        self._stop = looks.button("Stop recording", "End the recording, and show it", scenarios.stop, icon="stop")
        self._said = looks.html()
        self._steps = looks.scrolling("steps", "40em")
        walking = looks.row([self._choice, self._next, self._back, self._run, self._again, self._replay], **ROW)
        recording = looks.row([self._name, self._record, self._stop], **ROW)
        self.box = looks.column([walking, recording, self._said, self._steps], "qstate-scenarios")

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
