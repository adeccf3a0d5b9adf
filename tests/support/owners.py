"""What a store works for, in place of a registry."""

from __future__ import annotations


class Owner:
    """Notes which names were dropped."""

    def __init__(self) -> None:
        self.forgot: list[str] = []

    def forget(self, name: str) -> None:
        self.forgot.append(name)
