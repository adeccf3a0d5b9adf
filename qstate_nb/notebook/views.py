"""What commands and the panel show: views of State, tasks, events and results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from qstate_nb.app import InlineApp, TaskResult
from qstate_nb.core.diff import arrow, is_same
from qstate_nb.core.formats import counted, encodable, message, printable, short, short_marked, short_text, stable
from qstate_nb.core.journal import ABSENT, Event
from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.notebook.render import Block, Heading, Paragraph, Preformatted, Table


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a view shows.

    Args:
        width: characters of a value.
        rows: rows of a table.
        events: last events in the overview.
    """

    width: int = 80
    rows: int = 100
    events: int = 5


_SHOWN_CHANGES = 3  # of an event
_FEW_SCOPES = 5  # up to so many buckets of a State are shown one by one
_SHOWN_SCOPES = 10
_LOOKED_BACK = 1_000  # events, to find the scopes that changed last

Shown: TypeAlias = Callable[[StateKey, str, Any, Event | None], str]


def state_blocks(
    registry: StateRegistry,
    key: StateKey,
    limits: Limits,
    newest: int | None = None,
    shown: Shown | None = None,
) -> list[Block]:
    """A bucket: each key, its value, and who wrote it with which event.

    Args:
        newest: number of the event whose fields are marked.
        shown: makes the text of a value, given its bucket, its field, itself and the event that wrote it.
    """
    declared = registry.declared(key.name)
    names = list(registry.peek(key))[: limits.rows]
    writers = registry.writers(key, names)  # first: a text made for an event may be newer than it, but never older
    fields = registry.peek(key)
    title = Heading(f"{key}: {counted(len(fields), 'key')}")
    if not fields:
        return [title]
    first = list(fields.items())[: limits.rows]
    rows, marked = [], set()
    for index, (field, value) in enumerate(first):
        event = writers.get(field)
        text = short_marked(value, limits.width) if shown is None else shown(key, field, value, event)
        is_default = event is None and declared is not None and field in declared.defaults
        rows.append((printable(field), text, "default" if is_default else _writer(event)))
        if event is not None and event.seq == newest:
            marked.add(index)
    columns = ("key", "value", "changed by")
    return [title, Table(columns, rows, frozenset({0, 1}), frozenset(marked), len(fields) - len(first))]


def all_states_blocks(
    registry: StateRegistry, limits: Limits, most: int, newest: int | None = None, shown: Shown | None = None
) -> list[Block]:
    """All buckets, as `state_blocks`, but many scopes of one State as one table.

    Args:
        most: how many States, or buckets, are shown; how many more there are is said.
    """
    groups: dict[str, list[StateKey]] = {}
    for key in registry.keys():
        groups.setdefault(key.name, []).append(key)
    blocks: list[Block] = []
    hidden = 0
    for name, keys in groups.items():
        few = [key for key in keys if key.scope is None or len(keys) <= _FEW_SCOPES]
        hidden += max(0, len(few) - most)
        blocks += [block for key in few[:most] for block in state_blocks(registry, key, limits, newest, shown)]
        most = max(0, most - len(few))
        if len(few) < len(keys):
            blocks += scope_blocks(registry, name, limits, newest)
    return [*blocks, *([Paragraph(f"… {hidden:,} more states")] if hidden else [])]


def scope_blocks(registry: StateRegistry, name: str, limits: Limits, newest: int | None = None) -> list[Block]:
    """The scopes of a State in one table, those first that changed last; empty if there are none."""
    scoped = [key for key in registry.keys() if key.name == name and key.scope is not None]
    if not scoped:
        return []
    listed = set(scoped)
    recent = (
        key for event in reversed(registry.history(limit=_LOOKED_BACK)) for key in event.states if key in listed
    )
    first = list(dict.fromkeys([*recent, *scoped]))[:_SHOWN_SCOPES]
    rows, marked = [], set()
    for index, key in enumerate(first):
        event = max(registry.writers(key).values(), key=lambda event: event.seq, default=None)
        rows.append((str(key), short(registry.peek(key), limits.width), _writer(event)))
        if event is not None and event.seq == newest:
            marked.add(index)
    title = Heading(f"{name}: {counted(len(scoped), 'scope')}")
    columns = ("scope", "fields", "last changed by")
    return [title, Table(columns, rows, frozenset({0, 1}), frozenset(marked), len(scoped) - len(first))]


def _writer(event: Event | None) -> str:
    return "" if event is None else f"{by(event)}, event {event.seq}"


def by(event: Event) -> str:
    """Who did it, and where, if that was another process, which can call itself anything."""
    return printable(str(event.actor), 200)


