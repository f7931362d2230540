"""Frames on a stream that has ended (RFC 9113, 5.1): a stream error, if it was their sender that ended it."""

import pytest

from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.http2_faults import ErrorCodes
from gossipnode.rpc.metadata import status_fields
from gossipnode.rpc.status import Status
from tests.rpc.http2.rules.frames_in import ANSWER, FedClient, FedServer, data

CLOSED = "RST 1 STREAM_CLOSED"
TRAILERS = [("x", "y")]


def answer(server: FedServer) -> None:
    """The handler of the first call has ended."""
    server.end.write_headers(server.calls[0], status_fields(Status.OK, "", False)[0], [], end=True)
    server.end.finish(server.calls[0])
    server.take()


@pytest.mark.parametrize("handler_runs", [True, False])
@pytest.mark.parametrize("what", ["data", "empty data", "trailers"])
def test_a_client_that_goes_on_after_its_end(what, handler_runs):
    server = FedServer()
    assert server.send(server.request(1, end=True)) == []
    if not handler_runs:
        answer(server)
    if what == "trailers":
        assert server.send(server.headers(1, TRAILERS, end=True)) == [CLOSED]
    else:
        assert server.send(data(1, b"x" if what == "data" else b"")) == [CLOSED]
    assert (server.calls[0].error is not None) == handler_runs
    assert server.send(server.request(3)) == []
    assert len(server.calls) == 2


@pytest.mark.parametrize("handler_runs", [True, False])
@pytest.mark.parametrize("what", ["data", "headers"])
def test_a_client_that_goes_on_after_its_reset(what, handler_runs):
    server = FedServer()
    server.send(server.request(1), frames.reset_frame(1, ErrorCodes.CANCEL))
    if not handler_runs:
        server.end.finish(server.calls[0])
    if what == "data":
        assert server.send(data(1, b"x")) == [CLOSED]
    else:
        assert server.send(server.request(1)) == [CLOSED if handler_runs else "GOAWAY STREAM_CLOSED"]
    assert len(server.calls) == 1


def test_a_client_that_had_not_heard_of_the_end_is_not_at_fault():
    server = FedServer()
    server.send(server.request(1))
    server.end.finish(server.calls[0])
    server.take()
    late = [data(1, b"x"), data(1), server.headers(1, TRAILERS), data(1, b"x", end=True)]
    assert server.send(*late) == []


def test_a_request_whose_stream_was_reset_for_a_fault_may_go_on_for_a_while():
    server = FedServer()
    assert server.send(server.request(1, ("te", "gzip"))) == ["RST 1 PROTOCOL_ERROR"]
    assert server.send(data(1, b"x"), data(1, b"y", end=True)) == []


def test_of_the_streams_that_have_ended_only_the_last_ones_are_remembered():
    server = FedServer()
    for stream_id in range(1, 3001, 2):
        server.send(server.request(stream_id, end=True))
        server.end.finish(server.calls[-1])
    server.take()
    assert server.send(data(2999, b"x")) == ["RST 2999 STREAM_CLOSED"]
    assert server.send(data(1, b"x")) == []


def test_a_flood_of_frames_on_closed_streams_ends_the_connection():
    server = FedServer()
    server.send(server.request(1, end=True))
    answer(server)
    assert server.send(*[data(1, b"x")] * 4001)[-1] == "GOAWAY ENHANCE_YOUR_CALM"


@pytest.mark.parametrize("what", ["data", "trailers"])
def test_a_server_that_goes_on_after_its_end(what):
    client = FedClient()
    client.send(client.headers(1, ANSWER), client.headers(1, [("grpc-status", "0")], end=True))
    again = data(1, b"x") if what == "data" else client.headers(1, TRAILERS, end=True)
    assert client.send(again) == [CLOSED]


def test_a_server_that_had_not_heard_of_the_end_is_not_at_fault():
    client = FedClient()
    client.end.finish(client.stream)
    client.take()
    assert client.send(client.headers(1, ANSWER), data(1, b"x"), client.headers(1, TRAILERS, end=True)) == []
