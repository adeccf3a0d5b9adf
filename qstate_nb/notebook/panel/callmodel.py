"""The calls that the panel lists: which of them, in which rows, and what is shown of each; without a widget."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from qstate_nb.app import Call, InlineApp, Progress, TaskResult
from qstate_nb.app.result import moment
from qstate_nb.core.formats import counted, message, printable, short, short_text, stable
from qstate_nb.errors import TaskTimeoutError
from qstate_nb.notebook import views

ROWS = 8
_MAX_OUTPUT = 4_000
_MAX_ARGUMENTS = 10
_WIDTH = 160
_SETTLED = 500_000_000  # nanoseconds after which who clicks Stop has seen whose it is
_NEVER = -(2**63)

Kind: TypeAlias = Literal["all", "running", "failed"]

_SIGNS = {
    "new": ("…", "waiting"),
    "process": ("▶", "running"),
    "success": ("✓", "success"),
    "error": ("✗", "error"),
    "cancel": ("■", "cancelled"),
}


@dataclass(frozen=True, slots=True)
class CallView:
    """What is shown of a call, as plain text.

    Args:
        name: such as ``step1 #3``.
        arguments: what it was given.
        sign, status: how it stands, as a sign and a word.
        detail: what it returned or which error ended it; empty while it runs.
        attempt: which attempt it is, and what it was retried as; mostly empty.
        can_stop: whether it has not ended.
        fraction: how far it is, from 0 to 1; None where nobody knows.
        progress: how far it says it is, or how many values it has yielded; mostly empty.
        elapsed: how long it has taken, or empty if it has not begun.
        output: what it printed; of a long text, the end.
        traceback: of the error that ended it.
    """

    name: str
    arguments: str
    sign: str
    status: str
    detail: str
    attempt: str
    can_stop: bool
    fraction: float | None
    progress: str
    elapsed: str
    output: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of calls.

    Args:
        rows: the call in each row.
        page: which page it is, from 0.
        pages: how many there are, 1 at least.
        total: how many calls there are on all of them.
        running: how many calls have not ended, listed or not.
        hidden: how many of these are in none of the rows.
    """

    rows: tuple[Call | None, ...]
    page: int
    pages: int
    total: int
    running: int
    hidden: int

    @property
    def summary(self) -> str:
        """Which calls these are, such as ``9 to 16 of 20 calls``."""
        first = self.page * ROWS
        return f"{first + 1:,} to {min(first + ROWS, self.total):,} of {counted(self.total, 'call')}"


@dataclass(frozen=True, slots=True)
class _Row:
    """A row, and when a Stop button was last taken from it."""

    call: Call | None = None
    can_stop: bool = False
    stop_gone: int = _NEVER

    def then(self, call: Call | None, now: int) -> _Row:
        can_stop = call is not None and call.own_result is None
        is_gone = self.can_stop and not (can_stop and call is self.call)
        return _Row(call, can_stop, now if is_gone else self.stop_gone)


