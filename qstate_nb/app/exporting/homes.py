"""Which module something can be imported from, by another program."""

from __future__ import annotations

import builtins
import importlib.machinery
import os
import sys
from collections.abc import Iterable
from typing import Any

from qstate_nb.app.exporting.imports import Import, import_of
from qstate_nb.core.journal import ABSENT


def can_be_imported(name: str, file: str | None = None) -> bool:
    """Whether another program, with the same path, finds a module of that name, in that file if it has one.

    Example:
        >>> can_be_imported("decimal"), can_be_imported("__main__")
        (True, False)
    """
    if name == "__main__":
        return False
    path: Any = None
    found: importlib.machinery.ModuleSpec | None = None
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        found = _spec(".".join(parts[:count]), path)
        if found is None:
            return False
        path = found.submodule_search_locations
        if path is None and count < len(parts):
            return name == "os.path"
    origin = "" if found is None or found.origin is None else found.origin
    return file is None or origin in ("frozen", "built-in") or os.path.realpath(origin) == os.path.realpath(file)


def _spec(name: str, path: Any) -> importlib.machinery.ModuleSpec | None:
    """What the import system finds: not by `importlib.util.find_spec`, which knows modules that were made by hand."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = None if find is None else find(name, path)
        if spec is not None:
            return spec  # type: ignore[no-any-return]
    return None


def is_builtin(thing: Any) -> bool:
    """Whether something has its name in every module."""
    name = getattr(thing, "__name__", None)
    return isinstance(name, str) and getattr(builtins, name, None) is thing


def home_of(thing: Any) -> tuple[Import, str] | None:
    """The module that a class or function can be imported from, and the rest of its name."""
    if thing is ABSENT:
        return Import("qstate_nb", "ABSENT"), ""
    module = getattr(thing, "__module__", None)
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or getattr(thing, "_name", None)
    if not isinstance(module, str) or not isinstance(name, str) or "<" in name:
        return None
    for place in _places(module):
        held: Any = sys.modules.get(place)
        if held is None or not can_be_imported(place, getattr(held, "__file__", None)):
            continue
        for part in name.split("."):
            held = getattr(held, part, None)
        if held is thing:
            return import_of(place, name)
    return None


def _places(module: str) -> Iterable[str]:
    """Where something of a module may be found: libraries show it in a package above."""
    parts = module.split(".")
    above = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
    is_library = parts[0] in sys.stdlib_module_names or parts[0] == "qstate_nb"
    return above if is_library else reversed(above)
