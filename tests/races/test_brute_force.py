"""The explorer against brute force: random programs, each of whose schedules is run for real, one by one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable

import pytest
from races.brute import TooMany, all_schedules, outcome_key
from races.programs import program

from qstate_nb.races import explore

PROGRAMS = 2_040
PARTS = 20
MOST = 1_000
SIZES = ((2, 5), (2, 5), (2, 5), (2, 5), (4, 7))
"""Ops of a program: from, to."""


@pytest.mark.parametrize("part", range(PARTS))
def test_outcomes_counts_and_fewest_preemptions_are_those_of_brute_force(part: int) -> None:
    """Both colours, with transactions, gather, task groups, cancellation, timeouts and exceptions."""
    compared = 0
    for seed in range(part * PROGRAMS // PARTS, (part + 1) * PROGRAMS // PARTS):
        compared += _compare(seed)
    assert compared >= 100, "too many programs are too big"


def _compare(seed: int) -> bool:
    chooser = random.Random(seed)
    is_async = chooser.random() < 0.75
    tasks = program(
        chooser, is_async=is_async, tasks=chooser.choice([1, 2, 2, 3]), ops=chooser.randint(*SIZES[seed % 5])
    )
    found = explore(*tasks, max_seconds=60)
    assert (found.complete, found.warnings) == (True, []), f"seed {seed}: {found!r}"
    try:
        real = all_schedules(found, MOST)
    except TooMany:
        return False
    counts: Counter[Hashable] = Counter()
    preemptions: dict[Hashable, int] = {}
    for outcome in found.outcomes:
        key = outcome_key(found, outcome)
        counts[key] += outcome.schedules
        preemptions[key] = min(outcome.preemptions, preemptions.get(key, outcome.preemptions))
    assert counts == real.counts, f"seed {seed}"
    assert preemptions == real.preemptions, f"seed {seed}"
    assert found.total == real.total
    return True
