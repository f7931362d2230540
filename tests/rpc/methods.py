"""The methods that tests call, and their handlers."""

from __future__ import annotations

from gossipnode.rpc import Cardinality, Method

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
