"""Two processes that play on one store: this one, and one that is told what to do over a pipe.

Run as ``python players.py URL``, it is the other one: each line that it reads, a JSON array, is done and answered.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from qstate_nb import State, StateRegistry, Transaction, open_store, transaction
from qstate_nb.errors import TransactionTimeoutError


class Box(State):
    """Three of them, by scope."""


class Here:
    """Plays in this process.

    Args:
        url: of the store.
    """

    def __init__(self, url: str) -> None:
        self.registry = StateRegistry(store=open_store(url))
        self._open: list[Transaction] = []

    def do(self, name: str, *args: Any) -> Any:
        return getattr(self, name)(*args)

    def op(self, scope: int, name: str, *args: Any) -> Any:
        """An op on a box; ``update`` is given its fields as pairs."""
        box = self.registry.state(Box, scope=scope)
        if name == "update":
            return box.update(**dict(args))
        return getattr(box, name)(*args)

    def begin(self, scopes: list[int]) -> bool:
        """Begin a transaction; False if another process holds a box."""
        block = transaction(*(self.registry.state(Box, scope=scope) for scope in scopes), timeout=0.002)
        try:
            block.__enter__()
        except TransactionTimeoutError:
            return False
        self._open.append(block)
        return True

    def end(self, commits: bool) -> None:
        """End the innermost transaction."""
        block = self._open.pop()
        if commits:
            block.__exit__(None, None, None)
        else:
            error = RuntimeError("roll back")
            block.__exit__(RuntimeError, error, None)

    def seen(self) -> dict[str, Any]:
        """What the boxes have, as this process sees them in the mirror."""
        keys = {str(key): key for key in self.registry.keys()}
        return {str(scope): self.registry.peek(key) for scope in range(3) if (key := keys.get(f"Box[{scope}]"))}

    def label(self, name: str) -> int:
        return self.registry.label(name)

    def rewind(self, name: str) -> None:
        self.registry.rewind(name)

    def undo(self) -> None:
        self.registry.undo(by="event")

    def events(self) -> list[list[Any]]:
        return [
            [event.seq, event.op, [list(map(repr, c)) for c in event.changes]] for event in self.registry.history()
        ]

    def close(self) -> None:
        while self._open:
            self.end(False)
        self.registry.store.close()  # type: ignore[attr-defined]


class There:
    """Lets another process play."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def do(self, name: str, *args: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, *args]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["result"]

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def play() -> None:
    player = None
    for line in sys.stdin:
        name, *args = json.loads(line)
        try:
            if name == "open":
                player, result = Here(*args), None
            else:
                assert player is not None
                result = player.do(name, *args)
            answer = {"result": result}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    play()
