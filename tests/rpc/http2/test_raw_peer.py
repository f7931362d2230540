"""What a peer that is not ours may do: each costs its own connection, and everybody else is served."""

import gc
import logging
import random
import tracemalloc
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from gossipnode.rpc import Limits, RpcError, Status


def message(data: bytes, *, flag: int = 0) -> bytes:
    return bytes([flag]) + len(data).to_bytes(4, "big") + data


def unknown_frame(kind: int, stream_id: int) -> bytes:
    return b"\0\0\3%c\xff" % kind + stream_id.to_bytes(4, "big") + b"abc"


@asynccontextmanager
async def against(kit, caplog, *, limits=None, start=True, handlers=None):
    """A raw peer and a well-behaved channel at one server; afterwards the latter is still served."""
    caplog.set_level(logging.DEBUG, "gossipnode.rpc")
    options = {"limits": limits} if limits is not None else {}
    async with kit.wired(handlers, **options) as wire, wire.channel() as channel:
        await channel.unary(kit.UNARY, b"before", timeout=5)
        peer = await wire.raw()
        if start:
            await peer.start()
        yield peer
        assert await channel.unary(kit.UNARY, b"after", timeout=5) == b"after"
        await trio.aclose_forcefully(peer.stream)
        await trio.testing.wait_all_tasks_blocked()
        assert wire.server.connection_count == 1
        assert wire.server.call_count == 0
        assert not [record for record in caplog.records if record.exc_info]
        assert "Traceback" not in caplog.text


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
async def test_not_http2(kit, caplog, data):
    async with against(kit, caplog, start=False) as peer:
        await peer.send(data)
        assert await peer.goaway() != ErrorCodes.NO_ERROR


async def test_preface_byte_by_byte(kit, caplog):
    async with against(kit, caplog, start=False) as peer:
        request = peer.request(1).serialize() + DataFrame(1, message(b"x"), flags=["END_STREAM"]).serialize()
        for byte in kit.PREFACE + SettingsFrame(0).serialize() + request:
            await peer.send(bytes([byte]))
        await peer.fields(1)
        assert (await peer.fields(1))["grpc-status"] == "0"


async def test_unknown_frames_are_ignored(kit, caplog):
    async with against(kit, caplog) as peer:
        for kind in (0x0B, 0x42, 0xFF):
            for stream_id in (0, 1, 77):
                await peer.send(unknown_frame(kind, stream_id))
        await peer.send(peer.request(1), unknown_frame(0x42, 1))
        await peer.send(DataFrame(1, message(b"x"), flags=["END_STREAM"]))
        await peer.fields(1)
        assert (await peer.fields(1))["grpc-status"] == "0"


RST1 = RstStreamFrame(1).serialize()
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
    "goaway of a wrong size": (b"\0\0\4\7\0\0\0\0\0abcd", ErrorCodes.PROTOCOL_ERROR),
}


@pytest.mark.parametrize("name", list(BAD_FRAMES))
async def test_frame_that_ends_the_connection(kit, caplog, name):
    data, code = BAD_FRAMES[name]
    async with against(kit, caplog) as peer:
        await peer.send(data)
        assert await peer.goaway() == code


BAD_REQUESTS = {
    "no path": [(":method", "POST"), (":scheme", "http")],
    "a status": [(":method", "POST"), (":path", "/x/y"), (":status", "200")],
    "upper case": [(":method", "POST"), (":path", "/x/y"), ("Te", "trailers")],
    "pseudo-header twice": [(":method", "POST"), (":method", "POST"), (":path", "/x/y")],
    "pseudo-header late": [(":method", "POST"), ("te", "trailers"), (":path", "/x/y")],
    "connection field": [(":method", "POST"), (":path", "/x/y"), ("connection", "close")],
    "control character": [(":method", "POST"), (":path", "/x/y"), ("x", "a\nb")],
    "not ascii": [(":method", "POST"), (":path", "/x/y"), ("x", "ä")],
    "not base64": [(":method", "POST"), (":path", "/x/y"), ("x-bin", "A")],
}


