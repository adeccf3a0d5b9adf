"""What is Redis' own: connections that break, data that goes back, servers that refuse, and what is stored how."""

from __future__ import annotations

import itertools
import os
import socketserver
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from support.redis_server import RedisServer, needed, running_server
from support.tcp_proxy import Fault, Proxy, proxy

from qstate_nb.errors import MissingPackageError, StoreError, StoreUnavailableError
from qstate_nb.stores.backend import Acquired, Commit, Committed, Everything, Held, RawLabel, Stale, Stored
from qstate_nb.stores.redis import RedisBackend
from qstate_nb.stores.redis_connection import without_password
from qstate_nb.stores.redis_scripts import SCRIPTS

if sys.platform == "win32":
    pytest.skip("redis-server is not for Windows", allow_module_level=True)

ACTOR = b'{"task":"step1","call":1}'
QUICK = 0.4  # seconds of timeout, where it is to be over

_numbers = itertools.count(1)


def a_commit(*changes: tuple[str, str, bytes | None], **options: Any) -> Commit:
    return Commit(f"id-{next(_numbers)}", "set", ACTOR, changes, **options)


def put(backend: RedisBackend, *changes: tuple[str, str, bytes | None], **options: Any) -> int:
    done = backend.commit(a_commit(*changes, **options))
    assert isinstance(done, Committed)
    assert done.seq is not None
    return done.seq


def client(server: RedisServer, **options: Any) -> Any:
    """A plain client."""
    redis = pytest.importorskip("redis")
    return redis.Redis(port=server.port, decode_responses=True, **options)


@contextmanager
def opened(url: str, **options: Any) -> Iterator[RedisBackend]:
    backend = RedisBackend(url, **options)
    try:
        yield backend
    finally:
        backend.close()


def later(seconds: float, what: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, what)
    timer.start()
    return timer


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """One for all tests that leave it as it was."""
    with running_server() as running:
        yield running


@pytest.fixture
def redis(server: RedisServer) -> Iterator[Any]:
    """A plain client of an empty server."""
    with client(server) as made:
        made.flushall()
        yield made


@pytest.fixture
def backend(server: RedisServer, redis: Any) -> Iterator[RedisBackend]:
    with opened(server.url) as made:
        yield made


@pytest.fixture
def bad_line(server: RedisServer, redis: Any) -> Iterator[tuple[Proxy, RedisBackend]]:
    """A backend behind a proxy."""
    with proxy(server.port) as between, opened(f"redis://127.0.0.1:{between.port}", timeout=QUICK) as made:
        yield between, made


