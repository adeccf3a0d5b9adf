"""One task that runs alone, on State that is what the search says, and what it does there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qstate_nb.core.buckets import Bucket
from qstate_nb.core.frames import Frame
from qstate_nb.core.ops import Changes
from qstate_nb.core.waiting import holders
from qstate_nb.errors import HiddenStateError
from qstate_nb.races.canonical import canonical, error_key
from qstate_nb.races.gates import Gate
from qstate_nb.races.nodes import Effect, Node, Pending, Step, describe_node
from qstate_nb.races.primitives import Op, Primitive
from qstate_nb.races.world import Cut, Limit, Root, Unwind, World

if TYPE_CHECKING:
    from qstate_nb.races.automaton import Automata
    from qstate_nb.races.program import Template


_MOST_UNWOUND = 20


class Alone:
    """One task that runs alone, and notes what it does.

    Args:
        world: one that another run has left.
    """

    def __init__(self, automata: Automata, template: Template, world: World | None) -> None:
        self.automata = automata
        self.world = World(automata.contents, self, time_passes=False) if world is None else world
        self.world.observer = self
        self.world.roots.clear()
        self.world.load(automata.contents.start, set())
        with self.world.capturing():
            self.root: Root = self.world.add(template)
        self._frames: dict[Frame, int] = {}
        self._at: tuple[Node, int, int] | None = None  # node, pending, outcome
        self._came_by: tuple[Node, Step] | None = None
        self._effects: list[Effect] = []
        self._script: list[tuple[Node, Step, int]] = []
        self._unwound = 0

    def go(self, node: Node, step: Step, outcome: int) -> Node:
        """Open a gate of an async task; the node where it comes to."""
        self._begin(node, step, outcome)
        pending = node.pendings[step.pending]
        if pending.kind == "start":
            self.world.start(self.root)
        elif pending.kind == "tick":
            self.world.pass_time(self.root)
        else:
            if step.pending >= len(self.root.gates) or self.root.gates[step.pending].label != pending.label:
                self.expect(self._seen(), node)
            self.world.open(self.root.gates[step.pending], step.error)
        return self._arrive()

    def go_sync(self, script: list[tuple[Node, Step, int]]) -> None:
        """Run a sync task through a script, and end it at the gate after that."""
        self._script = script
        self._begin(*self._script.pop(0))
        self.world.start(self.root)
        if self.root.is_done and self._at is not None:  # else it has swallowed the unwinding
            self._arrive()
        if self._script:
            raise self._hidden(self._script[0][0], "it ended")

    def arrived(self, gate: Gate) -> bool:
        """As of `Observer`."""
        if self._at is None:  # it unwinds
            self._unwound += 1
            if self._unwound > _MOST_UNWOUND:  # it catches that; its ops may as well do something
                return True
            raise Unwind
        self.root.gates = [gate]
        node = self._arrive()
        if not self._script:
            self._at = None
            raise Unwind
        expected, step, outcome = self._script.pop(0)
        self.expect(node, expected)
        self._begin(expected, step, outcome)
        self.root.gates = []
        gate.error = step.error
        return True

    def _begin(self, node: Node, step: Step, outcome: int) -> None:
        places = self.automata.contents.places
        foreign = {place for n, place in enumerate(places) if step.foreign >> n & 1}
        self.world.load(step.store, foreign)  # type: ignore[arg-type]
        self._at = (node, step.pending, outcome)
        self._came_by = (node, step)
        self._effects = []

    def wrote(self, bucket: Bucket, changes: Changes) -> None:
        """As of `Observer`."""
        self._effects.append((self.automata.contents.place(bucket.key), tuple(changes)))

    def did(self, model: Primitive, name: str, op: Op, args: Sequence[Any], result: Any) -> None:
        """As of `Observer`."""
        if self._at is None:
            return
        node = self._target(lambda: self.automata.kept(Node(self.root.template, self._came_by, 0)))
        if node.urgent is None:
            node.urgent = (model, name, op, tuple(args))
        raised = isinstance(result, Exception)
        key = ("raised", error_key(result)) if raised else ("result", canonical(result))
        self._at = (node, 0, self.automata.contents.outcomes.number(key, result))
        self._effects = []

    def _target(self, make: Callable[[], Node]) -> Node:
        """The node that this way leads to: as it was, or a new one."""
        assert self._at is not None
        node, index, outcome = self._at
        known = node.targets.get((index, outcome))
        if known is None:
            known = node.targets[index, outcome] = (tuple(self._effects), make())
        return known[1]

    def _arrive(self) -> Node:
        """The node for where the task stands now."""
        if isinstance(self.root.error, Cut):
            raise Limit({})
        known = None if self._at is None else self._at[0].targets.get(self._at[1:])
        seen = self._seen()
        if known is not None:
            self.expect(seen, known[1])
            return known[1]
        return self._target(lambda: self.automata.kept(seen))

    def _seen(self) -> Node:
        """A node made of where the task stands; not numbered yet."""
        assert self._came_by is not None
        before, step = self._came_by
        counts = before.pendings[step.pending].kind not in ("start", "tick")
        node = Node(self.root.template, self._came_by, before.depth + counts)
        root = self.root
        node.pendings = [self._pending(gate) for gate in root.gates]
        node.is_asleep, node.has_ended = root.is_asleep, root.is_done
        node.is_done = root.is_done and not root.gates and not node.is_asleep
        node.result, node.error = root.result, root.error
        node.locks = tuple(map(str, root.holds))
        for bucket in self.world.buckets:
            frames = list(holders(bucket))
            if frames:
                place = self.automata.contents.place(bucket.key)
                node.held[place] = frozenset(map(self._frame_number, frames))
                node.mask |= 1 << place
        if node.depth >= self.automata.max_ops and not node.is_done:
            node.pendings = []
            node.note = f"may never finish: it did not after {self.automata.max_ops} ops"
        elif self.world.loop.is_endless:
            node.pendings = []
            node.note = "may never finish: it goes on without an op"
        elif not (node.pendings or node.is_done or node.is_asleep):
            node.note = "waits for what nobody will do"
        if node.note:
            node.is_asleep = False
        elif not node.is_done and root.clock.next() is not None:
            node.alarm = root.clock.next()
            node.pendings.append(Pending("tick", "time passes", ("tick",)))
        return node

    def _frame_number(self, frame: Frame) -> int:
        return self._frames.setdefault(frame, len(self._frames))

    def _pending(self, gate: Gate) -> Pending:
        """What a gate leads to."""
        contents = self.automata.contents
        label = gate.label
        if gate.kind == "primitive":
            places: tuple[int, ...] = (contents.place(gate.place),)
            return Pending(gate.kind, gate.name, label, places, gate.op, gate.args, child=gate.child)
        chain = frozenset(map(self._frame_number, gate.chain()))
        places = tuple(contents.place(bucket.key) for bucket in gate.buckets)
        is_free, refusal = gate.is_free, gate.is_refused
        overlay: dict[str, Any] | None = None
        if gate.buckets and gate.buckets[0].holder is not None:
            overlay = {}
            for holder in reversed(list(holders(gate.buckets[0]))):
                overlay.update(holder.drafts[gate.buckets[0]].changed)
        key = self.automata.number(
            (gate.kind, places, label, None if overlay is None else canonical(overlay), is_free, refusal)
        )
        return Pending(
            *(gate.kind, gate.name, label, places, gate.op, gate.args, overlay, is_free, chain, refusal),
            *(gate.child, key),
            is_async=self.root.template.is_async,
            has_limit=gate.limit is not None,
        )

    def expect(self, found: Node, known: Node) -> None:
        """Compare where a run came to with where another came to after the same outcomes.

        Raises:
            HiddenStateError: they differ.
        """
        if found is known:
            return
        theirs, mine = [p.label for p in known.pendings], [p.label for p in found.pendings]
        if known.note.startswith("may never"):
            return
        if theirs != mine or known.is_done != found.is_done or known.urgent is not None:
            raise self._hidden(known, describe_node(found))
        if known.is_done and self.automata.kept(found) is not known:
            raise self._hidden(known, describe_node(found))

    def _hidden(self, known: Node, instead: str) -> HiddenStateError:
        number = known.depth + (not known.is_done)
        return HiddenStateError(
            f"task {self.root.template.name!r} depends on more than State and its arguments: after the same results "
            f"of its ops, op {number} was once {describe_node(known)}, and then {instead}; look for globals, random "
            "numbers or time"
        )

    def check(self) -> None:
        """Raise what the task was refused."""
        if self.world.problem is not None:
            raise self.world.problem
