"""Nothing that comes from tasks or State is markup, wherever it stands and whatever shows it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets as widgets
import pytest
from support.comms import FrontEnd, listening
from support.forms import click, parts_of, seen_problems
from support.markup import HOSTILE, seen_in

import qstate_nb
from qstate_nb import Call, InlineApp, State, StateRegistry
from qstate_nb.notebook import commands, magic
from qstate_nb.notebook.panel.callmodel import Calls
from qstate_nb.notebook.panel.callpart import head_html, output_html, traceback_html
from qstate_nb.notebook.panel.still import _STYLE, still_html
from qstate_nb.notebook.panel.style import CSS
from qstate_nb.notebook.panel.widgets import Panel
from qstate_nb.notebook.render import escape

WAIT = 10


class Signup(State):
    pass


class Hostile:
    def __repr__(self) -> str:
        return HOSTILE


HostileClass = type(HOSTILE, (), {})
HostileError = type(HOSTILE, (Exception,), {})


def call_html(call: Call) -> str:
    view = Calls(call.task.app).view(call)
    return f"{head_html(view)}{escape(view.progress)}{output_html(view)}{traceback_html(view)}"


def run(app: InlineApp, function: Callable[..., Any], *args: Any, **options: Any) -> None:
    name = options.pop("name", "step1")
    app.task(name=name, **options)(function)
    app.run(name, *args)


def value(app: InlineApp) -> None:
    app.state(Signup).set("key", HOSTILE)


def object_value(app: InlineApp) -> None:
    app.state(Signup).set("key", [Hostile(), HostileClass()])


def nested_value(app: InlineApp) -> None:
    app.state(Signup).set("key", {HOSTILE: {HOSTILE: [HOSTILE, {Hostile()}]}})


def key(app: InlineApp) -> None:
    app.state(Signup).update(**{HOSTILE: 1})


def task_name(app: InlineApp) -> None:
    run(app, lambda: None, name=HOSTILE)


def writer(app: InlineApp) -> None:
    def write(state: Signup) -> None:
        state.set("key", 1)

    run(app, write, name=HOSTILE)


def description(app: InlineApp) -> None:
    run(app, lambda: None, description=HOSTILE)


def docstring(app: InlineApp) -> None:
    def step1() -> None: ...

    step1.__doc__ = HOSTILE
    run(app, step1)


def default(app: InlineApp) -> None:
    def step1(it: Any = HOSTILE, other: Any = Hostile()) -> None: ...  # noqa: B008 - such a default

    run(app, step1)


def annotation(app: InlineApp) -> None:
    def step1(it: Any = None) -> None: ...

    step1.__annotations__["it"] = HostileClass
    run(app, step1)


def argument(app: InlineApp) -> None:
    def step1(*args: Any, **more: Any) -> None: ...

    app.task(step1)
    app.run("step1", HOSTILE, Hostile(), **{HOSTILE: HOSTILE})


def printed(app: InlineApp) -> None:
    run(app, lambda: print(HOSTILE))


def returned(app: InlineApp) -> None:
    run(app, lambda: (HOSTILE, Hostile()))


def exception(app: InlineApp) -> None:
    def step1() -> None:
        raise ValueError(HOSTILE)

    run(app, step1)


def exception_class(app: InlineApp) -> None:
    def step1() -> None:
        raise HostileError("message")

    run(app, step1)


def exception_note(app: InlineApp) -> None:
    def step1() -> None:
        error = ValueError("message")
        error.add_note(HOSTILE)
        raise error

    run(app, step1)


def cancellation(app: InlineApp) -> None:
    run(app, lambda self: self.ctx.cancel(HOSTILE), echo=True)


def progress(app: InlineApp) -> None:
    told, gate = threading.Event(), threading.Event()

    def step1(self: Any) -> None:
        self.ctx.progress(1, 2, HOSTILE)
        told.set()
        gate.wait(WAIT)

    app.task(name="step1", echo=True)(step1)
    call = app.start("step1")
    assert told.wait(WAIT)
    assert HOSTILE in seen_in(call_html(call))
    gate.set()
    call.wait(WAIT)


PLACES = [
    *(value, object_value, nested_value, key, task_name, writer, description, docstring, default, annotation),
    *(argument, printed, returned, exception, exception_class, exception_note, cancellation, progress),
]


@pytest.fixture(autouse=True)
def front_end() -> Iterator[FrontEnd]:
    with listening() as front_end:
        yield front_end


@pytest.fixture
def app() -> InlineApp:
    return InlineApp(HOSTILE, registry=StateRegistry())


def everything(app: InlineApp, front_end: FrontEnd) -> dict[str, str]:
    """All HTML that there is of an app."""
    panel = Panel(app)
    for part in panel._parts:
        part.draw()
    shown = {
        "overview": commands.overview(app).html,
        "show": commands.show(app).html,
        "tasks": commands.tasks(app).html,
        "apps": commands.app_list({"app": app}, app).html,
        "still": still_html(panel.model.overview()).replace(_STYLE, ""),
        "panel": "".join(html for html in front_end.values("HTMLModel") if CSS not in html),
        "calls": "".join(map(call_html, app.calls)),
        "results": "".join(
            show(call.result).html for cls, show in magic._SHOWN for call in app.calls if isinstance(call.result, cls)
        ),
        "report": "".join(
            commands.run(app, name, {}).view.html for name in app.tasks if not app.tasks[name].options.echo
        ),
    }
    panel.close()
    return shown


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_markup_stays_text(app: InlineApp, front_end: FrontEnd, place: Callable[[InlineApp], None]) -> None:
    place(app)
    seen = {name: seen_in(html) for name, html in everything(app, front_end).items()}
    assert HOSTILE in seen["overview"]  # the app's name, for one
    beside_the_name = [text.replace(HOSTILE, "", 1) for name, text in seen.items() if name != "apps"]
    assert place is progress or any("<script>" in text for text in beside_the_name)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_widgets_that_show_labels_take_no_markup(
    app: InlineApp, front_end: FrontEnd, place: Callable[[InlineApp], None]
) -> None:
    """A widget's description is markup only if it is allowed to be."""
    place(app)
    panel = qstate_nb.panel(app)
    assert not any(state.get("description_allow_html") for state in front_end.models.values())
    kinds = {state["_model_name"] for state in front_end.models.values()}
    assert not kinds & {"HTMLMathModel", "OutputModel"}
    panel.close()


def test_a_wrong_value_in_a_form_is_said_without_markup(app: InlineApp, front_end: FrontEnd) -> None:
    @app.task(name="step1")
    def step1(it: list[int]) -> None: ...

    panel = Panel(app)
    card = panel._tasks.cards["step1"]
    (field,) = parts_of(card.form.box, widgets.Textarea)
    FrontEnd.fill(field, value=f"[{json.dumps(HOSTILE)}]")
    click(card.box, "Run")
    assert seen_problems(card.box)
    assert app.calls == []
    panel.close()
