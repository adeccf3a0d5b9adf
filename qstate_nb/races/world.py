"""A world: State of its own, and the tasks that run on it, one step at a time.

In a world with one root, a task runs alone: before each step the State is made to be what the search says. With
several, tasks run truly together and the State is what they make of it. A step ends when nothing runs any more and
every task is at a gate, has ended, or waits for something else.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from qstate_nb.app.inline import InlineApp, stand_in
from qstate_nb.app.output import capture, release
from qstate_nb.core.binding import Injection
from qstate_nb.core.buckets import Bucket
from qstate_nb.core.journal import Actor, current_actor
from qstate_nb.core.keys import StateKey
from qstate_nb.core.ops import Changes
from qstate_nb.core.values import copy_value
from qstate_nb.errors import OutOfScopeError
from qstate_nb.races.gates import Gate, GatedRegistry, in_order
from qstate_nb.races.loop import Clock, VirtualLoop, current_clock
from qstate_nb.races.primitives import Op, Primitive
from qstate_nb.races.sandbox import guarded

if TYPE_CHECKING:
    from qstate_nb.races.contents import Contents
    from qstate_nb.races.program import Template

current_root: ContextVar[Root | None] = ContextVar("qstate_nb.races.current_root", default=None)
"""The explored task that the code runs in."""

_PATIENCE = 1.0
"""Seconds that a thread may run between two gates, in a replay, before it counts as stuck."""


class Limit(Exception):  # noqa: N818 - it is no error
    """The search was ended before its end."""


class Cut(BaseException):
    """Ends a task that makes no op, when the time is over."""


class Unwind(BaseException):
    """Ends a sync task at a gate that nobody will open."""


class Observer(Protocol):
    """Hears what a root does to what is shared, between two gates."""

    def wrote(self, bucket: Bucket, changes: Changes) -> None:
        """A transaction was committed."""

    def did(self, model: Primitive, name: str, op: Op, args: Sequence[Any], result: Any) -> None:
        """An op on a primitive that doesn't wait gave a result, or raised that."""

    def arrived(self, gate: Gate) -> bool:
        """Sync code that runs alone is at a gate; tells whether it may go on, or raises `Unwind`."""


class Root:
    """One explored task in a world.

    Attributes:
        gates: where it stands.
        is_done: whether its function has ended.
        result, error: how.
    """

    def __init__(self, world: World, template: Template, index: int) -> None:
        self.world = world
        self.template = template
        self.index = index
        self.gates: list[Gate] = []
        self.is_done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.clock = Clock()
        self.children: dict[asyncio.Task[Any], int] = {}
        self.waits = 0  # for conditions
        self.holds: list[Primitive] = []  # locks and semaphores
        self.ticks = 0  # timers in a row
        self.context: Context = contextvars.copy_context()
        self.context.run(self._enter)
        self.thread: threading.Thread | None = None  # of a sync task that runs with others
        self.arrival: threading.Event

    @property
    def is_asleep(self) -> bool:
        """Whether it waits for time alone; what it leaves behind may sleep only so often."""
        limit = _TICKS_AFTER_END if self.is_done else _MOST_TICKS
        is_idle = not self.gates and self.ticks <= limit and not self.world.loop.is_endless
        return is_idle and self.clock.next() is not None

    def _enter(self) -> None:
        current_root.set(self)
        current_clock.set(self.clock)
        stand_in.set(self.world.twin)
        current_actor.set(Actor(self.template.name, self.index + 1))

    def call(self) -> None:
        """Run the function, of a sync task, to its end."""
        try:
            with guarded(self):
                self.result = self.template.call(self.world)
        except Unwind:
            return
        except BaseException as error:
            self.error = error
        self.is_done = True

    async def acall(self) -> None:
        """Run the function, of an async task, to its end."""
        try:
            self.result = await self.template.call(self.world)
        except BaseException as error:
            self.error = error
        self.is_done = True

    def child(self) -> int:
        """The number of the asyncio task that runs; 0 is the function's own."""
        task = asyncio.current_task(self.world.loop) if asyncio._get_running_loop() is not None else None
        return 0 if task is None else self.children.get(task, 0)


