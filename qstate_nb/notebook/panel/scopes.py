"""The scopes of a State, to choose from."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from qstate_nb.app import InlineApp, Task
from qstate_nb.core.binding import ScopedState
from qstate_nb.core.keys import ScopeId, StateKey
from qstate_nb.core.registry import StateRegistry

MOST = 200
_RECENT = 1_000  # events


class KnownScopes:
    """Knows the scopes of States, until something changes.

    Args:
        app: whose States they are.
    """

    def __init__(self, app: InlineApp) -> None:
        self._app = app
        self._at: tuple[StateRegistry, int] | None = None
        self._of: dict[str, tuple[ScopeId, ...]] = {}

    def of(self, state: str) -> tuple[ScopeId, ...]:
        """At most `MOST` scopes of a State, the last changed first."""
        at = self._app.registry, self._app.registry.seq
        if at != self._at:
            self._of, self._at = {}, at
        if state not in self._of:
            self._of[state] = tuple(islice(self._found(state), MOST))
        return self._of[state]

    def _found(self, state: str) -> Iterable[ScopeId]:
        registry = self._app.registry
        keys = [key for key in registry.keys() if key.name == state and key.scope is not None]
        known = set(keys)
        events = registry.history(limit=_RECENT)
        recent = [key for event in reversed(events) for key in event.states if key in known]
        ordered: dict[StateKey, None] = dict.fromkeys([*recent, *reversed(keys)])
        return (key.scope for key in ordered if key.scope is not None)


def scoped_by(task: Task, parameter: str) -> list[str]:
    """The names of the States whose scope a parameter of a task gives."""
    scoped = [state for state in task.injection.states.values() if isinstance(state, ScopedState)]
    return list(dict.fromkeys(state.cls.state_name for state in scoped if state.scope.by == parameter))
