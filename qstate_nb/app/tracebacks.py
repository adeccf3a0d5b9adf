"""Tracebacks that show the user's own frames, as text that is the same on every run."""

from __future__ import annotations

import os
import sysconfig
import traceback
from pathlib import Path

_OWN = f"{Path(__file__).parent.parent}{os.sep}"
_LIBRARIES = tuple({f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def format_error(error: BaseException) -> str:
    """The traceback of an exception and of those behind it, without frames of this package and of libraries.

    Code that is in no file (a notebook cell, a terminal) is shown as ``<cell>``, since its real name differs on
    every run. Where nothing of the user's is in it, the libraries' frames are shown.
    """
    whole = traceback.TracebackException.from_exception(error)
    _trim(whole, set())
    return "".join(whole.format()).rstrip("\n")


def _trim(part: traceback.TracebackException | None, seen: set[int]) -> None:
    if part is None or id(part) in seen:
        return
    seen.add(id(part))
    frames = [frame for frame in part.stack if not frame.filename.startswith(_OWN)]
    own = [frame for frame in frames if not _is_library(frame.filename)]
    part.stack = traceback.StackSummary.from_list([_plain(frame) for frame in own or frames])
    for other in (part.__cause__, part.__context__, *(part.exceptions or ())):
        _trim(other, seen)


def _is_library(filename: str) -> bool:
    return filename.startswith((*_LIBRARIES, "<frozen"))


def _plain(frame: traceback.FrameSummary) -> traceback.FrameSummary:
    """The frame without its columns, which Python versions mark differently."""
    filename = frame.filename if Path(frame.filename).exists() else "<cell>"
    return traceback.FrameSummary(filename, frame.lineno, frame.name, line=frame.line)
