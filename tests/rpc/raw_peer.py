"""Peers that speak raw frames: a client that can do what no client should, and a scripted server."""

from __future__ import annotations

from collections.abc import Callable

import trio
import trio.testing
from hpack import Decoder, Encoder
from hyperframe.frame import (
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
)

from tests.rpc.methods import PREFACE, UNARY


def message(data: bytes, *, flag: int = 0) -> bytes:
    return bytes([flag]) + len(data).to_bytes(4, "big") + data


def unknown_frame(kind: int, stream_id: int) -> bytes:
    return b"\0\0\3%c\xff" % kind + stream_id.to_bytes(4, "big") + b"abc"


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


class ScriptedServer:
    """The server end of a memory stream, with frames made by hand."""

    def __init__(self, stream):
        self.peer = RawPeer(stream)

    async def start(self):
        assert await self.peer.stream.receive_some(len(PREFACE)) == PREFACE
        await self.peer.send(SettingsFrame(0))

    async def answer(self, stream_id, message=b"\0\0\0\0\1x"):
        await self.peer.send(
            self.peer.headers(stream_id, [(":status", "200"), ("content-type", "application/grpc")]),
            b"\0\0%c\0\0" % len(message) + stream_id.to_bytes(4, "big") + message,
            self.peer.headers(stream_id, [("grpc-status", "0")], end=True),
        )
