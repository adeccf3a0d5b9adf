"""Opening a store by its URL, and the registries of those that are open.

A password in a URL is never shown: not in a message, and not in what is displayed.
"""

from __future__ import annotations

import os
import re
import threading
import weakref
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

from qstate_nb.core.formats import short
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.store import MemoryStore
from qstate_nb.errors import QStateError, StoreError

if TYPE_CHECKING:
    from qstate_nb.stores.backend import Backend

VARIABLE = "QSTATE_STORE"
"""The environment variable with the URL of the store of apps that are not given another one."""

MEMORY = "memory://"

_FORMS = "memory://, sqlite:///path.db or redis://host:port/db"
_REDIS = ("redis", "rediss", "unix")
_OURS = ("prefix", "lease", "timeout")
_REDIS_OPTIONS = (*_OURS, "db", "username", "password", "client_name")
_DAY = 86_400  # seconds
_SECRET = re.compile(r"([?&][^=&]*(?:pass|pw|secret|token|key)[^=&]*=).*", re.IGNORECASE | re.DOTALL)


def open_store(url: str, *, max_events: int | None = 10_000) -> MemoryStore:
    """Open the place where State lives.

    - ``memory://``: in this process; it ends with it.
    - ``sqlite:///path.db``: in an SQLite file, which is made if it isn't there. The path is relative to the current
      folder, as in other tools; one that begins with a slash gives four of them, ``sqlite:////tmp/state.db``, and
      ``sqlite:///~/state.db`` is in the home folder. ``%20`` is a blank, ``%3F`` a question mark, ``%25`` a percent
      sign. With ``?durability=full``, what is committed survives a power cut as well; by default, ``normal``, the
      last moments before it may be lost, but nothing is half there, and nothing is lost if only processes end.
    - ``redis://user:password@host:port/db?prefix=qstate``: in Redis, under keys that begin so; also ``rediss://``
      for TLS (with redis-py's options ``ssl_…``), and ``unix:///path/redis.sock?db=0``. It needs the extra ``redis``.
      Special characters of a password are written as in ``%40`` for ``@``.

    ``&lease=10`` gives the seconds after which the transactions of a process that doesn't move any more are void;
    for Redis, ``&timeout=5`` those after which it is an error that it is away.

    Args:
        max_events: how many events to keep; the oldest are dropped first. None keeps all. A place that is there
            already keeps as many as was said when it was made.

    Returns:
        A store for `StateRegistry`. Its ``close()``, if it has one, gives up its connections and locks; that also
        happens when nobody uses it any more.

    Raises:
        StoreError: it is no such URL, or what is there can't be used.
        StoreUnavailableError: nobody answers there.
        MissingPackageError: redis is not installed.
        ValueError: *max_events* is less than 1.

    Example:
        >>> import os, tempfile
        >>> from qstate_nb import State, StateRegistry, open_store
        >>> class Signup(State):
        ...     pass
        >>> path = os.path.join(tempfile.mkdtemp(), "state.db")
        >>> registry = StateRegistry(store=open_store(f"sqlite:///{path}"))
        >>> registry.state(Signup).set("step", 1)
        >>> registry.store.close()
        >>> StateRegistry(store=open_store(f"sqlite:///{path}")).state(Signup).get("step")
        1
    """
    return _opened(_read(url), max_events)


class _Address(NamedTuple):
    """A URL, taken apart.

    Args:
        url: the whole.
        scheme: such as ``sqlite``.
        place: what is between ``://`` and the options.
        options: what follows ``?``.
    """

    url: str
    scheme: str
    place: str
    options: dict[str, str]

    def wrong(self, why: str) -> NoReturn:
        """Say what is wrong with it."""
        raise StoreError(f"can't open {short(shown(self.url), 100)}: {why}")

    def check_options(self, known: tuple[str, ...]) -> None:
        """Refuse options that are not known."""
        for name in self.options:
            if name not in known:
                which = f"there are {', '.join(known)}" if known else f"{self.scheme}:// has none"
                self.wrong(f"there is no option {short(name)}; {which}")

    @property
    def path(self) -> str:
        """Of the SQLite file."""
        path = unquote(self.place.removeprefix("/"))
        if not self.place.startswith("/"):
            hint = f"sqlite:///{self.place}" if self.place and "@" not in self.place else "sqlite:///state.db"
            self.wrong(f"a path follows three slashes; for a file in this folder write {hint}")
        if path in ("", ":memory:"):
            self.wrong(f"for State in memory write {MEMORY}, for a file sqlite:///state.db")
        if "\0" in path:
            self.wrong("no path has a null character in it")
        return os.path.expanduser(path)

    def seconds(self, *names: str) -> dict[str, float]:
        """The options of these names, as far as they are given."""
        found = {}
        for name in names:
            if name in self.options:
                try:
                    found[name] = float(self.options[name])
                except ValueError:
                    found[name] = 0.0
                if not 0.1 <= found[name] <= _DAY:
                    self.wrong(f"{name} is in seconds, from 0.1 to {_DAY:,}, not {short(self.options[name])}")
        return found


