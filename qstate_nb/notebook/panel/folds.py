"""What is folded and unfolded, where only so much fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qstate_nb.core.keys import StateKey

Id = StateKey | str
"""A bucket, or the name of a State class for the group of its scopes."""


class Folds:
    """What is folded and unfolded by hand; all else is as it comes.

    Attributes:
        opened: what was unfolded, the newest last.
    """

    def __init__(self) -> None:
        self.opened: dict[Id, None] = {}
        self._closed: set[Id] = set()

    def choose(self, what: Id, is_open: bool) -> None:
        """Fold or unfold something."""
        self.opened.pop(what, None)
        self._closed.discard(what)
        if is_open:
            self.opened[what] = None
        else:
            self._closed.add(what)

    def fitting(self, candidates: Mapping[Id, tuple[int, bool]], most: int, kept: Iterable[Id]) -> set[Id]:
        """What is unfolded: first what has to be, then what was unfolded last, then the rest as far as it fits.

        Args:
            candidates: each with the lines that it needs, and whether it is unfolded of itself.
            most: lines in all.
            kept: what has to be.
        """
        found = {what for what in kept if what in candidates}
        left = most - sum(candidates[what][0] for what in found)
        chosen = [what for what in reversed(self.opened) if what in candidates]
        others = [what for what, (_, is_open) in candidates.items() if is_open and what not in self._closed]
        for what in [*chosen, *others]:
            if what not in found and candidates[what][0] <= left:
                found.add(what)
                left -= candidates[what][0]
        return found


def settled(before: list[StateKey], wanted: list[StateKey], kept: Iterable[StateKey]) -> list[StateKey]:
    """What is wanted, in an order that moves nothing that was there before.

    Args:
        before: what was there, in order.
        kept: what has to be there, in place of the last ones that are wanted.

    Example:
        >>> a, b, c, d = (StateKey("S", scope) for scope in "abcd")
        >>> [str(key) for key in settled([a, b, c], [d, c, a], [])]
        ['S[a]', 'S[d]', 'S[c]']
    """
    kept = list(dict.fromkeys(kept))
    target = dict.fromkeys([*kept, *wanted])
    shown = dict.fromkeys(list(target)[: max(len(wanted), len(kept))])
    stood = set(before)
    fresh = iter([key for key in shown if key not in stood])
    places = [key if key in shown else next(fresh, None) for key in before]
    return [*(key for key in places if key is not None), *fresh]
