"""The stop button of a notebook: a task that a cell waits for ends with the cell."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.kernel import Kernel

BLOCKING = {
    "run of an async task": "app.run('waits')",
    "run of a sync task": "app.run('blocks')",
    "add_task of a sync task": "blocks.add_task()",
    "magic": "%qstate run waits",
    "magic with a sync task": "%qstate run blocks",
    "magic with concurrent calls": "%qstate run waits --times 3 --concurrent",
    "magic with concurrent sync calls": "%qstate run blocks --times 3 --concurrent",
    "task that runs a task": "@app.task\nasync def outer():\n    app.run('waits')\napp.run('outer')",
    "task that runs a sync task": "@app.task\nasync def outer():\n    app.run('blocks')\napp.run('outer')",
    "task that awaits a task": "@app.task\nasync def outer():\n    await waits()\napp.run('outer')",
    "sync task that runs a task": "@app.task\ndef outer():\n    app.run('waits')\napp.run('outer')",
}
AWAITING = {
    "task": "await waits()",
    "sync task": "await blocks()",
    "add_task": "await waits.add_task()",
    "two tasks at once": "await asyncio.gather(waits('one'), blocks('two'))",
}
RUNNING = "[str(call) for call in app.calls if not call.done]"
THREADS = "[t.name for t in threading.enumerate() if t.name.startswith('qstate') and t.name != 'qstate panel']"
TASKS = "[t.get_name() for t in asyncio.all_tasks() if t is not asyncio.current_task()]"


def assert_nothing_runs_on(k: Kernel, tasks_before: str) -> None:
    """The calls were cancelled, State has what they committed, and the next cells work."""
    state = k.run("set(content().values()), {call.status for call in app.calls}")
    assert state.results[0]["text/plain"] == "({'ended'}, {'cancel'})"
    after = k.run(f"{RUNNING}, {THREADS}")
    assert after.results[0]["text/plain"] == "([], [])"
    assert k.run(f"len({TASKS})").results[0]["text/plain"] == tasks_before
    assert k.run("app.run('quick').unwrap()").stdout == "quick printed\n"
    assert k.run("await quick()").stdout == "quick printed\n"


@pytest.fixture
def tasks_before(k: Kernel) -> str:
    """How many asyncio tasks the kernel's own loop has between cells."""
    return str(k.run(f"len({TASKS})").results[0]["text/plain"])


@pytest.mark.parametrize("code", BLOCKING.values(), ids=BLOCKING)
def test_an_interrupt_ends_the_task_and_the_cell(k: Kernel, tasks_before: str, code: str) -> None:
    cell = k.send(code)
    k.wait_output(cell, "began")
    k.interrupt()

    reply = k.wait(cell)

    assert (reply.status, reply.ename) == ("error", "KeyboardInterrupt")
    assert_nothing_runs_on(k, tasks_before)


@pytest.mark.parametrize("code", AWAITING.values(), ids=AWAITING)
def test_an_interrupt_of_an_await_cell_ends_the_task_and_the_cell(k: Kernel, tasks_before: str, code: str) -> None:
    """ipykernel ends such a cell with a CancelledError, and when its loop next wakes up: a request wakes it."""
    cell = k.send(code)
    k.wait_output(cell, "began")
    k.interrupt()
    k.complete("")

    assert k.wait(cell).status == "error"
    assert_nothing_runs_on(k, tasks_before)


@pytest.mark.parametrize("task", ["waits", "blocks"])
def test_an_interrupt_of_a_cell_that_awaits_a_started_call_ends_only_the_cell(
    k: Kernel, gate: Path, task: str
) -> None:
    """The call was started in the background, so it goes on there."""
    k.run(f"call = app.start({task!r})")
    cell = k.send("print('waiting'); await call")
    k.wait_output(cell, "waiting")
    k.interrupt()
    k.complete("")

    assert k.wait(cell).status == "error"
    assert k.run("call.status").results[0]["text/plain"] == "'process'"
    gate.touch()
    assert k.run("(await call).returning").results[0]["text/plain"] == f"{task!r}"


def test_cells_behind_an_interrupted_run_are_aborted_and_the_next_work(k: Kernel) -> None:
    """As after any cell that fails."""
    cell, queued = k.send("app.run('waits')"), k.send("print('never')")
    k.wait_output(cell, "began")
    k.interrupt()

    assert k.wait(cell).ename == "KeyboardInterrupt"
    assert k.wait(queued).status == "aborted"
    assert k.run("app.run('quick').status").results[0]["text/plain"] == "'success'"


@pytest.mark.parametrize("task", ["waits", "blocks"])
def test_an_interrupt_leaves_background_calls_alone(k: Kernel, gate: Path, task: str) -> None:
    k.run(f"call = app.start({task!r}, 'background')")
    cell = k.send("app.run('waits')")
    k.wait_output(cell, "began")
    k.interrupt()

    assert k.wait(cell).ename == "KeyboardInterrupt"
    assert k.run("call.status").results[0]["text/plain"] == "'process'"
    gate.touch()
    assert k.run("(await call).returning").results[0]["text/plain"] == "'background'"


def test_a_task_may_clean_up_slowly(k: Kernel, gate: Path) -> None:
    """The cell ends after the task has."""
    k.run(
        "@app.task\nasync def slow(state: Work):\n    try:\n        await waits()\n    finally:\n"
        "        print('cleaning')\n"
        "        while not gate.exists():\n            await asyncio.sleep(0.002)\n"
        "        await state.set('cleaned', 'ended')"
    )
    cell = k.send("app.run('slow')")
    k.wait_output(cell, "began")
    k.interrupt()
    k.wait_output(cell, "cleaning")
    gate.touch()

    assert k.wait(cell).ename == "KeyboardInterrupt"
    assert k.run("content()").results[0]["text/plain"] == "{'waits': 'ended', 'cleaned': 'ended'}"


def test_a_second_interrupt_ends_a_cell_whose_task_does_not_end(k: Kernel, gate: Path) -> None:
    k.run(
        "@app.task\nasync def stubborn():\n    try:\n        await waits()\n    finally:\n"
        "        print('stays')\n"
        "        while not gate.exists():\n            await asyncio.sleep(0.002)"
    )
    cell = k.send("app.run('stubborn')")
    k.wait_output(cell, "began")
    k.interrupt()
    k.wait_output(cell, "stays")
    k.interrupt()

    assert k.wait(cell).ename == "KeyboardInterrupt"
    gate.touch()
    assert k.run("app.run('quick').status").results[0]["text/plain"] == "'success'"


def test_no_interrupt_is_lost_in_the_event_loop(k: Kernel, tasks_before: str) -> None:
    """Wherever in the loop's own code it hits: many coroutines that are always ready keep that busy."""
    k.run("""
async def spin():
    while True:
        await asyncio.sleep(0)

@app.task
async def spins(state: Work):
    print("began")
    try:
        await asyncio.gather(*(spin() for _ in range(200)))
    finally:
        await state.set("spins", "ended")
""")
    for _ in range(8):
        cell = k.send("app.run('spins')")
        k.wait_output(cell, "began")
        k.interrupt()

        assert k.wait(cell, timeout=10).ename == "KeyboardInterrupt"
    assert_nothing_runs_on(k, tasks_before)
