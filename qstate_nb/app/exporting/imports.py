"""The imports of a module that is written, and what the imported things are called in it."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import msgspec

from qstate_nb.app.exporting.layout import WIDTH

_WHOLE = ("datetime", "re")  # their classes are known by longer names


class Import(msgspec.Struct, frozen=True, order=True):
    """Something that is imported: a module, or what it has under a name."""

    module: str
    attribute: str = ""


def import_of(module: str, name: str) -> tuple[Import, str]:
    """How something in a module is imported, and what comes after the imported name to get at it.

    Example:
        >>> import_of("datetime", "date"), import_of("shop", "Order.Status")
        ((Import(module='datetime', attribute=''), '.date'), (Import(module='shop', attribute='Order'), '.Status'))
    """
    if module in _WHOLE:
        return Import(module), f".{name}"
    first, dot, rest = name.partition(".")
    return Import(module, first), dot + rest


class Imports:
    """What is imported, under which names.

    Example:
        >>> imports = Imports()
        >>> imports.fix("np", Import("numpy"))
        True
        >>> imports.use(Import("shop.tasks", "np")), imports.use(Import("shop.tasks", "step1"))
        ('np_', 'step1')
        >>> print(*imports.lines(), sep=chr(10))
        import numpy as np
        from shop.tasks import np as np_
        from shop.tasks import step1
    """

    def __init__(self) -> None:
        self._names: dict[str, Import | None] = {}  # name → what it is; None if it is defined here
        self._fixed: set[Import | None] = set()

    def copy(self) -> Imports:
        """The same once more, to be changed by itself."""
        made = Imports()
        made._names, made._fixed = self._names.copy(), self._fixed.copy()
        return made

    def fix(self, name: str, what: Import | None) -> bool:
        """Let a name mean something, an import or a definition; tells whether that can be."""
        self._fixed.add(what)
        return self._names.setdefault(name, what) == what

    def use(self, what: Import) -> str:
        """Import something under a name that is free, and give that."""
        for name, known in self._names.items():
            if known == what:
                return name
        name = what.attribute or what.module.rpartition(".")[2]
        if name.startswith(("test", "Test")):
            name = f"its_{name}"  # pytest would take it for a test
        name = self.free(name)
        self._names[name] = what
        return name

    def free(self, name: str) -> str:
        """The name, or a similar one, that means nothing yet."""
        while name in self._names:
            name += "_"
        return name

    def drop(self, unused: Iterable[Import]) -> None:
        """Forget imports, unless their names were fixed."""
        gone = set(unused) - self._fixed
        self._names = {name: what for name, what in self._names.items() if what not in gone}

    def lines(self) -> list[str]:
        """The statements: the standard library first, what is installed, and then one's own."""
        sections: dict[int, list[str]] = {}
        for module in sorted({what.module for what in self._names.values() if what is not None}, key=str.lower):
            sections.setdefault(_section(module), []).extend(self._statements(module))
        lines: list[str] = []
        for _, statements in sorted(sections.items()):
            plain = [line for line in statements if line.startswith("import ")]
            others = [line for line in statements if not line.startswith("import ")]
            lines += [*([""] if lines else []), *plain, *others]
        return lines

    def _statements(self, module: str) -> Iterable[str]:
        names = [(what, name) for name, what in self._names.items() if what is not None and what.module == module]
        whole: list[str] = []
        for what, name in sorted(names, key=lambda each: _member_order(each[0].attribute)):
            if not what.attribute:
                yield f"import {module}" if name == module else f"import {module} as {name}"
            elif what.attribute == name:
                whole.append(name)
            else:
                yield f"from {module} import {what.attribute} as {name}"
        if whole:
            text = f"from {module} import {', '.join(whole)}"
            parts = [f"from {module} import (", *(f"    {name}," for name in whole), ")"]
            yield text if len(text) <= WIDTH else "\n".join(parts)


def _member_order(name: str) -> tuple[int, str]:
    kind = 0 if name.isupper() else 1 if name[:1].isupper() else 2
    return kind, name


def _section(module: str) -> int:
    top = module.partition(".")[0]
    if top == "__future__":
        return 0
    if top in sys.stdlib_module_names:
        return 1
    file = getattr(sys.modules.get(top), "__file__", None)
    installed = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    is_installed = file is None or any(folder in Path(file).parents for folder in installed)
    return 2 if is_installed or top == "qstate_nb" else 3
