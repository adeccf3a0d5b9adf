"""The widgets of a kernel as a front end has them: the models that its comm messages make and change.

Role: what a panel shows and how often it sends it are promises about messages, so they are read from the wire, by
a second client that connects to the kernel as another browser window would.

Flow: `FrontEnd.read` takes the comm messages that have come and applies them to `FrontEnd.models`; all questions
read first.

    front_end = FrontEnd(k)
    k.run("panel(app)")
    k.click(front_end.button("Run", "step1"))
    front_end.wait_for(lambda: ["step1 #1 () · ✓ success, returned 'ok'"] in front_end.boxes("qstate-row"))
"""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from jupyter_client.blocking.client import BlockingKernelClient
from support.kernel import Kernel
from support.markup import seen_in

T = TypeVar("T")
_MODEL = "IPY_MODEL_"


class FrontEnd:
    """The widgets of one kernel, from now on.

    Attributes:
        models: comm id → the state of the widget's model.
        updates: comm id → how many messages have changed it since it was made.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.updates: Counter[str] = Counter()
        path = kernel.run("import ipykernel; print(ipykernel.get_connection_file())").stdout.strip()
        self._client = BlockingKernelClient(connection_file=path)
        self._client.load_connection_file()
        self._client.start_channels(shell=False, stdin=False, hb=False, control=False)
        while not self.read():  # a subscription takes effect some time after it was made
            kernel.run("pass")

    def close(self) -> None:
        """Disconnect."""
        self._client.stop_channels()

    def read(self) -> int:
        """Apply what has come; return how many messages of any kind that was."""
        count = 0
        while (message := self._next()) is not None:
            count += 1
            self._take(message["msg_type"], message["content"])
        return count

    def wait_for(self, question: Callable[[], T | None], timeout: float = 30) -> T:
        """Read messages until *question* has a true answer, and return that."""
        deadline = time.monotonic() + timeout
        while True:
            self.read()
            answer = question()
            if answer:
                return answer
            if time.monotonic() > deadline:
                raise TimeoutError(f"not true after {timeout} s; the widgets show: {self.texts()}")
            time.sleep(0.02)

    def texts(self) -> list[str]:
        """The HTML of all widgets that have some."""
        return [state["value"] for state in self.models.values() if state["_model_name"] == "HTMLModel"]

    def of_class(self, css_class: str) -> str:
        """The comm id of the only widget of this class."""
        self.read()
        (found,) = (id_ for id_, state in self.models.items() if css_class in state.get("_dom_classes", ()))
        return found

    def boxes(self, css_class: str) -> list[list[str]]:
        """Of each box of this class that is to be seen, the texts of its widgets that are, without markup."""
        self.read()
        found = [id_ for id_, state in self.models.items() if css_class in state.get("_dom_classes", ())]
        return [texts for texts in map(self._seen, found) if texts]

    def _seen(self, id_: str) -> list[str]:
        state = self.models.get(id_, {})
        layout = self.models.get(str(state.get("layout", "")).removeprefix(_MODEL), {})
        if layout.get("display") == "none":
            return []
        own = seen_in(state["value"]) if state.get("_model_name") == "HTMLModel" else ""
        below = [text for child in state.get("children", ()) for text in self._seen(child.removeprefix(_MODEL))]
        return [*([own] if own else []), *below]

    def button(self, description: str, beside: str) -> str:
        """The comm id of the button that is in the same box as the text *beside*: the innermost such box."""
        return self.wait_for(lambda: self._button(description, beside))

    def _button(self, description: str, beside: str) -> str | None:
        boxes = []
        for id_, state in list(self.models.items()):
            below = list(self._below(id_))
            texts = [self.models[each].get("value") for each in below]
            buttons = [each for each in below if self.models[each].get("description") == description]
            if "children" in state and buttons and any(isinstance(text, str) and beside in text for text in texts):
                boxes.append((len(below), buttons[0]))
        return min(boxes)[1] if boxes else None

    def _below(self, id_: str) -> Iterator[str]:
        for child in self.models.get(id_, {}).get("children", ()):
            if child.removeprefix(_MODEL) in self.models:
                yield child.removeprefix(_MODEL)
            yield from self._below(child.removeprefix(_MODEL))

    def _next(self) -> dict[str, Any] | None:
        try:
            message: dict[str, Any] = self._client.iopub_channel.get_msg(timeout=0)
        except queue.Empty:
            return None
        return message

    def _take(self, kind: str, content: dict[str, Any]) -> None:
        id_ = content.get("comm_id", "")
        data = content.get("data", {})
        if kind == "comm_open":
            self.models[id_] = data.get("state", {})
        elif kind == "comm_close":
            self.models.pop(id_, None)
        elif kind == "comm_msg" and data.get("method") == "update" and id_ in self.models:
            self.models[id_] |= data["state"]
            self.updates[id_] += 1
