"""Files that exports write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qstate_nb.app.exporting import files
from qstate_nb.errors import ScenarioError


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.py"

    files.write(path, "é = 1\n")
    path.chmod(0o640)
    files.write(path, "é = 2\n")

    assert path.read_text(encoding="utf-8") == "é = 2\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["a.py"]


def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "link.py").symlink_to(tmp_path / "a.py")

    files.write(tmp_path / "link.py", "x")

    assert (tmp_path / "a.py").read_text() == "x"
    assert (tmp_path / "link.py").is_symlink()


def test_nothing_is_left_of_a_file_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "a.py").mkdir()

    with pytest.raises(ScenarioError, match=r"can't write .*a\.py: Is a directory"):
        files.write(tmp_path / "a.py", "x")
    with pytest.raises(UnicodeEncodeError):
        files.write(tmp_path / "b.py", "\ud800")
    assert os.listdir(tmp_path) == ["a.py"]


def test_paths_that_can_not_be_written_are_refused(tmp_path: Path) -> None:
    for path, said in (
        (tmp_path, r"is a folder; name a file in it, such as .*scenario\.py"),
        (tmp_path / "a.txt", r"must be the name of a \.py file, such as .*a\.py"),
        (tmp_path / "none" / "a.py", r"there is no folder .*none; make it first"),
    ):
        with pytest.raises(ScenarioError, match=said):
            files.target_of(path, ".py")
    assert files.target_of(str(tmp_path / "a.py"), ".py") == tmp_path / "a.py"
