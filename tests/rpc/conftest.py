"""A server and clients wired together in memory, and a peer that speaks raw frames."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from hpack import Decoder, Encoder
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame

from gossipnode.rpc import Cardinality, Channel, Limits, Method, Server

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def decode(data: bytes) -> bytes:
    if data.startswith(b"bad"):
        raise ValueError("not a message")
    return bytes(data)


def method(name: str, cardinality: Cardinality) -> Method[bytes, bytes]:
    return Method(f"/test.Test/{name}", cardinality, bytes, decode, bytes, decode)


UNARY = method("Unary", Cardinality.UNARY_UNARY)
FLOW = method("Flow", Cardinality.STREAM_STREAM)


async def echo(request: bytes, call: object) -> bytes:
    del call
    return request


async def echo_flow(stream) -> None:
    while batch := await stream.recv_batch(16):
        await stream.send_batch(batch)


class Wire:
    """Connects channels to a server through memory streams, and can cut or refuse them."""

    def __init__(self, server: Server, nursery: trio.Nursery) -> None:
        self.server = server
        self.nursery = nursery
        self.dials = 0
        self.refuse = False
        self.ends: list[trio.StapledStream] = []

    async def connect(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        self.dials += 1
        if self.refuse:
            raise ConnectionRefusedError(111, "Connection refused")
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.server.serve_stream, theirs)
        self.ends.append(ours)
        return ours

    def channel(self, limits: Limits | None = None, **options) -> Channel:
        return Channel(self.connect, limits=limits, authority="node-b", **options)

    async def cut(self) -> None:
        """Every connection breaks."""
        for end in self.ends:
            await trio.aclose_forcefully(end)
        self.ends.clear()

    async def raw(self) -> RawPeer:
        return RawPeer(await self.connect())


class RawPeer:
    """A client made of frames, that can do what no client should."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.received: list[Frame] = []
        self._buffer = b""

    async def start(self) -> None:
        await self.send(PREFACE + SettingsFrame(0).serialize())

    async def send(self, *frames: bytes | Frame) -> None:
        data = b"".join(item if isinstance(item, bytes) else item.serialize() for item in frames)
        await self.stream.send_all(data)

    def request(self, stream_id: int, path: str = UNARY.path, *extra: tuple[str, str], end=False) -> Frame:
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x")]
        fields += [("te", "trailers"), ("content-type", "application/grpc"), *extra]
        return self.headers(stream_id, fields, end=end)

    def headers(self, stream_id: int, fields: list[tuple[str, str]], *, end=False) -> Frame:
        flags = ["END_HEADERS", *(["END_STREAM"] if end else [])]
        return HeadersFrame(stream_id, self.encoder.encode(fields), flags=flags)

    async def frame(self) -> Frame | None:
        """The next frame, None at the end of the connection."""
        while True:
            if len(self._buffer) >= 9:
                frame, size = Frame.parse_frame_header(memoryview(self._buffer[:9]))
                if len(self._buffer) >= 9 + size:
                    frame.parse_body(memoryview(self._buffer[9 : 9 + size]))
                    self._buffer = self._buffer[9 + size :]
                    self.received.append(frame)
                    return frame
            try:
                data = await self.stream.receive_some(65536)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
            if not data:
                return None
            self._buffer += bytes(data)

    async def until(self, wanted: Callable[[Frame], bool]) -> Frame:
        while (frame := await self.frame()) is not None:
            if wanted(frame):
                return frame
        raise AssertionError(f"the connection ended; received {self.received}")

    async def goaway(self) -> int:
        """The error code with which the server ends the connection."""
        frame = await self.until(lambda frame: isinstance(frame, GoAwayFrame))
        assert isinstance(frame, GoAwayFrame)
        while await self.frame() is not None:
            pass
        return frame.error_code

    async def fields(self, stream_id: int) -> dict[str, str]:
        """The next header block on a stream. Others are decoded on the way, as HPACK demands."""
        while True:
            frame = await self.until(lambda frame: isinstance(frame, HeadersFrame))
            fields = dict(self.decoder.decode(frame.data))
            if frame.stream_id == stream_id:
                return fields

    async def reset(self, stream_id: int) -> int:
        """The code with which the server resets a stream."""
        frame = await self.until(lambda f: isinstance(f, RstStreamFrame) and f.stream_id == stream_id)
        assert isinstance(frame, RstStreamFrame)
        return frame.error_code


@asynccontextmanager
async def wired(handlers=None, **options) -> AsyncIterator[Wire]:
    server = Server(handlers if handlers is not None else {UNARY: echo, FLOW: echo_flow}, **options)
    async with trio.open_nursery() as nursery:
        yield Wire(server, nursery)
        nursery.cancel_scope.cancel()


class Kit:
    """What test modules use; importlib mode gives them no way to import a sibling."""

    UNARY = UNARY
    FLOW = FLOW
    PREFACE = PREFACE
    RawPeer = RawPeer
    method = staticmethod(method)
    wired = staticmethod(wired)
    echo = staticmethod(echo)
    echo_flow = staticmethod(echo_flow)


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit
