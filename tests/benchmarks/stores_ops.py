"""The rows of `stores.py` that are about single ops."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from benchmarks.measuring import Timer, measure, timer

from qstate_nb import State, StateRegistry, open_store, transaction
from qstate_nb.stores import redis_connection
from qstate_nb.stores.redis_scripts import Script

SETS = 1_000  # in a run: enough that a checkpoint or more is in it
KEYS = [f"k{number}" for number in range(5)]

UPSERT = "INSERT INTO fields VALUES (?, 'n', ?) ON CONFLICT DO UPDATE SET value = excluded.value"
ADD_EVENT = "INSERT INTO events (data) VALUES (?)"
TWO_ROWS = """
sql.execute('BEGIN IMMEDIATE')
sql.execute(upsert, (1, b'%d' % i))
sql.execute(add_event, (event,))
sql.execute('COMMIT')
"""
SCRIPT = """
redis.call('{command}', KEYS[1], ARGV[1], ARGV[2])
return redis.call('XADD', KEYS[2], 'MAXLEN', '~', 10000, '*', 'actor', ARGV[3], 'field', ARGV[1], 'after', ARGV[2])
"""
REDIS_OPS = {
    "State.set": (
        "state.set('n', i)",
        {
            "bare": "client.hset('bare', 'n', i)",
            "script": "client.evalsha(HSET, 2, 'bare', 'journal', 'n', i, actor)",
            "its request": "client.evalsha(*request)",
        },
    ),
    "State.get": ("state.get('n')", {"bare": "client.hget('bare', 'n')"}),
    "State.increment": (
        "state.increment('n')",
        {
            "bare": "client.hincrby('bare', 'n', 1)",
            "script": "client.evalsha(HINCRBY, 2, 'bare', 'journal', 'n', 1, actor)",
        },
    ),
}
"""Ours, and what it is compared with."""
UPDATE = """
pipe = client.pipeline()
pipe.hset('bare', mapping=values)
pipe.xadd('journal', event, maxlen=10_000)
pipe.hgetall('bare')
pipe.execute()
"""
TRANSACTION = """
with transaction(a, b):
    for key in keys:
        a.set(key, i)
        b.set(key, i)
"""
LOCKED = """
client.set('lock', 'me', nx=True, px=10_000)
pipe = client.pipeline()
for key in keys:
    pipe.hset('a', key, i)
    pipe.hset('b', key, i)
pipe.xadd('journal', event, maxlen=10_000)
pipe.delete('lock')
pipe.execute()
"""


class Counter(State):
    """Its fields are not declared."""


class Other(State):
    """One more."""


class Line(NamedTuple):
    """A line of a table."""

    row: str
    found: str
    limit: str = ""


class Places(NamedTuple):
    """Where it is measured.

    Args:
        folder: for SQLite files.
        redis_url: of a server, if there is one.
        repeat: runs of each timer.
    """

    folder: Path
    redis_url: str | None
    repeat: int

    def urls(self, name: str) -> dict[str, str]:
        """URLs of new stores, by their kind; each is to have its own *name*."""
        found = {"sqlite": f"sqlite:///{self.folder}/{name}.db"}
        return found if self.redis_url is None else {**found, "redis": f"{self.redis_url}?prefix={name}"}


@contextmanager
def opened(url: str, max_events: int | None = 10_000) -> Iterator[StateRegistry]:
    """The registry of a store that is closed at the end."""
    registry = StateRegistry(store=open_store(url, max_events=max_events))
    try:
        yield registry
    finally:
        registry.store.close()  # type: ignore[attr-defined]


def missing(row: str, error: ImportError) -> Line:
    """The line of what can't be measured here."""
    return Line(row, f"not measured: {error}")


def compared(
    row: str,
    repeat: int,
    ours: Timer,
    others: Mapping[str, tuple[Timer, str]],
    rounds: int | None = None,
    *,
    has_threads: bool = False,
) -> Iterator[Line]:
    """A line for each of the others, which are timers and limits."""
    first, *rest = measure([ours, *[other for other, _ in others.values()]], repeat, rounds)
    for (name, (_, limit)), reading in zip(others.items(), rest, strict=True):
        mine, theirs = (each.median if has_threads else each.best for each in (first, reading))
        yield Line(row, f"{mine * 1e6:8.1f} µs, {mine / theirs:5.2f} times {name} ({theirs * 1e6:.1f} µs)", limit)


# SQLite


@contextmanager
def bare_sqlite(path: Path, durability: str = "normal") -> Iterator[sqlite3.Connection]:
    """A connection to a file with the two tables, and the pragmas that the store uses."""
    sql = sqlite3.connect(path, isolation_level=None)
    try:
        sql.execute("PRAGMA journal_mode = WAL")
        sql.execute(f"PRAGMA synchronous = {durability}")
        sql.execute(
            "CREATE TABLE fields (bucket INTEGER, name TEXT, value, PRIMARY KEY (bucket, name)) WITHOUT ROWID"
        )
        sql.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, data BLOB NOT NULL)")
        yield sql
    finally:
        sql.close()


def an_event(path: Path) -> bytes:
    """The last event of a store, as it is stored."""
    sql = sqlite3.connect(path)
    ((event,),) = sql.execute("SELECT data FROM events ORDER BY seq DESC LIMIT 1")
    sql.close()
    return bytes(event)


