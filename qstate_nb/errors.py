"""Every error that qstate_nb raises, under one root.

::

    QStateError
    ├── StateError               something about a State
    │   ├── StateKeyError        a key that is not a str (also a TypeError)
    │   ├── StateValueError      a value that can't be copied (also a ValueError)
    │   ├── StateNameError       a name that can't be used, or that two classes want
    │   ├── NotAStateError       a class that is not a State class (also a TypeError)
    │   ├── UnlinkedStateError   a State object that was made by hand
    │   ├── ReentrantError       State was used from inside one of its own ops
    │   ├── FieldTypeError       a value of the wrong type for a field or an op (also a TypeError)
    │   ├── FieldDefinitionError a declared field that can't work (also a TypeError)
    │   ├── ScopeError           a value that can't be a scope (also a ValueError)
    │   ├── HistoryError         a step back or forth that can't be made
    │   │   └── HorizonError     the events that it needs were dropped
    │   ├── SaveError            a value or file that can't be saved (also a ValueError)
    │   ├── LoadError            a file that can't be loaded (also a ValueError)
    │   ├── UnreadableValueError a stored value that can't be read (also a ValueError)
    │   ├── StoreError           something about where State is stored
    │   │   └── StoreUnavailableError it can't be reached (also a ConnectionError)
    │   └── TransactionError     something about a transaction, or waiting for one
    │       ├── DeadlockError            tasks that wait for each other: it has the cycle
    │       ├── TransactionTimeoutError  a wait took longer than allowed (also a TimeoutError)
    │       ├── TransactionLostError     another process has taken over what it held
    │       └── WouldBlockError          a sync op would have to wait where an event loop runs
    ├── InjectionError           a signature that State can't be injected into (also a TypeError)
    │   ├── WrongColourError         an async task with a sync State, or the reverse
    │   └── UnresolvedAnnotationError an annotation that can't be evaluated
    ├── TaskError                something about a task or its call
    │   ├── TaskDefinitionError  options that don't fit the function
    │   ├── TaskCancelledError   the call was cancelled: unwrap() raises it
    │   └── TaskTimeoutError     the call took longer than allowed (also a TimeoutError)
    ├── RaceError                something about an exploration of interleavings
    │   ├── RacesFoundError      tasks can go wrong together (also an AssertionError)
    │   ├── HiddenStateError     a task depends on something that is not State
    │   ├── OutOfScopeError      a task does what can't be explored: I/O, threads, processes
    │   └── ScheduleMismatch     a schedule of other code, or one that can't be
    ├── ScenarioError            a scenario that stopped or has failed checks, or that can't be recorded or written
    ├── NotFoundError            an unknown name, with the close matches (also a LookupError)
    ├── ArgumentError            a value that doesn't fit a task's parameter (also a ValueError)
    ├── CommandError             a `%qstate` line that can't be understood
    └── MissingPackageError      an optional package is not installed (also an ImportError)

A message says what happened, to which value, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class QStateError(Exception):
    """The root of all errors that qstate_nb raises."""


class StateError(QStateError):
    """Something about a State."""


class StateKeyError(StateError, TypeError):
    """A key of a State is not a str."""


class StateValueError(StateError, ValueError):
    """A value can't be copied into a State."""


class StateNameError(StateError):
    """A State name can't be used, or two classes of different modules want the same one."""


class NotAStateError(StateError, TypeError):
    """A State class was expected."""


class UnlinkedStateError(StateError):
    """A State object that no registry made was used."""


class ReentrantError(StateError):
    """State was used from inside one of its own ops: by a finaliser or a signal handler."""


class FieldTypeError(StateError, TypeError):
    """A value is not of the type that a field declares, or that an op such as ``increment`` needs."""


class FieldDefinitionError(StateError, TypeError):
    """A declared field of a State class can't work: its type can't be checked, or its default is of another."""


class ScopeError(StateError, ValueError):
    """A value can't be a scope."""


class HistoryError(StateError):
    """There is nothing to undo or redo, no such event, or State is in use and can't go back or forth now."""


class HorizonError(HistoryError):
    """The journal is bounded, and the events that are needed to go back so far were dropped."""


class SaveError(StateError, ValueError):
    """State can't be saved: a value is of a type that a file can't hold. Nothing is written."""


class LoadError(StateError, ValueError):
    """A file can't be loaded: it is damaged, or of a newer version. Nothing is loaded."""


class UnreadableValueError(StateError, ValueError):
    """A stored value can't be read: it is damaged, foreign, or of a class that is not known here."""


class StoreError(StateError):
    """Something about where State is stored: a bad URL, a version that is not known, no space left."""


class StoreUnavailableError(StoreError, ConnectionError):
    """Where State is stored can't be reached, or doesn't answer.

    Args:
        is_done: whether the op was done: False if it surely wasn't, None if nobody can tell.
    """

    def __init__(self, message: str, *, is_done: bool | None = False) -> None:
        super().__init__(message)
        self.is_done = is_done


