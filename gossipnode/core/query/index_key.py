"""The keys of a tag index: byte strings whose order (memcmp) is the order of `criteria.sort_key`.

A live record has one row of kind WHOLE or ABSENT in the index of a tag, and one of kind ELEMENT for each
element of an array. Keys are cut at `INDEX_KEY_MAX_BYTES`, so several values may share a key; the record
itself decides whether it matches.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import NamedTuple

from gossipnode.core.model.tag_value import IntArray, NoValue, StrArray, TagValue, Timestamp

INDEX_KEY_MAX_BYTES = 64
"""Where keys are cut, so that a long value costs an index no more than a short one."""


class IndexKind(IntEnum):
    """What a row of an index stands for."""

    WHOLE = 0
    """The tag's value, for equality and order."""
    ELEMENT = 1
    """One element of the tag's array."""
    ABSENT = 2
    """The record lacks the tag or has null in it. The key is empty; such records come last in every order."""


class IndexRow(NamedTuple):
    """One row that a live record has in the index of a tag."""

    tag: str
    kind: IndexKind
    key: bytes


# The first byte of a key marks the type of the value, and so types stand in this order. The marks leave out
# 0x00 and 0xff, which bound all keys from below and from above.
_INT, _STR, _TIMESTAMP, _BYTES, _INT_ARRAY, _STR_ARRAY = (bytes((mark,)) for mark in range(0x10, 0x70, 0x10))

_BIAS_64 = 1 << 63
_BIAS_32 = 1 << 31
"""Added to signed numbers, so that negative ones come first."""


def order_key(value: TagValue) -> bytes:
    """The key of a value, at most `INDEX_KEY_MAX_BYTES` long; empty for null and no value.

    Keys that are not cut compare exactly as their values do. Cutting can make the keys of different values
    equal, but never reverses their order. An element of an array has the key that it would have alone.
    """
    if value is None or isinstance(value, NoValue):
        return b""
    if isinstance(value, str):
        # A character is at least one byte of UTF-8, so characters after this number cannot reach the key.
        key = _STR + value[:INDEX_KEY_MAX_BYTES].encode()
    elif isinstance(value, int):
        key = _INT + _signed_64(value)
    elif isinstance(value, bytes):
        key = _BYTES + value[:INDEX_KEY_MAX_BYTES]
    elif isinstance(value, Timestamp):
        key = _TIMESTAMP + _signed_64(value.seconds) + (value.nanos + _BIAS_32).to_bytes(4, "big")
    elif isinstance(value, IntArray):
        key = _INT_ARRAY + b"".join(map(_signed_64, value[: INDEX_KEY_MAX_BYTES // 8]))
    else:
        key = _STR_ARRAY + b"".join(map(_text_element, value[:INDEX_KEY_MAX_BYTES]))
    return key[:INDEX_KEY_MAX_BYTES]


def is_cut(key: bytes) -> bool:
    """Whether a key may have been cut, so that it may stand for more than one value."""
    return len(key) >= INDEX_KEY_MAX_BYTES


def index_rows(tags: Mapping[str, TagValue], wanted: Collection[str]) -> list[IndexRow]:
    """The rows, all different, that a live record with these tags has in the indexes of the tags `wanted`."""
    rows: list[IndexRow] = []
    for tag in wanted:
        value = tags.get(tag)
        key = order_key(value)
        rows.append(IndexRow(tag, IndexKind.WHOLE if key else IndexKind.ABSENT, key))
        if isinstance(value, StrArray | IntArray):
            rows += [IndexRow(tag, IndexKind.ELEMENT, key) for key in dict.fromkeys(map(order_key, value))]
    return rows


def _signed_64(value: int) -> bytes:
    return (value + _BIAS_64).to_bytes(8, "big")


def _text_element(text: str) -> bytes:
    """The bytes of one element of an array of texts, ended by a NUL.

    The NUL sorts before every byte that may follow in a longer text. A NUL or a 0x01 in the text itself
    becomes a pair of bytes that begins with 0x01, and so keeps its place in the order.
    """
    raw = text[:INDEX_KEY_MAX_BYTES].encode()
    return raw.replace(b"\1", b"\1\2").replace(b"\0", b"\1\1") + b"\0"
