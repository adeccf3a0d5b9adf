"""Scopes, declared fields and the verbs that came with them, as `%qstate` and the panel show them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.shell import Shell

from qstate_nb import AsyncState, InlineApp, State, StateRegistry
from qstate_nb.errors import FieldTypeError, NotFoundError
from qstate_nb.notebook import commands
from qstate_nb.notebook.completion import candidates
from qstate_nb.notebook.panel.buckets import Buckets
from qstate_nb.notebook.panel.model import PanelModel
from qstate_nb.notebook.views import Limits

SCOPED = """
from typing import Annotated
from qstate_nb import Scope

class Chat(State):
    step: int = 0
    tags: list[str] = []

@app.task
def answer(state: Annotated[Chat, Scope("chat_id")], chat_id: int, text: str = ""):
    state.increment("step")
    state.append("tags", text)
"""


class Chat(State):
    step: int = 0


class Plain(State):
    pass


@pytest.fixture
def chats(shell: Shell) -> Shell:
    shell.good(SCOPED)
    return shell


@pytest.fixture
def many(app: InlineApp) -> InlineApp:
    for n in range(10_000):
        app.state(Chat, scope=n).set("step", n)
    return app


def test_every_verb_takes_the_name_of_a_scope(chats: Shell) -> None:
    assert chats.good("%qstate run answer chat_id=42 text=hi").splitlines() == [
        "answer #1: success, returned None",
        "  state     key   change",
        "  Chat[42]  step  → 1",
        "  Chat[42]  tags  → ['hi']",
    ]
    assert chats.value("x = %qstate get Chat[42] step\nx") == 1
    assert chats.good("%qstate set Chat[42] step 5") == "Chat[42].step = 5"
    assert chats.good("%qstate update Chat[42] step=6 note=x") == "Chat[42].step = 6\nChat[42].note = 'x'"
    assert chats.good("%qstate incr Chat[42] step") == "Chat[42].step = 7"
    assert chats.good("%qstate incr Chat[42] step -3") == "Chat[42].step = 4"
    assert chats.good("%qstate incr Chat[42] rate 0.5") == "Chat[42].rate = 0.5"
    assert chats.good("%qstate append Chat[42] tags 'a b'") == "Chat[42].tags: 'a b' appended"
    assert chats.good("%qstate append Chat[42] tags two words") == "Chat[42].tags: 'two words' appended"
    assert chats.good("%qstate delete Chat[42] note") == "Chat[42].note deleted"
    assert chats.good("%qstate show Chat[42]").splitlines() == [
        "Chat[42]: 3 keys",
        "  key   value                       changed by",
        "  step  4                           user, event 6",
        "  tags  ['hi', 'a b', 'two words']  user, event 9",
        "  rate  0.5                         user, event 7",
    ]
    assert chats.good("%qstate clear Chat[42]") == "Chat[42] cleared: 3 keys removed"
    assert "default" in chats.good("%qstate show Chat[42]")
    assert chats.good("%qstate drop Chat[42]") == "Chat[42] dropped: 0 keys removed"
    assert chats.fails("%qstate show Chat[42]") == ("NotFoundError", "no state 'Chat[42]'; did you mean 'Chat'?")


@pytest.mark.parametrize("written", ["Chat[$n]", "Chat[{n}]", "Chat[{40 + 2}]", "'Chat[42]'"])
def test_a_scope_can_come_from_a_variable(chats: Shell, written: str) -> None:
    chats.good("n = 42")
    assert chats.good(f"%qstate set {written} step 3") == "Chat[42].step = 3"
    assert chats.value("app.state(Chat, scope=42).get('step')") == 3


def test_a_scope_with_blanks_is_quoted(chats: Shell) -> None:
    chats.good("""%qstate set "Chat['a b']" step 3""")
    assert chats.value("app.state(Chat, scope='a b').get('step')") == 3
    assert """\"Chat['a b']\"""" in chats.completions("%qstate show ")
    assert chats.good("""%qstate get "Chat['a b']" step""") == "3"


def test_a_new_scope_is_made_by_a_write_and_by_nothing_else(chats: Shell) -> None:
    for line in ("show Chat[1]", "get Chat[1] step", "clear Chat[1]", "drop Chat[1]", "delete Chat[1] step"):
        assert chats.fails(f"%qstate {line}")[0] == "NotFoundError"
    assert chats.fails("%qstate set Nope[1] a 1")[1].startswith("no state 'Nope[1]'")
    assert chats.good("%qstate incr Chat[1] step") == "Chat[1].step = 1"


