"""`State` and `AsyncState`: one body for both colours."""

from __future__ import annotations

import asyncio
import copy
import enum
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.at_once import frequent_switches, in_threads
from support.blocking import Blocking
from support.containers import keys, same, spoil, values
from support.replay import assert_no_gaps, replay

from qstate_nb import AsyncState, State, StateRegistry, SyncState
from qstate_nb.core.state import StateBase
from qstate_nb.errors import StateKeyError, StateNameError, StateValueError, UnlinkedStateError


class Signup(State):
    pass


class SignupAsync(AsyncState, name="Signup"):
    pass


COLOURS: dict[str, type[StateBase]] = {"sync": Signup, "async": SignupAsync}
READS: dict[str, tuple[Any, ...]] = {"get": ("a",), "get_all": (), "contains": ("a",), "keys": ()}
WRITES: dict[str, tuple[Any, ...]] = {
    "set": ("a", 1),
    "update": (),
    "delete": ("a",),
    "clear": (),
    "drop": (),
    "pop": ("a",),
    "increment": ("a",),
    "append": ("a", 1),
    "setdefault": ("a", 1),
    "mutate": ("a", str),
}
KEYED: dict[str, tuple[Any, ...]] = {name: args[1:] for name, args in (READS | WRITES).items() if args[:1] == ("a",)}


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> type[StateBase]:
    return COLOURS[request.param]


@pytest.fixture
def registry() -> StateRegistry:
    return StateRegistry()


@pytest.fixture
def state(colour: type[StateBase], registry: StateRegistry) -> Blocking:
    return Blocking(registry.state(colour))


def test_the_example_of_the_specification(state: Blocking) -> None:
    assert state.set("state", "await_phone") is None
    assert state.update(step=1, prompt="Enter phone number") == {
        "state": "await_phone",
        "step": 1,
        "prompt": "Enter phone number",
    }
    assert state.get("state") == "await_phone"
    assert state.update(step=2)["step"] == 2
    assert state.delete("state") is None
    assert state.get_all() == {"step": 2, "prompt": "Enter phone number"}
    assert state.clear() is None
    assert state.get_all() == {}


def test_get_gives_the_default_for_a_missing_key_only(state: Blocking) -> None:
    assert state.get("a") is None
    assert state.get("a", 5) == 5
    assert state.get("a", default=5) == 5
    assert state.get(key="a", default=5) == 5
    state.update(a=None, b=0)
    assert state.get("a", 5) is None
    assert state.get("b", 5) == 0


@pytest.mark.parametrize("args", [(), (None,), (None, "default")])
def test_get_without_a_key_gives_everything(state: Blocking, args: tuple[Any, ...]) -> None:
    assert state.get(*args) == {}
    state.update(a=1, b=2)
    assert state.get(*args) == {"a": 1, "b": 2}
    assert state.get(key=None) == {"a": 1, "b": 2}


def test_get_all_is_a_new_dict_in_insertion_order(state: Blocking) -> None:
    state.update(c=1, a=2)
    state.set("b", 3)
    state.set("c", 4)  # keeps its place
    assert list(state.get_all().items()) == [("c", 4), ("a", 2), ("b", 3)]
    state.delete("c")
    state.set("c", 5)  # comes last now
    assert list(state.get_all()) == ["a", "b", "c"]
    state.get_all().clear()
    state.get().clear()
    state.update().clear()
    assert list(state.get_all()) == ["a", "b", "c"]


def test_update_takes_any_name(state: Blocking) -> None:
    names: dict[str, Any] = {
        "self": 1,
        "key": 2,
        "value": 3,
        "values": 4,
        "default": 5,
        "not an identifier": 6,
        "": 7,
    }
    assert state.update(**names) == names
    assert state.get_all() == names


def test_deleting_a_missing_key_is_no_error(state: Blocking) -> None:
    state.delete("a")
    state.set("a", 1)
    state.delete("a")
    state.delete("a")
    assert state.get_all() == {}


@pytest.mark.parametrize("key", [1, b"a", ("a",), ["a"], Signup])
@pytest.mark.parametrize("method", KEYED)
def test_a_key_that_is_not_a_str_is_a_clear_error(
    state: Blocking, registry: StateRegistry, method: str, key: object
) -> None:
    with pytest.raises(StateKeyError, match="a key of State Signup must be a str, not") as caught:
        getattr(state, method)(key, *KEYED[method])
    assert repr(key) in str(caught.value)
    assert type(key).__name__ in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert registry.history() == []


@pytest.mark.parametrize("method", sorted(KEYED.keys() - {"get"}))
def test_none_is_a_key_for_get_only(state: Blocking, method: str) -> None:
    with pytest.raises(StateKeyError, match=r"must be a str, not None \(NoneType\)"):
        getattr(state, method)(None, *KEYED[method])


