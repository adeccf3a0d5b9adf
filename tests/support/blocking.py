"""One test body for both colours: anything async, called as if it were sync."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any


class Blocking:
    """An object whose methods can be called from sync code, whatever its colour.

    A coroutine that a method returns is run to its end on a new event loop; so a body that makes several calls
    uses several loops, one after the other.

    Example:
        >>> class Slow:
        ...     async def answer(self) -> int:
        ...         return 42
        >>> Blocking(Slow()).answer()
        42
    """

    def __init__(self, target: object) -> None:
        self.target = target

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.target, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            return asyncio.run(result) if inspect.iscoroutine(result) else result

        return call
