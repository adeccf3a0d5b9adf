"""Values as JSON, for any language to read.

None, bool, int, float, str, list and dict are as in JSON. All else is an object with one key that begins with ``$``:

- ``$int`` (as text, beyond 64 bit), ``$float`` (``nan``, ``inf``, ``-inf``), ``$complex`` (two numbers),
  ``$decimal`` (as text), ``$fraction`` (two ints), ``$str`` (the numbers of its characters, if it can't be encoded);
- ``$bytes``, ``$bytearray`` (base64);
- ``$datetime`` (ISO 8601; then the key of its time zone, if it has one, and ``fold``), ``$date``, ``$time``,
  ``$timedelta`` (days, seconds, microseconds), ``$uuid``;
- ``$tuple``, ``$set``, ``$frozenset`` (arrays), ``$deque`` (an array, and how long it may be),
  ``$dict`` (pairs, if a key is not a str or begins with ``$``);
- ``$enum`` (class, and name of the member or value of a combination of flags), ``$object`` (class, and fields, of a
  dataclass or Struct): only of classes that the declared type of the field names.

Nothing is evaluated or imported, and no ``__init__`` of a dataclass is called to read one. A Struct is made by its
class, so that its ``__post_init__`` runs; its fields are then set to what was saved.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import enum
import fractions
import math
import typing
import uuid
import zoneinfo
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

Classes: TypeAlias = Mapping[str, type]
"""Name → class, of those whose instances can be written and read."""

_INT64 = 2**63
_TOO_DEEP = "what is nested so deeply can't be saved"
_DEEPEST = 200  # levels of arrays and objects, of which a tag is one


class CodecError(ValueError):
    """A value can't be written, or what was written can't be read."""


def encode(value: Any, classes: Classes) -> Any:
    """A value as what JSON can hold.

    Raises:
        CodecError: it, or a part of it, is of a type that can't be written, or it is nested too deeply.

    Example:
        >>> encode({"when": datetime.date(2026, 1, 2), "who": ("a", 1)}, {})
        {'when': {'$date': '2026-01-02'}, 'who': {'$tuple': ['a', 1]}}
    """
    try:
        data = _encoded(value, classes)
    except RecursionError:
        raise CodecError(_TOO_DEEP) from None
    if type(data) in (list, dict) and _is_deep(data):
        raise CodecError(_TOO_DEEP)
    return data


def _is_deep(data: Any) -> bool:
    """Whether JSON is nested deeper than what is read again wherever little of Python's stack is left."""
    level = [data]
    for _ in range(_DEEPEST):
        level = [
            part
            for item in level
            if type(item) in (list, dict)
            for part in (item.values() if type(item) is dict else item)
        ]
        if not level:
            return False
    return True


def _encoded(value: Any, classes: Classes) -> Any:
    kind = type(value)
    if kind in _AS_IN_JSON:
        return _AS_IN_JSON[kind](value, classes)
    if kind in _ENCODERS:
        tag, encoder = _ENCODERS[kind]
        return {tag: encoder(value, classes)}
    return _encoded_instance(value, kind, classes)


def _same(value: Any, _: Classes) -> Any:
    return value


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _encoded_text(value: str, _: Classes) -> Any:
    return value if value.isascii() or _is_text(value) else {"$str": [ord(char) for char in value]}


def _encoded_int(value: int, _: Classes) -> Any:
    return value if -_INT64 <= value < _INT64 else {"$int": hex(value)}


def _encoded_float(value: float, _: Classes) -> Any:
    return value if math.isfinite(value) else {"$float": repr(value)}


def _encoded_dict(value: dict[Any, Any], classes: Classes) -> Any:
    if all(type(key) is str and key[:1] != "$" and _is_text(key) for key in value):
        return {key: _encoded(item, classes) for key, item in value.items()}
    return {"$dict": [[_encoded(key, classes), _encoded(item, classes)] for key, item in value.items()]}


