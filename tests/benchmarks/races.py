"""What it takes to explore every interleaving, and what frontrun and detangle say of the same lost update.

    python tests/benchmarks/races.py

Needs ``pip install frontrun detangle`` for the last table; without them, it says so. All but what needs a fresh
process is measured in one, one after the other, with the garbage collector off while a clock runs. Times are those of
the best of several runs; memory is measured once. *limit* is what it is to be.

- *identical*, *distinct*: tasks of one function, or each of its own, that read, add and write one key in turn; the
  time is that of all of `explore`: the search, the examples, and their runs for real.
- *task runs*: how many runs of a single task that took. An optimal partial-order reduction runs all tasks once for
  each order that is essentially different: for 4 x 4 ops on one key, that is 5,189,880 times.
- *disjoint*: as *distinct*, but each task has a key of its own, so that all orders are essentially one.
- *edges*: moves that the search follows, in a graph that is new, with tasks that are known.
- *replays*: schedules that are run for real, with all tasks together.
- *memory at the cap*: the most that a fresh process took, with more positions than ``max_states``.
- *first result*: what the first `explore` of a fresh process takes after the import.
- *a lost update*: two asyncio tasks that read, add and write. For the others, the value is an attribute of an object,
  with an ``await asyncio.sleep(0)`` before each read and write, where State has its op.
"""

from __future__ import annotations

import asyncio
import importlib
import platform
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

if __name__ == "__main__":  # as `pythonpath` in pyproject.toml does it for pytest
    sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.measuring import Timer, measure, timer

from qstate_nb import AsyncState
from qstate_nb.races import Exploration, explore
from qstate_nb.races.graph import Graph
from qstate_nb.races.schedules import Replayer, parse_id
from qstate_nb.races.search import count

T = TypeVar("T")
Task: TypeAlias = Callable[["Account"], Coroutine[Any, Any, None]]

REPEAT = 5
OPTIMAL = 5_189_880
"""Essentially different orders of 4 x (get, set, get, set) on one key."""

FRESH = """
import resource, sys, time
from qstate_nb import AsyncState
from qstate_nb.races import explore

class Account(AsyncState):
    pass

def adding(rounds):
    async def add(account: Account):
        for _ in range(rounds):
            await account.set("x", await account.get("x", 0) + 1)
    return add
"""
FIRST = f"""{FRESH}
start = time.perf_counter()
found = explore(adding(1), n=3)
print(time.perf_counter() - start)
"""
# The time is no limit here, so that the number of positions is. A new process counts from what its parent took, which
# is less than its own. The unit of ru_maxrss is a byte on a Mac and 1,024 bytes elsewhere.
AT_THE_CAP = f"""{FRESH}
found = explore(*[adding({{rounds}}) for _ in range({{tasks}})], max_states=500_000, max_seconds=600)
assert "max_states" in found.notes[0], found.notes
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


class Account(AsyncState):
    """Its fields are not declared."""


def adding(rounds: int, key: str = "x") -> Task:
    """A task that reads, adds and writes so many times; each call makes another function."""

    async def add(account: Account) -> None:
        for _ in range(rounds):
            value = await account.get(key, 0)
            await account.set(key, value + 1)

    return add


def best(do: Callable[[], T]) -> tuple[float, T]:
    """Seconds of the best run, and what the last one gave."""
    kept: list[T] = []
    (reading,) = measure([timer("kept.append(do())", kept=kept, do=do)], REPEAT, rounds=1)
    return reading.best, kept[-1]


def explored(*tasks: Task, n: int = 1) -> tuple[float, Exploration]:
    """Seconds of the best run of `explore`, and what the last one found."""
    seconds, found = best(partial(explore, *tasks, n=n))
    assert found.complete, found.notes
    return seconds, found


def fresh(program: str) -> float:
    """The number that a program prints in a new process."""
    run = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    return float(run.stdout)


def of_searches() -> Iterator[tuple[str, str, str]]:
    """What an exploration takes."""
    seconds, found = explored(adding(2), n=4)
    yield "4 identical x 4 ops", searched(seconds, found), "at most 0.1 s"
    seconds, found = explored(*[adding(2) for _ in range(4)])
    yield "4 distinct x 4 ops", searched(seconds, found), "at most 1 s"
    yield "  task runs", f"{found.executions:,} (optimal reduction: {OPTIMAL:,} of all)", "at most 400"
    seconds, found = explored(adding(2), n=5)
    yield "5 identical x 4 ops", searched(seconds, found), "at most 1.5 s"
    seconds, found = explored(*[adding(1) for _ in range(7)])
    yield "7 distinct x (get, set)", searched(seconds, found), "at most 1.5 s"
    yield "  edges", f"{edges_per_second(found):,.0f} /s", "at least 300,000"
    seconds, found = explored(*[adding(2, f"x{number}") for number in range(3)])
    yield "3 x 4 ops, disjoint keys", searched(seconds, found), "at most 0.010 s"
    yield "  essentially different orders", str(found.orders), "1"


def searched(seconds: float, found: Exploration) -> str:
    """As text."""
    return f"{seconds:.3f} s, {found.total:,} interleavings"


def edges_per_second(found: Exploration) -> float:
    """How many moves the search follows; the tasks were run before."""

    def searched_again() -> Graph:
        graph = Graph(found.program, found.graph.automata)
        count(graph, lambda _, __: None)
        return graph

    seconds, graph = found.inside(lambda: best(searched_again))
    return graph.edges / seconds


def of_replays() -> Iterator[tuple[str, str, str]]:
    """What a run for real takes."""
    found = explore(adding(1), n=2)
    replayer = Replayer(found.graph)
    schedules = [found.walked(parse_id(found.graph, outcome.id)) for outcome in found.outcomes]
    timers: list[Timer] = [timer("run(steps)", run=replayer.run, steps=steps) for steps in schedules]
    readings = found.inside(lambda: measure(timers, REPEAT))
    each = sum(reading.best for reading in readings) / len(readings)
    yield "replays of 2 x (get, set)", f"{1 / each:,.0f} /s", "at least 10,000"


def of_fresh_processes() -> Iterator[tuple[str, str, str]]:
    """What a new process takes."""
    seconds = min(fresh(FIRST) for _ in range(REPEAT))
    yield "first result, 3 x (get, set)", f"{seconds * 1e3:.1f} ms", "at most 50 ms"
    for tasks, rounds in ((6, 2), (12, 1)):
        size = fresh(AT_THE_CAP.format(tasks=tasks, rounds=rounds))
        name = f"memory at the cap, {tasks} x {2 * rounds} ops"
        yield name, f"{size / 1e6:,.0f} MB", "at most 500 MB"


class Plain:
    """What the tasks share with the other tools."""

    x = 0


async def lose(shared: Plain) -> None:
    """As `adding`, without State."""
    await asyncio.sleep(0)
    value = shared.x
    await asyncio.sleep(0)
    shared.x = value + 1


def here() -> tuple[float, str]:
    """Our explorer."""
    seconds, found = explored(adding(1), n=2)
    worst = found.outcomes[0]
    ways = f"{worst.schedules} of {found.total} interleavings end with {worst.state_text}"
    return seconds, f"{worst.verdict}: {ways}"


def frontrun(*, stop_on_first: bool) -> tuple[float, str]:
    """Frontrun, as it is by default, or with all orders instead of those up to the first failure."""
    tool = importlib.import_module("frontrun")
    options = {} if stop_on_first else {"stop_on_first": False, "preemption_bound": None}

    def run() -> Any:
        return asyncio.run(
            tool.explore(setup=Plain, workers=lose, count=2, invariant=lambda shared: shared.x == 2, **options)
        )

    seconds, found = best(run)
    assert found.property_holds is False
    if stop_on_first:
        again = f"again in {found.reproduction_successes} of {found.reproduction_attempts} runs"
        return seconds, f"invariant broken in interleaving {found.num_explored}, {again}"
    return seconds, f"invariant broken in {len(found.failures)} of {found.num_explored} interleavings"


def detangle() -> tuple[float, str]:
    """Detangle, as it is by default, without its file of failures."""
    tool = importlib.import_module("detangle")

    async def both() -> None:
        shared = Plain()
        await asyncio.gather(lose(shared), lose(shared))
        assert shared.x == 2

    def run() -> Any:
        try:
            return tool.explore(both, database=False)
        except tool.BugFound as error:
            return error.report

    seconds, found = best(run)
    return seconds, f"{type(found.failure.exception).__name__} in run {found.runs} ({found.strategy})"


def of_others() -> Iterator[tuple[str, str, str]]:
    """What each tool says of the lost update."""
    tools: dict[str, Callable[[], tuple[float, str]]] = {
        "here, all orders": here,
        "frontrun, to the first failure": partial(frontrun, stop_on_first=True),
        "frontrun, all orders": partial(frontrun, stop_on_first=False),
        "detangle, to the first failure": detangle,
    }
    for name, measure_it in tools.items():
        try:
            seconds, said = measure_it()
        except ImportError:
            yield name, "not installed", ""
        else:
            yield name, said, f"{seconds * 1e3:.2f} ms"


def main() -> None:
    """Print the tables."""
    print(f"{platform.python_implementation()} {platform.python_version()}, the best of {REPEAT} runs")
    print(f"{'row':36}{'measured':64}limit")
    for rows in (of_searches(), of_replays(), of_fresh_processes()):
        for name, found, limit in rows:
            print(f"{name:36}{found:64}{limit}", flush=True)
    print(f"\n{'a lost update':36}{'said':64}time")
    for name, said, took in of_others():
        print(f"{name:36}{said:64}{took}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
