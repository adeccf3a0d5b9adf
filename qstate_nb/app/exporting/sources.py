"""What a module of its own needs to run tasks: imports, or the source of what no module holds.

tasks, classes ─► Namespace: importable? ─┬─ yes ─► an import
                                          └─ no ──► its source, and so on with what that uses
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import sys
import types
from collections.abc import Mapping
from typing import Any

from qstate_nb.app.exporting.definitions import Definition, in_order, joined
from qstate_nb.app.exporting.holders import held, holder_of
from qstate_nb.app.exporting.homes import can_be_imported, home_of, is_builtin
from qstate_nb.app.exporting.imports import Import, Imports, import_of
from qstate_nb.app.exporting.layout import Node, Text, call, names_in
from qstate_nb.app.exporting.literals import Unwritable, text_of, written
from qstate_nb.app.exporting.namespaces import Found, Namespace
from qstate_nb.app.exporting.used import Used, used_in
from qstate_nb.app.exporting.values import is_made_anew, is_still
from qstate_nb.app.inline import InlineApp
from qstate_nb.app.task import Task
from qstate_nb.core.formats import printable, short
from qstate_nb.core.registry import StateRegistry
from qstate_nb.errors import ScenarioError

_HINT = "define it in a module, and import it"


class Sources:
    """Collects what is needed, and tells what it is called.

    Args:
        tasks: those that source may name in a text.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        self._tasks = tasks
        self.imports = Imports()
        self._namespaces: dict[int, Namespace] = {}
        self._carried: dict[str, tuple[Namespace, Definition | None]] = {}
        # By identity: the object, and where it is with what comes after that, or its expression.
        self._wanted: dict[int, tuple[Any, Import, str]] = {}
        self._local: dict[int, tuple[Any, str]] = {}
        self._named: set[Import] = set()
        self._is_late = False  # whether annotations are kept as text

    def add_task(self, task: Task) -> None:
        """Need a task.

        Raises:
            ScenarioError: no module or notebook holds it, or what it uses can't be carried.
        """
        if id(task) in self._wanted or id(task) in self._local:
            return
        space, held = self._holder(task)
        if not space.is_importable:
            self._carry(space, held, f"task {task.name!r}")
            self._local[id(task)] = (task, held)
            return
        self._wanted[id(task)] = (task, *import_of(space.module, held))
        app = space.names[held].app
        name = space.holds(app)
        if name is not None:
            self._wanted[id(app)] = (app, Import(space.module, name), "")

    def add(self, thing: Any, user: str) -> None:
        """Need a class or function.

        Args:
            user: what needs it, for messages.

        Raises:
            ScenarioError: it can neither be imported nor carried; nothing more is needed then.
        """
        if id(thing) in self._wanted or id(thing) in self._local or is_builtin(thing):
            return
        home = home_of(thing)
        if home is not None:
            self._wanted[id(thing)] = (thing, *home)
            return
        space = Namespace.of(thing)
        expression = str(getattr(thing, "__qualname__", "<"))
        name = expression.partition(".")[0]
        if space is None or space.is_importable or "<" in expression or name not in space.names:
            raise ScenarioError(f"{user} uses {printable(expression)}, which no module has; {_HINT}")
        before = dict(self._carried), dict(self._wanted), dict(self._local), self.imports.copy(), self._is_late
        try:
            self._carry(self._known(space), name, user)
        except ScenarioError:
            self._carried, self._wanted, self._local, self.imports, self._is_late = before
            raise
        self._local[id(thing)] = (thing, expression)

    def app_of(self, task: Task) -> str:
        """The expression for the app of a task that was added."""
        space, held = self._holder(task)
        app = space.names[held].app
        if id(app) in self._wanted:
            return self.name(app)
        carried = [name for name, (where, _) in self._carried.items() if where.names.get(name) is app]
        return carried[0] if carried else f"{self.name(task)}.app"

    @property
    def has_more_apps(self) -> bool:
        """Whether more than one app will be among the variables."""
        carried = [space.names.get(name) for name, (space, _) in self._carried.items()]
        apps = [*carried, *(thing for thing, _, _ in self._wanted.values())]
        return len({id(app) for app in apps if isinstance(app, InlineApp)}) > 1

    def name(self, thing: Any) -> str:
        """The expression for what was added."""
        if id(thing) in self._local:
            return self._local[id(thing)][1]
        if id(thing) in self._wanted:
            _, what, rest = self._wanted[id(thing)]
            self._named.add(what)
            return self.imports.use(what) + rest
        return str(thing.__qualname__)  # a builtin

    def _holder(self, task: Task) -> tuple[Namespace, str]:
        space, name = holder_of(task)
        return self._known(space), name

    def _known(self, space: Namespace) -> Namespace:
        return self._namespaces.setdefault(id(space.names), space)

    def _carry(self, space: Namespace, name: str, user: str) -> None:
        """Have a variable of a namespace in the module that is written, and what it uses."""
        todo = [(name, user)]
        while todo:
            name, user = todo.pop()
            known = self._carried.get(name)
            if known is not None and known[0] is not space:
                raise ScenarioError(f"{name!r} is defined in {known[0].module} and in {space.module}; rename one")
            if known is not None:
                continue
            definition = self._defined(space, name, user)
            self._carried[name] = (space, definition)
            if definition is not None:
                if not self.imports.fix(name, None):
                    raise ScenarioError(f"{name!r} of {space.module} is imported from elsewhere as well; rename it")
                todo += [(used, repr(name)) for used in self._needs(space, definition)]

    def _needs(self, space: Namespace, definition: Definition) -> list[str]:
        own = definition.name
        if "display" in definition.used.ever and "display" not in space.names:  # IPython has it built in
            self.imports.fix("display", Import("IPython.display", "display"))
        used = [
            name
            for name in definition.used.ever
            if name != own and name in space.names and not _is_of_ipython(name, space.names[name])
        ]
        tasks = [self._tasks[text] for text in sorted(definition.used.texts & self._tasks.keys())]
        return [*used, *(name for task in tasks if (name := held(space, task)) is not None and name != own)]

    def _defined(self, space: Namespace, name: str, user: str) -> Definition | None:
        """How a variable gets its value; None if it is imported."""
        value = space.names[name]
        found = space.statement(name)
        if self._imported(space, name, value):
            return None
        place = found.place if found is not None else (-1, 0)
        if type(value) is InlineApp:
            registry = next((other for other, v in list(space.names.items()) if v is value._registry), "")
            made = self._app(value, registry)
            return Definition(name, place, made, _uses([registry] if registry else []))
        content = self._made(space, name, found)
        if content is None:
            raise ScenarioError(
                f"{user} uses {name!r}, {short(value)}, which can't be carried into another file: {_why(value)}; "
                f"{_HINT}"
            )
        if isinstance(content, str):
            self._is_late |= space.is_late
            return Definition(name, place, content, used_in(content))
        for thing in names_in(content):
            self.add(thing, repr(name))
        named = [self._local[id(thing)][1] for thing in names_in(content) if id(thing) in self._local]
        return Definition(name, place, content, _uses([text.partition(".")[0] for text in named]))

    def _imported(self, space: Namespace, name: str, value: Any) -> bool:
        is_found = False
        for module, what in space.imports(name):
            held: Any = sys.modules.get(module)
            if not can_be_imported(module, getattr(held, "__file__", None)):
                continue
            if what and getattr(held, what, ...) is value:
                return self.imports.fix(name, Import(module, what))
            if not what and (held is value or isinstance(value, types.ModuleType)):
                is_found = self.imports.fix(name if held is value else module, Import(module))
        if is_found:
            return True
        if isinstance(value, types.ModuleType) and can_be_imported(value.__name__, getattr(value, "__file__", None)):
            return self.imports.fix(name, Import(value.__name__))
        if isinstance(value, Task):
            return self._imported_task(space, name, value)
        home = None if _is_plain(value) else home_of(value)
        return home is not None and not home[1] and self.imports.fix(name, home[0])

    def _imported_task(self, space: Namespace, name: str, task: Task) -> bool:
        other = Namespace.of(task.function)
        held_as = None if other is None or other.names is space.names else other.holds(task)
        if other is None or held_as is None or not other.is_importable:
            return False
        return self.imports.fix(name, Import(other.module, held_as))

    def _made(self, space: Namespace, name: str, found: Found | None) -> str | Node | None:
        value = space.names[name]
        if found is not None and isinstance(found.node, ast.Assign | ast.AnnAssign) and _awaits(found.node):
            found = None  # a module can't
        if type(value) is StateRegistry:
            return call(StateRegistry)
        if isinstance(value, type | types.FunctionType | Task) or (found and isinstance(value, re.Pattern)):
            return None if found is None else found.source
        try:
            node = written(value).node
        except Unwritable:
            return None if found is None else found.source
        if found is None:
            return node
        is_as_made = space.is_set_once(name) and is_made_anew(found.node, space.names)  # a task may change it
        return found.source if is_as_made or is_still(found.node, value) else node

    def _app(self, app: InlineApp, registry: str) -> Node:
        for cls in (InlineApp, StateRegistry):
            self.add(cls, "the app")
        named = {"registry": Text(registry) if registry else call(StateRegistry)}
        return call(InlineApp, *([] if app.name == "app" else [Text(text_of(app.name))]), **named)

    def settle(self) -> None:
        """Give all that is imported its name, so that `Imports.free` knows what is left for others."""
        if self._is_late:
            self.imports.fix("annotations", Import("__future__", "annotations"))
        for _, what, _ in self._wanted.values():
            self.imports.use(what)

    def text(self) -> str:
        """The imports, and the source of all that is carried, in an order in which it runs.

        It is to be asked for last: what was needed, and whose `name` nobody wanted, is not imported.
        """
        definitions = [definition for _, definition in self._carried.values() if definition is not None]
        texts = [each.text(self.name) for each in in_order(definitions)]
        self.imports.drop({what for _, what, _ in self._wanted.values()} - self._named)
        return joined(self.imports.lines(), texts)

    @property
    def defined(self) -> list[str]:
        """The names that are carried."""
        return [name for name, (_, definition) in self._carried.items() if definition is not None]


def _uses(names: list[str]) -> Used:
    return Used(frozenset(names), frozenset(names), tuple(names), frozenset())


def _is_of_ipython(name: str, value: Any) -> bool:
    """Whether it is what IPython has in place of something that is built in, such as ``open``."""
    return hasattr(builtins, name) and str(getattr(value, "__module__", "")).startswith("IPython.")


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | list | dict | tuple | set)


def _awaits(node: ast.stmt) -> bool:
    return any(isinstance(part, ast.Await) for part in ast.walk(node))


def _why(value: Any) -> str:
    inner = inspect.unwrap(value) if callable(value) else value
    if isinstance(inner, types.FunctionType) and inner.__name__ == "<lambda>":
        return "a lambda has no source of its own"
    if isinstance(inner, types.FunctionType) and inner.__closure__:
        return "it is defined in a function and uses variables of that"
    return "its source is not known, and its value can't be written"
