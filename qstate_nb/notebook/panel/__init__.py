"""The panel: run tasks, see calls and State live.

`model` decides what is shown and done and knows no widget; `forms` makes a field of a parameter; `widgets` is the
view. The model is told of changes in whatever thread they happen, and redraws in a thread of its own, a few times a
second at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qstate_nb.app import InlineApp
from qstate_nb.core.formats import short
from qstate_nb.errors import ArgumentError, MissingPackageError

if TYPE_CHECKING:
    from qstate_nb.notebook.panel.widgets import Panel

__all__ = ["Panel", "open_panel"]


def open_panel(app: InlineApp) -> Panel:
    """A panel of an app; show it by leaving it as the last line of a cell.

    Raises:
        ArgumentError: *app* is no app.
        MissingPackageError: ipywidgets is not installed.
    """
    if not isinstance(app, InlineApp):
        raise ArgumentError(f"a panel needs an app, such as app = InlineApp(), not {short(app)}")
    try:
        import ipywidgets  # noqa: F401 - to say so here, and not deep inside
    except ImportError:
        raise MissingPackageError("the panel needs ipywidgets: pip install ipywidgets") from None
    from qstate_nb.notebook.panel.widgets import Panel

    return Panel(app)
