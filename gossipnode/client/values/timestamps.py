"""Timestamps and stamps as people and programs write and read them."""

from __future__ import annotations

from datetime import UTC, datetime

from gossipnode.client.errors import InvalidInputError
from gossipnode.core.model.tag_value import Timestamp
from gossipnode.core.model.timestamp_text import InvalidTimestampError, timestamp_of


def parse_timestamp(text: str) -> Timestamp:
    """Read RFC 3339, see `timestamp_of`.

    Raises:
        InvalidInputError: shows the text and an example.
    """
    try:
        return timestamp_of(text)
    except InvalidTimestampError as error:
        raise InvalidInputError(str(error)) from None


def format_nanoseconds(stamp: int) -> str:
    """A stamp in nanoseconds since 1970 as RFC 3339, to the millisecond: for people, not for machines."""
    moment = datetime.fromtimestamp(stamp // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{stamp // 1_000_000 % 1000:03d}Z"
