"""The rows of `state.py`: what is compared with what, and what is to be reached."""

from __future__ import annotations

import asyncio
import inspect
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias

from benchmarks.measuring import Timer, timer, timer_in_tasks, timer_in_threads

from qstate_nb import AsyncState, InlineApp, State, StateRegistry

TASKS = 1_000
THREADS = 8
ROUNDS = 200_000  # of all threads: in shorter runs they may not come to wait for one another

Sides: TypeAlias = dict[str, Timer]
"""The timers of a row: ``qstate``, ``reference``, and where it has them, the floors ``dict`` and ``bare``."""


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        name: for ``--row``.
        title: what is measured.
        at_most: the ratio of qstate to the reference that is to be reached.
        prepare: makes the timers.
        reference: what qstate is compared with.
        rounds: of a run; by default as many as take some 20 ms.
    """

    name: str
    title: str
    at_most: float
    prepare: Callable[[], Sides]
    reference: str = "QTasks"
    rounds: int | None = None


class Shared(State):
    """What sync rows work on."""


class AsyncShared(AsyncState):
    """What async rows work on."""


class BareState:
    """The least that has the methods of a State: one dict, and no promise."""

    def __init__(self, fields: dict[str, int]) -> None:
        self.fields = fields

    def get(self, key: str) -> int:
        return self.fields[key]

    def set(self, key: str, value: int) -> None:
        self.fields[key] = value


class AsyncBareState:
    """As `BareState`, with coroutines."""

    def __init__(self, fields: dict[str, int]) -> None:
        self.fields = fields

    async def get(self, key: str) -> int:
        return self.fields[key]

    async def set(self, key: str, value: int) -> None:
        self.fields[key] = value

    async def update(self, **values: int) -> dict[str, int]:
        self.fields.update(values)
        return dict(self.fields)


class LockedState(BareState):
    """As `BareState`, with a lock: what threads need at the least."""

    def __init__(self, fields: dict[str, int]) -> None:
        super().__init__(fields)
        self.lock = threading.Lock()

    def get(self, key: str) -> int:
        with self.lock:
            return self.fields[key]

    def set(self, key: str, value: int) -> None:
        with self.lock:
            self.fields[key] = value


def fields(keys: int = 10) -> dict[str, int]:
    """What is in a bucket."""
    return {f"k{number}": number for number in range(keys)}


def qtasks(module: str) -> Any:
    """A module of QTasks.

    Raises:
        RuntimeError: it is not installed.
    """
    try:
        return import_module(f"qtasks.{module}")
    except ModuleNotFoundError as error:
        raise RuntimeError("it is compared with QTasks: pip install qtasks==1.7.3") from error


def filled(state: Any, keys: int = 10) -> Any:
    """*state*, with some fields in it; of either colour, ours or QTasks'."""
    done = state.update(**fields(keys))
    if inspect.iscoroutine(done):
        asyncio.run(_awaited(done))
    return state


async def _awaited(done: Any) -> Any:
    return await done


def ours(cls: type[State | AsyncState], keys: int = 10) -> Any:
    """A State of a registry of its own."""
    return filled(StateRegistry().state(cls), keys)


def theirs(colour: str, keys: int = 10) -> Any:
    """A State of QTasks, ``Async`` or ``Sync``, as its plugin makes it for a task."""
    base = getattr(qtasks("plugins.states"), f"{colour}State")
    registry = getattr(qtasks("plugins.states.registry"), f"{colour}StateRegistry")()
    shared = type("Shared", (base,), {})
    return filled(shared(registry, shared), keys)


def async_op(statement: str, on_dict: str, keys: int = 10) -> Sides:
    return {
        "qstate": timer(statement, state=ours(AsyncShared, keys)),
        "reference": timer(statement, state=theirs("Async", keys)),
        "dict": timer(on_dict, fields=fields(keys)),
        "bare": timer(statement, state=AsyncBareState(fields(keys))),
    }


def sync_op(statement: str, on_dict: str) -> Sides:
    return {
        "qstate": timer(statement, state=ours(Shared)),
        "reference": timer(statement, state=theirs("Sync")),
        "dict": timer(on_dict, fields=fields()),
        "bare": timer(statement, state=BareState(fields())),
    }


