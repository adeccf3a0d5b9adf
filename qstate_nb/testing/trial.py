"""`Trial`: runs an app's tasks in a test, on State of their own.

from qstate_nb.testing import Trial
from shop.tasks import app, step1

def test_step1() -> None:
    trial = Trial(app)
    assert trial.run(step1).unwrap() == "ok"
    assert trial.changed() == {"Signup": {"step": 1}}
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Mapping
from typing import Any

from qstate_nb.app.inline import InlineApp
from qstate_nb.app.nesting import run_blocking
from qstate_nb.app.replaying import write
from qstate_nb.app.result import TaskResult
from qstate_nb.app.runner import perform
from qstate_nb.app.task import Task
from qstate_nb.core.diff import is_same
from qstate_nb.core.formats import short
from qstate_nb.core.journal import Contents
from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import StateBase, copy_fields
from qstate_nb.errors import TaskDefinitionError

__all__ = ["Trial"]


class Trial:
    """An app's tasks on State of their own, which is empty at first; the app's own State and calls are left alone.

    State is called by its name here: ``"Signup"``, or ``"Signup[42]"`` with a scope.

    Args:
        app: the app.
        state: what is stored at the beginning: name → fields.
        classes: State classes that no task takes, so that their declared fields are known.

    Attributes:
        app: the app that the tasks run on here.

    Example:
        >>> from qstate_nb import InlineApp, State, StateRegistry
        >>> app = InlineApp(registry=StateRegistry())
        >>> class Stock(State):
        ...     pass
        >>> @app.task
        ... def sell(stock: Stock, what: str):
        ...     return stock.increment(what, -1)
        >>> trial = Trial(app, {"Stock": {"apples": 3}})
        >>> trial.run(sell, "apples").unwrap()
        2
        >>> trial.state("Stock"), trial.changed()
        ({'apples': 2}, ['Stock'])
        >>> [result.unwrap() for result in trial.together(sell.bind("apples"), sell.bind("pears"))]
        [1, -1]
        >>> trial.state("Stock")
        {'apples': 1, 'pears': -1}
    """

    def __init__(
        self,
        app: InlineApp,
        state: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        classes: Iterable[type[StateBase]] = (),
    ) -> None:
        self.app = app.twin(StateRegistry(), name=app.name, adopts=True)
        for cls in classes:
            self.app.registry.introduce(cls)
        for name, fields in (state or {}).items():
            self.write(name, fields)
        self._seen = self._contents()

    def run(self, task: Task | str, /, *args: Any, **kwargs: Any) -> TaskResult:
        """Run a call to its end; `TaskResult.unwrap` gives what it returned, or raises what it raised.

        Raises:
            NotFoundError: no task has that name.
        """
        return self.app.run(self._mine(task), *args, **kwargs)

    def together(self, *calls: Task | functools.partial[Any]) -> list[TaskResult]:
        """Run calls at once, begun in this order: tasks, or tasks with arguments, as ``step1.bind("123")``.

        Raises:
            TaskDefinitionError: one is neither.
        """
        made = []
        for each in calls:
            bound = functools.partial(each) if isinstance(each, Task) else each
            if not isinstance(bound, functools.partial) or not isinstance(bound.func, Task):
                raise TaskDefinitionError(f"{short(each)} is no task; give step1, or step1.bind(…)")
            made.append(self.app.new_call(self._mine(bound.func), bound.args, bound.keywords, echo=True))

        async def all_of_them() -> list[TaskResult]:
            return await asyncio.gather(*map(perform, made))

        return run_blocking(all_of_them())

    def _mine(self, task: Task | str) -> Task:
        if isinstance(task, str):
            return self.app.find(task)
        mine = self.app.tasks.get(task.name)
        return mine if mine is not None and mine.function is task.function else self.app.adopt(task)

    def write(self, state: str, values: Mapping[str, Any]) -> None:
        """Set fields of a State, or remove those whose value is `qstate_nb.ABSENT`.

        Raises:
            StateNameError: that can't be the name of a State.
            FieldTypeError: a value is not of the type that the State's class declares.
        """
        key = StateKey.parse(state)
        run_blocking(write(self.app, {(key, field): value for field, value in values.items()}))

    def state(self, name: str) -> dict[str, Any]:
        """All fields of a State, with declared defaults; none if nothing is declared or stored."""
        return copy_fields(self.app.registry.peek(StateKey.parse(name)))

    def changed(self) -> list[str]:
        """The names of all State that has changed since this was last asked, or since the beginning; sorted."""
        before, self._seen = self._seen, self._contents()
        after = self._seen
        keys = dict.fromkeys([*before, *after])
        return sorted(str(key) for key in keys if not is_same(before.get(key, {}), after.get(key, {})))

    def _contents(self) -> Contents:
        return self.app.registry.at().complete()
