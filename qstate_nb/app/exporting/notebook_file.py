"""A scenario as a notebook with its outputs, which are the same on every run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qstate_nb.app.exporting import files
from qstate_nb.app.exporting.cells import Cells
from qstate_nb.app.exporting.executing import executed, needed
from qstate_nb.app.exporting.plan import Plan
from qstate_nb.core.formats import short
from qstate_nb.errors import ScenarioError

if TYPE_CHECKING:
    from qstate_nb.app.scenario import Scenario

_MARK = "qstate_nb"


def to_notebook(
    scenario: Scenario, path: str | os.PathLike[str], *, overwrite: bool = False, timeout: float = 120.0
) -> Path:
    """Write a scenario as a notebook, with the outputs that it gives in a fresh kernel of this Python.

    It is run twice, in the notebook's folder: from there, its imports must work. Outputs that are not the same both
    times, such as a time, are refused, as `nbval` would fail on them later. A file that is there is replaced if it
    was written by this and its cells are unchanged, or else only with *overwrite*.

    Args:
        path: the file, ``….ipynb``.
        overwrite: whether to replace any file.
        timeout: seconds that a cell may take.

    Returns:
        The file.

    Raises:
        MissingPackageError: nbformat, nbclient or ipykernel is not installed.
        ScenarioError: the scenario can't be done again, something in it can't be written as Python, a cell fails or
            gives other outputs the second time, or the file can't be written. Nothing is written then.
        NotFoundError: the app has no task of that name any more.
    """
    nbformat = needed("nbformat")
    target = files.target_of(path, ".ipynb")
    if target.exists() and not overwrite and not is_ours(target):
        raise files.refuse(target)
    cells = Cells(Plan(scenario))
    notebook = _notebook(nbformat, cells)
    first = executed(notebook, target.parent, timeout, scenario.name)
    second = executed(notebook, target.parent, timeout, scenario.name)
    _check_same(first, second, scenario.name)
    first.metadata[_MARK] = {"digest": _digest(first)}
    files.write(target, nbformat.writes(first) + "\n")
    return target


def is_ours(file: Path) -> bool:
    """Whether the cells of a notebook are as an export has written them; it may have been run since."""
    try:
        notebook = needed("nbformat").read(file, as_version=4)
        return bool(notebook.metadata[_MARK]["digest"] == _digest(notebook))
    except Exception:  # it is no notebook, or of another version, or not ours
        return False


def _digest(notebook: Any) -> str:
    return files.digest("\0".join(f"{cell.cell_type}\0{cell.source}" for cell in notebook.cells))


def _notebook(nbformat: Any, cells: Cells) -> Any:
    new = nbformat.v4
    made = [new.new_markdown_cell(cells.title), new.new_code_cell(cells.setup), new.new_code_cell(cells.scenario)]
    for cell, name in zip(made, ("title", "setup", "scenario"), strict=True):
        cell["id"] = name
    notebook = new.new_notebook(cells=made)
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    return notebook


def _check_same(first: Any, second: Any, name: str) -> None:
    """Refuse outputs that are other ones on the second run."""
    for number, (one, other) in enumerate(zip(first.cells, second.cells, strict=True), 1):
        if one.get("outputs") == other.get("outputs"):
            continue
        for was, now in zip(_shown(one), _shown(other), strict=False):
            if was != now:
                raise ScenarioError(
                    f"scenario {name!r} is not the same on every run: cell {number} of the notebook shows "
                    f"{short(was.strip(), 200)} first, and then {short(now.strip(), 200)}; leave out what changes"
                )
        raise ScenarioError(f"scenario {name!r} is not the same on every run: the outputs of cell {number} differ")


def _shown(cell: Any) -> list[str]:
    """The lines of a cell's outputs: of what has several forms, the plain text first."""
    lines: list[str] = []
    for output in cell.outputs:
        data = output.get("data", {})
        texts = [output.get("text", ""), *(data[form] for form in sorted(data, reverse=True))]
        lines += [line for text in texts for line in str(text).splitlines()]
    return lines
