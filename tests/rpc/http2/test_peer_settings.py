"""SETTINGS: the last value of each setting counts, and repeating one costs no more than reading it."""

import pytest
from h2.errors import ErrorCodes
from hpack import Decoder
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.rpc import Limits
from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.headers import HeaderEncoder
from gossipnode.rpc.http2.http2_faults import ConnectionFault
from gossipnode.rpc.http2.peer_settings import read_settings
from tests.rpc.http2.joined import REQUEST, RESPONSE, Joined, Sleeper

TABLE, STREAMS, WINDOW, UNKNOWN = 1, 3, 4, 99
# As many settings as fit into our largest frame.
PAIRS = 64 * 1024 // frames.SETTING.size


def settings_frame(*pairs):
    payload = b"".join(frames.SETTING.pack(*pair) for pair in pairs)
    return frames.frame(frames.SETTINGS, 0, 0, payload)


def ends(joined):
    """Both ends, each with the function that hands it bytes."""
    return [(joined.server, joined.server.receive), (joined.client, joined.client.receive)]


def test_only_the_last_value_of_a_setting_counts():
    read = read_settings(
        b"".join(frames.SETTING.pack(*p) for p in [(WINDOW, 1), (UNKNOWN, 7), (WINDOW, 5), (STREAMS, 9)])
    )
    assert (read.initial_window_bytes, read.max_streams) == (5, 9)
    assert (read.max_frame_bytes, read.table_bytes, read.smallest_table_bytes) == (None, None, None)


def test_an_invalid_value_is_a_fault_even_if_another_one_follows():
    with pytest.raises(ConnectionFault):
        read_settings(frames.SETTING.pack(WINDOW, 2**31) + frames.SETTING.pack(WINDOW, 5))


@pytest.mark.parametrize("end", [0, 1])
def test_sizes_of_the_header_table_do_not_pile_up(end):
    joined = Joined()
    ours, theirs = joined.call()
    connection, receive = ends(joined)[end]
    for _ in range(30):
        receive(settings_frame(*[(TABLE, 0), (TABLE, 4096)] * (PAIRS // 2)))
        connection.out.clear()
    connection.write_headers((theirs, ours)[end], RESPONSE, [])
    block = bytes(connection.out[frames.FRAME_HEADER_BYTES :])
    assert len(block) < 100
    assert block.startswith(b"\x20\x3f\xe1\x1f")  # 0, then 4096: the smallest and the last
    assert [tuple(field) for field in Decoder().decode(block, raw=True)] == list(RESPONSE)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 5000), min_size=1, max_size=4)), max_size=8))
def test_a_stock_decoder_follows_every_change_of_size(script):
    encoder, decoder = HeaderEncoder(Limits()), Decoder()
    for encode, sizes in script:
        encoder.resize(min(sizes), sizes[-1])
        if encode:
            assert [tuple(f) for f in decoder.decode(encoder.encode(REQUEST), raw=True)] == list(REQUEST)
            assert decoder.header_table_size <= max(sizes[-1], 0)


@pytest.mark.parametrize("end", [0, 1])
def test_a_window_changed_again_and_again_wakes_each_sender_once(end):
    joined = Joined()
    streams = [joined.call()[1 - end] for _ in range(100)]
    connection, receive = ends(joined)[end]
    sleepers = []
    for stream in streams:
        stream.sender = sleeper = Sleeper()
        connection.blocked[stream] = None
        sleepers.append(sleeper)
    before = streams[0].send_window
    size = connection.first_window_bytes
    receive(settings_frame(*[(WINDOW, 0), (WINDOW, size + 10)] * (PAIRS // 2)))
    assert {stream.send_window for stream in streams} == {before + 10}
    assert sum(sleeper.woken for sleeper in sleepers) <= len(streams)


def test_a_window_that_settings_push_beyond_its_largest_size():
    joined = Joined()
    joined.call()
    server = joined.server
    (stream,) = server.streams.values()
    room = frames.LARGEST_WINDOW_BYTES - stream.send_window
    server.receive(frames.window_update_frame(stream.id, room))
    with pytest.raises(ConnectionFault) as caught:
        server.receive(settings_frame((WINDOW, server.limits.stream_window_bytes + 1)))
    assert caught.value.code is ErrorCodes.FLOW_CONTROL_ERROR
