"""The panel over the wire: what its buttons do while the kernel is busy, and what it sends."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.front_end import FrontEnd
from support.kernel import Kernel, kernel

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
# A cell of plain Python that keeps the main thread busy until the gate is there.
SYNC_CELL = "print('cell began')\nwhile not gate.exists():\n    time.sleep(0.002)"
BLOCKING_RUN = "app.run('waits', 'cell')"
AWAIT_CELL = "await waits('cell')"
RUNNING = "▶ running"
ANSWER = 10.0  # seconds in which a cell that is small must end; mostly it takes 0.2


@pytest.fixture(params=["main shell", "subshell"])
def shell(request: pytest.FixtureRequest, subshell: str) -> str | None:
    """Where clicks are sent to; JupyterLab 4.6 uses a subshell."""
    return subshell if request.param == "subshell" else None


@pytest.fixture
def panel(k: Kernel, front_end: FrontEnd) -> Iterator[FrontEnd]:
    """A panel, as a browser has it."""
    assert k.run("shown = panel(app)\nshown").status == "ok"
    yield front_end
    k.run("shown.close()")


def run_button(panel: FrontEnd, task: str) -> str:
    return panel.button("Run", f"<h4>{task}</h4>")


def call_text(panel: FrontEnd, name: str) -> str:
    """What the panel shows of a call, such as ``waits #1``."""
    return next((" ".join(texts) for texts in panel.boxes("qstate-row") if texts[0].startswith(f"{name} (")), "")


def rows(panel: FrontEnd) -> dict[str, tuple[str, str]]:
    """The State that the panel shows: key → value, changed by."""
    cells = [texts for texts in panel.boxes("qstate-row") if len(texts) == 3 and "changed by" in texts[2]]
    return {
        key.removeprefix("● "): (value, about.partition("changed by ")[2].removesuffix(" last change"))
        for key, value, about in cells
    }


@pytest.mark.parametrize("task", ["waits", "blocks"])
def test_run_leaves_the_kernel_free(k: Kernel, gate: Path, panel: FrontEnd, shell: str | None, task: str) -> None:
    """Cells get their reply while the task runs."""
    k.wait(k.click(run_button(panel, task), shell))
    panel.wait_for(lambda: RUNNING in call_text(panel, f"{task} #1"))

    assert k.run("6 * 7").results[0]["text/plain"] == "42"
    assert k.run("app.run('quick').unwrap()").stdout == "quick printed\n"
    assert k.run("await quick()").status == "ok"
    assert RUNNING in call_text(panel, f"{task} #1")

    gate.touch()
    panel.wait_for(lambda: f"returned '{task}'" in call_text(panel, f"{task} #1"))
    panel.wait_for(lambda: rows(panel)[task] == ("'ended'", f"{task} #1, event 4"))


def test_run_runs_async_tasks_on_the_main_loop_and_sync_ones_in_threads(
    k: Kernel, panel: FrontEnd, shell: str | None
) -> None:
    """From whatever thread the click is handled in: so what a cell made for its loop can be used."""
    k.run("""
main_loop, made_in_a_cell = asyncio.get_running_loop(), asyncio.Event()
seen = []
@app.task
async def on_loop():
    await made_in_a_cell.wait()
    seen.append((asyncio.get_running_loop() is main_loop, threading.current_thread() is threading.main_thread()))
@app.task
def in_thread():
    seen.append(threading.current_thread() is threading.main_thread())
""")
    for task in ("on_loop", "in_thread"):
        k.click(run_button(panel, task), shell)
    k.wait_until("seen == [False] and len(app.calls) == 2")
    k.run("made_in_a_cell.set()")

    k.wait_until("seen == [False, (True, True)]")


@pytest.mark.parametrize(
    ("task", "cell"),
    [
        ("waits", BLOCKING_RUN),
        ("waits", "app.run('blocks', 'cell')"),
        ("waits", "%qstate run waits name=cell"),
        ("waits", AWAIT_CELL),
        ("blocks", BLOCKING_RUN),
        ("blocks", AWAIT_CELL),
        ("blocks", SYNC_CELL),
    ],
)
def test_run_and_stop_work_while_a_cell_is_busy(
    k: Kernel, gate: Path, panel: FrontEnd, subshell: str, task: str, cell: str
) -> None:
    """Through a subshell. (An async task needs the main loop: it can't run while plain Python keeps that.)"""
    busy = k.send(cell)
    k.wait_output(busy, "cell began")
    k.click(run_button(panel, task), subshell)
    k.wait_until(f"content().get({task!r}) == 'began'", subshell=subshell)
    name = f"{task} #{1 if cell == SYNC_CELL else 2}"
    panel.wait_for(lambda: RUNNING in call_text(panel, name))

    k.click(panel.button("Stop", f"<b>{name}</b>"), subshell)

    panel.wait_for(lambda: "cancel" in call_text(panel, name))
    k.wait_until(f"content()[{task!r}] == 'ended'", subshell=subshell)
    assert not gate.exists()
    gate.touch()
    assert k.wait(busy).status == "ok"


