"""The rows of `stores.py` that are about several processes, and about what is kept."""

from __future__ import annotations

import multiprocessing
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.stores_ops import SCRIPT, Counter, Line, Places, bare_sqlite, missing, opened
from support.zygote import registry_at, running_zygote

from qstate_nb import Event
from qstate_nb.stores.backend import Commit, Stale

CHANGES = 50
KEYS = 100
STEPS = 1_000
PROCESSES, TIMES = 8, 1_000
INCREMENT = "INSERT INTO fields VALUES (1, 'n', 1) ON CONFLICT DO UPDATE SET value = value + 1"


# remote


def of_news(places: Places) -> Iterator[Line]:
    """When another process' changes show here."""
    with running_zygote(places.folder) as zygote:
        for kind, url in places.urls("news").items():
            registry = registry_at(url)
            lags: list[float] = []

            def hear(event: Event, lags: list[float] = lags) -> None:
                lags.append(time.time() - event.stored[0][3])

            unsubscribe = registry.subscribe(hear)
            zygote.start("write", url, CHANGES, 0.03).wait_for("done")
            end = time.monotonic() + 5
            while len(lags) < CHANGES and time.monotonic() < end:
                time.sleep(0.01)
            unsubscribe()
            registry.store.close()  # type: ignore[attr-defined]
            median, longest = statistics.median(lags) * 1e3, max(lags) * 1e3
            limit = "20 ms" if kind == "redis" else "150 ms"
            yield Line(kind, f"{median:.1f} ms in the median of {len(lags)}, {longest:.1f} ms at most", limit)


# journal


