"""A real Jupyter kernel for the tests: what a front end sends and sees, without a browser.

Role: some bugs show only between messages (cells queued behind a blocking one, clicks that arrive
during a run, a callback on another thread), so the tests talk to a kernel process over its
channels, as JupyterLab does.

Flow: every request goes out through ``Kernel._send``, which keeps a ``Reply`` under its message
id. Every wait polls the channels and hands each message to the reply that its parent header names,
so the output of one cell never lands in another's, and output that comes after a cell ended (a
background task) is still added to that cell's.

    with kernel() as k:
        k.run("import time")
        blocking, queued = k.send("print('in', flush=True); time.sleep(99)"), k.send("6 * 7")
        k.wait_output(blocking, "in")
        k.interrupt()
        assert k.wait(queued).status == "aborted"
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

CLICK = {"method": "custom", "content": {"event": "click"}}


@dataclass
class Reply:
    """What one request brought back so far; it grows whenever the kernel is waited on.

    ``status`` is ``running`` until the request ended, then ``ok``, ``error``, or ``aborted`` (a
    cell queued behind a failing one). ``results`` are the MIME bundles of ``execute_result`` and
    ``display_data``, in order; updates of a display and ``clear_output`` are not applied.
    """

    status: str = "running"
    ename: str = ""
    evalue: str = ""
    traceback: list[str] = field(default_factory=list)
    stdout: str = ""
    stderr: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=dict, repr=False)  # the reply's whole content
    idle: bool = field(default=False, repr=False)

    def take(self, kind: str, content: dict[str, Any]) -> None:
        """Add one message whose parent is this request."""
        if kind == "stream":
            name = content["name"]
            setattr(self, name, getattr(self, name) + content["text"])
        elif kind in {"execute_result", "display_data"}:
            self.results.append(content["data"])
        elif kind == "status":
            self.idle |= content["execution_state"] == "idle"
        elif kind.endswith("_reply"):
            self.answer = content
        if kind == "error" or content.get("status") == "error":
            self.ename, self.evalue = content.get("ename", ""), content.get("evalue", "")
            self.traceback = content.get("traceback", [])
        if self.idle and self.answer:
            self.status = self.answer["status"]


class Kernel:
    """A running kernel and what was asked of it; made by ``kernel()``. Timeouts are seconds."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self._manager, self._client = manager, client
        self._replies: dict[str, Reply] = {}
        self._poller = zmq.Poller()
        channels = (client.shell_channel, client.control_channel, client.iopub_channel)
        self._channels = {channel.socket: channel for channel in channels}
        for socket in self._channels:
            self._poller.register(socket, zmq.POLLIN)

    def run(self, code: str, timeout: float = 30) -> Reply:
        """Run a cell and wait until it ended."""
        return self.wait(self.send(code), timeout)

    def send(self, code: str) -> str:
        """Queue a cell as "Run All" does, without waiting, and return its message id."""
        return self._send("execute_request", _cell(code))

    def wait(self, msg_id: str, timeout: float = 30) -> Reply:
        """Wait until the request ended; for a click: until its callbacks returned.

        ipykernel 7.4 doesn't announce the end of a click that it serves while an ``await`` cell
        runs on the same shell: for those, use ``wait_until`` or ``wait_output``.
        """
        reply = self._replies[msg_id]
        self._until(lambda: reply.status != "running", timeout, "its end", reply)
        return reply

    def wait_output(self, msg_id: str, text: str, timeout: float = 30) -> Reply:
        """Wait until the request has printed ``text``: the way to know that a cell is under way."""
        reply = self._replies[msg_id]
        self._until(lambda: text in reply.stdout, timeout, f"{text!r} in its output", reply)
        return reply

    def wait_until(self, expression: str, timeout: float = 30, subshell: str | None = None) -> None:
        """Poll a Python expression in the user's namespace until it is true.

        An expression that raises counts as not true yet. Polls wait behind a cell that blocks the
        main shell; with a ``subshell`` they don't.
        """
        deadline = time.monotonic() + timeout
        poll = _cell("", value=f"bool({expression})")
        answer: dict[str, Any] = {}
        while answer.get("data") != {"text/plain": "True"}:
            left = deadline - time.monotonic()
            if left < 0:
                raise TimeoutError(f"{expression!r} not true after {timeout} s, but {answer}")
            reply = self.wait(self._send("execute_request", poll, subshell=subshell), left)
            answer = reply.answer.get("user_expressions", {}).get("value", {})
            self._pump(0.02)

    def complete(self, code: str, cursor_pos: int | None = None) -> list[str]:
        """Return the completions at ``cursor_pos`` (characters; None: at the end of the code)."""
        position = len(code) if cursor_pos is None else cursor_pos
        return list(self._ask("complete_request", code=code, cursor_pos=position)["matches"])

    def interrupt(self) -> None:
        """Interrupt the running cell, as the stop button does.

        A cell that awaits ends only at the next event of its loop (ipykernel 6.31 to 7.4): if
        nothing else happens there, at the next message.
        """
        self._manager.interrupt_kernel()

    def create_subshell(self) -> str | None:
        """Start a subshell (a kernel thread with its own loop); None: the kernel has no such thing.

        Subshells came with ipykernel 7.
        """
        if "kernel subshells" not in self._ask("kernel_info_request").get("supported_features", []):
            return None
        return str(self._ask("create_subshell_request", "control")["subshell_id"])

    def click(self, comm_id: str, subshell: str | None = None) -> str:
        """Click an ipywidgets Button (``comm_id`` is its ``model_id``); return the message id.

        With ``subshell`` the message goes out as from JupyterLab 4.6. ipykernel 7.4 treats that
        as a wish only: it delivers to the shell from which the widget last sent something.
        """
        return self._send("comm_msg", {"comm_id": comm_id, "data": CLICK}, subshell=subshell)

    def _ask(self, kind: str, channel: str = "shell", **content: Any) -> dict[str, Any]:
        reply = self.wait(self._send(kind, content, channel))
        if reply.status != "ok":
            raise RuntimeError(f"the kernel answered {kind} with {reply}")
        return reply.answer

    def _send(
        self,
        kind: str,
        content: dict[str, Any],
        channel: str = "shell",
        subshell: str | None = None,
    ) -> str:
        message = self._client.session.msg(kind, content)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        msg_id = str(message["header"]["msg_id"])
        # a comm message gets no reply: its idle status is its end
        self._replies[msg_id] = Reply(answer={"status": "ok"} if kind == "comm_msg" else {})
        getattr(self._client, f"{channel}_channel").send(message)
        return msg_id

    def _until(self, done: Callable[[], bool], timeout: float, what: str, reply: Reply) -> None:
        deadline = time.monotonic() + timeout
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout:.1f} s for a request, for {what}: {reply}")
            self._pump(0.1)

    def _pump(self, seconds: float) -> None:
        """Route what came, waiting at most so long for a first message."""
        ready = self._poller.poll(int(seconds * 1000))
        for socket, _ in ready:
            message = self._channels[socket].get_msg(timeout=0)
            reply = self._replies.get(message["parent_header"].get("msg_id", ""))
            if reply is not None:
                reply.take(message["msg_type"], message["content"])
        if not ready and not self._manager.is_alive():
            raise RuntimeError("the kernel process died")


