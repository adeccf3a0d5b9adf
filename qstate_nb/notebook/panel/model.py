"""What the panel shows and does, without a widget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from qstate_nb.app import Call, InlineApp, Task
from qstate_nb.core.formats import BY_REFERENCE, printable, short, short_marked, short_text
from qstate_nb.core.journal import Event
from qstate_nb.core.keys import StateKey
from qstate_nb.errors import HistoryError
from qstate_nb.notebook import past, views
from qstate_nb.notebook.arguments import Given, convert
from qstate_nb.notebook.render import Heading, Notice, Paragraph, View, escape
from qstate_nb.notebook.timeline import timeline_html, window
from qstate_nb.notebook.views import Limits

SHOWN_CALLS = 8
_LIMITS = Limits(width=160, rows=200)
_MAX_STATES = 50
_MAX_OUTPUT = 4_000

_Values = dict[tuple[StateKey, str], tuple[int, str]]


class PanelModel:
    """The panel of one app.

    Args:
        app: whose tasks and State are shown.
        loop: where async tasks run: the loop of the kernel's main thread. None runs them in threads.
        on_change: is called after each change, in the thread that made it.
    """

    def __init__(
        self, app: InlineApp, loop: asyncio.AbstractEventLoop | None, on_change: Callable[[object], object]
    ) -> None:
        self.app = app
        self._loop = loop
        self.moment: int | None = None  # after which event State is shown; None for now
        self._values: _Values = {}
        self._unsubscribe = [app.subscribe(on_change), app.registry.subscribe(on_change)]

    def close(self) -> None:
        """Hear of no more changes."""
        while self._unsubscribe:
            self._unsubscribe.pop()()

    def run(self, task: Task, given: Mapping[str, Given]) -> None:
        """Start a call in the background, from any thread, with what a form gave.

        Raises:
            ArgumentError: a value doesn't fit its parameter, or is missing; nothing is started.
        """
        values = {name: convert(task.parameter(name), value, task.name) for name, value in given.items()}
        args, kwargs = task.arguments(values)

        call = self.app.new_call(task, args, kwargs, echo=False)
        self.app.tell(call)  # it shows at once, and can be stopped, also while the loop is busy
        if self._loop is None or self._loop.is_closed() or not task.is_async:
            self.app.begin(call)
        else:  # a callback may run on any thread, with a loop of its own that doesn't last
            self._loop.call_soon_threadsafe(self.app.begin, call)

    def stop(self, call: Call) -> None:
        """Stop a call, from any thread."""
        call.cancel("stopped in the panel")

    def calls(self) -> tuple[list[Call], int]:
        """The calls to show, at most `SHOWN_CALLS`, and how many more there are that run.

        First those that run, the oldest first; then those that have ended, the newest first.
        """
        calls = self.app.calls
        running = [call for call in calls if call.own_result is None]
        ended = [call for call in reversed(calls) if call.own_result is not None]
        return [*running, *ended][:SHOWN_CALLS], max(0, len(running) - SHOWN_CALLS)

    def range(self) -> tuple[int, int]:
        """The numbers of the events after which State is known: of the first and the last one."""
        registry = self.app.registry
        dropped, last = registry.dropped, registry.seq
        return min(dropped, last), last

    def go_to(self, moment: int | str | None) -> None:
        """Show State as it was after an event or at a label; None, or the last event, is now.

        Raises:
            NotFoundError: there is no such label.
        """
        self.moment = self.app.registry.seq_of(moment) if isinstance(moment, str) else moment
        first, last = self.range()
        if self.moment is not None:
            self.moment = None if self.moment >= last else max(first, self.moment)

    def labels(self) -> list[str]:
        """The labels of moments that can be shown, oldest first."""
        first, _ = self.range()
        known = self.app.registry.labels
        return sorted((name for name, seq in known.items() if seq >= first), key=lambda name: known[name])

    def timeline(self) -> str:
        """The events around the moment that is shown, as a picture, in HTML."""
        first, last = self.range()
        at = last if self.moment is None else min(self.moment, last)
        start, end = window(first + 1, last, at)
        events = self.app.registry.history(since=min(start, last), until=end) if last else ()
        return timeline_html(events, at, is_past=self.moment is not None)

    def undo(self) -> str:
        """Undo the last call or command.

        Raises:
            HistoryError: it can't be undone.
        """
        return self._changed(past.undo(self.app))

    def redo(self) -> str:
        """Bring back what was undone.

        Raises:
            HistoryError: nothing was.
        """
        return self._changed(past.redo(self.app))

    def rewind(self) -> str:
        """Make State as it was at the moment that is shown.

        Raises:
            HistoryError: it can't be, or that is now.
        """
        if self.moment is None:
            raise HistoryError("choose a moment first: move the slider")
        return self._changed(past.rewind(self.app, self.moment))

    def _changed(self, done: str) -> str:
        self.moment = None
        return done

    def label(self, name: str) -> str:
        """Give the moment that is now a name.

        Raises:
            HistoryError: it can't have this one.
        """
        return past.label(self.app, name)

    def states(self) -> View:
        """Every bucket: keys, values, who changed them; the last change is marked. Of the past, if that is shown."""
        if self.moment is not None:
            return self._past(self.moment)
        registry = self.app.registry
        history = registry.history(limit=1)
        newest = history[-1].seq if history else None
        last = [views.last_change(history[-1], _LIMITS)] if history else []
        known, values = self._values, _Values()

        def shown(key: StateKey, field: str, value: Any, event: Event | None) -> str:
            values[key, field] = _text_of(value, event, known.get((key, field)))
            return values[key, field][1]

        states = views.all_states_blocks(registry, _LIMITS, _MAX_STATES, newest, shown)
        self._values = values  # without the fields that are no longer there
        return View([*last, *states] if states else [Paragraph("no State yet: run a task that has one")])

    def _past(self, moment: int) -> View:
        """State as it was, marked as such, and what is different now."""
        registry = self.app.registry
        try:
            then, found = registry.at(moment), registry.diff(moment)
        except HistoryError as error:  # its events were dropped meanwhile
            return View([Paragraph(str(error))])
        first = Notice(f"PAST: State after event {then.seq:,} of {registry.seq:,}; it can only be read")
        shown = past.snapshot_view(then, _LIMITS).blocks[1:]
        return View([first, *shown, Heading("from then to now"), *past.diff_view(found, _LIMITS).blocks])

    def overview(self) -> View:
        """The panel in plain text: what there is to run, and State as it is now."""
        heading = Heading(f"qstate panel: {self.app.name}")
        return View([heading, *views.task_blocks(self.app, _LIMITS), *self.states().blocks])


def _text_of(value: Any, event: Event | None, known: tuple[int, str] | None) -> tuple[int, str]:
    """A value as text, with its event's number; made once for each event, as most values don't change."""
    seq = 0 if event is None else event.seq
    if event is not None and known is not None and known[0] == seq and not known[1].endswith(BY_REFERENCE):
        return known
    return seq, short_marked(value, _LIMITS.width)


def call_html(call: Call) -> str:
    """A call in HTML: what was called, how it stands or ended, what it printed."""
    parts = [f"<b>{escape(str(call))}</b> ({escape(_arguments(call))}) · <span>{escape(_status(call))}</span>"]
    output = call.output
    if output:
        shown = views.shortened(output, _MAX_OUTPUT)
        parts.append(f'<pre style="margin:0 0 0 1em;white-space:pre-wrap">{escape(shown.rstrip())}</pre>')
    if call.own_result is not None and call.own_result.status == "error":
        trace = escape(views.shortened(call.own_result.traceback or ""))
        parts.append(
            f"<details><summary>traceback</summary><pre style='white-space:pre-wrap'>{trace}</pre></details>"
        )
    return f'<div class="qstate-call" style="line-height:1.4">{"".join(parts)}</div>'


def _arguments(call: Call) -> str:
    positional = [short(value, 40) for value in call.args]
    named = [f"{printable(name, 40)}={short(value, 40)}" for name, value in call.kwargs.items()]
    return ", ".join([*positional, *named])


def _status(call: Call) -> str:
    result = call.own_result
    if result is not None:
        return views.ending(result, 80)
    state = "stopping" if call.stopped_by is not None else {"new": "waiting"}.get(call.own_status, "running")
    progress = call.progress
    if progress is None:
        return state
    message = short_text(progress.message, 80)
    return f"{state}, {_number(progress.done)} of {_number(progress.total)} {message}".rstrip()


def _number(value: float) -> str:
    return short(value, 20) if isinstance(value, int) else f"{value:g}"