class Calls:
    """Lists the calls of an app, a page at a time.

    Args:
        app: whose calls they are.
        clock: tells the time, as `time.time_ns` does.

    Attributes:
        kind, text: which calls are listed: those that run, that failed, or all; of tasks whose name has this text
            in it.
        page: which page is shown, from 0.
    """

    def __init__(self, app: InlineApp, clock: Callable[[], int] = time.time_ns) -> None:
        self.app = app
        self.kind: Kind = "all"
        self.text = ""
        self.page = 0
        self._clock = clock
        self._rows = (_Row(),) * ROWS
        self._texts: dict[tuple[Call, str], str] = {}  # made once for each call: an object's repr may take long

    def choose(self, kind: Kind | None = None, text: str | None = None) -> None:
        """List other calls, from the first page on."""
        self.kind = self.kind if kind is None else kind
        self.text = self.text if text is None else text
        self.page = 0

    def turn(self, pages: int) -> None:
        """Go to another page: so many further on, or back."""
        self.page = max(0, self.page + pages)

    def listed(self) -> Listed:
        """The page as it is now: first the calls that run, the oldest first; then those that ended, the newest first.

        A call that runs keeps its row, so that nobody stops another one than he meant to.
        """
        calls = self.app.calls
        running = [call for call in calls if call.own_result is None]
        ended = [call for call in reversed(calls) if call.own_result is not None]
        found = [call for call in (*running, *ended) if self._is_wanted(call)]
        pages = max(1, math.ceil(len(found) / ROWS))
        self.page = page = min(self.page, pages - 1)
        rows = self._arrange(found[page * ROWS : (page + 1) * ROWS])
        return Listed(rows, page, pages, len(found), len(running), len({*running} - {*rows}))

    def _is_wanted(self, call: Call) -> bool:
        if self.kind == "running" and call.own_result is not None:
            return False
        if self.kind == "failed" and not _has_failed(call.own_result):
            return False
        return not self.text or self.text.strip().casefold() in str(call).casefold()

    def _arrange(self, calls: list[Call]) -> tuple[Call | None, ...]:
        now, before = self._clock(), [row.call for row in self._rows]
        kept = {call for call in calls if call in before and call.own_result is None}
        others = iter([call for call in calls if call not in kept])
        rows = tuple(call if call in kept else next(others, None) for call in before)
        self._rows = tuple(row.then(call, now) for row, call in zip(self._rows, rows, strict=True))
        self._texts = {key: text for key, text in self._texts.items() if key[0] in rows}
        return rows

    def view(self, call: Call) -> CallView:
        """What is shown of a call; its arguments and its end are looked at once, as long as it stays on the page."""
        result = call.own_result
        sign, word = _SIGNS[call.own_status if result is None else result.status]
        return CallView(
            name=f"{printable(call.task.name)} #{call.number}",
            arguments=self._once(call, "arguments", lambda: _arguments(call)),
            sign=sign,
            status="stopping" if result is None and call.stopped_by is not None else word,
            detail="" if result is None else self._once(call, "detail", lambda: _detail(result)),
            attempt=_attempt(call),
            can_stop=result is None,
            fraction=_fraction(call.progress) if result is None else None,
            progress=_progress(call),
            elapsed=_elapsed(call, self._clock()),
            output=views.shortened(call.output, _MAX_OUTPUT).rstrip(),
            traceback="" if result is None else self._once(call, "traceback", lambda: _traceback(result)),
        )

    def _once(self, call: Call, name: str, make: Callable[[], str]) -> str:
        if (call, name) not in self._texts:
            self._texts[call, name] = make()
        return self._texts[call, name]

    def next_tick(self) -> float | None:
        """In how many seconds the time of a call in a row is another one; None if none of these runs."""
        for row in self._rows:
            if row.call is not None and row.call.own_status == "process":
                return 1 - _seconds(row.call, self._clock()) % 1
        return None

    def stop(self, call: Call) -> bool:
        """Stop a call, from any thread; False if it has ended already."""
        return call.cancel("stopped in the panel")

    def stop_clicked(self, call: Call) -> bool:
        """Stop a call whose button was clicked, unless another one's was in that place just before.

        Returns:
            Whether it is stopped.
        """
        now = self._clock()
        if any(row.call is call and now - row.stop_gone < _SETTLED for row in self._rows):
            return False
        return self.stop(call)

    def stop_all(self) -> int:
        """Stop every call of the app that has not ended; tells how many there were."""
        return sum(self.stop(call) for call in self.app.calls if call.own_result is None)


def _has_failed(result: TaskResult | None) -> bool:
    return result is not None and (result.status == "error" or isinstance(result.exception, TaskTimeoutError))


def _arguments(call: Call) -> str:
    positional = (short(value, 40) for value in call.args)
    named = (f"{printable(name, 40)}={short(value, 40)}" for name, value in call.kwargs.items())
    shown = itertools.islice(itertools.chain(positional, named), _MAX_ARGUMENTS)
    more = ["…"] if len(call.args) + len(call.kwargs) > _MAX_ARGUMENTS else []
    return ", ".join([*shown, *more])


def _detail(result: TaskResult) -> str:
    error = result.exception
    if error is None:
        return f"returned {short(result.returning, _WIDTH)}"
    return f"{type(error).__name__}: {message(error)}"


def _traceback(result: TaskResult) -> str:
    return views.shortened(stable(result.traceback or "")) if result.status == "error" else ""


def _attempt(call: Call) -> str:
    number = f"↻ attempt {call.attempt_number}" if call.attempt_number > 1 else ""
    again = "" if call.retried_as is None else f"↻ tried again as #{call.retried_as.number}"
    return " ".join(filter(None, (number, again)))


def _fraction(progress: Progress | None) -> float | None:
    if progress is None:
        return None
    try:
        part = float(progress.done / progress.total)
    except Exception:  # a number of any size, or of a user's class
        return None
    return min(max(part, 0.0), 1.0) if math.isfinite(part) else None


def _progress(call: Call) -> str:
    """How far a call is; when it has ended, how far it came, unless that is clear."""
    ended, progress = call.own_result is not None, call.progress
    if progress is not None and call.own_status != "success":
        said = f"{_number(progress.done)} of {_number(progress.total)} {short_text(progress.message, 80)}".rstrip()
        return f"at {said}" if ended else said
    if call.count is None:
        return ""
    return counted(call.count, "value") + ("" if ended else " so far")


def _number(value: float) -> str:
    return short(value, 20) if isinstance(value, int) else f"{value:g}"


def _elapsed(call: Call, now: int) -> str:
    if call.own_status == "new":
        return ""
    is_over = call.own_result is not None
    seconds = (call.updated_at - call.created_at).total_seconds() if is_over else _seconds(call, now)
    if is_over and seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.1 else "< 0.1 s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60:,} h {minutes % 60:02} m"
    return f"{minutes} m {rest:02} s" if minutes else f"{rest} s"


def _seconds(call: Call, now: int) -> float:
    return max(0.0, (moment(now) - call.created_at).total_seconds())
