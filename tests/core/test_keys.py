"""A State's name is its address."""

from __future__ import annotations

import pytest

from qstate_nb import StateKey
from qstate_nb.core.keys import checked_name, owner_of
from qstate_nb.errors import StateNameError


def test_keys_of_one_name_are_one_key() -> None:
    assert StateKey("Signup") == StateKey("Signup")
    assert {StateKey("Signup"): 1}[StateKey("Signup")] == 1
    assert StateKey("Signup") != StateKey("signup")


def test_a_key_is_written_as_its_name() -> None:
    assert str(StateKey("Signup")) == "Signup"


def test_a_key_can_not_change() -> None:
    with pytest.raises(AttributeError):
        StateKey("Signup").name = "Other"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["Signup", "_private", "sign-up", "shop.orders", "Größe", "a1"])
def test_a_usable_name_is_given_back(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "1st", "sign up", "a/b", "a[1]", "-a", ".a", "a\n", None, 5, b"a"])
def test_an_unusable_name_is_refused_with_what_is_allowed(name: object) -> None:
    with pytest.raises(StateNameError, match=r"can't be the name of a State: use letters, digits") as caught:
        checked_name(name)
    assert str(caught.value).startswith(repr(name))


def test_a_class_is_owned_by_its_module() -> None:
    class Local:
        pass

    module, full_name = owner_of(Local)
    assert module == __name__
    assert full_name == f"{__name__}.test_a_class_is_owned_by_its_module.<locals>.Local"
