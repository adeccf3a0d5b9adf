"""What the journal says that the State is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qstate_nb import ABSENT, Event, StateKey


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


def assert_no_gaps(events: list[Event], first: int = 1) -> None:
    """The sequence numbers count up by one."""
    assert [event.seq for event in events] == list(range(first, first + len(events)))
