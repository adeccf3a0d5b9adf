"""Every op is atomic: across threads, event loops, asyncio tasks, and processes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from qstate_nb.core.journal import ABSENT
from qstate_nb.core.registry import StateRegistry
from qstate_nb.errors import HistoryError
from qstate_nb.testing.conformance.suite import AsyncBox, Box, Suite, in_threads

TIMES = 12  # ops of each thread


class Together(Suite):
    """What many do at the same time."""

    @pytest.fixture
    def workplaces(self, elsewhere: StateRegistry, registry: StateRegistry) -> list[StateRegistry]:
        """Where threads work: twice here, and twice in another process, if there can be one."""
        return [registry, registry, elsewhere, elsewhere]

    def test_increments_of_threads_are_all_there(self, workplaces: list[StateRegistry]) -> None:
        """Each gets a number of its own."""
        got: list[int] = []

        def work(registry: StateRegistry) -> None:
            box = registry.state(Box)
            got.extend(box.increment("n") for _ in range(TIMES))

        in_threads(*(partial(work, each) for each in workplaces))
        assert sorted(got) == list(range(1, 4 * TIMES + 1))
        assert workplaces[0].state(Box).get("n") == 4 * TIMES
        self._assert_whole(workplaces[0], 4 * TIMES)

    def test_increments_of_loops_are_all_there(self, workplaces: list[StateRegistry]) -> None:
        """Of several asyncio tasks in each."""

        async def work(registry: StateRegistry) -> None:
            box = registry.state(AsyncBox)
            await asyncio.gather(*(box.increment("n") for _ in range(TIMES)))

        in_threads(*(partial(asyncio.run, work(each)) for each in workplaces))
        assert workplaces[0].state(Box).get("n") == 4 * TIMES
        self._assert_whole(workplaces[0], 4 * TIMES)

    def test_verbs_that_look_first(self, workplaces: list[StateRegistry]) -> None:
        """append, mutate, setdefault and pop lose nothing and give nothing twice."""
        popped: list[Any] = []
        first: list[Any] = []
        workplaces[0].state(Box).update(**{f"item {number}": number for number in range(TIMES)})

        def work(number: int, registry: StateRegistry) -> None:
            box = registry.state(Box)
            first.append(box.setdefault("first", number))
            for turn in range(TIMES // 2):
                box.append("items", (number, turn))
                box.mutate("n", lambda n: n + 1, default=0)
            popped.extend(box.pop(f"item {number}") for number in range(TIMES))

        in_threads(*(partial(work, number, each) for number, each in enumerate(workplaces)))
        fields = workplaces[0].state(Box).get_all()
        assert sorted(fields["items"]) == [(number, turn) for number in range(4) for turn in range(TIMES // 2)]
        assert fields["n"] == 4 * (TIMES // 2)
        assert set(first) == {fields["first"]}
        assert sorted(value for value in popped if value is not None) == list(range(TIMES))
        self._assert_whole(workplaces[0])

    def test_an_update_is_seen_whole(self, workplaces: list[StateRegistry]) -> None:
        """Whoever reads all fields sees all of it or nothing."""
        workplaces[0].state(Box).update(a=0, b=0, c=0)
        torn: list[dict[str, Any]] = []

        def write(registry: StateRegistry, number: int) -> None:
            for turn in range(TIMES):
                registry.state(Box).update(**dict.fromkeys("abc", number + turn))

        def read(registry: StateRegistry) -> None:
            for _ in range(2 * TIMES):
                found = registry.state(Box).get_all()
                if len(set(found.values())) > 1:
                    torn.append(found)

        in_threads(
            partial(write, workplaces[0], 100),
            partial(write, workplaces[2], 200),
            partial(read, workplaces[1]),
            partial(read, workplaces[3]),
        )
        assert torn == []
        self._assert_whole(workplaces[0], 2 * TIMES + 1)

    def test_an_undo_is_of_the_last_event(self, workplaces: list[StateRegistry]) -> None:
        """Whoever writes meanwhile: nothing comes in between what it looks at and what it does."""

        def undo() -> None:
            for _ in range(TIMES // 2):
                with suppress(HistoryError):  # there is nothing yet
                    workplaces[1].undo()

        def write() -> None:
            for _ in range(TIMES):
                workplaces[2].state(Box).increment("n")

        in_threads(undo, write)
        done: list[int] = []
        for event in workplaces[0].history():
            if event.op == "undo":
                assert event.refers_to == (done.pop(),)
            else:
                done.append(event.seq)
        assert workplaces[0].state(Box).get("n") == len(done)
        self._assert_whole(workplaces[0])

    def test_async_ops_are_done_in_the_order_in_which_they_are_begun(self, registry: StateRegistry) -> None:
        """Those of one loop on one bucket."""

        async def main() -> list[Any]:
            box = registry.state(AsyncBox)
            return await asyncio.gather(*(box.increment("n") for _ in range(TIMES)))

        assert asyncio.run(main()) == list(range(1, TIMES + 1))

    def test_a_cancelled_op_is_done_or_not(self, registry: StateRegistry) -> None:
        """And if it is, it has its event."""

        async def main() -> int:
            box, done = registry.state(AsyncBox), 0
            for number in range(TIMES):
                task = asyncio.create_task(box.increment("n"))
                await asyncio.sleep(number * 0.00005)
                task.cancel()
                await asyncio.wait([task])
                done += not task.cancelled()
            return done

        done = asyncio.run(main())
        assert done <= registry.state(Box).get("n", 0) == registry.seq <= TIMES

    def _assert_whole(self, registry: StateRegistry, count: int | None = None) -> None:
        """The journal has no gaps, and replays to what is stored."""
        events = registry.history()
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert count in (None, len(events))
        assert {**registry.at(len(events))["Box"]} == registry.state(Box).get_all()
        found: dict[str, Any] = {}
        for event in events:
            for change in event.changes:
                assert found.get(change.field, ABSENT) == change.before, event
                found[change.field] = change.after
