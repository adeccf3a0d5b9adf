"""What loading the extension and running a task change in the kernel's process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.kernel import Kernel, kernel

NOTE = """
import asyncio, sys
def note():
    loop = type(asyncio.get_running_loop())
    return asyncio.Task, asyncio.tasks.Task, asyncio.current_task, loop._run_once, loop.run_until_complete
before = note()
had_nesting = "nest_asyncio2" in sys.modules
"""
DEFINE = """
from qstate_nb import InlineApp, StateRegistry, State
app = InlineApp(registry=StateRegistry())
@app.task
async def stays(n: int = 1):
    print("never waits")
    return n if n < 2 else app.run("stays", n - 1).unwrap()
@app.task
async def waits():
    await asyncio.sleep(0.001)
@app.task
def blocks():
    return asyncio.run(waits())
"""
NEVER_WAITING = {
    "run": "app.run('stays')",
    "magic": "%qstate run stays",
    "magic with several calls": "%qstate run stays --times 5",
    "task that runs a task": "app.run('stays', 3)",
    "await": "await stays()",
    "await of a task that waits": "await waits()",
    "background calls": "a, b = app.start('waits'), app.start('blocks')\nawait a, await b",
}


@pytest.fixture(scope="module")
def fresh() -> Iterator[Kernel]:
    """A kernel in which nothing but the extension was loaded."""
    with kernel() as k:
        assert k.run(NOTE).status == "ok"
        assert k.run("%load_ext qstate_nb").status == "ok"
        yield k


def test_loading_imports_no_widgets_and_no_nesting(fresh: Kernel) -> None:
    reply = fresh.run("'ipywidgets' in sys.modules, ('nest_asyncio2' in sys.modules) == had_nesting")

    assert reply.results[0]["text/plain"] == "(False, True)"


def test_loading_leaves_asyncio_as_it_is(fresh: Kernel) -> None:
    assert fresh.run("note() == before").results[0]["text/plain"] == "True"


@pytest.mark.parametrize("code", NEVER_WAITING.values(), ids=NEVER_WAITING)
def test_what_need_not_nest_leaves_asyncio_as_it_is(fresh: Kernel, code: str) -> None:
    """A blocking run of a task that never waits, and everything that doesn't block."""
    assert fresh.run(DEFINE).status == "ok"
    assert fresh.run(code).status == "ok"

    reply = fresh.run("note() == before, ('nest_asyncio2' in sys.modules) == had_nesting")

    assert reply.results[0]["text/plain"] == "(True, True)"


@pytest.mark.parametrize("code", ["app.run('waits')", "app.run('blocks')", "%qstate run waits"])
def test_the_first_blocking_run_of_a_task_that_waits_applies_nesting(code: str) -> None:
    with kernel() as k:
        k.run(NOTE)
        k.run("%load_ext qstate_nb")
        assert k.run(DEFINE).status == "ok"
        assert k.run("note() == before").results[0]["text/plain"] == "True"

        assert k.run(code).status == "ok"

        reply = k.run("note() == before, 'nest_asyncio2' in sys.modules, 'ipywidgets' in sys.modules")
        assert reply.results[0]["text/plain"] == "(False, True, False)"
        assert k.run(f"{code}\nawait waits()").status == "ok"


def test_the_extension_can_be_loaded_twice_and_unloaded(fresh: Kernel) -> None:
    assert fresh.run(DEFINE).status == "ok"
    assert fresh.run("%reload_ext qstate_nb\n%load_ext qstate_nb").status == "ok"
    assert fresh.complete("%qstate sho") == ["show"]

    assert fresh.run("%unload_ext qstate_nb").status == "ok"

    assert "qstate" in fresh.run("%qstate").stderr  # IPython's own message: there is no such magic
    assert fresh.complete("%qstate sho") != ["show"]
    assert fresh.run("%load_ext qstate_nb\n%qstate run stays").status == "ok"
