"""Ops are pure functions of the fields."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import pytest
from support.containers import Stack, batch, same

from qstate_nb import ABSENT, State, StateKey
from qstate_nb.core import ops
from qstate_nb.core.buckets import Draft
from qstate_nb.core.fields import Rules
from qstate_nb.errors import FieldTypeError

STORED: Any = MappingProxyType({"a": 1, "b": None, "list": [1]})  # an op that changes them raises
EMPTY: Any = MappingProxyType({})


class Signup(State):
    n: int = 5
    tags: list[str] = ["new"]  # noqa: RUF012


FREE = Rules(StateKey("Signup"), None)
DECLARED = Rules(StateKey("Signup"), Signup.declared)


def outcome(result: tuple[Any, Any]) -> tuple[Any, list[tuple[str, Any]]]:
    value, changes = result
    return value, list(changes)


def test_get_tells_a_value_from_an_absent_field() -> None:
    assert ops.get(STORED, "a") == (1, ())
    assert ops.get(STORED, "b") == (None, ())
    assert ops.get(STORED, "c") == (ABSENT, ())


def test_get_all_is_a_new_dict_in_order() -> None:
    fields, changes = ops.get_all(STORED)
    assert list(fields.items()) == [("a", 1), ("b", None), ("list", [1])]
    assert changes == ()
    assert ops.get_all(STORED)[0] is not fields


ALL = {"a": 1, "b": None, "list": [1]}

OUTCOMES: list[tuple[ops.Outcome, Any, list[tuple[str, Any]]]] = [
    (ops.set_(STORED, "a", 2), None, [("a", 2)]),
    (ops.set_(STORED, "a", 1), None, [("a", 1)]),
    (ops.set_(STORED, "c", None), None, [("c", None)]),
    (ops.update(STORED, {"c": 3, "a": 2}), {**ALL, "a": 2, "c": 3}, [("c", 3), ("a", 2)]),
    (ops.update(STORED, {"a": 1}), ALL, [("a", 1)]),
    (ops.update(STORED, {}), ALL, []),
    (ops.delete(STORED, "b"), None, [("b", ABSENT)]),
    (ops.delete(STORED, "c"), None, []),
    (ops.clear(STORED), None, [(key, ABSENT) for key in ALL]),
    (ops.clear(EMPTY), None, []),
    (ops.drop(STORED), None, [(key, ABSENT) for key in ALL]),
    (ops.drop(EMPTY), None, []),
    (ops.setdefault(STORED, "a", 2, FREE), 1, []),
    (ops.setdefault(STORED, "b", 2, FREE), None, []),
    (ops.setdefault(STORED, "c", 2, FREE), 2, [("c", 2)]),
    (ops.setdefault(STORED, "n", 2, DECLARED), 5, []),
    (ops.setdefault({"n": 3}, "n", 2, DECLARED), 3, []),
    (ops.pop(STORED, "b"), None, [("b", ABSENT)]),
    (ops.pop(STORED, "c"), ABSENT, []),
    (ops.increment(STORED, "a", 2, FREE), 3, [("a", 3)]),
    (ops.increment(STORED, "a", -0.5, FREE), 0.5, [("a", 0.5)]),
    (ops.increment(STORED, "c", 2, FREE), 2, [("c", 2)]),
    (ops.increment(STORED, "a", 0, FREE), 1, [("a", 1)]),
    (ops.increment(STORED, "a", Decimal("0.1"), FREE), Decimal("1.1"), [("a", Decimal("1.1"))]),
    (ops.increment(STORED, "a", Fraction(1, 2), FREE), Fraction(3, 2), [("a", Fraction(3, 2))]),
    (ops.increment(STORED, "a", 1j, FREE), 1 + 1j, [("a", 1 + 1j)]),
    (ops.increment(EMPTY, "n", 2, DECLARED), 7, [("n", 7)]),
    (ops.append(STORED, "list", 2, FREE), None, [("list", [1, 2])]),
    (ops.append(STORED, "list", [2], FREE), None, [("list", [1, [2]])]),
    (ops.append(STORED, "c", 2, FREE), None, [("c", [2])]),
    (ops.append(EMPTY, "tags", "vip", DECLARED), None, [("tags", ["new", "vip"])]),
    (ops.append({"list": Stack([1])}, "list", 2, FREE), None, [("list", Stack([1, 2]))]),
]


@pytest.mark.parametrize(("done", "result", "changes"), OUTCOMES)
def test_an_op_gives_its_result_and_what_it_changes(
    done: ops.Outcome, result: Any, changes: list[tuple[str, Any]]
) -> None:
    assert same(outcome(done), (result, changes))


def test_append_makes_a_new_list() -> None:
    """Events and readers have the old one."""
    old = [1]
    _, changes = ops.append({"list": old}, "list", 2, FREE)
    assert old == [1]
    assert next(iter(changes))[1] is not old


def test_what_is_appended_to_a_list_of_a_subclass_leaves_it_what_it_is() -> None:
    old = batch([[1]], ["label"])
    _, changes = ops.append({"list": old}, "list", 2, FREE)
    ((_, new),) = changes
    assert same(new, batch([[1], 2], ["label"]))
    assert same(old, batch([[1]], ["label"]))


def test_what_is_appended_to_a_default_is_not_in_the_default() -> None:
    ops.append(EMPTY, "tags", "vip", DECLARED)
    assert DECLARED.default("tags", None) == ["new"]


WRONG: list[tuple[ops.Op, tuple[Any, ...], str]] = [
    (ops.increment, ("text", 1), "can't be incremented by 1: 'x' is of type str, and that is no number"),
    (ops.increment, ("none", 1), "can't be incremented by 1: None is of type NoneType, and that is no number"),
    (ops.increment, ("true", 1), "can't be incremented by 1: True is of type bool, and that is no number"),
    (ops.increment, ("list", 1), "can't be incremented by 1: [1] is of type list, and that is no number"),
    (ops.increment, ("one", "x"), "can't be incremented by 'x': 'x' is of type str, and that is no number"),
    (ops.increment, ("one", True), "can't be incremented by True: True is of type bool, and that is no number"),
    (ops.increment, ("one", None), "can't be incremented by None: None is of type NoneType, and that is no number"),
    (ops.increment, ("one", [1]), "can't be incremented by [1]: [1] is of type list, and that is no number"),
    (ops.increment, ("new", "x"), "can't be incremented by 'x': 'x' is of type str, and that is no number"),
    (
        ops.increment,
        ("float", Decimal("0.1")),
        "can't be incremented by Decimal('0.1'): 1.5 is of type float, and Decimal can't be added",
    ),
    (ops.append, ("tuple", 1), "can't be appended to: (1, 2) is of type tuple, and that is no list"),
    (ops.append, ("text", 1), "can't be appended to: 'x' is of type str, and that is no list"),
    (ops.append, ("none", 1), "can't be appended to: None is of type NoneType, and that is no list"),
    (ops.append, ("dict", 1), "can't be appended to: {'a': 1} is of type dict, and that is no list"),
]


@pytest.mark.parametrize(("op", "args", "message"), WRONG)
def test_a_value_of_the_wrong_type_is_named_with_state_key_and_type(
    op: ops.Op, args: tuple[Any, ...], message: str
) -> None:
    scalars = {"text": "x", "none": None, "true": True, "one": 1, "float": 1.5}
    fields = {**scalars, "list": [1], "tuple": (1, 2), "dict": {"a": 1}}
    rules = Rules(StateKey("Signup", 42), None)
    with pytest.raises(FieldTypeError) as caught:
        op(MappingProxyType(fields), *args, rules)
    assert str(caught.value) == f"Signup[42].{args[0]} {message}"
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_long_value_is_shortened_in_the_message(size: int) -> None:
    with pytest.raises(FieldTypeError) as caught:
        ops.increment({"a": "x" * size}, "a", 1, FREE)
    assert len(str(caught.value)) < 200
    assert "'xxx" in str(caught.value)


def test_what_an_op_makes_of_a_declared_field_is_checked() -> None:
    with pytest.raises(FieldTypeError, match=r"Signup.n can't be 5.5 \(float\)"):
        ops.increment(EMPTY, "n", 0.5, DECLARED)
    with pytest.raises(FieldTypeError, match=r"Signup.tags can't be \['new', 5\] \(list\)"):
        ops.append(EMPTY, "tags", 5, DECLARED)


@pytest.mark.parametrize(("op", "name"), [(ops.set_, "set"), (ops.get_all, "get_all"), (ops.drop, "drop")])
def test_the_name_of_an_op_is_that_of_its_function(op: ops.Op, name: str) -> None:
    assert op.__name__.rstrip("_") == name


# -- a transaction's draft is as good as the fields themselves -------------------------------------------------------


def test_a_draft_shows_its_changes_over_what_is_below() -> None:
    draft = Draft({"a": 1, "b": 2, "c": 3})
    draft.write([("b", ABSENT), ("d", 4), ("a", 5)])
    assert draft.copy() == {"a": 5, "c": 3, "d": 4}
    assert list(draft) == list(draft.copy()) == ["a", "c", "d"]
    assert [key in draft for key in "abcde"] == [True, False, True, True, False]
    assert [draft.get(key, "no") for key in "abcde"] == [5, "no", 3, 4, "no"]
    assert draft.net() == [("b", ABSENT), ("d", 4), ("a", 5)]
    draft.write([("d", ABSENT), ("b", 6)])
    assert draft.net() == [("b", 6), ("a", 5)]
    assert list(draft.copy()) == ["a", "b", "c"]


def test_ops_work_on_a_draft_as_on_fields() -> None:
    draft = Draft(Draft(STORED))
    draft.write(ops.set_(draft, "c", 3)[1])
    draft.write(ops.increment(draft, "c", 1, FREE)[1])
    draft.write(ops.append(draft, "list", 2, FREE)[1])
    draft.write(ops.pop(draft, "a")[1])
    assert ops.get_all(draft) == ({"b": None, "list": [1, 2], "c": 4}, ())
    draft.write(ops.clear(draft)[1])
    assert ops.get_all(draft) == ({}, ())
    assert dict(STORED) == ALL
