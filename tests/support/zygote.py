"""Processes that work on a store, started in milliseconds: a process that has imported all forks for each of them.

Run as ``python zygote.py``: each line that it reads, a JSON array of a function's name, its arguments and a file for
what it reports, starts a process, whose number is answered. The tests' own process has threads, so it can't fork.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qstate_nb import State, StateRegistry, open_store, transaction
from qstate_nb.errors import TransactionLostError


class Counter(State):
    """What is counted."""


class Account(State):
    """Who has how much."""


def registry_at(url: str) -> StateRegistry:
    return StateRegistry(store=open_store(url, max_events=None))


class Report:
    """A file to which a process writes what it has done, at once."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def __call__(self, line: object) -> None:
        os.write(self._file, f"{line}\n".encode())


def work_until_killed(report: Report, url: str, seed: int) -> None:
    """Increment a number, and move money, again and again; each op is reported after it was acknowledged."""
    registry = registry_at(url)
    counter = registry.state(Counter)
    accounts = [registry.state(Account, scope=scope) for scope in range(3)]
    choice = random.Random(seed)
    while True:
        report(f"n {counter.increment('n')}")
        if choice.random() < 0.25:
            giver, taker = choice.sample(accounts, 2)
            with contextlib.suppress(TransactionLostError):  # a busy machine can let it stand still
                with transaction(giver, taker):
                    giver.increment("balance", -1)
                    moved = taker.increment("moves")
                    taker.increment("balance", 1)
                report(f"t {moved}")


def increment(report: Report, url: str, times: int) -> None:
    """Increment one number so many times."""
    counter = registry_at(url).state(Counter)
    for _ in range(times):
        counter.increment("n")
    report("done")


def transfer(report: Report, url: str, times: int, seed: int) -> None:
    """Move money between accounts so many times, by a get and a set."""
    registry = registry_at(url)
    choice = random.Random(seed)
    for _ in range(times):
        giver, taker = (registry.state(Account, scope=scope) for scope in choice.sample(range(12), 2))
        amount = choice.randrange(1, 5)
        with transaction(giver, taker):
            giver.set("balance", giver.get("balance", 0) - amount)
            taker.set("balance", taker.get("balance", 0) + amount)
    report("done")


def hold(report: Report, url: str, seconds: float = 60) -> None:
    """Begin a transaction, write in it, and stay there for a while."""
    account = registry_at(url).state(Account, scope=0)
    with account.transaction():
        account.set("balance", 1_000_000)
        report("holds")
        time.sleep(seconds)
    report("committed")


def write(report: Report, url: str, times: int, pause: float) -> None:
    """Write the time again and again."""
    counter = registry_at(url).state(Counter)
    for _ in range(times):
        counter.set("when", time.time())
        time.sleep(pause)
    report("done")


FUNCTIONS = {f.__name__: f for f in (work_until_killed, increment, transfer, hold, write)}


def serve() -> None:
    for name in ("sqlite3", "redis", "qstate_nb.stores.sqlite", "qstate_nb.stores.redis"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that no zombies stay
    for line in sys.stdin:
        name, path, args = json.loads(line)
        process = os.fork()
        if process == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            report = Report(path)
            try:
                FUNCTIONS[name](report, *args)
            except BaseException as error:
                report(f"failed: {type(error).__name__}: {error}")
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(process, flush=True)


class Worker:
    """A process that was started.

    Args:
        pid: its number.
        path: the file to which it reports.
    """

    def __init__(self, pid: int, path: Path) -> None:
        self.pid = pid
        self.path = path

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        os.kill(self.pid, signal.SIGKILL)
        while self.is_alive():
            time.sleep(0.0002)

    def is_alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def lines(self) -> list[str]:
        """What it has reported."""
        return self.path.read_text().splitlines() if self.path.exists() else []

    def wait_for(self, line: str, seconds: float = 60) -> None:
        """Wait until it has reported this."""
        end = time.monotonic() + seconds
        while line not in self.lines():
            failed = [text for text in self.lines() if text.startswith("failed")]
            if failed or time.monotonic() > end:
                raise AssertionError(f"{failed or self.lines()[-3:]}, alive: {self.is_alive()}")
            time.sleep(0.002)

    def wait_for_text(self, start: str, seconds: float = 60) -> None:
        """Wait until it has reported something that begins so."""
        end = time.monotonic() + seconds
        while not any(line.startswith(start) for line in self.lines()):
            assert time.monotonic() < end, self.lines()
            time.sleep(0.002)


class Zygote:
    """Starts workers.

    Args:
        folder: for their reports.
    """

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._count = 0

    def start(self, name: str, *args: Any) -> Worker:
        """Start a process that runs one of the functions."""
        self._count += 1
        path = self._folder / f"{self._count}.txt"
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, str(path), args]) + "\n")
        self._process.stdin.flush()
        return Worker(int(self._process.stdout.readline()), path)


@contextmanager
def running_zygote(folder: Path) -> Iterator[Zygote]:
    process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Zygote(process, folder)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


if __name__ == "__main__":
    serve()
