"""What a handler sees of its call: metadata, and streams of every shape."""

import pytest

from gossipnode.rpc import Cardinality
from tests.rpc.methods import UNARY, method
from tests.rpc.wired import drain, wired


async def test_metadata_both_ways():
    seen = []

    async def handler(request, call):
        seen.append((dict(call.metadata), call.path, call.peer, call.peer_certificate_names))
        call.initial_metadata["first"] = "1"
        call.trailing_metadata["last-bin"] = b"\1\2"
        return request

    async with wired({UNARY: handler}) as wire, wire.channel() as channel:
        for value in ("a", "a", "b" * 300):  # the repeated block comes from the memory of both ends
            metadata = {"key": value, "key-bin": value.encode()}
            result = await channel.unary_call(UNARY, b"x", timeout=5, metadata=metadata)
            assert result.initial_metadata == {"first": "1"}
            assert result.trailing_metadata == {"last-bin": b"\1\2"}
            assert seen.pop() == (metadata, UNARY.path, "memory", ())
        for bad in ({"grpc-x": "1"}, {"Upper": "1"}, {"key": "\n"}):
            with pytest.raises(ValueError):  # noqa: PT011
                await channel.unary(UNARY, b"x", timeout=5, metadata=bad)


@pytest.mark.parametrize("cardinality", list(Cardinality)[1:])
async def test_every_shape_of_stream(cardinality):
    shape = method("Shape", cardinality)

    async def handler(stream):
        requests = []
        while (request := await stream.recv()) is not None:
            requests.append(request)
        await stream.send(b"+".join(requests))
        if cardinality.server_streaming:
            await stream.send_batch([b"more", b"and more"])

    async with wired({shape: handler}) as wire, wire.channel() as channel:
        async with channel.stream(shape, timeout=5) as stream:
            requests = [b"1", b"2", b"3"] if cardinality.client_streaming else [b"1"]
            for request in requests:
                await stream.send(request)
            await stream.half_close()
            replies = await drain(stream)
    expected = [b"+".join(requests)] + ([b"more", b"and more"] if cardinality.server_streaming else [])
    assert replies == expected
    assert stream.bytes_sent == sum(len(request) + 5 for request in requests)
    assert stream.bytes_received == sum(len(reply) + 5 for reply in expected)
