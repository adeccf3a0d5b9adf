"""From typed text to values: of a `%qstate` line, and of the panel's text fields.

A line is split into words first. Then each word is a Python literal or else text; ``$name`` and ``{expr}`` in it
are expanded from the user's variables, word by word. Last, a value is converted to the annotation of the
parameter that it is for.
"""

from __future__ import annotations

import ast
import datetime
import enum
import inspect
import re
import types
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from qstate_nb.app.task import annotation_text
from qstate_nb.core.formats import message, short
from qstate_nb.errors import ArgumentError, CommandError

_AS_TEXT = "put all of it in quotes to have it as text"
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_EXPANSION = re.compile(r"\$([^\W\d]\w*(?:\.[^\W\d]\w*)*)|\{([^{}]+)\}")
_NO_LITERAL = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)
_NATIVE = (bytes, bytearray)  # msgspec would decode a str as base64
T = TypeVar("T")
_QUOTED = re.compile(r"[A-Za-z]{0,2}['\"]")


def split(line: str, *, has_calls: bool = False) -> list[str]:
    """The words of a line: separated by blanks, but not inside quotes or brackets, which stay in the word.

    A quote counts where a word or a value (after ``=``) starts, and inside brackets; so ``it's`` is a word.

    Args:
        has_calls: whether a bracket counts also inside a word, as in ``withdraw(amount=80)``.

    Raises:
        CommandError: a quote or a bracket is not closed.

    Example:
        >>> split("update Signup prompt='Enter phone' codes=[1, 2]")
        ['update', 'Signup', "prompt='Enter phone'", 'codes=[1, 2]']
    """
    words: list[str] = []
    start: int | None = None
    closers: list[str] = []
    index = 0
    while index < len(line):
        char = line[index]
        if start is None and not char.isspace():
            start = index
        fresh = bool(closers) or start == index or (index > 0 and line[index - 1] == "=")
        if start is not None and char.isspace() and not closers:
            words.append(line[start:index])
            start = None
        elif char in "'\"" and fresh:
            index = _end_of_quote(line, index)
        elif char in _BRACKETS and (fresh or char == "{" or has_calls):
            closers.append(_BRACKETS[char])
        elif closers and char == closers[-1]:
            closers.pop()
        index += 1
    if closers:
        raise CommandError(f"{closers[-1]!r} is missing at the end of: {line[start:]}; {_AS_TEXT}")
    return words if start is None else [*words, line[start:]]


def _end_of_quote(line: str, start: int) -> int:
    index = start + 1
    while index < len(line):
        if line[index] == line[start]:
            return index
        index += 2 if line[index] == "\\" else 1
    raise CommandError(f"the quote {line[start]} is not closed: {line[start:]}; {_AS_TEXT}")


def as_word(text: str) -> str:
    """A name or text as it has to be typed: in quotes if it would mean something else without.

    Example:
        >>> as_word("step"), as_word("first name"), as_word("$5 or {x}")
        ('step', "'first name'", "'$5 or {x}'")
    """
    try:
        is_word = split(text) == [text]
    except CommandError:
        is_word = False
    special = _EXPANSION.search(text) or _QUOTED.match(text) or text.startswith("-") or text.endswith(";")
    return text if is_word and not special and text.isprintable() else repr(text)


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was given.

    Args:
        value: a literal's value, a variable, or text.
        text: what was typed, where another reading of it is possible; None for quoted text and variables.
    """

    value: Any
    text: str | None = None


class Variables:
    """The user's variables, for ``$name`` and ``{expr}``.

    Args:
        names: global and local variables, the latter first.
    """

    def __init__(self, *names: Mapping[str, Any]) -> None:
        self._names = {name: value for scope in reversed(names) for name, value in scope.items()}

    def value(self, word: str) -> Given:
        """What a word means: a literal, a variable, an expression, or text with these in it.

        Raises:
            CommandError: a variable is unknown, or an expression fails.

        Example:
            >>> v = Variables({"n": 2})
            >>> [v.value(word).value for word in ("7", "'7'", "$n", "{n + 1}", "{'a': 1}", "{n}-{n}", "cost=$5")]
            [7, '7', 2, 3, {'a': 1}, '2-2', 'cost=$5']
        """
        given = literal(word)
        if given.text is None or not isinstance(given.value, str):
            return given
        whole = _EXPANSION.fullmatch(word)
        if word.startswith("{") and _is_display(word) and not (whole and _parsed(whole[2])):
            return Given(self._evaluate(word, word))
        if whole is not None:
            return Given(self._expand(whole, word))
        if word[:1] in ("(", "[") and _EXPANSION.search(word):
            raise CommandError(f"in {word!r}, write the whole as an expression, such as {{[n, 2]}}, or quote it")
        return Given(text := self.text(word), text)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression.

        Raises:
            CommandError: a variable is unknown, or it fails.
        """
        return self._evaluate(expression, expression)

    def text(self, word: str) -> str:
        """A word with its ``$name`` and ``{expr}`` replaced by their text.

        Raises:
            CommandError: a variable is unknown, or an expression fails.
        """
        return _EXPANSION.sub(lambda match: str(self._expand(match, word)), word)

    def _expand(self, match: re.Match[str], word: str) -> Any:
        return self._evaluate(match[1] or match[2], word)

    def _evaluate(self, expression: str, word: str) -> Any:
        hint = f"in {word!r}; quote it to have it as text"
        try:
            return eval(expression.strip(), dict(self._names))  # noqa: S307 - the user's own line
        except NameError as error:
            raise CommandError(f"{message(error)} {hint}") from None
        except SyntaxError:
            raise CommandError(f"{expression!r} is no expression {hint}") from None
        except Exception as error:
            raise CommandError(f"{expression!r} fails with {type(error).__name__}: {message(error)} {hint}") from None


