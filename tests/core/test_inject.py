"""Injection into every kind of signature. Annotations here are real objects: no ``from __future__`` import."""

# ruff: noqa: UP007, UP045 (how people wrote it before `X | None` is a part of the claim)

import asyncio
import contextlib
import dataclasses
import functools
import inspect
import types
import unittest.mock
from collections.abc import Callable
from typing import Annotated, Any, Generic, Literal, Optional, TypeVar, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstate_nb import AsyncState, State, StatePlugin, StateRegistry
from qstate_nb.core.binding import Injection
from qstate_nb.core.inject import innermost, is_async, name_of
from qstate_nb.errors import InjectionError, QStateError, StateNameError, UnresolvedAnnotationError, WrongColourError


class Signup(State):
    pass


class Order(State):
    pass


class Chat(AsyncState):
    pass


T = TypeVar("T")


class Typed(State, Generic[T]):
    pass


def plan(function: Callable[..., Any], registry: StateRegistry | None = None) -> Injection:
    return StatePlugin(registry or StateRegistry()).plan(function)


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Plan, bind and call, and await what has to be."""
    args, kwargs = plan(function).bind(args, kwargs)
    result = function(*args, **kwargs)

    async def settle() -> Any:
        return await result

    return asyncio.run(settle()) if inspect.isawaitable(result) else result


class AnyState:
    """Equal to each State object of a class."""

    def __init__(self, cls: type) -> None:
        self.cls = cls

    def __eq__(self, other: object) -> bool:
        return type(other) is self.cls

    def __hash__(self) -> int:
        return hash(self.cls)

    def __repr__(self) -> str:
        return f"<any {self.cls.__name__}>"


SIGNUP, ORDER, CHAT = AnyState(Signup), AnyState(Order), AnyState(Chat)


# -- kinds and positions of parameters -----------------------------------------------------------------------------


def only(state: Signup) -> Any:
    return state


def positional_only(state: Signup, /) -> Any:
    return state


def keyword_only(*, state: Signup) -> Any:
    return state


def first(state: Signup, a: Any, b: Any = 2) -> Any:
    return state, a, b


def middle(a: Any, state: Signup, b: Any = 2) -> Any:
    return state, a, b


def last(a: Any, b: Any, state: Signup) -> Any:
    return state, a, b


def defaulted(a: Any, b: Any = 2, state: Signup = None) -> Any:  # type: ignore[assignment]
    return state, a, b


def middle_positional_only(a: Any, state: Signup, b: Any = 2, /) -> Any:
    return state, a, b


def defaulted_positional_only(a: Any = 1, state: Signup = None, b: Any = 2, /) -> Any:  # type: ignore[assignment]
    return state, a, b


def before_keywords(a: Any, /, state: Signup, *, b: Any = 2) -> Any:
    return state, a, b


def after_star(a: Any, *, b: Any = 2, state: Signup) -> Any:
    return state, a, b


def with_rest(state: Signup, a: Any, *rest: Any, **named: Any) -> Any:
    return state, a, rest, named


def after_rest(a: Any, *rest: Any, state: Signup, **named: Any) -> Any:
    return state, a, rest, named


def two(state: Signup, a: Any, order: Order, b: Any = 2) -> Any:
    return state, a, order, b


def echo_like(self: Any, state: Signup, a: Any) -> Any:
    return state, self, a


def untyped_echo(self, state: Signup, a=1):  # type: ignore[no-untyped-def]
    return state, self, a


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "expected"),
    [
        (only, (), {}, SIGNUP),
        (positional_only, (), {}, SIGNUP),
        (keyword_only, (), {}, SIGNUP),
        (first, (1,), {}, (SIGNUP, 1, 2)),
        (first, (1, 3), {}, (SIGNUP, 1, 3)),
        (first, (), {"a": 1}, (SIGNUP, 1, 2)),
        (first, (1,), {"b": 3}, (SIGNUP, 1, 3)),
        (middle, (1,), {}, (SIGNUP, 1, 2)),
        (middle, (1, 3), {}, (SIGNUP, 1, 3)),
        (middle, (), {"b": 3, "a": 1}, (SIGNUP, 1, 3)),
        (last, (1, 3), {}, (SIGNUP, 1, 3)),
        (last, (1,), {"b": 3}, (SIGNUP, 1, 3)),
        (defaulted, (1,), {}, (SIGNUP, 1, 2)),
        (defaulted, (1, 3), {}, (SIGNUP, 1, 3)),
        (middle_positional_only, (1,), {}, (SIGNUP, 1, 2)),
        (middle_positional_only, (1, 3), {}, (SIGNUP, 1, 3)),
        (defaulted_positional_only, (), {}, (SIGNUP, 1, 2)),
        (defaulted_positional_only, (5, 6), {}, (SIGNUP, 5, 6)),
        (before_keywords, (1,), {"b": 3}, (SIGNUP, 1, 3)),
        (after_star, (1,), {}, (SIGNUP, 1, 2)),
        (with_rest, (1,), {}, (SIGNUP, 1, (), {})),
        (with_rest, (1, 3, 4), {"x": 5}, (SIGNUP, 1, (3, 4), {"x": 5})),
        (with_rest, (), {"a": 1, "x": 5}, (SIGNUP, 1, (), {"x": 5})),
        (after_rest, (1, 3, 4), {"x": 5}, (SIGNUP, 1, (3, 4), {"x": 5})),
        (two, (1,), {}, (SIGNUP, 1, ORDER, 2)),
        (two, (1, 3), {}, (SIGNUP, 1, ORDER, 3)),
        (echo_like, ("handle", 1), {}, (SIGNUP, "handle", 1)),
        (echo_like, ("handle",), {"a": 1}, (SIGNUP, "handle", 1)),
        (untyped_echo, ("handle",), {}, (SIGNUP, "handle", 1)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_state_is_injected_into_any_parameter(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], expected: Any
) -> None:
    assert call(function, *args, **kwargs) == expected


def test_two_states_are_two_buckets() -> None:
    registry = StateRegistry()
    injection = plan(two, registry)
    args, kwargs = injection.bind((1,), {})
    signup, _, order, _ = two(*args, **kwargs)
    signup.set("step", 1)
    assert order.get_all() == {}
    assert signup is registry.state(Signup)
    assert order is registry.state(Order)
    assert injection.states == {"state": signup, "order": order}


def test_two_parameters_of_one_class_are_one_bucket() -> None:
    def twice(one: Signup, other: Signup) -> Any:
        return one is other

    assert call(twice) is True


def test_what_is_left_for_the_caller_is_told() -> None:
    assert [str(p) for p in plan(first).parameters] == ["a: Any", "b: Any = 2"]
    assert [p.name for p in plan(after_rest).parameters] == ["a", "rest", "named"]
    assert plan(only).parameters == ()


def test_a_function_without_state_gets_what_the_caller_gives() -> None:
    def plain(a: int, *rest: Any, b: int = 2) -> Any:
        return a, rest, b

    assert call(plain, 1, 5, b=3) == (1, (5,), 3)
    assert plan(plain).states == {}


def test_the_callers_arguments_are_not_changed() -> None:
    kwargs = {"a": 1}
    plan(first).bind((), kwargs)
    assert kwargs == {"a": 1}


# -- against the same function without its State parameters --------------------------------------------------------

KINDS = [
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.KEYWORD_ONLY,
    inspect.Parameter.VAR_KEYWORD,
]


@st.composite
def signatures(draw: st.DrawFn) -> inspect.Signature:
    """Any signature, with State parameters anywhere."""
    parameters: list[inspect.Parameter] = []
    optional = False
    for kind in KINDS:
        variadic = kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        for _ in range(draw(st.integers(0, 1 if variadic else 3))):
            if kind is inspect.Parameter.KEYWORD_ONLY:
                optional = draw(st.booleans())
            elif not variadic:
                optional = optional or draw(st.integers(0, 3)) == 0
            name = f"p{len(parameters)}"
            annotation = draw(st.sampled_from([inspect.Parameter.empty, int, Signup, Order, Optional[Signup]]))
            default = f"default of {name}" if optional and not variadic else inspect.Parameter.empty
            parameters.append(inspect.Parameter(name, kind, annotation=annotation, default=default))
    return inspect.Signature(parameters)


def function_of(signature: inspect.Signature) -> Callable[..., dict[str, Any]]:
    """A function that returns its arguments by name."""
    shown = signature.replace(
        parameters=[
            p.replace(
                annotation=inspect.Parameter.empty,
                default=p.default if p.default is p.empty else types.SimpleNamespace(name=p.name),
            )
            for p in signature.parameters.values()
        ]
    )
    head = str(shown).replace("namespace(name=", "default(")
    default = "default of {}".format
    namespace: dict[str, Any] = {"default": default}
    exec(f"def function{head}:\n    return dict(locals())", namespace)  # the only way to get any signature
    function: Callable[..., dict[str, Any]] = namespace["function"]
    function.__annotations__ = {
        p.name: p.annotation for p in signature.parameters.values() if p.annotation is not p.empty
    }
    return function


def wants_state(parameter: inspect.Parameter) -> bool:
    variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return not variadic and parameter.annotation in (Signup, Order, Optional[Signup])


@given(signatures(), st.data())
def test_a_call_means_what_it_means_without_the_state_parameters(
    signature: inspect.Signature, data: st.DataObject
) -> None:
    """What the caller gives is bound as if the State parameters weren't there, and fails where that fails."""
    function = function_of(signature)
    assert inspect.signature(function) == signature
    states = {p.name: p for p in signature.parameters.values() if wants_state(p)}
    others = [p for p in signature.parameters.values() if p.name not in states]
    names = [p.name for p in others] + ["unknown"]
    args = tuple(data.draw(st.lists(st.integers(), max_size=5)))
    kwargs = data.draw(st.dictionaries(st.sampled_from(names), st.text(max_size=1), max_size=3))
    expected = outcome(function_of(signature.replace(parameters=reduced(others))), args, kwargs)
    injection = plan(function)
    found = outcome(lambda *a, **k: function(*injection.bind(a, k)[0], **injection.bind(a, k)[1]), args, kwargs)
    if expected is None or found is None:
        assert found is None
        assert expected is None
        return
    for name, parameter in states.items():
        state = found.pop(name)
        assert type(state) is (Order if parameter.annotation is Order else Signup)
    assert found == expected


