"""Timing loops for the benchmarks: alike for everything that is compared, and run in turn.

A loop is made from the text of a statement, as `timeit` makes its own, so that nothing but the statement and a
``for`` is in it. The statement sees *names*, and the number of the round as ``i``.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

Timer: TypeAlias = Callable[[int], float]
"""Runs something about so many times; the result is seconds for one."""

_LOOP = """\
{define} loop(n):
    start = clock()
    for i in range(n):
{statement}
    return (clock() - start) / n
"""
_LOOP_IN_TASKS = """\
async def loop(n):
    rounds = -(-n // {tasks})
    async def one(state):
        for i in range(rounds):
{statement}
    start = clock()
    await gather(*[one(state) for state in states])
    return (clock() - start) / (rounds * {tasks})
"""


@dataclass(frozen=True)
class Reading:
    """What the runs of one timer gave, in seconds."""

    runs: tuple[float, ...]

    @property
    def best(self) -> float:
        """The run that was disturbed least."""
        return min(self.runs)

    @property
    def median(self) -> float:
        """The run in the middle."""
        return statistics.median(self.runs)

    @property
    def noise(self) -> float:
        """By how much the median run is slower than the best, as a fraction of it."""
        return self.median / self.best - 1


def timer(statement: str, **names: Any) -> Timer:
    """A loop around a statement; it is a coroutine if the statement awaits something."""
    if "await " not in statement and "async " not in statement:
        return _compiled(_LOOP.format(define="def", statement=_indented(statement, 8)), names)
    loop = _compiled(_LOOP.format(define="async def", statement=_indented(statement, 8)), names)
    return lambda n: asyncio.run(loop(n))


def timer_in_tasks(statement: str, states: Sequence[object], **names: Any) -> Timer:
    """One asyncio task for each of *states*, all on one loop; each runs the statement with its own ``state``.

    The creation of the tasks is in the time: each runs the statement some 20 times.
    """
    source = _LOOP_IN_TASKS.format(tasks=len(states), statement=_indented(statement, 12))
    loop = _compiled(source, {**names, "states": states, "gather": asyncio.gather})
    return lambda n: asyncio.run(loop(max(n, 20 * len(states))))


def timer_in_threads(statement: str, threads: int, **names: Any) -> Timer:
    """A loop around a statement in several threads at once; the time of one is wall time by the rounds of all."""
    loop = timer(statement, **names)

    def run(n: int) -> float:
        together = threading.Barrier(threads)
        spans: list[tuple[float, float]] = []
        rounds = -(-n // threads)

        def work() -> None:
            together.wait()
            start = time.perf_counter()
            loop(rounds)
            spans.append((start, time.perf_counter()))

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return (max(end for _, end in spans) - min(start for start, _ in spans)) / (rounds * threads)

    return run


def _compiled(source: str, names: dict[str, Any]) -> Callable[[int], Any]:
    namespace = {**names, "clock": time.perf_counter}
    exec(source, namespace)
    loop: Callable[[int], Any] = namespace["loop"]
    return loop


def _indented(statement: str, columns: int) -> str:
    return textwrap.indent(textwrap.dedent(statement).strip(), " " * columns)


def measure(timers: Sequence[Timer], repeat: int, rounds: int | None = None) -> list[Reading]:
    """Run all timers in turn, A B C A B C …, so that a disturbance hits one as likely as another.

    The garbage collector is off during a run and on between runs, as in `timeit`.

    Args:
        repeat: how many runs of each.
        rounds: how many rounds a run has; by default as many as take some 20 ms.
    """
    counts = [rounds or _enough(run) for run in timers]
    runs = [[_undisturbed(*pair) for pair in zip(timers, counts, strict=True)] for _ in range(repeat)]
    return [Reading(column) for column in zip(*runs, strict=True)]


def _enough(run: Timer, seconds: float = 0.02) -> int:
    """How many rounds take so long; what is only done the first time is done then."""
    n = 1
    while (took := _undisturbed(run, n) * n) < seconds / 2:
        n *= 2 if took > seconds / 100 else 10
    return max(1, round(n * seconds / took))


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without the garbage collector, as in `timeit`."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _undisturbed(run: Timer, n: int) -> float:
    with undisturbed():
        return run(n)
