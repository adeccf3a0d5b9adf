"""The panel's races tab: explore calls, see the outcomes, be the scheduler."""

from __future__ import annotations

from functools import partial

from qstate_nb.notebook.panel.explorer import Explorer
from qstate_nb.notebook.panel.parts import change, problem_html
from qstate_nb.notebook.panel.pool import ROW, Looks
from qstate_nb.races.stepping import Possible

_MOST_CHOICES = 12


class RaceTab:
    """Widgets over an `Explorer`.

    Args:
        looks: makes the widgets.
        explorer: what it shows.
    """

    def __init__(self, looks: Looks, explorer: Explorer) -> None:
        self._looks = looks
        self.explorer = explorer
        self._offered: list[Possible] = []  # as the buttons say
        self._calls = looks.text(
            "tasks at once",
            "deposit deposit, or withdraw(amount=80) withdraw(amount=50)",
            lambda _: None,
            layout={"flex": "1 1 320px"},
        )
        self._check = looks.text("check", "Account.balance >= 0", lambda _: None, layout={"flex": "0 1 260px"})
        self._now = looks.tick("begin with the State as it is")
        self._explore = looks.button("Explore", "Find every outcome", self._ask, icon="search")
        self._step = looks.button("Step", "Be the scheduler: choose who goes on", explorer.step, icon="step-forward")
        self._back = looks.button("Back", "Take the last step back", explorer.back, icon="step-backward")
        self._outcomes = looks.button("Outcomes", "Show the outcomes again", explorer.stop_stepping, icon="list")
        self._choices = [
            looks.button("", "Let this task go on", partial(self._choose, number)) for number in range(_MOST_CHOICES)
        ]
        self._problem = looks.html()
        self._result = looks.scrolling("outcomes", "50em")
        asked = looks.row([self._calls, self._check, self._now, self._explore], **ROW)
        steps = looks.row([self._step, self._back, self._outcomes], **ROW)
        choices = looks.row(self._choices, **ROW)
        self.box = looks.column([asked, self._problem, steps, choices, self._result], "qstate-races")

    def _choose(self, number: int) -> None:
        """Do what the button of that number says."""
        if number < len(self._offered):
            self.explorer.choose(self._offered[number])

    def _ask(self) -> None:
        self.explorer.explore(self._calls.value, self._check.value, now=self._now.value)

    def draw(self) -> None:
        """Show where the explorer is."""
        explorer = self.explorer
        shown = problem_html(explorer.problem) if explorer.problem else ""
        choices = self._offered = explorer.choices()
        for number, each in enumerate(self._choices):
            is_shown = number < len(choices)
            self._looks.show(each, is_shown)
            if is_shown:
                change(each, "description", f"{choices[number].task}: {choices[number].text}")
        change(self._problem, "value", shown)
        change(self._explore, "disabled", explorer.is_busy)
        change(self._step, "disabled", not explorer.can_step)
        change(self._back, "disabled", explorer.stepper is None or not explorer.stepper.steps)
        change(self._outcomes, "disabled", explorer.stepper is None)
        change(self._result, "value", explorer.html())
