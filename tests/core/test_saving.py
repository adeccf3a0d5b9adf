"""Files of a journal: what is loaded is what was saved, and a file that isn't whole is never taken for one."""

from __future__ import annotations

import enum
import os
import re
import stat
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstate_nb import State
from qstate_nb.core.fields import Declared
from qstate_nb.core.journal import ABSENT, Actor, Label, Record, Revert
from qstate_nb.core.keys import StateKey
from qstate_nb.core.saving import Saved, load, save
from qstate_nb.errors import LoadError, SaveError


class Colour(enum.Enum):
    RED = 1


@dataclass
class Phone:
    number: str


class Point(msgspec.Struct):
    x: int


class Signup(State):
    colour: Colour | None = None
    phones: list[Phone]
    point: Point


def declared(name: str) -> Declared | None:
    return Signup.declared if name == "Signup" else None


def undeclared(name: str) -> Declared | None:
    return None


KEY, ORDER = StateKey("Signup", 42), StateKey("Order", "an na")
FIRST, SECOND, USER = Actor("step1", 3, cell=7), Actor("step1", 3, cell=7), Actor()


def full() -> Saved:
    """Something of everything; events 1 to 3 were dropped."""
    old: Record = (2, 0.1, "update", SECOND, KEY, "step", ABSENT, 1, KEY, "tags", ABSENT, {"a"})
    records: list[Record] = [
        (4, 1767225600.123456, "set", FIRST, KEY, "step", 1, 2),
        (5, 1767225601.0, "transaction", SECOND, KEY, "colour", ABSENT, Colour.RED, ORDER, "step", (1,), None),
        (6, 1767225602.5, Revert("undo", (5, 4)), USER, KEY, "step", 2, 1, KEY, "colour", Colour.RED, ABSENT),
        (7, 1767225603.5, "set", USER, KEY, "phones", ABSENT, [Phone("1")], KEY, "point", ABSENT, Point(2)),
        (8, 1767225604.5, Revert("rewind", (0,)), FIRST),
    ]
    base: dict[StateKey, dict[str, Any]] = {KEY: {"step": 1, "tags": {"a"}, "$x": -0.0}, ORDER: {"step": (1,)}}
    labels = {"before": Label(2, {KEY: {"step": 1}}), "é": Label(8, {}), "$": Label(0, {ORDER: {"step": b"1"}})}
    return Saved(8, records, base, {KEY: {"step": old, "tags": old}}, labels)


def described(saved: Saved) -> Any:
    """All that is in it, with types (in repr), and the actors by who is who."""
    actors: dict[int, int] = {}

    def record(found: Record) -> Any:
        number = actors.setdefault(id(found[3]), len(actors))
        return [(type(part), repr(part)) for part in found] + [number]

    def contents(stored: Any) -> Any:
        return {key: [(field, repr(value)) for field, value in fields.items()] for key, fields in stored.items()}

    writers = {key: {field: record(old) for field, old in of.items()} for key, of in saved.writers.items()}
    labels = {name: (label.seq, contents(label.contents)) for name, label in saved.labels.items()}
    return saved.seq, writers, [record(found) for found in saved.records], contents(saved.base), labels


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.jsonl"


@pytest.fixture
def written(path: Path) -> bytes:
    save(path, full(), declared)
    return path.read_bytes()


def whole(lines: list[bytes]) -> bytes:
    """A file of these lines with an end that fits, to see that other checks than the checksum work."""
    body = b"".join(line + b"\n" for line in lines)
    return body + msgspec.json.encode({"end": len(lines) + 1, "crc32": zlib.crc32(body)}) + b"\n"


def refusal(path: Path, data: bytes, of: Callable[[str], Declared | None] = declared) -> str:
    path.write_bytes(data)
    with pytest.raises(LoadError) as caught:
        load(path, of)
    return str(caught.value)


def test_what_is_loaded_is_what_was_saved(path: Path, written: bytes) -> None:
    loaded = load(path, declared)
    assert described(loaded) == described(full())
    assert written.endswith(b"\n")
    save(path, loaded, declared)
    assert path.read_bytes() == written


def test_equal_actors_of_two_calls_stay_two_and_one_stays_one(path: Path, written: bytes) -> None:
    records = load(path, declared).records
    assert records[0][3] is records[4][3]
    assert records[0][3] == records[1][3]
    assert records[0][3] is not records[1][3]


