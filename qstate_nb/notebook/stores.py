"""What `%qstate use` does, as plain functions; and how its line is read without showing a password."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from qstate_nb.app import InlineApp
from qstate_nb.core.formats import counted, printable
from qstate_nb.errors import CommandError, QStateError, StoreUnavailableError
from qstate_nb.notebook.render import Block, Heading, Paragraph, View
from qstate_nb.stores.opening import default_registry, promise, registry_of, use_store

_VARIABLE = re.compile(r"\$[\w.]+|\{[^{}]*\}")
_UNCLEAR = (
    "the line can't be understood, and is not repeated, as it may have a password in it; usage: %qstate use URL, "
    "with quotes around a URL with blanks, $ or braces in it; or %qstate use $url, with the URL in a variable"
)


def use(app: InlineApp | None, url: str) -> str:
    """Let an app, and all that are made from now on, work on the State of a store.

    ``memory://`` is the memory that the app had before, with all that is in it, or else that of the process.

    Args:
        app: None if there is none yet.
        url: of the store: see `qstate_nb.open_store`.

    Raises:
        StoreError, StoreUnavailableError, MissingPackageError: as `open_store`. Nothing is changed then.
        TaskError, TransactionError, StateNameError: as `InlineApp.use`. Nothing is changed then.
    """
    registry = registry_of(url)
    registry.store.sync()  # one that was opened before may be away by now
    if app is not None:
        app.use(registry if registry.store.is_shared or app.memory is None else app.memory)
    use_store(url)
    return store_view(app).text


def store_view(app: InlineApp | None) -> View:
    """Which store an app uses, how much is in it, and how safe that is. Its `View.data` is the URL without password.

    Args:
        app: None for those that are made from now on.

    Raises:
        StoreError, StoreUnavailableError, MissingPackageError: as `default_registry`, if there is no app.
    """
    registry = default_registry() if app is None else app.registry
    who, store = "the next app" if app is None else f"app {app.name!r}", registry.store
    blocks: list[Block] = []
    try:
        states = counted(len({key.name for key in registry.keys()}), "state")
        contents = f": {states}, {counted(registry.seq, 'event')}"
    except StoreUnavailableError as error:
        contents = ""
        blocks.append(Paragraph(f"it is away: {error}"))
    safety = promise(store)
    blocks += [Paragraph(safety)] if safety else []
    return View([Heading(printable(f"{who} uses {store.url}{contents}", 300)), *blocks], store.url)


@contextmanager
def unshown(words: Sequence[str]) -> Iterator[None]:
    """Let errors about the words of a line not show them, if they may have a password in them.

    Args:
        words: the verb, and what follows.
    """
    try:
        yield
    except QStateError:
        if words[:1] != ["use"] or all(map(_VARIABLE.fullmatch, words[1:])):
            raise
        raise CommandError(_UNCLEAR) from None
