"""The source behind the variables of a notebook or a module."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.cells import FakeNotebook

from qstate_nb.app.exporting.namespaces import Namespace
from qstate_nb.app.script import run_script


def source(notebook: FakeNotebook, name: str) -> str | None:
    found = Namespace(notebook.names).statement(name)
    return None if found is None else found.source


def test_functions_classes_and_variables_have_the_source_of_their_cell(notebook: FakeNotebook) -> None:
    function = "@staticmethod\ndef f(\n    x,\n):\n    # why\n    return x"
    cls = '@final\n@final\nclass A:\n    """It is."""\n    x = 1'
    notebook.run(f"x = 1\n{function}\ny: int = 2\n", f"from typing import final\n{cls}\nz = 1")

    assert source(notebook, "f") == function
    assert source(notebook, "y") == "y: int = 2"
    assert source(notebook, "A") == cls


def test_the_last_definition_counts(notebook: FakeNotebook) -> None:
    notebook.run("def f(): return 1\nx = 1", "def f(): return 2\nx = 2")

    assert source(notebook, "f") == "def f(): return 2"
    assert source(notebook, "x") == "x = 2"


def test_a_class_is_found_by_its_methods(notebook: FakeNotebook) -> None:
    """A later cell that failed before it defined the class, or another one of that name, doesn't count."""
    notebook.run("class A:\n    def f(self): return 1")
    notebook.names["In"].append("1 / 0\nclass A:\n    def f(self): return 2")

    assert source(notebook, "A") == "class A:\n    def f(self): return 1"


def test_a_decorated_function_has_the_source_of_its_own_definition(notebook: FakeNotebook) -> None:
    notebook.run(
        """
        import functools
        def traced(f):
            @functools.wraps(f)
            def inner():
                return f()
            return inner
        """,
        """
        @traced
        def g():
            return 1
        def plain(f):
            return lambda: f()
        @plain
        def h():
            return 1
        """,
    )

    assert source(notebook, "g") == "@traced\ndef g():\n    return 1"
    assert source(notebook, "h") == "@plain\ndef h():\n    return 1"


def test_a_function_under_another_name_is_an_assignment(notebook: FakeNotebook) -> None:
    notebook.run("def f(): return 1\ng = f")

    assert source(notebook, "g") == "g = f"


def test_cells_that_are_no_python_are_skipped(notebook: FakeNotebook) -> None:
    notebook.run("x = 1")
    notebook.names["In"].append("x = = 2")

    assert source(notebook, "x") == "x = 1"
    assert source(notebook, "unknown") is None


def test_what_a_scenario_defined_has_its_source(notebook: FakeNotebook) -> None:
    notebook.run("from qstate_nb import InlineApp, StateRegistry\napp = InlineApp(registry=StateRegistry())")
    cell = "class Defined:\n    pass\nlimit = 7\nlater = lambda: 8"
    asyncio.run(run_script(notebook["app"], "defines", cell, notebook.names))
    notebook.run("later = lambda: 9")

    assert source(notebook, "Defined") == "class Defined:\n    pass"
    assert source(notebook, "limit") == "limit = 7"
    assert source(notebook, "later") == "later = lambda: 9"


def test_imports_are_found_also_in_blocks(notebook: FakeNotebook) -> None:
    notebook.run(
        "import os.path, numbers as n\ntry:\n    from decimal import Decimal as D\nexcept ImportError: D = None"
    )
    space = Namespace(notebook.names)

    assert list(space.imports("os")) == [("os.path", "")]
    assert list(space.imports("n")) == [("numbers", "")]
    assert list(space.imports("D")) == [("decimal", "Decimal")]
    assert list(space.imports("numbers")) == list(space.imports("Decimal")) == []


def test_late_annotations_are_noticed(notebook: FakeNotebook) -> None:
    assert not Namespace(notebook.names).is_late

    notebook.run("from __future__ import annotations")

    assert Namespace(notebook.names).is_late


def test_modules_tell_whether_they_can_be_imported(shop: Any, notebook: FakeNotebook) -> None:
    notebook.run("def f(): pass")
    there, here = Namespace.of(shop.begin), Namespace.of(notebook["f"])

    assert there is not None
    assert here is not None
    assert (there.module, there.is_importable) == ("shop.tasks", True)
    assert (here.module, here.is_importable) == ("__main__", False)
    assert there.names is vars(shop)


def test_the_variable_that_holds_an_object(shop: Any) -> None:
    space = Namespace(vars(shop))
    shop._also = shop.again = shop.app

    assert space.holds(shop.app) == "app"
    assert space.holds(shop.say_loud) == "say_loud"
    assert space.holds(object()) is None


def test_what_has_no_namespace() -> None:
    assert Namespace.of(len) is None


@pytest.mark.parametrize("name", ["begin", "Order"])
def test_a_module_has_the_source_of_its_file(shop: Any, name: str) -> None:
    found = Namespace(vars(shop)).statement(name)

    assert found is not None
    assert found.source.splitlines()[0] in ("@app.task", "@dataclass")