class TestLayout:
    def test_a_bucket_is_a_hash_of_json(self, backend: RedisBackend, redis: Any) -> None:
        put(backend, ("Signup[42]", "name", b'"Ann"'), ("Signup[42]", "age", b"7"))
        assert redis.hgetall("{qstate}:bucket:Signup[42]") == {"name": '"Ann"', "age": "7"}

    def test_all_keys_are_in_one_slot(self, server: RedisServer, redis: Any) -> None:
        with opened(server.url, prefix="shop") as backend:
            put(backend, ("A", "x", b"1"), expires={"A": 100.0})
            backend.set_label("here", RawLabel(1, {}))
            backend.acquire(["A"], [], "w1", "me")
            backend.acquire(["A"], [], "w2", "you")
            assert {key.partition("}")[0] for key in redis.keys()} == {"{shop"}
            assert len(redis.keys()) > 10

    def test_it_works_on_a_node_of_a_cluster(self) -> None:
        """A cluster refuses scripts that use keys of several slots."""
        with running_server(cluster_enabled="yes") as node, client(node) as redis:
            redis.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            with opened(node.url) as backend:  # it is not up at once
                put(backend, ("A", "x", b"1"), ("B", "x", b"1"), expires={"A": 100.0})
                assert isinstance(backend.acquire(["A", "B"], [], "w", "me"), Acquired)
                assert backend.load().buckets == {"A": {"x": b"1"}, "B": {"x": b"1"}}

    def test_fields_keep_their_order_in_a_large_hash(self, backend: RedisBackend) -> None:
        """Redis itself has no order in hashes of more than 512 fields."""
        names = [f"field-{n * 7919 % 1000}" for n in range(1000)]
        put(backend, *(("A", name, b"1") for name in names))
        assert list(backend.read("A").fields) == names

    def test_many_changes_are_one_event_in_several_entries(self, backend: RedisBackend, redis: Any) -> None:
        changes = [("A", f"f{n}", b"%d" % n) for n in range(3000)]
        put(backend, *changes)
        assert redis.xlen("{qstate}:events") > 1
        (event,) = backend.load().events
        assert [(c.bucket, c.field, c.after) for c in event.changes] == changes

    def test_a_foreign_value_is_given_as_it_is(self, backend: RedisBackend, redis: Any) -> None:
        put(backend, ("A", "x", b"1"))
        redis.hset("{qstate}:bucket:A", mapping={"x": b"\xff{", b"\xfe": b"?"})
        assert backend.read("A").fields == {"x": b"\xff{", "\ufffd": b"?"}
        done = backend.commit(a_commit(("A", "x", b"2")))
        assert isinstance(done, Committed)
        assert done.befores == (b"\xff{",)
        assert backend.load().events[-1].changes[0].before == b"\xff{"

    def test_a_key_of_another_type_is_refused_and_nothing_is_changed(self, backend: RedisBackend, redis: Any) -> None:
        redis.set("{qstate}:bucket:B", "mine")
        with pytest.raises(StoreError, match="something else is stored"):
            put(backend, ("A", "x", b"1"), ("B", "x", b"1"))
        assert backend.read("A") == Stored(0, {})

    def test_who_wrote_a_field_is_known_when_its_event_is_gone(self, server: RedisServer, redis: Any) -> None:
        with opened(server.url, max_events=10) as backend:
            put(backend, ("A", "old", b"1"))
            for n in range(300):
                put(backend, ("A", "new", b"%d" % n))
            found = backend.load()
            assert 10 <= len(found.events) < 300
            assert found.writers["A"]["old"].seq == 1
            assert found.writers["A"]["old"].actor == ACTOR

    def test_scripts_that_the_server_has_forgotten_are_sent_again(self, backend: RedisBackend, redis: Any) -> None:
        put(backend, ("A", "x", b"1"))
        redis.script_flush()
        assert put(backend, ("A", "x", b"2")) == 2


@pytest.mark.parametrize(
    ("fault", "is_done"),
    [
        ("lose the reply", True),
        ("cut after it", True),
        ("lose the request", False),
        ("cut before it", False),
        ("keep the request", False),
    ],
)
class TestLostMessages:
    def test_a_commit_is_done_once(
        self, bad_line: tuple[Proxy, RedisBackend], server: RedisServer, fault: Fault, is_done: bool
    ) -> None:
        between, backend = bad_line
        put(backend, ("A", "x", b"1"))
        between.expect(SCRIPTS["commit"].sha, fault)

        done = backend.commit(a_commit(("A", "x", b"2"), ("A", "y", b"3")))

        assert done == Committed(2, done.time if isinstance(done, Committed) else 0.0, (b"1", None))
        between.deliver()  # a request that is kept comes late, and must not be run
        assert between.hits == 1
        with opened(server.url) as other:
            assert [event.seq for event in other.load().events] == [1, 2]

    def test_without_a_version_too(
        self, bad_line: tuple[Proxy, RedisBackend], server: RedisServer, fault: Fault, is_done: bool
    ) -> None:
        """Others may change the bucket meanwhile."""
        between, backend = bad_line
        between.expect(SCRIPTS["commit"].sha, fault)
        with opened(server.url) as other:
            timer = later(QUICK / 4, lambda: put(other, ("A", "x", b"9")))
            put(backend, ("A", "x", b"1"))
            timer.join()
            between.deliver()
            time.sleep(0.02)
            assert len(other.load().events) == 2

    def test_locks_are_taken_once(
        self, bad_line: tuple[Proxy, RedisBackend], server: RedisServer, fault: Fault, is_done: bool
    ) -> None:
        between, backend = bad_line
        between.expect(SCRIPTS["acquire"].sha, fault)
        got = backend.acquire(["A", "B"], [], "w", "me")
        assert isinstance(got, Acquired)
        done = backend.commit(a_commit(("A", "x", b"1"), fences=got.fences))
        assert isinstance(done, Committed)
        between.deliver()
        with opened(server.url) as other:
            time.sleep(0.02)
            assert isinstance(other.acquire(["A", "B"], [], "w2", "you"), Acquired)

    def test_a_commit_without_changes_lets_go_once(
        self, bad_line: tuple[Proxy, RedisBackend], server: RedisServer, fault: Fault, is_done: bool
    ) -> None:
        between, backend = bad_line
        got = backend.acquire(["A"], [], "w", "me")
        assert isinstance(got, Acquired)
        between.expect(SCRIPTS["commit"].sha, fault)
        assert backend.commit(a_commit(fences=got.fences)) == Committed(None)

    def test_without_a_second_chance_nobody_knows(
        self, bad_line: tuple[Proxy, RedisBackend], server: RedisServer, fault: Fault, is_done: bool
    ) -> None:
        between, backend = bad_line
        put(backend, ("A", "x", b"1"))
        between.expect(b"EVALSHA", fault, times=1000)
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="nobody can tell") as raised:
            put(backend, ("A", "x", b"2"))
        assert raised.value.is_done is None
        assert time.monotonic() - begun < QUICK * 1.5
        between.deliver()  # too late, whatever it was
        time.sleep(0.02)
        with opened(server.url) as other:
            assert (other.read_field("A", "x") == b"2") is is_done