@pytest.mark.parametrize("name", list(BAD_REQUESTS))
async def test_request_that_is_malformed(kit, caplog, name):
    async with against(kit, caplog) as peer:
        await peer.send(peer.headers(1, BAD_REQUESTS[name], end=True))
        assert await peer.reset(1) == ErrorCodes.PROTOCOL_ERROR
        await peer.send(peer.request(3, end=False), DataFrame(3, message(b"x"), flags=["END_STREAM"]))
        await peer.fields(3)
        assert (await peer.fields(3))["grpc-status"] == "0"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([(":method", "GET"), ("content-type", "application/grpc")], "405"),
        ([(":method", "POST"), ("content-type", "text/plain")], "415"),
        ([(":method", "POST"), ("content-type", "application/grpc+json")], "415"),
        ([(":method", "POST")], "415"),
    ],
)
async def test_request_that_is_not_grpc(kit, caplog, fields, status):
    async with against(kit, caplog) as peer:
        fields = [fields[0], (":path", kit.UNARY.path), (":scheme", "http"), *fields[1:]]
        await peer.send(peer.headers(1, fields, end=True))
        assert (await peer.fields(1))[":status"] == status


@pytest.mark.parametrize(
    "content_type", ["application/grpc", "application/grpc+proto", "application/grpc; a=b"]
)
async def test_content_types_that_are_grpc(kit, caplog, content_type):
    async with against(kit, caplog) as peer:
        fields = [(":method", "POST"), (":path", kit.UNARY.path), ("content-type", content_type)]
        await peer.send(peer.headers(1, fields), DataFrame(1, message(b"x"), flags=["END_STREAM"]))
        assert await peer.fields(1) == {":status": "200", "content-type": "application/grpc+proto"}


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\0\xff\xff\xff\xff", Status.RESOURCE_EXHAUSTED),
        (b"\0\0\x40\0\1", Status.RESOURCE_EXHAUSTED),
        (message(b"x", flag=1), Status.UNIMPLEMENTED),
    ],
)
@pytest.mark.parametrize("path", ["Unary", "Flow"])
async def test_message_that_is_refused_unread(kit, caplog, data, status, path):
    async with against(kit, caplog) as peer:
        await peer.send(peer.request(1, f"/test.Test/{path}"), DataFrame(1, data))
        assert (await peer.fields(1))["grpc-status"] == str(status.value)
        assert await peer.reset(1) == ErrorCodes.NO_ERROR


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", Status.INVALID_ARGUMENT),
        (b"\0\0\0", Status.INVALID_ARGUMENT),
        (message(b"xy")[:-1], Status.INVALID_ARGUMENT),
        (message(b"x") * 2, Status.INVALID_ARGUMENT),
        (message(b"x") + b"\0", Status.INVALID_ARGUMENT),
    ],
)
async def test_unary_request_that_is_not_one_message(kit, caplog, data, status):
    async with against(kit, caplog) as peer:
        await peer.send(peer.request(1), DataFrame(1, data, flags=["END_STREAM"]))
        assert (await peer.fields(1))["grpc-status"] == str(status.value)


@pytest.mark.parametrize("value", ["", "5", "S", "123456789S", "-1S", "1.5S", "٣S", "9" * 5000 + "S"])
async def test_malformed_timeout(kit, caplog, value):
    async with against(kit, caplog) as peer:
        await peer.send(peer.request(1, kit.UNARY.path, ("grpc-timeout", value), end=True))
        if value.isascii():
            assert (await peer.fields(1))["grpc-status"] == str(Status.INVALID_ARGUMENT.value)
        else:
            assert await peer.reset(1) == ErrorCodes.PROTOCOL_ERROR


async def test_a_message_per_byte_and_padding(kit, caplog):
    async with against(kit, caplog) as peer:
        data = b"".join(message(b"%d" % number) for number in range(50))
        await peer.send(peer.request(1, kit.FLOW.path))
        for byte in data:
            await peer.send(DataFrame(1, bytes([byte]), pad_length=200, flags=["PADDED"]))
        await peer.send(DataFrame(1, flags=["END_STREAM"]))
        await peer.fields(1)
        assert (await peer.fields(1))["grpc-status"] == "0"
        got = b"".join(frame.data for frame in peer.received if isinstance(frame, DataFrame))
        assert got == data


