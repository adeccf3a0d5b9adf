"""Where the time of an op goes: what the steps cost that any such op is made of.

A ladder, and no profiler: a profiler costs more than the steps, and not the same for each. The steps are written
out here and know nothing of how qstate_nb does them: the last sum is what an op costs that keeps the promises in the
plain way, and what the row's own time has above it is structure. Trust *all so far* more than *alone*: a step that
makes an object which stays costs more than one whose object is freed at once and made again in the same place.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import datetime
import itertools
import textwrap
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import msgspec
from benchmarks.measuring import Timer, measure, timer
from benchmarks.state_rows import AsyncShared, Row, fields


@dataclass(frozen=True)
class Step:
    """One thing that an op does.

    Args:
        name: what, and why.
        code: lines of Python, in terms of ``key``, ``value`` and what `names` has.
        counts: whether the op needs it; if not, it is shown as another way to do it.
    """

    name: str
    code: str
    counts: bool = True


class Key(msgspec.Struct, frozen=True, cache_hash=True):
    name: str
    scope: str | None = None


class Record(msgspec.Struct, frozen=True):
    seq: int
    time: float
    key: Key
    op: str
    actor: object
    changes: tuple[Any, ...]


@contextlib.contextmanager
def block() -> Iterator[None]:
    yield


async def coroutine(state: object = None) -> str:
    return "ok"


def do_nothing() -> None:
    pass


class Manager:
    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass


Four = dataclasses.make_dataclass("Four", "abcd", slots=True)
Twelve = dataclasses.make_dataclass("Twelve", "abcdefghijkl", slots=True, weakref_slot=True)


def names() -> dict[str, Any]:
    """What the code of the steps refers to."""
    key, bucket = Key("Shared"), fields()
    return {
        "key": "k5",
        "value": 1_000,
        "before": 999,
        "now": 1e9,
        "who": None,
        "event": (),
        "values": {"k1": 1_000, "k2": 1_000},
        "args": (),
        "kwargs": {},
        "bucket": bucket,
        "bucket_key": key,
        "buckets": {key: bucket},
        "writers": {},
        "journal": deque(maxlen=10_000),
        "immutable": frozenset({type(None), bool, int, float, str, bytes}),
        "absent": object(),
        "actor": contextvars.ContextVar("actor", default=None),
        "Record": Record,
        "time": time.time,
        "stop_point": contextvars.ContextVar("stop_point", default=do_nothing),
        "lock": threading.Lock(),
        "rlock": threading.RLock(),
        "async_lock": asyncio.Lock(),
        "coroutine": coroutine,
        "block": block,
        "numbers": itertools.count(),
        "uuid4": uuid.uuid4,
        "Lock": threading.Lock,
        "Flag": threading.Event,
        "Future": Future,
        "utcnow": datetime.datetime.now,
        "UTC": datetime.UTC,
        "state": AsyncShared(),
        "injected": {"state": AsyncShared()},
        "changed": {"k5": 1_000},
        "net": [("k5", 1_000)],
        "manager": Manager(),
        "Four": Four,
        "Twelve": Twelve,
        "ref": weakref.ref,
        "current_task": asyncio.current_task,
        "watched": lambda _: None,
    }


CHECK = Step("is the key a str?", "if type(key) is not str: raise TypeError(key)")
SHARE = Step("is the value immutable?", "shared = type(value) in immutable")
STOP = Step("may it go on? (context variable, call)", "stop_point.get()()")
FIND = Step("find the bucket: dict[Struct]", "fields = buckets[bucket_key]")
WHO = Step("who? (context variable)", "who = actor.get()")
WHEN = Step("when? time.time()", "now = time()")
EVENT = Step("the event: two tuples", "event = (1, now, bucket_key, 'set', who, ((key, before, value),))")
NOTE = Step("the journal: deque.append, full", "journal.append(event)")
LOCK = (
    Step("lock.acquire, lock.release", "lock.acquire()\ntry: pass\nfinally: lock.release()"),
    Step("or: lock.acquire(False), lock.release", "lock.acquire(False)\nlock.release()", counts=False),
    Step("or: with lock", "with lock: pass", counts=False),
    Step("or: with an RLock", "with rlock: pass", counts=False),
    Step("or: async with an asyncio.Lock", "async with async_lock: pass", counts=False),
)
OTHER_EVENTS = (
    Step("or, the event: one tuple", "event = (1, now, bucket_key, 'set', who, key, before, value)", counts=False),
    Step("or, the event: a Struct", "Record(1, now, bucket_key, 'set', who, ((key, before, value),))", counts=False),
)

GET = (Step("dict get", "found = bucket.get(key, absent)"), CHECK, SHARE, FIND, STOP, *LOCK)
SET = (
    Step("dict store", "bucket[key] = value"),
    *(CHECK, SHARE, FIND),
    Step("the value before: dict get", "before = bucket.get(key, absent)"),
    *(WHO, WHEN, EVENT),
    Step("who wrote it last: dict store", "writers[key] = event"),
    *(NOTE, STOP, *LOCK, *OTHER_EVENTS),
)
UPDATE = (
    Step("dict update, two keys", "values = {'k1': value, 'k2': value}\nbucket.update(values)"),
    Step("the result: a new dict", "result = dict(bucket)"),
    Step("are all its values immutable?", "shared = immutable.issuperset(map(type, bucket.values()))"),
    Step("the two values before", "before = tuple([(key, bucket.get(key, absent), values[key]) for key in values])"),
    *(WHO, WHEN),
    Step("the event: a tuple", "event = (1, now, bucket_key, 'update', who, before)"),
    Step("who wrote it last: two dict stores", "for key in values: writers[key] = event"),
    *(NOTE, STOP, *LOCK),
)
DISPATCH = (
    Step("the task's own coroutine", "await coroutine(state)"),
    Step("arguments given and injected", "coroutine(*args, **{**kwargs, **injected}).close()"),
    Step("the actor: context variable, set, reset", "actor.reset(actor.set(value))"),
    Step("the call's number", "number = next(numbers)"),
    Step("the list of calls: deque.append", "journal.append(value)"),
    Step("created, updated: two utcnow", "utcnow(UTC)\nutcnow(UTC)"),
    Step("the result: a Struct", "Record(1, now, bucket_key, 'set', who, args)"),
    Step("try, except", "try: pass\nexcept BaseException: raise"),
    Step("uuid4", "uuid4()", counts=False),
    Step("a threading.Lock", "Lock()", counts=False),
    Step("a threading.Event", "Flag()", counts=False),
    Step("a concurrent.futures.Future", "Future()", counts=False),
    Step("a @contextmanager, entered and left", "with block(): pass", counts=False),
    Step("one more coroutine between", "await coroutine()", counts=False),
)
TRANSACTION = (
    Step("__aenter__ and __aexit__: two coroutines", "async with manager: pass"),
    Step("the transaction: an object with 4 attributes", "Four(key, value, None, False)"),
    Step("the frame: an object with 12 attributes", "Twelve(*range(12))"),
    Step("whose? current_task, a weak reference", "owner = ref(current_task())  # needs a loop, as an await does"),
    Step(
        "is it left open? a callback of the task",
        "on_end = watched\nowner = current_task()  # needs a loop, as an await does\n"
        "owner.add_done_callback(on_end)\nowner.remove_done_callback(on_end)",
    ),
    Step("take part: context variable, get, set, set", "actor.get()\nactor.set(value)\nactor.set(None)"),
    Step("with an RLock: to take it, to end, get and set", "for _ in range(4):\n    with rlock: pass"),
    Step("the draft: an object with a dict", "Four(bucket, None, {}, False)"),
    Step("get in it: a coroutine, two dicts", "await coroutine()\n{}.get(key, absent)\nbucket.get(key, absent)"),
    Step("set in it: a coroutine, a dict", "await coroutine()\nchanged = {key: value}"),
    Step("its net changes: a list", "net = [(k, v) for k, v in changed.items() if v is not absent or k in bucket]"),
    *(WHO, WHEN, EVENT, NOTE),
    Step("commit: a loop of two dict stores", "for k, v in net:\n    bucket[k] = v\n    writers[k] = event"),
)
LADDERS = {
    "transaction": TRANSACTION,
    "get": GET,
    "set": SET,
    "update": UPDATE,
    "sync-get": GET,
    "sync-set": SET,
    "dispatch": DISPATCH,
}
LINE = "{:44}{:>12}{:>18}"


def ladder(row: Row, repeat: int) -> str:
    """The table of a row's steps.

    Raises:
        KeyError: the row has no ladder.
    """
    steps, is_async = LADDERS[row.name], "await" in row.title
    counted = [step for step in steps if step.counts]
    timers = {
        **row.prepare(),
        "loop": timer("pass"),
        "call": call_of([], is_async=is_async),
        **{f"alone: {step.name}": timer(step.code, **names()) for step in steps},
        **{
            f"so far: {step.name}": call_of(counted[:count], is_async=is_async)
            for count, step in enumerate(counted, start=1)
        },
    }
    readings = dict(zip(timers, measure([*timers.values()], repeat), strict=True))
    best = {name: reading.best * 1e9 for name, reading in readings.items()}
    return "\n".join([_title(row, best), "", *_lines(steps, best)])


def _title(row: Row, best: dict[str, float]) -> str:
    qstate, reference = best["qstate"], best["reference"]
    wanted = reference * row.at_most
    return f"{row.title}: qstate {qstate:.0f} ns, {row.reference} {reference:.0f} ns, wanted {wanted:.0f} ns"


def _lines(steps: Sequence[Step], best: dict[str, float]) -> Iterator[str]:
    yield LINE.format("step", "alone, ns", "all so far, ns")
    yield LINE.format("a method that does nothing", "", f"{best['call']:.0f}")
    for step in steps:
        alone = best[f"alone: {step.name}"] - best["loop"]
        so_far = f"{best[f'so far: {step.name}']:.0f}" if step.counts else "(not in it)"
        yield LINE.format(step.name, f"{alone:.0f}", so_far)


def call_of(steps: Sequence[Step], *, is_async: bool) -> Timer:
    """A method that does all of the steps, called as the row calls an op."""
    body = "\n".join(step.code for step in steps) or "pass"
    define, call = ("async def", "await op.run('k5', i)") if is_async else ("def", "op.run('k5', i)")
    namespace = names()
    exec(f"class Op:\n    {define} run(self, key, value):\n{textwrap.indent(body, ' ' * 8)}", namespace)
    return timer(call, op=namespace["Op"]())
