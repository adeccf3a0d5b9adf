"""The panel's live log: the last events that match a filter, at a cost that doesn't grow with the journal.

At each update only the events that came since the last one are fetched. Together with those that are left from
before they are looked at from the newest on, some thousands at a time, until enough that match are found: so a new
filter, or a burst, is caught up with over several updates, and the newest events show first.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from qstate_nb.app import InlineApp
from qstate_nb.core.formats import counted
from qstate_nb.core.history import History
from qstate_nb.core.journal import Actor, Event
from qstate_nb.notebook import views
from qstate_nb.notebook.render import Paragraph, Table, View
from qstate_nb.notebook.views import Limits

PAGE = 50
MOST = 1_000  # events that match
BUDGET = 2_000  # events that are looked at in one update
USER = ""  # no task has this name
_OPS = ("append", "clear", "delete", "increment", "set", "update", "transaction", "undo", "redo", "rewind")
HERE = ""
OTHERS = "*"
_PROCESSES = 50  # that can be chosen one by one
_LIMITS = Limits(width=120)
_SEARCHED = 100  # changes of an event


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are wanted: those for which all that is given is so.

    Args:
        state: they changed a State of this name, in any scope.
        by: a task of this name made them; `USER` for the user.
        key: they changed a key with this text in its name.
        op: they are of this op.
        text: what is shown of them has this text in it.
        process: it was `HERE`, in any other process (`OTHERS`), or in this one, such as ``worker-2:4711``.
    """

    state: str | None = None
    by: str | None = None
    key: str = ""
    op: str | None = None
    text: str = ""
    process: str | None = None

    def fits(self, event: Event) -> bool:
        """Tell whether an event is wanted."""
        if self.op not in (None, event.op) or self.by not in (None, event.actor.task or USER):
            return False
        if self.process is not None and not self._is_there(event.actor):
            return False
        if (self.state is not None or self.key) and not self._has_change(event):
            return False
        return not self.text or self.text.strip().casefold() in _searched(event)

    def _is_there(self, actor: Actor) -> bool:
        return actor.host is not None if self.process == OTHERS else self.process == process_of(actor)

    def _has_change(self, event: Event) -> bool:
        key = self.key.strip().casefold()
        return any(
            self.state in (None, change.state.name) and key in change.field.casefold() for change in event.stored
        )


def process_of(actor: Actor) -> str:
    """Where something was done, such as ``worker-2:4711``; `HERE` if it was in this process."""
    return HERE if actor.host is None else f"{actor.host}:{actor.process}"


@dataclass(slots=True)
class _Stretch:
    """Successive events, of which the first *left* have not been looked at."""

    events: Sequence[Event]
    left: int
    found: list[Event] = field(default_factory=list)  # newest first

    def look(self, is_wanted: Callable[[Event], bool], budget: int, most: int) -> int:
        """Look at some more, until *most* are found or the budget is used up; gives what is left of that."""
        while self.left and budget and len(self.found) < most:
            self.left, budget = self.left - 1, budget - 1
            event = self.events[self.left]
            if is_wanted(event):
                self.found.append(event)
        if len(self.found) >= most:
            del self.found[most:]
            self.left = 0
        return budget

    def forget(self, dropped: int) -> None:
        """Leave out the events that the journal doesn't keep any more."""
        while self.found and self.found[-1].seq <= dropped:
            self.found.pop()
        if self.left and self.events[self.left - 1].seq <= dropped:
            self.left = 0


