"""Fields and forms without a browser: to make one, to read it as a run does, and to see what it says is wrong."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
from support.comms import FrontEnd
from support.markup import seen_in

from qstate_nb.notebook.panel.controls import EMPTY
from qstate_nb.notebook.panel.fields import Around, Field, Nothing, Simple
from qstate_nb.notebook.panel.forms import field_for


def parameter(annotation: Any, default: Any = EMPTY) -> inspect.Parameter:
    return inspect.Parameter("it", inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def field(annotation: Any, default: Any = EMPTY) -> Field:
    return field_for(parameter(annotation, default), Around("step1", lambda: None))


def simple(annotation: Any, default: Any = EMPTY) -> Simple:
    made = field(annotation, default)
    assert isinstance(made, Simple)
    return made


def given(field: Field) -> Any:
    """What a run gets: the converted value, the default, or the marker for a value that is missing."""
    read = field.read()
    assert read is not Nothing.WRONG, problems(field)
    return field.parameter.default if read is Nothing.LEFT else read


def is_missing(field: Field) -> bool:
    """Whether a value is needed that is not there; it must be said, too."""
    return field.read() is Nothing.WRONG and problems(field) == ["needs a value"]


def problems(field: Field) -> list[str]:
    """What a field, and those inside it, say is wrong, as it is to be seen."""
    return seen_problems(field.box)


def seen_problems(box: Any) -> list[str]:
    """What is said to be wrong in a box, as far as it is to be seen."""
    if box.layout.display == "none":
        return []
    own = [seen_in(box.value)] if isinstance(box, widgets.HTML) and "qstate-problem" in box.value else []
    return own + [text for child in getattr(box, "children", ()) for text in seen_problems(child)]


def parts_of(box: Any, kind: type) -> list[Any]:
    """The widgets of a kind inside a box."""
    own = [box] if isinstance(box, kind) else []
    return own + [part for child in getattr(box, "children", ()) for part in parts_of(child, kind)]


def click(box: Any, name: str) -> None:
    """Click the one button of that name in a box."""
    (button,) = [each for each in parts_of(box, widgets.Button) if each.description == name]
    FrontEnd.click(button)


def soon(question: Callable[[], Any]) -> Any:
    """The answer of *question* as soon as it is true; other threads see to that."""
    pause = threading.Event()
    deadline = time.monotonic() + 10
    while not (answer := question()):
        assert time.monotonic() < deadline, "it never was so"
        pause.wait(0.002)
    return answer
