"""What the panel's widgets have in common."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final, Protocol

import ipywidgets as widgets

from qstate_nb.notebook.render import escape


class NoChoice(enum.Enum):
    """The value of a menu's first option: ipywidgets would take None for a menu in which nothing is shown."""

    NO_CHOICE = "nothing chosen"


NO_CHOICE: Final = NoChoice.NO_CHOICE
"""What a menu has for a value when its first option is chosen."""


LABEL: Final = {"description_width": "initial"}
"""The style of a control whose label has the room that it needs."""

ROW: Final = {"flex_flow": "row wrap", "align_items": "center"}
"""The layout of controls beside each other."""


class Part(Protocol):
    """A part of the panel.

    Attributes:
        box: its widget.
    """

    box: Any

    def draw(self) -> None:
        """Bring it up to date."""


def button(name: str, icon: str, tooltip: str, do: Callable[[], object]) -> Any:
    """A button that calls *do*."""
    made = widgets.Button(description=name, icon=icon, tooltip=tooltip, layout={"width": "auto"})
    made.on_click(lambda _: do())
    return made


def change(thing: Any, name: str, value: object) -> None:
    """Give a trait a value, if it has another: each that is given is sent to the browser."""
    if getattr(thing, name) != value:
        setattr(thing, name, value)


def display(widget: Any, is_shown: bool) -> None:
    """Show or hide a widget."""
    change(widget.layout, "display", None if is_shown else "none")


def quiet_html(text: str) -> str:
    """Text in a quiet colour."""
    return f'<span class="qstate-quiet">{escape(text)}</span>'


def problem_html(problem: object) -> str:
    """What is wrong, as a block in the colour of errors; a screen reader says it at once."""
    return f'<div class="qstate-problem" role="alert">{escape(str(problem))}</div>'


def scrolling(name: str, height: str = "none") -> Any:
    """Room for HTML that scrolls, also by keyboard, and stays where it is when the HTML changes.

    Args:
        name: what it is, for screen readers.
        height: at most so high.
    """
    return widgets.HTML(tabbable=True, tooltip=name, layout={"overflow": "auto", "max_height": height})


def all_below(box: Any) -> list[Any]:
    """The widgets inside a box, outer ones first."""
    found = []
    for child in getattr(box, "children", ()):
        found += [child, *all_below(child)]
    return found


def close_all(box: Any) -> None:
    """Close a box and what is inside, with the layouts and styles that were made for them."""
    for widget in [*reversed(all_below(box)), box]:
        for part in (widget, widget.layout, getattr(widget, "style", None)):
            if isinstance(part, widgets.Widget):
                part.close()
