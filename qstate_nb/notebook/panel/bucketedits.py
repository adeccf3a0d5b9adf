"""What a person changes in State by hand: a value, a key, a whole bucket."""

from __future__ import annotations

import ast
from collections.abc import Callable
from contextvars import Context
from typing import Any

from qstate_nb.app import InlineApp
from qstate_nb.core.diff import is_same
from qstate_nb.core.formats import counted, printable, short
from qstate_nb.core.history import History
from qstate_nb.core.journal import ABSENT, Event
from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.state import State
from qstate_nb.errors import StateError, StateValueError, WouldBlockError
from qstate_nb.notebook import views
from qstate_nb.notebook.arguments import literal
from qstate_nb.stores.codec import Unreadable

_LONGEST = 10_000  # characters of a value that can be edited
_PARTS = 5_000
_SCALARS = (type(None), bool, int, float, complex, str, bytes)
_OPENS = ("(", "[", "{", "'", '"', "b'", 'b"', "r'", 'r"')


class Edits:
    """Changes State on behalf of the user.

    Nothing waits here: what a transaction holds is not changed, and that is said.

    Args:
        app: whose State it is.
    """

    def __init__(self, app: InlineApp) -> None:
        self._app = app
        self._begun: dict[tuple[StateKey, str], Any] = {}

    @property
    def _registry(self) -> StateRegistry:
        return self._app.registry

    def restart(self) -> None:
        """Forget what was begun: the app's State is another one."""
        self._begun.clear()

    def begin_edit(self, key: StateKey, field: str) -> str:
        """The value of a field as it would be typed, to be edited; empty if it can't be read, to be replaced.

        Raises:
            StateError: there is no such field.
            StateValueError: it can't be typed: it is of another type than Python has literals for, or too long.
        """
        with self._registry.store.shown():  # what is edited is what is seen
            value = self._stored(key).get(field, ABSENT)
        if value is ABSENT:
            raise StateError(f"{_named(key, field)} is not there any more")
        text = "" if isinstance(value, Unreadable) else _typed(value, _named(key, field))
        self._begun[key, field] = value
        return text

    def end_edit(self, key: StateKey, field: str) -> None:
        """Forget that an edit was begun."""
        self._begun.pop((key, field), None)

    def save(self, key: StateKey, field: str, text: str) -> str:
        """Give a field the value that was typed, and say so.

        Raises:
            StateError: it has changed since `begin_edit`, or a transaction holds the bucket.
            StateValueError: the text can't be read.
            FieldTypeError: the field is declared with another type.
        """
        name = _named(key, field)
        if (key, field) not in self._begun:
            raise StateError(f"the edit of {name} was ended; begin again")
        value, before = _read(text), self._begun[key, field]
        now = self._stored(key).get(field, ABSENT)
        if not _is_still(before, now):
            raise StateError(f"{name} was {self._what_happened(key, field, now)} meanwhile; look, and edit again")
        if is_same(before, value):
            done = f"{name} is {short(value, 60)} already"
        else:
            self._write(key, lambda state: state.set(field, value))
            done = f"{name} = {short(value, 60)}{self._note(key, field, before, value)}"
        self.end_edit(key, field)
        return done

    def _what_happened(self, key: StateKey, field: str, now: Any) -> str:
        last = self._registry.history(key, key=field, limit=1)
        by = f" by {printable(str(last[-1].actor))}" if last else ""
        return f"deleted{by}" if now is ABSENT else f"changed to {short(now, 60)}{by}"

    def _note(self, key: StateKey, field: str, before: Any, value: Any) -> str:
        declared = self._registry.declared(key.name)
        if (
            before is None
            or type(before) in (type(value), Unreadable)
            or (declared and field in declared.annotations)
        ):
            return ""
        return f"; note that it was of type {type(before).__name__}, and is of type {type(value).__name__} now"

    def add(self, key: StateKey, field: str, text: str) -> str:
        """Give a bucket a new field.

        Raises:
            StateError: it has one of that name, or that is empty; or as `save`.
            NotFoundError: the State class is strict and doesn't declare it.
        """
        if not field:
            raise StateError("type the name of the new key first")
        value = _read(text)
        if field in self._stored(key):
            raise StateError(f"{_named(key, field)} is there already; edit that")
        self._write(key, lambda state: state.set(field, value))
        return f"{_named(key, field)} = {short(value, 60)}"

    def delete(self, key: StateKey, field: str) -> str:
        """Remove a field.

        Raises:
            StateError: it isn't there any more, or a transaction holds the bucket.
        """
        if field not in self._stored(key):
            raise StateError(f"{_named(key, field)} is not there any more")
        self._write(key, lambda state: state.delete(field))
        return f"{_named(key, field)} deleted"

    def clear(self, key: StateKey) -> str:
        """Remove all fields of a bucket.

        Raises:
            StateError: a transaction holds it.
        """
        count = len(self._registry.writers(key))
        self._write(key, lambda state: state.clear())
        return f"{printable(str(key), 100)} cleared: {counted(count, 'key')} removed"

    def undo(self) -> str:
        """Undo the last call, or what the user changed last.

        Raises:
            HistoryError: it can't be undone.
        """
        return self._travel(self._registry.undo)

    def redo(self) -> str:
        """Bring back what was undone.

        Raises:
            HistoryError: nothing was, or it can't be.
        """
        return self._travel(self._registry.redo)

    def _travel(self, go: Callable[[], History]) -> str:
        """Go a step back or forth as the user, and say what that was."""
        return "\n".join(f"{views.event_line(event)}{self._whose(event)}" for event in Context().run(go))

    def _whose(self, event: Event) -> str:
        """Who had done what came or went, if that was another process."""
        with self._registry.store.shown():
            about = self._registry.history(since=event.refers_to[0], until=event.refers_to[0])
        others = [views.by(each) for each in about if each.actor.host is not None]
        return f"; that was done by {others[0]}" if others else ""

    def _stored(self, key: StateKey) -> dict[str, Any]:
        return Context().run(self._registry.peek, key)

    def _write(self, key: StateKey, change: Callable[[State], object]) -> None:
        """Change a bucket as the user, whatever the code acts for that runs around the click."""
        bucket = self._registry.bucket(key)
        holder = bucket.holder
        if holder is not None:
            raise StateError(
                f"{holder.who} has a transaction on {printable(str(key), 100)}: wait for its end, or stop it; "
                "nothing was changed"
            )
        try:
            Context().run(change, State.linked(bucket, self._registry.declared(key.name)))
        except WouldBlockError as error:  # another process has a transaction on it
            held, _, _ = str(error).partition(",")
            raise StateError(f"{held}: wait for the end of its transaction; nothing was changed") from None


