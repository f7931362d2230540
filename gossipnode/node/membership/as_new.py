"""`run --join ADDR --as-new`: a data directory with records becomes that of a new member.

It is for the data directory of a member that was forgotten while it was away, of one whose cluster was
recovered without it, and for a copy. The store gets another birth and forgets what it knew of a cluster. Its
records stay. Once it is a member, `hand_off/` compares each shard that it is to hold with every replica, in
both directions, and hands over those that it is not to hold.

When this is done, and when not:

- The members at ADDR are asked whether this very store, by its name and its birth, is a member of theirs.
  Only if it is no member, it becomes a new one. So a node may be started with `--as-new` again and again:
  once it has joined, it is a member.
- If nobody answers, nothing is done. A store that has become a new one before, and has joined, goes on as the
  member that it knows itself to be, so that a whole cluster may be started again. Any other one waits, and
  then does not start: as the member that it was it could make up a majority of the old cluster.
- A store that has records of groups which the cluster does not have, by incarnation and number of shards, is
  refused: a member drops such records, and this may be the only copy. `--accept-loss` drops them.

All of this is asked before anything is changed. The new birth is noted first: after a crash, the store is
then no member's, and the next start does it all again. So it is if the cluster refuses the node afterwards,
because of its name or its settings: the store is a new one by then, and has its records.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog
import trio

from gossipnode.config.address import Address
from gossipnode.config.settings import Settings
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Identity
from gossipnode.core.cluster.deciding.epoch_messages import DecidedAlready
from gossipnode.core.model.property import ShardId
from gossipnode.node.identity.birth import OFFER_NOTE, birth_of, renew
from gossipnode.node.identity.owner import give_store, owner_of
from gossipnode.node.local.cluster_state import CLUSTER_NOTE
from gossipnode.node.local.fill_state import FILLED_NOTE
from gossipnode.node.membership.epoch_news import EPOCH_SECONDS
from gossipnode.node.membership.joining import JOIN_PAUSE_SECONDS, JOIN_SECONDS, NotAMemberError
from gossipnode.node.peers.certificates import PeerDialer
from gossipnode.rpc import Channel, RpcError, Status
from gossipnode.store.interface import Store
from gossipnode.wire import services
from gossipnode.wire.epochs.epoch_codec import Ask, At, decode_answer, decode_state, encode_question
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.wire_errors import WireError

AS_NEW_NOTE = "as-new"
"""The store's note of the birth that it got by `--as-new`."""


@dataclass(frozen=True, slots=True)
class _Cluster:
    """What a member of the cluster that is to be joined says."""

    address: Address
    has_us: bool
    """Whether this very store is one of its members."""
    groups: Mapping[str, v1.Group]
    """By name."""


async def come_as_new(
    settings: Settings, store: Store, dialer: PeerDialer, metadata: Mapping[str, str], rng: random.Random
) -> None:
    """Make a store a new one, unless the cluster that it is to join has it as a member already.

    It must not be in use yet. Afterwards it joins as any other node does.

    Raises:
        NotAMemberError: nobody answers, or the store has records that the cluster has no group for.
        StoreError: a note was not kept.
    """
    name, log = settings.node.name, structlog.get_logger("gossipnode.membership")
    owner = await owner_of(store)
    own = Identity(name, (await birth_of(store, rng)).number)
    known = await _known(store, own.birth)
    was_done = (
        owner in (None, name) and known is not None and known.is_member(own) and await _is_done(store, own)
    )
    asker = _Asker(settings, dialer, metadata, own, b"" if known is None else known.cluster_id)
    cluster = await asker.ask_until_answered(EPOCH_SECONDS if was_done else JOIN_SECONDS)
    if cluster is None:
        if was_done:
            log.info("nobody says whether this node is a member: it goes on as the one that it was")
            return
        raise NotAMemberError(f"no member to join: {asker.problem}")
    if cluster.has_us and owner in (None, name):
        log.info("this node is a member already, and nothing was changed", at=str(cluster.address))
        return
    homeless = await _homeless(store, known, cluster.groups)
    if homeless and not settings.cluster.accept_loss:
        raise NotAMemberError(_refusal(settings, cluster, homeless))
    kept = sum([await _amount(store, shard) for shard in store.shards() if shard not in homeless])
    birth = await renew(store, rng, takes_over=False)
    for shard, records in homeless.items():
        await store.drop(shard)
        log.warning("records dropped: the cluster has no such group", shard=str(shard), records=records)
    await store.keep_note(FILLED_NOTE, None)
    await store.keep_note(CLUSTER_NOTE, None)
    await store.keep_note(OFFER_NOTE, b"due" if kept else None)
    await give_store(store, name)
    await store.keep_note(AS_NEW_NOTE, str(birth.number).encode())
    log.info("this data directory comes as a new member's", records=kept, owner_before=owner or "")


