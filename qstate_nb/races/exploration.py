"""`explore`: every interleaving of tasks, exactly; and what it found."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeVar

from qstate_nb.core.formats import short
from qstate_nb.errors import ArgumentError, RacesFoundError
from qstate_nb.races.apart import apart
from qstate_nb.races.finding import Finder
from qstate_nb.races.graph import Graph, Position
from qstate_nb.races.limits import Budget, Limits, run_apart
from qstate_nb.races.outcomes import SEVERITY, Check, Equal, Judge, Outcome, Verdict
from qstate_nb.races.program import Program, as_calls
from qstate_nb.races.report import exploration_text
from qstate_nb.races.schedules import Choice, Replayer, Walker, WalkStep, parse_id, schedule_id, walk
from qstate_nb.races.search import Reach
from qstate_nb.races.stepping import Stepper
from qstate_nb.races.timeline import Timeline
from qstate_nb.races.world import Limit, close_generator

T = TypeVar("T")

_MOST_LOOKED_AT = 100_000
"""Positions, to find out what can still come."""


class Exploration:
    """What `explore` found.

    Attributes:
        verdict: the worst of the outcomes'; ``unknown`` if none is bad and it is not complete.
        complete: whether all interleavings were looked at.
        total: how many interleavings there are; if it is not complete, how many were counted.
        executions: how many runs of a single task that took.
        replays: how many schedules were run for real, with all tasks together, to see that the rest is right.
        orders: 1 if no op of one task matters to another's, so that all interleavings are essentially one; else None.
        outcomes: the worst first.
        labels: what the tasks are called here.
        states: positions that were gone through: what is in State, and where each task stands.
        notes: what limited it, and what is to be known of the result.
        warnings: what was found besides: shared state outside State, orders that were not explored.
    """

    def __init__(self, program: Program, limits: Limits, seed: int) -> None:
        self.program = program
        self.labels = list(program.labels)
        self.outcomes: tuple[Outcome, ...] = ()
        self._limits = limits
        self._finder = Finder(program, Budget(limits), seed)
        self._by_position: dict[Position, Outcome] = {}

    def explore(self, check: Check | None, equal: Equal | None) -> None:
        """Search and judge; for `explore`."""
        self._run(lambda: self._explore(check, equal), self._finder.budget)

    def _explore(self, check: Check | None, equal: Equal | None) -> None:
        finder = self._finder
        finder.find()
        self.complete, self.states, self.replays = finder.complete, finder.states, finder.replays
        self.notes, self.warnings = finder.notes, finder.warnings
        self.total = sum(finder.ends.values())
        if finder.graph is not None:
            self._reach = Reach(finder.graph)
            self._judge(Judge(finder.graph, self._serial_orders(), check, equal))
        self.orders = 1 if finder.is_one_order else None
        if self.orders == 1:
            self.notes.append("no op of one task matters to another: all interleavings are essentially one order")

    def _end_of(self, schedule: Sequence[Choice]) -> Position:
        """Where a schedule leads to, task by task."""
        walker = Walker(self.graph)
        for choice in schedule:
            walker.take(choice)
        return (walker.store, *walker.at)

    def _serial_orders(self) -> dict[Position, tuple[str, ...]] | None:
        serial = self._finder.serial
        if serial is None:
            return None
        return {
            position: tuple(dict.fromkeys(self.labels[choice.task] for choice in schedule))
            for position, schedule in serial.items()
        }

    def _judge(self, judge: Judge) -> None:
        """Make outcomes of ends; ends that count as equal are one."""
        finder, graph = self._finder, self.graph
        judge.note_ends(list(finder.ends))
        alike: dict[Any, list[Position]] = {}
        for position in finder.ends:
            alike.setdefault((judge.keys(position), judge.problem(position)), []).append(position)
        made = []
        for positions in alike.values():
            known = [position for position in positions if position in finder.examples]
            best = min(known, key=lambda each: finder.examples[each].preemptions) if known else positions[0]
            example = finder.examples.get(best)
            verdict, reason, order = judge.verdict(best)
            at = best if example is None else self._end_of(example.schedule)
            nodes = [graph.automata.nodes[number] for number in at[1:]]
            schedules = sum(finder.ends[position] for position in positions)
            outcome = Outcome(
                state=judge.state(best),
                results=tuple(node.result for node in nodes),
                errors=tuple(node.error for node in nodes),
                blocked=tuple(graph.blocked(at)),
                serial=order,
                verdict=verdict,
                reason=reason,
                schedules=schedules,
                share=Fraction(schedules, self.total or 1),
                preemptions=-1 if example is None else example.preemptions,
                id="" if example is None else schedule_id(graph, example.schedule),
            )
            self._by_position.update(dict.fromkeys(positions, outcome))
            made.append(outcome)
        self.outcomes = tuple(
            sorted(made, key=lambda o: (SEVERITY.index(o.verdict), o.preemptions, -o.schedules, o.state_text, o.id))
        )
        if any(text.startswith("may never finish") for outcome in made for text in outcome.blocked):
            self.complete = False
            self.notes.append(f"a task may never finish: it was followed for max_ops={self._limits.max_ops} ops")
        self.notes += judge.notes

    @property
    def graph(self) -> Graph:
        """Positions, and the moves between them.

        Raises:
            ArgumentError: there are none, as the exploration ended before they were known.
        """
        if self._finder.graph is None:
            raise ArgumentError(f"nothing was explored: {'; '.join(self.notes)}")
        return self._finder.graph

    @property
    def executions(self) -> int:
        """How many runs of a single task it took."""
        return self._finder.automata.runs

    @property
    def verdict(self) -> Verdict:
        """The worst of the outcomes' verdicts."""
        found = {outcome.verdict for outcome in self.outcomes}
        worst: Verdict = next((verdict for verdict in SEVERITY if verdict in found), "unknown")
        return "unknown" if worst == "safe" and not self.complete else worst

    def inside(self, function: Callable[[], T]) -> T:
        """Run something in a thread where no event loop runs, and where what tasks print and share is kept apart."""
        self._finder.budget = Budget(self._limits)
        return self._run(function, self._finder.budget)

    def _run(self, function: Callable[[], T], budget: Budget) -> T:
        with apart(self.program):
            return run_apart(lambda: self._closing(function), budget)

    def _closing(self, function: Callable[[], T]) -> T:
        sys.set_asyncgen_hooks(finalizer=close_generator)  # of this thread
        try:
            return function()
        finally:
            self._finder.automata.close()

    def walked(self, choices: Sequence[Choice]) -> list[WalkStep]:
        """The steps of a schedule.

        Raises:
            ScheduleMismatch: it can't be made.
        """
        return self.inside(lambda: list(walk(self.graph, choices)))

    def walker(self, choices: Sequence[Choice]) -> tuple[Walker, list[WalkStep]]:
        """What has made the steps of a schedule and can make more, and these steps."""
        walker = Walker(self.graph)
        return walker, self.inside(lambda: [walker.take(choice) for choice in choices])

    def id_of(self, choices: Sequence[Choice]) -> str:
        """The id of a schedule."""
        return self.inside(lambda: schedule_id(self.graph, choices))

    def _steps(self, schedule: str | Outcome) -> list[WalkStep]:
        return self.walked(parse_id(self.graph, schedule.id if isinstance(schedule, Outcome) else schedule))

    def replay(self, schedule: str | Outcome) -> Timeline:
        """Run a schedule for real, with all tasks truly together.

        Args:
            schedule: an outcome, or the id of any schedule of these tasks.

        Returns:
            What happened, with what was printed and logged.

        Raises:
            ScheduleMismatch: the code, the arguments or the State have changed since, or it is no schedule.
            HiddenStateError: the tasks did something else: they share more than State.
        """
        steps = self._steps(schedule)
        return Timeline(self, steps, self.inside(lambda: Replayer(self.graph).run(steps)))

    def timeline(self, schedule: str | Outcome) -> Timeline:
        """The picture of a schedule.

        Args:
            schedule: an outcome, or the id of any schedule of these tasks.

        Raises:
            ScheduleMismatch: as `replay`.
        """
        return Timeline(self, self._steps(schedule))

    def step(self) -> Stepper:
        """Be the scheduler: choose who goes next, and see which outcomes can still come."""
        return Stepper(self)

    @property
    def serial_ways(self) -> list[list[Choice]]:
        """A schedule for each serial outcome."""
        return list((self._finder.serial or {}).values())

    def position_after(self, steps: Sequence[WalkStep]) -> Position:
        """The position after some steps."""
        return Walker(self.graph).skip(steps).position

    def outcome_at(self, position: Position) -> Outcome | None:
        """The outcome of an end."""
        return self._by_position.get(position)

    def reachable(self, position: Position) -> tuple[Outcome, ...]:
        """The outcomes that can come from a position; all of them if finding that out takes too long."""
        try:
            return self._reachable(position)
        except Limit:
            return self.outcomes

    def _reachable(self, position: Position) -> tuple[Outcome, ...]:
        ends = self.inside(lambda: self._reach.ends(position, _MOST_LOOKED_AT))
        found = {id(self._by_position.get(end)) for end in ends}
        return tuple(outcome for outcome in self.outcomes if id(outcome) in found)

    def reachable_after(self, choices: Sequence[Choice]) -> tuple[Outcome, ...]:
        """The outcomes that can come after some steps."""
        return self.reachable(self.walker(choices)[0].position)

    def decisive(self, steps: Sequence[WalkStep], outcome: Outcome | None) -> int:
        """The number of the step after which only bad outcomes can come, and not before.

        It is 0 if there is none, or if finding it out takes too long.
        """
        if outcome is None or not outcome.is_bad:
            return 0
        for number in range(len(steps), 0, -1):
            try:
                before = self._reachable(self.position_after(steps[: number - 1]))
            except Limit:
                return 0
            if not all(each.is_bad for each in before):
                return number
        return 0

    def __repr__(self) -> str:
        return exploration_text(self)

    def __format__(self, spec: str) -> str:
        """As text; ``mermaid`` gives a sequence diagram of the worst outcome's schedule.

        Raises:
            ValueError: *spec* is another one.
        """
        if not spec:
            return repr(self)
        shown = next((outcome for outcome in self.outcomes if outcome.id), None)
        return format(self.timeline(shown), spec) if shown is not None else ""


