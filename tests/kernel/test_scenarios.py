"""`%%qstate scenario` in a real kernel, where a loop runs already: steps that wait, interrupts, other cells."""

from __future__ import annotations

from pathlib import Path

from support.kernel import Kernel

CELL = """%%qstate scenario both -o made
await quick()
concurrently(waits("one"), waits("two"), blocks())
expect(Work, quick="ended", one="ended", two="ended", blocks="ended")
"""


def test_steps_that_wait_run_in_a_cell(k: Kernel, gate: Path) -> None:
    gate.touch()
    done = k.run(CELL)

    assert done.status == "ok", done
    assert "both: 3 steps, passed" in done.results[0]["text/plain"]
    assert "qstate" in done.results[0]["text/html"]
    assert k.run("made.replay().differences").results[0]["text/plain"] == "[]"


def test_an_interrupt_ends_it_and_leaves_nothing_behind(k: Kernel, subshell: str) -> None:
    cell = k.send("%%qstate scenario waiting\nawait quick()\nawait waits()\nawait quick()")
    k.wait_until("content().get('waits') == 'began'", subshell=subshell)
    k.interrupt()

    reply = k.wait(cell)

    assert (reply.status, reply.ename) == ("error", "KeyboardInterrupt")
    left = "'expect' in globals(), list(app.scenarios), [call.status for call in app.calls]"
    assert k.run(left).results[0]["text/plain"] == "(False, [], ['success', 'cancel'])"
    assert k.run("await quick()").stdout == "quick printed\n"


def test_cells_that_wait_behind_it_run_after_it(k: Kernel, gate: Path) -> None:
    gate.touch()
    cells = [k.send(code) for code in (CELL, "after = len(made.steps)", "after")]

    assert [k.wait(cell).status for cell in cells] == ["ok", "ok", "ok"]
    assert k.run("after").results[0]["text/plain"] == "3"


def test_cells_and_magics_are_recorded(k: Kernel) -> None:
    k.run("%qstate record session")
    k.run("await quick()")
    k.run("%qstate run quick")
    k.run("app.run('quick')")
    assert "session: 3 steps, passed" in k.run("%qstate stop").results[0]["text/plain"]
