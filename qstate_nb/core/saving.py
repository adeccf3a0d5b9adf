"""The file of a journal: JSON Lines, one event a line.

    {"qstate_nb":"journal","version":1,"seq":2,"dropped":0}
    {"actor":1,"task":"step1","call":1}
    {"event":1,"time":1767225600.0,"op":"set","by":1,"changes":[{"state":"Signup","key":"step","after":1}]}
    {"event":2,"time":1767225601.5,"op":"clear","by":1,"changes":[{"state":"Signup","key":"step","before":1}]}
    {"label":"before payment","seq":1,"stored":{"Signup":{"step":1}}}
    {"end":6,"crc32":1234567890}

Before the events come ``stored`` lines, a bucket each, with what was stored before the first one, and ``writer``
lines with older events that wrote that. `qstate_nb.core.codec` tells how values are written. The last line has the
count of all lines and the checksum of those before it, so that a file that was cut off or changed is not taken for
a whole one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from qstate_nb.core.codec import Classes, CodecError, classes_of, decode, encode
from qstate_nb.core.fields import Declared
from qstate_nb.core.formats import short
from qstate_nb.core.journal import ABSENT, Actor, Contents, Label, Record, Revert
from qstate_nb.core.keys import StateKey
from qstate_nb.errors import LoadError, QStateError, SaveError

VERSION = 1

_SMALL = 2**62
_PLAIN = frozenset({int, float, str, bool, type(None)})

DeclaredBy = Callable[[str], Declared | None]


class Saved(msgspec.Struct, frozen=True):
    """What is saved.

    Args:
        seq: number of the last event.
        records: of the events that are kept, oldest first.
        base: what was stored before the first of them.
        writers: of fields of *base*, the older events that last wrote them, as far as they are known.
        labels: the labels.
    """

    seq: int
    records: Sequence[Record]
    base: Contents
    writers: Mapping[StateKey, Mapping[str, Record]]
    labels: Mapping[str, Label]


class _Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A line of the file."""


class _Header(_Line):
    qstate_nb: str
    version: int
    seq: int
    dropped: int


class _Actor(_Line):
    actor: int
    task: str | None = None
    call: int | None = None
    cell: int | None = None


class _Change(_Line):
    state: str
    key: str
    before: Any = msgspec.UNSET
    after: Any = msgspec.UNSET


class _Event(_Line):
    event: int
    time: float
    op: str
    by: int
    changes: list[_Change]
    refers_to: tuple[int, ...] = ()


class _Writer(_Line):
    writer: _Event
    state: str
    keys: list[str]


class _Stored(_Line):
    stored: str
    fields: dict[str, Any]


class _Label(_Line):
    label: str
    seq: int
    stored: dict[str, dict[str, Any]]


class _End(_Line):
    end: int
    crc32: int


_Lines = {cls.__struct_fields__[0]: msgspec.json.Decoder(cls) for cls in (_Actor, _Event, _Writer, _Stored, _Label)}


class _Names:
    """Of one file: bucket names, and the classes that the fields of State classes can hold."""

    def __init__(self, declared: DeclaredBy) -> None:
        self._declared = declared
        self._texts: dict[StateKey, str] = {}
        self._keys: dict[str, StateKey] = {}
        self._classes: dict[tuple[str, str], Classes] = {}

    def text(self, key: StateKey) -> str:
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = str(key)
        return text

    def key(self, text: str) -> StateKey:
        key = self._keys.get(text)
        if key is None:
            key = self._keys[text] = StateKey.parse(text)
            if str(key) != text:
                raise CodecError(f"{text!r} is no name of a State")
        return key

    def classes(self, name: str, field: str) -> Classes:
        found = self._classes.get((name, field))
        if found is None:
            declared = self._declared(name)
            types = {} if declared is None else declared.types()
            found = self._classes[name, field] = classes_of(types[field]) if field in types else {}
        return found

    def decoded(self, name: str, field: str, data: Any) -> Any:
        if type(data) in _PLAIN:
            return data
        if data is msgspec.UNSET:
            return ABSENT
        try:
            return decode(data, self.classes(name, field))
        except CodecError as error:
            hint = f"; if a class declares State {name}, use it before: app.state({name})"
            raise CodecError(f"{name}.{field}: {error}{'' if self._declared(name) else hint}") from None


