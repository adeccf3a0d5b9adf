"""The widgets of a bucket: its heading, and a row for each of its keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from qstate_nb.core.keys import StateKey
from qstate_nb.notebook.panel.bucketrows import BucketView, Row, Section
from qstate_nb.notebook.panel.folds import Id
from qstate_nb.notebook.panel.parts import change
from qstate_nb.notebook.panel.pool import Looks, mark, placed
from qstate_nb.notebook.panel.statetools import Tools
from qstate_nb.notebook.render import escape

Pin = tuple[StateKey, str | None]

_COLUMNS = (
    '<div class="qstate-columns"><span>key</span><span>value</span>'
    '<span class="qstate-about"><span>type</span><span>changed by</span></span></div>'
)


class Actions(Protocol):
    """What a click in a bucket does."""

    def fold(self, what: Id) -> None:
        """Fold or unfold a bucket or group."""

    def turn(self, what: Id, pages: int) -> None:
        """Turn its pages."""

    def filter(self, what: Id, text: str) -> None:
        """Look for a text in it."""

    def unfold(self, key: StateKey, field: str) -> None:
        """Fold or unfold a value."""

    def edit(self, row: RowBox) -> None:
        """Edit a value."""

    def add(self, section: SectionBox) -> None:
        """Add a key."""

    def delete(self, key: StateKey, field: str) -> None:
        """Delete a key, when it was asked twice."""

    def clear(self, key: StateKey) -> None:
        """Delete all keys, when it was asked twice."""

    def row(self) -> RowBox:
        """A row that nobody uses."""

    def give_back(self, row: RowBox) -> None:
        """Take back a row."""


class RowBox:
    """A key, its value, and what can be done with it.

    Attributes:
        at: what it shows.
    """

    def __init__(self, looks: Looks, actions: Actions) -> None:
        self.at: tuple[StateKey, str] | None = None
        self._looks = looks
        self._actions = actions
        self._key = looks.html(css="qstate-key")
        self._value = looks.html(css="qstate-value")
        self._about = looks.html(css="qstate-about-cell")
        self._unfold = looks.button("▸ Unfold", "", self._on_unfold, "qstate-small")
        self._edit = looks.button("Edit", "", lambda: actions.edit(self), "qstate-small")
        self._delete = looks.button("Delete", "", self._on_delete, "qstate-small")
        self._buttons = looks.row([self._unfold, self._edit, self._delete], "qstate-actions")
        self._parts = (self._key, self._value, self._about, self._buttons)
        self.box = looks.row(self._parts, "qstate-row")

    def _on_unfold(self) -> None:
        if self.at is not None:
            self._actions.unfold(*self.at)

    def _on_delete(self) -> None:
        if self.at is not None:
            self._actions.delete(*self.at)

    def show(self, key: StateKey, row: Row | None, *, is_asked: bool) -> None:
        """Show a row, or nothing.

        Args:
            is_asked: whether the next click on Delete deletes it.
        """
        self.at = None if row is None else (key, row.field)
        self._looks.show(self.box, row is not None)
        if row is None:
            return
        name = f"{key}.{row.name}"
        change(self._key, "value", _key_html(row))
        change(self._value, "value", _value_html(row))
        change(self._about, "value", _about_html(row))
        mark(self.box, "qstate-marked", row.is_last)
        self._looks.show(self._unfold, row.can_unfold)
        change(self._unfold, "description", "▾ Fold" if row.is_open else "▸ Unfold")
        change(self._unfold, "tooltip", f"{'Fold' if row.is_open else 'Unfold'} the value of {name}")
        self._looks.show(self._edit, not row.is_gone)
        change(self._edit, "tooltip", f"Edit {name}")
        self._looks.show(self._delete, not (row.is_gone or row.is_default))
        change(self._delete, "description", "Really delete?" if is_asked else "Delete")
        change(self._delete, "tooltip", f"{'Click again to delete' if is_asked else 'Delete'} {name}")
        mark(self._delete, "qstate-asked", is_asked)

    def hold(self, editor: Any | None) -> None:
        """Put an editor in place of the value and all behind it, or take it out."""
        mark(self.box, "qstate-editing", editor is not None)
        change(self.box, "children", self._parts if editor is None else (*self._parts, editor))

    def focus(self) -> None:
        """Give the button back the focus that the editor had."""
        self._edit.focus()

    def focus_delete(self) -> bool:
        """Give the focus to the button Delete; False if there is none."""
        is_there = self._looks.is_shown(self.box) and self._looks.is_shown(self._delete)
        if is_there:
            self._delete.focus()
        return is_there


def _key_html(row: Row) -> str:
    sign = '<span class="qstate-sign">●</span> ' if row.is_last else ""
    return f'<span class="qstate-code">{sign}{escape(row.name)}</span>'


def _value_html(row: Row) -> str:
    text = f'<span class="qstate-code">{escape(row.value)}</span>'
    if row.is_unreadable:
        text = f'<span class="qstate-problem">{escape(row.value)}</span>'
    if row.is_gone:
        return f'<span class="qstate-quiet">{escape(row.value)}</span>'
    if not row.is_open:
        return text
    return f'<div class="qstate-tree">{text}{row.tree}</div>'


def _about_html(row: Row) -> str:
    last = " <b>last change</b>" if row.is_last else ""
    kind = f'<span class="qstate-label">type </span>{escape(row.kind)}' if row.kind else ""
    by = f'<span class="qstate-label">changed by </span>{escape(row.by)}{last}' if row.by else ""
    return f'<div class="qstate-about"><span>{kind}</span><span>{by}</span></div>'


class SectionBox:
    """A bucket, or the heading over the scopes of a State class.

    Attributes:
        section: what it shows.
    """

    def __init__(self, looks: Looks, actions: Actions) -> None:
        self.section: Section | None = None
        self._looks = looks
        self._actions = actions
        self._fold = looks.button("", "", self._on_fold, "qstate-fold")
        self._info = looks.html(css="qstate-info")
        self._add = looks.button("Add", "", lambda: actions.add(self), "qstate-small")
        self._clear = looks.button("Clear", "", self._on_clear, "qstate-small")
        self._head = looks.row([self._fold, self._info, self._add, self._clear], "qstate-bucket")
        self._tools: Tools | None = None
        self._columns: Any = None
        self._list: Any = None
        self._editor: Any = None
        self.rows: list[RowBox] = []
        self.box = looks.column([self._head])

    def _on_fold(self) -> None:
        if self.section is not None:
            self._actions.fold(self.section.id)

    def _on_clear(self) -> None:
        if isinstance(self.section, BucketView):
            self._actions.clear(self.section.id)

    def show(self, section: Section | None, pins: frozenset[Pin], asked: Pin | None) -> None:
        """Show a bucket or group, or nothing.

        Args:
            pins: which fields keep their rows.
            asked: what the next click on Delete or Clear deletes.
        """
        self.section = section
        self._looks.show(self.box, section is not None)
        if section is None:
            self._show_rows([], pins, asked)
            self._arrange()
            return
        self._show_head(section, asked)
        if self._tools is None and (section.page is not None or section.filter is not None):
            self._tools = Tools(self._looks, self.filter, self.turn)
        if self._tools is not None:
            self._tools.show(section.id, section.filter, section.page)
        is_inside = isinstance(section, BucketView) and section.is_inside
        mark(self.box, "qstate-inside", is_inside)
        self._show_rows(section.rows if isinstance(section, BucketView) else [], pins, asked)
        self._arrange()

    def _show_head(self, section: Section, asked: Pin | None) -> None:
        title, is_bucket = section.title, isinstance(section, BucketView)
        change(self._fold, "description", f"{'▾' if section.is_open else '▸'} {title}")
        change(self._fold, "tooltip", f"{'Fold' if section.is_open else 'Unfold'} {title}")
        change(self._info, "value", _info_html(section))
        self._looks.show(self._add, is_bucket)
        change(self._add, "tooltip", f"Add a key to {title}")
        is_empty = not isinstance(section, BucketView) or section.is_empty
        is_asked = is_bucket and asked == (section.id, None)
        self._looks.show(self._clear, not is_empty)
        change(self._clear, "description", f"Really delete {section.count}?" if is_asked else "Clear")
        change(self._clear, "tooltip", f"{'Click again to delete' if is_asked else 'Delete'} all keys of {title}")
        mark(self._clear, "qstate-asked", is_asked)

    def _show_rows(self, rows: Sequence[Row], pins: frozenset[Pin], asked: Pin | None) -> None:
        key = self.section.id if self.section is not None else None
        if not isinstance(key, StateKey):
            rows = []
        by_field = {row.field: row for row in rows}
        held = {
            place: by_field[box.at[1]]
            for place, box in enumerate(self.rows)
            if box.at is not None and box.at in pins and box.at[0] == key and box.at[1] in by_field
        }
        wanted = placed(rows, held)
        while len(self.rows) > len(wanted):
            self._actions.give_back(self.rows.pop())
        while len(self.rows) < len(wanted):
            self.rows.append(self._actions.row())
        if isinstance(key, StateKey):
            for box, row in zip(self.rows, wanted, strict=True):
                box.show(key, row, is_asked=row is not None and asked == (key, row.field))

    def _arrange(self) -> None:
        """Put together what is to be seen; what isn't yet made is made when it is needed."""
        if self.rows and self._list is None:
            self._columns = self._looks.html(_COLUMNS, "qstate-head")
            self._list = self._looks.column([], "qstate-rows")
        if self._list is not None:
            change(self._list, "children", tuple(row.box for row in self.rows))
            self._looks.show(self._columns, bool(self.rows))
        tools = None if self._tools is None else self._tools.box
        parts = (self._head, tools, self._columns, self._list, self._editor)
        change(self.box, "children", tuple(part for part in parts if part is not None))

    def hold(self, editor: Any | None) -> None:
        """Put an editor for a new key below the rows, or take it out."""
        self._editor = editor
        self._arrange()

    def focus(self) -> None:
        """Give the button back the focus that the editor had."""
        self._add.focus()

    def place(self, field: str | None) -> int:
        """In which place the row of a field is; behind the last one if there is none."""
        shown = [None if row.at is None else row.at[1] for row in self.rows]
        return shown.index(field) if field in shown else len(shown)

    def focus_from(self, place: int) -> None:
        """Give the focus to the first Delete from a place on or, if there is none, to the heading."""
        if not any(row.focus_delete() for row in self.rows[place:]):
            self._fold.focus()

    def turn(self, pages: int) -> None:
        """Turn the pages."""
        if self.section is not None:
            self._actions.turn(self.section.id, pages)

    def filter(self, text: str) -> None:
        """Look for a text in it."""
        if self.section is not None:
            self._actions.filter(self.section.id, text)


def _info_html(section: Section) -> str:
    sign = ' <span class="qstate-sign">●</span> <b>last change</b>' if section.is_last else ""
    title = f'<span class="qstate-hidden">{escape(section.title)}: </span>'
    preview = section.preview if isinstance(section, BucketView) else ""
    quiet = f' <span class="qstate-code qstate-quiet">{escape(preview)}</span>' if preview else ""
    return f"<h4>{title}{section.count}</h4>{sign}{quiet}"
