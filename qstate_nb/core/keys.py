"""Which bucket a State class, with or without a scope, means.

The *name* is a State class's identity, not the class object: a notebook cell that defines the class anew keeps
its data. The registry asks `owner_of` to tell a class that was defined again (same module) from two
different classes that happen to share a name (different modules).
"""

from __future__ import annotations

import ast
import enum
import re
import uuid
from typing import TypeAlias

import msgspec

from qstate_nb.core.formats import short
from qstate_nb.errors import ScopeError, StateNameError

_NAME = re.compile(r"[^\W\d][\w.-]*")
_BARE_SCOPE = re.compile(r"[\w.:@+-]+")  # a str that needs no quotes, unless it reads as an int or a UUID
_INT = re.compile(r"0|-?[1-9]\d*", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONGEST = 200
_LEAST_INT, _GREATEST_INT = -(10 ** (_LONGEST - 1)), 10**_LONGEST

ScopeId: TypeAlias = str | int | uuid.UUID
"""What tells the buckets of one State class apart: a chat, a user, an order."""


class StateKey(msgspec.Struct, frozen=True, cache_hash=True):
    """The address of one bucket.

    Example:
        >>> str(StateKey("Signup")), str(StateKey("Signup", 42)), str(StateKey("Signup", "42"))
        ('Signup', 'Signup[42]', "Signup['42']")
    """

    name: str
    scope: ScopeId | None = None

    def __str__(self) -> str:
        return self.name if self.scope is None else f"{self.name}[{_written(self.scope)}]"

    @classmethod
    def parse(cls, text: str) -> StateKey:
        """The key that is written like that.

        Raises:
            StateNameError: it is not of the form ``Name`` or ``Name[scope]``.

        Example:
            >>> StateKey.parse("Signup[42]"), StateKey.parse("Signup[anna]")
            (StateKey(name='Signup', scope=42), StateKey(name='Signup', scope='anna'))
        """
        name, bracket, rest = text.partition("[")
        try:
            scope = _read_scope(rest) if bracket else None
        except (ValueError, SyntaxError):
            message = f"{short(text)} must be written Name or Name[scope], such as Signup[42]"
            raise StateNameError(message) from None
        return cls(checked_name(name), scope)

    @property
    def order(self) -> tuple[str, str, str]:
        """Sorts buckets, so that everybody can take several of them in one order."""
        return self.name, type(self.scope).__name__, str(self.scope)


def _written(scope: ScopeId) -> str:
    if not isinstance(scope, str):
        return str(scope)
    plain = _BARE_SCOPE.fullmatch(scope) and not _INT.fullmatch(scope) and not _UUID.fullmatch(scope)
    return scope if plain else repr(scope)


def _read_scope(rest: str) -> ScopeId:
    text = rest.removesuffix("]")
    if text in ("", rest):
        raise ValueError
    if _INT.fullmatch(text) and len(text) <= _LONGEST:
        return int(text)
    if _UUID.fullmatch(text):
        return uuid.UUID(text)
    value = ast.literal_eval(text) if text[0] in "'\"" else text
    if isinstance(value, str):
        return value
    raise ValueError


def checked_scope(scope: object, where: str) -> ScopeId:
    """Give *scope* back if buckets can be told apart by it; an enum's member counts as its value.

    Args:
        where: what it is the scope of, for the message.

    Raises:
        ScopeError: it is not a str, int or UUID, or is too long to be shown.

    Example:
        >>> checked_scope(42, "Signup")
        42
    """
    value = scope.value if isinstance(scope, enum.Enum) else scope
    if isinstance(value, bool) or not isinstance(value, str | int | uuid.UUID):
        raise ScopeError(f"{where}: a scope must be a str, int or UUID, not {short(scope)} ({type(scope).__name__})")
    if isinstance(value, uuid.UUID):
        return value
    fits = 0 < len(value) <= _LONGEST if isinstance(value, str) else _LEAST_INT < value < _GREATEST_INT
    if not fits:
        raise ScopeError(f"{where}: a scope must have 1 to {_LONGEST} characters, not {short(scope)}")
    return str.__str__(value) if isinstance(value, str) else int(value)


def checked_name(name: object) -> str:
    """Give *name* back if a State can be called that.

    Raises:
        StateNameError: it is not a str of letters, digits, ``_``, ``.`` and ``-`` that starts with a letter or ``_``.

    Example:
        >>> checked_name("signup")
        'signup'
    """
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise StateNameError(
        f"{name!r} can't be the name of a State: use letters, digits, '_', '.' and '-', "
        "and start with a letter or '_'"
    )


def owner_of(cls: type) -> tuple[str, str]:
    """Where a class comes from: its module, and its full name for messages."""
    return cls.__module__, f"{cls.__module__}.{cls.__qualname__}"
