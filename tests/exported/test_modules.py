"""Exported modules are formatted as Ruff does it, and it finds nothing to complain about."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from qstate_nb.app.exporting import to_pytest
from qstate_nb.app.scenario import Scenario


def run_ruff(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "--isolated", "--no-cache", "tests"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def long_one(shop: Any) -> Scenario:
    """Values of all shapes, as arguments, results and State."""
    words = [f"word {index}" for index in range(12)]
    values = [
        *(7, "short", "long " * 30, b"long " * 30, -(10**100), words, words[:1] * 2, {"a": words}, {"a": "b" * 90}),
        *(tuple(words), (words[0] * 20,), {1, 2}, frozenset(words), [[[]]], {"a": {"b": {"c": words}}}, {}),
        *(shop.Order(1, shop.Decimal("1.5"), words), shop.Order(1, shop.Decimal("1" * 90)), [shop.Plan.PRO] * 12),
        *(None, True, [shop.Order(1, shop.Decimal(1))], {"k" * 60: "v" * 60}, [float("inf"), 1e100, 0.1]),
    ]
    scenario: Scenario
    with shop.app.scenario("a long one") as scenario:
        for value in values:
            shop.app.run("anything", value=value)
            shop.app.state(shop.Audit).set("value", value)
            shop.app.run("note", "text", level=value)
            shop.app.run("reset")
            scenario.expect("Audit", {"x" * 50: shop.ABSENT})
        shop.app.run("confirm", "x" * 100)
        shop.app.run("anything", **{f"argument_{index}": "x" * 20 for index in range(5)})
    return scenario


def test_ruff_changes_nothing(shop: Any, tmp_path: Path) -> None:
    from qstate_nb import ABSENT

    shop.ABSENT = ABSENT
    folder = tmp_path / "tests"
    folder.mkdir()
    to_pytest(long_one(shop), folder / "test_long.py")

    assert run_ruff("format", "--diff", folder=tmp_path) == "1 file already formatted\n"
    assert "All checks passed!" in run_ruff("check", "--select", "E4,E7,E9,F,I,UP,B,SIM,C4,PT", folder=tmp_path)
