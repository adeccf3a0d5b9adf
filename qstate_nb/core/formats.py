"""Values as short text that is the same on every run and costs little, however large the value is."""

from __future__ import annotations

import dataclasses
import re
from collections import deque
from collections.abc import Callable, Collection
from itertools import islice
from typing import Any

from qstate_nb.core.values import is_by_reference

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_LEVELS = 5
_ITEMS = 30
_SORTED_ITEMS = 1_000
_PARTS_LOOKED_AT = 1_000
BY_REFERENCE = " (by reference)"
_NUMBERS = {int, float, bool}


class _Short:
    """As `reprlib.Repr`, with other choices: dicts keep their order, sets get one, and subclasses are shown as such.

    It knows dataclasses and named tuples, shows no addresses, and survives objects whose methods raise.

    Args:
        width: characters of a text or number, of which the middle is left out.
    """

    def __init__(self, width: int) -> None:
        self._width = max(width, 10)

    def show(self, value: Any, level: int = _LEVELS) -> str:
        """The text of a value; *level* is how many more levels of nesting are shown."""
        try:
            return self._show(value, level)
        except Exception:  # a user's class can do anything
            return f"<{type(value).__name__} object, whose repr fails>"

    def _show(self, value: Any, level: int) -> str:
        cls = type(value)  # not its __class__, which a lazy object may have to look up
        if issubclass(cls, dict):
            return _called(cls, dict, f"{{{self._dict(value, level)}}}")
        if dataclasses.is_dataclass(cls) and _is_generated(cls.__repr__):
            named = [(f.name, getattr(value, f.name, None)) for f in dataclasses.fields(cls) if f.repr]
            return f"{cls.__name__}({self._named(named, level)})"
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return f"{cls.__name__}({self._named(list(zip(cls._fields, value, strict=True)), level)})"
        for base, show in _CONTAINERS.items():
            if issubclass(cls, base):
                return _called(cls, base, show(self, value, level))
        for base, show_scalar in _SCALARS.items():
            if issubclass(cls, base) and getattr(cls, "__repr__", None) is base.__repr__:
                return show_scalar(self, value)
        return _cut(one_line(stable(repr(value))), self._width)

    def _listed(self, values: Collection[Any], level: int, show: Callable[[Any], str]) -> str:
        if level <= 0:
            return "..." if values else ""
        more = ["..."] if len(values) > _ITEMS else []
        return ", ".join([*map(show, islice(values, _ITEMS)), *more])

    def _items(self, values: Collection[Any], level: int) -> str:
        return self._listed(values, level, lambda item: self.show(item, level - 1))

    def _dict(self, value: dict[Any, Any], level: int) -> str:
        return self._listed(
            value.items(), level, lambda item: f"{self.show(item[0], level - 1)}: {self.show(item[1], level - 1)}"
        )

    def _named(self, fields: Collection[tuple[str, Any]], level: int) -> str:
        return self._listed(fields, level, lambda field: f"{field[0]}={self.show(field[1], level - 1)}")

    def _tuple(self, value: tuple[Any, ...], level: int) -> str:
        return f"({self._items(value, level)}{',' if len(value) == 1 else ''})"

    def _set(self, value: Collection[Any], level: int) -> str:
        if len(value) > _SORTED_ITEMS:
            return f"<set of {len(value):,} items>"
        if set(map(type, value)) <= _NUMBERS:
            return f"{{{self._items(sorted(value), level)}}}"
        texts = sorted(self.show(item, level - 1) for item in value)
        return f"{{{self._listed(texts, level, str)}}}"

    def _text(self, value: str) -> str:
        text = repr(value[: self._width])
        if len(text) > self._width:
            text = repr(value[: self._width // 2] + value[-(self._width // 2) :])
        return _cut_middle(text, self._width)

    def _bytes(self, value: bytes | bytearray) -> str:
        return _cut(repr(value[: self._width]), self._width)

    def _int(self, value: int) -> str:
        if value.bit_length() > min(4 * self._width, 2_000):  # Python refuses to print very long ones
            return f"<int of {value.bit_length()} bits>"
        return _cut_middle(repr(value), self._width)


# The subclasses of a container are shown by their items; those of a scalar only if they have no repr of their own.
_CONTAINERS: dict[type, Callable[[_Short, Any, int], str]] = {
    list: lambda short, value, level: f"[{short._items(value, level)}]",
    deque: lambda short, value, level: f"deque([{short._items(value, level)}])",
    tuple: _Short._tuple,
    set: lambda short, value, level: short._set(value, level) if value else "set()",
    frozenset: lambda short, value, level: f"frozenset({short._set(value, level) if value else ''})",
}
_SCALARS: dict[type, Callable[[_Short, Any], str]] = {
    str: _Short._text,
    int: _Short._int,
    bytes: _Short._bytes,
    bytearray: _Short._bytes,
}


def _called(cls: type, base: type, text: str) -> str:
    return text if cls is base else f"{cls.__name__}({text})"


def _is_generated(method: Any) -> bool:
    """Tell whether a ``__repr__`` was made by `dataclasses`; `pprint` looks at the same name."""
    return "__create_fn__" in getattr(getattr(method, "__wrapped__", None), "__qualname__", "")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _cut_middle(text: str, width: int) -> str:
    kept = width - 3
    return text if len(text) <= width else f"{text[: kept // 2]}...{text[len(text) - (kept - kept // 2) :]}"


def stable(text: str) -> str:
    """A text without the addresses of objects, which differ on every run."""
    return _ADDRESS.sub("", text)


def encodable(text: str) -> str:
    """A text that can be sent and printed: half characters (lone surrogates) become ``?``."""
    return text.encode(errors="replace").decode()


def one_line(text: str) -> str:
    """A text with its line breaks as blanks, and other control characters escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in " ".join(text.split()))


def short_text(text: str, width: int = 200) -> str:
    """A message on one line, without addresses, shortened."""
    return printable(one_line(stable(text[: 10 * width])), width) if text else ""


def message(error: BaseException, width: int = 200) -> str:
    """What an exception says, on one line."""
    try:
        return short_text(str(error), width)
    except Exception:  # a user's class can do anything
        return "its message fails"


def short(value: object, width: int = 80) -> str:
    """A value in at most *width* characters, on one line.

    Example:
        >>> short({"b": 1, "a": [1, 2]}), short("x" * 100, width=12), short(object())
        ("{'b': 1, 'a': [1, 2]}", "'xxx...xxxx'", '<object object>')
    """
    return _cut(_Short(width).show(value), width)


def short_marked(value: object, width: int = 80) -> str:
    """As `short`, and said where State can't know of changes."""
    return short(value, width) + (BY_REFERENCE if _holds_a_reference(value) else "")


def _holds_a_reference(value: object) -> bool:
    """As `is_by_reference`, but looks only at the first thousand parts of a large value."""
    parts = deque([value])
    for _ in range(_PARTS_LOOKED_AT):
        if not parts:
            return False
        part: Any = parts.popleft()
        kind = type(part)
        if kind in (list, tuple, set, frozenset, deque, dict):
            parts += islice(part, _PARTS_LOOKED_AT)
            parts += islice(part.values(), _PARTS_LOOKED_AT) if kind is dict else ()
        elif not issubclass(kind, str | bytes | int) and _is_by_reference(part):
            return True
    return False


def _is_by_reference(value: object) -> bool:
    try:
        return is_by_reference(value)
    except Exception:  # not even its class can be asked for
        return True


def printable(text: str, width: int = 80) -> str:
    """A name or key on one line: as it is, or as a str literal if it has control characters."""
    text = text[: width + 1]
    return _cut(text if text.isprintable() and text else repr(text), width)


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as ``1 key`` or ``2,000 keys``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
