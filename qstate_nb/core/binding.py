"""How State objects get into a call: what was planned for a function's signature, done for each call's arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from qstate_nb.core.formats import short
from qstate_nb.core.keys import ScopeId, checked_scope
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import StateBase
from qstate_nb.errors import InjectionError

Arguments: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """Splits the data of a State class by the arguments of each call.

    Args:
        by: name of a parameter of the task, or a function that is given the call's arguments by name, defaults
            included, and returns the scope. A scope is a str, int or UUID.

    Raises:
        InjectionError: *by* is neither.

    Example:
        >>> from typing import Annotated
        >>> from qstate_nb import InlineApp, State, StateKey, StateRegistry
        >>> class Signup(State):
        ...     pass
        >>> app = InlineApp(registry=StateRegistry())
        >>> @app.task
        ... def step1(state: Annotated[Signup, Scope("chat_id")], chat_id: int):
        ...     state.set("step", 1)
        >>> app.run("step1", 42).status
        'success'
        >>> app.registry.history()
        [<Event 1: Signup[42] set step by step1 #1>]
    """

    by: str | Callable[[Arguments], ScopeId]

    def __post_init__(self) -> None:
        if not isinstance(self.by, str) and not callable(self.by):
            raise InjectionError(
                f"Scope({short(self.by)}): name a parameter, as in Scope('chat_id'), or give a function of arguments"
            )


@dataclass(frozen=True, slots=True)
class ScopedState:
    """A State parameter whose bucket depends on each call's arguments.

    Args:
        registry: where the State lives.
        cls: the State class.
        scope: how the scope is found.
        where: the task and the parameter, for messages.
    """

    registry: StateRegistry
    cls: type[StateBase]
    scope: Scope
    where: str

    def state(self, arguments: Arguments) -> StateBase:
        """The State object of one call.

        Raises:
            ScopeError: the scope is not a str, int or UUID.
            TypeError: the argument that the scope is taken from is missing.
        """
        by = self.scope.by
        if callable(by):
            scope = by(arguments)
        elif by in arguments:
            scope = arguments[by]
        else:
            raise TypeError(f"{self.where}: missing an argument: {by!r}")
        return self.registry.state(self.cls, scope=checked_scope(scope, self.where))


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter that can be given by position; *state* is what to inject, if anything."""

    name: str
    positional_only: bool
    default: Any
    state: StateBase | ScopedState | None


@dataclass(frozen=True, slots=True)
class Injection:
    """How the State objects get into the calls of one function.

    Args:
        parameters: the other parameters, those that a caller gives, with evaluated annotations.
        states: parameter name → State object, or what finds it for each call.
        slots: all parameters that can be given by position.
        keyword_only: the States that can't.
        has_scopes: whether a State's bucket depends on the arguments.
        ready: what a call without arguments is given by name, if that needs no more thought.
    """

    parameters: tuple[inspect.Parameter, ...]
    states: Mapping[str, StateBase | ScopedState]
    slots: tuple[Slot, ...]
    keyword_only: tuple[str, ...]
    has_scopes: bool
    ready: dict[str, StateBase] | None

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments for the function: the caller's, and a State object wherever he gave none himself.

        Raises:
            ScopeError: a scope is not a str, int or UUID.
            TypeError: an argument is missing that gives a scope, or that is positional-only and before a State.
        """
        if not args and not kwargs and self.ready is not None:
            return args, self.ready.copy()
        named = dict(kwargs)
        if not self.states:
            return args, named
        given = self._given(args, named)
        for name in self.keyword_only:
            named.setdefault(name, self.states[name])
        if self.has_scopes:
            self._find_scoped(given, named)
        return tuple(given), named

    def _given(self, args: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
        """The positional arguments; what must have a name is moved to *named* or from it."""
        given: list[Any] = []
        index = 0
        for slot in self.slots:
            more = index < len(args)
            if more and (slot.state is None or _is_given(slot, args[index], named)):
                given.append(args[index])
                index += 1
            elif slot.state is None:
                if slot.positional_only:
                    given.append(_default_of(slot))
            elif not slot.positional_only and slot.name in named:
                if more:
                    given.append(named.pop(slot.name))
            elif more or slot.positional_only:
                given.append(slot.state)
            else:
                named[slot.name] = slot.state
        return [*given, *args[index:]]

    def _find_scoped(self, given: list[Any], named: dict[str, Any]) -> None:
        """Put State objects where only their places are taken."""
        arguments = {p.name: p.default for p in self.parameters if p.default is not p.empty}
        arguments |= dict(zip((slot.name for slot in self.slots), given, strict=False)) | named
        arguments = {name: value for name, value in arguments.items() if not isinstance(value, ScopedState)}
        given[:] = [value.state(arguments) if isinstance(value, ScopedState) else value for value in given]
        for name, value in named.items():
            if isinstance(value, ScopedState):
                named[name] = value.state(arguments)


def _is_given(slot: Slot, argument: object, named: Mapping[str, Any]) -> bool:
    """Tell whether the caller gives the State of *slot* by position; a redefined class counts by name."""
    if not isinstance(argument, StateBase) or (not slot.positional_only and slot.name in named):
        return False
    assert slot.state is not None
    wanted = slot.state.cls if isinstance(slot.state, ScopedState) else type(slot.state)
    given = type(argument)
    return issubclass(given, wanted) or (given.__name__, given.state_name) == (wanted.__name__, wanted.state_name)


def _default_of(slot: Slot) -> Any:
    if slot.default is inspect.Parameter.empty:
        raise TypeError(f"missing a required positional argument: {slot.name!r}")
    return slot.default
