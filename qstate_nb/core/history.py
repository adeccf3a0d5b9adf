"""The journal, read: events by what they are about, and what was stored after any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard, overload

from qstate_nb.core.diff import Diff, diff
from qstate_nb.core.formats import short
from qstate_nb.core.journal import ABSENT, Contents, Event, Record, fields_of
from qstate_nb.core.keys import StateKey
from qstate_nb.core.values import copy_value
from qstate_nb.errors import HistoryError

_SHOWN = 20  # events in the text of a history
_BLOCK = 4096  # events
_FIRST, _STRIDE = 4, 4  # of the changes in a record

Written = dict[tuple[StateKey, str], Any]
"""Bucket and field → a value, `ABSENT` where there is none."""


class History(Sequence[Event]):
    """Events, oldest first. A slice is a history as well.

    Args:
        records: what the store keeps of them.
        dropped: how many older events are not kept, in all.

    Example:
        >>> from qstate_nb import State, StateRegistry
        >>> class Signup(State):
        ...     pass
        >>> registry = StateRegistry()
        >>> registry.state(Signup).update(step=1, phone="123")
        {'step': 1, 'phone': '123'}
        >>> registry.state(Signup).delete("phone")
        >>> registry.history()[1:]
        [<Event 2: Signup delete phone by user>]
    """

    def __init__(self, records: Sequence[Record], dropped: int = 0) -> None:
        self._records = records
        self.dropped = dropped

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> History: ...

    def __getitem__(self, index: int | slice) -> Event | History:
        if isinstance(index, slice):
            return History(self._records[index], self.dropped)
        return Event.of(self._records[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = [repr(event) for event in self[:_SHOWN]]
        more = len(self) - len(shown)
        last = [f"… {more:,} more"] if more else []
        separator = ",\n "
        return f"[{separator.join([*shown, *last])}]"


def matching(
    records: Sequence[Record],
    is_state: Callable[[StateKey], bool] | None,
    key: str | None,
    is_actor: Callable[[Any], bool] | None,
) -> Sequence[Record]:
    """The records of events that changed such a bucket, such a field of it, and were made by such an actor."""
    if is_actor is not None:
        records = [record for record in records if is_actor(record[3])]
    if is_state is None and key is None:
        return records
    return [
        record
        for record in records
        if any((is_state is None or is_state(state)) and key in (None, field) for state, field in fields_of(record))
    ]


def is_whole(number: object, least: int) -> TypeGuard[int]:
    """Tell whether it is a whole number, *least* or more, and no bool."""
    return isinstance(number, int) and not isinstance(number, bool) and number >= least


def check_moment(seq: object, last: int) -> int:
    """The number of an event that there has been, or 0.

    Raises:
        HistoryError: there is none of that number.
    """
    if not is_whole(seq, 0):
        raise HistoryError(f"{short(seq)} is no moment: give the number of an event, 0 for the beginning, or a label")
    if seq > last:
        raise HistoryError(f"there is no event {seq:,} yet; the last one is {last:,}")
    return seq


@dataclass(frozen=True, slots=True)
class Captured:
    """All that a store has, of one moment.

    Args:
        seq: number of the last event.
        records: all that are kept.
        contents: what is stored.
        writers: for each field that is stored, the record of the event that last wrote it.
        deletions: the records of the events that deleted something.
        blocks: what was before whole blocks of events, as far as that was needed already: shared by all that is
            captured of one journal.
    """

    seq: int
    records: Sequence[Record]
    contents: dict[StateKey, dict[str, Any]]
    writers: Mapping[StateKey, Mapping[str, Record]]
    deletions: Sequence[Record]
    blocks: dict[int, Written]

    @property
    def horizon(self) -> int:
        """The number of the last event that is not kept."""
        return self.seq - len(self.records)

    def _changed_since(self, seq: int) -> set[tuple[StateKey, str]]:
        """The fields that events after *seq* changed."""
        changed = {
            (key, field)
            for key, writers in self.writers.items()
            for field, record in writers.items()
            if record[0] > seq
        }
        for record in reversed(self.deletions):
            if record[0] <= seq:
                break
            changed.update(fields_of(record))
        return changed

    def at(self, seq: int) -> Contents:
        """What was stored after event *seq*, which is not behind the horizon.

        The events after that one are looked through until it is known what each field was that has changed since.
        """
        contents = {key: fields.copy() for key, fields in self.contents.items()}
        for (key, field), before in self._before(seq).items():
            if before is not ABSENT:
                contents.setdefault(key, {})[field] = before
            elif key in contents:
                contents[key].pop(field, None)
        return {key: fields for key, fields in contents.items() if fields}

    def _before(self, seq: int) -> Written:
        """What each field was after event *seq* that has changed since."""
        horizon, wanted = self.horizon, self._changed_since(seq)
        for number in [number for number in list(self.blocks) if number * _BLOCK < horizon]:
            self.blocks.pop(number, None)
        found: Written = {}
        while len(found) < len(wanted):
            number = seq // _BLOCK  # the block of the events number * _BLOCK + 1 … (number + 1) * _BLOCK
            end = min((number + 1) * _BLOCK, self.seq)
            is_whole = end - seq == _BLOCK
            block = self.blocks.get(number) if is_whole else None
            if block is None:
                block = _first_before(self.records[seq - horizon : end - horizon], None if is_whole else wanted)
            if is_whole:
                self.blocks[number] = block
            found = {**block, **found}
            seq = end
        return found


def _first_before(records: Sequence[Record], wanted: set[tuple[StateKey, str]] | None) -> Written:
    """What each field was before the first of these events that changed it; until all that is *wanted* is found."""
    if wanted is None and all(
        len(record) == _FIRST + _STRIDE for record in records
    ):  # one change each: the most common
        return {(record[4], record[5]): record[6] for record in reversed(records)}
    found: Written = {}
    for record in records:
        for at in range(_FIRST, len(record), _STRIDE):
            field = record[at], record[at + 1]
            if field not in found:
                found[field] = record[at + 2]
                if wanted is not None and len(found) == len(wanted):
                    return found
    return found


class Snapshot(Mapping[str, Mapping[str, Any]]):
    """What was stored at one moment: bucket name → its fields. It can't be changed, and its values are copies.

    Args:
        seq: number of the last event before it.
        contents: the stored values.
        defaults: gives the declared defaults of a bucket.

    Example:
        >>> from qstate_nb import State, StateRegistry
        >>> class Signup(State):
        ...     pass
        >>> registry = StateRegistry()
        >>> registry.state(Signup).set("step", 1)
        >>> registry.state(Signup).set("step", 2)
        >>> registry.at(1)
        <State after event 1: {'Signup': {'step': 1}}>
    """

    def __init__(self, seq: int, contents: Contents, defaults: Callable[[StateKey], Mapping[str, Any]]) -> None:
        self.seq = seq
        self.contents = contents
        self._keys = {str(key): key for key in contents}
        self._defaults = defaults

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        return {field: copy_value(value) for field, value in self.fields(self._keys[name]).items()}

    def fields(self, key: StateKey) -> dict[str, Any]:
        """The fields of a bucket, with stored values, only to be shown."""
        return {**self._defaults(key), **self.contents[key]}

    def complete(self) -> Contents:
        """All fields of all buckets, with declared defaults."""
        return {key: self.fields(key) for key in self.contents}

    def changes_to(self, after: Snapshot, is_wanted: Callable[[StateKey], bool] | None = None) -> Diff:
        """What is different at another moment, declared defaults included."""
        return diff(self.complete(), after.complete(), is_wanted)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<State after event {self.seq}: {short(dict(self), 200)}>"
