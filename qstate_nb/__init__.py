"""Shared task State, made visible in a notebook.

    from qstate_nb import AsyncState, InlineApp

    app = InlineApp()

    class Signup(AsyncState):
        pass

    @app.task
    async def step1(state: Signup):
        await state.set("state", "await_phone")

    await step1()

``%load_ext qstate_nb`` adds the ``%qstate`` magic; ``panel(app)`` shows tasks and State live.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qstate_nb.app import Call, InlineApp, Progress, Scenario, Step, Task, TaskResult
from qstate_nb.app.adapters import AsyncStateRegistry, SyncStateRegistry
from qstate_nb.core.binding import Scope
from qstate_nb.core.inject import StatePlugin
from qstate_nb.core.journal import ABSENT, Actor, Change, Event
from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import AsyncState, State, SyncState
from qstate_nb.core.transactions import Transaction, transaction
from qstate_nb.stores.opening import default_registry, open_store

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from qstate_nb.notebook.panel import Panel

__all__ = [
    "ABSENT",
    "Actor",
    "AsyncState",
    "AsyncStateRegistry",
    "Call",
    "Change",
    "Event",
    "InlineApp",
    "Progress",
    "Scenario",
    "Scope",
    "State",
    "StateKey",
    "StatePlugin",
    "StateRegistry",
    "Step",
    "SyncState",
    "SyncStateRegistry",
    "Task",
    "TaskResult",
    "Transaction",
    "default_registry",
    "load_ipython_extension",
    "open_store",
    "panel",
    "transaction",
    "unload_ipython_extension",
]

__version__ = "0.1.0"


def panel(app: InlineApp) -> Panel:
    """A panel that shows the tasks, calls and State of an app, live; leave it as the last line of a cell.

    Raises:
        MissingPackageError: ipywidgets is not installed.
    """
    from qstate_nb.notebook.panel import open_panel

    return open_panel(app)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """``%load_ext qstate_nb``."""
    from qstate_nb.notebook.magic import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """``%unload_ext qstate_nb``."""
    from qstate_nb.notebook.magic import unload

    unload(shell)
