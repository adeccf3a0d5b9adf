"""The tree of errors is the one that its docstring draws; wrong names get the close matches."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest

from qstate_nb import errors
from qstate_nb.errors import DeadlockError, NotFoundError, QStateError, Wait

_LINE = re.compile(r"^(?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+(?:Error|Mismatch))\b(?: +(?P<text>.*))?$")


def drawn() -> dict[str, tuple[str | None, set[str]]]:
    """Class → (parent, the other bases), as the docstring draws them."""
    tree: dict[str, tuple[str | None, set[str]]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = _LINE.match(line.removeprefix("    "))
        if match is not None:
            depth = len(match["branch"]) // 4
            path[depth:] = [match["name"]]
            also = re.findall(r"\(also an? (\w+)\)", match["text"] or "")
            tree[match["name"]] = (path[depth - 1] if depth else None, set(also))
    return tree


def real() -> dict[str, tuple[str | None, set[str]]]:
    """The same, of the classes themselves."""
    tree: dict[str, tuple[str | None, set[str]]] = {}
    for cls in vars(errors).values():
        if isinstance(cls, type) and issubclass(cls, BaseException):
            parents = [base.__name__ for base in cls.__bases__ if issubclass(base, QStateError)]
            others = {base.__name__ for base in cls.__bases__} - set(parents) - {"Exception"}
            assert len(parents) == (cls is not QStateError), cls
            tree[cls.__name__] = (parents[0] if parents else None, others)
    return tree


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    assert len(drawn()) > 25
    assert drawn() == real()


def test_every_error_has_a_docstring_of_its_own() -> None:
    for name in real():
        assert getattr(errors, name).__doc__


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("stpe1", ["step1", "step2", "other"], "no task 'stpe1'; did you mean 'step1' or 'step2'?"),
        ("Step1", ["step1"], "no task 'Step1'; did you mean 'step1'?"),
        ("step", ["step1", "step2", "step3", "step4"], "no task 'step'; did you mean"),
        ("zzz", ["b", "a"], "no task 'zzz'; there is: a, b"),
        ("zzz", [], "no task 'zzz'; there is none yet"),
        (
            "zzz",
            [f"t{n}" for n in range(99)],
            "no task 'zzz'; there is: t0, t1, t10, t11, t12, t13, t14, t15, t16, t17, t18, t19, …",
        ),
        ("zzz", [*"abcdefghijkl"], "no task 'zzz'; there is: a, b, c, d, e, f, g, h, i, j, k, l"),
    ],
)
def test_an_unknown_name_gets_the_close_matches_or_else_what_there_is(
    name: str, known: list[str], message: str
) -> None:
    error = NotFoundError("task", name, known)
    assert str(error).startswith(message)
    assert str(error).endswith(message[-1]) or "did you mean" in message
    assert str(error).count("step") <= 4  # at most three matches
    assert (error.kind, error.name, error.known) == ("task", name, sorted(known))


def test_an_error_reads_as_its_message() -> None:
    """A LookupError must not show the repr of its message, as a KeyError does."""
    for cls in (errors.StateKeyError, errors.ArgumentError, errors.MissingPackageError, errors.TaskTimeoutError):
        assert str(cls("what happened, and 'why'")) == "what happened, and 'why'"


CYCLE = (Wait("a #1", ("X", "Z[42]"), "Y"), Wait("user (thread T)", (), "X"))
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "NotFoundError": ("task", "stpe1", ["step1", "other"]),
    "DeadlockError": (CYCLE,),
}


@pytest.mark.parametrize("name", real())
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_can_be_copied_and_sent_to_another_process(name: str, duplicate: Any) -> None:
    error = getattr(errors, name)(*ARGUMENTS.get(name, ("what happened",)))
    other = duplicate(error)
    assert type(other) is type(error)
    assert (str(other), vars(other)) == (str(error), vars(error))


def test_a_deadlock_says_who_holds_what_and_waits_for_what() -> None:
    error = DeadlockError(iter(CYCLE))
    assert error.cycle == CYCLE
    assert str(error).startswith(
        "deadlock: a #1 holds X, Z[42] and waits for Y; user (thread T) holds nothing and waits for X. "
        "This error gives up a #1; take "
    )
    first = error.cycle[0]
    assert (first.who, first.holds, first.waits_for) == ("a #1", ("X", "Z[42]"), "Y")
    with pytest.raises(AttributeError):
        first.who = "b"  # type: ignore[misc]


def test_any_of_them_is_caught_by_the_root() -> None:
    with pytest.raises(QStateError):
        raise NotFoundError("state", "x", iter(["y"]))
    with pytest.raises(LookupError):
        raise NotFoundError("state", "x", iter(["y"]))