class TestServerThatStops:
    def test_a_short_stop_is_waited_for(self, server: RedisServer, redis: Any) -> None:
        with opened(server.url, timeout=1.0) as backend:
            put(backend, ("A", "x", b"1"))
            for seconds in (0.2, 0.7):  # a reply comes late; another connection is needed
                server.stop()
                timer = later(seconds, server.cont)
                put(backend, ("A", "x", b"2"), ("A", "y", b"1"))
                timer.join()
            assert [event.seq for event in backend.load().events] == [1, 2, 3]

    def test_after_a_long_one_nothing_is_done_late(self, server: RedisServer, redis: Any) -> None:
        """Each op waits in a socket of its own."""
        ops: list[Callable[[RedisBackend], object]] = [
            lambda backend: put(backend, ("A", "x", b"2")),
            lambda backend: backend.set_label("here", RawLabel(1, {})),
            lambda backend: backend.set_expiry("A", 0.0),
            lambda backend: backend.replace(Everything("", 0, (), {}, {}, {})),
        ]
        with ExitStack() as stack:
            backends = [stack.enter_context(opened(server.url, timeout=QUICK)) for _ in ops]
            for op in ops:  # the server knows the scripts then
                op(backends[0])
            put(backends[0], ("A", "x", b"1"))
            server.stop()
            try:
                for op, backend in zip(ops, backends, strict=True):
                    begun = time.monotonic()
                    with pytest.raises(StoreUnavailableError) as raised:
                        op(backend)
                    assert raised.value.is_done is None
                    assert time.monotonic() - begun < QUICK * 1.5
                time.sleep(0.02)
            finally:
                server.cont()
            found = backends[0].load()
            assert (found.seq, found.buckets, found.labels) == (1, {"A": {"x": b"1"}}, {})


class TestLocksOfWhichNobodyKnows:
    """The process lives on and renews its lease, so that they would be held for ever."""

    def test_those_that_were_maybe_got_are_let_go_of(
        self, bad_line: tuple[Proxy, RedisBackend], server: RedisServer
    ) -> None:
        between, backend = bad_line
        between.expect(SCRIPTS["acquire"].sha, "lose the reply", times=1000)
        with pytest.raises(StoreUnavailableError):
            backend.acquire(["A"], [], "w", "me")
        with opened(server.url) as other:
            assert isinstance(other.acquire(["A"], [], "w2", "you"), Held)
            backend.read("A")  # it reaches the server again
            assert isinstance(other.acquire(["A"], [], "w2", "you"), Acquired)

    def test_so_are_those_that_couldnt_be(self, bad_line: tuple[Proxy, RedisBackend], server: RedisServer) -> None:
        between, backend = bad_line
        got = backend.acquire(["A"], [], "w", "me")
        assert isinstance(got, Acquired)
        between.expect(SCRIPTS["release"].sha, "lose the request", times=2)
        with pytest.raises(StoreUnavailableError):
            backend.release(got.fences)
        with opened(server.url) as other:
            assert isinstance(other.acquire(["A"], [], "w2", "you"), Held)
            backend.read("A")
            assert isinstance(other.acquire(["A"], [], "w2", "you"), Acquired)


