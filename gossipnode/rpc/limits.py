"""Every bound of this package that a user may set, with its default, in one place.

A limit exists so that no peer decides how much memory and time this end spends. Each limit that a peer can
meet is here, or is a number of the HTTP/2 specification.
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
    # Of these, what is kept for members if the server can tell them apart.
    connections_kept_for_members: int = 128
    max_handshakes: int = 128
    max_streams_per_connection: int = 256

    # Header blocks: as sent (in HEADERS and CONTINUATION frames), as decoded (RFC 9113, 6.5.2), and how many
    # of them, and bytes of them decoded, each direction of a connection remembers. A larger one is decoded up
    # to `max_refused_list_bytes` to refuse its call alone, as the header tables of both ends must agree.
    # Beyond that, the connection ends.
    max_header_block_bytes: int = 64 * KIB
    max_header_list_bytes: int = 16 * KIB
    max_refused_list_bytes: int = 256 * KIB
    max_continuation_frames: int = 16
    max_cached_header_blocks: int = 256
    max_cached_head_bytes: int = 128 * KIB

    # Flow control. What the application has not read of a stream is at most one window or one message. The
    # window of a new stream is small, and grows as far as the memory of the process allows once it is read.
    # What is unread on all streams is bounded by the share of the memory that the peer may hold. The replies
    # that the peer has not taken yet are bounded, too.
    max_frame_bytes: int = 64 * KIB
    first_window_bytes: int = 64 * KIB
    stream_window_bytes: int = 4 * MIB
    connection_window_bytes: int = 16 * MIB
    max_unsent_reply_bytes: int = 8 * MIB
    read_bytes: int = 64 * KIB
    # Senders pause above `write_buffer_bytes`. A writer that has less than `gather_bytes` to send lets other
    # tasks add to it once.
    write_buffer_bytes: int = 128 * KIB
    gather_bytes: int = 16 * KIB

    # Abuse. The peer leaves replies to control frames unread, opens streams only to reset them, or sends
    # frames that carry nothing (SETTINGS, PING, empty DATA, unknown types) faster than this. More resets than
    # `max_resets` are allowed up to a share of the streams that were opened.
    max_control_bytes: int = 128 * KIB
    max_resets: int = 4000
    max_reset_share: float = 0.5
    reset_interval_seconds: float = 10.0
    max_idle_frames: int = 2000
    idle_frames_interval_seconds: float = 10.0

    # Time. A connection is idle while it has no stream. A silent peer is pinged after `keepalive_seconds`, or
    # after `keepalive_quiet_seconds` once it has only answered `keepalive_quick_pings` in a row.
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
