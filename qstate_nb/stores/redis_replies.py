"""What the scripts answer, as the types of `qstate_nb.stores.backend`, and the other way round."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from qstate_nb.stores.backend import (
    Acquired,
    Commit,
    Committed,
    Deadlocked,
    Everything,
    Held,
    Link,
    Lost,
    Raw,
    RawChange,
    RawEvent,
    RawLabel,
    Stored,
)

_pack = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode
_label = msgspec.msgpack.Decoder(RawLabel).decode
_refers_to = msgspec.json.Decoder(tuple[int, ...]).decode
_drops = msgspec.json.Decoder(tuple[str, ...]).decode


def text(value: bytes) -> str:
    """A name; what isn't UTF-8 is somebody else's, and gets a name that can be shown."""
    return value.decode(errors="replace")


def pairs(flat: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """The first and the second, the third and the fourth …"""
    items = iter(flat)
    return zip(items, items, strict=True)


def as_text(value: bytes) -> msgspec.Raw:
    """Any bytes as what MessagePack calls a text: what Redis unpacks knows no bytes."""
    return msgspec.Raw(b"\xdb" + len(value).to_bytes(4) + value)


def stored(reply: Sequence[Any]) -> Stored:
    """A bucket: version, fields with values, and the order of the fields."""
    version, flat, order = reply
    found: dict[bytes, Raw] = dict(pairs(flat))
    fields = {text(field): found.pop(field) for field in order if field in found}
    fields.update({text(field): value for field, value in found.items()})  # somebody else's
    return Stored(version, fields)


def events(entries: Iterable[tuple[bytes, list[bytes]]]) -> list[RawEvent]:
    """Events from entries of the stream. One whose first entry is gone isn't all there, and is left out."""
    found: list[RawEvent] = []
    for name, flat in entries:
        seq, _, part = name.partition(b"-")
        if part == b"0":
            found.append(_event(int(seq), flat))
        elif found:
            last = found[-1]
            found[-1] = msgspec.structs.replace(last, changes=last.changes + _changes(flat))
    return found


def _event(seq: int, flat: list[bytes]) -> RawEvent:
    head = dict(pairs(flat[:12]))  # id, time, op, actor, and maybe refers_to and drops
    refers_to, drops = head.get(b"refers_to"), head.get(b"drops")
    size = 8 + 2 * (refers_to is not None) + 2 * (drops is not None)
    return RawEvent(
        seq,
        float(head[b"time"]),
        text(head[b"op"]),
        () if refers_to is None else _refers_to(refers_to),
        head[b"actor"],
        _changes(flat[size:]),
        () if drops is None else _drops(drops),
    )


def _changes(flat: list[bytes]) -> tuple[RawChange, ...]:
    found: list[list[Any]] = []
    bucket = ""
    for key, value in pairs(flat):
        if key == b"bucket":
            bucket = text(value)
        elif key == b"field":
            found.append([bucket, text(value), None, None])
        else:
            found[-1][2 if key == b"before" else 3] = value
    return tuple(RawChange(*change) for change in found)


def labels(flat: Sequence[bytes]) -> dict[str, RawLabel]:
    """Labels, the oldest moment first."""
    found = {text(name): _label(label) for name, label in pairs(flat)}
    return dict(sorted(found.items(), key=lambda item: (item[1].seq, item[0])))


def everything(reply: Sequence[Any]) -> Everything:
    """What the script ``load`` answers."""
    epoch, seq, _, entries, flat, *rest = reply
    kept = events(entries)
    first = kept[0].seq if kept else seq + 1
    buckets: dict[str, Mapping[str, Raw]] = {}
    writers: dict[str, dict[str, RawEvent]] = {}
    items = iter(rest)
    for name, bucket, written in zip(items, items, items, strict=True):
        fields = buckets[text(name)] = stored(bucket).fields
        older = _writers(text(name), fields, written, first)
        if older:
            writers[text(name)] = older
    return Everything(epoch.decode(), seq, kept, buckets, writers, labels(flat))


def _writers(bucket: str, fields: Mapping[str, Raw], flat: Sequence[bytes], first: int) -> dict[str, RawEvent]:
    """The events before *first* that last wrote these fields, each as far as it is still known."""
    found = {}
    for name, packed in pairs(flat):
        field = text(name)
        seq, time, refers_to, actor, op = packed.split(b"\n", 4)
        if int(seq) < first and field in fields:
            change = RawChange(bucket, field, None, fields[field])
            found[field] = RawEvent(int(seq), float(time), text(op), _refers_to(refers_to), actor, (change,))
    return found


