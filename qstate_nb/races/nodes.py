"""Where a task stands, and what it can do next: the nodes of its automaton."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from qstate_nb.core.fields import Rules
from qstate_nb.core.formats import message, printable, short
from qstate_nb.races.primitives import Op, Primitive

if TYPE_CHECKING:
    from qstate_nb.races.program import Template


class Pending(NamedTuple):
    """What a task would do next, at one gate.

    Args:
        kind: of the gate; ``start``, before its first op; ``tick``, if only time can help.
        name, label: of the gate.
        places: numbers of the places that it needs.
        op, args: what it does there.
        overlay: what the transaction that it is in has changed there; None if there is none.
        is_free: whether nothing in its own task is in the way.
        frames: the transactions around it, by number in its task.
        refusal: whether it is refused, as the transaction around it was rolled back.
        child: the number of the asyncio task in its task.
        key: stands for op, arguments and overlay.
    """

    kind: str
    name: str
    label: Hashable
    places: tuple[int, ...] = ()
    op: Any = None
    args: Sequence[Any] = ()
    overlay: Mapping[str, Any] | None = None
    is_free: bool = True
    frames: frozenset[int] = frozenset()
    refusal: bool = False
    child: int = 0
    key: int = -1
    is_async: bool = True
    has_limit: bool = False


class Step(NamedTuple):
    """How a run got from one node to the next, to do it again.

    Args:
        pending: number of the gate.
        store: what was in the State.
        foreign: the places that others held.
        error: what was raised there.
    """

    pending: int
    store: int
    foreign: int
    error: BaseException | None


class Node:
    """Where a task stands.

    Attributes:
        number: unique in an exploration, once it is kept.
        is_stuck: whether only `note` tells why it doesn't go on, and not how it came there.
        pendings: what it can do next.
        urgent: what it does at once, before anybody else can do anything.
        held: places that it holds → the numbers of its transactions that do.
        mask: those places as bits.
        is_done, result, error: whether and how it has ended.
        alarm: when the next timer ends, if there is one.
        is_asleep: whether it waits for that alone.
        locks: names of the shared locks and semaphores that it holds.
        has_ended: whether its function has, be it that it left something behind.
        depth: ops up to here.
        note: why it doesn't go on, if it has not ended and has no gates.
        targets: (pending, outcome) → what it did, and the node where it came to.
    """

    __slots__ = (
        *("alarm", "back", "depth", "error", "has_ended", "held", "is_asleep", "is_done", "is_stuck", "locks"),
        *("mask", "note", "number", "pendings", "result", "targets", "template", "urgent"),
    )

    def __init__(self, template: Template, back: tuple[Node, Step] | None, depth: int) -> None:
        self.number = -1
        self.template = template
        self.back = back
        self.depth = depth
        self.pendings: list[Pending] = []
        self.urgent: tuple[Primitive, str, Op, tuple[Any, ...]] | None = None
        self.held: dict[int, frozenset[int]] = {}
        self.mask = 0
        self.locks: tuple[str, ...] = ()
        self.is_done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.alarm: float | None = None
        self.is_asleep = False
        self.is_stuck = False
        self.has_ended = False
        self.note = ""
        self.targets: dict[tuple[int, int], tuple[tuple[Effect, ...], Node]] = {}

    def __repr__(self) -> str:
        return f"<Node {self.number} of {self.template.name}: {[p.label for p in self.pendings]}>"


Effect = tuple[int, tuple[tuple[str, Any], ...]]
"""What a transaction has written: a place, and its changes."""


def describe_node(node: Node) -> str:
    """What a task does next, for messages."""
    if node.is_done:
        return f"its end with {end_text(node)}"
    if node.urgent is not None:
        return f"{node.urgent[0]}.{node.urgent[1]}"
    return " or ".join(describe(pending) for pending in node.pendings) or node.note


def end_text(node: Node) -> str:
    """The result or error of a task."""
    return f"{type(node.error).__name__}: {message(node.error)}" if node.error is not None else short(node.result)


def describe(pending: Pending) -> str:
    """What a gate leads to, for people: ``set Account.balance = 1``."""
    if pending.kind in ("start", "tick"):
        return pending.name
    place = str(pending.label[2])  # type: ignore[index]
    args = [arg for arg in pending.args if type(arg) is not Rules]
    if pending.kind not in ("op", "mutate"):
        return f"{pending.name} {place}{f' {short(args[0], 40)}' if args else ''}"
    if pending.name == "update":
        return f"update {place} {', '.join(f'{printable(key)}={short(value, 40)}' for key, value in args[0].items())}"
    where = f"{place}.{printable(str(args[0]))}" if args else place
    sign = {"increment": "by ", "append": ""}.get(pending.name, "= ")
    return f"{pending.name} {where}{''.join(f' {sign}{short(value, 40)}' for value in args[1:])}"
