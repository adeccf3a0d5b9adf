"""`%qstate use`: where State is kept, and how another process is shown."""

from __future__ import annotations

import asyncio
import configparser
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from support.shell import Shell

from qstate_nb import Actor, AsyncState, InlineApp, Scope, State, StateRegistry
from qstate_nb.core.journal import current_actor
from qstate_nb.errors import StateNameError, StoreUnavailableError, TaskError, TransactionError
from qstate_nb.notebook import commands, past, stores
from qstate_nb.stores import opening

NORMAL = "  " + opening._PROMISES["normal"]
MEMORY = "  it is in the memory of this process, and ends with it"


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No registry is known yet, and the folder is empty; what is opened is closed, and its threads end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(opening.VARIABLE, raising=False)
    for name in ("_default", "_memory", "_wanted"):
        monkeypatch.setattr(opening, name, None)
    yield
    for registry in list(opening._open.values()):
        registry.store.close()  # type: ignore[attr-defined]


# --- the verb


def test_an_app_goes_to_a_file_and_back(shell: Shell) -> None:
    shell.good("%qstate run step1 phone=1")
    assert shell.good("%qstate use sqlite:///shop.db") == (
        f"app 'shop' uses sqlite:///shop.db: 1 state, 0 events\n{NORMAL}"
    )
    assert "Signup  phone  → '2'" in shell.good("%qstate run step1 phone=2")
    assert shell.good("%qstate use") == f"app 'shop' uses sqlite:///shop.db: 1 state, 1 event\n{NORMAL}"
    assert shell.good("%qstate use memory://") == f"app 'shop' uses memory://: 1 state, 1 event\n{MEMORY}"
    assert shell.value("%qstate get Signup phone") == "1"  # its own registry's, though that was not the default one
    shell.good("%qstate use sqlite:///shop.db;")
    assert shell.value("%qstate get Signup phone") == "2"


def test_apps_that_are_made_later_use_it_as_well(shell: Shell) -> None:
    shell.good("%qstate use sqlite:///shop.db")
    shell.good("app.state(Signup).set('phone', 1)\napp = InlineApp()")
    assert shell.value("app.state(Signup).get('phone')") == 1


def test_it_can_come_before_the_first_app(bare: Shell) -> None:
    bare.good("%load_ext qstate_nb")
    assert bare.good("%qstate use") == f"the next app uses memory://: 0 states, 0 events\n{MEMORY}"
    assert bare.good("%qstate use sqlite:///a.db").startswith("the next app uses sqlite:///a.db: 0 states, 0 events")
    bare.good("from qstate_nb import InlineApp\napp = InlineApp()")
    assert bare.good("%qstate use").startswith("app 'app' uses sqlite:///a.db")


def test_of_several_apps_one_is_chosen(shell: Shell) -> None:
    shell.good("other = InlineApp('other')")
    assert "there is more than one app" in shell.fails("%qstate use sqlite:///a.db")[1]
    assert shell.value("app.registry.store.url, InlineApp().registry.store.url") == ("memory://", "memory://")
    shell.good("%qstate app other")
    assert shell.good("%qstate use sqlite:///a.db").startswith("app 'other' uses")
    assert shell.value("app.registry.store.url") == "memory://"


def test_the_view_has_the_url(shell: Shell) -> None:
    assert shell.value("x = %qstate use\nx.data") == "memory://"
    assert shell.good("%qstate use sqlite:///shop.db?durability=full").splitlines() == [
        "app 'shop' uses sqlite:///shop.db?durability=full: 1 state, 0 events",
        "  what is committed survives the end of any process, and a power cut",
    ]
    assert shell.value("x = %qstate use\nx.data") == "sqlite:///shop.db?durability=full"


@pytest.mark.parametrize("line", ["use $url", "use {url}", "use {'sqlite:///' + name}", "use 'sqlite:///my shop.db'"])
def test_variables_and_quotes(shell: Shell, line: str) -> None:
    shell.names.update(url="sqlite:///my shop.db", name="my shop.db")
    assert "uses sqlite:///my shop.db" in shell.good(f"%qstate {line}")


BAD = [
    *("nonsense", "sqlite:///no/x.db", "sqlite:///foreign.db", "redis://me:secret@h:x", "memory://x", "5"),
    *("sqlite:///x.db?durability=all", "redis://me:secret@127.0.0.1:1/0?timeout=0.1", "postgresql://me:secret@h/db"),
]


@pytest.mark.parametrize("url", BAD)
def test_what_cannot_be_used_changes_nothing(shell: Shell, tmp_path: Path, url: str) -> None:
    with sqlite3.connect(tmp_path / "foreign.db") as foreign:
        foreign.execute("CREATE TABLE mine (x)")
    foreign.close()
    shell.good("%qstate use sqlite:///shop.db\n%qstate run step1 phone=1")
    name, said = shell.fails(f"%qstate use {url}")
    assert name in ("StoreError", "StoreUnavailableError")
    assert "secret" not in said
    assert shell.value("app.registry.store.url, InlineApp().registry is app.registry") == ("sqlite:///shop.db", True)
    assert shell.value("%qstate get Signup phone") == "1"


