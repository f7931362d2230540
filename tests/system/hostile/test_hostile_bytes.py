"""Peers that mean harm, over plain sockets. The node serves other clients, its memory stays bounded, and its
log shows no defect.
"""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import struct
import threading
from collections.abc import Iterator

import grpc
import pytest
from hpack import Encoder

from attacks.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    GREETING,
    HEADERS,
    PING,
    PREFACE,
    RESET,
    SETTINGS,
    WINDOW,
    frame,
    head,
    message,
)
from tests.system.hostile.raw_http2 import HostilePeer, call
from tests.system.nodes import Nodes
from tests.system.processes import WAIT_SECONDS, Node
from tests.system.stock_client import PROPERTY, REPAIR, Stock
from tests.system.stock_messages import property_of, rpc

pytestmark = pytest.mark.slow


class OtherClient(threading.Thread):
    """Another client, which calls the node without a pause. Each of its calls must be answered."""

    def __init__(self, node: Node) -> None:
        super().__init__(daemon=True)
        self._node = node
        self._over = threading.Event()
        self._first = threading.Event()
        self.answered = 0
        self.problem: Exception | None = None

    def run(self) -> None:
        try:
            with Stock(self._node.address) as stock:
                while not self._over.is_set():
                    stock.query("sw", limit=1, timeout=10)
                    self.answered += 1
                    self._first.set()
        except Exception as error:
            self.problem = error
            self._first.set()

    def __enter__(self) -> OtherClient:
        self.start()
        assert self._first.wait(WAIT_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        before = self.answered
        self._over.set()
        self.join(WAIT_SECONDS)
        assert self.problem is None
        assert self.answered > before or before > 1


@pytest.fixture(scope="module")
def node(module_nodes: Nodes) -> Node:
    (node,) = module_nodes.start("a")
    with Stock(node.address) as stock:
        stock.apply(property_of("sw", "n", "1", {"k": "v" * 1000}))
        # The memory that a node needs for its first big message must not count as that of an attack.
        stock.apply(property_of("sw", "big", "1", {"k": bytes(1_000_000)}))
    return node


@pytest.fixture
def attacked(node: Node) -> Iterator[Node]:
    """The node that a test attacks, with its promises checked."""
    with node.memory_watched(), OtherClient(node):
        yield node
    with Stock(node.address) as stock:
        assert len(stock.query("sw", name="n")) == 1
    node.assert_no_defect()


def test_random_bytes(attacked: Node) -> None:
    source = random.Random(1)
    for _ in range(20):
        with HostilePeer(attacked, b"") as peer:
            peer.send_while_read(iter([source.randbytes(5000)]))
        with HostilePeer(attacked) as peer:
            peer.send_while_read(iter([source.randbytes(5000)]))


def test_http_1(attacked: Node) -> None:
    with HostilePeer(attacked, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") as peer:
        peer.drain()
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789"
    with HostilePeer(attacked, post * 1000) as peer:
        peer.drain()


def test_a_tls_hello_at_a_plain_port(attacked: Node) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with HostilePeer(attacked, b"") as peer, pytest.raises((ssl.SSLError, ConnectionError, OSError)):
        context.wrap_socket(peer.socket)


def test_unknown_frames_are_ignored(attacked: Node) -> None:
    with HostilePeer(attacked) as peer:
        for kind in (0x0A, 0x0B, 0x42, 0xFF):
            peer.send(frame(kind, 0xFF, 0, b"unknown") + frame(kind, 0xFF, 1, b"unknown"))
        peer.send(frame(PING, payload=b"12345678"))
        assert peer.wait(PING) == b"12345678"


@pytest.mark.parametrize(
    "block",
    [b"\xff" * 30, b"\xc0", b"\x3f\xff\xff\xff\x0f", b"\x00\x05ab", b"\x80", b"\x41\xff"],
    ids=bytes.hex,
)
def test_broken_header_compression_ends_the_connection(attacked: Node, block: bytes) -> None:
    with HostilePeer(attacked) as peer:
        peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
        code = struct.unpack(">I", peer.wait(GOAWAY)[4:8])[0]
        assert code in (1, 9)
        peer.drain()


def test_a_header_bomb(attacked: Node) -> None:
    """A block that names one long field thousands of times is small on the wire and large when decoded."""
    encoder = Encoder()
    block = encoder.encode([("x", "y" * 4000)]) + b"\xbe" * 15_000
    with HostilePeer(attacked) as peer:
        peer.send(frame(HEADERS, END_HEADERS, 1, block))
        peer.wait(GOAWAY)


@pytest.mark.parametrize("path", [f"{PROPERTY}/Apply", REPAIR, "/gossipnode.v1.NodeService/Import"])
def test_a_length_of_4_gib(attacked: Node, path: str) -> None:
    with HostilePeer(attacked) as peer:
        peer.send(call(1, path) + frame(DATA, 0, 1, b"\0\xff\xff\xff\xff" + bytes(1000)))
        assert b"8" in peer.wait(HEADERS, 1)  # grpc-status RESOURCE_EXHAUSTED


def test_a_message_over_4_mib(attacked: Node) -> None:
    with Stock(attacked.address) as stock:
        for _ in range(10):
            with pytest.raises(grpc.RpcError) as caught:
                stock.apply(property_of("sw", "n", "2", {"k": bytes(5 << 20)}))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_message_byte_by_byte_is_a_message(attacked: Node) -> None:
    request = message(rpc.QueryRequest(groups=["sw"], name="n").SerializeToString())
    bytes_of_call = GREETING + call(1) + b"".join(frame(DATA, 0, 1, bytes([byte])) for byte in request)
    with HostilePeer(attacked, b"") as peer:
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in bytes_of_call + frame(DATA, END_STREAM, 1):
            assert peer.send(bytes([byte]))
        assert len(peer.wait(DATA, 1)) > 1000


def test_rapid_reset(attacked: Node) -> None:
    """10,000 calls opened only to be reset."""

    def attack() -> Iterator[bytes]:
        for stream in range(1, 20_001, 2):
            yield call(stream, REPAIR) + frame(RESET, 0, stream, struct.pack(">I", 8))

    with HostilePeer(attacked) as peer:
        peer.send_while_read(attack())


@pytest.mark.parametrize(
    "one",
    [
        frame(SETTINGS, payload=struct.pack(">HI", 4, 65_535)),
        frame(PING, payload=bytes(8)),
        frame(PING, ACK, payload=bytes(8)),
        frame(WINDOW, 0, 0, struct.pack(">I", 1)),
        frame(0x42, 0, 0, b"x"),
        frame(RESET, 0, 1, struct.pack(">I", 8)),
    ],
    ids=["settings", "ping", "pong", "window", "unknown", "reset"],
)
def test_floods_of_frames_without_work(attacked: Node, one: bytes) -> None:
    with HostilePeer(attacked) as peer:
        peer.send(call(1, end=True))
        peer.send_while_read(one * 1000 for _ in range(100))


def test_floods_whose_answers_nobody_reads(attacked: Node) -> None:
    with HostilePeer(attacked) as peer:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.socket.settimeout(10)
        pings = frame(PING, payload=bytes(8)) * 1000
        for _ in range(1000):
            try:
                if not peer.send(pings):
                    break
            except TimeoutError:
                break


def test_headers_without_end(attacked: Node) -> None:
    def attack() -> Iterator[bytes]:
        yield frame(HEADERS, 0, 1, head("/x"))
        for number in range(20_000):
            yield frame(CONTINUATION, 0, 1, head("/x", (f"x{number}", "y" * 200)))

    with HostilePeer(attacked) as peer:
        peer.send_while_read(attack())


def test_empty_data_without_end(attacked: Node) -> None:
    with HostilePeer(attacked) as peer:
        peer.send(call(1, REPAIR))
        peer.send_while_read(frame(DATA, 0, 1) * 1000 for _ in range(100))


def test_more_streams_than_allowed(attacked: Node) -> None:
    with HostilePeer(attacked) as peer:
        peer.send_while_read(call(stream, REPAIR) for stream in range(1, 20_001, 2))


def test_200_idle_connections(attacked: Node) -> None:
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(HostilePeer(attacked, b"" if n % 2 else GREETING)) for n in range(200)]
        peers[0].send(frame(PING, payload=b"12345678"))
        assert peers[0].wait(PING) == b"12345678"
        with Stock(attacked.address) as stock:
            assert stock.query("sw")


def test_a_connection_without_end_of_anything(attacked: Node) -> None:
    """Frames shorter than they claim to be, streams without an end, and a preface that stops half way."""
    with contextlib.ExitStack() as stack:
        for greeting in (PREFACE[:10], GREETING + b"\xff\xff\xff\0\0", GREETING + call(1)[:-3]):
            stack.enter_context(HostilePeer(attacked, greeting))
        peer = stack.enter_context(HostilePeer(attacked))
        for stream in range(1, 401, 2):
            peer.send(
                call(stream, f"{PROPERTY}/Apply") + frame(DATA, 0, stream, b"\0\0\x3f\xff\xff" + bytes(100))
            )
        with Stock(attacked.address) as stock:
            assert stock.query("sw")


def test_many_half_messages_are_bounded(attacked: Node) -> None:
    """Many streams hold back the end of a large message. The windows bound the memory that this costs."""
    with HostilePeer(attacked) as peer:
        part = bytes(16_000)
        peer.socket.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            for stream in range(1, 401, 2):
                peer.send(call(stream, f"{PROPERTY}/Apply") + frame(DATA, 0, stream, b"\0\0\x3f\xff\xff"))
                # The node closes the connection of a peer that sends more than its windows allow.
                for _ in range(250):
                    if not peer.send(frame(DATA, 0, stream, part)):
                        return


@pytest.mark.parametrize(
    "calls",
    [
        50,
        200,
    ],
)
def test_a_client_that_never_reads(node: Node, calls: int) -> None:
    """It makes many calls, each with an answer of 1 MB, and reads no answer."""
    with node.memory_watched(), OtherClient(node):
        ask_and_never_read(node, calls)
    node.assert_no_defect()


def ask_and_never_read(attacked: Node, calls: int) -> None:
    request = message(rpc.QueryRequest(groups=["sw"], name="big").SerializeToString())
    with HostilePeer(attacked, PREFACE + frame(SETTINGS, payload=struct.pack(">HI", 4, 2**31 - 1))) as peer:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.send(frame(WINDOW, 0, 0, struct.pack(">I", 2**31 - 1 - 65_535)))
        for stream in range(1, 2 * calls, 2):
            if not peer.send(call(stream) + frame(DATA, END_STREAM, stream, request)):
                break
        with Stock(attacked.address) as stock:
            for _ in range(20):
                assert stock.query("sw", name="n")


def test_sigterm_under_attack(nodes: Nodes) -> None:
    """With connections of every kind open, the node stops in order."""
    (node,) = nodes.start("a")
    with contextlib.ExitStack() as stack:
        for greeting in (b"", PREFACE[:5], GREETING, GREETING + call(1)[:-3]):
            stack.enter_context(HostilePeer(node, greeting))
        deaf = stack.enter_context(HostilePeer(node))
        deaf.send(call(1, REPAIR) + frame(DATA, 0, 1, b"\0\xff\xff\xff\xff"))
        with Stock(node.address) as stock:
            assert stock.query("sw") == []
        assert node.stop() == 0
    node.assert_no_defect()
