"""`explore`: every interleaving of tasks, exactly; and what it found."""

from __future__ import annotations

import ctypes
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from qstate_nb.app.output import capture, release
from qstate_nb.core.formats import short
from qstate_nb.errors import ArgumentError, HiddenStateError, RacesFoundError
from qstate_nb.races.automaton import Automata
from qstate_nb.races.independence import conflicts
from qstate_nb.races.outcomes import SEVERITY, Check, Equal, Judge, Outcome, Verdict
from qstate_nb.races.program import Program, as_calls
from qstate_nb.races.report import exploration_text
from qstate_nb.races.sampling import bounded_count, guarantee, priority_schedule
from qstate_nb.races.sandbox import logs_kept_back, threads_refused
from qstate_nb.races.schedules import (
    Choice,
    Replayer,
    Walker,
    WalkStep,
    concrete,
    is_start,
    parse_id,
    random_schedule,
    schedule_id,
    walk,
)
from qstate_nb.races.search import Graph, Limit, Position, Reach, count, fewest_preemptions, serial_ends
from qstate_nb.races.stepping import Stepper
from qstate_nb.races.timeline import Timeline
from qstate_nb.races.together import RealRun
from qstate_nb.races.world import World

T = TypeVar("T")

_RANDOM_REPLAYS = 50
_PRIORITY_RUNS = 1_000
_DEPTH = 3
_MOST_LOOKED_AT = 100_000
"""Positions, to find out what can still come."""
_REAL_RUNS = 300
_REAL_SECONDS = 2.0
_SERIOUS = 1.0
"""Seconds after the limit after which code that makes no op is cut off."""


@dataclass(frozen=True)
class Limits:
    """When an exploration ends early.

    Args:
        preemptions: how many a schedule may have; None for any number.
        max_states: positions: what is in State and where each task stands.
        max_ops: of one task.
        max_seconds: of the whole.

    Raises:
        ArgumentError: one is no such number.
    """

    preemptions: int | None = None
    max_states: int = 500_000
    max_ops: int = 200
    max_seconds: float = 10

    def __post_init__(self) -> None:
        for name, least in (("preemptions", 0), ("max_states", 1), ("max_ops", 1), ("max_seconds", 0)):
            value = getattr(self, name)
            kinds = (int, float) if name == "max_seconds" else (int,)
            is_number = isinstance(value, kinds) and not isinstance(value, bool) and value >= least
            if not (is_number or (value is None and name == "preemptions")):
                raise ArgumentError(f"{name} must be a number, at least {least}, not {short(value)}")


class _Cut(BaseException):
    """Ends a task that makes no op, when the time is over."""


