"""Going back and forth: what it does in single cases, and what it refuses. `test_timetravel_model` has any path."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Callable
from typing import Any

import pytest

from qstate_nb import ABSENT, Actor, AsyncState, Event, State, StateKey, StateRegistry, transaction
from qstate_nb.core.journal import current_actor
from qstate_nb.errors import HistoryError, HorizonError, NotAStateError, NotFoundError, ScopeError

KEY = StateKey("Signup")


class Signup(State):
    pass


class Order(State):
    step: int = 0
    items: list[str] = []  # noqa: RUF012 - a declared default is copied


class Chat(AsyncState):
    pass


@pytest.fixture
def registry() -> StateRegistry:
    return StateRegistry()


@pytest.fixture
def signup(registry: StateRegistry) -> Signup:
    return registry.state(Signup)


def as_call(actor: Actor, do: Callable[[], object]) -> None:
    """Do something as a call."""
    token = current_actor.set(actor)
    try:
        do()
    finally:
        current_actor.reset(token)


# --- history


def test_history_is_filtered_by_all_that_is_given(registry: StateRegistry, signup: Signup) -> None:
    one, two = Actor("step1", 1), Actor("step1", 2)
    as_call(one, lambda: signup.set("a", 1))
    as_call(two, lambda: signup.update(a=2, b=2))
    registry.label("half")
    as_call(Actor("step2", 3), lambda: registry.state(Order, scope=42).set("step", 1))
    with transaction(signup, registry.state(Order, scope=43)):
        signup.set("a", 5)
        registry.state(Order, scope=43).set("step", 2)

    def seqs(**given: Any) -> list[int]:
        return [event.seq for event in registry.history(**given)]

    assert seqs() == [1, 2, 3, 4]
    for state in ("Signup", Signup, signup, KEY):
        assert seqs(state=state) == [1, 2, 4]
    assert seqs(state="Order") == seqs(state=Order) == [3, 4]
    assert seqs(state="Order", scope=42) == seqs(state="Order[42]") == seqs(state=registry.state(Order, 42)) == [3]
    assert seqs(state=StateKey("Order")) == []
    assert seqs(key="a") == [1, 2, 4]
    assert seqs(state="Order", key="a") == []
    assert seqs(key="step") == [3, 4]
    assert seqs(task="step1") == [1, 2]
    assert seqs(call=2) == [2]
    assert seqs(task="step2", call=2) == []
    assert seqs(since=2, until=3) == [2, 3]
    assert seqs(since="half") == [3, 4]
    assert seqs(until="half") == seqs(until=2) == [1, 2]
    assert seqs(limit=3) == [2, 3, 4]
    assert seqs(key="a", limit=2) == [2, 4]
    assert seqs(limit=0) == []


def test_the_call_of_one_app_is_not_taken_for_that_of_another(registry: StateRegistry, signup: Signup) -> None:
    class Call:
        number = 1

        def __init__(self, actor: Actor) -> None:
            self.actor = actor

    calls = [Call(Actor("step1", 1)), Call(Actor("step1", 1))]
    for value, call in enumerate(calls):
        as_call(call.actor, lambda value=value: signup.set("a", value))  # type: ignore[misc]
    assert [event.seq for event in registry.history(call=calls[1])] == [2]
    assert len(registry.history(call=1)) == 2
    registry.undo()
    assert signup.get("a") == 0


def test_a_history_is_a_sequence(registry: StateRegistry, signup: Signup) -> None:
    for value in range(30):
        signup.set("a", value)
    history = registry.history()
    assert isinstance(history[0], Event)
    assert [event.seq for event in history[-2:]] == [29, 30]
    assert history[:0] == []
    assert history[:2] == registry.history(until=2) != history[:3]
    lines = repr(history).splitlines()
    assert (len(lines), lines[-1]) == (21, " … 10 more]")
    assert lines[0] == "[<Event 1: Signup set a by user>,"


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"state": "Sgnup"}, NotFoundError, "no state 'Sgnup'; did you mean 'Signup'"),
        ({"state": 3}, NotAStateError, "3 is no State: give its name, its class, its object or its key"),
        ({"state": "Signup", "scope": 1.5}, ScopeError, "1.5"),
        ({"since": "nope"}, NotFoundError, "no label 'nope'; there is none yet"),
        ({"until": 9}, HistoryError, "there is no event 9 yet; the last one is 1"),
        ({"since": -1}, HistoryError, "-1 is no moment"),
        ({"since": True}, HistoryError, "True is no moment"),
        ({"limit": -1}, HistoryError, "limit must be a number of events, 0 or more, or None, not -1"),
    ],
)
def test_a_history_that_cannot_be_says_why(
    registry: StateRegistry, signup: Signup, given: dict[str, Any], error: type[Exception], text: str
) -> None:
    signup.set("a", 1)
    with pytest.raises(error) as caught:
        registry.history(**given)
    assert text in str(caught.value)


# --- moments


def test_a_moment_is_read_only_and_its_values_are_copies(registry: StateRegistry) -> None:
    order = registry.state(Order, scope=42)
    order.append("items", "a")
    order.append("items", "b")
    then = registry.at(1)
    assert dict(then) == {"Order[42]": {"step": 0, "items": ["a"]}}
    then["Order[42]"]["items"].append("spoilt")
    assert then["Order[42]"]["items"] == ["a"]
    assert order.get("items") == ["a", "b"]
    with pytest.raises(TypeError):
        then["Order[42]"] = {}  # type: ignore[index]
    with pytest.raises(KeyError):
        then["Order"]
    assert registry.at(0) == {}
    assert repr(then) == "<State after event 1: {'Order[42]': {'step': 0, 'items': ['a']}}>"


def test_any_moment_of_a_long_history(registry: StateRegistry) -> None:
    registry = StateRegistry(max_events=None)
    signup = registry.state(Signup)
    for number in range(1, 20_001):
        signup.set(f"k{number % 7}", number)
    for seq in (0, 1, 6, 7, 4_095, 4_096, 4_097, 8_192, 12_345, 19_999, 20_000):
        wanted = {f"k{number % 7}": number for number in range(max(1, seq - 6), seq + 1)}
        assert dict(registry.at(seq)) == ({"Signup": wanted} if wanted else {})
    signup.clear()
    assert registry.at(20_000)["Signup"]["k0"] == 19_999
    assert registry.at(4_096)["Signup"]["k1"] == 4_096


@pytest.mark.parametrize("max_events", [None, 13_000])
def test_any_moment_where_a_key_changed_long_ago_or_long_after(max_events: int | None) -> None:
    """What was before a block of events is added up once; also where an event changes several keys, or deletes."""
    registry = StateRegistry(max_events=max_events)
    signup = registry.state(Signup)
    contents: list[dict[str, int]] = [{}]
    for number in range(1, 20_001):
        if number % 5_000 == 1:
            signup.update(rare=number, other=-number)
        elif number % 9_000 == 2:
            signup.delete("rare")
        else:
            signup.set("often", number)
        contents.append(signup.get_all())
    seqs = [20_000, 7_000, 19_999, 8_192, 8_193, 12_288, 15_002, 9_002, 7_001, 18_002, 18_001]
    for seq in [*seqs, *([] if max_events else [0, 1, 2, 3, 4_096]), *seqs]:
        assert dict(registry.at(seq)) == ({"Signup": contents[seq]} if contents[seq] else {})
    assert registry.at(8_192) == registry.fork(8_192).at()
    assert set(registry._store._blocks) == {2, 3} if max_events else {0, 1, 2, 3}


def test_the_bounded_journal_says_what_it_dropped(registry: StateRegistry) -> None:
    registry = StateRegistry(max_events=3)
    signup = registry.state(Signup)
    signup.set("old", 1)
    registry.label("early")
    for value in range(5):
        signup.set("a", value)
    assert (registry.dropped, registry.history().dropped, registry.seq) == (3, 3, 6)
    assert registry.at(3) == {"Signup": {"old": 1, "a": 1}}
    for go in (registry.at, registry.rewind, registry.fork, registry.diff):
        with pytest.raises(
            HorizonError, match=r"after event 2 is not known any more: .* its events up to 3 were dropped"
        ):
            go(2)
    assert registry.at("early") == {"Signup": {"old": 1}}
    fork = registry.fork("early")
    assert (dict(fork.at()), fork.seq, fork.dropped, list(fork.history())) == ({"Signup": {"old": 1}}, 1, 1, [])
    assert [event.refers_to for event in registry.undo(3)] == [(6,), (5,), (4,)]
    assert signup.get_all() == {"old": 1, "a": 1}
    with pytest.raises(HistoryError, match="nothing more to undo, as the events before were dropped"):
        registry.undo()
    with pytest.raises(HorizonError, match="can't redo so far back"):
        registry.redo()
    registry.rewind("early")
    assert signup.get_all() == {"old": 1}


def test_an_undo_behind_the_horizon_is_refused_where_it_could_be_wrong() -> None:
    """Event 2 was undone and dropped; event 3 hides it. To undo that as well would need what was before event 2."""
    registry = StateRegistry(max_events=4)
    signup = registry.state(Signup)
    one, two = Actor("one", 1), Actor("two", 2)
    signup.set("a", 1)
    as_call(one, lambda: signup.set("a", 2))
    as_call(two, lambda: signup.set("a", 3))
    as_call(one, lambda: signup.set("b", 2))
    registry.undo()  # of call one: a stays 3
    signup.set("c", 1)
    with pytest.raises(HorizonError, match="can't undo so far back"):
        registry.undo(2, by="event")
    assert signup.get_all() == {"a": 3, "c": 1}


def test_differences_inside_dicts_and_lists(registry: StateRegistry, signup: Signup) -> None:
    signup.update(same=[1], cart={"apples": [1, 2], "pears": 1}, kind=1, gone=(1,))
    signup.set("cart", {"apples": [1, 3, 4], "plums": {"a": 1}})
    signup.set("kind", 1.0)
    signup.delete("gone")
    registry.state(Order, scope="x").set("step", 1)
    found = registry.diff(1)
    assert [str(each) for each in found] == [
        "Signup.cart['apples'][1]: 2 → 3",
        "Signup.cart['apples'][2]: → 4",
        "Signup.cart['pears']: 1 →",
        "Signup.cart['plums']: → {'a': 1}",
        "Signup.kind: 1 → 1.0",
        "Signup.gone: (1,) →",
        "Order[x].step: → 1",
        "Order[x].items: → []",
    ]
    assert [each.where for each in found.added] == ["cart['apples'][2]", "cart['plums']", "step", "items"]
    assert [each.where for each in found.removed] == ["cart['pears']", "gone"]
    assert [each.where for each in found.changed] == ["cart['apples'][1]", "kind"]
    assert [each.after for each in registry.diff(5, 1, state="Signup").removed] == [ABSENT, ABSENT]
    assert len(registry.diff(1, state="Order")) == 2
    assert list(registry.diff(3, 3)) == []
    with pytest.raises(NotFoundError):
        registry.diff(0, state="Nope")


def test_objects_whose_comparison_fails_are_different(registry: StateRegistry, signup: Signup) -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

        __hash__ = None  # type: ignore[assignment]

    signup.set("a", Odd())
    signup.set("a", Odd())
    assert len(registry.diff(1)) == 1
    signup.set("a", float("nan"))
    signup.set("a", float("nan"))
    assert len(registry.diff(3)) == 0


def test_blame_names_the_event_that_wrote_each_key(registry: StateRegistry, signup: Signup) -> None:
    signup.update(a=1, b=1)
    signup.set("b", 2)
    signup.set("gone", 2)
    signup.delete("gone")
    assert {key: event.seq for key, event in registry.blame(Signup).items()} == {"a": 1, "b": 2}
    registry.undo(3)
    assert {key: (event.seq, event.op) for key, event in registry.blame("Signup").items()} == {
        "a": (1, "update"),
        "b": (7, "undo"),
    }
    with pytest.raises(NotFoundError):
        registry.blame("Nope")


# --- undo, redo, rewind


def test_undo_takes_a_whole_call_and_leaves_what_others_wrote_since(registry: StateRegistry, signup: Signup) -> None:
    one, two = Actor("one", 1), Actor("two", 2)
    signup.set("a", 0)
    as_call(one, lambda: signup.update(a=1, b=1))
    as_call(two, lambda: signup.set("a", 2))
    as_call(one, lambda: signup.set("c", 1))
    (event,) = registry.undo()
    assert (event.op, event.refers_to, event.title) == ("undo", (2, 4), "undo of events 2, 4")
    assert signup.get_all() == {"a": 2}
    registry.undo()
    assert signup.get_all() == {"a": 0}
    assert [event.refers_to for event in registry.redo(2)] == [(3,), (2, 4)]
    assert signup.get_all() == {"a": 2, "b": 1, "c": 1}
    registry.undo(by="event")
    assert signup.get_all() == {"a": 2, "b": 1}


def test_a_new_change_clears_what_can_be_redone(registry: StateRegistry, signup: Signup) -> None:
    signup.set("a", 1)
    registry.undo()
    signup.set("a", 2)
    with pytest.raises(HistoryError, match="there is nothing more to redo"):
        registry.redo()
    registry.undo()
    registry.redo()
    with pytest.raises(HistoryError, match="there is nothing more to redo"):
        registry.redo()
    assert signup.get_all() == {"a": 2}


def test_all_steps_are_made_or_none(registry: StateRegistry, signup: Signup) -> None:
    signup.set("a", 1)
    signup.set("a", 2)
    with pytest.raises(HistoryError, match="there is nothing more to undo"):
        registry.undo(3)
    assert (registry.seq, signup.get("a")) == (2, 2)


@pytest.mark.parametrize("n", [0, -1, True, 1.0, "1", None])
def test_steps_are_a_whole_number(registry: StateRegistry, signup: Signup, n: Any) -> None:
    signup.set("a", 1)
    for step in (registry.undo, registry.redo):
        with pytest.raises(HistoryError, match="n must be a whole number, 1 or more"):
            step(n)
    with pytest.raises(HistoryError, match='by must be "call" or "event"'):
        registry.undo(by=n)


def test_it_is_refused_while_a_call_runs(registry: StateRegistry, signup: Signup, tmp_path: Any) -> None:
    class Runner:
        def __init__(self) -> None:
            self.calls = ["a #1", "b #2", "c #3", "d #4"]

        def running(self) -> list[str]:
            return self.calls

    runner = Runner()
    signup.set("a", 1)
    registry.save(tmp_path / "x")
    registry.add_runner(runner)
    for name, step in (("undo", registry.undo), ("redo", registry.redo), ("rewind", lambda: registry.rewind(0))):
        with pytest.raises(HistoryError, match=rf"can't {name} while a #1, b #2, c #3, … run and could change State"):
            step()
    with pytest.raises(HistoryError, match="can't load a file while a #1"):
        registry.load(tmp_path / "x")
    assert registry.fork(0).at() == {}  # that touches nothing
    runner.calls = []
    registry.undo()
    assert signup.get_all() == {}


def test_it_is_refused_while_a_transaction_holds_a_bucket_that_it_would_change(
    registry: StateRegistry, signup: Signup, tmp_path: Any
) -> None:
    order = registry.state(Order)
    signup.set("a", 1)
    order.set("step", 1)
    signup.set("a", 2)
    registry.save(tmp_path / "x")
    with order.transaction():
        order.set("step", 5)
        for name, step in (("undo", lambda: registry.undo(2)), ("rewind", lambda: registry.rewind(1))):
            with pytest.raises(
                HistoryError, match=rf"can't {name} while user \(thread .*\) has a transaction on Order"
            ):
                step()
        with pytest.raises(HistoryError, match="has a transaction on Order; wait for its end"):
            registry.load(tmp_path / "x")
        assert (registry.seq, signup.get("a")) == (3, 2)
        registry.undo()  # Signup alone
    assert (signup.get("a"), order.get("step")) == (1, 5)


def test_a_rewind_to_what_is_there_is_no_event(registry: StateRegistry, signup: Signup) -> None:
    signup.set("a", 1)
    assert registry.rewind(1) is None
    assert registry.seq == 1


def test_labels(registry: StateRegistry, signup: Signup) -> None:
    assert registry.label("start") == 0
    signup.set("a", 1)
    assert registry.label("one") == 1
    assert registry.labels == {"start": 0, "one": 1}
    registry.label("start")
    assert registry.labels == {"start": 1, "one": 1}
    assert list(registry.fork(0).labels) == []
    for name in ("", " ", "12", "-3", 3, None):
        with pytest.raises(HistoryError, match="a label must"):
            registry.label(name)  # type: ignore[arg-type]


def test_a_fork_is_independent(registry: StateRegistry, signup: Signup) -> None:
    signup.set("a", [1])
    fork = registry.fork()
    heard: list[Event] = []
    fork.subscribe(heard.append)
    signup.append("a", 2)
    fork.state(Signup).append("a", 3)
    fork.undo()
    fork.state(Signup).append("a", 4)
    assert (signup.get("a"), fork.state(Signup).get("a")) == ([1, 2], [1, 4])
    assert [event.seq for event in heard] == [2, 3, 4]


def test_a_state_object_goes_on_after_a_load(registry: StateRegistry, signup: Signup, tmp_path: Any) -> None:
    order = registry.state(Order, scope=42)
    signup.set("a", 1)
    registry.save(tmp_path / "x")
    heard: list[Event] = []
    registry.subscribe(heard.append)
    order.set("step", 1)
    signup.set("a", [2])
    heard.clear()
    assert registry.load(tmp_path / "x") == 1
    assert [event.seq for event in heard] == [1]
    assert (signup.get_all(), order.get_all(), registry.keys()) == ({"a": 1}, {"step": 0, "items": []}, [KEY])
    signup.set("a", 3)
    order.set("step", 2)
    assert registry.history(since=2)[-1].changes[0].after == 2
    assert registry.at(1) == {"Signup": {"a": 1}}


def test_moments_of_a_loaded_file_are_its_own(tmp_path: Any) -> None:
    registry = StateRegistry(max_events=None)
    signup = registry.state(Signup)
    for first in (1, 2):
        signup.clear()
        registry.load(tmp_path / "empty") if first == 2 else registry.save(tmp_path / "empty")
        signup.set("rare", first)
        for number in range(9_000):
            signup.set("often", number * first)
        signup.set("rare", -1)
        assert registry.at(4_096)["Signup"] == {"rare": first, "often": 4_094 * first}


# --- events as they happen


def test_changes_are_read_as_they_happen_and_only_those_of_one_bucket(registry: StateRegistry) -> None:
    chat, other = registry.state(Chat, scope=1), registry.state(Chat, scope=2)

    async def read() -> list[Any]:
        await chat.set("n", 0)
        seen = []
        changes = chat.changes()
        await chat.set("n", 1)  # waits in the queue
        async for event in changes:
            seen.append(event.changes[0].after)
            if len(seen) == 4:
                break
            await other.set("n", -1)
            if len(seen) == 2:
                thread = threading.Thread(target=lambda: asyncio.run(chat.set("n", 3)))
                thread.start()
                thread.join()
            else:
                asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(chat.increment("n")))
        return seen

    assert asyncio.run(asyncio.wait_for(read(), 10)) == [1, 2, 3, 4]
    assert registry._store.listener is None  # nobody listens any more


def test_changes_that_are_not_read_are_skipped_and_counted(
    registry: StateRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    chat = registry.state(Chat)

    async def read() -> None:
        changes = chat.changes(queue=3)
        for n in range(10):
            await chat.set("n", n)
        assert changes.skipped == 7
        assert [(await anext(changes)).seq for _ in range(3)] == [8, 9, 10]
        assert changes.skipped == 7

    asyncio.run(read())
    assert caplog.messages == ["Chat changed faster than its changes were read: 7 events were skipped"]
    for queue in (0, -1, True, 1.5):
        with pytest.raises(ValueError, match="queue must be a whole number, 1 or more"):
            chat.changes(queue=queue)  # type: ignore[arg-type]


def test_two_readers_of_one_queue_both_wake(registry: StateRegistry) -> None:
    chat = registry.state(Chat)

    async def read() -> list[int]:
        changes = chat.changes()
        readers = [asyncio.ensure_future(anext(changes)) for _ in range(2)]
        await asyncio.sleep(0)
        await chat.set("n", 1)
        await chat.set("n", 2)
        return sorted(event.seq for event in await asyncio.wait_for(asyncio.gather(*readers), 10))

    assert asyncio.run(read()) == [1, 2]


def test_a_rewind_tells_equal_values_apart(registry: StateRegistry, signup: Signup) -> None:
    utc = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
    there = utc.astimezone(datetime.timezone(datetime.timedelta(hours=2)))
    for before, after in ((utc, there), ({1}, {True}), ({"a": 1, "b": 2}, {"b": 2, "a": 1})):
        signup.set("t", before)
        seq = registry.seq
        signup.set("t", after)
        assert registry.rewind(seq) is not None
        assert repr(signup.get("t")) == repr(before)


def test_a_part_of_a_call_is_not_undone_as_if_it_were_all() -> None:
    registry = StateRegistry(max_events=3)
    signup = registry.state(Signup)

    def call() -> None:
        for number in range(5):
            signup.set("n", number)

    as_call(Actor("step1", 1), call)
    with pytest.raises(HorizonError, match=r"can't undo all of step1 #1: .* by=\"event\" undoes single ones"):
        registry.undo()
    registry.undo(by="event")
    assert signup.get("n") == 3


def test_apps_that_come_and_go_do_not_disturb_an_undo(registry: StateRegistry, signup: Signup) -> None:
    class Runner:
        def running(self) -> list[str]:
            return []

    done = threading.Event()

    def add() -> None:
        while not done.is_set():
            registry.add_runner(Runner())

    thread = threading.Thread(target=add)
    thread.start()
    try:
        for number in range(200):
            signup.set("n", number)
            registry.undo()
    finally:
        done.set()
        thread.join()
    assert len(registry._runners) <= 1


def test_a_rewind_in_the_middle_of_a_load_is_of_the_one_or_the_other(
    registry: StateRegistry, signup: Signup, tmp_path: Any
) -> None:
    for value in ("B", "B2"):
        signup.set("n", value)
    registry.save(tmp_path / "b")
    other = StateRegistry()
    for value in ("A", "A2"):
        other.state(Signup).set("n", value)
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            other.load(tmp_path / "b")

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for _ in range(300):
            event = other.rewind(1)
            assert event is None or event.changes[0].after in ("A", "B")
        assert other.rewind(1) is None or other.state(Signup).get("n") in ("A", "B", "B2")
    finally:
        done.set()
        thread.join()
    other.rewind(1)
    assert other.state(Signup).get("n") == other.at(1)["Signup"]["n"] == "B"
