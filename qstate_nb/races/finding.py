"""How an exploration is made: count, find the shortest examples, or sample what is too big, and validate."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import NamedTuple

from qstate_nb.errors import HiddenStateError
from qstate_nb.races.automaton import Automata
from qstate_nb.races.graph import Graph, Position, Timed
from qstate_nb.races.independence import conflicts
from qstate_nb.races.limits import Budget
from qstate_nb.races.program import Program
from qstate_nb.races.sampling import bounded_count, guarantee, priority_schedule
from qstate_nb.races.schedules import Choice, Replayer, WalkStep, concrete, random_walk, walk
from qstate_nb.races.search import count, fewest_preemptions, serial_ends
from qstate_nb.races.together import RealRun
from qstate_nb.races.world import Limit

_RANDOM_REPLAYS = 50
_FEW_REPLAYS = 10  # where no op matters to another task's
# Of the time, up to where each may take it, so that something is left for what can be said if that is too little:
_COUNTING, _SAMPLING, _SERIAL = 0.6, 0.8, 0.9
_PRIORITY_RUNS = 1_000
_PRIORITY_SECONDS = 1.0
_DEPTH = 3
_REAL_RUNS = 300
_REAL_SECONDS = 2.0
_MOST_SAMPLED = 50_000
"""Positions, in the search by preemptions of what is too big: each costs ten times as much as in a count."""


class Example(NamedTuple):
    """A schedule that leads to an end, and its preemptions."""

    preemptions: int
    schedule: list[Choice]


class Finder:
    """Finds the ends of a program.

    Args:
        program: what is explored.
        budget: how much may be done.
        seed: of the random schedules.

    Attributes:
        graph: positions and moves.
        ends: in how many schedules each end comes; 0 if they were not counted.
        examples: of ends, a schedule with the fewest preemptions.
        serial: of the ends of serial orders, a schedule; None if they are not all known.
        complete: whether all interleavings were looked at.
        states: positions that were gone through.
        replays: schedules that were run for real.
        notes, warnings: as of `Exploration`.
    """

    def __init__(self, program: Program, budget: Budget, seed: int) -> None:
        self.program = program
        self.budget = budget
        self.automata = Automata(program.contents, budget.limits.max_ops, self._check)
        self._seed = seed
        self._begin(is_timed=False)

    def _begin(self, *, is_timed: bool) -> None:
        self.is_timed = is_timed
        self.ends: dict[Position, int] = {}
        self.examples: dict[Position, Example] = {}
        self.serial: dict[Position, list[Choice]] | None = None
        self.complete = False
        self.states = self.replays = 0
        self.notes: list[str] = []
        self.warnings = list(self.program.warnings)

    def _check(self) -> None:
        self.budget.check()

    def find(self) -> None:
        """Find all that can be found.

        Raises:
            HiddenStateError: a task depends on more than State.
            OutOfScopeError: a task does what can't be explored.
        """
        try:
            self._find()
        except Timed:
            self.budget.extend()
            self._begin(is_timed=True)
            self._find()

    def _find(self) -> None:
        self.graph: Graph | None = None
        try:
            self.graph = graph = Graph(self.program, self.automata, is_timed=self.is_timed)
        except Limit:
            self.notes.append(f"not complete: {self.budget.reason}")
            return
        self._count(graph)
        if self.budget.reason and not self.budget.is_interrupted:
            self._sample(graph)
        self._run_serially(graph)
        if self.complete or self.budget.limits.preemptions is not None:
            self._find_examples(graph)
        self._validate(graph)

    def _count(self, graph: Graph) -> None:
        budget, most = self.budget, self.budget.limits.preemptions
        budget.extend(part=_COUNTING)
        try:
            if most is None:
                self.ends = count(graph, budget.check)
                self.complete = True
            else:
                self.notes.append(f"only schedules with at most {most} preemptions were looked at")
                self.ends = bounded_count(graph, most, budget.check)
        except Limit as limit:
            self.ends = limit.args[0]
            self.notes.append(f"not complete: {budget.reason}")
        self.states = budget.states

    def _run_serially(self, graph: Graph) -> None:
        self.budget.extend(part=_SERIAL)
        try:
            found = serial_ends(graph, self.budget.check)
        except Limit:
            self.complete = False
            self.notes.append("the serial orders are not all known, so that nothing is called a race")
        else:
            self.serial = {position: concrete(graph, way) for position, way in found.items()}

    def _find_examples(self, graph: Graph) -> None:
        self.budget.extend()
        try:
            for position, used, way in fewest_preemptions(graph, self.ends, self.budget.check):
                self.examples[position] = Example(used, concrete(graph, way))
        except Limit:
            self.notes.append("not every outcome has its shortest example")

    def _sample(self, graph: Graph) -> None:
        """What can be done about a search that is too big: few preemptions first, then random priorities."""
        most = self.budget.limits.preemptions
        self.budget.extend(_MOST_SAMPLED, part=(_COUNTING + _SAMPLING) / 2)
        finished = 0
        try:
            for position, used, way in fewest_preemptions(graph, None, self.budget.check, most):
                finished = used
                self._add(position, Example(used, concrete(graph, way)))
        except Limit:
            if finished:
                self.notes.append(f"all schedules with fewer than {finished} preemptions were looked at")
        self.budget.extend(part=_SAMPLING)
        chooser = random.Random(self._seed)
        runs, longest, began = 0, 1, time.monotonic()
        try:
            while most is None and runs < _PRIORITY_RUNS and time.monotonic() - began < _PRIORITY_SECONDS:
                schedule, position = priority_schedule(graph, chooser, _DEPTH, longest)
                longest, runs = max(longest, len(schedule)), runs + 1
                if position not in self.examples:
                    used = sum(step.is_preemption for step in walk(graph, schedule))
                    self._add(position, Example(used, schedule))
        except Limit:
            pass  # what was found, was found
        if runs:
            self.notes.append(guarantee(len(self.program.labels), longest, _DEPTH, runs))

    def _add(self, position: Position, example: Example) -> None:
        self.ends.setdefault(position, 0)
        self.examples.setdefault(position, example)

    def _validate(self, graph: Graph) -> None:
        """Run every example, and some random schedules, for real; if they do otherwise, believe the real runs."""
        self.budget.extend()
        replayer = Replayer(graph)
        try:
            for steps in self._schedules(graph):
                self._check()
                replayer.run(steps)
        except Limit:
            self.complete = False
            self.notes.append(f"not all examples were run for real: {self.budget.reason}")
        except HiddenStateError as error:
            self.complete = False
            self.warnings.append(str(error))
            self._run_for_real(graph)
        finally:
            self.replays = replayer.runs

    def _schedules(self, graph: Graph) -> Iterator[list[WalkStep]]:
        """The steps of the schedules to run for real: of each end, and random ones."""
        yield from (list(walk(graph, example.schedule)) for example in list(self.examples.values()))
        chooser = random.Random(self._seed)
        total = sum(self.ends.values()) or _RANDOM_REPLAYS
        many = _RANDOM_REPLAYS if conflicts(graph) else _FEW_REPLAYS
        for _ in range(min(many, total)):
            yield random_walk(graph, chooser)

    def _run_for_real(self, graph: Graph) -> None:
        """Let random runs of all tasks together say what the ends are, as tasks can't be run alone.

        Raises:
            HiddenStateError: nearly each run leads to something else.
        """
        self.ends, self.examples, self.serial = {}, {}, None
        chooser = random.Random(self._seed)
        runs, began = 0, time.monotonic()
        while runs < _REAL_RUNS and time.monotonic() - began < _REAL_SECONDS:
            run = RealRun(graph)
            run.go(chooser.choice, self.budget.limits.max_ops * len(self.program.labels))
            end = run.end(self.automata)
            self.ends[end] = self.ends.get(end, 0) + 1
            runs += 1
        if len(self.ends) > 1 + runs // 2:
            raise HiddenStateError(f"{self.warnings[-1]}. It is another each time: look for random numbers or time")
        self.notes.append(f"the outcomes are those of {runs} random runs of all tasks together")

    @property
    def is_one_order(self) -> bool:
        """Whether no op of one task matters to another's."""
        is_known = self.complete and self.graph is not None and len(self.program.labels) > 1
        return is_known and not conflicts(self.graph)  # type: ignore[arg-type]
