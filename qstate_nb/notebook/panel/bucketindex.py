"""Which buckets there are, and which of them changed last: kept up to date at a cost that depends on what changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from qstate_nb.core.formats import short
from qstate_nb.core.history import History
from qstate_nb.core.journal import Event
from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry

_FEW_SCOPES = 5
_FIRST_LOOK = 10_000  # events, to put the scopes in order
_LOOKED_BACK = 2_000  # events, at each further time
_SPARE = 50  # events that may come while it looks
_WIDTH = 160

Texts = dict[str, tuple[Any, str]]
"""Field → its value, and what can be found in it."""


class Group:
    """The buckets of one State class.

    Attributes:
        unscoped: the bucket without a scope, if there is one.
        scopes: the others, the one that changed last at the end.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.unscoped: StateKey | None = None
        self.scopes: dict[StateKey, None] = {}

    @property
    def is_large(self) -> bool:
        """Whether it has more scopes than can be shown one by one."""
        return len(self.scopes) > _FEW_SCOPES

    @property
    def keys(self) -> list[StateKey]:
        """All of its buckets."""
        return [*([] if self.unscoped is None else [self.unscoped]), *self.scopes]

    def add(self, key: StateKey) -> None:
        """Know a new bucket; it counts as changed last."""
        if key.scope is None:
            self.unscoped = key
        else:
            self.scopes[key] = None

    def remove(self, key: StateKey) -> None:
        """Forget a bucket."""
        if key.scope is None:
            self.unscoped = None
        else:
            self.scopes.pop(key, None)

    def touch(self, key: StateKey) -> None:
        """Note that a bucket has changed."""
        if key in self.scopes:
            del self.scopes[key]
            self.scopes[key] = None


class Index:
    """The buckets of a registry, by State class.

    Attributes:
        groups: name → group.
        titles: each bucket, as it is written.
        newest: the last event, if there was one.
        changed: the buckets that changed since the time before; None if that is not known.
    """

    def __init__(self, registry: StateRegistry) -> None:
        self._registry = registry
        self._keys: list[StateKey] = []
        self.groups: dict[str, Group] = {}
        self.titles: dict[StateKey, str] = {}
        self.newest: Event | None = None
        self.changed: set[StateKey] | None = None
        self._is_ordered = False

    def refresh(self, *, needs_changes: bool, extra: Collection[StateKey] = ()) -> None:
        """Look at what is new.

        Args:
            needs_changes: whether `changed` is of use; to look at each event has its cost.
            extra: buckets that count as there, whether they are or not.
        """
        before, seq = self.newest, self._registry.seq
        count = seq if before is None else seq - before.seq
        most = _LOOKED_BACK if self._is_ordered else _FIRST_LOOK
        events = self._registry.history(limit=min(max(count, 0), most) + _SPARE)
        keys = self._registry.keys()  # after the events: what they changed is in it
        if extra:
            keys += set(extra).difference(keys)
        self._take(keys)
        self.newest = events[-1] if events else None
        self._is_ordered = any(group.is_large for group in self.groups.values())
        new = _after(events, before)
        self.changed = None
        if self._is_ordered or needs_changes:
            touched = self._touch(events if new is None else new)
            self.changed = None if new is None else touched

    def _take(self, keys: list[StateKey]) -> None:
        if keys == self._keys:
            return
        for key in keys:
            if key not in self.titles:
                self.titles[key] = str(key)
                self.groups.setdefault(key.name, Group(key.name)).add(key)
        if len(self.titles) > len(keys):
            for key in set(self.titles).difference(keys):
                del self.titles[key]
                self.groups[key.name].remove(key)
            self.groups = {name: group for name, group in self.groups.items() if group.keys}
        self._keys = keys

    def _touch(self, events: Iterable[Event]) -> set[StateKey]:
        touched: set[StateKey] = set()
        for event in events:
            for key in event.states:
                touched.add(key)
                group = self.groups.get(key.name)
                if group is not None and group.is_large:  # a few stay where they are
                    group.touch(key)
        return touched


def _after(events: History, before: Event | None) -> History | None:
    """Those that came after the one that was the last; None if it isn't there, as after a file was loaded."""
    if before is None or not events:
        return None
    at = before.seq - events[0].seq
    if not 0 <= at < len(events) or events[at].time != before.time:
        return None
    return events[at + 1 :]


class Search:
    """The buckets and fields in which a text occurs: in the name, the key, or the short text of the value.

    Attributes:
        hits: bucket → the fields; None if all are, as it is in the bucket's name. Empty without a text.
    """

    def __init__(self, registry: StateRegistry) -> None:
        self._registry = registry
        self.hits: dict[StateKey, list[str] | None] = {}
        self._text = ""
        self._texts: dict[StateKey, Texts] = {}

    def refresh(self, text: str, index: Index) -> None:
        """Look where the text is now; where nothing has changed, it isn't looked for again."""
        wanted = text.casefold()
        if not wanted:
            self._text, self.hits, self._texts = "", {}, {}
            return
        if wanted != self._text or index.changed is None:
            todo: Mapping[StateKey, str] = index.titles
            self.hits = {}
        else:
            fresh = [key for key in index.titles if key not in self._texts]
            todo = {key: index.titles[key] for key in [*index.changed, *fresh] if key in index.titles}
        for key in [key for key in self._texts if key not in index.titles]:
            del self._texts[key]
            self.hits.pop(key, None)
        self._text = wanted
        for key, title in todo.items():
            self._look(key, title)

    def _look(self, key: StateKey, title: str) -> None:
        self.hits.pop(key, None)
        found, self._texts[key] = matching(self._registry.peek(key), self._text, self._texts.get(key, {}))
        if self._text in title.casefold():
            self.hits[key] = None
        elif found:
            self.hits[key] = found


def matching(fields: Mapping[str, Any], text: str, known: Texts) -> tuple[list[str], Texts]:
    """The fields in whose key or value a text occurs.

    Args:
        text: without capitals.
        known: the texts that were made the time before: a value that wasn't replaced isn't made text again.

    Returns:
        The fields, and all texts.
    """
    texts: Texts = {}
    for field, value in fields.items():
        old = known.get(field)
        same = old is not None and old[0] is value
        texts[field] = old if same and old is not None else (value, f"{field}\n{short(value, _WIDTH)}".casefold())
    return [field for field, (_, whole) in texts.items() if text in whole], texts
