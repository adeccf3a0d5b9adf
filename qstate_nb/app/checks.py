"""The checks of a scenario: what State or a result was to be, and how it differs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from qstate_nb.app.result import TaskResult
from qstate_nb.app.steps import Check, error_text
from qstate_nb.core.diff import diff, is_same
from qstate_nb.core.formats import printable, short
from qstate_nb.core.journal import ABSENT
from qstate_nb.core.keys import StateKey
from qstate_nb.core.registry import StateRegistry
from qstate_nb.core.timetravel import StateLike
from qstate_nb.core.values import copy_value
from qstate_nb.errors import ScenarioError

_MOST = 20  # lines of a difference
_KEY = StateKey("compared")


def is_equal(expected: Any, actual: Any) -> bool:
    """Tell whether two values are equal; objects whose comparison fails are not."""
    try:
        return bool(expected == actual) or is_same(expected, actual)  # not a number is the same as itself
    except Exception:  # an object's own comparison can do anything
        return False


def differences(name: str, expected: Any, actual: Any) -> list[str]:
    """What differs between two values, a line each; long text is compared line by line. Empty if they are equal.

    Args:
        name: what the value is called.

    Example:
        >>> differences("cart", {"apples": 1, "pears": 2}, {"apples": 3})
        ["cart['apples']: expected 1, it is 3", "cart['pears']: expected 2, there is none"]
        >>> differences("step", 1, True)
        []
    """
    if is_equal(expected, actual):
        return []
    if isinstance(expected, str) and isinstance(actual, str) and "\n" in expected + actual:
        lines = difflib.ndiff(expected.splitlines(), actual.splitlines())
        found = [f"{name}: expected (-), it is (+)", *(line for line in lines if not line.startswith("?"))]
    else:
        found = [
            _line(each.where, each.before, each.after)
            for each in diff({_KEY: {name: expected}}, {_KEY: {name: actual}})
            if not is_equal(each.before, each.after)
        ] or [_line(name, expected, actual)]
    return [*found[:_MOST], *([f"… {len(found) - _MOST:,} more"] if len(found) > _MOST else [])]


def _line(where: str, expected: Any, actual: Any) -> str:
    is_there = "there is none" if actual is ABSENT else f"it is {short(actual)}"
    return f"{where}: expected {'none' if expected is ABSENT else short(expected)}, {is_there}"


def check_state(registry: StateRegistry, state: StateLike, fields: Mapping[str, Any]) -> Check:
    """Check some fields of a State: ``...`` stands for any value, `ABSENT` for no such field.

    Raises:
        ScenarioError: no fields are given.
        NotFoundError: there is no State of that name.
        NotAStateError: *state* is none.
    """
    key = registry.key_of(state)
    if not fields:
        raise ScenarioError(f"expect({key}) says nothing about it; name what is to be there: expect({key}, step=2)")
    now = registry.peek(key)
    problems: list[str] = []
    for field, expected in fields.items():
        actual, name = now.get(field, ABSENT), f"{key}.{printable(field)}"
        if expected is ... and actual is ABSENT:
            problems.append(f"{name}: expected any value, there is none")
        elif expected is not ...:
            problems += differences(name, expected, actual)
    shown = ", ".join(f"{printable(field, 40)}={_expected(value)}" for field, value in fields.items())
    kept = {field: value if value is ... else copy_value(value) for field, value in fields.items()}
    return Check(f"expect({key}, {shown})", problems, key, kept)


def _expected(value: Any) -> str:
    return "ABSENT" if value is ABSENT else "..." if value is ... else short(value, 40)


def check_result(what: str, ended: Any, expected: Any, raises: type[BaseException] | None) -> Check:
    """Check how a call ended, or a value.

    Args:
        what: what was called.
        ended: a `TaskResult`, an exception, or the value itself.
        expected: what it was to return; ``...`` for anything.
        raises: the exception that it was to end with, instead.
    """
    error = ended.exception if isinstance(ended, TaskResult) else ended if isinstance(ended, BaseException) else None
    value = ended.returning if isinstance(ended, TaskResult) else ended
    said = f"expect_result({what}{'' if expected is ... else f', {short(expected, 60)}'}"
    if raises is None:
        if error is not None:
            problems = [
                f"result: expected {'no error' if expected is ... else short(expected)}, it is {error_text(error)}"
            ]
        else:
            problems = [] if expected is ... else differences("result", expected, value)
        return Check(f"{said})", problems)
    if not isinstance(error, raises):
        got = error_text(error) if error is not None else f"no error: it returned {short(value)}"
        return Check(f"{said}, raises={raises.__name__})", [f"result: expected {raises.__name__}, it is {got}"])
    return Check(f"{said}, raises={raises.__name__})")
