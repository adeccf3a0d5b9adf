"""What `%qstate` does, as plain functions.

Each takes an app and values. Queries return a `View` (or the value asked for), changes return a short message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qstate_nb.app import InlineApp, TaskResult
from qstate_nb.app.nesting import run_blocking
from qstate_nb.app.runner import perform
from qstate_nb.core.formats import counted, printable, short
from qstate_nb.core.keys import StateKey
from qstate_nb.core.state import AsyncState, copy_fields
from qstate_nb.core.values import copy_value
from qstate_nb.errors import CommandError, NotFoundError
from qstate_nb.notebook import views
from qstate_nb.notebook.render import Block, Heading, Table, View
from qstate_nb.notebook.views import Limits

DEFAULT_LIMITS = Limits()


def overview(app: InlineApp, limits: Limits = DEFAULT_LIMITS) -> View:
    """The app, its States, its tasks and the last events."""
    registry = app.registry
    events = registry.history(limit=max(1, limits.events))
    counts = (
        counted(len(app.tasks), "task"),
        counted(len({key.name for key in registry.keys()}), "state"),
        counted(events[-1].seq if events else 0, "event"),
    )
    blocks: list[Block] = [Heading(f"{app.name}: {', '.join(counts)}")]
    blocks += views.all_states_blocks(registry, limits, limits.rows)
    blocks += [Heading("tasks"), *views.task_blocks(app, limits)]
    if limits.events:
        blocks += [Heading("last events"), *views.event_blocks(events, limits)]
    return View(blocks)


def show(app: InlineApp, state: str | None = None, limits: Limits = DEFAULT_LIMITS) -> View:
    """All States, or one: each key, its value, and who changed it last. Its `View.data` is a dict of copies.

    Args:
        state: such as ``Signup`` or ``Signup[42]``; without a scope, the table of its scopes is shown as well.

    Raises:
        NotFoundError: there is no State of that name.
    """
    registry = app.registry
    if state is None:
        data = {str(key): copy_fields(registry.peek(key)) for key in registry.keys()}
        return View(views.all_states_blocks(registry, limits, limits.rows) or [Heading("no states yet")], data)
    scopes = views.scope_blocks(registry, state, limits)
    if scopes and StateKey(state) not in registry.keys():
        return View(scopes, {})
    key = registry.find(state)
    return View([*views.state_blocks(registry, key, limits), *scopes], copy_fields(registry.peek(key)))


def get(app: InlineApp, state: str, key: str) -> Any:
    """The value of a key.

    Raises:
        NotFoundError: there is no State of that name, or no such key in it.
    """
    return copy_value(_fields_with(app, state, key)[key])


def set_value(app: InlineApp, state: str, key: str, value: Any) -> str:
    """Give a key a value.

    Raises:
        NotFoundError: there is no State of that name, or it has declared all its keys, and this is none.
        FieldTypeError: the State declares another type for it.
    """
    run_blocking(_state(app, state).set(key, value))
    return f"{state}.{printable(key)} = {short(value)}"


def update(app: InlineApp, state: str, values: Mapping[str, Any]) -> str:
    """Give several keys a value at once.

    Raises:
        NotFoundError, FieldTypeError: as `set_value` does.
        CommandError: there are no values.
    """
    if not values:
        raise CommandError("update needs at least one k=v")
    run_blocking(_state(app, state).update(**values))
    return "\n".join(f"{state}.{printable(key)} = {short(value)}" for key, value in values.items())


def increment(app: InlineApp, state: str, key: str, by: Any = 1) -> str:
    """Add to the number at a key, which counts as 0 if there is none.

    Raises:
        NotFoundError: as `set_value` does.
        FieldTypeError: one of the two is no number.
    """
    return f"{state}.{printable(key)} = {short(run_blocking(_state(app, state).increment(key, by)))}"


def append(app: InlineApp, state: str, key: str, item: Any) -> str:
    """Add an item to the end of the list at a key, which counts as empty if there is none.

    Raises:
        NotFoundError: as `set_value` does.
        FieldTypeError: there is no list.
    """
    run_blocking(_state(app, state).append(key, item))
    return f"{state}.{printable(key)}: {short(item)} appended"


def delete(app: InlineApp, state: str, key: str) -> str:
    """Remove a key.

    Raises:
        NotFoundError: there is no State of that name, or no such key in it.
    """
    _fields_with(app, state, key)
    run_blocking(_state(app, state).delete(key))
    return f"{state}.{printable(key)} deleted"


def clear(app: InlineApp, state: str) -> str:
    """Remove all keys of a State.

    Raises:
        NotFoundError: there is no State of that name.
    """
    return f"{state} cleared: {_emptied(app, state, drop=False)}"


def drop(app: InlineApp, state: str) -> str:
    """Remove all keys of a State, and its name from the lists.

    Raises:
        NotFoundError: there is no State of that name.
    """
    return f"{state} dropped: {_emptied(app, state, drop=True)}"


def _emptied(app: InlineApp, name: str, *, drop: bool) -> str:
    key = app.registry.find(name)
    count = len(app.registry.writers(key))
    state = _state(app, name)
    run_blocking(state.drop() if drop else state.clear())
    return f"{counted(count, 'key')} removed"


def _state(app: InlineApp, name: str) -> AsyncState:
    """A State to write to. Where that has to wait for a transaction, the event loop goes on meanwhile."""
    key = app.registry.find(name, to_write=True)
    return AsyncState.linked(app.registry.bucket(key), app.registry.declared(key.name))


def _fields_with(app: InlineApp, name: str, key: str) -> dict[str, Any]:
    """The stored fields of a State that has the key; a copy of all could take long."""
    fields = app.registry.peek(app.registry.find(name))
    if key not in fields:
        raise NotFoundError(f"key of State {name} called", key, fields)
    return fields


def tasks(app: InlineApp, limits: Limits = DEFAULT_LIMITS) -> View:
    """The tasks: how to call each, and what it does. Its `View.data` is a list of names."""
    return View(views.task_blocks(app, limits), list(app.tasks))


def app_list(found: Mapping[str, InlineApp], current: InlineApp) -> View:
    """The apps among the user's variables; the one in use is marked."""
    rows = [(name, counted(len(app.tasks), "task")) for name, app in found.items()]
    marked = frozenset(index for index, app in enumerate(found.values()) if app is current)
    return View([Table(("app", "tasks"), rows, frozenset({0}), marked)], list(found))


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did.

    Args:
        results: of the calls, in the order in which they were made.
        view: results and State's change, to show.
    """

    results: Sequence[TaskResult]
    view: View

    @property
    def text(self) -> str:
        """The view in plain text, to be printed on a line of its own, after what the calls have printed."""
        printed = next((result.output for result in reversed(self.results) if result.output), "")
        return self.view.text if printed.endswith("\n") or not printed else f"\n{self.view.text}"


def run(
    app: InlineApp,
    task: str,
    values: Mapping[str, Any],
    *,
    times: int = 1,
    concurrent: bool = False,
    timeout: float | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> RunReport:
    """Run a task to its end, once or more often; what it prints is shown meanwhile.

    Args:
        values: parameter → value.
        times: how many calls.
        concurrent: all calls at once, rather than one after the other.
        timeout: seconds after which a call is stopped.

    Raises:
        NotFoundError: there is no such task, or no such parameter.
        ArgumentError: a parameter without a default has no value.
    """
    found = app.find(task)
    args, kwargs = found.arguments(values)
    before = views.contents(app.registry)

    async def call() -> TaskResult:
        return await perform(app.new_call(found, args, dict(kwargs), echo=True), timeout=timeout)

    async def calls() -> list[TaskResult]:
        if concurrent:
            return await asyncio.gather(*(call() for _ in range(times)))
        return [await call() for _ in range(times)]

    results = run_blocking(calls())
    change = views.difference(before, views.contents(app.registry), limits)
    return RunReport(results, View([*_result_blocks(results, limits), *change], results))


def _result_blocks(results: Sequence[TaskResult], limits: Limits) -> list[Block]:
    shown = results[: limits.rows]
    blocks: list[Block] = []
    for result in shown:
        blocks += views.result_blocks(result, limits, output=False)  # it was shown when it was printed
    if len(results) > 1:
        good = sum(result.status == "success" for result in results)
        blocks.append(Heading(f"{counted(len(results), 'call')}, {good:,} with success"))
    return blocks
