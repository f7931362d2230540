"""What a SETTINGS frame of the peer says in the end (RFC 9113, 6.5).

Pure functions. A frame may name one setting thousands of times, and to apply a value can cost far more than
to read it. So only the last value of each setting is applied.
"""

from dataclasses import dataclass
from typing import Final

from h2.settings import SettingCodes

from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.http2_faults import ConnectionFault, ErrorCodes

# The settings that this end heeds. All others are ignored (RFC 9113, 6.5.2).
_HEEDED: Final = frozenset(
    [
        SettingCodes.HEADER_TABLE_SIZE,
        SettingCodes.ENABLE_PUSH,
        SettingCodes.MAX_CONCURRENT_STREAMS,
        SettingCodes.INITIAL_WINDOW_SIZE,
        SettingCodes.MAX_FRAME_SIZE,
    ]
)


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """The last value of each setting in one frame; None for a setting that the frame does not name."""

    max_streams: int | None
    initial_window_bytes: int | None
    max_frame_bytes: int | None
    table_bytes: int | None
    #: The smallest table that the frame names on the way to the last one: a decoder that shrank its table has
    #: dropped entries, and must be told of both sizes (RFC 7541, 4.2).
    smallest_table_bytes: int | None


def read_settings(payload: bytes, *, from_server: bool = False) -> PeerSettings:
    """The settings of one frame. Raises ConnectionFault if any value in it is invalid."""
    last: dict[int, int] = {}
    smallest_table: int | None = None
    for key, value in frames.SETTING.iter_unpack(payload):
        if key not in _HEEDED:
            continue
        _check(key, value, from_server=from_server)
        last[key] = value
        if key == SettingCodes.HEADER_TABLE_SIZE and (smallest_table is None or value < smallest_table):
            smallest_table = value
    return PeerSettings(
        last.get(SettingCodes.MAX_CONCURRENT_STREAMS),
        last.get(SettingCodes.INITIAL_WINDOW_SIZE),
        last.get(SettingCodes.MAX_FRAME_SIZE),
        last.get(SettingCodes.HEADER_TABLE_SIZE),
        smallest_table,
    )


def _check(key: int, value: int, *, from_server: bool) -> None:
    if key == SettingCodes.INITIAL_WINDOW_SIZE and value > frames.LARGEST_WINDOW_BYTES:
        raise ConnectionFault(ErrorCodes.FLOW_CONTROL_ERROR, "initial window too large")
    if (
        key == SettingCodes.MAX_FRAME_SIZE
        and not frames.DEFAULT_FRAME_BYTES <= value <= frames.LARGEST_FRAME_BYTES
    ):
        raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "largest frame out of range")
    if key == SettingCodes.ENABLE_PUSH and value > (0 if from_server else 1):
        # Servers push and clients do not, so only a client may ask for it.
        raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, f"ENABLE_PUSH of {value}")
