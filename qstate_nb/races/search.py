"""The search: all orders of the tasks' ops, merged where nobody can tell them apart, and counted.

Positions are gone through in layers, one op at a time, and each carries in how many ways it is reached, so that the
counts are exact though no schedule is walked twice. (Counting the paths of a layered graph is dynamic programming.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from qstate_nb.races.graph import Graph, Move, Position
from qstate_nb.races.world import Limit

Counts: TypeAlias = dict[Position, int]


def count(graph: Graph, check: Callable[[int, int], object]) -> Counts:
    """In how many ways each position is reached from which nobody can move.

    Args:
        check: is called with how many positions are gone through, and how many more are known, and raises `Limit` if
            that is enough.

    Raises:
        Limit: it was; the ends that were found are in its argument.
    """
    ends: Counts = {}
    layer: Counts = {graph.start: 1}
    while layer:
        try:
            following: Counts = {}
            for number, (position, ways) in enumerate(layer.items()):
                if number % 256 == 0:
                    check(min(256, len(layer) - number), len(following))
                moves = graph.follow(position, ways, following)
                graph.edges += moves
                if not moves:
                    ends[position] = ends.get(position, 0) + ways
        except Limit:
            raise Limit(ends) from None
        layer = following
    return ends


def serial_ends(graph: Graph, check: Callable[[int], object]) -> dict[Position, tuple[Move, ...]]:
    """The positions that are reached by running the tasks one after another, each with one way to it."""
    ends: dict[Position, tuple[Move, ...]] = {}
    seen: set[tuple[Position, int]] = {(graph.start, 0)}
    todo: list[tuple[Position, int, tuple[Move, ...]]] = [(graph.start, 0, ())]
    while todo:
        check(1)
        position, running, way = todo.pop()
        moves = [move for _, move in graph.moves(position)]
        if graph.is_end(position):
            ends.setdefault(position, way)
        for move in moves:
            if not running or move.slot == running:
                is_done = graph.automata.nodes[move.after[move.to]].is_done
                key = (move.after, 0 if is_done else move.to)
                if key not in seen:
                    seen.add(key)
                    todo.append((*key, (*way, move)))
    return ends


def fewest_preemptions(
    graph: Graph, wanted: Iterable[Position] | None, check: Callable[[int], object], most: int | None = None
) -> Iterator[tuple[Position, int, tuple[Move, ...]]]:
    """The ends, each with a way to it that has the fewest preemptions.

    A preemption is a step of another asyncio task, or thread, while the one before could go on.

    Args:
        wanted: the search is over when all of these are found; None finds all.
        most: preemptions at most.
    """
    left = None if wanted is None else set(wanted)
    Key: TypeAlias = tuple[Position, int, int]
    start: Key = (graph.start, 0, 0)
    came: dict[Key, tuple[Key, Move] | None] = {}
    level: list[tuple[Key, tuple[Key, Move] | None]] = [(start, None)]
    found: set[Position] = set()
    used = 0
    while level and (most is None or used <= most):
        later: list[tuple[Key, tuple[Key, Move] | None]] = []
        todo = level
        while todo:
            key, before = todo.pop()
            if key in came:
                continue
            came[key] = before
            check(1)
            position, last, child = key
            moves = [move for _, move in graph.moves(position)]
            if not moves and position not in found:
                found.add(position)
                yield position, used, _way(came, key)
                if left is not None:
                    left.discard(position)
                    if not left:
                        return
            kinds = [graph.automata.nodes[position[move.slot]].pendings[move.gate].child for move in moves]
            goes_on = any(m.slot == last and kind == child for m, kind in zip(moves, kinds, strict=True))
            for move, kind in zip(moves, kinds, strict=True):
                following: Key = (move.after, move.to, kind)
                if following not in came:
                    is_same = move.slot == last and kind == child
                    (later if goes_on and not is_same else todo).append((following, (key, move)))
        level, used = later, used + 1


def _way(
    came: dict[tuple[Position, int, int], tuple[tuple[Position, int, int], Move] | None], key: object
) -> tuple[Move, ...]:
    way: list[Move] = []
    before = came[key]  # type: ignore[index]
    while before is not None:
        key, move = before
        way.append(move)
        before = came[key]
    return tuple(way[::-1])


class Reach:
    """Which ends can come from a position; remembered, as bits of a number."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._ends: list[Position] = []
        self._bits: dict[Position, int] = {}

    def ends(self, position: Position, most: int) -> list[Position]:
        """The ends that can come.

        Args:
            most: so many positions may be looked at that were not before.

        Raises:
            Limit: that is not enough.
        """
        todo = [(position, False)]
        while todo:
            here, is_back = todo.pop()
            if here in self._bits:
                continue
            afters = [move.after for _, move in self.graph.moves(here)]
            if is_back or not afters:
                self._bits[here] = self._union(afters) if afters else self._bit(here)
            else:
                most -= 1
                if most < 0:
                    raise Limit({})
                todo.append((here, True))
                todo.extend((after, False) for after in afters if after not in self._bits)
        bits = self._bits[position]
        return [end for index, end in enumerate(self._ends) if bits >> index & 1]

    def _union(self, positions: Iterable[Position]) -> int:
        bits = 0
        for position in positions:
            bits |= self._bits[position]
        return bits

    def _bit(self, end: Position) -> int:
        self._ends.append(end)
        return 1 << (len(self._ends) - 1)
