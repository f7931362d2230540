"""The way out when a majority of the members is gone for good: one survivor goes on as a cluster of its own.

Nobody can decide the next epoch of such a cluster. So this is no change of it, but the first value of another
cluster: it has another id, and its requests and epochs never mix with those of the old one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gossipnode.core.cluster.change_refusals import ChangeRefusedError
from gossipnode.core.cluster.cluster_metadata import (
    CLUSTER_ID_BYTES,
    ClusterMetadata,
    Identity,
    MemberLayout,
)
from gossipnode.core.model.property import ShardId

EPOCHS_SKIPPED = 1_000_000
"""How far the epoch of a recovered cluster is ahead of the one that the survivor knew.

The old cluster may have decided epochs that the survivor did not hear of, and groups may have been created by
them. A group is known by the epoch of its creation, so the new cluster must not use these numbers again.
"""


def recovered(
    value: ClusterMetadata, own: Identity, cluster_id: bytes, key: bytes, *, restored_as: int = 0
) -> ClusterMetadata:
    """The first value of the cluster in which a survivor goes on alone, from the newest value that it knows.

    Groups keep their definitions and incarnations, so that the records which a data directory of another old
    member holds belong to the same groups here. Every shard lies by the survivor, and nothing moves. The
    survivor keeps its birth: it votes in the new cluster alone, and its part in the old one is given up. A
    store that was restored gets another birth, because the one that it is a copy of may still run.

    The other members count as forgotten. They come back as new members, with new births, which takes their
    names off the list. Until then one that asks is told what to do, also under TLS, where a node of an
    unknown name is told nothing.

    Args:
        value: the newest value that the survivor knows.
        own: the survivor.
        cluster_id: random bits. The caller draws them for this cluster.
        key: as `cluster_id`; it counts only if the old cluster had a key.
        restored_as: the birth of a restored store; 0 for a survivor.

    Raises:
        ChangeRefusedError: the survivor is no member, or it is the only one and was not restored.
    """
    assert len(cluster_id) == CLUSTER_ID_BYTES
    assert cluster_id != value.cluster_id
    if not value.is_member(own):
        raise ChangeRefusedError(
            f"{own.name} is no member in epoch {value.epoch}, the newest one that this data directory knows: "
            "recover at a member, and start this node with --join ADDR --as-new"
        )
    if len(value.members) == 1 and not restored_as:
        raise ChangeRefusedError(
            f"{own.name} is the only member of its cluster, and decides alone: start it as it is"
        )
    survivor = replace(value.members[own.name], leaving=False, birth=restored_as or own.birth)
    return replace(
        value,
        epoch=value.epoch + EPOCHS_SKIPPED,
        cluster_id=cluster_id,
        key=key if value.key else b"",
        members={own.name: survivor},
        layouts=(MemberLayout((survivor.identity,)),),
        lies={},
        movers={},
        altered={},
        forgotten=(value.forgotten | value.members.keys()) - {own.name},
    )


@dataclass(frozen=True, slots=True)
class DoubtfulShards:
    """The shards of which a survivor may lack acknowledged writes."""

    no_copy: tuple[ShardId, ...]
    """It was no replica of them, or had still to be filled."""
    one_copy_of_several: tuple[ShardId, ...]
    """It held a copy, and a write that others acknowledged at `quorum` need not be in it."""


def doubtful_shards(value: ClusterMetadata, name: str) -> DoubtfulShards:
    """The shards of which the member `name` may lack writes that were acknowledged at `quorum`.

    Writes that were acknowledged at `one` may be missing from every shard.
    """
    no_copy: list[ShardId] = []
    one_copy: list[ShardId] = []
    for shard in value.shards():
        placement = value.place(shard)
        if name not in placement.sources:
            no_copy.append(shard)
        elif placement.full_sources > 1:
            one_copy.append(shard)
    return DoubtfulShards(tuple(no_copy), tuple(one_copy))
