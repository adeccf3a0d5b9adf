"""What an op on State costs, beside QTasks' and beside nothing but a dict.

    python tests/benchmarks/state.py [--row NAME] [--repeat N] [--profile NAME]

Each row compares two things in one process, run in turn, A B A B …; needs ``pip install qtasks==1.7.3``. All is as a
user has it: the journal is on, full and in memory, and a bucket has 10 keys unless the row says otherwise.

How to read the table. *qstate* and *reference* are microseconds for one, in the best of the runs. *ratio* is the
first by the second, and *at most* is what it is to be. *reached* is ``noise`` where the ratio is over that by no
more than *noise*: how much slower the median run was than the best, in the noisier of the two. *dict* is
the same statement on a plain dict, and *bare* on an object with a dict and methods of the same colour that do no
more than that (for threads: with a lock); both are floors, without a journal, copies or promises. ``update``
returns all fields, which *dict* does not.

With several threads or tasks, the time of one is the time of all by their number, so its inverse is the throughput.
A thread's round is one set and one get. Threads that have once waited for a lock tend to go on waiting, at ten times
the cost of a round, and others never begin to: so there the median of a few long runs is shown, not the best. The
increments that are made by hand never wait inside their lock, so it is never contended: the best case for QTasks.
``dispatch`` runs QTasks' executor with its worker's own plugins, but no broker.

``--profile`` shows what the steps cost that an op is made of, each alone and added up in one method: see
`state_ladder.py`.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

if __name__ == "__main__":  # as `pythonpath` in pyproject.toml does it for pytest
    sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.measuring import Reading, measure
from benchmarks.state_ladder import LADDERS, ladder
from benchmarks.state_rows import ROWS, Row

COLUMNS = "{:13}{:31}{:>10}{:>11}  {:13}{:>7}{:>9}{:>9}{:>8}{:>9}{:>9}"
HEADINGS = ("row", "", "qstate", "reference", "", "ratio", "at most", "reached", "noise", "dict", "bare")


def heading(repeat: int) -> str:
    """What was measured where."""
    packages = ", ".join(f"{name} {_version(name)}" for name in ("qstate-nb", "qtasks", "msgspec"))
    machine = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()}"
    return f"{machine}, {os.cpu_count()} CPUs; {packages}; µs, best of {repeat}, garbage collector off"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def measured(row: Row, repeat: int) -> dict[str, Reading]:
    """The readings of a row's sides; long runs are repeated less."""
    sides = row.prepare()
    runs = max(1, repeat // 3) if row.rounds else repeat
    return dict(zip(sides, measure([*sides.values()], runs, row.rounds), strict=True))


def line(row: Row, repeat: int) -> str:
    """Measure a row; what can't be measured says why."""
    try:
        readings = measured(row, repeat)
    except Exception as error:
        return f"{row.name:13}{row.title:31}can't be measured: {type(error).__name__}: {error}"
    noise = max(readings["qstate"].noise, readings["reference"].noise)
    costs = {side: reading.median if row.rounds else reading.best for side, reading in readings.items()}
    ratio = costs["qstate"] / costs["reference"]
    return COLUMNS.format(
        row.name,
        row.title,
        _microseconds(costs["qstate"]),
        _microseconds(costs["reference"]),
        row.reference,
        f"{ratio:.2f}",
        f"{row.at_most:.2f}",
        verdict(ratio, row.at_most, noise),
        f"{noise:.0%}",
        _microseconds(costs.get("dict")),
        _microseconds(costs.get("bare")),
    )


def verdict(ratio: float, at_most: float, noise: float) -> str:
    """``yes``, ``no``, or ``noise`` for what can't be told."""
    if ratio <= at_most:
        return "yes"
    return "noise" if ratio <= at_most * (1 + noise) else "no"


def _microseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e6:.3f}"


def main() -> None:
    """Print the table, or the ladder of one row."""
    names = {row.name: row for row in ROWS}
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--row", action="append", choices=names, help="only this one; may be repeated")
    parser.add_argument("--repeat", type=int, default=15, metavar="N", help="runs of each (default: 15)")
    parser.add_argument("--profile", choices=LADDERS, help="what the steps of this row cost")
    options = parser.parse_args()
    print(heading(options.repeat), end="\n\n")
    if options.profile:
        print(ladder(names[options.profile], options.repeat))
        return
    print(COLUMNS.format(*HEADINGS))
    for name in options.row or names:
        print(line(names[name], options.repeat), flush=True)


if __name__ == "__main__":
    main()