@pytest.mark.parametrize(
    "typed",
    [
        *("redis://:sec$ret@h", "redis://:se{cret@h", "redis://:se cret@h", "'redis://:secret@h", "--pw=secret"),
        *("redis://:{secret}@h", "redis://:$secret@h x", "redis://:se'{cret@h", "redis://:s{1/0}ecret@h"),
    ],
)
def test_a_line_that_is_not_understood_is_not_repeated(shell: Shell, typed: str) -> None:
    name, said = shell.fails(f"%qstate use {typed}")
    assert name == "CommandError"
    assert said == stores._UNCLEAR
    assert not re.search("sec|ret", said.replace("secret", ""))


def test_a_variable_that_is_not_there_is_named(shell: Shell) -> None:
    assert "name 'ulr' is not defined" in shell.fails("%qstate use $ulr")[1]


def test_it_is_refused_while_a_task_runs(shell: Shell) -> None:
    said: list[Any] = []
    shell.names["said"] = said
    shell.good("@app.task\ndef moves():\n    try:\n        %qstate use sqlite:///a.db\n"
               "    except Exception as error:\n        said.append(str(error))")  # fmt: skip
    shell.good("%qstate run moves")
    assert said == ["app 'shop' can't use another store while moves #1 runs; wait for the end, or stop it"]
    assert shell.value("InlineApp().registry.store.url") == "memory://"


def test_it_is_refused_in_a_transaction_and_while_a_scenario_is_recorded(shell: Shell) -> None:
    cell = "with bucket().transaction():\n    %qstate use sqlite:///a.db"
    assert re.search("while .* has a transaction on Signup", shell.fails(cell)[1])
    shell.good("%qstate record one")
    said = shell.fails("%qstate use sqlite:///a.db")[1]
    assert "while scenario 'one' is recorded; end that first: %qstate stop" in said
    shell.good("%qstate stop")
    shell.good("%qstate use sqlite:///a.db")


