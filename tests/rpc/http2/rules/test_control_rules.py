"""Frames that RFC 9113 forbids, each with the error that it names: of the stream, or of the connection."""

import pytest

from gossipnode.rpc.http2 import frames
from tests.rpc.http2.rules.frames_in import FedClient, FedServer, data

WINDOW, MAX = frames.window_update_frame, frames.LARGEST_WINDOW_BYTES


def raw(kind: int, stream_id: int, payload: bytes = b"", flags: int = 0) -> bytes:
    return frames.frame(kind, flags, stream_id, payload)


# After a request on stream 1, which is open.
FORBIDDEN = {
    "PRIORITY on stream 0": (raw(frames.PRIORITY, 0, bytes(5)), "GOAWAY PROTOCOL_ERROR"),
    "PRIORITY of a wrong size": (raw(frames.PRIORITY, 1, bytes(4)), "RST 1 FRAME_SIZE_ERROR"),
    "WINDOW_UPDATE of nothing": (WINDOW(1, 0), "RST 1 PROTOCOL_ERROR"),
    "WINDOW_UPDATE of nothing for all": (WINDOW(0, 0), "GOAWAY PROTOCOL_ERROR"),
    "a stream's window too large": (WINDOW(1, MAX), "RST 1 FLOW_CONTROL_ERROR"),
    "the window too large": (WINDOW(0, MAX), "GOAWAY FLOW_CONTROL_ERROR"),
    "WINDOW_UPDATE of a wrong size": (raw(frames.WINDOW_UPDATE, 1, bytes(3)), "GOAWAY FRAME_SIZE_ERROR"),
    "WINDOW_UPDATE on an idle stream": (WINDOW(3, 1), "GOAWAY PROTOCOL_ERROR"),
    "DATA on stream 0": (data(0, b"x"), "GOAWAY PROTOCOL_ERROR"),
    "DATA on an idle stream": (data(3, b"x"), "GOAWAY PROTOCOL_ERROR"),
    "DATA on a stream of ours": (data(2, b"x"), "GOAWAY PROTOCOL_ERROR"),
    "padding longer than its frame": (raw(frames.DATA, 1, b"\5abcd", frames.PADDED), "GOAWAY PROTOCOL_ERROR"),
    "padding of no length": (raw(frames.DATA, 1, b"", frames.PADDED), "GOAWAY FRAME_SIZE_ERROR"),
    "CONTINUATION without HEADERS": (raw(frames.CONTINUATION, 1), "GOAWAY PROTOCOL_ERROR"),
    "HEADERS on stream 0": (raw(frames.HEADERS, 0, b"", 5), "GOAWAY PROTOCOL_ERROR"),
    "HEADERS on a stream of ours": (raw(frames.HEADERS, 2, b"\x83\x86\x84", 5), "GOAWAY PROTOCOL_ERROR"),
    "HEADERS interrupted": (
        raw(frames.HEADERS, 3, b"\x83") + raw(0xFA, 3, b"x", 0xFF),
        "GOAWAY PROTOCOL_ERROR",
    ),
    "PING of a wrong size": (raw(frames.PING, 0, bytes(7)), "GOAWAY FRAME_SIZE_ERROR"),
    "PING on a stream": (raw(frames.PING, 1, bytes(8)), "GOAWAY PROTOCOL_ERROR"),
    "RST_STREAM on an idle stream": (frames.reset_frame(3, 8), "GOAWAY PROTOCOL_ERROR"),
    "RST_STREAM on stream 0": (frames.reset_frame(0, 8), "GOAWAY PROTOCOL_ERROR"),
    "RST_STREAM of a wrong size": (raw(frames.RST_STREAM, 1, bytes(5)), "GOAWAY FRAME_SIZE_ERROR"),
    "GOAWAY on a stream": (raw(frames.GOAWAY, 1, bytes(8)), "GOAWAY PROTOCOL_ERROR"),
    "GOAWAY of a wrong size": (raw(frames.GOAWAY, 0, bytes(7)), "GOAWAY FRAME_SIZE_ERROR"),
    "SETTINGS on a stream": (raw(frames.SETTINGS, 1), "GOAWAY PROTOCOL_ERROR"),
    "SETTINGS of a wrong size": (raw(frames.SETTINGS, 0, bytes(5)), "GOAWAY FRAME_SIZE_ERROR"),
    "SETTINGS acknowledged at length": (
        raw(frames.SETTINGS, 0, bytes(6), frames.ACK),
        "GOAWAY FRAME_SIZE_ERROR",
    ),
    "SETTINGS of half a push": (frames.settings_frame({2: 2}), "GOAWAY PROTOCOL_ERROR"),
    "SETTINGS of a window": (frames.settings_frame({4: MAX + 1}), "GOAWAY FLOW_CONTROL_ERROR"),
    "SETTINGS of small frames": (frames.settings_frame({5: 16_383}), "GOAWAY PROTOCOL_ERROR"),
    "SETTINGS of large frames": (frames.settings_frame({5: 2**24}), "GOAWAY PROTOCOL_ERROR"),
    "PUSH_PROMISE": (raw(frames.PUSH_PROMISE, 1, bytes(4)), "GOAWAY PROTOCOL_ERROR"),
}


@pytest.mark.parametrize("name", list(FORBIDDEN))
def test_a_forbidden_frame(name):
    frame, answered = FORBIDDEN[name]
    server = FedServer()
    assert server.send(server.request(1)) == []
    assert server.send(frame) == [answered]


IGNORED = {
    "an unknown type": raw(0xFA, 1, b"x", 0xFF),
    "an unknown type on stream 0": raw(0x0A, 0, b"", 0xFF),
    "PRIORITY on an idle stream": raw(frames.PRIORITY, 7, bytes(5)),
    "PING that nobody asked for": raw(frames.PING, 0, bytes(8), frames.ACK),
    "a reserved bit": raw(frames.PING, 0x8000_0000, bytes(8)),
    "unknown flags": raw(frames.PING, 0, bytes(8), 0xFE),
    "unknown settings": frames.settings_frame({0x8: 1, 0xFFFF: 7}),
    "GOAWAY of a client, which may still call": raw(frames.GOAWAY, 0, bytes(8)),
    "the largest window": WINDOW(1, MAX - frames.DEFAULT_WINDOW_BYTES),
}


@pytest.mark.parametrize("name", list(IGNORED))
def test_a_frame_that_changes_nothing(name):
    server = FedServer()
    assert server.send(server.request(1), IGNORED[name], server.request(3)) == []
    assert [stream.id for stream in server.calls] == [1, 3]


def test_a_server_must_not_offer_to_push():
    assert FedClient().send(frames.settings_frame({2: 1})) == ["GOAWAY PROTOCOL_ERROR"]
    assert FedClient().send(frames.settings_frame({2: 0})) == []
    server = FedServer()
    assert server.send(frames.settings_frame({2: 1})) == []
