"""A package with tasks that can be imported, and a notebook whose tasks can't."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cells import FakeNotebook
from support.shop import imported_shop


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> FakeNotebook:
    return FakeNotebook(monkeypatch)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module ``shop.tasks``."""
    with imported_shop(tmp_path, monkeypatch) as module:
        yield module
