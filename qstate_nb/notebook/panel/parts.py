"""What the panel's widgets have in common."""

from __future__ import annotations

import enum
from typing import Any, Final, Protocol

from qstate_nb.notebook.render import escape


class NoChoice(enum.Enum):
    """The value of a menu's first option: ipywidgets would take None for a menu in which nothing is shown."""

    NO_CHOICE = "nothing chosen"


NO_CHOICE: Final = NoChoice.NO_CHOICE
"""What a menu has for a value when its first option is chosen."""


class Part(Protocol):
    """A part of the panel.

    Attributes:
        box: its widget.
    """

    box: Any

    def draw(self) -> None:
        """Bring it up to date."""


def change(thing: Any, name: str, value: object) -> None:
    """Give a trait a value, if it has another: each that is given is sent to the browser."""
    if getattr(thing, name) != value:
        setattr(thing, name, value)


def quiet_html(text: str) -> str:
    """Text in a quiet colour."""
    return f'<span class="qstate-quiet">{escape(text)}</span>'


def problem_html(problem: object) -> str:
    """What is wrong, as a block in the colour of errors; a screen reader says it at once."""
    return f'<div class="qstate-problem" role="alert">{escape(str(problem))}</div>'


def all_below(box: Any) -> list[Any]:
    """The widgets inside a box, outer ones first."""
    found = []
    for child in getattr(box, "children", ()):
        found += [child, *all_below(child)]
    return found


def close_all(box: Any) -> None:
    """Close a box and what is inside, but not what it shares with others."""
    for widget in [*reversed(all_below(box)), box]:
        widget.close()