@pytest.mark.parametrize("task", ["waits", "blocks"])
def test_stop_ends_what_a_cell_runs(k: Kernel, panel: FrontEnd, subshell: str, task: str) -> None:
    """The cell goes on with the result of a cancelled call."""
    busy = k.send(f"print(app.run({task!r}).status)")
    k.wait_output(busy, "began")

    k.click(panel.button("Stop", f"<b>{task} #1</b>"), subshell)

    assert k.wait(busy).stdout == f"{task} began\ncancel\n"


@pytest.mark.parametrize("task", ["waits", "blocks"])
def test_clicks_on_run_during_a_blocking_run_are_not_lost(
    k: Kernel, gate: Path, panel: FrontEnd, subshell: str, shell: str | None, task: str
) -> None:
    busy = k.send(BLOCKING_RUN)
    k.wait_output(busy, "began")
    for _ in range(3):
        k.click(run_button(panel, task), shell)
    queued = k.send("6 * 7")
    k.wait_until("True", subshell=subshell)  # messages come in order: so the kernel has got the clicks by now
    gate.touch()

    assert k.wait(busy).status == "ok"
    assert k.wait(queued).results[0]["text/plain"] == "42"
    k.wait_until("[call.status for call in app.calls] == ['success'] * 4")
    panel.wait_for(lambda: f"returned '{task}'" in call_text(panel, f"{task} #4"))


@pytest.mark.parametrize("change", ["app.run('quick')", "app.state(SyncWork).set('quick', 'ended')"])
def test_what_a_busy_cell_changes_shows_at_once(k: Kernel, gate: Path, panel: FrontEnd, change: str) -> None:
    busy = k.send(f"{change}\n{SYNC_CELL}")

    panel.wait_for(lambda: rows(panel).get("quick", ("",))[0] == "'ended'")

    gate.touch()
    assert k.wait(busy).status == "ok"


def test_a_call_of_the_panel_prints_in_the_panel_only(
    k: Kernel, gate: Path, panel: FrontEnd, shell: str | None
) -> None:
    click = k.click(run_button(panel, "waits"), shell)
    cell = k.send("print('cell'); await asyncio.sleep(0.01)")
    panel.wait_for(lambda: "waits began" in call_text(panel, "waits #1"))
    gate.touch()
    panel.wait_for(lambda: "waits goes on" in call_text(panel, "waits #1"))

    assert (k.wait(cell).stdout, k.wait(click).stdout) == ("cell\n", "")


def test_closing_the_panel_ends_its_messages(k: Kernel, panel: FrontEnd, shell: str | None) -> None:
    k.run("app.run('quick')")
    panel.wait_for(lambda: "quick" in rows(panel))
    assert len(panel.models) > 20

    k.click(panel.button("Close", "<h2>qstate"), shell)

    panel.wait_for(lambda: not [each for each in panel.models.values() if each["_model_name"] == "ButtonModel"])
    panel.updates.clear()
    assert k.run("app.run('quick'); await quick()").status == "ok"
    threads = k.run("[thread.name for thread in threading.enumerate() if thread.name == 'qstate panel']")
    panel.read()
    assert not panel.updates
    assert threads.results[0]["text/plain"] == "[]"


def bundles_of(k: Kernel, code: str) -> list[dict[str, Any]]:
    """The panel, and its still picture."""
    bundles = k.run(code).results
    assert len(bundles) == 2
    return bundles


@pytest.mark.parametrize("code", ["%qstate panel", "panel(app)"])
def test_the_panel_has_the_same_text_in_every_kernel(k: Kernel, gate: Path, code: str) -> None:
    """A notebook with a panel can be compared with another run of it: the widget is shown, the text is kept."""
    gate.touch()
    k.run("app.run('quick'), app.run('blocks')")
    with kernel() as other:
        other.run(k.run("print(next(code for code in reversed(In) if code.startswith('import asyncio')))").stdout)
        other.run("app.run('quick'), app.run('blocks')")

        (one, still), (two, other_still) = bundles_of(k, code), bundles_of(other, code)

    assert one["text/plain"] == two["text/plain"]
    assert one["text/html"] == two["text/html"] == ""
    assert still == other_still
    assert "&#x27;ended&#x27;" in still["text/html"]
    assert one[WIDGET_VIEW]["model_id"] != two[WIDGET_VIEW]["model_id"]
    lines = one["text/plain"].splitlines()
    assert lines[0] == "qstate panel: app"
    assert "'ended'" in one["text/plain"]
    assert not re.search(r"0x|[0-9a-f]{12}|\d\d:\d\d", one["text/plain"])


