"""What can be said of a program that is too big to be searched: schedules with few preemptions, and random ones.

The random ones are those of probabilistic concurrency testing: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A
randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from qstate_nb.races.graph import Graph, Position
from qstate_nb.races.schedules import Choice, Walker
from qstate_nb.races.search import Counts
from qstate_nb.races.world import Limit


def bounded_count(graph: Graph, most: int, check: Callable[[int], object]) -> Counts:
    """As `count`, of the schedules with at most so many preemptions.

    Raises:
        Limit: it was too much; the ends that were found are in its argument.
    """
    nodes = graph.automata.nodes
    ends: Counts = {}
    layer: dict[tuple[Position, int, int, int], int] = {(graph.start, 0, 0, 0): 1}
    while layer:
        following: dict[tuple[Position, int, int, int], int] = {}
        try:
            check(len(layer))
            for (position, last, child, used), ways in layer.items():
                moves = graph.moves(position)
                if not moves:
                    ends[position] = ends.get(position, 0) + ways
                children = [nodes[position[move.slot]].pendings[move.gate].child for _, move in moves]
                same = [m.slot == last and c == child for (_, m), c in zip(moves, children, strict=True)]
                for (many, move), kind, is_same in zip(moves, children, same, strict=True):
                    # Of those that stand at one node, one made the last step.
                    for tasks, cost in ((1, 0), (many - 1, 1)) if is_same else ((many, int(any(same))),):
                        if tasks and used + cost <= most:
                            key = (move.after, move.to, kind, used + cost)
                            following[key] = following.get(key, 0) + tasks * ways
        except Limit:
            raise Limit(ends) from None
        layer = following
    return ends


def priority_schedule(graph: Graph, chooser: random.Random, depth: int, length: int) -> tuple[list[Choice], Position]:
    """A schedule of probabilistic concurrency testing, and where it ends.

    Each task has a random priority, and the first that can go on does; at ``depth - 1`` random steps, the one that
    would go on gets the lowest.

    Args:
        length: how many steps a schedule has, as far as is known.
    """
    walker = Walker(graph)
    priorities = list(range(len(walker.at)))
    chooser.shuffle(priorities)
    changes = {chooser.randrange(length) for _ in range(depth - 1)}
    schedule: list[Choice] = []
    while choices := list(walker.choices()):
        choice = max(choices, key=lambda each: priorities[each.task])
        if len(schedule) in changes:
            priorities[choice.task] = min(priorities) - 1
            choice = max(choices, key=lambda each: priorities[each.task])
        walker.take(choice)
        schedule.append(choice)
    return schedule, walker.position


def guarantee(tasks: int, length: int, depth: int, runs: int) -> str:
    """What that many runs of `priority_schedule` are worth, in words.

    Example:
        >>> guarantee(2, 10, 3, 100)
        '100 random schedules of depth 3 (PCT) were looked at: one that needs 3 ordered steps is met with a \
probability of at least 39 %'
    """
    each = 1 / (tasks * length ** (depth - 1))
    found = 1 - (1 - each) ** runs
    return (
        f"{runs:,} random schedules of depth {depth} (PCT) were looked at: one that needs {depth} ordered steps is "
        f"met with a probability of at least {found * 100:.0f} %"
    )
