"""The state of one stream, without Trio: how it ends at either end, and which tasks hear of it."""

import pytest

from gossipnode.rpc import RpcError, Status
from gossipnode.rpc.head import Head
from gossipnode.rpc.http2.stream import Stream
from tests.rpc.http2.joined import Sleeper


def stream_of(*, at_client: bool) -> Stream:
    return Stream(1, 65_535, 65_535, at_client=at_client)


def trailers(**fields: str) -> Head:
    return Head({}, {name.replace("_", "-"): value for name, value in fields.items()}, {"key": "value"})


class Scope:
    def __init__(self):
        self.cancelled = False

    def cancel(self):
        self.cancelled = True


def test_a_failed_stream_wakes_its_tasks_and_stops_its_work():
    stream = stream_of(at_client=False)
    stream.reader, stream.sender, stream.scope = reader, sender, scope = Sleeper(), Sleeper(), Scope()
    first = RpcError(Status.CANCELLED, "first")
    stream.fail(first)
    stream.fail(RpcError(Status.ABORTED, "second"))
    assert stream.error is first
    assert reader.woken == sender.woken == 2
    assert scope.cancelled
    with pytest.raises(RpcError, match="first"):
        stream.check_open()


def test_a_stream_without_tasks_may_fail_as_well():
    stream_of(at_client=True).fail(RpcError(Status.CANCELLED))


@pytest.mark.parametrize("at_client", [True, False])
def test_half_a_message_is_no_good_end(at_client):
    stream = stream_of(at_client=at_client)
    stream.trailers = trailers(grpc_status="0")
    stream.check_end()
    stream.inbound += b"\0\0"
    with pytest.raises(RpcError, match="in the middle of a message") as caught:
        stream.check_end()
    assert caught.value.status is Status.INTERNAL


def test_a_client_needs_a_status():
    stream = stream_of(at_client=True)
    with pytest.raises(RpcError, match="without a status"):
        stream.check_end()
    stream.trailers = trailers(grpc_status="5", grpc_message="no%20such")
    with pytest.raises(RpcError, match="no such") as caught:
        stream.check_end()
    assert caught.value.status is Status.NOT_FOUND
    assert caught.value.trailing_metadata == {"key": "value"}


def test_a_client_cannot_send_after_the_answer():
    stream = stream_of(at_client=True)
    stream.check_open()
    stream.remote_ended = True
    stream.trailers = trailers(grpc_status="0")
    with pytest.raises(RpcError) as caught:
        stream.check_open()
    assert caught.value.status is Status.CANCELLED


def test_a_server_may_answer_after_the_request_has_ended():
    stream = stream_of(at_client=False)
    stream.remote_ended = True
    stream.check_open()
    stream.local_ended = True
    with pytest.raises(RpcError) as caught:
        stream.check_open()
    assert caught.value.status is Status.INTERNAL


def test_metadata_is_empty_before_it_came():
    stream = stream_of(at_client=True)
    assert stream.initial_metadata == {}
    assert stream.trailing_metadata == {}
    stream.head = stream.trailers = trailers(grpc_status="0")
    assert stream.initial_metadata == stream.trailing_metadata == {"key": "value"}
