"""Where a task is held."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from support.cells import FakeNotebook

from qstate_nb import InlineApp, StateRegistry
from qstate_nb.app.exporting.holders import held, holder_of
from qstate_nb.app.exporting.namespaces import Namespace
from qstate_nb.errors import ScenarioError

START = "from qstate_nb import InlineApp\napp = InlineApp()\n@app.task\ndef step1(): return 1"


def test_a_task_of_an_app_is_that_of_its_forks(shop: Any) -> None:
    for app in (shop.app, shop.app.fork(), shop.app.fork().fork()):
        space, name = holder_of(app.tasks["loud"])
        assert (space.module, name) == ("shop.tasks", "say_loud")


def test_the_name_of_the_function_is_the_first_choice(shop: Any) -> None:
    shop.a = shop.z = shop.begin

    assert holder_of(shop.begin)[1] == "begin"
    del shop.begin
    assert holder_of(shop.a)[1] == "a"


def test_another_module_may_hold_it(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("elsewhere")
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    module.step = InlineApp(registry=StateRegistry()).task(shop.Plan.mro)
    module.noted = InlineApp("other", registry=StateRegistry()).task(shop.note.function)

    assert holder_of(module.noted)[1] == "note", "the same function with the same name"
    del shop.note
    space, name = holder_of(module.noted)
    assert (space.module, name) == ("elsewhere", "noted")


def test_the_same_cell_run_again_is_the_same_task(notebook: FakeNotebook) -> None:
    notebook.run(START)
    old = notebook["step1"]
    notebook.run(START)
    assert holder_of(old)[1] == "step1"

    notebook.run("@app.task\ndef step1(): return 2")
    with pytest.raises(
        ScenarioError, match="task 'step1' was defined anew since the scenario; run the scenario again"
    ):
        holder_of(old)


def test_a_task_of_that_name_that_is_from_elsewhere_is_another_one(notebook: FakeNotebook, shop: Any) -> None:
    notebook.run("from qstate_nb import InlineApp\napp = InlineApp()\n@app.task\ndef begin(): return 1")

    assert held(Namespace(notebook.names), shop.begin) is None


def test_a_task_that_nothing_holds_is_refused() -> None:
    app = InlineApp(registry=StateRegistry())

    @app.task
    def step1() -> None:
        pass

    with pytest.raises(ScenarioError, match=r"task 'step1' is not the value of a variable in .*test_holders, so"):
        holder_of(step1)
