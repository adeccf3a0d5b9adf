"""The panel's part for time travel: the timeline, the moment that is shown, undo, redo, labels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from qstate_nb.errors import QStateError
from qstate_nb.notebook.panel.model import PanelModel
from qstate_nb.notebook.panel.parts import NO_CHOICE, change, problem_html
from qstate_nb.notebook.panel.pool import ROW, Looks
from qstate_nb.notebook.render import escape

_PLAY = 0.4  # seconds an event


class TimeBar:
    """Widgets that show and choose the moment that the panel shows.

    Text, and not a slider: the handle of ipywidgets' slider has no name that a screen reader could read, and what one
    types must not change while events come.

    Args:
        looks: makes the widgets.
        model: the panel's.
        redraw: asks for the panel to be drawn again.
    """

    def __init__(self, looks: Looks, model: PanelModel, redraw: Callable[[], object]) -> None:
        self.model = model
        self._looks = looks
        self._redraw = redraw
        self._player = Player(self._step, redraw)
        self._picture = looks.scrolling("timeline")
        self._where = looks.html()
        self._moment = looks.text("go to event", "number or label", self._typed, at_once=False, layout={})
        self._back = self._button("Back", "step-backward", "Show State before this event", lambda: self._go(-1))
        self._on = self._button("Forward", "step-forward", "Show State after the next event", lambda: self._go(1))
        self._play = looks.button("Play", "Show one event after the other", self._toggle, icon="play")
        self._labels = looks.menu("go to label", [("-", NO_CHOICE)])
        self._labels.observe(self._label_chosen, "value")
        self._name = looks.text("label", "name of this moment", lambda _: None, layout={})
        self._problem = looks.html()
        now = self._button("Now", "fast-forward", "Show now", lambda: model.go_to(None))
        moving = looks.row([self._where, self._back, self._on, self._play, now, self._moment], **ROW)
        changing = looks.row(
            [
                self._button("Undo", "undo", "Undo the last call or command", model.undo),
                self._button("Redo", "repeat", "Bring back what was undone", model.redo),
                self._button("Rewind", "history", "Make State as it was at this moment", model.rewind),
                self._name,
                self._button("Label", "tag", "Give the moment that is now this name", self._label),
                self._labels,
            ],
            **ROW,
        )
        self.box = looks.column([self._picture, moving, changing, self._problem], "qstate-time")

    def close(self) -> None:
        """Play no more."""
        self._player.stop()

    restart = close

    def _button(self, name: str, icon: str, tooltip: str, do: Callable[[], object]) -> Any:
        return self._looks.button(name, tooltip, lambda: self._try(do), icon=icon)

    def _try(self, do: Callable[[], object]) -> None:
        self._player.stop()
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
        shown = last if self.model.moment is None else self.model.moment
        where = f"now: event {last:,}" if self.model.moment is None else f"PAST: event {shown:,} of {last:,}"
        change(self._where, "value", f"<b>{where}</b>")
        change(self._back, "disabled", shown <= first)
        change(self._on, "disabled", self.model.moment is None)
        change(self._play, "description", "Pause" if self._player.plays else "Play")
        change(self._play, "icon", "pause" if self._player.plays else "play")
        options = [("-", NO_CHOICE), *((name, name) for name in self.model.labels())]
        if list(self._labels.options) != options:
            self._labels.options = options
        change(self._picture, "value", self.model.timeline())

    def _typed(self, text: str) -> None:
        """The number of an event, or a label, was typed."""
        text = text.strip()
        if text:
            self._try(lambda: self.model.go_to(int(text) if text.isdecimal() else text))
            self._moment.value = ""

    def _go(self, events: int) -> None:
        """Show another moment: so many events later, or earlier."""
        _, last = self.model.range()
        moment = last if self.model.moment is None else self.model.moment
        self.model.go_to(moment + events)

    def _toggle(self) -> None:
        if self._player.plays:
            self._player.stop()
        else:
            if self.model.moment is None:
                self.model.go_to(self.model.range()[0])
            self._player.start()
        self._redraw()

    def _step(self) -> bool:
        """Play one event; tell whether there are more."""
        self._go(1)
        self._redraw()
        return self.model.moment is not None

    def _label_chosen(self, changed: Any) -> None:
        if changed["new"] is not NO_CHOICE:
            self._try(lambda: self.model.go_to(changed["new"]))
            self._labels.value = NO_CHOICE

    def _label(self) -> str:
        done = self.model.label(self._name.value)
        self._name.value = ""
        return done


class Player:
    """Does something again and again, in a thread of its own, until there is no more of it.

    Args:
        step: is called each time; False ends it.
        ended: is called when that has ended it.
        interval: seconds between two times.
    """

    def __init__(self, step: Callable[[], bool], ended: Callable[[], object], interval: float = _PLAY) -> None:
        self._step = step
        self._ended = ended
        self._interval = interval
        self._stop: threading.Event | None = None  # of the thread that plays

    @property
    def plays(self) -> bool:
        """Whether it goes on."""
        return self._stop is not None

    def start(self) -> None:
        """Begin, if it doesn't go on already."""
        if self._stop is None:
            self._stop = stop = threading.Event()
            threading.Thread(target=self._run, args=(stop,), name="qstate panel play", daemon=True).start()

    def stop(self) -> None:
        """End it; what is being done is not waited for."""
        stop, self._stop = self._stop, None
        if stop is not None:
            stop.set()

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval):
            if not self._step():
                break
        if self._stop is stop:
            self._stop = None
            self._ended()