class TransactionError(StateError):
    """A transaction can't be used like that, was left open, or was rolled back under code that took part in it."""


@dataclass(frozen=True, slots=True)
class Wait:
    """One link of a deadlock's cycle.

    Args:
        who: the task call, or the user's asyncio task or thread.
        holds: names of the buckets that it holds, such as ``Signup[42]``.
        waits_for: name of the bucket that it waits for; the next in the cycle holds it.
    """

    who: str
    holds: tuple[str, ...]
    waits_for: str

    def __str__(self) -> str:
        return f"{self.who} holds {', '.join(self.holds) or 'nothing'} and waits for {self.waits_for}"


class DeadlockError(TransactionError):
    """Tasks or threads wait for each other; one of them gets this, and the others can go on.

    Args:
        cycle: who waits for what: each one holds what the one before it waits for, and the first is the one that
            was given up.

    Example:
        >>> print(DeadlockError([Wait("a #1", ("X",), "Y"), Wait("b #2", ("Y",), "X")]))
        deadlock: a #1 holds X and waits for Y; b #2 holds Y and waits for X. This error gives up a #1; take States \
in one order everywhere, or all at once with transaction(a, b)
    """

    def __init__(self, cycle: Iterable[Wait]) -> None:
        self.cycle = tuple(cycle)
        super().__init__(
            f"deadlock: {'; '.join(map(str, self.cycle))}. This error gives up {self.cycle[0].who}; take States in "
            "one order everywhere, or all at once with transaction(a, b)"
        )

    def __reduce__(self) -> tuple[type[DeadlockError], tuple[tuple[Wait, ...]]]:
        return type(self), (self.cycle,)


class TransactionTimeoutError(TransactionError, TimeoutError):
    """A transaction, or an op, waited longer for a bucket than it was allowed to."""


class TransactionLostError(TransactionError):
    """Another process has taken over what the transaction held, because this one stood still; nothing was changed."""


class WouldBlockError(TransactionError):
    """A sync op would have to wait for another's transaction in a thread whose event loop must not be blocked."""


class InjectionError(QStateError, TypeError):
    """A State can't be injected into a function."""


class WrongColourError(InjectionError):
    """An async task declares a sync State, or a sync task an async one."""


class UnresolvedAnnotationError(InjectionError):
    """The annotation of a parameter can't be evaluated."""


class TaskError(QStateError):
    """Something about a task or one of its calls."""


class TaskDefinitionError(TaskError):
    """The options of a task don't fit its function, or its name is taken."""


class TaskCancelledError(TaskError):
    """A call was cancelled; a task that raises it cancels its own.

    Attributes:
        ended_a_call: whether it has: whoever awaits that call and lets it pass has an error, and is not cancelled.
    """

    ended_a_call = False


class TaskTimeoutError(TaskError, TimeoutError):
    """A call took longer than it was allowed to."""


class RaceError(QStateError):
    """Something about an exploration of interleavings."""


class RacesFoundError(RaceError, AssertionError):
    """Tasks can go wrong together: `assert_no_races` found how."""


class HiddenStateError(RaceError):
    """A task does different things though all that State told it was the same: it depends on something else."""


class OutOfScopeError(RaceError):
    """A task does what an exploration can't order: real I/O, threads, processes, State of another place."""


class ScheduleMismatch(RaceError):  # noqa: N818 - the name is given
    """A schedule can't be replayed: the code or the State has changed since, or it is no schedule."""


class ScenarioError(QStateError):
    """A scenario stopped at an error, or a check in it failed; or it can't be recorded, run again or written."""


class NotFoundError(QStateError, LookupError):
    """Nothing has that name.

    Args:
        kind: what was looked for, such as ``"task"``.
        name: the unknown name.
        known: the names there are, from which the close ones are shown.

    Example:
        >>> str(NotFoundError("task", "stpe1", ["step1", "step2"]))
        "no task 'stpe1'; did you mean 'step1' or 'step2'?"
        >>> str(NotFoundError("state", "x", []))
        "no state 'x'; there is none yet"
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.known = sorted(known)
        super().__init__(f"no {kind} {name!r}; {self._hint()}")

    def __reduce__(self) -> tuple[type[NotFoundError], tuple[str, str, list[str]]]:
        return type(self), (self.kind, self.name, self.known)

    def _hint(self) -> str:
        if not self.known:
            return "there is none yet"
        close = difflib.get_close_matches(self.name, self.known, n=3, cutoff=0.5)
        if close:
            return "did you mean " + " or ".join(map(repr, close)) + "?"
        shown = ", ".join(self.known[:12]) + (", …" if len(self.known) > 12 else "")
        return f"there is: {shown}"


class ArgumentError(QStateError, ValueError):
    """A value doesn't fit the parameter of a task."""


class CommandError(QStateError):
    """A ``%qstate`` line can't be understood."""


class MissingPackageError(QStateError, ImportError):
    """An optional package is needed and not installed."""
