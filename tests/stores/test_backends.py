"""What each backend must do, as `qstate_nb.stores.backend` says it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from qstate_nb.errors import HistoryError, StoreError
from qstate_nb.stores.backend import (
    EXPIRY,
    Acquired,
    Backend,
    Commit,
    Committed,
    Deadlocked,
    Everything,
    Held,
    Link,
    Lost,
    RawChange,
    RawEvent,
    RawLabel,
    Stale,
    Stored,
)

ACTOR = b'{"task":"step1","call":1}'
SHORT = 0.05  # seconds, after which something expires
LATER = 0.25  # seconds; what comes before it must be done by then
LEASE = 0.3  # seconds

MakeBackend = Callable[..., Backend]

_ids = itertools.count()


def a_commit(*changes: tuple[str, str, bytes | None], **options: Any) -> Commit:
    """A commit of an op ``set``."""
    return Commit(f"test-{next(_ids)}", options.pop("op", "set"), ACTOR, changes, **options)


def put(backend: Backend, *changes: tuple[str, str, bytes | None], **options: Any) -> int:
    """Change something, which must work; the number of the event."""
    done = backend.commit(a_commit(*changes, **options))
    assert isinstance(done, Committed), done
    assert done.seq is not None
    return done.seq


def take(backend: Backend, *buckets: str, held: tuple[str, ...] = (), who: str = "a #1") -> dict[str, int]:
    """Take locks, which must work; their fences."""
    got = backend.acquire(buckets, held, f"waiter-{next(_ids)}", who)
    assert isinstance(got, Acquired), got
    return dict(got.fences)


def events(backend: Backend) -> list[RawEvent]:
    """All events that are kept."""
    return list(backend.load().events)


def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.005)


class TestReading:
    def test_a_bucket_that_is_not_there_is_empty_and_has_no_version(self, backend: Backend) -> None:
        assert backend.read("A") == Stored(0, {})
        assert backend.read_field("A", "x") is None

    def test_what_was_set_is_read_by_others(self, backend: Backend, other: Backend) -> None:
        put(backend, ("A", "x", b"1"), ("B", "y", b'"two"'))

        assert other.read("A") == Stored(1, {"x": b"1"})
        assert other.read("B") == Stored(1, {"y": b'"two"'})
        assert other.read_field("A", "x") == b"1"
        assert other.read_field("A", "y") is None

    @pytest.mark.parametrize("name", ["", " ", "é 日本 🎲", "a[b]{c}:d", "*", "%", "a\0b", "$x", "a" * 3000])
    def test_any_name_will_do(self, backend: Backend, name: str) -> None:
        put(backend, (f"A[{name}]", name, b"1"), (f"A[{name}]", "other", b"2"))

        assert backend.read(f"A[{name}]").fields == {name: b"1", "other": b"2"}
        assert backend.read_field(f"A[{name}]", name) == b"1"
        assert events(backend)[0].changes[0] == RawChange(f"A[{name}]", name, None, b"1")
        assert backend.load().buckets == {f"A[{name}]": {name: b"1", "other": b"2"}}

    def test_a_large_value_comes_back_whole(self, backend: Backend) -> None:
        large = b'"' + b"x" * 3_000_000 + b'"'
        put(backend, ("A", "x", large))

        assert backend.read_field("A", "x") == large
        assert events(backend)[0].changes[0].after == large

    def test_fields_keep_the_order_in_which_they_were_first_set(self, backend: Backend) -> None:
        put(backend, ("A", "z", b"1"), ("A", "a", b"1"), ("A", "m", b"1"))
        put(backend, ("A", "z", b"2"))
        put(backend, ("A", "a", None))
        put(backend, ("A", "b", b"1"), ("A", "a", b"2"))

        assert list(backend.read("A").fields) == ["z", "m", "b", "a"]
        assert list(backend.load().buckets["A"]) == ["z", "m", "b", "a"]

    def test_a_field_that_one_commit_deletes_and_sets_goes_to_the_end(self, backend: Backend) -> None:
        put(backend, ("A", "x", b"1"), ("A", "y", b"1"))
        done = backend.commit(a_commit(("A", "x", None), ("A", "x", b"2"), ("A", "z", b"3")))

        assert isinstance(done, Committed)
        assert done.befores == (b"1", None, None)
        assert list(backend.read("A").fields.items()) == [("y", b"1"), ("x", b"2"), ("z", b"3")]


class TestCommit:
    def test_it_says_what_was_there_before(self, backend: Backend) -> None:
        before = time.time()
        first = backend.commit(a_commit(("A", "x", b"1"), ("A", "y", None)))
        second = backend.commit(a_commit(("A", "x", b"2"), ("A", "x", b"3"), ("A", "y", b"4")))

        assert isinstance(first, Committed)
        assert isinstance(second, Committed)
        assert (first.seq, first.befores) == (1, (None, None))
        assert (second.seq, second.befores) == (2, (b"1", b"2", None))
        assert before - 1 < first.time <= second.time < time.time() + 1

    def test_its_event_has_it_all(self, backend: Backend) -> None:
        put(backend, ("A", "x", b"1"))
        done = backend.commit(a_commit(("A", "x", None), ("B", "y", b"2"), op="undo", refers_to=(1,), drops=("A",)))

        assert isinstance(done, Committed)
        assert events(backend)[1] == RawEvent(
            2,
            done.time,
            "undo",
            (1,),
            ACTOR,
            (RawChange("A", "x", b"1", None), RawChange("B", "y", None, b"2")),
            ("A",),
        )

    def test_numbers_have_no_gaps_whoever_commits(self, backend: Backend, other: Backend) -> None:
        seqs = [put(one, ("A", "x", b"%d" % n)) for n, one in enumerate([backend, other, other, backend, other])]

        assert seqs == [1, 2, 3, 4, 5]
        assert [event.seq for event in events(backend)] == seqs
        assert backend.commit(a_commit(("A", "x", b"9"), versions={"A": 1})) == Stale({"A": Stored(5, {"x": b"4"})})
        assert put(backend, ("A", "x", b"5")) == 6, "what was refused took no number"

    def test_a_version_that_is_another_one_now_refuses_it(self, backend: Backend, other: Backend) -> None:
        put(backend, ("A", "x", b"1"), ("B", "y", b"1"))
        put(other, ("A", "x", b"2"))
        stale = backend.commit(a_commit(("A", "x", b"9"), versions={"A": 1, "B": 1, "C": 0}))

        assert stale == Stale({"A": Stored(2, {"x": b"2"}), "B": Stored(1, {"y": b"1"}), "C": Stored(0, {})})
        assert backend.read("A") == Stored(2, {"x": b"2"})
        assert put(backend, ("A", "x", b"9"), versions={"A": 2, "B": 1, "C": 0}) == 3

    def test_a_version_of_a_bucket_that_is_only_read_counts(self, backend: Backend, other: Backend) -> None:
        put(other, ("A", "x", b"1"))

        assert isinstance(backend.commit(a_commit(("B", "y", b"1"), versions={"A": 0})), Stale)
        assert backend.read("B") == Stored(0, {})

    def test_deleting_changes_the_version(self, backend: Backend) -> None:
        put(backend, ("A", "x", b"1"))
        put(backend, ("A", "x", None))

        assert backend.read("A") == Stored(2, {})
        assert isinstance(backend.commit(a_commit(("A", "x", b"2"), versions={"A": 1})), Stale)

    def test_an_event_after_last_refuses_it(self, backend: Backend, other: Backend) -> None:
        assert put(backend, ("A", "x", b"1"), last=0) == 1
        put(other, ("B", "y", b"1"))

        assert backend.commit(a_commit(("A", "x", b"2"), last=1)) == Stale({})
        assert put(backend, ("A", "x", b"2"), last=2) == 3

    def test_without_changes_there_is_no_event(self, backend: Backend) -> None:
        put(backend, ("A", "x", b"1"))

        assert backend.commit(a_commit(versions={"A": 1})) == Committed(None)
        assert isinstance(backend.commit(a_commit(versions={"A": 0})), Stale)
        assert isinstance(backend.commit(a_commit(last=0)), Stale)
        assert len(events(backend)) == 1

    def test_an_event_about_others_needs_no_changes(self, backend: Backend, other: Backend) -> None:
        put(backend, ("Signup", "a", b"1"))
        done = backend.commit(a_commit(op="undo", refers_to=(1,), last=1))
        assert isinstance(done, Committed)
        assert done.seq == 2
        assert [(event.seq, event.op, event.refers_to, event.changes) for event in events(other)[1:]] == [
            (2, "undo", (1,), ())
        ]
        assert put(other, ("Signup", "a", b"2")) == 3

    def test_without_changes_all_else_is_done(self, backend: Backend, other: Backend) -> None:
        put(backend, ("A", "x", b"1"), ("B", "x", b"1"))
        put(backend, ("A", "x", None))
        fences = take(backend, "A", "B")

        assert backend.commit(a_commit(drops=("A",), fences=fences, expires={"B": SHORT})) == Committed(None)
        assert list(other.load().buckets) == ["B"]
        assert take(other, "A", "B", who="b #1")
        other.close()
        until(lambda: not backend.load().buckets)

    def test_many_changes_are_one_event(self, backend: Backend) -> None:
        changes = [(f"A[{n % 7}]", f"f{n}", b"%d" % n) for n in range(1000)]
        put(backend, *changes)

        (event,) = events(backend)
        assert [(c.bucket, c.field, c.after) for c in event.changes] == changes
        assert list(backend.read("A[3]").fields) == [f"f{n}" for n in range(1000) if n % 7 == 3]


class TestListing:
    def test_buckets_are_listed_oldest_first_also_when_they_are_empty(self, backend: Backend) -> None:
        put(backend, ("B", "x", b"1"), ("A", "x", b"1"))
        put(backend, ("C", "x", b"1"))
        put(backend, ("B", "x", None))
        put(backend, ("A", "x", b"2"))

        buckets = backend.load().buckets
        assert list(buckets) == ["B", "A", "C"]
        assert buckets["B"] == {}

    def test_a_bucket_that_is_dropped_goes_off_the_list_and_keeps_its_version(self, backend: Backend) -> None:
        put(backend, ("A", "x", b"1"), ("B", "x", b"1"))
        put(backend, ("A", "x", None), drops=("A",))

        assert list(backend.load().buckets) == ["B"]
        assert backend.read("A") == Stored(2, {})

        put(backend, ("A", "x", b"2"))
        assert list(backend.load().buckets) == ["B", "A"]

    def test_a_lock_lists_nothing(self, backend: Backend) -> None:
        take(backend, "A")

        assert backend.load().buckets == {}


class TestExpiry:
    def expired(self, backend: Backend) -> RawEvent:
        """The event of it, once it is there."""
        until(lambda: events(backend)[-1].op == "expire")
        return events(backend)[-1]

    def test_a_bucket_is_emptied_and_goes_off_the_list_with_an_event(self, backend: Backend, other: Backend) -> None:
        put(backend, ("A", "x", b"1"), ("A", "y", b"2"), ("B", "x", b"3"), expires={"A": SHORT})
        event = self.expired(other)

        assert event == RawEvent(
            2,
            event.time,
            "expire",
            (),
            EXPIRY,
            (RawChange("A", "x", b"1", None), RawChange("A", "y", b"2", None)),
            ("A",),
        )
        assert backend.load().buckets == {"B": {"x": b"3"}}
        assert backend.read("A") == Stored(2, {})

    @pytest.mark.parametrize(
        "look",
        [
            lambda backend: backend.read("A").fields == {},
            lambda backend: backend.read_field("A", "x") is None,
            lambda backend: backend.load().buckets == {},
            lambda backend: len(backend.since(backend.load().epoch, 0)) == 2,
            lambda backend: backend.acquire(["A"], [], "w", "b").buckets == {"A": Stored(2, {})},
            lambda backend: backend.commit(a_commit(("A", "y", b"1"))).seq == 3,
            lambda backend: backend.commit(a_commit(("A", "x", b"1"))).befores == (None,),
            lambda backend: backend.commit(a_commit(versions={"A": 1})) == Stale({"A": Stored(2, {})}),
            lambda backend: backend.sweep() is None and len(events(backend)) == 2,
        ],
        ids=["read", "read_field", "load", "since", "acquire", "commit", "before", "version", "sweep"],
    )
    def test_nothing_shows_what_has_expired(self, backend: Backend, look: Callable[[Backend], bool]) -> None:
        put(backend, ("A", "x", b"1"), expires={"A": SHORT})
        time.sleep(SHORT * 1.5)

        assert look(backend)

    def test_others_keep_their_time(self, backend: Backend) -> None:
        put(backend, ("A", "x", b"1"), expires={"A": LATER})
        put(backend, ("A", "x", b"2"))

        assert self.expired(backend).changes == (RawChange("A", "x", b"2", None),)

    def test_a_new_time_or_none_counts(self, backend: Backend) -> None:
        put(
            backend,
            ("A", "x", b"1"),
            ("B", "x", b"1"),
            ("C", "x", b"1"),
            expires={"A": LATER, "B": LATER, "C": LATER},
        )
        put(backend, ("A", "x", b"2"), expires={"A": None})
        backend.set_expiry("B", None)
        self.expired(backend)

        assert list(backend.load().buckets) == ["A", "B"]

    def test_a_bucket_that_is_dropped_loses_its_time(self, backend: Backend) -> None:
        put(backend, ("A", "x", b"1"), expires={"A": LATER})
        put(backend, ("A", "x", None), drops=("A",))
        put(backend, ("A", "x", b"2"))
        time.sleep(LATER * 1.2)

        assert backend.read("A").fields == {"x": b"2"}
        assert backend.sweep() is None

    def test_set_expiry_counts_from_now_and_only_for_what_is_listed(self, backend: Backend) -> None:
        put(backend, ("C", "x", b"1"))
        put(backend, ("C", "x", None), drops=("C",))
        backend.set_expiry("A", LATER)
        backend.set_expiry("C", LATER)
        put(backend, ("A", "x", b"1"), ("B", "x", b"1"), ("C", "x", b"1"))
        backend.set_expiry("B", LATER)
        self.expired(backend)
        time.sleep(LATER)

        assert list(backend.load().buckets) == ["A", "C"]

    def test_sweep_gives_the_seconds_until_the_next_one(self, backend: Backend) -> None:
        assert backend.sweep() is None
        put(backend, ("A", "x", b"1"), ("B", "x", b"1"), expires={"A": 50.0, "B": 100.0})

        left = backend.sweep()
        assert left is not None
        assert 45 < left <= 50

    def test_a_bucket_that_is_held_stays_until_it_is_let_go_of(self, backend: Backend, other: Backend) -> None:
        put(backend, ("A", "x", b"1"), expires={"A": LATER})
        fences = take(backend, "A")
        time.sleep(LATER * 1.2)

        left = other.sweep()
        assert left is not None, "it is to be looked at again"
        assert left > 0
        assert other.read("A").fields == {"x": b"1"}
        assert put(backend, ("A", "y", b"2"), fences=fences, versions={"A": 1}) == 2
        assert other.read("A").fields == {}
        assert [event.op for event in events(other)] == ["set", "set", "expire"]

    def test_an_empty_bucket_goes_off_the_list_without_an_event(self, backend: Backend) -> None:
        put(backend, ("A", "x", b"1"), ("B", "x", b"1"), expires={"A": LATER})
        put(backend, ("A", "x", None))
        until(lambda: list(backend.load().buckets) == ["B"])

        assert len(events(backend)) == 2


class TestLocks:
    def test_others_are_told_who_holds_a_bucket(self, backend: Backend, other: Backend) -> None:
        put(backend, ("B", "x", b"1"))
        got = backend.acquire(["A", "B"], [], "w1", "a #1 (host h, process 1)")
        held = Held("B", "a #1 (host h, process 1)")

        assert isinstance(got, Acquired)
        assert got.buckets == {"A": Stored(0, {}), "B": Stored(1, {"x": b"1"})}
        assert list(got.fences) == ["A", "B"]
        for one in (backend, other):
            assert one.acquire(["C", "B"], [], f"w-{id(one)}", "b #1") == held
            assert one.commit(a_commit(("C", "x", b"2"), ("B", "x", b"2"))) == held
            assert one.commit(a_commit(("C", "x", b"2"), versions={"B": 1})) == held
            assert one.commit(a_commit(("C", "x", b"2"), drops=("B",))) == held
            assert one.read("B") == Stored(1, {"x": b"1"}), "who reads never waits"
        assert put(other, ("C", "x", b"3")) == 2, "what else was wanted wasn't taken"

    def test_the_holder_commits_with_its_fences_and_lets_go(self, backend: Backend, other: Backend) -> None:
        fences = take(backend, "A", "B")

        assert put(backend, ("A", "x", b"1"), fences=fences) == 1
        assert put(other, ("A", "x", b"2"), ("B", "x", b"2")) == 2

    def test_a_part_of_the_fences_lets_go_of_that_part(self, backend: Backend, other: Backend) -> None:
        fences = take(backend, "A", "B")
        put(backend, ("A", "x", b"1"), fences={"A": fences["A"]})

        assert put(other, ("A", "x", b"2")) == 2
        assert isinstance(other.commit(a_commit(("B", "x", b"2"))), Held)

    def test_a_commit_that_is_stale_keeps_the_locks(self, backend: Backend, other: Backend) -> None:
        fences = take(backend, "A")
        put(other, ("B", "x", b"1"))

        assert isinstance(backend.commit(a_commit(("A", "x", b"1"), fences=fences, versions={"B": 0})), Stale)
        assert isinstance(other.commit(a_commit(("A", "x", b"2"))), Held)
        assert put(backend, ("A", "x", b"1"), fences=fences, versions={"B": 1}) == 2

    def test_release_lets_go(self, backend: Backend, other: Backend) -> None:
        fences = take(backend, "A", "B")
        backend.release({"A": fences["A"]})
        backend.release({"A": fences["A"], "never held": 12345})

        take(other, "A")
        assert isinstance(other.commit(a_commit(("B", "x", b"2"))), Held)

    def test_release_lets_go_of_nobody_elses(self, backend: Backend, other: Backend) -> None:
        mine = take(backend, "A")
        backend.release(mine)
        take(other, "A")
        backend.release(mine)

        assert isinstance(backend.commit(a_commit(("A", "x", b"1"))), Held)

    def test_a_fence_is_never_used_again(self, backend: Backend, other: Backend) -> None:
        seen: list[int] = []
        for one in (backend, other, backend):
            fences = take(one, "A", "B")
            seen += fences.values()
            one.release(fences)

        assert len(set(seen)) == 6

    def test_lost_comes_before_held_and_held_before_stale(self, backend: Backend, other: Backend) -> None:
        put(backend, ("A", "x", b"1"), ("B", "x", b"1"), ("C", "x", b"1"))
        lost = take(backend, "A")
        backend.release(lost)
        mine = take(backend, "A")
        take(other, "B", who="b #2")
        changes = (("A", "x", b"2"), ("B", "x", b"2"))

        assert backend.commit(a_commit(*changes, fences=lost, versions={"C": 0})) == Lost("A")
        assert backend.commit(a_commit(*changes, fences=mine, versions={"C": 0})) == Held("B", "b #2")
        assert isinstance(backend.commit(a_commit(changes[0], fences=mine, versions={"C": 0})), Stale)
        assert isinstance(backend.commit(a_commit(changes[0], fences=mine, versions={"C": 1})), Committed)

    def test_a_fence_of_a_bucket_that_isnt_touched_must_be_held_too(self, backend: Backend) -> None:
        fences = take(backend, "A")
        backend.release(fences)

        assert backend.commit(a_commit(("B", "x", b"1"), fences=fences)) == Lost("A")
        assert backend.commit(a_commit(fences=fences)) == Lost("A")

    def test_close_gives_locks_up(self, backend: Backend, other: Backend) -> None:
        take(backend, "A")
        backend.close()

        assert put(other, ("A", "x", b"1")) == 1


class TestLease:
    def test_who_does_not_renew_loses_its_locks_to_others(self, make_backend: MakeBackend) -> None:
        slow, other = make_backend(lease=LEASE), make_backend(lease=LEASE)
        fences = take(slow, "A", "B")
        assert isinstance(other.acquire(["A"], [], "w", "b #1"), Held)
        until(lambda: isinstance(other.acquire(["A"], [], "w", "b #1"), Acquired))

        assert slow.commit(a_commit(("A", "x", b"1"), fences=fences)) == Lost("A")
        assert slow.commit(a_commit(("A", "x", b"1"))) == Held("A", "b #1")

    def test_a_commit_of_others_takes_over_as_well(self, make_backend: MakeBackend) -> None:
        slow, other = make_backend(lease=LEASE), make_backend(lease=LEASE)
        fences = take(slow, "A")
        time.sleep(LEASE * 1.2)

        assert put(other, ("A", "x", b"1")) == 1
        assert slow.commit(a_commit(("A", "x", b"2"), fences=fences)) == Lost("A")

    def test_who_renews_keeps_them(self, make_backend: MakeBackend) -> None:
        holder, other = make_backend(lease=LEASE * 2), make_backend()
        fences = take(holder, "A")
        for _ in range(4):
            time.sleep(LEASE * 0.7)
            holder.renew()
            assert isinstance(other.commit(a_commit(("A", "x", b"2"))), Held)

        assert put(holder, ("A", "x", b"1"), fences=fences) == 1

    def test_what_expires_is_emptied_when_the_lease_is_over(self, make_backend: MakeBackend) -> None:
        slow, other = make_backend(lease=LEASE), make_backend(lease=LEASE)
        put(slow, ("A", "x", b"1"), expires={"A": SHORT})
        fences = take(slow, "A")
        time.sleep(LEASE * 1.2)

        assert other.read("A").fields == {}
        assert slow.commit(a_commit(("A", "x", b"2"), fences=fences)) == Lost("A")


class TestDeadlocks:
    def test_of_two_the_second_one_is_told(self, backend: Backend, other: Backend) -> None:
        mine, theirs = take(backend, "A"), take(other, "B")

        assert backend.acquire(["B"], ["A"], "w1", "a #1") == Held("B", "a #1")
        assert other.acquire(["A"], ["B"], "w2", "b #2") == Deadlocked(
            [Link("b #2", ("B",), "A"), Link("a #1", ("A",), "B")]
        )
        assert backend.acquire(["B"], ["A"], "w1", "a #1") == Held("B", "a #1"), "only one is given up"
        other.release(theirs)
        assert isinstance(backend.acquire(["B"], ["A"], "w1", "a #1"), Acquired)
        assert mine

    def test_of_three_with_several_buckets(self, make_backend: MakeBackend) -> None:
        one, two, three = (make_backend() for _ in range(3))
        take(one, "A", "A2", who="a #1")
        take(two, "B", who="b #1")
        take(three, "C", "C2", who="c #1")

        assert one.acquire(["free", "B"], ["A", "A2"], "w1", "a #1") == Held("B", "b #1")
        assert two.acquire(["C2"], ["B"], "w2", "b #1") == Held("C2", "c #1")
        assert three.acquire(["free", "A2"], ["C", "C2"], "w3", "c #1") == Deadlocked(
            [
                Link("c #1", ("C", "C2"), "A2"),
                Link("a #1", ("A", "A2"), "B"),
                Link("b #1", ("B",), "C2"),
            ]
        )

    def test_waiting_without_a_cycle_is_none(self, backend: Backend, other: Backend) -> None:
        take(backend, "A")
        take(other, "B")

        for n in range(3):
            assert backend.acquire(["B"], ["A"], "w1", "a #1") == Held("B", "a #1")
            assert backend.acquire(["B"], [], f"v{n}", "c #1") == Held("B", "a #1")
            assert other.acquire(["A"], [], f"u{n}", "d #1") == Held("A", "a #1")

    def test_who_is_forgotten_waits_no_longer(self, backend: Backend, other: Backend) -> None:
        take(backend, "A")
        take(other, "B")
        backend.acquire(["B"], ["A"], "w1", "a #1")
        backend.forget("w1")
        backend.forget("never there")

        assert other.acquire(["A"], ["B"], "w2", "b #1") == Held("A", "a #1")

    def test_who_has_got_its_locks_waits_no_longer(self, backend: Backend, other: Backend) -> None:
        take(backend, "A")
        theirs = take(other, "B", "C")
        assert backend.acquire(["B"], ["A"], "w1", "a #1") == Held("B", "a #1")
        other.release({"B": theirs["B"]})
        got = backend.acquire(["B"], ["A"], "w1", "a #1")
        assert isinstance(got, Acquired)
        backend.release(got.fences)
        take(other, "B")

        assert other.acquire(["A"], ["B", "C"], "w2", "b #1") == Held("A", "a #1")

    def test_the_last_call_says_what_is_waited_for(self, backend: Backend, other: Backend) -> None:
        take(backend, "A")
        take(other, "B", "C")
        backend.acquire(["B"], ["A"], "w1", "a #1")
        backend.acquire(["C"], [], "w1", "a #1")
        assert other.acquire(["A"], ["B", "C"], "w2", "b #1") == Held("A", "a #1")

        assert isinstance(backend.acquire(["C"], ["A"], "w1", "a #1"), Deadlocked)

    def test_who_is_void_is_in_nobodys_way(self, make_backend: MakeBackend) -> None:
        slow, other, third = make_backend(lease=LEASE), make_backend(), make_backend()
        take(slow, "A")
        take(other, "B")
        slow.acquire(["B"], ["A"], "w1", "a #1")
        time.sleep(LEASE * 1.2)
        fences = take(third, "A", who="c #1")

        assert other.acquire(["A"], ["B"], "w2", "b #1") == Held("A", "c #1"), "that isn't the one who waits for B"
        third.release(fences)
        assert isinstance(other.acquire(["A"], ["B"], "w2", "b #1"), Acquired)


class TestJournal:
    def test_since_gives_what_comes_after(self, backend: Backend, other: Backend) -> None:
        for n in range(5):
            put(backend, ("A", "x", b"%d" % n))
        epoch = other.load().epoch

        found = other.since(epoch, 2)
        assert found is not None
        assert [event.seq for event in found] == [3, 4, 5]
        assert list(found) == events(backend)[2:]
        assert list(other.since(epoch, 5) or ()) == []
        assert other.since("another", 2) is None

    def test_old_events_go_but_not_those_that_wrote_what_is_stored(self, make_backend: MakeBackend) -> None:
        backend = make_backend(max_events=10)
        put(backend, ("A", "old", b"1"), ("A", "x", b"1"))
        put(backend, ("B", "gone", b"1"))
        put(backend, ("B", "gone", None))
        for n in range(50):
            put(backend, ("A", "x", b"%d" % n))
        everything = backend.load()
        seqs = [event.seq for event in everything.events]

        assert backend.max_events == 10
        assert everything.seq == 53
        assert seqs == list(range(seqs[0], 54))
        assert 10 <= len(seqs) < 30
        assert {b: {f: event.seq for f, event in fields.items()} for b, fields in everything.writers.items()} == {
            "A": {"old": 1}
        }
        assert everything.writers["A"]["old"].changes[0] == RawChange("A", "old", None, b"1")
        assert backend.since(everything.epoch, seqs[0] - 2) is None
        assert list(backend.since(everything.epoch, seqs[0] - 1) or ()) == list(everything.events)

        put(backend, ("A", "old", b"2"))
        assert backend.load().writers == {}

    def test_without_a_limit_all_are_kept(self, make_backend: MakeBackend) -> None:
        backend = make_backend(max_events=None)
        for n in range(50):
            put(backend, ("A", "x", b"%d" % n))

        assert backend.max_events is None
        assert len(events(backend)) == 50

    def test_it_is_there_when_it_is_opened_again(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        put(backend, ("A", "x", b"1"))
        backend.set_label("here", RawLabel(1, {"A": {"x": b"1"}}))
        before = backend.load()
        backend.close()

        assert make_backend().load() == before


EVENTS = tuple(
    RawEvent(seq, 100.0 + seq, "set", (), ACTOR, (RawChange(bucket, "x", None, b"%d" % seq),))
    for seq, bucket in ((4, "old"), (6, "A"), (7, "B"))
)
LOADED = Everything(
    "given",
    7,
    EVENTS[1:],
    {"B": {"x": b"7", "unknown": b"0"}, "A": {"z": b"1", "x": b"6"}, "old": {"x": b"4"}},
    {"old": {"x": EVENTS[0]}},
    {"here": RawLabel(6, {"A": {"x": b"6"}})},
)


class TestReplace:
    def test_all_is_as_given_but_for_the_epoch(self, backend: Backend, other: Backend) -> None:
        put(backend, ("C", "x", b"1"), expires={"C": 100.0})
        backend.set_label("gone", RawLabel(1, {}))
        before = backend.load().epoch
        backend.replace(LOADED)
        found = other.load()

        assert found.epoch not in (before, "given")
        assert (found.seq, list(found.events)) == (7, list(LOADED.events))
        assert [(b, list(fields.items())) for b, fields in found.buckets.items()] == [
            (b, list(fields.items())) for b, fields in LOADED.buckets.items()
        ]
        assert found.writers == LOADED.writers
        assert found.labels == LOADED.labels
        assert other.since(before, 0) is None
        assert list(other.since(found.epoch, 6) or ()) == [EVENTS[2]]
        assert other.since(found.epoch, 4) is None
        assert other.sweep() is None

    def test_it_goes_on_after_the_last_event(self, backend: Backend) -> None:
        backend.replace(LOADED)

        assert backend.read("B").version == 7
        assert put(backend, ("B", "x", b"8"), ("A", "z", b"2"), ("A", "new", b"3"), versions={"B": 7}) == 8
        assert list(backend.load().buckets["A"].items()) == [("z", b"2"), ("x", b"6"), ("new", b"3")]

    def test_without_events_the_number_counts(self, backend: Backend) -> None:
        backend.replace(Everything("", 41, (), {"A": {"x": b"1"}}, {}, {}))

        assert (backend.load().seq, events(backend)) == (41, [])
        assert list(backend.since(backend.load().epoch, 41) or ()) == []
        assert backend.since(backend.load().epoch, 40) is None
        assert put(backend, ("A", "x", b"2"), last=41) == 42

    def test_nothing_is_a_beginning(self, backend: Backend) -> None:
        put(backend, ("A", "x", b"1"))
        backend.replace(Everything("", 0, (), {}, {}, {}))

        assert backend.read("A") == Stored(0, {})
        assert put(backend, ("A", "x", b"1"), last=0, versions={"A": 0}) == 1

    def test_more_events_than_are_kept_are_cut(self, make_backend: MakeBackend) -> None:
        backend = make_backend(max_events=10)
        given = [RawEvent(n, 0.0, "set", (), ACTOR, (RawChange("A", f"f{n}", None, b"1"),)) for n in range(1, 101)]
        fields = {event.changes[0].field: b"1" for event in given}
        backend.replace(Everything("", 100, given, {"A": fields}, {}, {}))
        found = backend.load()

        assert 10 <= len(found.events) < 30
        assert found.writers["A"]["f1"] == given[0]

    def test_a_lock_refuses_it(self, backend: Backend, other: Backend) -> None:
        put(backend, ("A", "x", b"1"))
        fences = take(other, "A", who="b #7 (host h)")
        before = backend.load()

        with pytest.raises(HistoryError, match=r"b #7 \(host h\)"):
            backend.replace(LOADED)
        assert backend.load() == before
        other.release(fences)
        backend.replace(LOADED)

    def test_a_void_lock_does_not(self, make_backend: MakeBackend) -> None:
        slow, other = make_backend(lease=LEASE), make_backend()
        fences = take(slow, "A")
        time.sleep(LEASE * 1.2)
        other.replace(LOADED)

        assert slow.commit(a_commit(("A", "x", b"1"), fences=fences)) == Lost("A")


class TestLabels:
    def test_a_label_is_added_and_moved(self, backend: Backend, other: Backend) -> None:
        assert backend.labels() == {}
        backend.set_label("one", RawLabel(1, {"A": {"x": b"1"}, "B": {}}))
        backend.set_label("two é", RawLabel(2, {}))
        backend.set_label("one", RawLabel(3, {"A": {"x": b"2", "a": b"3"}}))
        labels = {"one": RawLabel(3, {"A": {"x": b"2", "a": b"3"}}), "two é": RawLabel(2, {})}

        assert other.labels() == labels
        assert other.load().labels == labels
        assert list(other.labels()["one"].contents["A"]) == ["x", "a"]


class TestWaiting:
    def waiting(self, backend: Backend, seq: int, timeout: float = 20.0) -> tuple[threading.Thread, list[float]]:
        """Wait in a thread, and note when it comes back."""
        back: list[float] = []

        def run() -> None:
            backend.wait(seq, timeout)
            back.append(time.monotonic())

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.1)
        return thread, back

    def test_an_event_of_another_ends_it_soon(self, backend: Backend, other: Backend) -> None:
        put(backend, ("A", "x", b"1"))
        thread, back = self.waiting(backend, 1)
        assert back == []
        put(other, ("A", "x", b"2"))
        at = time.monotonic()
        thread.join(5)

        assert back[0] - at < 0.15

    def test_an_event_of_another_thread_ends_it(self, backend: Backend) -> None:
        thread, back = self.waiting(backend, 0)
        assert back == []
        put(backend, ("A", "x", b"1"))
        thread.join(5)

        assert back

    def test_it_comes_back_at_once_if_there_is_one(self, backend: Backend) -> None:
        put(backend, ("A", "x", b"1"))
        put(backend, ("A", "x", b"2"))
        at = time.monotonic()
        backend.wait(1, 20.0)

        assert time.monotonic() - at < 1

    def test_it_comes_back_when_the_time_is_over(self, backend: Backend) -> None:
        at = time.monotonic()
        backend.wait(0, 0.12)

        assert 0.1 < time.monotonic() - at < 1

    def test_wake_ends_it(self, backend: Backend) -> None:
        thread, back = self.waiting(backend, 0)
        assert back == []
        backend.wake()
        at = time.monotonic()
        thread.join(5)

        assert back[0] - at < 0.5

    def test_wake_also_ends_the_next_one_after_it(self, backend: Backend) -> None:
        """Whoever is about to wait would miss it."""
        backend.wake()
        at = time.monotonic()
        backend.wait(0, 20.0)

        assert time.monotonic() - at < 1


class TestClose:
    def test_it_may_be_called_twice_and_ends_all_else(self, backend: Backend) -> None:
        put(backend, ("A", "x", b"1"))
        backend.close()
        backend.close()

        calls: list[Callable[[], object]] = [
            lambda: backend.read("A"),
            lambda: backend.read_field("A", "x"),
            lambda: backend.commit(a_commit(("A", "x", b"1"))),
            lambda: backend.acquire(["A"], [], "w", "a"),
            lambda: backend.release({"A": 1}),
            lambda: backend.forget("w"),
            backend.renew,
            lambda: backend.since("", 0),
            backend.load,
            lambda: backend.replace(LOADED),
            lambda: backend.wait(0, 0.1),
            backend.labels,
            lambda: backend.set_label("l", RawLabel(0, {})),
            lambda: backend.set_expiry("A", 1.0),
            backend.sweep,
        ]
        for call in calls:
            with pytest.raises(StoreError, match="closed"):
                call()

    def test_it_ends_a_wait(self, backend: Backend) -> None:
        errors: list[StoreError] = []

        def run() -> None:
            try:
                backend.wait(0, 20.0)
            except StoreError as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.1)
        backend.close()
        thread.join(5)

        assert not thread.is_alive()


class TestTogether:
    def test_threads_of_two_processes_count_exactly(self, backend: Backend, other: Backend) -> None:
        def count(one: Backend) -> None:
            for _ in range(25):
                answer: object = None
                while not isinstance(answer, Committed):
                    stored = answer.buckets["A"] if isinstance(answer, Stale) else one.read("A")
                    n = int(stored.fields.get("n", b"0")) + 1
                    answer = one.commit(a_commit(("A", "n", b"%d" % n), versions={"A": stored.version}))

        threads = [threading.Thread(target=count, args=(one,)) for one in (backend, other) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

        assert backend.read_field("A", "n") == b"100"
        found = events(other)
        assert [event.seq for event in found] == list(range(1, 101))
        assert [event.changes[0].after for event in found] == [b"%d" % n for n in range(1, 101)]
        assert [event.changes[0].before for event in found[1:]] == [b"%d" % n for n in range(1, 100)]
