"""What the panel shows and does, without a widget."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.markup import seen_in

from qstate_nb import AsyncState, Call, InlineApp, Progress, State, StateRegistry
from qstate_nb.errors import ArgumentError, NotFoundError
from qstate_nb.notebook.arguments import Given
from qstate_nb.notebook.panel import model as model_module
from qstate_nb.notebook.panel.model import SHOWN_CALLS, PanelModel, call_html

WAIT = 10


class Signup(State):
    pass


class Order(AsyncState):
    pass


def ignore(_: object) -> None:
    pass


@pytest.fixture
def model(app: InlineApp) -> PanelModel:
    return PanelModel(app, None, ignore)


def wait_for(app: InlineApp, status: str = "success") -> Call:
    """The only call, when it has ended as it should."""
    (call,) = app.calls
    assert call.wait(WAIT).status == status
    return call


# --- subscriptions


def test_it_hears_of_state_of_calls_and_of_new_tasks_until_it_is_closed(app: InlineApp) -> None:
    heard: list[object] = []
    model = PanelModel(app, None, heard.append)

    @app.task
    def step1(state: Signup) -> None:
        print("hello")
        state.set("a", 1)

    app.run("step1")
    kinds = {type(each).__name__ for each in heard}
    assert kinds == {"Task", "Call", "Event"}
    model.close()
    heard.clear()
    app.run("step1")
    app.state(Signup).set("a", 2)
    assert heard == []
    assert not app._subscribers
    assert not app.registry._store._subscribers
    model.close()  # no harm


def test_two_panels_of_one_app_come_and_go_by_themselves(app: InlineApp) -> None:
    first: list[object] = []
    second: list[object] = []
    one, _ = PanelModel(app, None, first.append), PanelModel(app, None, second.append)
    one.close()
    app.state(Signup).set("a", 1)
    assert (len(first), len(second)) == (0, 1)


# --- run and stop


def test_a_run_starts_a_call_with_converted_values_and_does_not_wait(app: InlineApp, model: PanelModel) -> None:
    gate = threading.Event()

    @app.task
    def step1(n: int, name: str = "x") -> tuple[int, str]:
        gate.wait(WAIT)
        return n, name

    model.run(app.tasks["step1"], {"n": Given("7"), "name": Given(7, "007")})
    assert not app.calls[0].done
    gate.set()
    assert wait_for(app).wait().returning == (7, "007")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"n": Given("many", "many")}, ArgumentError, "parameter 'n: int': 'many' doesn't fit"),
        ({}, ArgumentError, "task 'step1' needs a value for: n"),
        ({"m": Given(1)}, NotFoundError, "no parameter of task 'step1' called 'm'"),
    ],
)
def test_a_wrong_value_starts_nothing_and_is_said(
    app: InlineApp, model: PanelModel, given: dict[str, Given], error: type[Exception], message: str
) -> None:
    @app.task
    def step1(n: int) -> None: ...

    with pytest.raises(error, match=message):
        model.run(app.tasks["step1"], given)
    assert app.calls == []


def on_this_thread(function: Callable[[], None]) -> None:
    function()


def on_another_thread(function: Callable[[], None]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def on_another_loop(function: Callable[[], None]) -> None:
    async def run() -> None:
        function()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    thread.join()


@pytest.mark.parametrize("click", [on_this_thread, on_another_thread, on_another_loop])
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_run_works_from_any_thread_and_an_async_task_runs_on_the_main_loop(
    app: InlineApp, click: Callable[[Callable[[], None]], None], colour: str
) -> None:
    loops: list[object] = []

    if colour == "sync":

        @app.task(name="step1")
        def step1(state: Signup) -> int:
            state.set("n", 1)
            return threading.get_ident()
    else:

        @app.task(name="step1")
        async def step1_async(state: Order) -> int:
            loops.append(asyncio.get_running_loop())
            await asyncio.sleep(0)
            await state.set("n", 1)
            return threading.get_ident()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        model = PanelModel(app, loop, ignore)
        click(lambda: model.run(app.tasks["step1"], {}))  # and doesn't wait for the loop, which can't run meanwhile
        while not app.calls:
            await asyncio.sleep(0)
        result = await app.calls[0]
        assert result.status == "success"
        assert (result.returning == threading.get_ident()) is (colour == "async")
        assert loops in ([], [loop])
        model.close()

    asyncio.run(main())
    (event,) = app.registry.history()
    assert str(event.actor) == "step1 #1"


@pytest.mark.parametrize("click", [on_this_thread, on_another_thread])
def test_without_a_main_loop_an_async_task_runs_in_a_thread(
    app: InlineApp, model: PanelModel, click: Callable[[Callable[[], None]], None]
) -> None:
    @app.task
    async def step1() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    click(lambda: model.run(app.tasks["step1"], {}))
    assert wait_for(app).wait().returning != threading.get_ident()


def test_a_run_is_the_user_s_and_not_of_the_call_around_it(app: InlineApp, model: PanelModel) -> None:
    @app.task
    def step1(state: Signup) -> None:
        state.set("n", 1)

    model.run(app.tasks["step1"], {})
    wait_for(app)
    assert app.registry.history()[0].actor.cell is None


def test_positional_only_and_keyword_only_parameters_are_filled(app: InlineApp, model: PanelModel) -> None:
    @app.task
    def step1(a: int, b: int = 2, /, *, c: int = 3) -> tuple[int, int, int]:
        return a, b, c

    model.run(app.tasks["step1"], {"a": Given("5"), "c": Given("6")})
    assert wait_for(app).wait().returning == (5, 2, 6)


def test_stop_ends_a_call_from_any_thread(app: InlineApp) -> None:
    @app.task
    async def step1() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        model = PanelModel(app, asyncio.get_running_loop(), ignore)
        model.run(app.tasks["step1"], {})
        while not app.calls or app.calls[0].status != "process":
            await asyncio.sleep(0)
        await asyncio.to_thread(model.stop, app.calls[0])
        assert (await app.calls[0]).status == "cancel"
        model.stop(app.calls[0])  # no harm

    asyncio.run(main())
    assert "stopped in the panel" in seen_in(call_html(app.calls[0]))


def test_stop_ends_a_sync_call(app: InlineApp, model: PanelModel) -> None:
    begun = threading.Event()

    @app.task(echo=True)
    def step1(self: Any) -> None:
        begun.set()
        self.ctx.sleep(WAIT)

    model.run(app.tasks["step1"], {})
    assert begun.wait(WAIT)
    model.stop(app.calls[0])
    wait_for(app, "cancel")


# --- calls


def test_running_calls_come_first_and_then_the_newest(app: InlineApp, model: PanelModel) -> None:
    gate = threading.Event()

    @app.task
    def step1(wait: bool = False) -> None:
        if wait:
            gate.wait(WAIT)

    for _ in range(3):
        app.run("step1")
    slow = app.start("step1", wait=True)
    for _ in range(2):
        app.run("step1")
    slower = app.start("step1", wait=True)
    app.run("step1")
    assert [call.number for call in model.calls()[0]] == [4, 7, 8, 6, 5, 3, 2, 1]
    gate.set()
    slow.wait(WAIT)
    slower.wait(WAIT)
    assert [call.number for call in model.calls()[0]] == [8, 7, 6, 5, 4, 3, 2, 1]


def test_only_some_calls_are_shown(app: InlineApp, model: PanelModel) -> None:
    @app.task
    def step1() -> None: ...

    assert model.calls()[0] == []
    for _ in range(SHOWN_CALLS + 3):
        app.run("step1")
    assert [call.number for call in model.calls()[0]] == list(range(SHOWN_CALLS + 3, 3, -1))


def test_a_run_shows_and_can_be_stopped_while_the_loop_is_busy(app: InlineApp) -> None:
    @app.task
    async def step1(state: Order) -> None:
        await state.set("n", 1)

    async def main() -> None:
        heard: list[object] = []
        model = PanelModel(app, asyncio.get_running_loop(), heard.append)
        model.run(app.tasks["step1"], {})
        (call,) = model.calls()[0]
        assert heard == [call]
        assert "waiting" in shown(call)
        model.stop(call)
        await call
        assert call.status == "cancel"
        model.close()

    asyncio.run(main())
    assert app.registry.history() == []


def test_how_many_more_run_is_said_and_a_running_call_stays_in_reach(
    app: InlineApp, model: PanelModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qstate_nb.app.inline.MAX_CALLS", 3)
    gate = threading.Event()
    app.task(name="wait")(lambda: gate.wait(WAIT))
    app.task(name="step")(lambda: None)
    running = [app.start("wait") for _ in range(SHOWN_CALLS + 2)]
    for _ in range(5):
        app.run("step")
    assert model.calls() == (running[:SHOWN_CALLS], 2)
    assert [call for call in app.calls if not call.done] == running
    gate.set()
    for call in running:
        call.wait(WAIT)


# --- states


def test_every_bucket_is_shown_and_the_last_change_is_marked(app: InlineApp, model: PanelModel) -> None:
    assert model.states().text == "  no State yet: run a task that has one"
    app.state(Signup).update(a=1, b=2)
    asyncio.run(app.state(Order).set("n", 1))
    assert [line for line in model.states().text.splitlines() if line.startswith("*")] == [
        "* n    1      user, event 2"
    ]
    app.state(Signup).update(b=3, c=4)
    marked = [line.split()[1] for line in model.states().text.splitlines() if line.startswith("*")]
    assert marked == ["b", "c"]
    app.state(Signup).delete("c")
    assert "*" not in model.states().text


def test_a_value_is_made_text_once_for_each_change(
    app: InlineApp, model: PanelModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[object] = []

    def short_marked(value: object, width: int) -> str:
        shown.append(value)
        return str(value)

    monkeypatch.setattr(model_module, "short_marked", short_marked)
    state = app.state(Signup)
    state.update(a=1, b=2)
    for _ in range(3):
        model.states()
    assert shown == [1, 2]
    state.set("a", 3)
    state.set("a", 4)
    model.states()
    assert shown == [1, 2, 4]
    state.set("a", 4)
    model.states()
    assert shown == [1, 2, 4, 4]


def test_texts_of_fields_that_are_gone_are_not_kept(app: InlineApp, model: PanelModel) -> None:
    """A State whose keys come and go, such as a queue's, must not make the panel grow."""
    state = app.state(Signup)
    for n in range(100):
        state.set(f"k{n}", n)
        model.states()
        state.delete(f"k{n}")
    model.states()
    assert model._values == {}


