"""The graph of all interleavings: positions, and the moves between them.

A position is a store and where each task stands; tasks that are alike stand side by side, in order. (That they may
change places is the symmetry reduction of model checking.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from qstate_nb.errors import DeadlockError, Wait
from qstate_nb.races.automaton import Automata
from qstate_nb.races.nodes import Node, describe
from qstate_nb.races.program import Program

Position: TypeAlias = tuple[int, ...]
"""The number of a store, and the numbers of the nodes where the tasks stand."""


class Move(NamedTuple):
    """One step of one task.

    Args:
        slot: which task: its place in the position.
        gate: which of its gates.
        after: the position then.
        to: the task's place in that.
        error: what was raised at the gate, if it did not open.
    """

    slot: int
    gate: int
    after: Position
    to: int
    error: BaseException | None = None


class Timed(Exception):  # noqa: N818 - it is no error
    """When a task sleeps matters, so that it has to be a step of its own, and the search begins anew."""


class Graph:
    """Positions, and the moves between them; learned as they are asked for.

    Args:
        program: what is explored.
        automata: what its tasks do.
        is_timed: whether that a task has slept is a step of its own; else it sleeps no time.
    """

    def __init__(self, program: Program, automata: Automata, *, is_timed: bool = False) -> None:
        self.program = program
        self.is_timed = is_timed
        self.automata = automata
        self.contents = automata.contents
        self._nodes = automata.nodes
        self._bounds = _group_bounds(program.groups)
        self._moves: dict[tuple[int, int], tuple[tuple[int, int, int], ...]] = {}
        self._held_moves: dict[tuple[int, int, int], tuple[tuple[int, int, int], ...]] = {}
        self.special = False  # whether transactions or timers were met
        self.edges = 0
        self.start = self._start()

    def _start(self) -> Position:
        """The position in the beginning; a task that does something at once has not begun there."""
        store = self.contents.start
        nodes = []
        starts: dict[object, int] = {}
        for template in self.program.templates:
            number = starts.get(template)
            if number is None:
                node = self.automata.start(template)
                moved = self.automata.moved(node, 0, store, 0)
                assert moved is not None
                effects, first = next(iter(node.targets.values()))
                number = node.number if effects or first.urgent is not None else self.woken(*moved)[1].number
                starts[template] = number
                self._note(self._nodes[number])
            nodes.append(number)
        return (store, *nodes)

    def _note(self, node: Node) -> None:
        if node.alarm is not None and not node.is_asleep and not self.is_timed:
            raise Timed
        if node.mask or node.alarm is not None or any(p.kind == "begin" or p.has_limit for p in node.pendings):
            self.special = True

    def steps(self, store: int, number: int, foreign: int = 0) -> tuple[tuple[int, int, int], ...]:
        """What the gates of a node lead to: (gate, store, node) of each that can open."""
        known = self._moves.get((store, number)) if not foreign else self._held_moves.get((store, number, foreign))
        if known is not None:
            return known
        node = self._nodes[number]
        found = []
        for index, pending in enumerate(node.pendings):
            if pending.kind != "tick":
                moved = self.automata.moved(node, index, store, foreign)
                if moved is not None:
                    after, reached = self.woken(*moved)
                    self._note(reached)
                    found.append((index, after, reached.number))
        steps = tuple(found)
        if foreign:
            self._held_moves[store, number, foreign] = steps
        else:
            self._moves[store, number] = steps
        return steps

    def follow(self, position: Position, ways: int, following: dict[Position, int]) -> int:
        """Add the positions after one, and in how many ways they are reached; the number of moves.

        As `moves`, without what only few positions need.
        """
        if self.special:
            found = self.moves(position)
            for many, move in found:
                following[move.after] = following.get(move.after, 0) + many * ways
            return len(found)
        store, length, bounds, known = position[0], len(position), self._bounds, self._moves
        moves, slot = 0, 1
        while slot < length:
            number = position[slot]
            low, high = bounds[slot]
            many = 1
            if high - low > 1:
                while slot + many < high and position[slot + many] == number:
                    many += 1
            steps = known.get((store, number))
            if steps is None:
                steps = self.steps(store, number)
            head, tail = position[1:slot], position[slot + 1 :]
            placed: Position
            for _, changed, target in steps:
                if high - low == 1:
                    placed = (changed, *head, target, *tail)
                else:
                    placed = self.placed(position, slot, changed, target)[0]
                following[placed] = following.get(placed, 0) + many * ways
            moves += len(steps)
            slot += many
        if not moves and self.special:  # what was learned just now
            return self.follow(position, ways, following)
        return moves

    def woken(self, store: int, node: Node) -> tuple[int, Node]:
        """Let a task that only sleeps go on at once, if that is no step.

        Raises:
            Timed: it has to be one, as the first that the task does then is done at once, and others can see that.
        """
        while node.is_asleep and (node.has_ended or not self.is_timed):
            moved = self.automata.moved(node, 0, store, 0)
            assert moved is not None
            if not self.is_timed and any(reached.urgent is not None for _, reached in node.targets.values()):
                raise Timed
            store, node = moved
        return store, node

    def placed(self, position: Position, slot: int, store: int, number: int) -> tuple[Position, int]:
        """The position after the task at *slot* came to a node, and its place there."""
        low, high = self._bounds[slot]
        if high - low == 1:
            return (store, *position[1:slot], number, *position[slot + 1 :]), slot
        group: list[int] = [*position[low:slot], *position[slot + 1 : high], number]
        group.sort()
        return (store, *position[1:low], *group, *position[high:]), low + group.index(number)

    def moves(self, position: Position) -> list[tuple[int, Move]]:
        """All moves, each with how many tasks can make it: those that are alike and stand at the same node."""
        return self._moves_of(position, list(self._distinct(position)))

    def moves_of_each(self, position: Position) -> list[tuple[int, Move]]:
        """As `moves`, but for each task, in whatever order they stand; where it comes to is left open."""
        return self._moves_of(position, [(slot, 1) for slot in range(1, len(position))])

    def _moves_of(self, position: Position, slots: Sequence[tuple[int, int]]) -> list[tuple[int, Move]]:
        store = position[0]
        found = []
        masks = [self._nodes[number].mask for number in position[1:]] if self.special else ()
        for slot, many in slots:
            foreign = 0
            if self.special:
                for other, mask in enumerate(masks, 1):
                    if other != slot:
                        foreign |= mask
            for index, after, number in self.steps(store, position[slot], foreign):
                placed, to = self.placed(position, slot, after, number)
                found.append((many, Move(slot, index, placed, to)))
        if self.special:
            found += self._deadlocks(position, slots)
            asleep = self._ticks(position, slots, lambda node: node.is_asleep)
            found += asleep + ([] if found else self._alarms(position, slots))
        return found or self._timeouts(position, slots)

    def _distinct(self, position: Position) -> Iterator[tuple[int, int]]:
        """The first of each kind of tasks that stand at one node, and how many they are."""
        slot, length = 1, len(position)
        while slot < length:
            number, end = position[slot], self._bounds[slot][1]
            many = 1
            while slot + many < end and position[slot + many] == number:
                many += 1
            yield slot, many
            slot += many

    def _deadlocks(self, position: Position, slots: Sequence[tuple[int, int]]) -> list[tuple[int, Move]]:
        """The tasks that can be given up, because they wait for each other."""
        found = []
        for slot, many in slots:
            node = self._nodes[position[slot]]
            for index, pending in enumerate(node.pendings):
                if pending.kind in ("begin", "mutate", "op"):
                    cycle = self._cycle(position, slot, index)
                    if cycle:
                        found.append((many, self._raised(position, slot, index, DeadlockError(cycle))))
        return found

    def _raised(self, position: Position, slot: int, index: int, error: BaseException) -> Move:
        moved = self.automata.moved(self._nodes[position[slot]], index, position[0], 0, error)
        assert moved is not None
        store, node = self.woken(*moved)
        self._note(node)
        placed, to = self.placed(position, slot, store, node.number)
        return Move(slot, index, placed, to, error)

    def _cycle(self, position: Position, slot: int, index: int) -> list[Wait] | None:
        """Who waits for whom, from a gate back to what is held around it; None if it doesn't come to that."""
        found: dict[tuple[int, int], tuple[int, int] | None] = {(slot, index): None}
        todo = [(slot, index)]
        mine = self._nodes[position[slot]].pendings[index].frames
        while todo:
            waiter = todo.pop(0)
            for other, frames, _ in self._holders(position, *waiter):
                if other == slot and frames & mine:
                    return self._waits(position, waiter, found)
                for number, pending in enumerate(self._nodes[position[other]].pendings):
                    blocked = (other, number)
                    if pending.frames & frames and blocked not in found and self._is_blocked(position, *blocked):
                        found[blocked] = waiter
                        todo.append(blocked)
        return None

    def _is_blocked(self, position: Position, slot: int, index: int) -> bool:
        return next(iter(self._holders(position, slot, index)), None) is not None

    def _holders(self, position: Position, slot: int, index: int) -> Iterator[tuple[int, frozenset[int], int]]:
        """Who holds what a gate waits for: the slot, its transactions, the place."""
        node = self._nodes[position[slot]]
        pending = node.pendings[index]
        for place in pending.places[:1]:
            if pending.kind == "primitive":
                return
            for other in range(1, len(position)):
                frames = self._nodes[position[other]].held.get(place)
                if frames is not None and (other != slot or not pending.is_free):
                    yield other, frames - pending.frames if other == slot else frames, place

    def _waits(
        self, position: Position, waiter: tuple[int, int] | None, found: dict[tuple[int, int], tuple[int, int] | None]
    ) -> list[Wait]:
        path = []
        while waiter is not None:
            path.append(waiter)
            waiter = found[waiter]
        waits = []
        for slot, index in reversed(path):
            node = self._nodes[position[slot]]
            pending = node.pendings[index]
            held = [str(self.contents.place_of(p)) for p, frames in node.held.items() if frames & pending.frames]
            waits.append(Wait(node.template.name, tuple(held), str(self.contents.place_of(pending.places[0]))))
        return waits

    def _alarms(self, position: Position, slots: Sequence[tuple[int, int]]) -> list[tuple[int, Move]]:
        """As nobody can do an op, timeouts end: of the tasks that wait for others, those whose next is the first."""
        waiting = [self._nodes[position[slot]] for slot, _ in slots]
        alarms = [node.alarm for node in waiting if node.alarm is not None and not node.is_asleep]
        first = min(alarms, default=None)
        return self._ticks(position, slots, lambda node: node.alarm == first and not node.is_asleep)

    def _ticks(
        self, position: Position, slots: Sequence[tuple[int, int]], is_due: Callable[[Node], bool]
    ) -> list[tuple[int, Move]]:
        """Let time pass for the tasks for which that is due."""
        found: list[tuple[int, Move]] = []
        for slot, many in slots:
            node = self._nodes[position[slot]]
            if node.alarm is not None and is_due(node):
                index = len(node.pendings) - 1
                moved = self.automata.moved(node, index, position[0], 0)
                assert moved is not None
                self._note(moved[1])
                placed, to = self.placed(position, slot, moved[0], moved[1].number)
                found.append((many, Move(slot, index, placed, to)))
        return found

    def _timeouts(self, position: Position, slots: Sequence[tuple[int, int]]) -> list[tuple[int, Move]]:
        """As nobody can move: sync transactions with a timeout give up."""
        found = []
        for slot, many in slots:
            node = self._nodes[position[slot]]
            for index, pending in enumerate(node.pendings):
                if pending.has_limit and not pending.is_async:
                    found.append((many, self._raised(position, slot, index, TimeoutError())))
        return found

    def is_end(self, position: Position) -> bool:
        """Whether all tasks have ended."""
        return all(self._nodes[number].is_done for number in position[1:])

    def blocked(self, position: Position) -> list[str]:
        """For each task, what it waits for for ever; empty if it has ended."""
        texts = []
        for number in position[1:]:
            node = self._nodes[number]
            waits = " and ".join(describe(p) for p in node.pendings if p.kind != "tick")
            holds = f"holds {', '.join(node.locks)} and " if node.locks else ""
            texts.append("" if node.is_done else node.note or f"{holds}waits: {waits}")
        return texts


def _group_bounds(groups: Sequence[int]) -> list[tuple[int, int]]:
    """For each slot of a position, from where to where tasks are alike; slot 0 is the store."""
    bounds = [(0, 1)]
    for index in range(len(groups)):
        low = index
        while low and groups[low - 1] == groups[index]:
            low -= 1
        high = index + 1
        while high < len(groups) and groups[high] == groups[index]:
            high += 1
        bounds.append((low + 1, high + 1))
    return bounds
