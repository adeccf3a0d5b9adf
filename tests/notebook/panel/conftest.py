"""State that several processes share, for the tests of the panel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from qstate_nb import StateRegistry, open_store
from qstate_nb.stores.shared import SharedStore


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], StateRegistry]]:
    """Opens registries on one file, each as in another process."""
    with ExitStack() as stack:

        def open_it() -> StateRegistry:
            store = open_store(f"sqlite:///{tmp_path}/state.db")
            assert isinstance(store, SharedStore)
            stack.callback(store.close)
            return StateRegistry(store=store)

        yield open_it
