"""The panel's still picture: State as HTML in the notebook itself, for when there is no kernel behind it.

A notebook keeps of a widget no more than its number; opened without its kernel, it shows an error there. So a panel
is shown as two outputs: the widget, and after it plain HTML. That is kept up to date as long as the kernel lives, and
is hidden while the panel before it is alive.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from uuid import uuid4

from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.getipython import get_ipython
from IPython.display import publish_display_data

from qstate_nb.notebook.panel.redraw import Redraw
from qstate_nb.notebook.render import Paragraph, View

_log = logging.getLogger(__name__)

_INTERVAL = 1.0  # seconds; it is there to be saved, not to be watched

# Of the two outputs, one is seen: the panel if it is alive, or else the picture and not "Error displaying widget:
# model not found" (in JupyterLab, widgets are the outputs without a MIME type beside them). Notebooks that are not
# trusted and GitHub take the style away, and show the empty text/html of the widget.
_OUTPUT = ".jp-OutputArea-child"
_STYLE = f"""<style>
{_OUTPUT}:has(.qstate-panel) + {_OUTPUT}:has(.qstate-still) {{ display: none; }}
{_OUTPUT}:has(> .jp-OutputArea-output:not([data-mime-type])):not(:has(.qstate-panel)):has(+ {_OUTPUT} .qstate-still)
  {{ display: none; }}
</style>"""
# the two other classes keep a $ in a value from being typeset as a formula
_OPEN = '<div class="qstate-still tex2jax_ignore mathjax_ignore" style="padding:4px 0;line-height:1.4">'
_NOTE = Paragraph("A still picture of the panel, as it was last. Run the cell again for a live one.")


class Publish(Protocol):
    """Puts an output into the notebook, as `IPython.display.publish_display_data` does."""

    def __call__(self, data: dict[str, Any], *, transient: dict[str, str] = ..., update: bool = ...) -> object:
        """Show *data*; with *update*, in the place of what has the same id."""


class Still:
    """What a panel is in a notebook: the widget, and its picture in HTML.

    The picture follows what it shows, about once a second and at the end of each cell. It is the same in all cells
    that the panel was shown in.

    Args:
        picture: makes what is shown.
        publish: puts it into the notebook.
        interval: seconds between two pictures.
    """

    def __init__(
        self, picture: Callable[[], View], publish: Publish = publish_display_data, interval: float = _INTERVAL
    ) -> None:
        self._picture = picture
        self._publish = publish
        self._interval = interval
        self._where = {"display_id": f"qstate-{uuid4().hex}"}
        self._shown = ""
        self._changed = False
        self._closed = False
        self._lock = threading.Lock()
        self._redraw: Redraw | None = None
        self._unhook: Callable[[], None] = lambda: None

    def show(self, widget: Mapping[str, Any]) -> None:
        """Show the panel here; *widget* is its MIME bundle, with a text for where there is no HTML."""
        self._publish({**widget, "text/html": ""})
        with self._lock:
            if self._redraw is None and not self._closed:
                self._redraw = Redraw(self.draw, self._interval)
                self._unhook = _at_end_of_cells(self.draw)
            self._changed = False  # before the picture is made: what changes meanwhile asks again
            self._shown = still_html(self._picture())
            self._publish({"text/html": self._shown}, transient=self._where)

    def ask(self, _: object = None) -> None:
        """Say that something has changed; costs next to nothing."""
        if not self._changed:
            self._changed = True
            if self._redraw is not None:
                self._redraw.ask()

    def draw(self, _: object = None) -> None:
        """Bring the picture up to date if something has changed; an exception is logged."""
        with self._lock:
            if self._redraw is None or not self._changed or _is_captured():
                return
            self._changed = False
            try:
                made = still_html(self._picture())
                if made != self._shown:
                    self._shown = made
                    self._publish({"text/html": made}, transient=self._where, update=True)
            except Exception:
                _log.exception("the still picture of the panel can't be drawn")

    def close(self) -> None:
        """Bring the picture up to date once more, and leave it as it is."""
        self.draw()
        with self._lock:
            self._closed = True
            redraw, self._redraw = self._redraw, None
        if redraw is not None:
            redraw.close()
            self._unhook()


def still_html(view: View) -> str:
    """The picture of a panel, in HTML that needs nothing of the page that it is in."""
    blocks = "".join(block.html() for block in [*view.blocks, _NOTE])
    return f"{_OPEN}{_STYLE}{blocks}</div>"


def _at_end_of_cells(draw: Callable[[object], None]) -> Callable[[], None]:
    """Draw then, too: a notebook that a program runs ends before a thread gets to it. Returns what ends that."""
    shell = get_ipython()
    if shell is None:
        return lambda: None
    shell.events.register("post_run_cell", draw)
    return lambda: shell.events.unregister("post_run_cell", draw)


def _is_captured() -> bool:
    """Whether outputs end in `%%capture`, so that the notebook won't see them."""
    shell = get_ipython()
    return shell is not None and isinstance(shell.display_pub, CapturingDisplayPublisher)
