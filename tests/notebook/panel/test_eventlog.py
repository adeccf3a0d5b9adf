"""The live log: which events match, and what it costs to know."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from support.markup import HOSTILE, seen_in

from qstate_nb import InlineApp, State, StateRegistry, transaction
from qstate_nb.core.history import History
from qstate_nb.core.journal import Event
from qstate_nb.notebook import views
from qstate_nb.notebook.panel.eventlog import BUDGET, MOST, PAGE, USER, EventLog, Filter


class Signup(State):
    pass


class Chat(State):
    pass


@pytest.fixture
def log(app: InlineApp) -> EventLog:
    return EventLog(app)


def seqs(log: EventLog) -> list[int]:
    return [event.seq for event in log.found]


def updated(log: EventLog, wanted: Filter | None = None) -> list[int]:
    """The numbers of the events that match, after as many updates as it takes."""
    if wanted is not None:
        log.filter = wanted
    log.update()
    while log.is_searching:
        log.update()
    return seqs(log)


def seen(log: EventLog) -> str:
    return seen_in(log.html())


@pytest.fixture
def story(app: InlineApp) -> InlineApp:
    """Events of two States, two tasks and the user, an undo, a redo and a rewind."""

    @app.task
    def step1(state: Signup, chat: Chat) -> None:
        state.set("phone", "123")
        with transaction(state, chat):
            state.set("step", 1)
            chat.set("n", 0)

    @app.task
    def step2(state: Signup) -> None:
        state.update(step=2, code="4567")

    app.run("step1").unwrap()
    app.run("step2").unwrap()
    app.state(Chat, 42).increment("n")
    app.registry.undo()
    app.registry.redo()
    app.registry.rewind(1)
    return app


# --- filters


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), [7, 6, 5, 4, 3, 2, 1]),
        (Filter(state="Signup"), [7, 3, 2, 1]),
        (Filter(state="Chat"), [7, 6, 5, 4, 2]),
        (Filter(state="Other"), []),
        (Filter(by="step1"), [2, 1]),
        (Filter(by="step2"), [3]),
        (Filter(by=USER), [7, 6, 5, 4]),
        (Filter(by="user"), []),
        (Filter(key="STE "), [7, 3, 2]),
        (Filter(state="Chat", key="step"), []),
        (Filter(op="set"), [1]),
        (Filter(op="undo"), [5]),
        (Filter(op="transaction"), [2]),
        (Filter(text="4567"), [7, 3]),
        (Filter(text=" Chat[42].N"), [7, 6, 5, 4]),
        (Filter(text="step1 #1"), [2, 1]),
        (Filter(text="undo of event 4"), [5]),
        (Filter(text="→ '123'"), [1]),
        (Filter(state="Signup", by=USER, text="phone"), []),
        (Filter(by="step1", op="transaction", key="n"), [2]),
    ],
    ids=str,
)
def test_events_match_if_all_that_is_given_is_so(
    story: InlineApp, log: EventLog, wanted: Filter, found: list[int]
) -> None:
    assert updated(log, wanted) == found


def test_a_text_is_looked_for_in_the_names_of_more_changes_than_are_shown(app: InlineApp, log: EventLog) -> None:
    app.state(Signup).update(**{f"key{n}": n for n in range(20)})
    assert "key19" not in seen_of(log)
    assert updated(log, Filter(text="signup.key19")) == [1]


def seen_of(log: EventLog) -> str:
    updated(log)
    return seen(log)


def test_what_can_be_chosen_is_what_there_was(story: InlineApp, log: EventLog) -> None:
    story.task(name="new")(lambda: None)
    updated(log)
    assert log.states() == ["Chat", "Signup"]
    assert log.tasks() == ["new", "step1", "step2"]
    assert {"set", "undo", "redo", "rewind", "transaction", "increment"} < set(log.ops())


def test_a_new_filter_begins_at_the_first_page(app: InlineApp, log: EventLog) -> None:
    fill(app, 3 * PAGE)
    log.update()
    log.older()
    log.update()
    assert log.page == 1
    log.filter = Filter(state="Signup")
    log.update()
    assert log.page == 0


def fill(app: InlineApp, number: int) -> None:
    state = app.state(Signup)
    for n in range(number):
        state.set("n", n)


# --- live, pages, pause


def test_new_events_come_first(app: InlineApp, log: EventLog) -> None:
    assert updated(log) == []
    fill(app, 2)
    assert updated(log) == [2, 1]
    app.state(Chat).set("n", 1)
    fill(app, 1)
    assert updated(log) == [4, 3, 2, 1]
    assert updated(log, Filter(state="Chat")) == [3]
    app.state(Chat).set("n", 2)
    fill(app, 1)
    assert updated(log) == [5, 3]


def test_a_page_has_fifty_events(app: InlineApp, log: EventLog) -> None:
    fill(app, 2 * PAGE + 3)
    log.update()
    assert log.pages == 3
    assert log.summary == "1 to 50 of 103 events"
    assert shown(log) == list(range(103, 53, -1))
    log.older()
    log.older()
    log.older()
    log.update()
    assert (log.page, shown(log)) == (2, [3, 2, 1])
    assert log.summary == "101 to 103 of 103 events · paused: 0 events came since"
    log.newer()
    assert shown(log) == list(range(53, 3, -1))
    log.follow()
    assert shown(log) == list(range(103, 53, -1))
    assert not log.paused
    log.newer()
    assert log.page == 0


def shown(log: EventLog) -> list[int]:
    return [int(seq) for seq in re.findall(r"<tr><td[^>]*>(\d+)</td>", log.html())]


def test_while_it_is_paused_it_stays_and_says_how_many_came(app: InlineApp, log: EventLog) -> None:
    fill(app, 3)
    log.update()
    log.paused = True
    log.update()
    assert log.summary == "1 to 3 of 3 events · paused: 0 events came since"
    fill(app, 1)
    log.update()
    assert log.summary == "1 to 3 of 3 events · paused: 1 event came since"
    assert shown(log) == [3, 2, 1]
    log.follow()
    log.update()
    assert shown(log) == [4, 3, 2, 1]
    assert log.summary == "1 to 4 of 4 events"


def test_a_filter_while_it_is_paused_finds_what_there_was_then(app: InlineApp, log: EventLog) -> None:
    fill(app, 3)
    app.state(Chat).set("n", 1)
    log.update()
    log.paused = True
    fill(app, 3)
    assert updated(log, Filter(state="Signup")) == [3, 2, 1]
    assert log.missed == 3
    assert updated(log, Filter()) == [4, 3, 2, 1]
    log.follow()
    assert updated(log) == [7, 6, 5, 4, 3, 2, 1]


def test_a_log_that_is_paused_before_there_was_anything_stays_empty(app: InlineApp, log: EventLog) -> None:
    log.update()
    log.paused = True
    fill(app, 2)
    assert updated(log) == []
    assert updated(log, Filter(state="Signup")) == []
    assert log.missed == 2


# --- as the journal is


def test_events_that_the_journal_has_dropped_go(log: EventLog) -> None:
    app = InlineApp(registry=StateRegistry(max_events=10))
    log = EventLog(app)
    fill(app, 8)
    assert updated(log) == list(range(8, 0, -1))
    fill(app, 5)
    assert updated(log) == list(range(13, 3, -1))
    fill(app, 100)
    assert updated(log) == list(range(113, 103, -1))
    assert updated(log, Filter(state="Signup")) == list(range(113, 103, -1))


@pytest.mark.parametrize("then", [0, 2, 5, 9], ids=["fewer", "as many", "more", "many more"])
def test_another_journal_replaces_it(app: InlineApp, log: EventLog, tmp_path: Path, then: int) -> None:
    """Read from a file, it may have as many events, or more."""
    other = InlineApp(registry=StateRegistry())
    for n in range(then + 1):
        other.state(Chat).set("n", n)
    other.registry.save(tmp_path / "other")
    fill(app, 3)
    assert "Signup" in seen_of(log)
    app.registry.load(tmp_path / "other")
    assert updated(log) == list(range(then + 1, 0, -1))
    assert "Chat" in seen(log)
    assert "Signup" not in seen(log)


def test_an_empty_journal_replaces_it(app: InlineApp, log: EventLog, tmp_path: Path) -> None:
    app.registry.save(tmp_path / "empty")
    fill(app, 3)
    updated(log)
    app.registry.load(tmp_path / "empty")
    assert updated(log) == []
    fill(app, 1)
    assert updated(log) == [1]


# --- what it costs


class Costs:
    """How many events were fetched and looked at."""

    def __init__(self) -> None:
        self.fetched = 0
        self.looked_at = 0
        self.rows = 0


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> Costs:
    costs = Costs()
    history, fits, blocks = StateRegistry.history, Filter.fits, views.event_blocks

    def counted_history(self: StateRegistry, *args: object, **kwargs: object) -> History:
        found = history(self, *args, **kwargs)  # type: ignore[arg-type]
        costs.fetched += len(found)
        return found

    def counted_fits(self: Filter, event: Event) -> bool:
        costs.looked_at += 1
        return fits(self, event)

    def counted_blocks(events: list[Event], *args: object) -> object:
        costs.rows += len(events)
        return blocks(events, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(StateRegistry, "history", counted_history)
    monkeypatch.setattr(Filter, "fits", counted_fits)
    monkeypatch.setattr(views, "event_blocks", counted_blocks)
    return costs


def test_an_update_looks_at_new_events_alone(app: InlineApp, log: EventLog, costs: Costs) -> None:
    fill(app, 10_000)
    updated(log, Filter(key="n"))
    before = vars(costs).copy()
    for _ in range(10):
        log.update()
    assert costs.looked_at == before["looked_at"]
    assert costs.fetched == before["fetched"] + 10
    fill(app, 3)
    log.update()
    assert costs.looked_at == before["looked_at"] + 3
    assert seqs(log)[:4] == [10_003, 10_002, 10_001, 10_000]


def test_one_update_looks_at_a_bounded_number(app: InlineApp, log: EventLog, costs: Costs) -> None:
    app.state(Chat).set("first", 0)
    fill(app, 9_000)
    log.filter = Filter(state="Chat")
    log.update()
    assert costs.looked_at == BUDGET
    assert log.is_searching
    assert log.summary == "no event that matches · looking for older ones …"
    app.state(Chat).set("last", 1)
    log.update()
    assert costs.looked_at == 2 * BUDGET
    assert seqs(log) == [9_002]  # what is new comes first
    assert updated(log) == [9_002, 1]
    assert costs.looked_at == 9_002
    assert costs.fetched < 9_020


def test_what_the_journal_has_dropped_is_not_looked_at(app: InlineApp, log: EventLog, costs: Costs) -> None:
    log.filter = Filter(state="Chat")
    for _ in range(5):
        fill(app, 10_000)
        log.update()
    updated(log)
    assert costs.looked_at == 4 * BUDGET + 10_000


def test_of_events_that_were_looked_at_only_those_that_match_are_kept(app: InlineApp, log: EventLog) -> None:
    app.state(Chat).set("n", 1)
    fill(app, 5_000)
    updated(log, Filter(state="Chat"))
    fill(app, 100)
    log.update()
    assert [(len(stretch.events), len(stretch.found)) for stretch in log._stretches] == [(0, 1)]


def test_it_stops_when_it_has_found_enough(app: InlineApp, log: EventLog, costs: Costs) -> None:
    fill(app, 10_000)
    log.update()
    assert not log.is_searching
    assert costs.looked_at == MOST
    assert seqs(log) == list(range(10_000, 10_000 - MOST, -1))
    assert log.summary == "1 to 50 of the last 1,000 events"
    fill(app, 5)
    log.update()
    assert costs.looked_at == MOST + 5
    assert seqs(log) == list(range(10_005, 10_005 - MOST, -1))


def test_a_burst_is_caught_up_with_and_its_last_event_shows_at_once(log: EventLog, costs: Costs) -> None:
    app = InlineApp(registry=StateRegistry())
    log = EventLog(app)
    log.filter = Filter(text="n: ")
    log.update()
    fill(app, 100_000)
    log.update()
    assert seqs(log)[0] == 100_000
    assert costs.fetched <= 2 * 10_000
    assert costs.looked_at <= BUDGET


def test_events_that_come_while_others_are_still_looked_at_keep_their_order(app: InlineApp, log: EventLog) -> None:
    log.filter = Filter(text="7 →")
    for _ in range(4):
        fill(app, 3 * BUDGET // 2)
        log.update()
    assert log.is_searching
    found = updated(log)
    assert found == sorted(found, reverse=True)
    fresh = EventLog(app)
    assert found == updated(fresh, log.filter)


def test_a_page_is_made_once(app: InlineApp, log: EventLog, costs: Costs) -> None:
    fill(app, 10)
    log.update()
    first = log.html()
    for _ in range(5):
        log.update()
        assert log.html() is first
    assert costs.rows == 10
    log.times = True
    assert log.html() != first


def test_events_that_come_while_it_reads_are_not_missed(
    app: InlineApp, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(app, 3)
    updated(log)
    history, once = StateRegistry.history, [True]

    def changing(self: StateRegistry, *args: object, **kwargs: object) -> History:
        if once:
            once.clear()
            fill(app, 5)
        return history(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(StateRegistry, "history", changing)
    fill(app, 1)
    assert updated(log) == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_it_can_be_read_while_threads_change_state(app: InlineApp, log: EventLog) -> None:
    threads = [threading.Thread(target=fill, args=(app, 500)) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        log.update()
        log.html()
        found = seqs(log)
        assert found == list(range(found[0], found[0] - len(found), -1)) if found else True
    for thread in threads:
        thread.join()
    assert updated(log) == list(range(2_000, 2_000 - MOST, -1))


# --- what is shown


def test_changes_who_made_them_and_going_back_are_said(story: InlineApp, log: EventLog) -> None:
    updated(log)
    text = seen(log)
    assert "eventstateopwhat changedby" in text
    assert "3Signupupdatestep: 1 → 2, code: → '4567'step2 #2" in text
    assert "5Chat[42]undo of event 4n: 1 →user" in text
    assert "6Chat[42]redo of event 4n: → 1user" in text
    assert "rewind to event 1" in text
    assert '<th scope="col"' in log.html()
    assert 'class="qstate-events"' in log.html()


def test_times_are_shown_on_demand(app: InlineApp, log: EventLog) -> None:
    fill(app, 1)
    updated(log)
    assert not re.search(r"\d\d:\d\d:\d\d", seen(log))
    log.times = True
    assert re.search(r"1\d\d:\d\d:\d\d\.\d{3}Signup", seen(log))


def test_that_there_is_nothing_is_said(app: InlineApp, log: EventLog) -> None:
    log.update()
    assert (seen(log), log.summary) == ("no events yet", "no event")
    fill(app, 1)
    updated(log, Filter(key="other"))
    assert (seen(log), log.summary) == ("no such events", "no event that matches")
    updated(log, Filter(key="n"))
    assert log.summary == "1 to 1 of 1 event that matches"


class NoRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("can't be compared")

    __hash__ = None  # type: ignore[assignment]


def test_what_the_user_wrote_is_never_markup_and_objects_may_misbehave(app: InlineApp, log: EventLog) -> None:
    @app.task(name=HOSTILE)
    def step(state: Signup) -> None:
        state.set(HOSTILE, HOSTILE)
        state.update(a=NoRepr(), b="\ud800", **{"\ud800": 1})

    app.run(HOSTILE)
    assert updated(log) == [2, 1]
    assert seen(log).count("<script>") >= 3
    assert "whose repr fails" in seen(log)
    assert updated(log, Filter(text="<SCRIPT>")) == [2, 1]
    app.state(Signup).set("a", NoRepr())
    assert updated(log, Filter(key="a")) == [3, 2, 1]


def test_a_state_of_ten_thousand_scopes_is_one_choice(app: InlineApp, log: EventLog) -> None:
    for n in range(1_000):
        app.state(Chat, n).set("n", n)
    updated(log)
    assert log.states() == ["Chat"]
    assert updated(log, Filter(text="chat[7]")) == [8]
