"""Two tasks, step by step, with nested transactions, waits, cancellations and errors, against a simple model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.replay import assert_no_gaps, replay

from qstate_nb import ABSENT, AsyncState, State, StateKey, StateRegistry, Transaction, transaction
from qstate_nb.errors import DeadlockError, FieldTypeError

SCOPES = ("x", "y", "z")
TURNS = 20  # of the loop, after which a step that is not done waits

Fields = dict[str, Any]


class Account(AsyncState):
    step: int = 0


class SyncAccount(State, name="Account"):
    step: int = 0


def complete(fields: Fields) -> Fields:
    return {"step": 0, **fields}


OPS: dict[str, Callable[[Fields, str, Any], Fields]] = {
    "set": lambda fields, key, value: {**fields, key: value},
    "delete": lambda fields, key, _: {name: each for name, each in fields.items() if name != key},
    "clear": lambda fields, key, _: {},
    "increment": lambda fields, key, value: {**fields, "step": fields.get("step", 0) + 1},
    "get_all": lambda fields, key, _: fields,
}


class Actor:
    """A task that does one thing after the other, and what the model thinks that it holds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.todo: asyncio.Queue[Callable[[], Awaitable[Any]]] = asyncio.Queue()
        self.task = loop.create_task(self._run())
        self.opened: list[Transaction] = []
        self.done = True
        self.result: Any = None
        self.view: dict[str, Fields] = {}  # of what it holds
        self.frames: list[dict[str, Fields | None]] = []  # what each was taken with; None if it was not held before
        self.waits: tuple[str, Callable[[], None]] | None = None  # for which scope, and what happens then

    async def _run(self) -> None:
        while True:
            step = await self.todo.get()
            try:
                self.result = await step()
            except (Exception, asyncio.CancelledError) as error:
                self.result = error
            self.done = True


