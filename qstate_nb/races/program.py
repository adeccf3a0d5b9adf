"""What is explored: tasks with their arguments, the State in the beginning, and what else they share."""

from __future__ import annotations

import ast
import asyncio
import dis
import functools
import hashlib
import inspect
import itertools
import sys
import sysconfig
import textwrap
import threading
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qstate_nb.app import Task, TaskResult
from qstate_nb.app.runner import perform, perform_sync
from qstate_nb.core.formats import short
from qstate_nb.core.history import is_whole
from qstate_nb.core.inject import StatePlugin, innermost, is_async, name_of
from qstate_nb.core.journal import ABSENT
from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import StateBase
from qstate_nb.core.values import copy_value
from qstate_nb.errors import ArgumentError, OutOfScopeError
from qstate_nb.races.canonical import canonical, text_of
from qstate_nb.races.contents import Contents
from qstate_nb.races.primitives import Shared, is_primitive
from qstate_nb.races.sharing import condition_token, do_at_once, wait_for_primitive

if TYPE_CHECKING:
    from qstate_nb.races.world import World


class Template:
    """A task with its arguments; tasks that are alike share one.

    Args:
        number: in its program.
        task: an `InlineApp`'s, or a function with State parameters.
        args, kwargs: what it is called with.

    Attributes:
        name: of the task, with its arguments if it has any.
    """

    def __init__(self, number: int, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.number = number
        self.task = task
        self.args = copy_value(tuple(args))
        self.kwargs = copy_value(dict(kwargs))
        self.function = task.function if isinstance(task, Task) else task
        self.is_async = task.is_async if isinstance(task, Task) else is_async(innermost(task))
        given = [*map(short, self.args), *(f"{name}={short(value)}" for name, value in self.kwargs.items())]
        name = task.name if isinstance(task, Task) else name_of(task)
        self._check(name)
        self.name = f"{name}({', '.join(given)})" if given else name

    def _check(self, name: str) -> None:
        parameters = (
            self.task.parameters
            if isinstance(self.task, Task)
            else StatePlugin(StateRegistry()).plan(self.function).parameters
        )
        try:
            inspect.Signature(parameters).bind(*self.args, **self.kwargs)
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"task {name!r}: {error}; give its arguments as {name}.bind(…) or functools.partial({name}, …)"
            ) from None

    def __repr__(self) -> str:
        return f"<Template {self.name}>"

    def call(self, world: World) -> Any:
        """Call the task in a world; of an async one, a coroutine."""
        args, kwargs = copy_value(self.args), copy_value(self.kwargs)
        if isinstance(self.task, Task):
            return self._call_task(self.task, world, args, kwargs)
        plan = world.plans.get(self)
        if plan is None:
            plan = world.plans[self] = StatePlugin(world.registry).plan(self.function)
        args, kwargs = plan.bind(args, kwargs)
        value = self.function(*args, **kwargs)
        if self.is_async:
            return value if inspect.iscoroutine(value) else _listed(value)
        return list(value) if isinstance(value, Iterator) else value

    def _call_task(self, task: Task, world: World, args: Any, kwargs: Any) -> Any:
        app = world.twin(task.app)
        call = app.new_call(app.tasks.get(task.name) or app.adopt(task), args, kwargs, echo=False)
        return _unwrapped(world, perform(call)) if self.is_async else _returned(world, perform_sync(call))


async def _listed(values: AsyncIterator[Any]) -> list[Any]:
    return [value async for value in values]


async def _unwrapped(world: World, performing: Coroutine[Any, Any, TaskResult]) -> Any:
    return _returned(world, await performing)


def _returned(world: World, result: TaskResult) -> Any:
    if result.output:
        world.write(result.output)
    return result.unwrap()


