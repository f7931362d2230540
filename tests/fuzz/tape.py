"""Bytes read as choices: whatever they are, they mean something. A tape that has ended reads as zeros."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

Value = TypeVar("Value")


class Tape:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        at, self._at = self._at, self._at + 1
        return self._data[at] if at < len(self._data) else 0

    def below(self, end: int) -> int:
        return self.byte() % end

    def flag(self) -> bool:
        return bool(self.byte() & 1)

    def number(self, size: int) -> int:
        """A number of `size` bytes."""
        return int.from_bytes(bytes(self.byte() for _ in range(size)), "big")

    def pick(self, values: Sequence[Value]) -> Value:
        return values[self.byte() % len(values)]

    def rest(self) -> bytes:
        at, self._at = self._at, len(self._data)
        return self._data[at:]

    @property
    def left(self) -> int:
        return max(0, len(self._data) - self._at)


def choices(random: Random, most: int = 12) -> bytes:
    """A few choices, most of them small numbers."""
    return bytes(
        random.randrange(8) if random.randrange(4) else random.randrange(256)
        for _ in range(1 + random.randrange(most))
    )
