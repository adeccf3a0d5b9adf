"""Which variables top-level statements change."""

from __future__ import annotations

import pytest

from qstate_nb.app.exporting.changed import changed_in


@pytest.mark.parametrize(
    "source",
    [
        "a += 1",
        "a[1] = 2",
        "a.b.c = 2",
        "del a",
        "del a[0]",
        "a.append(1)",
        "a['x'].append(1)",
        "x = a.pop()",
        "for a in (1, 2): pass",
        "if x:\n    a = 1",
        "a, x = 1, 2",
        "(a := 1)",
        "with x as a: pass",
    ],
)
def test_what_changes_a_variable(source: str) -> None:
    assert "a" in changed_in(source)


@pytest.mark.parametrize(
    "source",
    [
        "a = 1",
        "a: int = 1",
        "def f():\n    a.append(1)\n    a[1] = 2",
        "f = lambda: a.pop()",
        "print(a, a[1], a.b)",
        "a.get(1), a.items()",
        "= not Python",
    ],
)
def test_what_does_not(source: str) -> None:
    assert "a" not in changed_in(source)
