"""State classes by their names."""

from __future__ import annotations

from typing import Any

from qstate_nb.app.exporting.states import state_class, taken_by


def test_classes_that_tasks_take(shop: Any) -> None:
    assert list(taken_by([shop.begin, shop.say, shop.say_loud])) == [shop.Signup, shop.Chat]


def test_classes_of_state_are_found_by_name(shop: Any) -> None:
    shop.app.state(shop.Unused)

    assert state_class(shop.app, "Chat") is shop.Chat
    assert state_class(shop.app, "Unused") is shop.Unused
    assert state_class(shop.app, "None") is None
