"""The imports of a written module."""

from __future__ import annotations

import textwrap

import pytest

from qstate_nb.app.exporting.imports import Import, Imports, import_of


@pytest.fixture
def imports() -> Imports:
    return Imports()


def test_lines_are_in_the_order_of_isort(imports: Imports, shop: object) -> None:
    for module, name in [
        *(("shop.tasks", "step"), ("shop.tasks", "LIMIT"), ("shop.tasks", "Order"), ("qstate_nb", "ABSENT")),
        *(("decimal", "Decimal"), ("datetime", ""), ("asyncio", ""), ("__future__", "annotations")),
    ]:
        imports.use(Import(module, name))

    assert "\n".join(imports.lines()) == textwrap.dedent("""\
        from __future__ import annotations

        import asyncio
        import datetime
        from decimal import Decimal

        from qstate_nb import ABSENT

        from shop.tasks import LIMIT, Order, step""")


def test_a_name_that_is_taken_gets_another_one(imports: Imports) -> None:
    imports.fix("step", None)

    assert imports.use(Import("shop", "step")) == "step_"
    assert imports.use(Import("bazaar", "step")) == "step__"
    assert imports.use(Import("shop", "step")) == "step_"
    assert imports.free("step_") == "step___"
    assert imports.lines() == ["from bazaar import step as step__", "from shop import step as step_"]


def test_a_name_means_one_thing(imports: Imports) -> None:
    assert imports.fix("a", Import("a"))
    assert imports.fix("a", Import("a"))
    assert not imports.fix("a", None)
    assert not imports.fix("a", Import("b", "a"))


def test_pytest_does_not_take_an_import_for_a_test(imports: Imports) -> None:
    assert imports.use(Import("shop", "test_line")) == "its_test_line"
    assert imports.lines() == ["from shop import test_line as its_test_line"]


def test_a_long_import_is_broken(imports: Imports) -> None:
    for index in range(10):
        imports.use(Import("shop", f"a_rather_long_name_{index}"))

    (text,) = imports.lines()
    assert text.splitlines()[:2] == ["from shop import (", "    a_rather_long_name_0,"]
    assert text.splitlines()[-1] == ")"


def test_modules_of_a_package(imports: Imports) -> None:
    imports.fix("os.path", Import("os.path"))

    assert imports.use(Import("xml.dom")) == "dom"
    assert imports.lines() == ["import os.path", "import xml.dom as dom"]


def test_classes_of_datetime_are_used_by_way_of_their_module() -> None:
    assert import_of("datetime", "datetime") == (Import("datetime"), ".datetime")
    assert import_of("decimal", "Decimal") == (Import("decimal", "Decimal"), "")
