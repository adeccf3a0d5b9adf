"""The registry: applies ops to a store on behalf of the current actor, and tells subscribers.

    a State's method ─► apply ─► store.transact ─► event ─► subscribers

It also knows which State class has which name, so that a class that is defined again keeps its data and two
classes of different modules can't share a bucket by accident.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from qstate_nb.core import ops
from qstate_nb.core.journal import Event, current_actor
from qstate_nb.core.keys import StateKey, checked_name, owner_of
from qstate_nb.core.state import StateBase, StateT
from qstate_nb.core.stopping import stop_point
from qstate_nb.core.store import MemoryStore
from qstate_nb.core.subscribers import Subscribers
from qstate_nb.errors import NotAStateError, NotFoundError, StateNameError


class StateRegistry:
    """All State of one place: the buckets, their journal, and who wants to hear of changes.

    Safe to use from any number of threads and event loops at once.

    Args:
        max_events: how many events to keep; the oldest are dropped first. None keeps all.

    Raises:
        ValueError: *max_events* is less than 1.

    Example:
        >>> from qstate_nb import State, StateRegistry
        >>> class Signup(State):
        ...     pass
        >>> registry = StateRegistry()
        >>> registry.state(Signup).set("step", 1)
        >>> registry.history()
        [<Event 1: Signup set step by user>]
    """

    def __init__(self, *, max_events: int | None = 10_000) -> None:
        self._store = MemoryStore(max_events)
        self._lock = threading.Lock()
        self._owners: dict[str, tuple[str, str]] = {}
        self._states: dict[tuple[str, str], StateBase] = {}
        self._subscribers = Subscribers[Event]()

    def key(self, cls: type) -> StateKey:
        """The bucket of a class, by its name.

        Raises:
            NotAStateError: *cls* is not a class.
            StateNameError: a class of another module has that name already.
        """
        if not isinstance(cls, type):
            raise NotAStateError(f"{cls!r} is not a class; pass the State class itself")
        name = checked_name(getattr(cls, "state_name", cls.__name__))
        module, full_name = owner_of(cls)
        with self._lock:
            known_module, known_full_name = self._owners.setdefault(name, (module, full_name))
        if known_module != module:
            raise StateNameError(
                f"two State classes have the name {name!r}: {known_full_name} and {full_name}; use one "
                f'of them in both places, or give one another name: class {cls.__name__}(…, name="…")'
            )
        return StateKey(name)

    def state(self, cls: type[StateT]) -> StateT:
        """The object of a State class that works on this registry: the one that tasks get injected.

        Raises:
            NotAStateError: *cls* is not a State class.
            StateNameError: a class of another module has that name already.
        """
        if not (isinstance(cls, type) and issubclass(cls, StateBase)):
            raise NotAStateError(f"{cls!r} is not a State class; pass a subclass of State or AsyncState")
        key = self.key(cls)
        slot = (key.name, cls.__qualname__)
        state = self._states.get(slot)
        if type(state) is not cls:  # new, or the class was defined again
            made = cls.linked(self, key)  # before the lock: the class may have an __init__ of its own
            with self._lock:
                if type(self._states.get(slot)) is not cls:  # no other thread was faster
                    self._states[slot] = made
                state = self._states[slot]
        assert isinstance(state, cls)
        return state

    def keys(self) -> list[StateKey]:
        """All buckets: of the State classes that were seen here, and any other that was written to."""
        with self._lock:
            seen = [StateKey(name) for name in self._owners]
        return list(dict.fromkeys(seen + self._store.keys()))

    def find(self, name: str) -> StateKey:
        """The bucket with that name.

        Raises:
            NotFoundError: there is none; it shows the close matches.
        """
        known = {str(key): key for key in self.keys()}
        if name not in known:
            raise NotFoundError("state", name, known)
        return known[name]

    def read(self, key: StateKey, op: ops.Read, *args: Any) -> Any:
        """Run a reading op. The result may hold stored values: copy them before you hand them out."""
        stop_point.get()()
        return self._store.read(key, op, *args)

    def apply(self, key: StateKey, op: ops.Write, *args: Any) -> Any:
        """Run a writing op on behalf of the current actor; subscribers hear of it after the commit."""
        stop_point.get()()
        result, event = self._store.transact(key, op, args, current_actor.get())
        if event is not None and self._subscribers:
            self._subscribers.tell(event)
        return result

    def history(self) -> list[Event]:
        """The events that are kept, oldest first."""
        return self._store.history()

    def writers(self, key: StateKey) -> dict[str, Event]:
        """For each field of a bucket, the event that last wrote it."""
        return self._store.writers(key)

    def subscribe(self, subscriber: Callable[[Event], object]) -> Callable[[], None]:
        """Call *subscriber* with each event from now on, until the returned function is called.

        It is called after the commit, in the thread that made the change, so events of different threads can
        come out of order (their ``seq`` tells). An exception in it is logged and harms nobody.
        """
        return self._subscribers.add(subscriber)


_default_lock = threading.Lock()
_default: StateRegistry | None = None


def default_registry() -> StateRegistry:
    """The registry of every app that is not given another one: made at the first use, one a process.

    It is why State outlives the cell that makes the app: running that cell again keeps the data.
    """
    global _default
    with _default_lock:
        if _default is None:
            _default = StateRegistry()
        return _default
