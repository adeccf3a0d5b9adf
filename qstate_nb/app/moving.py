"""What `InlineApp.use` needs to let an app's tasks work on another registry."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from qstate_nb.core.binding import Injection, ScopedState
from qstate_nb.core.formats import printable
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import StateBase
from qstate_nb.core.store import MemoryStore
from qstate_nb.errors import TaskError, TransactionError

if TYPE_CHECKING:
    from qstate_nb.app.inline import InlineApp


class Runner:
    """An app, as a registry knows it: what runs there, for as long as the app works on that registry.

    Args:
        app: holds this.
        registry: gets to know it.
    """

    def __init__(self, app: InlineApp, registry: StateRegistry) -> None:
        self.running = app.running
        registry.add_runner(self)


def check_can_move(app: InlineApp) -> None:
    """Refuse to move an app that is in use.

    Raises:
        TaskError: a task runs, a scenario is recorded, or the code is in a task of a fork.
        TransactionError: somebody here has a transaction open on its State.
    """
    running = app.running()
    if running:
        first = f"{', '.join(map(printable, running[:3]))}{', …' if len(running) > 3 else ''}"
        raise TaskError(
            f"app {app.name!r} can't use another store while {first} "
            f"{'runs' if len(running) == 1 else 'run'}; wait for the end, or stop it"
        )
    if app.recorder is not None:
        raise TaskError(
            f"app {app.name!r} can't use another store while scenario {app.recorder.name!r} is recorded; "
            "end that first: %qstate stop"
        )
    if app.registry is not app._registry:
        raise TaskError(f"another app stands in for app {app.name!r} here, so it can't use another store")
    store = app.registry.store
    held = store.alone(_held, store)
    if held is not None:
        raise TransactionError(f"app {app.name!r} can't use another store while {held}; wait for its end")


def _held(store: MemoryStore) -> str | None:
    """Who has which transaction here; a step of the store."""
    for bucket in list(store._known.values()):
        if bucket.holder is not None:
            return f"{bucket.holder.who} has a transaction on {bucket.key}"
    return None


def moved(plan: Injection, registry: StateRegistry) -> Injection:
    """A task's plan, with State of another registry.

    The signature is not read again: what its annotations name may be gone by now.

    Raises:
        StateNameError: a name is taken there.
    """
    states = {name: _there(state, registry) for name, state in plan.states.items()}
    ready = plan.ready and {name: state for name, state in states.items() if isinstance(state, StateBase)}
    slots = tuple(dataclasses.replace(slot, state=states.get(slot.name)) for slot in plan.slots)
    return dataclasses.replace(plan, states=states, slots=slots, ready=ready)


def _there(state: StateBase | ScopedState, registry: StateRegistry) -> StateBase | ScopedState:
    if isinstance(state, StateBase):
        return registry.state(type(state))
    registry.introduce(state.cls)
    return dataclasses.replace(state, registry=registry)
