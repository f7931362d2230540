"""The values that a tag can hold, as Python values.

A text, a number (64 bits, signed), bytes and null are a str, an int, bytes and None. Arrays are classes of
their own, because an empty list would not say of what type its elements are. A timestamp is one too, because
a datetime would lose its nanoseconds.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

INT64_MIN = -(1 << 63)
INT64_MAX = (1 << 63) - 1

NANOSECONDS_PER_SECOND = 1_000_000_000


class StrArray(tuple[str, ...]):
    """An array of text."""

    __slots__ = ()


class IntArray(tuple[int, ...]):
    """An array of 64-bit integers."""

    __slots__ = ()


class Timestamp(NamedTuple):
    """A moment: seconds since 1970 (from year 1 to 9999), and nanoseconds from 0 to 999,999,999."""

    seconds: int
    nanos: int


class NoValue:
    """The type of `NO_VALUE`: a tag that is there but carries no value at all, not even null."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_VALUE"


NO_VALUE = NoValue()

TagValue: TypeAlias = str | int | bytes | StrArray | IntArray | Timestamp | NoValue | None
