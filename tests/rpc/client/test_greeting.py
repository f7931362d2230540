"""What a channel does first on each connection, before it is used for anything else."""

import pytest
import trio

from gossipnode.rpc import Limits, RpcError, Status
from tests.rpc.methods import FLOW, UNARY, echo, echo_flow
from tests.rpc.wired import status_of, wired


class Greeting:
    """Greets each connection with one message, or fails as the test says."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.error: RpcError | None = None
        self.hangs = False

    async def __call__(self, call) -> None:
        async with call(FLOW) as stream:
            await stream.send(b"hello")
            await stream.half_close()
            while (answer := await stream.recv()) is not None:
                self.heard.append(answer)
        if self.hangs:
            await trio.sleep_forever()
        if self.error is not None:
            raise self.error


async def test_calls_wait_for_the_greeting_and_each_connection_is_greeted(autojump_clock):
    served = []

    async def unary(request, call):
        served.append(request)
        return await echo(request, call)

    async def flow(stream):
        served.append(b"greeting")
        await echo_flow(stream)

    greeting = Greeting()
    async with wired({UNARY: unary, FLOW: flow}) as wire, wire.channel(greet=greeting) as channel:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(lambda: channel.unary(UNARY, b"x", timeout=5))
        assert served == [b"greeting", b"x", b"x", b"x"]
        assert greeting.heard == [b"hello"]
        await wire.cut()
        await trio.sleep(1)
        assert await channel.unary(UNARY, b"y", timeout=5) == b"y"
        assert served[4:] == [b"greeting", b"y"]


async def test_a_connection_whose_greeting_fails_is_not_used_and_calls_say_why(autojump_clock):
    greeting = Greeting()
    greeting.error = RpcError(Status.UNAUTHENTICATED, "it is somebody else")
    async with wired() as wire, wire.channel(greet=greeting) as channel:
        with pytest.raises(RpcError, match="it is somebody else") as caught:
            await channel.unary(UNARY, b"x", timeout=5)
        assert caught.value.status is Status.UNAUTHENTICATED
        assert caught.value.never_processed
        await trio.sleep(60)
        assert wire.server.connection_count == 0, "it was closed"
        greeting.error = None
        assert await channel.unary(UNARY, b"x", timeout=5, dial_now=True) == b"x"


async def test_dials_that_end_in_failed_greetings_come_seldomer_and_seldomer(autojump_clock):
    greeting = Greeting()
    greeting.error = RpcError(Status.UNAUTHENTICATED, "it is somebody else")
    limits = Limits(backoff_min_seconds=1, backoff_max_seconds=16)
    async with wired() as wire, wire.channel(limits, greet=greeting) as channel:
        while trio.current_time() < 120:
            assert await status_of(channel.unary(UNARY, b"x", timeout=5)) is Status.UNAUTHENTICATED
            await trio.sleep(0.1)
        assert 7 <= wire.dials <= 14


async def test_a_greeting_that_hangs_is_given_up(autojump_clock):
    greeting = Greeting()
    greeting.hangs = True
    async with wired() as wire, wire.channel(Limits(connect_seconds=3), greet=greeting) as channel:
        with pytest.raises(RpcError, match="node-b has not answered within 3 s") as caught:
            await channel.unary(UNARY, b"x", timeout=60)
        assert caught.value.status is Status.UNAVAILABLE
        assert trio.current_time() == pytest.approx(3, abs=0.1)


async def test_a_connection_that_breaks_in_its_greeting_fails_the_calls_that_wait(autojump_clock):
    async def flow(stream):
        await trio.sleep(1)
        await wire.cut()
        await trio.sleep_forever()

    async with wired({UNARY: echo, FLOW: flow}) as wire, wire.channel(greet=Greeting()) as channel:
        assert await status_of(channel.unary(UNARY, b"x", timeout=60)) is Status.UNAVAILABLE
        assert trio.current_time() < 3
