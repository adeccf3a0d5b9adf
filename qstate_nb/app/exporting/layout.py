"""Python expressions as trees of text, and how they are laid out over lines: as Black and Ruff do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

WIDTH = 88
_INDENT = 4


class Text(msgspec.Struct, frozen=True):
    """What is not broken over lines."""

    text: str


class Name(msgspec.Struct, frozen=True, eq=False):
    """How a class or function is called where the expression stands.

    Args:
        what: the object.
        rest: what comes after its name.
    """

    what: object
    rest: str = ""


class Item(msgspec.Struct, frozen=True):
    """One of the things in brackets.

    Args:
        value: the thing.
        key: what is before it, with ``separator`` between the two.
    """

    value: Node
    key: Node | None = None
    separator: str = ": "


class Group(msgspec.Struct, frozen=True):
    """Things in brackets.

    Args:
        opening, closing: the brackets.
        items: what is in them.
        head: what is called, if it is a call.
        is_tuple: whether a single thing needs a comma.
    """

    opening: str
    items: Sequence[Item]
    closing: str
    head: Node | None = None
    is_tuple: bool = False


Node: TypeAlias = "Text | Name | Group"
NameOf: TypeAlias = Callable[[object], str]


def call(function: str | object, *arguments: Node, **named: Node) -> Group:
    """A call.

    Args:
        function: its text, or the object that is called.
    """
    items = [*map(Item, arguments), *(Item(value, Text(name), "=") for name, value in named.items())]
    return Group("(", items, ")", Text(function) if isinstance(function, str) else Name(function))


def collection(opening: str, values: Sequence[Node], closing: str) -> Group:
    """A list, set or tuple."""
    return Group(opening, [*map(Item, values)], closing, is_tuple=opening == "(")


def names_in(node: Node) -> list[object]:
    """The objects that an expression names, in the order in which they are there.

    Example:
        >>> names_in(call(int, Text("1")))
        [<class 'int'>]
    """
    found: list[object] = []
    todo: list[Node | None] = [node]
    while todo:
        part = todo.pop()
        if isinstance(part, Name):
            found.append(part.what)
        elif isinstance(part, Group):
            for item in reversed(part.items):
                todo += [item.value, item.key]
            todo.append(part.head)
    return found


class Layout:
    """Makes text of expressions.

    Args:
        name_of: what an object is called.
        width: the longest line, if it can be helped.
    """

    def __init__(self, name_of: NameOf, width: int = WIDTH) -> None:
        self._name_of = name_of
        self._width = width

    def flat(self, node: Node) -> str:
        """An expression on one line.

        Example:
            >>> Layout(str).flat(collection("(", [Text("1")], ")"))
            '(1,)'
        """
        if isinstance(node, Text):
            return node.text
        if isinstance(node, Name):
            return f"{self._name_of(node.what)}{node.rest}"
        items = ", ".join(f"{self._before(item)}{self.flat(item.value)}" for item in node.items)
        comma = "," if node.is_tuple and len(node.items) == 1 else ""
        return f"{self._opening(node)}{items}{comma}{node.closing}"

    def _before(self, item: Item) -> str:
        return "" if item.key is None else f"{self.flat(item.key)}{item.separator}"

    def _opening(self, group: Group) -> str:
        return f"{'' if group.head is None else self.flat(group.head)}{group.opening}"

    def statement(self, before: str, node: Node, *, indent: int = 0) -> list[str]:
        """The lines of a statement that an expression ends, such as ``x = …`` or ``assert x == …``.

        Example:
            >>> numbers = collection("[", [Text("1" * 50), Text("2" * 50)], "]")
            >>> print(*Layout(str).statement("x = ", numbers, indent=4), sep=chr(10))
                x = [
                    11111111111111111111111111111111111111111111111111,
                    22222222222222222222222222222222222222222222222222,
                ]
        """
        margin = " " * indent
        text = f"{margin}{before}{self.flat(node)}"
        if len(text) <= self._width:
            return [text]
        if before.startswith("assert ") and before.endswith(" == ") and not (isinstance(node, Group) and node.items):
            inside = " " * (indent + _INDENT)
            left = before.removeprefix("assert ").removesuffix(" == ")
            return [f"{margin}assert (", f"{inside}{left}", f"{inside}== {self.flat(node)}", f"{margin})"]
        first, *others = self._lines(node, indent, indent + len(before), 0)
        return [f"{margin}{before}{first}", *others]

    def _lines(self, node: Node, indent: int, used: int, after: int) -> list[str]:
        """An expression, the first line without its margin.

        Args:
            indent: of the line where it begins.
            used: the columns before it.
            after: the columns that are needed after it.
        """
        flat = self.flat(node)
        if not isinstance(node, Group) or not node.items or used + len(flat) + after <= self._width:
            return [flat]
        inside = indent + _INDENT
        margin = " " * inside
        whole = ", ".join(f"{self._before(item)}{self.flat(item.value)}" for item in node.items)
        if node.head is not None and inside + len(whole) <= self._width:
            lines = [margin + whole]
        else:
            comma = "," if len(node.items) > 1 or node.is_tuple else ""
            lines = [line for item in node.items for line in self._item_lines(item, inside, comma)]
        return [self._opening(node), *lines, f"{' ' * indent}{node.closing}"]

    def _item_lines(self, item: Item, indent: int, comma: str) -> list[str]:
        before = self._before(item)
        first, *others = self._lines(item.value, indent, indent + len(before), len(comma))
        lines = [f"{' ' * indent}{before}{first}", *others]
        return [*lines[:-1], lines[-1] + comma]