def test_a_burst_of_changes_is_few_messages_and_loses_no_last_value(
    k: Kernel, panel: FrontEnd, subshell: str
) -> None:
    """At most some 20 messages a second while they are made, and the kernel answers meanwhile.

    The task goes on until the kernel has answered, however slow the machine is; what it must not do is to get slower
    the longer it goes on, as the messages of a panel that draws faster than they are sent would make it.
    """
    state = panel.of_class("qstate-last")
    k.run("""
enough = threading.Event()
@app.task
def burst(state: SyncWork):
    began = time.monotonic()
    n = 0
    while n < 100_000 or not enough.is_set():
        state.set("n", n)
        state.set(f"n{n % 10}", n)
        n += 1
    return n, time.monotonic() - began
""")
    panel.read()
    before = panel.updates[state]
    k.click(run_button(panel, "burst"), subshell)
    k.wait_until("content().get('n', 0) > 1_000", subshell=subshell)
    for _ in range(20):
        assert k.run("app.calls[-1].done", timeout=ANSWER).results[0]["text/plain"] == "False"
    k.run("enough.set()", timeout=ANSWER)
    k.wait_until("app.calls[-1].done")

    n, took = literal_eval(k.run("app.calls[-1].result.returning").results[0]["text/plain"])
    last = {"n": str(n - 1), **{f"n{each % 10}": str(each) for each in range(n - 10, n)}}
    panel.wait_for(lambda: {key: value for key, (value, _) in rows(panel).items()} == last)
    assert panel.updates[state] - before <= 20 * took + 5
    assert k.run("len(app.registry.history())").status == "ok"


HUGE = """
app.state(SyncWork).set("list", list(range(5_000_000)))
app.state(SyncWork).set("dict", {f"key {n}": n for n in range(200_000)})
app.state(SyncWork).set("text", "x" * 50_000_000)
"""


def test_huge_values_are_shortened(k: Kernel, panel: FrontEnd) -> None:
    """In the panel and in what `%qstate` shows; and the kernel goes on."""
    assert k.run(HUGE).status == "ok"
    panel.wait_for(lambda: set(rows(panel)) == {"list", "dict", "text"})

    assert rows(panel)["list"][0].startswith("[0, 1, 2, ")
    assert rows(panel)["dict"][0].startswith("{'key 0': 0, ")
    assert len("".join(panel.texts())) < 40_000
    for code in ("%qstate show", "%qstate show Work", "%qstate", "panel(app)"):
        for bundle in k.run(code, timeout=20).results:
            assert len(bundle.get("text/plain", "")) < 3_000
            assert len(bundle.get("text/html", "")) < 15_000
    assert len(k.run("%qstate set Work list {list(range(5_000_000))}").stdout) < 200
    k.run("app.state(SyncWork).clear()")


def test_a_bucket_with_very_many_keys_is_shortened(k: Kernel, panel: FrontEnd) -> None:
    k.run("app.state(SyncWork).update(**{f'key{n}': n for n in range(200_000)})")
    panel.wait_for(lambda: "of 200,000" in "".join(panel.texts()))

    assert len(rows(panel)) == 30
    assert len("".join(panel.texts())) < 60_000
    assert len(k.run("%qstate show").results[0]["text/plain"]) < 10_000
    assert k.run("app.run('quick').status").results[0]["text/plain"] == "'success'"
    panel.wait_for(lambda: "of 200,001" in "".join(panel.texts()))
    k.run("app.state(SyncWork).clear()")


def test_markup_is_escaped_in_what_the_panel_sends(k: Kernel, panel: FrontEnd) -> None:
    markup = "<script>alert(1)</script>"
    k.run(f"""
app.state(SyncWork).set({markup!r}, {markup!r})
@app.task(description={markup!r})
async def prints(x: str = {markup!r}):
    print(x)
    raise ValueError(x)
app.run(prints, {markup!r})
""")
    panel.wait_for(lambda: "ValueError" in call_text(panel, "prints #1"))

    assert rows(panel) == {markup: (repr(markup), "user, event 1")}
    shown = "".join(panel.texts())
    assert "<script" not in shown
    assert markup in call_text(panel, "prints #1")