FLOODS = {
    "settings": SettingsFrame(0, {3: 100}).serialize(),
    "settings acks": SettingsFrame(0, flags=["ACK"]).serialize(),
    "ping": PingFrame(0).serialize(),
    "ping acks": PingFrame(0, flags=["ACK"]).serialize(),
    "empty data": DataFrame(1).serialize(),
    "priority": PriorityFrame(1).serialize(),
    "unknown frames": unknown_frame(0x42, 0),
    "windows": WindowUpdateFrame(0, 1).serialize(),
}


@pytest.mark.parametrize("name", list(FLOODS))
@pytest.mark.parametrize("reads", [True, False])
async def test_flood(kit, caplog, name, reads):
    async with against(kit, caplog) as peer:
        await peer.send(peer.request(1, kit.FLOW.path))

        async def flood():
            for _ in range(1000):
                await peer.send(FLOODS[name] * 1000)
                if peer.received and isinstance(peer.received[-1], GoAwayFrame):
                    return

        async with trio.open_nursery() as nursery:
            if reads:
                nursery.start_soon(flood)
                assert await peer.goaway() == ErrorCodes.ENHANCE_YOUR_CALM
                nursery.cancel_scope.cancel()
        if not reads:
            await peer.send(FLOODS[name] * 5000)
            assert await peer.goaway() == ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.slow
async def test_calm_traffic_is_no_flood(kit, caplog, autojump_clock):
    async with against(kit, caplog) as peer:
        await peer.send(peer.request(1, kit.FLOW.path))
        for _ in range(1_500):
            await peer.send(DataFrame(1, message(b"x")), PingFrame(0), WindowUpdateFrame(0, 1))
        await peer.send(DataFrame(1, flags=["END_STREAM"]))
        await peer.fields(1)
        assert (await peer.fields(1))["grpc-status"] == "0"


@pytest.mark.slow
async def test_rapid_reset(kit, caplog):
    async with against(kit, caplog) as peer:
        async with trio.open_nursery() as nursery:

            async def flood():
                for stream_id in range(1, 20_000, 2):
                    await peer.send(peer.request(stream_id, kit.FLOW.path), RstStreamFrame(stream_id, 8))

            nursery.start_soon(flood)
            assert await peer.goaway() == ErrorCodes.ENHANCE_YOUR_CALM
            nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_resets_provoked_by_bad_frames(kit, caplog):
    async with against(kit, caplog) as peer:
        async with trio.open_nursery() as nursery:

            async def flood():
                for stream_id in range(1, 20_000, 2):
                    await peer.send(
                        peer.request(stream_id, kit.FLOW.path),
                        b"\0\0\4\x08\0%b" % stream_id.to_bytes(4, "big") + bytes(4),
                    )

            nursery.start_soon(flood)
            assert await peer.goaway() == ErrorCodes.ENHANCE_YOUR_CALM
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("size", [0, 1, 1000, 16_000])
async def test_header_block_without_end(kit, caplog, size):
    async with against(kit, caplog) as peer:
        await peer.send(HeadersFrame(1, b"\x82"), *[ContinuationFrame(1, bytes(size))] * 40)
        assert await peer.goaway() == ErrorCodes.ENHANCE_YOUR_CALM


async def test_giant_header_list(kit, caplog):
    """A small block that names one large entry of the table again and again."""
    async with against(kit, caplog) as peer:
        block = peer.encoder.encode([(":method", "POST"), ("x", "y" * 3000)])
        block += b"\xbe" * 500  # index 62, the newest entry of the table
        await peer.send(HeadersFrame(1, block, flags=["END_HEADERS"]))
        assert await peer.goaway() == ErrorCodes.ENHANCE_YOUR_CALM


async def test_metadata_up_to_the_limit(kit, caplog):
    async with against(kit, caplog) as peer:
        await peer.send(
            peer.request(1, kit.UNARY.path, ("x", "y" * 8000)),
            DataFrame(1, message(b"x"), flags=["END_STREAM"]),
        )
        await peer.fields(1)
        assert (await peer.fields(1))["grpc-status"] == "0"


