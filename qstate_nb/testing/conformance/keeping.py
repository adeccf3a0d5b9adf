"""What is kept: in files, by a bounded journal, and when a store is closed; and what is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.transactions import transaction
from qstate_nb.errors import HistoryError, HorizonError, StoreError
from qstate_nb.testing.conformance.suite import Box, Opened, Suite

BOX = StateKey("Box")


class Keeping(Suite):
    """How long the past is known, and where."""

    def test_a_fork_is_on_its_own(self, places: list[StateRegistry]) -> None:
        """With the past that it shares."""
        one, two = places
        one.state(Box).set("a", 1)
        two.state(Box).set("a", 2)
        fork, old = two.fork(), one.fork(1)
        assert fork.history() == one.history()
        fork.state(Box).set("a", 3)
        old.undo()
        assert (old.state(Box).get_all(), one.state(Box).get("a"), one.seq) == ({}, 2, 2)
        one.state(Box).set("b", 1)
        assert fork.state(Box).get_all() == {"a": 3}

    def test_save_and_load(self, places: list[StateRegistry], tmp_path: Path) -> None:
        """What is loaded replaces all, for all; ops go on from there."""
        one, two = places
        file = tmp_path / "saved.jsonl"
        one.state(Box).update(a=1, b={2})
        one.state(Box).set("a", 2)
        one.state(Box).set("a", 9)
        one.undo()
        one.label("then")
        assert two.save(file) == 4
        two.state(Box).update(a=3, late=1)
        two.state(Box, scope=1).set("x", 1)
        two.label("late")
        last = two.seq
        assert one.load(file) == 4
        for registry in places:
            assert {**registry.at()} == {"Box": {"a": 2, "b": {2}}}
            assert registry.state(Box).get_all() == registry.peek(BOX) == {"a": 2, "b": {2}}
            assert (registry.peek(StateKey("Box", 1)), registry.keys()) == ({}, [BOX])
            events = registry.history()
            assert [event.op for event in events] == ["update", "set", "set", "undo"]
            assert (events[3].refers_to, registry.labels) == ((events[2].seq,), {"then": events[3].seq})
            assert registry.blame(BOX) == {"b": events[0], "a": events[3]}
            assert events[0].seq > last or not self.shared, "no number is used twice"
            assert {**registry.at("then")} == {"Box": {"a": 2, "b": {2}}}
        two.redo()
        assert two.state(Box).increment("a") == 10
        two.undo(3)
        assert one.state(Box).get_all() == {"a": 1, "b": {2}}
        assert [event.seq for event in one.history()] == [event.seq for event in two.history()]
        seqs = [event.seq for event in one.history()]
        assert seqs == list(range(seqs[0], seqs[0] + 9))

    def test_nobody_loads_while_a_transaction_is_open(self, places: list[StateRegistry], tmp_path: Path) -> None:
        """Anywhere."""
        one, two = places
        one.state(Box).set("a", 1)
        one.save(tmp_path / "saved")
        with transaction(one.state(Box)):
            for registry in places:
                with pytest.raises(HistoryError, match="transaction"):
                    registry.load(tmp_path / "saved")
            one.state(Box).set("a", 2)
        assert two.state(Box).get("a") == 2

    def test_a_bounded_journal(self, opened: Opened, tmp_path: Path) -> None:
        """The oldest events go, the newest stay; what is stored, who wrote it, and labels stay."""
        one = opened(10)
        two = opened(10) if self.shared else one
        one.state(Box).set("old", 1)
        one.label("old")
        last = 60
        for number in range(2, last + 1):
            (one, two)[number % 2].state(Box).set("n", number)
        for registry in (one, two):
            events = registry.history()
            assert 10 <= len(events) < last
            assert [event.seq for event in events] == list(range(last - len(events) + 1, last + 1))
            assert registry.dropped == events.dropped == last - len(events)
            assert {**registry.at(last - 9)["Box"]} == {"old": 1, "n": last - 9}
            assert {**registry.at("old")} == {"Box": {"old": 1}}
            assert {key: event.seq for key, event in registry.blame("Box").items()} == {"old": 1, "n": last}
            with pytest.raises(HorizonError, match="the journal is bounded"):
                registry.at(1)
            with pytest.raises(HistoryError):
                registry.undo(last)
        one.undo(5)
        assert two.state(Box).get_all() == {"old": 1, "n": last - 5}
        one.save(tmp_path / "saved")
        two.load(tmp_path / "saved")
        for registry in (one, two):
            writers = registry.blame("Box")
            assert ((writers["old"].op, writers["n"].op), registry.dropped > 0) == (("set", "undo"), True)
        two.rewind("old")
        assert one.state(Box).get_all() == {"old": 1}

    def test_two_registries_on_one_store(self, registry: StateRegistry) -> None:
        """Have the same State, and the same past."""
        another = StateRegistry(store=registry.store)
        another.state(Box).set("n", 1)
        assert registry.state(Box).increment("n") == 2
        with transaction(registry.state(Box)):
            assert registry.state(Box).increment("n") == 3
            with pytest.raises(HistoryError, match="has a transaction on Box"):
                another.undo()
        assert another.history() == registry.history()
        another.undo()
        assert registry.state(Box).get("n") == 2

    def test_a_closed_store_says_so(self, registry: StateRegistry, other: StateRegistry, box: Any) -> None:
        """It may be closed twice; the same data in another process is not harmed."""
        store: Any = registry.store
        box.set("n", 1)
        assert not store.is_closed
        for _ in range(2):
            store.close()
        assert store.is_closed
        calls: list[Callable[[], object]] = [
            *(box.get_all, lambda: box.set("n", 2), lambda: box.mutate("n", str), lambda: box.expire(1)),
            *(registry.state(Box).transaction().__enter__, registry.history, registry.undo),
        ]
        for call in calls:
            with pytest.raises(StoreError):
                call()
        assert other.state(Box).increment("n") == 2

    def test_it_survives(self, opened: Opened) -> None:
        """Data, history and labels are there when all who had the store have closed it."""
        self.need_sharing()
        one = opened()
        with transaction(one.state(Box), one.state(Box, scope=1)):
            one.state(Box).update(b=1, a={"x": (1, 2)})
            one.state(Box, scope=1).set("n", 1)
        one.label("then")
        one.state(Box).append("list", 1)
        one.undo()
        history = one.history()
        close: Callable[[], object] = one.store.close  # type: ignore[attr-defined]
        close()
        two = opened()
        assert list(two.state(Box).get_all().items()) == [("b", 1), ("a", {"x": (1, 2)})]
        assert two.keys() == [BOX, StateKey("Box", 1)]
        assert [(e.seq, e.time, e.op, e.changes, e.refers_to) for e in two.history()] == [
            (e.seq, e.time, e.op, e.changes, e.refers_to) for e in history
        ]
        assert two.labels == {"then": 1}
        assert two.redo()[0].refers_to == (2,)
        assert two.state(Box).get("list") == [1]
