"""Timestamps as text: RFC 3339 with up to nine decimals, and back without losing a nanosecond."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from gossipnode.core.model.errors import CoreError
from gossipnode.core.model.tag_value import Timestamp

_EPOCH = datetime(1970, 1, 1)
_RFC3339 = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[Tt ](?P<time>\d\d:\d\d:\d\d)(\.(?P<fraction>\d{1,9}))?"
    r"(?P<zone>[Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)


class InvalidTimestampError(CoreError):
    """A text that is no timestamp. The message shows it, and an example."""


def format_timestamp(moment: Timestamp) -> str:
    """RFC 3339 in UTC with 0, 3, 6 or 9 decimals, whichever is the least that holds the value."""
    whole = _EPOCH + timedelta(seconds=moment.seconds)
    text = whole.strftime("%Y-%m-%dT%H:%M:%S")
    # strftime does not pad the year on every platform.
    text = text.rjust(19, "0")
    if not moment.nanos:
        return text + "Z"
    digits = f"{moment.nanos:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z"


def timestamp_of(text: str) -> Timestamp:
    """Read RFC 3339, from year 1 to 9999, in UTC ("Z") or with an offset.

    Raises:
        InvalidTimestampError: shows the text and an example.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise _wrong(text)
    try:
        local = datetime.fromisoformat(f"{found['date']}T{found['time']}")
    except ValueError:
        raise _wrong(text) from None
    seconds = int((local - _EPOCH).total_seconds()) - _offset_seconds(found["zone"], text)
    if not _MIN_SECONDS <= seconds <= _MAX_SECONDS:
        raise InvalidTimestampError(f"timestamp {text!r} is outside the years 1 to 9999")
    return Timestamp(seconds, int((found["fraction"] or "").ljust(9, "0")))


def _offset_seconds(zone: str, text: str) -> int:
    if zone in "Zz":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 23 or minutes > 59:
        raise _wrong(text)
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)


def _wrong(text: str) -> InvalidTimestampError:
    return InvalidTimestampError(
        f"{text[:60]!r} is no timestamp: expected RFC 3339, as in 2026-01-02T03:04:05.123456789Z"
    )


_MIN_SECONDS = int((datetime.min - _EPOCH).total_seconds())
_MAX_SECONDS = int((datetime(9999, 12, 31, 23, 59, 59) - _EPOCH).total_seconds())
