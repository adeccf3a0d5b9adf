"""The field in which a value of State is typed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from qstate_nb.core.formats import printable
from qstate_nb.core.keys import StateKey
from qstate_nb.notebook.panel.parts import change, problem_html
from qstate_nb.notebook.panel.pool import Looks


class Holder(Protocol):
    """What an editor can be in: a row or a bucket."""

    def hold(self, editor: Any | None) -> None:
        """Take in an editor, or put it out."""

    def focus(self) -> None:
        """Give the button back the focus that the editor had."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What is edited.

    Args:
        key, field: the bucket, and which value; None for a new one.
        text: the value before.
        holder: the row or bucket that the editor is in.
    """

    key: StateKey
    field: str | None
    text: str
    holder: Holder

    @property
    def title(self) -> str:
        """What is edited, such as ``Signup.step``."""
        return printable(f"{self.key}.{'…' if self.field is None else self.field}", 100)


class Editor:
    """Fields for a value and, for a new one, its key; Save, Cancel, and what is wrong.

    While it is open nothing of it is changed but what is wrong: each change would bring back the text that was sent
    last, and what is typed is sent when the field is left or Enter is pressed. Enter sends two messages: that it was
    pressed, and then the text, if that is another.

    Args:
        on_save, on_cancel, on_enter: are called without arguments.
        on_text: is called when there is another text.
    """

    def __init__(
        self,
        looks: Looks,
        *,
        on_save: Callable[[], object],
        on_cancel: Callable[[], object],
        on_enter: Callable[[], object],
        on_text: Callable[[], object],
    ) -> None:
        self._looks = looks
        self._on_enter = on_enter
        self.name = looks.text("new key", "name", lambda _: None, at_once=False)
        self.value = looks.text("value", "a Python literal, or text", lambda _: on_text(), at_once=False)
        self.value.on_msg(self._told)
        self._save = looks.button("Save", "", on_save, "qstate-small", icon="check")
        self._cancel = looks.button("Cancel", "Leave it as it was", on_cancel, "qstate-small")
        self._problem = looks.html()
        line = looks.row([self.name, self.value, self._save, self._cancel], "qstate-line")
        self.box = looks.column([line, self._problem], "qstate-editor")

    def open(self, title: str, text: str, problem: str = "", *, with_name: bool = False) -> None:
        """Get ready for a value.

        Args:
            title: what is edited, such as ``Signup.step``.
            text: its value.
            problem: why it can't be edited; there is no field then.
        """
        change(self.value, "value", text)
        change(self.name, "value", "")
        change(self.value, "tooltip", f"Value of {title}")
        change(self._save, "tooltip", f"Save {title}")
        self._looks.show(self.name, with_name)
        for widget in (self.value, self._save):
            self._looks.show(widget, not problem)
        self.say(problem)

    def focus(self) -> None:
        """Go to the first field."""
        (self.name if self._looks.is_shown(self.name) else self.value).focus()

    def say(self, problem: str) -> None:
        """Say what is wrong."""
        change(self._problem, "value", problem_html(problem) if problem else "")
        self._looks.show(self._problem, bool(problem))

    def _told(self, _: object, content: dict[str, Any], __: object) -> None:
        if content.get("event") == "submit":
            self._on_enter()
