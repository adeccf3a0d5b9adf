"""A State's name is its address."""

from __future__ import annotations

import copy
import enum
import pickle
import uuid
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qstate_nb import StateKey
from qstate_nb.core.keys import checked_name, checked_scope, owner_of
from qstate_nb.errors import ScopeError, StateError, StateNameError

SOME_UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")


def test_keys_of_one_name_are_one_key() -> None:
    assert StateKey("Signup") == StateKey("Signup")
    assert {StateKey("Signup"): 1}[StateKey("Signup")] == 1
    assert StateKey("Signup") != StateKey("signup")


def test_keys_of_one_name_and_one_scope_are_one_key() -> None:
    """An int, its text, and no scope are three scopes; 0 is one as well."""
    scopes: list[Any] = [None, 0, "0", 42, "42", "anna", SOME_UUID, str(SOME_UUID)]
    assert len({StateKey("Signup", scope) for scope in scopes}) == len(scopes)
    for scope in scopes:
        key = StateKey("Signup", scope)
        assert key == StateKey("Signup", scope)
        assert hash(key) == hash(StateKey("Signup", scope))
        assert copy.deepcopy(key) == pickle.loads(pickle.dumps(key)) == key
        assert key != StateKey("Order", scope)


def test_a_key_is_written_as_its_name() -> None:
    assert str(StateKey("Signup")) == "Signup"


WRITTEN: list[tuple[Any, str]] = [
    (42, "Signup[42]"),
    (0, "Signup[0]"),
    (-5, "Signup[-5]"),
    ("anna", "Signup[anna]"),
    ("anna@example.org", "Signup[anna@example.org]"),
    ("+49:5-1_a.b", "Signup[+49:5-1_a.b]"),
    ("Größe", "Signup[Größe]"),
    ("42", "Signup['42']"),
    ("-5", "Signup['-5']"),
    ("007", "Signup[007]"),
    ("1٣", "Signup[1٣]"),
    ("a b", "Signup['a b']"),
    ("it's", 'Signup["it\'s"]'),
    ("a]", "Signup['a]']"),
    ("a\n", "Signup['a\\n']"),
    ("", "Signup['']"),
    (SOME_UUID, f"Signup[{SOME_UUID}]"),
    (str(SOME_UUID), f"Signup['{SOME_UUID}']"),
    (str(SOME_UUID).replace("1", "a").upper(), f"Signup[{str(SOME_UUID).replace('1', 'a').upper()}]"),
]


@pytest.mark.parametrize(("scope", "text"), WRITTEN)
def test_a_scope_is_written_in_brackets_and_read_as_what_it_was(scope: Any, text: str) -> None:
    """A str has quotes where it would be read as something else."""
    assert str(StateKey("Signup", scope)) == text
    parsed = StateKey.parse(text)
    assert (parsed.name, parsed.scope, type(parsed.scope)) == ("Signup", scope, type(scope))


nasty = st.one_of(
    st.text(),
    st.text("'\"\\[]\n\r\t\0 ab0-9{}$%,#", max_size=8),
    st.text("0123456789-+_", max_size=5),
    st.uuids().map(str),
    st.uuids().map(lambda u: str(u).upper()),
    st.characters(categories=["Cs", "Cc", "Zl", "Zp", "Nd"]),
)
scopes = st.one_of(st.none(), st.integers(), st.integers(-(10**199) + 1, 10**200 - 1), st.uuids(), nasty)


@given(st.sampled_from(["Signup", "a.b-c", "_x1"]), scopes)
@example("Signup", 10**199)
@example("Signup", 1 - 10**199)
@example("Signup", "x" * 200)
@example("Signup", "'" * 200)
def test_any_key_can_be_read_from_what_is_written(name: str, scope: Any) -> None:
    text = str(StateKey(name, scope))
    parsed = StateKey.parse(text)
    assert (parsed.name, parsed.scope, type(parsed.scope)) == (name, scope, type(scope))
    assert text.isprintable()


@given(scopes.filter(lambda scope: scope not in (None, "")))
def test_any_scope_that_is_allowed_can_be_read_from_what_is_written(scope: Any) -> None:
    try:
        checked = checked_scope(scope, "Signup")
    except ScopeError:
        assert isinstance(scope, str | int)
        assert len(str(scope)) > 200
    else:
        assert checked == scope
        assert StateKey.parse(str(StateKey("Signup", checked))) == StateKey("Signup", checked)


