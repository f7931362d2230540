"""A store that was brought back from a snapshot becomes another store than the one that it is a copy of.

It lacks what was acknowledged since, and has forgotten its promises. So it gets a birth of its own, as any
store does that went back in time: its node takes its own place as a new member, fills itself from the others
before it counts, and offers them what it has. Where no cluster is left, it becomes the first member of a new
one. The store must be open for the caller alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from gossipnode.core.cluster.cluster_metadata import ClusterMetadata
from gossipnode.core.cluster.deciding.acceptor import AcceptorState
from gossipnode.node.identity.birth import OFFER_NOTE, renew
from gossipnode.node.identity.owner import owner_of
from gossipnode.node.local.cluster_state import CLUSTER_NOTE
from gossipnode.node.local.fill_state import FILLED_NOTE
from gossipnode.node.membership.recover_store import Recovery, carry_out_recovery, plan_recovery
from gossipnode.store.interface import LOST_COMMITS_NOTE, Store
from gossipnode.store.snapshot.manifest import SnapshotError
from gossipnode.wire.epochs.epoch_codec import decode_state, encode_state
from gossipnode.wire.wire_errors import WireError


@dataclass(frozen=True, slots=True)
class RestoredStore:
    """What became of a store."""

    name: str
    """The node's."""
    before: ClusterMetadata | None
    """The cluster that the snapshot knows; None if it was not formed yet."""
    recovery: Recovery | None
    """The new cluster, if it became the first member of one."""


async def make_another(store: Store, rng: random.Random, *, new_cluster: bool) -> RestoredStore:
    """Give a restored store a birth of its own, and with `new_cluster` a cluster of its own.

    Raises:
        SnapshotError: the copy does not say whose it is, or nobody else could fill it.
        ChangeRefusedError: its node is no member of the cluster that is to be restored.
        StoreError: a note is missing or damaged, or was not kept.
    """
    name = await owner_of(store)
    if name is None:
        raise SnapshotError("the snapshot does not say of which node it is: the note of it is damaged")
    before = await _cluster_of(store)
    recovery = None
    await store.keep_note(FILLED_NOTE, None)
    await store.keep_note(LOST_COMMITS_NOTE, None, numbered=False)
    if new_cluster:
        recovery = await plan_recovery(store, None, rng, restored=True)
        await store.keep_note(OFFER_NOTE, None)
        await carry_out_recovery(store, recovery)
        return RestoredStore(name, before, recovery)
    if before is not None and list(before.members) == [name]:
        raise SnapshotError(
            f"{name} was the only member of its cluster, so nobody can fill it: restore with --new-cluster"
        )
    takes_over = before is not None and name in before.members
    if takes_over:
        # What this snapshot alone has is offered to every replica once it is a member again.
        await store.keep_note(OFFER_NOTE, b"due")
    birth = await renew(store, rng, takes_over=takes_over)
    # What the other store had promised and accepted, this one has not.
    state = AcceptorState(birth.number, before)
    await store.keep_note(CLUSTER_NOTE, None if before is None else encode_state(state))
    return RestoredStore(name, before, None)


async def _cluster_of(store: Store) -> ClusterMetadata | None:
    note = await store.note(CLUSTER_NOTE)
    try:
        return None if note is None else decode_state(0, note).decided
    except WireError as error:
        raise SnapshotError(f"the snapshot's note of members and groups is damaged: {error}") from None
