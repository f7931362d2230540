"""Both ends of a connection as pure objects, with no Trio between them: bytes are handed over by a loop."""

from __future__ import annotations

from gossipnode.concurrency.memory_budget import MemoryAccount
from gossipnode.rpc import Limits
from gossipnode.rpc.head import Head
from gossipnode.rpc.http2.client_connection import ClientConnection
from gossipnode.rpc.http2.server_connection import ServerConnection
from gossipnode.rpc.http2.stream import Stream
from tests.concurrency.accounts import account

REQUEST = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/test.Test/Unary"),
    (b"content-type", b"application/grpc"),
)
RESPONSE = ((b":status", b"200"), (b"content-type", b"application/grpc"))
OK = ((b"grpc-status", b"0"),)


class Sleeper:
    """Counts how often it is woken."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


class Joined:
    """A client and a server that have exchanged their settings. Time stands still unless a test moves it."""

    def __init__(
        self,
        client_limits: Limits | None = None,
        server_limits: Limits | None = None,
        *,
        client_memory: MemoryAccount | None = None,
        server_memory: MemoryAccount | None = None,
    ) -> None:
        self.time = 0.0
        self.calls: list[tuple[Stream, Head]] = []
        self.client = ClientConnection(client_limits or Limits(), self.now, client_memory or account())
        self.server = ServerConnection(
            server_limits or Limits(), self.now, server_memory or account(), self.start_call
        )
        self.client.start()
        self.server.start()
        self.exchange()

    def now(self) -> float:
        return self.time

    def start_call(self, stream: Stream, head: Head) -> None:
        self.calls.append((stream, head))

    def exchange(self) -> None:
        """Hand over bytes until neither end has any."""
        while self.client.out or self.server.out:
            for sender, receiver in ((self.client, self.server), (self.server, self.client)):
                data, sender.out = bytes(sender.out), bytearray()
                receiver.receive(data)
                while receiver.crowded:
                    receiver.resume()
                sender.written()

    def call(self) -> tuple[Stream, Stream]:
        """Open a stream; returns it as the client and as the server has it."""
        ours = self.client.open(REQUEST, [])
        self.exchange()
        return ours, self.calls[-1][0]