def _read(url: object) -> _Address:
    if not isinstance(url, str):
        raise StoreError(f"a store is opened by its URL, a text such as {_FORMS}, not by {short(url)}")
    text = url.strip()
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("memory", "sqlite", *_REDIS):
        raise _unknown(text, scheme if separator else None)
    place, _, query = rest.partition("?")
    address = _Address(text, scheme, place, {})
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        hint = "; in a password, ? is written %3F" if "@" in query else ""
        address.wrong(f"what follows ? are options, such as lease=10&durability=full{hint}")
    for name, value in pairs:
        if name in address.options:
            address.wrong(f"{short(name)} is given twice")
        address.options[name] = value
    return address


def _unknown(text: str, scheme: str | None) -> StoreError:
    """What to say of what is no URL of a store."""
    if not text:
        return StoreError(f"the URL of a store is needed: {_FORMS}")
    if scheme is not None:
        start = f"there is no store of the kind {short(scheme, 20)}; there are"
    elif re.match(r"(memory|sqlite|rediss?|unix):", text, re.IGNORECASE):
        start = f"{short(shown(text), 100)} is no URL: // follows the colon, as in"
    else:
        path = "state.db" if set(text) & set("@:?") else text
        start = f"{short(shown(text), 100)} is no URL of a store; for a file write sqlite:///{path}; all forms are"
    return StoreError(f"{start} {_FORMS}")


def _opened(address: _Address, max_events: int | None) -> MemoryStore:
    if address.scheme == "memory":
        address.check_options(())
        if address.place:
            address.wrong(f"nothing follows {MEMORY}; for a file write sqlite:///state.db")
        return MemoryStore(max_events)
    backend, promise = (_sqlite if address.scheme == "sqlite" else _redis)(address, max_events)
    backend.url = shown(address.url)
    from qstate_nb.stores.shared import SharedStore  # it takes time, and not everybody needs it

    store = SharedStore(backend)
    _promises[store] = promise
    return store


def _sqlite(address: _Address, max_events: int | None) -> tuple[Backend, str]:
    from qstate_nb.stores.sqlite import SQLiteBackend

    address.check_options(("durability", "lease"))
    path = address.path
    wanted = address.options.get("durability", "normal")
    durability: Literal["normal", "full"] = "full" if wanted == "full" else "normal"
    if durability != wanted:
        address.wrong(f"durability is normal or full, not {short(wanted)}")
    lease = address.seconds("lease")
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        address.wrong(f"there is no folder {short(folder, 200)}; make it first")
    return SQLiteBackend(path, durability=durability, max_events=max_events, **lease), _PROMISES[durability]


def _redis(address: _Address, max_events: int | None) -> tuple[Backend, str]:
    from qstate_nb.stores.redis import RedisBackend

    _check_redis(address)
    prefix = address.options.get("prefix", "qstate")
    if not prefix or set(prefix) & set("{}"):
        address.wrong(f"prefix is a text without braces, not {short(prefix)}")
    url, seconds = _without(address.url, _OURS), address.seconds("lease", "timeout")
    return RedisBackend(url, prefix=prefix, max_events=max_events, **seconds), _PROMISES["redis"]


def _check_redis(address: _Address) -> None:
    """Refuse what redis-py would pass over."""
    encode = "; special characters of a password are written like %2F for / and %40 for @"
    try:
        parts = urlsplit(address.url)
        parts.port  # noqa: B018 - raises if it is no number
    except ValueError:
        address.wrong(f"after the host comes a colon and the port, a number{encode}")
    if parts.fragment or "#" in address.url:
        address.wrong(f"# is written %23{encode}")
    if address.scheme == "unix":
        if not parts.path.strip("/"):
            address.wrong("the path of the server's socket follows, as in unix:///run/redis.sock?db=0")
    elif not re.fullmatch(r"/?\d*", parts.path):
        address.wrong(f"after the host comes a slash and the number of the database, such as /0{encode}")
    unknown = {name: value for name, value in address.options.items() if not name.startswith("ssl_")}
    address._replace(options=unknown).check_options(_REDIS_OPTIONS)
    if not address.options.get("db", "0").isdecimal():
        address.wrong(f"db is a number, not {short(address.options['db'])}")


def _without(url: str, names: tuple[str, ...]) -> str:
    base, _, query = url.partition("?")
    rest = "&".join(part for part in query.split("&") if part and part.partition("=")[0] not in names)
    return f"{base}?{rest}" if rest else base