def _encoded_instance(value: Any, kind: type, classes: Classes) -> Any:
    known = classes.get(kind.__qualname__)  # or another one: a cell that is run again defines its classes anew
    if known is None or known.__module__ != kind.__module__:
        hint = ", or declare the field with that class" if _is_ours(kind) else ""
        raise CodecError(f"a {kind.__qualname__} can't be saved; store its data as a dict{hint}")
    if isinstance(value, enum.Enum):
        named = kind.__members__.get(value.name or "") is value  # type: ignore[attr-defined]
        return {"$enum": [kind.__qualname__, value.name if named else _encoded(value.value, classes)]}
    _check_is_its_fields(value, kind)
    fields = {name: _encoded(getattr(value, name), classes) for name in _field_names(kind) if hasattr(value, name)}
    return {"$object": [kind.__qualname__, fields]}


def _check_is_its_fields(value: Any, kind: type) -> None:
    """Refuse what would come back with less: a dataclass that is a list as well, or attributes that are no fields."""
    more = sorted(set(getattr(value, "__dict__", ())) - set(_field_names(kind)))
    if more:
        raise CodecError(f"a {kind.__qualname__} with {more[0]!r}, which is no field of it, can't be saved")
    try:
        _blank(kind)
    except TypeError:
        raise CodecError(f"a {kind.__qualname__} can't be saved: it is more than its fields") from None


def _blank(kind: type) -> Any:
    """A dataclass's instance whose fields are not set; nothing for a Struct, which can't be made like that."""
    return None if issubclass(kind, msgspec.Struct) else object.__new__(kind)


def _encoded_moment(value: datetime.datetime, _: Classes) -> Any:
    zone = value.tzinfo
    named = None
    if type(zone) is zoneinfo.ZoneInfo and zone.key is not None:
        named = zone.key
    elif zone is not None:
        _check_zone(zone)
    text = value.replace(tzinfo=None).isoformat() if named else value.isoformat()
    return [text, named, value.fold] if named or value.fold else text


def _check_zone(zone: datetime.tzinfo) -> None:
    """Refuse what is more than an offset from UTC."""
    if type(zone) is not datetime.timezone or repr(zone) != repr(datetime.timezone(zone.utcoffset(None))):
        raise CodecError("a time zone that is neither a ZoneInfo nor a plain datetime.timezone can't be saved")


def _encoded_time(value: datetime.time, _: Classes) -> Any:
    if value.tzinfo is not None:
        _check_zone(value.tzinfo)
    return [value.isoformat(), value.fold] if value.fold else value.isoformat()


def _items(value: Any, classes: Classes) -> list[Any]:
    return [_encoded(item, classes) for item in value]


def _sorted_items(value: Any, classes: Classes) -> list[Any]:
    """In an order that is the same on every run."""
    return sorted(_items(value, classes), key=msgspec.json.encode)


def _base64(value: Any, _: Classes) -> str:
    return base64.b64encode(value).decode()


def _text(value: Any, _: Classes) -> str:
    return str(value)


_AS_IN_JSON: dict[type, Callable[[Any, Classes], Any]] = {
    type(None): _same,
    bool: _same,
    int: _encoded_int,
    float: _encoded_float,
    str: _encoded_text,
    list: _items,
    dict: _encoded_dict,
}
_ENCODERS: dict[type, tuple[str, Callable[[Any, Classes], Any]]] = {
    tuple: ("$tuple", _items),
    set: ("$set", _sorted_items),
    frozenset: ("$frozenset", _sorted_items),
    deque: ("$deque", lambda value, classes: [_items(value, classes), value.maxlen]),
    bytes: ("$bytes", _base64),
    bytearray: ("$bytearray", _base64),
    datetime.datetime: ("$datetime", _encoded_moment),
    datetime.date: ("$date", _text),
    datetime.time: ("$time", _encoded_time),
    datetime.timedelta: ("$timedelta", lambda value, _: [value.days, value.seconds, value.microseconds]),
    Decimal: ("$decimal", _text),
    fractions.Fraction: (
        "$fraction",
        lambda value, _: [_encoded_int(value.numerator, _), _encoded_int(value.denominator, _)],
    ),
    uuid.UUID: ("$uuid", _text),
    complex: ("$complex", lambda value, classes: [_encoded(value.real, classes), _encoded(value.imag, classes)]),
}


