"""Which scopes are suggested, and in which order."""

from __future__ import annotations

import uuid
from typing import Annotated

import pytest

from qstate_nb import InlineApp, Scope, State, StateKey, StateRegistry
from qstate_nb.notebook.panel.scopes import MOST, KnownScopes, scoped_by


class Chat(State):
    pass


class Other(State):
    pass


def test_the_last_changed_scope_comes_first(app: InlineApp) -> None:
    known = KnownScopes(app)
    assert known.of("Chat") == ()
    for scope in (1, "anna", uuid.UUID(int=1)):
        app.state(Chat, scope).set("n", 1)
    app.state(Chat).set("n", 1)
    app.state(Other, 5).set("n", 1)
    assert known.of("Chat") == (uuid.UUID(int=1), "anna", 1)
    app.state(Chat, 1).set("n", 2)
    assert known.of("Chat") == (1, uuid.UUID(int=1), "anna")
    assert known.of("Other") == (5,)


def test_it_looks_again_only_after_a_change(app: InlineApp, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    keys = StateRegistry.keys

    def counted_keys(self: StateRegistry) -> list[StateKey]:
        looked.append(self)
        return keys(self)

    monkeypatch.setattr(StateRegistry, "keys", counted_keys)
    known = KnownScopes(app)
    for _ in range(3):
        known.of("Chat")
    assert len(looked) == 1
    app.state(Chat, 1).set("n", 1)
    known.of("Chat")
    assert len(looked) == 2


def test_of_many_only_some_are_known_and_a_dropped_one_is_not(app: InlineApp) -> None:
    for scope in range(MOST + 1_100):
        app.state(Chat, scope).set("n", 1)
    app.state(Chat, 3).set("n", 2)
    app.state(Chat, 1_299).drop()
    found = KnownScopes(app).of("Chat")
    assert len(found) == MOST
    assert found[:3] == (3, 1_298, 1_297)


def test_the_states_that_a_parameter_is_the_scope_of(app: InlineApp) -> None:
    @app.task
    def step1(
        one: Annotated[Chat, Scope("chat")],
        two: Annotated[Other, Scope("chat")],
        three: Annotated[Other, Scope(lambda arguments: "x")],
        four: State,
        chat: int,
        n: int,
    ) -> None: ...

    assert scoped_by(step1, "chat") == ["Chat", "Other"]
    assert scoped_by(step1, "n") == []
