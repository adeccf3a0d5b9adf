"""The registry: gives State objects that work on its store, and tells subscribers of events.

    a State's method ─► store.run ─► record ─► event ─► subscribers

It knows which State class has which name, so that a class that is defined again keeps its data and two
classes of different modules can't share a bucket by accident.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from qstate_nb.core.buckets import Bucket
from qstate_nb.core.fields import Declared
from qstate_nb.core.frames import current_frame
from qstate_nb.core.journal import Event
from qstate_nb.core.keys import ScopeId, StateKey, checked_name, checked_scope, owner_of
from qstate_nb.core.state import StateBase, StateT
from qstate_nb.core.store import MemoryStore
from qstate_nb.core.timetravel import Moment, TimeTravel
from qstate_nb.errors import NotAStateError, NotFoundError, StateNameError

_MOST_COMPARED = 1_000  # names, to find those that are close to a wrong one


class StateRegistry(TimeTravel):
    """All State of one place: the buckets, their journal, and who wants to hear of changes.

    Safe to use from any number of threads and event loops at once.

    Args:
        max_events: how many events to keep in memory; the oldest are dropped first. None keeps all.
        store: where all of it lives, if not in memory: see `qstate_nb.open_store`.

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

    def __init__(self, *, max_events: int | None = 10_000, store: MemoryStore | None = None) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._owners: dict[str, tuple[str, str]] = {}
        self._states: dict[tuple[str, str], StateBase] = {}
        self._store = MemoryStore(max_events) if store is None else store
        self._store.owners.add(self)

    def key(self, cls: type) -> StateKey:
        """The key of a class's bucket, by its name.

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

    def state(self, cls: type[StateT], scope: ScopeId | None = None) -> StateT:
        """The object of a State class that works on this registry: the one that tasks get injected.

        Args:
            scope: whose bucket it is, if the class's data is split: a chat, a user, an order. Such a bucket is listed
                once something is written to it.

        Raises:
            NotAStateError: *cls* is not a State class.
            ScopeError: *scope* is neither None nor a str, int or UUID.
            StateNameError: a class of another module has that name already.
            FieldDefinitionError: a field that the class declares can't work.
        """
        state = self._unscoped(cls)
        if scope is not None:
            where = cls.state_name
            return cls.linked(self._store.bucket(StateKey(where, checked_scope(scope, where))))
        self._store.enlist(state._bucket)
        return state

    def _unscoped(self, cls: type[StateT]) -> StateT:
        """The object of a class without a scope: made once, and anew when the class was defined again."""
        slot = getattr(cls, "state_name", ""), getattr(cls, "__qualname__", "")
        state = self._states.get(slot)
        if type(state) is not cls:
            self.introduce(cls)
            made = cls.linked(self._store.bucket(StateKey(cls.state_name)))  # the class may have an __init__
            with self._lock:
                if type(self._states.get(slot)) is not cls:  # no other thread was faster
                    self._states[slot] = made
                state = self._states[slot]
        assert isinstance(state, cls)
        return state

    def introduce(self, cls: type) -> None:
        """Know a State class, without a bucket: its name, and what it declares.

        Raises:
            NotAStateError, StateNameError, FieldDefinitionError: as `state` does.
        """
        if not (isinstance(cls, type) and issubclass(cls, StateBase)):
            raise NotAStateError(f"{cls!r} is not a State class; pass a subclass of State or AsyncState")
        self.key(cls)
        self._store.set_ttl(cls.state_name, cls.state_ttl)
        if cls.declared is not None:
            cls.declared.types()
            self._store.declared[cls.state_name] = cls.declared

    @property
    def store(self) -> MemoryStore:
        """Where all of it lives."""
        return self._store

    def forget(self, name: str) -> None:
        """Free a name whose last bucket was dropped."""
        with self._lock:
            self._owners.pop(name, None)
            self._states = {slot: state for slot, state in self._states.items() if slot[0] != name}

    def bucket(self, key: StateKey) -> Bucket:
        """The bucket of a key: for adapters and displays."""
        return self._store.bucket(key)

    def declared(self, name: str) -> Declared | None:
        """The fields that the State class of that name declares; of two classes, the one that was used last."""
        return self._store.declared.get(name)

    def keys(self) -> list[StateKey]:
        """All buckets: of State classes that were used here without a scope, and all others that were written to."""
        return self._store.keys()

    def names(self) -> list[str]:
        """The names of all State classes that were used here, and of all buckets."""
        listed = self._store.names()
        with self._lock:
            return list(dict.fromkeys([*self._owners, *listed]))

    def find(self, name: str, *, to_write: bool = False) -> StateKey:
        """The bucket with that name, such as ``Signup`` or ``Signup[42]``.

        Args:
            to_write: whether one will do that is not listed yet, if there is such a State.

        Raises:
            NotFoundError: there is none; it shows the close matches.
        """
        try:
            key = StateKey.parse(name)
        except StateNameError:
            key = None
        names = self.names()
        if key is not None and (self._store.is_listed(key) or (to_write and key.name in names)):
            return key
        base = name.partition("[")[0]
        scopes = [str(known) for known in self.keys() if known.scope is not None and known.name == base]
        raise NotFoundError("state", name, [*names, *scopes[:_MOST_COMPARED]])

    def peek(self, key: StateKey) -> dict[str, Any]:
        """The fields of a bucket, without waiting for a transaction that holds it: stored values, only to be shown.

        They are those that are committed, or, to code that takes part in that transaction, what it sees.
        """
        fields = self._store.peek(key, current_frame.get())
        declared = self.declared(key.name)
        return fields if declared is None else {**declared.all_defaults(), **fields}

    def subscribe(self, subscriber: Callable[[Event], object]) -> Callable[[], None]:
        """Call *subscriber* with each event from now on, until the returned function is called.

        It is called after the commit, in the thread that made the change, so events of different threads can
        come out of order (their ``seq`` tells). An exception in it is logged and harms nobody.
        """
        return self._store.subscribe(subscriber)

    def fork(self, at: Moment | None = None) -> StateRegistry:
        """An independent registry with what was stored at a moment, by default now, and the history up to there.

        What is done in one of the two is not seen in the other.

        Raises:
            HorizonError, HistoryError, NotFoundError: as `at` does.
        """
        saved = self.saved(at)
        other = StateRegistry(store=MemoryStore(self._store.journal.maxlen))
        with self._lock:
            other._owners, other._store.declared = dict(self._owners), dict(self._store.declared)
        other._store.replace(saved, int)
        return other
