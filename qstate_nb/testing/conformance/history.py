"""The journal: one order of events for all, who did what, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qstate_nb.app.inline import InlineApp
from qstate_nb.core.journal import ABSENT
from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.transactions import transaction
from qstate_nb.errors import HistoryError, NotFoundError
from qstate_nb.testing.conformance.suite import Box, Suite

BOX = StateKey("Box")


def app_on(registry: StateRegistry) -> InlineApp:
    """An app whose tasks write to a registry's State."""
    app = InlineApp("app", registry=registry)

    @app.task
    def write(box: Box, **values: Any) -> None:
        for key, value in values.items():
            box.set(key, value)

    return app


class History(Suite):
    """What can be known of the past, and what can be made of it."""

    def test_each_verb_has_its_event(self, box: Any, registry: StateRegistry) -> None:
        """With its name, and what was before and after; what changes nothing has none."""
        box.set("a", 1)
        box.update(a=2, b=[])
        box.append("b", 1)
        box.increment("a")
        box.setdefault("c", 5)
        box.pop("c")
        box.mutate("a", str)
        box.delete("a")
        box.clear()
        box.set("a", 1)
        box.drop()
        for _ in range(2):
            box.get_all(), box.get("a"), box.contains("a"), box.keys(), box.pop("a"), box.delete("a"), box.clear()
            box.setdefault("d", 1), box.update()
        assert [(event.op, *[change[1:] for change in event.changes]) for event in registry.history()] == [
            ("set", ("a", ABSENT, 1)),
            ("update", ("a", 1, 2), ("b", ABSENT, [])),
            ("append", ("b", [], [1])),
            ("increment", ("a", 2, 3)),
            ("setdefault", ("c", ABSENT, 5)),
            ("pop", ("c", 5, ABSENT)),
            ("mutate", ("a", 3, "3")),
            ("delete", ("a", "3", ABSENT)),
            ("clear", ("b", [1], ABSENT)),
            ("set", ("a", ABSENT, 1)),
            ("drop", ("a", 1, ABSENT)),
            ("setdefault", ("d", ABSENT, 1)),
            ("clear", ("d", 1, ABSENT)),
            ("setdefault", ("d", ABSENT, 1)),
        ]
        assert [event.seq for event in registry.history()] == list(range(1, 15))
        assert all(event.states == (BOX,) for event in registry.history())
        times = [event.time for event in registry.history()]
        assert times == sorted(times)

    def test_all_know_the_same_history(self, places: list[StateRegistry]) -> None:
        """In one order, without gaps, whoever looks, and whenever."""
        one, two = places
        for number in range(6):
            places[number % 2].state(Box, scope=number % 3).set("n", number)
            if number == 3:
                assert one.history() == two.history()
        assert [event.seq for event in two.history()] == list(range(1, 7))
        assert one.history() == two.history()
        assert one.seq == two.seq == 6
        assert one.blame("Box[0]") == two.blame("Box[0]") == {"n": one.history()[3]}
        assert {**one.at()} == {**two.at()} == {"Box[0]": {"n": 3}, "Box[1]": {"n": 4}, "Box[2]": {"n": 5}}

    def test_who_did_it(self, places: list[StateRegistry]) -> None:
        """A task, with the number of its call, or the user."""
        one, two = places
        app = app_on(one)
        app.run("write", a=1)
        app.run("write", a=2)
        two.state(Box).set("a", 3)
        for registry in places:
            assert [(event.actor.task, event.actor.call) for event in registry.history()] == [
                *(("write", 1), ("write", 2), (None, None)),
            ]
            assert [event.seq for event in registry.history(task="write")] == [1, 2]
            assert [event.seq for event in registry.history(call=2)] == [2]

    def test_filters(self, places: list[StateRegistry]) -> None:
        """By State, scope, key and moment."""
        one, two = places
        one.state(Box).set("a", 1)
        one.state(Box, scope=1).set("a", 1)
        one.label("here")
        two.state(Box, scope="1").set("b", 1)
        with transaction(two.state(Box), two.state(Box, scope=1)):
            two.state(Box).set("b", 1)
            two.state(Box, scope=1).set("b", 1)
        for registry in places:

            def seqs(registry: StateRegistry = registry, **wanted: Any) -> list[int]:
                return [event.seq for event in registry.history(**wanted)]

            assert seqs() == seqs(state="Box") == [1, 2, 3, 4]
            assert seqs(state=BOX) == seqs(state=registry.state(Box)) == [1, 4]
            assert (seqs(state="Box", scope=1), seqs(state="Box['1']"), seqs(key="b")) == ([2, 4], [3], [3, 4])
            assert (seqs(since=3), seqs(until=2), seqs(since="here"), seqs(until="here")) == (
                [3, 4],
                [1, 2],
                [3, 4],
                [1, 2],
            )
            assert (seqs(limit=2), seqs(limit=0), seqs(state="Box", limit=1)) == ([3, 4], [], [4])
            with pytest.raises(NotFoundError):
                seqs(state="Bax")
            with pytest.raises(HistoryError):
                seqs(since=5)

    def test_what_was_stored_at_a_moment(self, places: list[StateRegistry]) -> None:
        """And what is different between two."""
        one, two = places
        one.state(Box).update(a=1, b={"x": [1]})
        two.state(Box).set("b", {"x": [1, 2]})
        assert one.label("two") == 2
        two.state(Box).delete("a")
        one.state(Box).drop()
        for registry in places:
            found = [{**registry.at(seq)} for seq in range(5)]
            assert found == [
                {},
                {"Box": {"a": 1, "b": {"x": [1]}}},
                {"Box": {"a": 1, "b": {"x": [1, 2]}}},
                {"Box": {"b": {"x": [1, 2]}}},
                {},
            ]
            assert {**registry.at("two")} == found[2]
            assert registry.labels == {"two": 2}
            assert [str(each) for each in registry.diff(1, "two")] == ["Box.b['x'][1]: → 2"]
            assert [str(each) for each in registry.diff(3)] == ["Box.b: {'x': [1, 2]} →"]
            for wrong in (5, -1, 1.5):
                with pytest.raises(HistoryError):
                    registry.at(wrong)  # type: ignore[arg-type]
            with pytest.raises(NotFoundError):
                registry.at("three")

    def test_undo_and_redo(self, places: list[StateRegistry]) -> None:
        """Of what another process did, too; each is an event."""
        one, two = places
        one.state(Box).update(a=1, b=1)
        one.state(Box).set("a", 2)
        two.state(Box).delete("b")
        assert [event.refers_to for event in one.undo()] == [(3,)]
        assert list(two.state(Box).get_all().items()) in ([("a", 2), ("b", 1)], [("b", 1), ("a", 2)])
        assert [event.refers_to for event in two.undo(2)] == [(2,), (1,)]
        assert one.state(Box).get_all() == {}
        assert [event.refers_to for event in two.redo(3)] == [(1,), (2,), (3,)]
        assert one.state(Box).get_all() == {"a": 2}
        assert [event.op for event in one.history()] == ["update", "set", "delete", *["undo"] * 3, *["redo"] * 3]
        with pytest.raises(HistoryError, match="nothing more to redo"):
            one.redo()
        assert one.history() == two.history()

    def test_undo_leaves_what_others_did_since(self, places: list[StateRegistry]) -> None:
        """A whole call of a task is undone, wherever that ran; or, if asked for, one event."""
        one, two = places
        app = app_on(one)
        app.run("write", a=1, b=1)
        two.state(Box).set("c", 1)
        two.undo()
        two.undo(by="event")
        assert one.state(Box).get_all() == {"a": 1}
        one.redo(2)
        assert two.state(Box).get_all() == {"a": 1, "b": 1, "c": 1}
        one.undo()
        two.undo()
        assert one.state(Box).get_all() == {}, "of the call, all"
        assert [event.refers_to for event in one.history()[-2:]] == [(3,), (1, 2)]

    def test_an_attempt_is_undone_alone(self, places: list[StateRegistry]) -> None:
        """Of a call that was retried: each is one of its own."""
        one, two = places
        app = app_on(one)

        @app.task(retry=1, retry_on_exc=[ZeroDivisionError])
        def flaky(box: Box) -> None:
            box.set("left", 1 // (box.increment("n") - 1))

        app.run("flaky").unwrap()
        assert one.state(Box).get_all() == {"n": 2, "left": 1}
        assert [event.refers_to for event in two.undo()] == [(2, 3)]
        assert one.state(Box).get_all() == {"n": 1}

    def test_calls_of_two_apps_are_undone_apart(self, places: list[StateRegistry]) -> None:
        """Also if they have the same name and number."""
        one, two = places
        for number in range(2):
            app_on(one).run("write", a=number, b=number)
        assert [event.refers_to for event in two.undo()] == [(3, 4)]
        assert one.state(Box).get_all() == {"a": 0, "b": 0}

    def test_undo_of_what_came_and_went(self, places: list[StateRegistry]) -> None:
        """Changes nothing, and is an event all the same: a redo and another undo know what it was about."""
        one, two = places
        app = app_on(one)

        @app.task
        def to_and_fro(box: Box) -> None:
            box.set("a", 1)
            box.delete("a")

        one.state(Box).set("b", 1)
        app.run("to_and_fro")
        (event,) = two.undo()
        assert (event.op, event.refers_to, event.changes) == ("undo", (2, 3), ())
        one.undo()
        assert two.state(Box).get_all() == {}
        assert [event.refers_to for event in one.redo(2)] == [(1,), (2, 3)]
        assert two.state(Box).get_all() == {"b": 1}
        assert one.history() == two.history()

    def test_rewind(self, places: list[StateRegistry]) -> None:
        """To an event or a label: one new event, of what is different."""
        one, two = places
        one.state(Box).update(a=1, b=[1])
        two.label("good")
        two.state(Box).update(a=2, c=3)
        one.state(Box, scope=1).set("x", 1)
        event = one.rewind("good")
        assert event is not None
        assert (event.op, event.refers_to, {change.field for change in event.changes}) == (
            "rewind",
            (1,),
            {"a", "c", "x"},
        )
        assert two.state(Box).get_all() == {"a": 1, "b": [1]}
        assert two.rewind(1) is None
        assert two.rewind(3) is not None
        assert one.state(Box, scope=1).get_all() == {"x": 1}
        assert one.history() == two.history()

    def test_nobody_goes_back_while_a_transaction_is_open(self, places: list[StateRegistry]) -> None:
        """On what it holds; also in another process."""
        one, two = places
        one.state(Box).set("a", 1)
        with transaction(one.state(Box)):
            for call in (two.undo, lambda: two.rewind(0), one.undo):
                with pytest.raises(HistoryError, match="has a transaction on Box"):
                    call()
            one.state(Box).set("a", 2)
        assert one.seq == 2
        two.undo()
        assert one.state(Box).get("a") == 1

    def test_the_last_writer_of_each_field(self, places: list[StateRegistry]) -> None:
        """Is known everywhere."""
        one, two = places
        one.state(Box).update(a=1, b=1)
        two.state(Box).set("b", 2)
        one.state(Box).update(c=1, d=1)
        two.state(Box).delete("d")
        for registry in places:
            assert {key: event.seq for key, event in registry.writers(BOX).items()} == {"a": 1, "b": 2, "c": 3}
            assert registry.blame("Box") == registry.writers(BOX)
        one.state(Box).set("a", 2)
        assert two.writers(BOX)["a"].seq == 5

    def test_nobody_goes_back_while_a_task_runs(self, registry: StateRegistry, tmp_path: Path) -> None:
        """It could change State meanwhile."""
        app = app_on(registry)

        @app.task
        def go_back() -> None:
            for call in (registry.undo, lambda: registry.rewind(0), lambda: registry.load(tmp_path / "saved")):
                with pytest.raises(HistoryError, match="while go_back #2 runs"):
                    call()

        app.run("write", a=1).unwrap()
        registry.save(tmp_path / "saved")
        app.run("go_back").unwrap()
        assert (registry.seq, registry.state(Box).get("a")) == (1, 1)

    def test_a_label_moves(self, places: list[StateRegistry]) -> None:
        """Whoever sets it again; it shows what was stored then."""
        one, two = places
        one.label("here")
        one.state(Box).set("n", 1)
        two.label("here")
        two.state(Box).set("n", 2)
        for registry in places:
            assert (registry.labels, {**registry.at("here")}) == ({"here": 1}, {"Box": {"n": 1}})
