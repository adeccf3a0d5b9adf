"""Files that are written by an export: nothing is lost, and nothing is half written."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from pathlib import Path

from qstate_nb.errors import ScenarioError

DIGITS = 12


def digest(text: str) -> str:
    """Some digits that tell whether a text was changed."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def target_of(path: str | os.PathLike[str], suffix: str) -> Path:
    """The file that is to be written.

    Raises:
        ScenarioError: it is a folder, or there is no folder for it, or its name has another suffix.
    """
    target = Path(path)
    if target.is_dir():
        raise ScenarioError(f"{target} is a folder; name a file in it, such as {target / ('scenario' + suffix)}")
    if target.suffix != suffix:
        raise ScenarioError(f"{target} must be the name of a {suffix} file, such as {target.with_suffix(suffix)}")
    if not target.parent.is_dir():
        raise ScenarioError(f"there is no folder {target.parent}; make it first")
    return target


def refuse(target: Path) -> ScenarioError:
    """The error for a file that would be lost."""
    return ScenarioError(
        f"{target} is there already, and was not written by an export, or was changed since; "
        "choose another name, or give overwrite=True"
    )


def write(target: Path, text: str) -> None:
    """Write a file, all of it or nothing.

    Raises:
        ScenarioError: it can't be written.
    """
    real = Path(os.path.realpath(target))  # what a link leads to is replaced, not the link
    temporary = real.with_name(f".{real.name[:40]}.{secrets.token_hex(4)}")
    try:
        try:
            temporary.write_text(text, encoding="utf-8", newline="\n")
            if real.exists():
                shutil.copymode(real, temporary)
            os.replace(temporary, real)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise ScenarioError(f"can't write {target}: {error.strerror or error}") from None
