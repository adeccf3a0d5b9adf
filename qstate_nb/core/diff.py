"""What is different between two contents, compared inside dicts and lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from qstate_nb.core.formats import short
from qstate_nb.core.journal import ABSENT, Contents
from qstate_nb.core.keys import StateKey
from qstate_nb.core.values import copy_value

_DEEPEST = 50  # levels that are compared inside


def arrow(before: Any, after: Any, width: int = 80) -> str:
    """A change as ``before → after``; what is not there is left out.

    Example:
        >>> arrow(1, 2, 80), arrow(ABSENT, 2, 80), arrow(1, ABSENT, 80)
        ('1 → 2', '→ 2', '1 →')
    """
    left = "" if before is ABSENT else f"{short(before, width)} "
    right = "" if after is ABSENT else f" {short(after, width)}"
    return f"{left}→{right}"


class Difference(NamedTuple):
    """One thing that is different.

    Args:
        state: the bucket.
        path: the field, and from there on keys of dicts and indexes of lists.
        before, after: the value on both sides, `ABSENT` where there is none.
    """

    state: StateKey
    path: tuple[Any, ...]
    before: Any
    after: Any

    @property
    def where(self) -> str:
        """The path as it is written, such as ``cart['apples'][0]``."""
        return str(self.path[0]) + "".join(f"[{short(part, 40)}]" for part in self.path[1:])

    def __str__(self) -> str:
        return f"{self.state}.{self.where}: {arrow(self.before, self.after)}"


class Diff(Sequence[Difference]):
    """What is different between two moments, in the order of the buckets and fields.

    Args:
        differences: all of them.

    Example:
        >>> from qstate_nb import State, StateRegistry
        >>> class Cart(State):
        ...     pass
        >>> registry = StateRegistry()
        >>> registry.state(Cart).set("items", {"apples": 1})
        >>> registry.state(Cart).set("items", {"apples": 2, "pears": 5})
        >>> registry.diff(1, 2)
        <Diff: 1 added, 0 removed, 1 changed
          Cart.items['apples']: 1 → 2
          Cart.items['pears']: → 5>
    """

    def __init__(self, differences: Sequence[Difference]) -> None:
        self._all = tuple(differences)

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, index: Any) -> Any:
        return self._all[index]

    @property
    def added(self) -> tuple[Difference, ...]:
        """What is there only after."""
        return tuple(each for each in self._all if each.before is ABSENT)

    @property
    def removed(self) -> tuple[Difference, ...]:
        """What was there only before."""
        return tuple(each for each in self._all if each.after is ABSENT)

    @property
    def changed(self) -> tuple[Difference, ...]:
        """What is there on both sides, with other values."""
        return tuple(each for each in self._all if each.before is not ABSENT is not each.after)

    def __repr__(self) -> str:
        counts = f"{len(self.added)} added, {len(self.removed)} removed, {len(self.changed)} changed"
        return f"<Diff: {counts}{''.join(f'{chr(10)}  {each}' for each in self._all)}>"


def diff(before: Contents, after: Contents, is_wanted: Callable[[StateKey], bool] | None = None) -> Diff:
    """Compare two contents; values of the result are copies."""
    found = []
    for key in dict.fromkeys([*before, *after]):
        if is_wanted is None or is_wanted(key):
            for path, was, now in _inside((), before.get(key, {}), after.get(key, {})):
                found.append(Difference(key, path, copy_value(was), copy_value(now)))
    return Diff(found)


def _inside(path: tuple[Any, ...], was: Mapping[Any, Any], now: Mapping[Any, Any]) -> Iterator[tuple[Any, Any, Any]]:
    for part in dict.fromkeys([*was, *now]):
        yield from _compare((*path, part), was.get(part, ABSENT), now.get(part, ABSENT))


def _compare(path: tuple[Any, ...], was: Any, now: Any) -> Iterator[tuple[Any, Any, Any]]:
    if is_same(was, now):
        return
    if type(was) is type(now) and len(path) < _DEEPEST:
        if isinstance(was, dict):
            yield from _inside(path, was, now)
            return
        if isinstance(was, list | tuple):
            yield from _inside(path, dict(enumerate(was)), dict(enumerate(now)))
            return
    yield path, was, now


def is_same(was: Any, now: Any) -> bool:
    """Tell whether two values are equal and of one type, also inside; objects whose comparison fails are not."""
    if was is now:
        return True
    if type(was) is not type(now):
        return False
    if isinstance(was, dict):
        return was.keys() == now.keys() and all(is_same(value, now[key]) for key, value in was.items())
    if isinstance(was, list | tuple):
        return len(was) == len(now) and all(map(is_same, was, now))
    try:
        return bool(was == now) or bool(was != was and now != now)  # noqa: PLR0124 - not a number
    except Exception:  # an object's own comparison can do anything
        return False
