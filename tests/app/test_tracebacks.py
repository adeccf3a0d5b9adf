"""A traceback shows the user's own frames, and nothing of this package."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from support.leaks import leaving_nothing

import qstate_nb
from qstate_nb import AsyncState, InlineApp, State
from qstate_nb.app import tracebacks
from qstate_nb.app.tracebacks import format_error

PACKAGE = str(Path(qstate_nb.__file__).parent)


class Signup(State):
    pass


class AsyncSignup(AsyncState, name="Signup"):
    pass


def helper() -> None:
    raise LookupError("mine")


def traceback_of(app: InlineApp, task: str) -> str:
    text = app.run(task).traceback
    assert text is not None
    assert PACKAGE not in text
    assert "runner.py" not in text
    return text


@pytest.mark.parametrize("is_async", [True, False])
def test_own_frames_only(app: InlineApp, is_async: bool) -> None:
    async def async_() -> None:
        await asyncio.sleep(0)
        helper()

    def sync() -> None:
        helper()

    app.task(name="task")(async_ if is_async else sync)
    text = traceback_of(app, "task")
    lines = text.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "LookupError: mine"
    assert [line.split(", in ")[1] for line in lines if line.startswith("  File")] == [
        "async_" if is_async else "sync",
        "helper",
    ]
    assert text.count(__file__) == 2
    assert '    raise LookupError("mine")' in lines


def test_without_libraries_between_and_behind(app: InlineApp) -> None:
    @app.task
    def step() -> None:
        json.loads("nonsense")

    text = traceback_of(app, "step")
    assert "decoder.py" not in text
    assert "in step" in text
    assert "JSONDecodeError" in text


def test_of_an_error_that_a_state_raises(app: InlineApp) -> None:
    @app.task
    async def step(state: AsyncSignup) -> None:
        await state.set(3, 1)  # type: ignore[arg-type]

    text = traceback_of(app, "step")
    assert "in step" in text
    assert "must be a str, not 3" in text


def test_causes_and_contexts_are_trimmed_too(app: InlineApp) -> None:
    @app.task
    def inner() -> None:
        helper()

    @app.task
    def outer() -> None:
        try:
            app.run("inner").unwrap()
        except LookupError as error:
            raise ValueError("outer") from error

    text = traceback_of(app, "outer")
    assert text.index("LookupError: mine") < text.index("direct cause") < text.index("ValueError: outer")


def test_groups_are_trimmed_too(app: InlineApp) -> None:
    @app.task
    async def inner() -> None:
        await asyncio.sleep(0)
        helper()

    @app.task
    async def outer() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(inner())

    text = traceback_of(app, "outer")
    assert "LookupError: mine" in text
    assert "taskgroups.py" not in text


def test_of_wrong_arguments_there_is_only_the_error(app: InlineApp) -> None:
    @app.task
    def step(n: int) -> None: ...

    text = traceback_of(app, "step")
    assert text.splitlines()[-1].endswith("step() missing 1 required positional argument: 'n'")


def test_code_without_a_file_is_a_cell(app: InlineApp) -> None:
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile("def step():\n    1 / 0\n", "<ipython-input-3-abcdef>", "exec"), names)
    app.task(names["step"])
    text = traceback_of(app, "step")
    assert 'File "<cell>", line 2, in step' in text
    assert "abcdef" not in text


def test_is_the_same_on_every_run(app: InlineApp) -> None:
    app.task(helper)
    assert traceback_of(app, "helper") == traceback_of(app, "helper")


def test_of_a_cancelled_call_too(app: InlineApp) -> None:
    @app.task(max_time=0.01)
    async def step() -> None:
        await asyncio.sleep(60)

    assert "max_time=0.01" in traceback_of(app, "step")


def test_a_folder_beside_the_package_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also if its name begins like the package's."""
    path = tmp_path / "qstate_nb_demo" / "steps.py"
    path.parent.mkdir()
    path.write_text("def step():\n    1 / 0\n")
    own = tracebacks._OWN.replace(PACKAGE, str(tmp_path / "qstate_nb"))
    monkeypatch.setattr(tracebacks, "_OWN", own)
    names: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    with pytest.raises(ZeroDivisionError) as caught:
        names["step"]()
    assert f'File "{path}", line 2, in step' in format_error(caught.value)


def test_what_await_raises_has_the_users_frames(app: InlineApp) -> None:
    task = app.task(helper)
    with pytest.raises(LookupError) as caught:
        asyncio.run(leaving_nothing(task()))
    assert caught.traceback[-1].name == "helper"