async def _known(store: Store, birth: int) -> ClusterMetadata | None:
    """The newest value that a store knows. One that cannot be read is given up with the rest."""
    note = await store.note(CLUSTER_NOTE)
    try:
        return None if note is None else decode_state(birth, note).decided
    except WireError:
        return None


async def _is_done(store: Store, own: Identity) -> bool:
    return await store.note(AS_NEW_NOTE) == str(own.birth).encode()


async def _amount(store: Store, shard: ShardId) -> int:
    counts = await store.counts(shard)
    return counts.records + counts.tombstones


async def _homeless(
    store: Store, known: ClusterMetadata | None, groups: Mapping[str, v1.Group]
) -> dict[ShardId, int]:
    """The shards with records that the cluster has no group for, each with their number.

    An incarnation alone does not tell a group: those of two configurations have the same one. Where the
    numbers of shards differ, the records would lie in wrong shards.
    """
    homeless: dict[ShardId, int] = {}
    for shard in store.shards():
        group = groups.get(shard.group)
        ours = None if known is None else known.groups.get(shard.group)
        fits = (
            group is not None
            and group.incarnation == shard.incarnation
            and shard.shard < group.shards
            and (ours is None or ours.incarnation != shard.incarnation or ours.shards == group.shards)
        )
        records = await _amount(store, shard)
        if records and not fits:
            homeless[shard] = records
    return homeless


def _refusal(settings: Settings, cluster: _Cluster, homeless: Mapping[ShardId, int]) -> str:
    named = ", ".join(sorted({f"{shard.group} (made in epoch {shard.incarnation})" for shard in homeless}))
    return (
        f"{settings.node.data_dir} has {sum(homeless.values()):,} records of groups that the cluster at "
        f"{cluster.address} does not have, because they were deleted or it never knew them: {named}; "
        "--accept-loss drops these records, or keep this data directory and join with an empty one"
    )


class _Asker:
    """Asks the members at the addresses of `--join`, one after the other."""

    def __init__(
        self,
        settings: Settings,
        dialer: PeerDialer,
        metadata: Mapping[str, str],
        own: Identity,
        cluster_id: bytes,
    ) -> None:
        self.problem = ""
        """Why the last one did not answer."""
        self._addresses: Iterable[Address] = settings.cluster.join
        self._dialer = dialer
        self._metadata = metadata
        self._own = own
        self._cluster_id = cluster_id

    async def ask_until_answered(self, seconds: float) -> _Cluster | None:
        """What the first one says that answers; None if nobody does."""
        with trio.move_on_after(seconds):
            while True:
                for address in self._addresses:
                    try:
                        return await self._ask(address)
                    except RpcError as error:
                        if error.status not in (Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED):
                            raise NotAMemberError(f"{address} does not take us in: {error.message}") from None
                        self.problem = error.message or str(error)
                    except WireError as error:
                        raise NotAMemberError(f"{address} sent a wrong value: {error}") from None
                await trio.sleep(JOIN_PAUSE_SECONDS)
        return None

    async def _ask(self, address: Address) -> _Cluster:
        async with self._dialer.open(None, address) as channel:
            has_us = await self._has_us(channel)
            reply = await channel.unary(
                services.NODE_LIST_GROUPS,
                v1.ListGroupsRequest(),
                timeout=EPOCH_SECONDS,
                metadata=self._metadata,
                dial_now=True,
            )
        return _Cluster(address, has_us, {group.name: group for group in reply.groups})

    async def _has_us(self, channel: Channel) -> bool:
        """Whether the newest value that a member knows has this very store as a member.

        Raises:
            RpcError: it does not answer, or knows no epoch yet.
            WireError: its answer makes no sense.
        """
        question = Ask(self._cluster_id, 0)
        try:
            reply = await channel.unary(
                services.REPLICA_EPOCH,
                encode_question(question),
                timeout=EPOCH_SECONDS,
                metadata=self._metadata,
                dial_now=True,
            )
        except RpcError as error:
            if error.status is Status.PERMISSION_DENIED:
                # Under TLS a name that the cluster does not have is told nothing.
                return False
            raise
        match decode_answer(reply, question):
            case DecidedAlready(value):
                return value.is_member(self._own)
            case At():
                raise RpcError(Status.UNAVAILABLE, "no cluster is formed there yet")
            case _:
                return False
