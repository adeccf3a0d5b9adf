"""What the journal costs, beside the same op without one, and beside LangGraph's and Burr's histories.

    python tests/benchmarks/timetravel.py [--events N] [--steps N]

Needs ``pip install langgraph apache-burr`` for the last table; without them, it says so. All is measured in one
process, one after the other, with the garbage collector off while a clock runs. *limit* is what it is to be.

- *event*: what a `set` costs over the same method without the lines that make the event, best of runs in turn.
- *at*: `registry.at(seq)` at moments all over the journal, of a State whose 20 keys change in turn, and of one with a
  key that changes at both ends alone: the slowest of the first ones, and the slowest of the later ones.
- *memory*: what Python allocates for the journal of small ints, on States of 10 and of 10,000 keys.
- *undo*: one call's event, on States of 10 and of 100,000 keys.
- *save*, *load*: a journal of that many events of small ints.
- *a step that changes one key*: time and memory, or disk, of an event here and of a step there, on States of 100 and
  of 10,000 keys.
"""

from __future__ import annotations

import argparse
import gc
import platform
import random
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # as `pythonpath` in pyproject.toml does it for pytest
    sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.measuring import measure, timer, undisturbed

from qstate_nb import State, StateRegistry
from qstate_nb.core.buckets import CLOSED, Bucket
from qstate_nb.core.values import IMMUTABLE


class Signup(State):
    """Its fields are not declared."""


class Unjournalled(Bucket):
    """A bucket whose `put` is as it is, without the lines that are for the event."""

    def put(self, key: str, value: Any, op: str = "set") -> Any:
        if type(key) is not str or type(value) not in IMMUTABLE or self.open is CLOSED or self.store.is_busy:
            return None
        store, acquire, release, _, fields, _ = self._hot
        try:
            acquire()
            store.is_busy = True
            if self.open is not fields or op == "increment":
                store.is_busy = False
                release()
                return None
            fields[key] = value
            store.is_busy = False
            release()
        except BaseException:
            store.recover(self, None)
            raise
        return True


def took(do: Callable[[], object]) -> float:
    """Seconds."""
    gc.collect()
    with undisturbed():
        start = time.perf_counter()
        do()
        return time.perf_counter() - start


def filled(keys: int, events: int) -> StateRegistry:
    """A registry with a State of so many keys, and so many events that change one key each."""
    registry = StateRegistry(max_events=None)
    signup = registry.state(Signup)
    signup.update(**{f"k{number}": 0 for number in range(keys)})
    for number in range(1, events):
        signup.set(f"k{number % keys}", number)
    return registry


def of_events() -> Iterator[tuple[str, str, str]]:
    """What an event costs."""
    registry = StateRegistry()
    with_events = registry.state(Signup)
    without: State = registry.state(type("Bare", (State,), {}))
    bucket = without._bucket
    bare = Unjournalled(bucket.store, bucket.key)
    bucket.store._known[bucket.key] = bare
    bucket.store._listed[bucket.key] = bare
    bare.is_listed = True
    bare.reopen()
    bare_state = type(without).linked(bare)
    for state in (with_events, bare_state):
        state.set("n", 0)
    sides = [timer("state.set('n', i)", state=state) for state in (with_events, bare_state)]
    ours, theirs = (reading.best * 1e6 for reading in measure(sides, 15))
    yield "event", f"{ours - theirs:.2f} µs over a bare set of {theirs:.2f} µs", "0.30 µs"


def of_moments(events: int) -> Iterator[tuple[str, str, str]]:
    """What a look back costs."""
    rnd = random.Random(1)
    for name, has_rare_key in (("at", False), ("at, a rare key", True)):
        firsts = []
        for part in (0, 0.3, 0.5, 0.8):
            registry = rare(events) if has_rare_key else filled(20, events)
            firsts.append(took(partial(registry.at, round(part * events))))
        registry.at(1)
        laters = [took(partial(registry.at, rnd.randrange(events))) for _ in range(50)]
        yield f"{name}, first", f"{max(firsts) * 1e3:.2f} ms", "5 ms"
        yield f"{name}, later", f"{max(laters) * 1e3:.2f} ms", "5 ms"


def rare(events: int) -> StateRegistry:
    """As `filled`, with a key that only the first and the last event change."""
    registry = StateRegistry(max_events=None)
    signup = registry.state(Signup)
    signup.set("rare", 0)
    for number in range(1, events - 1):
        signup.set(f"k{number % 20}", number)
    signup.set("rare", 1)
    return registry


def of_memory(events: int) -> Iterator[tuple[str, str, str]]:
    """What an event keeps."""
    for keys in (10, 10_000):
        registry = filled(keys, 1)
        signup = registry.state(Signup)
        gc.collect()
        tracemalloc.start()
        for number in range(events):
            signup.set(f"k{number % 10}", number)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        yield f"memory, {keys:,} keys", f"{size / events:.0f} bytes an event", "400"