def shown(url: str) -> str:
    """A URL, or what was to be one, without its password.

    Example:
        >>> shown("redis://me:secret@host:6379/0"), shown("redis://host?password=secret"), shown("redis://:a/b?c#d@e")
        ('redis://me:***@host:6379/0', 'redis://host?password=***', 'redis://:***@e')
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    if rest.startswith("/"):  # a path: nobody logs in
        return scheme + separator + _SECRET.sub(r"\1***", rest)
    login, at, place = rest.rpartition("@")
    if at:
        user, colon, _ = login.partition(":")
        if not re.fullmatch(r"[\w.%~+-]*", user):  # no name, so it may be a part of a password
            user = "***"
        return scheme + separator + user + (":***" if colon else "") + at + _SECRET.sub(r"\1***", place)
    host, colon, port = rest.partition(":")
    if colon and not host.startswith("[") and not re.match(r"\d*(?:[/?#]|$)", port):  # a login without a host
        return f"{scheme}{separator}{host}:***"
    return scheme + separator + _SECRET.sub(r"\1***", rest)


_PROMISES = {
    "memory": "it is in the memory of this process, and ends with it",
    "normal": "what is committed survives the end of any process; a power cut may take the last moments "
    "(with ?durability=full, nothing)",
    "full": "what is committed survives the end of any process, and a power cut",
    "redis": "what is committed survives the end of any process; how much a crash of the server may take, its "
    "settings appendonly and appendfsync say",
}
_promises: weakref.WeakKeyDictionary[MemoryStore, str] = weakref.WeakKeyDictionary()


def promise(store: MemoryStore) -> str:
    """How safe what is committed in a store is, in a sentence.

    Example:
        >>> promise(open_store("memory://"))
        'it is in the memory of this process, and ends with it'
    """
    return _promises.get(store, "" if store.is_shared else _PROMISES["memory"])


_lock = threading.RLock()
_open: weakref.WeakValueDictionary[str, StateRegistry] = weakref.WeakValueDictionary()
_memory: StateRegistry | None = None
_default: StateRegistry | None = None
_wanted: str | None = None  # the URL that was given to `use_store`


def registry_of(store: str | MemoryStore) -> StateRegistry:
    """The registry of a store: the same one for the same store, or the same URL, as long as somebody has it.

    That of ``memory://`` is kept until the process ends.

    Raises:
        StoreError, StoreUnavailableError, MissingPackageError: as `open_store`.
    """
    global _memory
    with _lock:
        if isinstance(store, MemoryStore):
            known = [owner for owner in store.owners if isinstance(owner, StateRegistry)]
            return known[0] if known else StateRegistry(store=store)
        address = _read(store)
        if address.scheme == "memory":
            opened = _opened(address, 10_000)  # or it is refused
            _memory = _memory or StateRegistry(store=opened)
            return _memory
        place = _place(address)
        registry = _open.get(place)
        if registry is None or _is_closed(registry):
            registry = _open[place] = StateRegistry(store=_opened(address, 10_000))
        return registry


def _place(address: _Address) -> str:
    """A URL that is the same from everywhere."""
    if address.scheme != "sqlite":
        return address.url
    return f"{os.path.realpath(address.path)}?{sorted(address.options.items())}"


def _is_closed(registry: StateRegistry) -> bool:
    return registry.store.is_closed


def default_registry() -> StateRegistry:
    """The registry of every app that is not given another one: made at the first use, one a process.

    It is why State outlives the cell that makes the app: running that cell again keeps the data. It is in memory,
    or where the environment variable ``QSTATE_STORE`` says, or ``%qstate use``.

    Raises:
        StoreError, StoreUnavailableError, MissingPackageError: as `open_store`, for that variable.
    """
    global _default
    with _lock:
        if _default is None or _is_closed(_default):
            _default = registry_of(_wanted) if _wanted else _registry_of_environment()
        return _default


def _registry_of_environment() -> StateRegistry:
    url = os.environ.get(VARIABLE, "").strip()
    if not url:
        return registry_of(MEMORY)
    try:
        return registry_of(url)
    except QStateError as error:
        raise type(error)(f"the environment variable {VARIABLE}: {error}") from None


def use_store(store: str | MemoryStore) -> StateRegistry:
    """Let apps that are made from now on, and are not given another registry, have that of a store.

    ``memory://`` is the memory that they had first, with all that is in it.

    Raises:
        StoreError, StoreUnavailableError, MissingPackageError: as `open_store`. Nothing is changed then.
    """
    global _default, _wanted
    with _lock:
        _default = registry_of(store)
        _wanted = store if isinstance(store, str) else None
        return _default
