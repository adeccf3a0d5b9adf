"""Registries with QTasks' call signatures, over the one registry: one body for both colours."""

from __future__ import annotations

import inspect
from collections import UserDict
from collections.abc import Callable
from typing import Any

import pytest
from support.blocking import Blocking
from support.containers import same, spoil

from qstate_nb import (
    AsyncState,
    AsyncStateRegistry,
    State,
    StateKey,
    StateRegistry,
    SyncStateRegistry,
    default_registry,
)
from qstate_nb.errors import NotAStateError, StateKeyError, StateNameError, StateValueError


class Signup(State):
    pass


class SignupAsync(AsyncState, name="Signup"):
    pass


class Order:
    """No State class of ours: QTasks has its own."""


ADAPTERS: dict[str, Any] = {"sync": SyncStateRegistry, "async": AsyncStateRegistry}


@pytest.fixture
def registry() -> StateRegistry:
    return StateRegistry()


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest, registry: StateRegistry) -> Blocking:
    return Blocking(ADAPTERS[request.param](registry))


@pytest.fixture(params=[Signup, SignupAsync, Order])
def cls(request: pytest.FixtureRequest) -> type:
    kind: type = request.param
    return kind


def test_the_calls_of_qtasks(adapter: Blocking, cls: type) -> None:
    assert adapter.set(cls, "state", "await_phone") is None
    assert adapter.update(cls, {"step": 1}) == {"state": "await_phone", "step": 1}
    assert adapter.get(cls, "state", None) == "await_phone"
    assert adapter.get(cls, "missing", "default") == "default"
    assert adapter.get(cls, "missing") is None
    assert adapter.get(cls, None, "default") == {"state": "await_phone", "step": 1}
    assert adapter.delete(cls, "state") is None
    assert adapter.delete(cls, "state") is None
    assert adapter.get_all(cls) == {"step": 1}
    assert adapter.clear(cls) is None
    assert adapter.get_all(cls) == {}


def test_the_calls_of_qtasks_by_name(adapter: Blocking) -> None:
    adapter.set(state_cls=Order, key="a", value=1)
    assert adapter.update(state_cls=Order, mapping={"b": 2}) == {"a": 1, "b": 2}
    assert adapter.get(state_cls=Order, key="a", default=5) == 1
    adapter.delete(state_cls=Order, key="a")
    assert adapter.get_all(state_cls=Order) == {"b": 2}
    adapter.clear(state_cls=Order)


def test_the_default_is_for_a_missing_key_only(adapter: Blocking) -> None:
    adapter.update(Order, {"zero": 0, "none": None})
    assert adapter.get(Order, "zero", 5) == 0
    assert adapter.get(Order, "none", 5) is None


def test_the_data_is_that_of_the_registry(adapter: Blocking, registry: StateRegistry) -> None:
    adapter.set(SignupAsync, "a", 1)
    assert registry.state(Signup).get_all() == {"a": 1}
    registry.state(Signup).set("b", 2)
    assert adapter.get_all(Signup) == {"a": 1, "b": 2}
    assert [event.op for event in registry.history()] == ["set", "set"]


def test_each_call_that_changes_something_is_one_event(adapter: Blocking, registry: StateRegistry) -> None:
    adapter.set(Order, "a", 1)
    adapter.set(Order, "b", [1])
    adapter.update(Order, {"a": 2, "c": 3})
    adapter.update(Order, {"b": [2], "c": 4})
    adapter.update(Order, {})
    adapter.delete(Order, "missing")
    adapter.delete(Order, "a")
    adapter.clear(Order)
    events = registry.history()
    assert [event.op for event in events] == ["set", "set", "update", "update", "delete", "clear"]
    assert {event.states for event in events} == {(StateKey("Order"),)}
    assert registry.keys() == [StateKey("Order")]


def test_both_colours_can_share_a_registry(registry: StateRegistry) -> None:
    SyncStateRegistry(registry).set(Order, "a", 1)
    assert Blocking(AsyncStateRegistry(registry)).get(Order, "a") == 1


@pytest.mark.parametrize("colour", ADAPTERS)
def test_without_a_registry_it_works_on_the_default_one(colour: str) -> None:
    assert ADAPTERS[colour]().registry is default_registry()


def test_the_async_methods_are_coroutine_functions_and_take_what_the_sync_ones_take() -> None:
    for name in ("get", "set", "update", "get_all", "delete", "clear"):
        is_async, is_sync = getattr(AsyncStateRegistry, name), getattr(SyncStateRegistry, name)
        assert inspect.iscoroutinefunction(is_async)
        assert not inspect.iscoroutinefunction(is_sync)
        assert inspect.signature(is_async) == inspect.signature(is_sync)


def test_values_are_copied(adapter: Blocking) -> None:
    value = {"a": [1]}
    adapter.set(Order, "it", value)
    spoil(value)
    spoil(adapter.get(Order, "it"))
    spoil(adapter.get_all(Order))
    spoil(adapter.update(Order, {}))
    assert same(adapter.get_all(Order), {"it": {"a": [1]}})


def test_a_mapping_can_be_of_any_kind_and_hold_any_name(adapter: Blocking) -> None:
    mapping = UserDict({"self": 1, "state_cls": 2, "mapping": 3})
    assert adapter.update(Order, mapping) == dict(mapping)


def test_a_key_that_is_not_a_str_is_a_clear_error_and_changes_nothing(
    adapter: Blocking, registry: StateRegistry
) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: adapter.get(Order, 1),
        lambda: adapter.set(Order, 1, 2),
        lambda: adapter.delete(Order, 1),
        lambda: adapter.update(Order, {"a": 1, 1: 2}),
    ]
    for call in calls:
        with pytest.raises(StateKeyError, match=r"a key of State Order must be a str, not 1 \(int\)"):
            call()
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(StateValueError, match="contains itself"):
        adapter.update(Order, {"a": 1, "b": cycle})
    assert registry.history() == []


def test_classes_of_different_modules_with_one_name_are_an_error(adapter: Blocking) -> None:
    adapter.set(Order, "a", 1)
    stranger = type("Order", (), {"__module__": "shop"})
    with pytest.raises(
        StateNameError, match=r"two State classes have the name 'Order': .*test_adapters.Order and shop"
    ):
        adapter.set(stranger, "a", 2)


def test_what_is_no_class_is_refused(adapter: Blocking) -> None:
    with pytest.raises(NotAStateError, match="'Order' is not a class"):
        adapter.get("Order", "a")