def save(path: str | os.PathLike[str], saved: Saved, declared: DeclaredBy) -> None:
    """Write a file; if that fails, the one that was there before stays as it was.

    Raises:
        SaveError: a value can't be saved, or the file can't be written.
    """
    try:
        lines = [*map(msgspec.json.encode, _Writing(_Names(declared)).lines(saved)), b""]
    except UnicodeEncodeError as error:
        raise SaveError(f"can't save a name that can't be encoded: {error}") from None
    body = b"\n".join(lines)
    end = msgspec.json.encode(_End(len(lines), zlib.crc32(body)))
    try:
        target = Path(os.path.realpath(path))  # what a link leads to is replaced, not the link
        temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}")
        try:
            with open(temporary, "xb") as file:
                file.write(body + end + b"\n")
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except (OSError, ValueError) as error:
        raise SaveError(f"can't write {path}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return str(error.strerror) if isinstance(error, OSError) and error.strerror else str(error)


class _Writing:
    """Makes the lines of one file.

    Args:
        names: of the file.
    """

    def __init__(self, names: _Names) -> None:
        self._names = names
        self._actors: dict[int, int] = {}

    def lines(self, saved: Saved) -> Iterator[_Line]:
        """All but the last one."""
        yield _Header("journal", VERSION, saved.seq, saved.seq - len(saved.records))
        for name, fields in self._contents(saved.base).items():
            yield _Stored(name, fields)
        for key, writers in saved.writers.items():
            for record in {id(record): record for record in writers.values()}.values():
                yield from self._actor(record[3])
                written = [field for field, writer in writers.items() if writer is record]
                yield _Writer(self._event(record), self._names.text(key), written)
        for record in saved.records:
            yield from self._actor(record[3])
            yield self._event(record)
        for name, label in saved.labels.items():
            yield _Label(name, label.seq, self._contents(label.contents))

    def _actor(self, actor: Actor) -> Sequence[_Line]:
        """An actor's line, before the first event that refers to it; by identity, which tells calls apart."""
        if id(actor) in self._actors:
            return ()
        number = self._actors[id(actor)] = len(self._actors) + 1
        return (_Actor(number, actor.task, actor.call, actor.cell),)

    def _event(self, record: Record) -> _Event:
        encoded, text = self._encoded, self._names.text
        changes = [
            _Change(
                text(record[at]),
                record[at + 1],
                encoded(record[at], record[at + 1], record[at + 2]),
                encoded(record[at], record[at + 1], record[at + 3]),
            )
            for at in range(4, len(record), 4)
        ]
        op, refers_to = record[2] if isinstance(record[2], Revert) else (record[2], ())
        return _Event(record[0], record[1], op, self._actors[id(record[3])], changes, refers_to)

    def _contents(self, stored: Contents) -> dict[str, dict[str, Any]]:
        return {
            self._names.text(key): {field: self._encoded(key, field, value) for field, value in fields.items()}
            for key, fields in stored.items()
        }

    def _encoded(self, key: StateKey, field: str, value: Any) -> Any:
        if type(value) is int and -_SMALL < value < _SMALL:
            return value
        if value is ABSENT:
            return msgspec.UNSET
        try:
            return encode(value, self._names.classes(key.name, field))
        except CodecError as error:
            raise SaveError(f"can't save {key}.{field}: {error}") from None


def load(path: str | os.PathLike[str], declared: DeclaredBy) -> Saved:
    """Read a file.

    Raises:
        LoadError: it is damaged, of a newer version, or can't be read; the line and the reason are told.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise LoadError(f"can't read {path}: {_reason(error)}") from None
    number = 1
    try:
        lines = data.split(b"\n")
        header = _header(lines[0])
        reader = _Reader(header, _Names(declared))
        for number, line in enumerate(lines[1:-2], 2):  # noqa: B007 - for the message
            reader.read(line)
        number = max(1, len(lines) - 1)
        _check_end(lines, data)
        return reader.saved()
    except (CodecError, QStateError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LoadError(f"can't load {path}, line {number}: {error}") from None


def _header(line: bytes) -> _Header:
    found = msgspec.json.decode(line)
    if not isinstance(found, dict) or found.get("qstate_nb") != "journal":
        raise CodecError("this is no file that was saved by qstate_nb")
    if isinstance(found.get("version"), int) and found["version"] > VERSION:
        raise CodecError(
            f"the file is of version {found['version']}, and this qstate_nb reads up to {VERSION}; update it"
        )
    header = msgspec.convert(found, _Header)
    if header.version != VERSION or not 0 <= header.dropped <= header.seq:
        raise CodecError(f"version, seq and dropped can't be {header.version}, {header.seq} and {header.dropped}")
    return header


def _check_end(lines: Sequence[bytes], data: bytes) -> None:
    if len(lines) < 3 or lines[-1] or not lines[-2].startswith(b'{"end"'):
        raise CodecError("the end is missing: the file was cut off")
    end = msgspec.json.decode(lines[-2], type=_End)
    body = data[: len(data) - len(lines[-2]) - 1]
    if end.end != len(lines) - 1 or end.crc32 != zlib.crc32(body):
        raise CodecError("the checksum is wrong: the file was damaged or changed after it was saved")


class _Reader:
    """Takes the lines between the first and the last one."""

    def __init__(self, header: _Header, names: _Names) -> None:
        self._header = header
        self._names = names
        self._actors: list[Actor] = []
        self._records: list[Record] = []
        self._base: dict[StateKey, dict[str, Any]] = {}
        self._writers: dict[StateKey, dict[str, Record]] = {}
        self._labels: dict[str, Label] = {}

    def read(self, line: bytes) -> None:
        """Take one line.

        Raises:
            CodecError, msgspec.DecodeError, QStateError: it is damaged.
        """
        kind = line[2 : line.find(b'"', 2)].decode()
        if kind not in _Lines:
            raise CodecError(f"it is no line of such a file: {short(line.decode(errors='replace'))}")
        found: Any = _Lines[kind].decode(line)
        match found:
            case _Event():
                if found.event != self._header.dropped + len(self._records) + 1:
                    raise CodecError(f"event {found.event} can't come here")
                self._records.append(self._record(found))
            case _Actor():
                if found.actor != len(self._actors) + 1:
                    raise CodecError(f"actor {found.actor} can't come here")
                self._actors.append(Actor(found.task, found.call, found.cell))
            case _Stored():
                key = self._names.key(found.stored)
                self._base[key] = self._fields(key, found.fields)
            case _Writer():
                record = self._record(found.writer)
                self._writers.setdefault(self._names.key(found.state), {}).update(dict.fromkeys(found.keys, record))
            case _Label():
                keys = {self._names.key(name): fields for name, fields in found.stored.items()}
                stored = {key: self._fields(key, fields) for key, fields in keys.items()}
                self._labels[found.label] = Label(found.seq, stored)

    def _fields(self, key: StateKey, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {field: self._names.decoded(key.name, field, data) for field, data in fields.items()}

    def _record(self, event: _Event) -> Record:
        if not 0 < event.by <= len(self._actors):
            raise CodecError(f"there is no actor {event.by}")
        op: str | Revert = event.op
        if event.op in ("undo", "redo", "rewind"):
            op = Revert(event.op, event.refers_to)  # type: ignore[arg-type]
        elif event.refers_to:
            raise CodecError(f"an event {event.op!r} refers to no others")
        record: list[Any] = [event.event, event.time, op, self._actors[event.by - 1]]
        decoded = self._names.decoded
        for change in event.changes:
            key = self._names.key(change.state)
            before, after = decoded(key.name, change.key, change.before), decoded(key.name, change.key, change.after)
            record += (key, change.key, before, after)
        return tuple(record)

    def saved(self) -> Saved:
        """All that was read.

        Raises:
            CodecError: events are missing.
        """
        seq = self._header.dropped + len(self._records)
        if seq != self._header.seq:
            raise CodecError(f"events {seq + 1} to {self._header.seq} are missing")
        return Saved(seq, self._records, self._base, self._writers, self._labels)
