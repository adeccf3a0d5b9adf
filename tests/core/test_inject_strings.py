"""Injection where all annotations are strings, as under ``from __future__ import annotations``."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Optional

import pytest

from qstate_nb import AsyncState, InlineApp, State, StatePlugin, StateRegistry
from qstate_nb.errors import UnresolvedAnnotationError, WrongColourError

if TYPE_CHECKING:
    from decimal import Decimal


class Signup(State):
    pass


class Chat(AsyncState):
    pass


Alias = Annotated[Signup, "note"]


def injected(function: Callable[..., Any]) -> dict[str, type]:
    """Parameter → class of the State object that is injected."""
    return {name: type(state) for name, state in StatePlugin(StateRegistry()).plan(function).states.items()}


def plain(state: Signup) -> None: ...
def optional(state: Optional[Signup]) -> None: ...  # noqa: UP045
def union(state: Signup | None = None) -> None: ...
def annotated(state: Annotated[Signup, "note"]) -> None: ...
def qualified(state: typing.Annotated[Signup, "note"]) -> None: ...
def alias(state: Alias) -> None: ...
def quoted(state: "Signup") -> None: ...  # noqa: UP037
def quoted_inside(state: Optional["Signup"]) -> None: ...  # noqa: UP037, UP045
def quoted_twice(state: "Annotated['Signup', 'note']") -> None: ...  # noqa: UP037
def positional_only(state: Signup, /) -> None: ...
def keyword_only(a: int, *, state: Signup) -> None: ...


@pytest.mark.parametrize(
    "function",
    [
        plain,
        optional,
        union,
        annotated,
        qualified,
        alias,
        quoted,
        quoted_inside,
        quoted_twice,
        positional_only,
        keyword_only,
    ],
)
def test_a_string_means_what_it_says(function: Callable[..., Any]) -> None:
    assert injected(function) == {"state": Signup}


def test_the_other_parameters_have_evaluated_annotations() -> None:
    def step(state: Signup, a: int, b: list[Signup] | None = None, c: Annotated[int, "note"] = 1) -> None: ...

    parameters = StatePlugin(StateRegistry()).plan(step).parameters
    assert [p.annotation for p in parameters] == [int, list[Signup] | None, Annotated[int, "note"]]


def test_a_class_that_is_local_to_a_running_function() -> None:
    class Local(State):
        pass

    def step(state: Local, other: Optional[Local] = None) -> None: ...  # noqa: UP045

    assert injected(step) == {"state": Local, "other": Local}


def test_a_class_of_an_outer_function_that_is_running() -> None:
    class Local(State):
        pass

    def inner() -> dict[str, type]:
        def step(state: Local) -> None: ...

        return injected(step)

    assert inner() == {"state": Local}


def test_the_innermost_of_two_classes_of_one_name_counts() -> None:
    class Local(State):
        pass

    def inner() -> tuple[type, dict[str, type]]:
        class Local(State):
            pass

        def step(state: Local) -> None: ...

        return Local, injected(step)

    cls, found = inner()
    assert found == {"state": cls}
    assert cls is not Local


def test_a_local_class_comes_before_a_global_one() -> None:
    class Signup(State):
        pass

    def step(state: Signup) -> None: ...

    assert injected(step) == {"state": Signup}
    assert injected(plain) != injected(step)


def test_a_class_in_the_closure_of_a_function_that_has_returned() -> None:
    def make() -> Callable[..., Any]:
        class Local(State):
            pass

        def step(state: Local) -> Any:
            return Local

        return step

    step = make()
    assert injected(step) == {"state": step(None)}


def test_a_closure_comes_before_a_running_function_of_the_same_name() -> None:
    """A function that calls itself runs twice, with two classes of one name; the closure knows which is meant."""

    def make(depth: int, inner: Callable[..., Any] | None) -> dict[str, type]:
        class Local(State):
            pass

        def step(state: Local) -> Any:
            return Local

        if inner is None:
            return make(depth + 1, step)
        assert inner(None) is not Local
        return injected(inner) | {"expected": inner(None)}

    found = make(0, None)
    assert found["state"] is found["expected"]


def test_a_closure_that_is_not_filled_yet_is_no_error() -> None:
    def step(state: Signup) -> Any:
        return later

    assert injected(step) == {"state": Signup}
    later = 1
    assert step(StateRegistry().state(Signup)) == later


def test_a_class_and_a_task_in_a_class_body() -> None:
    app = InlineApp(registry=StateRegistry())

    class Bot:
        class Memory(State):
            pass

        @app.task
        def step(self, state: Memory) -> Any:
            return self, state

    bot = Bot()
    result = app.run("step", bot).unwrap()
    assert result[0] is bot
    assert type(result[1]) is Bot.Memory


def test_a_class_attribute_is_written_with_its_class() -> None:
    class Bot:
        class Memory(State):
            pass

        def step(self, state: Bot.Memory) -> None: ...

    assert injected(Bot().step) == {"state": Bot.Memory}


class GlobalBot:
    class Memory(State):
        pass

    def step(self, state: GlobalBot.Memory) -> None: ...

    def __call__(self, state: Signup) -> None: ...

    @classmethod
    def of_class(cls, state: Signup) -> None: ...

    @staticmethod
    def static(state: Signup) -> None: ...


def test_methods_and_callables() -> None:
    bot = GlobalBot()
    assert injected(bot.step) == {"state": GlobalBot.Memory}
    assert injected(bot) == injected(bot.of_class) == injected(bot.static) == {"state": Signup}
    assert injected(functools.partial(bot)) == {"state": Signup}


def decorator_of(module: str) -> Callable[..., Any]:
    """A decorator of another module, where none of the names here are known."""
    source = """
