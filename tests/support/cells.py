"""A notebook's variables without a notebook: cells that run in a ``__main__`` of their own, as IPython does it."""

from __future__ import annotations

import itertools
import linecache
import sys
import textwrap
from types import ModuleType
from typing import Any

import pytest

_numbers = itertools.count(1)


class FakeNotebook:
    """Runs cells, and keeps their source where IPython keeps it.

    Args:
        monkeypatch: takes it away again.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module = ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", module)
        self.names: dict[str, Any] = vars(module)
        self.names.update(In=[""], get_ipython=lambda: None)

    def run(self, *cells: str) -> None:
        """Run cells."""
        for cell in cells:
            source = textwrap.dedent(cell).strip() + "\n"
            file = f"<cell {next(_numbers)}>"
            linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
            self.names["In"].append(source)
            exec(compile(source, file, "exec"), self.names)

    def __getitem__(self, name: str) -> Any:
        return self.names[name]
