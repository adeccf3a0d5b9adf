"""Callbacks of widgets: clicks that come while cells run, and runs that callbacks make."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.kernel import Kernel

# What a click does is the function `work`; each click is noted with whether it was handled in the main thread.
BUTTON = """
import ipywidgets
button = ipywidgets.Button()
clicks, results = [], []
def clicked(_):
    clicks.append(threading.current_thread() is threading.main_thread())
    button.description = f"click {len(clicks)}"
    results.append(work())
button.on_click(clicked)
work = lambda: None
print(button.model_id, end="")
"""
FIVE = range(5)


@pytest.fixture(params=["main shell", "subshell"])
def shell(request: pytest.FixtureRequest, k: Kernel) -> str | None:
    """Where clicks are sent to; JupyterLab 4.6 uses a subshell."""
    return k.create_subshell() if request.param == "subshell" else None


@pytest.fixture
def button(k: Kernel, shell: str | None) -> str:
    """The comm id of a button whose clicks are handled in that shell: ipykernel learns that from the first one."""
    comm_id = k.run(BUTTON).stdout
    k.wait(k.click(comm_id, shell))
    k.run("clicks.clear(), results.clear()")
    return comm_id


def assert_clicked(k: Kernel, times: int, shell: str | None) -> None:
    """So many clicks were handled, all of them in that shell's thread."""
    k.wait_until(f"len(clicks) == len(results) == {times}")
    assert k.run("set(clicks)").results[0]["text/plain"] == f"{{{shell is None}}}"


@pytest.mark.parametrize("cell", ["app.run('waits')", "app.run('blocks')", "%qstate run waits"])
def test_clicks_during_a_blocking_run_are_not_lost(
    k: Kernel, gate: Path, subshell: str, shell: str | None, button: str, cell: str
) -> None:
    """On the main shell they come after the cell, on a subshell meanwhile."""
    blocking = k.send(cell)
    k.wait_output(blocking, "began")
    clicks = [k.click(button, shell) for _ in FIVE]
    queued = k.send("app.run('quick').unwrap()")
    k.wait_until("True", subshell=subshell)  # messages come in order: so the kernel has got the clicks by now
    if shell is not None:
        k.wait_until("len(clicks) == 5", subshell=subshell)
    gate.touch()

    assert k.wait(blocking).status == "ok"
    assert k.wait(queued).results[0]["text/plain"] == "'quick'"
    for click in clicks:
        k.wait(click)
    assert_clicked(k, 5, shell)


@pytest.mark.parametrize("cell", ["await waits()", "await blocks()", "await app.start('waits')"])
def test_clicks_during_an_await_cell_are_served_while_it_runs(
    k: Kernel, gate: Path, subshell: str, shell: str | None, button: str, cell: str
) -> None:
    """Also when what they do is to run a task that waits itself."""
    k.run("work = lambda: app.run(nap).status\n@app.task\nasync def nap():\n    await asyncio.sleep(0.001)")
    waiting = k.send(f"print('waiting')\n{cell}")
    k.wait_output(waiting, "waiting")
    for _ in FIVE:
        k.click(button, shell)
    k.wait_until("results == ['success'] * 5", subshell=subshell)
    gate.touch()

    assert k.wait(waiting).status == "ok"
    assert_clicked(k, 5, shell)


@pytest.mark.parametrize("task", ["waits", "blocks"])
def test_a_callback_runs_a_task_to_its_end(k: Kernel, gate: Path, shell: str | None, button: str, task: str) -> None:
    """The task waits; clicks and cells that come meanwhile are not lost, and each gets its own result."""
    k.run(f"work = lambda: app.run({task}, button.description).unwrap()")
    first = k.click(button, shell)
    k.wait_output(first, "click 1 began")
    later = [k.click(button, shell) for _ in FIVE]
    cells = [k.send(f"app.run(waits, 'cell {n}').unwrap()") for n in FIVE]
    gate.touch()

    for n, cell in enumerate(cells):
        assert k.wait(cell).results[0]["text/plain"] == f"'cell {n}'"
    for click in (first, *later):
        k.wait(click)
    assert_clicked(k, 6, shell)
    assert k.run("sorted(results)").results[0]["text/plain"] == str([f"click {n}" for n in range(1, 7)])


def test_what_a_callback_prints_belongs_to_the_click_and_the_call(
    k: Kernel, gate: Path, shell: str | None, button: str
) -> None:
    gate.touch()
    k.run("work = lambda: app.run(waits, button.description).output")

    click = k.click(button, shell)

    assert k.wait(click).stdout == "click 1 began\nclick 1 goes on\n"
    assert k.run("results").results[0]["text/plain"] == "['click 1 began\\nclick 1 goes on\\n']"


def test_a_callback_starts_a_call_that_goes_on_without_it(
    k: Kernel, gate: Path, shell: str | None, button: str
) -> None:
    k.run("work = lambda: app.start(waits)")
    k.wait(k.click(button, shell))
    k.wait_until("content() == {'waits': 'began'}")
    gate.touch()

    assert k.run("(await results[0]).returning").results[0]["text/plain"] == "'waits'"