def decode(data: Any, classes: Classes) -> Any:
    """The value that `encode` made this of.

    Raises:
        CodecError: nothing is written like that.

    Example:
        >>> decode({"$tuple": [1, {"$decimal": "1.50"}]}, {})
        (1, Decimal('1.50'))
    """
    if type(data) is list:
        return [decode(item, classes) for item in data]
    if type(data) is not dict:
        return data
    tag = next(iter(data), "")
    if tag[:1] != "$":
        if any(key[:1] == "$" for key in data):
            raise CodecError(f"keys of one object are both plain and tags: {', '.join(data)}")
        return {key: decode(item, classes) for key, item in data.items()}
    if len(data) > 1 or tag not in _DECODERS:
        raise CodecError(f"{tag!r} is no type that is known here")
    try:
        return _DECODERS[tag](data[tag], classes)
    except (CodecError, RecursionError):
        raise
    except Exception as error:
        raise CodecError(f"what is written as {tag} is none: {error}") from None


def _decoded_moment(data: Any, _: Classes) -> datetime.datetime:
    if isinstance(data, str):
        return datetime.datetime.fromisoformat(data)
    text, zone, fold = data
    value = datetime.datetime.fromisoformat(text).replace(fold=fold)
    return value if zone is None else value.replace(tzinfo=zoneinfo.ZoneInfo(zone))


def _decoded_time(data: Any, _: Classes) -> datetime.time:
    text, fold = (data, 0) if isinstance(data, str) else data
    return datetime.time.fromisoformat(text).replace(fold=fold)


def _decoded_enum(data: Any, classes: Classes) -> Any:
    name, member = data
    kind = _known(name, classes)
    if not issubclass(kind, enum.Enum):
        raise CodecError(f"{name} is no Enum")
    if isinstance(member, str) and member in kind.__members__:
        return kind[member]
    if not issubclass(kind, enum.Flag):
        raise CodecError(f"{name} has no member {member!r}")
    return kind(decode(member, classes))


def _decoded_object(data: Any, classes: Classes) -> Any:
    name, given = data
    kind = _known(name, classes)
    names = _field_names(kind)
    if issubclass(kind, enum.Enum):
        raise CodecError(f"{name} is an Enum")
    if unknown := set(given) - set(names):
        raise CodecError(f"{name} has no field {min(unknown)!r}")
    if missing := [field for field in names if field not in given and field not in _optional(kind)]:
        raise CodecError(f"the field {missing[0]!r} of {name} is missing")
    fields = {field: decode(item, classes) for field, item in given.items()}
    made = kind(**fields) if issubclass(kind, msgspec.Struct) else _blank(kind)
    put = msgspec.structs.force_setattr if issubclass(kind, msgspec.Struct) else object.__setattr__
    for field, item in fields.items():  # of a Struct as well, whose __post_init__ may have changed them
        put(made, field, item)
    return made


def _optional(kind: type) -> set[str]:
    """Fields that an instance need not have: those of a dataclass that its constructor doesn't take."""
    return {field.name for field in dataclasses.fields(kind) if not field.init} if _is_dataclass(kind) else set()


def _known(name: Any, classes: Classes) -> type:
    if name not in classes:
        raise CodecError(f"the class {name} is not known: no field that is declared here names it")
    return classes[name]


_Decoder: TypeAlias = Callable[[Any, Classes], Any]


def _from_text(read: Callable[[str], Any]) -> _Decoder:
    def decoder(data: Any, _: Classes) -> Any:
        if not isinstance(data, str):
            raise CodecError("it must be text")
        return read(data)

    return decoder


