"""A shell with the extension in it, and an app with a State and tasks of many kinds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.leaks import nothing_left
from support.shell import Shell, ipython

from qstate_nb import InlineApp, StateRegistry


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    with nothing_left():
        yield


@pytest.fixture
def app() -> InlineApp:
    return InlineApp(registry=StateRegistry())


@pytest.fixture(scope="session")
def ip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with ipython(tmp_path_factory.mktemp("ipython")) as shell:
        yield shell


@pytest.fixture
def bare(ip: Any, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    """A shell without the extension and without variables."""
    before = dict(ip.user_ns)
    yield Shell(ip, capsys)
    ip.extension_manager.unload_extension("qstate_nb")
    ip.config.pop("QStateMagics", None)
    ip.user_ns.clear()  # its own reset() collects garbage, which takes longer than a test
    ip.user_ns.update(before)
    ip.user_ns["Out"].clear()


@pytest.fixture
def shell(bare: Shell) -> Shell:
    """A shell with the extension, and an app with one State and some tasks."""
    bare.good("%load_ext qstate_nb")
    bare.good(CELL)
    return bare


CELL = """
import datetime, enum
from dataclasses import dataclass
from typing import Any, Literal, Optional
from qstate_nb import InlineApp, State, AsyncState, StateRegistry

class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"

@dataclass
class Point:
    x: int
    y: int = 0

class Signup(State):
    pass

app = InlineApp("shop", registry=StateRegistry())

@app.task
def step1(state: Signup, phone: str = "", n: int = 1):
    "Ask for the phone number"
    print("asking", phone)
    state.update(phone=phone, n=n)
    return "ok"

@app.task
def step2(state: Signup):
    return state.get_all()

@app.task
def fail(reason: str):
    raise LookupError(reason)

@app.task
def give(it):
    return it

@app.task
def paint(colour: Colour, kind: Literal["dark", "light"] = "dark", fast: bool = False):
    return colour, kind, fast

def bucket():
    return app.state(Signup)
"""
