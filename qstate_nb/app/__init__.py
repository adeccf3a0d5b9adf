"""Tasks that run inline: `InlineApp`, its tasks, their calls and results; scenarios of them."""

from __future__ import annotations

from qstate_nb.app.call import Call
from qstate_nb.app.context import Progress, TaskContext
from qstate_nb.app.inline import InlineApp
from qstate_nb.app.result import TaskResult
from qstate_nb.app.scenario import Scenario
from qstate_nb.app.steps import Step
from qstate_nb.app.task import Task, TaskOptions

__all__ = ["Call", "InlineApp", "Progress", "Scenario", "Step", "Task", "TaskContext", "TaskOptions", "TaskResult"]
