"""grpc.health.v1: Check, Watch, and the strictness of its two messages."""

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.rpc import RpcError, Status
from gossipnode.rpc.server.health import (
    CHECK,
    WATCH,
    HealthService,
    ServingStatus,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)
from tests.rpc.methods import UNARY
from tests.rpc.wired import wired


async def test_check():
    health = HealthService()
    async with wired(health.handlers()) as wire, wire.channel() as channel:
        assert await channel.unary(CHECK, "", timeout=5) is ServingStatus.SERVING
        with pytest.raises(RpcError) as caught:
            await channel.unary(CHECK, "pkg.Svc", timeout=5)
        assert caught.value.status is Status.NOT_FOUND
        health.set("pkg.Svc", ServingStatus.NOT_SERVING)
        assert await channel.unary(CHECK, "pkg.Svc", timeout=5) is ServingStatus.NOT_SERVING
        assert health.get("pkg.Svc") is ServingStatus.NOT_SERVING


async def test_services_have_the_status_of_the_server_unless_one_is_set():
    health = HealthService()
    health.follow([CHECK, UNARY])
    async with wired(health.handlers()) as wire, wire.channel() as channel:
        assert await channel.unary(CHECK, "test.Test", timeout=5) is ServingStatus.SERVING
        assert health.get("other.Service") is None
        async with channel.stream(WATCH, timeout=5) as stream:
            await stream.send("test.Test")
            assert await stream.recv() is ServingStatus.SERVING
            health.set("", ServingStatus.NOT_SERVING)
            assert await stream.recv() is ServingStatus.NOT_SERVING
            health.set("test.Test", ServingStatus.SERVING)
            assert await stream.recv() is ServingStatus.SERVING


async def test_watch_tells_every_change_once():
    health = HealthService()
    async with wired(health.handlers()) as wire, wire.channel() as channel:
        async with channel.stream(WATCH, timeout=None) as stream:
            await stream.send("a")
            await stream.half_close()
            assert await stream.recv() is ServingStatus.SERVICE_UNKNOWN
            for status in (ServingStatus.SERVING, ServingStatus.NOT_SERVING, ServingStatus.UNKNOWN):
                health.set("b", status)
                health.set("a", status)
                health.set("a", status)
                assert await stream.recv() is status
        await trio.testing.wait_all_tasks_blocked()
        assert wire.server.call_count == 0


async def test_a_watch_ends_at_once_when_the_server_drains(autojump_clock):
    async with wired(HealthService().handlers()) as wire, wire.channel() as channel:
        async with channel.stream(WATCH, timeout=None) as stream:
            await stream.send("")
            assert await stream.recv() is ServingStatus.SERVING
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wire.server.drain, 30)
                with pytest.raises(RpcError, match="the server is stopping") as caught:
                    await stream.recv()
                assert caught.value.status is Status.UNAVAILABLE
        assert trio.current_time() == 0
        assert wire.server.connection_count == 0


async def test_watch_needs_a_request():
    async with wired(HealthService().handlers()) as wire, wire.channel() as channel:
        async with channel.stream(WATCH, timeout=5) as stream:
            with pytest.raises(RpcError) as caught:
                await stream.finish()
            assert caught.value.status is Status.INVALID_ARGUMENT


@settings(deadline=None)
@given(st.text(max_size=300))
def test_request_round_trip(service):
    if len(service.encode()) <= 1024:
        assert decode_request(encode_request(service)) == service


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_request_decoder_is_strict(data):
    try:
        service = decode_request(data)
    except ValueError:
        return
    assert encode_request(service) == data or service == ""


@pytest.mark.parametrize("status", list(ServingStatus))
def test_reply_round_trip(status):
    assert decode_reply(encode_reply(status)) is status


@pytest.mark.parametrize("data", [b"\x08", b"\x08\4", b"\x08\x81\0", b"\x10\1", b"\x08\1\x08\1"])
def test_reply_decoder_is_strict(data):
    with pytest.raises(ValueError):  # noqa: PT011
        decode_reply(data)


def test_service_name_has_a_limit():
    with pytest.raises(ValueError, match="too long"):
        encode_request("x" * 1025)
