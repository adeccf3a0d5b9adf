"""The cell number in the actor of events: which cell of the notebook a change comes from."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.front_end import FrontEnd
from support.kernel import Kernel, Reply

LAST = "(lambda actor: (actor.task, actor.call, actor.cell))(app.registry.history()[-1].actor)"


def number_of(reply: Reply) -> int:
    """The number that the notebook shows beside the cell."""
    assert reply.status == "ok", reply
    return int(reply.answer["execution_count"])


def last_actor(k: Kernel) -> str:
    return str(k.run(LAST).results[0]["text/plain"])


@pytest.mark.parametrize(
    "code",
    ["app.state(SyncWork).set('x', 1)", "await app.state(Work).set('x', 1)", "x = await app.state(Work).update(x=1)"],
)
def test_a_change_that_a_cell_makes(k: Kernel, code: str) -> None:
    cell = number_of(k.run(code))

    assert last_actor(k) == f"(None, None, {cell})"


@pytest.mark.parametrize("code", ["%qstate set Work x 2", "%%qstate\nset Work x 2", "x = %qstate update Work x=2"])
def test_a_change_that_a_magic_makes(k: Kernel, code: str) -> None:
    k.run("app.state(SyncWork)")

    cell = number_of(k.run(code))

    assert last_actor(k) == f"(None, None, {cell})"


@pytest.mark.parametrize(
    "code",
    [
        "{task}.add_task()",
        "app.run('{task}')",
        "await {task}()",
        "await {task}.add_task()",
        "%qstate run {task}",
        "await app.start('{task}')",
        "await asyncio.create_task({task}())",
        "await asyncio.to_thread(app.run, '{task}')",
    ],
)
@pytest.mark.parametrize("task", ["waits", "blocks"])
def test_a_change_that_a_task_makes_which_a_cell_calls(k: Kernel, gate: Path, task: str, code: str) -> None:
    if (task, code) == ("waits", "{task}.add_task()"):
        code = "await {task}.add_task()"  # an async task's must be awaited
    gate.touch()

    cell = number_of(k.run(code.format(task=task)))

    assert last_actor(k) == f"('{task}', 1, {cell})"


@pytest.mark.parametrize("task", ["waits", "blocks"])
def test_a_background_call_has_the_number_of_the_cell_that_started_it(
    k: Kernel, gate: Path, subshell: str, task: str
) -> None:
    """Also for what it does while later cells run."""
    cell = number_of(k.run(f"call = app.start('{task}')"))
    other = k.send("app.state(SyncWork).set('x', 1)\nawait call")
    k.wait_until("content().get('x') == 1", subshell=subshell)
    gate.touch()

    assert number_of(k.wait(other)) == cell + 1
    assert last_actor(k) == f"('{task}', 1, {cell})"


def test_a_task_that_a_task_calls(k: Kernel) -> None:
    k.run("@app.task\nasync def outer():\n    return await quick()")

    cell = number_of(k.run("await outer()"))

    assert last_actor(k) == f"('quick', 2, {cell})"


def test_a_cell_that_fails_gives_its_number_to_no_other(k: Kernel) -> None:
    failed = k.run("app.state(SyncWork).set('x', 1); 1 / 0")
    assert failed.ename == "ZeroDivisionError"
    assert last_actor(k) == f"(None, None, {failed.answer['execution_count']})"

    cell = number_of(k.run("app.state(SyncWork).set('x', 2)"))

    assert last_actor(k) == f"(None, None, {cell})"


@pytest.mark.parametrize("task", ["waits", "blocks"])
@pytest.mark.parametrize("shell", ["main shell", "subshell"])
def test_a_run_in_the_panel_has_no_cell(
    k: Kernel, gate: Path, front_end: FrontEnd, subshell: str, task: str, shell: str
) -> None:
    """Even though a cell runs when the button is clicked."""
    assert k.run("%qstate panel").status == "ok"
    cell = k.send("await waits('cell')")
    k.wait_output(cell, "began")
    k.click(front_end.button("Run", f"<h4>{task}</h4>"), subshell if shell == "subshell" else None)
    k.wait_until(f"content().get('{task}') == 'began'", subshell=subshell)
    gate.touch()
    number = number_of(k.wait(cell))
    k.wait_until("all(call.done for call in app.calls)")

    actors = k.run(
        "sorted({(actor.call, actor.cell) for actor in (event.actor for event in app.registry.history())})"
    )

    assert actors.results[0]["text/plain"] == f"[(1, {number}), (2, None)]"
