"""A quick look at the messages that carry a record, which are nearly all messages of a session.

It knows one form, with each field once and in order. It gives up on any other form: then the strict reader,
which knows all of them, reads the message or says what is wrong with it.

Measured with properties of 2 KB: to decode a whole message takes 18 us (a client's) and 19 us (a server's)
with this look, and 23 and 31 us without it. A session spends some 230 to 270 us on a record, so the look
saves 2 to 4 % of a session.
"""

from __future__ import annotations

from typing import NamedTuple

from gossipnode.wire.varint import read_varint

CLIENT_SYNC_KEY = 0x22
"""RepairRequest.property_sync, field 4."""
SERVER_SYNC_KEY = 0x1A
"""RepairResponse.property_sync, field 3."""
_FROM_KEY, _RECORD_KEY = 0x08, 0x12
_ID_KEY, _PROPERTY_KEY, _DELETE_TIME_KEY = 0x0A, 0x12, 0x18
_VARINT_MORE = 0x80
_INT64_BITS = 63


class ScannedSync(NamedTuple):
    """What a PropertySync carries; `answer_to` is the `from` of a server's answer."""

    payload: bytes
    delete_time: int
    answer_to: int


class _UnusualError(Exception):
    """The message is not of the one form."""


def scan_client_sync(data: bytes) -> ScannedSync | None:
    """Read RepairRequest{property_sync}; None for anything else, or in any other form."""
    try:
        at = _enter(data, 0, CLIENT_SYNC_KEY)
        return _sync(data, at, 0)
    except (_UnusualError, IndexError):
        return None


def scan_server_sync(data: bytes) -> ScannedSync | None:
    """Read RepairResponse{property_sync}; None for anything else, or in any other form."""
    try:
        at = _enter(data, 0, SERVER_SYNC_KEY)
        answer_to = 0
        if data[at] == _FROM_KEY:
            answer_to = data[at + 1]
            at += 2
            if answer_to >= _VARINT_MORE:
                return None
        return _sync(data, _enter(data, at, _RECORD_KEY), answer_to)
    except (_UnusualError, IndexError):
        return None


def _enter(data: bytes, at: int, key: int) -> int:
    """Where the content of a field begins; the field must reach to the end of the data."""
    if data[at] != key:
        raise _UnusualError
    size, at = read_varint(data, at + 1)
    if at + size != len(data):
        raise _UnusualError
    return at


def _sync(data: bytes, at: int, answer_to: int) -> ScannedSync:
    if data[at] == _ID_KEY:
        size, at = read_varint(data, at + 1)
        at += size
    if data[at] != _PROPERTY_KEY:
        raise _UnusualError
    size, at = read_varint(data, at + 1)
    end = at + size
    delete_time = 0
    if end < len(data):
        if data[end] != _DELETE_TIME_KEY:
            raise _UnusualError
        delete_time, after = read_varint(data, end + 1)
        if delete_time >> _INT64_BITS or after != len(data):
            raise _UnusualError
    elif end > len(data):
        raise _UnusualError
    return ScannedSync(data[at:end], delete_time, answer_to)
