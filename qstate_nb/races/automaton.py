"""What tasks do, learned by running each alone: automata over what their ops gave them.

A node is where a task stands after certain ops with certain outcomes. What it does next depends on nothing else, so a
task is run only where nobody has been yet: a parked run goes on from its node, or the task is run again up to there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from qstate_nb.core.journal import ABSENT
from qstate_nb.races.alone import Alone
from qstate_nb.races.canonical import canonical, error_key
from qstate_nb.races.contents import Contents
from qstate_nb.races.nodes import Effect, Node, Pending, Step
from qstate_nb.races.primitives import Op, Primitive
from qstate_nb.races.program import Template
from qstate_nb.races.world import World


class Automata:
    """The automata of all tasks of an exploration.

    Args:
        contents: of the places.
        max_ops: so many ops of one task, and it may never finish.
        check: is called now and then, and raises if the exploration is to end.

    Attributes:
        nodes: by number.
        runs: how many task runs there were.
    """

    MOST_PARKED = 500

    def __init__(self, contents: Contents, max_ops: int, check: Callable[[], object]) -> None:
        self.contents = contents
        self.max_ops = max_ops
        self.check = check
        self.nodes: list[Node] = []
        self.runs = 0
        self._ends: dict[Hashable, Node] = {}
        self._keys: dict[Hashable, int] = {}
        self._evaluated: dict[tuple[int, int], tuple[int, int]] = {}
        self._parked: dict[int, Alone] = {}
        self._spare: dict[Template, list[World]] = {}

    def start(self, template: Template) -> Node:
        """The node of a task that has not begun."""
        node = self.kept(Node(template, None, 0))
        node.pendings = [Pending("start", "start", ("start",))]
        return node

    def kept(self, node: Node) -> Node:
        """Number a node, and keep it; of those that have ended alike, or are stuck for one reason, the first."""
        if node.is_done or node.is_stuck:
            end: Hashable = ("error", error_key(node.error)) if node.error is not None else canonical(node.result)
            known = self._ends.setdefault((node.template, end if node.is_done else ("stuck", node.note)), node)
            if known is not node:
                return known
        node.number = len(self.nodes)
        self.nodes.append(node)
        return node

    def number(self, key: Hashable) -> int:
        """A number for a key."""
        return self._keys.setdefault(key, len(self._keys))

    def moved(
        self, node: Node, index: int, store: int, foreign: int, error: BaseException | None = None
    ) -> tuple[int, Node] | None:
        """What becomes of a node, and of the State, when one of its gates opens.

        Args:
            index: of the gate.
            foreign: the places that others hold, as bits.
            error: what is raised there.

        Returns:
            The store and the node then; None if the gate can't open.

        Raises:
            HiddenStateError: the task did something else before, after the same outcomes.
            OutOfScopeError: the task does what can't be explored.
        """
        step = Step(index, store, foreign, error)
        found = self.outcome(node, step)
        if found is None:
            return None
        outcome, after = found
        target = node.targets.get((index, outcome))
        if target is None:
            self._learn(node, step, outcome)
            target = node.targets[index, outcome]
        effects, reached = target
        store = self._applied(after, effects)
        while reached.urgent is not None:  # what is done there at once
            model, _, op, args = reached.urgent
            found = self._primitive(model, op, args, store)
            assert found is not None, f"{op.__name__} doesn't wait"
            if (0, found[0]) not in reached.targets:
                self._learn(node, step, outcome)
            effects, reached = reached.targets[0, found[0]]
            store = self._applied(found[1], effects)
        return store, reached

    def _applied(self, store: int, effects: tuple[Effect, ...]) -> int:
        for place, changes in effects:
            content = self.contents.changed(self.contents.at(store, place), changes)
            store = self.contents.with_content(store, place, content)
        return store

    def outcome(self, node: Node, step: Step) -> tuple[int, int] | None:
        """The outcome of what a gate leads to, and the store then; None if it can't open."""
        pending, store, foreign = node.pendings[step.pending], step.store, step.foreign
        if step.error is not None:
            return self.contents.outcomes.number(("raised", error_key(step.error)), step.error), store
        if pending.kind == "op":
            return self._op(pending, store, foreign)
        if pending.kind in ("begin", "mutate"):
            return self._take(pending, store, foreign)
        if pending.kind == "primitive":
            model = self.contents.place_of(pending.places[0])
            assert isinstance(model, Primitive)
            return self._primitive(model, pending.op, pending.args, store)
        return self.contents.outcomes.number((pending.kind,), None), store

    def _take(self, pending: Pending, store: int, foreign: int) -> tuple[int, int] | None:
        """What a transaction can take, or the one that `mutate` is."""
        taken = 0
        for place in pending.places:
            if foreign >> place & 1 or not (taken or pending.is_free):
                break
            taken += 1
        if pending.places and not taken:
            return None
        content = self.contents.at(store, pending.places[0]) if pending.kind == "mutate" else -1
        return self.contents.outcomes.number((pending.kind, taken, content), None), store

    def _op(self, pending: Pending, store: int, foreign: int) -> tuple[int, int] | None:
        place = pending.places[0]
        if pending.refusal:
            return self.contents.outcomes.number(("refused",), None), store
        if not pending.is_free or foreign >> place & 1:
            return None
        before = self.contents.at(store, place)
        known = self._evaluated.get((pending.key, before))
        if known is None:
            known = self._evaluated[pending.key, before] = self._evaluate(pending, before)
        outcome, after = known
        return outcome, store if after == before else self.contents.with_content(store, place, after)

    def _evaluate(self, pending: Pending, before: int) -> tuple[int, int]:
        """Run a pure op on a content: its outcome, and the content then."""
        fields = self.contents.content(before)
        outcomes = self.contents.outcomes
        if pending.overlay is not None:
            merged = {**fields, **pending.overlay}
            fields = dict(sorted((k, v) for k, v in merged.items() if v is not ABSENT))
        try:
            result, changes = pending.op(fields, *pending.args)
        except Exception as error:
            return outcomes.number(("raised", error_key(error)), error), before
        if pending.overlay is not None:
            key = ("draft", canonical(result), canonical(list(changes)))
            return outcomes.number(key, result), before
        outcome = outcomes.number(("result", canonical(result)), result)
        return outcome, self.contents.changed(before, changes) if changes else before

    def _primitive(self, model: Primitive, op: Op, args: Sequence[Any], store: int) -> tuple[int, int] | None:
        """The outcome of an op on a primitive, and the store then; None if it has to wait."""
        place = self.contents.place(model)
        outcomes = self.contents.outcomes
        try:
            found = op(model, self.contents.content(self.contents.at(store, place)), *args)
        except Exception as error:  # it is raised in the task
            return outcomes.number(("raised", error_key(error)), error), store
        if found is None:
            return None
        result, content = found
        after = self.contents.with_content(store, place, self.contents.content_number(content))
        return outcomes.number(("result", canonical(result)), result), after

    def _learn(self, node: Node, step: Step, outcome: int) -> None:
        """Run the task through a gate where it has not been with this outcome."""
        self.check()
        run = self._parked.pop(node.number, None)
        if run is None:
            run = self._run_to(node)
        if run is None:  # sync, all in one
            self._run_sync(node, step, outcome)
            return
        self._park(run, run.go(node, step, outcome))

    def _run_to(self, node: Node) -> Alone | None:
        """A run that stands at a node; None for a sync task."""
        if not node.template.is_async:
            return None
        self.runs += 1
        spare = self._spare.get(node.template)
        run = Alone(self, node.template, spare.pop() if spare else None)
        for before, step, after in self._way(node):
            found = run.go(before, step, self._known_outcome(before, step))
            run.expect(found, after)
        return run

    def _way(self, node: Node) -> list[tuple[Node, Step, Node]]:
        """The steps that lead to a node."""
        way = []
        while node.back is not None:
            before, step = node.back
            way.append((before, step, node))
            node = before
        return way[::-1]

    def _known_outcome(self, node: Node, step: Step) -> int:
        found = self.outcome(node, step)
        assert found is not None
        return found[0]

    def _run_sync(self, node: Node, step: Step, outcome: int) -> None:
        self.runs += 1
        script = [(before, done, self._known_outcome(before, done)) for before, done, _ in self._way(node)]
        run = Alone(self, node.template, None)
        run.go_sync([*script, (node, step, outcome)])
        run.check()

    def _park(self, run: Alone, node: Node) -> None:
        run.check()
        if node.pendings and node.number not in self._parked and len(self._parked) < self.MOST_PARKED:
            self._parked[node.number] = run
        elif run.world.is_reusable:
            self._spare.setdefault(run.root.template, []).append(run.world)
        else:
            run.world.end()

    def close(self) -> None:
        """End the runs that stand at gates."""
        for run in self._parked.values():
            run.world.end()
        self._parked.clear()
