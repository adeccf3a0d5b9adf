"""What a task must not do while it is explored: real I/O, threads, processes; and where its logs go.

It is done with an audit hook, Python's own means to see such calls; it looks at nothing outside `guarded`.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from qstate_nb.errors import OutOfScopeError

if TYPE_CHECKING:
    from qstate_nb.races.world import Root

_EVENTS: Final = {
    "open": "opens a file",
    "os.system": "starts a process",
    "os.fork": "starts a process",
    "os.forkpty": "starts a process",
    "os.exec": "starts a process",
    "os.posix_spawn": "starts a process",
    "os.spawn": "starts a process",
    "os.listdir": "reads a directory",
    "os.scandir": "reads a directory",
    "os.mkdir": "changes files",
    "os.remove": "changes files",
    "os.rename": "changes files",
    "os.rmdir": "changes files",
    "os.truncate": "changes files",
    "os.link": "changes files",
    "os.symlink": "changes files",
    "os.chmod": "changes files",
    "os.chown": "changes files",
    "os.utime": "changes files",
    "os.chdir": "changes the working directory",
    "os.putenv": "changes the environment",
    "os.unsetenv": "changes the environment",
    "os.kill": "sends a signal",
    "builtins.input": "asks the user",
    "subprocess.Popen": "starts a process",
    "socket.__new__": "opens a socket",
    "socket.connect": "opens a connection",
    "socket.getaddrinfo": "looks up a host",
    "_thread.start_new_thread": "starts a thread",
    "_thread.start_joinable_thread": "starts a thread",
    "sqlite3.connect": "opens a database",
}

_READERS: Final = ("importlib", "linecache", "tokenize", "zipimport")
"""Modules that may read files: an import, or a traceback, is no I/O of the task's."""


class _Here(threading.local):
    root: Root | None = None


_here = _Here()
_lock = threading.Lock()


def _audit(event: str, args: tuple[Any, ...]) -> None:
    root = _here.root
    if root is None or event not in _EVENTS or _is_reader():
        return
    what = f" ({args[0]!r})" if event in ("open", "os.listdir", "os.remove") and args else ""
    raise root.world.refused(
        OutOfScopeError(
            f"task {root.template.name!r} {_EVENTS[event]}{what}, and an exploration can't order what others do "
            "there; move it out of the task, or give the task a fake"
        )
    )


def _is_reader() -> bool:
    frame = sys._getframe(2)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] in _READERS or "_frozen_importlib" in name:
            return True
        if name.startswith("qstate_nb.races"):
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return False


class guarded:  # noqa: N801 - it is used as a function; a generator would cost three times as much
    """Refuse, in this thread, what a task must not do, while the block runs.

    Args:
        root: the task.
    """

    __slots__ = ("_outer", "_root")

    def __init__(self, root: Root) -> None:
        self._root = root
        if not _hooked:
            _hook()

    def __enter__(self) -> None:
        self._outer, _here.root = _here.root, self._root
        _running[threading.get_ident()] = self._root.template.name

    def __exit__(self, *_: object) -> None:
        _here.root = self._outer
        if self._outer is None:
            _running.pop(threading.get_ident(), None)


_hooked: list[object] = []


def _hook() -> None:
    with _lock:
        if not _hooked:
            sys.addaudithook(_audit)  # it can't be taken out again
            _hooked.append(_audit)


_running: dict[int, str] = {}


def running_task(thread: int | None) -> str | None:
    """The explored task whose code a thread runs now."""
    return None if thread is None else _running.get(thread)


_starting: list[Any] = []  # how threads were started before, once for each that refuses them


@contextlib.contextmanager
def threads_refused() -> Iterator[None]:
    """Refuse threads in Python 3.11, which raises no audit event for them."""
    if sys.version_info >= (3, 12):
        yield
        return
    module: Any = threading
    with _lock:
        _starting.append(_starting[0] if _starting else module._start_new_thread)
        start = _starting[0]

        def checked(*args: Any) -> Any:
            _audit("_thread.start_new_thread", args)
            return start(*args)

        module._start_new_thread = checked
    try:
        yield
    finally:
        with _lock:
            _starting.pop()
            if not _starting:
                module._start_new_thread = start


class _ToOutput(logging.Filter):
    """Turns log records of explored tasks into what they print."""

    def filter(self, record: logging.LogRecord) -> bool:
        root = _here.root
        if root is None:
            return True
        if not hasattr(record, "is_kept_back"):  # by another handler
            record.is_kept_back = True
            root.world.write(f"{record.levelname} {record.name}: {_text_of(record)}\n")
        return False


def _text_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # wrong arguments; logging never raises for that
        return str(record.msg)


@contextlib.contextmanager
def logs_kept_back() -> Iterator[None]:
    """Keep what explored tasks log off the handlers that there are."""
    known = [logging.getLogger(), *(logger for logger in logging.root.manager.loggerDict.values())]
    handlers = {handler for logger in known if isinstance(logger, logging.Logger) for handler in logger.handlers}
    if logging.lastResort is not None:
        handlers.add(logging.lastResort)
    keeper = _ToOutput()
    for handler in handlers:
        handler.addFilter(keeper)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(keeper)
