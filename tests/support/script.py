"""Run a piece of code in a Python of its own: for what must not have happened before in the process."""

from __future__ import annotations

import subprocess
import sys
import textwrap

PRELUDE = """\
import asyncio, os, signal, sys, threading, time
from qstate_nb import *
app = InlineApp(registry=StateRegistry())
class Signup(State): pass
class AsyncSignup(AsyncState, name="Signup"): pass
"""


def run_script(code: str, *, prelude: str = PRELUDE, timeout: float = 30) -> str:
    """What the code prints; warnings are errors, and anything on stderr or an exit code makes it fail."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", prelude + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout
