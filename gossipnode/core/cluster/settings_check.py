"""What a configuration says against what the cluster has: refused, or said with the command to use.

Once a store holds an epoch, its configuration creates nothing any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group


def refused_settings(value: ClusterMetadata, configured: Iterable[Group]) -> str:
    """Why a node with these groups in its configuration must not run in a cluster; "" when it may."""
    for group in configured:
        known = value.groups.get(group.name)
        if known is not None and (known.shards, known.replicas) != (group.shards, group.replicas):
            return (
                f"the cluster has {shape(known)}, the settings say {shape(group)}: correct the settings "
                f"(`group alter {group.name} --replicas N` changes the number of replicas in the cluster; "
                "the number of shards cannot change)"
            )
    return ""


def settings_differences(
    value: ClusterMetadata, configured: Mapping[str, Group], peers: Iterable[str]
) -> list[str]:
    """What a configuration says and the cluster does not have, each with the command to use."""
    told = [
        f"peer {name} is in the settings and is no member: it becomes one by run --join"
        for name in peers
        if name not in value.members and name not in value.foreign
    ]
    for name, group in configured.items():
        known = value.groups.get(name)
        if known is None:
            told.append(
                f"group {name} is in the settings and not in the cluster: "
                f"`group create {name} --shards {group.shards} --replicas {group.replicas}` makes it"
            )
            continue
        if known.ack is not group.ack:
            told.append(_differs(name, "ack", known.ack.value, group.ack.value))
        if known.tombstone_retention_seconds != group.tombstone_retention_seconds:
            told.append(
                _differs(
                    name,
                    "retention",
                    f"{known.tombstone_retention_seconds}s",
                    f"{group.tombstone_retention_seconds}s",
                )
            )
        if set(known.indexes) != set(group.indexes):
            told.append(
                _differs(name, "index", " ".join(known.indexes) or "none", " ".join(group.indexes) or "none")
            )
    return told


class Formation(NamedTuple):
    """What a node wants to form a cluster of, by its configuration."""

    members: Iterable[str]
    groups: Iterable[Group]
    foreign: Iterable[str] = ()


def formation_of(configured: ClusterMetadata) -> Formation:
    """What a configuration, or a first epoch, forms a cluster of."""
    return Formation(configured.members, configured.groups.values(), configured.foreign)


def forming_difference(ours: Formation, theirs: Formation) -> str:
    """Why two nodes with these configurations form no cluster together; "" when they do.

    The order of members, groups and indexes does not count.
    """
    for what, mine, other in (
        ("members", sorted(ours.members), sorted(theirs.members)),
        ("foreign members", sorted(ours.foreign), sorted(theirs.foreign)),
    ):
        if mine != other:
            return f"its {what} are {', '.join(other) or 'none'}, ours are {', '.join(mine) or 'none'}"
    own_groups, groups = ({group.name: group for group in each.groups} for each in (ours, theirs))
    for name in sorted({*own_groups, *groups}):
        one, another = _told(own_groups.get(name), name), _told(groups.get(name), name)
        if one != another:
            return f"it has {another}, we have {one}"
    return ""


def shape(group: Group) -> str:
    """A group as the command line writes it, such as sw:1:3."""
    return f"{group.name}:{group.shards}:{group.replicas}"


def _told(group: Group | None, name: str) -> str:
    if group is None:
        return f"no group {name}"
    indexes = f" indexed by {' '.join(sorted(group.indexes))}" if group.indexes else ""
    return f"{shape(group)} (ack {group.ack.value}, retention {group.tombstone_retention_seconds}s{indexes})"


def _differs(name: str, what: str, known: str, configured: str) -> str:
    return (
        f"group {name}: {what} is {known} in the cluster and {configured} in the settings: "
        f"`group alter {name} --{what}` changes it"
    )
