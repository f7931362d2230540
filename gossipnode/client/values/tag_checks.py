"""Limits that a tag keeps in every form: as a Python value, as JSON, as an argument of a command."""

from __future__ import annotations

from gossipnode.client.errors import InvalidInputError
from gossipnode.core.model.limits import TAG_KEY_MAX_BYTES
from gossipnode.core.model.tag_value import INT64_MAX, INT64_MIN


def check_tag_key(key: str) -> None:
    """Refuse a key that no tag may have.

    Raises:
        InvalidInputError: the key is empty, too long, or has no UTF-8 form.
    """
    if not key:
        raise InvalidInputError("a tag has an empty key")
    if len(check_text(key).encode()) > TAG_KEY_MAX_BYTES:
        raise InvalidInputError(f"tag key {key[:40]!r}... is longer than {TAG_KEY_MAX_BYTES} bytes")


def check_text(text: str) -> str:
    """Return the text.

    Raises:
        InvalidInputError: it has no UTF-8 form.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"{text[:40]!r} is no valid Unicode text") from None
    return text


def check_int64(number: int) -> int:
    """Return the number.

    Raises:
        InvalidInputError: it does not fit into 64 bits.
    """
    if not INT64_MIN <= number <= INT64_MAX:
        # Python refuses to write out a number of very many digits.
        shown = str(number)[:40] if number.bit_length() < 4096 else f"a number of {number.bit_length()} bits"
        raise InvalidInputError(f"{shown} is out of range: {INT64_MIN} to {INT64_MAX}")
    return number