class Field(str, enum.Enum):  # noqa: UP042 (StrEnum's str() is plain, this one's is not)
    STEP = "step"


class Loud(str):
    def __str__(self) -> str:
        return self.upper()


def test_a_str_of_a_subclass_is_stored_as_its_plain_text(state: Blocking) -> None:
    """So the order in which a field's writers come doesn't tell how the field is shown."""
    state.set(Field.STEP, 1)
    state.set(Loud("loud"), 2)
    assert [(type(key), key) for key in state.get_all()] == [(str, "step"), (str, "loud")]
    assert state.get(Field.STEP) == state.get("step") == 1
    assert state.contains(Field.STEP)
    assert state.increment(Field.STEP) == state.setdefault(Field.STEP, 5) == 2
    state.delete(Field.STEP)
    assert state.get_all() == {"loud": 2}


def test_a_value_that_can_not_be_copied_changes_nothing(state: Blocking, registry: StateRegistry) -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(StateValueError, match="contains itself"):
        state.set("a", cycle)
    with pytest.raises(StateValueError, match="contains itself"):
        state.update(b=1, a=cycle)
    assert state.get_all() == {}
    assert registry.history() == []


def test_other_objects_are_kept_by_reference(state: Blocking) -> None:
    thing = threading.Event()
    state.set("thing", [thing])
    assert state.get("thing")[0] is thing


def test_both_colours_of_one_name_share_the_data(registry: StateRegistry) -> None:
    sync_state, async_state = registry.state(Signup), Blocking(registry.state(SignupAsync))
    sync_state.set("a", 1)
    assert async_state.update(b=2) == {"a": 1, "b": 2}
    assert sync_state.get_all() == {"a": 1, "b": 2}


@pytest.mark.parametrize("method", [*READS, *WRITES])
def test_an_op_of_the_memory_store_never_suspends(registry: StateRegistry, method: str) -> None:
    """So it needs no event loop at all, and can't be bound to a different one."""
    op = getattr(registry.state(SignupAsync), method)(*(READS | WRITES)[method])
    with pytest.raises(StopIteration):
        op.send(None)


@pytest.mark.parametrize("method", [*READS, *WRITES])
def test_an_object_made_by_hand_says_where_to_get_one(colour: type[StateBase], method: str) -> None:
    with pytest.raises(UnlinkedStateError, match=r"made by hand.*`state: Signup`.*app\.state\(Signup\)"):
        getattr(Blocking(colour()), method)(*(READS | WRITES)[method])


def test_sync_state_is_another_word_for_state() -> None:
    assert SyncState is State


def test_the_name_is_the_class_name_unless_another_is_given() -> None:
    class Order(State):
        pass

    class Renamed(Order, name="order"):
        pass

    class Child(Renamed):
        pass

    assert [cls.state_name for cls in (Order, Renamed, Child)] == ["Order", "order", "Child"]
    assert repr(StateRegistry().state(Renamed)) == "<Renamed: State 'order'>"


@pytest.mark.parametrize("name", ["", "a b", 5])
def test_an_unusable_name_is_refused_when_the_class_is_defined(name: Any) -> None:
    with pytest.raises(StateNameError, match=r"can't be the name of a State: use letters"):

        class Order(State, name=name):
            pass


def test_a_state_class_can_have_methods_and_attributes(registry: StateRegistry) -> None:
    class Counter(State):
        start = 5

        def __init__(self) -> None:
            self.mine = "mine"

        def count(self) -> int:
            number: int = self.get("n", self.start) + 1
            self.set("n", number)
            return number

    state = registry.state(Counter)
    assert (state.count(), state.count(), state.mine) == (6, 7, "mine")


# -- against a plain dict ------------------------------------------------------------------------------------------

Op = tuple[str, tuple[Any, ...], dict[str, Any]]

op_calls: st.SearchStrategy[Op] = st.one_of(
    st.tuples(st.just("get"), st.one_of(st.just(()), st.tuples(keys), st.tuples(keys, values)), st.just({})),
    st.tuples(st.just("get_all"), st.just(()), st.just({})),
    st.tuples(st.just("set"), st.tuples(keys, values), st.just({})),
    st.tuples(st.just("set"), st.tuples(keys, values), st.just({})),
    st.tuples(st.just("update"), st.just(()), st.dictionaries(keys, values, max_size=3)),
    st.tuples(st.just("delete"), st.tuples(keys), st.just({})),
    st.tuples(st.just("clear"), st.just(()), st.just({})),
)


