"""Requests as header blocks: malformed, too many, and reset."""

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from hyperframe.frame import (
    DataFrame,
    RstStreamFrame,
)

from gossipnode.rpc import Limits
from tests.rpc.http2.joined import REQUEST, Joined
from tests.rpc.methods import FLOW, UNARY, echo
from tests.rpc.raw_peer import message
from tests.rpc.wired import against

BAD_REQUESTS = {
    "no path": [(":method", "POST"), (":scheme", "http")],
    "a status": [(":method", "POST"), (":scheme", "http"), (":path", "/x/y"), (":status", "200")],
    "upper case": [(":method", "POST"), (":scheme", "http"), (":path", "/x/y"), ("Te", "trailers")],
    "pseudo-header twice": [(":method", "POST"), (":method", "POST"), (":scheme", "http"), (":path", "/x/y")],
    "pseudo-header late": [(":method", "POST"), (":scheme", "http"), ("te", "trailers"), (":path", "/x/y")],
    "connection field": [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/x/y"),
        ("connection", "close"),
    ],
    "control character": [(":method", "POST"), (":scheme", "http"), (":path", "/x/y"), ("x", "a\nb")],
    "name not ascii": [(":method", "POST"), (":scheme", "http"), (":path", "/x/y"), ("ä", "x")],
    "name with a space": [(":method", "POST"), (":scheme", "http"), (":path", "/x/y"), ("a b", "x")],
    "name with a colon": [(":method", "POST"), (":scheme", "http"), (":path", "/x/y"), ("a:b", "x")],
    "empty name": [(":method", "POST"), (":scheme", "http"), (":path", "/x/y"), ("", "x")],
    "unknown pseudo-header": [(":method", "POST"), (":scheme", "http"), (":path", "/x/y"), (":x", "y")],
    "path not ascii": [(":method", "POST"), (":scheme", "http"), (":path", "/x/ä")],
    "null character": [(":method", "POST"), (":scheme", "http"), (":path", "/x/y"), ("x", "a\0b")],
    "not base64": [(":method", "POST"), (":scheme", "http"), (":path", "/x/y"), ("x-bin", "A")],
    "not base64 at all": [(":method", "POST"), (":scheme", "http"), (":path", "/x/y"), ("x-bin", "!!!")],
}


@pytest.mark.parametrize("name", list(BAD_REQUESTS))
async def test_request_that_is_malformed(caplog, name):
    async with against(caplog) as peer:
        await peer.send(peer.headers(1, BAD_REQUESTS[name], end=True))
        assert await peer.reset(1) == ErrorCodes.PROTOCOL_ERROR
        await peer.send(peer.request(3, end=False), DataFrame(3, message(b"x"), flags=["END_STREAM"]))
        await peer.fields(3)
        assert (await peer.fields(3))["grpc-status"] == "0"


async def test_streams_beyond_the_limit_are_refused(caplog):
    async with against(caplog, limits=Limits(max_streams_per_connection=3)) as peer:
        for stream_id in (1, 3, 5, 7):
            await peer.send(peer.request(stream_id, FLOW.path))
        assert await peer.reset(7) == ErrorCodes.REFUSED_STREAM
        await peer.send(DataFrame(3, flags=["END_STREAM"]))
        await peer.fields(3)
        await peer.send(peer.request(9), DataFrame(9, message(b"x"), flags=["END_STREAM"]))
        await peer.fields(9)
        assert (await peer.fields(9))["grpc-status"] == "0"


async def test_reset_cancels_the_handler_and_frees_its_place(caplog):
    ended = trio.Event()

    async def handler(stream):
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async with against(caplog, handlers={FLOW: handler, UNARY: echo}) as peer:
        await peer.send(peer.request(1, FLOW.path))
        await trio.testing.wait_all_tasks_blocked()
        assert not ended.is_set()
        await peer.send(RstStreamFrame(1))
        await ended.wait()


