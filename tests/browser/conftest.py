"""What these tests need: a browser, and the front ends that are opened in it."""

from __future__ import annotations

import os

import pytest
from support.lab import missing_browser


def need(*packages: str) -> None:
    """Skip where there is no browser or one of the packages is missing; in CI that is a failure."""
    reason = missing_browser(*packages)
    if reason is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(scope="session")
def browser() -> None:
    """JupyterLab in a browser."""
    need()


@pytest.fixture(scope="session")
def notebook_browser() -> None:
    """Notebook 7 in a browser."""
    need("notebook")


@pytest.fixture(scope="session")
def voila_browser() -> None:
    """Voila in a browser."""
    need("voila")


@pytest.fixture(scope="session")
def axe_browser() -> None:
    """JupyterLab in a browser, and axe-core."""
    need("axe-playwright-python")
