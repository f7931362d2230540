"""A stopped node's store becomes that of a cluster of one, see `core.cluster.recovery`.

The store must be open for the caller alone, and no node may run on it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from gossipnode.core.cluster.cluster_metadata import (
    CLUSTER_ID_BYTES,
    CLUSTER_KEY_BYTES,
    ClusterMetadata,
    Identity,
    Member,
)
from gossipnode.core.cluster.deciding.acceptor import AcceptorState
from gossipnode.core.cluster.recovery import DoubtfulShards, doubtful_shards, recovered
from gossipnode.node.identity.birth import Birth, keep_birth, noted_birth
from gossipnode.node.identity.owner import owner_of
from gossipnode.node.local.cluster_state import CLUSTER_NOTE
from gossipnode.store.interface import OtherNodeError, Store, StoreError
from gossipnode.wire.epochs.epoch_codec import decode_state, encode_state
from gossipnode.wire.wire_errors import WireError


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a recovery of a store is, before and after it is done."""

    own: Identity
    """The member that the store was of the old cluster."""
    before: ClusterMetadata
    """The newest value that the store knows."""
    after: ClusterMetadata
    """The first value of the recovered cluster."""
    doubtful: DoubtfulShards
    records: int
    tombstones: int

    @property
    def survivor(self) -> Member:
        """The node itself, as the only member."""
        return self.after.members[self.own.name]

    @property
    def others(self) -> list[Member]:
        """The other members of the old cluster, in ring order."""
        return [member for name, member in self.before.members.items() if name != self.own.name]


async def plan_recovery(
    store: Store, name: str | None, rng: random.Random, *, restored: bool = False
) -> Recovery:
    """What a recovery of this store would be. Nothing is changed by it.

    `name` is needed only if the store has no note of its node, or that note has rotted. A store that was
    `restored` gets another birth by the recovery, and may have been the only member.

    Raises:
        OtherNodeError: the store belongs to a node of another name.
        StoreError: it has no epoch, or a note of it is missing or damaged.
        ChangeRefusedError: its node is no member of its cluster, or the only one and not restored.
    """
    owner = await owner_of(store)
    if owner is None and name is None:
        raise StoreError("the note of the node's name is missing or damaged: give its name as --name")
    if owner is not None and name not in (None, owner):
        raise OtherNodeError(f"the data directory belongs to node {owner!r}, and not to {name!r}")
    birth = await noted_birth(store)
    note = await store.note(CLUSTER_NOTE)
    if birth is None or note is None:
        raise StoreError("the data directory knows no epoch: its node was never a member of a cluster")
    try:
        before = decode_state(birth.number, note).decided
    except WireError as error:
        raise StoreError(
            f"the note of members and groups is damaged ({error}): recover at another survivor"
        ) from None
    if before is None:
        raise StoreError("the data directory knows no epoch: its cluster was never formed")
    own = Identity(owner or name or "", birth.number)
    if birth.takes_over and own.name in before.members:
        # It went back in time and could not take its own place. Here it is what is left.
        own = before.members[own.name].identity
    after = recovered(
        before,
        own,
        rng.randbytes(CLUSTER_ID_BYTES),
        rng.randbytes(CLUSTER_KEY_BYTES),
        restored_as=(rng.getrandbits(64) or 1) if restored else 0,
    )
    counts = [await store.counts(shard) for shard in store.shards()]
    return Recovery(
        own,
        before,
        after,
        doubtful_shards(before, own.name),
        records=sum(each.records for each in counts),
        tombstones=sum(each.tombstones for each in counts),
    )


async def carry_out_recovery(store: Store, recovery: Recovery) -> None:
    """Make it so. The new value, and the end of what was promised and accepted before, are one durable note.

    Raises:
        StoreError: the note was not kept, and nothing has changed.
    """
    await keep_birth(store, Birth(recovery.survivor.birth))
    state = AcceptorState(recovery.survivor.birth, recovery.after)
    await store.keep_note(CLUSTER_NOTE, encode_state(state))
