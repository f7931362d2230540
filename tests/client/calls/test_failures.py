from __future__ import annotations

import pytest

from gossipnode.client.calls.failures import (
    NODES_NAMED_IN_ERROR,
    named_error,
    said_by_node,
    summed_up,
    weight,
)
from gossipnode.client.errors import ClientError, NoNodeError, NotFoundError, RefusedError, UnreachableError
from gossipnode.config.address import Address
from gossipnode.rpc import RpcError, Status

A, B = Address("a", 1), Address("b", 2)
GONE = RpcError(
    Status.UNAVAILABLE, "a:1 cannot be reached: [Errno 111] connection refused", never_processed=True
)
LOST = RpcError(Status.UNAVAILABLE, "the connection\nwas lost")
SAID = RpcError(Status.UNAVAILABLE, "1 of 3 took it", trailing_metadata={})
CERTIFICATE = RpcError(Status.UNAVAILABLE, "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca")


def test_whether_the_node_said_so() -> None:
    assert [said_by_node(error) for error in (GONE, LOST, SAID)] == [False, False, True]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (GONE, NoNodeError, "no node answers at a:1: connection refused"),
        (
            LOST,
            UnreachableError,
            "a:1 ended the call: the connection was lost; is a gossipnode node running there?",
        ),
        (SAID, UnreachableError, "a:1: 1 of 3 took it"),
        (
            CERTIFICATE,
            RefusedError,
            "a:1 refuses our certificate (unknown ca): it wants one signed by its CA",
        ),
        (RpcError(Status.CANCELLED), UnreachableError, "a:1: CANCELLED"),
        (RpcError(Status.NOT_FOUND, "no such group"), NotFoundError, "no such group"),
    ],
)
def test_what_a_status_means(error: RpcError, kind: type[ClientError], message: str) -> None:
    found = named_error(error, A)
    assert type(found) is kind
    assert str(found) == message


def test_the_heaviest_failure_decides() -> None:
    assert weight(GONE) < weight(LOST) == weight(SAID) < weight(CERTIFICATE)
    assert type(summed_up({A: GONE, B: GONE})) is NoNodeError
    assert type(summed_up({A: GONE, B: LOST})) is UnreachableError
    assert type(summed_up({A: CERTIFICATE, B: LOST})) is RefusedError


def test_an_error_names_a_few_nodes_and_counts_the_rest() -> None:
    failures = {Address("n", port): SAID for port in range(1, NODES_NAMED_IN_ERROR + 3)}
    named = [f"n:{port}: 1 of 3 took it" for port in range(1, NODES_NAMED_IN_ERROR + 1)]
    assert str(summed_up(failures)) == "; ".join([*named, "and 2 more"])
