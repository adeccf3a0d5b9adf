"""Two processes do anything on one store, one after the other; each sees what a model says that it must see."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from support.players import Here, There

BOXES = st.integers(0, 2)
FIELDS = st.sampled_from(["a", "b"])
WHO = st.integers(0, 1)
Boxes = dict[int, dict[str, int]]

_numbers = itertools.count()


@pytest.fixture(scope="module")
def there() -> Iterator[There]:
    process = There("")
    yield process
    process.end()


class Block:
    """A transaction of the model: the boxes that it holds, and what they have in it."""

    def __init__(self, held: dict[int, dict[str, int]]) -> None:
        self.held = held


class Machine(RuleBasedStateMachine):
    """Both processes do the same ops here; `url` and `there` are set in a subclass."""

    url: str
    there: There

    def __init__(self) -> None:
        super().__init__()
        url = self.url.replace("NUMBER", str(next(_numbers)))
        self.here = Here(url)
        self.there.do("open", url)
        self.players: list[Here | There] = [self.here, self.there]
        self.stored: Boxes = {0: {}, 1: {}, 2: {}}
        self.open: list[list[Block]] = [[], []]
        self.labels: dict[str, Boxes] = {}
        self.count = 0

    def view(self, who: int, box: int) -> dict[str, int]:
        """The fields that a process works on."""
        for block in reversed(self.open[who]):
            if box in block.held:
                return block.held[box]
        return self.stored[box]

    def is_free_for(self, who: int, box: int) -> bool:
        return all(box not in block.held for block in self.open[1 - who])

    def nothing_is_open(self) -> bool:
        return not any(self.open)

    def op(self, who: int, box: int, name: str, *args: Any) -> Any:
        return self.players[who].do("op", box, name, *args)

    @rule(who=WHO, box=BOXES, field=FIELDS, value=st.integers(0, 9))
    def put(self, who: int, box: int, field: str, value: int) -> None:
        if self.is_free_for(who, box):
            self.op(who, box, "set", field, value)
            self.view(who, box)[field] = value
            self.count += 1

    @rule(who=WHO, box=BOXES, field=FIELDS)
    def increment(self, who: int, box: int, field: str) -> None:
        if self.is_free_for(who, box):
            view = self.view(who, box)
            view[field] = view.get(field, 0) + 1
            assert self.op(who, box, "increment", field) == view[field]

    @rule(who=WHO, box=BOXES, values=st.dictionaries(FIELDS, st.integers(0, 9)))
    def update(self, who: int, box: int, values: dict[str, int]) -> None:
        if self.is_free_for(who, box):
            self.view(who, box).update(values)
            fields = self.op(who, box, "update", *values.items())
            assert fields == self.view(who, box)

    @rule(who=WHO, box=BOXES, field=FIELDS)
    def pop(self, who: int, box: int, field: str) -> None:
        if self.is_free_for(who, box):
            assert self.op(who, box, "pop", field, -1) == self.view(who, box).pop(field, -1)

    @rule(who=WHO, box=BOXES, verb=st.sampled_from(["clear", "drop"]))
    def clear(self, who: int, box: int, verb: str) -> None:
        if self.is_free_for(who, box):
            self.op(who, box, verb)
            self.view(who, box).clear()

    @rule(who=WHO, boxes=st.sets(BOXES, min_size=1))
    def begin(self, who: int, boxes: set[int]) -> None:
        is_free = all(self.is_free_for(who, box) for box in boxes)
        assert self.players[who].do("begin", sorted(boxes)) is is_free
        if is_free:
            self.open[who].append(Block({box: dict(self.view(who, box)) for box in boxes}))

    @rule(who=WHO, commits=st.booleans())
    def end(self, who: int, commits: bool) -> None:
        if self.open[who]:
            block = self.open[who].pop()
            self.players[who].do("end", commits)
            if commits and self.open[who]:
                for box, fields in block.held.items():
                    holder = next((outer for outer in reversed(self.open[who]) if box in outer.held), None)
                    (holder or self.open[who][-1]).held[box] = fields
            elif commits:
                self.stored.update(block.held)

    @precondition(nothing_is_open)
    @rule(who=WHO, name=st.sampled_from(["one", "two"]))
    def label(self, who: int, name: str) -> None:
        self.players[who].do("label", name)
        self.labels[name] = deepcopy(self.stored)

    @precondition(nothing_is_open)
    @rule(who=WHO, name=st.sampled_from(["one", "two"]))
    def rewind(self, who: int, name: str) -> None:
        if name in self.labels:
            self.players[who].do("rewind", name)
            self.stored = deepcopy(self.labels[name])

    @precondition(nothing_is_open)
    @rule(who=WHO, other=WHO, box=BOXES, field=FIELDS)
    def undo_what_was_just_done(self, who: int, other: int, box: int, field: str) -> None:
        self.op(who, box, "set", field, 10)
        self.players[other].do("undo")

    @rule(box=BOXES)
    def look(self, box: int) -> None:
        for who in (0, 1):
            assert self.op(who, box, "get_all") == self.view(who, box)

    def teardown(self) -> None:
        for player, blocks in zip(self.players, self.open, strict=True):
            while blocks:
                blocks.pop()
                player.do("end", False)
        seen = [player.do("seen") for player in self.players]
        stored = {str(box): fields for box, fields in self.stored.items()}
        for each in seen:
            assert {box: each.get(box, {}) for box in stored} == stored
        mine, theirs = (player.do("events") for player in self.players)
        assert mine == theirs
        assert [event[0] for event in mine] == list(range(1, len(mine) + 1))
        for player in self.players:
            player.do("close")


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_two_processes(kind: str, there: There, request: pytest.FixtureRequest) -> None:
    if kind == "redis":
        url = f"{request.getfixturevalue('redis_url')}?prefix=two-NUMBER"
    else:
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/NUMBER.db"
    machine = type("Machine", (Machine,), {"url": url, "there": there})
    checks = list(HealthCheck)
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=checks),
    )
