"""Ops are pure functions of the fields."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from qstate_nb import ABSENT
from qstate_nb.core import ops

FIELDS = MappingProxyType({"a": 1, "b": None})  # an op that changes them raises


def test_get_tells_a_value_from_an_absent_field() -> None:
    assert ops.get(FIELDS, "a") == 1
    assert ops.get(FIELDS, "b") is None
    assert ops.get(FIELDS, "c") is ABSENT


def test_get_all_is_a_new_dict_in_order() -> None:
    assert list(ops.get_all(FIELDS).items()) == [("a", 1), ("b", None)]
    assert ops.get_all(FIELDS) is not ops.get_all(FIELDS)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (ops.set_(FIELDS, "a", 2), (None, (("a", 1, 2),))),
        (ops.set_(FIELDS, "a", 1), (None, (("a", 1, 1),))),
        (ops.set_(FIELDS, "c", None), (None, (("c", ABSENT, None),))),
        (
            ops.update(FIELDS, {"c": 3, "a": 2}),
            ({"a": 2, "b": None, "c": 3}, (("c", ABSENT, 3), ("a", 1, 2))),
        ),
        (ops.update(FIELDS, {"a": 1}), ({"a": 1, "b": None}, (("a", 1, 1),))),
        (ops.update(FIELDS, {}), ({"a": 1, "b": None}, ())),
        (ops.delete(FIELDS, "b"), (None, (("b", None, ABSENT),))),
        (ops.delete(FIELDS, "c"), (None, ())),
        (ops.clear(FIELDS), (None, (("a", 1, ABSENT), ("b", None, ABSENT)))),
        (ops.clear({}), (None, ())),
    ],
)
def test_a_writing_op_gives_its_result_and_what_it_changes(outcome: Any, expected: Any) -> None:
    assert outcome == expected
