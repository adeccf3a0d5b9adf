"""The classes behind State that is known by its name."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from qstate_nb.app.inline import InlineApp
from qstate_nb.app.task import Task
from qstate_nb.core.binding import ScopedState
from qstate_nb.core.state import StateBase


def taken_by(tasks: Iterable[Task]) -> Iterator[type[StateBase]]:
    """The State classes that tasks take."""
    for task in tasks:
        for state in task.injection.states.values():
            yield state.cls if isinstance(state, ScopedState) else type(state)


def state_class(app: InlineApp, name: str) -> type[StateBase] | None:
    """The State class of a name: one that a task takes, or that the registry knows by its module."""
    for cls in taken_by(app.tasks.values()):
        if cls.state_name == name:
            return cls
    module, full_name = app.registry._owners.get(name, ("", ""))
    found: object = sys.modules.get(module)
    for part in full_name.removeprefix(f"{module}.").split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, StateBase) else None
