"""What State costs in SQLite and Redis, beside what a program would do there by hand, and beside other packages.

    python tests/benchmarks/stores.py [--folder FOLDER] [--repeat N] [TABLE ...]

Needs ``pip install qstate-nb[redis] hiredis pytest``, and redis-server for the tables of Redis. What else is
compared is in ``pip install diskcache aiosqlite langgraph langgraph-checkpoint-sqlite apache-burr``. What is missing
is said in its row. A row says what one of ours takes, in the best of the runs (of async rows: in the median one, as
threads are in it), and how many times that is what the other takes, measured in turn with it in one process.
*limit* is what it is to be. The journal is on and bounded by 10,000 events.

- ``sqlite``: `State.set`, in either durability. *bare* is one upsert a commit, and *bare, two rows* one with an
  event of the same size in the same commit; both on a connection with the same pragmas. diskcache has its default
  settings in *normal*, which are the same there, and waits for the disk in *full*.
- ``redis``: ops of a `State`. *bare* is the call of redis-py that does it without a journal: HSET, HGET, HINCRBY;
  *script* does it with an XADD, by EVALSHA; *its request* is the very request that ours sends, by redis-py;
  *pipeline* does it with an XADD and, for `update`, the HGETALL that gives its result, by MULTI. The transaction is
  10 sets on two States, and is compared with a lock (SET NX) and a pipeline that writes and unlocks. *requests* are
  what the server got for it, as MONITOR shows them: each is a round trip.
- ``async``: `AsyncState.set`, one at a time and in 100 tasks at once, each with a State of its own, in microseconds
  for one. Beside it are redis.asyncio, with the calls of the table before, and aiosqlite, which has one connection:
  there, 100 at once share a few commits. *blocked* is the longest time that an asyncio task that wanted to run each
  millisecond had to wait longer than that.
- ``remote``: how long after it was begun another process' `set` is told to a subscriber; of 50.
- ``journal``: how much the place grows with a step that changes one key of a State with 100, all events kept: bytes
  of the file after a checkpoint, or of the server's memory. Beside it, what LangGraph's SqliteSaver and Burr's
  SQLitePersister write for such a step.
- ``conflicts``: 8 processes that increment one number 1,000 times each, all of them together. A *retry* is an op that
  was done again because another process came first. *bare* is what SQLite or Redis does at once, with an event.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

if __name__ == "__main__":  # as `pythonpath` in pyproject.toml does it for pytest
    sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.stores_async import of_async
from benchmarks.stores_many import of_conflicts, of_journals, of_news
from benchmarks.stores_ops import Line, Places, of_redis, of_sqlite
from support.redis_server import running_server

TABLES: dict[str, Callable[[Places], Iterator[Line]]] = {
    "sqlite": of_sqlite,
    "redis": of_redis,
    "async": of_async,
    "remote": of_news,
    "journal": of_journals,
    "conflicts": of_conflicts,
}


def heading() -> str:
    """What is measured where."""
    machine = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()}"
    return f"{machine}, {os.cpu_count()} CPUs, SQLite {sqlite3.sqlite_version}"


def load() -> str:
    """How busy the machine is."""
    return f"load average {os.getloadavg()[0]:.2f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}; by default all")
    parser.add_argument("--folder", help="where the SQLite files are made; by default that for temporary files")
    parser.add_argument("--repeat", type=int, default=9, metavar="N", help="runs of each (default: 9)")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=given.folder)))
        lacks = [] if shutil.which("redis-server") else ["redis-server is not on PATH"]
        lacks += [] if find_spec("redis") else ["redis-py is not installed"]
        server = None if lacks else stack.enter_context(running_server()).url
        places = Places(folder, server, given.repeat)
        print(heading(), f"Redis is not measured: {', '.join(lacks)}" if lacks else "", sep="\n")
        for name in given.tables or TABLES:
            print(f"{name + ', ' + load():46}{'measured':72}limit")
            for line in TABLES[name](places):
                print(f"{line.row:46}{line.found:72}{line.limit}", flush=True)
            print()
    print(f"at the end, {load()}")


if __name__ == "__main__":
    main()