def of_sqlite(places: Places) -> Iterator[Line]:
    """Durable sets."""
    for durability in ("normal", "full"):
        path = places.folder / f"set-{durability}.db"
        with (
            opened(f"sqlite:///{path}?durability={durability}") as registry,
            bare_sqlite(places.folder / f"one-{durability}.db", durability) as one,
            bare_sqlite(places.folder / f"two-{durability}.db", durability) as two,
        ):
            state = registry.state(Counter)
            state.set("n", 0)
            others = {
                "bare": (timer("sql.execute(upsert, (1, b'%d' % i))", sql=one, upsert=UPSERT), "1.25"),
                "bare, two rows": (
                    timer(TWO_ROWS, sql=two, upsert=UPSERT, add_event=ADD_EVENT, event=an_event(path)),
                    "",
                ),
            }
            row = f"State.set, {durability}"
            try:
                cache = import_module("diskcache").Cache(
                    places.folder / f"cache-{durability}", sqlite_synchronous=1 if durability == "normal" else 2
                )
                others["diskcache"] = timer("cache.set('n', i)", cache=cache), ""
            except ImportError as error:
                yield missing(row, error)
            yield from compared(row, places.repeat, timer("state.set('n', i)", state=state), others, SETS)


# Redis


def of_redis(places: Places) -> Iterator[Line]:
    """Ops, and what the server is asked for them."""
    if places.redis_url is None:
        return
    client: Any = import_module("redis").Redis.from_url(places.redis_url)
    with opened(f"{places.redis_url}?prefix=ops") as registry:
        state, other = registry.state(Counter), registry.state(Other)
        event = {"actor": actor_of(client, state), "op": "set", "field": "k0", "after": "1"}
        names = {"client": client, "event": event, "actor": event["actor"], "state": state, "keys": KEYS}
        names |= {command: client.script_load(SCRIPT.format(command=command)) for command in ("HSET", "HINCRBY")}
        names["request"] = request_of(lambda: state.set("n", 1))
        for row, (ours, others) in REDIS_OPS.items():
            sides = {name: (timer(text, **names), "1.3") for name, text in others.items()}
            yield from compared(row, places.repeat, timer(ours, **names), sides)
        for count in (5, 100):
            values = {f"k{number}": number for number in range(count)}
            more = {**names, "values": values, "state": registry.state(Counter, scope=count)}
            sides = {
                "bare": (timer("client.hset('bare', mapping=values)", **more), "1.3"),
                "pipeline": (timer(UPDATE.replace("'bare'", f"'bare {count}'"), **more), "1.3"),
            }
            yield from compared(
                f"State.update, {count}", places.repeat, timer("state.update(**values)", **more), sides
            )
        both = {**names, "transaction": transaction, "a": state, "b": other}
        side = {"a lock and a pipeline": (timer(LOCKED, **both), "1.3")}
        yield from compared("transaction of 10 sets", places.repeat, timer(TRANSACTION, **both), side)
        yield from of_requests(client, state, timer(TRANSACTION, **both))
    client.close()


def actor_of(client: Any, state: State) -> bytes:
    """What the store writes as the actor of an event."""
    state.set("n", 0)
    ((_, fields),) = client.xrevrange("{ops}:events", count=1)
    return bytes(fields[b"actor"])


def request_of(do: Callable[[], object]) -> list[Any]:
    """The arguments of EVALSHA for a commit that doesn't depend on a version, so that it can be sent again."""
    found: list[Any] = []
    run = redis_connection.Line.run

    def noted(line: redis_connection.Line, script: Script, keys: Sequence[bytes], args: Sequence[bytes]) -> Any:
        found[:] = [script.sha.decode(), len(keys), *keys, *args[:-1], b"9e9"]  # its deadline
        return run(line, script, keys, args)

    with patch.object(redis_connection.Line, "run", noted):
        do()
    return found


def of_requests(client: Any, state: State, in_transaction: Timer) -> Iterator[Line]:
    """What the server gets for an op whose process has used the State before."""
    ops: dict[str, Callable[[], object]] = {
        "State.set": lambda: state.set("n", 1),
        "State.get": lambda: state.get("n"),
        "State.increment": lambda: state.increment("n"),
        "State.update, 5": lambda: state.update(**dict.fromkeys(KEYS, 1)),
        "State.update, 100": lambda: state.update(**{f"k{number}": 1 for number in range(100)}),
    }
    for row, do in ops.items():
        do()
        yield Line(f"{row}, requests", requests(client, do), "1")
    in_transaction(1)
    limit = "lock and commit"
    yield Line("transaction of 10 sets, requests", requests(client, lambda: in_transaction(1)), limit)


def requests(client: Any, do: Callable[[], object]) -> str:
    """The commands that the server gets while something is done, but for those that scripts run."""
    names = []
    with client.monitor() as monitor:
        client.echo("begin")
        do()
        client.echo("end")
        while monitor.next_command()["command"] != "ECHO begin":
            pass
        while (command := monitor.next_command())["command"] != "ECHO end":
            if command["client_type"] != "lua":
                names.append(command["command"].partition(" ")[0])
    return f"{len(names)}: {', '.join(names)}"
