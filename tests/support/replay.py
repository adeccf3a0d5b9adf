"""What the journal says that the State is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from qstate_nb import ABSENT, Event, StateKey
from qstate_nb.core.store import MemoryStore


def replay(events: Iterable[Event], key: StateKey) -> dict[str, Any]:
    """The fields of a bucket after all events, from nothing; each must begin where the one before it ended."""
    fields: dict[str, Any] = {}
    for event in events:
        for state, field, before, after in event.changes:
            if state == key:
                assert fields.get(field, ABSENT) == before, f"{event} begins with {field}={before!r}"
                if after is ABSENT:
                    del fields[field]
                else:
                    fields[field] = after
    return fields


def events_of(store: MemoryStore, last: int | None = None) -> list[Event]:
    """The events that a store keeps: all, or the last ones."""
    return [Event.of(record) for record in store.records(last)]


def assert_no_gaps(events: Sequence[Event], first: int = 1) -> None:
    """The sequence numbers count up by one."""
    assert [event.seq for event in events] == list(range(first, first + len(events)))
