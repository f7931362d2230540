"""Why a record is what it is: the versions that its replicas hold, and which of them wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gossipnode.core.model.arrival import Arrival, is_overlap
from gossipnode.core.model.version import Version


class ReplicaVersion(NamedTuple):
    """What a replica holds of a record, and how that came."""

    node: str
    version: Version | None = None
    arrival: Arrival | None = None
    replaced: tuple[int, int] | None = None
    """mod_revision and delete_time of what the version took the place of there, if that is known."""
    problem: str = ""
    """Why nothing is known of the replica; empty otherwise."""
    built_upon: int | None = None
    """See `Record.built_upon`."""

    @property
    def overlap(self) -> bool:
        """Whether the version took the place of one that its writer had not seen."""
        return self.replaced is not None and is_overlap(self.built_upon, self.replaced)


class Winner(NamedTuple):
    """Which version of a record wins."""

    nodes: tuple[str, ...]
    """The replicas that hold it."""
    why: str


def winner_of(replicas: Sequence[ReplicaVersion]) -> Winner:
    """Which of the versions wins, and why, in words."""
    held = [each for each in replicas if each.version is not None]
    if not held:
        unknown = "" if all(not each.problem for each in replicas) else " that answers"
        return Winner((), f"no replica{unknown} holds it")
    versions = sorted({each.version for each in held if each.version is not None}, reverse=True)
    newest = versions[0]
    nodes = tuple(each.node for each in held if each.version == newest)
    if len(versions) > 1:
        return Winner(nodes, _why_newer(newest, versions[1]))
    lacking = [each.node for each in replicas if each.version is None and not each.problem]
    silent = [each.node for each in replicas if each.problem]
    if lacking:
        return Winner(nodes, f"it is the only version; {', '.join(lacking)} holds nothing")
    if silent:
        return Winner(nodes, "all replicas that answer hold this version")
    return Winner(nodes, "all replicas hold this version")


def _why_newer(newest: Version, other: Version) -> str:
    if newest.mod_revision != other.mod_revision:
        return f"its revision {newest.mod_revision} is larger than {other.mod_revision}"
    if newest.delete_time != other.delete_time:
        if not other.delete_time:
            return "the revisions are equal, and a delete wins over a live record"
        return f"the revisions are equal, and it was deleted later, at {newest.delete_time}"
    return "the revisions are equal, and the larger digest of the content wins"
