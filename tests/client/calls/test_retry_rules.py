from __future__ import annotations

import pytest

from gossipnode.client.calls.retry_rules import CallKind, blames_node, may_try_again, try_seconds
from gossipnode.rpc import RpcError, Status

READ, WRITE, ONCE = CallKind.READ, CallKind.WRITE, CallKind.ONCE


def lost(status: Status) -> RpcError:
    """A status that no node sent: the connection broke, or our timeout passed."""
    return RpcError(status, "lost")


def said(status: Status) -> RpcError:
    """A status that the node sent."""
    return RpcError(status, "said", trailing_metadata={})


UNSENT = RpcError(Status.UNAVAILABLE, "cannot be reached", never_processed=True)


@pytest.mark.parametrize(
    ("error", "kinds"),
    [
        (UNSENT, {READ, WRITE, ONCE}),
        (lost(Status.UNAVAILABLE), {READ, WRITE}),
        (lost(Status.CANCELLED), {READ, WRITE}),
        (lost(Status.DEADLINE_EXCEEDED), {READ, WRITE}),
        (said(Status.DEADLINE_EXCEEDED), {READ, WRITE}),
        # "1 of 3 took it": the write may be there, and another node would not know better.
        (said(Status.UNAVAILABLE), {READ}),
        *[
            (made(status), set())
            for status in (
                Status.INVALID_ARGUMENT,
                Status.NOT_FOUND,
                Status.ALREADY_EXISTS,
                Status.PERMISSION_DENIED,
                Status.UNAUTHENTICATED,
                Status.RESOURCE_EXHAUSTED,
                Status.FAILED_PRECONDITION,
                Status.ABORTED,
                Status.UNIMPLEMENTED,
                Status.INTERNAL,
                Status.UNKNOWN,
            )
            for made in (said, lost)
        ],
    ],
)
def test_what_may_be_tried_again(error: RpcError, kinds: set[CallKind]) -> None:
    assert {kind for kind in CallKind if may_try_again(kind, error)} == kinds


def test_a_node_is_blamed_for_being_away_and_not_for_its_answers() -> None:
    for error in (UNSENT, lost(Status.UNAVAILABLE), said(Status.UNAVAILABLE), lost(Status.DEADLINE_EXCEEDED)):
        assert blames_node(error)
    for status in (Status.NOT_FOUND, Status.INTERNAL, Status.RESOURCE_EXHAUSTED):
        assert not blames_node(said(status))


def test_one_try_leaves_time_for_another_node() -> None:
    for kind in (READ, WRITE):
        assert try_seconds(kind, 8.0, others_left=True) == 4.0
        assert try_seconds(kind, 8.0, others_left=False) == 8.0
    # If it ran out of time, it could not be tried again, so it gets all the time.
    assert try_seconds(ONCE, 8.0, others_left=True) == 8.0
