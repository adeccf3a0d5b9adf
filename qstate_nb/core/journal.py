"""Events: who changed what, when, from which value to which.

A record of it is made by the store in the same step that changes the data; an `Event` shows it. The actor comes from
a context variable that the app sets for each call and the notebook for each cell, so it follows the code across
awaits and into threads that were given the context.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from qstate_nb.core.keys import StateKey
from qstate_nb.core.values import copy_value


class _Absent(enum.Enum):
    ABSENT = "absent"

    def __repr__(self) -> str:
        return "<absent>"

    def __bool__(self) -> Literal[False]:
        return False


ABSENT: Final = _Absent.ABSENT
"""Stands for the value of a field that is not there."""


class Actor(msgspec.Struct, frozen=True, weakref=True):
    """Who did it.

    Args:
        task: name of the task, or None for the user (a cell, a magic, the panel).
        call: number of the call in its app, from 1.
        cell: number of the notebook cell that was running, where there is one.
        host, process: name of the machine, and number of the process there, if it was another process than this one.

    Example:
        >>> str(Actor("step1", 3, cell=7)), str(Actor(cell=7))
        ('step1 #3', 'user')
        >>> str(Actor("step1", 3, host="worker-2", process=4711))
        'step1 #3 @worker-2:4711'
    """

    task: str | None = None
    call: int | None = None
    cell: int | None = None
    host: str | None = None
    process: int | None = None

    def __str__(self) -> str:
        number = "" if self.call is None else f" #{self.call}"
        where = "" if self.host is None else f" @{self.host}:{self.process}"
        return f"{self.task or 'user'}{number}{where}"


_USER = Actor()


def expiry() -> Actor:
    """Who did it when State expires; each time another one, as the calls of a task are."""
    return Actor("ttl")


current_actor: ContextVar[Actor] = ContextVar("qstate_nb.current_actor", default=_USER)
"""On whose behalf the running code acts."""


_SHOWN = 10  # events that an event is about


class Change(NamedTuple):
    """One field of an event: its bucket, and its value before and after, `ABSENT` where it was or is not there."""

    state: StateKey
    field: str
    before: Any
    after: Any


class Event(msgspec.Struct, frozen=True):
    """The record of one op, or one transaction, that changed something.

    Args:
        seq: number of the event in its store, from 1, without gaps.
        time: when it was committed, in seconds since the epoch.
        op: name of the op, such as ``set``; ``transaction`` for several ops at once.
        actor: who did it.
        stored: the changes with the store's own values: read `changes` instead, which gives copies.
        refers_to: the events that an ``undo`` reverted or a ``redo`` brought back; of a ``rewind``, the one after
            which the State was as it is again.

    Example:
        >>> event = Event(1, 0.0, "set", Actor(), (Change(StateKey("Signup"), "step", ABSENT, 1),))
        >>> event
        <Event 1: Signup set step by user>
        >>> event.changes[0].after
        1
    """

    seq: int
    time: float
    op: str
    actor: Actor
    stored: tuple[Change, ...]
    refers_to: tuple[int, ...] = ()

    @classmethod
    def of(cls, record: Record) -> Event:
        """The event that a store's record stands for."""
        seq, when, op, actor = record[:4]
        op, refers_to = op if isinstance(op, Revert) else (op, ())
        return cls(seq, when, op, actor, changes_of(record), refers_to)

    @property
    def states(self) -> tuple[StateKey, ...]:
        """The buckets that were changed, in the order in which they were."""
        return tuple(dict.fromkeys(change.state for change in self.stored))

    @property
    def changes(self) -> tuple[Change, ...]:
        """What changed, in the order in which it did; the values are copies."""
        return tuple(
            Change(state, field, copy_value(before), copy_value(after)) for state, field, before, after in self.stored
        )

    @property
    def title(self) -> str:
        """The op, and which events it is about, such as ``undo of events 3, 4`` or ``rewind to event 2``."""
        if not self.refers_to:
            return self.op
        seqs = ", ".join(map(str, self.refers_to[:_SHOWN])) + (", …" if len(self.refers_to) > _SHOWN else "")
        if self.op == "rewind":
            return f"rewind to event {seqs}"
        return f"{self.op} of event{'' if len(self.refers_to) == 1 else 's'} {seqs}"

    def __repr__(self) -> str:
        states = self.states
        if len(states) == 1 and not self.refers_to:
            named = f"{states[0]} {self.op} {', '.join(change.field for change in self.stored)}"
        else:
            changes = ", ".join(f"{change.state}.{change.field}" for change in self.stored)
            named = f"{self.title}{':' if self.refers_to else ''} {changes or 'nothing changed'}"
        return f"<Event {self.seq}: {named} by {self.actor}>"


class Revert(NamedTuple):
    """The op of an event that goes back or forth in time, and the events that it is about: see `Event`."""

    op: Literal["undo", "redo", "rewind"]
    refers_to: tuple[int, ...]


Record: TypeAlias = tuple[Any, ...]
"""An event as a store keeps it, because a flat tuple costs the least: ``seq, time, op, actor``, and then for each
change ``state, field, before, after``. The op is a str or a `Revert`."""


def fields_of(record: Record) -> Iterable[tuple[StateKey, str]]:
    """The buckets and fields that a record's event changed.

    Example:
        >>> list(fields_of((1, 0.0, "set", Actor(), StateKey("Signup"), "step", ABSENT, 1)))
        [(StateKey(name='Signup', scope=None), 'step')]
    """
    return zip(record[4::4], record[5::4], strict=True)


Contents: TypeAlias = Mapping[StateKey, Mapping[str, Any]]
"""What is stored in buckets, as far as they have fields."""


class Label(NamedTuple):
    """A name for a moment.

    Args:
        seq: number of the last event before it; 0 if there was none.
        contents: what was stored then.
    """

    seq: int
    contents: Contents


def changes_of(record: Record) -> tuple[Change, ...]:
    """What a record says that has changed.

    Example:
        >>> changes_of((1, 0.0, "set", Actor(), StateKey("Signup"), "step", ABSENT, 1))
        (Change(state=StateKey(name='Signup', scope=None), field='step', before=<absent>, after=1),)
    """
    return tuple(Change(*record[start : start + 4]) for start in range(4, len(record), 4))
