"""Tasks with arguments bound, and apps that stand in for others."""

from __future__ import annotations

import asyncio

import pytest

from qstate_nb import AsyncState, InlineApp, State, StateRegistry
from qstate_nb.app.inline import stand_in, stand_ins_used
from qstate_nb.errors import ArgumentError


class Box(State):
    pass


class AsyncBox(AsyncState, name="Box"):
    pass


@pytest.fixture
def app() -> InlineApp:
    app = InlineApp(registry=StateRegistry())

    @app.task
    async def add(box: AsyncBox, by: int, twice: bool = False) -> int:
        return int(await box.increment("n", by * (2 if twice else 1)))

    @app.task(max_time=0.000_001)
    async def calls_add() -> int:
        return int(await app.tasks["add"](1))

    return app


def test_a_bound_task_is_called_with_what_is_left(app: InlineApp) -> None:
    bound = app.tasks["add"].bind(3)
    assert asyncio.run(bound()) == 3
    assert asyncio.run(bound(twice=True)) == 9


@pytest.mark.parametrize(
    ("args", "kwargs", "problem"),
    [((1, 2, 3), {}, "too many positional"), ((), {"nope": 1}, "unexpected keyword argument 'nope'")],
)
def test_what_a_task_does_not_take_can_not_be_bound(
    app: InlineApp, args: tuple[int, ...], kwargs: dict[str, int], problem: str
) -> None:
    with pytest.raises(ArgumentError, match=rf"task 'add': .*{problem}.*; it is add\(by: int, twice: bool = False\)"):
        app.tasks["add"].bind(*args, **kwargs)


def test_a_twin_stands_in_while_that_counts(app: InlineApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qstate_nb.app.inline._stand_ins", set())  # a scenario that was run in here has kept them
    twin = app.twin(StateRegistry(), limits_time=False)
    token = stand_in.set(lambda found: twin if found is app else found)
    try:
        app.state(Box).set("n", 5)
        with stand_ins_used():
            assert app.registry is twin.registry
            assert app.run("add", 1).returning == 1
            assert app.state(Box).get_all() == {"n": 1}
    finally:
        stand_in.reset(token)
    assert app.registry is not twin.registry
    assert app.state(Box).get_all() == {"n": 5}


def test_in_a_twin_tasks_call_tasks_of_it_and_have_their_time(app: InlineApp) -> None:
    twin = app.twin(StateRegistry(), limits_time=False)
    twin.adopt(app.tasks["calls_add"])
    assert twin.run("calls_add").returning == 1
    assert twin.tasks["calls_add"].options.max_time is None
    assert twin.state(Box).get_all() == {"n": 1}
    assert app.state(Box).get_all() == {}
