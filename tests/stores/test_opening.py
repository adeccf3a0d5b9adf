"""URLs of stores: what they mean, what is said about wrong ones, and which registry a process has for each."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from support.redis_server import RedisServer, running_server

from qstate_nb import InlineApp, State, StateRegistry, default_registry, open_store
from qstate_nb.core.store import MemoryStore
from qstate_nb.errors import MissingPackageError, QStateError, StoreError, StoreUnavailableError
from qstate_nb.stores import opening
from qstate_nb.stores.opening import promise, registry_of, shown, use_store


class Stock(State):
    pass


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No registry is known yet, and the folder is empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv(opening.VARIABLE, raising=False)
    for name in ("_default", "_memory", "_wanted"):
        monkeypatch.setattr(opening, name, None)
    yield
    for registry in list(opening._open.values()):
        close(registry)


def close(registry: StateRegistry) -> None:
    registry.store.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///state.db", "state.db"),
        ("SQLite:///state.db", "state.db"),
        (" sqlite:///state.db\n", "state.db"),
        ("sqlite:///./state.db", "state.db"),
        ("sqlite:///old/state.db", "old/state.db"),
        ("sqlite:///my state.db", "my state.db"),
        ("sqlite:///my%20state.db", "my state.db"),
        ("sqlite:///100%25.db", "100%.db"),
        ("sqlite:///what%3F.db", "what?.db"),
        ("sqlite:///a#b.db", "a#b.db"),
        ("sqlite:///a@b:c.db", "a@b:c.db"),
        ("sqlite:///é.db", "é.db"),
        ("sqlite:///~/state.db", "home/state.db"),
        ("sqlite:///state", "state"),
        ("sqlite:///state.db?durability=full&lease=0.5", "state.db"),
    ],
)
def test_which_file_is_made(tmp_path: Path, url: str, file: str) -> None:
    """A path is relative to the current folder, unless it begins with a fourth slash."""
    for folder in ("old", "home"):
        (tmp_path / folder).mkdir()
    registry = StateRegistry(store=open_store(url))
    registry.state(Stock).set("apples", 1)
    assert (tmp_path / file).is_file()
    assert str(registry.store.url) == url.strip()
    close(registry)
    again = StateRegistry(store=open_store(f"sqlite:///{quote(str(tmp_path / file))}"))
    assert again.state(Stock).get("apples") == 1
    close(again)


FORMS = "memory://, sqlite:///path.db or redis://host:port/db"
WRONG = {
    "": f"the URL of a store is needed: {FORMS}",
    "state.db": f"'state.db' is no URL of a store; for a file write sqlite:///state.db; all forms are {FORMS}",
    "/tmp/x.db": f"'/tmp/x.db' is no URL of a store; for a file write sqlite:////tmp/x.db; all forms are {FORMS}",
    "sqlite:/x.db": f"'sqlite:/x.db' is no URL: // follows the colon, as in {FORMS}",
    "redis:me:secret@h": f"'redis:***@h' is no URL: // follows the colon, as in {FORMS}",
    "me:secret@h": f"'me:***@h' is no URL of a store; for a file write sqlite:///state.db; all forms are {FORMS}",
    "postgresql://me:secret@h/db": f"there is no store of the kind 'postgresql'; there are {FORMS}",
    "http://h": f"there is no store of the kind 'http'; there are {FORMS}",
    "://": f"there is no store of the kind ''; there are {FORMS}",
    "memory://x": "can't open 'memory://x': nothing follows memory://; for a file write sqlite:///state.db",
    "memory://?lease=1": "can't open 'memory://?lease=1': there is no option 'lease'; memory:// has none",
    "sqlite://": "can't open 'sqlite://': a path follows three slashes; for a file in this folder write "
    "sqlite:///state.db",
    "sqlite://x.db": "can't open 'sqlite://x.db': a path follows three slashes; for a file in this folder write "
    "sqlite:///x.db",
    "sqlite://me:secret@h/x.db": "can't open 'sqlite://me:***@h/x.db': a path follows three slashes; for a file in "
    "this folder write sqlite:///state.db",
    "sqlite:///": "can't open 'sqlite:///': for State in memory write memory://, for a file sqlite:///state.db",
    "sqlite:///:memory:": "can't open 'sqlite:///:memory:': for State in memory write memory://, for a file "
    "sqlite:///state.db",
    "sqlite:///a%00b": "can't open 'sqlite:///a%00b': no path has a null character in it",
    "sqlite:///no/x.db": "can't open 'sqlite:///no/x.db': there is no folder 'no'; make it first",
    "sqlite:///file/x.db": "can't open 'sqlite:///file/x.db': there is no folder 'file'; make it first",
    "sqlite:///folder": "{here}/folder is a directory; give the name of a file in it",
    "sqlite:///file": "{here}/file is no SQLite database, and was left as it is; give the name of another file "
    "(file is not a database)",
    "sqlite:///x.db?mode=ro": "can't open 'sqlite:///x.db?mode=ro': there is no option 'mode'; there are durability, "
    "lease",
    "sqlite:///x.db?lease": "can't open 'sqlite:///x.db?lease': what follows ? are options, such as "
    "lease=10&durability=full",
    "sqlite:///x.db?lease=1&lease=2": "can't open 'sqlite:///x.db?lease=1&lease=2': 'lease' is given twice",
    "sqlite:///x.db?lease=soon": "can't open 'sqlite:///x.db?lease=soon': lease is in seconds, from 0.1 to 86,400, "
    "not 'soon'",
    "sqlite:///x.db?lease=nan": "can't open 'sqlite:///x.db?lease=nan': lease is in seconds, from 0.1 to 86,400, "
    "not 'nan'",
    "sqlite:///x.db?durability=FULL": "can't open 'sqlite:///x.db?durability=FULL': durability is normal or full, "
    "not 'FULL'",
    "redis://h:x": "can't open 'redis://h:***': after the host comes a colon and the port, a number; special "
    "characters of a password are written like %2F for / and %40 for @",
    "redis://me:se/cret@h": "can't open 'redis://me:***@h': after the host comes a colon and the port, a number; "
    "special characters of a password are written like %2F for / and %40 for @",
    "redis://me:se?cret@h": "can't open 'redis://me:***@h': what follows ? are options, such as "
    "lease=10&durability=full; in a password, ? is written %3F",
    "redis://me:1#secret@h": "can't open 'redis://me:***@h': # is written %23; special characters of a password "
    "are written like %2F for / and %40 for @",
    "redis://h/users": "can't open 'redis://h/users': after the host comes a slash and the number of the database, "
    "such as /0; special characters of a password are written like %2F for / and %40 for @",
    "redis://h?db=x": "can't open 'redis://h?db=x': db is a number, not 'x'",
    "redis://h?prefix=": "can't open 'redis://h?prefix=': prefix is a text without braces, not ''",
    "redis://h?prefix={a}": "can't open 'redis://h?prefix={a}': prefix is a text without braces, not '{a}'",
    "redis://h?protocol=3&password=secret": "can't open 'redis://h?protocol=3&password=***': there is no option "
    "'protocol'; there are prefix, lease, timeout, db, username, password, client_name",
    "unix://?db=1": "can't open 'unix://?db=1': the path of the server's socket follows, as in "
    "unix:///run/redis.sock?db=0",
}


@pytest.mark.parametrize(("url", "said"), WRONG.items(), ids=WRONG)
def test_a_wrong_url_is_told_what_is_wrong(tmp_path: Path, url: str, said: str) -> None:
    (tmp_path / "file").write_text("a file of something else, which is no database at all. " * 20)
    (tmp_path / "folder").mkdir()
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(StoreError) as caught:
        open_store(url)
    assert str(caught.value) == said.replace("{here}", str(tmp_path))
    assert "secret" not in "".join(traceback.format_exception(caught.value)).replace(f'open_store("{url}")', "")
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("url", [None, 5, Path("x.db"), b"sqlite:///x.db"])
def test_what_is_no_text_is_refused(url: Any) -> None:
    with pytest.raises(StoreError, match="a store is opened by its URL, a text such as memory://, "):
        open_store(url)


def test_the_number_of_events_is_checked() -> None:
    for url in ("memory://", "sqlite:///x.db"):
        with pytest.raises(ValueError, match="max_events must be at least 1, or None to keep all, not 0"):
            open_store(url, max_events=0)


@pytest.mark.parametrize(
    "url",
    [
        *("redis://me:secret@h:6379/0", "redis://:secret@h", "redis://me:sec/secret?secret#@secret@h/0"),
        *("redis://h/0?password=secret&db=1", "rediss://h?ssl_keyfile_password=secret", "unix:///p?password=secret"),
        *(
            "redis://:secret",
            "redis://me:secret",
            "redis:secret@h",
            "me:secret@h",
            "me:secret@",
            "redis:/me:secret@h",
        ),
        *("x://me:secret@[::1]:80", "memory://me:secret@h", "redis://me:secret@h?password=secret"),
    ],
)
def test_a_password_is_not_shown(url: str) -> None:
    assert "secret" not in shown(url)
    assert "***" in shown(url)


@pytest.mark.parametrize(
    "url",
    [
        *("", "memory://", "sqlite:///C:/a@b:c.db?lease=1", "sqlite:////tmp/a:b@c", "redis://h:6379/0?prefix=a"),
        *("redis://[::1]:6379", "redis://h:", "unix:///run/redis.sock?db=0", "state.db", "redis://me@h"),
    ],
)
def test_what_is_no_password_is_shown(url: str) -> None:
    assert shown(url) == url


class TestRegistries:
    """`registry_of`, `default_registry`, `use_store`: State is found again by its URL."""

    def test_the_same_place_has_the_same_registry(self, tmp_path: Path) -> None:
        one = registry_of("sqlite:///x.db")
        assert registry_of(f"sqlite:///{tmp_path}/./x.db") is one
        assert registry_of(one.store) is one
        assert registry_of("sqlite:///y.db") is not one
        assert registry_of("sqlite:///x.db?durability=full") is not one

    def test_one_that_was_closed_is_opened_anew(self) -> None:
        closed = registry_of("sqlite:///x.db")
        closed.state(Stock).set("apples", 1)
        close(closed)
        again = registry_of("sqlite:///x.db")
        assert again is not closed
        assert again.state(Stock).get("apples") == 1

    def test_memory_is_that_of_the_process(self) -> None:
        assert registry_of("memory://") is registry_of("memory://") is default_registry()
        assert open_store("memory://") is not default_registry().store

    def test_a_store_of_ones_own(self) -> None:
        store = MemoryStore()
        app = InlineApp(store=store)
        assert app.registry.store is store
        assert InlineApp(store=store).registry is app.registry
        with pytest.raises(StoreError, match="a registry or a store, not both"):
            InlineApp(store=store, registry=app.registry)

    def test_apps_that_are_made_later_use_it(self) -> None:
        before = InlineApp()
        before.state(Stock).set("apples", 1)
        assert use_store("sqlite:///x.db") is default_registry() is InlineApp().registry
        assert before.registry.store.url == "memory://"
        assert use_store("memory://") is before.registry
        assert InlineApp().state(Stock).get("apples") == 1

    def test_what_cannot_be_opened_changes_nothing(self) -> None:
        used = use_store("sqlite:///x.db")
        for url in ("sqlite:///no/x.db", "nonsense", "redis://h:x"):
            with pytest.raises(StoreError):
                use_store(url)
        assert default_registry() is used

    def test_a_default_that_was_closed_is_opened_anew(self) -> None:
        close(use_store("sqlite:///x.db"))
        default_registry().state(Stock).set("apples", 1)

    def test_how_safe_it_is_can_be_told(self) -> None:
        assert promise(default_registry().store) == "it is in the memory of this process, and ends with it"
        assert "a power cut may take the last moments" in promise(registry_of("sqlite:///x.db").store)
        full = promise(registry_of("sqlite:///x.db?durability=full").store)
        assert full == "what is committed survives the end of any process, and a power cut"


class TestTheEnvironment:
    """``QSTATE_STORE``."""

    def test_it_says_where_apps_keep_state(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("QSTATE_STORE", "sqlite:///x.db")
        assert InlineApp().registry.store.url == "sqlite:///x.db"
        assert InlineApp(store="memory://").registry.store.url == "memory://"

    @pytest.mark.parametrize("url", ["", " "])
    def test_empty_is_as_if_it_were_not_there(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        monkeypatch.setenv("QSTATE_STORE", url)
        assert default_registry().store.url == "memory://"

    def test_a_wrong_one_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("QSTATE_STORE", "state.db")
        with pytest.raises(StoreError, match=r"^the environment variable QSTATE_STORE: 'state.db' is no URL"):
            InlineApp()
        assert use_store("memory://") is InlineApp().registry

    def test_another_process_has_it_too(self) -> None:
        """Two processes, one after the other: the second one finds what the first one has kept."""
        code = (
            "from qstate_nb import InlineApp, State\n"
            "class Stock(State): pass\n"
            "print(InlineApp().state(Stock).increment('apples'))"
        )
        environment = {**os.environ, "QSTATE_STORE": "sqlite:///x.db"}
        said = [
            subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout
            for _ in range(2)
        ]
        assert said == [b"1\n", b"2\n"]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server that wants a password with special characters in it."""
    with running_server(requirepass="se/cr@et") as running:
        yield running


