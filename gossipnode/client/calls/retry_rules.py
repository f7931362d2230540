"""Whether a call that failed may be tried again, and how long one try may take. Pure.

The rule: what was asked for once is never done twice. A read may be repeated. A write carries a request id by
which replicas recognize it, so it may be repeated if its outcome is unknown; if a node has told the outcome
(as in "1 of 3 took it"), that stands. Any other call is repeated only if no node can have begun it.
"""

from __future__ import annotations

from enum import Enum, auto

from gossipnode.client.calls.failures import said_by_node
from gossipnode.rpc import RpcError, Status

_BROKEN = (Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.CANCELLED)
"""The node is gone, silent, or cannot serve just now."""


class CallKind(Enum):
    """What repeating a call would do."""

    READ = auto()
    WRITE = auto()
    """A write of a record, which carries a request id."""
    ONCE = auto()
    """A change that nobody could recognize when it comes again: of groups and of members."""


def may_try_again(kind: CallKind, error: RpcError) -> bool:
    """Whether the call may be made again after this failure, at this node or at another."""
    if error.never_processed:
        return True
    if error.status not in _BROKEN or kind is CallKind.ONCE:
        return False
    if kind is CallKind.READ:
        return True
    return error.status is Status.DEADLINE_EXCEEDED or not said_by_node(error)


def blames_node(error: RpcError) -> bool:
    """Whether the failure is a reason to ask another node first from now on."""
    return error.never_processed or error.status in _BROKEN


def try_seconds(kind: CallKind, seconds_left: float, *, others_left: bool) -> float:
    """How long one try may take, of the time that the call has left.

    Half of it while another node could be asked afterwards, so that a node that hangs does not use up the
    whole call; all of it for a call that could not be repeated then.
    """
    return seconds_left / 2 if others_left and kind is not CallKind.ONCE else seconds_left
