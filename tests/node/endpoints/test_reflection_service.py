"""Tools ask a node which services it has, and are let go when they ask nothing more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import memory_stream_pair

from gossipnode.node.endpoints.reflection_service import REFLECTION_SILENCE_SECONDS, ReflectionService
from gossipnode.rpc import Channel, RpcError, Server, Status
from gossipnode.rpc.server.health import CHECK
from gossipnode.wire.generated.pb.grpc.reflection.v1.reflection_pb2 import ServerReflectionRequest
from gossipnode.wire.reflection import REFLECT, REFLECT_ALPHA

LIST = ServerReflectionRequest(list_services="")


@asynccontextmanager
async def channel_to_endpoint() -> AsyncIterator[Channel]:
    server = Server(ReflectionService([CHECK]).handlers())
    async with trio.open_nursery() as nursery:

        async def connect() -> trio.abc.Stream:
            ours, theirs = memory_stream_pair()
            nursery.start_soon(server.serve_stream, theirs)
            return ours

        async with Channel(connect) as channel:
            yield channel
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("method", [REFLECT, REFLECT_ALPHA], ids=["v1", "v1alpha"])
async def test_questions_are_answered_in_their_order(method: type[REFLECT], autojump_clock: object) -> None:
    symbol = ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health.Check")
    async with channel_to_endpoint() as channel, channel.stream(method, timeout=5) as stream:
        await stream.send_batch([LIST, symbol, LIST])
        await stream.half_close()
        answers = [await stream.recv() for _ in range(3)]
        await stream.finish()
    assert [answer.original_request for answer in answers] == [LIST, symbol, LIST]
    listed = [service.name for service in answers[0].list_services_response.service]
    assert listed == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]
    assert len(answers[1].file_descriptor_response.file_descriptor_proto) == 1


async def test_a_tool_without_questions_is_let_go(autojump_clock: trio.abc.Clock) -> None:
    async with channel_to_endpoint() as channel, channel.stream(REFLECT, timeout=None) as stream:
        for _ in range(3):
            await trio.sleep(REFLECTION_SILENCE_SECONDS * 0.9)
            await stream.send(LIST)
            await stream.recv()
        began = trio.current_time()
        with pytest.raises(RpcError, match="no question for 60 s") as caught:
            await stream.recv()
    assert caught.value.status is Status.DEADLINE_EXCEEDED
    assert trio.current_time() - began == pytest.approx(REFLECTION_SILENCE_SECONDS)


async def test_what_is_no_question_ends_the_call(autojump_clock: object) -> None:
    async with channel_to_endpoint() as channel, channel.stream(REFLECT, timeout=5) as stream:
        await stream.send(ServerReflectionRequest(host="h" * 5000))
        with pytest.raises(RpcError, match="over 4096") as caught:
            await stream.recv()
    assert caught.value.status is Status.INVALID_ARGUMENT
