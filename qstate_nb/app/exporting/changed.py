"""The variables that a piece of source changes while it is run, other than by a plain assignment."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_LATER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_READING = ("copy", "count", "elements", "get", "index", "items", "keys", "most_common", "total", "values")


def changed_in(source: str) -> set[str]:
    """The variables whose values top-level statements change; what functions do later doesn't count.

    Example:
        >>> sorted(changed_in("a = []; a.append(1); b = 1; b += 1; c = {}; c['x'] = 1; c.get('x'); d = 1"))
        ['a', 'b', 'c']
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    found: set[str] = set()
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        found.update(_changed_by(node))
        is_assigned = isinstance(node, ast.Assign | ast.AnnAssign) and node in tree.body
        for child in ast.iter_child_nodes(node):
            is_target = is_assigned and isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store)
            if not is_target and not isinstance(child, _LATER):
                todo.append(child)
    return found


def _changed_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
        yield from _root(node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr not in _READING:
        yield from _root(node.func)


def _root(node: ast.expr) -> Iterator[str]:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id
