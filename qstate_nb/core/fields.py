"""Declared fields: what the annotations of a State class say about its keys.

    class Signup(AsyncState):
        step: int = 0
        phone: str | None = None

Annotations give types, which msgspec checks, and class attributes give defaults. The attributes are taken off the
class: ``state.step`` would give the default, whatever the value is.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import sys
import types
import typing
from collections.abc import Mapping
from itertools import starmap
from typing import Any, ClassVar

import msgspec

from qstate_nb.core.formats import short
from qstate_nb.core.journal import ABSENT
from qstate_nb.core.keys import StateKey
from qstate_nb.core.values import copy_value
from qstate_nb.errors import FieldDefinitionError, FieldTypeError, NotFoundError

_MAKERS: tuple[type[Any], ...] = (dataclasses.Field, type(msgspec.field(default=0)))  # what `field()` makes
_CONTAINERS = (dict, list, tuple, set, frozenset)
_UNCLEAR = re.compile(r"Expected `[^`]*\b(object|array|null|duration)\b|Invalid enum value")  # not Python's words
_MISSING: tuple[Any, ...] = (dataclasses.MISSING, msgspec.NODEFAULT)


class _NoAttribute:
    """Stands where a declared field could be taken for an attribute of a State object."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, state: object, owner: type) -> _NoAttribute:
        if state is None:
            return self
        raise self._error(state)

    def __set__(self, state: object, value: object) -> None:
        raise self._error(state)

    def _error(self, state: object) -> AttributeError:
        name = self._name
        return AttributeError(
            f"{name!r} is a field of {state!r}, not an attribute: use get({name!r}) and set({name!r}, …)"
        )


class Declared:
    """The fields that a State class and its bases declare.

    Args:
        cls: the class, for messages and to evaluate annotations.
        annotations: field → annotation, maybe a string; its module; local names that it may mean.
        defaults: field → default, for those that have one.
        strict: whether there are no other fields.
    """

    def __init__(
        self, cls: type, annotations: Mapping[str, Any], defaults: Mapping[str, Any], *, strict: bool
    ) -> None:
        self.cls = cls
        self.strict = strict
        self.annotations = dict(annotations)
        self.defaults = dict(defaults)
        self._types: dict[str, Any] | None = None if annotations else {}

    def types(self) -> Mapping[str, Any]:
        """Field → evaluated type. At the first use, as an annotation may name a class that comes later.

        Raises:
            FieldDefinitionError: an annotation can't be evaluated or checked, or a default is of another type.
        """
        if self._types is None:
            evaluated = {name: self._evaluated(name) for name in self.annotations}
            for name, wanted in evaluated.items():
                self._check_definition(name, wanted)
            self._types = evaluated
        return self._types

    def _evaluated(self, name: str) -> Any:
        annotation, module, local = self.annotations[name]
        holder = type("holder", (), {"__annotations__": {name: annotation}})
        try:
            return typing.get_type_hints(holder, vars(sys.modules[module]), dict(local), include_extras=True)[name]
        except Exception as error:  # evaluating a string can raise anything
            raise self._wrong(name, f"its type {annotation!r} can't be evaluated: {error}") from None

    def written(self, name: str) -> str:
        """The type of a field as it is declared, to be shown."""
        annotation, module, _ = self.annotations[name]
        text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        return text.replace(f"{module}.", "")

    def _check_definition(self, name: str, wanted: Any) -> None:
        try:
            _problem(ABSENT, wanted)
        except TypeError as error:
            raise self._wrong(name, f"its type can't be checked: {error}") from None
        value = self.default(name, ABSENT)
        problem = "" if value is ABSENT else _problem(value, wanted)
        if problem:
            raise self._wrong(name, f"its default {short(value, 60)} is of another type: {problem}")

    def _wrong(self, name: str, why: str) -> FieldDefinitionError:
        return FieldDefinitionError(f"field {name!r} of State class {self.cls.__name__}: {why}")

    def default(self, field: str, fallback: Any) -> Any:
        """The default of a field, made anew where it could be changed; *fallback* if it has none."""
        if field not in self.defaults:
            return fallback
        value = self.defaults[field]
        return copy_value(value.default_factory() if isinstance(value, _MAKERS) else value)

    def all_defaults(self) -> dict[str, Any]:
        """Every field that has a default, with it, in the order of the declaration."""
        return {name: self.default(name, None) for name in self.annotations if name in self.defaults}


def declared_by(cls: type, inherited: Declared | None, *, strict: bool | None) -> Declared | None:
    """What a class declares itself, and what its bases do.

    Args:
        inherited: what its first base declares.
        strict: whether undeclared keys are refused; None as in that base.

    Returns:
        None if that is nothing.

    Raises:
        FieldDefinitionError: a field has the name of a method.
    """
    annotations, defaults = _inherited(cls)
    own = inspect.get_annotations(cls)
    local = _enclosing_names(cls, " ".join(map(str, own.values())))
    for name, annotation in own.items():
        if name.startswith("_") or _is_class_variable(annotation):
            continue
        if any(not isinstance(getattr(base, name, _NoAttribute(name)), _NoAttribute) for base in cls.__bases__):
            raise FieldDefinitionError(
                f"field {name!r} of State class {cls.__name__} would hide its method; give it another name"
            )
        annotations[name] = (annotation, cls.__module__, local)
        defaults.pop(name, None)
    for name in [name for name in annotations if name in own or name in vars(cls)]:
        if name in vars(cls):
            defaults |= _as_default(name, vars(cls)[name])
        setattr(cls, name, _NoAttribute(name))
    strict = bool(inherited and inherited.strict) if strict is None else strict
    return Declared(cls, annotations, defaults, strict=strict) if annotations or strict else None