def _is_still(before: Any, now: Any) -> bool:
    if isinstance(before, Unreadable) and isinstance(now, Unreadable):
        return before.raw == now.raw
    return is_same(before, now)


def _named(key: StateKey, field: str) -> str:
    return f"{printable(str(key), 100)}.{printable(field)}"


def _read(text: str) -> Any:
    """What was typed: a Python literal, or else text.

    Raises:
        StateValueError: it is empty, or begins as a literal and is none.
    """
    typed = text.strip()
    if not typed:
        raise StateValueError("type a value; '' is empty text")
    given = literal(typed)
    if given.value is typed and typed.startswith(_OPENS):
        raise StateValueError(f"{short(typed, 60)} is no Python literal; put all of it in quotes to have it as text")
    return given.value


def _typed(value: Any, name: str) -> str:
    """A value as a literal that means the same.

    Raises:
        StateValueError: there is none, or it is too long.
    """
    try:
        other = _no_literal(value, [_PARTS])
        text = "" if other else repr(value)
        if not other and not is_same(ast.literal_eval(text), value):
            other = text  # such as nan
    except Exception:  # nan again, or it is nested too deeply
        other = short(value, 60)
    if other:
        raise StateValueError(f"{name}: a {printable(other)} can't be edited as text; a task or a cell can set it")
    if len(text) > _LONGEST:
        raise StateValueError(f"{name} is too long to be edited here; a task or a cell can set it")
    return text


def _no_literal(value: Any, left: list[int]) -> str:
    """The name of the first type in a value that has no literal; empty if all have one."""
    left[0] -= 1
    kind = type(value)
    if left[0] < 0 or (kind in (str, bytes) and len(value) > _LONGEST):
        return f"{kind.__name__} that is so long"
    if kind in _SCALARS:
        return ""
    if kind is dict:
        parts = [*value.keys(), *value.values()]
    elif kind in (list, tuple, set):
        parts = list(value)
    else:
        return kind.__name__
    return next(filter(None, (_no_literal(part, left) for part in parts)), "")
