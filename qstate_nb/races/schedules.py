"""Schedules: who makes each step. Written as an id, walked through the automata, and replayed for real."""

from __future__ import annotations

import random
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from qstate_nb.core.formats import message, short
from qstate_nb.core.journal import ABSENT
from qstate_nb.core.keys import StateKey
from qstate_nb.errors import HiddenStateError, ScheduleMismatch
from qstate_nb.races.canonical import canonical, error_key
from qstate_nb.races.graph import Graph, Move, Position
from qstate_nb.races.nodes import Node, Pending, Step, describe
from qstate_nb.races.world import World

_VERSION = "1"
_CHOICE = re.compile(r"([A-Z]|\(\d{1,4}\))(\d{0,4})(!?)")


class Choice(NamedTuple):
    """One step of a schedule.

    Args:
        task: number of the task, from 0.
        gate: which of its gates opens.
        gives_up: whether what waits there is given up instead: by a deadlock, or a timeout.
    """

    task: int
    gate: int
    gives_up: bool = False


def schedule_id(graph: Graph, choices: Sequence[Choice]) -> str:
    """What names a schedule: a version, the program's fingerprint, and a letter for each step."""
    path: list[str] = []
    for step in walk(graph, choices):
        letter = chr(65 + step.task) if step.task < 26 else f"({step.task})"
        path.append(letter + (str(step.gate) if step.many else "") + ("!" if step.gives_up else ""))
    return f"{_VERSION}-{graph.program.fingerprint}-{''.join(path)}"


def parse_id(graph: Graph, text: str) -> list[Choice]:
    """The steps of a schedule's id.

    Raises:
        ScheduleMismatch: it is of another program, or no id.
    """
    parts = text.split("-") if isinstance(text, str) else []
    if len(parts) != 3 or _CHOICE.sub("", parts[2]):
        raise ScheduleMismatch(f"{short(text)} is no schedule id, such as 1-{graph.program.fingerprint}-ABAB")
    if parts[0] != _VERSION:
        raise ScheduleMismatch(f"schedule {text} is of version {parts[0]}, and this is {_VERSION}; explore again")
    if parts[1] != graph.program.fingerprint:
        raise ScheduleMismatch(
            f"schedule {text} is of other code, arguments or State: its fingerprint is {parts[1]}, and now it is "
            f"{graph.program.fingerprint}; explore again"
        )
    choices = []
    for letter, gate, gives_up in _CHOICE.findall(parts[2]):
        task = ord(letter) - 65 if len(letter) == 1 else int(letter[1:-1])
        choices.append(Choice(task, int(gate or 0), bool(gives_up)))
    return choices


def concrete(graph: Graph, way: Sequence[Move]) -> list[Choice]:
    """The steps of a way through the graph, with the tasks that make them: of those alike, the same if it can."""
    groups = graph.program.groups
    at = list(graph.start[1:])
    position = graph.start
    last = -1
    choices = []
    for move in way:
        number = position[move.slot]
        fits = [task for task in range(len(at)) if at[task] == number and groups[task] == groups[move.slot - 1]]
        last = last if last in fits else fits[0]
        at[last] = move.after[move.to]
        position = move.after
        choices.append(Choice(last, move.gate, move.error is not None))
    return choices


class WalkStep(NamedTuple):
    """A step of a schedule, as the automata tell it.

    Args:
        task, gate, gives_up: as of `Choice`.
        many: whether the task had other gates.
        node, pending: where it stood.
        error: what is raised at the gate, if it gives up.
        before, store: numbers of the stores before and after.
        after: where it comes to.
        result: of the op; `ABSENT` if there is none to speak of.
        raised: whether that was raised.
        is_preemption: whether another could have gone on.
        is_switch: whether another made the step before.
    """

    task: int
    gate: int
    gives_up: bool
    many: bool
    node: Node
    pending: Pending
    error: BaseException | None
    before: int
    store: int
    after: Node
    result: Any
    raised: bool
    is_preemption: bool
    is_switch: bool


