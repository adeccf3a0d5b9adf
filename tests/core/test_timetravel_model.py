"""Any path of writes, undo, redo, rewind, labels, forks and files, against a model that keeps full copies."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.replay import assert_no_gaps, replay

from qstate_nb import Actor, State, StateKey, StateRegistry, transaction
from qstate_nb.core.journal import current_actor
from qstate_nb.errors import HistoryError

SCOPES = ("x", "y")
FIELDS = ("a", "b", "step")
VALUES = st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2) | st.dictionaries(st.text("pq"), st.none())

Fields = dict[str, Any]
Contents = dict[str, Fields]


class Cart(State):
    pass


class Entry(NamedTuple):
    """An event: whose it is, and what it set; None deletes."""

    unit: object
    changes: dict[tuple[str, str], tuple[bool, Any]]  # scope and field → whether it is there, and the value
    counts: bool = True


class Moment(NamedTuple):
    """All that the model knows after an event."""

    contents: Contents
    left_out: frozenset[int]
    undone: tuple[frozenset[int], ...]


class Model:
    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.moments = [Moment({}, frozenset(), ())]
        self.labels: dict[str, int] = {}

    @property
    def now(self) -> Moment:
        return self.moments[-1]

    def add(self, entry: Entry, contents: Contents, left_out: frozenset[int], undone: Any = ()) -> None:
        self.log.append(entry)
        kept = {scope: copy.deepcopy(fields) for scope, fields in contents.items() if fields}
        self.moments.append(Moment(kept, left_out, undone))

    def write(self, unit: object, after: Contents, touched: set[tuple[str, str]]) -> None:
        changes = {at: (at[1] in after.get(at[0], {}), after.get(at[0], {}).get(at[1])) for at in touched}
        if changes:
            self.add(Entry(unit, changes), after, self.now.left_out)

    def counting(self, left_out: frozenset[int]) -> list[int]:
        return [n for n, entry in enumerate(self.log, 1) if entry.counts and n not in left_out]

    def without(self, left_out: frozenset[int]) -> Contents:
        contents: Contents = {}
        for number in self.counting(left_out):
            for (scope, field), (is_there, value) in self.log[number - 1].changes.items():
                fields = contents.setdefault(scope, {})
                fields.pop(field, None)
                if is_there:
                    fields[field] = copy.deepcopy(value)
        return contents

    def undo(self, by: str) -> bool:
        counting = self.counting(self.now.left_out)
        if not counting:
            return False
        unit = self.log[counting[-1] - 1].unit
        gone = frozenset(n for n in counting if self.log[n - 1].unit is unit)
        if by == "event" or unit is None:
            gone = frozenset(counting[-1:])
        left_out = self.now.left_out | gone
        self.add(Entry(None, {}, False), self.without(left_out), left_out, (*self.now.undone, gone))
        return True

    def redo(self) -> bool:
        if not self.now.undone:
            return False
        left_out = self.now.left_out - self.now.undone[-1]
        self.add(Entry(None, {}, False), self.without(left_out), left_out, self.now.undone[:-1])
        return True

    def cut(self, seq: int) -> None:
        self.log, self.moments = self.log[:seq], self.moments[: seq + 1]
        self.labels = {name: at for name, at in self.labels.items() if at <= seq}


class TimeTravel(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.registry = StateRegistry(max_events=None)
        self.registry.state(Cart)
        self.model = Model()
        self.begin_calls()
        self.before: list[tuple[StateRegistry, Contents]] = []  # registries that were forked, and their contents

    def begin_calls(self) -> None:
        """New calls; an actor object stands for each, even if another one is equal."""
        self.actors = [Actor(), Actor("step", 1), Actor("step", 1), Actor("other", 2)]
        self.units: list[object] = [None, object(), object(), object()]

    def contents_of(self, registry: StateRegistry) -> Contents:
        found = {scope: registry.state(Cart, scope).get_all() for scope in SCOPES}
        return {scope: fields for scope, fields in found.items() if fields}

    def as_user_sees(self, snapshot: Any) -> Contents:
        return {name[len("Cart[") : -1]: dict(fields) for name, fields in snapshot.items()}

    def act(self, who: int, scope: str, do: Callable[[State], object], touched: set[str]) -> None:
        token = current_actor.set(self.actors[who])
        try:
            do(self.registry.state(Cart, scope))
        finally:
            current_actor.reset(token)
        self.model.write(self.units[who], self.contents_of(self.registry), {(scope, field) for field in touched})

    @rule(who=st.integers(0, 3), scope=st.sampled_from(SCOPES), field=st.sampled_from(FIELDS), value=VALUES)
    def set(self, who: int, scope: str, field: str, value: Any) -> None:
        self.act(who, scope, lambda state: state.set(field, value), {field})

    @rule(who=st.integers(0, 3), scope=st.sampled_from(SCOPES), op=st.sampled_from(["clear", "drop"]))
    def empty(self, who: int, scope: str, op: str) -> None:
        gone = {*self.model.now.contents.get(scope, {})}
        self.act(who, scope, lambda state: getattr(state, op)(), gone)

    @rule(who=st.integers(0, 3), scope=st.sampled_from(SCOPES), field=st.sampled_from(FIELDS))
    def delete(self, who: int, scope: str, field: str) -> None:
        is_there = field in self.model.now.contents.get(scope, {})
        self.act(who, scope, lambda state: state.delete(field), {field} if is_there else set())

    @rule(who=st.integers(0, 3), value=VALUES)
    def transact(self, who: int, value: Any) -> None:
        token = current_actor.set(self.actors[who])
        x, y = (self.registry.state(Cart, scope) for scope in SCOPES)
        with transaction(x, y):
            x.set("a", value)
            y.set("b", value)
        current_actor.reset(token)
        self.model.write(self.units[who], self.contents_of(self.registry), {("x", "a"), ("y", "b")})

    @rule(by=st.sampled_from(["call", "event"]))
    def undo(self, by: Any) -> None:
        if self.model.undo(by):
            event = self.registry.undo(by=by)[-1]
            left_out = self.model.now.left_out - self.model.moments[-2].left_out
            assert (event.op, frozenset(event.refers_to)) == ("undo", left_out)
        else:
            with pytest.raises(HistoryError, match="nothing more to undo"):
                self.registry.undo(by=by)

    @rule()
    def redo(self) -> None:
        if self.model.redo():
            assert self.registry.redo()[-1].op == "redo"
        else:
            with pytest.raises(HistoryError, match="nothing more to redo"):
                self.registry.redo()

    @rule(n=st.integers(1, 4))
    def undo_then_redo_is_nothing(self, n: int) -> None:
        before = self.contents_of(self.registry)
        try:
            self.registry.undo(n)
        except HistoryError:
            assert not all(self.model_undoes(n))
            return
        assert all(self.model_undoes(n))
        self.registry.redo(n)
        assert self.contents_of(self.registry) == before
        for _ in range(n):
            assert self.model.redo()

    def model_undoes(self, n: int) -> list[bool]:
        tried = Model()
        tried.log, tried.moments, tried.labels = [*self.model.log], [*self.model.moments], self.model.labels
        done = [tried.undo("call") for _ in range(n)]
        if all(done):
            self.model = tried
        return done if all(done) else [False]

    @rule(part=st.floats(0, 1))
    def rewind(self, part: float) -> None:
        self.go_to(round(part * len(self.model.log)))

    @rule(name=st.sampled_from(["one", "two"]))
    def label(self, name: str) -> None:
        self.model.labels[name] = len(self.model.log)
        assert self.registry.label(name) == len(self.model.log)

    @rule(name=st.sampled_from(["one", "two"]))
    def rewind_to_label(self, name: str) -> None:
        if name in self.model.labels:
            self.go_to(self.model.labels[name], name)

    def go_to(self, seq: int, name: str | None = None) -> None:
        then, now = self.model.moments[seq].contents, self.model.now.contents
        event = self.registry.rewind(seq if name is None else name)
        differing = {(scope, field) for scope in SCOPES for field in FIELDS if self.differs(scope, field, then, now)}
        touched = set() if event is None else {(str(each.state.scope), each.field) for each in event.stored}
        assert touched >= differing  # equal lists may be others
        self.model.write(None, then, touched)
        if event is not None:
            assert (event.op, event.refers_to) == ("rewind", (seq,))

    def differs(self, scope: str, field: str, one: Contents, other: Contents) -> bool:
        missing = object()
        return bool(one.get(scope, {}).get(field, missing) != other.get(scope, {}).get(field, missing))

    @rule(part=st.floats(0, 1))
    def fork(self, part: float) -> None:
        seq = round(part * len(self.model.log))
        self.before.append((self.registry, self.model.now.contents))
        self.registry = self.registry.fork(seq)
        self.model.cut(seq)

    @rule()
    def save_and_load(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "saved.jsonl"
            assert self.registry.save(path) == len(self.model.log)
            history, labels, blame = self.registry.history(), self.registry.labels, self.blame()
            self.registry = StateRegistry(max_events=None)
            self.registry.state(Cart)
            self.registry.state(Cart, "x").set("old", 1)
            assert self.registry.load(path) == len(self.model.log)
            self.begin_calls()
        assert self.registry.history() == history
        assert (self.registry.labels, self.blame()) == (labels, blame)

    def blame(self) -> dict[str, Any]:
        return {scope: self.registry.writers(StateKey("Cart", scope)) for scope in SCOPES}

    @rule(part=st.floats(0, 1))
    def look_back(self, part: float) -> None:
        seq = round(part * len(self.model.log))
        assert self.as_user_sees(self.registry.at(seq)) == self.model.moments[seq].contents

    @invariant()
    def state_is_what_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        contents = self.model.now.contents
        assert self.contents_of(self.registry) == contents
        history = self.registry.history()
        assert_no_gaps(history)
        assert len(history) == self.registry.seq == len(self.model.log)
        assert self.as_user_sees(self.registry.at()) == self.as_user_sees(self.registry.at(len(history))) == contents
        for scope in SCOPES:
            assert replay(history, StateKey("Cart", scope)) == contents.get(scope, {})
            blamed = self.registry.writers(StateKey("Cart", scope))
            for field in contents.get(scope, {}):
                last = [e for e in history if any(c.field == field and c.state.scope == scope for c in e.stored)][-1]
                assert blamed[field] == last
        assert self.registry.labels == self.model.labels
        for registry, before in self.before:
            assert self.contents_of(registry) == before


TestTimeTravel = TimeTravel.TestCase
TestTimeTravel.settings = settings(max_examples=150, stateful_step_count=30, deadline=None, database=None)


@pytest.mark.parametrize("seed", range(200))
def test_a_bounded_journal_can_refuse_but_is_never_wrong(seed: int) -> None:
    """Of a call whose first events were dropped, an undo takes back those that are kept."""
    random = Random(seed)
    registry, model = StateRegistry(max_events=random.choice([2, 3, 4, 6])), Model()
    actors, units = [Actor(), Actor("a", 1), Actor("b", 2)], [None, object(), object()]
    cart = registry.state(Cart, "x")

    def contents() -> Contents:
        return {"x": cart.get_all()} if cart.get_all() else {}

    for value in range(15):
        kind = random.choice(["set", "set", "delete", "undo", "redo"])
        who, field = random.randrange(3), random.choice("ab")
        if kind in ("set", "delete"):
            touched = {("x", field)} if kind == "set" or field in cart.get_all() else set()
            token = current_actor.set(actors[who])
            cart.set(field, value) if kind == "set" else cart.delete(field)
            current_actor.reset(token)
            model.write(units[who], contents(), touched)
        else:
            try:
                (event,) = registry.undo() if kind == "undo" else registry.redo()
            except HistoryError:
                continue
            if kind == "redo":
                assert model.redo()
            else:
                seqs = frozenset(event.refers_to)
                counting = model.counting(model.now.left_out)
                unit = model.log[counting[-1] - 1].unit
                assert max(seqs) == counting[-1]
                assert len({model.log[seq - 1].unit for seq in seqs}) == 1
                assert seqs >= {
                    n for n in counting if unit and model.log[n - 1].unit is unit and n > registry.dropped
                }
                left_out = model.now.left_out | seqs
                model.add(Entry(None, {}, False), model.without(left_out), left_out, (*model.now.undone, seqs))
        assert contents() == model.now.contents
        for seq in range(registry.dropped, registry.seq + 1):
            found = {name[len("Cart[") : -1]: dict(fields) for name, fields in registry.at(seq).items()}
            assert found == model.moments[seq].contents
