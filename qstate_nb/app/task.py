"""`Task`: a registered function, and the ways to run it."""

from __future__ import annotations

import enum
import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qstate_nb.app.nesting import run_blocking
from qstate_nb.app.result import TaskResult
from qstate_nb.app.runner import perform, performer
from qstate_nb.core.binding import Injection
from qstate_nb.core.formats import short
from qstate_nb.core.inject import POSITIONAL, VARIADIC, Function, innermost, is_async
from qstate_nb.errors import ArgumentError, NotFoundError, TaskDefinitionError

if TYPE_CHECKING:
    from qstate_nb.app.inline import InlineApp

_MEMBER = re.compile(r"<(\w+\.\w+): [^<>]*>")  # how the repr of an Enum's member is written
_QUALIFIED = re.compile(r"\b(?:\w+\.)+(?=\w)")

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
        self.takes_handle = bool(first) and first[0].kind in POSITIONAL
        self.perform = performer(self)
        self.parameters = injection.parameters[1:] if options.echo else injection.parameters

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """A coroutine that runs a call, shows what it prints, and returns what it returns or raises what it raises.

        A sync task runs in a thread meanwhile.
        """
        __tracebackhide__ = True
        call = self.app.new_call(self, args, kwargs, echo=True)
        return (await self.perform(call)).unwrap()

    def bind(self, /, *args: Any, **kwargs: Any) -> functools.partial[Any]:
        """The task with some arguments given, for `qstate_nb.races.explore`; calling it calls the task.

        Raises:
            ArgumentError: the task takes no such arguments.
        """
        try:
            inspect.Signature(list(self.parameters)).bind_partial(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(f"task {self.name!r}: {error}; it is {self.signature}") from None
        return functools.partial(self, *args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Task:
        """The task of an object of the class that it was defined in, as with a method."""
        if instance is None:
            return self
        function = functools.partial(self.function, instance)
        return Task(self.app, self.name, function, self.options, self.app.plugin.plan(function, task=self.name))

    def add_task(
        self, /, *args: Any, timeout: float | None = None, **kwargs: Any
    ) -> TaskResult | Awaitable[TaskResult]:
        """Run a call in QTasks' style.

        Args:
            timeout: seconds after which the call is stopped; its status is ``cancel`` then.

        Returns:
            The `TaskResult` of a sync task, after blocking this thread; an awaitable of it for an async task.
            ``await`` is right in both cases.

        Raises:
            ArgumentError: *timeout* is not such a number.
        """
        if timeout is not None and not _is_positive(timeout):
            raise ArgumentError(f"timeout must be seconds, over 0, not {timeout!r}")
        running = self._added(args, kwargs, timeout)
        return running if self.is_async else run_blocking(running)

    async def _added(self, args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float | None) -> TaskResult:
        return await perform(self.app.new_call(self, args, kwargs, echo=True), timeout=timeout)

    def parameter(self, name: str) -> inspect.Parameter:
        """The parameter that takes a value of that name; ``**kwargs`` takes any.

        Raises:
            NotFoundError: none does; it shows the close matches.
        """
        named = {p.name: p for p in self.parameters if p.kind not in VARIADIC}
        takes_any = [p for p in self.parameters if p.kind is p.VAR_KEYWORD]
        if name not in named and not takes_any:
            raise NotFoundError(f"parameter of task {self.name!r} called", name, named)
        return named[name] if name in named else takes_any[0]

    def arguments(self, values: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and named arguments from named values.

        Raises:
            NotFoundError: no parameter has that name.
            ArgumentError: a parameter without a default has no value.
        """
        for name in values:
            self.parameter(name)
        missing = [
            p.name
            for p in self.parameters
            if p.name not in values and p.default is p.empty and p.kind not in VARIADIC
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
        return f"{self.name}({', '.join(map(_as_written, self.parameters))})"


def annotation_text(parameter: inspect.Parameter) -> str:
    """A parameter's annotation without modules; empty if it has none."""
    if parameter.annotation is parameter.empty:
        return ""
    written = _MEMBER.sub(r"\1", inspect.formatannotation(parameter.annotation))
    return _QUALIFIED.sub("", written)


def _as_written(parameter: inspect.Parameter) -> str:
    """A parameter as one would write it: without modules, an Enum's member by its name."""
    annotation = default = ""
    if parameter.annotation is not parameter.empty:
        annotation = f": {annotation_text(parameter)}"
    if parameter.default is not parameter.empty:
        value = parameter.default
        written = str(value) if isinstance(value, enum.Enum) else short(value, 40)
        default = f" = {written}" if annotation else f"={written}"
    stars = "*" * (1 + VARIADIC.index(parameter.kind)) if parameter.kind in VARIADIC else ""
    return f"{stars}{parameter.name}{annotation}{default}"


def _outermost(function: Function) -> Function:
    """What is called first, behind partials and ``__call__``, but not behind ``functools.wraps``."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or isinstance(function, type):
        return function
    return type(function).__call__
