"""Time travel: what a registry can do with its journal.

Nothing of the past is ever changed: to go back or forth is a new event that sets the fields as they were.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol, TypeAlias

from qstate_nb.core import saving
from qstate_nb.core.diff import Diff
from qstate_nb.core.fields import Declared
from qstate_nb.core.formats import short
from qstate_nb.core.history import Captured, History, Snapshot, Written, check_moment, is_whole, matching
from qstate_nb.core.journal import ABSENT, Actor, Contents, Event, Label, Revert, fields_of
from qstate_nb.core.keys import ScopeId, StateKey, checked_scope
from qstate_nb.core.saving import Saved
from qstate_nb.core.state import StateBase
from qstate_nb.core.store import MemoryStore
from qstate_nb.core.undoing import Plan, Step
from qstate_nb.errors import HistoryError, HorizonError, NotAStateError, NotFoundError

Moment: TypeAlias = int | str
"""The number of an event, for the State after it, 0 for the beginning, or a label."""

StateLike: TypeAlias = "str | StateKey | StateBase | type[StateBase]"
"""A State: its name, such as ``Signup`` or ``Signup[42]``, its key, its object or its class."""


class Runner(Protocol):
    """Something that runs tasks on a registry."""

    def running(self) -> list[str]:
        """The calls that run now, such as ``step1 #3``."""


