"""The names that source uses, and when it needs them."""

from __future__ import annotations

import textwrap

import pytest

from qstate_nb.app.exporting.used import Used, used_in


def used(source: str) -> Used:
    return used_in(textwrap.dedent(source))


SOURCE = """
@app.task(retry=RETRIES)
async def step(state: Signup, other: "Other[Inner]", mode: Literal["a"], by: Annotated[int, Scope("chat")], n=LIMIT):
    global seen
    def inner(x: Deep = DEFAULT):
        return x + helper(n)
    step = [inner(each) for each in ITEMS]
    class Local(Base):
        field: Kind = MAKER
    seen = (lambda: LATER)()
    return step, len(step), f"{FORMATTED}"
"""


def test_all_global_names_are_found_and_no_local_ones() -> None:
    assert set(used(SOURCE).ever) == {
        *("app", "RETRIES", "Signup", "Other", "Inner", "Literal", "Annotated", "int", "Scope", "LIMIT", "Deep"),
        *("DEFAULT", "helper", "ITEMS", "Base", "Kind", "MAKER", "LATER", "len", "FORMATTED"),
    }


def test_decorators_and_defaults_are_needed_at_once_and_annotations_early() -> None:
    found = used(SOURCE)

    assert found.at_once == {"app", "RETRIES", "LIMIT"}
    assert found.early - found.at_once == {
        *("Signup", "Other", "Inner", "Literal", "Annotated", "int", "Scope"),
    }


@pytest.mark.parametrize(
    ("source", "at_once", "later"),
    [
        ("class A(Base): x = MADE", {"Base", "MADE"}, set()),
        ("class A:\n x: Kind = MADE\n def f(self): return LATER", {"MADE"}, {"Kind", "LATER"}),
        ("class A:\n @wrapped\n def f(self, x=DEFAULT): return LATER", {"wrapped", "DEFAULT"}, {"LATER"}),
        ("x = [f(y) for y in ALL]", {"f", "ALL"}, set()),
        ("x: Kind = f(1)", {"f"}, {"Kind"}),
        ("x = lambda: LATER", set(), {"LATER"}),
        ("class A:\n class B(Base): pass", {"Base"}, set()),
    ],
)
def test_what_is_needed_at_once(source: str, at_once: set[str], later: set[str]) -> None:
    found = used(source)

    assert found.at_once == at_once
    assert set(found.ever) == at_once | later


def test_texts_are_found() -> None:
    assert used("def f():\n    'doc'\n    return app.run('other')").texts == {"doc", "other"}


def test_a_global_that_a_function_counts_in_is_used() -> None:
    source = "def f():\n    global total, unused\n    total += 1\n    own = 1\n    own += 1\n    unused = 1"

    assert used_in(source).ever == ("total",)
