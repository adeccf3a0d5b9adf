"""The picture of a schedule: its steps in lanes, what each read and wrote, and what went wrong where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from qstate_nb.core.diff import arrow
from qstate_nb.core.formats import one_line, printable, short
from qstate_nb.core.journal import ABSENT
from qstate_nb.core.keys import StateKey
from qstate_nb.races.nodes import describe
from qstate_nb.races.outcomes import Outcome, end_text, state_text
from qstate_nb.races.schedules import Choice, Walker, WalkStep, changes_between

if TYPE_CHECKING:
    from qstate_nb.races.exploration import Exploration


class Shown(NamedTuple):
    """A step as it is shown.

    Args:
        number: from 1.
        lane: number of the task.
        text: what it did, such as ``get balance → 100``.
        changes: what was different in State after it: bucket, field, before, after.
        mark: ``preempts`` if another could have gone on, ``switch``, or empty.
        stale: the number of the step that changed what this one rests on, since it was read; 0 if there is none.
        note: what is wrong with that, in words.
        is_decisive: whether only bad outcomes can come after it, and not before.
        output: what was printed then.
    """

    number: int
    lane: int
    text: str
    changes: tuple[tuple[StateKey, str, Any, Any], ...]
    mark: str
    stale: int
    note: str
    is_decisive: bool
    output: str


class Timeline:
    """A schedule of an exploration, step by step.

    Args:
        exploration: that it is of.
        steps: of the schedule.
        output: what was printed, if it was run for real.

    Attributes:
        labels: of the lanes.
        outcome: where it leads to; None if it stops before.
    """

    def __init__(
        self, exploration: Exploration, steps: Sequence[WalkStep], output: Iterable[tuple[int, int, str]] = ()
    ) -> None:
        self.exploration = exploration
        self.labels = exploration.labels
        self._steps = list(steps)
        self._output = list(output)
        position = exploration.position_after(self._steps)
        self.outcome: Outcome | None = exploration.outcome_at(position)
        self._decisive = exploration.decisive(self._steps, self.outcome)
        self.steps = [self._shown(number, step) for number, step in enumerate(self._steps, 1)]

    @property
    def id(self) -> str:
        """The schedule's id."""
        return self.exploration.id_of([Choice(s.task, s.gate, s.gives_up) for s in self._steps])

    def state_after(self, number: int) -> dict[str, dict[str, Any]]:
        """The State after a step; 0 is the beginning."""
        program = self.exploration.program
        store = self._steps[number - 1].store if number else self.exploration.graph.start[0]
        return program.state(store)

    @property
    def is_at_end(self) -> bool:
        """Whether nobody can go on."""
        position = self.exploration.position_after(self._steps)
        return not self.exploration.inside(lambda: self.exploration.graph.moves(position))

    @property
    def ends(self) -> list[str]:
        """The State in the end, and how each task ends, if not by returning None."""
        graph = self.exploration.graph
        walker = Walker(graph).skip(self._steps)
        nodes = [graph.automata.nodes[number] for number in walker.at]
        blocked = graph.blocked((walker.store, *walker.at))
        ends = zip(self.labels, nodes, blocked, strict=True)
        texts = [end_text(label, node.result, node.error, waits) for label, node, waits in ends]
        return [state_text(self.exploration.program.state(walker.store)), *filter(None, texts)]

    @property
    def output_before(self) -> list[tuple[int, str]]:
        """What tasks printed before their first ops: their lanes, and the text."""
        return [(task, text) for at, task, text in self._output if at == 0]

    @property
    def order(self) -> str:
        """The tasks in the order in which they begin."""
        return ", then ".join(dict.fromkeys(self.labels[step.lane] for step in self.steps))

    @property
    def nearest_serial(self) -> Timeline | None:
        """Beside a bad outcome, a serial run: of the tasks in the order in which they end here, or nearly so."""
        ways = self.exploration.serial_ways
        if not ways or self.outcome is None or not self.outcome.is_bad or self.outcome.serial is not None:
            return None
        order = list(dict.fromkeys(step.task for step in reversed(self._steps)))[::-1]
        best = min(ways, key=lambda way: _distance(order, list(dict.fromkeys(choice.task for choice in way))))
        return Timeline(self.exploration, self.exploration.walked(best))

    def _shown(self, number: int, step: WalkStep) -> Shown:
        graph = self.exploration.graph
        defaults = self.exploration.program.default
        changes = tuple(
            (place, field, defaults(place, field) if before is ABSENT else before, after)
            for place, field, before, after in changes_between(graph, step.before, step.store)
        )
        stale, note = self._stale(number, step)
        mark = "preempts" if step.is_preemption else "switch" if step.is_switch else ""
        return Shown(
            number=number,
            lane=step.task,
            text=self._text(step),
            changes=changes,
            mark=mark,
            stale=stale,
            note=note,
            is_decisive=number == self._decisive,
            output="".join(text for at, task, text in self._output if at == number and task == step.task),
        )

    def _text(self, step: WalkStep) -> str:
        """What a step did: ``get Account.balance → 100``."""
        text = self._op_text(step)
        is_committed = step.node.held and not step.after.held and step.before != step.store
        return f"{text}, commit" if is_committed else text

    def _op_text(self, step: WalkStep) -> str:
        pending, result = step.pending, step.result
        text = describe(pending)
        if step.raised:
            return f"{text} raises {type(result).__name__}"
        if pending.name not in ("get", "get_all", "increment", "setdefault", "pop") or pending.kind == "begin":
            return text
        if result is ABSENT:
            place = self.exploration.graph.contents.place_of(pending.places[0])
            assert isinstance(place, StateKey)
            result = self.exploration.program.default(place, pending.args[0])
        return f"{text} → {'nothing' if result is ABSENT else short(result, 40)}"

    def _stale(self, number: int, step: WalkStep) -> tuple[int, str]:
        """The step, if any, that changed what *step*'s code has read, before it wrote something that rests on it."""
        overwrites = step.pending.name not in ("increment", "append", "mutate", "pop", "setdefault")
        written = self._written(step)
        reads: dict[tuple[StateKey, str | None], int] = {}  # a field, or all of a bucket → the step that read it last
        changed: dict[tuple[StateKey, str], int] = {}  # by others
        for at, other in enumerate(self._steps[: number - 1], 1):
            if (other.task, other.pending.child) != (step.task, step.pending.child):
                changed.update(dict.fromkeys(self._written(other), at))
                continue
            reads.update(dict.fromkeys(self._read(other), at))
            for mine in self._written(other):  # what it wrote itself, it knows
                reads.pop(mine, None)
                changed.pop(mine, None)
        best: tuple[int, str] = (0, "")
        for (place, field), at in sorted(changed.items(), key=lambda each: each[1]) if written else ():
            read = reads.get((place, field), reads.get((place, None)))
            if read is not None and read < at:
                if (place, field) in written and overwrites:
                    best = (at, f"step {number} overwrites what step {at} wrote")
                elif not best[0]:
                    best = (at, f"step {number} rests on what step {read} read, which step {at} has changed")
        return best

    def _written(self, step: WalkStep) -> set[tuple[StateKey, str]]:
        """The fields that others see written by a step, be it with the same value."""
        graph = self.exploration.graph
        written = {(place, field) for place, field, _, _ in changes_between(graph, step.before, step.store)}
        pending = step.pending
        if pending.kind == "op" and pending.overlay is None and not step.raised:
            place = graph.contents.place_of(pending.places[0])
            assert isinstance(place, StateKey)
            keys = {"set": pending.args[:1], "update": pending.args[0] if pending.args else ()}.get(pending.name, ())
            written |= {(place, key) for key in keys}
        return written

    def _read(self, step: WalkStep) -> list[tuple[StateKey, str | None]]:
        """The fields that a step has read; None is all of them."""
        pending = step.pending
        if pending.kind != "op" or not pending.places:
            return []
        place = self.exploration.graph.contents.place_of(pending.places[0])
        assert isinstance(place, StateKey)
        if pending.name == "get_all":
            return [(place, None)]
        return [(place, pending.args[0])] if pending.name in ("get", "increment", "setdefault", "pop") else []

    def __repr__(self) -> str:
        return timeline_text(self)

    def __format__(self, spec: str) -> str:
        """As text; ``mermaid`` gives a sequence diagram.

        Raises:
            ValueError: *spec* is another one.
        """
        if spec not in ("", "mermaid"):
            raise ValueError(f"a schedule can be formatted as 'mermaid', or as text with '', not as {spec!r}")
        return mermaid_text(self) if spec else repr(self)