class TimeTravel:
    """The past of a registry; see `StateRegistry`."""

    _store: MemoryStore

    def __init__(self) -> None:
        self._runners: tuple[weakref.ref[Runner], ...] = ()  # replaced, never changed
        self._runners_lock = threading.Lock()

    def add_runner(self, runner: Runner) -> None:
        """Know something that runs tasks here, as long as it lives."""
        with self._runners_lock:
            self._runners = (*(ref for ref in self._runners if ref() is not None), weakref.ref(runner))

    def declared(self, name: str) -> Declared | None:
        """The fields that the State class of that name declares."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """The names of all States."""
        raise NotImplementedError

    @property
    def seq(self) -> int:
        """The number of the last event; 0 if there was none."""
        self._store.sync()
        return self._store.seq

    @property
    def dropped(self) -> int:
        """How many events are not kept any more: the State after the last of these is the oldest that is known."""
        self._store.sync()
        return self._store.seq - len(self._store.journal)

    @property
    def labels(self) -> dict[str, int]:
        """Label → the number of the last event before it."""
        return {name: label.seq for name, label in self._store.labels.items()}

    def history(  # noqa: PLR0917 - a filter for each
        self,
        state: StateLike | None = None,
        scope: ScopeId | None = None,
        key: str | None = None,
        task: str | None = None,
        call: object = None,
        since: Moment | None = None,
        until: Moment | None = None,
        limit: int | None = None,
    ) -> History:
        """The events that are kept, oldest first: those for which all that is given is so.

        Args:
            state: it changed this State; without a scope, that with any scope.
            scope: of *state*.
            key: it changed this key.
            task: a task of this name did it.
            call: this `Call`, or the call of this number, did it.
            since, until: it is not before, or not after, the event of this number; or it came after, or before, this
                label.
            limit: how many at most: the last ones.

        Raises:
            NotFoundError: there is no such State or label.
            HistoryError: *since* or *until* is not such a number, or *limit* is less than 0.
        """
        if limit is not None and not is_whole(limit, 0):
            raise HistoryError(f"limit must be a number of events, 0 or more, or None, not {short(limit)}")
        is_state = None if state is None else self._matcher(state, scope)
        is_actor = None if task is None and call is None else _actor_matcher(task, call)
        is_plain = is_state is None and is_actor is None and (key, since, until) == (None, None, None)
        records = self._store.records(limit if is_plain else None)
        first = 1 if since is None else self.seq_of(since) + isinstance(since, str)
        last = self.seq if until is None else self.seq_of(until)
        if records and (since is not None or until is not None):
            offset = records[0][0]
            records = records[max(0, first - offset) : max(0, last - offset + 1)]
        found = matching(records, is_state, key, is_actor)
        return History(found if limit is None else found[max(0, len(found) - limit) :], self.dropped)

    def _matcher(self, state: StateLike, scope: ScopeId | None = None) -> Callable[[StateKey], bool]:
        """Tells whether a bucket is of a State; of all its scopes, if none is given."""
        key = self.key_of(state, scope)
        if key.scope is None and not isinstance(state, StateKey | StateBase):
            return lambda other: other.name == key.name
        return lambda other: other == key

    def key_of(self, state: StateLike, scope: ScopeId | None = None) -> StateKey:
        """The bucket that is meant; it may be in the journal alone.

        Raises:
            NotFoundError: there is no State of that name.
            NotAStateError: *state* is none of these.
        """
        if isinstance(state, StateBase):
            key: StateKey = state._bucket.key
            return key
        if isinstance(state, StateKey):
            return state
        if isinstance(state, type) and issubclass(state, StateBase):
            state = state.state_name
        if not isinstance(state, str):
            raise NotAStateError(f"{short(state)} is no State: give its name, its class, its object or its key")
        name = state.partition("[")[0]
        if name not in self.names() and not any(name == key.name for key in self._mentioned()):
            raise NotFoundError("state", state, {*self.names(), *map(str, self._mentioned())})
        named = StateKey.parse(state)
        return named if scope is None else StateKey(name, checked_scope(scope, name))

    def _mentioned(self) -> set[StateKey]:
        return {key for record in self._store.records() for key, _ in fields_of(record)}

    def seq_of(self, moment: Moment) -> int:
        """The number of the last event before a moment.

        Raises:
            HistoryError: there is no such event. NotFoundError: there is no such label.
        """
        if isinstance(moment, str):
            return self._label(moment).seq
        return check_moment(moment, self.seq)

    def _label(self, name: str) -> Label:
        labels = self._store.labels
        if name not in labels:
            raise NotFoundError("label", name, labels)
        return labels[name]

    def at(self, moment: Moment | None = None) -> Snapshot:
        """What was stored after an event, or at a label; by default, what is stored now.

        Raises:
            HorizonError: the events after that were dropped.
            HistoryError: there is no such event.
            NotFoundError: there is no such label.
        """
        seq, contents = self._at(moment, self._store.capture())
        return Snapshot(seq, contents, self._defaults)

    def _defaults(self, key: StateKey) -> Mapping[str, Any]:
        declared = self.declared(key.name)
        return {} if declared is None else declared.all_defaults()

    def _at(self, moment: Moment | None, now: Captured) -> tuple[int, Contents]:
        if moment is None:
            return now.seq, now.contents
        label = self._label(moment) if isinstance(moment, str) else None
        target, horizon = check_moment(moment, now.seq) if label is None else label.seq, now.horizon
        if target >= horizon:
            return target, now.at(min(target, now.seq))
        if label is not None:
            return target, label.contents
        raise HorizonError(
            f"the State after event {target:,} is not known any more: the journal is bounded, and its events up to "
            f"{horizon:,} were dropped; a label keeps a moment, and StateRegistry(max_events=…) keeps more"
        )

    def diff(self, a: Moment, b: Moment | None = None, state: StateLike | None = None) -> Diff:
        """What is different between two moments, also inside dicts and lists.

        Args:
            a, b: event numbers or labels; without *b*, now.
            state: only of this State; without a scope, that with any scope.

        Raises:
            HorizonError, HistoryError, NotFoundError: as `at` does.
        """
        before, after = self.at(a), self.at(b)
        return before.changes_to(after, None if state is None else self._matcher(state))

    def blame(self, state: StateLike, scope: ScopeId | None = None) -> dict[str, Event]:
        """For each key of a State that is set, the event that last wrote it.

        Raises:
            NotFoundError: there is no such State.
        """
        return self.writers(self.key_of(state, scope))

    def writers(self, key: StateKey, fields: Iterable[str] | None = None) -> dict[str, Event]:
        """For each field of a bucket, or each of *fields*, the event that last wrote it."""
        return self._store.writers(key, fields)

    def label(self, name: str) -> int:
        """Give this moment a name, to come back to; a label of that name moves here.

        It is kept, with what is stored now, also when the events before it are dropped.

        Returns:
            The number of the last event before it.

        Raises:
            HistoryError: *name* is no text, or it is a number, which means an event.
        """
        if not isinstance(name, str) or not name.strip():
            raise HistoryError(f"a label must be a text, not {short(name)}")
        if name.strip().lstrip("-").isdecimal():
            raise HistoryError(f"a label must not be a number, as {name} means an event")
        return self._store.label(name)

    def undo(self, n: int = 1, *, by: Literal["call", "event"] = "call") -> History:
        """Undo what the last call, or the user's last op, has changed; or the *n* last ones.

        What others changed since then stays: State is as if these events had not happened. Each is a new event, which
        says what it reverted. A call that a call has made, and each attempt of one that was retried, is one of its
        own.

        Args:
            by: ``event`` undoes one event at a time.

        Returns:
            The new events.

        Raises:
            HistoryError: there are not so many, a task runs, or a transaction holds one of the buckets.
            HorizonError: what was there before, or a part of the call, may have been dropped.
        """
        if by not in ("call", "event"):
            raise HistoryError(f'by must be "call" or "event", not {short(by)}')
        return self._travel("undo", n, lambda plan: plan.undo(whole_calls=by == "call"))

    def redo(self, n: int = 1) -> History:
        """Bring back what the last undo reverted; or the *n* last ones. Any other change ends that.

        Returns:
            The new events.

        Raises:
            HistoryError: as `undo`.
        """
        return self._travel("redo", n, Plan.redo)

    def rewind(self, moment: Moment) -> Event | None:
        """Make State as it was after an event, or at a label.

        Returns:
            The new event; None if State is so already.

        Raises:
            HorizonError, HistoryError, NotFoundError: as `at` does; and as `undo`.
        """

        def plan(_: int) -> list[Step]:
            self._check_idle("rewind")
            now = self._store._capture()
            seq, then = self._at(moment, now)
            wanted: Written = {}
            for key in dict.fromkeys([*now.contents, *then]):
                old, new = now.contents.get(key, {}), then.get(key, {})
                for field in dict.fromkeys([*old, *new]):
                    if old.get(field, ABSENT) is not new.get(field, ABSENT):  # equal values can differ, as True and 1
                        wanted[key, field] = new.get(field, ABSENT)
            self._check_free("rewind", (key for key, _ in wanted))
            return [(Revert("rewind", (seq,)), wanted)] if wanted else []

        records = self._store.travel(plan, 1)
        return Event.of(records[0]) if records else None

    def _travel(self, name: str, n: int, plan_step: Callable[[Plan], Step]) -> History:
        """Plan *n* steps, and only then make them."""
        if not is_whole(n, 1):
            raise HistoryError(f"n must be a whole number, 1 or more, not {short(n)}")

        def steps(n: int) -> list[Step]:
            self._check_idle(name)
            plan = Plan(list(self._store.journal), self._store.seq)
            planned = [plan_step(plan) for _ in range(n)]
            self._check_free(name, (key for _, wanted in planned for key, _ in wanted))
            return planned

        return History(self._store.travel(steps, n))

    def running(self) -> list[str]:
        """The calls that run now on this State, such as ``step1 #3``."""
        return [call for ref in self._runners if (runner := ref()) is not None for call in runner.running()]

    def _check_idle(self, name: str) -> None:
        running = self.running()
        if running:
            raise HistoryError(
                f"can't {name} while {', '.join(running[:3])}{', …' if len(running) > 3 else ''} "
                f"{'runs' if len(running) == 1 else 'run'} and could change State; wait for the end"
            )

    def _check_free(self, name: str, keys: Iterable[StateKey]) -> None:
        for key in keys:
            holder = self._store.holder(key)
            if holder is not None:
                raise HistoryError(f"can't {name} while {holder} has a transaction on {key}")

    def saved(self, moment: Moment | None = None) -> Saved:
        """All that is needed to make this registry again, as it was then.

        Raises:
            HorizonError, HistoryError, NotFoundError: as `at` does.
        """
        now = self._store.capture()
        horizon = now.horizon
        target, contents = self._at(moment, now)
        labels = {name: label for name, label in self._store.labels.items() if label.seq <= target}
        if target < horizon:
            return Saved(target, [], contents, {}, labels)
        base = now.at(horizon)
        old = {
            key: {field: writers[field] for field in base[key] if field in writers and writers[field][0] <= horizon}
            for key, writers in now.writers.items()
            if key in base
        }
        return Saved(target, now.records[: target - horizon], base, old, labels)

    def save(self, path: str | os.PathLike[str]) -> int:
        """Write the journal, the labels and what is stored to a file, as JSON Lines.

        Returns:
            How many events were written.

        Raises:
            SaveError: a value is of a type that the file can't hold, or the file can't be written. It is then as it
                was before.
        """
        saved = self.saved()
        saving.save(path, saved, self.declared)
        return len(saved.records)

    def load(self, path: str | os.PathLike[str]) -> int:
        """Replace the journal, the labels and all that is stored by what `save` wrote.

        Returns:
            How many events were read.

        Raises:
            LoadError: the file is damaged, of a newer version, or can't be read. Nothing is changed.
            HistoryError: a task runs, or a transaction is open.
        """
        saved = saving.load(path, self.declared)
        self._store.replace(saved, lambda: self._check_idle("load a file"))
        if saved.records:
            self._store.tell(saved.records[-1])  # so that displays show what is there now
        return len(saved.records)


def _actor_matcher(task: str | None, call: object) -> Callable[[Actor], bool]:
    number = getattr(call, "number", call)
    exact = getattr(call, "actor", None)

    def is_actor(actor: Actor) -> bool:
        if exact is not None:
            return actor is exact
        return task in (None, actor.task) and number in (None, actor.call) and actor.task is not None

    return is_actor
