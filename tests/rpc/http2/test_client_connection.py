"""What a server's frames mean to the calls of a client."""

from functools import partial

import pytest
import trio
import trio.testing
from hyperframe.frame import GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame

from gossipnode.rpc import Limits, Status
from tests.rpc.http2.joined import OK, REQUEST, RESPONSE, Joined, Sleeper
from tests.rpc.methods import UNARY
from tests.rpc.raw_peer import ScriptedServer
from tests.rpc.wired import status_of, wired


async def test_goaway_moves_unprocessed_calls_to_a_new_connection():
    """Stream 1 is finished by the old server, stream 3 was never seen by it and runs on the next."""
    servers = []

    async def connect():
        await trio.lowlevel.checkpoint()
        ours, theirs = trio.testing.memory_stream_pair()
        servers.append(ScriptedServer(theirs))
        nursery.start_soon(play, len(servers))
        return ours

    async def play(number):
        server = servers[-1]
        await server.start()
        heads = 0
        while heads < (2 if number == 1 else 1):
            heads += isinstance(await server.peer.frame(), HeadersFrame)
        if number == 1:
            await server.peer.send(GoAwayFrame(0, last_stream_id=1))
            await trio.testing.wait_all_tasks_blocked()
        await server.answer(1)

    async with wired() as wire, trio.open_nursery() as nursery:
        wire.connect = connect
        async with wire.channel() as channel:
            async with trio.open_nursery() as calls:
                for _ in range(2):
                    calls.start_soon(partial(channel.unary, UNARY, b"x", timeout=5))
        assert len(servers) == 2  # and both calls returned: the nursery would have raised otherwise


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ([(":status", "503")], Status.UNAVAILABLE),
        ([(":status", "404")], Status.UNIMPLEMENTED),
        ([(":status", "200"), ("content-type", "text/html")], Status.UNKNOWN),
        ([(":status", "200"), ("content-type", "application/grpc")], Status.UNKNOWN),
        ([(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "99")], Status.UNKNOWN),
    ],
)
async def test_answers_that_are_not_grpc(head, status):
    ours, theirs = trio.testing.memory_stream_pair()

    async def connect():
        await trio.lowlevel.checkpoint()
        return ours

    async def play():
        server = ScriptedServer(theirs)
        await server.start()
        await server.peer.until(lambda frame: isinstance(frame, HeadersFrame))
        await server.peer.send(server.peer.headers(1, head, end=True))

    async with wired() as wire, trio.open_nursery() as nursery:
        wire.connect = connect
        nursery.start_soon(play)
        async with wire.channel() as channel:
            assert await status_of(channel.unary(UNARY, b"x", timeout=5)) is status


async def test_calls_wait_for_the_servers_stream_limit(autojump_clock):
    running = most = 0

    async def handler(request, call):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1
        return request

    limits = Limits(max_streams_per_connection=3)
    async with wired({UNARY: handler}, limits=limits) as wire, wire.channel() as channel:
        await channel.unary(UNARY, b"x", timeout=5)  # so that the limit is known
        async with trio.open_nursery() as nursery:
            for _ in range(9):
                nursery.start_soon(partial(channel.unary, UNARY, b"x", timeout=50))
        assert most == 3
        assert trio.current_time() == pytest.approx(4)


# The same state without Trio.


def test_each_stream_that_ends_wakes_one_opener():
    joined = Joined(server_limits=Limits(max_streams_per_connection=2))
    client = joined.client
    streams = [client.open(REQUEST, []) for _ in range(2)]
    assert not client.has_place
    openers = [Sleeper() for _ in range(3)]
    client.openers = dict.fromkeys(openers)
    client.finish(streams[0])
    assert [opener.woken for opener in openers] == [1, 0, 0]
    assert client.has_place
    client.finish(streams[1])
    assert [opener.woken for opener in openers] == [1, 1, 0]
    client.close()
    assert [opener.woken for opener in openers] == [1, 1, 1]
    assert not client.openers
    assert not client.usable


def test_openers_wait_for_the_transport_as_well():
    joined = Joined(client_limits=Limits(write_buffer_bytes=100))
    opener = Sleeper()
    joined.client.openers[opener] = None
    joined.client.write(PingFrame(0).serialize() * 10)
    assert not joined.client.has_place
    joined.client.written()
    assert opener.woken == 0
    joined.exchange()
    assert joined.client.has_place
    assert opener.woken == 1


def test_a_server_may_allow_fewer_streams_later():
    joined = Joined()
    assert joined.client.has_place
    joined.client.receive(SettingsFrame(0, {3: 0}).serialize())
    assert not joined.client.has_place


def test_goaway_ends_what_the_server_will_not_process():
    joined = Joined()
    kept, theirs = joined.call()
    lost = joined.client.open(REQUEST, [])
    joined.client.out.clear()
    joined.server.drain()
    joined.exchange()
    assert kept.error is None
    assert lost.error is not None
    assert lost.error.never_processed
    joined.server.write_headers(theirs, RESPONSE, [])
    joined.server.write_headers(theirs, OK, [], end=True)
    joined.exchange()
    kept.check_end()


def test_an_informational_response_is_passed_over():
    joined = Joined()
    ours, theirs = joined.call()
    joined.server.write_headers(theirs, ((b":status", b"100"),), [])
    joined.server.write_headers(theirs, RESPONSE, [])
    joined.exchange()
    assert ours.head is not None
    assert ours.head.pseudo[":status"] == "200"
