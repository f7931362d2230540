"""Varints of protobuf, for code that walks through a message without making objects of it."""

from __future__ import annotations

_MORE = 0x80
_BITS = 7
_MOST_BITS = 64


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The varint that begins at `at`, and the position after it.

    Raises:
        IndexError: it has more than ten bytes, or `data` ends within it.
    """
    byte = data[at]
    if byte < _MORE:
        return byte, at + 1
    number = byte & ~_MORE
    for shift in range(_BITS, _MOST_BITS, _BITS):
        at += 1
        byte = data[at]
        number |= (byte & ~_MORE) << shift
        if byte < _MORE:
            return number, at + 1
    raise IndexError
