"""Exported notebooks: they are run in real kernels, and nbval finds the same outputs again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import nbformat
import pytest
from support.kernel import kernel

from qstate_nb.app.exporting import executing, notebook_file, to_notebook
from qstate_nb.app.exporting.notebook_file import is_ours
from qstate_nb.app.scenario import Scenario
from qstate_nb.app.script import run_script
from qstate_nb.errors import MissingPackageError, ScenarioError


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def scripted(shop: Any, source: str) -> Scenario:
    return asyncio.run(run_script(shop.app, "sign up", source, vars(shop)))


def nbval(*paths: Path) -> str:
    """What strict nbval says of notebooks."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--nbval", "--nbval-current-env", *paths],
        cwd=paths[0].parent,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout + done.stderr


IN_A_NOTEBOOK = (
    "%load_ext qstate_nb\nimport datetime as dt\nfrom qstate_nb import AsyncState, InlineApp\napp = InlineApp()",
    "class Cart(AsyncState):\n    count: int = 0\nLIMIT = 2",
    """\
@app.task
async def add(cart: Cart, name: str):
    print("adding", name)
    if await cart.get("count") >= LIMIT:
        raise ValueError("too many")
    await cart.update(day=dt.date(2026, 1, 2))
    return await cart.increment("count")
""",
    """\
%%qstate scenario cart --fresh -o made
add('a')
expect_result(add('b'), 2)
expect_result(add('c'), raises=ValueError)
""",
    "print(made.to_notebook('carried.ipynb'), made.to_pytest('test_carried.py'))",
)


def test_notebooks_pass_strict_nbval(shop: Any, tmp_path: Path) -> None:
    """One is written by this process, another one by a cell of a running notebook, with a test module."""
    shop.app.state(shop.Audit).set("old", 1)
    with shop.app.scenario("sign up") as scenario:
        shop.app.run("begin", shop.Plan.PRO)
        shop.app.run("confirm", "abc")
        shop.app.run("say", 7, "ho")
        shop.app.state(shop.Audit).delete("old")
    imported = scenario.to_notebook(tmp_path / "imported.ipynb")
    with kernel() as running:
        for cell in (f"%cd -q {tmp_path}", *IN_A_NOTEBOOK):
            ran = running.run(cell)
            assert ran.status == "ok", ran
    carried = tmp_path / "carried.ipynb"

    assert "5 passed" in nbval(imported, carried, tmp_path / "test_carried.py")
    found = read(imported)
    assert [cell.id for cell in found.cells] == ["title", "setup", "scenario"]
    assert [cell.get("execution_count") for cell in found.cells] == [None, 1, 2]
    assert all("execution" not in cell.metadata for cell in found.cells)
    assert "widgets" not in found.metadata
    (shown,) = found.cells[2].outputs
    assert "✓ await begin(Plan.PRO)" in shown["data"]["text/plain"]
    assert is_ours(imported)
    assert is_ours(carried)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """In place of kernels: the outputs of the last cell, one list for each run."""
    runs: list[list[Any]] = []

    def executed(notebook: Any, *_: Any) -> Any:
        made = nbformat.from_dict(notebook)  # type: ignore[no-untyped-call]
        made.cells[2].outputs = runs.pop(0)
        return made

    monkeypatch.setattr(notebook_file, "executed", executed)
    return runs


def text(value: str) -> Any:
    return nbformat.v4.new_output("stream", text=value)  # type: ignore[no-untyped-call]


def shown(**data: str) -> Any:
    return nbformat.v4.new_output("display_data", data=data)  # type: ignore[no-untyped-call]


def test_outputs_that_change_are_refused_and_named(shop: Any, fake: list[list[Any]], tmp_path: Path) -> None:
    scenario = scripted(shop, "begin()")
    for first, second, said in (
        ([text("a\nb 1\n")], [text("a\nb 2\n")], "shows 'b 1' first, and then 'b 2'; leave out what changes"),
        (
            [shown(**{"text/plain": "x", "text/html": "<1>"})],
            [shown(**{"text/plain": "x", "text/html": "<2>"})],
            "'<1>'",
        ),
        ([text("a")], [], "the outputs of cell 3 differ"),
    ):
        fake += [first, second]
        with pytest.raises(ScenarioError) as caught:
            to_notebook(scenario, tmp_path / "a.ipynb")
        assert "scenario 'sign up' is not the same on every run: " in str(caught.value)
        assert said in str(caught.value)
        assert "cell 3" in str(caught.value)
    assert not (tmp_path / "a.ipynb").exists()


def test_only_what_an_export_has_written_is_replaced(shop: Any, fake: list[list[Any]], tmp_path: Path) -> None:
    scenario, path = scripted(shop, "begin()"), tmp_path / "a.ipynb"
    fake += [[text("a")]] * 6
    to_notebook(scenario, path)
    again = read(path)
    again.cells[1].outputs = []
    nbformat.write(again, path)  # type: ignore[no-untyped-call]
    assert is_ours(path), "it was only run again"
    to_notebook(scenario, path)

    again.cells[1].source += "\n# mine"
    nbformat.write(again, path)  # type: ignore[no-untyped-call]
    with pytest.raises(ScenarioError, match=r"a\.ipynb is there already, and was not written by an export"):
        to_notebook(scenario, path)
    path.write_text("mine")
    with pytest.raises(ScenarioError, match="is there already"):
        to_notebook(scenario, path)
    to_notebook(scenario, path, overwrite=True)
    assert is_ours(path)


def test_a_cell_that_fails_is_told(shop: Any, tmp_path: Path) -> None:
    """The package that is imported is not found from the notebook's folder."""
    (tmp_path / "elsewhere").mkdir()

    with pytest.raises(ScenarioError) as caught:
        to_notebook(scripted(shop, "begin()"), tmp_path / "elsewhere" / "a.ipynb")

    assert str(caught.value) == (
        "scenario 'sign up' fails as a notebook: ModuleNotFoundError: No module named 'shop'"
    )
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_is_not_installed_is_named(shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("nbformat", "nbclient"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(MissingPackageError, match=rf"{package} is needed: pip install 'qstate-nb\[export\]'"):
                to_notebook(scripted(shop, "begin()"), tmp_path / "a.ipynb")


def test_a_loop_of_its_own_works_inside_another_one() -> None:
    async def inner() -> str:
        await asyncio.sleep(0)
        return "done"

    async def fails() -> None:
        raise ValueError("no")

    async def main() -> str:
        with pytest.raises(ValueError, match="no"):
            executing.in_own_loop(fails())
        return executing.in_own_loop(inner())

    assert asyncio.run(main()) == "done"


def test_an_interrupt_cancels_what_runs_and_waits_for_its_end() -> None:
    ended: list[str] = []
    here = threading.main_thread().ident
    assert here is not None

    async def waits() -> None:
        try:
            signal.pthread_kill(here, signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    with pytest.raises(KeyboardInterrupt):
        executing.in_own_loop(waits())
    assert ended == ["cancelled"]
