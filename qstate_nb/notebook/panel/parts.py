"""What the panel's widgets have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from qstate_nb.notebook.render import escape


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
    return f'<span style="color:var(--jp-error-color1,#c00)">{escape(str(problem))}</span>'
