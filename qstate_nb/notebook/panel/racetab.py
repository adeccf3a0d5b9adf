"""The panel's races tab: explore calls, see the outcomes, be the scheduler."""

from __future__ import annotations

from functools import partial

import ipywidgets as widgets

from qstate_nb.notebook.panel.explorer import Explorer
from qstate_nb.notebook.panel.parts import LABEL, ROW, button, change, problem_html, scrolling
from qstate_nb.races.stepping import Possible

_MOST_CHOICES = 12


class RaceTab:
    """Widgets over an `Explorer`.

    Args:
        explorer: what it shows.
    """

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        self._offered: list[Possible] = []  # as the buttons say
        self._calls = widgets.Text(
            description="tasks at once",
            placeholder="deposit deposit, or withdraw(amount=80) withdraw(amount=50)",
            style=LABEL,
            layout={"flex": "1 1 320px"},
        )
        self._check = widgets.Text(
            description="check",
            placeholder="Account.balance >= 0",
            style=LABEL,
            layout={"flex": "0 1 260px"},
        )
        self._now = widgets.Checkbox(
            False, description="begin with the State as it is", indent=False, layout={"width": "auto"}
        )
        self._explore = button("Explore", "search", "Find every outcome", self._ask)
        self._step = button("Step", "step-forward", "Be the scheduler: choose who goes on", explorer.step)
        self._back = button("Back", "step-backward", "Take the last step back", explorer.back)
        self._outcomes = button("Outcomes", "list", "Show the outcomes again", explorer.stop_stepping)
        self._choices = [
            button("", "", "Let this task go on", partial(self._choose, number)) for number in range(_MOST_CHOICES)
        ]
        self._problem = widgets.HTML()
        self._result = scrolling("outcomes", "50em")
        self.box = widgets.VBox(
            [
                widgets.HBox([self._calls, self._check, self._now, self._explore], layout=ROW),
                self._problem,
                widgets.HBox([self._step, self._back, self._outcomes], layout=ROW),
                widgets.HBox(self._choices, layout=ROW),
                self._result,
            ]
        ).add_class("qstate-races")

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
            change(each.layout, "display", "" if is_shown else "none")
            if is_shown:
                change(each, "description", f"{choices[number].task}: {choices[number].text}")
        change(self._problem, "value", shown)
        change(self._explore, "disabled", explorer.is_busy)
        change(self._step, "disabled", not explorer.can_step)
        change(self._back, "disabled", explorer.stepper is None or not explorer.stepper.steps)
        change(self._outcomes, "disabled", explorer.stepper is None)
        change(self._result, "value", explorer.html())
