"""Which value a statement gives a variable, told from its source."""

from __future__ import annotations

import ast
import builtins
import enum
import types
from collections.abc import Mapping
from typing import Any

from qstate_nb.app.exporting.used import used_in
from qstate_nb.core.diff import is_same

_LITERALS = (
    *(ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.Call, ast.keyword),
    *(ast.expr_context, ast.operator, ast.unaryop),
)


def is_still(node: ast.stmt, value: Any) -> bool:
    """Whether a statement without names gives the variable the value that it has."""
    expression = getattr(node, "value", None)
    if not isinstance(expression, ast.expr) or used_in(ast.unparse(expression)).ever:
        return False
    if any(isinstance(part, ast.Call | ast.Await | ast.Attribute) for part in ast.walk(expression)):
        return False
    code = compile(ast.Expression(expression), "constant", "eval")
    return is_same(eval(code, {"__builtins__": {}}), value)  # noqa: S307 - it has run before, and uses no names


def is_made_anew(node: ast.stmt, names: Mapping[str, Any]) -> bool:
    """Whether a statement makes the same value at any time: of literals, and of classes that are called."""
    todo: list[ast.AST] = [node.value] if isinstance(node, ast.Assign | ast.AnnAssign) and node.value else []
    is_anew = bool(todo)
    while todo:
        part = todo.pop()
        if isinstance(part, ast.Name | ast.Attribute):
            is_anew &= isinstance(_named(part, names), type | enum.Enum)
        elif isinstance(part, ast.Call) and not isinstance(part.func, ast.Name | ast.Attribute):
            return False
        elif isinstance(part, _LITERALS):
            todo += ast.iter_child_nodes(part)
        else:
            return False
    return is_anew


def _named(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The value of a name, or of what a module or class has."""
    if isinstance(node, ast.Name):
        return names.get(node.id, getattr(builtins, node.id, None))
    owner = _named(node.value, names) if isinstance(node, ast.Attribute) else None
    return getattr(owner, node.attr, None) if isinstance(owner, type | types.ModuleType) else None  # type: ignore[attr-defined]