@pytest.mark.parametrize("name", ["Chat[", "Chat[]", "Chat]", "Chat[1", "[1]", "1Chat"])
def test_a_wrong_notation_is_an_unknown_state(chats: Shell, name: str) -> None:
    kind, message = chats.fails(f"%qstate show '{name}'")
    assert kind == "NotFoundError"
    assert message.startswith(f"no state {name!r}; ")


def test_a_class_among_the_variables_is_known_for_its_scopes(shell: Shell) -> None:
    shell.good("class Later(State):\n    n: int = 0")
    assert shell.good("%qstate incr Later[7] n") == "Later[7].n = 1"
    assert "Later:" not in shell.good("%qstate show")


def test_wrong_types_are_one_line(chats: Shell) -> None:
    assert chats.fails("%qstate set Chat[1] step many") == (
        "FieldTypeError",
        "Chat[1].step can't be 'many' (str): Expected `int`, got `str`",
    )
    assert chats.fails("%qstate append Chat[1] step 1")[0] == "FieldTypeError"
    assert chats.fails("%qstate incr Chat[1] tags")[0] == "FieldTypeError"
    assert chats.fails("%qstate incr Chat[1] step x")[1] == (
        "Chat[1].step can't be incremented by 'x': 'x' is of type str, and that is no number"
    )
    assert chats.value("app.registry.keys()") == chats.value("[app.state(Signup)._bucket.key]")


def test_the_data_of_a_view_are_copies_with_defaults(app: InlineApp) -> None:
    app.state(Chat, scope=1).set("tags", ["a"])
    data = commands.show(app, "Chat[1]").data
    assert data == {"step": 0, "tags": ["a"]}
    data["tags"].append("b")
    assert app.state(Chat, scope=1).get("tags") == ["a"]
    assert commands.show(app).data == {"Chat[1]": {"step": 0, "tags": ["a"]}}


def test_few_scopes_are_shown_one_by_one(app: InlineApp) -> None:
    for n in range(5):
        app.state(Chat, scope=n).increment("step")
    lines = commands.overview(app).text.splitlines()
    assert lines[0] == "app: 0 tasks, 1 state, 5 events"
    assert [line for line in lines if line.startswith("Chat")] == [f"Chat[{n}]: 1 key" for n in range(5)]


def test_many_scopes_are_counted_and_the_last_changed_shown(many: InlineApp) -> None:
    many.state(Chat, scope=7).set("step", 70)
    many.state(Plain).set("a", 1)
    lines = commands.overview(many).text.splitlines()
    at = lines.index("Chat: 10,000 scopes")
    assert lines[at + 2].split(maxsplit=1) == ["Chat[7]", "{'step': 70}    user, event 10001"]
    assert lines[at + 3].split()[0] == "Chat[9999]"
    assert lines[at + 12] == "  … 9,990 more"
    assert "Plain: 1 key" in lines
    assert len(lines) < 40


def test_a_state_shows_its_own_bucket_and_its_scopes(app: InlineApp) -> None:
    app.state(Chat, scope=1).set("step", 1)
    assert commands.show(app, "Chat").text.splitlines()[0] == "Chat: 1 scope"
    app.state(Chat).set("step", 5)
    lines = commands.show(app, "Chat").text.splitlines()
    assert [lines[0], lines[3]] == ["Chat: 1 key", "Chat: 1 scope"]


def test_the_panel_does_not_drown_in_scopes(many: InlineApp) -> None:
    model = PanelModel(many, Buckets(many))
    many.state(Chat, scope=3).set("step", 33)
    html = model.overview().html
    assert "Chat: 10,000 scopes" in html
    assert "● Chat[3]" in html
    assert len(html) < 10_000


def test_an_event_of_several_buckets_names_each(app: InlineApp) -> None:
    one, two = app.state(Chat, scope=1), app.state(Chat, scope=2)
    from qstate_nb import transaction

    with transaction(one, two):
        one.increment("step")
        two.increment("step", 2)
    line = commands.overview(app).text.splitlines()[-1]
    assert line.split(maxsplit=1)[1] == ("Chat[1], Chat[2]  transaction  Chat[1].step: → 1, Chat[2].step: → 2  user")


def offered(app: InlineApp, command: str) -> list[str]:
    return candidates(command, {}, lambda: app)[1]