class Transactions(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.registry = StateRegistry(max_events=None)
        self.registry.introduce(Account)
        self.loop = asyncio.new_event_loop()
        self.actors = [Actor(self.loop), Actor(self.loop)]
        self.committed: dict[str, Fields] = {scope: {} for scope in SCOPES}

    def teardown(self) -> None:
        for _ in range(2):  # the first one may only end a wait
            for actor in self.actors:
                actor.task.cancel()
            self.turn()
        assert all(actor.task.done() for actor in self.actors)
        for scope in SCOPES:
            bucket = self.registry.bucket(StateKey("Account", scope))
            assert (bucket.holder, bucket.queue) == (None, [])
        self.loop.close()

    def step(self, actor: Actor, function: Callable[[], Awaitable[Any]]) -> None:
        actor.done = False
        actor.todo.put_nowait(function)
        self.turn()

    def turn(self) -> None:
        async def turns() -> None:
            for _ in range(TURNS):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    def holder(self, scope: str) -> Actor | None:
        return next((actor for actor in self.actors if scope in actor.view), None)

    def expect(self, actor: Actor, scopes: list[str], then: Callable[[], None]) -> None:
        """Check what has become of a step that needs scopes, and note what it does once it has them."""
        other = self.actors[1 - self.actors.index(actor)]
        wanted = next((scope for scope in sorted(scopes) if scope in other.view), None)
        if wanted is None:
            assert actor.done
            then()
        elif other.waits is not None and other.waits[0] in actor.view:
            assert isinstance(actor.result, DeadlockError)
        else:
            assert not actor.done
            actor.waits = wanted, then

    def go_on(self) -> None:
        """Somebody has let go of something: who waited for it has it now."""
        for actor in self.actors:
            if actor.waits is not None and self.holder(actor.waits[0]) is None:
                _, then = actor.waits
                assert actor.done
                actor.waits = None
                then()

    def idle(self, number: int) -> Actor | None:
        return self.actors[number] if self.actors[number].waits is None else None

    @rule(
        number=st.integers(0, 1),
        index=st.integers(0, 2),
        inside=st.booleans(),
        op=st.sampled_from(list(OPS)),
        key=st.sampled_from("ab"),
        value=st.integers(0, 9) | st.lists(st.integers(0, 3), max_size=2),
    )
    def op(self, number: int, index: int, inside: bool, op: str, key: str, value: Any) -> None:
        actor = self.idle(number)
        if actor is None:
            return
        scopes = sorted(actor.view) if inside and actor.view else SCOPES
        scope = scopes[index % len(scopes)]
        arguments = {"set": (key, value), "delete": (key,), "increment": ("step",)}.get(op, ())
        state = self.registry.state(Account, scope)
        self.step(actor, lambda: getattr(state, op)(*arguments))

        def then() -> None:
            held = actor.view if scope in actor.view else self.committed
            held[scope] = OPS[op](held[scope], key, value)
            if op == "get_all":
                assert actor.result == complete(held[scope])
            else:
                assert actor.result == (held[scope]["step"] if op == "increment" else None)

        self.expect(actor, [scope], then)

    @rule(
        number=st.integers(0, 1),
        scopes=st.lists(st.sampled_from(SCOPES), min_size=1, max_size=2, unique=True),
        inside=st.booleans(),
    )
    def enter(self, number: int, scopes: list[str], inside: bool) -> None:
        actor = self.idle(number)
        if actor is not None and actor.view and inside:
            scopes = sorted(actor.view)[:2]
        if actor is None or len(actor.frames) > 2 or len([s for s in scopes if self.is_others(actor, s)]) > 1:
            return  # the model knows who waits for one bucket
        opened = transaction(*(self.registry.state(Account, scope) for scope in scopes))
        self.step(actor, opened.__aenter__)
        before = {scope: actor.view.get(scope) for scope in scopes}
        free = [scope for scope in scopes if self.holder(scope) is None]

        def then() -> None:
            actor.frames.append(before)
            actor.opened.append(opened)
            actor.view |= {scope: self.committed[scope] for scope in scopes if scope not in actor.view}

        self.expect(actor, scopes, then)
        if actor.waits is not None:  # meanwhile it holds those that come before the one that it waits for
            actor.view |= {s: self.committed[s] for s in free if s < actor.waits[0]}

    def is_others(self, actor: Actor, scope: str) -> bool:
        return self.holder(scope) not in (None, actor)

    @rule(number=st.integers(0, 1), fails=st.booleans())
    def leave(self, number: int, fails: bool) -> None:
        actor = self.idle(number)
        if actor is None or not actor.opened:
            return
        opened = actor.opened.pop()
        error = ValueError("no") if fails else None
        self.step(actor, lambda: opened.__aexit__(type(error) if error else None, error, None))
        assert actor.done
        assert actor.result is None
        before = actor.frames.pop()
        if fails:
            for scope, fields in before.items():
                actor.view.pop(scope)
                if fields is not None:
                    actor.view[scope] = fields
        elif actor.frames:
            for scope, fields in before.items():
                actor.frames[-1].setdefault(scope, fields)
        else:
            self.committed |= actor.view
            actor.view = {}
        self.go_on()
        for scope in actor.view:
            self.step(actor, self.registry.state(Account, scope).get_all)
            assert actor.result == complete(actor.view[scope])

    @rule(number=st.integers(0, 1), value=st.integers(0, 9), fails=st.booleans())
    def nest(self, number: int, value: int, fails: bool) -> None:
        actor = self.idle(number)
        if actor is not None and actor.view and len(actor.frames) <= 2:
            self.enter(number, [], inside=True)
            self.op(number, value, True, "set", "a", value)
            self.leave(number, fails)

    @precondition(lambda self: any(actor.waits for actor in self.actors))
    @rule()
    def cancel(self) -> None:
        for actor in self.actors:
            if actor.waits is not None:
                actor.task.cancel()
                self.turn()
                assert actor.done
                assert isinstance(actor.result, asyncio.CancelledError)
                actor.waits = None
                known = {scope for frame in actor.frames for scope in frame}
                actor.view = {scope: fields for scope, fields in actor.view.items() if scope in known}

    @rule(number=st.integers(0, 1), scope=st.sampled_from(SCOPES))
    def wrong_type(self, number: int, scope: str) -> None:
        actor = self.idle(number)
        if actor is not None:
            self.step(actor, lambda: self.registry.state(Account, scope).set("step", "x"))
            assert isinstance(actor.result, FieldTypeError)

    @rule(scope=st.sampled_from(SCOPES), value=st.integers())
    def sync_set(self, scope: str, value: int) -> None:
        if self.holder(scope) is None:
            self.registry.state(SyncAccount, scope).set("a", value)
            self.committed[scope] = {**self.committed[scope], "a": value}

    @invariant()
    def others_see_what_is_committed(self) -> None:
        history = self.registry.history()
        assert_no_gaps(history)
        for scope in SCOPES:
            key = StateKey("Account", scope)
            assert self.registry.peek(key) == complete(self.committed[scope])
            assert replay(history, key) == self.committed[scope]
            assert ABSENT not in self.registry.peek(key).values()


TestTransactions = Transactions.TestCase
TestTransactions.settings = settings(max_examples=200, stateful_step_count=40, deadline=None, database=None)
