"""The panel's view of State: search, undo, and every bucket, to be unfolded and edited in place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from qstate_nb.core.keys import StateKey
from qstate_nb.errors import QStateError, StateError
from qstate_nb.notebook.panel.bucketrows import BucketView, Picture, Row, Section
from qstate_nb.notebook.panel.buckets import Buckets
from qstate_nb.notebook.panel.folds import Id
from qstate_nb.notebook.panel.parts import change, problem_html
from qstate_nb.notebook.panel.pool import Looks, mark, placed
from qstate_nb.notebook.panel.stateeditor import Edit, Editor
from qstate_nb.notebook.panel.staterows import Pin, RowBox, SectionBox
from qstate_nb.notebook.panel.statetools import show_page
from qstate_nb.notebook.render import escape

_AT_ONCE = 1  # seconds
_DOUBLE_CLICK = 0.5  # seconds


class StatePart:
    """Widgets that show State, and let it be changed.

    Args:
        looks: makes the widgets.
        buckets: what is shown.
        redraw: asks for `draw`.
        clock: seconds, as `time.monotonic`.

    Attributes:
        box: all of it.
    """

    def __init__(
        self,
        looks: Looks,
        buckets: Buckets,
        redraw: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._buckets = buckets
        self._redraw = redraw
        self._clock = clock
        self._lock = threading.RLock()
        self._looks = looks
        self._sections: list[SectionBox] = []
        self._rows: list[RowBox] = []  # that nobody uses
        self._edit: Edit | None = None
        self._tried = ""  # the text that was there at first, or that could not be saved
        self._entered: tuple[Edit, float] | None = None  # where Enter was pressed, and until when its text can come
        self._asked: Pin | None = None
        self._asked_at = 0.0
        self._focus: Callable[[], object] | None = None  # when it is drawn
        self._editor = Editor(
            looks, on_save=self._on_save, on_cancel=self._on_cancel, on_enter=self._on_enter, on_text=self._on_text
        )
        self._search = looks.text("search State", "name, key or value", self._on_search)
        self._undo = looks.button(
            "Undo", "Undo the last call or change", lambda: self._do(buckets.edits.undo), icon="undo"
        )
        self._redo = looks.button(
            "Redo", "Bring back what was undone", lambda: self._do(buckets.edits.redo), icon="repeat"
        )
        self._last, self._message = looks.html(css="qstate-last"), looks.html(css="qstate-message")
        self._past, self._list = looks.html(), looks.column([], "qstate-sections")
        self._page = looks.html(css="qstate-page")
        self._back = looks.button("Previous", "", lambda: self.turn(None, -1), "qstate-small")
        self._next = looks.button("Next", "", lambda: self.turn(None, 1), "qstate-small")
        head = looks.row([looks.html("<h3>State</h3>"), self._search, self._undo, self._redo], "qstate-tools")
        pages = looks.row([self._page, self._back, self._next], "qstate-tools")
        self.box = looks.column([head, self._last, self._message, self._past, self._list, pages], "qstate-state")

    def restart(self) -> None:
        """Show the State that the app has now, if that is another one; what was begun is ended."""
        with self._lock:
            self._entered = self._asked = None
            self._shut()
            self._focus = None
            self._buckets.restart()
        self._say("")

    # --- drawing

    def draw(self) -> None:
        """Show State as it is, or was at the moment that is shown."""
        with self._lock:
            picture = self._buckets.picture()
            is_past = bool(picture.past)
            for widget in (self._search, self._undo, self._redo):
                change(widget, "disabled", is_past)
            also = ", also one of another process" if self._buckets.is_shared else ""
            change(self._undo, "tooltip", f"Undo the last call or change{also}")
            change(self._past, "value", picture.past)
            mark(self.box, "qstate-past", is_past)
            for widget, is_shown in ((self._past, is_past), (self._last, not is_past), (self._list, not is_past)):
                self._looks.show(widget, is_shown)
            show_page(self._looks, picture.page, self._page, self._back, self._next)
            if not is_past:
                self._draw_now(picture)
            if self._focus is not None:
                self._focus()
                self._focus = None
        if picture.is_late:
            self._redraw()  # again and again, but for a second

    def _draw_now(self, picture: Picture) -> None:
        change(self._last, "value", "".join(_quiet(text) for text in (picture.last, picture.message) if text))
        if any(
            row.is_gone and self._asked == (section.id, row.field)
            for section in picture.sections
            for row in _rows_of(section)
        ):
            self._asked = None  # somebody else has deleted it
            self._pin()
            self._redraw()
        pins = self._buckets.pins
        pinned = {key for key, _ in pins}
        by_id: dict[Id, Section] = {section.id: section for section in picture.sections}
        held = {
            place: by_id[box.section.id]
            for place, box in enumerate(self._sections)
            if box.section is not None and box.section.id in pinned and box.section.id in by_id
        }
        wanted = placed(picture.sections, held)
        while len(self._sections) < len(wanted):
            self._sections.append(SectionBox(self._looks, self))
        for box in self._sections[len(wanted) :]:
            box.show(None, pins, self._asked)
        for box, section in zip(self._sections, wanted, strict=False):
            box.show(section, pins, self._asked)
        change(self._list, "children", tuple(box.box for box in self._sections[: len(wanted)]))

    def row(self) -> RowBox:
        """A row that nobody uses."""
        return self._rows.pop() if self._rows else RowBox(self._looks, self)

    def give_back(self, row: RowBox) -> None:
        """Take back a row."""
        self._rows.append(row)

    # --- what is seen of it

    def _do(self, act: Callable[[], object], *, asked: Pin | None = None) -> None:
        """Do something, say what came of it, and draw it.

        Args:
            asked: what the next click deletes; any other one forgets that.
        """
        with self._lock:
            self._entered, self._asked = None, asked
            self._pin()
        try:
            done = act()
            self._say(done if isinstance(done, str) else "")
        except QStateError as error:
            self._say(str(error), is_problem=True)
        self._redraw()

    def _say(self, text: str, *, is_problem: bool = False) -> None:
        said = problem_html(text) if is_problem else f'<div role="status">{escape(text)}</div>' if text else ""
        change(self._message, "value", said)

    def _pin(self) -> None:
        edited = () if self._edit is None else ((self._edit.key, self._edit.field),)
        asked = () if self._asked is None else (self._asked,)
        self._buckets.pins = frozenset((*edited, *asked))

    def _on_search(self, text: str) -> None:
        self._do(lambda: self._buckets.search(text))

    def fold(self, what: Id) -> None:
        """Fold or unfold a bucket or group."""
        self._do(lambda: self._buckets.fold(what))

    def turn(self, what: Id | None, pages: int) -> None:
        """Turn its pages; None is for those of States."""
        self._do(lambda: self._buckets.turn(what, pages))

    def filter(self, what: Id, text: str) -> None:
        """Look for a text in it."""
        self._do(lambda: self._buckets.filter(what, text))

    def unfold(self, key: StateKey, field: str) -> None:
        """Fold or unfold a value."""
        self._do(lambda: self._buckets.unfold(key, field))

    # --- changes

    def delete(self, key: StateKey, field: str) -> None:
        """Delete a key, when it was asked twice.

        It is asked, though there is Undo: rows move while tasks run, and nothing can be undone then.
        """
        self._ask((key, field), lambda: self._buckets.edits.delete(key, field))

    def clear(self, key: StateKey) -> None:
        """Delete all keys, when it was asked twice."""
        self._ask((key, None), lambda: self._buckets.edits.clear(key))

    def _ask(self, what: Pin, act: Callable[[], str]) -> None:
        if self._asked != what:
            self._asked_at = self._clock()
            self._do(lambda: None, asked=what)
        elif self._clock() - self._asked_at >= _DOUBLE_CLICK:
            self._do(lambda: self._delete(what, act))

    def _delete(self, what: Pin, act: Callable[[], str]) -> str:
        """Delete something, and go where the focus is not lost with it."""
        key, field = what
        box = self._section(key)
        place = 0 if box is None else box.place(field)
        done = act()
        self._focus = lambda: self._focus_near(key, place)
        return done

    def _section(self, key: StateKey) -> SectionBox | None:
        return next((box for box in self._sections if box.section is not None and box.section.id == key), None)

    def _focus_near(self, key: StateKey, place: int) -> None:
        box = self._section(key)
        if box is None:
            self._search.focus()
        else:
            box.focus_from(place)

    def edit(self, row: RowBox) -> None:
        """Edit a value in its row."""
        if row.at is not None:
            key, field = row.at
            self._do(lambda: self._open(key, field, row))

    def add(self, section: SectionBox) -> None:
        """Add a key to a bucket."""
        if section.section is not None and isinstance(section.section.id, StateKey):
            key = section.section.id
            self._do(lambda: self._open(key, None, section))

    def _open(self, key: StateKey, field: str | None, holder: RowBox | SectionBox) -> None:
        with self._lock:
            if self._edit is not None:
                if self._editor.value.value != self._edit.text:
                    raise StateError(f"save or cancel the edit of {self._edit.title} first")
                self._shut()
            text, problem = "", ""
            if field is not None:
                try:
                    text = self._buckets.edits.begin_edit(key, field)
                except QStateError as error:
                    problem = str(error)
            self._edit = Edit(key, field, text, holder)
            self._tried = text
            self._editor.open(self._edit.title, text, problem, with_name=field is None)
            holder.hold(self._editor.box)
            self._focus = self._editor.focus
            self._pin()

    def _shut(self) -> None:
        """Take the editor out of where it is."""
        with self._lock:
            if self._edit is not None:
                self._edit.holder.hold(None)
                self._focus = self._edit.holder.focus
                self._edit = None
                self._pin()

    def _on_cancel(self) -> None:
        edit = self._edit
        if edit is not None and edit.field is not None:
            self._buckets.edits.end_edit(edit.key, edit.field)
        self._do(self._shut)

    def _on_save(self) -> None:
        if self._edit is not None:
            self._save(self._edit)

    def _save(self, edit: Edit) -> None:
        """Save what was typed, or say at the field what is wrong with it."""
        edits, text = self._buckets.edits, self._editor.value.value
        try:
            if edit.field is None:
                done = edits.add(edit.key, self._editor.name.value, text)
            else:
                done = edits.save(edit.key, edit.field, text)
        except QStateError as error:
            self._tried = text
            self._editor.say(str(error))
            if self._edit is None:
                self._say(str(error), is_problem=True)
            self._redraw()
        else:
            self._shut()
            self._do(lambda: done)

    def _on_enter(self) -> None:
        """Enter was pressed. If another text was typed than is known, that comes at once, and is saved then."""
        edit = self._edit
        if edit is None:
            return
        if self._editor.value.value != self._tried:
            field = edit.field or self._editor.name.value
            self._save(edit)
            if self._edit is None:
                edit = replace(edit, field=field)
                with suppress(QStateError):  # somebody else was quick to delete it
                    self._buckets.edits.begin_edit(edit.key, field)
        self._entered = edit, self._clock() + _AT_ONCE

    def _on_text(self) -> None:
        """A text has come: because of Enter, or as the field was left, which saves nothing."""
        entered, self._entered = self._entered, None
        if entered is not None and self._clock() < entered[1]:
            self._save(entered[0])


def _rows_of(section: Section) -> Sequence[Row]:
    return section.rows if isinstance(section, BucketView) else ()


def _quiet(text: str) -> str:
    return f'<div class="qstate-quiet">{escape(text)}</div>'
