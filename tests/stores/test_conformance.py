"""Each store keeps what State promises; and a store that doesn't is found out."""

from __future__ import annotations

import sqlite3
import uuid
from pathlib import Path

import pytest

from qstate_nb import open_store
from qstate_nb.core.store import MemoryStore
from qstate_nb.testing import StoreConformance

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
