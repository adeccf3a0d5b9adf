"""The project as a whole: its linters, its notebooks, its README, its wheel, other versions of Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest

from qstate_nb.notebook.verbs import VERBS

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BIN = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command and keep what it prints."""
    env = {**os.environ, **environment}
    env.pop("PYTHONPATH", None)  # it would hide what a test installs
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def check(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command that must succeed; what it prints."""
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(
    "command",
    ["ruff check .", "ruff format --check .", "mypy", "lint-imports"],
)
def test_linters_and_types_find_nothing(command: str) -> None:
    program, *arguments = command.split()
    check(BIN / program, *arguments)


def read(path: Path) -> Any:
    """A notebook."""
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_keep_the_outputs_of_one_run_from_top_to_bottom(path: Path) -> None:
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]

    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell.outputs for cell in cells)


def nbval(notebook: Path, option: str = "--nbval") -> subprocess.CompletedProcess[str]:
    """Validate a notebook by itself."""
    return run(
        sys.executable,
        "-m",
        "pytest",
        option,
        "--nbval-current-env",
        "-p",
        "no:cacheprovider",
        "-q",
        notebook.name,
        cwd=notebook.parent,
    )


def with_cells(tmp_path: Path, *cells: Any) -> Path:
    """A notebook of these cells."""
    notebook = nbformat.v4.new_notebook(cells=list(cells))  # type: ignore[no-untyped-call]
    notebook.metadata["kernelspec"] = read(NOTEBOOKS[0]).metadata["kernelspec"]
    path = tmp_path / "wrong.ipynb"
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    return path


def code(source: str, *outputs: str) -> Any:
    """A code cell that printed this when it was saved."""
    streams = [nbformat.v4.new_output("stream", text=text) for text in outputs]  # type: ignore[no-untyped-call]
    return nbformat.v4.new_code_cell(source, outputs=streams, execution_count=1)  # type: ignore[no-untyped-call]


SETUP = """
%load_ext qstate_nb
from qstate_nb import AsyncState, InlineApp
app = InlineApp()
class Signup(AsyncState): pass
@app.task
async def step1(state: Signup):
    await state.set("step", 1)
"""
REPORT = "step1 #1: success, returned None\n  state   key   change\n  Signup  step  → {}\n"


def test_a_notebook_with_a_wrong_output_fails_nbval(tmp_path: Path) -> None:
    right = nbval(with_cells(tmp_path, code(SETUP), code("%qstate run step1", REPORT.format(1))))
    wrong = nbval(with_cells(tmp_path, code(SETUP), code("%qstate run step1", REPORT.format(2))))

    assert "2 passed" in right.stdout, right.stdout
    assert "1 failed" in wrong.stdout
    assert "→ 2" in wrong.stdout, "the report shows what was expected"


@pytest.mark.parametrize("option", ["--nbval", "--nbval-lax"])
def test_a_wrong_command_fails_its_cell_even_under_nbval_lax(tmp_path: Path, option: str) -> None:
    done = nbval(with_cells(tmp_path, code(SETUP), code("%qstate run stpe1")), option)

    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "no task 'stpe1'; did you mean 'step1'?" in done.stdout


def test_readme_has_a_line_for_each_verb() -> None:
    table = re.findall(r"^\| `%qstate (\S[^`]*)` \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert table == [(verb.usage_line, verb.summary) for verb in VERBS.values()]


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_shown_in_a_notebook(verb: str) -> None:
    sources = [cell.source for path in NOTEBOOKS for cell in read(path).cells if cell.cell_type == "code"]
    commands = [line for source in sources for line in source.splitlines()]

    assert any(
        re.match(rf"(?:.*%qstate )?{verb}\b", line)
        for source in sources
        if "qstate" in source
        for line in source.splitlines()
    ), commands


def test_ci_runs_the_test_command_of_the_readme() -> None:
    commands = re.findall(r"^python3 -m venv .* -m pytest$", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert len(commands) == 1
    assert "^python3 -m venv .* -m pytest$" in (ROOT / ".ci/run").read_text()


SMOKE = """
import asyncio, qstate_nb, pathlib
assert "site-packages" in qstate_nb.__file__, qstate_nb.__file__
from qstate_nb import AsyncState, InlineApp
app = InlineApp()
class Signup(AsyncState): pass
@app.task
async def step1(state: Signup):
    await asyncio.sleep(0)
    return await state.update(step=1)
assert app.run("step1").returning == {"step": 1}
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.user_ns.update(app=app)
shell.run_line_magic("load_ext", "qstate_nb")
shell.run_line_magic("qstate", "run step1")
print(qstate_nb.panel(app).model.overview().text)
"""


def make_environment(python: str | Path, folder: Path) -> Path:
    """A new virtual environment; its interpreter."""
    check(python, "-m", "venv", folder)
    return folder / "bin" / "python"


def test_the_wheel_installs_and_runs_without_the_checkout(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "notebooks", "tests"))
    python = make_environment(sys.executable, tmp_path / "venv")
    check(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, source)
    shutil.rmtree(source)
    (wheel,) = tmp_path.glob("*.whl")
    check(python, "-m", "pip", "install", "-q", wheel)

    shown = check(python, "-W", "error", "-c", SMOKE, cwd=tmp_path)

    assert "step1 #2: success, returned {'step': 1}" in shown
    assert "qstate panel: app" in shown


def other_pythons() -> list[Path]:
    """The other supported interpreters on this machine: on PATH, and pyenv's."""
    found: dict[str, Path] = {}
    places = [Path(path) for path in os.get_exec_path()]
    pyenv = shutil.which("pyenv")
    if pyenv is not None:
        places += Path(run(pyenv, "root").stdout.strip()).glob("versions/3.*/bin")
    for path in (path for place in places for path in sorted(place.glob("python3.??"))):
        version = path.name.removeprefix("python3.")
        if version.isdigit() and int(version) >= 11 and int(version) != sys.version_info.minor:
            if run(path, "-c", "import ssl, venv").returncode == 0:
                found.setdefault(version, path)
    return list(found.values())


def unit_tests(python: Path, folder: Path) -> str:
    """Run the unit tests on another Python, in an environment of its own; what is printed."""
    environment = make_environment(python, folder)
    check(environment, "-m", "pip", "install", "-q", f"{ROOT}[redis]", "hypothesis", "pytest", "pytest-timeout")
    races = (f"tests/races/test_{name}.py" for name in ("behaviour", "primitives", "time"))
    stores = [
        f"tests/stores/test_{name}.py" for name in ("sqlite", "shared")[: 2 if shutil.which("redis-server") else 1]
    ]
    options = ("-q", "-p", "no:cacheprovider", "-o", "addopts=", "--import-mode=importlib")
    return check(environment, "-m", "pytest", *options, "tests/core", "tests/app", "tests/notebook", *races, *stores)


@pytest.fixture(scope="module")
def on_other_pythons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Path, Future[str]]]:
    """The unit tests on all of them, at the same time."""
    with ThreadPoolExecutor() as pool:
        pythons = other_pythons()
        yield {python: pool.submit(unit_tests, python, tmp_path_factory.mktemp("venv")) for python in pythons}


@pytest.mark.parametrize("python", other_pythons(), ids=lambda path: path.name)
def test_unit_tests_pass_on_other_pythons(python: Path, on_other_pythons: dict[Path, Future[str]]) -> None:
    shown = on_other_pythons[python].result()

    assert " passed" in shown
    assert "skipped" not in shown
