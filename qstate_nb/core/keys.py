"""Which bucket a State class means.

The *name* is a State class's identity, not the class object: a notebook cell that defines the class anew keeps
its data. The registry asks `owner_of` to tell a class that was defined again (same module) from two
different classes that happen to share a name (different modules).
"""

from __future__ import annotations

import re

import msgspec

from qstate_nb.errors import StateNameError

_NAME = re.compile(r"[^\W\d][\w.-]*")


class StateKey(msgspec.Struct, frozen=True, cache_hash=True):
    """The address of one bucket.

    Example:
        >>> str(StateKey("Signup"))
        'Signup'
    """

    name: str

    def __str__(self) -> str:
        return self.name


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