class Program:
    """Tasks that run concurrently.

    Args:
        calls: (task, args, kwargs) of each.
        state: fields of States in the beginning, by name such as ``Account`` or ``Account[42]``, or by class.

    Attributes:
        templates: of each task; those that are alike are side by side.
        labels: of each task: its name, with a number where several have the same.
        warnings: what can't be explored as it should.

    Raises:
        ArgumentError: there is no task, or *state* is no mapping of mappings.
        StateNameError: a name in *state* is none.
        OutOfScopeError: a task uses a State object that was made elsewhere.
    """

    def __init__(
        self, calls: Sequence[tuple[Any, Sequence[Any], Mapping[str, Any]]], state: Mapping[Any, Mapping[str, Any]]
    ) -> None:
        if not calls:
            raise ArgumentError("there is nothing to explore; give a task: explore(deposit, n=2)")
        self.warnings: list[str] = []
        self.shared = Shared(wait_for_primitive, do_at_once, condition_token)
        for task, args, kwargs in calls:
            self._look_at(functools.partial(task.function if isinstance(task, Task) else task, *args, **kwargs))
        self.templates = self._templates(calls)
        self.labels = _numbered([template.name for template in self.templates])
        self.contents = Contents(_checked_state(state))
        for model in self.shared.models:
            self.contents.place(model)

    def _templates(self, calls: Sequence[tuple[Any, Sequence[Any], Mapping[str, Any]]]) -> list[Template]:
        known: dict[Hashable, list[Template]] = {}
        for number, (task, args, kwargs) in enumerate(calls):
            key: Hashable = (id(task), canonical(list(args)), canonical(dict(kwargs)))
            if self.shared.has_conditions:  # they know who is who
                key = number
            alike = known.setdefault(key, [])
            alike.append(alike[0] if alike else Template(number, task, args, kwargs))
        return [template for alike in known.values() for template in alike]

    @functools.cached_property
    def groups(self) -> list[int]:
        """For each task, the number of the first that is like it."""
        first: dict[Template, int] = {}
        return [first.setdefault(template, index) for index, template in enumerate(self.templates)]

    def state(self, store: int) -> dict[str, dict[str, Any]]:
        """Copies of all fields in a store, with the defaults that State classes declare; by the bucket's name."""
        found = {}
        for key, fields in self.contents.buckets(store):
            declared = self.contents.declared.get(key.name)
            values = {**({} if declared is None else declared.all_defaults()), **fields}
            if values:
                found[str(key)] = copy_value(values)
        return found

    def default(self, key: StateKey, field: str) -> Any:
        """What a State class declares as the default of a field, or `ABSENT`."""
        declared = self.contents.declared.get(key.name)
        return ABSENT if declared is None else declared.default(field, ABSENT)

    def position(self, store: int, at: Sequence[int]) -> tuple[int, ...]:
        """A position: a store, and where each task stands, those that are alike in order."""
        groups = self.groups
        alike = [
            sorted(number for number, group in zip(at, groups, strict=True) if group == first)
            for first in dict.fromkeys(groups)
        ]
        return (store, *itertools.chain.from_iterable(alike))

    def _look_at(self, function: Callable[..., Any]) -> None:
        """Find what tasks share besides State."""
        for name, value in _used_by(function):
            if is_primitive(value):
                self.shared.model(value, name)
            elif isinstance(value, StateBase | StateRegistry):
                cure = f"declare a parameter: state: {type(value).__name__}"
                if isinstance(value, StateRegistry):
                    cure = "use app.state(…)"
                raise OutOfScopeError(
                    f"task {name_of(function)!r} uses {name}, a {type(value).__name__} object that was made "
                    f"elsewhere, and would touch the real State; {cure}"
                )
            elif isinstance(value, _UNMODELLED):
                self.warnings.append(
                    f"orders not explored: {name}, a {type(value).__name__}, is shared by tasks, and is not modelled"
                )
        self.warnings = list(dict.fromkeys(self.warnings))

    @functools.cached_property
    def fingerprint(self) -> str:
        """What tells this program from one with other code, arguments or State: six hexadecimal digits."""
        parts = [
            f"{_source(innermost(each.function))} {text_of(canonical([list(each.args), each.kwargs]))}"
            for each in self.templates
        ]
        parts.append(text_of(canonical(self.state(self.contents.start))))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:6]


def _unmodelled() -> Iterator[type]:
    threads, loops = ("Lock", "RLock", "Condition", "Semaphore", "Event", "Barrier"), ("Barrier", "Future")
    for module, names in ((threading, threads), (asyncio, loops)):
        for name in names:
            found = getattr(module, name)
            yield found if isinstance(found, type) else type(found())  # Lock is a function in some versions


_UNMODELLED: tuple[type, ...] = tuple(_unmodelled())


