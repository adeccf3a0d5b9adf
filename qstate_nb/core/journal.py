"""Events: who changed what, when, from which value to which.

An `Event` is made by the store in the same step that changes the data. The actor comes from a context variable
that the app sets for each call and the notebook for each cell, so it follows the code across awaits and into
threads that were given the context.
"""

from __future__ import annotations

import enum
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

StoredChange: TypeAlias = tuple[str, Any, Any]


class Actor(msgspec.Struct, frozen=True):
    """Who did it.

    Args:
        task: name of the task, or None for the user (a cell, a magic, the panel).
        call: number of the call in its app, from 1.
        cell: number of the notebook cell that was running, where there is one.

    Example:
        >>> str(Actor("step1", 3, cell=7)), str(Actor(cell=7))
        ('step1 #3', 'user')
    """

    task: str | None = None
    call: int | None = None
    cell: int | None = None

    def __str__(self) -> str:
        return "user" if self.task is None else f"{self.task} #{self.call}"


_USER = Actor()

current_actor: ContextVar[Actor] = ContextVar("qstate_nb.current_actor", default=_USER)
"""On whose behalf the running code acts."""


class Change(NamedTuple):
    """One field of an event: its value before and after, `ABSENT` where it was or is not there."""

    field: str
    before: Any
    after: Any


class Event(msgspec.Struct, frozen=True):
    """The record of one op that changed something.

    Args:
        seq: number of the event in its store, from 1, without gaps.
        time: when it was committed, in seconds since the epoch.
        key: the bucket.
        op: name of the op: ``set``, ``update``, ``delete`` or ``clear``.
        actor: who did it.
        stored: the changes with the store's own values: read `changes` instead, which gives copies.

    Example:
        >>> event = Event(1, 0.0, StateKey("Signup"), "set", Actor(), (("step", ABSENT, 1),))
        >>> event.changes
        (Change(field='step', before=<absent>, after=1),)
    """

    seq: int
    time: float
    key: StateKey
    op: str
    actor: Actor
    stored: tuple[StoredChange, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """What changed, in the order in which the op changed it; the values are copies."""
        return tuple(Change(*map(copy_value, change)) for change in self.stored)

    def __repr__(self) -> str:
        fields = ", ".join(field for field, _, _ in self.stored)
        return f"<Event {self.seq}: {self.key} {self.op} {fields} by {self.actor}>"