def _inherited(cls: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """The annotations and defaults of all bases, as dataclasses collect them: an earlier base goes before a later."""
    annotations: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for base in cls.__mro__[:0:-1]:
        declared = vars(base).get("declared")
        if isinstance(declared, Declared):
            annotations |= declared.annotations
            defaults = {n: v for n, v in defaults.items() if n not in declared.annotations} | declared.defaults
    return annotations, defaults


def _as_default(name: str, value: Any) -> dict[str, Any]:
    """The default that a class attribute means, maybe by ``field(default=…)`` of dataclasses or msgspec."""
    if not isinstance(value, _MAKERS):
        return {name: copy_value(value)}
    if value.default_factory not in _MISSING:
        return {name: value}
    return {} if value.default in _MISSING else {name: value.default}


def _is_class_variable(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return bool(re.match(r"(\w+\.)?ClassVar\b", annotation))
    return annotation is ClassVar or typing.get_origin(annotation) is ClassVar


def _enclosing_names(cls: type, annotations: str) -> Mapping[str, Any]:
    """The local names around a class that is defined in a function, as far as its annotations may mean them."""
    frame: types.FrameType | None = sys._getframe(1) if "<locals>" in cls.__qualname__ else None
    names: dict[str, Any] = {}
    while frame is not None:
        encloses = cls.__qualname__.startswith(f"{frame.f_code.co_qualname}.<locals>.")
        if encloses and frame.f_globals.get("__name__") == cls.__module__:
            names = {name: value for name, value in frame.f_locals.items() if name in annotations} | names
        frame = frame.f_back
    return names


class Rules:
    """What is true of the fields of one bucket, as the State class sees it that it is used through.

    Args:
        key: the bucket.
        declared: what the class declares, or None if that is nothing.
    """

    def __init__(self, key: StateKey, declared: Declared | None) -> None:
        self.key = key
        self.declared = declared

    def default(self, field: str, fallback: Any) -> Any:
        """The declared default of a field, or *fallback*."""
        return fallback if self.declared is None else self.declared.default(field, fallback)

    def complete(self, fields: dict[str, Any]) -> dict[str, Any]:
        """All fields: the declared ones first, with their defaults where they are not set."""
        return fields if self.declared is None else {**self.declared.all_defaults(), **fields}

    def known(self, field: str) -> str:
        """Give a field's name back.

        Raises:
            NotFoundError: the class is strict and doesn't declare it; it shows the close matches.
        """
        if self.declared is not None and self.declared.strict and field not in self.declared.annotations:
            raise NotFoundError(f"field of State {self.key} called", field, self.declared.annotations)
        return field

    def check(self, field: str, value: Any) -> None:
        """Look whether a declared field may have a value.

        Raises:
            FieldTypeError: it may not.
        """
        if self.declared is None or field not in self.declared.annotations:
            return
        problem = _problem(value, self.declared.types()[field])
        if problem:
            raise FieldTypeError(
                f"{self.key}.{field} can't be {short(value, 60)} ({type(value).__name__}): {problem}"
                + (f"; it is declared as {self.declared.written(field)}" if _UNCLEAR.search(problem) else "")
            )


def _problem(value: Any, wanted: Any) -> str:
    """What is wrong with a value; empty if it is of the wanted type.

    msgspec converts where it can, such as a str to a date: whatever comes out as another value was of another type.

    Raises:
        TypeError: msgspec can't check that type.

    Example:
        >>> _problem(1, int), _problem(1, float), _problem("1", int)
        ('', '', 'Expected `int`, got `str`')
    """
    try:
        converted = msgspec.convert(value, wanted, from_attributes=True)
    except msgspec.ValidationError as error:
        return "" if _is_combination(value, wanted) else str(error)
    return _difference(value, converted, "$")


def _is_combination(value: Any, wanted: Any) -> bool:
    """Whether it is of a Flag, of which msgspec knows the members only."""
    return isinstance(value, enum.Flag) and type(value) in (wanted, *typing.get_args(wanted))


def _difference(value: Any, converted: Any, at: str) -> str:
    """What a conversion has changed, and where; empty if nothing that matters.

    An int is as good as a float, and the instance of a subclass, of which msgspec reads the attributes, as any other.
    """
    if value is converted or (isinstance(value, int) and type(converted) is float):
        return ""
    if isinstance(value, type(converted)):
        if isinstance(value, _CONTAINERS):
            return _different_item(value, converted, at)
        if value == converted or isinstance(value, msgspec.Struct) or dataclasses.is_dataclass(value):
            return ""
    where = "" if at == "$" else f" - at `{at}`"
    return f"Expected `{type(converted).__name__}`, got `{type(value).__name__}`{where}"


def _different_item(value: Any, converted: Any, at: str) -> str:
    if isinstance(value, list | tuple):
        pairs = [(old, new, f"{at}[{n}]") for n, (old, new) in enumerate(zip(value, converted, strict=True))]
    else:
        made = {item: item for item in converted}
        lost, new = [item for item in value if item not in made], [item for item in made if item not in value]
        if lost and not new:  # a TypedDict has no other keys
            return f"Object contains unknown field `{lost[0]}`"
        pairs = [(*pair, f"{at}[...]") for pair in zip(lost, new, strict=False)]
        pairs += [(item, made[item], f"{at}[...]") for item in value if item in made]
        if isinstance(value, dict):
            pairs += [(value[item], converted[item], f"{at}[...]") for item in value if item in made]
    return next(filter(None, starmap(_difference, pairs)), "")
