"""What `%qstate` finds among the user's variables: the app that it works on, and State classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard, cast

from qstate_nb.app import InlineApp
from qstate_nb.core.state import StateBase
from qstate_nb.errors import CommandError, NotFoundError

# In here `issubclass(type(…))`, as isinstance would ask a lazy object among the variables to wake up.


def _is_app(value: object) -> TypeGuard[InlineApp]:
    return issubclass(type(value), InlineApp)


def _is_state_class(value: object) -> TypeGuard[type[StateBase]]:
    return issubclass(type(value), type) and issubclass(cast(type, value), StateBase)


def introduce_state(app: InlineApp, names: Mapping[str, Any], name: str) -> None:
    """Let an app know the State class of that name, if it is among the variables and no task has taken it yet."""
    base, scope, _ = name.partition("[")
    if base not in app.registry.names():
        for value in list(names.values()):
            if _is_state_class(value) and value.state_name == base:
                app.registry.introduce(value) if scope else app.registry.state(value)


def apps_in(names: Mapping[str, Any]) -> dict[str, InlineApp]:
    """The apps among variables, each under its first name."""
    found: dict[str, InlineApp] = {}
    for name, value in list(names.items()):
        known = any(value is app for app in found.values())
        if _is_app(value) and not name.startswith("_") and not known:
            found[name] = value
    return found


def current_name(names: Mapping[str, Any], chosen: str | None) -> str:
    """The variable of the app that was chosen, or else of the only one.

    Raises:
        CommandError: there is none, or more than one and none is chosen.
    """
    if chosen is not None and _is_app(names.get(chosen)):
        return chosen
    found = list(apps_in(names))
    if not found:
        raise CommandError("there is no app yet; make one: app = InlineApp()")
    if len(found) > 1:
        raise CommandError(f"there is more than one app ({', '.join(found)}); choose one: %qstate app {found[0]}")
    return found[0]


def checked_name(names: Mapping[str, Any], name: str) -> str:
    """The variable *name*, if it is an app.

    Raises:
        NotFoundError: no app has that name.
    """
    if not _is_app(names.get(name)):
        raise NotFoundError("app", name, apps_in(names))
    return name
