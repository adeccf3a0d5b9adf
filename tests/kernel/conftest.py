"""One kernel for the tests of a module, a fresh app in it for each test, and a gate that its tasks wait at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.front_end import FrontEnd
from support.kernel import Kernel, kernel

# Each test has its own registry and app. `waits` and `blocks` begin, and end when the gate (a file) is there:
# so they wait for real, and exactly as long as the test wants.
SETUP = """\
import asyncio, pathlib, threading, time
from qstate_nb import AsyncState, InlineApp, State, StateRegistry, panel
%load_ext qstate_nb
gate = pathlib.Path({gate!r})
app = InlineApp(registry=StateRegistry())

class Work(AsyncState):
    pass

class SyncWork(State, name="Work"):
    pass

@app.task
async def waits(state: Work, name: str = "waits"):
    print(name, "began")
    await state.set(name, "began")
    try:
        await asyncio.sleep(0)
        while not gate.exists():
            await asyncio.sleep(0.002)
        print(name, "goes on")
        return name
    finally:
        await state.set(name, "ended")

@app.task
def blocks(state: SyncWork, name: str = "blocks"):
    print(name, "began")
    state.set(name, "began")
    try:
        while not gate.exists():
            time.sleep(0.002)
        print(name, "goes on")
        return name
    finally:
        state.set(name, "ended")

@app.task
async def quick(state: Work):
    await state.set("quick", "ended")
    print("quick printed")
    return "quick"

content = app.state(SyncWork).get_all
"""

# Ends what a test has left running, and says what that was.
TEARDOWN = """
left = [str(call) for call in app.calls if not call.done]
for call in app.calls:
    call.cancel()
while any(not call.done for call in app.calls):
    await asyncio.sleep(0.002)
print("left:", left)
"""


@pytest.fixture(scope="module")
def shared_kernel() -> Iterator[Kernel]:
    with kernel() as k:
        yield k


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Touch it, and the tasks that wait at it go on."""
    return tmp_path / "gate"


@pytest.fixture
def k(shared_kernel: Kernel, gate: Path) -> Iterator[Kernel]:
    """A kernel in which `SETUP` has run; at the end of the test, no call must be left running."""
    setup = shared_kernel.run(SETUP.format(gate=str(gate)))
    assert setup.status == "ok", setup
    yield shared_kernel
    assert shared_kernel.run(TEARDOWN, timeout=10).stdout == "left: []\n"


@pytest.fixture
def subshell(shared_kernel: Kernel) -> str:
    """A subshell: a thread of the kernel that answers while a cell blocks the main one."""
    created = shared_kernel.create_subshell()
    assert created is not None, "this ipykernel has no subshells"
    return created


@pytest.fixture
def front_end(shared_kernel: Kernel) -> Iterator[FrontEnd]:
    """The widgets that the test makes, as a browser has them."""
    connected = FrontEnd(shared_kernel)
    yield connected
    connected.close()
