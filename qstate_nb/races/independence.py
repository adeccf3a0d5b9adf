"""Whether the ops of different tasks matter to each other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from qstate_nb.races.graph import Graph
from qstate_nb.races.nodes import Pending
from qstate_nb.races.program import Template


class Use(NamedTuple):
    """What an op uses: a place, a field of it or, as None, all of it; and whether it writes."""

    place: int
    field: str | None
    writes: bool


def conflicts(graph: Graph) -> bool:
    """Whether any op of one task matters to one of another's: both use a field, and one of them writes.

    If not, all interleavings are essentially one (Mazurkiewicz, "Concurrent program schemes", 1977).
    """
    if graph.is_timed:
        return True
    used: dict[Template, set[Use]] = {template: set() for template in graph.program.templates}
    for node in graph.automata.nodes:
        for pending in node.pendings:
            used[node.template].update(_uses(pending))
        if node.urgent is not None:
            model, name, *_ = node.urgent
            used[node.template].add(Use(graph.contents.place(model), None, name not in _READS))
    pairs = list(itertools.combinations(graph.program.templates, 2))  # those alike are there as often as they are
    return any(_clash(mine, other) for a, b in dict.fromkeys(pairs) for mine in used[a] for other in used[b])


_READS = ("get", "get_all", "locked", "is_set", "qsize")


def _uses(pending: Pending) -> Iterator[Use]:
    writes = pending.name not in _READS
    fields: list[str | None] = [None]
    if pending.kind == "op" and pending.name == "update":
        fields = list(pending.args[0])
    elif pending.kind == "op" and pending.args and isinstance(pending.args[0], str):
        fields = [pending.args[0]]
    for place in pending.places:
        yield from (Use(place, field, writes) for field in fields)


def _clash(mine: Use, other: Use) -> bool:
    is_same = mine.place == other.place and (mine.field == other.field or None in (mine.field, other.field))
    return is_same and (mine.writes or other.writes)
