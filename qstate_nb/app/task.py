"""`Task`: a registered function, and the ways to run it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qstate_nb.app.nesting import run_blocking
from qstate_nb.app.result import TaskResult
from qstate_nb.app.runner import perform
from qstate_nb.core.inject import Function, Injection, innermost, is_async
from qstate_nb.errors import ArgumentError, NotFoundError, TaskDefinitionError

if TYPE_CHECKING:
    from qstate_nb.app.inline import InlineApp

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

GenerateHandler = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """What a task's decorator was given.

    Args:
        description: what it does; by default the first line of the docstring.
        tags: words to find it by.
        priority: is kept and shown; inline, calls run when they are made.
        echo: whether the first parameter gets the task's own handle (see `TaskContext`).
        max_time: seconds after which an attempt is stopped.
        retry: how many more attempts an error gets.
        retry_on_exc: the exceptions that get another attempt; by default all.
        generate_handler: what each value that a generator yields is passed through; may be async.

    Raises:
        TaskDefinitionError: a value can't be used.
    """

    description: str = ""
    tags: tuple[str, ...] = ()
    priority: int = 0
    echo: bool = False
    max_time: float | None = None
    retry: int = 0
    retry_on_exc: tuple[type[Exception], ...] = (Exception,)
    generate_handler: GenerateHandler | None = None

    def __post_init__(self) -> None:
        for name, fits, wanted in (
            ("description", isinstance(self.description, str), "a str"),
            ("tags", _all(self.tags, lambda tag: isinstance(tag, str)), "a list of str"),
            ("priority", isinstance(self.priority, int), "an int"),
            ("max_time", self.max_time is None or _is_positive(self.max_time), "seconds, over 0"),
            ("retry", isinstance(self.retry, int) and self.retry >= 0, "an int, 0 or more"),
            ("retry_on_exc", _all(self.retry_on_exc, _is_exception), "a list of exception classes"),
            ("generate_handler", callable(self.generate_handler or print), "a function"),
        ):
            if not fits:
                value = getattr(self, name)
                raise TaskDefinitionError(f"task option {name} must be {wanted}, not {value!r}")


def _all(values: object, fits: Callable[[Any], bool]) -> bool:
    return isinstance(values, tuple) and all(map(fits, values))


def _is_positive(seconds: object) -> bool:
    return isinstance(seconds, int | float) and seconds > 0


def _is_exception(cls: object) -> bool:
    return isinstance(cls, type) and issubclass(cls, Exception)


class Task:
    """A function that an app runs; made by ``@app.task``.

    Attributes:
        app: the app that it belongs to.
        name: its name in the app.
        function: what was decorated.
        options: what the decorator was given.
        injection: how State gets into its calls.
        is_async: whether it runs on the event loop, rather than in a thread.
        parameters: what a caller gives, with evaluated annotations: all but State objects and the handle.
    """

    def __init__(
        self, app: InlineApp, name: str, function: Function, options: TaskOptions, injection: Injection
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self.app = app
        self.name = name
        self.function = function
        self.options = options
        self.injection = injection
        self.is_async = is_async(_outermost(function)) or is_async(innermost(function))
        first = injection.parameters[:1]
        self.takes_handle = bool(first) and first[0].kind in _POSITIONAL
        self.parameters = injection.parameters[1:] if options.echo else injection.parameters

    def __call__(self, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """A coroutine that runs a call, shows what it prints, and returns what it returns or raises what it raises.

        A sync task runs in a thread meanwhile.
        """
        return self._called(args, kwargs)

    async def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        __tracebackhide__ = True
        call = self.app.new_call(self, args, kwargs, echo=True)
        return (await perform(call)).unwrap()

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """A task that was defined in a class is called like a method."""
        return self if instance is None else functools.partial(self, instance)

    def add_task(
        self, /, *args: Any, timeout: float | None = None, **kwargs: Any
    ) -> TaskResult | Awaitable[TaskResult]:
        """Run a call in QTasks' style.

        Args:
            timeout: seconds after which the call is stopped; its status is ``cancel`` then.

        Returns:
            The `TaskResult` of a sync task, after blocking this thread; an awaitable of it for an async task.
            ``await`` is right in both cases.
        """
        call = self.app.new_call(self, args, kwargs, echo=True)
        running = perform(call, timeout=timeout)
        return running if self.is_async else run_blocking(running)

    def arguments(self, values: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and named arguments from named values.

        Raises:
            NotFoundError: no parameter has that name.
            ArgumentError: a parameter without a default has no value.
        """
        named = {p.name: p for p in self.parameters}
        takes_any = any(p.kind is p.VAR_KEYWORD for p in self.parameters)
        for name in values:
            if not takes_any and (name not in named or named[name].kind is inspect.Parameter.VAR_POSITIONAL):
                raise NotFoundError(f"parameter of task {self.name!r} called", name, named)
        missing = [
            p.name
            for p in self.parameters
            if p.name not in values and p.default is p.empty and p.kind not in _VARIADIC
        ]
        if missing:
            raise ArgumentError(f"task {self.name!r} needs a value for: {', '.join(missing)}")
        rest = dict(values)
        positional = [rest.pop(p.name, p.default) for p in self.parameters if p.kind is p.POSITIONAL_ONLY]
        return tuple(positional), rest

    def __repr__(self) -> str:
        return f"<Task {self.signature}>"

    @property
    def signature(self) -> str:
        """How to call it, such as ``step1(phone: str, code: int = 0)``."""
        return f"{self.name}{inspect.Signature(self.parameters)}"


def _outermost(function: Function) -> Function:
    """What is called first, behind partials and ``__call__``, but not behind ``functools.wraps``."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or isinstance(function, type):
        return function
    return type(function).__call__