async def test_streams_beyond_the_limit_are_refused(kit, caplog):
    async with against(kit, caplog, limits=Limits(max_streams_per_connection=3)) as peer:
        for stream_id in (1, 3, 5, 7):
            await peer.send(peer.request(stream_id, kit.FLOW.path))
        assert await peer.reset(7) == ErrorCodes.REFUSED_STREAM
        await peer.send(DataFrame(3, flags=["END_STREAM"]))
        await peer.fields(3)
        await peer.send(peer.request(9), DataFrame(9, message(b"x"), flags=["END_STREAM"]))
        await peer.fields(9)
        assert (await peer.fields(9))["grpc-status"] == "0"


async def test_windows_are_enforced(kit, caplog):
    async def deaf(stream):
        await trio.sleep_forever()

    limits = Limits(stream_window_bytes=65_535, connection_window_bytes=100_000)
    handlers = {kit.FLOW: deaf, kit.UNARY: kit.echo}
    async with against(kit, caplog, limits=limits, handlers=handlers) as peer:
        await peer.send(peer.request(1, kit.FLOW.path), *[DataFrame(1, bytes(10_000))] * 7)
        assert await peer.reset(1) == ErrorCodes.FLOW_CONTROL_ERROR
        await peer.send(*[peer.request(n, kit.FLOW.path) for n in (3, 5)])
        await peer.send(*[DataFrame(n, bytes(10_000)) for n in (3, 5) * 6])
        assert await peer.goaway() == ErrorCodes.FLOW_CONTROL_ERROR


async def test_data_after_the_end_is_dropped_and_credited(kit, caplog):
    """As many bytes as the connection's window, again and again, on a stream that is over."""
    limits = Limits(connection_window_bytes=65_535)
    async with against(kit, caplog, limits=limits) as peer:
        await peer.send(peer.request(1, "/no/method"))
        assert (await peer.fields(1))["grpc-status"] == str(Status.UNIMPLEMENTED.value)
        for _ in range(100):
            await peer.send(DataFrame(1, bytes(10_000)))
        await peer.send(peer.request(3), DataFrame(3, message(b"x"), flags=["END_STREAM"]))
        await peer.fields(3)
        assert (await peer.fields(3))["grpc-status"] == "0"


class BlockedStream(trio.abc.Stream):
    """A transport whose peer never reads: what is sent never leaves."""

    def __init__(self, inner):
        self.inner = inner

    async def send_all(self, data):
        await trio.sleep_forever()

    async def wait_send_all_might_not_block(self):
        await trio.sleep_forever()

    async def receive_some(self, max_bytes=None):
        return await self.inner.receive_some(max_bytes)

    async def aclose(self):
        await self.inner.aclose()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ping", "unary", "failing", "unknown method", "reset", "flow"])
async def test_peer_that_never_reads_is_bounded(kit, autojump_clock, kind):
    async def generous(stream):
        while True:
            await stream.send(bytes(10_000))

    async def failing(request, call):
        raise RpcError(Status.ABORTED, "x" * 1000)

    limits = Limits(max_idle_frames=10**9, max_resets=10**9, close_seconds=5)
    handlers = {kit.UNARY: failing if kind == "failing" else kit.echo, kit.FLOW: generous}
    async with kit.wired(handlers, limits=limits) as wire:
        ours, theirs = trio.testing.memory_stream_pair()
        wire.nursery.start_soon(wire.server.serve_stream, BlockedStream(theirs))
        peer = kit.RawPeer(ours)
        await peer.start()
        await peer.send(WindowUpdateFrame(0, 2**30))
        gc.collect()
        tracemalloc.start()
        try:
            for stream_id in range(1, 1_001, 2):
                if kind == "ping":
                    await peer.send(*[PingFrame(0)] * 40)
                elif kind == "reset":
                    await peer.send(peer.request(stream_id, kit.FLOW.path), RstStreamFrame(stream_id, 8))
                else:
                    path = {"unknown method": "/no/method", "flow": kit.FLOW.path}.get(kind, kit.UNARY.path)
                    await peer.send(peer.request(stream_id, path))
                    await peer.send(DataFrame(stream_id, message(b"x"), flags=["END_STREAM"]))
                if stream_id % 100 == 1:
                    await trio.testing.wait_all_tasks_blocked()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        await trio.testing.wait_all_tasks_blocked()
        queued = max((len(connection.out) for connection in wire.server._connections), default=0)
        assert queued <= limits.write_buffer_bytes + limits.max_frame_bytes + 2000
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert grown < 10 * 2**20  # 256 calls with 10 kB each, and little else
        await trio.aclose_forcefully(ours)
        await trio.sleep(20)
        assert wire.server.connection_count == 0


