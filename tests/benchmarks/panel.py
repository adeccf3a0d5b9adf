"""What an open panel costs: a redraw of much State, and a burst of changes.

    python tests/benchmarks/panel.py

A redraw follows a change of one value; its time is the median of 50, its messages are those of the last one. A burst
is 100,000 sets of three keys, with a panel and without one, in turn. The front end only listens, in this process.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.comms import FrontEnd, listening

from qstate_nb import InlineApp, State, StateRegistry, panel
from qstate_nb.notebook.panel.widgets import Panel

REDRAWS = 50
BURST = 100_000


class Signup(State):
    pass


def keys(app: InlineApp) -> Callable[[int], None]:
    """5,000 keys in one bucket."""
    state = app.state(Signup)
    state.update(**{f"key {n}": n for n in range(5_000)})
    return lambda n: state.set("key 7", n)


def scopes(app: InlineApp) -> Callable[[int], None]:
    """10,000 buckets."""
    for n in range(10_000):
        app.state(Signup, scope=n).set("step", n)
    return lambda n: app.state(Signup, scope=n).set("step", -n)


def tasks(app: InlineApp) -> Callable[[int], None]:
    """200 tasks, and 1,000 calls."""
    for n in range(200):
        app.task(name=f"task {n}")(lambda count, n=n: n)
    for _ in range(1_000):
        app.run("task 1", 1)
    state = app.state(Signup)
    return lambda n: state.set("step", n)


def redraws(make: Callable[[InlineApp], Callable[[int], None]], front_end: FrontEnd) -> tuple[float, int]:
    """The median time of a redraw, in milliseconds, and the messages of one."""
    app = InlineApp(registry=StateRegistry())
    change = make(app)
    shown = panel(app)
    shown._redraw.close()  # so that it is drawn here and only here
    times, sent = [], 0
    for n in range(REDRAWS):
        change(n)
        before, start = front_end.sent, time.perf_counter()
        shown._draw()
        times.append(time.perf_counter() - start)
        sent = front_end.sent - before
    shown.close()
    return statistics.median(times) * 1000, sent


def burst(front_end: FrontEnd, *, with_panel: bool) -> tuple[float, float]:
    """Seconds for a burst, and redraws a second meanwhile."""
    app = InlineApp(registry=StateRegistry())
    state = app.state(Signup)
    drawn: list[None] = []
    shown: Panel | None = panel(app) if with_panel else None
    if shown is not None:
        draw = shown._state.draw
        shown._state.draw = lambda: (drawn.append(None), draw())[1]  # type: ignore[method-assign, func-returns-value]
    start = time.perf_counter()
    for n in range(BURST):
        state.set(f"key {n % 3}", n)
    took = time.perf_counter() - start
    rate = len(drawn) / took
    if shown is not None:
        shown.close()
    return took, rate


def main() -> None:
    """Measure and print all rows."""
    with listening() as front_end:
        for name, make in (("5,000 keys", keys), ("10,000 scopes", scopes), ("200 tasks, 1,000 calls", tasks)):
            milliseconds, sent = redraws(make, front_end)
            print(f"redraw with {name:26}{milliseconds:8.1f} ms{sent:6} messages")
        pairs = [(burst(front_end, with_panel=False), burst(front_end, with_panel=True)) for _ in range(5)]
        ratio = statistics.median(with_one[0] / without[0] for without, with_one in pairs)
        rate = statistics.median(with_one[1] for _, with_one in pairs)
        print(f"a burst of {BURST:,} sets takes {ratio:.2f} times as long with a panel; {rate:.0f} redraws a second")


if __name__ == "__main__":
    main()
