"""What all parts of the suite use: the stores of a test, State in both colours, threads, and patience."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from typing import Any, ClassVar, Protocol

import pytest

from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import AsyncState, State, StateBase
from qstate_nb.core.store import MemoryStore
from qstate_nb.core.transactions import transaction

PATIENCE = 10.0  # seconds after which something doesn't happen any more


class Box(State):
    """State of any kind, for sync code."""


class AsyncBox(AsyncState, name="Box"):
    """The same, for async code."""


class Opened(Protocol):
    """Opens one more store on the data of the test, as another process would, and gives its registry."""

    def __call__(self, max_events: int | None = 10_000) -> StateRegistry:
        """Open one."""


class Suite:
    """The stores of a test; see `StoreConformance`."""

    shared: ClassVar[bool] = True

    def open(self, max_events: int | None = 10_000) -> MemoryStore:
        """A store on the data of this test; see `StoreConformance`."""
        raise NotImplementedError("override open(): it gives a store on the data of the test")

    @pytest.fixture
    def opened(self) -> Iterator[Opened]:
        """Opens registries on the data of the test, each as if in another process; they are closed after it."""
        with ExitStack() as stack:

            def opened(max_events: int | None = 10_000) -> StateRegistry:
                store = self.open(max_events)
                stack.callback(getattr(store, "close", bool))
                return StateRegistry(store=store)

            yield opened

    @pytest.fixture
    def registry(self, opened: Opened) -> StateRegistry:
        """A registry."""
        return opened()

    @pytest.fixture
    def other(self, opened: Opened, registry: StateRegistry) -> StateRegistry:  # noqa: ARG002 - it comes first
        """Another process' registry on the same data."""
        self.need_sharing()
        return opened()

    @pytest.fixture
    def elsewhere(self, opened: Opened, registry: StateRegistry) -> StateRegistry:
        """Another process' registry, if there can be one, or else the same."""
        return opened() if self.shared else registry

    @pytest.fixture
    def places(self, registry: StateRegistry, elsewhere: StateRegistry) -> list[StateRegistry]:
        """Two processes, or one twice if there can't be two."""
        return [registry, elsewhere]

    @pytest.fixture(params=[True, False], ids=["with", "async with"])
    def sync(self, request: pytest.FixtureRequest) -> bool:
        """How a transaction is begun."""
        return bool(request.param)

    @pytest.fixture(params=[Box, AsyncBox], ids=["sync", "async"])
    def colour(self, request: pytest.FixtureRequest) -> type[StateBase]:
        """A State class, of each colour."""
        kind: type[StateBase] = request.param
        return kind

    @pytest.fixture
    def box(self, registry: StateRegistry, colour: type[StateBase]) -> Any:
        """A State object of each colour, whose methods can be called from sync code."""
        return Blocking(registry.state(colour))

    def need_sharing(self) -> None:
        """Leave a test out if the store is of one process alone."""
        if not self.shared:
            pytest.skip("this store is of one process alone: shared = False")


@asynccontextmanager
async def begun(*states: StateBase, sync: bool) -> AsyncIterator[None]:
    """A transaction that was begun in one of the two ways, and ends so."""
    if sync:
        with transaction(*states):
            yield
    else:
        async with transaction(*states):
            yield


class Blocking:
    """An object whose methods can be called from sync code, whatever its colour.

    Each call of an async method has an event loop of its own.
    """

    def __init__(self, target: object) -> None:
        self.target = target

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.target, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            return asyncio.run(result) if inspect.iscoroutine(result) else result

        return call


def fails() -> AbstractContextManager[object]:
    """Expects a block to end with a division by zero."""
    return pytest.raises(ZeroDivisionError)


def until(happened: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something has happened.

    Raises:
        AssertionError: it did not, for so many seconds.
    """
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"it did not happen within {seconds:g} s"
        time.sleep(0.001)


def in_threads(*functions: Callable[[], object]) -> None:
    """Run all at the same time, each in a thread, and raise what one of them raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(functions))

    def run(function: Callable[[], object]) -> None:
        try:
            start.wait(PATIENCE)
            function()
        except BaseException as error:  # raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,), daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    end = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
        assert not thread.is_alive(), "a thread does not end"
    if errors:
        raise errors[0]
