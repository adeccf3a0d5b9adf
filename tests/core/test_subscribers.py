"""Functions that want to hear of something."""

from __future__ import annotations

import logging
import sys
import threading

import pytest

from qstate_nb.core.subscribers import Subscribers


def test_all_are_told_in_the_order_in_which_they_came() -> None:
    subscribers = Subscribers[int]()
    heard: list[tuple[str, int]] = []
    subscribers.add(lambda news: heard.append(("first", news)))
    subscribers.add(lambda news: heard.append(("second", news)))
    subscribers.tell(1)
    subscribers.tell(2)
    assert heard == [("first", 1), ("second", 1), ("first", 2), ("second", 2)]


def test_somebody_is_there_until_the_last_has_gone() -> None:
    subscribers = Subscribers[int]()
    assert not subscribers
    remove = [subscribers.add(print), subscribers.add(print)]
    remove[0]()
    assert subscribers
    remove[1]()
    assert not subscribers


def test_a_function_that_came_twice_is_told_twice_and_leaves_one_at_a_time() -> None:
    subscribers = Subscribers[int]()
    heard: list[int] = []
    remove = subscribers.add(heard.append)
    subscribers.add(heard.append)
    subscribers.tell(1)
    remove()
    remove()  # no harm
    subscribers.tell(2)
    assert heard == [1, 1, 2]


def test_an_exception_is_logged_and_the_next_is_told(caplog: pytest.LogCaptureFixture) -> None:
    subscribers = Subscribers[str]()
    heard: list[str] = []

    def fail(news: str) -> None:
        raise LookupError("broken")

    subscribers.add(fail)
    subscribers.add(heard.append)
    with caplog.at_level(logging.ERROR):
        subscribers.tell("news")
    assert heard == ["news"]
    assert "a subscriber failed on 'news'" in caplog.text
    assert "LookupError: broken" in caplog.text


def test_an_interrupt_is_not_swallowed() -> None:
    subscribers = Subscribers[int]()

    def interrupt(news: int) -> None:
        raise KeyboardInterrupt

    subscribers.add(interrupt)
    with pytest.raises(KeyboardInterrupt):
        subscribers.tell(1)


def test_who_comes_or_goes_while_others_are_told_counts_from_the_next_news() -> None:
    subscribers = Subscribers[int]()
    heard: list[int] = []

    def swap(news: int) -> None:
        remove()
        subscribers.add(heard.append)

    remove = subscribers.add(swap)
    subscribers.tell(1)
    assert heard == []
    subscribers.tell(2)
    assert heard == [2]


def test_threads_can_come_and_go_at_once() -> None:
    """Who stays is never lost, and who goes never stays, whatever the others do meanwhile."""
    subscribers = Subscribers[int]()
    stayed: list[int] = []
    gone: list[int] = []
    start = threading.Barrier(4)

    def come_and_go() -> None:
        start.wait(10)
        for _ in range(100):
            subscribers.add(stayed.append)
            for _ in range(4):
                subscribers.add(gone.append)()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # let the threads take turns as often as they can
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    subscribers.tell(7)
    assert stayed == [7] * 400
    assert gone == []
