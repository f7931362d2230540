"""Frames that a peer sends, good and bad: a bad one costs its own connection, and no other."""

import random

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from gossipnode.rpc import Limits, Status
from gossipnode.rpc.http2.client_connection import ClientConnection
from gossipnode.rpc.http2.connection import STREAM_BYTES
from gossipnode.rpc.http2.http2_faults import ConnectionFault
from gossipnode.rpc.http2.server_connection import ServerConnection
from gossipnode.rpc.message_framing import frame_message
from tests.concurrency.accounts import account
from tests.rpc.http2.joined import OK, REQUEST, RESPONSE, Joined
from tests.rpc.methods import FLOW, PREFACE, UNARY, echo
from tests.rpc.raw_peer import message, unknown_frame
from tests.rpc.wired import against


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        random.Random(5).randbytes(5000),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + PingFrame(0).serialize(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 1000,
    ],
)
async def test_not_http2(caplog, data):
    async with against(caplog, start=False) as peer:
        await peer.send(data)
        assert await peer.goaway() != ErrorCodes.NO_ERROR


async def test_preface_byte_by_byte(caplog):
    async with against(caplog, start=False) as peer:
        request = peer.request(1).serialize() + DataFrame(1, message(b"x"), flags=["END_STREAM"]).serialize()
        for byte in PREFACE + SettingsFrame(0).serialize() + request:
            await peer.send(bytes([byte]))
        await peer.fields(1)
        assert (await peer.fields(1))["grpc-status"] == "0"


async def test_unknown_frames_are_ignored(caplog):
    async with against(caplog) as peer:
        for kind in (0x0B, 0x42, 0xFF):
            for stream_id in (0, 1, 77):
                await peer.send(unknown_frame(kind, stream_id))
        await peer.send(peer.request(1), unknown_frame(0x42, 1))
        await peer.send(DataFrame(1, message(b"x"), flags=["END_STREAM"]))
        await peer.fields(1)
        assert (await peer.fields(1))["grpc-status"] == "0"


BAD_FRAMES = {
    "data on stream 0": (DataFrame(1, b"x").serialize()[:5] + bytes(4) + b"x", ErrorCodes.PROTOCOL_ERROR),
    "data on an idle stream": (DataFrame(9, b"x").serialize(), ErrorCodes.PROTOCOL_ERROR),
    "reset of an idle stream": (RstStreamFrame(9).serialize(), ErrorCodes.PROTOCOL_ERROR),
    "reset of a wrong size": (b"\0\0\3\3\0\0\0\0\1abc", ErrorCodes.FRAME_SIZE_ERROR),
    "window of an idle stream": (WindowUpdateFrame(9, 5).serialize(), ErrorCodes.PROTOCOL_ERROR),
    "window of nothing": (b"\0\0\4\x08\0\0\0\0\0" + bytes(4), ErrorCodes.PROTOCOL_ERROR),
    "window overflow": (WindowUpdateFrame(0, 2**31 - 1).serialize(), ErrorCodes.FLOW_CONTROL_ERROR),
    "ping of a wrong size": (b"\0\0\3\6\0\0\0\0\0abc", ErrorCodes.FRAME_SIZE_ERROR),
    "ping on a stream": (b"\0\0\x08\6\0\0\0\0\1" + bytes(8), ErrorCodes.PROTOCOL_ERROR),
    "settings on a stream": (b"\0\0\0\4\0\0\0\0\1", ErrorCodes.PROTOCOL_ERROR),
    "settings of a wrong size": (b"\0\0\5\4\0\0\0\0\0abcde", ErrorCodes.FRAME_SIZE_ERROR),
    "settings with a wrong frame size": (SettingsFrame(0, {5: 10}).serialize(), ErrorCodes.PROTOCOL_ERROR),
    "settings with a wrong window": (SettingsFrame(0, {4: 2**31}).serialize(), ErrorCodes.FLOW_CONTROL_ERROR),
    "settings with a wrong push": (SettingsFrame(0, {2: 5}).serialize(), ErrorCodes.PROTOCOL_ERROR),
    "push promise": (PushPromiseFrame(1, 2, b"\x82").serialize(), ErrorCodes.PROTOCOL_ERROR),
    "continuation alone": (ContinuationFrame(1, b"\x82").serialize(), ErrorCodes.PROTOCOL_ERROR),
    "headers interrupted": (
        HeadersFrame(1, b"\x82").serialize() + PingFrame(0).serialize(),
        ErrorCodes.PROTOCOL_ERROR,
    ),
    "headers on stream 0": (b"\0\0\1\1\4\0\0\0\0\x82", ErrorCodes.PROTOCOL_ERROR),
    "headers on an even stream": (b"\0\0\1\1\4\0\0\0\2\x82", ErrorCodes.PROTOCOL_ERROR),
    "headers with too much padding": (b"\0\0\2\1\x0c\0\0\0\1\x09\x82", ErrorCodes.PROTOCOL_ERROR),
    "broken hpack": (b"\0\0\4\1\4\0\0\0\1\xff\xff\xff\xff", ErrorCodes.COMPRESSION_ERROR),
    "hpack beyond its table": (b"\0\0\1\1\4\0\0\0\1\xfe", ErrorCodes.COMPRESSION_ERROR),
    "frame too long": (b"\xff\xff\xff\0\0\0\0\0\1", ErrorCodes.FRAME_SIZE_ERROR),
    "goaway of a wrong size": (b"\0\0\4\7\0\0\0\0\0abcd", ErrorCodes.FRAME_SIZE_ERROR),
}


@pytest.mark.parametrize("name", list(BAD_FRAMES))
async def test_frame_that_ends_the_connection(caplog, name):
    data, code = BAD_FRAMES[name]
    async with against(caplog) as peer:
        await peer.send(data)
        assert await peer.goaway() == code


