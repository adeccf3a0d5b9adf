"""What another program can import."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import sys
import typing
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from qstate_nb import ABSENT, AsyncState
from qstate_nb.app.exporting.homes import can_be_imported, home_of, is_builtin
from qstate_nb.app.exporting.imports import Import


@pytest.mark.parametrize(
    "name", ["os", "os.path", "json.decoder", "sys", "asyncio", "qstate_nb.app.task", "zipimport"]
)
def test_modules_that_can_be_imported(name: str) -> None:
    module = sys.modules.get(name)
    assert can_be_imported(name, getattr(module, "__file__", None))


@pytest.mark.parametrize("name", ["__main__", "no_such_module", "json.no_such", "decimal.more"])
def test_modules_that_can_not(name: str) -> None:
    assert not can_be_imported(name)


def test_a_module_that_was_made_by_hand_can_not_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "made_by_hand", ModuleType("made_by_hand"))

    assert not can_be_imported("made_by_hand")


def test_another_file_of_that_name_is_another_module(shop: Any, tmp_path: Path) -> None:
    assert can_be_imported("shop.tasks", shop.__file__)
    assert not can_be_imported("shop.tasks", str(tmp_path / "tasks.py"))


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (Decimal, (Import("decimal", "Decimal"), "")),
        (asyncio.Lock, (Import("asyncio", "Lock"), "")),
        (AsyncState, (Import("qstate_nb", "AsyncState"), "")),
        (ABSENT, (Import("qstate_nb", "ABSENT"), "")),
        (datetime.date, (Import("datetime"), ".date")),
        (os.path.join, None),
        (typing.Any, (Import("typing", "Any"), "")),
        (typing.Literal, (Import("typing", "Literal"), "")),
        (json.dumps, (Import("json", "dumps"), "")),
        (lambda: 1, None),
        (1, None),
        (Decimal(1), None),
    ],
    ids=repr,
)
def test_where_a_thing_is_imported_from(thing: Any, expected: Any) -> None:
    found = home_of(thing)
    if thing is os.path.join:
        assert found is not None
        assert found[0].module in ("posixpath", "ntpath")
    else:
        assert found == expected


def test_ones_own_things_come_from_their_own_module(shop: Any) -> None:
    sys.modules["shop"].Plan = shop.Plan  # type: ignore[attr-defined]

    assert home_of(shop.Plan) == (Import("shop.tasks", "Plan"), "")


def test_what_a_module_does_not_hold_has_no_home(shop: Any) -> None:
    plan = shop.Plan
    shop.Plan = None

    assert home_of(plan) is None


def test_builtins() -> None:
    assert is_builtin(int)
    assert is_builtin(ValueError)
    assert not is_builtin(Decimal)
    assert not is_builtin(1)
