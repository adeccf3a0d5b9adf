"""A set of functions to call when something happens, shared by threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Subscribers(Generic[T]):
    """Functions that want to hear of something.

    Example:
        >>> heard = []
        >>> subscribers = Subscribers[int]()
        >>> unsubscribe = subscribers.add(heard.append)
        >>> subscribers.tell(1)
        >>> unsubscribe()
        >>> subscribers.tell(2)
        >>> heard
        [1]
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a finaliser can remove one at any time
        self._functions: dict[object, Callable[[T], object]] = {}  # replaced, never changed

    def __bool__(self) -> bool:
        return bool(self._functions)

    def add(self, function: Callable[[T], object]) -> Callable[[], None]:
        """Call *function* from now on, until the returned function is called."""
        token = object()

        def remove() -> None:
            with self._lock:
                self._functions = {t: f for t, f in self._functions.items() if t is not token}

        with self._lock:
            self._functions = {**self._functions, token: function}
        return remove

    def tell(self, news: T) -> None:
        """Call all of them, in this thread; an exception in one is logged and harms nobody."""
        for function in self._functions.values():
            try:
                function(news)
            except Exception:
                _log.exception("a subscriber failed on %r", news)