def test_a_file_shares_bucket_names_and_knows_absent(path: Path, written: bytes) -> None:
    loaded = load(path, declared)
    assert loaded.records[1][6] is ABSENT
    assert loaded.records[0][4] is loaded.records[1][4] is next(iter(loaded.base))


def test_nothing_saved_is_nothing_loaded(path: Path) -> None:
    save(path, Saved(0, [], {}, {}, {}), undeclared)
    assert described(load(path, undeclared)) == (0, {}, [], {}, {})


@given(st.lists(st.floats(allow_nan=False) | st.integers() | st.text(st.characters(), max_size=3) | st.none()))
def test_a_value_of_an_event_comes_back(values: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        records = [(n, 0.5, "set", USER, KEY, "a", ABSENT, value) for n, value in enumerate(values, 1)]
        save(path, Saved(len(values), records, {}, {}, {}), declared)
        assert described(load(path, declared))[2] == described(Saved(0, records, {}, {}, {}))[2]


def test_a_file_that_was_cut_off_anywhere_is_refused(path: Path, written: bytes) -> None:
    for length in range(len(written)):
        told = refusal(path, written[:length])
        assert re.search(r"line \d+: .{5,}", told), (length, told)


def test_a_file_with_more_after_its_end_is_refused(path: Path, written: bytes) -> None:
    for more in (b"\n", b" ", b"{}\n", written):
        refusal(path, written + more)


def test_a_byte_that_was_changed_anywhere_is_told(path: Path, written: bytes) -> None:
    for at in range(len(written)):
        for bit in (1, 4, 128):
            refusal(path, written[:at] + bytes([written[at] ^ bit]) + written[at + 1 :])


def test_a_line_that_was_deleted_doubled_or_swapped_is_told(path: Path, written: bytes) -> None:
    lines = written.splitlines(keepends=True)
    for at in range(len(lines)):
        refusal(path, b"".join(lines[:at] + lines[at + 1 :]))
        refusal(path, b"".join(lines[: at + 1] + lines[at:]))
        if at:
            refusal(path, b"".join([*lines[: at - 1], lines[at], lines[at - 1], *lines[at + 1 :]]))


def test_events_and_actors_that_are_missing_doubled_or_swapped_are_told_with_a_right_checksum(
    path: Path, written: bytes
) -> None:
    lines = written.splitlines()[:-1]
    assert whole(lines) == written
    for at, line in enumerate(lines):
        if line.startswith((b'{"event"', b'{"actor"', b'{"qstate_nb"')):
            assert "line" in refusal(path, whole(lines[:at] + lines[at + 1 :]))
            assert "line" in refusal(path, whole(lines[: at + 1] + lines[at:]))
        if line.startswith(b'{"event"') and lines[at - 1].startswith(b'{"event"'):
            assert f"line {at}:" in refusal(path, whole([*lines[: at - 1], line, lines[at - 1], *lines[at + 1 :]]))


WRONG: tuple[Any, ...] = (None, -1, 1.5, "x", [], [1], {}, {"$nothing": 1}, True)


def test_a_wrong_type_anywhere_is_told_with_its_line(path: Path, written: bytes) -> None:
    """Values may be anything; whatever is named here may not."""
    lines = written.splitlines()[:-1]
    tried = 0
    for at, line in enumerate(lines):
        found = msgspec.json.decode(line)
        for key in set(found) & {
            "seq",
            "dropped",
            "version",
            "actor",
            "event",
            "time",
            "by",
            "changes",
            "stored",
            "label",
        }:
            for wrong in WRONG:
                if type(wrong) is type(found[key]) or (key == "time" and type(wrong) in (int, float)):
                    continue
                if key == "changes" and wrong == []:
                    continue
                told = refusal(
                    path, whole([*lines[:at], msgspec.json.encode(found | {key: wrong}), *lines[at + 1 :]])
                )
                assert f"line {at + 1}:" in told, (key, wrong, told)
                tried += 1
        told = refusal(path, whole([*lines[:at], msgspec.json.encode(found | {"newer": 1}), *lines[at + 1 :]]))
        assert f"line {at + 1}:" in told
        assert "newer" in told
    assert tried > 100


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *((b'"by":1', b'"by":0'), (b'"by":1', b'"by":-1'), (b'"by":1', b'"by":99'), (b'"event":4', b'"event":-4')),
        *((b"Signup[42]", b"Signup['an']"), (b"Signup[42]", b"Signup[42"), (b"Signup[42]", b"Sign up")),
        *((b'"seq":8,"dropped"', b'"seq":9,"dropped"'), (b'"dropped":3', b'"dropped":-1'), (b'"undo"', b'"set"')),
    ],
)
def test_a_number_or_name_that_can_not_be_is_told_with_a_right_checksum(
    path: Path, written: bytes, old: bytes, new: bytes
) -> None:
    assert old in written
    lines = written.replace(old, new).splitlines()[:-1]
    assert re.search(r"line \d+: .{5,}", refusal(path, whole(lines)))


