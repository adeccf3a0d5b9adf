"""What is shown of State, as plain data: groups, buckets, rows, pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qstate_nb.core.fields import Declared
from qstate_nb.core.formats import BY_REFERENCE, printable, short_marked, short_text
from qstate_nb.core.journal import ABSENT, Event
from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.notebook.panel.nested import is_nested, tree_html, type_text
from qstate_nb.stores.codec import Unreadable

_WIDTH = 160
_LONG = 60  # characters that may not fit into the two lines that are shown
_STEADY = 1  # seconds that a tree stays as it is, to be read

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
        can_unfold: whether there is something in it, or it is long.
        is_open: whether it is.
        is_last: whether the last event wrote it.
        is_default: whether it was never written, and has its declared default.
        is_by_reference: whether State can't know of changes of the value.
        is_gone: whether it was deleted, and is only here because somebody edits it.
        is_unreadable: whether what is stored can't be read; *value* says why.
    """

    field: str
    name: str
    value: str
    kind: str = ""
    by: str = ""
    tree: str = ""
    can_unfold: bool = False
    is_open: bool = False
    is_last: bool = False
    is_default: bool = False
    is_by_reference: bool = False
    is_gone: bool = False
    is_unreadable: bool = False


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
        is_late: whether something of it is older than State, and is to be brought up to date soon.
    """

    sections: Sequence[Section] = ()
    page: Page | None = None
    last: str = ""
    message: str = ""
    past: str = ""
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class _Texts:
    """A value as it is shown.

    Args:
        text: on one line.
        tree: what is in it, in HTML, if it is unfolded.
        made: when that was made.
    """

    value: Any
    text: str
    tree: str = ""
    made: float = 0


class Rows:
    """Makes rows. The text of a value is made once, until the value is replaced.

    Attributes:
        unfolded: the fields whose values are.
        is_late: whether a value that is unfolded is shown as it was a moment ago.
    """

    def __init__(self, registry: StateRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._clock = clock
        self._known: dict[Field, _Texts] = {}
        self._made: dict[Field, _Texts] = {}
        self.unfolded: set[Field] = set()
        self.is_late = False
        self._newest: int | None = None

    def begin(self, newest: Event | None) -> None:
        """Begin a new picture: the texts that the one before didn't need are forgotten.

        Args:
            newest: the last event.
        """
        self._known, self._made = self._made, {}
        self._newest = None if newest is None else newest.seq
        self.is_late = False

    def of(self, key: StateKey, fields: dict[str, Any], names: Sequence[str]) -> list[Row]:
        """The rows of some fields of a bucket."""
        writers = self._registry.writers(key, names)
        declared = self._registry.declared(key.name)
        return [self._row(key, name, fields.get(name, ABSENT), writers.get(name), declared) for name in names]

    def _row(self, key: StateKey, field: str, value: Any, event: Event | None, declared: Declared | None) -> Row:
        name = printable(field)
        if value is ABSENT:
            return Row(field, name, "deleted", is_gone=True)
        texts = self._made[key, field] = self._texts((key, field), value)
        is_unreadable = isinstance(value, Unreadable)
        can_unfold = is_nested(value) or len(texts.text) > _LONG
        is_default = event is None and declared is not None and field in declared.defaults
        return Row(
            field,
            name,
            texts.text,
            kind="unreadable" if is_unreadable else type_text(value, field, declared),
            by="default" if is_default else writer_text(event),
            tree=texts.tree,
            can_unfold=can_unfold,
            is_open=can_unfold and (key, field) in self.unfolded,
            is_last=event is not None and event.seq == self._newest,
            is_default=is_default,
            is_by_reference=texts.text.endswith(BY_REFERENCE),
            is_unreadable=is_unreadable,
        )

    def _texts(self, at: Field, value: Any) -> _Texts:
        known, is_unfolded = self._known.get(at), at in self.unfolded
        if known is not None and known.value is not value and is_unfolded and self._is_read(known):
            self.is_late = True
            return known
        if known is None or known.value is not value or known.text.endswith(BY_REFERENCE):
            known = _Texts(value, _text(value))
        if not is_unfolded:
            return _Texts(value, known.text)
        return known if known.tree else _Texts(value, known.text, tree_html(value), self._clock())

    def _is_read(self, shown: _Texts) -> bool:
        return bool(shown.tree) and self._clock() - shown.made < _STEADY


def _text(value: Any) -> str:
    return short_text(value.reason, _WIDTH) if isinstance(value, Unreadable) else short_marked(value, _WIDTH)


def writer_text(event: Event | None) -> str:
    """Who wrote something, with which event."""
    return "" if event is None else f"{printable(str(event.actor))}, event {event.seq}"