@contextmanager
def kernel(python: str = sys.executable) -> Iterator[Kernel]:
    """Start a kernel of the interpreter ``python`` in a private folder, and stop it at the end.

    Raises RuntimeError when it doesn't come up (mostly: no ipykernel there). Whatever is raised
    inside gets the end of the kernel's log as a note.
    """
    with tempfile.TemporaryDirectory(prefix="kernel-", ignore_cleanup_errors=True) as folder:
        log = Path(folder, "kernel.log")
        private = {"IPYTHONDIR": f"{folder}/ipython", "JUPYTER_RUNTIME_DIR": f"{folder}/runtime"}
        manager = _manager(Path(folder), python)
        with log.open("wb") as stream:
            manager.start_kernel(env=os.environ | private, cwd=folder, stdout=stream, stderr=stream)
        client = manager.client()
        try:
            client.start_channels(hb=False, stdin=False)
            client.wait_for_ready(timeout=60)
            yield Kernel(manager, client)
        except Exception as error:
            text = log.read_text(encoding="utf-8", errors="replace")
            error.add_note(f"The kernel's log ends with:\n{text[-3000:]}")
            raise
        finally:
            client.stop_channels()
            manager.shutdown_kernel()


def _manager(folder: Path, python: str) -> KernelManager:
    """A manager whose only kernel spec is ``python``, whatever is installed on the machine."""
    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = folder / "kernels" / "test" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": argv, "display_name": "test", "language": "python"}))
    specs = KernelSpecManager(kernel_dirs=[str(folder / "kernels")], ensure_native_kernel=False)
    return KernelManager(
        kernel_name="test",
        kernel_spec_manager=specs,
        connection_file=str(folder / "connection.json"),
    )


def _cell(code: str, **expressions: str) -> dict[str, Any]:
    """The content of an execute request; with expressions to evaluate it leaves no trace."""
    return {
        "code": code,
        "silent": bool(expressions),
        "store_history": not expressions,
        "user_expressions": expressions,
        "allow_stdin": False,
        "stop_on_error": True,
    }
