"""What shared stores keep: values, and who did it, as JSON; `qstate_nb.core.codec` tells how."""

from __future__ import annotations

import itertools
import os
import socket
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from qstate_nb.core.codec import Classes, CodecError, classes_of, decode, encode
from qstate_nb.core.fields import Declared
from qstate_nb.core.journal import ABSENT, Actor
from qstate_nb.core.keys import StateKey
from qstate_nb.errors import StateKeyError, StateValueError, UnreadableValueError
from qstate_nb.stores.backend import Raw

_SMALL = 2**62
_PLAIN = frozenset({int, str, float, bool, type(None)})
"""Types whose values are never changed, and are read as they were written."""

_to_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode


class Unreadable:
    """Stands for a stored value that can't be read, where all values are shown.

    Args:
        raw: what is stored.
        reason: why it can't be read.
    """

    __slots__ = ("raw", "reason")

    def __init__(self, raw: Raw, reason: str) -> None:
        self.raw = raw
        self.reason = reason

    def __repr__(self) -> str:
        return f"<unreadable: {self.reason}>"


class Values:
    """Writes and reads the values of State fields.

    Args:
        declared: gives the fields that the State class of a name declares: the classes of their values are known.
    """

    def __init__(self, declared: Callable[[str], Declared | None]) -> None:
        self._declared = declared
        self._classes: dict[tuple[str, str], tuple[Declared, Classes]] = {}

    def encode(self, key: StateKey, field: str, value: Any) -> Raw:
        """A value as JSON.

        Raises:
            StateValueError: it, or a part of it, is of a type that can't be stored.
            StateKeyError: the field's name can't be encoded.
        """
        kind = type(value)
        if kind is int and -_SMALL < value < _SMALL:
            return b"%d" % value
        if kind is Unreadable:  # an undo brings it back
            return value.raw  # type: ignore[no-any-return]
        try:
            if (kind is str and value.isascii()) or kind is bool or value is None:
                return _to_json(value)
            return _to_json(encode(value, self._classes_of(key.name, field)))
        except CodecError as error:
            raise StateValueError(f"{key}.{field} can't be stored: {error}") from None

    def decode(self, key: StateKey, field: str, raw: Raw) -> Any:
        """The value that was written so.

        Raises:
            UnreadableValueError: nothing is written so, or it is of a class that is not known.
        """
        try:
            data = _from_json(raw)
            if type(data) in _PLAIN:
                return data
            return decode(data, self._classes_of(key.name, field))
        except (CodecError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            known = "" if self._declared(key.name) else f"; if a class declares State {key.name}, use it before"
            raise UnreadableValueError(
                f"{key}.{field} can't be read: {error}{known}; set or delete it to repair it"
            ) from None

    def shown(self, key: StateKey, field: str, raw: Raw | None) -> Any:
        """The value that was written so, to be shown: `Unreadable` if nothing is, `ABSENT` if there is nothing."""
        if raw is None:
            return ABSENT
        try:
            return self.decode(key, field, raw)
        except UnreadableValueError as error:
            return Unreadable(raw, str(error))

    def _classes_of(self, name: str, field: str) -> Classes:
        declared = self._declared(name)
        if declared is None:
            return {}
        known = self._classes.get((name, field))
        if known is None or known[0] is not declared:
            types = declared.types()
            known = declared, classes_of(types[field]) if field in types else {}
            self._classes[name, field] = known
        return known[1]


def check_field(key: StateKey, field: str) -> None:
    """Refuse a name that can't be stored.

    Raises:
        StateKeyError: it has half of a surrogate pair.
    """
    try:
        field.encode()
    except UnicodeEncodeError:
        raise StateKeyError(f"{field!r} can't be stored as a key of {key}: it can't be encoded") from None


class RawFields:
    """The fields of a bucket, each read when it is needed.

    Args:
        raw: field → value as JSON, in the order in which they were first set.
    """

    __slots__ = ("_decoded", "key", "raw", "values")

    def __init__(self, values: Values, key: StateKey, raw: dict[str, Raw]) -> None:
        self.values = values
        self.key = key
        self.raw = raw
        self._decoded: dict[str, Any] = {}

    def get(self, key: str, default: Any, /) -> Any:
        """The value of *key*, or *default*.

        Raises:
            UnreadableValueError: it can't be read.
        """
        decoded = self._decoded
        if key not in decoded:
            if key not in self.raw:
                return default
            decoded[key] = self.values.decode(self.key, key, self.raw[key])
        return decoded[key]

    def __contains__(self, key: object, /) -> bool:
        return key in self.raw

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def copy(self) -> dict[str, Any]:
        """All fields, in the order in which they were first set.

        Raises:
            UnreadableValueError: one can't be read.
        """
        return {key: self.get(key, None) for key in self.raw}

    def write(self, field: str, raw: Raw | None, value: Any) -> None:
        """Note that a field has another value now, or with None for *raw*, that it is not there any more."""
        if raw is None:
            self.raw.pop(field, None)
        else:
            self.raw[field] = raw
        if raw is not None and type(value) in _PLAIN:
            self._decoded[field] = value
        else:
            self._decoded.pop(field, None)


_tokens: set[str] = set()  # of this process: also of stores that it has closed
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tokens.clear)


class Actors:
    """Writes and reads who did it. A call has one `Actor` object here, also if it ran in another process.

    Args:
        token: tells this process's use of the store apart from all others.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        _tokens.add(token)
        self.host, self.process = socket.gethostname(), os.getpid()
        self._numbers = itertools.count(1)
        self._written: dict[int, tuple[weakref.ref[Actor], Raw]] = {}
        self._actors: weakref.WeakValueDictionary[Raw, Actor] = weakref.WeakValueDictionary()

    def encode(self, actor: Actor) -> Raw:
        """An actor as JSON, with a number that tells it apart from others that are equal."""
        known = self._written.get(id(actor))
        if known is not None and known[0]() is actor:
            return known[1]
        fields = {name: value for name, value in msgspec.structs.asdict(actor).items() if value is not None}
        where = {"host": self.host, "process": self.process}
        raw = _to_json({**where, **fields, "id": f"{self._token}.{next(self._numbers)}"})
        place = id(actor)
        self._written[place] = weakref.ref(actor, lambda _: self._written.pop(place, None)), raw
        self._actors[raw] = actor
        return raw

    def decode(self, raw: Raw) -> Actor:
        """The actor that was written so; one that can't be read is called that."""
        actor = self._actors.get(raw)
        if actor is None:
            try:
                fields: Mapping[str, Any] = _from_json(raw)
                actor = msgspec.convert({name: fields[name] for name in fields if name != "id"}, Actor)
                if str(fields.get("id", "")).partition(".")[0] in _tokens:
                    actor = Actor(actor.task, actor.call, actor.cell)
            except (msgspec.MsgspecError, AttributeError, TypeError, UnicodeDecodeError):
                actor = Actor("unreadable")
            self._actors[raw] = actor
        return actor
