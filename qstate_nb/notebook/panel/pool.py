"""The panel's widgets: they share what they can, are sent when they are to be seen, and are kept to be used again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeVar

import ipywidgets as widgets

from qstate_nb.notebook.panel.parts import change

T = TypeVar("T")

LABEL: Final = {"description_width": "initial"}
"""The style of a control whose label has the room that it needs."""

ROW: Final = {"flex_flow": "row wrap", "align_items": "center"}
"""The layout of controls beside each other."""

AUTO: Final = {"width": "auto"}
"""The layout of what is as wide as it needs to be, or may be."""

_WIDE: Final = {"width": "auto", "flex": "1 1 9em"}


class _Late:
    """A widget that is sent to the browser when one that is there has it for a part.

    So one that nobody has seen yet costs no message, and neither does what is changed in it.

    Attributes:
        looks: what has made it; None until it is made.
    """

    looks: Looks | None = None
    comm: Any
    _model_id: str | None

    def open(self) -> None:
        """Send it; a widget calls this as it is made, too, which is too early."""
        if self.looks is not None:
            with self.looks.lock:
                super().open()  # type: ignore[misc]
                self.looks.sent[self._model_id] = self

    def close(self) -> None:
        """Take it away."""
        if self.looks is not None:
            self.looks.sent.pop(self._model_id, None)
        super().close()  # type: ignore[misc]

    @property
    def model_id(self) -> str | None:
        """Its name in the browser; who asks for that is about to send it."""
        if self.comm is None and self._model_id is None:  # or else it was sent, and is closed by now
            self.open()
        name: str | None = super().model_id  # type: ignore[misc]
        return name


@cache
def _late(kind: type) -> tuple[Callable[..., Any], type | None]:
    """Widgets of this kind that are sent late, and the kind of their style."""
    style = getattr(kind, "style", None)
    return type(kind.__name__, (_Late, kind), {"__module__": __name__}), getattr(style, "klass", None)


class Looks:
    """Makes widgets that share their layouts and styles, as each of those is sent to the browser like a widget.

    Attributes:
        sent: those that the browser has, by their names there.
        lock: is held while one is sent, or all are closed.
    """

    def __init__(self) -> None:
        self.sent: dict[str | None, Any] = {}
        self.lock = threading.RLock()
        self._shared: dict[object, Any] = {}

    def _share(self, kind: type, traits: Mapping[str, Any]) -> Any:
        key = (kind, *sorted(traits.items()))
        with self.lock:
            if key not in self._shared:
                self._shared[key] = self._made(_late(kind)[0](**traits))
            return self._shared[key]

    def _made(self, widget: Any) -> Any:
        widget.looks = self
        return widget

    def make(
        self,
        kind: type,
        *args: Any,
        css: str = "",
        layout: Mapping[str, str] | None = None,
        style: Mapping[str, str] | None = None,
        **traits: Any,
    ) -> Any:
        """A widget of any kind of ipywidgets'.

        Args:
            args, traits: as for *kind*.
            css: the names of its classes.
            layout, style: not to be changed later, but by `show` and `arrange`, as others have them, too.
        """
        late, style_kind = _late(kind)
        if style_kind is not None:
            traits["style"] = self._share(style_kind, style or {})
        made = self._made(late(*args, layout=self._share(widgets.Layout, layout or {}), **traits))
        made.layout_when_shown = made.layout
        for name in css.split():
            made.add_class(name)
        return made

    def html(self, value: str = "", css: str = "", **layout: str) -> Any:
        """A piece of HTML."""
        return self.make(widgets.HTML, value, css=css, layout=layout)

    def scrolling(self, name: str, height: str = "none") -> Any:
        """Room for HTML that scrolls, also by keyboard, and stays where it is when the HTML changes.

        Args:
            name: what it is, for screen readers.
            height: at most so high.
        """
        layout = {"overflow": "auto", "max_height": height}
        return self.make(widgets.HTML, tabbable=True, tooltip=name, layout=layout)

    def button(
        self,
        name: str,
        tooltip: str,
        do: Callable[[], object],
        css: str = "",
        *,
        icon: str = "",
        button_style: str = "",
    ) -> Any:
        """A button that calls *do*."""
        made = self.make(
            widgets.Button,
            description=name,
            tooltip=tooltip,
            icon=icon,
            css=css,
            layout=AUTO,
            button_style=button_style,
        )
        made.on_click(lambda _: do())
        return made

    def text(
        self,
        name: str,
        placeholder: str,
        do: Callable[[str], object],
        *,
        at_once: bool = True,
        layout: Mapping[str, str] = _WIDE,
    ) -> Any:
        """A field for text that calls *do* with it: with each letter, or when it is left or Enter is pressed."""
        made = self.make(
            widgets.Text,
            description=name,
            placeholder=placeholder,
            continuous_update=at_once,
            layout=layout,
            style=LABEL,
        )
        made.observe(lambda found: do(found["new"]), "value")
        return made

    def menu(self, name: str, options: Sequence[tuple[str, object]], **layout: str) -> Any:
        """A menu that shows its first option."""
        return self.make(
            widgets.Dropdown, options=options, value=options[0][1], description=name, style=LABEL, layout=layout
        )

    def tick(self, name: str, *, is_set: bool = False) -> Any:
        """A box to tick."""
        return self.make(widgets.Checkbox, is_set, description=name, indent=False, layout=AUTO)

    def row(self, children: Sequence[Any], css: str = "", **layout: str) -> Any:
        """Widgets beside each other."""
        return self.make(widgets.HBox, children, css=css, layout=layout)

    def column(self, children: Sequence[Any], css: str = "", **layout: str) -> Any:
        """Widgets below each other."""
        return self.make(widgets.VBox, children, css=css, layout=layout)

    def show(self, widget: Any, is_shown: bool) -> None:
        """Show or hide a widget."""
        hidden = self._share(widgets.Layout, {"display": "none"})
        change(widget, "layout", widget.layout_when_shown if is_shown else hidden)

    def arrange(self, widget: Any, **layout: str) -> None:
        """Give a widget that is shown another layout."""
        widget.layout_when_shown = self._share(widgets.Layout, layout)
        self.show(widget, is_shown=True)

    def is_shown(self, widget: Any) -> bool:
        """Whether a widget is not hidden."""
        return widget.layout is widget.layout_when_shown

    def close(self) -> None:
        """Close all of them, and what they share."""
        with self.lock:
            for widget in reversed(list(self.sent.values())):
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
