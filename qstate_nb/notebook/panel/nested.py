"""Values of State with others inside, as HTML to unfold: bounded, whatever the objects in them do."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from qstate_nb.core.fields import Declared
from qstate_nb.core.formats import printable, short
from qstate_nb.notebook.render import escape

_LEVELS = 5
_ITEMS = 50  # of a level
_LINES = 1_000  # in all
_FEW = 10  # items that are shown at once
_WIDTH = 160
_PREVIEW = 60
_SORTED = 1_000  # items of a set
_SEQUENCES = (list, tuple, deque)
_SETS = (set, frozenset)

_Parts = tuple[int, Iterator[tuple[str, Any]]]


class _Unreadable:
    """Stands for an attribute that can't be read."""

    def __repr__(self) -> str:
        return "<can't be read>"


def is_nested(value: object) -> bool:
    """Tell whether there is something in a value to unfold."""
    found = _parts(value)
    return found is not None and found[0] > 0


def type_text(value: object, field: str = "", declared: Declared | None = None) -> str:
    """The type of a field: as it is declared, or else of its value, and how many items that has.

    Example:
        >>> type_text(1), type_text([1, 2])
        ('int', 'list of 2')
    """
    is_declared = declared is not None and field in declared.annotations
    name = declared.written(field) if declared is not None and is_declared else type(value).__name__
    found = _parts(value) if isinstance(value, (dict, *_SEQUENCES, *_SETS)) else None
    return printable(name if found is None else f"{name} of {found[0]:,}", 60)


def tree_html(value: object) -> str:
    """What is in a value, as nested ``<details>``; of a large one, the first items of each level."""
    try:
        return _Tree().items(value, _LEVELS)
    except Exception:  # it is changed meanwhile, or does something that nobody has thought of
        return f'<div class="qstate-leaf">{escape(short(value, _WIDTH))}</div>'


class _Tree:
    """Makes lines, up to the bound."""

    def __init__(self) -> None:
        self._left = _LINES

    def items(self, value: object, levels: int) -> str:
        """The lines of what is in a value."""
        size, parts = _parts(value) or (0, iter(()))
        lines = []
        for label, part in islice(parts, _ITEMS):
            if self._left <= 0:
                break
            self._left -= 1
            lines.append(self._line(label, part, levels - 1))
        if size > len(lines):
            lines.append(f'<div class="qstate-leaf qstate-quiet">… {size - len(lines):,} more</div>')
        return "".join(lines)

    def _line(self, label: str, part: object, levels: int) -> str:
        size, parts = _parts(part) or (0, iter(()))
        name = f'<span class="qstate-label">{escape(label)}:</span> ' if label else ""
        if not size:
            return f'<div class="qstate-leaf">{name}{escape(short(part, _WIDTH))}</div>'
        kind = f'{name}<span class="qstate-quiet">{escape(type_text(part))}</span>'
        if not any(is_nested(each) for _, each in islice(parts, _ITEMS)):  # else the text could take long to make
            kind += f" {escape(short(part, _PREVIEW))}"
        if levels <= 0:
            return f'<div class="qstate-leaf">{kind}</div>'
        return (
            f"<details{' open' if size <= _FEW else ''}><summary>{kind}</summary>{self.items(part, levels)}</details>"
        )


def _parts(value: Any) -> _Parts | None:
    """How many parts a value has, and each with its label; None if it is no container."""
    try:
        return _found_parts(value)
    except Exception:  # a user's class can do anything
        return None


def _found_parts(value: Any) -> _Parts | None:
    cls = type(value)  # not its __class__, which a lazy object may have to look up
    if issubclass(cls, dict):
        return dict.__len__(value), ((short(key, 40), part) for key, part in dict.items(value))
    if issubclass(cls, _SETS):
        base = set if issubclass(cls, set) else frozenset
        size = base.__len__(value)
        parts = sorted(base.__iter__(value), key=short) if size <= _SORTED else base.__iter__(value)
        return size, (("", part) for part in parts)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        names = [str(name) for name in cls._fields]
        return len(names), zip(names, tuple.__iter__(value), strict=False)
    for sequence in _SEQUENCES:
        if issubclass(cls, sequence):
            numbered = enumerate(sequence.__iter__(value))
            return sequence.__len__(value), ((str(index), part) for index, part in numbered)
    return _attributes(value, cls)


def _attributes(value: Any, cls: type) -> _Parts | None:
    if dataclasses.is_dataclass(cls):
        names = [field.name for field in dataclasses.fields(cls)]
    elif issubclass(cls, msgspec.Struct):
        names = list(cls.__struct_fields__)
    else:
        return None
    return len(names), ((name, _read(value, name)) for name in names)


def _read(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except Exception:  # it isn't set, or a property raises
        return _Unreadable()
