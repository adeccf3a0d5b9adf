"""A real IPython shell in this process, and what a cell did in it.

ran = shell.run("%qstate get Signup step")
assert ran.text == "Out[1]: 2"
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from IPython.core.completer import CompletionContext, provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


@dataclass
class Ran:
    """What a cell did.

    Args:
        value: of its last line, if that is shown.
        text: everything that was printed or shown.
        error: what it raised.
    """

    value: Any
    text: str
    error: BaseException | None


class Shell:
    """An IPython shell, used as a user does."""

    def __init__(self, ip: Any, capsys: pytest.CaptureFixture[str]) -> None:
        self.ip = ip
        self._capsys = capsys

    @property
    def names(self) -> dict[str, Any]:
        """The user's variables."""
        names: dict[str, Any] = self.ip.user_ns
        return names

    def run(self, cell: str) -> Ran:
        """Run a cell."""
        self._capsys.readouterr()
        result = self.ip.run_cell(cell, store_history=True)
        out, err = self._capsys.readouterr()
        return Ran(result.result, f"{out}{err}".strip(), result.error_before_exec or result.error_in_exec)

    def good(self, cell: str) -> str:
        """Run a cell that must succeed; what it printed and showed, without ``Out[1]:``."""
        ran = self.run(cell)
        assert ran.error is None, ran.text
        start, _, text = ran.text.partition(": ")
        return text.strip() if start.startswith("Out[") else ran.text

    def value(self, cell: str) -> Any:
        """Run a cell that must succeed; the value of its last line."""
        ran = self.run(cell)
        assert ran.error is None, ran.text
        return ran.value

    def fails(self, cell: str) -> tuple[str, str]:
        """Run a cell that must fail with one line, and no traceback; its error's class, and the line's rest."""
        ran = self.run(cell)
        assert ran.error is not None, f"{cell} does not fail: {ran.text}"
        name, _, message = ran.text.splitlines()[-1].partition(": ")
        assert name == type(ran.error).__name__
        assert len(ran.text.splitlines()) == 1, ran.text
        assert message == str(ran.error)
        return name, message

    def completions(self, line: str, *, cell: str | None = None) -> list[str]:
        """What Tab offers at the end of a line, the way a kernel asks for it."""
        full = line if cell is None else f"{cell}\n{line}"
        with provisionalcompleter():
            return [each.text for each in self.ip.Completer.completions(full, len(full))]

    def context(self, line: str) -> CompletionContext:
        """What a matcher is asked about."""
        return CompletionContext(
            token=line.rpartition(" ")[2], full_text=line, cursor_position=len(line), cursor_line=0, limit=500
        )


@contextmanager
def ipython(directory: Path) -> Iterator[Any]:
    """The shell of this process, made for the block."""
    main, hook, display_hook = sys.modules["__main__"], sys.excepthook, sys.displayhook
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.separate_in = ""
    config.Completer.use_jedi = False
    try:
        yield InteractiveShell.instance(config=config, ipython_dir=str(directory), user_module=ModuleType("__main__"))
    finally:
        InteractiveShell.clear_instance()
        sys.modules["__main__"] = main
        sys.excepthook, sys.displayhook = hook, display_hook
