"""The registry: which class has which bucket, and who hears of changes."""

from __future__ import annotations

import logging
import threading
import types
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.blocking import Blocking

from qstate_nb import AsyncState, Event, State, StateKey, StateRegistry, default_registry
from qstate_nb.core.state import StateBase
from qstate_nb.errors import NotAStateError, NotFoundError, ScopeError, StateError, StateNameError


class Signup(State):
    pass


class SignupAsync(AsyncState, name="Signup"):
    pass


@pytest.fixture(params=[Signup, SignupAsync])
def some_class(request: pytest.FixtureRequest) -> type[StateBase]:
    cls: type[StateBase] = request.param
    return cls


def define(base: type, class_name: str = "Signup", module: str = __name__, **options: Any) -> Any:
    """Define a State class as code in *module* would."""

    def fill(namespace: dict[str, Any]) -> None:
        namespace.update(__module__=module, __qualname__=class_name)

    return types.new_class(class_name, (base,), options, fill)


def test_a_class_has_one_object() -> None:
    registry = StateRegistry()
    state = registry.state(Signup)
    assert type(state) is Signup
    assert registry.state(Signup) is state
    assert StateRegistry().state(Signup) is not state


def test_threads_that_ask_at_once_get_one_object() -> None:
    made: list[StateBase] = []
    both_inside = threading.Barrier(2)

    class Slow(State):
        def __init__(self) -> None:
            both_inside.wait(10)

    registry = StateRegistry()
    threads = [threading.Thread(target=lambda: made.append(registry.state(Slow))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert made[0] is made[1] is registry.state(Slow)


@pytest.mark.parametrize("base", [State, AsyncState])
def test_a_class_that_is_defined_again_keeps_its_data(base: type[StateBase]) -> None:
    """As when a notebook cell is run again; the old class's object goes on working too."""
    registry = StateRegistry()
    first, again = define(base), define(base)
    Blocking(registry.state(first)).set("step", 1)
    state = registry.state(again)
    assert type(state) is again
    assert registry.state(again) is state
    assert Blocking(state).get("step") == 1
    Blocking(registry.state(first)).set("step", 2)
    assert Blocking(state).get("step") == 2
    assert registry.key(first) == registry.key(again) == StateKey("Signup")


def test_a_class_that_changed_its_colour_keeps_its_data() -> None:
    registry = StateRegistry()
    registry.state(define(State)).set("step", 1)
    state = registry.state(define(AsyncState))
    assert isinstance(state, AsyncState)
    assert Blocking(state).get("step") == 1


def test_both_colours_of_one_name_share_a_bucket_and_have_an_object_each() -> None:
    registry = StateRegistry()
    sync_class, async_class = define(State), define(AsyncState, "SignupAsync", name="Signup")
    registry.state(sync_class).set("step", 1)
    assert Blocking(registry.state(async_class)).get("step") == 1
    assert registry.state(sync_class) is registry.state(sync_class)
    assert registry.state(async_class) is registry.state(async_class)
    assert registry.keys() == [StateKey("Signup")]


def test_a_name_is_another_bucket() -> None:
    registry = StateRegistry()
    registry.state(define(State)).set("step", 1)
    assert registry.state(define(State, name="other")).get_all() == {}


@pytest.mark.parametrize("base", [State, AsyncState])
def test_two_classes_of_different_modules_with_one_name_are_an_error_that_names_both(base: type) -> None:
    registry = StateRegistry()
    registry.state(define(State, module="shop")).set("step", 1)
    with pytest.raises(StateNameError) as caught:
        registry.state(define(base, "Subscription", module="news", name="Signup"))
    message = str(caught.value)
    assert "'Signup'" in message
    assert "shop.Signup and news.Subscription" in message
    assert 'class Subscription(…, name="…")' in message
    assert isinstance(caught.value, StateError)
    assert registry.state(define(State, module="shop")).get("step") == 1


def test_the_remedy_for_a_collision_works() -> None:
    registry = StateRegistry()
    registry.state(define(State, module="shop")).set("step", 1)
    assert registry.state(define(State, module="news", name="news.Signup")).get_all() == {}


def test_registries_are_apart() -> None:
    one, other = StateRegistry(), StateRegistry()
    one.state(Signup).set("step", 1)
    assert other.state(Signup).get_all() == {}
    other.state(define(State, module="shop", name="Order"))
    one.state(define(State, module="news", name="Order"))


@pytest.mark.parametrize("cls", [int, Signup(), "Signup", None, list[int]])
def test_what_is_no_state_class_is_refused(cls: Any) -> None:
    with pytest.raises(
        NotAStateError, match="is not a State class; pass a subclass of State or AsyncState"
    ) as caught:
        StateRegistry().state(cls)
    assert repr(cls) in str(caught.value)
    assert isinstance(caught.value, TypeError)


def test_a_bucket_is_asked_for_by_a_class() -> None:
    with pytest.raises(NotAStateError, match="'Signup' is not a class; pass the State class itself"):
        StateRegistry().key("Signup")  # type: ignore[arg-type]


def test_a_bucket_is_listed_once_its_class_was_seen() -> None:
    registry = StateRegistry()
    assert registry.keys() == []
    registry.state(define(State, "B"))
    registry.state(define(State, "A")).set("step", 1)
    assert registry.keys() == [StateKey("B"), StateKey("A")]
    assert registry.find("A") == StateKey("A")


def test_an_unknown_bucket_gets_the_close_matches() -> None:
    registry = StateRegistry()
    registry.state(Signup)
    with pytest.raises(NotFoundError, match="no state 'signup'; did you mean 'Signup'"):
        registry.find("signup")
    with pytest.raises(NotFoundError, match="no state 'Signup'; there is none yet"):
        StateRegistry().find("Signup")


def test_a_scope_splits_a_class_into_buckets(some_class: type[StateBase]) -> None:
    registry = StateRegistry()
    name, user = some_class.state_name, uuid.uuid4()
    scopes: list[Any] = [42, "42", "anna", user, 0]
    for scope in (None, *scopes):
        Blocking(registry.state(some_class, scope)).set("who", str(scope))
    for scope in (None, *scopes):
        state = registry.state(some_class, scope=scope)
        assert type(state) is some_class
        assert Blocking(state).get_all() == {"who": str(scope)}
    keys = [StateKey(name), *(StateKey(name, scope) for scope in scopes)]
    assert registry.keys() == keys
    assert [event.states for event in registry.history()] == [(key,) for key in keys]
    assert [registry.find(str(key)) for key in keys] == keys
    assert registry.names() == [name]
    assert repr(registry.state(some_class, "anna")) == f"<{some_class.__name__}: State 'Signup[anna]'>"


def test_a_scope_is_listed_once_it_is_written_to() -> None:
    """Else the wrong numbers that somebody only looked at would stay in every list."""
    registry = StateRegistry()
    state = registry.state(Signup, scope=42)
    assert state.get("a") is None
    state.delete("a")
    state.clear()
    state.drop()
    assert (registry.keys(), registry.names()) == ([], ["Signup"])
    state.set("a", 1)
    assert registry.keys() == [StateKey("Signup", 42)]
    registry.state(Signup)
    assert registry.keys() == [StateKey("Signup", 42), StateKey("Signup")]
    state.delete("a")
    assert len(registry.keys()) == 2


def test_all_objects_of_one_scope_share_its_data(some_class: type[StateBase]) -> None:
    registry = StateRegistry()
    first, second = (Blocking(registry.state(some_class, scope="anna")) for _ in range(2))
    first.set("a", 1)
    assert second.get("a") == 1
    first.drop()
    second.set("b", 2)
    assert first.get_all() == {"b": 2}
    assert registry.keys() == [StateKey(some_class.state_name, "anna")]


@pytest.mark.parametrize("scope", [True, 1.5, "", b"a", object()])
def test_a_scope_that_can_not_be_one_is_refused_with_the_name_of_the_state(scope: Any) -> None:
    registry = StateRegistry()
    with pytest.raises(ScopeError, match=r"^Signup: a scope must"):
        registry.state(Signup, scope=scope)
    assert registry.keys() == []


@pytest.mark.parametrize("wrong", ["Sgnup", "Sgnup[42]", "Signup[43]", "Signup[41", "", "a b", "Order"])
def test_a_bucket_that_is_not_there_is_not_found(wrong: str) -> None:
    registry = StateRegistry()
    registry.state(Signup, scope=42).set("a", 1)
    with pytest.raises(NotFoundError, match="no state ") as caught:
        registry.find(wrong)
    assert "Signup" in str(caught.value)
    assert ("Signup[42]" in str(caught.value)) is wrong.startswith("Signup")


def test_a_bucket_of_a_known_state_can_be_found_before_it_is_written_to() -> None:
    registry = StateRegistry()
    registry.state(Signup)
    assert registry.find("Signup[43]", to_write=True) == StateKey("Signup", 43)
    with pytest.raises(NotFoundError, match="no state 'Order"):
        registry.find("Order[43]", to_write=True)
    with pytest.raises(NotFoundError, match=r"no state .Signup"):
        registry.find("Signup['43]", to_write=True)


def test_what_is_dropped_frees_its_name_when_it_was_the_last_of_it() -> None:
    """Then a class of another module can have it."""
    registry = StateRegistry()
    mine, theirs = define(State, module="shop"), define(State, module="news")
    registry.state(mine).set("a", 1)
    registry.state(mine, scope=42).set("a", 1)
    registry.state(mine).drop()
    assert registry.keys() == [StateKey("Signup", 42)]
    with pytest.raises(StateNameError, match=r"shop\.Signup and news\.Signup"):
        registry.state(theirs)
    registry.state(mine, scope=42).drop()
    assert (registry.keys(), registry.names()) == ([], [])
    assert registry.state(theirs).get_all() == {}
    assert registry.keys() == [StateKey("Signup")]


def test_a_dropped_state_is_listed_again_when_it_is_asked_for_or_written_to() -> None:
    registry = StateRegistry()
    state = registry.state(Signup)
    state.set("a", 1)
    state.drop()
    assert registry.keys() == []
    state.set("b", 2)
    assert (registry.keys(), state.get_all()) == ([StateKey("Signup")], {"b": 2})
    state.drop()
    assert registry.state(Signup).get_all() == {}
    assert registry.keys() == [StateKey("Signup")]


class Declaring(State, name="Declaring"):
    step: int = 5
    tags: list[str] = []  # noqa: RUF012


def test_what_is_committed_can_be_peeked_at() -> None:
    registry = StateRegistry()
    state = registry.state(Declaring)
    assert registry.peek(StateKey("Declaring")) == {"step": 5, "tags": []}
    state.update(step=6, more=[1])
    assert registry.peek(StateKey("Declaring")) == {"step": 6, "tags": [], "more": [1]}
    assert registry.peek(StateKey("Nobody")) == {}
    with state.transaction():
        state.set("step", 7)
        assert registry.peek(StateKey("Declaring"))["step"] == 7
        assert in_another_thread(registry.peek, StateKey("Declaring"))["step"] == 6
    assert in_another_thread(registry.peek, StateKey("Declaring"))["step"] == 7


def in_another_thread(function: Callable[..., Any], *args: Any) -> Any:
    """What *function* gives to code that takes part in no transaction."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result(10)


def test_the_fields_are_known_that_the_class_declares_which_was_used_last() -> None:
    registry = StateRegistry()
    assert registry.declared("Declaring") is None
    registry.state(Declaring, scope=1)
    assert registry.declared("Declaring") is Declaring.declared
    registry.state(define(State, "Declaring"))
    assert registry.declared("Declaring") is Declaring.declared  # it declares nothing
    registry.state(Signup)
    assert registry.declared("Signup") is None


def test_a_class_can_be_made_known_without_a_bucket() -> None:
    registry = StateRegistry()
    registry.introduce(Declaring)
    assert (registry.keys(), registry.names()) == ([], ["Declaring"])
    assert registry.declared("Declaring") is Declaring.declared
    with pytest.raises(StateNameError, match="two State classes have the name 'Declaring'"):
        registry.introduce(define(State, "Declaring", module="shop"))
    with pytest.raises(NotAStateError, match="is not a State class"):
        registry.introduce(int)


@pytest.mark.parametrize(("last", "seqs"), [(None, [1, 2, 3]), (2, [2, 3]), (0, []), (3, [1, 2, 3]), (9, [1, 2, 3])])
def test_the_last_events_can_be_asked_for(last: int | None, seqs: list[int]) -> None:
    registry = StateRegistry()
    for number in range(3):
        registry.state(Signup).set("n", number)
    assert [event.seq for event in registry.history(limit=last)] == seqs


def test_writers_tell_who_last_wrote_a_field() -> None:
    registry = StateRegistry()
    state = registry.state(Signup)
    state.update(a=1, b=2)
    state.set("a", 3)
    assert {field: event.seq for field, event in registry.writers(registry.key(Signup)).items()} == {"a": 2, "b": 1}
    assert registry.writers(StateKey("Signup"), ["b", "c"]).keys() == {"b"}


def test_a_registry_keeps_at_least_one_event() -> None:
    with pytest.raises(ValueError, match="max_events must be at least 1, or None to keep all, not 0"):
        StateRegistry(max_events=0)


def test_the_default_registry_is_one_a_process() -> None:
    found: list[StateRegistry] = []
    threads = [threading.Thread(target=lambda: found.append(default_registry())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(registry is default_registry() for registry in found)


def test_a_subscriber_hears_of_each_change_after_it_is_made() -> None:
    registry = StateRegistry()
    state = registry.state(Signup)
    heard: list[tuple[Event, dict[str, Any], int]] = []
    unsubscribe = registry.subscribe(lambda event: heard.append((event, state.get_all(), threading.get_ident())))
    state.set("a", 1)
    state.delete("missing")
    state.update(b=2)
    unsubscribe()
    state.set("c", 3)
    assert [event for event, _, _ in heard] == registry.history()[:2]
    assert [fields for _, fields, _ in heard] == [{"a": 1}, {"a": 1, "b": 2}]
    assert {thread for _, _, thread in heard} == {threading.get_ident()}


def test_a_subscriber_can_write_to_the_state_itself() -> None:
    registry = StateRegistry()
    state = registry.state(Signup)

    def count(event: Event) -> None:
        if event.changes[0].field != "count":
            state.set("count", state.get("count", 0) + 1)

    registry.subscribe(count)
    state.set("a", 1)
    state.set("a", 2)
    assert state.get_all() == {"a": 2, "count": 2}


def test_a_subscriber_that_fails_harms_neither_the_op_nor_the_others(caplog: pytest.LogCaptureFixture) -> None:
    registry = StateRegistry()
    heard: list[Event] = []

    def fail(event: Event) -> None:
        raise RuntimeError("broken")

    registry.subscribe(fail)
    stop = registry.subscribe(heard.append)
    with caplog.at_level(logging.ERROR):
        registry.state(Signup).set("a", 1)
    assert heard == registry.history()
    assert "a subscriber failed on <Event 1: Signup set a by user>" in caplog.text
    assert "RuntimeError: broken" in caplog.text
    stop()
    registry.state(Signup).set("a", 2)
    assert [event.seq for event in heard] == [1]
    assert caplog.text.count("RuntimeError: broken") == 2


def test_a_subscriber_hears_of_every_kind_of_write_once(some_class: type[StateBase]) -> None:
    registry = StateRegistry()
    state = Blocking(registry.state(some_class))
    heard: list[str] = []
    registry.subscribe(lambda event: heard.append(event.op))
    writes: list[tuple[str, tuple[Any, ...]]] = [
        *(("set", ("a", 1)), ("set", ("b", [1])), ("increment", ("a",)), ("append", ("b", 2)), ("pop", ("b",))),
        *(("setdefault", ("c", 3)), ("mutate", ("c", str)), ("delete", ("c",)), ("clear", ())),
    ]
    for name, args in writes:
        getattr(state, name)(*args)
    state.update(a=1)
    state.update(a=[1])
    state.drop()
    assert heard == [*(name for name, _ in writes), "update", "update", "drop"]
    assert heard == [event.op for event in registry.history()]
