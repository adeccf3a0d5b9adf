"""What the panel's races tab shows and does, without a widget."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NoReturn

from qstate_nb.app import InlineApp
from qstate_nb.core.formats import message
from qstate_nb.errors import CommandError, QStateError
from qstate_nb.notebook import races
from qstate_nb.notebook.arguments import split
from qstate_nb.notebook.render import Paragraph, View
from qstate_nb.races import Exploration, Stepper
from qstate_nb.races.stepping import Possible


class Explorer:
    """Explores calls in the background, and steps through them.

    Args:
        app: whose tasks they are.
        on_change: is called when there is something new to show.

    Attributes:
        found: the last exploration, if any.
        stepper: where one is in it, if one steps.
        problem: what was wrong with what was typed.
        is_busy: whether it explores now.
    """

    def __init__(self, app: InlineApp, on_change: Callable[[], object]) -> None:
        self.app = app
        self._on_change = on_change
        self.found: Exploration | None = None
        self.stepper: Stepper | None = None
        self.problem = ""
        self.is_busy = False
        self._lock = threading.RLock()
        self._outcomes = ""  # in HTML
        self._shown: tuple[str, list[Possible]] = "", []  # made when it changes: the panel is drawn far more often

    def explore(self, calls: str, check: str, *, now: bool) -> threading.Thread | None:
        """Explore calls, as they are typed after ``%qstate races``, in a thread of its own.

        Args:
            check: an expression, or empty.
            now: whether to begin with a copy of the State as it is.

        Returns:
            The thread; None if it explores already.
        """
        with self._lock:
            if self.is_busy:
                return None
            self.is_busy, self.problem, self.stepper = True, "", None
            self._shown = self._outcomes, []
        thread = threading.Thread(
            target=self._explore, args=(calls, check, now), name="qstate panel races", daemon=True
        )
        thread.start()
        return thread

    def _explore(self, calls: str, check: str, now: bool) -> None:
        self._on_change()
        try:
            parsed = [races.parsed_call(self.app, word, _no_variables) for word in _words(calls)]
            view = races.races(self.app, parsed, check=check.strip() or None, now=now)
            self._outcomes, self.found = view.html, view.data
        except QStateError as error:
            self.problem = str(error)
        except Exception as error:  # of a user's object
            self.problem = f"{type(error).__name__}: {message(error)}"
        finally:
            self.is_busy = False
            self._show()

    def _show(self) -> None:
        with self._lock:
            stepper = self.stepper
            self._shown = (
                (self._outcomes, []) if stepper is None else (races.stepper_view(stepper).html, stepper.choices)
            )
        self._on_change()

    def step(self) -> None:
        """Begin to step through what was explored, or begin again."""
        with self._lock:
            if self.can_step and self.found is not None:
                self.stepper = self.found.step()
        self._show()

    @property
    def can_step(self) -> bool:
        """Whether there is something to step through."""
        return not self.is_busy and self.found is not None and bool(self.found.outcomes)

    def choose(self, possible: Possible) -> None:
        """Let somebody go on; if that is no longer what can happen next, nothing is done."""
        with self._lock:
            if self.stepper is not None and possible in self.choices():
                self.stepper.choose(self.choices().index(possible))
        self._show()

    def back(self) -> None:
        """Take the last step back; before the first there is none."""
        with self._lock:
            if self.stepper is not None and self.stepper.steps:
                self.stepper.back()
        self._show()

    def stop_stepping(self) -> None:
        """Show the outcomes again."""
        self.stepper = None
        self._show()

    def choices(self) -> list[Possible]:
        """What can happen next, if one steps."""
        return self._shown[1]

    def html(self) -> str:
        """What is to be seen."""
        return View([Paragraph("exploring …")]).html if self.is_busy else self._shown[0]


def _words(calls: str) -> list[str]:
    words = split(calls, has_calls=True)
    if not words:
        raise CommandError("name the tasks that run at once, such as: deposit deposit")
    return words


def _no_variables(text: str) -> NoReturn:
    raise CommandError(f"{text} is no literal such as 80 or 'text'; the panel knows no variables")