def test_a_change_while_it_is_shown_is_seen_at_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its event asks for another drawing; that one must not take the older text for the new one's."""
    app = InlineApp(registry=StateRegistry())
    model = PanelModel(app, None, ignore)
    state = app.state(Signup)
    state.set("n", 1)
    for hooked in ("writers", "peek", "history", "keys"):
        original = getattr(StateRegistry, hooked)
        once = [True]

        def changing(
            self: StateRegistry, *args: Any, original: Any = original, once: list[bool] = once, **kwargs: Any
        ) -> Any:
            found = original(self, *args, **kwargs)
            if once:
                once.clear()
                state.set("n", state.get("n") + 1)
            return found

        monkeypatch.setattr(StateRegistry, hooked, changing)
        model.states()
        monkeypatch.undo()
        assert not once
        assert f" {state.get('n')} " in model.states().text


def test_many_buckets_and_keys_are_cut_and_counted(app: InlineApp, model: PanelModel) -> None:
    for n in range(60):
        app.state(type(f"S{n}", (State,), {})).set("k", n)
    app.state(Signup).update(**{f"k{n}": n for n in range(100_000)})
    text = model.states().text
    assert "… 11 more states" in text
    assert len(text.splitlines()) < 60 * 4
    first = InlineApp(registry=StateRegistry())
    first.state(Signup).update(**{f"k{n}": n for n in range(100_000)})
    assert "… 99,800 more" in PanelModel(first, None, ignore).states().text


