"""What the panel's scenarios tab shows and does, without a widget."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from qstate_nb.app import InlineApp, Scenario
from qstate_nb.app.replaying import Replay, Walk, replay
from qstate_nb.core.formats import counted, message, printable
from qstate_nb.errors import CommandError, QStateError
from qstate_nb.notebook import scenarios
from qstate_nb.notebook.panel.background import Background
from qstate_nb.notebook.render import Heading, Paragraph, View
from qstate_nb.notebook.scenarios import Row, Rows


class Scenarios:
    """The scenarios of an app: recorded, walked through on the app's State, or replayed on State of their own.

    Args:
        app: the app.
        background: where steps run.
        on_change: is called when there is something new to show.

    Attributes:
        walk: where one is in the scenario that was chosen, if any was.
        replayed: its last replay, if that is what is shown.
        said: what the last thing came to, or what was wrong.
        is_problem: whether it was wrong.
        is_busy: whether steps are being done.
    """

    def __init__(self, app: InlineApp, background: Background, on_change: Callable[[], object]) -> None:
        self.app = app
        self._background = background
        self._on_change = on_change
        self.walk: Walk | None = None
        self.replayed: Replay | None = None
        self.said = ""
        self.is_problem = False
        self.is_busy = False

    @property
    def names(self) -> list[str]:
        """The scenarios that there are, oldest first."""
        return list(self.app.scenarios)

    @property
    def chosen(self) -> Scenario | None:
        """The scenario that is shown."""
        return None if self.walk is None else self.walk.scenario

    @property
    def recording(self) -> str | None:
        """The name of the scenario that is being recorded, if one is."""
        recorder = self.app.recorder
        return None if recorder is None else recorder.name

    def choose(self, name: str | None) -> None:
        """Show a scenario, at its beginning."""
        self._try(lambda: self._begin(name))

    def _begin(self, name: str | None) -> str:
        self._check_idle()
        self.walk = self.replayed = None
        if name is not None:
            self.walk = scenarios.find(self.app, name).step(self.app)
        return ""

    def record(self, name: str) -> None:
        """Record what is run from now on."""
        self._try(lambda: scenarios.record(self.app, name))

    def stop(self) -> None:
        """End the recording, and show it."""

        def stop() -> str:
            made = scenarios.stop(self.app)
            if made.steps:
                self._begin(made.name)
            return f"{printable(made.name)}: {counted(len(made.steps), 'step')} recorded"

        self._try(stop)

    def forward(self) -> None:
        """Do the next step, on the app's State."""
        self._start(lambda walk: self._steps(walk, 1))

    def run(self) -> None:
        """Do all steps that are left."""
        self._start(lambda walk: self._steps(walk, len(walk.steps)))

    def back(self) -> None:
        """Take the last step back: State is as it was before it."""

        def back() -> str:
            self._check_idle()
            self.replayed = None
            step = Context().run(self._walk().back)  # as the user, whatever the code around the click acts for
            return f"State is as it was before step {step.number}"

        self._try(back)

    def replay(self) -> None:
        """Do all of it again on State of its own, and compare."""
        self._start(self._replay)

    def again(self) -> None:
        """Begin at the first step again; State stays as it is."""
        self._try(lambda: self._begin(self._walk().scenario.name))

    def restart(self) -> None:
        """Know no steps that were done on State that the app has no more."""
        if self.walk is not None:
            self.again()

    async def _steps(self, walk: Walk, most: int) -> str:
        self.replayed = None
        done = 0
        while walk.next is not None and done < most:
            last = await walk.forward()
            done += 1
            self._on_change()
            if any(result.status == "cancel" for result in last.results):
                break  # who stops a call wants no more of it
        return f"{len(walk.done)} of {counted(len(walk.steps), 'step')} done"

    async def _replay(self, walk: Walk) -> str:
        self.replayed = await replay(walk.scenario, self.app, fork=True)
        return "replayed on State of its own; the app's is untouched"

    def _start(self, make: Callable[[Walk], Coroutine[Any, Any, str]]) -> None:
        self._try(lambda: self._started(make))

    def _started(self, make: Callable[[Walk], Coroutine[Any, Any, str]]) -> None:
        self._check_idle()
        walk = self._walk()
        if make is not self._replay and walk.next is None:
            raise CommandError("that was the last step; Back takes one back, Again begins anew")
        self.is_busy = True
        self._say("running …")  # before it can end, and say what came of it
        self._background.start(lambda: self._do(walk, make), "qstate panel scenario")

    async def _do(self, walk: Walk, make: Callable[[Walk], Coroutine[Any, Any, str]]) -> None:
        try:
            self._say(await make(walk))
        except QStateError as error:
            self._say(str(error), is_problem=True)
        except Exception as error:  # of a user's object
            self._say(f"{type(error).__name__}: {message(error)}", is_problem=True)
        finally:
            self.is_busy = False
            self._on_change()

    def _walk(self) -> Walk:
        if self.walk is None:
            raise CommandError("choose a scenario first, or record one")
        return self.walk

    def _check_idle(self) -> None:
        if self.is_busy:
            raise CommandError("a step is being done; wait for its end, or stop its calls")

    def _try(self, do: Callable[[], str | None]) -> None:
        try:
            done = do()
            if done is not None:
                self._say(done)
        except QStateError as error:
            self._say(str(error), is_problem=True)
        self._on_change()

    def _say(self, text: str, *, is_problem: bool = False) -> None:
        self.said, self.is_problem = text, is_problem

    def html(self) -> str:
        """The steps: those that were done with what they came to, the next one, and those to come."""
        if self.replayed is not None:
            return scenarios.replay_view(self.replayed).html
        walk = self.walk
        if walk is None:
            return View([Paragraph("no scenario chosen: record one, or run a cell of %%qstate scenario")]).html
        done = [scenarios.replayed_row(each) for each in walk.done]
        to_come = [
            _to_come(scenarios.step_row(step), is_next=index == 0)
            for index, step in enumerate(walk.steps[len(done) :])
        ]
        title = f"{printable(walk.scenario.name)}: {len(done)} of {counted(len(walk.steps), 'step')} done"
        return View([Heading(title), Rows([*done, *to_come])]).html


def _to_come(row: Row, *, is_next: bool) -> Row:
    return Row(row.number, "▶" if is_next else "", "next" if is_next else "to come", row.source, "")
