"""What is defined in a module that is written: functions, classes and variables, in an order in which it runs."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from qstate_nb.app.exporting.layout import Layout, NameOf, Node
from qstate_nb.app.exporting.used import Used


class Definition(msgspec.Struct, frozen=True):
    """What gives a name its value.

    Args:
        name: the name.
        place: where it was, to sort by.
        content: its source, or the expression for its value.
        used: the names that it uses.
    """

    name: str
    place: tuple[int, int]
    content: str | Node
    used: Used

    def text(self, name_of: NameOf) -> str:
        """Its source."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(Layout(name_of).statement(f"{self.name} = ", self.content))


def in_order(definitions: Iterable[Definition]) -> list[Definition]:
    """In the order of their places, but what is needed at once comes before what needs it."""
    left = sorted(definitions, key=lambda each: (each.place, each.name))
    done: list[Definition] = []
    while left:
        names = {each.name for each in left}
        ready = [each for each in left if not (each.used.early & names - {each.name})]
        ready = ready or [each for each in left if not (each.used.at_once & names - {each.name})] or left
        done.append(ready[0])
        left.remove(ready[0])
    return done


def joined(imports: Iterable[str], texts: Iterable[str]) -> str:
    """The text of a module: its imports and its definitions, with blank lines as Black has them.

    Example:
        >>> joined(["import os"], ["x = 1", "y = 2", "def f(): pass"]).splitlines()
        ['import os', '', 'x = 1', 'y = 2', '', '', 'def f(): pass']
    """
    whole = "\n".join(imports)
    was_block: bool | None = None  # after the imports
    for text in texts:
        is_block = text.startswith(("def ", "class ", "async ", "@"))
        gap = 3 if is_block or was_block else 2 if was_block is None else 1
        whole += "\n" * (gap if whole else 0) + text
        was_block = is_block
    return whole