async def test_a_call_that_was_reset_before_its_task_began_runs_no_handler(caplog):
    begun = []

    async def handler(stream):
        begun.append(stream)
        await trio.sleep_forever()

    async with against(caplog, handlers={FLOW: handler, UNARY: echo}) as peer:
        await peer.send(peer.request(1, FLOW.path), RstStreamFrame(1))
        await trio.testing.wait_all_tasks_blocked()
        assert begun == []


# The same state without Trio.


def test_a_call_is_refused_with_header_fields_alone():
    joined = Joined()
    ours, theirs = joined.call()
    joined.server.refuse(theirs, ((b":status", b"405"),))
    assert not joined.server.streams
    joined.exchange()
    assert ours.error is not None
    assert ours.error.message == "the peer answered HTTP 405"


def test_trailers_end_a_request():
    joined = Joined()
    ours, theirs = joined.call()
    joined.client.write_headers(ours, ((b"checksum", b"1"),), [], end=True)
    joined.exchange()
    assert theirs.remote_ended
    assert theirs.trailing_metadata == {"checksum": "1"}


def test_a_drained_server_refuses_streams_unseen():
    joined = Joined()
    joined.call()
    joined.server.drain()
    late = joined.client.open(REQUEST, [])
    joined.exchange()
    assert len(joined.calls) == 1
    assert late.error is not None
    assert late.error.never_processed


def test_what_follows_a_request_that_a_drained_server_refused_is_no_fault():
    """The client wrote all of it before it heard that the server drains. Calls that run go on."""
    joined = Joined()
    _, running = joined.call()
    joined.server.drain()
    late = joined.client.open(REQUEST, [])
    joined.client.write_data(late, b"hello", 0, end=True)
    joined.exchange()
    assert late.error is not None
    assert late.error.never_processed
    assert running.error is None
    assert not joined.server.closing
    # Another stream was never opened, and what comes on it is a fault.
    assert not joined.server.knows(late.id + 2)


def test_streams_above_the_limit_start_no_call():
    joined = Joined(server_limits=Limits(max_streams_per_connection=2))
    joined.client.peer_max_streams = 100
    for _ in range(3):
        joined.client.open(REQUEST, [])
    joined.exchange()
    assert len(joined.calls) == 2
    assert joined.server.knows(5)
    assert not joined.server.knows(7)


def test_a_stream_that_was_reset_makes_room_before_its_handler_has_ended():
    joined = Joined(server_limits=Limits(max_streams_per_connection=2))
    for _ in range(4):
        joined.client.finish(joined.client.open(REQUEST, []))
    joined.client.peer_max_streams = 100
    joined.client.open(REQUEST, [])
    joined.exchange()
    assert len(joined.calls) == 4  # two run or may run, and two are being stopped
    for stream, _ in joined.calls:
        joined.server.finish(stream)
    joined.client.open(REQUEST, [])
    joined.exchange()
    assert len(joined.calls) == 5


def test_input_waits_for_handlers_that_are_being_stopped():
    joined = Joined(server_limits=Limits(max_streams_per_connection=2))
    for _ in range(6):
        joined.client.finish(joined.client.open(REQUEST, []))
    joined.server.receive(bytes(joined.client.out))
    steps = 0
    while joined.server.crowded:
        steps += 1
        joined.server.finish(next(iter(joined.server.streams.values())))
        joined.server.resume()
    assert steps == 4
    assert len(joined.calls) == 6


async def test_a_stream_below_a_known_one_ends_the_connection(caplog):
    async with against(caplog) as peer:
        await peer.send(peer.request(5, FLOW.path), peer.request(3, FLOW.path))
        assert await peer.goaway() == ErrorCodes.PROTOCOL_ERROR


async def test_trailers_of_a_call_that_has_ended_are_dropped(caplog):
    async with against(caplog) as peer:
        await peer.send(peer.request(1, "/no/method"), peer.headers(1, [("checksum", "1")], end=True))
        await peer.send(peer.request(3), DataFrame(3, message(b"x"), flags=["END_STREAM"]))
        await peer.fields(3)
        assert (await peer.fields(3))["grpc-status"] == "0"