def _from_items(make: Callable[[list[Any]], Any]) -> _Decoder:
    def decoder(data: Any, classes: Classes) -> Any:
        if not isinstance(data, list):
            raise CodecError("it must be an array")
        return make([decode(item, classes) for item in data])

    return decoder


def _two(items: list[Any]) -> list[Any]:
    if len(items) != 2:
        raise CodecError("it must be an array of two")
    return items


def _all_of(made: Any, items: list[Any]) -> Any:
    """Give a container back if it has all items: none was there twice, and none too many."""
    if len(made) != len(items):
        raise CodecError("an item or key is there twice, or there are too many")
    return made


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_DECODERS: dict[str, _Decoder] = {
    "$int": _from_text(lambda text: int(text, 16)),
    "$float": _from_text(float),
    "$str": _from_items(lambda items: "".join(map(chr, items))),
    "$complex": _from_items(lambda items: complex(*_two(items))),
    "$decimal": _from_text(Decimal),
    "$fraction": _from_items(lambda items: fractions.Fraction(*_two(items))),
    "$bytes": _from_text(_bytes),
    "$bytearray": _from_text(lambda text: bytearray(_bytes(text))),
    "$datetime": _decoded_moment,
    "$date": _from_text(datetime.date.fromisoformat),
    "$time": _decoded_time,
    "$timedelta": _from_items(lambda items: datetime.timedelta(*items)),
    "$uuid": _from_text(uuid.UUID),
    "$tuple": _from_items(tuple),
    "$set": _from_items(lambda items: _all_of(set(items), items)),
    "$frozenset": _from_items(lambda items: _all_of(frozenset(items), items)),
    "$deque": lambda data, classes: _all_of(deque(decode(list(_two(data)[0]), classes), data[1]), data[0]),
    "$dict": _from_items(lambda items: _all_of(dict(items), items)),
    "$enum": _decoded_enum,
    "$object": _decoded_object,
}


def _is_dataclass(kind: type) -> bool:
    return dataclasses.is_dataclass(kind)


def _is_ours(kind: type) -> bool:
    """Tell whether it is a class whose instances a declared field could hold."""
    return issubclass(kind, enum.Enum | msgspec.Struct) or _is_dataclass(kind)


def _field_names(kind: type) -> tuple[str, ...]:
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else ()


def classes_of(annotation: Any) -> Classes:
    """The Enums, dataclasses and Structs that a type names, also in the fields of these.

    Example:
        >>> class Colour(enum.Enum):
        ...     RED = 1
        >>> list(classes_of(dict[str, Colour] | None))
        ['Colour']
    """
    found: dict[str, type] = {}
    seen: dict[int, Any] = {}  # by identity, as not all that an annotation may have is hashable
    todo = deque([annotation])
    while todo:
        part = todo.popleft()
        if id(part) not in seen:
            seen[id(part)] = part
            if isinstance(part, type) and _is_ours(part):
                found.setdefault(part.__qualname__, part)
            todo += _parts_of(part)
    return found


def _parts_of(annotation: Any) -> Iterable[Any]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return arguments[:1]
    if origin is typing.Literal:
        return map(type, arguments)
    if origin is not None:
        return origin, *arguments
    if isinstance(annotation, type):
        return *_field_types(annotation), *vars(annotation).get("__orig_bases__", ())
    names = ("__value__", "__supertype__", "__bound__")  # of a type alias, a NewType, a TypeVar
    return *(getattr(annotation, name, None) for name in names), *getattr(annotation, "__constraints__", ())


def _field_types(kind: type) -> Iterable[Any]:
    if issubclass(kind, enum.Enum) or not (_is_ours(kind) or typing.is_typeddict(kind)):
        return ()
    try:
        return typing.get_type_hints(kind, include_extras=True).values()
    except Exception:  # evaluating a string can raise anything; what it names is then refused
        return [hint for hint in vars(kind).get("__annotations__", {}).values() if not isinstance(hint, str)]
