"""While tasks are explored: what they print, log and share, and the apps they reach, are kept apart from the rest."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from qstate_nb.app.inline import stand_ins_used
from qstate_nb.app.output import capture, release
from qstate_nb.races.program import Program
from qstate_nb.races.sandbox import logs_kept_back, threads_refused
from qstate_nb.races.world import World

_sharing = threading.RLock()  # is held while primitives that are shared have the methods of their models


@contextlib.contextmanager
def apart(program: Program) -> Iterator[None]:
    """Keep a program's tasks apart while the block runs."""
    keeper = World(program.contents)  # so that the streams stay routed
    with contextlib.ExitStack() as stack:
        if program.shared.models:
            stack.enter_context(_sharing)
            program.shared.install()
            stack.callback(program.shared.uninstall)
        stack.enter_context(stand_ins_used())
        stack.enter_context(logs_kept_back())
        stack.enter_context(threads_refused())
        capture(keeper)
        stack.callback(release, keeper)
        yield
