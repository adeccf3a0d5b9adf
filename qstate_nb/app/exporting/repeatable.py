"""Which scenarios an export can do again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qstate_nb.app.replaying import steps_to_do
from qstate_nb.app.steps import CallRecord, Step
from qstate_nb.core.formats import counted, one_line
from qstate_nb.errors import ScenarioError

if TYPE_CHECKING:
    from qstate_nb.app.scenario import Scenario


def title(step: Step) -> str:
    """What a step does, in one line."""
    first, *others = step.source.strip().splitlines() or [""]
    return one_line(f"{first} …" if others else first)


def checked_steps(scenario: Scenario) -> list[Step]:
    """The steps that were run, if they can be done again.

    Raises:
        ScenarioError: they can't.
        NotFoundError: the app has no task of that name any more.
    """
    name = scenario.name
    steps = steps_to_do(scenario, scenario.app)
    for step in steps:
        problems = [line for check in step.checks for line in check.problems]
        where = f"scenario {name!r}, step {step.number}, {title(step)}:"
        if step.status == "error" and not _is_of_a_task(step):
            raise ScenarioError(f"{where} it ended with {step.outcome(200)}, which no task has raised; mend it first")
        if problems:
            raise ScenarioError(f"{where} {counted(len(problems), 'check')} failed ({problems[0]}); mend it first")
        for call in step.calls:
            _check_can_be_done_again(call, where)
    return steps


def _is_of_a_task(step: Step) -> bool:
    ended = [call.result.exception for call in step.calls if call.result is not None]
    return any(error is not None and error is step.error for error in ended)


def _check_can_be_done_again(call: CallRecord, where: str) -> None:
    result = call.result
    if result is None:
        raise ScenarioError(f"{where} {call} had not ended when the recording did; wait for it, and record again")
    said = str(result.exception) if result.status == "cancel" else ""
    own = re.escape(result.task_name)
    if re.match(rf"{own} #\d+: ", said) or " took longer than timeout=" in said:
        raise ScenarioError(f"{where} {call} was stopped from outside, which can't be done again")
