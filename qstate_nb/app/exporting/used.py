"""The names that a piece of source uses, and which of them it needs at once."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator

import msgspec

_COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")


class Used(msgspec.Struct, frozen=True):
    """Names of variables of the module around it.

    Args:
        at_once: what must be there when it is run: decorators, defaults, bases, what the body of a class uses.
        early: as *at_once*, and what annotations name, which may be evaluated as late as at their first use.
        ever: all, in the order of the alphabet.
        texts: the texts in it.
    """

    at_once: frozenset[str]
    early: frozenset[str]
    ever: tuple[str, ...]
    texts: frozenset[str]


def used_in(source: str) -> Used:
    """The names that top-level statements use.

    Example:
        >>> used = used_in("def step(state: 'Signup', n: int = LIMIT): return helper(state)")
        >>> used.ever, sorted(used.at_once)
        (('LIMIT', 'Signup', 'helper', 'int'), ['LIMIT'])
    """
    tree = ast.parse(source)
    texts = frozenset(
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    annotated = frozenset(name for text in _annotation_texts(tree) for name in _names_in_text(text))
    table = symtable.symtable(source, "source", "exec")
    ever = frozenset(_globals(table, inside=True)) | annotated | frozenset(_counted(table, tree))
    early = frozenset(_globals(table, inside=False)) | annotated
    bare = ast.unparse(ast.fix_missing_locations(_WithoutAnnotations().visit(tree)))
    at_once = frozenset(_globals(symtable.symtable(bare, "source", "exec"), inside=False))
    return Used(at_once, early, tuple(sorted(ever)), texts)


def _globals(table: symtable.SymbolTable, *, inside: bool) -> Iterator[str]:
    """The global names that a table refers to; *inside* functions as well."""
    is_module = table.get_type() == "module"
    for symbol in table.get_symbols():
        is_theirs = not symbol.is_assigned() if is_module else symbol.is_global()
        if symbol.is_referenced() and is_theirs:
            yield symbol.get_name()
    for child in table.get_children():
        if inside or not _is_function(child):
            yield from _globals(child, inside=inside)


def _counted(table: symtable.SymbolTable, tree: ast.AST) -> Iterator[str]:
    """The global names that functions change by ``+=`` and the like, which to a symbol table is no use of them."""
    changed = {node.target.id for node in ast.walk(tree) if _is_count(node)}  # type: ignore[attr-defined]
    todo = table.get_children()
    while todo:
        child = todo.pop()
        todo += child.get_children()
        yield from (
            name
            for symbol in child.get_symbols()
            if symbol.is_declared_global() and (name := symbol.get_name()) in changed
        )


def _is_count(node: ast.AST) -> bool:
    return isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)


def _is_function(table: symtable.SymbolTable) -> bool:
    """Whether it runs later: comprehensions run at once."""
    return str(table.get_type()) == "function" and table.get_name() not in _COMPREHENSIONS


class _WithoutAnnotations(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(ast.copy_location(ast.Assign([node.target], node.value), node))


def _annotation_texts(tree: ast.AST) -> Iterator[str]:
    """The annotations that are written as text, or have text in them."""
    for node in ast.walk(tree):
        annotations = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        for annotation in annotations:
            if isinstance(annotation, ast.expr):
                yield from _texts_in(annotation)


def _texts_in(node: ast.expr) -> Iterator[str]:
    """The texts that stand for types: not those in a Literal, or in a call such as ``Scope("chat_id")``."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.value
    elif isinstance(node, ast.Subscript):
        if not ast.unparse(node.value).endswith("Literal"):
            yield from _texts_in(node.slice)
    elif not isinstance(node, ast.Call):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from _texts_in(child)


def _names_in_text(text: str) -> Iterator[str]:
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return
    yield from (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    yield from (name for inner in _texts_in(tree.body) for name in _names_in_text(inner) if inner != text)