def _distance(order: Sequence[int], other: Sequence[int]) -> int:
    """How many pairs of tasks are in another order."""
    at = {task: index for index, task in enumerate(other)}
    pairs = [(a, b) for index, a in enumerate(order) for b in order[index + 1 :]]
    return sum(at.get(a, -1) > at.get(b, -1) for a, b in pairs)


def timeline_text(timeline: Timeline) -> str:
    """A schedule as text: a lane for each task, and State after each step that changed it."""
    labels = [one_line(label) for label in timeline.labels]
    widths = [
        max([len(label), *(len(step.text) for step in timeline.steps if step.lane == lane)])
        for lane, label in enumerate(labels)
    ]
    lines = ["     " + "  ".join(label.ljust(width) for label, width in zip(labels, widths, strict=True)).rstrip()]
    for lane, text in timeline.output_before:
        lines += [f"       {labels[lane]} prints {short(line, 100)}" for line in text.splitlines()]
    for step in timeline.steps:
        cells = [one_line(step.text) if lane == step.lane else "" for lane in range(len(labels))]
        row = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        notes = [change_text(change) for change in step.changes]
        notes += [f"← {step.note}"] if step.note else []
        notes += ["← from here on, only bad outcomes"] if step.is_decisive else []
        mark = "»" if step.mark == "preempts" else " "
        lines.append(f"{step.number:>3}{mark} {row}  {'; '.join(notes)}".rstrip())
        lines += [f"       prints {short(line, 100)}" for line in step.output.splitlines()]
    return "\n".join([*lines, *_ending(timeline)])