class Walker:
    """Goes through a program step by step, in the automata.

    Attributes:
        store: number of the store.
        at: number of the node where each task stands.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.store = graph.start[0]
        self.at = list(graph.start[1:])
        self._last: tuple[int, int] | None = None
        self._made = 0
        self._choices: dict[Choice, BaseException | None] | None = None

    @property
    def position(self) -> Position:
        """The position, with the tasks that are alike in order."""
        return self.graph.program.position(self.store, self.at)

    def skip(self, steps: Iterable[WalkStep]) -> Walker:
        """Be where some steps lead to that were made by another."""
        for step in steps:
            self.store, self.at[step.task] = step.store, step.after.number
        return self

    def choices(self) -> dict[Choice, BaseException | None]:
        """What can happen next, in order; with what is raised there, if something is given up."""
        if self._choices is None:
            self._choices = self._find_choices()
        return self._choices

    def _find_choices(self) -> dict[Choice, BaseException | None]:
        moves = self.graph.moves_of_each((self.store, *self.at))
        found = [(Choice(move.slot - 1, move.gate, move.error is not None), move.error) for _, move in moves]
        return dict(sorted(found, key=lambda each: each[0]))

    def take(self, choice: Choice) -> WalkStep:
        """Make a step.

        Raises:
            ScheduleMismatch: it can't be made now.
        """
        nodes = self.graph.automata.nodes
        possible = self.choices()
        if choice not in possible:
            labels = self.graph.program.labels
            who = labels[choice.task] if choice.task < len(labels) else f"task number {choice.task}"
            can = ", ".join(dict.fromkeys(labels[each.task] for each in possible)) or "nobody"
            raise ScheduleMismatch(
                f"step {self._made + 1} of the schedule can't be made by {who}; {can} can go on there"
            )
        node = nodes[self.at[choice.task]]
        pending = node.pendings[choice.gate]
        foreign = 0
        for other, number in enumerate(self.at):
            if other != choice.task:
                foreign |= nodes[number].mask
        error = possible[choice]
        outcome = self._outcome(node, choice, foreign, error)
        moved = self.graph.automata.moved(node, choice.gate, self.store, foreign, error)
        assert moved is not None
        moved = self.graph.woken(*moved)
        control = (choice.task, pending.child)
        could_go_on = any((c.task, nodes[self.at[c.task]].pendings[c.gate].child) == self._last for c in possible)
        is_switch = self._last is not None and control != self._last
        step = WalkStep(
            *(*choice, len(node.pendings) > 1, node, pending, error, self.store, *moved, *outcome),
            is_preemption=is_switch and could_go_on,
            is_switch=is_switch,
        )
        self._last = control
        self._made += 1
        self._choices = None
        self.store, self.at[choice.task] = moved[0], moved[1].number
        return step

    def _outcome(self, node: Node, choice: Choice, foreign: int, error: BaseException | None) -> tuple[Any, bool]:
        found = self.graph.automata.outcome(node, Step(choice.gate, self.store, foreign, error))
        assert found is not None
        outcomes = self.graph.contents.outcomes
        key = outcomes.keys[found[0]]
        return outcomes.values[found[0]], isinstance(key, tuple) and key[0] == "raised"


def walk(graph: Graph, choices: Sequence[Choice]) -> Iterator[WalkStep]:
    """The steps of a schedule, as the automata tell them."""
    walker = Walker(graph)
    for choice in choices:
        yield walker.take(choice)


def random_walk(graph: Graph, chooser: random.Random) -> list[WalkStep]:
    """The steps of a schedule in which each is chosen among those that are possible, each as likely."""
    walker = Walker(graph)
    steps = []
    while choices := list(walker.choices()):
        steps.append(walker.take(chooser.choice(choices)))
    return steps


class Replayer:
    """Runs schedules for real: all tasks truly together, async ones on one loop, each sync one in its thread.

    Attributes:
        runs: how many there were.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.runs = 0
        self._spare: World | None = None

    def run(self, steps: Sequence[WalkStep]) -> list[tuple[int, int, str]]:
        """Run a schedule, and compare each step with what the automata told.

        Returns:
            What was printed: the number of the step, 0 for before the first; that of the task; the text.

        Raises:
            HiddenStateError: something differs: the tasks share more than State.
        """
        self.runs += 1
        graph = self.graph
        world = self._spare or World(graph.contents, time_passes=not graph.is_timed)
        self._spare = None
        world.load(graph.contents.start, set())
        world.roots, world.output = [], []
        with world.capturing():
            roots = [world.add(template) for template in graph.program.templates]
        try:
            for root, number in zip(roots, graph.start[1:], strict=True):
                if not is_start(graph.automata.nodes[number]):
                    world.start(root)
            for world.step, step in enumerate(steps, 1):
                self._step(world, step)
            self._compare_end(world, steps)
        except TimeoutError:
            raise HiddenStateError(
                f"at step {world.step}, a sync task neither comes to an op nor ends: it waits for another by other "
                "means than State"
            ) from None
        finally:
            if world.is_reusable:
                self._spare = world
            else:
                world.end()
            if world.problem is not None:
                raise world.problem
        return world.output

    def _step(self, world: World, step: WalkStep) -> None:
        root = world.roots[step.task]
        if step.pending.kind == "start":
            world.start(root)
        elif step.pending.kind == "tick":
            world.pass_time(root)
        else:
            gate = root.gates[step.gate] if step.gate < len(root.gates) else None
            if gate is None or gate.label != step.pending.label:
                raise self._differs(world, step, gate)
            world.open(gate, step.error)

    def _differs(self, world: World, step: WalkStep, gate: Any) -> HiddenStateError:
        label = self.graph.program.labels[step.task]
        found = f"{gate.name} {gate.place}" if gate is not None else "at its end, or waits for something else"
        args = [arg for arg in gate.args if not hasattr(arg, "declared")] if gate is not None else []
        if args:
            found = f"{gate.name} {gate.place}.{args[0]}{''.join(f' = {short(arg, 40)}' for arg in args[1:])}"
        return HiddenStateError(
            f"tasks share something besides State: with all of them running together, step {world.step} of {label} "
            f"is {found}; alone, after the same results of its ops, it is {describe(step.pending)}"
        )

    def _compare_end(self, world: World, steps: Sequence[WalkStep]) -> None:
        nodes = self.graph.automata.nodes
        walker = Walker(self.graph).skip(steps)
        for root, number, label in zip(world.roots, walker.at, self.graph.program.labels, strict=True):
            node = nodes[number]
            end = _end_key(root.is_done and not root.gates, root.result, root.error)
            if node.note.startswith("may never"):
                continue
            if end != _end_key(node.is_done, node.result, node.error):
                raise HiddenStateError(
                    f"tasks share something besides State: with all of them running together, {label} ends with "
                    f"{_end_text(root.is_done, root.result, root.error)}; alone, after the same results of its ops, "
                    f"with {_end_text(node.is_done, node.result, node.error)}"
                )
        store = walker.store
        if world.store_now() != store:
            state = self.graph.program.state
            raise HiddenStateError(
                "tasks share something besides State: with all of them running together, State is in the end "
                f"{short(state(world.store_now()))}; it should be {short(state(store))}"
            )


