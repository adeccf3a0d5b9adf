"""What is SQLite's own: its file, its connections, its processes on one machine."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from qstate_nb.errors import ReentrantError, StoreError, StoreUnavailableError
from qstate_nb.stores import sqlite_connections, sqlite_schema
from qstate_nb.stores.backend import Acquired, Commit, Committed, Held, Lost, RawLabel
from qstate_nb.stores.sqlite import SQLiteBackend

ROOT = Path(__file__).parent.parent.parent


def a_commit(value: bytes, field: str = "x") -> Commit:
    """A commit of one field."""
    return Commit("test", "set", b"{}", (("A", field, value),))


def put(backend: SQLiteBackend, value: bytes, field: str = "x") -> int:
    """Set a field; the number of the event."""
    done = backend.commit(a_commit(value, field))
    assert isinstance(done, Committed), done
    assert done.seq is not None
    return done.seq


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Run a script in another process."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )


def run(script: str, *arguments: object) -> str:
    """Run a script to its end, which must be a good one; what it prints."""
    process = start(script, *arguments)
    shown, _ = process.communicate(timeout=50)
    assert process.returncode == 0, shown
    return shown


PRELUDE = """
import os, random, signal, sys, time
from qstate_nb.errors import *
from qstate_nb.stores.backend import *
from qstate_nb.stores.sqlite import SQLiteBackend
def put(backend, *changes, **options):
    done = backend.commit(Commit("t", "set", b"{}", changes, **options))
    assert isinstance(done, Committed), done
    return done.seq
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a file is to be."""
    return tmp_path / "state.db"


@contextmanager
def opened(path: Path, **options: object) -> Iterator[SQLiteBackend]:
    """A backend, closed in the end."""
    backend = SQLiteBackend(path, **options)  # type: ignore[arg-type]
    try:
        yield backend
    finally:
        backend.close()


class TestOpening:
    def test_eight_processes_make_many_files_at_the_same_time(self, tmp_path: Path) -> None:
        """All try to make each file, and to switch it to WAL, and the last one to leave it deletes the WAL again."""
        script = """
print("ready", flush=True)
sys.stdin.readline()
for n in range(15):
    backend = SQLiteBackend(f"{sys.argv[1]}/{n}.db")
    for _ in range(3):
        put(backend, ("A", f"{os.getpid()}", b"1"))
        assert backend.read_field("A", f"{os.getpid()}") == b"1"
    backend.close()
