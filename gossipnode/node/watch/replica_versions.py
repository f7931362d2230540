"""What every replica of a record holds of it, and how that came: for explanations."""

from __future__ import annotations

import trio

from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.core.model.property import Entity, ShardId, check_entity
from gossipnode.core.watch.explanation import ReplicaVersion
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.node.peers.members import Members
from gossipnode.node.refusals.error_status import as_status
from gossipnode.rpc import CallContext, RpcError, Status
from gossipnode.store.follower import StoredChange
from gossipnode.store.interface import StoreError
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.replica.arrival_codec import decode_kept_arrival
from gossipnode.wire.watch_codec import decode_arrived, encode_arrived
from gossipnode.wire.wire_errors import WireError


class ReplicaVersions:
    """Asks the replicas of a record what they hold of it, and answers other nodes that ask."""

    def __init__(self, local: LocalState, members: Members) -> None:
        """Read from `local`, and ask `members`."""
        self._local = local
        self._members = members

    async def of(self, entity: Entity) -> list[ReplicaVersion]:
        """What each replica holds, in ring order. One that cannot be asked is told with the problem.

        Raises:
            UnknownGroupError: there is no such group.
            InvalidEntityError: no record can have this key.
        """
        check_entity(entity)
        shard = self._local.shards.shard_of(entity)
        found: dict[str, ReplicaVersion] = {}

        async def ask(name: str) -> None:
            found[name] = await self._of_replica(name, shard, entity)

        replicas = self._local.shards.replicas(shard)
        with one_error():
            async with trio.open_nursery() as nursery:
                for name in replicas:
                    nursery.start_soon(ask, name)
        return [found[name] for name in replicas]

    async def _of_replica(self, name: str, shard: ShardId, entity: Entity) -> ReplicaVersion:
        if name == self._local.own_name:
            try:
                return _told(name, await self._local.store.changes.of(shard, entity))
            except StoreError as error:
                return ReplicaVersion(name, problem=str(error))
        peer = self._members.peers.get(name)
        if peer is None:
            return ReplicaVersion(name, problem="no member")
        request = pb.ArrivedRequest(
            group=shard.group,
            shard=shard.shard,
            incarnation=shard.incarnation,
            name=entity.name,
            id=entity.id,
        )
        try:
            reply = await peer.channel.unary(
                services.REPLICA_ARRIVED, request, timeout=REPLICA_SECONDS, metadata=self._members.metadata
            )
            return decode_arrived(name, reply)
        except RpcError as error:
            if error.status is Status.UNIMPLEMENTED:
                return ReplicaVersion(
                    name, problem="it cannot be asked: another system, or an earlier version"
                )
            return ReplicaVersion(name, problem=f"{error.status.name}: {error.message}")
        except WireError as error:
            return ReplicaVersion(name, problem=str(error))

    async def serve(self, request: pb.ArrivedRequest, _call: CallContext) -> pb.ArrivedReply:
        """Tell another node what this one holds.

        Raises:
            RpcError: the shard is not held here, or the store cannot be read.
        """
        shard = ShardId(request.group, request.shard, request.incarnation)
        entity = Entity(request.group, request.name, request.id)
        with as_status():
            check_entity(entity)
            if not self._local.shards.holds(shard):
                raise RpcError(Status.NOT_FOUND, f"{self._local.own_name} holds no shard {shard}")
            return encode_arrived(_told("", await self._local.store.changes.of(shard, entity)))


def _told(name: str, change: StoredChange | None) -> ReplicaVersion:
    if change is None:
        return ReplicaVersion(name)
    replaced = (
        None if change.replaced is None else (change.replaced.mod_revision, change.replaced.delete_time)
    )
    arrival = decode_kept_arrival(change.arrival)
    return ReplicaVersion(name, change.record.version, arrival, replaced, built_upon=change.record.built_upon)
