"""A module with tasks of many kinds: its source, and the module itself in a package."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SHOP = '''\
"""The tasks of a shop."""

import asyncio
import datetime
import enum
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated

from qstate_nb import AsyncState, InlineApp, Scope, State, StateRegistry
from qstate_nb.errors import TaskCancelledError

app = InlineApp("shop", registry=StateRegistry())


class Plan(enum.Enum):
    FREE = "free"
    PRO = "pro"


class WrongCode(ValueError):
    """It is not the code that was sent."""


@dataclass
class Order:
    number: int
    price: Decimal
    tags: list[str] = field(default_factory=list)


class Signup(AsyncState):
    step: int = 0


class Audit(State):
    pass


class Chat(AsyncState):
    pass


class Unused(State):
    pass


class Settings(State):
    level: int = 1
    name: str = ""


@app.task
async def begin(state: Signup, plan: Plan = Plan.FREE):
    await state.update(step=1, prompt="Enter your phone number", plan=plan)
    return "ok"


@app.task
async def confirm(state: Signup, code: str):
    if not code.isdigit():
        raise WrongCode(f"not a number: {code}")
    await state.update(step=2, code=code, when=datetime.date(2026, 1, 2))
    return Order(1, Decimal("1.50"), ["new"])


@app.task
def note(audit: Audit, text: str, *, level: int = 0):
    audit.append("log", (text, level))


@app.task
async def say(chat: Annotated[Chat, Scope("chat_id")], chat_id: int, text: str):
    await asyncio.sleep(0)
    await chat.append("texts", text)
    return len(text)


@app.task
def reset(audit: Audit):
    audit.clear()


@app.task
def odd(audit: Audit):
    audit.set("thing", object())
    audit.set("plain", 1)
    return [object()]


@app.task
def give_up(audit: Audit):
    raise TaskCancelledError("no more")


@app.task
def where(audit: Audit):
    raise LookupError(object())


@app.task
def anything(**values):
    return values


@app.task(name="loud")
def say_loud(text: str):
    return text.upper()
'''


@contextmanager
def imported_shop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module ``shop.tasks``, in a folder, as long as the block runs."""
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").write_text("")
    (folder / "shop" / "tasks.py").write_text(SHOP)
    monkeypatch.syspath_prepend(folder)
    yield importlib.import_module("shop.tasks")
    for name in ("shop", "shop.tasks"):
        del sys.modules[name]
