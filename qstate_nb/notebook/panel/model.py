"""What the panel shows of past and present, without a widget."""

from __future__ import annotations

from contextvars import Context

from qstate_nb.app import InlineApp
from qstate_nb.core.formats import printable
from qstate_nb.core.registry import StateRegistry
from qstate_nb.errors import HistoryError, StoreError
from qstate_nb.notebook import past, views
from qstate_nb.notebook.panel.buckets import Buckets
from qstate_nb.notebook.render import Block, Heading, Notice, Paragraph, View
from qstate_nb.notebook.timeline import timeline_html, window
from qstate_nb.notebook.views import Limits
from qstate_nb.stores.opening import promise

_LIMITS = Limits(width=160, rows=200)
_MAX_STATES = 50


class PanelModel:
    """The moment that the panel of an app shows, and its ways there.

    Args:
        app: whose State is shown.
        buckets: show State at that moment.
    """

    def __init__(self, app: InlineApp, buckets: Buckets) -> None:
        self.app = app
        self._buckets = buckets

    @property
    def moment(self) -> int | None:
        """After which event State is shown; None for now."""
        return self._buckets.moment

    @moment.setter
    def moment(self, moment: int | None) -> None:
        self._buckets.moment = moment

    def range(self) -> tuple[int, int]:
        """The numbers of the events after which State is known: of the first and the last one."""
        registry = self.app.registry
        with registry.store.shown():
            dropped, last = registry.dropped, registry.seq
        return min(dropped, last), last

    def go_to(self, moment: int | str | None) -> None:
        """Show State as it was after an event or at a label; None, or the last event, is now.

        Raises:
            NotFoundError: there is no such label.
        """
        if isinstance(moment, str):
            with self.app.registry.store.shown():
                moment = self.app.registry.seq_of(moment)
        first, last = self.range()
        self.moment = None if moment is None or moment >= last else max(first, moment)

    def labels(self) -> list[str]:
        """The labels of moments that can be shown, oldest first."""
        first, _ = self.range()
        known = self.app.registry.labels
        return sorted((name for name, seq in known.items() if seq >= first), key=lambda name: known[name])

    def timeline(self) -> str:
        """The events around the moment that is shown, as a picture, in HTML."""
        first, last = self.range()
        at = last if self.moment is None else min(self.moment, last)
        start, end = window(first + 1, last, at)
        events = self.app.registry.history(since=min(start, last), until=end) if last else ()
        return timeline_html(events, at, is_past=self.moment is not None)

    def undo(self) -> str:
        """Undo the last call or command.

        Raises:
            HistoryError: it can't be undone.
        """
        return self._changed(self._buckets.edits.undo())

    def redo(self) -> str:
        """Bring back what was undone.

        Raises:
            HistoryError: nothing was.
        """
        return self._changed(self._buckets.edits.redo())

    def rewind(self) -> str:
        """Make State as it was at the moment that is shown.

        Raises:
            HistoryError: it can't be, or that is now.
        """
        if self.moment is None:
            raise HistoryError("choose a moment first: give the number of its event")
        return self._changed(Context().run(past.rewind, self.app, self.moment))

    def _changed(self, done: str) -> str:
        self.moment = None
        return done

    def label(self, name: str) -> str:
        """Give the moment that is now a name.

        Raises:
            HistoryError: it can't have this one.
        """
        return past.label(self.app, name)

    def overview(self) -> View:
        """The panel as a text or picture of its own: what there is to run, and State as it is now."""
        registry = self.app.registry
        try:
            with registry.store.shown():
                return View([*self._heading(), *self._contents(registry)])
        except StoreError as error:
            return View([*self._heading(), Paragraph(f"State can't be read: {error}")])

    def where(self) -> tuple[str, str]:
        """Where State lives, if others share it, and how safe it is there; two empty texts for memory."""
        store = self.app.registry.store
        return (f"State in {printable(store.url, 200)}", promise(store)) if store.is_shared else ("", "")

    def _heading(self) -> list[Block]:
        where, _ = self.where()
        return [Heading(f"qstate panel: {self.app.name}"), *([Paragraph(where)] if where else [])]

    def _contents(self, registry: StateRegistry) -> list[Block]:
        away = registry.store.away
        history = registry.history(limit=1)
        newest = history[-1].seq if history else None
        last = [views.last_change(history[-1], _LIMITS)] if history else []
        states = views.all_states_blocks(registry, _LIMITS, _MAX_STATES, newest)
        return [
            *([Notice(f"this may be old, as State is away: {away}")] if away else []),
            *views.task_blocks(self.app, _LIMITS),
            *last,
            *(states or [Paragraph("no State yet: run a task that has one")]),
        ]
