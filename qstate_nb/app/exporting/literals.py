"""Values as the Python expressions that make them again."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import fractions
import keyword
import math
import pathlib
import re
import types
import uuid
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from qstate_nb.app.exporting.layout import Group, Item, Name, Node, Text, call, collection
from qstate_nb.core.diff import is_same
from qstate_nb.core.formats import short
from qstate_nb.core.journal import ABSENT

_DEEPEST = 60  # levels; Python's parser gives up soon after
_MOST_DIGITS = 4_000  # decimal ones, that Python reads


class Unwritable(Exception):  # noqa: N818 - whoever gets it decides whether it is an error
    """A value can't be written as Python.

    Args:
        value: the value, or the part of it.
        reason: why.
    """

    def __init__(self, value: object, reason: str) -> None:
        super().__init__(f"{short(value, 60)} {reason}")
        self.value = value
        self.reason = reason


class Literal(msgspec.Struct, frozen=True, eq=False):
    """A value, written.

    Args:
        node: the expression.
        is_equal: whether what the expression makes is equal to the value by ``==``.
    """

    node: Node
    is_equal: bool = True


def written(value: Any) -> Literal:
    """The expression that makes a value again.

    Raises:
        Unwritable: there is none.

    Example:
        >>> from qstate_nb.app.exporting.layout import Layout
        >>> Layout(lambda what: what.__name__).flat(written({"price": Decimal("1.50"), "tags": {"b", "a"}}).node)
        '{"price": Decimal("1.50"), "tags": {"a", "b"}}'
    """
    try:
        return _written(value, _DEEPEST)
    except RecursionError:
        raise Unwritable(value, "is nested too deeply") from None


def text_of(text: str) -> str:
    """A str as it is written, in double quotes where that takes no more escapes.

    Example:
        >>> print(text_of("plain"), text_of("it's"), text_of('"a"'))
        "plain" "it's" '"a"'
    """
    return _double_quoted(repr(text))


def is_plain_name(name: str) -> bool:
    """Whether a name can stand before ``=`` in a call, and is the same one then.

    Example:
        >>> is_plain_name("step"), is_plain_name("class"), is_plain_name("a b"), is_plain_name("ﬁ")
        (True, False, False, False)
    """
    return name.isidentifier() and not keyword.iskeyword(name) and name.isascii()


def _double_quoted(literal: str) -> str:
    start, inside = literal[: literal.index(literal[-1])], literal[literal.index(literal[-1]) + 1 : -1]
    if literal[-1] == '"' or inside.count('"') > inside.count("\\'"):
        return literal
    inside = inside.replace("\\'", "'").replace('"', '\\"')
    return f'{start}"{inside}"'


def _written(value: Any, levels: int) -> Literal:
    if levels <= 0:
        raise Unwritable(value, "is nested too deeply")
    kind = type(value)
    if issubclass(kind, enum.Enum):
        return _member(value)
    if kind in _ATOMS:
        return Literal(_ATOMS[kind](value), bool(value == value))  # noqa: PLR0124 - not a number
    if kind in _CONTAINERS:
        return _CONTAINERS[kind](value, levels - 1)
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return _named(value)
    return _rebuilt(value, _given(value), levels)


def _given(value: Any) -> dict[str, Any]:
    """What the class of a value has to be given to make it again."""
    kind = type(value)
    if _is_named_tuple(kind):
        return dict(zip(kind._fields, value, strict=True))
    if issubclass(kind, msgspec.Struct):
        return {name: getattr(value, name) for name in kind.__struct_fields__}
    if dataclasses.is_dataclass(kind):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(kind) if field.init}
    raise Unwritable(value, f"is of class {kind.__qualname__}, which can't be written as Python")


def _named(value: Any) -> Literal:
    if "<" in value.__qualname__ or not isinstance(value.__module__, str):
        raise Unwritable(value, "has no name in a module")
    return Literal(Name(value))


def _member(value: enum.Enum) -> Literal:
    if value is ABSENT:
        return Literal(Name(ABSENT))
    kind = _checked_class(value)
    if value.name is not None and kind.__members__.get(value.name) is value:  # type: ignore[attr-defined]
        return Literal(Name(kind, f".{value.name}"))
    return Literal(call(kind, _written(value.value, _DEEPEST).node))  # several flags


def _checked_class(value: Any) -> type:
    kind = type(value)
    if "<" in kind.__qualname__:
        raise Unwritable(value, f"is of class {kind.__name__}, which is defined in a function")
    return kind


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _rebuilt(value: Any, given: Mapping[str, Any], levels: int) -> Literal:
    """A call of the value's class; it is made, to see that the same comes out."""
    kind = _checked_class(value)
    if isinstance(value, _WITH_CONTENT) and not _is_named_tuple(kind):
        raise Unwritable(value, f"is of class {kind.__qualname__}, which is more than its fields")
    parts = {name: _written(part, levels - 1) for name, part in given.items()}
    try:
        made = kind(**given)
        is_alike = _is_alike(value, made)
        is_equal = bool(made == value)
    except Exception as error:  # the class is the user's
        raise Unwritable(value, f"can't be made again: {kind.__name__}(…) raises {type(error).__name__}") from None
    if not is_alike:
        raise Unwritable(value, f"can't be made again: {kind.__name__}(…) gives another one")
    node = call(kind, **{name: part.node for name, part in parts.items()})
    return Literal(node, is_equal and all(part.is_equal for part in parts.values()))


