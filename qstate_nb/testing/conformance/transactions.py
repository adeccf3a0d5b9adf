"""Transactions: several ops that happen together or not at all, and what others see of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.transactions import transaction
from qstate_nb.errors import FieldTypeError, TransactionError
from qstate_nb.testing.conformance.suite import PATIENCE, AsyncBox, Box, Suite, begun, fails, in_threads


class Transactions(Suite):
    """What is done together."""

    def test_all_of_it_is_one_event(self, registry: StateRegistry, sync: bool) -> None:
        """With what was before it and after it; inside, the ops see each other."""

        async def main() -> None:
            box = registry.state(AsyncBox)
            await box.update(a=1, gone=1)
            async with begun(box, sync=sync):
                await box.set("a", 2)
                assert await box.increment("a") == 3
                await box.set("b", [])
                await box.append("b", 1)
                await box.delete("gone")
                assert await box.get_all() == {"a": 3, "b": [1]}
                assert await box.update(c=5) == {"a": 3, "b": [1], "c": 5}
                assert registry.seq == 1
            assert await box.get_all() == {"a": 3, "b": [1], "c": 5}

        asyncio.run(main())
        event = registry.history()[-1]
        assert (event.seq, event.op) == (2, "transaction")
        assert {change.field: (change.before or None, change.after or None) for change in event.changes} == {
            "a": (1, 3),
            "b": (None, [1]),
            "gone": (1, None),
            "c": (None, 5),
        }

    def test_every_verb_works_inside(self, registry: StateRegistry, box: Any) -> None:
        """And in the end all is there that was left."""
        with transaction(registry.state(Box)):
            state = registry.state(Box)
            state.update(a=1, b=[1], c="x")
            assert (state.get("a"), state.contains("b"), state.keys()) == (1, True, ["a", "b", "c"])
            assert (state.setdefault("a", 5), state.setdefault("d", 5), state.pop("c")) == (1, 5, "x")
            assert state.mutate("a", lambda n: n + 1) == 2
            state.clear()
            assert state.get_all() == {}
            state.set("e", 1)
        assert box.get_all() == {"e": 1}

    def test_fields_keep_their_order(self, registry: StateRegistry) -> None:
        """As without a transaction."""
        box = registry.state(Box)
        box.update(a=1, b=2, c=3)
        with transaction(box):
            box.delete("a")
            box.set("d", 4)
            box.set("a", 5)
            box.set("b", 6)
            inside = list(box.get_all())
        assert inside == list(box.get_all())
        assert set(inside) == set("abcd")

    def test_after_an_exception_nothing_was_done(self, registry: StateRegistry, sync: bool) -> None:
        """And others can go on."""

        async def main() -> None:
            box = registry.state(AsyncBox)
            await box.set("a", 1)
            with fails():
                async with begun(box, sync=sync):
                    await box.update(a=2, b=2)
                    raise ZeroDivisionError
            assert await box.get_all() == {"a": 1}
            assert await box.increment("a") == 2

        asyncio.run(main())
        assert [event.op for event in registry.history()] == ["set", "increment"]

    def test_after_a_cancellation_nothing_was_done(self, registry: StateRegistry, sync: bool) -> None:
        """And others can go on."""

        async def main() -> None:
            box, inside = registry.state(AsyncBox), asyncio.Event()

            async def work() -> None:
                async with begun(box, sync=sync):
                    await box.set("a", 2)
                    inside.set()
                    await asyncio.sleep(PATIENCE)

            task = asyncio.create_task(work())
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await box.get_all() == {}
            await box.set("a", 1)

        asyncio.run(main())
        assert registry.seq == 1

    def test_an_error_of_an_op_can_be_caught_inside(self, registry: StateRegistry) -> None:
        """That op has done nothing, the others are kept."""
        box = registry.state(Box)
        with transaction(box):
            box.set("text", "x")
            with pytest.raises(FieldTypeError):
                box.increment("text")
            with fails():
                box.mutate("text", lambda _: 1 // 0)
            box.set("n", 1)
        assert (box.get_all(), registry.seq) == ({"text": "x", "n": 1}, 1)

    def test_several_states(self, registry: StateRegistry) -> None:
        """All change as one, or none does."""
        anna, bert = (registry.state(Box, scope=name) for name in ("anna", "bert"))
        with transaction(anna, bert):
            anna.increment("money", -5)
            bert.increment("money", 5)
        with fails(), transaction(bert, anna):
            bert.increment("money", -1)
            anna.increment("money", 1 // 0)
        assert (anna.get("money"), bert.get("money")) == (-5, 5)
        (event,) = registry.history()
        assert event.states == (StateKey("Box", "anna"), StateKey("Box", "bert"))

    def test_money_is_neither_made_nor_lost(self, registry: StateRegistry, elsewhere: StateRegistry) -> None:
        """By transfers of many, to and fro."""
        for number in range(3):
            registry.state(Box, scope=number).set("money", 10)

        def transfer(registry: StateRegistry, shift: int) -> None:
            for turn in range(6):
                one, two = (registry.state(Box, scope=(turn + place) % 3) for place in (0, shift))
                with transaction(one, two):
                    amount = min(3, one.get("money"))
                    one.increment("money", -amount)
                    two.increment("money", amount)

        in_threads(lambda: transfer(registry, 1), lambda: transfer(elsewhere, 2), lambda: transfer(elsewhere, 1))
        found = [registry.state(Box, scope=number).get("money") for number in range(3)]
        assert sum(found) == 30, found
        assert min(found) >= 0, found
        for seq in range(3, registry.seq + 1):
            assert sum(fields["money"] for fields in registry.at(seq).values()) == 30

    def test_nothing_changed_is_no_event(self, registry: StateRegistry) -> None:
        """Nor is what came and went."""
        box = registry.state(Box)
        with transaction(box):
            box.set("a", 1)
            assert box.pop("a") == 1
            box.get_all()
        assert (registry.seq, box.get_all()) == (0, {})

    def test_one_inside_another_becomes_part_of_it(self, registry: StateRegistry) -> None:
        """Alone, it can be undone; with the outer one, it is."""
        one, two = registry.state(Box, scope=1), registry.state(Box, scope=2)
        with transaction(one):
            one.set("n", 1)
            with transaction(one, two):
                one.increment("n")
                two.set("n", 5)
            with fails(), transaction(one, two):
                one.set("n", 100)
                two.set("n", 1 // 0)
            assert (one.get("n"), two.get("n"), registry.seq) == (2, 5, 0)
        assert (one.get("n"), two.get("n"), registry.seq) == (2, 5, 1)
        with fails(), transaction(one):
            with transaction(two):
                two.set("n", 6)
            one.set("n", 1 // 0)
        assert (one.get("n"), two.get("n"), registry.seq) == (2, 5, 1)

    def test_what_is_started_inside_takes_part(self, registry: StateRegistry, sync: bool) -> None:
        """With gather, a TaskGroup, or to_thread."""

        async def main() -> None:
            box = registry.state(AsyncBox)
            async with begun(box, sync=sync):
                await asyncio.gather(*(box.increment("n") for _ in range(5)))
                async with asyncio.TaskGroup() as group:
                    for _ in range(5):
                        group.create_task(box.increment("n"))
                assert await asyncio.to_thread(registry.state(Box).increment, "n") == 11

        asyncio.run(main())
        assert [event.op for event in registry.history()] == ["transaction"]
        assert registry.state(Box).get("n") == 11

    def test_drop_in_a_transaction(self, registry: StateRegistry) -> None:
        """The bucket goes off the list at the end, unless something was written after it."""
        box, key = registry.state(Box, scope=1), StateKey("Box", 1)
        box.set("a", 1)
        with fails(), transaction(box):
            box.drop()
            raise ZeroDivisionError
        with transaction(box):
            box.drop()
            assert (box.get_all(), key in registry.keys()) == ({}, True)
            box.set("b", 2)
        assert (box.get_all(), key in registry.keys()) == ({"b": 2}, True)
        with transaction(box):
            box.drop()
        assert (box.get_all(), key in registry.keys()) == ({}, False)

    def test_code_that_took_part_in_what_was_undone_is_refused(self, registry: StateRegistry) -> None:
        """It may have seen what is not there."""

        async def main() -> None:
            box, go = registry.state(AsyncBox), asyncio.Event()

            async def late() -> None:
                await go.wait()
                await box.set("n", 2)

            with fails():
                async with box.transaction():
                    await box.set("n", 1)
                    task = asyncio.create_task(late())
                    raise ZeroDivisionError
            go.set()
            with pytest.raises(TransactionError, match="rolled back"):
                await task

        asyncio.run(main())
        assert registry.seq == 0
