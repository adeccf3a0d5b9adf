"""Each store keeps what State promises; and a store that doesn't is found out."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from qstate_nb import Event, StateRegistry, open_store
from qstate_nb.core.buckets import Bucket
from qstate_nb.core.journal import Record
from qstate_nb.core.store import MemoryStore
from qstate_nb.testing import StoreConformance
from qstate_nb.testing.conformance.suite import Box

BAD = b'{"$unknown": 1}'


class TestMemory(StoreConformance):
    shared = False

    def open(self, max_events: int | None = 10_000) -> MemoryStore:
        return MemoryStore(max_events)


class TestSQLite(StoreConformance):
    path: Path

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "state.db"

    def open(self, max_events: int | None = 10_000) -> MemoryStore:
        return open_store(f"sqlite:///{self.path}", max_events=max_events)

    def damage(self, store: MemoryStore, bucket: str, field: str) -> None:
        sql = sqlite3.connect(self.path)
        with sql:
            changed = sql.execute(
                "UPDATE fields SET value = ? WHERE name = ? AND bucket = (SELECT id FROM buckets WHERE name = ?)",
                (BAD, field, bucket),
            )
            assert changed.rowcount == 1
        sql.close()


class TestRedis(StoreConformance):
    url: str
    prefix: str

    @pytest.fixture(autouse=True)
    def place(self, redis_url: str) -> None:
        self.url, self.prefix = redis_url, f"conformance-{uuid.uuid4().hex}"

    def open(self, max_events: int | None = 10_000) -> MemoryStore:
        return open_store(f"{self.url}?prefix={self.prefix}", max_events=max_events)

    def damage(self, store: MemoryStore, bucket: str, field: str) -> None:
        import redis

        with redis.Redis.from_url(self.url) as client:
            name = next(key for key in client.scan_iter(f"*{self.prefix}*:bucket:{bucket}"))
            assert client.hset(name, field, BAD) == 0


class LosesAnEvent(MemoryStore):
    def records(self, last: int | None = None) -> list[Record]:
        return super().records(last)[:-1]


class TellsNobody(MemoryStore):
    def subscribe(self, subscriber: Callable[[Event], object]) -> Callable[[], None]:
        return lambda: None


class ListsWhatIsDropped(MemoryStore):
    def unlist(self, bucket: Bucket) -> None:
        pass


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (LosesAnEvent, "test_each_verb_has_its_event"),
        (TellsNobody, "test_a_subscriber_has_heard_when_the_op_returns"),
        (ListsWhatIsDropped, "test_clear_and_drop"),
    ],
)
def test_a_store_that_breaks_a_promise_is_found_out(broken: type[MemoryStore], test: str) -> None:
    for store in (MemoryStore, broken):
        registry = StateRegistry(store=store())
        with pytest.raises(AssertionError) if store is broken else nullcontext():
            getattr(StoreConformance(), test)(registry=registry, box=registry.state(Box))


def test_no_test_of_the_suite_hides_another() -> None:
    """Its parts are bases of one class, so two of one name would be one."""
    defined = [name for part in StoreConformance.__bases__ for name in vars(part) if name != "__module__"]
    twice = {name for name in defined if defined.count(name) > 1 and not name.startswith("__")}
    assert twice == set()


def test_trial_needs_no_pytest() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None; from qstate_nb.testing import Trial; import qstate_nb.testing as t"
    )
    says = "try: t.StoreConformance\nexcept ImportError as error: print(error)"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{says}"], capture_output=True, text=True, check=True)
    assert done.stdout == "StoreConformance needs pytest, which is not installed: pip install pytest\n"
