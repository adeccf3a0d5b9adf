"""The order of definitions."""

from __future__ import annotations

import re

from qstate_nb.app.exporting.definitions import Definition, in_order, joined
from qstate_nb.app.exporting.layout import Text
from qstate_nb.app.exporting.used import used_in


def definitions(*sources: str) -> list[Definition]:
    """Definitions whose name is one letter, in the order of their places."""
    names = [re.search(r"(?:def|class) (\w)", source) for source in sources]
    return [
        Definition(name[1] if name else "", (0, place), source, used_in(source))
        for place, (name, source) in enumerate(zip(names, sources, strict=True))
    ]


def order(*sources: str) -> list[str]:
    return [each.name for each in in_order(reversed(definitions(*sources)))]


def test_the_order_of_the_places_is_kept() -> None:
    assert order("def c(): return a", "def a(): return b", "def b(): return c") == ["c", "a", "b"]


def test_what_is_needed_at_once_comes_first() -> None:
    assert order("@b\ndef c(): pass", "def b(x=A): pass", "def a(): pass") == ["b", "c", "a"]
    assert order("class c(b): pass", "class b(a): pass", "class a: pass") == ["a", "b", "c"]


def test_annotations_come_first_if_that_can_be() -> None:
    assert order("def c(x: a): pass", "class a: pass") == ["a", "c"]
    assert order("def c(x: a, y=b): pass", "class a(b): z: c", "class b: pass") == ["b", "c", "a"]


def test_what_needs_itself_is_no_obstacle() -> None:
    assert order("class c: x: c", "class b: pass") == ["c", "b"]


def test_blank_lines_are_as_black_has_them() -> None:
    assert joined([], ["x = 1"]) == "x = 1"
    assert joined(["import a"], ["def f(): pass", "x = 1"]) == "import a\n\n\ndef f(): pass\n\n\nx = 1"
    assert Definition("a", (0, 0), Text("1"), used_in("")).text(str) == "a = 1"
