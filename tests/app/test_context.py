"""What a task with echo=True is given: its handle, and the context of its call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.script import run_script

from qstate_nb import AsyncState, Call, InlineApp, Progress, State
from qstate_nb.errors import ArgumentError


class Signup(State):
    pass


class AsyncSignup(AsyncState, name="Signup"):
    pass


@pytest.fixture(params=["async", "sync"])
def run(request: pytest.FixtureRequest, app: InlineApp) -> Callable[[Callable[[Any], object]], Any]:
    """Run a function of the handle in a task of either colour."""

    def run(body: Callable[[Any], object]) -> Any:
        @app.task(name="async", echo=True)
        async def async_(self: Any, state: AsyncSignup) -> object:
            await state.get()
            return body(self)

        @app.task(name="sync", echo=True)
        def sync(self: Any, state: Signup) -> object:
            state.get()
            return body(self)

        return app.run(request.param)

    return run


Run = Callable[[Callable[[Any], object]], Any]


def test_the_handle_is_the_task_and_has_a_context(run: Run, app: InlineApp) -> None:
    result = run(lambda self: (self.name, self.ctx.task_name, self.ctx.task_uuid, repr(self)))
    name = result.task_name
    assert result.unwrap() == (name, name, result.uuid, f"<TaskHandle {name}>")
    assert app.calls[0].uuid == result.uuid


def test_cancel(run: Run) -> None:
    result = run(lambda self: self.ctx.cancel("not today"))
    assert (result.status, str(result.exception)) == ("cancel", f"{result.task_name} #1: not today")


def test_cancel_without_a_reason(run: Run) -> None:
    assert "cancelled by the task itself" in str(run(lambda self: self.ctx.cancel()).exception)


def test_progress(run: Run, app: InlineApp) -> None:
    seen: list[Progress | None] = []

    def hear(changed: object) -> None:
        if isinstance(changed, Call) and changed.progress not in seen:
            seen.append(changed.progress)

    app.subscribe(hear)

    def body(self: Any) -> None:
        self.ctx.progress(0, 2)
        self.ctx.progress(1.5, 2, message="nearly")

    assert run(body).status == "success"
    assert seen[-2:] == [Progress(0, 2, ""), Progress(1.5, 2, "nearly")]
    assert app.calls[0].progress == Progress(1.5, 2, "nearly")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("1", 2), "done must be a number, not '1'"),
        ((1, None), "total must be a number, not None"),
        ((1, 0), "total must be more than 0, not 0"),
        ((1, float("nan")), "total must be more than 0, not nan"),
    ],
)
def test_bad_progress(run: Run, arguments: tuple[Any, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        run(lambda self: self.ctx.progress(*arguments)).unwrap()


def test_async_sleep_lets_others_run(app: InlineApp) -> None:
    @app.task(echo=True)
    async def naps(self: Any) -> str:
        other = asyncio.create_task(asyncio.sleep(0))
        await self.ctx.sleep(0.001)
        assert other.done()
        return "awake"

    assert app.run("naps").unwrap() == "awake"


@pytest.mark.parametrize("is_async", [True, False])
def test_sleep_ends_when_the_call_is_cancelled(app: InlineApp, is_async: bool) -> None:
    began = threading.Event()

    async def async_(self: Any) -> None:
        began.set()
        await self.ctx.sleep(600)

    def sync(self: Any) -> None:
        began.set()
        self.ctx.sleep(600)

    app.task(name="naps", echo=True)(async_ if is_async else sync)
    call = app.start("naps")
    assert began.wait(10)
    call.cancel()
    assert call.wait(10).status == "cancel"


class TestLogger:
    """In a Python of its own: pytest configures logging."""

    TASKS = """
import logging

def talk(self):
    self.ctx.get_logger().info("hello %s", "you")
    self.ctx.get_logger().debug("not shown")
    self.ctx.get_logger("mine").warning("careful")

@app.task(name="async", echo=True)
async def async_(self):
    talk(self)

@app.task(echo=True)
def sync(self):
    talk(self)
"""

    @pytest.mark.parametrize("task", ["async", "sync"])
    def test_lines_are_output_once_in_each_call(self, task: str) -> None:
        code = f"for _ in range(2): print(repr(app.start({task!r}).wait().output))"
        output = f"INFO qstate_nb.tasks.{task}: hello you\nWARNING qstate_nb.tasks.mine: careful\n"
        assert run_script(self.TASKS + code) == f"{output!r}\n" * 2

    @pytest.mark.parametrize("task", ["async", "sync"])
    def test_a_configured_logging_is_left_alone(self, task: str) -> None:
        code = f"""
logging.basicConfig(stream=sys.stdout, format="mine: %(message)s")
print(repr(app.start({task!r}).wait().output))
"""
        assert run_script(self.TASKS + code) == "mine: careful\n''\n"
