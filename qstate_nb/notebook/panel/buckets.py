"""What the panel shows of State, and how far it is unfolded, without a widget.

Only what is on a page is looked at: a page of States, of each large one a page of its scopes, and of each bucket that
is unfolded a page of its keys.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any

from qstate_nb.app import InlineApp
from qstate_nb.core.formats import counted, printable, short
from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.errors import HistoryError, StateError
from qstate_nb.notebook import past, views
from qstate_nb.notebook.panel.bucketedits import Edits
from qstate_nb.notebook.panel.bucketindex import Group, Index, Search, Texts, matching
from qstate_nb.notebook.panel.bucketrows import BucketView, GroupView, Page, Picture, Rows, Section, writer_text
from qstate_nb.notebook.panel.folds import Folds, Id, settled
from qstate_nb.notebook.render import Heading, Notice, Paragraph, View
from qstate_nb.notebook.views import Limits

PAGE_ROWS = 30
PAGE_BUCKETS = 20
MOST_ROWS = 120  # of all buckets together
MOST_SCOPES = 60  # of all groups together
_LIMITS = Limits(width=160, rows=200)
_TITLE = 100
_PREVIEW = 80

_Fields = Mapping[StateKey, dict[str, Any]]


class Buckets:
    """State, as it is shown: what is unfolded, on which page, and what is looked for.

    Safe to be used by several threads.

    Args:
        app: whose State it is.
        clock: seconds, as `time.monotonic`.

    Attributes:
        moment: after which event State is shown; None for now.
        edits: changes State.
        pins: fields that stay in sight, as somebody is about to change them; None in place of a field is the bucket.
    """

    def __init__(self, app: InlineApp, clock: Callable[[], float] = time.monotonic) -> None:
        self.edits = Edits(app)
        self._app = app
        self._clock = clock
        self._lock = threading.RLock()
        self._text = ""
        self.restart()

    def restart(self) -> None:
        """Show the State that the app has now, if that is another one."""
        with self._lock:
            self._restart(self._app.registry)

    def _restart(self, registry: StateRegistry) -> None:
        self.moment: int | None = None
        self.edits.restart()
        self.pins: frozenset[tuple[StateKey, str | None]] = frozenset()
        self._registry = registry
        self._index = Index(registry)
        self._search = Search(registry)
        self._rows = Rows(registry, self._clock)
        self._folds = self._usual_folds = Folds()
        self._open: set[Id] = set()  # as it was shown last
        self._pages: dict[Id | None, int] = {}
        self._filters: dict[Id, str] = {}
        self._filtered: dict[StateKey, Texts] = {}
        self._placed: dict[Id | None, list[StateKey]] = {}  # the scopes of a group, as they were shown last
        self._past: tuple[tuple[int, int], str] | None = None

    @property
    def is_shared(self) -> bool:
        """Whether other processes use this State as well."""
        return self._registry.store.is_shared

    def search(self, text: str) -> None:
        """Show only what has a text in its name, its key or its value; all with an empty one."""
        with self._lock:
            if text.strip() != self._text:
                self._text = text.strip()
                self._folds = Folds() if self._text else self._usual_folds
                self._pages.clear()
                self._placed.clear()

    def fold(self, what: Id) -> None:
        """Fold what is unfolded, or the other way round.

        Raises:
            StateError: something in it is edited.
        """
        with self._lock:
            if what in self._open and any(what in (key, key.name) for key, _ in self.pins):
                raise StateError(f"save or cancel what you edit in {printable(str(what), _TITLE)} first")
            self._folds.choose(what, what not in self._open)
            self._placed.pop(what, None)

    def turn(self, what: Id | None, pages: int) -> None:
        """Go some pages forth or, with a negative number, back; None turns the pages of States."""
        with self._lock:
            self._pages[what] = self._pages.get(what, 0) + pages
            self._placed.pop(what, None)

    def filter(self, what: Id, text: str) -> None:
        """Show only those scopes of a group, or keys of a bucket, that have a text in them, and unfold them."""
        with self._lock:
            if text.strip() != self._filters.get(what, ""):
                self._filters[what] = text.strip()
                self._pages.pop(what, None)
                self._placed.pop(what, None)
                self._folds.choose(what, True)

    def unfold(self, key: StateKey, field: str) -> None:
        """Unfold a nested value, or fold it again."""
        with self._lock:
            self._rows.unfolded ^= {(key, field)}

    def picture(self) -> Picture:
        """What is to be seen now."""
        with self._lock:
            if self.moment is not None:
                return Picture(past=self._past_html(self.moment))
            self._index.refresh(needs_changes=bool(self._text), extra={key for key, _ in self.pins})
            self._unfold_pinned()
            self._search.refresh(self._text, self._index)
            newest = self._index.newest
            last = "" if newest is None else views.last_change(newest, _LIMITS).text().strip()
            groups = self._groups()
            if not groups:
                message = (
                    f"nothing matches {short(self._text)}" if self._text else "no State yet: run a task that has one"
                )
                return Picture(last=last, message=message)
            shown, page = self._page_of_groups(groups)
            self._rows.begin(newest)
            sections = self._sections(shown)
            return Picture(sections, page, last, is_late=self._rows.is_late)

    def _unfold_pinned(self) -> None:
        """What is edited is unfolded, and stays so afterwards."""
        for key, _ in self.pins:
            for what in (key, key.name):
                if what not in self._folds.opened:
                    self._folds.choose(what, True)

    def _past_html(self, moment: int) -> str:
        at = moment, self._registry.seq
        if self._past is None or self._past[0] != at:
            self._past = at, past_view(self._registry, moment).html
        return self._past[1]

    # --- which States and scopes

    def _groups(self) -> list[Group]:
        """Those in which something matches."""
        groups = self._index.groups
        if self._text:
            found = {key.name for key in self._search.hits} | {key.name for key, _ in self.pins}
            return [group for name, group in groups.items() if name in found]
        return list(groups.values())

    def _is_found(self, key: StateKey) -> bool:
        return not self._text or key in self._search.hits or any(key == pinned for pinned, _ in self.pins)

    def _page_of_groups(self, groups: Sequence[Group]) -> tuple[list[Group], Page | None]:
        """Those on the page; each page has as many as have some twenty buckets together."""
        pages: list[list[Group]] = []
        left = 0
        for group in groups:
            cost = 1 + (group.unscoped is not None) if group.is_large else len(group.keys)
            if cost > left:
                pages.append([])
                left = PAGE_BUCKETS
            pages[-1].append(group)
            left -= cost
        number = self._pages[None] = min(max(self._pages.get(None, 0), 0), len(pages) - 1)
        shown = pages[number]
        first = sum(map(len, pages[:number]))
        page = Page(first + 1, first + len(shown), len(groups), "States") if len(pages) > 1 else None
        pinned = {key.name for key, _ in self.pins}.difference(group.name for group in shown)
        return [*shown, *(group for group in groups if group.name in pinned)], page

    def _page(self, what: Id, total: int, size: int, noun: str) -> tuple[slice, Page | None]:
        number = min(max(self._pages.get(what, 0), 0), max(0, total - 1) // size)
        if what in self._pages:
            self._pages[what] = number
        part = slice(number * size, min(total, (number + 1) * size))
        return part, Page(part.start + 1, part.stop, total, noun) if total > size else None

    def _scopes(self, group: Group) -> Collection[StateKey]:
        """The scopes that match, the one that changed last at the end."""
        scopes: Collection[StateKey] = group.scopes
        wanted, titles, start = self._filters.get(group.name, "").casefold(), self._index.titles, len(group.name)
        if self._text:
            scopes = [key for key in scopes if self._is_found(key)]
        return [key for key in scopes if wanted in titles[key][start:].casefold()] if wanted else scopes

    def _page_of_scopes(self, group: Group, scopes: Collection[StateKey], part: slice) -> list[StateKey]:
        """Those on the page; where one stands already, it stays, and so do those that were unfolded or are edited."""
        before = self._placed.get(group.name, [])
        wanted = list(islice(reversed(scopes), part.start, part.stop))  # type: ignore[call-overload]
        watched = [key for key in before if key in self._folds.opened and key in group.scopes and self._is_found(key)]
        pinned = [key for key, _ in self.pins if key in group.scopes]
        placed = self._placed[group.name] = settled(before, wanted, [*watched, *pinned])
        return placed

    # --- what of them

    def _sections(self, groups: Sequence[Group]) -> list[Section]:
        scopes = {group.name: self._scopes(group) for group in groups if group.is_large}
        lines: dict[Id, tuple[int, bool]] = {
            name: (min(len(found), PAGE_BUCKETS), bool(self._text)) for name, found in scopes.items()
        }
        self._open = self._folds.fitting(lines, MOST_SCOPES, [key.name for key, _ in self.pins])
        entries: list[tuple[StateKey, bool] | GroupView] = []
        for group in groups:
            direct = group.keys if not group.is_large else [] if group.unscoped is None else [group.unscoped]
            entries += [(key, False) for key in direct if self._is_found(key)]
            if group.is_large:
                entries += self._of_large(group, scopes[group.name])
        buckets = dict(entry for entry in entries if not isinstance(entry, GroupView))
        shown = self._buckets(buckets)
        return [entry if isinstance(entry, GroupView) else shown[entry[0]] for entry in entries]

    def _of_large(self, group: Group, scopes: Collection[StateKey]) -> list[tuple[StateKey, bool] | GroupView]:
        name, is_open, newest = group.name, group.name in self._open, self._index.newest
        part, page = self._page(name, len(scopes), PAGE_BUCKETS, "scopes")
        view = GroupView(
            name,
            printable(name, _TITLE),
            counted(len(group.scopes), "scope"),
            is_open,
            page if is_open else None,
            self._filters.get(name, ""),
            is_last=not is_open and newest is not None and any(key in group.scopes for key in newest.states),
        )
        shown = self._page_of_scopes(group, scopes, part) if is_open else []
        return [view, *((key, True) for key in shown)]

    def _buckets(self, buckets: Mapping[StateKey, bool]) -> dict[StateKey, BucketView]:
        """The views of buckets, given whether each is inside a group."""
        fields = {key: self._registry.peek(key) for key in buckets}
        names = {key: self._names(key, fields[key]) for key in buckets}
        lines: dict[Id, tuple[int, bool]] = {
            key: (min(len(names[key]), PAGE_ROWS), not is_inside or self._search.hits.get(key) is not None)
            for key, is_inside in buckets.items()
        }
        opened = self._folds.fitting(lines, MOST_ROWS, [key for key, _ in self.pins])
        self._open |= opened
        return {
            key: self._bucket(key, fields[key], names[key], key in opened, is_inside)
            for key, is_inside in buckets.items()
        }

    def _names(self, key: StateKey, fields: dict[str, Any]) -> list[str]:
        """The fields that match."""
        hits = self._search.hits.get(key, []) if self._text else None
        found = list(fields) if hits is None else [name for name in hits if name in fields]
        wanted = self._filters.get(key, "").casefold()
        if not wanted:
            self._filtered.pop(key, None)
            return found
        known = self._filtered.get(key, {})
        found, self._filtered[key] = matching({name: fields[name] for name in found}, wanted, known)
        return found

    def _bucket(
        self, key: StateKey, fields: dict[str, Any], names: list[str], is_open: bool, is_inside: bool
    ) -> BucketView:
        part, page = self._page(key, len(names), PAGE_ROWS, "keys")
        newest = self._index.newest
        shown = names[part] if is_open else []
        shown += [field for pinned, field in self.pins if pinned == key and field is not None and field not in shown]
        text = self._filters.get(key, "")
        return BucketView(
            key,
            printable(self._index.titles.get(key, str(key)), _TITLE),
            counted(len(fields), "key"),
            is_open,
            self._rows.of(key, fields, shown) if shown else [],
            page if is_open else None,
            text if text or (is_open and len(fields) > PAGE_ROWS) else None,
            is_last=not is_open and newest is not None and key in newest.states,
            preview="" if is_open else self._preview(key, fields),
            is_inside=is_inside,
            is_empty=not fields,
        )

    def _preview(self, key: StateKey, fields: dict[str, Any]) -> str:
        """The fields of a bucket that is folded, and who changed them last, if that is soon found."""
        if len(fields) > PAGE_ROWS:
            return ""
        newest = max(self._registry.writers(key).values(), key=lambda event: event.seq, default=None)
        return f"{short(fields, _PREVIEW)} {writer_text(newest)}".strip()


def past_view(registry: StateRegistry, moment: int) -> View:
    """State as it was, marked as such, and what is different now."""
    try:
        then, found = registry.at(moment), registry.diff(moment)
    except HistoryError as error:  # its events were dropped meanwhile
        return View([Paragraph(str(error))])
    first = Notice(f"PAST: State after event {then.seq:,} of {registry.seq:,}; it can only be read")
    shown = past.snapshot_view(then, _LIMITS).blocks[1:]
    return View([first, *shown, Heading("from then to now"), *past.diff_view(found, _LIMITS).blocks])
