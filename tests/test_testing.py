"""`Trial`: an app's tasks on State of their own."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from support.leaks import nothing_left

from qstate_nb import ABSENT, AsyncState, InlineApp, Scope, State, StateRegistry
from qstate_nb.errors import FieldTypeError, NotFoundError, StateNameError, TaskDefinitionError
from qstate_nb.testing import Trial


class Stock(State):
    pass


class Cart(AsyncState):
    items: int = 0
    names: list[str] = []  # noqa: RUF012 - a copy for each


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    with nothing_left():
        yield


@pytest.fixture
def app() -> InlineApp:
    app = InlineApp("shop", registry=StateRegistry())

    @app.task
    def sell(stock: Stock, what: str, *, by: int = 1) -> Any:
        return stock.increment(what, -by)

    @app.task
    async def put(cart: Annotated[Cart, Scope("user")], user: object, name: str) -> Any:
        await asyncio.sleep(0)
        await cart.append("names", name)
        return await app.tasks["sell"](name)

    @app.task
    def fail() -> None:
        raise ValueError("no")

    return app


def test_classes_that_no_task_takes_have_their_defaults(app: InlineApp) -> None:
    class Limits(State):
        most: int = 3

    trial = Trial(app, {"Limits": {"least": 1}}, classes=[Limits])

    assert trial.state("Limits") == {"most": 3, "least": 1}
    assert trial.changed() == []
    with pytest.raises(FieldTypeError):
        trial.write("Limits", {"most": "x"})
    assert Trial(app).state("Limits") == {}


def test_tasks_run_on_state_of_their_own_and_so_do_those_that_they_call(app: InlineApp) -> None:
    trial = Trial(app)

    assert trial.run(app.tasks["put"], 7, "apples").unwrap() == -1
    assert trial.run("put", 7, "pears").unwrap() == -1

    assert trial.state("Stock") == {"apples": -1, "pears": -1}
    assert trial.state("Cart[7]") == {"items": 0, "names": ["apples", "pears"]}
    assert dict(app.registry.at()) == {}
    assert app.calls == []
    assert trial.app.name == "shop"


def test_what_changed_is_told_once(app: InlineApp) -> None:
    trial = Trial(app, {"Stock": {"apples": 1}})
    assert trial.changed() == []

    trial.run("sell", "apples", by=2)
    trial.write("Cart[7]", {"names": ["a"]})
    assert trial.changed() == ["Cart[7]", "Stock"]

    trial.run("sell", "apples", by=0)
    assert trial.changed() == []


def test_state_that_is_emptied_has_changed(app: InlineApp) -> None:
    trial = Trial(app, {"Stock": {"a": 1, "b": 2}})

    trial.write("Stock", {"a": ABSENT})
    assert (trial.changed(), trial.state("Stock")) == (["Stock"], {"b": 2})
    trial.write("Stock", {"b": ABSENT, "c": ABSENT})
    assert (trial.changed(), trial.state("Stock")) == (["Stock"], {})


def test_what_is_given_out_is_a_copy(app: InlineApp) -> None:
    names: list[Any] = ["a"]
    trial = Trial(app, {"Stock": {"names": names}})
    trial.run("sell", "a")

    for given in (names, trial.state("Stock")["names"]):
        given.append("b")
    assert trial.state("Stock") == {"names": ["a"], "a": -1}


def test_calls_run_at_once_in_their_order(app: InlineApp) -> None:
    order: list[str] = []

    @app.task
    async def meets(name: str) -> str:
        order.append(f"{name} began")
        while len([each for each in order if each.endswith("began")]) < 2:
            await asyncio.sleep(0)
        order.append(f"{name} ended")
        return name

    trial = Trial(app)
    fail = app.tasks["fail"]
    results = trial.together(meets.bind("a"), meets.bind(name="b"), fail)

    assert [result.status for result in results] == ["success", "success", "error"]
    assert [result.returning for result in results] == ["a", "b", None]
    assert order[:2] == ["a began", "b began"]


def test_it_works_inside_a_running_loop(app: InlineApp) -> None:
    async def test() -> Any:
        trial = Trial(app)
        return trial.run("put", 1, "a").unwrap(), trial.together(app.tasks["sell"].bind("a"))[0].unwrap()

    assert asyncio.run(test()) == (-1, -2)


def test_an_error_is_in_the_result(app: InlineApp) -> None:
    result = Trial(app).run("fail")

    assert repr(result.exception) == "ValueError('no')"
    with pytest.raises(ValueError, match="no"):
        result.unwrap()


def test_the_task_that_is_given_counts_not_its_name(app: InlineApp) -> None:
    old = app.tasks["fail"]

    @app.task
    def fail() -> str:
        return "better"

    trial = Trial(app)
    assert trial.run(old).status == "error"
    assert trial.run(fail).unwrap() == "better"


def test_scopes_and_states_without_a_class(app: InlineApp) -> None:
    key = uuid.UUID(int=1)
    trial = Trial(app, {f"Cart[{key}]": {"items": 1}, "Other['a b']": {"x": {1}}})

    assert trial.state(f"Cart[{key}]") == {"items": 1, "names": []}
    assert trial.state("Other['a b']") == {"x": {1}}
    assert trial.state("Unknown") == {}


def test_mistakes_are_told(app: InlineApp) -> None:
    trial = Trial(app)

    with pytest.raises(NotFoundError, match="no task 'sel'; did you mean 'sell'"):
        trial.run("sel")
    for wrong in ("sell", print):
        with pytest.raises(TaskDefinitionError, match=r"is no task; give step1, or step1\.bind\(…\)"):
            trial.together(wrong)  # type: ignore[arg-type]
    with pytest.raises(FieldTypeError):
        trial.write("Cart[1]", {"items": "x"})
    with pytest.raises(StateNameError):
        trial.write("no name", {})