async def test_reset_cancels_the_handler_and_frees_its_place(kit, caplog):
    ended = trio.Event()

    async def handler(stream):
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async with against(kit, caplog, handlers={kit.FLOW: handler, kit.UNARY: kit.echo}) as peer:
        await peer.send(peer.request(1, kit.FLOW.path))
        await trio.testing.wait_all_tasks_blocked()
        assert not ended.is_set()
        await peer.send(RST1)
        await ended.wait()


@pytest.mark.slow
async def test_idle_connections_are_closed(kit, caplog, autojump_clock):
    limits = Limits(idle_seconds=100, handshake_seconds=10, max_connections=300)
    async with kit.wired(limits=limits) as wire:
        silent = [await wire.raw() for _ in range(100)]
        idle = [await wire.raw() for _ in range(100)]
        for peer in idle:
            await peer.start()
        await trio.testing.wait_all_tasks_blocked()
        assert wire.server.connection_count == 200
        await trio.sleep(20)
        assert wire.server.connection_count == 100
        assert await silent[0].goaway() == ErrorCodes.SETTINGS_TIMEOUT
        await trio.sleep(100)
        assert wire.server.connection_count == 0
        assert await idle[0].goaway() == ErrorCodes.NO_ERROR


async def test_a_running_stream_keeps_its_connection(kit, autojump_clock):
    async with kit.wired(limits=Limits(idle_seconds=100)) as wire, wire.channel() as channel:
        async with channel.stream(kit.FLOW, timeout=10_000) as stream:
            await trio.sleep(1000)
            await stream.send(b"1")
            assert await stream.recv() == b"1"
        assert wire.dials == 1
        await trio.sleep(201)
        assert wire.server.connection_count == 0


async def test_unary_request_that_never_ends(kit, autojump_clock):
    async with kit.wired(limits=Limits(request_seconds=25)) as wire:
        peer = await wire.raw()
        await peer.start()
        await peer.send(peer.request(1), DataFrame(1, b"\0\0\0\0\5he"))
        assert (await peer.fields(1))["grpc-status"] == str(Status.DEADLINE_EXCEEDED.value)
        assert trio.current_time() == 25
        assert wire.server.call_count == 0


async def test_connections_beyond_the_limit_are_refused(kit):
    async with kit.wired(limits=Limits(max_connections=2)) as wire, wire.channel() as channel:
        await channel.unary(kit.UNARY, b"x", timeout=5)
        first = await wire.raw()
        await first.start()
        await trio.testing.wait_all_tasks_blocked()
        second = await wire.raw()
        assert await second.frame() is None
        await trio.aclose_forcefully(first.stream)
        await trio.testing.wait_all_tasks_blocked()
        async with wire.channel() as other:
            assert await other.unary(kit.UNARY, b"x", timeout=5) == b"x"


class Listener(trio.abc.Listener):
    """Accepts what a script says: errors, then streams."""

    def __init__(self, script):
        self.script = list(script)

    async def accept(self):
        await trio.lowlevel.checkpoint()
        if not self.script:
            await trio.sleep_forever()
        item = self.script.pop(0)
        if isinstance(item, OSError):
            raise item
        return item

    async def aclose(self):
        await trio.lowlevel.checkpoint()


async def test_accepting_survives_errors(kit, autojump_clock, caplog):
    ours, theirs = trio.testing.memory_stream_pair()
    errors = [OSError(24, "Too many open files")] * 50 + [OSError(103, "Connection aborted")]
    async with kit.wired() as wire:
        await wire.nursery.start(wire.server.serve, [Listener([*errors, theirs])])

        async def connect():
            await trio.lowlevel.checkpoint()
            return ours

        wire.connect = connect
        async with wire.channel() as channel:
            assert await channel.unary(kit.UNARY, b"x", timeout=60) == b"x"
        assert 4 <= trio.current_time() <= 6
