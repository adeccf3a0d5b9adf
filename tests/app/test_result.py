"""`TaskResult`: unwrapping, awaiting, and its text."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest

from qstate_nb import InlineApp


def test_unwrap_returns(app: InlineApp) -> None:
    app.task(name="step")(lambda: [1])
    assert app.run("step").unwrap() == [1]


def test_unwrap_raises_every_time(app: InlineApp) -> None:
    app.task(name="step")(lambda: 1 / 0)
    result = app.run("step")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            result.unwrap()
    assert (result.status, result.returning) == ("error", None)
    assert result.traceback is not None
    assert result.traceback.endswith("ZeroDivisionError: division by zero")


def test_awaiting_it_gives_itself(app: InlineApp) -> None:
    app.task(name="step")(lambda: 1)
    result = app.run("step")

    async def main() -> None:
        assert await result is result

    asyncio.run(main())


def test_its_text_is_the_same_on_every_run(app: InlineApp) -> None:
    app.task(name="good")(lambda: "x" * 1000)
    app.task(name="bad")(lambda: 1 / 0)
    assert repr(app.run("bad")) == "<TaskResult bad #1: error, ZeroDivisionError: division by zero>"
    text = repr(app.run("good"))
    assert text.startswith("<TaskResult good #2: success, returning 'xxx")
    assert len(text) < 150


def test_its_text_keeps_the_order_of_dicts_and_has_no_addresses(app: InlineApp) -> None:
    app.task(name="step")(lambda: {"b": 1, "a": object()})
    assert repr(app.run("step")) == "<TaskResult step #1: success, returning {'b': 1, 'a': <object object>}>"


def test_nothing_in_it_can_be_changed(app: InlineApp) -> None:
    app.task(name="step")(lambda: 1)
    result: Any = app.run("step")
    for name in ("status", "returning", "uuid", "created_at", "anything"):
        with pytest.raises(AttributeError):
            setattr(result, name, None)


def test_it_is_equal_to_itself_alone_and_can_be_hashed(app: InlineApp) -> None:
    app.task(name="step")(lambda it: it)
    one, other = app.run("step", []), app.run("step", [])
    assert one == one
    assert one != other
    assert len({one, other}) == 2


def test_it_can_be_pickled(app: InlineApp) -> None:
    app.task(name="step")(lambda it: it)
    result = app.run("step", it=[1])
    copied = pickle.loads(pickle.dumps(result))
    names = ("status", "priority", "task_name", "args", "kwargs", "returning", "traceback", "call", "output")
    for name in (*names, "exception", "uuid", "created_at", "updated_at"):
        assert getattr(copied, name) == getattr(result, name)
    assert (copied.kwargs, copied.unwrap()) == ({"it": [1]}, [1])
