"""Buckets and fields: scopes of all kinds, and what a State class declares."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from qstate_nb.core.keys import ScopeId, StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import AsyncState, State, StateBase
from qstate_nb.core.transactions import transaction
from qstate_nb.errors import FieldTypeError, NotFoundError, ScopeError, StateNameError
from qstate_nb.testing.conformance.suite import Blocking, Box, Suite

_ID = uuid.UUID(int=0xABC)

SCOPES: list[ScopeId] = [
    *(0, 42, -1, 10**30, "42", "-1", "0", "042", "1_0", "１", _ID, str(_ID), str(_ID).upper()),  # noqa: RUF001
    *("anna", "Anna", "a b", " ", "a[b]", "]", "'", '"', "\\", "a.b", "a:b", "{a}", "*", "\n", "\0", "None"),
    *("é", "e\u0301", "名", "😀", "x" * 200),
]


class Person(State):
    """Declares fields."""

    name: str
    age: int = 0
    tags: list[str] = []  # noqa: RUF012 - each State gets a copy


class AsyncPerson(AsyncState, name="Person"):
    """The same, for async code."""

    name: str
    age: int = 0
    tags: list[str] = []  # noqa: RUF012


class Strict(State, strict=True):
    """Has no other fields."""

    n: int = 0


class Fields(Suite):
    """What buckets there are, and what is in them."""

    @pytest.fixture(params=[Person, AsyncPerson], ids=["sync", "async"])
    def person(self, registry: StateRegistry, request: pytest.FixtureRequest) -> Any:
        """A State with declared fields, in each colour."""
        kind: type[StateBase] = request.param
        return Blocking(registry.state(kind))

    def test_each_scope_is_a_bucket_of_its_own(self, registry: StateRegistry) -> None:
        """A number and its text, too."""
        for number, scope in enumerate(SCOPES):
            registry.state(Box, scope=scope).set("number", number)
        registry.state(Box).set("number", -1)
        found = [registry.state(Box, scope=scope).get_all() for scope in SCOPES]
        assert found == [{"number": number} for number in range(len(SCOPES))]
        assert registry.state(Box).get_all() == {"number": -1}
        listed = [key for key in registry.keys() if key.scope is not None]
        assert listed == [StateKey("Box", scope) for scope in SCOPES]
        assert all(type(key.scope) is type(scope) for key, scope in zip(listed, SCOPES, strict=True))

    def test_scopes_are_the_same_elsewhere(self, registry: StateRegistry, other: StateRegistry) -> None:
        """In other processes, and in what they are told."""
        for number, scope in enumerate(SCOPES):
            registry.state(Box, scope=scope).set("number", number)
        assert [other.state(Box, scope=scope).get("number") for scope in SCOPES] == list(range(len(SCOPES)))
        assert [event.states for event in other.history()] == [(StateKey("Box", scope),) for scope in SCOPES]
        assert [key for key in other.keys() if key.scope is not None] == [StateKey("Box", scope) for scope in SCOPES]

    @pytest.mark.parametrize("scope", [True, 1.5, b"a", "", "x" * 201, ()], ids=repr)
    def test_anything_else_is_no_scope(self, registry: StateRegistry, scope: Any) -> None:
        """It is refused."""
        with pytest.raises(ScopeError, match="Box: a scope must"):
            registry.state(Box, scope=scope)

    def test_a_scope_is_listed_once_it_was_written_to(self, registry: StateRegistry) -> None:
        """And found by its name."""
        anna = registry.state(Box, scope="anna")
        assert anna.get_all() == {}
        assert StateKey("Box", "anna") not in registry.keys()
        anna.set("n", 1)
        assert registry.find("Box[anna]") == StateKey("Box", "anna")
        anna.drop()
        with pytest.raises(NotFoundError):
            registry.find("Box[anna]")

    @pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
    def test_a_name_is_free_when_its_last_bucket_is_dropped(self, registry: StateRegistry, inside: bool) -> None:
        """Then a class of another module can have it."""

        def drop(scope: int) -> None:
            with transaction(registry.state(Box, scope=scope if inside else "another")):
                registry.state(Box, scope=scope).drop()

        foreign = type("Box", (State,), {"__module__": "elsewhere"})
        for scope in (1, 2):
            registry.state(Box, scope=scope).set("n", 1)
        registry.state(Box, scope=3).drop()
        drop(1)
        assert "Box" in registry.names()
        with pytest.raises(StateNameError, match="two State classes have the name 'Box'"):
            registry.state(foreign)
        drop(2)
        assert registry.names() == []
        registry.state(foreign).set("n", 1)

    def test_what_is_listed_elsewhere_is_listed_here(self, registry: StateRegistry, other: StateRegistry) -> None:
        """In the order in which the buckets came; what is dropped is gone for all."""
        for number in range(3):
            registry.state(Box, scope=number).set("n", number)
        assert other.keys() == [StateKey("Box", number) for number in range(3)]
        other.state(Box, scope=0).drop()
        other.state(Box, scope=0).set("n", 0)
        other.state(Box, scope=2).drop()
        assert registry.keys() == other.keys() == [StateKey("Box", 1), StateKey("Box", 0)]
        assert registry.peek(StateKey("Box", 1)) == {"n": 1}
        other.state(Box, scope=1).set("n", 5)
        assert registry.peek(StateKey("Box", 1)) == {"n": 5}
        other.state(Box, scope=7).set("n", 1)
        assert registry.find("Box[7]") == StateKey("Box", 7)

    def test_defaults(self, person: Any) -> None:
        """A declared field has its default until it is set, and after it was deleted; those with one come first."""
        assert person.get_all() == {"age": 0, "tags": []}
        assert (person.get("age", 5), person.get("name", "?"), person.contains("age")) == (0, "?", True)
        person.update(other=1, age=7, name="Anna")
        assert list(person.get_all().items()) == [("age", 7), ("tags", []), ("other", 1), ("name", "Anna")]
        person.delete("age")
        assert (person.get("age"), person.setdefault("age", 9), person.pop("tags")) == (0, 0, [])
        assert person.keys() == ["age", "tags", "other", "name"]

    def test_verbs_start_from_the_default(self, person: Any) -> None:
        """And what they give out is a copy."""
        person.get("tags").append("spoilt")
        assert person.increment("age") == 1
        person.append("tags", "new")
        assert person.mutate("name", lambda name: name or "Bert", default=None) == "Bert"
        assert person.get_all() == {"age": 1, "tags": ["new"], "name": "Bert"}

    def test_a_value_of_another_type_is_refused(self, person: Any, registry: StateRegistry) -> None:
        """By every verb, and nothing is changed."""
        calls: list[Callable[[], object]] = [
            lambda: person.set("age", "7"),
            lambda: person.update(name="Anna", age=1.5),
            lambda: person.increment("age", 0.5),
            lambda: person.append("tags", 1),
            lambda: person.setdefault("name", 1),
            lambda: person.mutate("age", str),
        ]
        for call in calls:
            with pytest.raises(FieldTypeError, match=r"Person\."):
                call()
        assert (person.get_all(), registry.seq) == ({"age": 0, "tags": []}, 0)

    def test_a_strict_state_has_no_other_fields(self, registry: StateRegistry) -> None:
        """They are refused, with the close names."""
        strict = registry.state(Strict)
        assert strict.increment("n") == 1
        for call in (lambda: strict.set("m", 1), lambda: strict.get("m"), lambda: strict.update(n=2, m=1)):
            with pytest.raises(NotFoundError, match=r"did you mean 'n'|there is: n"):
                call()
        assert strict.get_all() == {"n": 1}