def task_blocks(app: InlineApp, limits: Limits) -> list[Block]:
    """The tasks of an app: how to call each, and what it does."""
    if not app.tasks:
        return [Paragraph("no tasks yet: register one with @app.task")]
    rows = [
        (short_text(task.signature, 200), printable(task.options.description or "-", 200))
        for task in app.tasks.values()
    ]
    return [
        Table(("task", "what it does"), rows[: limits.rows], frozenset({0}), more=max(0, len(rows) - limits.rows))
    ]


def event_blocks(events: Iterable[Event], limits: Limits, time: Callable[[Event], str] | None = None) -> list[Block]:
    """Events: number, State, op, what changed, and by whom.

    Args:
        time: tells when an event was, if that is to be shown.
    """
    rows = [
        (
            str(event.seq),
            *(() if time is None else (time(event),)),
            _named(event.states),
            event.title,
            _changes(event, limits.width),
            by(event),
        )
        for event in events
    ]
    if not rows:
        return [Paragraph("no events yet")]
    columns = ("event", *(() if time is None else ("time",)), "state", "op", "what changed", "by")
    return [Table(columns, rows, frozenset({len(columns) - 2}))]


def _named(states: Sequence[StateKey]) -> str:
    return ", ".join([*map(str, states[:_SHOWN_CHANGES]), *(["…"] if len(states) > _SHOWN_CHANGES else [])])


def event_line(event: Event) -> str:
    """An event on one line, such as ``event 5: undo of event 4, Signup.step: 2 → 1``."""
    changes = [
        f"{state}.{printable(field)}: {arrow(before, after, 40)}"
        for state, field, before, after in event.stored[:_SHOWN_CHANGES]
    ]
    more = [f"… {len(event.stored) - _SHOWN_CHANGES:,} more"] if len(event.stored) > _SHOWN_CHANGES else []
    return f"event {event.seq}: {event.title}, {', '.join([*changes, *more]) or 'nothing changed'}"


def last_change(event: Event, limits: Limits) -> Block:
    """The last event in one line: also where it leaves no row to mark, as a delete."""
    title = f"{event.title}{',' if event.refers_to else ''}"
    changes = _changes(event, limits.width, is_named=True)
    return Paragraph(f"last change: event {event.seq}, {title} {changes} by {by(event)}")


def _changes(event: Event, width: int, *, is_named: bool = False) -> str:
    """What an event changed; of which State, that is said if it is several, or if *is_named*."""
    is_named = is_named or len(event.states) > 1
    shown = [
        f"{f'{state}.' if is_named else ''}{printable(field)}: {arrow(before, after, width // 2)}"
        for state, field, before, after in event.stored[:_SHOWN_CHANGES]
    ]
    return ", ".join([*shown, *(["…"] if len(event.stored) > len(shown) else [])])


def result_line(result: TaskResult, width: int) -> str:
    """How a call ended, on one line, with the call before it."""
    return f"{printable(result.task_name)} #{result.call}: {ending(result, width)}"


def ending(result: TaskResult, width: int) -> str:
    """How a call ended, on one line."""
    error = result.exception
    if error is None:
        return f"{result.status}, returned {short(result.returning, width)}"
    return f"{result.status}, {type(error).__name__}: {message(error, max(width, 200))}"


def result_blocks(result: TaskResult, limits: Limits, *, output: bool = True) -> list[Block]:
    """How a call ended, and, with *output*, what it printed."""
    blocks: list[Block] = [Heading(result_line(result, limits.width))]
    if output and result.output:
        blocks.append(Preformatted(encodable(result.output.rstrip("\n"))))
    if result.status == "error" and result.traceback:
        blocks.append(Preformatted(shortened(stable(result.traceback))))
    return blocks


def shortened(text: str, width: int = 10_000) -> str:
    """The end of a long text."""
    return encodable(text if len(text) <= width else f"…{text[-width:]}")


Contents = Mapping[StateKey, Mapping[str, Any]]


def contents(registry: StateRegistry) -> Contents:
    """The stored values of all buckets, to compare with later."""
    keys = registry.keys()
    return {key: registry.peek(key) for key in keys}


def difference(before: Contents, after: Contents, limits: Limits) -> list[Block]:
    """What is different between two contents: a row for each field."""
    rows = []
    for key in dict.fromkeys([*before, *after]):
        old, fields = before.get(key, {}), after.get(key, {})
        for field in dict.fromkeys([*old, *fields]):
            was, now = old.get(field, ABSENT), fields.get(field, ABSENT)
            if not is_same(was, now):
                rows.append((str(key), printable(field), arrow(was, now, limits.width)))
    if not rows:
        return [Paragraph("State did not change")]
    more = max(0, len(rows) - limits.rows)
    return [Table(("state", "key", "change"), rows[: limits.rows], frozenset({1, 2}), more=more)]