@given(st.lists(scopes, min_size=2, max_size=6))
@example([42, "42", SOME_UUID, str(SOME_UUID), None, "None"])
def test_keys_have_one_order_whatever_their_scopes_are(given_scopes: list[Any]) -> None:
    keys = [StateKey(name, scope) for scope in given_scopes for name in ("A", "B")]
    backwards = keys[::-1]
    in_order = sorted(keys, key=lambda key: key.order)
    assert in_order == sorted(backwards, key=lambda key: key.order)
    assert [key.name for key in in_order] == sorted(key.name for key in keys)
    assert len({key.order for key in keys}) == len(set(keys))


UNREADABLE = ["Signup[", "Signup[]", "Signup[42", "Signup[42]x", "[42]", "Sign up[42]", "1st[42]", "", "Signup]"]
UNREADABLE += [
    "Signup['42]",
    "Signup['a' 1]",
    "Signup['a', 'b']",
    "Signup['a'.upper()]",
    'Signup["]',
    "Signup[b'a']x",
]


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_is_no_key_is_refused_with_what_it_should_be(text: str) -> None:
    with pytest.raises(StateNameError, match=r"must be written Name or Name\[scope\]|can't be the name") as caught:
        StateKey.parse(text)
    name = text.partition("[")[0]
    assert repr(text) in str(caught.value) or repr(name) in str(caught.value)


def test_a_scope_that_is_not_written_as_a_str_would_be_is_read_as_the_user_means_it() -> None:
    assert StateKey.parse("Signup[anna lee]") == StateKey("Signup", "anna lee")
    assert StateKey.parse('Signup["anna"]') == StateKey("Signup", "anna")
    assert StateKey.parse("Signup[a[b]]") == StateKey("Signup", "a[b]")
    assert StateKey.parse("Signup[-0]") == StateKey("Signup", "-0")
    assert StateKey.parse("Signup[" + "9" * 5000 + "]") == StateKey("Signup", "9" * 5000)


def test_a_key_can_not_change() -> None:
    with pytest.raises(AttributeError):
        StateKey("Signup").name = "Other"  # type: ignore[misc]


class Chat(enum.Enum):
    MAIN = "main"
    FIRST = 1
    OTHER = (1, 2)


class Loud(str):
    def __str__(self) -> str:
        return self.upper()


class Number(int):
    pass


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        *((scope, scope) for scope in (42, 0, -5, "anna", " ", SOME_UUID, "x" * 200, 10**199, -(10**198))),
        *((member, member.value) for member in (Chat.MAIN, Chat.FIRST)),
        (Loud("loud"), "loud"),
        (Number(7), 7),
    ],
    ids=repr,
)
def test_a_usable_scope_is_given_back_as_a_plain_value(scope: object, expected: object) -> None:
    checked = checked_scope(scope, "Signup")
    assert checked == expected
    assert type(checked) is type(expected)


@pytest.mark.parametrize(
    ("scope", "kind"),
    [
        (True, "bool"),
        (1.5, "float"),
        (b"a", "bytes"),
        (("a",), "tuple"),
        ([1], "list"),
        (None, "NoneType"),
        (object(), "object"),
        (Chat.OTHER, "Chat"),
    ],
)
def test_what_is_no_scope_is_refused_with_its_type(scope: object, kind: str) -> None:
    with pytest.raises(
        ScopeError, match=rf"^Signup: a scope must be a str, int or UUID, not .*\({kind}\)$"
    ) as caught:
        checked_scope(scope, "Signup")
    assert isinstance(caught.value, StateError)
    assert isinstance(caught.value, ValueError)
    assert type(scope).__name__ in str(caught.value) or repr(scope) in str(caught.value)


@pytest.mark.parametrize("scope", ["", "x" * 201, 10**200, -(10**199), 10**5000], ids=["", "x…", "+", "-", "long"])
def test_a_scope_that_is_empty_or_too_long_to_be_shown_is_refused(scope: object) -> None:
    with pytest.raises(ScopeError, match=r"^Signup: a scope must have 1 to 200 characters, not .+") as caught:
        checked_scope(scope, "Signup")
    assert len(str(caught.value)) < 150


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
