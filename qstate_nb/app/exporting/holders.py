"""Which variable of which module has a task."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import ModuleType

from qstate_nb.app.exporting.namespaces import Namespace
from qstate_nb.app.task import Task
from qstate_nb.core.inject import innermost
from qstate_nb.errors import ScenarioError


def holder_of(task: Task) -> tuple[Namespace, str]:
    """The namespace that has a task, and the variable: where its function was defined, or else any module.

    Raises:
        ScenarioError: none has it, or it was defined anew, and differently.
    """
    own = Namespace.of(task.function)
    for space in ([] if own is None else [own], map(Namespace, _modules())):
        for each in space:
            name = held(each, task)
            if name is not None:
                return each, name
    where = "" if own is None else f" in {own.module}"
    raise ScenarioError(
        f"task {task.name!r} is not the value of a variable{where}, so another program can't get at it; "
        "decorate a function with @app.task at the top level of a module or notebook"
    )


def _modules() -> Iterator[dict[str, object]]:
    for module in list(sys.modules.values()):
        if type(module) is ModuleType and any(type(value) is Task for value in list(vars(module).values())):
            yield vars(module)


def held(space: Namespace, task: Task) -> str | None:
    """The variable that has a task: that very one, that of an app that it was adopted from, or the same once more.

    Raises:
        ScenarioError: it has one that was defined anew, and differently.
    """
    tasks = {
        name: value
        for name, value in list(space.names.items())
        if type(value) is Task and value.name == task.name and not name.startswith("_")
    }
    function = innermost(task.function)
    own = getattr(function, "__name__", "")
    for name in sorted(tasks, key=lambda name: (name != own, name)):
        if tasks[name].function is task.function:
            return name
    anew = {
        name: value
        for name, value in tasks.items()
        if innermost(value.function).__module__ == function.__module__ and value.app.name == task.app.name
    }
    again = [name for name, value in anew.items() if _source(value) == _source(task) is not None]
    if anew and not again:
        raise ScenarioError(f"task {task.name!r} was defined anew since the scenario; run the scenario again")
    return min(again, default=None)


def _source(task: Task) -> str | None:
    try:
        return inspect.getsource(innermost(task.function))
    except (OSError, TypeError):
        return None
