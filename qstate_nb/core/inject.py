"""Injection: which parameters of a function want a State, and how a call gets them.

`StatePlugin.plan` reads the signature once, when a task is registered, and reports everything that can't work
then. The `Injection` that it returns binds each call's arguments without looking at the signature again.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeAlias, Union

from qstate_nb.core.binding import Injection, Scope, ScopedState, Slot
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import AsyncState, StateBase
from qstate_nb.errors import (
    InjectionError,
    NotFoundError,
    StateNameError,
    UnresolvedAnnotationError,
    WrongColourError,
)

Function: TypeAlias = Callable[..., Any]

_POSITIONAL_ONLY = inspect.Parameter.POSITIONAL_ONLY

POSITIONAL = (_POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
"""The kinds of parameters that can be given by position."""

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
"""The kinds of ``*args`` and ``**kwargs``."""


def innermost(function: Function) -> Function:
    """The function that runs in the end: behind partials, ``functools.wraps``, methods and ``__call__``.

    Example:
        >>> def step(state): ...
        >>> innermost(functools.partial(step, 1)) is step
        True
    """
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif inspect.ismethod(function):
            function = function.__func__
        elif inspect.isroutine(function) or isinstance(function, type):
            return function
        else:
            function = type(function).__call__


def name_of(function: Function) -> str:
    """What to call a function: its own name, or that of the function or class behind it.

    Example:
        >>> name_of(functools.partial(print, 1))
        'print'
    """
    if isinstance(function, functools.partial):
        return name_of(function.func)
    name: str = getattr(function, "__name__", type(function).__name__)
    return name


def is_async(function: Function) -> bool:
    """Tell whether a function is a coroutine function or an async generator function."""
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


class StatePlugin:
    """Gives a task engine the power to inject State objects into task functions.

    Args:
        registry: where the State lives.

    Example:
        >>> from qstate_nb import State, StateRegistry
        >>> class Signup(State):
        ...     pass
        >>> def step1(state: Signup, phone):
        ...     state.set("phone", phone)
        >>> registry = StateRegistry()
        >>> args, kwargs = StatePlugin(registry).plan(step1).bind(("123",), {})
        >>> step1(*args, **kwargs)
        >>> registry.state(Signup).get("phone")
        '123'
    """

    def __init__(self, registry: StateRegistry) -> None:
        self.registry = registry

    def plan(self, function: Function, *, task: str | None = None) -> Injection:
        """Read the signature of *function* and plan its calls.

        Args:
            function: any callable that has a signature.
            task: its name in error messages; by default the function's own.

        Raises:
            UnresolvedAnnotationError: an annotation can't be evaluated.
            WrongColourError: an async function declares a sync State, or a sync one an async State.
            InjectionError: an annotation names more than one State class, or there is no signature to read.
            StateNameError: two classes of different modules have the same State name.
        """
        task = task or name_of(function)
        parameters = list(_parameters(function, task))
        states: dict[str, StateBase | ScopedState] = {}
        for parameter in parameters:
            where = f"task {task!r}, parameter {parameter.name!r}"
            cls, scope = _state_class(parameter, where)
            if cls is not None and not isinstance(parameter.default, StateBase):
                _check_colour(cls, function, where)
                states[parameter.name] = self._state_for(cls, scope, where)
        for name, state in states.items():
            if isinstance(state, ScopedState):
                _check_scope(state, [p for p in parameters if p.name not in states], name, task)
        fixed = {name: state for name, state in states.items() if isinstance(state, StateBase)}
        has_scopes = len(fixed) < len(states)
        has_positional_only = any(p.kind is _POSITIONAL_ONLY for p in parameters)
        return Injection(
            parameters=tuple(p for p in parameters if p.name not in states),
            states=states,
            slots=tuple(
                Slot(p.name, p.kind is _POSITIONAL_ONLY, p.default, states.get(p.name))
                for p in parameters
                if p.kind in POSITIONAL
            ),
            keyword_only=tuple(p.name for p in parameters if p.name in states and p.kind not in POSITIONAL),
            has_scopes=has_scopes,
            ready=None if has_scopes or has_positional_only else fixed,
        )

    def _state_for(self, cls: type[StateBase], scope: Scope | None, where: str) -> StateBase | ScopedState:
        try:
            if scope is None:
                return self.registry.state(cls)
            self.registry.introduce(cls)
        except StateNameError as error:
            raise StateNameError(f"{where}: {error}") from None
        return ScopedState(self.registry, cls, scope, where)


def _check_colour(cls: type[StateBase], function: Function, where: str) -> None:
    wants_async = is_async(innermost(function))
    if wants_async is not issubclass(cls, AsyncState):
        colour, base, cure = (
            ("async", "State", f"derive {cls.__name__} from AsyncState, or make it a plain def")
            if wants_async
            else ("sync", "AsyncState", f"derive {cls.__name__} from State, or make it async def")
        )
        raise WrongColourError(f"{where}: the task is {colour}, but {cls.__name__} is a subclass of {base}; {cure}")


def _check_scope(state: ScopedState, parameters: list[inspect.Parameter], name: str, task: str) -> None:
    known = [p.name for p in parameters if p.kind not in VARIADIC]
    by = state.scope.by
    if isinstance(by, str) and by not in known:
        hint = NotFoundError(f"parameter of task {task!r} called", by, known)
        raise InjectionError(
            f"task {task!r}, parameter {name!r}: Scope({by!r}) takes its value from an argument, but {hint}"
        )


def _parameters(function: Function, task: str) -> Iterator[inspect.Parameter]:
    """The parameters of a function, with their annotations evaluated."""
    try:
        signature = inspect.signature(function)
    except NameError as error:  # Python 3.14 evaluates annotations here
        raise _unresolved(f"task {task!r}", error) from None
    except (TypeError, ValueError) as error:  # a function that is written in C may have none
        raise InjectionError(f"task {task!r}: {error}; wrap it in a function of your own") from None
    inner = innermost(function)
    for parameter in signature.parameters.values():
        annotation = parameter.annotation
        if annotation is not inspect.Parameter.empty:
            where = f"task {task!r}, parameter {parameter.name!r}: the annotation {annotation!r}"
            annotation = _evaluate(annotation, inner, where)
        yield parameter.replace(annotation=annotation)


def _evaluate(annotation: Any, function: Function, where: str) -> Any:
    """Evaluate an annotation, strings inside it too, where the function was defined."""
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    namespace = getattr(function, "__globals__", {})
    try:
        hints = typing.get_type_hints(holder, namespace, _enclosing_names(function), include_extras=True)
    except Exception as error:  # evaluating a string can raise anything
        raise _unresolved(where, error) from None
    return hints["it"]


def _unresolved(where: str, error: Exception) -> UnresolvedAnnotationError:
    remedy = "define or import what it names before the task, not under `if TYPE_CHECKING:`"
    if isinstance(error, SyntaxError):
        remedy = "annotate with a type, or not at all"
    return UnresolvedAnnotationError(f"{where} can't be evaluated ({type(error).__name__}: {error}); {remedy}")


def _enclosing_names(function: Function) -> dict[str, Any]:
    """The local names around a function's definition: of the running functions and classes that enclose it.

    A class that is local to a function can only be found there while that function runs, which it does when a
    decorator registers the task. What the function itself uses is in its closure and wins.
    """
    names: dict[str, Any] = {}
    code = getattr(function, "__code__", None)
    if code is None:
        return names
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        encloses = function.__qualname__.startswith(f"{frame.f_code.co_qualname}.")
        if encloses and frame.f_globals is function.__globals__:
            names = {**frame.f_locals, **names}
        frame = frame.f_back
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return names


def _state_class(parameter: inspect.Parameter, where: str) -> tuple[type[StateBase] | None, Scope | None]:
    """The State class that a parameter's annotation names, and the scope that goes with it."""
    if parameter.kind in VARIADIC:  # whatever the caller gives
        return None, None
    marks = list(_marks(parameter.annotation))
    found = list(dict.fromkeys(mark for mark in marks if isinstance(mark, type) and issubclass(mark, StateBase)))
    scopes = [mark for mark in marks if isinstance(mark, Scope)]
    if len(found) > 1:
        names = " and ".join(cls.__name__ for cls in found)
        raise InjectionError(f"{where}: the annotation names {names}; declare one parameter for each State")
    if Scope in marks or len(scopes) > 1 or (scopes and not found):
        raise InjectionError(f"{where}: write one scope, for a State: Annotated[Signup, Scope('chat_id')]")
    return (found[0] if found else None), (scopes[0] if scopes else None)


def _marks(annotation: Any) -> Iterator[Any]:
    """The State classes and the scopes in an annotation."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        yield from _marks(annotation.__origin__)
        yield from (mark for mark in annotation.__metadata__ if isinstance(mark, Scope) or mark is Scope)
    elif origin is Union or origin is types.UnionType:
        for member in typing.get_args(annotation):
            yield from _marks(member)
    elif type(annotation).__name__ == "TypeAliasType":  # `type Alias = …`, from Python 3.12 on
        yield from _marks(annotation.__value__)
    elif isinstance(origin or annotation, type) and issubclass(origin or annotation, StateBase):
        yield origin or annotation  # the origin of a generic class, as in Signup[int]