def reduced(others: list[inspect.Parameter]) -> list[inspect.Parameter]:
    return [p.replace(annotation=inspect.Parameter.empty) for p in others]


def outcome(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    with contextlib.suppress(TypeError):
        result: dict[str, Any] = function(*args, **kwargs)
        return result
    return None


# -- State objects that the caller passes himself ------------------------------------------------------------------

OWN = StateRegistry().state(Signup)
OWN_ORDER = StateRegistry().state(Order)


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "expected"),
    [
        (only, (OWN,), {}, OWN),
        (only, (), {"state": OWN}, OWN),
        (positional_only, (OWN,), {}, OWN),
        (keyword_only, (), {"state": OWN}, OWN),
        (first, (OWN, 1), {}, (OWN, 1, 2)),
        (first, (1,), {"state": OWN}, (OWN, 1, 2)),
        (first, (1, 3), {"state": OWN}, (OWN, 1, 3)),
        (first, (), {"a": 1, "state": OWN}, (OWN, 1, 2)),
        (first, (OWN,), {"a": 1}, (OWN, 1, 2)),
        (middle, (1, OWN, 3), {}, (OWN, 1, 3)),
        (middle, (1, 3), {"state": OWN}, (OWN, 1, 3)),
        (last, (1, 3, OWN), {}, (OWN, 1, 3)),
        (last, (1, 3), {"state": OWN}, (OWN, 1, 3)),
        (defaulted, (1, 3, OWN), {}, (OWN, 1, 3)),
        (defaulted, (1,), {"state": OWN}, (OWN, 1, 2)),
        (middle_positional_only, (1, OWN, 3), {}, (OWN, 1, 3)),
        (with_rest, (OWN, 1, 3), {}, (OWN, 1, (3,), {})),
        (with_rest, (1, 3), {"state": OWN}, (OWN, 1, (3,), {})),
        (after_rest, (1,), {"state": OWN}, (OWN, 1, (), {})),
        (two, (OWN, 1, OWN_ORDER, 3), {}, (OWN, 1, OWN_ORDER, 3)),
        (two, (OWN, 1, 3), {}, (OWN, 1, ORDER, 3)),
        (two, (1, OWN_ORDER), {}, (SIGNUP, 1, OWN_ORDER, 2)),
        (two, (1, 3), {"order": OWN_ORDER}, (SIGNUP, 1, OWN_ORDER, 3)),
        (two, (1, 3), {"state": OWN, "order": OWN_ORDER}, (OWN, 1, OWN_ORDER, 3)),
        (first, (OWN, OWN), {}, (OWN, OWN, 2)),  # a State object for a parameter of any type
        (first, (OWN,), {"state": OWN}, (OWN, OWN, 2)),
        (defaulted, (1,), {"state": None}, (None, 1, 2)),
        (echo_like, ("handle", OWN, 1), {}, (OWN, "handle", 1)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_state_object_that_the_caller_passes_is_used_as_it_is(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], expected: Any
) -> None:
    assert call(function, *args, **kwargs) == expected


def test_a_default_that_is_a_state_object_is_used_as_it_is() -> None:
    def own(a: int, state: Signup = OWN) -> Any:
        return a, state

    assert call(own, 1) == (1, OWN)


# -- annotations ---------------------------------------------------------------------------------------------------


def annotated(annotation: Any) -> Callable[..., Any]:
    def function(a: Any, state=None):  # type: ignore[no-untyped-def]
        return state

    function.__annotations__["state"] = annotation
    return function


@pytest.mark.parametrize(
    "annotation",
    [
        Signup,
        Annotated[Signup, "note"],
        Annotated[Signup, Order, {"unhashable": []}],
        Signup | None,
        None | Signup,
        Optional[Signup],
        Union[Signup, None],
        Union[None, Signup],
        Annotated[Signup | None, "note"],
        Optional[Annotated[Signup, "note"]],
        Annotated[Annotated[Optional[Signup], 1], 2],
        "Signup",
        "Signup | None",
        "Optional[Signup]",
        "Annotated[Signup, 'note']",
        "Annotated['Signup', 'note']",
        "'Signup'",
        Optional["Signup"],
        Annotated["Signup", "note"],
        Annotated["Signup | None", "note"],
        Optional["Annotated['Signup', 1]"],
    ],
    ids=str,
)
def test_an_annotation_that_means_a_state_class_is_recognised(annotation: Any) -> None:
    assert call(annotated(annotation), 1) == SIGNUP


def test_a_generic_state_class_is_recognised_with_its_argument() -> None:
    assert call(annotated(Typed), 1) == AnyState(Typed)
    assert call(annotated(Typed[int]), 1) == AnyState(Typed)
    assert call(annotated(Optional[Typed[int]]), 1) == AnyState(Typed)


@pytest.mark.parametrize(
    "annotation",
    [
        type[Signup],
        list[Signup],
        "list[Signup]",
        Callable[[Signup], None],
        Annotated[int, Signup],
        Literal["Signup"],
        int | None,
        None,
        Any,
        T,
        5,
    ],
    ids=str,
)
def test_an_annotation_that_means_something_else_is_left_alone(annotation: Any) -> None:
    assert call(annotated(annotation), 1) is None


def test_variadic_parameters_are_the_callers() -> None:
    def variadic(*states: Signup, **named: Signup) -> Any:
        return states, named

    assert call(variadic) == ((), {})
    assert call(variadic, OWN, x=OWN) == ((OWN,), {"x": OWN})


def test_a_class_of_a_running_function_is_found_by_its_name() -> None:
    class Local(State):
        pass

    def step(state: "Local") -> Any:
        return state

    assert call(step) == AnyState(Local)


# -- kinds of callables --------------------------------------------------------------------------------------------


class Bot:
    def step(self, state: Signup, a: int) -> Any:
        return self, state, a

    async def async_step(self, state: Chat, a: int) -> Any:
        return self, state, a

    @classmethod
    def of_class(cls, state: Signup, a: int) -> Any:
        return cls, state, a

    @staticmethod
    def static(state: Signup, a: int) -> Any:
        return state, a


class Callable_:
    def __call__(self, state: Signup, a: int) -> Any:
        return self, state, a


class AsyncCallable:
    async def __call__(self, a: int, *, state: Chat) -> Any:
        return self, state, a


@dataclasses.dataclass(frozen=True)
class Job:
    name: str

    def __call__(self, a: int, state: Signup) -> Any:
        return self.name, state, a


async def async_step(state: Chat, a: int) -> Any:
    return state, a


async def async_generator(state: Chat, a: int) -> Any:
    yield state, a


def generator(state: Signup, a: int) -> Any:
    yield state, a


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return "traced", function(*args, **kwargs)

    return wrapper


def async_traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return "async_traced", await result if inspect.isawaitable(result) else result

    return wrapper


def passing(function: Callable[..., Any]) -> Callable[..., Any]:
    """A plain wrapper that gives back whatever the function does, a coroutine too."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


BOT = Bot()
CALLABLE, ASYNC_CALLABLE = Callable_(), AsyncCallable()

CALLABLES: dict[str, tuple[Callable[..., Any], Any]] = {
    "method": (BOT.step, (BOT, SIGNUP, 1)),
    "async method": (BOT.async_step, (BOT, CHAT, 1)),
    "class method": (Bot.of_class, (Bot, SIGNUP, 1)),
    "static method": (Bot.static, (SIGNUP, 1)),
    "__call__": (CALLABLE, (CALLABLE, SIGNUP, 1)),
    "async __call__": (ASYNC_CALLABLE, (ASYNC_CALLABLE, CHAT, 1)),
    "dataclass with __call__": (Job("it"), ("it", SIGNUP, 1)),
    "bound __call__": (CALLABLE.__call__, (CALLABLE, SIGNUP, 1)),
    "async function": (async_step, (CHAT, 1)),
    "partial of nothing": (functools.partial(first), (SIGNUP, 1, 2)),
    "partial by name": (functools.partial(first, b=3), (SIGNUP, 1, 3)),
    "partial by name after the state": (functools.partial(two, b=3), (SIGNUP, 1, ORDER, 3)),
    "partial by position": (functools.partial(echo_like, "handle"), (SIGNUP, "handle", 1)),
    "partial with the state by position": (functools.partial(first, OWN), (OWN, 1, 2)),
    "partial with the state by name": (functools.partial(middle, state=OWN), (OWN, 1, 2)),
    "partial with a later state by name": (functools.partial(two, order=OWN_ORDER), (SIGNUP, 1, OWN_ORDER, 2)),
    "partial of partial": (functools.partial(functools.partial(first, b=3), b=4), (SIGNUP, 1, 4)),
    "partial of a method": (functools.partial(BOT.step), (BOT, SIGNUP, 1)),
    "partial of an async function": (functools.partial(async_step), (CHAT, 1)),
    "partial of a callable": (functools.partial(CALLABLE), (CALLABLE, SIGNUP, 1)),
    "wrapped": (traced(first), ("traced", (SIGNUP, 1, 2))),
    "wrapped twice": (traced(traced(first)), ("traced", ("traced", (SIGNUP, 1, 2)))),
    "async around sync": (async_traced(first), ("async_traced", (SIGNUP, 1, 2))),
    "async around async": (async_traced(async_step), ("async_traced", (CHAT, 1))),
    "plain around async": (passing(async_step), (CHAT, 1)),
    "plain around async around async": (passing(async_traced(async_step)), ("async_traced", (CHAT, 1))),
    "async around plain around async": (async_traced(passing(async_step)), ("async_traced", (CHAT, 1))),
    "wrapped method": (traced(BOT.step), ("traced", (BOT, SIGNUP, 1))),
    "partial of wrapped": (functools.partial(traced(first), b=3), ("traced", (SIGNUP, 1, 3))),
    "wrapped partial": (traced(functools.partial(first, b=3)), ("traced", (SIGNUP, 1, 3))),
    "wrapped callable": (traced(CALLABLE), ("traced", (CALLABLE, SIGNUP, 1))),
    "static method object": (staticmethod(first), (SIGNUP, 1, 2)),
    "bound by types": (types.MethodType(echo_like, "handle"), (SIGNUP, "handle", 1)),
    "cached": (functools.lru_cache(first), (SIGNUP, 1, 2)),
}


@pytest.mark.parametrize("kind", CALLABLES)
@pytest.mark.parametrize("by_name", [False, True], ids=["by position", "by name"])
def test_every_kind_of_callable_gets_its_state(kind: str, by_name: bool) -> None:
    function, expected = CALLABLES[kind]
    assert (call(function, a=1) if by_name else call(function, 1)) == expected


@pytest.mark.parametrize("function", [generator, traced(generator)])
def test_a_generator_gets_its_state(function: Callable[..., Any]) -> None:
    result = call(function, 1)
    assert list(result[1] if isinstance(result, tuple) else result) == [(SIGNUP, 1)]


def test_an_async_generator_gets_its_state() -> None:
    async def collect() -> Any:
        args, kwargs = plan(async_generator).bind((1,), {})
        return [item async for item in async_generator(*args, **kwargs)]

    assert asyncio.run(collect()) == [(CHAT, 1)]


def test_a_function_that_dispatches_on_its_first_argument_gets_its_state() -> None:
    assert call(functools.singledispatch(middle), 1) == (SIGNUP, 1, 2)


def test_a_class_can_be_what_is_called() -> None:
    class Report:
        def __init__(self, a: int, state: Signup) -> None:
            self.found = (state, a)

    assert call(Report, 1).found == (SIGNUP, 1)


def test_a_wrapped_method_is_bound_once() -> None:
    class Robot:
        @traced
        def step(self, state: Signup, a: int) -> Any:
            return state, a

    assert call(Robot().step, 1) == ("traced", (SIGNUP, 1))


def test_a_signature_that_says_what_it_is_wins() -> None:
    def anything(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    anything.__signature__ = inspect.signature(first)  # type: ignore[attr-defined]
    assert call(anything, 1) == ((SIGNUP, 1), {})


def test_the_signature_is_read_once() -> None:
    with unittest.mock.patch.object(inspect, "signature", wraps=inspect.signature) as read:
        injection = plan(first)
        assert read.call_count == 1
        injection.bind((1,), {})
        injection.bind((), {"a": 1})
        assert read.call_count == 1


@pytest.mark.parametrize(
    ("function", "expected", "name", "asynchronous"),
    [
        (first, first, "first", False),
        (functools.partial(functools.partial(echo_like, 1), a=2), echo_like, "echo_like", False),
        (traced(first), first, "first", False),
        (async_traced(first), first, "first", True),
        (passing(async_step), async_step, "async_step", False),
        (BOT.step, Bot.step, "step", False),
        (BOT.async_step, Bot.async_step, "async_step", True),
        (async_generator, async_generator, "async_generator", True),
        (Job("it"), Job.__call__, "Job", False),
        (functools.partial(Job("it"), 1), Job.__call__, "Job", False),
        (len, len, "len", False),
    ],
)
def test_what_is_behind_a_callable(
    function: Callable[..., Any], expected: Callable[..., Any], name: str, asynchronous: bool
) -> None:
    assert innermost(function) is expected
    assert name_of(function) == name
    assert is_async(function) is asynchronous


# -- errors --------------------------------------------------------------------------------------------------------


def says(error: BaseException, *words: str) -> None:
    for word in words:
        assert word in str(error)


async def async_with_sync(a: int, state: Signup) -> None: ...


def sync_with_async(a: int, state: Optional[Chat] = None) -> None: ...


async def async_generator_with_sync(state: Signup) -> Any:
    yield


def generator_with_async(state: Chat) -> Any:
    yield


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (
            async_with_sync,
            (
                "'async_with_sync'",
                "the task is async",
                "Signup is a subclass of State;",
                "Signup from AsyncState",
                "def",
            ),
        ),
        (
            sync_with_async,
            (
                "'sync_with_async'",
                "the task is sync",
                "Chat is a subclass of AsyncState;",
                "Chat from State",
                "async def",
            ),
        ),
        (async_generator_with_sync, ("'async_generator_with_sync'", "the task is async")),
        (generator_with_async, ("'generator_with_async'", "the task is sync")),
        (traced(async_with_sync), ("'async_with_sync'", "the task is async")),
        (async_traced(sync_with_async), ("'sync_with_async'", "the task is sync")),
        (functools.partial(async_with_sync, 1), ("'async_with_sync'", "the task is async")),
    ],
)
def test_a_wrong_colour_names_task_parameter_and_remedy(function: Callable[..., Any], words: tuple[str, ...]) -> None:
    with pytest.raises(WrongColourError) as caught:
        plan(function)
    says(caught.value, "parameter 'state'", *words)
    assert isinstance(caught.value, InjectionError)
    assert isinstance(caught.value, TypeError)


def test_a_wrong_colour_registers_nothing() -> None:
    registry = StateRegistry()
    with pytest.raises(WrongColourError):
        plan(async_with_sync, registry)
    assert registry.keys() == []


def test_errors_name_the_task_as_it_is_called() -> None:
    with pytest.raises(WrongColourError, match="task 'my task', parameter 'state'"):
        StatePlugin(StateRegistry()).plan(async_with_sync, task="my task")


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ("Missing", "NameError: name 'Missing' is not defined"),
        ("Optional[Missing]", "NameError"),
        (Optional["Missing"], "NameError"),  # noqa: F821
        ("inspect.Missing", "AttributeError"),
        ("the phone number", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("Signup[int]", "TypeError"),
    ],
    ids=str,
)
def test_an_annotation_that_can_not_be_evaluated_names_task_parameter_and_remedy(
    annotation: Any, reason: str
) -> None:
    with pytest.raises(UnresolvedAnnotationError) as caught:
        plan(annotated(annotation))
    says(
        caught.value,
        "task 'function', parameter 'state'",
        repr(annotation),
        "can't be evaluated",
        reason,
        "annotate with a type, or not at all"
        if reason == "SyntaxError"
        else "define or import what it names before the task, not under `if TYPE_CHECKING:`",
    )
    assert isinstance(caught.value, InjectionError)


def test_an_unresolved_annotation_of_another_parameter_is_an_error_too() -> None:
    def step(state: Signup, a: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(UnresolvedAnnotationError, match="task 'step', parameter 'a'"):
        plan(step)


def test_two_states_in_one_annotation_are_an_error() -> None:
    def step(state: Signup | Order) -> None: ...

    with pytest.raises(
        InjectionError, match=r"task 'step', parameter 'state': .*Signup and Order; declare one parameter for each"
    ):
        plan(step)
    assert call(annotated(Signup | Annotated[Signup, 1]), 1) == SIGNUP


def test_a_collision_of_names_names_task_parameter_and_both_classes() -> None:
    def stranger() -> Any:
        return types.new_class("Signup", (State,), {}, lambda namespace: namespace.update(__module__="shop"))

    registry = StateRegistry()
    plan(only, registry)
    step = annotated(stranger())
    with pytest.raises(StateNameError) as caught:
        plan(step, registry)
    says(
        caught.value,
        "task 'function', parameter 'state'",
        "'Signup'",
        f"{__name__}.Signup",
        "shop.Signup",
        'name="…"',
    )


def test_a_callable_without_a_signature_is_a_clear_error() -> None:
    with pytest.raises(InjectionError, match=r"task 'dict': no signature found.*; wrap it in a function of your own"):
        plan(dict)


def test_a_missing_argument_before_a_positional_only_state_is_named() -> None:
    with pytest.raises(TypeError, match="missing a required positional argument: 'a'"):
        plan(middle_positional_only).bind((), {})


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (first, (), {}),
        (first, (1, 2, 3), {}),
        (first, (1,), {"a": 1}),
        (first, (1,), {"unknown": 1}),
        (first, (OWN, 1), {"state": OWN, "a": 1}),
        (keyword_only, (OWN,), {}),
    ],
)
def test_a_wrong_call_fails_as_it_does_in_python(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(TypeError) as caught:
        call(function, *args, **kwargs)
    assert not isinstance(caught.value, QStateError)