class World:
    """State and roots.

    Args:
        contents: what is in the State in the beginning.
        observer: hears of what happens, if a task runs alone.
        time_passes: whether a root that only sleeps goes on at once; else somebody has to let it.

    Attributes:
        foreign: the buckets that others hold, in a world with one root.
        primitives: what is in the shared primitives.
        problem: what was refused, if anything was.
        is_over: whether nothing may happen any more.
    """

    def __init__(self, contents: Contents, observer: Observer | None = None, *, time_passes: bool = True) -> None:
        self.contents = contents
        self.time_passes = time_passes
        self.observer = observer
        self.foreign: set[StateKey] = set()
        self.store_number = contents.start
        self.buckets: list[Bucket] = []
        self.primitives: dict[Primitive, Any] = {}
        self.registry = GatedRegistry(self)
        self.plans: dict[Template, Injection] = {}
        self._twins: dict[InlineApp, InlineApp] = {}
        self.loop = VirtualLoop(self._new_task, self.refused)
        self.roots: list[Root] = []
        self.problem: OutOfScopeError | None = None
        self.is_over = False
        self.step = 0
        self.output: list[tuple[int, int, str]] = []
        # As a printer:
        self.actor = Actor()
        self.echo = False
        self.outer: Any = None

    def write(self, text: str) -> None:
        """Take what a task prints."""
        root = current_root.get()
        if root is not None and not self.is_over:
            self.output.append((self.step, root.index, text))

    def overhear(self, text: str) -> None:
        """What a call prints is its own."""

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Keep back what tasks print that are added in the block."""
        capture(self)
        try:
            yield
        finally:
            release(self)

    def twin(self, app: InlineApp) -> InlineApp:
        """The app that stands in for another one in this world; ops take no time here, so there is no limit of it."""
        if app.plugin.registry is self.registry:
            return app
        made = self._twins.get(app)
        if made is None:
            made = self._twins[app] = app.twin(self.registry, limits_time=False)
        return made

    def refused(self, problem: OutOfScopeError) -> OutOfScopeError:
        """Note a problem; it ends the exploration even if the task catches it."""
        self.problem = self.problem or problem
        return problem

    def fill(self, bucket: Bucket) -> None:
        """Give a bucket that is new in this world its fields."""
        self.buckets.append(bucket)
        self._fill(bucket)

    def _fill(self, bucket: Bucket) -> None:
        fields = self.contents.fields(self.store_number, bucket.key)
        bucket.fields.clear()
        bucket.fields.update(copy_value(fields))
        bucket.is_plain = False

    def load(self, store: int, foreign: set[StateKey]) -> None:
        """Make the State what it is in a store, and let others hold some buckets."""
        self.foreign = foreign
        self.store_number = store
        for bucket in self.buckets:
            self._fill(bucket)
        self.primitives.clear()

    def content(self, model: Primitive) -> Any:
        """What is in a primitive."""
        if model not in self.primitives:
            self.primitives[model] = self.contents.content(
                self.contents.at(self.store_number, self.contents.place(model))
            )
        return self.primitives[model]

    def store_now(self) -> int:
        """The number of the store that the State is now."""
        store = self.contents.start
        for bucket in self.buckets:
            in_order(bucket.fields)
            content = self.contents.content_number(dict(bucket.fields))
            store = self.contents.with_content(store, self.contents.place(bucket.key), content)
        for model, content in self.primitives.items():
            store = self.contents.with_content(
                store, self.contents.place(model), self.contents.content_number(content)
            )
        return store

    def committed(self, changed: Sequence[tuple[Bucket, Changes]]) -> None:
        """A transaction of a root has changed something."""
        if self.observer is not None:
            for bucket, changes in changed:
                self.observer.wrote(bucket, changes)

    def add(self, template: Template) -> Root:
        """A new root; it hasn't begun."""
        root = Root(self, template, len(self.roots))
        self.roots.append(root)
        return root

    def start(self, root: Root) -> None:
        """Run a root up to its first gates."""
        if root.template.is_async:
            root.context.run(self.loop.create_task, root.acall())
            self.settle(root)
        elif self.observer is not None:
            root.context.run(root.call)
        else:
            root.arrival = threading.Event()
            root.thread = threading.Thread(target=root.context.run, args=(self._run_in_thread, root), daemon=True)
            root.thread.start()
            self.settle(root)

    def _run_in_thread(self, root: Root) -> None:
        root.call()
        root.arrival.set()

    def open(self, gate: Gate, error: BaseException | None = None) -> None:
        """Let a root go on from a gate to its next ones."""
        root = gate.root
        assert root is not None
        root.gates.remove(gate)
        gate.open(error)
        self.settle(root)

    def settle(self, root: Root) -> None:
        """Run until nothing runs any more; time passes if a root waits for nothing else.

        Raises:
            TimeoutError: a sync task doesn't come to a gate or its end.
        """
        if root.thread is not None:
            if not root.arrival.wait(_PATIENCE):
                raise TimeoutError
            root.arrival.clear()
            return
        with guarded(root):
            self.loop.run()
            while root.is_asleep and (self.time_passes or (root.is_done and self.observer is None)):
                self._pass(root)
        if root.gates:
            root.ticks = 0
            if len(root.gates) > 1:
                root.gates.sort(key=lambda gate: gate.order)

    def pass_time(self, root: Root) -> None:
        """Let the next timer of a root end."""
        with guarded(root):
            self._pass(root)
        self.settle(root)

    def _pass(self, root: Root) -> None:
        root.ticks += 1
        self.loop.run(root.clock.advance())
        self.loop.is_endless = self.loop.is_endless or root.ticks > _MOST_TICKS

    def arrive(self, gate: Gate) -> bool:
        """Somebody is at a gate; tells whether it is open already."""
        root = current_root.get()
        assert root is not None
        if self.is_over:
            raise Unwind if asyncio._get_running_loop() is None else asyncio.CancelledError
        gate.root, gate.child = root, root.child()
        if self.observer is not None and not root.template.is_async:
            return self.observer.arrived(gate)
        root.gates.append(gate)
        if root.thread is not None:
            root.arrival.set()
        return False

    def _new_task(self, task: asyncio.Task[Any]) -> None:
        root = current_root.get()
        if root is not None:
            root.children[task] = len(root.children)

    @property
    def is_reusable(self) -> bool:
        """Whether nothing of its tasks is left."""
        return not self.loop.is_endless and all(
            root.is_done and not root.gates and all(task.done() for task in root.children) for root in self.roots
        )

    def end(self) -> None:
        """End what has not ended, at its gates."""
        self.is_over = True
        for root in self.roots:
            if root.thread is not None:
                for gate in tuple(root.gates):
                    root.gates.remove(gate)
                    gate.open(Unwind())
                root.thread.join(_PATIENCE)
        for _ in range(3):  # a task may catch the first
            left = [task for root in self.roots for task in root.children if not task.done()]
            if not left:
                return
            for task in left:
                task.cancel()
            self.loop.run()


_MOST_TICKS = 2_000
"""Timers in a row, with no op in between, that are an endless loop."""

_TICKS_AFTER_END = 50
"""Timers of what a task leaves behind that are waited for, if it does no op."""


def close_generator(generator: AsyncGenerator[Any, Any]) -> None:
    """Run what an async generator does in the end, when it is left before that; as asyncio does."""
    root = current_root.get()
    if root is not None:
        root.world.loop.create_task(generator.aclose())
