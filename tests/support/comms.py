"""A front end that only listens: ipywidgets talk to it, and it keeps what they say.

with listening() as front_end:
    button = widgets.Button(description="Run")
    front_end.click(button)
    front_end.models[button.model_id]["description"]
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import comm
from comm.base_comm import BaseComm


class FrontEnd:
    """The models as a front end has them.

    Attributes:
        models: comm id → the state of a widget that is open.
        sent: how many messages there were.
    """

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.sent = 0

    def take(self, comm_id: str, kind: str, data: dict[str, Any]) -> None:
        """Apply a message; it must be what a kernel can send."""
        self.sent += 1
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
        if kind == "comm_open":
            self.models[comm_id] = dict(data["state"])
        elif kind == "comm_close":
            self.models.pop(comm_id, None)
        elif data.get("method") == "update":
            self.models[comm_id].update(data["state"])

    def values(self, model: str) -> list[str]:
        """The values of the widgets of one kind, such as ``HTMLModel``."""
        return [state["value"] for state in self.models.values() if state["_model_name"] == model]

    @staticmethod
    def click(button: Any) -> None:
        """Click a button, as the message of a browser does."""
        button._handle_msg({"content": {"data": {"method": "custom", "content": {"event": "click"}}}, "buffers": []})

    @staticmethod
    def fill(widget: Any, **state: Any) -> None:
        """Change a widget, as the message of a browser does."""
        data = {"method": "update", "state": state, "buffer_paths": []}
        widget._handle_msg({"content": {"data": data}, "buffers": []})


class Asked:
    """Counts how often a redraw was asked for."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@contextmanager
def listening() -> Iterator[FrontEnd]:
    """All widgets that are made in the block have this front end."""
    front_end = FrontEnd()

    class Comm(BaseComm):
        def publish_msg(self, msg_type: str, data: Any = None, *_: Any, **__: Any) -> None:
            front_end.take(self.comm_id, msg_type, data or {})

    before = comm.create_comm
    comm.create_comm = Comm
    try:
        yield front_end
    finally:
        comm.create_comm = before