def replacing(new: Everything) -> tuple[bytes, bytes, bytes, bytes]:
    """What the script ``replace`` is given: the number of the last event, events, buckets, labels."""
    writers = {(b, f): event for b, fields in new.writers.items() for f, event in fields.items()}
    writers |= {(change.bucket, change.field): event for event in new.events for change in event.changes}
    versions: dict[str, int] = {}
    for event in sorted((*writers.values(), *new.events), key=lambda event: event.seq):
        versions |= {change.bucket: event.seq for change in event.changes}
    buckets = [
        (bucket, versions.get(bucket, 0), [_filled(f, v, writers.get((bucket, f))) for f, v in fields.items()])
        for bucket, fields in new.buckets.items()
    ]
    journal = [_journalled(event) for event in new.events]
    named = [(name, as_text(_pack(label))) for name, label in new.labels.items()]
    return b"%d" % new.seq, _pack(journal), _pack(buckets), _pack(named)


def _filled(field: str, value: Raw, writer: RawEvent | None) -> tuple[object, ...]:
    if writer is None:
        return field, as_text(value)
    head = (b"%d" % writer.seq, b"%.6f" % writer.time, _json(writer.refers_to), writer.actor, writer.op.encode())
    return field, as_text(value), as_text(b"\n".join(head))


def _journalled(event: RawEvent) -> tuple[object, ...]:
    return (
        event.seq,
        f"{event.time:.6f}",
        event.op,
        event.refers_to,
        as_text(event.actor),
        [_changed(change.bucket, change.field, change.after) for change in event.changes],
        [False if change.before is None else as_text(change.before) for change in event.changes],
        event.drops,
    )


def _changed(bucket: str, field: str, after: Raw | None) -> tuple[object, ...]:
    return (bucket, field) if after is None else (bucket, field, as_text(after))


def request(commit: Commit, versions: Mapping[str, int], last: int | None) -> bytes:
    """What the script ``commit`` is given of one, with other versions and last event."""
    return _pack(
        {
            "id": commit.id,
            "op": commit.op,
            "actor": as_text(commit.actor),
            "changes": [_changed(*change) for change in commit.changes],
            "refers_to": commit.refers_to,
            "drops": commit.drops,
            "versions": versions,
            "fences": commit.fences,
            "last": last,
            "expires": list(commit.expires.items()),
        }
    )


def names(commit: Commit) -> list[str]:
    """The buckets that a commit is about."""
    found = {change[0]: None for change in commit.changes}
    for more in (commit.versions, commit.drops, commit.fences, commit.expires):
        if more:
            found.update(dict.fromkeys(more))
    return list(found)


def refused(answer: Sequence[Any]) -> Held | Lost:
    """Why a commit, or locks, can't be had."""
    return Lost(text(answer[1])) if answer[0] == b"lost" else Held(text(answer[1]), text(answer[2]))


def committed(answer: Sequence[Any]) -> Committed:
    """A commit that is done: its number, time, and what was there before."""
    _, seq, time, *befores = answer
    return Committed(seq, float(time), tuple(befores)) if seq else Committed(None)


def recovered(entries: Sequence[Any]) -> Committed:
    """A commit that was found in the journal."""
    (event,) = events(entries)
    return Committed(event.seq, event.time, tuple(change.before for change in event.changes))


def last_id(entries: Sequence[Any]) -> bytes:
    """The id of the commit of the last event."""
    for name, flat in reversed(entries):
        if name.endswith(b"-0"):
            return bytes(flat[1])
    return b""


def acquired(answer: Sequence[Any]) -> Acquired:
    """Locks that were taken."""
    items = iter(answer[4:])
    found = {
        text(name): (int(fence), stored(bucket)) for name, fence, bucket in zip(items, items, items, strict=True)
    }
    return Acquired({name: fence for name, (fence, _) in found.items()}, {name: b for name, (_, b) in found.items()})


def deadlocked(answer: Sequence[Any], who: str, held: Sequence[str]) -> Deadlocked:
    """Who waits for each other."""
    _, wants, path = answer
    others = [Link(text(name), tuple(map(text, holds)), text(wanted)) for name, wanted, holds in path]
    return Deadlocked([Link(who, tuple(held), text(wants)), *others])