class EventLog:
    """The log of an app's registry.

    Args:
        app: whose State it is.

    Attributes:
        filter: which events are wanted.
        paused: whether the log stays as it is while events go on.
        page: which page is shown, from 0, the newest events.
        times: whether the time of each event is shown.
    """

    def __init__(self, app: InlineApp) -> None:
        self._app = app
        self.filter = Filter()
        self.paused = False
        self.page = 0
        self.times = False
        self._applied: Filter | None = None
        self._stretches: list[_Stretch] = []  # newest first
        self._last: Event | None = None  # that was fetched
        self._reads = 0  # how many times all of the journal was fetched
        self._states: set[str] = set()
        self._tasks: set[str] = set()
        self._processes: set[str] = set()
        self._ops: set[str] = {*_OPS}
        self._html: tuple[Any, str] = None, ""

    def restart(self) -> None:
        """Show the events of the State that the app has now, if that is another one."""
        self._applied, self._last, self.paused = None, None, False
        for known in (self._states, self._tasks, self._processes):
            known.clear()

    def update(self) -> None:
        """Take in what has happened; `is_searching` says whether there is more to look at."""
        if self.filter != self._applied:
            self._begin()
        elif not self.paused:
            newer = self._newer()
            if newer is None:
                self._begin()
            elif newer:
                self._add(newer)
            for stretch in self._stretches:
                stretch.forget(self._app.registry.dropped)
        self._look()
        self.page = min(self.page, self.pages - 1)

    def _begin(self) -> None:
        """Look at all events that are kept, or, while it is paused, at those until then."""
        events = self._app.registry.history()
        if self.paused and self._applied is not None:
            last = 0 if self._last is None else self._last.seq
            events = events[: max(0, last + 1 - events[0].seq)] if events else events
        self._applied, self._stretches, self.page = self.filter, [], 0
        self._reads += 1
        if events:
            self._add(events)
        elif not self.paused:
            self._last = None

    def _add(self, events: History) -> None:
        self._stretches.insert(0, _Stretch(events, len(events)))
        self._last = events[-1]

    def _newer(self) -> History | None:
        """The events after the last one that was fetched; None if the journal is another one, read from a file."""
        registry, last = self._app.registry, self._last
        seq = 0 if last is None else last.seq
        wanted = registry.seq - seq + 1  # and that one, to see whether it is the same
        if wanted < 1:
            return None
        events = registry.history(limit=wanted)
        while len(events) == wanted and events[0].seq > seq:  # more came meanwhile, or it is the first one
            wanted *= 2
            events = registry.history(limit=wanted)
        start = seq + 1 - events[0].seq if events else 0
        if start > 0 and last is not None and not _is_same(events[start - 1], last):
            return None
        return events[max(0, start) :]

    def _look(self) -> None:
        """Look at some more events, join what is done, and forget what is too much."""
        budget, number = BUDGET, 0
        joined: list[_Stretch] = []
        for stretch in self._stretches:
            budget = stretch.look(self._is_wanted, budget, MOST - number)
            number += len(stretch.found)
            if joined and not joined[-1].left:
                joined[-1].found += stretch.found
                joined[-1].events, joined[-1].left = stretch.events, stretch.left
            else:
                joined.append(stretch)
            if not joined[-1].left:
                joined[-1].events = ()
        self._stretches = joined

    def _is_wanted(self, event: Event) -> bool:
        self._ops.add(event.op)
        self._states.update(change.state.name for change in event.stored[:_SEARCHED])
        if event.actor.task is not None:
            self._tasks.add(event.actor.task)
        if event.actor.host is not None and len(self._processes) < _PROCESSES:
            self._processes.add(process_of(event.actor))
        return self._applied is not None and self._applied.fits(event)

    @property
    def is_searching(self) -> bool:
        """Whether there are events that were not looked at yet."""
        return any(stretch.left for stretch in self._stretches)

    @property
    def found(self) -> list[Event]:
        """The events that match, newest first, at most `MOST`."""
        return [event for stretch in self._stretches for event in stretch.found]

    @property
    def pages(self) -> int:
        """How many pages there are, 1 at least."""
        return max(1, math.ceil(len(self.found) / PAGE))

    @property
    def missed(self) -> int:
        """How many events came since the log was paused."""
        last = 0 if self._last is None else self._last.seq
        return max(0, self._app.registry.seq - last) if self.paused else 0

    def older(self) -> None:
        """Go to the page before; the log is paused for that, as it would move on under the reader's eyes."""
        self.page += 1
        self.paused = True

    def newer(self) -> None:
        """Go to the page after."""
        self.page = max(0, self.page - 1)

    def follow(self) -> None:
        """End the pause, and show the newest events."""
        self.page, self.paused = 0, False

    def states(self) -> list[str]:
        """The names of States that can be chosen."""
        return sorted({*self._states, *self._app.registry.names()})

    def tasks(self) -> list[str]:
        """The names of tasks that can be chosen."""
        return sorted({*self._tasks, *self._app.tasks})

    def processes(self) -> list[str]:
        """The other processes that can be chosen, if State is shared with any."""
        return sorted(self._processes)

    def ops(self) -> list[str]:
        """The ops that can be chosen."""
        return sorted(self._ops)

    @property
    def summary(self) -> str:
        """Which events are shown, and whether there are more."""
        found = len(self.found)
        first = self.page * PAGE
        events = f"the last {found:,} events" if found >= MOST else counted(found, "event")
        parts = [f"{first + 1:,} to {min(first + PAGE, found):,} of {events}" if found else "no event"]
        if self._applied != Filter():
            parts[0] += " that match" if found > 1 else " that matches"
        if self.is_searching:
            parts.append("looking for older ones …")
        if self.paused:
            parts.append(f"paused: {counted(self.missed, 'event')} came since")
        return " · ".join(parts)

    def html(self) -> str:
        """The page as a table."""
        shown = self.found[self.page * PAGE : (self.page + 1) * PAGE]
        key = self._reads, self.times, self._applied, [event.seq for event in shown]
        if key != self._html[0]:  # else it would be made again for whatever happens elsewhere in the panel
            self._html = key, self._table(shown)
        return self._html[1]

    def _table(self, shown: list[Event]) -> str:
        if not shown and (self._applied != Filter() or self.is_searching):
            return View([Paragraph("no such events")]).html
        table = View(views.event_blocks(shown, _LIMITS, _time if self.times else None)).html
        return f'<div class="qstate-events">{table}</div>'


def _is_same(event: Event, other: Event) -> bool:
    return (event.seq, event.time, event.op, event.actor) == (other.seq, other.time, other.op, other.actor)


def _searched(event: Event) -> str:
    """All that can be found of an event by its text: what is shown, and the names of more changes than are."""
    named = [f"{change.state}.{change.field}" for change in event.stored[:_SEARCHED]]
    shown = [
        cell for block in views.event_blocks([event], _LIMITS) if isinstance(block, Table) for cell in block.rows[0]
    ]
    return " ".join([*shown, *named]).casefold()


def _time(event: Event) -> str:
    return datetime.datetime.fromtimestamp(event.time).astimezone().strftime("%H:%M:%S.%f")[:-3]
