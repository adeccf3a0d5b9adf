"""You are the scheduler: go through an exploration step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from qstate_nb.core.formats import short
from qstate_nb.errors import RaceError
from qstate_nb.races.nodes import describe
from qstate_nb.races.schedules import Choice, WalkStep

if TYPE_CHECKING:
    from qstate_nb.races.exploration import Exploration
    from qstate_nb.races.outcomes import Outcome
    from qstate_nb.races.timeline import Timeline


class Possible(NamedTuple):
    """What can happen next.

    Args:
        task: name of the task that would go on.
        text: what it would do.
        outcomes: those that can still come after it.
    """

    task: str
    text: str
    outcomes: tuple[Outcome, ...]


class Stepper:
    """Chooses who goes next, and shows which outcomes can still come.

    Example:
        >>> from qstate_nb import State
        >>> from qstate_nb.races import explore
        >>> class Account(State):
        ...     balance: int = 0
        >>> def deposit(account: Account):
        ...     account.set("balance", account.get("balance") + 10)
        >>> stepper = explore(deposit, n=2).step()
        >>> [(choice.task, choice.text, len(choice.outcomes)) for choice in stepper.choices]
        [('deposit #1', 'get Account.balance', 2), ('deposit #2', 'get Account.balance', 2)]
        >>> stepper.choose(0).choose(1).choose(0)
        <Stepper: 3 steps, 1 outcome can still come>
        >>> stepper.outcomes[0].verdict
        'race'
    """

    def __init__(self, exploration: Exploration) -> None:
        self.exploration = exploration
        self._chosen: list[Choice] = []
        self._walk()

    def _walk(self) -> None:
        self._walker, self._steps = self.exploration.walker(self._chosen)
        self._next = list(self.exploration.inside(self._walker.choices))

    @property
    def choices(self) -> list[Possible]:
        """What can happen next; empty at the end."""
        nodes = self.exploration.graph.automata.nodes
        found = []
        for choice in self._next:
            pending = nodes[self._walker.at[choice.task]].pendings[choice.gate]
            text = describe(pending) + (" (is given up)" if choice.gives_up else "")
            outcomes = self.exploration.reachable_after([*self._chosen, choice])
            found.append(Possible(self.exploration.labels[choice.task], text, outcomes))
        return found

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes that can still come."""
        return self.exploration.reachable(self._walker.position)

    @property
    def state(self) -> dict[str, dict[str, Any]]:
        """The State now."""
        return self.exploration.program.state(self._walker.store)

    @property
    def steps(self) -> list[WalkStep]:
        """What has happened."""
        return list(self._steps)

    @property
    def timeline(self) -> Timeline:
        """The picture of what has happened."""
        from qstate_nb.races.timeline import Timeline

        return Timeline(self.exploration, self._steps)

    @property
    def id(self) -> str:
        """The id of the schedule up to here."""
        return self.exploration.id_of(self._chosen)

    def choose(self, choice: int | str) -> Stepper:
        """Let somebody go on.

        Args:
            choice: the number of one of `choices`, or the name of its task.

        Raises:
            RaceError: there is no such choice.
        """
        names = [self.exploration.labels[each.task] for each in self._next]
        index = names.index(choice) if choice in names else choice
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(names):
            hint = (
                f"it is 0 to {len(names) - 1}, or one of {', '.join(dict.fromkeys(names))}"
                if names
                else "this is the end"
            )
            raise RaceError(f"nobody can go on as {short(choice)}: {hint}")
        self._chosen.append(self._next[index])
        self._walk()
        return self

    def back(self) -> Stepper:
        """Take the last step back.

        Raises:
            RaceError: there is none.
        """
        if not self._chosen:
            raise RaceError("this is the beginning; there is no step to take back")
        self._chosen.pop()
        self._walk()
        return self

    def __repr__(self) -> str:
        count, outcomes = len(self._chosen), len(self.outcomes)
        return (
            f"<Stepper: {count} step{'' if count == 1 else 's'}, {outcomes} outcome{'' if outcomes == 1 else 's'} "
            "can still come>"
        )
