"""`InlineApp`: finding, running and starting tasks, and telling what happens."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import Any

import pytest
from support.leaks import leaving_nothing

from qstate_nb import AsyncState, Call, InlineApp, State, StateRegistry, Task, default_registry
from qstate_nb.app.inline import MAX_CALLS
from qstate_nb.errors import NotFoundError, TaskDefinitionError


class Signup(State):
    pass


class AsyncSignup(AsyncState, name="Signup"):
    pass


def test_the_specifications_scenario(app: InlineApp) -> None:
    @app.task
    async def step1(state: AsyncSignup) -> str:
        await state.set("state", "await_phone")
        await state.update(step=1, prompt="Enter phone number")
        return "ok"

    @app.task
    async def step2(state: AsyncSignup) -> str:
        print(await state.get_all())
        if await state.get("state") != "await_phone":
            return "error"
        await state.update(step=2)
        await state.delete("state")
        await state.clear()
        return "ok"

    assert app.run("step1").unwrap() == "ok"
    result = app.run("step2")
    assert result.unwrap() == "ok"
    assert result.output == "{'state': 'await_phone', 'step': 1, 'prompt': 'Enter phone number'}\n"
    assert app.state(Signup).get_all() == {}


def test_unknown_task(app: InlineApp) -> None:
    @app.task
    def step1() -> None: ...

    for call in (app.run, app.start, app.find):
        with pytest.raises(NotFoundError, match=r"no task 'stpe1'; did you mean 'step1'\?"):
            call("stpe1")
    assert app.calls == []


def test_a_task_object_does_as_well_as_its_name(app: InlineApp) -> None:
    @app.task
    def step(name: str, task: str) -> tuple[str, str]:
        return name, task

    assert app.run(step, name="a", task="b").unwrap() == ("a", "b")
    assert app.start(step, "a", "b").wait(10).returning == ("a", "b")


def test_sync_and_async_tasks_share_one_state(app: InlineApp) -> None:
    @app.task
    def sync(state: Signup) -> None:
        state.set("sync", 1)

    @app.task
    async def async_(state: AsyncSignup) -> object:
        return await state.get_all()

    app.run("sync")
    assert app.run("async_").unwrap() == {"sync": 1}


def test_the_same_state_object_outside_tasks(app: InlineApp) -> None:
    assert app.state(Signup) is app.registry.state(Signup)


def test_the_default_registry_outlives_the_app() -> None:
    assert InlineApp().registry is InlineApp().registry is default_registry()


def test_an_empty_registry_is_used(app: InlineApp) -> None:
    registry = StateRegistry()
    assert InlineApp(registry=registry).registry is registry


def test_calls_are_numbered_in_the_app_and_bounded(app: InlineApp) -> None:
    @app.task
    async def step() -> None: ...

    async def main() -> None:
        for _ in range(MAX_CALLS + 5):
            await step()

    asyncio.run(leaving_nothing(main()))
    assert [call.number for call in app.calls] == list(range(6, MAX_CALLS + 6))


def test_calls_that_run_are_kept_and_the_last_that_ended(app: InlineApp) -> None:
    @app.task
    async def step() -> None: ...

    @app.task
    async def waits() -> None:
        await go_on.wait()

    async def main() -> None:
        waiting = [app.start("waits") for _ in range(3)]
        await step()
        for _ in range(MAX_CALLS):
            await step()
        assert app.calls[:3] == waiting
        assert [call.number for call in app.calls[3:]] == list(range(5, MAX_CALLS + 5))
        go_on.set()
        for call in waiting:
            await call
        assert app.calls[:3] == waiting  # of those that ended, they are the last
        assert [call.number for call in app.calls[3:]] == list(range(8, MAX_CALLS + 5))

    go_on = asyncio.Event()
    asyncio.run(leaving_nothing(main()))


def test_a_call_is_among_the_calls_whenever_subscribers_hear_of_it(app: InlineApp) -> None:
    @app.task(retry=1)
    def step() -> None:
        print("x")
        raise ValueError

    found: list[bool] = []
    app.subscribe(lambda changed: found.append(app.calls.count(changed) == 1) if isinstance(changed, Call) else None)
    app.run("step")
    assert len(found) >= 6
    assert all(found)


def test_subscribers_hear_of_a_call_from_its_beginning_to_its_end(app: InlineApp) -> None:
    heard: list[tuple[str, str]] = []

    def hear(changed: object) -> None:
        if isinstance(changed, Call):
            heard.append((changed.status, changed.output))

    @app.task
    def step() -> None:
        print("x", end="")

    unsubscribe = app.subscribe(hear)
    app.run("step")
    assert heard[-1] == ("success", "x")
    assert ("process", "") in heard
    assert ("process", "x") in heard
    unsubscribe()
    before = len(heard)
    app.run("step")
    assert len(heard) == before


def test_a_subscriber_that_fails_harms_nobody(app: InlineApp, caplog: pytest.LogCaptureFixture) -> None:
    def bad(changed: Call | Task) -> None:
        raise ValueError("mine")

    heard: list[object] = []
    app.subscribe(bad)
    app.subscribe(heard.append)

    @app.task
    def step() -> None: ...

    with caplog.at_level(logging.ERROR):
        assert app.run("step").status == "success"
    assert heard
    assert "a subscriber failed" in caplog.text


def test_started_calls_of_both_colours_run_at_once(app: InlineApp) -> None:
    @app.task
    async def async_(n: int) -> int:
        await asyncio.sleep(0)
        return n

    @app.task
    def sync(n: int) -> int:
        return n

    async def main() -> list[int]:
        calls = [app.start(name, n) for n in range(50) for name in ("async_", "sync")]
        return [(await call).returning for call in calls]

    assert asyncio.run(leaving_nothing(main())) == [n for n in range(50) for _ in range(2)]


def test_its_text(app: InlineApp) -> None:
    assert repr(app) == "<InlineApp 'app': 0 tasks>"


@pytest.mark.parametrize(
    "what",
    [
        print,
        InlineApp(registry=StateRegistry()).task(
            lambda: 1,
        ),
        None,
    ],
)
def test_what_is_no_task_of_the_app_is_refused(app: InlineApp, what: Any) -> None:
    with pytest.raises(TaskDefinitionError, match=r"is no task of app 'app'; register it with @app.task"):
        app.run(what)
    assert app.calls == []


def test_tasks_without_a_module_of_their_own_can_be_registered_again(app: InlineApp) -> None:
    for _ in range(2):
        assert app.task(str.upper).name == "upper"
        assert app.task(functools.partial(print, 1)).name == "print"