def of_undo() -> Iterator[tuple[str, str, str]]:
    """What an undo costs."""
    for keys in (10, 100_000):
        registry = filled(keys, 2_000)
        once = [took(registry.undo) for _ in range(20)]
        yield f"undo, {keys:,} keys", f"{min(once) * 1e3:.2f} ms", "independent"


def of_files(events: int) -> Iterator[tuple[str, str, str]]:
    """What a file costs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "saved.jsonl"
        registry = filled(20, events)
        saves = min(took(lambda: registry.save(path)) for _ in range(3))
        loads = min(took(lambda: StateRegistry(max_events=None).load(path)) for _ in range(3))
        yield "save", f"{events / saves:,.0f} events/s", "200,000"
        yield "load", f"{events / loads:,.0f} events/s", "200,000"


def measured_step(step: Callable[[int], object], steps: int) -> tuple[float, float]:
    """Seconds and bytes of memory for a step; *step* runs so many."""
    step(2)
    seconds = took(lambda: step(steps)) / steps
    gc.collect()
    tracemalloc.start()
    step(steps)
    size = tracemalloc.get_traced_memory()[0] / steps
    tracemalloc.stop()
    return seconds, size


def here(keys: int, steps: int) -> tuple[float, float, str]:
    """Our journal."""
    signup = filled(keys, 1).state(Signup)

    def step(times: int) -> None:
        for number in range(times):
            signup.set("k0", number)

    return *measured_step(step, steps * 20), "memory"


def langgraph(keys: int, steps: int) -> tuple[float, float, str]:
    """LangGraph with its InMemorySaver; the history is read once."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, StateGraph
    from typing_extensions import TypedDict

    fields = TypedDict("fields", {f"k{number}": int for number in range(keys)})  # type: ignore[misc]
    graph: Any = StateGraph(fields)
    graph.add_node("change", lambda state: {"k0": state["k0"] + 1})
    graph.add_edge(START, "change")
    graph.add_conditional_edges("change", lambda state: "__end__" if state["k0"] % steps == 0 else "change")
    compiled = graph.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}, "recursion_limit": steps + 10}

    def step(_: int) -> None:
        compiled.invoke({f"k{number}": 0 for number in range(keys)}, config)

    found = *measured_step(step, steps), "memory"
    assert len(list(compiled.get_state_history(config))) > steps
    return found


def burr(keys: int, steps: int) -> tuple[float, float, str]:
    """Burr with its local tracker."""
    from burr.core import ApplicationBuilder, action
    from burr.tracking import LocalTrackingClient

    @action(reads=["k0"], writes=["k0"])  # type: ignore[untyped-decorator]
    def change(state: Any) -> Any:
        return state.update(k0=state["k0"] + 1)

    with tempfile.TemporaryDirectory() as folder:
        app = (
            ApplicationBuilder()
            .with_actions(change)
            .with_transitions(("change", "change"))
            .with_entrypoint("change")
            .with_state(**{f"k{number}": 0 for number in range(keys)})
            .with_tracker(LocalTrackingClient(project="bench", storage_dir=folder))
            .build()
        )
        app.step()
        before = _size(folder)
        seconds = took(lambda: [app.step() for _ in range(steps)]) / steps
        return seconds, (_size(folder) - before) / steps, "disk"


def _size(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def of_others(steps: int) -> Iterator[tuple[str, str, str]]:
    """What a step that changes one key costs here and there."""
    for keys in (100, 10_000):
        ours = here(keys, steps)
        for measure_it in (here, langgraph, burr):
            try:
                seconds, size, where = ours if measure_it is here else measure_it(keys, steps if keys < 1_000 else 20)
            except ImportError as error:
                yield f"{measure_it.__name__}, {keys:,} keys", f"not measured: {error}", ""
                continue
            ratio = "" if measure_it is here else f"{seconds / ours[0]:,.0f} times the time"
            yield (
                f"{measure_it.__name__}, {keys:,} keys",
                f"{seconds * 1e6:,.2f} µs, {size:,.0f} bytes {where}",
                ratio,
            )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=200)
    given = parser.parse_args()
    print(f"{platform.python_implementation()} {platform.python_version()}, {given.events:,} events")
    print(f"{'row':24}{'measured':48}limit")
    for rows in (of_events(), of_moments(given.events), of_memory(given.events), of_undo(), of_files(given.events)):
        for name, found, limit in rows:
            print(f"{name:24}{found:48}{limit}", flush=True)
    print("\na step that changes one key")
    for name, found, ratio in of_others(given.steps):
        print(f"{name:24}{found:48}{ratio}", flush=True)


if __name__ == "__main__":
    main()