"""
        processes = [start(script, tmp_path) for _ in range(8)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        shown = [process.communicate(timeout=50)[0] for process in processes]

        assert shown == [""] * 8
        for n in range(15):
            with opened(tmp_path / f"{n}.db") as backend:
                everything = backend.load()
                assert everything.seq == len(everything.events) == 24
                assert len(everything.buckets["A"]) == 8

    def test_max_events_belongs_to_the_file(self, path: Path) -> None:
        with opened(path, max_events=20), opened(path) as second, opened(path, max_events=None) as third:
            assert second.max_events == third.max_events == 20

    @pytest.mark.parametrize("options", [{"max_events": 0}, {"durability": "none"}])
    def test_options_that_can_not_be(self, path: Path, options: dict[str, object]) -> None:
        with pytest.raises(ValueError, match=next(iter(options))):
            SQLiteBackend(path, **options)  # type: ignore[arg-type]
        assert not path.exists()

    def test_durability_is_a_pragma_of_each_connection(self, path: Path) -> None:
        for durability, expected in {"normal": 1, "full": 2}.items():
            with opened(path, durability=durability) as backend:
                assert backend._connections.mine().ask("PRAGMA synchronous") == [(expected,)]
                assert backend._connections.mine().ask("PRAGMA journal_mode") == [("wal",)]

    def test_text_that_is_no_unicode_is_refused(self, path: Path) -> None:
        with opened(path) as backend:
            with pytest.raises(StoreError, match=r"'\\ud800x': it is no Unicode"):
                put(backend, b"1", "\ud800x")
            with pytest.raises(StoreError, match="no Unicode"):
                backend.read("\ud800x")
            assert backend.load().seq == 0

    def test_an_sqlite_that_is_too_old(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
        with pytest.raises(StoreError, match=r"3\.35 or newer"):
            SQLiteBackend(path)

    def test_a_relative_path_stays_the_same_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with opened(Path("a b%20#?é.db")) as backend:
            put(backend, b"1")
            monkeypatch.chdir("/")
            in_thread(lambda: put(backend, b"2"))

            assert backend.url == "sqlite:///a b%20#?é.db"
            assert backend.load().seq == 2
        assert (tmp_path / "a b%20#?é.db").exists()


class TestRefusing:
    def refused(self, path: Path, match: str) -> None:
        """It can't be opened, and is as it was."""
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(StoreError, match=match) as caught:
            SQLiteBackend(path)
        assert str(path) in str(caught.value)
        assert (path.read_bytes() if path.is_file() else None) == before
        assert not [file for file in path.parent.glob(f"{path.name}-*") if file.stat().st_size]

    def test_another_applications_database(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as sql:
            sql.execute("CREATE TABLE theirs (x)")
        self.refused(path, "something else")
        with closing(sqlite3.connect(path)) as sql:
            sql.executescript("DROP TABLE theirs; PRAGMA application_id = 1")
        self.refused(path, "something else")

    def test_a_newer_version(self, path: Path) -> None:
        with opened(path):
            pass
        with closing(sqlite3.connect(path)) as sql:
            sql.execute("PRAGMA user_version = 99")
        self.refused(path, "newer.*upgrade")

    def test_no_database(self, path: Path) -> None:
        path.write_text("hello, " * 1000)
        self.refused(path, "no SQLite database")

    def test_a_directory(self, tmp_path: Path) -> None:
        self.refused(tmp_path, "is a directory")

    def test_a_directory_that_is_not_there(self, tmp_path: Path) -> None:
        self.refused(tmp_path / "none" / "state.db", "is its directory there")

    def test_a_damaged_file_says_so(self, path: Path) -> None:
        with opened(path) as backend:
            for n in range(200):
                put(backend, b"1" * 500, f"field{n}")
        content = bytearray(path.read_bytes())
        content[4096:-4096] = b"\xa5" * (len(content) - 8192)
        path.write_bytes(content)

        with pytest.raises(StoreError, match=r"is damaged; go back to a copy"), opened(path) as backend:
            backend.load()

    @pytest.mark.parametrize("mode", ["file", "directory"])
    def test_what_can_only_be_read(self, mode: str, request: pytest.FixtureRequest) -> None:
        """Root may write all, so another user tries, in a place that it may look into."""
        place = Path(tempfile.mkdtemp())
        request.addfinalizer(lambda: shutil.rmtree(place))
        path = place / "state.db"
        with opened(path) as backend:
            put(backend, b"1")
        place.chmod(0o755 if mode == "file" else 0o555)
        path.chmod(0o444 if mode == "file" else 0o666)
        shown = run(
            """
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    put(SQLiteBackend(sys.argv[1]), ("A", "x", b"2"))
except StoreError as error:
    print(error)
""",
            path,
        )

        assert str(path) in shown
        assert "writable" in shown or "may this user write" in shown
        place.chmod(0o755)
        path.chmod(0o666)
        with opened(path) as backend:
            assert backend.read_field("A", "x") == b"1"


class TestMigration:
    def old_file(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file of version 1, with data and a journal."""
        with monkeypatch.context() as patch:
            patch.setattr(sqlite_schema, "MIGRATIONS", sqlite_schema.MIGRATIONS[:1])
            with closing(sqlite_schema.connected(str(path), "normal", 5.0, is_first=True)):
                pass
        with opened(path.parent / "new.db") as backend:
            put(backend, b"1")
            put(backend, b"2", "y")
            backend.set_label("here", RawLabel(2, {"A": {"x": b"1"}}))
        with closing(sqlite3.connect(path)) as sql:
            sql.execute("ATTACH ? AS new", (str(path.parent / "new.db"),))
            sql.execute("INSERT INTO buckets SELECT id, name, place FROM new.buckets")
            for table in ("fields", "events", "labels"):
                sql.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")
            sql.execute(
                "UPDATE meta SET value = (SELECT value FROM new.meta WHERE key = 'epoch') WHERE key = 'epoch'"
            )
            sql.commit()

    def version(self, path: Path) -> int:
        with closing(sqlite3.connect(path)) as sql:
            return int(sql.execute("PRAGMA user_version").fetchone()[0])

    def test_data_and_journal_survive(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.old_file(path, monkeypatch)
        assert self.version(path) == 1
        with opened(path) as backend, opened(path.parent / "new.db") as new:
            assert self.version(path) == len(sqlite_schema.MIGRATIONS) == 2
            assert backend.load() == new.load()
            backend.set_expiry("A", 0.0)
            assert backend.read("A").fields == {}
            assert put(backend, b"3") == 4

    def test_one_that_is_killed_half_way_leaves_the_old_file(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.old_file(path, monkeypatch)
        process = start(
            """
from qstate_nb.stores import sqlite_schema
def statements():
    yield from real[1]
    print("half way", flush=True)
    time.sleep(60)
real = sqlite_schema.MIGRATIONS
sqlite_schema.MIGRATIONS = (real[0], statements())
SQLiteBackend(sys.argv[1])
""",
            path,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "half way\n"
        process.kill()
        process.communicate()

        assert self.version(path) == 1
        with opened(path) as backend, opened(path.parent / "new.db") as new:
            assert backend.load() == new.load()
        assert self.version(path) == 2

    def test_one_that_fails_leaves_the_old_file(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.old_file(path, monkeypatch)
        with monkeypatch.context() as patch:
            patch.setattr(sqlite_schema, "MIGRATIONS", (*sqlite_schema.MIGRATIONS, ("CREATE TABLE events (x)",)))
            with pytest.raises(StoreError, match="already exists"):
                SQLiteBackend(path)
        assert self.version(path) == 1


class TestTrimming:
    def test_what_nobody_needs_any_more_is_deleted(self, path: Path) -> None:
        """Old events go when the fields that they wrote are overwritten, and versions of buckets that are gone."""
        with opened(path, max_events=10) as backend:
            put(backend, b"1", "old")
            backend.commit(Commit("t", "drop", b"{}", (("B", "x", None),), drops=("B",)))
            for _ in range(30):
                put(backend, b"1")
            ask = backend._connections.mine().ask
            assert ask("SELECT min(seq), count(*) FROM events") == [(1, 11)]
            assert ask("SELECT name FROM buckets") == [("A",)]
            assert ask("SELECT count(*) FROM fields") == [(3,)]

            put(backend, b"2", "old")
            assert ask("SELECT min(seq) > 1, count(*) FROM events") == [(1, 10)]


class TestNoSpace:
    def test_nothing_is_half_done_and_it_goes_on_when_there_is_space(self, path: Path) -> None:
        with opened(path) as backend:
            put(backend, b"1")
            connection = backend._connections.mine()
            ((pages,),) = connection.ask("PRAGMA page_count")
            connection.ask(f"PRAGMA max_page_count = {pages + 2}")
            with pytest.raises(StoreError, match=r"no space left .*nothing was changed"):
                put(backend, b"2" * 100_000)
            assert (backend.load().seq, backend.read("A").fields) == (1, {"x": b"1"})

            connection.ask("PRAGMA max_page_count = 100000")
            assert put(backend, b"2" * 100_000) == 2

    def test_on_a_small_disk(self, tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
        if os.getuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
            pytest.skip("a small disk can't be mounted here")
        try:
            with opened(disk / "state.db") as backend:
                seq = put(backend, b"0")
                (disk / "filler").write_bytes(b"0" * 400_000)
                with pytest.raises(StoreError, match="no space left"):
                    for _ in range(1000):
                        seq = put(backend, b"%d" % seq + b"0" * 20_000)
                assert backend.load().seq == seq
                (disk / "filler").unlink()
                assert put(backend, b"1") == seq + 1
            with opened(disk / "state.db") as backend:
                assert backend.read_field("A", "x") == b"1"
        finally:
            subprocess.run(["umount", str(disk)], check=True)


class TestBusy:
    def test_who_waits_too_long_is_told(self, path: Path) -> None:
        with opened(path, busy_timeout=0.1) as backend, closing(sqlite3.connect(path)) as sql:
            sql.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailableError, match="locked by another process") as caught:
                put(backend, b"1")
            assert caught.value.is_done is False
            assert backend.read("A").fields == {}, "who reads waits for nobody"
            sql.rollback()
            assert put(backend, b"1") == 1

    def test_reading_takes_no_write_lock(self, path: Path) -> None:
        with opened(path, busy_timeout=0.1) as backend, closing(sqlite3.connect(path)) as sql:
            put(backend, b"1")
            backend.set_expiry("A", 100.0)
            assert isinstance(backend.acquire(["A"], [], "w", "a"), Acquired)
            assert isinstance(backend.acquire(["A"], [], "v", "b"), Held)
            sql.execute("BEGIN IMMEDIATE")

            assert backend.read_field("A", "x") == b"1"
            assert backend.read("A").fields == {"x": b"1"}
            assert backend.load().seq == 1
            assert backend.labels() == {}
            assert backend.sweep()
            assert len(backend.since(backend.load().epoch, 0) or ()) == 1
            assert isinstance(backend.acquire(["A"], [], "v", "b"), Held), "who asks again only looks"
            backend.wait(1, 0.01)

    def test_many_processes_write_read_and_checkpoint_without_an_error(self, path: Path) -> None:
        script = """
backend = SQLiteBackend(sys.argv[1])
for n in range(150):
    found = backend.read("A")
    while not isinstance(done := backend.commit(Commit("t", "increment", b"{}",
            (("A", "n", b"%d" % (int(found.fields.get("n", b"0")) + 1)), ("A", "large", b"0" * 30_000)),
            versions={"A": found.version})), Committed):
        found = done.buckets["A"]
backend.close()
"""
        processes = [start(script, path) for _ in range(4)]
        shown = [process.communicate(timeout=50)[0] for process in processes]

        assert shown == [""] * 4
        with opened(path) as backend:
            assert backend.read_field("A", "n") == b"600"
            assert backend.load().seq == 600


HOLDER = """
backend = SQLiteBackend(sys.argv[1])
fences = backend.acquire(["A", "B"], [], "w1", "holder").fences
print(fences["A"], flush=True)
sys.stdin.readline()
print(backend.commit(Commit("t", "set", b"{}", (("A", "x", b"1"),), fences=fences)))
"""


class TestHolders:
    @pytest.fixture
    def holder(self, path: Path) -> Iterator[subprocess.Popen[str]]:
        """A process that holds two buckets."""
        with start(HOLDER, path) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
            process.kill()

    def test_one_that_is_killed_is_in_nobodys_way_at_once(self, path: Path, holder: subprocess.Popen[str]) -> None:
        with opened(path, lease=1000.0) as backend:
            assert backend.commit(a_commit(b"1")) == Held("A", "holder")
            holder.kill()
            os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # it stays in the list of processes

            assert put(backend, b"1") == 1
            assert isinstance(backend.acquire(["B"], [], "w", "b"), Acquired)

    def test_one_whose_number_is_another_process_is_dead(self, path: Path, holder: subprocess.Popen[str]) -> None:
        with opened(path) as backend:
            with closing(sqlite3.connect(path, isolation_level=None)) as sql:
                sql.execute("UPDATE processes SET started = '1'")

            assert put(backend, b"1") == 1

    def test_one_of_another_host_has_its_lease(self, path: Path, holder: subprocess.Popen[str]) -> None:
        with opened(path) as backend:
            with closing(sqlite3.connect(path, isolation_level=None)) as sql:
                sql.execute("UPDATE processes SET host = 'another'")
            holder.kill()
            holder.wait()
            assert backend.commit(a_commit(b"1")) == Held("A", "holder")
            with closing(sqlite3.connect(path, isolation_level=None)) as sql:
                sql.execute("UPDATE processes SET deadline = ?", (time.time() - 1,))

            assert put(backend, b"1") == 1

    def test_one_that_was_stopped_and_goes_on_has_lost(self, path: Path, holder: subprocess.Popen[str]) -> None:
        with opened(path) as backend:
            holder.send_signal(signal.SIGSTOP)
            assert backend.commit(a_commit(b"1")) == Held("A", "holder")
            with closing(sqlite3.connect(path, isolation_level=None)) as sql:
                sql.execute("UPDATE processes SET deadline = ?", (time.time() - 1,))
            assert put(backend, b"2") == 1
            holder.send_signal(signal.SIGCONT)
            shown, _ = holder.communicate("\n", timeout=20)

            assert shown.strip() == str(Lost("A"))
            assert backend.read_field("A", "x") == b"2"

    def test_what_the_dead_have_left_is_cleared_away(self, path: Path, holder: subprocess.Popen[str]) -> None:
        holder.kill()
        holder.wait()
        with opened(path):
            pass
        with closing(sqlite3.connect(path)) as sql:
            for table in ("processes", "locks", "waits"):
                assert sql.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def in_thread(step: Callable[[], object]) -> None:
    """Do something in another thread, and wait for it."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            step()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


def open_files(path: Path) -> int:
    """How often this process has the file open."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # it was the one that lists them
            found += os.readlink(descriptor) == str(path)
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files can't be seen here")


class TestConnections:
    def test_each_thread_has_one_which_ends_with_it(self, path: Path) -> None:
        """SQLite itself may keep one file open, for the next connection."""
        with opened(path) as backend:
            counts: list[int] = []

            def use() -> None:
                put(backend, b"1")
                counts.append(len(backend._connections._all))

            for _ in range(10):
                in_thread(use)
                assert len(backend._connections._all) == 1
            assert counts == [2] * 10
            assert open_files(path) <= 2

    @needs_proc
    def test_close_closes_those_of_other_threads(self, path: Path) -> None:
        goes_on = threading.Event()
        backend = SQLiteBackend(path)
        has_one = threading.Event()

        def use() -> None:
            put(backend, b"1")
            has_one.set()
            goes_on.wait(20)

        thread = threading.Thread(target=use)
        thread.start()
        has_one.wait(20)
        backend.close()
        assert open_files(path) == 0
        goes_on.set()
        thread.join()

    def test_close_leaves_one_that_is_in_use_to_its_user(self, path: Path) -> None:
        backend = SQLiteBackend(path)
        with backend._connections.mine() as sql:
            backend._connections.close()
            sql.execute("SELECT 1")

        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            sql.execute("SELECT 1")

    @needs_proc
    def test_one_that_nobody_has_any_more_is_closed(self, path: Path) -> None:
        backend = SQLiteBackend(path)
        put(backend, b"1")
        del backend
        gc.collect()

        assert open_files(path) == 0

    def test_use_after_a_fork_is_refused_and_harms_nothing(self, path: Path) -> None:
        shown = run(
            """
backend = SQLiteBackend(sys.argv[1])
put(backend, ("A", "x", b"1"))
child = os.fork()
if child == 0:
    for step in (lambda: backend.read("A"), lambda: put(backend, ("A", "x", b"2"))):
        try:
            step()
        except StoreError as error:
            print(error, flush=True)
    backend.close()
    anew = SQLiteBackend(sys.argv[1])
    put(anew, ("A", "x", b"3"))
    anew.close()
    del backend
    os._exit(0)
os.waitpid(child, 0)
assert put(backend, ("A", "y", b"4")) == 3
print(backend.read("A").fields)
""",
            path,
        )

        assert shown.count("was opened before a fork; open it anew in the new process") == 2
        assert shown.endswith("{'x': b'3', 'y': b'4'}\n")

    def test_a_finaliser_in_the_middle_of_a_step_is_told(self, path: Path) -> None:
        with opened(path) as backend:
            put(backend, b"1")

            def finaliser(_: object) -> None:
                with pytest.raises(ReentrantError, match="finaliser"):
                    backend.read("A")
                with pytest.raises(ReentrantError, match="finaliser"):
                    put(backend, b"1")

            backend._connections.mine().read(finaliser)
            assert put(backend, b"2") == 2

    def test_what_an_interrupt_has_left_open_is_rolled_back_at_the_next_step(self, path: Path) -> None:
        with opened(path) as backend:
            put(backend, b"1")
            connection = backend._connections.mine()
            connection.__enter__().execute("DELETE FROM fields")  # and its end is never reached
            assert backend.read("A").fields == {"x": b"1"}
            assert put(backend, b"2") == 2

    def test_an_interrupt_rolls_back(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with opened(path) as backend:

            def interrupted(*_: object) -> None:
                raise KeyboardInterrupt

            with monkeypatch.context() as patch:
                patch.setattr(backend._journal, "_trim", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    put(backend, b"1")
            assert backend.load().seq == 0
            assert put(backend, b"2") == 1

    def test_a_rollback_that_an_interrupt_has_prevented_is_made_up_for(self, path: Path) -> None:
        with opened(path) as backend, opened(path, busy_timeout=0.1) as other:
            connection = backend._connections.mine()
            connection.__enter__()
            connection.is_busy = False
            assert isinstance(backend.read("A").fields, dict)
            assert put(other, b"1") == 1

    def test_inherited_connections_are_kept(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with opened(path) as backend:
            monkeypatch.setattr(backend._connections.mine(), "_pid", -1)
            kept = len(sqlite_connections._INHERITED)
            backend._connections.mine().__del__()

            assert sqlite_connections._INHERITED.pop() is backend._connections.mine().sql
            assert len(sqlite_connections._INHERITED) == kept
            monkeypatch.undo()


class TestKilled:
    def test_nothing_that_was_committed_is_lost_or_half_done(self, path: Path) -> None:
        """Twenty writers, one after the other, are killed at random instants."""
        shown = run(
            """
path, log = sys.argv[1:]
random.seed(int(sys.argv[1].encode().hex(), 16) % 1000)
for n in range(20):
    child = os.fork()
    if child == 0:
        backend = SQLiteBackend(path, max_events=None)
        acknowledged = open(log, "ab", buffering=0)
        value = backend.load().seq
        while True:
            value += 1
            seq = put(backend, ("A", "x", b"%d" % value), ("B", "x", b"%d" % value))
            acknowledged.write(b"%d\\n" % seq)
    time.sleep(random.uniform(0.01, 0.08))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    backend = SQLiteBackend(path, max_events=None)
    everything = backend.load()
    backend.close()
    seqs = [int(line) for line in open(log)] if os.path.exists(log) else []
    assert seqs == sorted(set(seqs)), "a number was used twice"
    assert not seqs or everything.seq >= seqs[-1], "an acknowledged commit is lost"
    assert [event.seq for event in everything.events] == list(range(1, everything.seq + 1))
    replayed = {}
    for event in everything.events:
        for change in event.changes:
            replayed.setdefault(change.bucket, {})[change.field] = change.after
        assert replayed["A"] == replayed["B"], "a commit is half there"
    assert everything.buckets == replayed
print(everything.seq)
""",
            path,
            path.with_suffix(".log"),
        )

        assert int(shown) > 100