class TestServerThatDies:
    def test_nothing_that_was_acknowledged_is_lost_or_doubled(self) -> None:
        with running_server(appendonly="yes", appendfsync="always") as mortal, opened(mortal.url) as backend:
            acknowledged: set[str] = set()
            is_over = threading.Event()

            def load(name: str) -> None:
                for n in itertools.count():
                    if is_over.is_set():
                        return
                    if isinstance(backend.commit(a_commit((name, f"{name}-{n}", b"1"))), Committed):
                        acknowledged.add(f"{name}-{n}")

            threads = [threading.Thread(target=load, args=(name,)) for name in "ABCD"]
            for thread in threads:
                thread.start()
            for _ in range(5):
                time.sleep(0.15)
                mortal.restart()
            time.sleep(0.1)
            is_over.set()
            for thread in threads:
                thread.join(20)

            everything = backend.load()
            written = [change.field for event in everything.events for change in event.changes]
            assert len(written) == len(set(written))
            assert set(written) == acknowledged
            assert {field for fields in everything.buckets.values() for field in fields} == acknowledged
            assert [event.seq for event in everything.events] == list(range(1, everything.seq + 1))
            assert len(acknowledged) > 20

    def test_it_says_so_while_it_is_away_and_goes_on_after(self) -> None:
        config = {"appendonly": "yes", "appendfsync": "always"}
        with running_server(**config) as mortal, opened(mortal.url, timeout=QUICK) as backend:
            put(backend, ("A", "x", b"1"))
            epoch = backend.load().epoch
            mortal.kill()
            begun = time.monotonic()
            with pytest.raises(StoreUnavailableError, match=f"127.0.0.1:{mortal.port} can't be reached"):
                backend.read("A")
            with pytest.raises(StoreUnavailableError) as raised:
                backend.commit(a_commit(("A", "x", b"2")))
            assert raised.value.is_done is False  # it was never sent
            assert time.monotonic() - begun < 2 * QUICK * 1.5
            mortal.restart()
            assert put(backend, ("A", "x", b"3")) == 2
            assert backend.load().epoch == epoch

    def test_connections_that_are_cut_under_load_lose_nothing(self, server: RedisServer, redis: Any) -> None:
        with opened(server.url) as backend:
            is_over = threading.Event()

            def cut() -> None:
                with client(server) as killer:
                    while not is_over.wait(0.003):
                        killer.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

            def count(name: str) -> None:
                for n in range(100):
                    put(backend, (name, f"{name}-{n}", b"1"))

            killer = threading.Thread(target=cut)
            threads = [threading.Thread(target=count, args=(name,)) for name in "ABC"]
            for thread in (killer, *threads):
                thread.start()
            for thread in threads:
                thread.join(30)
            is_over.set()
            killer.join(5)

            assert backend.load().seq == 300
            assert sum(map(len, backend.load().buckets.values())) == 300

    def test_they_can_be_cut_as_often_as_you_like(self, backend: RedisBackend, redis: Any) -> None:
        """The pool of redis-py would refuse the 101st connection."""
        for n in range(150):
            redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert put(backend, ("A", "x", b"1")) == n + 1