def of_journals(places: Places) -> Iterator[Line]:
    """How much a step keeps."""
    for kind, url in places.urls("journal").items():
        size = _size_of_file(places.folder / "journal.db") if kind == "sqlite" else _size_of_memory(places)
        with opened(url, max_events=None) as registry:
            state = registry.state(Counter)
            state.update(**{f"k{number}": 0 for number in range(KEYS)})

            def step(times: int, state: Counter = state) -> None:
                for number in range(times):
                    state.set("k0", number)

            yield _grown(f"ours, {kind}", size, step, STEPS)
    for name, make in {"LangGraph, SqliteSaver": langgraph, "Burr, SQLitePersister": burr}.items():
        path = places.folder / f"{make.__name__}.db"
        try:
            yield _grown(name, _size_of_file(path), make(path), STEPS // 5)
        except ImportError as error:
            yield missing(name, error)


def _grown(row: str, size: Callable[[], int], step: Callable[[int], object], steps: int) -> Line:
    step(2)
    before, start = size(), time.perf_counter()
    step(steps)
    seconds = (time.perf_counter() - start) / steps
    return Line(row, f"{(size() - before) / steps:8,.0f} bytes a step, which takes {seconds * 1e6:,.0f} µs")


def _size_of_file(path: Path) -> Callable[[], int]:
    def size() -> int:
        sql = sqlite3.connect(path)
        sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        sql.close()
        return path.stat().st_size

    return size


def _size_of_memory(places: Places) -> Callable[[], int]:
    client: Any = import_module("redis").Redis.from_url(places.redis_url)
    return lambda: int(client.info("memory")["used_memory"])


def langgraph(path: Path) -> Callable[[int], object]:
    """Steps of a LangGraph that saves each one."""
    graphs, saver = import_module("langgraph.graph"), import_module("langgraph.checkpoint.sqlite").SqliteSaver
    fields = import_module("typing_extensions").TypedDict("fields", {f"k{number}": int for number in range(KEYS)})
    graph = graphs.StateGraph(fields)
    left = 0

    def change(state: dict[str, int]) -> dict[str, int]:
        nonlocal left
        left -= 1
        return {"k0": state["k0"] + 1}

    graph.add_node("change", change)
    graph.add_edge(graphs.START, "change")
    graph.add_conditional_edges("change", lambda _: "change" if left else "__end__", ["change", "__end__"])
    compiled = graph.compile(checkpointer=saver(sqlite3.connect(path, check_same_thread=False)))

    def step(times: int) -> None:
        nonlocal left
        left = times
        config = {"configurable": {"thread_id": "1"}, "recursion_limit": times + 10}
        compiled.invoke({f"k{number}": 0 for number in range(KEYS)}, config)

    return step


def burr(path: Path) -> Callable[[int], object]:
    """Steps of a Burr application that saves each one."""
    core, persistence = import_module("burr.core"), import_module("burr.core.persistence")

    @core.action(reads=["k0"], writes=["k0"])  # type: ignore[untyped-decorator]
    def change(state: Any) -> Any:
        return state.update(k0=state["k0"] + 1)

    persister = persistence.SQLitePersister(str(path))
    persister.initialize()
    app = (
        core.ApplicationBuilder()
        .with_actions(change)
        .with_transitions(("change", "change"))
        .with_entrypoint("change")
        .with_state(**{f"k{number}": 0 for number in range(KEYS)})
        .with_state_persister(persister)
        .with_identifiers(app_id="1")
        .build()
    )
    return lambda times: [app.step() for _ in range(times)]


# conflicts


def of_conflicts(places: Places) -> Iterator[Line]:
    """Increments of many processes."""
    path = str(places.folder / "counted.db")
    with bare_sqlite(Path(path)):
        pass
    bare = {"sqlite": (bare_sqlite_increments, path), "redis": (bare_redis_increments, places.redis_url)}
    for kind, url in places.urls("conflicts").items():
        seconds, retries = _together(our_increments, url)
        theirs, _ = _together(*bare[kind])
        count = PROCESSES * TIMES
        with opened(url) as registry:
            assert registry.state(Counter).get("n") == count
        found = (
            f"{count / seconds:,.0f} a second, {retries / count:.2f} retries each; {seconds / theirs:.1f} times bare"
        )
        yield Line(f"{PROCESSES} processes, {kind}", f"{found} ({count / theirs:,.0f} a second)")


def _together(work: Callable[..., None], place: object) -> tuple[float, int]:
    """The seconds from the first one's begin to the last one's end, and the retries of all."""
    context = multiprocessing.get_context("spawn")
    begin, results = context.Barrier(PROCESSES), context.Queue()
    workers = [context.Process(target=work, args=(place, begin, results)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    starts, ends, retries = zip(*[results.get(timeout=60) for _ in workers], strict=True)
    for worker in workers:
        worker.join()
    return max(ends) - min(starts), sum(retries)


def our_increments(url: str, begin: Any, results: Any) -> None:
    """What one process does with `State.increment`."""
    with opened(url) as registry:
        state = registry.state(Counter)
        backend, retries = registry.store.backend, 0  # type: ignore[attr-defined]
        commit = backend.commit

        def counted(change: Commit) -> Any:
            nonlocal retries
            answer = commit(change)
            retries += isinstance(answer, Stale)
            return answer

        backend.commit = counted
        begin.wait()
        start = time.time()
        for _ in range(TIMES):
            state.increment("n")
        results.put((start, time.time(), retries))


def bare_sqlite_increments(path: str, begin: Any, results: Any) -> None:
    """What one process does with sqlite3."""
    sql = sqlite3.connect(path, isolation_level=None, timeout=60)
    sql.execute("PRAGMA synchronous = normal")
    begin.wait()
    start = time.time()
    for _ in range(TIMES):
        sql.execute("BEGIN IMMEDIATE")
        sql.execute(INCREMENT)
        sql.execute("INSERT INTO events (data) VALUES (zeroblob(120))")
        sql.execute("COMMIT")
    results.put((start, time.time(), 0))
    sql.close()


def bare_redis_increments(url: str, begin: Any, results: Any) -> None:
    """What one process does with redis-py."""
    client: Any = import_module("redis").Redis.from_url(url)
    sha = client.script_load(SCRIPT.format(command="HINCRBY"))
    begin.wait()
    start = time.time()
    for _ in range(TIMES):
        client.evalsha(sha, 2, "counted", "counts", "n", 1, "x" * 100)
    results.put((start, time.time(), 0))
    client.close()
