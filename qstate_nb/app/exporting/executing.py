"""Runs a notebook in a fresh kernel, from anywhere: also from a cell, whose event loop must not be used for it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import importlib
import re
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from qstate_nb.core.formats import one_line
from qstate_nb.errors import MissingPackageError, ScenarioError

T = TypeVar("T")

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def needed(package: str) -> Any:
    """An optional package.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise MissingPackageError(
            f"to write a notebook, {package} is needed: pip install 'qstate-nb[export]'"
        ) from None


def executed(notebook: Any, folder: Path, timeout: float, name: str) -> Any:
    """A copy of a notebook with the outputs of a run.

    Args:
        notebook: the notebook.
        folder: where it runs.
        timeout: seconds that a cell may take.
        name: of the scenario, for messages.

    Raises:
        MissingPackageError: nbclient or ipykernel is not installed.
        ScenarioError: a cell fails or takes too long, or the kernel dies.
    """
    nbclient, manager = needed("nbclient"), needed("jupyter_client.manager")
    needed("ipykernel")
    made = copy.deepcopy(notebook)
    client = nbclient.NotebookClient(
        made,
        km=manager.AsyncKernelManager(kernel_spec_manager=_this_python()),
        timeout=timeout,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        in_own_loop(client.async_execute(cleanup_kc=True))
    except nbclient.exceptions.CellExecutionError as error:
        said = f"{error.ename}: {error.evalue}" if error.ename else str(error)
        raise ScenarioError(f"scenario {name!r} fails as a notebook: {one_line(_COLOUR.sub('', said))}") from None
    except nbclient.exceptions.CellTimeoutError:
        raise ScenarioError(f"scenario {name!r} takes more than {timeout:g} s as a notebook") from None
    except nbclient.exceptions.DeadKernelError:
        raise ScenarioError(f"scenario {name!r} ended its kernel as a notebook") from None
    return made


def _this_python() -> Any:
    """Finds the kernel of this Python, whatever is installed under its name."""
    specs = needed("jupyter_client.kernelspec")
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--IPKernelApp.log_level=ERROR"]
    spec = specs.KernelSpec(argv=argv, display_name="Python 3 (ipykernel)", language="python")
    found = specs.KernelSpecManager()
    found.get_kernel_spec = lambda _: spec
    return found


def in_own_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on an event loop of a thread of its own, and wait for it; an interrupt cancels it first."""
    ended: list[T] = []
    failed: list[BaseException] = []
    started, over = threading.Event(), threading.Event()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = []

    async def run() -> T:
        running.append((asyncio.get_running_loop(), asyncio.ensure_future(coroutine)))
        started.set()
        return await running[0][1]

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                ended.append(runner.run(run()))
        except BaseException as error:
            failed.append(error)
        finally:
            started.set()
            over.set()

    thread = threading.Thread(target=work, name="qstate notebook", daemon=True)
    try:
        thread.start()
        over.wait()  # not join(), after whose interruption Python 3.11 takes the thread for ended
    except BaseException:
        if thread.ident is not None:
            started.wait()
            for loop, task in running:
                with contextlib.suppress(RuntimeError):  # it has ended just now
                    loop.call_soon_threadsafe(task.cancel)
            over.wait()
        raise
    thread.join()
    if failed:
        raise failed[0]
    return ended[0]