class Budget:
    """Counts what an exploration may still do."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.states = 0
        self.began = time.monotonic()
        self.reason = ""
        self.is_interrupted = False

    def check(self, states: int = 0) -> None:
        """Go on, if it may.

        Raises:
            Limit: it may not; `reason` says why.
        """
        self.states += states
        if self.is_interrupted:
            self.reason = "it was interrupted"
        elif time.monotonic() - self.began > self.limits.max_seconds:
            self.reason = f"max_seconds={self.limits.max_seconds:g} is over"
        elif self.states > self.limits.max_states:
            self.reason = f"there are more than max_states={self.limits.max_states:,} positions"
        else:
            return
        raise Limit({})

    def extend(self) -> None:
        """Allow as many positions again, for another way to search."""
        self.states = 0


class Exploration:
    """What `explore` found.

    Attributes:
        verdict: the worst of the outcomes'; ``unknown`` if none is bad and it is not complete.
        complete: whether all interleavings were looked at.
        total: how many interleavings there are; if it is not complete, how many were looked at.
        executions: how many runs of a single task that took.
        replays: how many schedules were run for real, with all tasks together, to see that the rest is right.
        orders: 1 if no op of one task matters to another's, so that all interleavings are essentially one; else None.
        outcomes: the worst first.
        labels: what the tasks are called here.
        notes: what limited it, and what is to be known of the result.
        warnings: what was found besides: shared state outside State, orders that were not explored.
    """

    def __init__(self, program: Program, limits: Limits, seed: int) -> None:
        self.program = program
        self.labels = list(program.labels)
        self.warnings = list(program.warnings)
        self.notes: list[str] = []
        self.outcomes: tuple[Outcome, ...] = ()
        self.complete = False
        self.total = 0
        self.replays = 0
        self._real_runs = 0
        self.orders: int | None = None
        self.states = 0
        self._limits = limits
        self._seed = seed
        self._budget = Budget(limits)
        self._automata = Automata(program.contents, limits.max_ops, self._check)
        self._serial_ways: dict[Position, list[Choice]] = {}

    def _check(self) -> None:
        self._budget.check()

    @property
    def executions(self) -> int:
        """How many runs of a single task it took."""
        return self._automata.runs

    @property
    def verdict(self) -> Verdict:
        """The worst of the outcomes' verdicts."""
        found = {outcome.verdict for outcome in self.outcomes}
        worst: Verdict = next((verdict for verdict in SEVERITY if verdict in found), "unknown")
        return "unknown" if worst == "safe" and not self.complete else worst

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
        return list(self._serial_ways.values())

    def position_after(self, steps: Sequence[WalkStep]) -> Position:
        """The position after some steps."""
        walker = Walker(self.graph)
        for step in steps:
            walker.store, walker.at[step.task] = step.store, step.after.number
        return walker.position

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

    def run(self, check: Check | None, equal: Equal | None) -> None:
        """Search, judge and validate; for `explore`."""
        self.inside(lambda: self._search(check, equal))

    def inside(self, function: Callable[[], T]) -> T:
        """Run something in a thread where no event loop runs, and where what tasks print and share is kept apart."""
        self._budget = Budget(self._limits)
        return _in_thread(lambda: self._apart(function), self._budget)

    def _apart(self, function: Callable[[], T]) -> T:
        self.program.shared.install()
        keeper = World(self.program.contents)  # so that streams stay routed
        capture(keeper)
        try:
            with logs_kept_back(), threads_refused():
                return function()
        finally:
            self._automata.close()
            release(keeper)
            self.program.shared.uninstall()

    def _search(self, check: Check | None, equal: Equal | None) -> None:
        budget = self._budget
        self.graph = graph = Graph(self.program, self._automata)
        self._reach = Reach(graph)
        ends: dict[Position, int] = {}
        ways: dict[Position, tuple[int, list[Choice]]] = {}
        try:
            if self._limits.preemptions is None:
                ends = count(graph, budget.check)
                self.complete = True
            else:
                ends = bounded_count(graph, self._limits.preemptions, budget.check)
                self.notes.append(
                    f"only schedules with at most {self._limits.preemptions} preemptions were looked at"
                )
        except Limit as limit:
            ends = limit.args[0]
            self.notes.append(f"not complete: {budget.reason}")
        self.states = budget.states
        serial = self._serial(graph)
        self.total = sum(ends.values())
        if self.complete or self._limits.preemptions is not None:
            budget.extend()
            for position, used, way in self._tried(fewest_preemptions(graph, ends, budget.check)):
                ways[position] = used, concrete(graph, way)
        if not self.complete and self._limits.preemptions is None and not budget.is_interrupted:
            self._sample(graph, ends, ways)
        if not self._validate(graph, ways):
            ends, ways = self._run_for_real(graph), {}
            serial = None
        self.judge = Judge(graph, serial, check, equal)
        self._conclude(graph, ends, ways)

    def _tried(self, found: Any) -> Any:
        try:
            yield from found
        except Limit:
            self.notes.append("not every outcome has its shortest example")

    def _serial(self, graph: Graph) -> dict[Position, tuple[str, ...]] | None:
        self._budget.extend()
        try:
            found = serial_ends(graph, self._budget.check)
        except Limit:
            self.complete = False
            self.notes.append("the serial orders are not all known, so that nothing is called a race")
            return None
        self._serial_ways = {position: concrete(graph, way) for position, way in found.items()}
        return {
            position: tuple(dict.fromkeys(self.labels[choice.task] for choice in way))
            for position, way in self._serial_ways.items()
        }

    def _sample(
        self, graph: Graph, ends: dict[Position, int], ways: dict[Position, tuple[int, list[Choice]]]
    ) -> None:
        """What can be done about a search that is too big: few preemptions first, then random priorities."""
        budget = self._budget
        budget.extend()
        finished = 0
        try:
            for position, used, way in fewest_preemptions(graph, None, budget.check):
                finished = used
                ends.setdefault(position, 0)
                ways[position] = used, concrete(graph, way)
        except Limit:
            if finished:
                self.notes.append(f"all schedules with fewer than {finished} preemptions were looked at")
        chooser = random.Random(self._seed)
        runs, longest = 0, 1
        began = time.monotonic()
        while runs < _PRIORITY_RUNS and time.monotonic() - began < 1:
            schedule, position = priority_schedule(graph, chooser, _DEPTH, longest)
            longest = max(longest, len(schedule))
            runs += 1
            ends.setdefault(position, 0)
            ways.setdefault(position, (_preemptions(graph, schedule), schedule))
        self.notes.append(guarantee(len(self.labels), longest, _DEPTH, runs))

    def _conclude(
        self, graph: Graph, ends: Mapping[Position, int], ways: Mapping[Position, tuple[int, list[Choice]]]
    ) -> None:
        """Make outcomes of ends; ends that count as equal are one."""
        alike: dict[Any, list[Position]] = {}
        for position in ends:
            alike.setdefault(self.judge.keys(position), []).append(position)
        self.judge.note_ends(ends)
        made = []
        self._by_position: dict[Position, Outcome] = {}
        for positions in alike.values():
            known = [position for position in positions if position in ways]
            best = min(known, key=lambda position: ways[position][0]) if known else positions[0]
            used, way = ways.get(best, (-1, []))
            verdict, reason, order = self.judge.verdict(best)
            nodes = [self._automata.nodes[number] for number in best[1:]]
            schedules = sum(ends[position] for position in positions)
            outcome = Outcome(
                state=self.judge.state(best),
                results=tuple(node.result for node in nodes),
                errors=tuple(node.error for node in nodes),
                blocked=tuple(graph.blocked(best)),
                serial=order,
                verdict=verdict,
                reason=reason,
                schedules=schedules,
                share=Fraction(schedules, self.total or 1),
                preemptions=used,
                id=schedule_id(graph, way) if known else "",
                position=best,
            )
            self._by_position.update(dict.fromkeys(positions, outcome))
            made.append(outcome)
        self.outcomes = tuple(
            sorted(made, key=lambda o: (SEVERITY.index(o.verdict), o.preemptions, -o.schedules, repr(o.state), o.id))
        )
        if any(text.startswith("may never finish") for outcome in self.outcomes for text in outcome.blocked):
            self.complete = False
            self.notes.append(f"a task may never finish: it was followed for max_ops={self._limits.max_ops} ops")
        if self.complete and len(self.labels) > 1 and not conflicts(graph):
            self.orders = 1
            self.notes.append("no op of one task matters to another: all interleavings are essentially one order")

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

    def _validate(self, graph: Graph, ways: Mapping[Position, tuple[int, list[Choice]]]) -> bool:
        """Run every example, and some random schedules, for real; whether all is as the automata tell."""
        self._budget.extend()
        replayer = Replayer(graph)
        try:
            for schedule in self._examples(graph, ways):
                self._check()
                replayer.run(list(walk(graph, schedule)))
        except Limit:
            self.notes.append("not all examples were run for real")
        except HiddenStateError as error:
            self.complete = False
            self.warnings.append(str(error))
            return False
        finally:
            self.replays = replayer.runs
        return True

    def _examples(self, graph: Graph, ways: Mapping[Position, tuple[int, list[Choice]]]) -> Iterator[list[Choice]]:
        """The schedules to run for real: of each end, and random ones if the order matters."""
        yield from [way for _, way in ways.values()]
        chooser = random.Random(self._seed)
        for _ in range(min(_RANDOM_REPLAYS, self.total) if conflicts(graph) or not ways else 0):
            yield random_schedule(graph, chooser)

    def _run_for_real(self, graph: Graph) -> dict[Position, int]:
        """What random runs of all tasks together lead to, as they can't be run alone: how often each.

        Raises:
            HiddenStateError: nearly each run leads to something else.
        """
        ends: dict[Position, int] = {}
        starts = [is_start(self._automata.nodes[number]) for number in graph.start[1:]]
        chooser = random.Random(self._seed)
        began = time.monotonic()
        while self._real_runs < _REAL_RUNS and time.monotonic() - began < _REAL_SECONDS:
            run = RealRun(self.program, starts)
            run.go(chooser.choice, self._limits.max_ops * len(starts))
            end = run.end(self._automata)
            ends[end] = ends.get(end, 0) + 1
            self._real_runs += 1
        if len(ends) > 1 + self._real_runs // 2:
            raise HiddenStateError(f"{self.warnings[-1]}. It is another each time: look for random numbers or time")
        self.total = self._real_runs
        self.notes.append(f"the outcomes are those of {self._real_runs} random runs of all tasks together")
        return ends


def _preemptions(graph: Graph, choices: Sequence[Choice]) -> int:
    return sum(step.is_preemption for step in walk(graph, choices))


def _in_thread(function: Callable[[], T], budget: Budget) -> T:
    """Run *function* in a thread of its own, where no event loop runs; an interrupt ends its search."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="qstate races", daemon=True)
    thread.start()
    while thread.is_alive():
        try:
            thread.join(0.05 if budget.reason else 0.5)
            late = time.monotonic() - budget.began - budget.limits.max_seconds
            if thread.is_alive() and late > _SERIOUS and thread.ident is not None and not budget.reason:
                budget.reason = "a task makes no op, and does not end"
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_Cut))
        except KeyboardInterrupt:
            budget.is_interrupted = True
    if errors:
        raise errors[0]
    return results[0]


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
    program = Program(as_calls(tasks, n), {} if state is None else state)
    exploration = Exploration(program, limits, seed)
    exploration.run(check, equal)
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
        return "\n".join([f"not complete, so not said to be safe: {found!r}"])
    return f"{found!r}\n\n{found.timeline(bad[0])!r}"
