"""Each test gets its own app, and fails if it leaves anything behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.leaks import nothing_left

from qstate_nb import InlineApp, StateRegistry


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    with nothing_left():
        yield


@pytest.fixture
def app() -> InlineApp:
    return InlineApp(registry=StateRegistry(max_events=None))