class TestRedis:
    """Redis, as far as opening goes."""

    def url(self, server: RedisServer, password: str, rest: str = "") -> str:
        return f"redis://:{quote(password, safe='')}@127.0.0.1:{server.port}/0{rest}"

    def test_options(self, server: RedisServer) -> None:
        url = self.url(server, "se/cr@et", "?prefix=a%20shop&lease=2&client_name=me&db=1")
        registry = registry_of(url)
        registry.state(Stock).set("apples", 1)
        store: Any = registry.store
        assert store.backend.lease == 2
        assert store.url == f"redis://:***@127.0.0.1:{server.port}/0?prefix=a%20shop&lease=2&client_name=me&db=1"
        assert "appendfsync" in promise(store)
        assert "cr" not in repr(store).replace("SharedStore", "")
        other = registry_of(self.url(server, "se/cr@et", "?prefix=bank&db=1"))
        assert other.keys() == []

    @pytest.mark.parametrize("password", ["secret", ""])
    def test_a_wrong_password(self, server: RedisServer, password: str) -> None:
        with pytest.raises(StoreError, match=r"Redis .*password") as caught:
            open_store(self.url(server, password))
        assert "secret" not in str(caught.value)
        assert not isinstance(caught.value, StoreUnavailableError)

    def test_nobody_answers(self) -> None:
        with pytest.raises(StoreUnavailableError, match=r"Redis at 127.0.0.1:1 can't be reached") as caught:
            open_store("redis://:secret@127.0.0.1:1/0?timeout=0.2")
        assert "secret" not in "".join(traceback.format_exception(caught.value)).replace(":secret@127.0.0.1:1/0?", "")

    def test_without_redis_py(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "redis", None)
        with pytest.raises(MissingPackageError, match=r"pip install 'qstate-nb\[redis\]'"):
            open_store("redis://h")
        monkeypatch.setenv("QSTATE_STORE", "redis://h")
        with pytest.raises(QStateError, match=r"^the environment variable QSTATE_STORE: .*pip install"):
            default_registry()
