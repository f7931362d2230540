"""Frames as another HTTP/2 library reads them."""

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from gossipnode.rpc.http2 import frames


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (frames.frame(frames.DATA, frames.END_STREAM, 3, b"abc"), DataFrame(3, b"abc", flags=["END_STREAM"])),
        (frames.frame(frames.PING, frames.ACK, 0, b"12345678"), PingFrame(0, b"12345678", flags=["ACK"])),
        (frames.settings_frame({4: 65_535, 3: 100}), SettingsFrame(0, {4: 65_535, 3: 100})),
        (frames.window_update_frame(5, 2**31 - 1), WindowUpdateFrame(5, 2**31 - 1)),
        (frames.reset_frame(7, 8), RstStreamFrame(7, 8)),
        (frames.goaway_frame(9, 11, "calm"), GoAwayFrame(0, 9, 11, b"calm")),
        (
            frames.headers_frames(1, b"block", True, 100),
            HeadersFrame(1, b"block", flags=["END_STREAM", "END_HEADERS"]),
        ),
    ],
)
def test_a_frame_is_what_another_library_sends(ours: bytes, theirs: Frame):
    assert ours == theirs.serialize()


@pytest.mark.parametrize("size", [101, 200, 201, 1_000])
def test_a_long_header_block_goes_into_continuations(size: int):
    block = bytes(number % 251 for number in range(size))
    data = frames.headers_frames(1, block, False, 100)
    parts = [block[at : at + 100] for at in range(0, size, 100)]
    expected = [HeadersFrame(1, parts[0]), *(ContinuationFrame(1, part) for part in parts[1:])]
    expected[-1].flags.add("END_HEADERS")
    assert data == b"".join(frame.serialize() for frame in expected)


def test_a_long_frame_states_its_size():
    header = frames.frame(frames.DATA, 0, 1, bytes(70_000))[: frames.FRAME_HEADER_BYTES]
    high, low, kind, flags, stream_id = frames.FRAME_HEADER.unpack(header)
    assert ((high << 8) | low, kind, flags, stream_id) == (70_000, frames.DATA, 0, 1)
