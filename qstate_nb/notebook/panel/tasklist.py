"""The tasks of an app in the panel: search, a card for each, and what is prepared to run together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from qstate_nb.app import InlineApp, Task
from qstate_nb.core.formats import counted, short
from qstate_nb.notebook.panel.card import Card, TypedCard
from qstate_nb.notebook.panel.parts import change, close_all
from qstate_nb.notebook.panel.pool import AUTO, Looks
from qstate_nb.notebook.panel.runs import Runs
from qstate_nb.notebook.panel.scopes import KnownScopes
from qstate_nb.notebook.panel.tray import Tray
from qstate_nb.notebook.render import escape

SHOWN = 20
_FEW = 6
_KEPT = 60
_PAUSE = 1.0  # seconds between two looks for new scopes


def found_by(query: str, tasks: list[Task]) -> list[Task]:
    """The tasks that have each word of *query* in their name, description or tags."""
    words = query.casefold().split()
    return [task for task in tasks if all(word in _searched(task) for word in words)]


def _searched(task: Task) -> str:
    return "\n".join((task.name, task.options.description, *task.options.tags)).casefold()


class TaskList:
    """Widgets for an app's tasks.

    Args:
        looks: makes the widgets.
        app: whose tasks they are.
        runs: starts their calls.
        redraw: asks for the panel to be drawn again.

    Attributes:
        box: the list's widget.
        cards: task name → its card, as they are shown.
        tray: what is prepared.
    """

    def __init__(
        self,
        looks: Looks,
        app: InlineApp,
        runs: Runs,
        redraw: Callable[[], object],
    ) -> None:
        self.app = app
        self._looks = looks
        self._runs = runs
        self._redraw = redraw
        self.cards: dict[str, Card] = {}
        self._kept: dict[str, Card] = {}  # those that are shown, and some that were; the last shown ones last
        self._typed: dict[str, TypedCard] = {}  # of cards that are closed
        self._tasks: list[Task] = []
        self._scopes = KnownScopes(app)
        self._pause = _Pause(redraw)
        self.search = looks.text("search", "name, description or tag", lambda _: redraw(), layout=AUTO)
        self.search.add_class("qstate-search")
        self._status = looks.html()
        self._list = looks.column([])
        self._more = looks.html()
        self.tray = Tray(looks, runs, redraw)
        parts = [looks.html("<h3>Tasks</h3>"), self.search, self._status, self.tray.box, self._list, self._more]
        self.box = looks.column(parts, "qstate-tasks")

    def close(self) -> None:
        """Look for new scopes no more."""
        self._pause.close()

    def draw(self) -> None:
        """Show the tasks that there are now, as far as they are searched for."""
        tasks = list(self.app.tasks.values())
        self._looks.show(self.search, len(tasks) > _FEW or bool(self.search.value))
        found = found_by(self.search.value, tasks)
        self._draw_status(tasks, found)
        if found[:SHOWN] != self._tasks:
            self._tasks = found[:SHOWN]
            self._draw_cards()
            self._refresh()
        elif self._has_scopes() and self._pause.is_over((self.app.registry, self.app.registry.seq)):
            self._refresh()
        self.tray.draw()

    def _draw_status(self, tasks: list[Task], found: list[Task]) -> None:
        lines = []
        if not tasks:
            lines.append("no tasks yet: define one with @app.task")
        elif self.search.value.strip():
            lines.append(f"{len(found):,} of {counted(len(tasks), 'task')} found by {short(self.search.value, 60)}")
        if self._runs.waiting:
            lines.append(f"{counted(self._runs.waiting, 'call')} to follow: Stop ends them, too")
        change(self._status, "value", "".join(f'<div class="qstate-quiet">{escape(line)}</div>' for line in lines))
        hidden = len(found) - SHOWN
        change(self._more, "value", f"<div>… {hidden:,} more: search for them</div>" if hidden > 0 else "")

    def _draw_cards(self) -> None:
        old: list[Card] = []
        self.cards = {}
        for task in self._tasks:
            card = self._kept.pop(task.name, None)
            if card is None or card.task is not task:
                if card is not None:
                    old.append(card)
                    self._typed[task.name] = card.typed()
                card = Card(self._looks, task, self._runs, self._redraw, self._scopes.of)
                card.retype(self._typed.pop(task.name, None))
            self._kept[task.name] = self.cards[task.name] = card
        self._list.children = [card.box for card in self.cards.values()]
        for card in [*old, *self._too_many()]:
            close_all(card.box)

    def _too_many(self) -> list[Card]:
        """Keep no more cards than one needs; what was typed in the others is kept."""
        hidden = list(self._kept)[: max(0, len(self._kept) - max(_KEPT, len(self.cards)))]
        for name in hidden:
            self._typed[name] = self._kept[name].typed()
        return [self._kept.pop(name) for name in hidden]

    def _has_scopes(self) -> bool:
        return any(card.form.has_scopes for card in self.cards.values())

    def _refresh(self) -> None:
        for card in self.cards.values():
            card.form.refresh()


class _Pause:
    """Lets something be done now and then, and never misses the last time.

    Args:
        again: is called when it is time, if it was too early before.
    """

    def __init__(self, again: Callable[[], object]) -> None:
        self._again = again
        self._seen: object = None
        self._next = 0.0
        self._timer: threading.Timer | None = None

    def is_over(self, at: object) -> bool:
        """Tell whether to do it, now that State is where *at* says: the registry, and the last event's number."""
        now = time.monotonic()
        if at == self._seen:
            return False
        if now < self._next:
            if self._timer is None or not self._timer.is_alive():
                self._timer = threading.Timer(self._next - now, self._again)
                self._timer.daemon = True
                self._timer.start()
            return False
        self._seen, self._next = at, now + _PAUSE
        return True

    def close(self) -> None:
        """Call nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