_WITH_CONTENT = (str, bytes, int, float, list, tuple, set, frozenset, dict, deque, bytearray, BaseException)


def _is_alike(value: Any, made: Any) -> bool:
    """Whether two instances have the same attributes with the same values."""
    was, now = _attributes(value), _attributes(made)
    return type(made) is type(value) and was.keys() == now.keys() and all(_is_same(was[key], now[key]) for key in was)


def _attributes(value: Any) -> dict[str, Any]:
    names: Iterable[str] = ()
    if _is_named_tuple(type(value)):
        names = type(value)._fields
    elif isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
    elif dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    found = {name: getattr(value, name) for name in names if hasattr(value, name)}
    return {**getattr(value, "__dict__", {}), **found}


def _is_same(was: Any, now: Any) -> bool:
    """As `is_same`; instances that only their identity tells apart are compared by what is in them."""
    if is_same(was, now):
        return True
    attributes = _attributes(was)
    return bool(attributes) and _is_alike(was, now)


def _int(value: int) -> Node:
    if abs(value) < 10**_MOST_DIGITS:
        return Text(repr(value))
    return Text(f"{'-' if value < 0 else ''}0x{abs(value):X}")


def _float(value: float) -> Node:
    if math.isfinite(value):
        return Text(repr(value).replace("e+", "e"))
    return call("float", Text(text_of(repr(value))))


def _bytes(value: bytes) -> Node:
    return Text(_double_quoted(repr(value)))


def _path(value: pathlib.PurePath) -> Node:
    kind = pathlib.Path if isinstance(value, pathlib.Path) else type(value)
    return call(kind, Text(text_of(str(value))))


def _moment(value: datetime.datetime) -> Node:
    numbers = [value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond]
    while len(numbers) > 3 and not numbers[-1]:  # the date has three
        numbers.pop()
    return call(datetime.datetime, *(Text(str(number)) for number in numbers), **_zone_and_fold(value))


def _time(value: datetime.time) -> Node:
    numbers = [value.hour, value.minute, value.second, value.microsecond]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return call(datetime.time, *(Text(str(number)) for number in numbers), **_zone_and_fold(value))


def _zone_and_fold(value: datetime.datetime | datetime.time) -> dict[str, Node]:
    named: dict[str, Node] = {}
    if value.tzinfo is not None:
        named["tzinfo"] = _written(value.tzinfo, _DEEPEST).node
    if value.fold:
        named["fold"] = Text("1")
    return named


def _duration(value: datetime.timedelta) -> Node:
    parts = {"days": value.days, "seconds": value.seconds, "microseconds": value.microseconds}
    return call(datetime.timedelta, **{name: Text(str(number)) for name, number in parts.items() if number})


def _timezone(value: datetime.timezone) -> Node:
    if value is datetime.UTC:
        return Name(datetime.timezone, ".utc")
    arguments = [_duration(value.utcoffset(None))]
    if repr(value) != repr(datetime.timezone(value.utcoffset(None))):
        arguments.append(Text(text_of(value.tzname(None))))
    return call(datetime.timezone, *arguments)


