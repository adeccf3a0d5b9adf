"""A value that can't be read: an error for that one alone, and a way to repair it."""

from __future__ import annotations

from typing import Any

import pytest

from qstate_nb.core.journal import ABSENT
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.store import MemoryStore
from qstate_nb.core.transactions import transaction
from qstate_nb.errors import UnreadableValueError
from qstate_nb.testing.conformance.suite import Blocking, Box, Opened, Suite

UNREADABLE = r"Box\.bad can't be read: .*; set or delete it to repair it"


class Damage(Suite):
    """What was damaged where it is stored, or written by others."""

    def damage(self, store: MemoryStore, bucket: str, field: str) -> None:  # noqa: ARG002 - for those who override it
        """Make a stored value unreadable; see `StoreConformance`."""
        pytest.skip("damage() is not overridden")

    @pytest.fixture
    def damaged(self, opened: Opened) -> StateRegistry:
        """A registry on a store in which ``Box.bad`` can't be read."""
        registry = opened()
        registry.state(Box).update(good=1, bad="x", list=[1])
        self.damage(registry.store, "Box", "bad")
        return opened()

    @pytest.fixture
    def damaged_box(self, damaged: StateRegistry, colour: Any) -> Any:
        """The State that is damaged, in each colour."""
        return Blocking(damaged.state(colour))

    def test_the_value_is_an_error_and_the_others_are_readable(self, damaged_box: Any) -> None:
        """Also to verbs that look first."""
        for call in (
            lambda: damaged_box.get("bad"),
            damaged_box.get_all,
            lambda: damaged_box.increment("bad"),
            lambda: damaged_box.pop("bad"),
        ):
            with pytest.raises(UnreadableValueError, match=UNREADABLE):
                call()
        assert (
            damaged_box.get("good"),
            damaged_box.get("list"),
            damaged_box.increment("good"),
            damaged_box.pop("list"),
        ) == (1, [1], 2, [1])
        damaged_box.set("new", 1)
        assert damaged_box.get("new") == 1

    def test_set_repairs_it(self, damaged_box: Any) -> None:
        """For all."""
        damaged_box.set("bad", "better")
        assert damaged_box.get_all() == {"good": 1, "bad": "better", "list": [1]}

    @pytest.mark.parametrize("verb", ["delete", "clear", "drop"])
    def test_it_can_be_removed(self, damaged_box: Any, verb: str) -> None:
        """Alone, or with all."""
        damaged_box.delete("bad") if verb == "delete" else getattr(damaged_box, verb)()
        assert damaged_box.get_all() == ({"good": 1, "list": [1]} if verb == "delete" else {})

    def test_transactions_work_on_the_others(self, damaged: StateRegistry) -> None:
        """And can repair it."""
        box = damaged.state(Box)
        with transaction(box):
            box.increment("good")
            with pytest.raises(UnreadableValueError, match=UNREADABLE):
                box.get("bad")
        assert box.get("good") == 2
        with transaction(box):
            box.set("bad", 0)
            assert box.get_all() == {"good": 2, "bad": 0, "list": [1]}

    def test_a_transaction_can_remove_all(self, damaged: StateRegistry) -> None:
        """Without reading it."""
        box = damaged.state(Box)
        with transaction(box):
            box.clear()
            assert box.get_all() == {}
        assert (box.get_all(), [event.op for event in damaged.history()]) == ({}, ["update", "transaction"])

    def test_it_is_shown_all_the_same(self, damaged: StateRegistry) -> None:
        """With a word in place of what can't be read; and there are still labels and ways back."""
        assert [(change.field, change.before) for change in damaged.history()[0].changes] == [
            *((field, ABSENT) for field in ("good", "bad", "list")),
        ]
        assert "unreadable" in repr(damaged.at()["Box"]["bad"])
        assert damaged.at()["Box"]["good"] == 1
        damaged.state(Box).set("good", 2)
        damaged.undo()
        assert damaged.state(Box).get("good") == 1
        damaged.state(Box).delete("bad")
        assert "unreadable" in repr(damaged.history()[-1].changes[0].before)
        damaged.label("repaired")
        damaged.rewind(1)
        assert {**damaged.at("repaired")["Box"]} == {"good": 1, "list": [1]}
        damaged.rewind("repaired")
        assert damaged.state(Box).get_all() == {"good": 1, "list": [1]}