def test_a_newer_version_is_told_first(path: Path, written: bytes) -> None:
    told = refusal(path, written.replace(b'"version":1', b'"version":2').replace(b'"event"', b'"other"'))
    assert "line 1" in told
    assert "version 2" in told


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\n\n\n", b"[]\n", b"null\n", b"\xff\n", b"{}\n", b"[" * 100_000 + b"\n"]
)
def test_another_file_is_no_saved_one(path: Path, data: bytes) -> None:
    assert "line 1:" in refusal(path, data)


def test_a_class_that_is_not_known_yet_is_named_with_what_to_do(path: Path, written: bytes) -> None:
    told = refusal(path, written, undeclared)
    assert "Colour" in told
    assert "app.state(Signup)" in told


@pytest.mark.parametrize("place", ["event", "base", "label", "writer"])
def test_a_value_that_can_not_be_saved_is_named_and_the_old_file_stays(
    path: Path, written: bytes, place: str
) -> None:
    saved = full()
    bad: Record = (9, 0.5, "set", USER, KEY, "tags", ABSENT, [object()])
    label = {"x": Label(1, {KEY: {"tags": object()}})}
    saved = {
        "event": lambda: msgspec.structs.replace(saved, seq=9, records=[*saved.records, bad]),
        "base": lambda: msgspec.structs.replace(saved, base={KEY: {"tags": object()}}),
        "label": lambda: msgspec.structs.replace(saved, labels=label),
        "writer": lambda: msgspec.structs.replace(saved, writers={KEY: {"tags": (3, *bad[1:])}}),
    }[place]()
    with pytest.raises(SaveError, match=r"Signup\[42\]\.tags.*object") as caught:
        save(path, saved, declared)
    assert "can't" in str(caught.value)
    assert path.read_bytes() == written
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("field", ["\ud800", "$set", "", "a\nb", "\x00"])
def test_a_field_of_any_name_is_saved_or_refused_with_a_save_error(path: Path, field: str) -> None:
    records: list[Record] = [(1, 0.5, "set", USER, KEY, field, ABSENT, 1)]
    saved = Saved(1, records, {KEY: {field: 2}}, {}, {field: Label(0, {KEY: {field: 3}})})
    try:
        save(path, saved, declared)
    except SaveError:
        assert field == "\ud800"
        assert not os.listdir(path.parent)
    else:
        assert described(load(path, declared)) == described(saved)


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    path: Path, written: bytes, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises((SaveError, KeyboardInterrupt)) as caught:
        save(path, Saved(0, [], {}, {}, {}), declared)
    assert isinstance(caught.value, KeyboardInterrupt) or "No space left" in str(caught.value)
    assert path.read_bytes() == written
    assert os.listdir(path.parent) == [path.name]


def test_files_that_can_not_be_used_are_told_with_the_reason(tmp_path: Path) -> None:
    empty = Saved(0, [], {}, {}, {})
    for path in (tmp_path, tmp_path / "none" / "x", tmp_path / "a\0b"):
        with pytest.raises(SaveError, match="can't write"):
            save(path, empty, declared)
        with pytest.raises(LoadError, match="can't read"):
            load(path, declared)
    with pytest.raises(LoadError, match="No such file"):
        load(str(tmp_path / "none"), declared)
    assert not os.listdir(tmp_path)


def test_a_file_keeps_its_permissions_and_a_link_its_target(tmp_path: Path, path: Path, written: bytes) -> None:
    path.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(path)
    save(link, Saved(0, [], {}, {}, {}), declared)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert path.read_bytes() != written