def on_a_dict(fields: dict[str, Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What State promises, in the simplest way."""
    if name == "set":
        fields[args[0]] = args[1]
    elif name == "delete":
        fields.pop(args[0], None)
    elif name == "clear":
        fields.clear()
    elif name == "get" and args:
        return fields.get(*args)
    else:
        fields.update(kwargs)
        return fields
    return None


@pytest.mark.parametrize("colours", [("sync",), ("async",), ("sync", "async")], ids="-".join)
@given(data=st.data())
def test_any_sequence_of_ops_does_what_it_does_to_a_dict(colours: tuple[str, ...], data: st.DataObject) -> None:
    """Values come back equal, of the same types and unaliased; the journal replays to the State.

    Each value is drawn twice: the dict's is left alone, and the State's, and all that comes out of State and
    journal, is spoilt in every part as soon as it has been looked at.
    """
    registry = StateRegistry()
    views = [Blocking(registry.state(COLOURS[colour])) for colour in colours]
    key = registry.key(Signup)
    fields: dict[str, Any] = {}
    for name, args, kwargs in data.draw(st.lists(op_calls, max_size=8)):
        view = data.draw(st.sampled_from(views)) if len(views) > 1 else views[0]
        given_args, given_kwargs = (twin(args), twin(kwargs))
        result = getattr(view, name)(*given_args, **given_kwargs)
        assert same(result, on_a_dict(fields, name, args, kwargs)), name
        spoil([given_args[1:], given_kwargs, result])
        for event in registry.history():
            spoil(list(event.changes))
        assert all(same(view.get_all(), fields) for view in views)
    assert_no_gaps(registry.history())
    assert same(dict(sorted(replay(registry.history(), key).items())), dict(sorted(fields.items())))


def twin(value: Any) -> Any:
    """An equal value that shares nothing, made without the code under test."""
    return copy.deepcopy(value)


# -- everybody at once ---------------------------------------------------------------------------------------------

THREADS, LOOPS, TASKS, ROUNDS = 8, 3, 150, 8
THREAD_ROUNDS = 400


@frequent_switches()
def test_threads_and_event_loops_at_once_lose_nothing() -> None:
    """Every op lands, once and whole, and each worker's in its own order; the journal replays to the State."""
    registry = StateRegistry(max_events=None)
    sync_state, async_state = registry.state(Signup), registry.state(SignupAsync)

    def thread_worker(worker: str) -> None:
        for n in range(THREAD_ROUNDS):
            sync_state.set(worker, n)
            assert sync_state.get(worker) == n
            sync_state.update(last=[worker, n], twin=[worker, n])
            sync_state.delete("last" if n % 2 else "missing")

    async def task_worker(worker: str) -> None:
        for n in range(ROUNDS):
            await async_state.set(worker, n)
            await asyncio.sleep(0)
            assert await async_state.get(worker) == n
            fields = await async_state.get_all()
            assert "last" not in fields or fields["twin"] == fields["last"]
            await asyncio.sleep(0)

    async def many_tasks(loop: int) -> None:
        await asyncio.gather(*(task_worker(f"loop {loop} task {n}") for n in range(TASKS)))

    in_threads(
        *(lambda n=n: thread_worker(f"thread {n}") for n in range(THREADS)),
        *(lambda n=n: asyncio.run(many_tasks(n)) for n in range(LOOPS)),
    )

    history = registry.history()
    assert_no_gaps(history)
    assert replay(history, registry.key(Signup)) == sync_state.get_all()
    written: dict[str, list[Any]] = {}
    updates = []
    for event in history:
        if event.op == "set":
            written.setdefault(event.changes[0].field, []).append(event.changes[0].after)
        elif event.op == "update":
            updates.append(tuple(event.changes[0].after))
    for thread in range(THREADS):
        worker = f"thread {thread}"
        assert written.pop(worker) == list(range(THREAD_ROUNDS))
        assert [n for who, n in updates if who == worker] == list(range(THREAD_ROUNDS))
    assert len(written) == LOOPS * TASKS
    assert all(numbers == list(range(ROUNDS)) for numbers in written.values())


def test_one_async_object_works_on_one_event_loop_after_another() -> None:
    state = StateRegistry().state(SignupAsync)
    for number in range(3):
        asyncio.run(state.set("n", number))
    assert asyncio.run(state.get("n")) == 2


def test_setting_one_field_costs_the_same_in_a_bucket_of_any_size(registry: StateRegistry) -> None:
    """A copy of 100,000 fields for each set would cost some hundred times as much."""
    state = registry.state(Signup)

    def fastest() -> float:
        times = []
        for _ in range(7):
            start = time.perf_counter()
            for n in range(50):
                state.set("a", n)
            times.append(time.perf_counter() - start)
        return min(times)

    small = fastest()
    state.update(**{f"field {n}": n for n in range(100_000)})
    assert fastest() < 20 * small
