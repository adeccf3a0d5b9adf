"""What the panel's widgets have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import ipywidgets as widgets

from qstate_nb.notebook.render import escape


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


def problem_html(problem: object) -> str:
    """What is wrong, in the colour of errors."""
    return f'<span class="qstate-problem">{escape(str(problem))}</span>'


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
