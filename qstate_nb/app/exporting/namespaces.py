"""Where code comes from: modules that can be imported again, and the source of what was defined anywhere else.

A notebook's cells, a script and a console define things in ``__main__``, which no other program can import. IPython
keeps the source of its cells, and `linecache` that of all code that was compiled from a file or a cell.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from qstate_nb.app.exporting.changed import changed_in
from qstate_nb.app.exporting.homes import can_be_imported
from qstate_nb.core.inject import innermost

Statement: TypeAlias = (
    ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom
)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BLOCKS = (ast.If, ast.Try, ast.With)


class Found(msgspec.Struct, frozen=True):
    """The statement that gives a name its value.

    Args:
        source: its text, with decorators, at the left margin.
        place: where it is, to sort by.
        node: the statement.
    """

    source: str
    place: tuple[int, int]
    node: ast.stmt


class Namespace:
    """The variables of a module, and the source that they come from.

    Args:
        names: the variables.
    """

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = names
        self.module = str(names.get("__name__", "__main__"))
        file = names.get("__file__")
        self.is_importable = can_be_imported(self.module, file if isinstance(file, str) else None)
        self._texts: list[str] | None = None
        self._found: dict[str, list[Found]] = {}
        self._changed: set[str] = set()

    @classmethod
    def of(cls, thing: Any) -> Namespace | None:
        """Where a function or class was defined, if that is still there."""
        if isinstance(thing, type):
            module = sys.modules.get(thing.__module__)
            return None if module is None else cls(vars(module))
        names = getattr(innermost(thing), "__globals__", None)
        return None if names is None else cls(names)

    def holds(self, thing: Any) -> str | None:
        """The name of a variable that is that very object."""
        own = getattr(thing, "__name__", None)
        if isinstance(own, str) and self.names.get(own) is thing:
            return own
        found = [name for name, value in list(self.names.items()) if value is thing and name.isidentifier()]
        return min(found, key=lambda name: (name.startswith("_"), len(name), name), default=None)

    def texts(self) -> list[str]:
        """The source, in the order in which it was run."""
        if self._texts is None:
            self._texts = list(self._sources())
            for index, text in enumerate(self._texts):
                for name, found in _statements(text, index):
                    self._found.setdefault(name, []).append(found)
                self._changed |= changed_in(text)
        return self._texts

    def _sources(self) -> Iterator[str]:
        cells = self.names.get("In")  # of IPython
        if isinstance(cells, list) and "get_ipython" in self.names:
            yield from _cells_in_memory(self.names["get_ipython"])  # first: these keep their place when run again
            yield from ("".join(linecache.getlines(file)) for file in list(linecache.cache) if _is_scenario(file))
            yield from (cell for cell in cells if isinstance(cell, str))
            return
        files = [str(self.names.get("__file__", ""))]
        for value in list(self.names.values()):
            code = getattr(value, "__code__", None)
            if isinstance(code, types.CodeType) and getattr(value, "__globals__", None) is self.names:
                files.append(code.co_filename)
        for file in dict.fromkeys(files):
            yield "".join(linecache.getlines(file))

    def statement(self, name: str) -> Found | None:
        """The statement that gave a variable its value last, if its source is known."""
        self.texts()
        value = self.names.get(name)
        candidates = self._found.get(name, [])
        if isinstance(value, type):
            candidates = [each for each in candidates if _can_be_class(each, value)]
        elif isinstance(inner := inspect.unwrap(value) if callable(value) else value, types.FunctionType):
            own = self._function(inner, name)
            if own is not None:
                return own
        return candidates[-1] if candidates else None

    def is_set_once(self, name: str) -> bool:
        """Whether a variable has its value by one statement alone, which nothing outside of functions changes."""
        self.texts()
        return name not in self._changed and len({ast.dump(each.node) for each in self._found.get(name, [])}) == 1

    def imports(self, name: str) -> Iterator[tuple[str, str]]:
        """What statements import under a name, the last first: a module, and what of it, if it is not all."""
        self.texts()
        for found in reversed(self._found.get(name, [])):
            node = found.node
            if isinstance(node, ast.Import):
                yield from ((each.name, "") for each in node.names if name == (each.asname or _top(each.name)))
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield from ((node.module, each.name) for each in node.names if name == (each.asname or each.name))

    @property
    def is_late(self) -> bool:
        """Whether annotations are kept as text."""
        return ("__future__", "annotations") in self.imports("annotations")

    def _function(self, function: types.FunctionType, name: str) -> Found | None:
        """The source of a function that is the value of a variable of its own name."""
        if function.__qualname__ != name or function.__globals__ is not self.names:
            return None
        try:
            source = textwrap.dedent(inspect.getsource(function))
            node = ast.parse(source).body[0]
        except (OSError, TypeError, SyntaxError, IndexError):
            return None
        if not isinstance(node, _DEFINITIONS):
            return None
        place = next((each.place for each in reversed(self._found.get(name, [])) if each.source in source), None)
        return Found(source.rstrip(), place or (len(self.texts()), function.__code__.co_firstlineno), node)


def _cells_in_memory(get_ipython: Any) -> list[str]:
    """The cells that tracebacks can show, also those that are not in the history, as when nbval runs them."""
    compiler = getattr(get_ipython(), "compile", None) if callable(get_ipython) else None
    return ["".join(linecache.getlines(file)) for file in list(getattr(compiler, "_filename_map", ()))]


def _is_scenario(file: str) -> bool:
    return file.startswith("<scenario ")


def _statements(text: str, index: int) -> Iterator[tuple[str, Found]]:
    """The names that a text gives a value, each with the statement."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return  # such a cell was not run
    for node in _outside_functions(tree.body):
        source = _segment(text, node)
        for name in _bound(node):
            yield name, Found(source, (index, node.lineno), node)


def _outside_functions(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module; of those in blocks, imports alone, as others may not have run."""
    for node in body:
        yield node
        if isinstance(node, _BLOCKS):
            yield from (inner for inner in ast.walk(node) if isinstance(inner, ast.Import | ast.ImportFrom))


def _segment(text: str, node: ast.stmt) -> str:
    first = node.lineno
    if isinstance(node, _DEFINITIONS) and node.decorator_list:
        first = node.decorator_list[0].lineno
    lines = text.splitlines()[first - 1 : node.end_lineno]
    if not isinstance(node, _DEFINITIONS):
        return ast.get_source_segment(text, node) or ast.unparse(node)
    return textwrap.dedent("\n".join(lines))


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, _DEFINITIONS):
        yield node.name
    elif isinstance(node, ast.Import):
        yield from (each.asname or _top(each.name) for each in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (each.asname or each.name for each in node.names)
    elif isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
        yield node.target.id
    elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        yield node.targets[0].id
    elif isinstance(node, getattr(ast, "TypeAlias", ())):
        yield node.name.id  # type: ignore[attr-defined]


def _top(module: str) -> str:
    return module.partition(".")[0]


def _can_be_class(found: Found, cls: type) -> bool:
    """Whether a statement may be what defined a class: its methods' source is in it."""
    if not isinstance(found.node, ast.ClassDef):
        return not isinstance(found.node, ast.FunctionDef)
    for value in vars(cls).values():
        function = inspect.unwrap(value) if callable(value) else getattr(value, "__func__", None)
        code = getattr(function, "__code__", None)
        if code is None or getattr(function, "__qualname__", "") != f"{cls.__qualname__}.{code.co_name}":
            continue
        source = linecache.getlines(code.co_filename)
        if source and source[code.co_firstlineno - 1].strip() not in found.source:
            return False
    return True
