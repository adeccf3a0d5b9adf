"""`InlineApp`: tasks that run right here, in this process, on shared State."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
import itertools
import operator
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, overload

from qstate_nb.app.call import Call
from qstate_nb.app.moving import Runner, check_can_move, moved
from qstate_nb.app.nesting import run_blocking, running_loop
from qstate_nb.app.output import current_printer
from qstate_nb.app.result import TaskResult
from qstate_nb.app.runner import perform, perform_in_background
from qstate_nb.app.task import GenerateHandler, Task, TaskOptions
from qstate_nb.app.threads import hold_stop
from qstate_nb.core.formats import short
from qstate_nb.core.inject import Function, StatePlugin, innermost, name_of
from qstate_nb.core.keys import ScopeId
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import StateT
from qstate_nb.core.store import MemoryStore
from qstate_nb.core.subscribers import Subscribers
from qstate_nb.core.timetravel import Moment
from qstate_nb.errors import NotFoundError, StoreError, TaskDefinitionError
from qstate_nb.stores.opening import default_registry, registry_of

if TYPE_CHECKING:
    from qstate_nb.app.scenario import Scenario

MAX_CALLS = 1_000

stand_in: ContextVar[Callable[[InlineApp], InlineApp] | None] = ContextVar("qstate_nb.stand_in", default=None)
"""Finds the app that stands in for another one where the code runs; it is asked inside `stand_ins_used`."""

_stand_ins: set[object] = set()  # as `stopping.stops`: while it is empty, apps don't look


@contextlib.contextmanager
def stand_ins_used() -> Iterator[None]:
    """Let `stand_in` count while the block runs."""
    use = object()
    _stand_ins.add(use)
    try:
        yield
    finally:
        _stand_ins.discard(use)


def keep_stand_ins() -> None:
    """Let `stand_in` count from now on: what still runs in a context with one, keeps to it."""
    _stand_ins.add("kept")


class InlineApp:
    """A collection of tasks that run inline.

    Args:
        name: for displays.
        registry: where the State lives; by default `default_registry`, so that State outlives the app.
        store: in place of *registry*, where it is stored: a URL such as ``sqlite:///shop.db``, or what `open_store`
            gave. Apps of a process with the same URL share one registry. ``app.registry.store.close()`` gives up its
            connections; that also happens when the last one who uses it ends.

    Raises:
        StoreError: there are both *registry* and *store*, or that can't be opened; as `open_store`.

    Example:
        >>> import asyncio
        >>> from qstate_nb import AsyncState, InlineApp, StateRegistry
        >>> app = InlineApp(registry=StateRegistry())
        >>> class Signup(AsyncState):
        ...     pass
        >>> @app.task
        ... async def step1(state: Signup, phone: str):
        ...     await state.update(step=1, phone=phone)
        ...     return "ok"
        >>> asyncio.run(step1("123"))
        'ok'
        >>> app.run("step1", "456").status
        'success'
        >>> asyncio.run(app.state(Signup).get_all())
        {'step': 1, 'phone': '456'}
    """

    def __init__(
        self, name: str = "app", *, registry: StateRegistry | None = None, store: str | MemoryStore | None = None
    ) -> None:
        self.name = name
        if registry is not None and store is not None:
            raise StoreError("an app has a registry or a store, not both")
        if registry is None:
            registry = default_registry() if store is None else registry_of(store)
        self._registry = registry
        self.memory = None if registry.store.is_shared else registry
        """Where State was in memory, if it was: `use` keeps it, so that one can go back."""
        self.plugin = StatePlugin(self._registry)
        self.tasks: dict[str, Task] = {}
        self.namespace = uuid.uuid4()  # of the calls' uuids
        self._unfinished: dict[int, Call] = {}
        self._ended: deque[Call] = deque(maxlen=MAX_CALLS)
        self._numbers = itertools.count(1)
        self._subscribers = Subscribers[Call | Task]()
        self._movers = Subscribers[StateRegistry]()
        self._is_followed = False
        self._running: set[asyncio.Task[TaskResult]] = set()
        self._origin: InlineApp | None = None  # of a fork
        self._has_forks = False
        self._limits_time = True
        self.scenarios: dict[str, Scenario] = {}  # those that were recorded, by name
        self.recorder: Scenario | None = None  # what is run is recorded in it, until somebody ends that
        self._runner = Runner(self, registry)

    @overload
    def task(self, function: Function, /) -> Task: ...

    @overload
    def task(
        self,
        function: str | None = None,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        priority: int = 0,
        echo: bool = False,
        max_time: float | None = None,
        retry: int | None = None,
        retry_on_exc: Iterable[type[Exception]] | None = None,
        generate_handler: GenerateHandler | None = None,
    ) -> Callable[[Function], Task]: ...

    def task(
        self,
        function: Function | str | None = None,
        /,
        *,
        name: str | None = None,
        tags: Iterable[str] | None = None,
        retry: int | None = None,
        retry_on_exc: Iterable[type[Exception]] | None = None,
        **options: Any,
    ) -> Task | Callable[[Function], Task]:
        """Register a function as a task: ``@app.task``, ``@app.task("name")`` or ``@app.task(name=…, retry=2)``.

        Args:
            name: by default the function's. A task of that name from the same module is replaced, so that a
                notebook cell can be run again.
            description, tags, priority, echo, max_time, retry, retry_on_exc, generate_handler: see
                `TaskOptions`.

        Raises:
            TaskDefinitionError: an option can't be used, or a task of another module has that name.
            InjectionError: State can't be injected; see `StatePlugin.plan`.
        """
        if isinstance(function, str):
            name, function = function, None
        options |= {
            "tags": _as_tuple(() if tags is None else tags),
            "retry": 0 if retry is None else retry,
            "retry_on_exc": _as_tuple((Exception,) if retry_on_exc is None else retry_on_exc),
        }

        def register(function: Function) -> Task:
            return self._register(function, name, options)

        return register if function is None else register(function)

    def _register(self, function: Function, name: str | None, options: dict[str, Any]) -> Task:
        if isinstance(function, Task):
            function = function.function
        if not callable(function):
            raise TaskDefinitionError(f"{function!r} can't be a task: it is not callable")
        inner = innermost(function)
        name = name or name_of(function)
        if options.get("description") is None:
            options = {**options, "description": _first_line(inspect.getdoc(inner))}
        checked = TaskOptions(**options)
        task = Task(self, name, function, checked, self.plugin.plan(function, task=name))
        self._check(task, inner)
        self.tasks[name] = task
        self.tell(task)
        return task

    def _check(self, task: Task, inner: Function) -> None:
        generates = inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner)
        if task.options.generate_handler is not None and not generates:
            raise TaskDefinitionError(
                f"task {task.name!r} has a generate_handler, but yields nothing; remove it, or use yield"
            )
        if task.options.echo and not task.takes_handle:
            raise TaskDefinitionError(
                f"task {task.name!r} has echo=True, so its first parameter gets the task's handle; "
                f"add one before the others: def {task.name}(self, …)"
            )
        other = self.tasks.get(task.name)
        theirs, ours = other and _module_of(other.function), _module_of(task.function)
        if other is not None and theirs != ours:
            raise TaskDefinitionError(
                f"app {self.name!r} has a task {task.name!r} from {theirs}, and another from "
                f'{ours} can\'t replace it; give one another name with name="…"'
            )

    def find(self, task: str | Task) -> Task:
        """The task of that name; a task object of this app is given back.

        Raises:
            NotFoundError: there is none; it shows the close matches.
            TaskDefinitionError: it is neither a name nor a task of this app.
        """
        if isinstance(task, Task) and task.app is self:
            return task
        if not isinstance(task, str):
            raise TaskDefinitionError(f"{short(task)} is no task of app {self.name!r}; register it with @app.task")
        if task not in self.tasks:
            raise NotFoundError("task", task, self.tasks)
        return self.tasks[task]

    def run(self, task: str | Task, /, *args: Any, **kwargs: Any) -> TaskResult:
        """Run a call to its end from anywhere: a script, a thread, a running cell, a callback, another task.

        What it prints is shown. Inside a running event loop it nests (see `qstate_nb.app.nesting`). An interrupt
        stops the call and waits for its end.

        Raises:
            NotFoundError: no task has that name.
        """
        return run_blocking(perform(self.new_call(self.find(task), args, kwargs, echo=True)))

    def start(self, task: str | Task, /, *args: Any, **kwargs: Any) -> Call:
        """Start a call in the background: an async task on the running loop, or else in a thread.

        What it prints is not shown; it is in `Call.output`.

        Raises:
            NotFoundError: no task has that name.
        """
        call = self.new_call(self.find(task), args, kwargs, echo=False)
        self.begin(call)
        return call

    def begin(self, call: Call) -> None:
        """Start a call that was made by `new_call` in the background, as `start` does."""
        loop = running_loop()
        if loop is None or not call.task.is_async:
            perform_in_background(call)
        else:
            running = loop.create_task(perform(call), name=str(call))
            self._running.add(running)
            running.add_done_callback(self._running.discard)

    def state(self, cls: type[StateT], scope: ScopeId | None = None) -> StateT:
        """The object of a State class, for cells and tests: the one that tasks get; see `StateRegistry.state`."""
        return self.registry.state(cls, scope)

    @property
    def registry(self) -> StateRegistry:
        """Where the State lives; in a task of a fork, the fork's."""
        return self._here()._registry

    def use(self, registry: StateRegistry) -> None:
        """Let the tasks work on the State of another registry from now on; forks stay where they are.

        State objects that `state` gave before still work on the old one: ask for them again.

        Args:
            registry: such as ``StateRegistry(store=open_store("sqlite:///shop.db"))``.

        Raises:
            TaskError: a task runs, a scenario is recorded, or the code is in a task of a fork.
            TransactionError: somebody here has a transaction open on the State that the app has now.
            StateNameError: a State class of a task has a name there that is taken. Nothing is changed then.

        Example:
            >>> from qstate_nb import InlineApp, State, StateRegistry
            >>> class Stock(State):
            ...     pass
            >>> app = InlineApp(registry=StateRegistry())
            >>> @app.task
            ... def sell(stock: Stock):
            ...     return stock.increment("apples", -1)
            >>> old = app.registry
            >>> app.use(StateRegistry())
            >>> app.run("sell").returning, old.history(), app.registry.history()
            (-1, [], [<Event 1: Stock increment apples by sell #1>])
        """
        if registry is self._registry:
            return
        check_can_move(self)
        plans = [(task, moved(task.injection, registry)) for task in list(self.tasks.values())]
        for task, plan in plans:
            task.injection = plan
        self._registry, self.plugin = registry, StatePlugin(registry)
        self._runner = Runner(self, registry)
        if not registry.store.is_shared:
            self.memory = registry
        self._movers.tell(registry)

    def on_use(self, subscriber: Callable[[StateRegistry], object]) -> Callable[[], None]:
        """Call *subscriber* with the new registry after each `use`; the returned function unsubscribes."""
        return self._movers.add(subscriber)

    def fork(self, at: Moment | None = None, *, name: str | None = None) -> InlineApp:
        """An app with the same tasks on a copy of the State, to try something without touching the real one.

        Where a task of the fork calls another one, or asks for a State, by way of this app, it gets the fork's.

        Args:
            at: the moment, an event's number or a label; by default, now.
            name: for displays.

        Raises:
            HorizonError, HistoryError, NotFoundError: there is no such moment, or it is not known any more.

        Example:
            >>> from qstate_nb import InlineApp, State, StateRegistry
            >>> app = InlineApp(registry=StateRegistry())
            >>> class Stock(State):
            ...     pass
            >>> @app.task
            ... def sell(stock: Stock):
            ...     return stock.increment("apples", -1)
            >>> trial = app.fork()
            >>> trial.run("sell").returning
            -1
            >>> app.state(Stock).get_all()
            {}
        """
        return self.twin(self.registry.fork(at), name=f"{self.name} (fork)" if name is None else name, adopts=True)

    def scenario(self, name: str) -> Scenario:
        """A new `Scenario`, to record what is called in a block: ``with app.scenario("signup") as s:``.

        Raises:
            ScenarioError: *name* is no text.
        """
        from qstate_nb.app.scenario import Scenario

        return Scenario(self._here(), name)

    def twin(
        self, registry: StateRegistry, *, name: str = "app", limits_time: bool = True, adopts: bool = False
    ) -> InlineApp:
        """An app on another registry: where a task of it calls one of this app, that runs there, as in a fork.

        Args:
            limits_time: whether the tasks' ``max_time`` counts there.
            adopts: whether it has this app's tasks from the beginning.
        """
        made = InlineApp(name, registry=registry)
        made._origin = self
        made._limits_time = limits_time
        for task in self.tasks.values() if adopts else ():
            made.adopt(task)
        self._has_forks = True
        return made

    def adopt(self, task: Task) -> Task:
        """Register another app's task here as well."""
        plan = self.plugin.plan(task.function, task=task.name)
        options = task.options if self._limits_time else dataclasses.replace(task.options, max_time=None)
        mine = self.tasks[task.name] = Task(self, task.name, task.function, options, plan)
        self.tell(mine)
        return mine

    def own(self, task: Task) -> Task:
        """The task that is run here in the place of another app's: adopted, if it is new, or was defined anew."""
        mine = self.tasks.get(task.name)
        return mine if mine is not None and mine.function is task.function else self.adopt(task)

    def _here(self) -> InlineApp:
        """The app itself, or, in a task of a fork of it, that fork; or what stands in for it."""
        find = stand_in.get() if _stand_ins else None
        if find is not None:
            return find(self)
        if self._has_forks:
            app = around = running_app()
            while around is not None:
                if around is self:
                    assert app is not None
                    return app
                around = around._origin
        return self

    def running(self) -> list[str]:
        """The calls that run now, such as ``step1 #3``."""
        return [str(call) for call in list(self._unfinished.values()) if call.own_status == "process"]

    @property
    def calls(self) -> list[Call]:
        """The calls that have not ended, and the last 1,000 that have; oldest first."""
        kept = {*self._unfinished.values(), *self._ended}  # in this order, to miss none that ends meanwhile
        return sorted(kept, key=operator.attrgetter("number"))

    def subscribe(self, subscriber: Callable[[Call | Task], object]) -> Callable[[], None]:
        """Call *subscriber* with each call that begins, prints, progresses or ends, and each new task, from now on.

        It is called in the thread where that happens; the returned function unsubscribes.
        """
        self._is_followed = True
        return self._subscribers.add(subscriber)

    def tell(self, changed: Call | Task) -> None:
        """Tell the subscribers that something about a call has changed, or that there is a new task."""
        if self._is_followed:
            with hold_stop():
                self._subscribers.tell(changed)

    def new_call(
        self,
        task: Task,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        echo: bool,
        retry_of: Call | None = None,
    ) -> Call:
        """Make a call that has not begun.

        Args:
            echo: whether what it prints is shown.
            retry_of: the attempt before, if it is a retry.
        """
        if self._has_forks or _stand_ins:
            here = self._here()
            if here is not self:
                return here.new_call(here.own(task), args, kwargs, echo=echo)
        call = Call(task, next(self._numbers), args, kwargs, echo, retry_of=retry_of)
        self._unfinished[call.number] = call
        return call

    def note_end(self, call: Call) -> None:
        """Keep a call that has ended among the last ones, and tell the subscribers."""
        self._ended.append(call)  # first, so that there is no moment in which it can't be found
        self._unfinished.pop(call.number, None)
        self.tell(call)

    def __repr__(self) -> str:
        return f"<InlineApp {self.name!r}: {len(self.tasks)} tasks>"


def running_app() -> InlineApp | None:
    """The app whose call the code runs in."""
    call = current_printer()
    return call.task.app if isinstance(call, Call) else None


def _module_of(function: Function) -> str | None:
    return getattr(innermost(function), "__module__", None)


def _as_tuple(values: Any) -> Any:
    """A tuple of what was given; a str or what can't be iterated stays, to be refused."""
    return tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else values


def _first_line(text: str | None) -> str:
    return (text or "").partition("\n")[0]
