"""Real runs with all tasks together and no model of them: who goes on next is chosen as they run.

It is what is left when tasks share more than State, so that they can't be run one by one.
"""

from __future__ import annotations

from collections.abc import Callable

from qstate_nb.core.buckets import Bucket
from qstate_nb.core.waiting import holders
from qstate_nb.errors import DeadlockError, Wait
from qstate_nb.races.automaton import Automata
from qstate_nb.races.gates import Gate, GatedStore
from qstate_nb.races.graph import Graph, Position
from qstate_nb.races.nodes import Node
from qstate_nb.races.schedules import Choice, is_start
from qstate_nb.races.world import Root, World

Chooser = Callable[[list[Choice]], Choice]


class RealRun:
    """One run of all tasks together.

    Attributes:
        schedule: who went on, step by step.
        preemptions: how often another went on though the one before could.
        is_stuck: whether a sync task comes neither to an op nor to its end.
    """

    def __init__(self, graph: Graph) -> None:
        """Begin.

        Args:
            graph: says how tasks start, and whether it is a step that one has slept.
        """
        self.program = program = graph.program
        starts = [is_start(graph.automata.nodes[number]) for number in graph.start[1:]]
        self.world = World(program.contents, time_passes=not graph.is_timed)
        self.schedule: list[Choice] = []
        self.preemptions = 0
        self._last: tuple[int, int] | None = None
        with self.world.capturing():
            roots = [self.world.add(template) for template in program.templates]
        self._waiting = {root for root, waits in zip(roots, starts, strict=True) if waits}
        self.is_stuck = False
        try:
            for root in roots:
                if root not in self._waiting:
                    self.world.start(root)
        except TimeoutError:
            self.is_stuck = True

    def choices(self) -> list[tuple[Choice, BaseException | None]]:
        """What can happen next, and what is raised then, if something is given up."""
        found: list[tuple[Choice, BaseException | None]] = []
        if self.is_stuck:
            return found
        for root in self.world.roots:
            if root in self._waiting:
                found.append((Choice(root.index, 0), None))
            found += [(Choice(root.index, n), None) for n, gate in enumerate(root.gates) if self._can_open(gate)]
            for number, gate in enumerate(root.gates):
                cycle = None if self._can_open(gate) else self._cycle(gate)
                if cycle:
                    found.append((Choice(root.index, number, gives_up=True), DeadlockError(cycle)))
        waiting = [root for root in self.world.roots if root.gates and root.clock.next() is not None]
        first = min((root.clock.next() or 0 for root in waiting), default=None)
        due = [] if found else [root for root in waiting if root.clock.next() == first]
        due += [root for root in self.world.roots if root.is_asleep]
        found += [(Choice(root.index, len(root.gates)), None) for root in due]
        return sorted(found or self._limits(), key=lambda each: each[0])

    def _limits(self) -> list[tuple[Choice, BaseException | None]]:
        """As nobody can go on: the limits of sync transactions."""
        limited = [
            Choice(root.index, number, gives_up=True)
            for root in self.world.roots
            if root.thread is not None
            for number, gate in enumerate(root.gates)
            if gate.limit is not None
        ]
        return [(choice, TimeoutError()) for choice in limited]

    def _can_open(self, gate: Gate) -> bool:
        if gate.kind == "primitive":
            try:
                return gate.op(gate.place, self.world.content(gate.place), *gate.args) is not None
            except Exception:  # it is raised in the task
                return True
        return self._blocking(gate) is None

    def _blocking(self, gate: Gate) -> Bucket | None:
        """The bucket that a gate waits for, if others hold it."""
        if gate.kind == "primitive" or not gate.buckets:
            return None
        bucket = gate.buckets[0]
        if gate.kind == "op":
            return None if gate.is_refused or gate.is_free else bucket
        assert gate.inside is not None
        store = bucket.store
        assert isinstance(store, GatedStore)
        return None if store.is_free_for(bucket, gate.inside) else bucket

    def _cycle(self, gate: Gate) -> list[Wait] | None:
        """Who waits for whom, from a gate back to what is held around it."""
        mine = set(gate.chain())
        paths: list[list[Gate]] = [[gate]]
        seen = {gate}
        gates = [each for root in self.world.roots for each in root.gates]
        for path in paths:
            bucket = self._blocking(path[-1])
            if bucket is None:
                continue
            around = set(path[-1].chain())
            holding = [holder for holder in holders(bucket) if holder not in around]
            if mine & set(holding):
                return [_wait(each, self._blocking(each)) for each in path]
            for other in gates:
                if other not in seen and self._blocking(other) is not None and set(holding) & set(other.chain()):
                    seen.add(other)
                    paths.append([*path, other])
        return None

    def take(self, choice: Choice, error: BaseException | None) -> None:
        """Let somebody go on."""
        root = self.world.roots[choice.task]
        self.world.step += 1
        self._count(choice)
        self.schedule.append(choice)
        if root in self._waiting:
            self._waiting.discard(root)
            self.world.start(root)
        elif choice.gate == len(root.gates):
            self.world.pass_time(root)
        else:
            self.world.open(root.gates[choice.gate], error)
        if self.world.problem is not None:
            raise self.world.problem

    def _count(self, choice: Choice) -> None:
        """Count a preemption, if it is one."""

        def control(each: Choice) -> tuple[int, int]:
            gates = self.world.roots[each.task].gates
            return each.task, gates[each.gate].child if each.gate < len(gates) else 0

        mine = control(choice)
        if self._last is not None and mine != self._last:
            self.preemptions += any(control(other) == self._last for other, _ in self.choices())
        self._last = mine

    def go(self, choose: Chooser, most: int) -> None:
        """Run to the end, or so many steps."""
        while len(self.schedule) < most and (choices := dict(self.choices())):
            choice = choose(list(choices))
            try:
                self.take(choice, choices[choice])
            except TimeoutError:
                self.is_stuck = True

    def end(self, automata: Automata) -> Position:
        """How it ended, as a position: tasks that are alike are in order."""
        nodes = [self._end_node(automata, root) for root in self.world.roots]
        store = self.world.store_now()
        self.world.end()
        return self.program.position(store, [node.number for node in nodes])

    def _end_node(self, automata: Automata, root: Root) -> Node:
        node = Node(root.template, None, 0)
        node.is_done = root.is_done and not root.gates and not root.is_asleep
        node.result, node.error = root.result, root.error
        if not node.is_done:
            node.is_stuck = True
            node.note = "waits: " + " and ".join(f"{gate.name} {gate.place}" for gate in root.gates)
        return automata.kept(node)


def _wait(gate: Gate, bucket: Bucket | None) -> Wait:
    assert gate.root is not None
    held = dict.fromkeys(str(b.key) for b in gate.root.world.buckets for f in gate.chain() if b in f.drafts)
    return Wait(gate.root.template.name, tuple(held), str(None if bucket is None else bucket.key))
