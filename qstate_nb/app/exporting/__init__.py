"""Scenarios as files: a test module, or a notebook with its outputs.

Scenario ─► Plan: steps, values as Python ─┬─► pytest_module ─► test_….py
            Sources: imports or source    ─┴─► notebook_file ─► ….ipynb
"""

from __future__ import annotations

from qstate_nb.app.exporting.notebook_file import to_notebook
from qstate_nb.app.exporting.pytest_module import to_pytest

__all__ = ["to_notebook", "to_pytest"]