def is_start(node: Node) -> bool:
    """Whether a task's start is a step of its own."""
    return bool(node.pendings) and node.pendings[0].kind == "start"


def _end_key(is_done: bool, result: Any, error: BaseException | None) -> Hashable:
    if not is_done:
        return "not done"
    return ("error", error_key(error)) if error is not None else ("result", canonical(result))


def _end_text(is_done: bool, result: Any, error: BaseException | None) -> str:
    if not is_done:
        return "nothing yet"
    return f"{type(error).__name__}: {message(error)}" if error is not None else short(result)


def changes_between(graph: Graph, before: int, after: int) -> list[tuple[StateKey, str, Any, Any]]:
    """What is different in two stores: bucket, field, value before and after, or `ABSENT`."""
    found: list[tuple[StateKey, str, Any, Any]] = []
    if before == after:
        return found
    for number, place in enumerate(graph.contents.places):
        was, now = graph.contents.at(before, number), graph.contents.at(after, number)
        if was != now and isinstance(place, StateKey):
            old, new = graph.contents.content(was), graph.contents.content(now)
            for field in sorted({*old, *new}):
                values = old.get(field, ABSENT), new.get(field, ABSENT)
                if canonical(values[0]) != canonical(values[1]):
                    found.append((place, field, *values))
    return found
