"""Where the prints of a task go: to its call always, to a cell if the cell waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.kernel import Kernel

TALK = """
import sys
turns = {"one": asyncio.Event(), "two": asyncio.Event()}

@app.task
async def talk(name: str, other: str):
    for n in range(3):
        print(name, n)
        turns[other].set()
        await asyncio.wait_for(turns[name].wait(), 20)
        turns[name].clear()
        turns[other].set()

@app.task
async def tell(name: str):
    print(name, "begins")
    sys.stderr.write(f"{name} warns\\n")
    await asyncio.to_thread(print, name, "in a thread")
    await asyncio.gather(say(name))

@app.task
def tell_sync(name: str):
    asyncio.run(tell.function(name))

async def say(name):
    await asyncio.sleep(0)
    print(name, "says")
"""


@pytest.mark.parametrize("task", ["waits", "blocks"])
def test_a_run_prints_in_its_cell_and_in_its_result(k: Kernel, gate: Path, task: str) -> None:
    gate.touch()

    reply = k.run(f"print('before'); result = app.run({task!r}); print('after')")

    assert reply.stdout == f"before\n{task} began\n{task} goes on\nafter\n"
    assert k.run("result.output").results[0]["text/plain"] == repr(f"{task} began\n{task} goes on\n")


def test_two_concurrent_tasks_each_keep_their_own_prints(k: Kernel) -> None:
    """Their prints alternate in the cell."""
    k.run(TALK)

    reply = k.run("print('cell'); await asyncio.gather(talk('one', 'two'), talk('two', 'one')); print('end')")

    lines = reply.stdout.splitlines()
    assert (lines[0], lines[-1]) == ("cell", "end")
    assert sorted(lines[1:-1]) == ["one 0", "one 1", "one 2", "two 0", "two 1", "two 2"]
    assert lines[1:3] == ["one 0", "two 0"]
    outputs = k.run("[call.output for call in app.calls]").results[0]["text/plain"]
    assert outputs == "['one 0\\none 1\\none 2\\n', 'two 0\\ntwo 1\\ntwo 2\\n']"


@pytest.mark.parametrize("task", ["tell", "tell_sync"])
def test_prints_in_threads_and_in_other_asyncio_tasks_and_warnings_belong_to_the_call(k: Kernel, task: str) -> None:
    k.run(TALK)

    reply = k.run(f"result = app.run({task!r}, 'one')")

    assert (reply.stdout, reply.stderr) == ("one begins\none in a thread\none says\n", "one warns\n")
    output = k.run("result.output").results[0]["text/plain"]
    assert output == r"'one begins\none warns\none in a thread\none says\n'"


@pytest.mark.parametrize("task", ["waits", "blocks"])
def test_a_background_call_prints_in_no_cell(k: Kernel, gate: Path, task: str) -> None:
    """Neither in that which started it, nor in those that run meanwhile, whose own prints are theirs."""
    cells = [k.send(f"call = app.start({task!r}); print('started')")]
    k.wait(cells[0])
    k.wait_until("'began' in call.output")
    cells += [k.send("print('meanwhile'); app.run('quick'); await asyncio.sleep(0.01); print('end')")]
    k.wait(cells[1])
    gate.touch()
    cells += [k.send("await call; print('over')")]

    printed = [k.wait(cell).stdout for cell in cells]

    assert printed == ["started\n", "meanwhile\nquick printed\nend\n", "over\n"]
    assert k.run("call.output").results[0]["text/plain"] == repr(f"{task} began\n{task} goes on\n")


@pytest.mark.parametrize("task", ["waits", "blocks"])
def test_what_is_printed_after_the_cell_ended_belongs_to_the_cell_that_began_it(
    k: Kernel, gate: Path, task: str
) -> None:
    """As what any asyncio task prints that a cell has left running."""
    cell = k.send(f"left = asyncio.create_task({task}())\nawait asyncio.sleep(0)\nprint('end')")
    k.wait_output(cell, "began")
    assert k.wait(cell).status == "ok"
    between = k.run("print('between')")
    gate.touch()

    assert k.wait_output(cell, "goes on").stdout.splitlines()[-1] == f"{task} goes on"
    after = k.run("print(await left)")

    assert (between.stdout, after.stdout) == ("between\n", f"{task}\n")
    assert k.run("app.calls[-1].output").results[0]["text/plain"] == repr(f"{task} began\n{task} goes on\n")


def test_afterwards_the_streams_are_the_kernels_own(k: Kernel, gate: Path) -> None:
    gate.touch()
    k.run("import sys; streams = sys.stdout, sys.stderr")
    k.run("app.run('waits'); app.run('blocks'); await waits()")

    assert k.run("(sys.stdout, sys.stderr) == streams").results[0]["text/plain"] == "True"
