"""Outcomes: how tasks can end together, how each comes about, and what is wrong with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Literal, TypeAlias

from qstate_nb.core.formats import message, printable, short
from qstate_nb.core.values import copy_value
from qstate_nb.errors import ArgumentError, DeadlockError
from qstate_nb.races.canonical import canonical, error_key
from qstate_nb.races.graph import Graph, Position
from qstate_nb.races.nodes import Node
from qstate_nb.races.program import Template

Verdict: TypeAlias = Literal["deadlock", "check failed", "race", "error", "results differ", "unknown", "safe"]

SEVERITY: Final[tuple[Verdict, ...]] = (
    *("check failed", "deadlock", "race", "error", "results differ", "unknown", "safe"),
)
"""The verdicts, the worst first."""

NO_ORDER: Final = "the States in the end differ, and no serial order ends: tasks wait for each other"

Check: TypeAlias = Callable[[dict[str, dict[str, Any]]], object]
Equal: TypeAlias = "Callable[[Any], Any] | Mapping[str, Callable[[Any], Any] | None]"


@dataclass(frozen=True)
class Outcome:
    """One way in which the tasks can end together.

    Attributes:
        state: fields of each bucket in the end, by the bucket's name, with declared defaults.
        results: what each task returned; None for one that did not.
        errors: what each task raised, or None.
        blocked: for each task that can't go on, what it waits for; empty for the others.
        serial: the tasks in an order in which, one after another, they end like this; None if there is none.
        verdict: ``race``: no serial order leads to that State. ``error``: none leads to these errors.
            ``results differ``: none leads to these results, though to that State. ``deadlock``, ``check failed``, and
            ``safe``. ``unknown`` if the serial orders are not known.
        reason: what the check says, or who waits for whom.
        schedules: how many lead to it.
        share: of all schedules. It is no probability: real schedules are not all as likely.
        preemptions: the fewest with which it comes about.
        id: of a schedule with so many.
    """

    state: dict[str, dict[str, Any]]
    results: tuple[Any, ...]
    errors: tuple[BaseException | None, ...]
    blocked: tuple[str, ...]
    serial: tuple[str, ...] | None
    verdict: Verdict
    reason: str
    schedules: int
    share: Fraction
    preemptions: int
    id: str

    def __repr__(self) -> str:
        return f"<Outcome {self.verdict}: {self.state_text}, {self.schedules:,} schedules>"

    @property
    def is_bad(self) -> bool:
        """Whether something is wrong with it."""
        return self.verdict not in ("safe", "unknown")

    @property
    def state_text(self) -> str:
        """The State, as ``Account.balance = 100``."""
        return state_text(self.state)

    def ends(self, labels: Sequence[str]) -> list[str]:
        """How each task ends, if not by returning None."""
        ends = zip(labels, self.results, self.errors, self.blocked, strict=True)
        return [text for text in (end_text(*end) for end in ends) if text]


def state_text(state: Mapping[str, Mapping[str, Any]]) -> str:
    """A State, as ``Account.balance = 100``."""
    found = [
        f"{name}.{printable(key)} = {short(value, 60)}"
        for name, fields in state.items()
        for key, value in fields.items()
    ]
    return ", ".join(found) or "State is empty"


def end_text(label: str, result: Any, error: BaseException | None, blocked: str) -> str:
    """How a task ends; empty if it returns None."""
    if error is not None:
        return f"{label} raises {type(error).__name__}: {message(error)}"
    if blocked:
        return f"{label} {blocked}"
    return "" if result is None else f"{label} returns {short(result)}"


class Judge:
    """Tells what is wrong with an end, by what serial orders lead to and what the user checks.

    Attributes:
        never: tasks that raise in every interleaving.

    Args:
        graph: the ends' positions are of it.
        serial: ends that serial orders lead to, with the tasks in that order; None if they are not known.
        check: is given the State; what is wrong if it returns something false or raises AssertionError.
        equal: makes values alike that count as equal.

    Raises:
        ArgumentError: *equal* is neither a function nor a mapping of such.
    """

    def __init__(
        self,
        graph: Graph,
        serial: Mapping[Position, tuple[str, ...]] | None,
        check: Check | None,
        equal: Equal | None,
    ) -> None:
        self.graph = graph
        self._check = check
        self._equal = equal
        self.never: set[Template] = set()
        self._named: set[str] = set()
        self.serial: dict[Hashable, tuple[str, ...]] | None = None
        self._states: set[Hashable] = set()
        self._errors: set[Hashable] = set()
        if serial is not None:
            self.serial = {}
            for position, order in serial.items():
                state, errors, results = self.keys(position)
                self.serial.setdefault((state, errors, results), order)
                self._states.add(state)
                self._errors.add((state, errors))

    def note_ends(self, positions: Collection[Position]) -> None:
        """Find out which tasks raise in every end; and, if no serial order has an end, whether all ends agree."""
        if self.serial == {}:
            ends = {self.keys(position) for position in positions if self.graph.is_end(position)}
            self._agree(ends)
        nodes = [self._node(number) for position in positions for number in position[1:]]
        self.never = {node.template for node in nodes if node.error is not None}
        self.never -= {node.template for node in nodes if node.error is None}

    def _agree(self, ends: set[tuple[Hashable, Hashable, Hashable]]) -> None:
        """Take for right what all ends have in common, as tasks that wait for each other can't run one by one."""
        assert self.serial is not None
        states = {state for state, _, _ in ends}
        errors: set[Hashable] = {(state, errors) for state, errors, _ in ends}
        self._states = states if len(states) == 1 else set()
        self._errors = errors if len(errors) == 1 else set()
        self.serial = dict.fromkeys(ends, ()) if len(ends) == 1 else {}

    def _node(self, number: int) -> Node:
        return self.graph.automata.nodes[number]

    def state(self, position: Position) -> dict[str, dict[str, Any]]:
        """The State at a position."""
        return self.graph.program.state(position[0])

    def keys(self, position: Position) -> tuple[Hashable, Hashable, Hashable]:
        """What State, errors and results are, to be compared."""
        self._named.update(f"{name}.{key}" for name, fields in self.state(position).items() for key in fields)
        state = tuple(
            (name, key, canonical(self._same(f"{name}.{key}", value)))
            for name, fields in self.state(position).items()
            for key, value in sorted(fields.items())
            if not self._is_left_out(f"{name}.{key}")
        )
        nodes = [self._node(number) for number in position[1:]]
        blocked = self.graph.blocked(position)
        errors = tuple(
            (waits, None if node.error is None else error_key(node.error))
            for node, waits in zip(nodes, blocked, strict=True)
        )
        results = tuple(
            None if self._is_left_out("results") else canonical(self._same("results", n.result)) for n in nodes
        )
        groups = self.graph.program.groups
        if results != tuple(canonical(node.result) for node in nodes):  # those alike may have changed places
            results = tuple(
                key
                for group in dict.fromkeys(groups)
                for key in sorted((r for r, g in zip(results, groups, strict=True) if g == group), key=repr)
            )
        return state, errors, results

    def _is_left_out(self, name: str) -> bool:
        return isinstance(self._equal, Mapping) and name in self._equal and self._equal[name] is None

    def _same(self, name: str, value: Any) -> Any:
        same = self._equal.get(name) if isinstance(self._equal, Mapping) else self._equal
        if same is None:
            return value
        try:
            return same(copy_value(value))
        except TypeError:  # such as sorted of a number
            return value
        except Exception as error:
            problem = f"equal raised {type(error).__name__}: {message(error)}"
            raise ArgumentError(f"{problem}, for {name} = {short(value)}") from error

    def verdict(self, position: Position) -> tuple[Verdict, str, tuple[str, ...] | None]:
        """What is wrong with an end, why, and a serial order that leads to the same."""
        keys = self.keys(position)
        order = None if self.serial is None else self.serial.get(keys)
        problem = self.problem(position)
        if problem is not None:
            return "check failed", problem, order
        failing = [
            node for node in map(self._node, position[1:]) if node.error is not None and node.template in self.never
        ]
        if failing:
            return "error", f"{failing[0].template.name} raises in every interleaving", order
        if order is not None:
            return "safe", "", order
        return (*(self._stuck(position) or self._differs(position, keys)), None)

    def _stuck(self, position: Position) -> tuple[Verdict, str] | None:
        """What is wrong if tasks can't go on, or were given up."""
        errors = [self._node(number).error for number in position[1:]]
        cycle = next((error.cycle for error in errors if isinstance(error, DeadlockError)), None)
        if cycle:
            return "deadlock", "; ".join(map(str, cycle))
        waits = self.graph.blocked(position)
        endless = [text for text in waits if text.startswith("may never")]
        if endless:
            return "unknown", endless[0]
        ends = [f"{label} {text}" for label, text in zip(self.graph.program.labels, waits, strict=True) if text]
        return ("deadlock", f"nobody can go on: {'; '.join(ends)}") if ends else None

    def _differs(self, position: Position, keys: tuple[Hashable, Hashable, Hashable]) -> tuple[Verdict, str]:
        """What is different from what serial orders lead to."""
        state, errors, _ = keys
        if self.serial is None:
            return "unknown", ""
        if state not in self._states:
            return "race", "no serial order leads to this State" if self.serial else NO_ORDER
        fails = any(self._node(number).error is not None for number in position[1:])
        if fails and (state, errors) not in self._errors:
            return "error", "no serial order leads to these errors"
        return "results differ", "no serial order leads to these results, though to this State"

    def problem(self, position: Position) -> str | None:
        """What the user's check has against an end; None if nothing.

        Raises:
            ArgumentError: it raised something else than AssertionError, or gave no answer.
        """
        if self._check is None:
            return None
        state = self.state(position)
        try:
            good = self._check(state)
        except AssertionError as error:
            return f"the check says: {message(error)}" if str(error) else "the check is false"
        except Exception as error:
            raise ArgumentError(
                f"the check raised {type(error).__name__}: {message(error)}, for the State {short(state)}; "
                "it is given all State by name, such as s['Account']['balance']"
            ) from error
        if good is None or inspect.isawaitable(good):
            if inspect.iscoroutine(good):
                good.close()
            raise ArgumentError(
                f"the check returned {'nothing' if good is None else 'a coroutine'}; it must be a plain function "
                "that returns whether the State is good (return True after the last assert)"
            )
        return None if good else "the check is false"

    @property
    def notes(self) -> list[str]:
        """What is to be known: names in ``equal`` that are of nothing."""
        if not isinstance(self._equal, Mapping):
            return []
        unknown = [name for name in self._equal if name not in self._named and name != "results"]
        return [f"equal names {', '.join(unknown)}, which no outcome has"] if unknown else []
