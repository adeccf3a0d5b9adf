"""Backends of each kind on the same data, and what they are told."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from qstate_nb.stores.backend import Backend
from qstate_nb.stores.sqlite import SQLiteBackend


class MakeBackend(Protocol):
    """Opens one more backend on the data of the test, as another process would."""

    def __call__(self, **options: Any) -> Backend: ...


def _missing(what: str) -> None:
    """Skip what can't be tested here; where all must be tested, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must test Redis, but {what}")
    pytest.skip(what)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a Redis that runs as long as the tests."""
    if shutil.which("redis-server") is None:
        _missing("there is no redis-server on PATH")
    try:
        from support.redis_server import running_server
    except ImportError as error:
        _missing(f"its server can't be started: {error}")
    with running_server() as server:
        yield server.url


@pytest.fixture
def make_sqlite(tmp_path: Path) -> Iterator[Callable[..., SQLiteBackend]]:
    """Opens backends on one SQLite file."""
    with ExitStack() as stack:

        def make(**options: Any) -> SQLiteBackend:
            backend = SQLiteBackend(tmp_path / "state.db", **options)
            stack.callback(backend.close)
            return backend

        yield make


@pytest.fixture
def make_redis(redis_url: str) -> Iterator[MakeBackend]:
    """Opens backends with one prefix of a Redis."""
    from qstate_nb.stores.redis import RedisBackend

    prefix = f"test-{uuid.uuid4().hex}"
    with ExitStack() as stack:

        def make(**options: Any) -> Backend:
            backend = RedisBackend(redis_url, prefix=prefix, **options)
            stack.callback(backend.close)
            return backend

        yield make


@pytest.fixture(params=["sqlite", "redis"])
def make_backend(request: pytest.FixtureRequest) -> MakeBackend:
    """Opens backends of each kind, all of a test on the same data."""
    make: MakeBackend = request.getfixturevalue(f"make_{request.param}")
    return make


@pytest.fixture
def backend(make_backend: MakeBackend) -> Backend:
    """One backend."""
    return make_backend()


@pytest.fixture
def other(make_backend: MakeBackend, backend: Backend) -> Backend:
    """Another process' backend on the same data."""
    return make_backend()