def test_known_scopes_are_completed(app: InlineApp) -> None:
    for n in range(3):
        app.state(Chat, scope=n).set("step", n)
    assert offered(app, "show ") == ["Chat", "Chat[0]", "Chat[1]", "Chat[2]"]
    assert offered(app, "get Chat[1] ") == ["step"]
    assert offered(app, "update Chat[7] ") == ["step="]
    for verb in ("incr", "append", "drop", "delete", "clear", "set"):
        assert offered(app, f"{verb} Chat[1") == ["Chat[1]"]


def test_many_scopes_are_completed_once_the_name_is_there(many: InlineApp) -> None:
    assert offered(many, "show ") == ["Chat", "Chat["]
    assert offered(many, "show Chat[99")[:3] == ["Chat[99]", "Chat[990]", "Chat[991]"]
    assert offered(many, "show Chat[9999") == ["Chat[9999]"]
    assert len(offered(many, "show Chat[")) <= 1_000


class Held(AsyncState):
    pass


@pytest.fixture
def held(app: InlineApp) -> Iterator[InlineApp]:
    """An app whose State another thread's transaction holds, until the test asks for it."""
    app.state(Held)
    inside, leave = threading.Event(), threading.Event()

    async def hold() -> None:
        state = app.state(Held)
        await state.set("n", 1)
        async with state.transaction():
            await state.set("n", 2)
            inside.set()
            await asyncio.to_thread(leave.wait, 10)

    thread = threading.Thread(target=lambda: asyncio.run(hold()))
    thread.start()
    assert inside.wait(10)
    app.leave = leave  # type: ignore[attr-defined]
    yield app
    leave.set()
    thread.join(10)


def test_shows_do_not_wait_for_a_transaction(held: InlineApp) -> None:
    assert commands.show(held, "Held").data == {"n": 1}
    assert commands.get(held, "Held", "n") == 1
    assert "n    1" in commands.overview(held).text
    assert "<td" in PanelModel(held, Buckets(held)).overview().html


def test_a_write_waits_for_a_transaction(held: InlineApp) -> None:
    leave: Any = held.leave  # type: ignore[attr-defined]
    queue = held.state(Held)._bucket.queue

    def let_go() -> None:
        deadline = time.monotonic() + 10
        while not queue and time.monotonic() < deadline:
            time.sleep(0.001)
        leave.set()

    helper = threading.Thread(target=let_go)
    helper.start()
    assert commands.increment(held, "Held", "n", 10) == "Held.n = 12"
    helper.join(10)


def test_a_write_from_a_cell_waits_for_a_task_of_the_same_loop(app: InlineApp) -> None:
    """The command nests: the loop goes on, so the transaction can end."""
    app.state(Held)

    async def cell() -> str:
        inside = asyncio.Event()

        async def hold() -> None:
            async with app.state(Held).transaction():
                await app.state(Held).set("n", 1)
                inside.set()
                for _ in range(10):
                    await asyncio.sleep(0)

        task = asyncio.create_task(hold())
        await inside.wait()
        done = commands.increment(app, "Held", "n")
        await task
        return done

    assert asyncio.run(cell()) == "Held.n = 2"


def test_a_command_inside_a_transaction_takes_part(app: InlineApp) -> None:
    state = app.state(Plain)
    with contextlib.suppress(ZeroDivisionError), state.transaction():
        state.set("a", 1)
        assert commands.get(app, "Plain", "a") == 1
        assert commands.increment(app, "Plain", "a") == "Plain.a = 2"
        raise ZeroDivisionError
    with pytest.raises(NotFoundError):
        commands.get(app, "Plain", "a")


def test_a_command_checks_the_class_that_was_used_last(app: InlineApp) -> None:
    app.state(Chat)
    with pytest.raises(FieldTypeError):
        commands.set_value(app, "Chat", "step", "x")
    again = type("Chat", (State,), {"__annotations__": {"step": str}, "__module__": __name__})
    app.state(again)
    assert commands.set_value(app, "Chat", "step", "x") == "Chat.step = 'x'"


def test_what_a_run_dropped_is_in_its_report(app: InlineApp) -> None:
    @app.task
    def forget(state: Plain) -> None:
        state.drop()

    app.state(Plain).set("a", 1)
    assert "Plain  a    1 →" in commands.run(app, "forget", {}).view.text
    assert StateRegistry().keys() == []
    assert commands.show(app, None, Limits()).text == "no states yet"
