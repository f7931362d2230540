"""What changed from one epoch to another, for people: one line for each member and group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gossipnode.core.cluster.cluster_metadata import ClusterMetadata


class EpochEvent(NamedTuple):
    """One thing that changed."""

    what: str
    details: dict[str, object]
    """Which member or group, and its values."""


def epoch_story(before: ClusterMetadata | None, after: ClusterMetadata) -> Iterator[EpochEvent]:
    """What `after` changed, in order. Several epochs may lie between the two.

    How shards settle is not told: it follows from the rest, and nobody asked for it.
    """
    if before is None:
        yield EpochEvent("cluster formed", {"members": ", ".join(after.members)})
        return
    yield from _members(before, after)
    yield from _groups(before, after)


def _members(before: ClusterMetadata, after: ClusterMetadata) -> Iterator[EpochEvent]:
    for name, member in after.members.items():
        earlier = before.members.get(name)
        if earlier is None:
            yield EpochEvent("member added", {"member": name, "address": member.address})
            continue
        if earlier.birth != member.birth:
            yield EpochEvent("member replaced", {"member": name, "address": member.address})
        elif earlier.address != member.address:
            yield EpochEvent(
                "member moved", {"member": name, "address": member.address, "before": earlier.address}
            )
        if member.leaving and not earlier.leaving:
            yield EpochEvent("member leaves", {"member": name})
    for name in before.members:
        if name not in after.members:
            yield EpochEvent("member gone", {"member": name})


def _groups(before: ClusterMetadata, after: ClusterMetadata) -> Iterator[EpochEvent]:
    for name, group in after.groups.items():
        earlier = before.groups.get(name)
        if earlier is None or earlier.incarnation != group.incarnation:
            yield EpochEvent(
                "group made", {"group": name, "shards": group.shards, "replicas": group.replicas}
            )
        elif earlier != group:
            yield EpochEvent("group changed", {"group": name})
    for name in before.groups:
        if name not in after.groups:
            yield EpochEvent("group gone", {"group": name})
