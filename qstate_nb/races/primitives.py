"""Models of asyncio's primitives that explored tasks share: locks, semaphores, events, conditions and queues.

An object that tasks find in their globals, closures or arguments is shared by them. While an exploration lasts, its
methods (of that object alone) lead here in the exploring thread: what waits is an op at a gate, as an op of State is;
what doesn't wait happens at once. A model's content is an immutable tuple; its ops are pure functions of that.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from qstate_nb.core.values import copy_value

Content: TypeAlias = tuple[Any, ...]
Result: TypeAlias = "tuple[Any, Content] | None"


class Primitive:
    """A shared asyncio primitive.

    Args:
        real: the object.
        name: what to call it.

    Attributes:
        content: of the model, in the beginning.
    """

    def __init__(self, real: Any, name: str) -> None:
        self.real = real
        self.name = name
        self.content: Content = _CONTENTS[_kind(real)](real)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Primitive {self.name}: {type(self.real).__name__}>"


Op: TypeAlias = Callable[..., Result]
"""Gives the result and the new content; None if it has to wait. The first arguments are the model and its content."""


def acquire(_: Primitive, content: Content) -> Result:
    """Take a lock, or one of a semaphore."""
    return (True, (content[0] - 1, *content[1:])) if content[0] > 0 else None


def release(model: Primitive, content: Content) -> Result:
    """Give back what `acquire` took.

    Raises:
        RuntimeError: a lock that is not held.
        ValueError: more than a bounded semaphore has.
    """
    free, most = content
    if most is not None and free >= most:
        if isinstance(model.real, asyncio.Lock):
            raise RuntimeError("Lock is not acquired.")
        raise ValueError("BoundedSemaphore released too many times")
    return None, (free + 1, most)


def locked(_: Primitive, content: Content) -> Result:
    """Whether nothing is free."""
    return content[0] == 0, content


def wait_set(_: Primitive, content: Content) -> Result:
    """Wait for an event."""
    return (True, content) if content[0] else None


def set_event(_: Primitive, __: Content, value: bool) -> Result:
    """Set or clear an event."""
    return None, (value,)


def is_set(_: Primitive, content: Content) -> Result:
    """Whether an event is set."""
    return content[0], content


def wait_begin(_: Primitive, content: Content, token: Any) -> Result:
    """Get in line for a condition."""
    waiting, notified = content
    return None, ((*waiting, token), notified)


def wait_end(_: Primitive, content: Content, token: Any) -> Result:
    """Wait to be notified."""
    waiting, notified = content
    return (True, (waiting, tuple(t for t in notified if t != token))) if token in notified else None


def wait_drop(_: Primitive, content: Content, token: Any) -> Result:
    """Get out of the line of a condition."""
    return None, tuple(tuple(t for t in tokens if t != token) for tokens in content)


def notify(_: Primitive, content: Content, n: int | None) -> Result:
    """Notify the first *n* who wait for a condition, or all."""
    waiting, notified = content
    n = len(waiting) if n is None else n
    return None, (waiting[n:], (*notified, *waiting[:n]))


def put(model: Primitive, content: Content, item: Any) -> Result:
    """Put something into a queue."""
    items, unfinished = content
    real = model.real
    if 0 < real.maxsize <= len(items):
        return None
    if isinstance(real, asyncio.PriorityQueue):
        heap = list(items)
        heapq.heappush(heap, item)
        return None, (tuple(heap), unfinished + 1)
    return None, ((*items, item), unfinished + 1)


def get(model: Primitive, content: Content) -> Result:
    """Take something out of a queue."""
    items, unfinished = content
    if not items:
        return None
    if isinstance(model.real, asyncio.PriorityQueue):
        heap = list(items)
        return copy_value(heapq.heappop(heap)), (tuple(heap), unfinished)
    if isinstance(model.real, asyncio.LifoQueue):
        return copy_value(items[-1]), (items[:-1], unfinished)
    return copy_value(items[0]), (items[1:], unfinished)


def put_nowait(model: Primitive, content: Content, item: Any) -> Result:
    """As `put`; raises asyncio.QueueFull."""
    result = put(model, content, item)
    if result is None:
        raise asyncio.QueueFull
    return result


def get_nowait(model: Primitive, content: Content) -> Result:
    """As `get`; raises asyncio.QueueEmpty."""
    result = get(model, content)
    if result is None:
        raise asyncio.QueueEmpty
    return result


def size(_: Primitive, content: Content) -> Result:
    """How much is in a queue."""
    return len(content[0]), content


def task_done(_: Primitive, content: Content) -> Result:
    """Say that something from a queue is done.

    Raises:
        ValueError: nothing is left to be done.
    """
    items, unfinished = content
    if unfinished <= 0:
        raise ValueError("task_done() called too many times")
    return None, (items, unfinished - 1)


def join(_: Primitive, content: Content) -> Result:
    """Wait until all that was put into a queue is done."""
    return (None, content) if content[1] == 0 else None


_KINDS: Final = (asyncio.Lock, asyncio.Semaphore, asyncio.Event, asyncio.Condition, asyncio.Queue)


def _kind(real: object) -> type | None:
    return next((kind for kind in _KINDS if isinstance(real, kind)), None)


def is_primitive(real: object) -> bool:
    """Whether there is a model of an object."""
    return isinstance(real, _KINDS)


_CONTENTS: Final[dict[Any, Callable[[Any], Content]]] = {
    asyncio.Lock: lambda real: (0 if real.locked() else 1, 1),
    asyncio.Semaphore: lambda real: (real._value, getattr(real, "_bound_value", None)),
    asyncio.Event: lambda real: (real.is_set(),),
    asyncio.Condition: lambda _: ((), ()),
    asyncio.Queue: lambda real: (tuple(copy_value(real._queue)), real._unfinished_tasks),
}


class Shared:
    """The primitives that tasks share, and their methods for as long as an exploration lasts.

    Args:
        wait: runs an op at a gate.
        at_once: runs an op now.
        token: gives what tells one wait for a condition from another.

    Each of the first two is given the model, the op and its arguments.
    """

    def __init__(self, wait: Callable[..., Any], at_once: Callable[..., Any], token: Callable[[], Any]) -> None:
        self._wait = wait
        self._at_once = at_once
        self._token = token
        self.models: list[Primitive] = []
        self._known: dict[int, Primitive] = {}

    def model(self, real: Any, name: str) -> Primitive:
        """The model of an object."""
        model = self._known.get(id(real))
        if model is None:
            model = self._known[id(real)] = Primitive(real, name)
            self.models.append(model)
        return model

    @property
    def has_conditions(self) -> bool:
        """Whether one of them knows who waits."""
        return any(isinstance(model.real, asyncio.Condition) for model in self.models)

    def methods(self, model: Primitive) -> dict[str, Any]:
        """What an object's methods are, while the exploration lasts."""
        kind = _kind(model.real)
        if kind in (asyncio.Lock, asyncio.Semaphore):
            waiting: Sequence[tuple[str, Op]] = [("acquire", acquire)]
            at_once: Sequence[tuple[str, Op]] = [("release", release), ("locked", locked)]
        elif kind is asyncio.Event:
            waiting, at_once = [("wait", wait_set)], [("is_set", is_set)]
        elif kind is asyncio.Queue:
            waiting = [("put", put), ("get", get), ("join", join)]
            at_once = [
                ("put_nowait", put_nowait),
                ("get_nowait", get_nowait),
                ("qsize", size),
                ("task_done", task_done),
            ]
        else:
            return self._condition(model)
        methods: dict[str, Any] = {name: self._waiting(model, op, name) for name, op in waiting}
        methods |= {name: self._now(model, op, name) for name, op in at_once}
        if kind is asyncio.Event:
            methods["set"] = lambda: self._at_once(model, "set", set_event, True)
            methods["clear"] = lambda: self._at_once(model, "clear", set_event, False)
        elif kind is asyncio.Queue:
            methods["empty"] = lambda: methods["qsize"]() == 0
            methods["full"] = lambda: 0 < model.real.maxsize <= methods["qsize"]()
        return methods

    def _waiting(self, model: Primitive, op: Op, name: str) -> Any:
        async def method(*args: Any, **kwargs: Any) -> Any:
            return await self._wait(model, name, op, *copy_value((*args, *kwargs.values())))

        return method

    def _now(self, model: Primitive, op: Op, name: str) -> Any:
        return lambda *args, **kwargs: self._at_once(model, name, op, *copy_value((*args, *kwargs.values())))

    def _condition(self, model: Primitive) -> dict[str, Any]:
        lock = self.model(vars(model.real)["_lock"], f"{model.name}'s lock")
        methods = self.methods(lock)

        async def wait() -> bool:
            if not methods["locked"]():
                raise RuntimeError("cannot wait on un-acquired lock")
            token = self._token()
            self._at_once(model, "wait", wait_begin, token)
            methods["release"]()
            try:
                await self._wait(model, "notified", wait_end, token)
            finally:
                self._at_once(model, "waited", wait_drop, token)
                await methods["acquire"]()
            return True

        def tell(n: int | None) -> None:
            if not methods["locked"]():
                raise RuntimeError("cannot notify on un-acquired lock")
            self._at_once(model, "notify", notify, n)

        return {**methods, "wait": wait, "notify": lambda n=1: tell(n), "notify_all": lambda: tell(None)}

    def install(self) -> None:
        """Let the objects' methods lead to their models."""
        done: set[int] = set()
        while len(done) < len(self.models):  # a condition brings its lock
            for model in list(self.models):
                if id(model) not in done:
                    done.add(id(model))
                    vars(model.real).update(self.methods(model))

    def uninstall(self) -> None:
        """Let the objects be as they were."""
        for model in self.models:
            for name in self.methods(model):
                vars(model.real).pop(name, None)
            if isinstance(model.real, asyncio.Condition):  # its __init__ sets these
                lock = vars(model.real)["_lock"]
                vars(model.real).update(acquire=lock.acquire, release=lock.release, locked=lock.locked)
