"""What a call that failed means to its caller: a gRPC status becomes one of our own errors, in one line."""

from __future__ import annotations

import re
from collections.abc import Mapping

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
"""An error is one line: so many nodes are named in it."""

_CERTIFICATE_ALERT = re.compile(
    r"ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR|HANDSHAKE_FAILURE)"
)
"""What OpenSSL calls a server's refusal of a client's certificate, or of none."""

_OF_STATUS: dict[Status, type[ClientError]] = {
    Status.NOT_FOUND: NotFoundError,
    Status.ALREADY_EXISTS: AlreadyExistsError,
    Status.INVALID_ARGUMENT: InvalidRequestError,
    Status.OUT_OF_RANGE: InvalidRequestError,
}
"""Said of the request: whichever node was asked, it would have said the same."""


def said_by_node(error: RpcError) -> bool:
    """Whether the status came from the other side. If not, the connection ended, or our patience did."""
    return error.trailing_metadata is not NO_METADATA


def named_error(error: RpcError, address: Address) -> ClientError:
    """The error that a user sees for a status."""
    status, said = error.status, " ".join(error.message.split())
    if status is Status.UNAVAILABLE:
        return _unavailable(error, said, address)
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
    alert = _CERTIFICATE_ALERT.search(said)
    if alert is not None:
        problem = alert[1].lower().replace("_", " ")
        return RefusedError(f"{address} refuses our certificate ({problem}): it wants one signed by its CA")
    if error.never_processed:
        reason = said.partition("cannot be reached: ")[2] or said
        reason = re.sub(r"^\[Errno -?\d+\] ", "", reason)
        return NoNodeError(f"no node answers at {address}: {reason}")
    if not said_by_node(error):
        return UnreachableError(f"{address} ended the call: {said}; is a gossipnode node running there?")
    return UnreachableError(f"{address}: {said}")


def weight(error: RpcError) -> int:
    """How much a failure says: the heaviest one counts, of several tries at a node and of several nodes.

    That a node is gone by now must not hide that it may have begun before; and a certificate that is refused
    must not be hidden by the tries at which the connection was reset before the reason could be read.
    """
    if _CERTIFICATE_ALERT.search(error.message) is not None:
        return 2
    return 0 if error.never_processed else 1


def summed_up(failures: Mapping[Address, RpcError]) -> ClientError:
    """One error for a call that failed at several nodes. NoNodeError only where none can have begun."""
    heaviest = max(failures, key=lambda address: weight(failures[address]))
    kind = type(named_error(failures[heaviest], heaviest))
    told = [str(named_error(error, address)) for address, error in failures.items()]
    if len(told) > NODES_NAMED_IN_ERROR:
        told[NODES_NAMED_IN_ERROR:] = [f"and {len(told) - NODES_NAMED_IN_ERROR} more"]
    return kind("; ".join(told))