def test_the_overview_is_the_same_on_every_run(app: InlineApp, model: PanelModel) -> None:
    @app.task
    def step1(state: Signup, n: int = 1) -> None:
        """Count."""
        state.set("n", object())

    app.run("step1")
    assert model.overview().text.splitlines() == [
        "qstate panel: app",
        "  task               what it does",
        "  step1(n: int = 1)  Count.",
        "  last change: event 1, set n: → <object object> by step1 #1",
        "Signup: 1 key",
        "  key  value                           changed by",
        "* n    <object object> (by reference)  step1 #1, event 1",
    ]


# --- calls as HTML


def shown(call: Call) -> str:
    return seen_in(call_html(call))


def test_a_call_shows_what_was_called_how_it_ended_and_what_it_printed(app: InlineApp) -> None:
    @app.task
    def step1(n: int, name: str = "") -> int:
        print("one\n  two")
        return n

    app.run("step1", 1, name="x" * 1_000)
    text = shown(app.calls[0])
    assert text.startswith("step1 #1 (1, name='xxx")
    assert "success, returned 1" in text
    assert text.endswith("one\n  two")
    assert len(text) < 200


def test_a_call_that_runs_shows_its_progress(app: InlineApp) -> None:
    gate, told = threading.Event(), threading.Event()

    @app.task(echo=True)
    def step1(self: Any) -> None:
        self.ctx.progress(2, 5, "second\nstep")
        told.set()
        gate.wait(WAIT)

    call = app.start("step1")
    assert told.wait(WAIT)
    assert shown(call).endswith("· running, 2 of 5 second step")
    call.cancel()
    assert shown(call).endswith("· stopping, 2 of 5 second step")
    gate.set()
    call.wait(WAIT)


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(0.5, 1), "running, 0.5 of 1"),
        (Progress(10**400, 10**401), "running, <int of 1329 bits> of <int of 1333 bits>"),
        (Progress(float("nan"), float("inf")), "running, nan of inf"),
        (Progress(1, 2, "x" * 1_000_000), "running, 1 of 2 " + "x" * 79 + "…"),
        (Progress(True, 2), "running, True of 2"),
    ],
    ids=["float", "huge", "nan", "long message", "bool"],
)
def test_any_progress_can_be_shown(app: InlineApp, progress: Progress, text: str) -> None:
    @app.task
    def step1() -> None: ...

    call = app.new_call(app.tasks["step1"], (), {}, echo=False)
    assert shown(call).endswith("· waiting")
    call.own_status = "process"
    call.tell(progress)
    assert shown(call).endswith(text)


