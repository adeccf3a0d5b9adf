"""Widgets by the hundred: they share what they can, and are kept to be used again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import ipywidgets as widgets
from ipywidgets.widgets.widget_string import HTMLStyle, TextStyle

from qstate_nb.notebook.panel.parts import change

T = TypeVar("T")


class Looks:
    """Makes widgets that share their layouts and styles, as each of those is sent to the browser like a widget."""

    def __init__(self) -> None:
        self._hidden = widgets.Layout(display="none")
        self._box_layout = widgets.Layout()
        self._button_layout = widgets.Layout(width="auto")
        self._text_layout = widgets.Layout(width="auto", flex="1 1 9em")
        self._button_style = widgets.ButtonStyle()
        self._html_style = HTMLStyle()
        self._text_style = TextStyle(description_width="initial")
        self._layouts: dict[str, Any] = {}  # of each widget while it is shown
        self._made: list[Any] = []

    def _keep(self, widget: Any, css: str) -> Any:
        for name in css.split():
            widget.add_class(name)
        self._layouts[widget.model_id] = widget.layout
        self._made.append(widget)
        return widget

    def html(self, value: str = "", css: str = "") -> Any:
        """A piece of HTML."""
        return self._keep(widgets.HTML(value, layout=self._box_layout, style=self._html_style), css)

    def button(self, name: str, tooltip: str, do: Callable[[], object], css: str = "", icon: str = "") -> Any:
        """A button that calls *do*."""
        made = widgets.Button(
            description=name, tooltip=tooltip, icon=icon, layout=self._button_layout, style=self._button_style
        )
        made.on_click(lambda _: do())
        return self._keep(made, css)

    def text(self, name: str, placeholder: str, do: Callable[[str], object], *, at_once: bool = True) -> Any:
        """A field for text that calls *do* with it: with each letter, or when it is left or Enter is pressed."""
        made = widgets.Text(
            description=name,
            placeholder=placeholder,
            continuous_update=at_once,
            layout=self._text_layout,
            style=self._text_style,
        )
        made.observe(lambda found: do(found["new"]), "value")
        return self._keep(made, "")

    def row(self, children: Sequence[Any], css: str = "") -> Any:
        """Widgets beside each other."""
        return self._keep(widgets.HBox(children, layout=self._box_layout), css)

    def column(self, children: Sequence[Any], css: str = "") -> Any:
        """Widgets below each other."""
        return self._keep(widgets.VBox(children, layout=self._box_layout), css)

    def show(self, widget: Any, is_shown: bool) -> None:
        """Show or hide a widget."""
        change(widget, "layout", self._layouts[widget.model_id] if is_shown else self._hidden)

    def is_shown(self, widget: Any) -> bool:
        """Whether a widget is not hidden."""
        return widget.layout is not self._hidden

    def close(self) -> None:
        """Close all of them, and what they share."""
        shared = [part for part in vars(self).values() if isinstance(part, widgets.Widget)]
        for widget in [*reversed(self._made), *shared]:
            widget.close()


def mark(widget: Any, css: str, is_marked: bool) -> None:
    """Give a widget a class, or take it away."""
    (widget.add_class if is_marked else widget.remove_class)(css)


def placed(items: Sequence[T], held: Mapping[int, T]) -> list[T | None]:
    """Items in order, but for those that have a place already; None where there is nothing to put.

    Example:
        >>> placed(["new", "a", "b"], {1: "b"}), placed(["b"], {1: "b"})
        (['new', 'b', 'a'], [None, 'b'])
    """
    others = iter([item for item in items if item not in held.values()])
    size = max(len(items), *(place + 1 for place in held), 0)
    return [held[place] if place in held else next(others, None) for place in range(size)]
