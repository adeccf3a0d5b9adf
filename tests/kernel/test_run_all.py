"""Cells that are queued behind a blocking run, as "Run All" queues them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.kernel import Kernel

BLOCKING = {
    "run of an async task": "app.run('waits')",
    "run of a sync task": "app.run('blocks')",
    "magic": "%qstate run waits",
    "magic with a sync task": "%qstate run blocks",
    "magic with concurrent calls": "%qstate run waits --times 3 --concurrent",
    "cell magic": "%%qstate\nrun waits\nshow",
    "task that runs a task": """
@app.task
async def outer():
    return app.run("waits").unwrap()
app.run("outer")
""",
    "sync task that runs a task": """
@app.task
def outer():
    return app.run("waits").unwrap()
app.run("outer")
""",
    "function that runs two": "[app.run(task, f'{n}').unwrap() for n, task in enumerate((waits, blocks))]",
}


@pytest.mark.parametrize("code", BLOCKING.values(), ids=BLOCKING)
def test_all_cells_queued_behind_a_blocking_run_get_their_reply(
    k: Kernel, gate: Path, subshell: str, code: str
) -> None:
    """In order, each with its own output and result; also when they run tasks themselves."""
    k.run("ran = []")
    blocking = k.send(code)
    k.wait_output(blocking, "began")
    queued = [
        k.send("ran.append(1); print('one'); content()"),
        k.send("ran.append(2); print('two'); await asyncio.sleep(0.01); 'two'"),
        k.send("ran.append(3); app.run('waits', 'third').unwrap()"),
        k.send("ran.append(4)\n%qstate run quick"),
        k.send("ran.append(5); await blocks('fifth')"),
    ]
    k.wait_until("True", subshell=subshell)  # messages come in order: so the kernel has got the cells by now
    k.wait_until("ran == []", subshell=subshell)
    gate.touch()

    first = k.wait(blocking)
    one, two, three, four, five = (k.wait(each) for each in queued)

    assert first.status == "ok"
    assert "goes on" in first.stdout
    assert [reply.status for reply in (one, two, three, four, five)] == ["ok"] * 5
    assert (one.stdout, two.stdout) == ("one\n", "two\n")
    assert "'ended'" in one.results[0]["text/plain"]
    assert "'began'" not in one.results[0]["text/plain"]
    assert two.results[0]["text/plain"] == "'two'"
    assert three.stdout == "third began\nthird goes on\n"
    assert three.results[0]["text/plain"] == "'third'"
    assert four.stdout.startswith("quick printed\nquick #")
    assert five.stdout == "fifth began\nfifth goes on\n"
    assert five.results[0]["text/plain"] == "'fifth'"
    assert k.run("ran").results[0]["text/plain"] == "[1, 2, 3, 4, 5]"


def test_cells_behind_a_run_that_fails_are_run_too(k: Kernel, gate: Path, subshell: str) -> None:
    """A task's exception is in its result; the cell goes on, and so does "Run All"."""
    k.run("@app.task\nasync def fails():\n    await waits()\n    raise ValueError('no')")
    blocking = k.send("print(app.run('fails').status)")
    queued = k.send("app.run('quick').unwrap()")
    k.wait_until("True", subshell=subshell)
    gate.touch()

    assert k.wait(blocking).stdout == "waits began\nwaits goes on\nerror\n"
    assert k.wait(queued).results[0]["text/plain"] == "'quick'"


def test_many_cells_that_nest_one_after_the_other(k: Kernel, gate: Path) -> None:
    """Nesting leaves nothing behind on the stack or in the loop."""
    gate.touch()
    cells = [k.send(f"app.run(waits, 'call {n}').unwrap()") for n in range(40)]

    replies = [k.wait(cell) for cell in cells]

    assert [reply.results[0]["text/plain"] for reply in replies] == [f"'call {n}'" for n in range(40)]
