"""Every bound of this room, with its default, in one place.

A limit exists so that memory and time never follow a peer's wishes. Code here must not name a number of
its own: what is not in `Limits` (or in the HTTP/2 specification) is not a limit.
"""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a server or a channel; units are last in each name."""

    # Messages and connections.
    max_message_bytes: int = 4 * MIB
    max_connections: int = 512
    max_streams_per_connection: int = 256

    # Header blocks: as sent (HEADERS and CONTINUATION frames) and as decoded (RFC 9113, 6.5.2).
    max_header_block_bytes: int = 32 * KIB
    max_header_list_bytes: int = 16 * KIB
    max_continuation_frames: int = 16
    max_cached_header_blocks: int = 256

    # Flow control. What the application has not read is at most one connection window, and for each stream
    # at most one stream window plus one message under assembly; those of a whole connection are bounded, too.
    max_frame_bytes: int = 64 * KIB
    stream_window_bytes: int = 4 * MIB
    connection_window_bytes: int = 16 * MIB
    max_assembling_bytes: int = 32 * MIB
    max_unsent_reply_bytes: int = 8 * MIB
    read_bytes: int = 64 * KIB
    # Senders pause above this. A writer that has less than `gather_bytes` lets other tasks add to it once.
    write_buffer_bytes: int = 128 * KIB
    gather_bytes: int = 16 * KIB

    # Abuse. Replies to control frames that a peer leaves unread; streams it opens only to reset them;
    # frames that carry nothing (SETTINGS, PING, empty DATA, unknown types) sent faster than this.
    max_control_bytes: int = 128 * KIB
    max_resets: int = 500
    reset_interval_seconds: float = 10.0
    max_idle_frames: int = 2000
    idle_frames_interval_seconds: float = 10.0

    # Time.
    connect_seconds: float = 5.0
    handshake_seconds: float = 10.0
    request_seconds: float = 60.0
    idle_seconds: float = 300.0
    keepalive_seconds: float = 20.0
    keepalive_timeout_seconds: float = 10.0
    keepalive_quick_pings: int = 2
    keepalive_quiet_seconds: float = 310.0
    close_seconds: float = 1.0
    accept_pause_seconds: float = 0.1

    # Reconnecting.
    backoff_min_seconds: float = 0.1
    backoff_max_seconds: float = 10.0
