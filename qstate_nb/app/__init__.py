"""Tasks that run inline: `InlineApp`, its tasks, their calls and results."""

from __future__ import annotations

from qstate_nb.app.call import Call
from qstate_nb.app.context import Progress, TaskContext
from qstate_nb.app.inline import InlineApp
from qstate_nb.app.result import TaskResult
from qstate_nb.app.task import Task, TaskOptions

__all__ = ["Call", "InlineApp", "Progress", "Task", "TaskContext", "TaskOptions", "TaskResult"]
