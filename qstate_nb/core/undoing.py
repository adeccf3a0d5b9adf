"""What an undo or redo would set: decided from the journal alone.

An undo *leaves out* events: State is then as if they had not happened, each field as the last of the others set it.
Which events are left out is told from the undo and redo events of the journal, so a fork or a file knows it too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qstate_nb.core.history import Written
from qstate_nb.core.journal import ABSENT, Actor, Record, Revert, fields_of
from qstate_nb.core.keys import StateKey
from qstate_nb.errors import HistoryError, HorizonError

Step = tuple[Revert, Written]
"""The op of an event to come, and the value that each field gets; `ABSENT` deletes it."""


class Plan:
    """Steps back and forth that are to be made, one after the other.

    Args:
        records: all that are kept.
        seq: number of the last event.
    """

    def __init__(self, records: Sequence[Record], seq: int) -> None:
        self._records = records
        self._first = records[0][0] if records else seq + 1
        self._left_out: set[int] = set()
        self._undone: list[tuple[int, ...]] = []  # what a redo can bring back, the next one last
        self._is_blurred = False  # whether an undo is about events that are not kept any more
        previous = 0
        for record in records:
            if _is_about_others(record):
                op = record[2]
                if record[0] != previous + 1:
                    self._undone = []  # something else came in between
                previous = record[0]
                self._note(op)
                self._is_blurred = self._is_blurred or op.refers_to[0] < self._first
        if previous != seq:
            self._undone = []

    def _note(self, op: Revert) -> None:
        if op.op == "undo":
            self._left_out.update(op.refers_to)
            self._undone.append(op.refers_to)
        else:
            self._left_out.difference_update(op.refers_to)
            del self._undone[-1:]  # empty if what was undone is not kept any more

    def _counting(self) -> Iterator[Record]:
        """The events that count, the newest first."""
        return (record for record in reversed(self._records) if self._counts(record))

    def _counts(self, record: Record) -> bool:
        return record[0] not in self._left_out and not _is_about_others(record)

    def undo(self, *, whole_calls: bool) -> Step:
        """Leave out the last event; with *whole_calls*, all of the call that made it.

        Raises:
            HistoryError: there is none.
            HorizonError: what was there before is not known any more.
        """
        counting = self._counting()
        last = next(counting, None)
        if last is None:
            dropped = ", as the events before were dropped" if self._first > 1 else ""
            raise HistoryError(f"there is nothing more to undo{dropped}")
        unit = [last]
        if whole_calls:
            unit += [record for record in counting if _is_of_one_call(record[3], last[3])]
            if self._first > 1 and unit[-1] is self._records[0] and last[3].task is not None:
                raise HorizonError(
                    f"can't undo all of {last[3]}: its first events may have been dropped from the bounded journal; "
                    'by="event" undoes single ones, and StateRegistry(max_events=…) keeps more'
                )
        return self._step(Revert("undo", tuple(record[0] for record in reversed(unit))), unit)

    def redo(self) -> Step:
        """Bring back what the last undo left out.

        Raises:
            HistoryError: there is nothing.
            HorizonError: the events are not kept any more.
        """
        if not self._undone:
            raise HistoryError("there is nothing more to redo")
        seqs = self._undone[-1]
        if seqs[0] < self._first:
            raise _behind_horizon("redo")
        return self._step(Revert("redo", seqs), [self._records[seq - self._first] for seq in seqs])

    def _step(self, op: Revert, unit: Sequence[Record]) -> Step:
        self._note(op)
        fields = dict.fromkeys(field for record in unit for field in fields_of(record))
        return op, self._values(fields)

    def _values(self, fields: dict[tuple[StateKey, str], None]) -> Written:
        """Each field as the last event that counts has set it, or as it was before all that are kept."""
        found: Written = {}
        oldest: Written = {}
        for record in reversed(self._records):
            counts = self._counts(record)
            for at in range(4, len(record), 4):
                field = record[at], record[at + 1]
                if field in fields and field not in found:
                    oldest[field] = record[at + 2]
                    if counts:
                        found[field] = record[at + 3]
                        if len(found) == len(fields):
                            return found
        if self._is_blurred and len(found) < len(fields):
            raise _behind_horizon("undo")
        return {field: found.get(field, oldest.get(field, ABSENT)) for field in fields}


def _is_about_others(record: Record) -> bool:
    """Tell whether an event only says which others count: an undo or redo."""
    return isinstance(record[2], Revert) and record[2].op != "rewind"


def _is_of_one_call(one: Actor, other: Actor) -> bool:
    """A call has one `Actor` object. Two calls can have equal ones: of apps that were made one after the other."""
    return one is other and one.task is not None


def _behind_horizon(name: str) -> HorizonError:
    return HorizonError(
        f"can't {name} so far back: the journal is bounded, and events that are needed were dropped; "
        "StateRegistry(max_events=…) keeps more"
    )
