"""Checks of a request that come before anything is done for it."""

from __future__ import annotations

from gossipnode.core.cluster.cluster_metadata import SYSTEM_GROUP_PREFIX
from gossipnode.core.cluster.placement import AckLevel, Placement
from gossipnode.core.query.request_lineage import REQUEST_ID_MAX_CHARACTERS
from gossipnode.node.refusals.request_errors import (
    InvalidRequestIdError,
    NotAReplicaError,
    RefusedGroupError,
    UnknownLevelError,
)


def ack_level(text: str) -> AckLevel:
    """The level of this name.

    Raises:
        UnknownLevelError: there is no such level; names the levels that there are.
    """
    try:
        return AckLevel(text)
    except ValueError:
        known = ", ".join(level.value for level in AckLevel)
        raise UnknownLevelError(f"ack {text[:20]!r}: expected one of {known}") from None


def check_request_id(request_id: str) -> None:
    """Refuse an id that replicas would not remember: a retry would be a second write.

    Raises:
        InvalidRequestIdError: it is too long.
    """
    if len(request_id) > REQUEST_ID_MAX_CHARACTERS:
        raise InvalidRequestIdError(
            f"request_id: {len(request_id)} characters, expected {REQUEST_ID_MAX_CHARACTERS} at most"
        )


def check_writable(group: str) -> None:
    """Refuse a group that is the system's own.

    Raises:
        RefusedGroupError: the group is the system's own.
    """
    if group.startswith(SYSTEM_GROUP_PREFIX):
        raise RefusedGroupError(f'group {group[:80]!r}: names beginning with "_" are the system\'s own')


def not_a_replica(placement: Placement) -> NotAReplicaError:
    """The refusal of a request that this node was to serve alone."""
    holders = ", ".join(placement.holders)
    return NotAReplicaError(f"this node holds no copy of shard {placement.shard}: ask one of {holders}")