async def test_a_message_per_byte_and_padding(caplog):
    async with against(caplog) as peer:
        data = b"".join(message(b"%d" % number) for number in range(50))
        await peer.send(peer.request(1, FLOW.path))
        for byte in data:
            await peer.send(DataFrame(1, bytes([byte]), pad_length=200, flags=["PADDED"]))
        await peer.send(DataFrame(1, flags=["END_STREAM"]))
        await peer.fields(1)
        assert (await peer.fields(1))["grpc-status"] == "0"
        got = b"".join(frame.data for frame in peer.received if isinstance(frame, DataFrame))
        assert got == data


async def test_windows_are_enforced(caplog):
    async def deaf(stream):
        await trio.sleep_forever()

    limits = Limits(stream_window_bytes=65_535, connection_window_bytes=65_535)
    handlers = {FLOW: deaf, UNARY: echo}
    async with against(caplog, limits=limits, handlers=handlers) as peer:
        await peer.send(peer.request(1, FLOW.path), *[DataFrame(1, bytes(10_000))] * 7)
        assert await peer.reset(1) == ErrorCodes.FLOW_CONTROL_ERROR
        await peer.send(peer.request(3, FLOW.path), DataFrame(3, bytes(65_536)))
        assert await peer.goaway() == ErrorCodes.FLOW_CONTROL_ERROR


async def test_data_after_the_end_is_dropped_and_credited(caplog):
    """As many bytes as the connection's window, again and again, on a stream that is over."""
    limits = Limits(connection_window_bytes=65_535)
    async with against(caplog, limits=limits) as peer:
        await peer.send(peer.request(1, "/no/method"))
        assert (await peer.fields(1))["grpc-status"] == str(Status.UNIMPLEMENTED.value)
        for _ in range(100):
            await peer.send(DataFrame(1, bytes(10_000)))
        await peer.send(peer.request(3), DataFrame(3, message(b"x"), flags=["END_STREAM"]))
        await peer.fields(3)
        assert (await peer.fields(3))["grpc-status"] == "0"


# The same state without Trio: feed bytes, read bytes.


def test_each_end_begins_with_its_settings():
    client = ClientConnection(Limits(), lambda: 0.0, account())
    server = ServerConnection(Limits(), lambda: 0.0, account(), lambda stream, head: None)
    client.start()
    server.start()
    assert client.out.startswith(PREFACE)
    server.out.clear()
    server.receive(bytes(client.out))
    assert server.settings_received
    assert bytes(server.out) == SettingsFrame(0, flags=["ACK"]).serialize()


def test_a_whole_call_in_memory():
    joined = Joined()
    client, server = joined.client, joined.server
    ours, theirs = joined.call()
    assert joined.calls[0][1].pseudo[":path"] == "/test.Test/Unary"
    client.write_data(ours, frame_message(b"question"), 0, end=True)
    joined.exchange()
    assert server.take(theirs, 2) == [b"question"]
    assert theirs.remote_ended
    server.write_headers(theirs, RESPONSE, [])
    server.write_data(theirs, frame_message(b"answer"), 0, end=False)
    server.write_headers(theirs, OK, [("key", "value")], end=True)
    server.finish(theirs)
    joined.exchange()
    assert client.take(ours, 2) == [b"answer"]
    ours.check_end()
    assert ours.trailing_metadata == {"key": "value"}
    client.finish(ours)
    joined.exchange()
    assert not client.streams
    assert not server.streams


def test_bytes_mean_the_same_in_any_portions():
    replies = set()
    for portion in (1, 7, 10_000):
        joined = Joined()
        stream = joined.client.open(REQUEST, [("key", "value")])
        joined.client.write_data(stream, frame_message(bytes(300)), 0, end=True)
        data = bytes(joined.client.out) + PingFrame(0, b"12345678").serialize()
        for start in range(0, len(data), portion):
            joined.server.receive(data[start : start + portion])
        ((theirs, head),) = joined.calls
        assert head.metadata == {"key": "value"}
        assert joined.server.take(theirs, 2) == [bytes(300)]
        replies.add(bytes(joined.server.out))
    assert replies == {PingFrame(0, b"12345678", flags=["ACK"]).serialize()}


def test_idle_time_begins_when_the_last_stream_ends():
    joined = Joined()
    joined.time = 5.0
    first, _ = joined.call()
    second, _ = joined.call()
    joined.time = 7.0
    joined.client.finish(first)
    assert joined.client.idle_since == 0.0
    joined.time = 9.0
    joined.client.finish(second)
    assert joined.client.idle_since == 9.0


def test_what_a_stream_leaves_unfinished_is_forgotten_with_it():
    joined = Joined()
    ours, theirs = joined.call()
    joined.client.write_data(ours, frame_message(bytes(1000))[:500], 0, end=False)
    joined.exchange()
    assert joined.server.take(theirs, 1) == []
    held = joined.server.memory.held
    joined.server.finish(theirs)
    assert held - joined.server.memory.held == 500 + STREAM_BYTES
    joined.exchange()
    assert ours.error is not None


def test_a_drained_end_closes_with_its_last_stream():
    joined = Joined()
    _, theirs = joined.call()
    closed = []
    joined.server.on_closing = lambda: closed.append(True)
    joined.server.drain()
    joined.exchange()
    assert not joined.client.usable
    assert closed == []
    joined.server.finish(theirs)
    assert closed == [True]


def test_a_fault_names_its_code():
    joined = Joined()
    with pytest.raises(ConnectionFault, match="not open") as caught:
        joined.server.receive(DataFrame(9, b"x").serialize())
    assert caught.value.code is ErrorCodes.PROTOCOL_ERROR
