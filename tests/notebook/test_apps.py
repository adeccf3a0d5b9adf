"""Which app `%qstate` works on."""

from __future__ import annotations

from typing import Any

import pytest
from support.containers import Lazy

from qstate_nb import InlineApp, StateRegistry
from qstate_nb.errors import CommandError, NotFoundError
from qstate_nb.notebook.apps import apps_in, checked_name, current_name


def make() -> InlineApp:
    return InlineApp(registry=StateRegistry())


def current_app(names: dict[str, Any], chosen: str | None) -> object:
    return names[current_name(names, chosen)]


class Special(InlineApp):
    pass


def test_the_only_app_is_used() -> None:
    app = make()
    assert current_app({"n": 1, "shop": app, "InlineApp": InlineApp, "lazy": Lazy()}, None) is app


def test_an_app_with_two_names_is_one_app() -> None:
    app = make()
    assert apps_in({"a": app, "b": app}) == {"a": app}
    assert current_app({"a": app, "b": app}, None) is app


def test_the_results_of_cells_do_not_count() -> None:
    app = make()
    assert current_app({"_": make(), "_3": make(), "app": app}, None) is app


def test_a_subclass_is_an_app() -> None:
    app = Special(registry=StateRegistry())
    assert current_app({"app": app}, None) is app


def test_no_app_is_an_error_that_says_how_to_make_one() -> None:
    with pytest.raises(CommandError, match=r"there is no app yet; make one: app = InlineApp\(\)"):
        current_app({"n": 1, "_": make()}, None)


def test_two_apps_are_an_error_that_says_how_to_choose() -> None:
    names = {"a": make(), "b": make()}
    with pytest.raises(CommandError, match=r"more than one app \(a, b\); choose one: %qstate app a"):
        current_app(names, None)
    assert current_app(names, checked_name(names, "b")) is names["b"]


def test_the_chosen_variable_is_followed_when_it_is_made_anew() -> None:
    names = {"a": make(), "b": make()}
    chosen = checked_name(names, "b")
    names["b"] = make()
    assert current_app(names, chosen) is names["b"]


@pytest.mark.parametrize("left", [{}, {"b": 5}], ids=["deleted", "something else"])
def test_a_chosen_app_that_is_gone_is_forgotten(left: dict[str, Any]) -> None:
    app = make()
    assert current_app({"a": app, **left}, "b") is app


def test_what_is_no_app_can_not_be_chosen() -> None:
    with pytest.raises(NotFoundError, match="no app 'shp'; did you mean 'shop'"):
        checked_name({"shop": make()}, "shp")
    with pytest.raises(NotFoundError, match="no app 'n'"):
        checked_name({"shop": make(), "n": 5}, "n")
    with pytest.raises(NotFoundError, match="no app 'x'; there is none yet"):
        checked_name({"lazy": Lazy()}, "x")
