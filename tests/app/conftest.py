"""Each test gets its own app, and fails if it leaves anything behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.leaks import asyncio_restored, no_threads_left, streams_restored

from qstate_nb import InlineApp, StateRegistry


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    with asyncio_restored(), no_threads_left(), streams_restored():
        yield


@pytest.fixture
def app() -> InlineApp:
    return InlineApp(registry=StateRegistry(max_events=None))