def test_an_error_shows_its_traceback(app: InlineApp) -> None:
    @app.task
    def step1() -> None:
        raise LookupError("gone")

    app.run("step1")
    text = shown(app.calls[0])
    assert "error, LookupError: gone" in text
    assert "Traceback (most recent call last)" in text


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class NoRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    "make",
    [
        lambda: ValueError("x" * 5_000_000),
        Broken,
        lambda: ValueError("\ud800"),
        lambda: ExceptionGroup("many", [ValueError("a"), TypeError("b")]),
    ],
    ids=["huge", "broken", "surrogate", "group"],
)
def test_any_error_can_be_shown(app: InlineApp, make: Callable[[], Exception]) -> None:
    @app.task
    def step1(it: Any) -> None:
        print("y" * 1_000_000, "\ud800")
        raise make()

    app.start("step1", NoRepr()).wait(WAIT)
    text = shown(app.calls[0])
    assert "NoRepr" in text
    assert "error, " in text
    assert len(text) < 20_000


def test_a_task_s_name_may_look_like_a_result(app: InlineApp) -> None:
    @app.task(name="a: b")
    def step1() -> None: ...

    app.run("a: b")
    assert shown(app.calls[0]) == "a: b #1 () · success, returned None"


def test_what_is_by_reference_is_shown_as_it_is_now(app: InlineApp, model: PanelModel) -> None:
    class Box:
        size = 1

        def __repr__(self) -> str:
            return f"Box({self.size})"

    box = Box()
    app.state(Signup).set("box", box)
    assert "Box(1) (by reference)" in model.states().text
    box.size = 2
    assert "Box(2) (by reference)" in model.states().text
