"""Notes what is called and changed on an app, as acts that can be done again.

The app tells of each call that begins and ends. A call that a task makes belongs to that task; calls that overlap
are one act. What changed State between the calls, and was no task's doing, is the user's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from qstate_nb.app.call import Call
from qstate_nb.app.inline import InlineApp
from qstate_nb.app.output import current_printer
from qstate_nb.app.steps import Act, CallRecord, Together, Write
from qstate_nb.app.task import Task
from qstate_nb.core.history import Snapshot
from qstate_nb.core.journal import ABSENT, Event
from qstate_nb.core.values import copy_value
from qstate_nb.errors import QStateError

T = TypeVar("T")


class Noted(msgspec.Struct, frozen=True, eq=False):
    """Acts that have ended.

    Args:
        acts: calls that ran at once, and what the user changed meanwhile; or a change alone.
        after: what was stored after them.
    """

    acts: tuple[Act, ...]
    after: Snapshot


class _Open(msgspec.Struct, eq=False):
    """A call that has begun, with what it was given."""

    call: Call
    args: tuple[object, ...]
    kwargs: dict[str, object]

    def record(self) -> CallRecord:
        return CallRecord(self.call.task, self.args, self.kwargs, self.call.result)


class Recording:
    """Notes acts from the moment that it is made, until `close`.

    Args:
        app: whose calls and State.
        on_act: is told of each act, in the thread where it ended.
    """

    def __init__(self, app: InlineApp, on_act: Callable[[Noted], object]) -> None:
        self._app = app
        self._on_act = on_act
        self._lock = threading.RLock()
        self._group: dict[Call, _Open] = {}  # the calls of the act that goes on; a retry counts as its first attempt
        self._held = 0
        self._around = current_printer()  # a task that records: what it calls is not nested for us
        self.lost = 0  # events that were dropped before they were seen
        self._begun = {call.first.number for call in app.calls if call.own_status == "process"}
        self._seq = app.registry.seq
        self._unsubscribe = app.subscribe(self._told)

    def close(self) -> None:
        """Note what has been done up to here, also of calls that still run, and hear of no more."""
        self._unsubscribe()
        self.settle()
        with self._lock:
            if self._group:
                self._end_group()

    def settle(self) -> None:
        """Note the user's changes up to here, unless calls run."""
        with self._lock:
            if not self._group:
                self._note_writes()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Take the calls that begin in the block for one act, also if none of them waits for anything."""
        with self._lock:
            self._held += 1
        try:
            yield
        finally:
            with self._lock:
                self._held -= 1
                self._end_group_if_done()

    def _told(self, changed: Call | Task) -> None:
        if not isinstance(changed, Call):
            return
        with self._lock:
            first = changed.first
            if first in self._group:
                self._end_group_if_done()
            elif first.own_status == "process" and first.number not in self._begun:
                self._begun.add(first.number)  # it can be told of again, from anywhere
                outer = current_printer()
                if outer is self._around or not isinstance(outer, Call):
                    self._begin(first)

    def _begin(self, call: Call) -> None:
        if not self._group:
            self._note_writes()
        self._group[call] = _Open(call, as_given(call.args), as_given(call.kwargs))

    def _end_group_if_done(self) -> None:
        if self._group and not self._held and all(each.call.done for each in self._group.values()):
            self._end_group()

    @property
    def open_calls(self) -> list[str]:
        """The calls that have begun and not ended."""
        with self._lock:
            return [str(each.call) for each in self._group.values() if not each.call.done]

    def _end_group(self) -> None:
        records = tuple(each.record() for each in self._group.values())
        self._group.clear()
        after = self._app.registry.at()
        meanwhile = self._writes(after.seq)
        # what the user changed while the calls ran is done after them, as nobody knows where between
        self._on_act(Noted((Together(records), *map(write_of, meanwhile)), after))

    def _note_writes(self) -> None:
        registry = self._app.registry
        for event in self._writes(registry.seq):
            self._on_act(Noted((write_of(event),), registry.at(event.seq)))

    def _writes(self, last: int) -> list[Event]:
        """The events of this process's user since this was last asked."""
        since, self._seq = self._seq, last
        if last <= since:
            return []
        events = self._app.registry.history(since=since + 1, until=last)
        self.lost += last - since - len(events)
        return [event for event in events if event.stored and event.actor.task is None and event.actor.host is None]


def as_given(given: T) -> T:
    """A copy of what a call is given: the task may change it. What can't be copied stays as it is."""
    try:
        return copy_value(given)
    except QStateError:
        return given


def write_of(event: Event) -> Write:
    """An event of the user's as something that can be done again."""
    return Write(
        event.op,
        {
            (change.state, change.field): ABSENT if change.after is ABSENT else copy_value(change.after)
            for change in event.stored
        },
    )
