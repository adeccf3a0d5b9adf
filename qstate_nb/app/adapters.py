"""Registries with the call signatures of QTasks, over a `StateRegistry`.

They take the State class as the first argument of each call, as QTasks' own State classes do, and any class will
do: only its name counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import AsyncState, State
from qstate_nb.stores.opening import default_registry


class SyncStateRegistry:
    """A registry for sync code that is written for QTasks.

    Args:
        registry: where the State lives; by default `default_registry`, as for apps.

    Example:
        >>> from qstate_nb import StateRegistry
        >>> class Signup: ...
        >>> registry = SyncStateRegistry(StateRegistry())
        >>> registry.update(Signup, {"step": 1})
        {'step': 1}
        >>> registry.get(Signup, "phone", "none")
        'none'
    """

    def __init__(self, registry: StateRegistry | None = None) -> None:
        self.registry = default_registry() if registry is None else registry

    def _state(self, state_cls: type) -> State:
        return State.linked(self.registry.bucket(self.registry.key(state_cls)))

    def get(self, state_cls: type, key: str | None, default: Any = None) -> Any:
        """As `State.get`."""
        return self._state(state_cls).get(key, default)

    def get_all(self, state_cls: type) -> dict[str, Any]:
        """As `State.get_all`."""
        return self._state(state_cls).get_all()

    def set(self, state_cls: type, key: str, value: Any) -> None:
        """As `State.set`."""
        self._state(state_cls).set(key, value)

    def update(self, state_cls: type, mapping: Mapping[str, Any]) -> dict[str, Any]:
        """As `State.update`, with the values in a mapping.

        Raises:
            StateKeyError: a key of *mapping* is not a str.
        """
        state = self._state(state_cls)
        return state.update(**{state._checked(key): value for key, value in mapping.items()})

    def delete(self, state_cls: type, key: str) -> None:
        """As `State.delete`."""
        self._state(state_cls).delete(key)

    def clear(self, state_cls: type) -> None:
        """As `State.clear`."""
        self._state(state_cls).clear()


class AsyncStateRegistry:
    """A registry for async code that is written for QTasks; the same data as `SyncStateRegistry`'s.

    Args:
        registry: where the State lives; by default `default_registry`, as for apps.
    """

    def __init__(self, registry: StateRegistry | None = None) -> None:
        self.registry = default_registry() if registry is None else registry

    def _state(self, state_cls: type) -> AsyncState:
        return AsyncState.linked(self.registry.bucket(self.registry.key(state_cls)))

    async def get(self, state_cls: type, key: str | None, default: Any = None) -> Any:
        """As `SyncStateRegistry.get`."""
        return await self._state(state_cls).get(key, default)

    async def get_all(self, state_cls: type) -> dict[str, Any]:
        """As `SyncStateRegistry.get_all`."""
        return await self._state(state_cls).get_all()

    async def set(self, state_cls: type, key: str, value: Any) -> None:
        """As `SyncStateRegistry.set`."""
        await self._state(state_cls).set(key, value)

    async def update(self, state_cls: type, mapping: Mapping[str, Any]) -> dict[str, Any]:
        """As `SyncStateRegistry.update`."""
        state = self._state(state_cls)
        return await state.update(**{state._checked(key): value for key, value in mapping.items()})

    async def delete(self, state_cls: type, key: str) -> None:
        """As `SyncStateRegistry.delete`."""
        await self._state(state_cls).delete(key)

    async def clear(self, state_cls: type) -> None:
        """As `SyncStateRegistry.clear`."""
        await self._state(state_cls).clear()
