"""The words after a verb, with the user's variables in them expanded."""

from __future__ import annotations

import argparse
import keyword
import re
from collections.abc import Mapping
from typing import Any

from qstate_nb.errors import CommandError
from qstate_nb.notebook.arguments import Given, Variables, literal
from qstate_nb.notebook.stores import unshown
from qstate_nb.notebook.verbs import Verb, count

_QUOTED_NAME = re.compile(r"""((?:"[^"]*")|(?:'[^']*'))(=)(.*)""", re.DOTALL)


class Line:
    """What one verb was given.

    Args:
        verb: the verb.
        words: as the verb's grammar parsed them.
        names: the user's variables.
    """

    def __init__(self, verb: Verb, words: argparse.Namespace, names: Mapping[str, Any]) -> None:
        self._verb = verb
        self._words = vars(words)
        self.names = names
        self._variables = Variables(names)

    def __getitem__(self, name: str) -> str:
        """A name: quotes around it are taken off."""
        return self._name(self._words[name])

    def _name(self, word: str) -> str:
        given = self._variables.value(word)
        return given.value if given.text is None and isinstance(given.value, str) else str(given.text or given.value)

    def maybe(self, name: str) -> str | None:
        """A name that may be missing."""
        return None if self._words[name] is None else self[name]

    def hidden(self, name: str) -> str | None:
        """As `maybe`, for what may have a password in it: no error shows what was typed.

        Raises:
            CommandError: it can't be understood.
        """
        with unshown([self._verb.name, self._words[name] or ""]):
            return self.maybe(name)

    def option(self, name: str) -> Any:
        """The value of an option.

        Raises:
            CommandError: it can't be used.
        """
        word = self._words[name]
        return self._verb.converted(name, str(self._variables.value(word).value)) if isinstance(word, str) else word

    def count(self, name: str) -> int:
        """A whole number, 1 or more; 1 if it is missing.

        Raises:
            CommandError: it is none.
        """
        word = self._words[name]
        try:
            return 1 if word is None else count(str(self._variables.value(word).value))
        except ValueError as error:
            self._verb.error(f"{name.upper()} {word}: {error}")

    def moment(self, name: str) -> int | str | None:
        """The number of an event, or a label; it may be missing."""
        word = self.maybe(name)
        return int(word) if word is not None and word.isdecimal() else word

    def value(self, name: str) -> Any:
        """A value: one word is a literal, a variable or text; several are text."""
        words = self._words[name]
        return self._variables.value(words[0]).value if len(words) == 1 else self._variables.text(" ".join(words))

    def literal(self, name: str, default: Any) -> Any:
        """A value of one word that may be missing."""
        word = self._words[name]
        return default if word is None else self._variables.value(word).value

    def words(self, name: str) -> list[str]:
        """Words as they were typed."""
        found: list[str] = self._words[name]
        return found

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of the user's variables.

        Raises:
            CommandError: it fails.
        """
        return self._variables.evaluate(expression)

    def quoted(self, name: str) -> str | None:
        """A text that may be missing, without the quotes around it; nothing in it is expanded."""
        word = self._words[name]
        given = None if word is None else literal(word)
        return word if given is None or given.text is not None else str(given.value)

    def pairs(self) -> dict[str, Given]:
        """The values of ``k=v`` words.

        Raises:
            CommandError: a word is not of that form, or a name comes twice.
        """
        pairs: dict[str, Given] = {}
        for word in self._words["k=v"]:
            quoted = _QUOTED_NAME.match(word)
            name, equals, value = quoted.groups() if quoted else word.partition("=")
            if not equals or not name:
                raise CommandError(f"{word!r} must be of the form name=value")
            name = self._name(name)
            if name in pairs:
                raise CommandError(f"{name!r} was given twice")
            pairs[name] = self._variables.value(value)
        return pairs

    def variable(self, name: str) -> str | None:
        """An option that names a variable to assign to.

        Raises:
            CommandError: it can't be a variable.
        """
        variable = self.maybe(name)
        if variable is not None and (not variable.isidentifier() or keyword.iskeyword(variable)):
            raise CommandError(f"-{name} {variable}: that can't be the name of a variable")
        return variable
