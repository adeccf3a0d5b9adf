"""The shop's package in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.shop import imported_shop


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module ``shop.tasks``, in the test's folder."""
    with imported_shop(tmp_path, monkeypatch) as module:
        yield module
