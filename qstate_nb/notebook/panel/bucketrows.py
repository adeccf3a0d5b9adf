"""What is shown of State, as plain data: groups, buckets, rows, pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qstate_nb.core.fields import Declared
from qstate_nb.core.formats import BY_REFERENCE, printable, short_marked
from qstate_nb.core.journal import ABSENT, Event
from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.notebook.panel.nested import is_nested, tree_html, type_text

_WIDTH = 160

Field = tuple[StateKey, str]


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a long list.

    Args:
        first, last: numbers of its first and last item, from 1.
        total: how many items there are.
        noun: what they are, such as ``keys``.

    Example:
        >>> Page(31, 60, 5000, "keys").text
        'keys 31–60 of 5,000'
    """  # noqa: RUF002 - from … to …

    first: int
    last: int
    total: int
    noun: str

    @property
    def text(self) -> str:
        """Which part it is."""
        return f"{self.noun} {self.first:,}–{self.last:,} of {self.total:,}"  # noqa: RUF001 - from … to …

    @property
    def has_previous(self) -> bool:
        """Whether there is something before it."""
        return self.first > 1

    @property
    def has_next(self) -> bool:
        """Whether there is something behind it."""
        return self.last < self.total


@dataclass(frozen=True, slots=True)
class Row:
    """A key of a bucket.

    Args:
        field: the key itself.
        name: the key, to be shown.
        value: the value as short text.
        kind: the type, as it is declared or else of the value, and how many items it has.
        by: who changed it, with which event.
        tree: what is in the value, in HTML, if it is unfolded.
        is_nested: whether it can be unfolded.
        is_open: whether it is.
        is_last: whether the last event wrote it.
        is_default: whether it was never written, and has its declared default.
        is_by_reference: whether State can't know of changes of the value.
        is_gone: whether it was deleted, and is only here because somebody edits it.
    """

    field: str
    name: str
    value: str
    kind: str = ""
    by: str = ""
    tree: str = ""
    is_nested: bool = False
    is_open: bool = False
    is_last: bool = False
    is_default: bool = False
    is_by_reference: bool = False
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class GroupView:
    """The heading over many scopes of a State class.

    Args:
        id: its name.
        title: the name, to be shown.
        count: how many scopes there are, in words.
        is_open: whether some of them are shown below.
        page: which, if that isn't all.
        filter: the text that is looked for in the scopes.
        is_last: whether the last event changed one of them, and they are folded.
    """

    id: str
    title: str
    count: str
    is_open: bool
    page: Page | None
    filter: str | None
    is_last: bool


@dataclass(frozen=True, slots=True)
class BucketView:
    """A bucket.

    Args:
        id: its key.
        title: the key, to be shown.
        count: how many fields it has, in words.
        is_open: whether its rows are shown.
        rows: the fields, as far as they are on the page.
        page: which fields, if these aren't all.
        filter: the text that is looked for in the fields; None if there are only few.
        is_last: whether the last event changed it, and it is folded.
        preview: the fields as short text, and who changed them last, if it is folded.
        is_inside: whether it is below a `GroupView`.
        is_empty: whether there is nothing to clear.
    """

    id: StateKey
    title: str
    count: str
    is_open: bool
    rows: Sequence[Row]
    page: Page | None
    filter: str | None
    is_last: bool
    preview: str
    is_inside: bool
    is_empty: bool


Section = GroupView | BucketView


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is shown.

    Args:
        sections: groups and buckets, in order.
        page: which States, if these aren't all.
        last: the last change, on one line.
        message: what to say if there is nothing else.
        past: State of the past in HTML, in place of all else.
    """

    sections: Sequence[Section] = ()
    page: Page | None = None
    last: str = ""
    message: str = ""
    past: str = ""


class Rows:
    """Makes rows. The text of a value is made once, until the value is replaced.

    Attributes:
        unfolded: the fields whose values are.
    """

    def __init__(self, registry: StateRegistry) -> None:
        self._registry = registry
        self._known: dict[Field, tuple[Any, str, str]] = {}
        self._made: dict[Field, tuple[Any, str, str]] = {}
        self.unfolded: set[Field] = set()
        self._newest: int | None = None

    def begin(self, newest: Event | None) -> None:
        """Begin a new picture: the texts that the one before didn't need are forgotten.

        Args:
            newest: the last event.
        """
        self._known, self._made = self._made, {}
        self._newest = None if newest is None else newest.seq

    def of(self, key: StateKey, fields: dict[str, Any], names: Sequence[str]) -> list[Row]:
        """The rows of some fields of a bucket."""
        writers = self._registry.writers(key, names)
        declared = self._registry.declared(key.name)
        return [self._row(key, name, fields.get(name, ABSENT), writers.get(name), declared) for name in names]

    def _row(self, key: StateKey, field: str, value: Any, event: Event | None, declared: Declared | None) -> Row:
        name = printable(field)
        if value is ABSENT:
            return Row(field, name, "deleted", is_gone=True)
        text, tree = self._texts((key, field), value)
        is_default = event is None and declared is not None and field in declared.defaults
        return Row(
            field,
            name,
            text,
            kind=type_text(value, field, declared),
            by="default" if is_default else writer_text(event),
            tree=tree,
            is_nested=is_nested(value),
            is_open=bool(tree),
            is_last=event is not None and event.seq == self._newest,
            is_default=is_default,
            is_by_reference=text.endswith(BY_REFERENCE),
        )

    def _texts(self, at: Field, value: Any) -> tuple[str, str]:
        """A value as text and, if it is unfolded, as tree."""
        known = self._known.get(at)
        if known is None or known[0] is not value or known[1].endswith(BY_REFERENCE):
            known = (value, short_marked(value, _WIDTH), "")
        tree = (known[2] or tree_html(value)) if at in self.unfolded else ""
        self._made[at] = (value, known[1], tree)
        return known[1], tree


def writer_text(event: Event | None) -> str:
    """Who wrote something, with which event."""
    return "" if event is None else f"{printable(str(event.actor))}, event {event.seq}"