def explore(
    *tasks: Any,
    n: int = 1,
    state: Mapping[Any, Mapping[str, Any]] | None = None,
    check: Check | None = None,
    equal: Equal | None = None,
    preemptions: int | None = None,
    max_states: int = 500_000,
    max_ops: int = 200,
    max_seconds: float = 10,
    seed: int = 0,
) -> Exploration:
    """Find every outcome of tasks that run concurrently, over all interleavings of their State ops.

    The tasks run on fresh State; the real one is not touched. What they print and log is kept back.

    Args:
        tasks: tasks of an `InlineApp`, or functions with State parameters, async or sync; with arguments as
            ``withdraw.bind(amount=80)`` or `functools.partial`.
        n: how many of each run at once.
        state: fields in the beginning, by State name or class: ``{"Account": {"balance": 100}}``.
        check: is given the State of each outcome, as ``s["Account"]["balance"]``; the outcome is bad if it returns
            something false or raises AssertionError.
        equal: makes values alike that count as equal: a function such as ``sorted`` for all values that it takes, or
            a dict such as ``{"Log.lines": sorted, "Job.progress": None, "results": None}``; None leaves out.
        preemptions: look only at schedules with so many; a preemption is a step of another task while the one before
            could go on.
        max_states, max_ops, max_seconds: when to stop; see `Limits`.
        seed: of the random schedules that are run for real.

    Raises:
        ArgumentError: there is no task, or one of these is not as described.
        HiddenStateError: a task depends on more than State and its arguments.
        OutOfScopeError: a task does real I/O, starts a thread or a process, or uses State made elsewhere.

    Example:
        >>> from qstate_nb import State
        >>> class Account(State):
        ...     balance: int = 0
        >>> def deposit(account: Account):
        ...     account.set("balance", account.get("balance") + 10)
        >>> r = explore(deposit, n=2)
        >>> r.verdict, r.total, r.complete
        ('race', 6, True)
        >>> [(outcome.state_text, outcome.schedules) for outcome in r.outcomes]
        [('Account.balance = 10', 4), ('Account.balance = 20', 2)]
    """
    limits = Limits(preemptions, max_states, max_ops, max_seconds)
    if check is not None and not callable(check):
        raise ArgumentError(f"check must be a function of the State, not {short(check)}")
    functions = equal.values() if isinstance(equal, Mapping) else [equal]
    if not all(function is None or callable(function) for function in functions):
        raise ArgumentError(f"equal must be a function, or a dict of such, not {short(equal)}")
    if not isinstance(seed, int):
        raise ArgumentError(f"seed must be a whole number, not {short(seed)}")
    program = Program(as_calls(tasks, n), {} if state is None else state)
    exploration = Exploration(program, limits, seed)
    exploration.explore(check, equal)
    return exploration


def assert_no_races(*tasks: Any, n: int = 1, **options: Any) -> Exploration:
    """Raise an AssertionError if tasks can go wrong together, or if that can't be said: for tests.

    Args:
        tasks, n, options: as of `explore`.

    Returns:
        What was found.

    Raises:
        RacesFoundError: the message shows the outcome and its schedule.

    Example:
        >>> from qstate_nb import State
        >>> class Account(State):
        ...     balance: int = 0
        >>> def deposit(account: Account):
        ...     account.increment("balance", 10)
        >>> assert_no_races(deposit, n=3).verdict
        'safe'
    """
    __tracebackhide__ = True
    found = explore(*tasks, n=n, **options)
    if found.verdict != "safe":
        raise RacesFoundError(_why(found))
    return found


def _why(found: Exploration) -> str:
    bad = [outcome for outcome in found.outcomes if outcome.is_bad]
    if not bad:
        return f"not complete, so not said to be safe: {found!r}"
    return f"{found!r}\n\n{found.timeline(bad[0])!r}" if bad[0].id else repr(found)
