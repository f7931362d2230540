"""What nodes of one cluster ask each other beside rounds, and what operators ask of groups and members.

Thin: decode, check, call, encode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gossipnode.node.error_status import as_status
from gossipnode.node.local.shards import Shards
from gossipnode.node.membership.group_admin import GroupAdmin, GroupChange
from gossipnode.node.membership.member_admin import Membership
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.hello import Liveness
from gossipnode.node.replica.exchange import ReplicaExchange
from gossipnode.node.replica.scan import ReplicaScan
from gossipnode.rpc import CallContext, RpcError, Status
from gossipnode.wire import group_codec, services
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb


class ClusterEndpoint:
    """Serves other members: requests of coordinators, searches, hellos, and nodes that want to join."""

    def __init__(
        self,
        shards: Shards,
        exchange: ReplicaExchange,
        scan: ReplicaScan,
        liveness: Liveness,
        membership: Membership,
    ) -> None:
        """Answer from these parts of the node."""
        self._shards = shards
        self._exchange = exchange
        self._scan = scan
        self._liveness = liveness
        self._membership = membership

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {
            **self._exchange.handlers(),
            services.REPLICA_SCAN: self._scan.serve,
            services.REPLICA_HELLO: self.hello,
            services.REPLICA_JOIN: self.join,
        }

    async def hello(self, request: pb.HelloRequest, call: CallContext) -> pb.HelloReply:
        """Hear of another member, and say the same of us."""
        said = call_metadata.text(call.metadata, call_metadata.NODE)
        if said != request.node:
            raise RpcError(Status.PERMISSION_DENIED, "hello: its node is not the caller")
        return self._liveness.answer(request)

    async def join(self, request: pb.JoinRequest, call: CallContext) -> pb.JoinReply:
        """Take a node in, and tell it who else there is."""
        if call_metadata.text(call.metadata, call_metadata.NODE) != request.name:
            raise RpcError(Status.PERMISSION_DENIED, "join: its name is not the caller's")
        with as_status():
            await self._membership.join(request.name, request.address, request.birth)
        return pb.JoinReply(
            registry=[
                pb.StoredRecord(property=record.payload, delete_time=record.version.delete_time)
                for record in self._shards.registry.records()
            ]
        )


class AdminEndpoint:
    """Serves those who run the cluster: groups and members."""

    def __init__(self, groups: GroupAdmin, membership: Membership, shards: Shards) -> None:
        """Change the registry by these."""
        self._groups = groups
        self._membership = membership
        self._shards = shards

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {
            services.NODE_CREATE_GROUP: self.create_group,
            services.NODE_ALTER_GROUP: self.alter_group,
            services.NODE_DELETE_GROUP: self.delete_group,
            services.NODE_LIST_GROUPS: self.list_groups,
            services.NODE_FORGET_MEMBER: self.forget_member,
        }

    async def create_group(self, request: v1.CreateGroupRequest, call: CallContext) -> v1.GroupResponse:
        """Make a group."""
        asked = group_codec.decode_new_group(request)
        with as_status():
            return _encode_change(
                await self._groups.create(
                    asked.name,
                    shards=asked.shards,
                    replicas=asked.replicas,
                    ack=asked.ack,
                    tombstone_retention_seconds=asked.tombstone_retention_seconds,
                    indexes=asked.indexes,
                )
            )

    async def alter_group(self, request: v1.AlterGroupRequest, call: CallContext) -> v1.GroupResponse:
        """Change a group."""
        asked = group_codec.decode_alteration(request)
        with as_status():
            return _encode_change(
                await self._groups.alter(
                    asked.name,
                    ack=asked.ack,
                    tombstone_retention_seconds=asked.tombstone_retention_seconds,
                    indexes=asked.indexes,
                )
            )

    async def delete_group(self, request: v1.DeleteGroupRequest, call: CallContext) -> v1.GroupResponse:
        """Delete a group with all its records."""
        with as_status():
            return _encode_change(await self._groups.delete(request.name))

    async def list_groups(self, request: v1.ListGroupsRequest, call: CallContext) -> v1.ListGroupsResponse:
        """All groups, or one."""
        with as_status():
            groups = self._groups.groups(request.name)
        return group_codec.encode_groups(groups)

    async def forget_member(
        self, request: v1.ForgetMemberRequest, call: CallContext
    ) -> v1.ForgetMemberResponse:
        """Let a name be no member any more."""
        with as_status():
            acknowledged = await self._membership.forget(request.name)
        return group_codec.encode_forgotten(acknowledged=acknowledged, members=len(self._shards.view.members))


def _encode_change(change: GroupChange) -> v1.GroupResponse:
    return group_codec.encode_group_change(
        change.group, acknowledged=change.acknowledged, members=change.members
    )
