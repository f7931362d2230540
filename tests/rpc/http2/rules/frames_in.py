"""One end of a connection as a pure object, fed with frames: what it answers, as frames."""

from __future__ import annotations

from dataclasses import dataclass, field

from hpack import Encoder
from hyperframe.frame import Frame, GoAwayFrame, RstStreamFrame

from gossipnode.rpc import Limits
from gossipnode.rpc.head import Head
from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.client_connection import ClientConnection
from gossipnode.rpc.http2.connection import Connection
from gossipnode.rpc.http2.http2_faults import ConnectionFault, ErrorCodes
from gossipnode.rpc.http2.server_connection import ServerConnection
from gossipnode.rpc.http2.stream import Stream
from tests.concurrency.accounts import account
from tests.rpc.http2.joined import REQUEST

ANSWER = [(":status", "200"), ("content-type", "application/grpc")]


@dataclass
class Fed:
    """`end` as its peer's frames find it."""

    end: Connection
    encoder: Encoder = field(default_factory=Encoder)

    def send(self, *sent: bytes) -> list[str]:
        """Hand frames over; what came back for the peer's faults, in words: `RST 1 PROTOCOL_ERROR`."""
        try:
            self.end.receive(b"".join(sent))
        except ConnectionFault as fault:
            self.end.close(fault.code, str(fault))
        return [word for frame in self.take() if (word := in_words(frame))]

    def take(self) -> list[Frame]:
        data, self.end.out = memoryview(bytes(self.end.out)), bytearray()
        found = []
        while data:
            frame, size = Frame.parse_frame_header(data[: frames.FRAME_HEADER_BYTES])
            frame.parse_body(data[frames.FRAME_HEADER_BYTES :][:size])
            data = data[frames.FRAME_HEADER_BYTES + size :]
            found.append(frame)
        return found

    def headers(self, stream_id: int, fields: list[tuple[str, str]], *, end: bool = False) -> bytes:
        return frames.headers_frames(stream_id, self.encoder.encode(fields), end, frames.DEFAULT_FRAME_BYTES)


class FedServer(Fed):
    """A server whose client has sent its preface."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.calls: list[Stream] = []
        super().__init__(ServerConnection(limits or Limits(), lambda: 0.0, account(), self.start_call))
        self.end.start()
        self.send(frames.PREFACE, frames.settings_frame({}))

    def start_call(self, stream: Stream, head: Head) -> None:
        self.calls.append(stream)

    def request(self, stream_id: int, *extra: tuple[str, str], end: bool = False) -> bytes:
        fields = [(":method", "POST"), (":scheme", "http"), (":path", "/x/y"), ("te", "trailers")]
        return self.headers(stream_id, [*fields, ("content-type", "application/grpc"), *extra], end=end)


class FedClient(Fed):
    """A client that has opened stream 1 to a server which has sent its settings."""

    def __init__(self) -> None:
        client = ClientConnection(Limits(), lambda: 0.0, account())
        super().__init__(client)
        client.start()
        self.send(frames.settings_frame({}))
        self.stream = client.open(REQUEST, [])
        self.take()


def data(stream_id: int, body: bytes = b"", *, end: bool = False) -> bytes:
    return frames.frame(frames.DATA, frames.END_STREAM if end else 0, stream_id, body)


def in_words(frame: Frame) -> str:
    if isinstance(frame, GoAwayFrame):
        return f"GOAWAY {ErrorCodes(frame.error_code).name}"
    if isinstance(frame, RstStreamFrame):
        return f"RST {frame.stream_id} {ErrorCodes(frame.error_code).name}"
    return ""
