"""`State` and `AsyncState`: what a task uses.

Both are thin facades over a bucket: a method checks its arguments, copies values in or out, and runs a pure op in
the store. Nothing of it waits in the memory store, unless a transaction of somebody else holds the bucket, so the two
colours can work on the same one. What is common and simple goes the shortest way: a `get` of an immutable value reads
it off the open bucket, a `set` of one goes to `Bucket.put`.

Objects come from the registry: injected into a task, or from ``app.state(Signup)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from qstate_nb.core import ops
from qstate_nb.core.buckets import CLOSED, Bucket
from qstate_nb.core.changes import Changes
from qstate_nb.core.fields import Declared, Rules, declared_by
from qstate_nb.core.formats import short
from qstate_nb.core.frames import current_frame
from qstate_nb.core.journal import ABSENT, Record
from qstate_nb.core.keys import StateKey, checked_name
from qstate_nb.core.stopping import stop_point, stops
from qstate_nb.core.store import MUST_WAIT
from qstate_nb.core.transactions import Transaction, mutate
from qstate_nb.core.values import IMMUTABLE, copy_value
from qstate_nb.core.waiting import Steps, wait_in_loop, wait_in_thread
from qstate_nb.errors import StateKeyError, StateValueError, UnlinkedStateError

if TYPE_CHECKING:
    from typing import Self

_AT_ONCE = IMMUTABLE - {type(None)}  # None may mean that nothing was found


class _Unlinked:
    """Stands in for the bucket of a State object that was made by hand."""

    open = CLOSED

    def __init__(self, key: StateKey) -> None:
        self.key = key

    @property
    def store(self) -> NoReturn:
        raise UnlinkedStateError(
            f"this {self.key} object was made by hand and has no data; "
            f"declare a task parameter `state: {self.key}`, or use app.state({self.key})"
        )


class StateBase:
    """What both colours share: a name, declared fields, and the link to a bucket."""

    state_name: ClassVar[str] = "StateBase"
    state_ttl: ClassVar[float | None] = None
    declared: ClassVar[Declared | None] = None
    _bucket: Any  # a Bucket, or `_Unlinked`
    _rules: Rules

    def __init_subclass__(
        cls, *, name: str | None = None, strict: bool | None = None, ttl: float | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        cls.state_name = checked_name(cls.__name__ if name is None else name)
        if ttl is not None:
            cls.state_ttl = checked_seconds(ttl, f"the ttl of State {cls.state_name}", least=1e-3)
        cls.declared = declared_by(cls, cls.declared, strict=strict)
        cls._bucket = _Unlinked(StateKey(cls.state_name))
        cls._rules = Rules(cls._bucket.key, cls.declared)

    @classmethod
    def linked(cls, bucket: Bucket, declared: Declared | None = None) -> Self:
        """Make an object that works on a bucket: for registries and adapters.

        Args:
            declared: the fields, by default those of the class.

        Raises:
            FieldDefinitionError: a declared field can't work.
        """
        declared = cls.declared if declared is None else declared
        state = cls()
        state._bucket = bucket
        state._rules = Rules(bucket.key, declared)
        if declared is None:
            state._put, state._put_all = bucket.put, bucket.put_all  # type: ignore[method-assign]
        else:
            declared.types()  # so that what is wrong with them is said before anything runs
        return state

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: State {str(self._bucket.key)!r}>"

    def _put(self, key: str, value: Any, op: str = "set") -> Record | None:
        """Stands for `Bucket.put`, which an object has whose class declares no fields."""

    def _put_all(self, values: dict[str, Any]) -> dict[str, Any] | None:
        """Stands for `Bucket.put_all`."""

    def transaction(self, *, timeout: float | None = None) -> Transaction:
        """Make several ops on this State happen together or not at all; see `qstate_nb.transaction`.

        Args:
            timeout: seconds to wait for others to let go of it; None waits as long as it takes.
        """
        return Transaction([self], timeout)

    def _expiring(self, seconds: float | None) -> Steps[None]:
        if seconds is not None:
            seconds = checked_seconds(seconds, f"the time after which State {self._bucket.key} expires")
        steps: Steps[None] = self._bucket.store.expiring(self._bucket, seconds)
        return steps

    def changes(self, *, queue: int = 1_000) -> Changes:
        """The events that change this State from now on: ``async for event in state.changes():``.

        Args:
            queue: how many may wait to be read; when more come, the oldest are skipped, counted and logged.

        Raises:
            ValueError: *queue* is less than 1.
        """
        return Changes(self._bucket, queue)

    def _try(self, op: ops.Op, *args: Any) -> Any:
        """Run an op, unless it `MUST_WAIT`."""
        return self._bucket.store.run(self._bucket, op, args, current_frame.get())

    def _checked(self, key: object) -> str:
        if isinstance(key, str):
            text = key if type(key) is str else str.__str__(key)  # the member of a str Enum is stored as its text
            return text if self._rules.declared is None else self._rules.known(text)
        raise StateKeyError(f"a key of State {self._bucket.key} must be a str, not {key!r} ({type(key).__name__})")

    def _valued(self, key: str, value: Any) -> Any:
        """A copy of a value that *key* may have."""
        copied = copy_value(value)
        if self._rules.declared is not None:
            self._rules.check(key, copied)
        return copied

    def _found(self, value: Any, key: str, default: Any) -> Any:
        return self._rules.default(key, default) if value is ABSENT else copy_value(value)

    def _all(self, fields: dict[str, Any]) -> dict[str, Any]:
        return self._rules.complete(fields if self._bucket.is_plain else copy_fields(fields))

    def _values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: self._valued(key, value)
            for key, value in zip(map(self._checked, values), values.values(), strict=True)
        }


def copy_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Copy every value of a bucket's fields.

    Raises:
        StateValueError: a value can't be copied; see `copy_value`.
    """
    return {key: copy_value(value) for key, value in fields.items()}


def checked_seconds(seconds: object, what: str, least: float = 0.0) -> float:
    """Give a time back.

    Raises:
        StateValueError: it is no number, or less than *least*, or not finite.
    """
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if is_number and least <= seconds < math.inf:  # type: ignore[operator]
        return float(seconds)  # type: ignore[arg-type]
    bound = "0 or more" if least == 0 else "more than 0"
    raise StateValueError(f"{what} must be seconds, {bound}, not {short(seconds)}")


StateT = TypeVar("StateT", bound=StateBase)


class State(StateBase):
    """Shared key/value data for sync tasks; subclass it to give the data a name.

    The subclass's name is its identity; ``class Signup(State, name="signup")`` gives another one. Its annotations
    declare fields, with their types and defaults; with ``strict=True`` there are no others. With ``ttl=3600`` the
    data expires so many seconds after it was last written to: all fields are removed then, as one event.

    All methods may raise `StateKeyError` (a key is not a str), `StateValueError` (a value can't be copied; see
    `copy_value`), `FieldTypeError` (a value is not of the type that a field declares), `NotFoundError` (a strict
    class doesn't declare the key), and, where they have to wait for another's transaction, `DeadlockError` and
    `WouldBlockError`. Nothing is changed then.

    Example:
        >>> from qstate_nb import StateRegistry
        >>> class Signup(State):
        ...     step: int = 0
        >>> state = StateRegistry().state(Signup)
        >>> state.set("state", "await_phone")
        >>> state.increment("step")
        1
        >>> state.update(prompt="Enter phone number")
        {'step': 1, 'state': 'await_phone', 'prompt': 'Enter phone number'}
    """

    def get(self, key: str | None = None, default: Any = None) -> Any:
        """A copy of the value of *key*, or *default* if there is none; of all fields if *key* is None."""
        try:
            value = self._bucket.open.get(key)
            if type(value) in _AT_ONCE:
                return value
        except TypeError:  # the key can't be hashed; what is wrong with it is said below
            pass
        if key is None:
            return self.get_all()
        key = self._checked(key)
        return self._found(self._run(ops.get, key), key, default)

    def get_all(self) -> dict[str, Any]:
        """A new dict of copies of all fields: first the declared ones, then in the order of their first set."""
        return self._all(self._run(ops.get_all))

    def set(self, key: str, value: Any) -> None:
        """Give *key* a copy of *value*."""
        if stops or self._put(key, value) is None:
            key = self._checked(key)
            self._run(ops.set_, key, self._valued(key, value))

    def update(self, /, **values: Any) -> dict[str, Any]:
        """Give several keys a value at once and return all fields as they are then."""
        fields = None if stops else self._put_all(values)
        return self._all(self._run(ops.update, self._values(values)) if fields is None else fields)

    def delete(self, key: str) -> None:
        """Remove *key*; nothing happens if it is not there."""
        self._run(ops.delete, self._checked(key))

    def clear(self) -> None:
        """Remove all fields, as one event; those with a declared default have that again."""
        self._run(ops.clear)

    def drop(self) -> None:
        """Remove all fields, and the bucket's name from the lists; a write brings it back."""
        self._run(ops.drop)

    def expire(self, seconds: float | None) -> None:
        """Let all fields be removed after so many seconds from now, as one event; None for never.

        A State whose class has a ttl counts that anew at the next write. Nothing happens if there are no fields.

        Raises:
            StateValueError: *seconds* is not such a number.
        """
        wait_in_thread(self._expiring(seconds))

    def contains(self, key: str) -> bool:
        """Whether *key* has a value, be it a declared default."""
        key = self._checked(key)
        return self._found(self._run(ops.get, key), key, ABSENT) is not ABSENT

    def keys(self) -> list[str]:
        """The keys that have a value, in the order of `get_all`."""
        return list(self._rules.complete(self._run(ops.get_all)))

    def increment(self, key: str, by: Any = 1) -> Any:
        """Add *by* to the number at *key*, which counts as 0 if there is none, and return the sum.

        Raises:
            FieldTypeError: one of the two is no number.
        """
        record = None if stops else self._put(key, by, "increment")
        return self._run(ops.increment, self._checked(key), by, self._rules) if record is None else record[7]

    def append(self, key: str, item: Any) -> None:
        """Add a copy of *item* to the end of the list at *key*, which counts as empty if there is none.

        Raises:
            FieldTypeError: the value is no list.
        """
        self._run(ops.append, self._checked(key), copy_value(item), self._rules)

    def setdefault(self, key: str, value: Any = None) -> Any:
        """Give *key* a copy of *value* if it has none, and return the value that it has then."""
        key = self._checked(key)
        return copy_value(self._run(ops.setdefault, key, self._valued(key, value), self._rules))

    def pop(self, key: str, default: Any = None) -> Any:
        """Remove *key* and return the value that it had, or *default* if there was none."""
        key = self._checked(key)
        return self._found(self._run(ops.pop, key), key, default)

    def mutate(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Give *key* what *function* makes of its value, or of *default*, and return that.

        Others wait meanwhile. If *function* raises, that is raised here and nothing is changed.

        Raises:
            FieldTypeError: *function* is async.
        """
        return wait_in_thread(mutate(self._bucket, self._checked(key), function, default, self._rules))

    def _run(self, op: ops.Op, *args: Any) -> Any:
        if stops:
            stop_point.get().check()
        result = self._try(op, *args)
        if result is MUST_WAIT:
            result = wait_in_thread(self._bucket.store.waiting(self._bucket, op, args))
        return result


SyncState = State


class AsyncState(StateBase):
    """Shared key/value data for async tasks; subclass it to give the data a name.

    All is as in `State`, with ``await``. An op waits only while another's transaction holds the bucket, and never
    blocks the event loop.

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
        try:
            value = self._bucket.open.get(key)
            if type(value) in _AT_ONCE:
                return value
        except TypeError:
            pass
        if key is None:
            return await self.get_all()
        key = self._checked(key)
        value = self._try(ops.get, key)  # not `_run`: one coroutine less
        if value is MUST_WAIT:
            value = await wait_in_loop(self._bucket.store.waiting(self._bucket, ops.get, (key,)))
        return self._found(value, key, default)

    async def get_all(self) -> dict[str, Any]:
        """As `State.get_all`."""
        return self._all(await self._run(ops.get_all))

    async def set(self, key: str, value: Any) -> None:
        """As `State.set`."""
        if self._put(key, value) is None:
            key = self._checked(key)
            value = self._valued(key, value)
            if self._try(ops.set_, key, value) is MUST_WAIT:
                await wait_in_loop(self._bucket.store.waiting(self._bucket, ops.set_, (key, value)))

    async def update(self, /, **values: Any) -> dict[str, Any]:
        """As `State.update`."""
        fields = self._put_all(values)
        return self._all(await self._run(ops.update, self._values(values)) if fields is None else fields)

    async def delete(self, key: str) -> None:
        """As `State.delete`."""
        await self._run(ops.delete, self._checked(key))

    async def clear(self) -> None:
        """As `State.clear`."""
        await self._run(ops.clear)

    async def drop(self) -> None:
        """As `State.drop`."""
        await self._run(ops.drop)

    async def expire(self, seconds: float | None) -> None:
        """As `State.expire`."""
        await wait_in_loop(self._expiring(seconds))

    async def contains(self, key: str) -> bool:
        """As `State.contains`."""
        key = self._checked(key)
        return self._found(await self._run(ops.get, key), key, ABSENT) is not ABSENT

    async def keys(self) -> list[str]:
        """As `State.keys`."""
        return list(self._rules.complete(await self._run(ops.get_all)))

    async def increment(self, key: str, by: Any = 1) -> Any:
        """As `State.increment`."""
        record = self._put(key, by, "increment")
        return await self._run(ops.increment, self._checked(key), by, self._rules) if record is None else record[7]

    async def append(self, key: str, item: Any) -> None:
        """As `State.append`."""
        await self._run(ops.append, self._checked(key), copy_value(item), self._rules)

    async def setdefault(self, key: str, value: Any = None) -> Any:
        """As `State.setdefault`."""
        key = self._checked(key)
        return copy_value(await self._run(ops.setdefault, key, self._valued(key, value), self._rules))

    async def pop(self, key: str, default: Any = None) -> Any:
        """As `State.pop`."""
        key = self._checked(key)
        return self._found(await self._run(ops.pop, key), key, default)

    async def mutate(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """As `State.mutate`; *function* is a plain one."""
        return await wait_in_loop(mutate(self._bucket, self._checked(key), function, default, self._rules))

    async def _run(self, op: ops.Op, *args: Any) -> Any:
        result = self._try(op, *args)
        if result is MUST_WAIT:
            result = await wait_in_loop(self._bucket.store.waiting(self._bucket, op, args))
        return result