class TestDataThatGoesBack:
    def test_emptied_data_has_a_new_epoch(self, backend: RedisBackend, redis: Any) -> None:
        put(backend, ("A", "x", b"1"))
        old = backend.load()
        redis.flushall()
        put(backend, ("A", "x", b"other"))  # the same number again

        assert backend.since(old.epoch, 1) is None
        assert backend.load().epoch != old.epoch

    def test_a_version_of_the_epoch_before_doesnt_count(self, server: RedisServer, redis: Any) -> None:
        with opened(server.url) as backend, opened(server.url) as other:
            version = put(backend, ("A", "x", b"1"))
            redis.flushall()
            put(other, ("A", "x", b"7"))

            answer = backend.commit(a_commit(("A", "x", b"2"), versions={"A": version}))
            assert answer == Stale({"A": Stored(1, {"x": b"7"})})
            assert isinstance(backend.commit(a_commit(("A", "x", b"8"), versions={"A": 1})), Committed)

    def test_a_replacement_is_such_a_thing(self, server: RedisServer, redis: Any) -> None:
        with opened(server.url) as backend, opened(server.url) as other:
            version = put(backend, ("A", "x", b"1"))
            everything = backend.load()
            other.replace(everything)
            assert isinstance(backend.commit(a_commit(("A", "x", b"2"), versions={"A": version})), Stale)
            assert isinstance(backend.commit(a_commit(("A", "x", b"2"), last=version)), Stale)
            backend.load()
            assert isinstance(backend.commit(a_commit(("A", "x", b"2"), last=version)), Committed)

    def test_a_server_with_older_data_is_noticed(self) -> None:
        with (
            running_server() as mortal,
            client(mortal) as redis,
            opened(mortal.url) as backend,
            opened(mortal.url) as other,
        ):
            put(backend, ("A", "x", b"1"))
            old = backend.load()
            got = backend.acquire(["B"], [], "w", "me")
            redis.save()
            put(backend, ("A", "x", b"2"))
            backend.acquire(["C"], [], "w2", "me")
            mortal.restart()
            put(other, ("A", "x", b"7"))  # takes the number of the event that is lost

            assert backend.since(old.epoch, 2) is None
            assert isinstance(backend.commit(a_commit(("A", "x", b"3"), versions={"A": 2})), Stale)
            again = other.acquire(["C"], [], "w3", "you")
            assert isinstance(got, Acquired)
            assert isinstance(again, Acquired)
            assert again.fences["C"] > got.fences["B"]

    def test_one_with_the_same_data_is_not(self) -> None:
        with running_server(appendonly="yes", appendfsync="always") as mortal, opened(mortal.url) as backend:
            put(backend, ("A", "x", b"1"))
            epoch = backend.load().epoch
            mortal.restart()
            assert backend.since(epoch, 0) is not None


class TestWaiting:
    def test_a_change_of_another_is_seen_within_20_ms(self, server: RedisServer, redis: Any) -> None:
        with opened(server.url) as backend, opened(server.url) as other:
            seen: list[float] = []

            def follow() -> None:
                for n in range(20):
                    backend.wait(n, 5.0)
                    seen.append(time.monotonic())

            thread = threading.Thread(target=follow)
            thread.start()
            made = []
            for n in range(20):
                time.sleep(0.01)
                made.append(time.monotonic())
                put(other, ("A", "x", b"%d" % n))
            thread.join(10)
            delays = [after - before for before, after in zip(made, seen, strict=True)]
            assert statistics.median(delays) < 0.02

    @pytest.mark.parametrize("end", ["wake", "close"])
    def test_it_can_be_ended_soon(self, backend: RedisBackend, end: str) -> None:
        later(0.1, getattr(backend, end))
        begun = time.monotonic()
        with suppress(StoreError):
            backend.wait(0, 10.0)
        assert 0.05 < time.monotonic() - begun < 0.3
        if end == "wake":
            later(0.1, lambda: put(backend, ("A", "x", b"1")))
            backend.wait(0, 10.0)  # as if nothing had been
            assert 0.05 < time.monotonic() - begun < 0.5

    def test_it_survives_a_restart(self) -> None:
        with running_server(appendonly="yes", appendfsync="always") as mortal, opened(mortal.url) as backend:
            put(backend, ("A", "x", b"1"))
            later(0.1, mortal.restart)
            timer = later(0.6, lambda: put(backend, ("A", "x", b"2")))
            backend.wait(1, 10.0)
            assert backend.read("A").version == 2
            timer.join()

    def test_a_server_that_is_away_too_long_is_an_error(self) -> None:
        with running_server() as mortal, opened(mortal.url, timeout=QUICK) as backend:
            mortal.kill()
            with pytest.raises(StoreUnavailableError):
                backend.wait(0, 10.0)

    def test_emptied_data_ends_it(self, backend: RedisBackend, redis: Any) -> None:
        put(backend, ("A", "x", b"1"))
        later(0.1, redis.flushall)
        begun = time.monotonic()
        backend.wait(1, 10.0)
        assert time.monotonic() - begun < 2.0


