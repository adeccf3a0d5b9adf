"""What is shared, as small numbers: places, their contents, and stores, the contents of all places together.

A search meets the same contents again and again; numbers are compared and hashed at the least cost.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from qstate_nb.core.fields import Declared
from qstate_nb.core.journal import ABSENT
from qstate_nb.core.keys import StateKey
from qstate_nb.core.values import copy_value
from qstate_nb.races.canonical import canonical
from qstate_nb.races.primitives import Primitive


class Interned:
    """Numbers for keys, from 0, each with a value that has that key."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self.keys: list[Hashable] = []
        self.values: list[Any] = []

    def number(self, key: Hashable, value: Any) -> int:
        """The number of a key; *value* is kept if it is new."""
        number = self._numbers.setdefault(key, len(self.values))
        if number == len(self.values):
            self.values.append(value)
            self.keys.append(key)
        return number

    def __len__(self) -> int:
        return len(self.values)


class Contents:
    """All places and what was ever in them.

    A place is a bucket's key, whose content is a dict of fields in alphabetical order, or a `Primitive`, whose
    content is a tuple. A store is the sorted tuple of (place, content) numbers that are not as in the beginning.

    Args:
        initial: fields of buckets in the beginning.
    """

    def __init__(self, initial: Mapping[StateKey, Mapping[str, Any]]) -> None:
        self._initial = {key: copy_value(dict(sorted(fields.items()))) for key, fields in initial.items()}
        self._places = Interned()
        self._contents = Interned()
        self._stores = Interned()
        self._first: list[int] = []  # place → its content in the beginning
        self._with: dict[tuple[int, int, int], int] = {}
        self.declared: dict[str, Declared] = {}  # what State classes declare, by name
        self.outcomes = Interned()  # of ops: results, errors
        for key in self._initial:
            self.place(key)
        self.start = self._stores.number((), {})

    def place(self, place: StateKey | Primitive) -> int:
        """The number of a place."""
        number = self._places.number(place, place)
        if number == len(self._first):
            content = place.content if isinstance(place, Primitive) else self._initial.get(place, {})
            self._first.append(self.content_number(content))
        return number

    def place_of(self, number: int) -> StateKey | Primitive:
        """The place of that number."""
        found: StateKey | Primitive = self._places.values[number]
        return found

    @property
    def places(self) -> list[StateKey | Primitive]:
        """All places, by number."""
        return self._places.values

    def content_number(self, content: Any) -> int:
        """The number of a content."""
        return self._contents.number(canonical(content), content)

    def content(self, number: int) -> Any:
        """The content of that number: not to be changed."""
        return self._contents.values[number]

    def at(self, store: int, place: int) -> int:
        """The number of what is in a place of a store."""
        found: int | None = self._stores.values[store].get(place)
        return self._first[place] if found is None else found

    def with_content(self, store: int, place: int, content: int) -> int:
        """The store with other content in one place."""
        key = (store, place, content)
        known = self._with.get(key)
        if known is None:
            changed: dict[int, int] = {**self._stores.values[store], place: content}
            if content == self._first[place]:
                del changed[place]
            known = self._with[key] = self._stores.number(tuple(sorted(changed.items())), changed)
        return known

    def changed(self, content: int, changes: Iterable[tuple[str, Any]]) -> int:
        """The number of a bucket's content after changes."""
        fields = {**self.content(content)}
        fields.update(changes)
        return self.content_number(dict(sorted((k, v) for k, v in fields.items() if v is not ABSENT)))

    def fields(self, store: int, key: StateKey) -> dict[str, Any]:
        """The fields of a bucket in a store: not to be changed."""
        found: dict[str, Any] = self.content(self.at(store, self.place(key)))
        return found

    def buckets(self, store: int) -> list[tuple[StateKey, dict[str, Any]]]:
        """All buckets in a store, in order, with their fields: not to be changed."""
        keys = [place for place in self.places if isinstance(place, StateKey)]
        return [(key, self.fields(store, key)) for key in sorted(keys, key=lambda key: key.order)]