def test_a_store_that_is_away_is_named_all_the_same(app: InlineApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> None:
        raise StoreUnavailableError("nobody answers")

    monkeypatch.setattr(StateRegistry, "keys", away)
    assert stores.store_view(app).text == f"app 'app' uses memory://\n  it is away: nobody answers\n{MEMORY}"


def test_one_that_was_opened_and_is_away_by_now_changes_nothing(
    app: InlineApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, before = opening.registry_of("sqlite:///a.db"), app.registry

    def away(_: object) -> None:
        raise StoreUnavailableError("nobody answers")

    monkeypatch.setattr(type(opened.store), "sync", away)
    with pytest.raises(StoreUnavailableError, match="nobody answers"):
        stores.use(app, "sqlite:///a.db")
    assert app.registry is before
    assert opening.default_registry() is not opened


SESSION = """
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

CELLS = (
    "%load_ext qstate_nb",
    "%qstate use",
    "from qstate_nb import *",
    "class Stock(State): pass",
    "app = InlineApp()",
    "print(app.state(Stock).increment('apples'))",
    "%qstate history",
)
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
for cell in CELLS:
    shell.run_cell(cell, store_history=True).raise_error()
"""


def test_a_session_with_the_variable(tmp_path: Path) -> None:
    """`QSTATE_STORE` counts for the magic and for apps, in each process anew."""
    environment = {**os.environ, "QSTATE_STORE": "sqlite:///shop.db", "IPYTHONDIR": str(tmp_path / "ipython")}
    one, two = (
        subprocess.run(
            [sys.executable, "-c", SESSION], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
        ).stdout
        for _ in range(2)
    )
    assert "the next app uses sqlite:///shop.db: 0 states, 0 events" in one
    assert re.search(r"1 +Stock +increment +apples: → 1 +user\n", one)
    assert "the next app uses sqlite:///shop.db: 1 state, 1 event" in two
    assert re.search(r"1 +Stock +increment +apples: → 1 +user @[\w.-]+:\d+\n", two)
    assert re.search(r"2 +Stock +increment +apples: 1 → 2 +user\n", two)


# --- the app


class Stock(State):
    pass


class AsyncStock(AsyncState, name="Stock"):
    pass


def test_all_tasks_get_state_of_the_new_registry(app: InlineApp) -> None:
    @app.task
    def sell(stock: Stock, what: str = "apples") -> int:
        left: int = stock.increment(what, -1)
        return left

    @app.task
    async def restock(what: str, stock: AsyncStock, *, n: int = 1) -> None:
        await stock.increment(what, n)

    @app.task
    def scoped(shop: int, stock: Annotated[Stock, Scope("shop")]) -> None:
        stock.set("here", shop)

    @app.task(echo=True)
    def handled(self: Any, stock: Stock) -> None:
        stock.set("handled", True)

    heard: list[StateRegistry] = []
    old, new = app.registry, StateRegistry()
    unsubscribe = app.on_use(heard.append)
    app.use(new)
    assert app.registry is app.plugin.registry is new
    assert app.run("sell").returning == -1
    asyncio.run(restock("pears", n=3))
    app.run("scoped", 7)
    app.run("handled")
    assert old.history() == []
    assert {str(key): new.peek(key) for key in new.keys()} == {
        "Stock": {"apples": -1, "pears": 3, "handled": True},
        "Stock[7]": {"here": 7},
    }
    assert heard == [new]
    app.use(new)
    unsubscribe()
    app.use(old)
    assert heard == [new]
    assert app.memory is old


def test_what_is_not_there_any_more_is_not_needed(app: InlineApp) -> None:
    """Annotations that are text are read when a task is registered, and not again."""

    def define() -> None:
        class Hidden(State):
            pass

        @app.task
        def task(state: Hidden) -> None:
            state.set("x", 1)

    define()
    app.use(StateRegistry())
    assert app.run("task").status == "success"


def test_forks_stay_where_they_are(app: InlineApp) -> None:
    @app.task
    def sell(stock: Stock) -> None:
        stock.increment("apples", -1)

    trial = app.fork()
    copy, new = trial.registry, StateRegistry()
    app.use(new)
    trial.run("sell")
    assert trial.registry is copy
    assert (len(copy.history()), len(new.history())) == (1, 0)
    app.run("sell")
    assert (len(copy.history()), len(new.history())) == (1, 1)


def test_what_cannot_be_moved_stays(app: InlineApp) -> None:
    @app.task
    def sell(stock: Stock) -> None:
        stock.increment("apples", -1)

    other, old = StateRegistry(), app.registry
    other.state(type("Stock", (State,), {"__module__": "elsewhere"}))
    with pytest.raises(StateNameError, match="two State classes have the name 'Stock'"):
        app.use(other)
    with old.state(Stock).transaction(), pytest.raises(TransactionError, match="has a transaction on Stock"):
        app.use(StateRegistry())
    assert app.registry is old
    app.run("sell")
    assert len(old.history()) == 1


def test_a_call_that_runs_is_in_the_way_of_its_registry_alone(app: InlineApp) -> None:
    go = asyncio.Event()

    @app.task
    async def waits(stock: AsyncStock) -> None:
        await go.wait()

    old, new = app.registry, StateRegistry()
    old.state(Stock).set("apples", 1)
    app.use(new)

    async def meanwhile() -> None:
        call = app.start("waits")
        await asyncio.sleep(0)
        assert (old.running(), new.running()) == ([], ["waits #1"])
        with pytest.raises(TaskError, match="can't use another store while waits #1 runs"):
            app.use(old)
        assert len(old.undo()) == 1
        go.set()
        await call

    asyncio.run(meanwhile())


# --- other processes

OTHER = """
import sys
from qstate_nb import InlineApp, State
app = InlineApp(store=sys.argv[1])
class Stock(State): pass
@app.task
def sell(stock: Stock, what: str):
    stock.increment(what, -1)
app.run("sell", "apples")
app.state(Stock).set("owner", "Ann")
"""


def test_another_process_is_named_wherever_an_actor_is(app: InlineApp) -> None:
    subprocess.run([sys.executable, "-c", OTHER, "sqlite:///shop.db"], check=True)
    stores.use(app, "sqlite:///shop.db")
    app.state(Stock).set("colour", "red")
    task, user = r"sell #1 @[\w.-]+:\d+", r"user @[\w.-]+:\d+"
    for text in (commands.show(app, "Stock").text, commands.overview(app).text):
        assert re.search(rf"apples +-1 +{task}, event 1\n", text)
        assert re.search(rf"owner +'Ann' +{user}, event 2\n", text)
        assert re.search(r"colour +'red' +user, event 3\n", f"{text}\n")
    assert re.search(rf"Stock +increment +apples: → -1 +{task}\n", past.history(app).text)
    assert re.search(rf"apples +-1 +1 +increment +{task}\n", past.blame(app, "Stock").text)
    assert [event.seq for event in past.history(app, task="sell").data] == [1]
    assert past.undo(app, 3).splitlines()[2] == "event 6: undo of event 1, Stock.apples: -1 →"


def test_a_name_from_elsewhere_stays_on_its_line(app: InlineApp) -> None:
    token = current_actor.set(Actor("a\n\x1b[31mb", 1, host="h\nx", process=1))
    app.state(Stock).set("x", 1)
    current_actor.reset(token)
    for view in (commands.show(app), past.history(app), past.blame(app, "Stock")):
        assert "\x1b" not in view.text
        assert r"a\n\x1b[31mb #1 @h\nx:1" in view.text


def test_notebooks_can_be_compared() -> None:
    """`sanitize.cfg` makes host and process constant, and leaves other text alone."""
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[2] / "notebooks" / "sanitize.cfg")
    text = "sell #1 @vm-1.local:4711, event 1; a@b.org:25"
    for section in config.sections():
        text = re.sub(config.get(section, "regex"), config.get(section, "replace"), text)
    assert text == "sell #1 @HOST:PROCESS, event 1; a@b.org:25"
