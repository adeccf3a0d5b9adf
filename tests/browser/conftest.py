"""The browser that these tests need."""

from __future__ import annotations

import os

import pytest
from support.lab import missing_browser


@pytest.fixture(scope="session")
def browser() -> None:
    """Skip where there is no browser; in CI that is a failure."""
    reason = missing_browser()
    if reason is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
