"""`State` and `AsyncState`: what a task uses.

Both are thin facades over one registry: a method checks the key, copies values in or out, and hands a pure op to
the registry. Nothing of it waits in the memory store, so `AsyncState` calls it inline and the two colours can work
on the same bucket.

Objects come from the registry: injected into a task, or from ``app.state(Signup)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, TypeVar

from qstate_nb.core import ops
from qstate_nb.core.journal import ABSENT
from qstate_nb.core.keys import StateKey, checked_name
from qstate_nb.core.values import copy_value
from qstate_nb.errors import StateKeyError, UnlinkedStateError

if TYPE_CHECKING:
    from typing import Self


class OpRunner(Protocol):
    """What a State needs of its registry."""

    def read(self, key: StateKey, op: ops.Read, *args: Any) -> Any:
        """Run a reading op."""

    def apply(self, key: StateKey, op: ops.Write, *args: Any) -> Any:
        """Run a writing op."""


class _Unlinked:
    """Stands in for the registry of a State object that was made by hand."""

    def read(self, key: StateKey, *_: Any) -> NoReturn:
        raise UnlinkedStateError(
            f"this {key} object was made by hand and has no data; "
            f"declare a task parameter `state: {key}`, or use app.state({key})"
        )

    apply = read


class StateBase:
    """What both colours share: a name, and the link to a registry."""

    state_name: ClassVar[str] = "StateBase"
    _registry: OpRunner = _Unlinked()
    _key: StateKey

    def __init_subclass__(cls, *, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.state_name = checked_name(cls.__name__ if name is None else name)
        cls._key = StateKey(cls.state_name)

    @classmethod
    def linked(cls, registry: OpRunner, key: StateKey) -> Self:
        """Make an object that works on the bucket *key* of *registry*: for registries and adapters."""
        state = cls()
        state._registry, state._key = registry, key
        return state

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: State {str(self._key)!r}>"

    def _checked(self, key: object) -> str:
        if isinstance(key, str):
            return key if type(key) is str else str.__str__(key)  # the member of a str Enum is stored as its text
        raise StateKeyError(f"a key of State {self._key} must be a str, not {key!r} ({type(key).__name__})")

    def _get(self, key: str | None, default: Any) -> Any:
        if key is None:
            return self._get_all()
        value = self._registry.read(self._key, ops.get, self._checked(key))
        return default if value is ABSENT else copy_value(value)

    def _get_all(self) -> dict[str, Any]:
        return copy_fields(self._registry.read(self._key, ops.get_all))

    def _set(self, key: str, value: Any) -> None:
        self._registry.apply(self._key, ops.set_, self._checked(key), copy_value(value))

    def _update(self, values: Mapping[str, Any]) -> dict[str, Any]:
        stored = {self._checked(key): copy_value(value) for key, value in values.items()}
        return copy_fields(self._registry.apply(self._key, ops.update, stored))

    def _delete(self, key: str) -> None:
        self._registry.apply(self._key, ops.delete, self._checked(key))

    def _clear(self) -> None:
        self._registry.apply(self._key, ops.clear)


def copy_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Copy every value of a bucket's fields.

    Raises:
        StateValueError: a value can't be copied; see `copy_value`.
    """
    return {key: copy_value(value) for key, value in fields.items()}


StateT = TypeVar("StateT", bound=StateBase)


class State(StateBase):
    """Shared key/value data for sync tasks; subclass it to give the data a name.

    The subclass's name is its identity; ``class Signup(State, name="signup")`` gives another one.

    Example:
        >>> from qstate_nb import StateRegistry
        >>> class Signup(State):
        ...     pass
        >>> state = StateRegistry().state(Signup)
        >>> state.set("state", "await_phone")
        >>> state.update(step=1, prompt="Enter phone number")
        {'state': 'await_phone', 'step': 1, 'prompt': 'Enter phone number'}
    """

    def get(self, key: str | None = None, default: Any = None) -> Any:
        """A copy of the value of *key*, or *default* if there is none; of all fields if *key* is None.

        Raises:
            StateKeyError: *key* is not a str.
        """
        return self._get(key, default)

    def get_all(self) -> dict[str, Any]:
        """A new dict of all fields, in the order in which they were first set; the values are copies."""
        return self._get_all()

    def set(self, key: str, value: Any) -> None:
        """Give *key* a copy of *value*.

        Raises:
            StateKeyError: *key* is not a str.
            StateValueError: *value* can't be copied; see `copy_value`.
        """
        self._set(key, value)

    def update(self, /, **values: Any) -> dict[str, Any]:
        """Give several keys a value at once and return all fields as they are then.

        Raises:
            StateValueError: a value can't be copied; see `copy_value`.
        """
        return self._update(values)

    def delete(self, key: str) -> None:
        """Remove *key*; nothing happens if it is not there.

        Raises:
            StateKeyError: *key* is not a str.
        """
        self._delete(key)

    def clear(self) -> None:
        """Remove all fields, as one event."""
        self._clear()


SyncState = State


class AsyncState(StateBase):
    """Shared key/value data for async tasks; subclass it to give the data a name.

    The subclass's name is its identity; ``class Signup(AsyncState, name="signup")`` gives another one.

    Example:
        >>> import asyncio
        >>> from qstate_nb import StateRegistry
        >>> class Signup(AsyncState):
        ...     pass
        >>> state = StateRegistry().state(Signup)
        >>> asyncio.run(state.update(step=1, prompt="Enter phone number"))
        {'step': 1, 'prompt': 'Enter phone number'}
    """

    async def get(self, key: str | None = None, default: Any = None) -> Any:
        """As `State.get`."""
        return self._get(key, default)

    async def get_all(self) -> dict[str, Any]:
        """As `State.get_all`."""
        return self._get_all()

    async def set(self, key: str, value: Any) -> None:
        """As `State.set`."""
        self._set(key, value)

    async def update(self, /, **values: Any) -> dict[str, Any]:
        """As `State.update`."""
        return self._update(values)

    async def delete(self, key: str) -> None:
        """As `State.delete`."""
        self._delete(key)

    async def clear(self) -> None:
        """As `State.clear`."""
        self._clear()