def _zone(value: zoneinfo.ZoneInfo) -> Node:
    if value.key is None:
        raise Unwritable(value, "is a time zone that was read from a file")
    return call(zoneinfo.ZoneInfo, Text(text_of(value.key)))


def _pattern(value: re.Pattern[Any]) -> Node:
    text = Text(_double_quoted(repr(value.pattern)))
    flags = re.RegexFlag(value.flags) & ~(re.UNICODE if isinstance(value.pattern, str) else re.RegexFlag(0))
    return call(re.compile, text, *([Text(str(int(flags)))] if flags else []))


def _date(value: datetime.date) -> Node:
    return call(datetime.date, *(Text(str(number)) for number in (value.year, value.month, value.day)))


def _as_repr(value: Any) -> Node:
    return Text("..." if value is ... else repr(value))


def _from_text(value: Any) -> Node:
    return call(type(value), Text(text_of(str(value))))


_ATOMS: dict[type, Callable[[Any], Node]] = {
    **dict.fromkeys((type(None), bool, range, type(...), type(NotImplemented)), _as_repr),
    int: _int,
    float: _float,
    complex: lambda value: call("complex", _float(value.real), _float(value.imag)),
    str: lambda value: Text(text_of(value)),
    bytes: _bytes,
    bytearray: lambda value: call("bytearray", *([_bytes(bytes(value))] if value else [])),
    datetime.datetime: _moment,
    datetime.date: _date,
    datetime.time: _time,
    datetime.timedelta: _duration,
    datetime.timezone: _timezone,
    zoneinfo.ZoneInfo: _zone,
    Decimal: _from_text,
    fractions.Fraction: lambda value: call(
        fractions.Fraction, *(_int(part) for part in (value.numerator, value.denominator))
    ),
    uuid.UUID: _from_text,
    re.Pattern: _pattern,
    **dict.fromkeys((pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath), _path),
}


def _all_of(values: Iterable[Any], levels: int, opening: str, closing: str) -> Literal:
    parts = [_written(value, levels) for value in values]
    return Literal(collection(opening, [part.node for part in parts], closing), all(part.is_equal for part in parts))


def _set(value: set[Any], levels: int) -> Literal:
    return _all_of(in_order(value), levels, "{", "}") if value else Literal(call("set"))


def in_order(values: Iterable[Any]) -> list[Any]:
    """The items of a set in an order that is the same on every run."""
    items = list(values)
    if all(type(item) in (int, float, bool) for item in items):
        return sorted(items)
    return sorted(items, key=lambda item: (type(item).__name__, short(item, 10_000)))


def _called(function: object, *parts: Literal, **named: Node) -> Literal:
    return Literal(call(function, *(part.node for part in parts), **named), all(part.is_equal for part in parts))


def _dict(value: Mapping[Any, Any], levels: int) -> Literal:
    pairs = [(_written(key, levels), _written(item, levels)) for key, item in value.items()]
    is_equal = all(part.is_equal for pair in pairs for part in pair)
    return Literal(Group("{", [Item(item.node, key.node) for key, item in pairs], "}"), is_equal)


def _frozenset(value: frozenset[Any], levels: int) -> Literal:
    return _called("frozenset", *([_set(set(value), levels)] if value else []))


def _deque(value: deque[Any], levels: int) -> Literal:
    named = {} if value.maxlen is None else {"maxlen": Text(str(value.maxlen))}
    items = [_all_of(value, levels, "[", "]")] if value or named else []
    return _called(deque, *items, **named)


def _defaultdict(value: defaultdict[Any, Any], levels: int) -> Literal:
    return _called(defaultdict, _written(value.default_factory, levels), _dict(value, levels))


_CONTAINERS: dict[type, Callable[[Any, int], Literal]] = {
    list: lambda value, levels: _all_of(value, levels, "[", "]"),
    tuple: lambda value, levels: _all_of(value, levels, "(", ")"),
    set: _set,
    frozenset: _frozenset,
    dict: _dict,
    deque: _deque,
    defaultdict: _defaultdict,
    OrderedDict: lambda value, levels: _called(OrderedDict, _dict(value, levels)),
    Counter: lambda value, levels: _called(Counter, _dict(value, levels)),
}
