"""What `%qstate` does with the journal, as plain functions: see what was, go back and forth, fork, save.

As in `commands`: queries return a `View`, changes a short message.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Literal

from qstate_nb.app import InlineApp
from qstate_nb.core.diff import Diff, arrow
from qstate_nb.core.formats import counted, printable, short_marked
from qstate_nb.core.history import History, Snapshot
from qstate_nb.core.journal import Event
from qstate_nb.core.keys import StateKey
from qstate_nb.core.timetravel import Moment
from qstate_nb.notebook import views
from qstate_nb.notebook.commands import DEFAULT_LIMITS
from qstate_nb.notebook.render import Block, Heading, Paragraph, Table, View
from qstate_nb.notebook.views import Limits


def history(
    app: InlineApp,
    state: str | None = None,
    *,
    n: int | None = None,
    task: str | None = None,
    key: str | None = None,
    times: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> View:
    """The events: which State they changed, how, and who did it. Its `View.data` is the `History`.

    Args:
        n: how many: the last ones.
        task, key: only those of this task, or that changed this key.
        times: whether to tell the times as well.

    Raises:
        NotFoundError: there is no State of that name.
    """
    return history_view(app.registry.history(state, key=key, task=task, limit=n), limits, times=times)


def history_view(found: History, limits: Limits = DEFAULT_LIMITS, *, times: bool = False) -> View:
    """Events as a table, at most `Limits.rows` of them, the last ones."""
    shown = found[max(0, len(found) - limits.rows) :]
    hidden = len(found) - len(shown)
    blocks: list[Block] = []
    if found.dropped:
        blocks.append(Paragraph(f"the first {counted(found.dropped, 'event')} of all were dropped"))
    if hidden:
        blocks.append(Paragraph(f"… {hidden:,} earlier"))
    return View([*blocks, *views.event_blocks(shown, limits, _time_of if times else None)], found)


def _time_of(event: Event) -> str:
    return datetime.datetime.fromtimestamp(event.time).astimezone().isoformat(" ", "milliseconds")


def diff(app: InlineApp, a: Moment, b: Moment | None = None, limits: Limits = DEFAULT_LIMITS) -> View:
    """What is different between two moments; without *b*, between one and now. Its `View.data` is the `Diff`.

    Raises:
        HorizonError, HistoryError, NotFoundError: there is no such moment.
    """
    return diff_view(app.registry.diff(a, b), limits)


def diff_view(found: Diff, limits: Limits = DEFAULT_LIMITS) -> View:
    """Differences as a table."""
    rows = [(str(each.state), printable(each.where), arrow(each.before, each.after, limits.width)) for each in found]
    if not rows:
        return View([Paragraph("no difference")], found)
    more = max(0, len(rows) - limits.rows)
    return View([Table(("state", "key", "change"), rows[: limits.rows], frozenset({1, 2}), more=more)], found)


def blame(app: InlineApp, state: str, limits: Limits = DEFAULT_LIMITS) -> View:
    """For each key of a State, who wrote it, with which event. Its `View.data` is a dict: key → `Event`.

    Raises:
        NotFoundError: there is no State of that name.
    """
    registry = app.registry
    key = registry.find(state)
    events, fields = registry.blame(key), registry.peek(key)
    rows = [
        (
            printable(name),
            short_marked(fields.get(name), limits.width),
            str(event.seq),
            event.title,
            views.by(event),
        )
        for name, event in events.items()
    ]
    title = Heading(f"{key}: {counted(len(rows), 'key')} written")
    columns = ("key", "value", "event", "op", "by")
    more = max(0, len(rows) - limits.rows)
    return View(
        [title, *([Table(columns, rows[: limits.rows], frozenset({0, 1}), more=more)] if rows else [])], events
    )


def show_at(app: InlineApp, moment: Moment, state: str | None = None, limits: Limits = DEFAULT_LIMITS) -> View:
    """State as it was after an event, or at a label. Its `View.data` is the `Snapshot`.

    Raises:
        HorizonError, HistoryError, NotFoundError: there is no such moment, or no such State then.
    """
    then = app.registry.at(moment)
    if state is None:
        return snapshot_view(then, limits)
    wanted = app.registry.key_of(state)
    keys = [key for key in then.contents if key == wanted or (wanted.scope is None and key.name == wanted.name)]
    return View([_moment_heading(then), *(_fields_of(then, keys, limits) or [Paragraph(f"no {wanted} yet")])], then)


def snapshot_view(then: Snapshot, limits: Limits = DEFAULT_LIMITS) -> View:
    """A moment's State as tables."""
    keys = list(then.contents)
    blocks = _fields_of(then, keys[: limits.rows], limits) or [Paragraph("no State yet")]
    more = len(keys) - limits.rows
    return View([_moment_heading(then), *blocks, *([Paragraph(f"… {more:,} more states")] if more > 0 else [])], then)


def _moment_heading(then: Snapshot) -> Block:
    return Heading(f"as it was after event {then.seq:,}")


def _fields_of(then: Snapshot, keys: Sequence[StateKey], limits: Limits) -> list[Block]:
    blocks: list[Block] = []
    for key in keys:
        fields = then.fields(key)
        rows = [(printable(name), short_marked(value, limits.width)) for name, value in fields.items()]
        more = max(0, len(rows) - limits.rows)
        blocks.append(Heading(f"{key}: {counted(len(rows), 'key')}"))
        blocks.append(Table(("key", "value"), rows[: limits.rows], frozenset({0, 1}), more=more))
    return blocks


def undo(app: InlineApp, n: int = 1, *, by: Literal["call", "event"] = "call") -> str:
    """Undo what the last call or command changed, or the *n* last ones.

    Raises:
        HistoryError: there are not so many, a task runs, or a transaction is open.
    """
    return "\n".join(map(views.event_line, app.registry.undo(n, by=by)))


def redo(app: InlineApp, n: int = 1) -> str:
    """Bring back what the last undo reverted, or the *n* last ones.

    Raises:
        HistoryError: as `undo`.
    """
    return "\n".join(map(views.event_line, app.registry.redo(n)))


def rewind(app: InlineApp, moment: Moment) -> str:
    """Make State as it was at a moment.

    Raises:
        HorizonError, HistoryError, NotFoundError: there is no such moment; or as `undo`.
    """
    event = app.registry.rewind(moment)
    return "State is so already" if event is None else views.event_line(event)


def label(app: InlineApp, name: str) -> str:
    """Give this moment a name.

    Raises:
        HistoryError: it can't have this one.
    """
    old = app.registry.labels.get(name)
    seq = app.registry.label(name)
    moved = "" if old in (None, seq) else f" (it was after event {old})"
    return f"label {name!r} after event {seq}{moved}"


def save(app: InlineApp, path: str) -> str:
    """Write journal, labels and State to a file.

    Raises:
        SaveError: a value can't be saved, or the file can't be written.
    """
    return f"{counted(app.registry.save(path), 'event')} saved to {path}"


def load(app: InlineApp, path: str) -> str:
    """Replace journal, labels and State by what was saved.

    Raises:
        LoadError: the file can't be used. HistoryError: a task runs, or a transaction is open.
    """
    replaced = app.registry.seq
    loaded = counted(app.registry.load(path), "event")
    return f"{loaded} loaded from {path}" + (f", in place of {replaced:,}" if replaced else "")
