"""Scopes: each value of an argument has a bucket of its own, in every kind of signature."""

import asyncio
import enum
import functools
import inspect
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstate_nb import AsyncState, InlineApp, Scope, State, StateKey, StatePlugin, StateRegistry
from qstate_nb.errors import InjectionError, ScopeError, StateNameError, WrongColourError

ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


class Signup(State):
    step: int = 0


class Order(State):
    pass


class Chat(AsyncState):
    pass


class Kind(enum.Enum):
    SHOP = "shop"


ByChat = Annotated[Signup, Scope("chat_id")]


@pytest.fixture
def registry() -> StateRegistry:
    return StateRegistry()


def call(registry: StateRegistry, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Plan, bind and call."""
    args, kwargs = StatePlugin(registry).plan(function).bind(args, kwargs)
    return function(*args, **kwargs)


def key_of(state: Any) -> str:
    return str(state._bucket.key)


def first(state: ByChat, chat_id: Any) -> Any:
    return key_of(state), chat_id


def last(chat_id: Any, state: ByChat) -> Any:
    return key_of(state), chat_id


def positional_only(state: ByChat, chat_id: Any, /) -> Any:
    return key_of(state), chat_id


def keyword_only(*, chat_id: Any, state: ByChat) -> Any:
    return key_of(state), chat_id


def between(other: Order, chat_id: Any, state: ByChat, *more: Any, **named: Any) -> Any:
    assert isinstance(other, Order)
    return key_of(state), chat_id


def optional(state: Optional[ByChat], chat_id: Any) -> Any:  # noqa: UP045
    return key_of(state), chat_id


def outside(state: Annotated[Signup | None, "a note", Scope("chat_id")], chat_id: Any) -> Any:
    return key_of(state), chat_id


def computed(state: Annotated[Signup, Scope(lambda args: args["chat_id"])], chat_id: Any) -> Any:
    return key_of(state), chat_id


class Shop:
    def method(self, state: ByChat, chat_id: Any) -> Any:
        return key_of(state), chat_id


FORMS = [first, last, keyword_only, between, optional, outside, computed, Shop().method]


@pytest.mark.parametrize("function", FORMS)
def test_every_signature_gets_the_bucket_of_its_argument(registry: StateRegistry, function: Any) -> None:
    assert call(registry, function, chat_id=42) == ("Signup[42]", 42)
    if function is not keyword_only:
        assert call(registry, function, 43) == ("Signup[43]", 43)


def test_positional_only_states_are_found_by_their_place(registry: StateRegistry) -> None:
    assert call(registry, positional_only, 42) == ("Signup[42]", 42)


@pytest.mark.parametrize(
    ("scope", "written"),
    [(42, "Signup[42]"), (-1, "Signup[-1]"), ("anna", "Signup[anna]"), ("42", "Signup['42']"), (ID, f"Signup[{ID}]")],
)
def test_a_scope_is_a_str_an_int_or_a_uuid(registry: StateRegistry, scope: Any, written: str) -> None:
    assert call(registry, first, chat_id=scope)[0] == written
    assert key_of(registry.state(Signup, scope=scope)) == written


def test_the_member_of_an_enum_counts_as_its_value(registry: StateRegistry) -> None:
    assert call(registry, first, chat_id=Kind.SHOP)[0] == "Signup[shop]"


@pytest.mark.parametrize("scope", [None, 1.5, True, b"x", (1, 2), [], "", "x" * 201, 10**300, object()])
def test_other_scopes_are_a_clear_error_and_nothing_runs(registry: StateRegistry, scope: object) -> None:
    with pytest.raises(ScopeError, match="task 'first', parameter 'state': a scope must") as caught:
        call(registry, first, chat_id=scope)
    assert len(str(caught.value)) < 200
    assert isinstance(caught.value, ValueError)
    if scope is not None:  # which is no scope at all there
        with pytest.raises(ScopeError, match="Signup: a scope must"):
            registry.state(Signup, scope=scope)  # type: ignore[arg-type]


def test_a_default_can_give_the_scope(registry: StateRegistry) -> None:
    def function(state: ByChat, chat_id: int = 7) -> str:
        return key_of(state)

    assert call(registry, function) == "Signup[7]"
    assert call(registry, function, 8) == "Signup[8]"


def test_a_function_gets_all_arguments_by_name_and_no_states(registry: StateRegistry) -> None:
    seen: list[dict[str, Any]] = []

    def find(args: Any) -> str:
        seen.append(dict(args))
        return f"{args['a']}-{args['b']}-{args['c']}"

    def function(a: int, state: Annotated[Signup, Scope(find)], b: int = 2, *, c: int = 3, d: int = 4) -> str:
        return key_of(state)

    assert call(registry, function, 1, c=30) == "Signup[1-2-30]"
    assert seen == [{"a": 1, "b": 2, "c": 30, "d": 4}]


def test_what_a_function_raises_or_returns_wrongly_is_said(registry: StateRegistry) -> None:
    def fails(state: Annotated[Signup, Scope(lambda args: args["nope"])], a: int) -> None: ...

    def wrong(state: Annotated[Signup, Scope(lambda args: [args])], a: int) -> None: ...

    with pytest.raises(KeyError):
        call(registry, fails, 1)
    with pytest.raises(ScopeError, match="task 'wrong', parameter 'state': a scope must be a str, int or UUID"):
        call(registry, wrong, 1)


def test_a_missing_argument_is_a_type_error_as_in_any_call(registry: StateRegistry) -> None:
    with pytest.raises(TypeError, match="task 'first', parameter 'state': missing an argument: 'chat_id'"):
        call(registry, first)


def test_a_caller_can_give_the_state_himself(registry: StateRegistry) -> None:
    other = registry.state(Signup, scope="other")
    assert call(registry, first, other, 1) == ("Signup[other]", 1)
    assert call(registry, first, chat_id=1, state=other) == ("Signup[other]", 1)


def test_one_task_can_have_several_scopes_and_states(registry: StateRegistry) -> None:
    def transfer(
        source: Annotated[Order, Scope("a")], target: Annotated[Order, Scope("b")], common: Order, a: str, b: str
    ) -> list[str]:
        return [key_of(state) for state in (source, target, common)]

    assert call(registry, transfer, "x", "y") == ["Order[x]", "Order[y]", "Order"]


def test_partials_and_wrapped_functions_have_their_scopes(registry: StateRegistry) -> None:
    assert call(registry, functools.partial(first, chat_id=5)) == ("Signup[5]", 5)

    @functools.wraps(first)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return first(*args, **kwargs)

    assert call(registry, wrapper, 6) == ("Signup[6]", 6)


def test_a_scope_that_names_no_parameter_is_refused_with_the_close_ones(registry: StateRegistry) -> None:
    def function(state: Annotated[Signup, Scope("chatid")], chat_id: int) -> None: ...

    def variadic(state: Annotated[Signup, Scope("args")], *args: int) -> None: ...

    def of_a_state(state: Annotated[Signup, Scope("order")], order: Order) -> None: ...

    with pytest.raises(InjectionError, match=r"task 'function', parameter 'state': Scope\('chatid'\).*'chat_id'"):
        StatePlugin(registry).plan(function)
    with pytest.raises(InjectionError, match=r"Scope\('args'\)"):
        StatePlugin(registry).plan(variadic)
    with pytest.raises(InjectionError, match=r"Scope\('order'\)"):
        StatePlugin(registry).plan(of_a_state)


@pytest.mark.parametrize(
    "annotation",
    [
        Annotated[Signup, Scope],
        Annotated[Signup, Scope("a"), Scope("b")],
        Annotated[int, Scope("a")],
        Annotated[Annotated[Signup, Scope("a")] | None, Scope("b")],
    ],
)
def test_scopes_that_make_no_sense_are_refused(registry: StateRegistry, annotation: Any) -> None:
    def function(state: Any, a: int, b: int) -> None: ...

    function.__annotations__["state"] = annotation
    with pytest.raises(InjectionError, match=r"parameter 'state': write one scope, for a State"):
        StatePlugin(registry).plan(function)


@pytest.mark.parametrize("by", [5, None, ["a"]])
def test_a_scope_is_made_of_a_name_or_a_function(by: Any) -> None:
    with pytest.raises(InjectionError, match="name a parameter"):
        Scope(by)


def test_colours_and_names_are_checked_as_without_a_scope(registry: StateRegistry) -> None:
    async def wrong(state: ByChat, chat_id: int) -> None: ...

    with pytest.raises(WrongColourError):
        StatePlugin(registry).plan(wrong)
    registry.introduce(type("Signup", (State,), {"__module__": "elsewhere"}))
    with pytest.raises(StateNameError, match="task 'first', parameter 'state': two State classes"):
        StatePlugin(registry).plan(first)


def test_a_bucket_is_listed_once_it_is_written_to(registry: StateRegistry) -> None:
    state = registry.state(Signup, scope=42)
    assert state.get("step") == 0
    assert registry.keys() == []
    assert registry.names() == ["Signup"]
    state.set("step", 1)
    assert registry.keys() == [StateKey("Signup", 42)]
    state.drop()
    assert registry.keys() == []
    assert state.get_all() == {"step": 0}
    state.set("step", 2)
    assert registry.keys() == [StateKey("Signup", 42)]
    assert registry.state(Signup, scope=42).get("step") == 2


def test_two_objects_of_a_dropped_bucket_are_of_one_bucket_still(registry: StateRegistry) -> None:
    one = registry.state(Signup, scope=42)
    one.set("step", 1)
    one.drop()
    two = registry.state(Signup, scope=42)
    two.set("step", 2)
    assert one.get("step") == 2


def test_buckets_that_nobody_has_leave_nothing(registry: StateRegistry) -> None:
    for n in range(100):
        registry.state(Signup, scope=n).get("step")
    state = registry.state(Signup, scope="last")
    state.set("step", 1)
    state.drop()
    del state
    assert len(registry._store._known) <= 1  # that without a scope


def test_dropping_the_last_bucket_frees_the_name(registry: StateRegistry) -> None:
    registry.state(Signup, scope=1).set("step", 1)
    registry.state(Signup, scope=2).set("step", 1)
    registry.state(Signup, scope=1).drop()
    other = type("Signup", (State,), {"__module__": "elsewhere"})
    with pytest.raises(StateNameError):
        registry.state(other)
    registry.state(Signup, scope=2).drop()
    assert registry.names() == []
    registry.state(other).set("a", 1)


def test_scopes_do_not_mix(registry: StateRegistry) -> None:
    scopes: list[Any] = [1, "1", "anna", ID, str(ID), -1]
    for n, scope in enumerate(scopes):
        registry.state(Signup, scope=scope).set("step", n)
    registry.state(Signup).set("step", 99)
    assert [registry.state(Signup, scope=scope).get("step") for scope in scopes] == list(range(6))
    assert registry.state(Signup).get("step") == 99
    assert [event.states[0].scope for event in registry.history()] == [*scopes, None]


def test_a_task_of_an_app_has_its_scope_in_each_call() -> None:
    app = InlineApp(registry=StateRegistry())

    @app.task(echo=True)
    async def answer(self: Any, state: Annotated[Chat, Scope("chat_id")], chat_id: int, text: str = "") -> str:
        await state.append("texts", text)
        return key_of(state)

    async def scenario() -> Any:
        return await asyncio.gather(*(answer(n % 3, text=str(n)) for n in range(9)))

    assert asyncio.run(scenario()) == [f"Chat[{n % 3}]" for n in range(9)]
    assert {str(key): app.registry.peek(key)["texts"] for key in app.registry.keys()} == {
        "Chat[0]": ["0", "3", "6"],
        "Chat[1]": ["1", "4", "7"],
        "Chat[2]": ["2", "5", "8"],
    }
    assert [p.name for p in answer.parameters] == ["chat_id", "text"]
    result = app.run("answer", 1.5)
    assert result.status == "error"
    assert isinstance(result.exception, ScopeError)


@given(st.permutations(["state: ByChat", "chat_id", "a", "other: Order"]), st.integers(0, 4), st.integers(0, 2))
def test_any_order_of_parameters_gets_what_was_given(parameters: list[str], star: int, by_name: int) -> None:
    """However the caller gives them, each value arrives, and the bucket is that of chat_id."""
    parts = [*parameters[:star], "*", *parameters[star:]] if star < len(parameters) else parameters
    namespace: dict[str, Any] = {"ByChat": ByChat, "Order": Order}
    exec(f"def function({', '.join(parts)}): return state, chat_id, a, other", namespace)
    plain = [p for p in inspect.signature(namespace["function"]).parameters.values() if p.name in ("chat_id", "a")]
    values = {"chat_id": 42, "a": "x"}
    positional = [p.name for p in plain if p.kind is p.POSITIONAL_OR_KEYWORD][: 2 - by_name]
    rest = {name: value for name, value in values.items() if name not in positional}
    state, chat_id, a, other = call(
        StateRegistry(), namespace["function"], *(values[name] for name in positional), **rest
    )
    assert (key_of(state), chat_id, a, key_of(other)) == ("Signup[42]", 42, "x", "Order")