def killed(script: Callable[..., object], *args: object) -> None:
    """Run a script that ends with an error."""
    with suppress(Exception):
        script(*args)


def refused(url: str, **options: Any) -> StoreError:
    """The error of opening it; it must tell no password, nor those that are chained to it."""
    with pytest.raises(StoreError) as raised:
        RedisBackend(url, timeout=QUICK, **options)
    error: BaseException | None = raised.value
    while error is not None:
        assert "secret" not in f"{error} {error!r} {error.__notes__ if hasattr(error, '__notes__') else ''}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return raised.value


class TestRefusals:
    def test_a_wrong_password_or_none(self) -> None:
        with running_server(requirepass="right") as guarded:
            assert "this name and password" in str(refused(f"redis://:secret@127.0.0.1:{guarded.port}"))
            assert "this name and password" in str(refused(f"redis://127.0.0.1:{guarded.port}"))
            with opened(guarded.url) as backend:
                put(backend, ("A", "x", b"1"))
                assert "right" not in backend.url + repr(backend)

    def test_a_database_that_isnt_there(self, server: RedisServer) -> None:
        assert "DB index is out of range" in str(refused(f"redis://:@127.0.0.1:{server.port}/99"))

    def test_no_such_host(self) -> None:
        error = refused("redis://:secret@no-such-host.invalid:6379")
        assert isinstance(error, StoreUnavailableError)
        assert "no-such-host.invalid:6379" in str(error)

    def test_nobody_listens(self) -> None:
        assert isinstance(refused("redis://:secret@127.0.0.1:1"), StoreUnavailableError)

    @pytest.mark.parametrize(
        "url", ["http://:secret@host", "redis://:se/secret@host:1", "redis://:secret@host:port", "secret"]
    )
    def test_no_url_of_a_redis(self, url: str) -> None:
        assert "is no URL" in str(refused(url))

    def test_another_kind_of_server(self) -> None:
        class Web(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while self.request.recv(2**16):
                    self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Web) as web:
            thread = threading.Thread(target=web.serve_forever, args=(0.01,))
            thread.start()
            try:
                for login in ("", ":secret@"):
                    url = f"redis://{login}127.0.0.1:{web.server_address[1]}"
                    assert "no Redis server" in str(refused(url))
            finally:
                web.shutdown()
                thread.join()

    def test_a_user_who_may_not_do_what_is_needed(self, server: RedisServer, redis: Any) -> None:
        """It is found out before anything is half done."""
        redis.execute_command("ACL", "SETUSER", "ann", "on", ">secret", "~*", "+@all", "-xadd")
        redis.execute_command("ACL", "SETUSER", "bob", "on", ">secret", "~other:*", "+@all")
        try:
            assert "may not use XADD" in str(refused(f"redis://ann:secret@127.0.0.1:{server.port}"))
            assert "ACL SETUSER" in str(refused(f"redis://bob:secret@127.0.0.1:{server.port}"))
        finally:
            redis.execute_command("ACL", "DELUSER", "ann", "bob")

    def test_no_memory(self, backend: RedisBackend, redis: Any) -> None:
        put(backend, ("A", "x", b"1"))
        redis.config_set("maxmemory", "1")
        try:
            with pytest.raises(StoreError, match="no memory left") as raised:
                put(backend, ("A", "x", b"2"), ("A", "y", None))
            assert not isinstance(raised.value, StoreUnavailableError)
            assert backend.read("A") == Stored(1, {"x": b"1"})
        finally:
            redis.config_set("maxmemory", "0")
        assert put(backend, ("A", "x", b"2")) == 2

    def test_a_disk_that_fails(self) -> None:
        with running_server(save="1 1") as full, client(full) as redis, opened(full.url) as backend:
            (full.folder / "dump.rdb").mkdir()  # where the file should be
            put(backend, ("A", "x", b"1"))
            redis.bgsave()
            end = time.monotonic() + 5
            while redis.info("persistence")["rdb_last_bgsave_status"] == "ok" and time.monotonic() < end:
                time.sleep(0.02)
            with pytest.raises(StoreError, match="can't write to its disk"):
                put(backend, ("A", "x", b"2"))
            assert backend.read("A") == Stored(1, {"x": b"1"})

    def test_a_replica(self, server: RedisServer) -> None:
        with running_server(replicaof=f"127.0.0.1 {server.port}") as replica:
            assert "replica" in str(refused(replica.url, prefix="new"))

    def test_a_server_that_is_busy_is_waited_for(self, server: RedisServer, redis: Any) -> None:
        redis.config_set("busy-reply-threshold", "20")
        with opened(server.url) as backend, client(server) as other:
            spinning = later(0.0, lambda: killed(other.eval, "while true do end", 0))
            time.sleep(0.1)
            killing = later(0.2, redis.script_kill)
            put(backend, ("A", "x", b"1"))
            killing.join()
            spinning.join()

    @pytest.mark.parametrize(
        "options", [{"max_events": 0}, {"prefix": ""}, {"prefix": "a{b"}, {"lease": 0}, {"timeout": 0}]
    )
    def test_a_number_or_prefix_that_cant_be(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be"):
            RedisBackend("redis://127.0.0.1:1", **options)

    def test_after_a_fork_it_says_what_to_do(self, backend: RedisBackend, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            with pytest.raises(StoreError, match="before a fork"):
                backend.read("A")

    def test_without_redis_py_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "redis", None)
        with pytest.raises(MissingPackageError, match=r"qstate-nb\[redis\]"):
            RedisBackend("redis://127.0.0.1:1")


class TestURLs:
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://h:1/2", "redis://h:1/2"),
            ("redis://:secret@h", "redis://h"),
            ("redis://ann:se%40cret@[::1]:1/2?prefix=p", "redis://ann@[::1]:1/2?prefix=p"),
            ("rediss://h?username=ann&password=secret", "rediss://h?username=ann"),
            ("unix://:secret@/tmp/s?db=1", "unix:///tmp/s?db=1"),
        ],
    )
    def test_they_are_shown_without_passwords(self, url: str, shown: str) -> None:
        assert without_password(url) == shown

    def test_a_socket_is_one(self) -> None:
        with running_server(unixsocket="redis.sock") as local, opened(f"unix://{local.folder}/redis.sock") as backend:
            put(backend, ("A", "x", b"1"))
            assert backend.url == f"unix://{local.folder}/redis.sock"

    def test_tls_is_one(self, tmp_path: Any) -> None:
        needed()
        made = subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
                *("-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", f"{tmp_path}/key.pem", "-out", f"{tmp_path}/cert.pem"),
            ],
            capture_output=True,
            check=False,
        )
        if made.returncode:
            pytest.skip("openssl can't make a certificate")
        files = {"cert_file": f"{tmp_path}/cert.pem", "key_file": f"{tmp_path}/key.pem", "auth_clients": "no"}
        with running_server() as plain:
            port = plain.port + 1
        options = {"tls_port": str(port), **{f"tls_{name}": value for name, value in files.items()}}
        with (
            running_server(**options),
            opened(f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path}/cert.pem") as backend,
        ):
            put(backend, ("A", "x", b"1"))
            later(0.05, lambda: put(backend, ("A", "x", b"2")))
            backend.wait(1, 5.0)
            assert backend.load().seq == 2


def test_a_held_bucket_can_be_taken_over_when_its_process_is_dead(server: RedisServer, redis: Any) -> None:
    """As its key goes with the lease, by Redis' own clock."""
    with opened(server.url, lease=0.2) as slow, opened(server.url) as other:
        assert isinstance(slow.acquire(["A"], [], "w", "me"), Acquired)
        assert isinstance(other.acquire(["A"], [], "w2", "you"), Held)
        time.sleep(0.25)
        assert isinstance(other.acquire(["A"], [], "w2", "you"), Acquired)


def test_everything_is_replaced_in_one_step(backend: RedisBackend, redis: Any) -> None:
    """Whatever bytes a foreign value has, and with a journal that begins later."""
    put(backend, ("A", "x", b"1"))
    everything = Everything("", 7, (), {"B": {"y": b"\xff", "z": b"1"}, "C": {}}, {}, {"l": RawLabel(3, {"B": {}})})
    backend.replace(everything)
    found = backend.load()
    assert (found.seq, found.buckets, found.labels) == (7, everything.buckets, everything.labels)
    assert redis.keys("*bucket:A") == []
    assert put(backend, ("B", "y", b"2")) == 8
