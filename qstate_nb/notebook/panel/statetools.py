"""What a long part of State has for a heading: a text to look for in it, and its pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qstate_nb.core.keys import StateKey
from qstate_nb.notebook.panel.bucketrows import Page
from qstate_nb.notebook.panel.folds import Id
from qstate_nb.notebook.panel.parts import change
from qstate_nb.notebook.panel.pool import Looks
from qstate_nb.notebook.render import escape


class Tools:
    """What is needed where there is much: a text to look for, and pages.

    Args:
        filter_by: is called with a text that was typed.
        turn: is called with how many pages to go forth or, if negative, back.

    Attributes:
        box: all of it.
    """

    def __init__(self, looks: Looks, filter_by: Callable[[str], object], turn: Callable[[int], object]) -> None:
        self._looks = looks
        self._what: Id | None = None
        self._filter = looks.text("filter", "", self._typed)
        self._filter_by = filter_by
        self._page = looks.html(css="qstate-page")
        self._back = looks.button("Previous", "", lambda: turn(-1), "qstate-small")
        self._next = looks.button("Next", "", lambda: turn(1), "qstate-small")
        self.box = looks.row([self._filter, self._page, self._back, self._next], "qstate-tools")

    def _typed(self, text: str) -> None:
        if self._what is not None:
            self._filter_by(text)

    def show(self, what: Id, text: str | None, page: Page | None) -> None:
        """Show the text, and which page there is."""
        self._looks.show(self.box, text is not None or page is not None)
        if what != self._what:  # else it is as it was typed, or will be
            self._what = None
            change(self._filter, "value", text or "")
            self._what = what
        change(self._filter, "description", "filter keys" if isinstance(what, StateKey) else "filter scopes")
        self._looks.show(self._filter, text is not None)
        show_page(self._looks, page, self._page, self._back, self._next)


def show_page(looks: Looks, page: Page | None, text: Any, back: Any, forth: Any) -> None:
    """Say which page there is, and let one turn it."""
    for widget in (text, back, forth):
        looks.show(widget, page is not None)
    if page is not None:
        change(text, "value", f"<span>{escape(page.text)}</span>")
        for button, name, is_there in ((back, "previous", page.has_previous), (forth, "next", page.has_next)):
            change(button, "tooltip", f"Show the {name} {page.noun}")
            change(button, "disabled", not is_there)
