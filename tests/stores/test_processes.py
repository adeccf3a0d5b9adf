"""Several processes on one store, killed at any instant: what was acknowledged is there, nothing is half there."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections.abc import Iterator

import pytest
from support.redis_server import RedisServer, needed, running_server
from support.zygote import Account, Counter, Worker, Zygote, registry_at, running_zygote

from qstate_nb import Event, StateRegistry
from qstate_nb.core.journal import ABSENT
from qstate_nb.errors import TransactionTimeoutError

KILLS = 500
LEASE = 0.15  # seconds


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with running_zygote(tmp_path_factory.mktemp("reports")) as zygote:
        yield zygote


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path')}/state.db?durability=normal"
    return f"{request.getfixturevalue('redis_url')}?prefix=p{time.time_ns()}"


class Checker:
    """Knows what was acknowledged, and looks whether it is there."""

    def __init__(self, url: str) -> None:
        self.registry = registry_at(url)
        self.n = 0
        self.moves = 0

    def check(self, worker: Worker) -> None:
        """After a worker was killed: at most the op that it was in, which nobody knows of, is there or not."""
        lines = [line.split() for line in worker.lines()]
        assert all(kind in "nt" for kind, _ in lines), lines[-1]
        acknowledged = [int(number) for kind, number in lines if kind == "n"]
        assert acknowledged == list(range(self.n + 1, self.n + 1 + len(acknowledged)))
        known = self.n + len(acknowledged)
        n = self.registry.state(Counter).get("n", 0)
        assert n in (known, known + 1)
        self.n = n
        self.check_transfers(sum(kind == "t" for kind, _ in lines))

    def check_transfers(self, acknowledged: int) -> None:
        accounts = [self.registry.state(Account, scope=scope).get_all() for scope in range(3)]
        assert sum(account.get("balance", 0) for account in accounts) == 0
        moves = sum(account.get("moves", 0) for account in accounts)
        assert self.moves + acknowledged <= moves <= self.moves + acknowledged + 1
        self.moves = moves


def assert_replays(registry: StateRegistry) -> None:
    """The journal has no gap, and leads to what is stored."""
    fields: dict[tuple[str, str], object] = {}
    history = registry.history()
    assert [event.seq for event in history] == list(range(1, len(history) + 1))
    for event in history:
        for key, field, before, after in event.stored:
            assert fields.get((str(key), field), ABSENT) == before
            fields[str(key), field] = after
    stored = {(str(key), field): value for key in registry.keys() for field, value in registry.peek(key).items()}
    assert {field: value for field, value in fields.items() if value is not ABSENT} == stored


@pytest.fixture(scope="module")
def safe_server() -> Iterator[RedisServer]:
    """A Redis that acknowledges a write once it is on the disk."""
    needed()
    with running_server(appendonly="yes", appendfsync="always") as server:
        yield server


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_workers_that_are_killed_at_any_instant(zygote: Zygote, kind: str, request: pytest.FixtureRequest) -> None:
    """Of Redis, the server as well, every tenth time."""
    server: RedisServer | None = request.getfixturevalue("safe_server") if kind == "redis" else None
    place = server.url if server else f"sqlite:///{request.getfixturevalue('tmp_path')}/state.db"
    url = f"{place}?lease={LEASE}"
    checker = Checker(url)
    choice = random.Random()
    for number in range(KILLS):
        worker = zygote.start("work_until_killed", url, number)
        if number % 10:  # some are killed while they open the store
            while not worker.lines():
                time.sleep(0.0005)
        time.sleep(choice.random() * 0.006)
        if server is not None and number % 10 == 5:
            server.kill()
            server.restart()
            time.sleep(choice.random() * 0.03)
        worker.kill()
        checker.check(worker)
    assert checker.n > KILLS / 5
    assert checker.moves > KILLS / 50
    assert_replays(checker.registry)


def test_increments_of_many_processes_are_exact(zygote: Zygote, url: str) -> None:
    workers = [zygote.start("increment", url, 1_000) for _ in range(8)]
    for worker in workers:
        worker.wait_for("done")
    registry = registry_at(url)
    assert registry.state(Counter).get("n") == 8_000
    assert registry.seq == 8_000
    assert_replays(registry)


def test_transfers_of_many_processes_are_exact(zygote: Zygote, url: str) -> None:
    registry = registry_at(url)
    for scope in range(12):
        registry.state(Account, scope=scope).set("balance", 100)
    workers = [zygote.start("transfer", url, 1_000, seed) for seed in range(8)]
    for worker in workers:
        worker.wait_for("done", 120)
    assert sum(registry.state(Account, scope=scope).get("balance") for scope in range(12)) == 1_200
    assert registry.seq == 8_012
    assert_replays(registry)


def test_a_transaction_of_a_killed_process_leaves_nothing_and_holds_nothing(zygote: Zygote, url: str) -> None:
    """In Redis for no longer than the lease; SQLite sees at once that a process is gone from this machine."""
    url += "&lease=1000" if url.startswith("sqlite") else f"&lease={LEASE}"
    account = registry_at(url).state(Account, scope=0)
    account.set("balance", 5)
    worker = zygote.start("hold", url)
    worker.wait_for("holds")
    with pytest.raises(TransactionTimeoutError, match=rf"@\S+:{worker.pid} holds it"):
        account.transaction(timeout=0.05).__enter__()
    worker.kill()
    with account.transaction(timeout=20):
        assert account.increment("balance") == 6


def test_a_process_that_stood_still_has_lost_its_transaction(zygote: Zygote, url: str) -> None:
    """And what it wrote there; others went on meanwhile."""
    url += f"&lease={LEASE}"
    account = registry_at(url).state(Account, scope=0)
    worker = zygote.start("hold", url, 0.2)
    worker.wait_for("holds")
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        with account.transaction(timeout=20 * LEASE):
            assert account.increment("balance") == 1
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    worker.wait_for_text("failed: TransactionLostError")
    assert account.get_all() == {"balance": 1}


def test_the_events_of_another_process_are_told_once_and_in_order(zygote: Zygote, url: str) -> None:
    registry = registry_at(url)
    heard: list[Event] = []
    registry.subscribe(heard.append)
    worker = zygote.start("write", url, 20, 0.002)
    end = time.monotonic() + 20
    while len(heard) < 20 and time.monotonic() < end:
        time.sleep(0.01)
    assert heard == list(registry.history())
    assert [event.seq for event in heard] == list(range(1, 21))
    assert {(event.actor.process, str(event.actor)) for event in heard} == {
        (worker.pid, f"user @{socket.gethostname()}:{worker.pid}")
    }