import functools

def decorator(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper
"""
    namespace = types.ModuleType(module).__dict__
    exec(source, namespace)
    found: Callable[..., Any] = namespace["decorator"]
    return found


def test_a_wrapper_from_another_module_has_other_globals() -> None:
    class Local(State):
        pass

    wrap = decorator_of("elsewhere")

    @wrap
    @wrap
    def step(state: Local, other: Signup) -> None: ...

    assert injected(step) == {"state": Local, "other": Signup}
    assert injected(functools.partial(step)) == {"state": Local, "other": Signup}


def test_a_cell_that_runs_again_means_the_new_class() -> None:
    """A notebook cell: the same source, run twice in one namespace."""
    cell = """
from __future__ import annotations
class Memory(AsyncState):
    pass
async def step(state: Memory | None, a: "int" = 1):
    return state
"""
    namespace: dict[str, Any] = {"__name__": "__main__", "AsyncState": AsyncState}
    registry = StateRegistry()
    classes = []
    for _ in range(2):
        exec(cell, namespace)
        injection = StatePlugin(registry).plan(namespace["step"])
        assert type(injection.states["state"]) is namespace["Memory"]
        assert injection.parameters[0].annotation is int
        classes.append(namespace["Memory"])
    assert classes[0] is not classes[1]
    assert len(registry.keys()) == 1


def test_a_name_that_only_the_type_checker_knows_is_an_error_with_the_remedy() -> None:
    def step(state: Signup, price: Decimal) -> None: ...

    with pytest.raises(UnresolvedAnnotationError) as caught:
        injected(step)
    message = str(caught.value)
    assert "task 'step', parameter 'price': the annotation 'Decimal' can't be evaluated" in message
    assert "NameError: name 'Decimal' is not defined" in message
    assert "define or import what it names before the task, not under `if TYPE_CHECKING:`" in message


def test_a_local_class_that_is_out_of_reach_is_an_error() -> None:
    """Nothing keeps it but the annotation's text: not the closure, and no function that runs."""

    def make() -> Callable[..., Any]:
        class Local(State):
            pass

        def step(state: Local) -> None: ...

        return step

    with pytest.raises(UnresolvedAnnotationError, match="task 'step', parameter 'state': the annotation 'Local'"):
        injected(make())


def test_the_names_of_a_stranger_that_happens_to_call_are_not_used() -> None:
    """Only functions that enclose the task's definition lend it their names."""

    class Missing(State):
        pass

    with pytest.raises(UnresolvedAnnotationError, match="'Missing'"):
        injected(wants_missing)
    assert Missing.state_name == "Missing"


def wants_missing(state: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821


async def async_with_sync(state: Signup | None = None) -> None: ...
def sync_with_async(state: Chat) -> None: ...


@pytest.mark.parametrize("function", [async_with_sync, sync_with_async])
def test_a_wrong_colour_is_seen_in_a_string(function: Callable[..., Any]) -> None:
    with pytest.raises(WrongColourError, match=f"task '{function.__name__}', parameter 'state'"):
        injected(function)


def test_annotations_here_are_strings() -> None:
    """Or the tests above show nothing."""
    assert all(isinstance(p.annotation, str) for p in inspect.signature(keyword_only).parameters.values())
