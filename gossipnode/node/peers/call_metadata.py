"""The call metadata that own nodes send each other. A foreign peer sends none of it, and ignores ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gossipnode.core.cluster.cluster_metadata import Identity
from gossipnode.core.model.arrival import Arrival, Through
from gossipnode.core.model.limits import STAMP_MAX_NANOSECONDS
from gossipnode.core.retention.marks import NO_MARKS, Marks
from gossipnode.core.ring.turn import Cause
from gossipnode.rpc import CallContext, RpcError, Status

CLUSTER = "gossipnode-cluster"
NODE = "gossipnode-node"
ROUND = "gossipnode-round"
CAUSE = "gossipnode-cause"
HOP = "gossipnode-hop"
SKIPPED = "gossipnode-skipped"
INCARNATION = "gossipnode-incarnation"
FENCE = "gossipnode-fence"
ACK = "gossipnode-ack"
REQUEST_ID = "gossipnode-request-id"
START = "gossipnode-start"
MARKS = "gossipnode-marks"
TRACEPARENT = "traceparent"
"""Of W3C: clients that record traces send it, too."""

_TRACEPARENT_FORM = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def own_metadata(cluster: str, node: str) -> dict[str, str]:
    """What goes with every call to another member: the cluster and the node that we are."""
    return {CLUSTER: cluster, NODE: node}


def say_start(metadata: dict[str, str], birth: int, boot: int) -> None:
    """Have calls say which start of which store makes them."""
    metadata[START] = f"{birth}.{boot}"


def marks_text(marks: Marks) -> str:
    """The marks of a shard as the client of a session says them."""
    return ".".join(map(str, marks))


def marks_of(metadata: Mapping[str, str | bytes]) -> Marks:
    """The marks that the client of a session says; all 0 for one that does not say any."""
    parts = text(metadata, MARKS).split(".")
    if len(parts) != len(NO_MARKS) or not all(part.isascii() and part.isdecimal() for part in parts):
        return NO_MARKS
    return Marks(*(min(int(part[:20]), STAMP_MAX_NANOSECONDS) for part in parts))


def start_of(metadata: Mapping[str, str | bytes]) -> tuple[Identity, int] | None:
    """The store that makes a call, and its start; None if the call does not say so."""
    birth, _, boot = text(metadata, START).partition(".")
    if not (birth.isdecimal() and boot.isdecimal()):
        return None
    return Identity(text(metadata, NODE), int(birth)), int(boot)


def text(metadata: Mapping[str, str | bytes], key: str) -> str:
    """The text sent under a key, or ""."""
    value = metadata.get(key, "")
    return value if isinstance(value, str) else ""


def traceparent(metadata: Mapping[str, str | bytes]) -> str:
    """The span that a call is a part of; "" if it says none, or nothing that could be one."""
    said = text(metadata, TRACEPARENT)
    return said if _TRACEPARENT_FORM.fullmatch(said) else ""


def refuse_other_clusters(call: CallContext, own_cluster: str) -> None:
    """Refuse a call that says it belongs to another cluster. A foreign peer says nothing, and is let in.

    Raises:
        RpcError: PERMISSION_DENIED, naming both clusters.
    """
    theirs = text(call.metadata, CLUSTER)
    if theirs and theirs != own_cluster:
        raise RpcError(
            Status.PERMISSION_DENIED,
            f"this node belongs to cluster {own_cluster!r}, the caller to {theirs[:80]!r}",
        )


def arrival_of(metadata: Mapping[str, str | bytes], peer: str) -> Arrival:
    """How the records of a session with this metadata come. A foreign session says nothing: it is a round."""
    through = Through.ROUND
    if text(metadata, FENCE):
        through = Through.HAND_OFF
    elif not text(metadata, ROUND) and text(metadata, CAUSE) == Cause.EVENT.value:
        through = Through.HINT
    return Arrival(through, peer)


def cause_of(metadata: Mapping[str, str | bytes]) -> Cause:
    """Why a round was started; a foreign round, which does not say, counts as scheduled."""
    try:
        return Cause(text(metadata, CAUSE))
    except ValueError:
        return Cause.SCHEDULED
