"""What an error says about a call: statuses inside groups, of stream resets and of HTTP answers."""

import pytest
from grpclib.exceptions import GRPCError
from h2.errors import ErrorCodes

from gossipnode.rpc import RpcError, Status
from gossipnode.rpc.status import find_rpc_error, http_error, reset_error


def test_the_first_status_inside_groups_is_found():
    first, second = RpcError(Status.NOT_FOUND, "first"), RpcError(Status.ABORTED, "second")
    group = ExceptionGroup("outer", [KeyError("x"), ExceptionGroup("inner", [first]), second])
    assert find_rpc_error(group) is first
    assert find_rpc_error(second) is second
    stock = GRPCError(Status.ABORTED)
    assert find_rpc_error(stock) is stock
    assert find_rpc_error(KeyError("x")) is None
    assert find_rpc_error(ExceptionGroup("", [KeyError("x")])) is None


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCodes.REFUSED_STREAM, Status.UNAVAILABLE),
        (ErrorCodes.CANCEL, Status.CANCELLED),
        (ErrorCodes.PROTOCOL_ERROR, Status.INTERNAL),
        (12345, Status.INTERNAL),
    ],
)
def test_only_a_refused_stream_was_certainly_not_processed(code, status):
    error = reset_error(code)
    assert error.status is status
    assert error.never_processed == (code == ErrorCodes.REFUSED_STREAM)


@pytest.mark.parametrize(
    ("http_status", "status"),
    [("503", Status.UNAVAILABLE), ("401", Status.UNAUTHENTICATED), ("", Status.UNKNOWN)],
)
def test_an_http_status_has_a_reading(http_status, status):
    assert http_error(http_status).status is status


def test_an_error_reads_as_its_status_and_message():
    assert str(RpcError(Status.NOT_FOUND, "no such record")) == "NOT_FOUND: no such record"
    assert str(RpcError(Status.NOT_FOUND)) == "NOT_FOUND"
