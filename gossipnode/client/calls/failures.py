"""Turns the gRPC status of a call that failed into one of our own errors, with a message of one line."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gossipnode.client.calls.tls_failures import OF_LIBRARY, TlsTodo, refuses_certificate, tls_failure
from gossipnode.client.errors import (
    AlreadyExistsError,
    ClientError,
    FailedError,
    InvalidRequestError,
    NoNodeError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from gossipnode.config.address import Address
from gossipnode.rpc import RpcError, Status
from gossipnode.rpc.status import NO_METADATA

NODES_NAMED_IN_ERROR = 3
"""How many nodes an error names at most, so that it stays one line."""

_OF_STATUS: dict[Status, type[ClientError]] = {
    Status.NOT_FOUND: NotFoundError,
    Status.ALREADY_EXISTS: AlreadyExistsError,
    Status.INVALID_ARGUMENT: InvalidRequestError,
    Status.OUT_OF_RANGE: InvalidRequestError,
}
"""Statuses that judge the request itself. Any node would have answered the same, so the error names none."""


def said_by_node(error: RpcError) -> bool:
    """Whether the node sent this status. If not, the connection broke, or our own timeout passed."""
    return error.trailing_metadata is not NO_METADATA


def named_error(error: RpcError, address: Address, todo: TlsTodo = OF_LIBRARY) -> ClientError:
    """The error that a user sees for the status that a call to the node at `address` ended in.

    `todo` has the words for what to do about TLS.
    """
    status, said = error.status, " ".join(error.message.split())
    if status is Status.UNAVAILABLE:
        return tls_failure(said, address, todo) or _unavailable(error, said, address)
    if status in (Status.DEADLINE_EXCEEDED, Status.CANCELLED):
        return UnreachableError(f"{address}: {said or status.name}")
    if status in _OF_STATUS:
        return _OF_STATUS[status](said)
    if status in (Status.UNAUTHENTICATED, Status.PERMISSION_DENIED):
        return RefusedError(f"{address} refuses: {said or status.name}")
    if status is Status.UNIMPLEMENTED:
        return UnreachableError(f"{address} does not know this call: is it a gossipnode node?")
    return FailedError(f"{address}: {said or status.name}")


def _unavailable(error: RpcError, said: str, address: Address) -> ClientError:
    if error.never_processed:
        reason = said.partition("cannot be reached: ")[2] or said
        reason = re.sub(r"^\[Errno -?\d+\] ", "", reason)
        return NoNodeError(f"no node answers at {address}: {reason}")
    if not said_by_node(error):
        return UnreachableError(f"{address} ended the call: {said}; is a gossipnode node running there?")
    return UnreachableError(f"{address}: {said}")


def weight(error: RpcError) -> int:
    """How much a failure tells. Of several tries, at one node or at many, the heaviest decides the error.

    A later try may find that the node is gone. That must not hide that an earlier one may have begun a write.
    A refused certificate weighs most: another try may have been reset before the reason could be read.
    """
    if refuses_certificate(error.message):
        return 2
    return 0 if error.never_processed else 1


def summed_up(failures: Mapping[Address, RpcError]) -> ClientError:
    """One error for a call that failed at several nodes; a NoNodeError only if no node can have begun it."""
    assert failures, "a call ends without an answer only after a failure"
    heaviest = max(failures, key=lambda address: weight(failures[address]))
    kind = type(named_error(failures[heaviest], heaviest))
    told = [str(named_error(error, address)) for address, error in failures.items()]
    if len(told) > NODES_NAMED_IN_ERROR:
        told[NODES_NAMED_IN_ERROR:] = [f"and {len(told) - NODES_NAMED_IN_ERROR} more"]
    return kind("; ".join(told))