def _parsed(expression: str) -> ast.expr | None:
    try:
        return _quietly(lambda: ast.parse(expression.strip(), mode="eval").body)
    except _NO_LITERAL:
        return None


def _is_display(word: str) -> bool:
    """Tell whether a word is a dict or set as a whole, which ``{a}-{b}`` is not."""
    return isinstance(_parsed(word), ast.Dict | ast.Set | ast.DictComp | ast.SetComp)


def _quietly(parse: Callable[[], T]) -> T:
    """Parse what may be no Python, without Python's warnings about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return parse()


def literal(word: str) -> Given:
    """A word as a Python literal, or else as text; ``+49…`` is text, as nobody writes a number so.

    Example:
        >>> literal("[1, 2]").value, literal("'a'").value, literal("await_phone").value, literal("+49").value
        ([1, 2], 'a', 'await_phone', '+49')
    """
    try:
        value = word if word.startswith("+") else _quietly(lambda: ast.literal_eval(word))
    except _NO_LITERAL:
        value = word
    return Given(value, None if _QUOTED.match(word) and value is not word else word)


def convert(parameter: inspect.Parameter, given: Given, task: str) -> Any:
    """A value as the parameter's annotation wants it: what was typed is read as that type if it can be.

    A variable that is of that type already is given as it is.

    Raises:
        ArgumentError: it can't be; it names task, parameter and value.
    """
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty or annotation is Any or _fits(given, annotation):
        return given.value
    problem: Exception | None = None
    for reading in _readings(given, annotation):
        try:
            return reading()
        except TypeError:  # a type that msgspec can't check
            continue
        except Exception as error:  # msgspec's, or any of a dataclass's own
            problem = problem or error
    choices = [name for part in parts(annotation) for name, _ in listed(part)]
    if choices and all(map(_is_listed, parts(annotation))):
        raise _misfit(parameter, given, task, f"it can be {', '.join(choices)}")
    if problem is None:  # the task will check it
        return given.value
    raise _misfit(parameter, given, task, message(problem))


def _misfit(parameter: inspect.Parameter, given: Given, task: str, problem: str) -> ArgumentError:
    wanted = f"{parameter.name}: {annotation_text(parameter)}"
    typed = given.value if given.text is None else given.text
    return ArgumentError(f"task {task!r}, parameter {wanted!r}: {short(typed)} doesn't fit ({problem})")


def _fits(given: Given, annotation: Any) -> bool:
    """Tell whether it is a variable, or quoted, and of the type."""
    try:
        return given.text is None and isinstance(given.value, annotation)
    except TypeError:  # not every annotation is a class
        return False


def _readings(given: Given, annotation: Any) -> Iterator[Callable[[], Any]]:
    """The ways to read a value, the strictest first."""
    yield lambda: msgspec.convert(given.value, annotation, builtin_types=_NATIVE)
    typed = given.value if given.text is None else given.text
    if typed is not given.value:
        yield lambda: msgspec.convert(typed, annotation, builtin_types=_NATIVE)
    for part in parts(annotation):
        yield from (partial(_itself, value) for name, value in listed(part) if _means(given, name, value))
        if part is datetime.datetime and isinstance(typed, str):
            yield lambda: datetime.datetime.fromisoformat(typed)  # msgspec wants seconds
        if part is bytes or part is bytearray:
            return  # the lax reading below decodes base64 all the same
    yield lambda: msgspec.convert(typed, annotation, strict=False)


def _itself(value: Any) -> Any:
    return value


def _means(given: Given, name: str, value: Any) -> bool:
    plain = value.value if isinstance(value, enum.Enum) else value
    if isinstance(given.value, str) and given.value == name:
        return True
    return type(given.value) is type(plain) and bool(given.value == plain)


def parts(annotation: Any) -> Iterator[Any]:
    """An annotation without ``Annotated``, and of a union its members."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        yield from parts(annotation.__origin__)
    elif origin is typing.Union or origin is types.UnionType:
        for member in typing.get_args(annotation):
            yield from parts(member)
    else:
        yield annotation


def _is_listed(part: Any) -> bool:
    is_enum = isinstance(part, type) and issubclass(part, enum.Enum)
    return is_enum or part is type(None) or typing.get_origin(part) is Literal


def listed(annotation: Any) -> list[tuple[str, Any]]:
    """The values that an annotation allows, each with how it is written, where it lists them: Literal, Enum, None.

    Example:
        >>> listed(Literal["a", 1]), listed(type(None)), listed(int)
        ([('a', 'a'), ('1', 1)], [('None', None)], [])
    """
    if not _is_listed(annotation):
        return []
    if annotation is type(None):
        return [("None", None)]
    if typing.get_origin(annotation) is not Literal:
        return list(annotation.__members__.items())
    values = typing.get_args(annotation)
    return [(value.name if isinstance(value, enum.Enum) else str(value), value) for value in values]
