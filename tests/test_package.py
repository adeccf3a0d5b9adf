"""The package: its public names, what importing it loads, and its type marker."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from importlib.metadata import version

import qstate_nb

LAZY = ("IPython", "ipywidgets", "nest_asyncio2", "traitlets")


def test_all_is_sorted_and_everything_in_it_exists() -> None:
    assert qstate_nb.__all__ == sorted(qstate_nb.__all__)
    assert len(set(qstate_nb.__all__)) == len(qstate_nb.__all__)
    for name in qstate_nb.__all__:
        assert getattr(qstate_nb, name) is not None


def test_all_is_complete() -> None:
    """Every public name that isn't a module, an import for typing or a future is in it."""
    public = {
        name
        for name, value in vars(qstate_nb).items()
        if not name.startswith("_")
        and not isinstance(value, type(sys))
        and name not in ("annotations", "TYPE_CHECKING")
    }
    assert public == set(qstate_nb.__all__)


def test_importing_it_loads_no_notebook_and_no_patch() -> None:
    code = f"import sys, qstate_nb; print([name for name in {LAZY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_it_is_typed() -> None:
    assert resources.files(qstate_nb).joinpath("py.typed").is_file()


def test_the_version_is_that_of_the_distribution() -> None:
    assert version("qstate-nb") == qstate_nb.__version__
