"""Brute force: every schedule of a program, each run for real from the beginning, counted one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from qstate_nb.races.canonical import canonical
from qstate_nb.races.exploration import Exploration
from qstate_nb.races.outcomes import Outcome
from qstate_nb.races.schedules import Choice
from qstate_nb.races.together import RealRun


class TooMany(Exception):
    pass


@dataclass
class Found:
    counts: Counter[Hashable] = field(default_factory=Counter)
    preemptions: dict[Hashable, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def all_schedules(exploration: Exploration, most: int) -> Found:
    """How many schedules lead to each outcome, and the fewest preemptions of these."""

    def search() -> Found:
        found = Found()
        prefixes: list[list[Choice]] = [[]]
        while prefixes:
            if found.total > most:
                raise TooMany
            _run(exploration, prefixes.pop(), prefixes, found)
        return found

    result: Found = exploration.inside(search)
    return result


def _run(exploration: Exploration, prefix: list[Choice], prefixes: list[list[Choice]], found: Found) -> None:
    """Run one schedule to its end, and note those that go another way after *prefix*."""
    graph = exploration.graph
    run = RealRun(graph)
    while choices := run.choices():
        done = len(run.schedule)
        if done < len(prefix):
            choice = prefix[done]
        else:
            choice = choices[0][0]
            prefixes += [[*run.schedule, other] for other, _ in choices[1:]]
        run.take(choice, dict(choices)[choice])
    ends = [_end(root.is_done and not root.gates, root.result, root.error) for root in run.world.roots]
    state = exploration.program.state(run.world.store_now())
    run.world.end()
    key = _key(exploration, state, ends)
    found.counts[key] += 1
    found.preemptions[key] = min(run.preemptions, found.preemptions.get(key, run.preemptions))


def _end(is_done: bool, result: Any, error: BaseException | None) -> Hashable:
    if not is_done:
        return "blocked"
    return (type(error).__name__, str(error)) if error is not None else canonical(result)


def _key(exploration: Exploration, state: dict[str, dict[str, Any]], ends: Sequence[Hashable]) -> Hashable:
    groups = exploration.program.groups
    alike = [
        tuple(sorted((repr(end) for end, group in zip(ends, groups, strict=True) if group == first)))
        for first in dict.fromkeys(groups)
    ]
    return (canonical(state), tuple(alike))


def outcome_key(exploration: Exploration, outcome: Outcome) -> Hashable:
    """The key that brute force gives an outcome."""
    ends = [
        _end(not blocked, result, error)
        for blocked, result, error in zip(outcome.blocked, outcome.results, outcome.errors, strict=True)
    ]
    return _key(exploration, outcome.state, ends)