def _numbered(names: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    labels = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        labels.append(f"{name} #{seen[name]}" if names.count(name) > 1 else name)
    return labels


def _checked_state(state: Mapping[Any, Mapping[str, Any]]) -> dict[StateKey, Mapping[str, Any]]:
    if not isinstance(state, Mapping):
        raise ArgumentError(f'state must be a dict such as {{"Account": {{"balance": 100}}}}, not {short(state)}')
    checked = {}
    for name, fields in state.items():
        if not (isinstance(fields, Mapping) and all(isinstance(field, str) for field in fields)):
            raise ArgumentError(f"state[{short(name)}] must be a dict of fields, not {short(fields)}")
        key = name if isinstance(name, StateKey) else StateKey.parse(str(getattr(name, "state_name", name)))
        checked[key] = fields
    return checked


def _used_by(function: Any) -> Iterator[tuple[str, Any]]:
    """What a function can reach by name: its globals, closure and arguments, and those of what it calls."""
    todo: list[tuple[str, Any]] = [("", function)]
    seen: set[int] = set()
    while todo:
        name, value = todo.pop()
        if id(value) in seen or len(seen) > _MOST_LOOKED_AT:
            continue
        seen.add(id(value))
        if name:
            yield name, value
        todo.extend(_inside(value, name))


_MOST_LOOKED_AT = 2_000


def _inside(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, functools.partial):
        yield "", value.func
        yield from ((f"argument {number}", part) for number, part in enumerate(value.args, 1))
        yield from value.keywords.items()
    elif isinstance(value, types.MethodType):
        yield from (("", value.__func__), ("self", value.__self__))
    elif isinstance(value, Task):
        yield "", value.function
    elif isinstance(value, types.FunctionType):
        yield from _of_function(value)
    elif isinstance(value, list | tuple | set | dict) and name and len(value) < _MOST_ITEMS:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        yield from ((f"{name}[{key!r}]", item) for key, item in items)
    elif isinstance(value, type) and is_users(value.__module__):
        yield from ((f"{value.__name__}.{key}", item) for key, item in vars(value).items() if key[:2] != "__")
    elif name and is_users(type(value).__module__):
        yield from ((f"{name}.{key}", item) for key, item in getattr(value, "__dict__", {}).items())
        yield "", type(value)


def _of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    names = _names(function.__code__)
    yield from ((name, function.__globals__[name]) for name in sorted(names) if name in function.__globals__)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if cell != types.CellType():
            yield name, cell.cell_contents
    yield from (("a default", default) for default in function.__defaults__ or ())
    if hasattr(function, "__wrapped__"):
        yield "", function.__wrapped__


@functools.cache
def _names(code: types.CodeType) -> frozenset[str]:
    """The global names that code uses, and the code inside it."""
    mine = [step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")]
    inner = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    return frozenset(mine).union(*map(_names, inner))


_MOST_ITEMS = 100


@functools.cache
def is_users(module: str | None) -> bool:
    """Whether a module is neither of Python, nor installed, nor of this package."""
    top = (module or "builtins").partition(".")[0]
    if top in sys.stdlib_module_names or top == "qstate_nb":
        return False
    found = sys.modules.get(module or "")
    path = getattr(found, "__file__", None) or ""
    return not any(path.startswith(where) for where in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))


def _source(function: Any) -> str:
    """The code of a function and of the user's functions that it reaches, without comments and layout."""
    found = {}
    for name, value in [("", function), *_used_by(function)]:
        code = innermost(value.function) if isinstance(value, Task) else value
        if isinstance(code, types.FunctionType) and (is_users(code.__module__) or not name):
            found[f"{code.__module__}.{code.__qualname__}"] = _code_text(code.__code__)
        elif isinstance(code, int | float | str | bytes | None):
            found[name] = text_of(canonical(code))
    return "\n".join(f"{name}: {text}" for name, text in sorted(found.items()))


@functools.lru_cache(1_000)
def _code_text(code: types.CodeType) -> str:
    try:
        return ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(code))))
    except (OSError, SyntaxError, TypeError):  # no source
        constants = [const for const in code.co_consts if not isinstance(const, types.CodeType)]
        return f"{code.co_name} {code.co_code.hex()} {constants!r} {code.co_names}"


def as_calls(tasks: Sequence[Any], n: int) -> list[tuple[Any, Sequence[Any], Mapping[str, Any]]]:
    """The calls that `explore` is given: tasks, functions, and either bound to arguments.

    Raises:
        ArgumentError: one is none of these, or *n* is not such a number.
    """
    if not is_whole(n, 1):
        raise ArgumentError(f"n must be how many of each task run at once, 1 or more, not {short(n)}")
    return [_as_call(task) for task in tasks for _ in range(n)]


def _as_call(task: Any) -> tuple[Any, Sequence[Any], Mapping[str, Any]]:
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    while isinstance(task, functools.partial):
        args, kwargs = (*task.args, *args), {**task.keywords, **kwargs}
        task = task.func
    if inspect.iscoroutine(task):
        task.close()
        raise ArgumentError(f"give the task itself, not a call of it: {task.__name__}, or {task.__name__}.bind(…)")
    if not callable(task):
        raise ArgumentError(f"{short(task)} is no task; give a task of an app, or a function with State parameters")
    return task, args, kwargs