SET_AND_GET = "state.set('k5', i)\nstate.get('k5')"


def threads() -> Sides:
    return {
        "qstate": timer_in_threads(SET_AND_GET, THREADS, state=ours(Shared)),
        "reference": timer_in_threads(SET_AND_GET, THREADS, state=theirs("Sync")),
        "bare": timer_in_threads(SET_AND_GET, THREADS, state=LockedState(fields())),
    }


def threads_and_one() -> Sides:
    return {
        "qstate": timer_in_threads(SET_AND_GET, THREADS, state=ours(Shared)),
        "reference": timer_in_threads(SET_AND_GET, 1, state=ours(Shared)),
    }


def increment() -> Sides:
    by_hand = """
        async with lock:
            await state.set("k5", await state.get("k5") + 1)
    """
    state = ours(AsyncShared)
    return {
        "qstate": timer_in_tasks("await state.increment('k5')", [state] * TASKS),
        "reference": timer_in_tasks(by_hand, [theirs("Async")] * TASKS, lock=asyncio.Lock()),
    }


def dispatch() -> Sides:
    app = InlineApp(registry=StateRegistry())

    @app.task
    async def step(state: AsyncShared) -> str:
        return "ok"

    return {"qstate": timer("await step()", step=step), "reference": qtasks_dispatch()}


def qtasks_dispatch() -> Timer:
    """A real app's task with its worker's own plugins, run as the worker runs it, with no broker."""
    app = qtasks("asyncio").QueueTasks()

    async def step(state: Any) -> str:
        return "ok"

    step.__annotations__["state"] = type("Shared", (qtasks("plugins.states").AsyncState,), {})
    app.task("step")(step)
    execute = """
        executor = Executor(task_func=task, task_broker=call, plugins=plugins)
        await executor.execute(decode=False)
    """
    return timer(
        execute,
        Executor=qtasks("executors.async_task_executor").AsyncTaskExecutor,
        task=app.tasks["step"],
        call=qtasks("schemas.task_exec").TaskPrioritySchema(0, uuid.uuid4(), "step"),
        plugins=app.worker.plugins,
    )


def transaction() -> Sides:
    in_one = """
        async with state.transaction():
            await state.get("k5")
            await state.set("k5", i)
    """
    state = ours(AsyncShared)
    return {"qstate": timer(in_one, state=state), "reference": timer("await state.set('k5', i)", state=state)}


def scopes() -> Sides:
    registry: Any = StateRegistry()
    set_one = "await state.set('k5', i)"
    return {
        "qstate": timer_in_tasks(set_one, [filled(registry.state(AsyncShared, scope=n)) for n in range(TASKS)]),
        "reference": timer_in_tasks(set_one, [ours(AsyncShared)] * TASKS),
    }


GET, SET, UPDATE = "state.get('k5')", "state.set('k5', i)", "state.update(k1=i, k2=i)"
update = partial(async_op, f"await {UPDATE}", "fields.update(k1=i, k2=i)")

ROWS = (
    Row("get", "await get", 1 / 4, partial(async_op, f"await {GET}", "fields['k5']")),
    Row("set", "await set", 1 / 2, partial(async_op, f"await {SET}", "fields['k5'] = i")),
    Row("update", "await update(2), 10 keys", 1, update),
    Row("update-100k", "await update(2), 100,000 keys", 1, partial(update, keys=100_000)),
    Row("sync-get", "get", 1 / 3, partial(sync_op, GET, "fields['k5']")),
    Row("sync-set", "set", 1 / 3, partial(sync_op, SET, "fields['k5'] = i")),
    Row("threads", f"set and get, {THREADS} threads", 1, threads, rounds=ROUNDS),
    Row("collapse", f"set and get, {THREADS} threads", 2, threads_and_one, "1 thread", rounds=ROUNDS),
    Row("increment", f"await increment, {TASKS:,} tasks", 1 / 2, increment, "QTasks, lock"),
    Row("dispatch", "await step()", 1 / 10, dispatch),
    Row("transaction", "transaction: await get, set", 10, transaction, "one set"),
    Row("scopes", f"await set, {TASKS:,} buckets", 1, scopes, "one bucket"),
)