def mermaid_text(timeline: Timeline) -> str:
    """A schedule as a sequence diagram in Mermaid's language: tasks, and State as one more participant."""
    lines = ["sequenceDiagram"]
    lines += [f"    participant T{lane} as {_mermaid(label)}" for lane, label in enumerate(timeline.labels)]
    lines.append("    participant S as State")
    for step in timeline.steps:
        if step.mark == "preempts":
            lines.append(f"    Note over T{step.lane}: preempts")
        lines.append(f"    T{step.lane}->>S: {step.number} {_mermaid(step.text)}")
        for change in step.changes:
            lines.append(f"    Note right of S: {_mermaid(change_text(change))}")
        if step.note:
            lines.append(f"    Note over T{step.lane},S: {_mermaid(step.note)}")
        if step.is_decisive:
            lines.append("    Note right of S: from here on, only bad outcomes")
    if timeline.outcome is not None:
        lines.append(f"    Note right of S: {_mermaid(f'{timeline.outcome.verdict}, {timeline.ends[0]}')}")
    return "\n".join(lines)


def _mermaid(text: str) -> str:
    """Text that can't be taken for Mermaid's own signs: those are written as character codes."""
    return "".join(c if c.isalnum() or c in " .,()[]='_+*/→←-" else f"#{ord(c)};" for c in one_line(text))


def change_text(change: tuple[StateKey, str, Any, Any]) -> str:
    """A change as ``Account.balance: 100 → 120``."""
    place, field, before, after = change
    return f"{place}.{printable(field)}: {arrow(before, after)}"


def _ending(timeline: Timeline) -> list[str]:
    outcome = timeline.outcome
    if outcome is None and not timeline.is_at_end:
        return ["not at its end"]
    first, *ends = timeline.ends
    lines = [f"end: {first}", *(f"     {text}" for text in ends)]
    if outcome is None:
        lines.append("this outcome is not among those that were looked at")
    elif outcome.is_bad:
        lines.append(f"{outcome.verdict}: {outcome.reason}")
        serial = timeline.nearest_serial
        if serial is not None and serial.outcome is not None:
            first, *ends = serial.ends
            lines += [f"one after another ({serial.order}): {first}", *(f"     {text}" for text in ends)]
    return lines
