"""`Call.count`: how many values a task has yielded so far, told as each comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from qstate_nb import Call, InlineApp, Task, TaskResult

COLOURS = pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])


def yielding(app: InlineApp, *, is_async: bool, values: int = 3, error: bool = False, **options: Any) -> None:
    """Register a task that yields 0, 1, 2 …, and may raise then."""

    def sync() -> Iterator[int]:
        yield from range(values)
        if error:
            raise ValueError("at the end")

    async def async_() -> AsyncIterator[int]:
        for value in sync():
            await asyncio.sleep(0)
            yield value

    app.task(name="task", **options)(async_ if is_async else sync)


def run_and_hear(app: InlineApp) -> tuple[TaskResult, list[tuple[str, int | None]]]:
    """Run the task, and give what a subscriber saw each time: the status and the count."""
    heard: list[tuple[str, int | None]] = []

    def hear(told: Call | Task) -> None:
        assert isinstance(told, Call)
        heard.append((told.own_status, told.count))

    unsubscribe = app.subscribe(hear)
    result = app.run("task")
    unsubscribe()
    return result, heard


def add_one(value: int) -> int:
    return value + 1


async def add_one_async(value: int) -> int:
    await asyncio.sleep(0)
    return value + 1


@COLOURS
@pytest.mark.parametrize(
    ("handler", "returned"),
    [(None, [0, 1, 2]), (add_one, [1, 2, 3]), (add_one_async, [1, 2, 3])],
    ids=["no handler", "handler", "async handler"],
)
def test_it_is_told_as_each_value_comes(
    app: InlineApp, is_async: bool, handler: Callable[[int], object] | None, returned: list[int]
) -> None:
    yielding(app, is_async=is_async, generate_handler=handler)
    result, heard = run_and_hear(app)
    assert result.unwrap() == returned
    counts = [("process", n) for n in (None, 0, 1, 2, 3)]
    assert heard == [*counts, ("success", 3)]


@COLOURS
def test_a_value_counts_when_its_handler_begins(app: InlineApp, is_async: bool) -> None:
    """So that who watches a slow handler sees which value it has."""
    seen: list[int | None] = []
    yielding(app, is_async=is_async, generate_handler=lambda _: seen.append(app.calls[0].count))
    app.run("task").unwrap()
    assert seen == [1, 2, 3]


@COLOURS
def test_it_stays_where_it_was_when_the_task_fails(app: InlineApp, is_async: bool) -> None:
    yielding(app, is_async=is_async, error=True)
    result, heard = run_and_hear(app)
    assert result.status == "error"
    assert heard[-1] == ("error", 3)


@COLOURS
def test_each_attempt_counts_from_0(app: InlineApp, is_async: bool) -> None:
    yielding(app, is_async=is_async, values=1, error=True, retry=1)
    app.run("task")
    assert [(call.attempt_number, call.count) for call in app.calls] == [(1, 1), (2, 1)]


@COLOURS
def test_a_generator_that_yields_nothing_has_0(app: InlineApp, is_async: bool) -> None:
    yielding(app, is_async=is_async, values=0)
    assert app.run("task").unwrap() == []
    assert app.calls[0].count == 0


@COLOURS
def test_other_tasks_have_none_and_tell_nothing_more(app: InlineApp, is_async: bool) -> None:
    async def async_() -> list[int]:
        return [1, 2]

    def sync() -> list[int]:
        return [1, 2]

    app.task(name="task")(async_ if is_async else sync)
    _, heard = run_and_hear(app)
    assert heard == [("process", None), ("success", None)]
