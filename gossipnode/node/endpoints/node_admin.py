"""The part of NodeService for those who run the cluster: groups and members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gossipnode.node.membership.group_admin import GroupUpdate
from gossipnode.node.membership.membership import Membership
from gossipnode.node.peers.audit import Audit
from gossipnode.node.refusals.error_status import as_status
from gossipnode.rpc import CallContext
from gossipnode.wire import group_codec, services
from gossipnode.wire.generated.bp.gossipnode import v1


class NodeAdmin:
    """Serves those who run the cluster: groups and members."""

    def __init__(self, membership: Membership, audit: Audit) -> None:
        """Change groups and members by `membership`, and tell `audit` of it."""
        self._audit = audit
        self._groups = membership.groups
        self._members = membership.members

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
        """Make a group. It may have more replicas than there are members only where that is forced."""
        asked = group_codec.decode_new_group(request)
        with as_status():
            made = await self._groups.create(
                asked.name,
                shards=asked.shards,
                replicas=asked.replicas,
                ack=asked.ack,
                tombstone_retention_seconds=asked.tombstone_retention_seconds,
                indexes=asked.indexes,
                force=asked.force,
            )
        return self._told(call, "group created", made)

    async def alter_group(self, request: v1.AlterGroupRequest, call: CallContext) -> v1.GroupResponse:
        """Change a group."""
        asked = group_codec.decode_alteration(request)
        with as_status():
            made = await self._groups.alter(
                asked.name,
                replicas=asked.replicas,
                ack=asked.ack,
                tombstone_retention_seconds=asked.tombstone_retention_seconds,
                indexes=asked.indexes,
                force=asked.force,
            )
        return self._told(call, "group altered", made)

    async def delete_group(self, request: v1.DeleteGroupRequest, call: CallContext) -> v1.GroupResponse:
        """Delete a group with all its records."""
        with as_status():
            made = await self._groups.delete(request.name)
        return self._told(call, "group deleted", made)

    async def list_groups(self, request: v1.ListGroupsRequest, call: CallContext) -> v1.ListGroupsResponse:
        """All groups, or one."""
        with as_status():
            groups = self._groups.groups(request.name)
        return group_codec.encode_groups(groups)

    async def forget_member(
        self, request: v1.ForgetMemberRequest, call: CallContext
    ) -> v1.ForgetMemberResponse:
        """Let a member go, or drop one that does not answer."""
        with as_status():
            gone = await self._members.forget(
                request.name, accept_loss=request.accept_loss, force=request.force
            )
        self._audit.changed(call, "member forgotten", member=request.name, epoch=gone.epoch)
        return v1.ForgetMemberResponse(
            acknowledged=gone.acknowledged, members=gone.members, epoch=gone.epoch, leaving=gone.leaving
        )

    def _told(self, call: CallContext, what: str, change: GroupUpdate) -> v1.GroupResponse:
        self._audit.changed(call, what, group=change.group.name, epoch=change.epoch)
        return _encode_change(change)


def _encode_change(change: GroupUpdate) -> v1.GroupResponse:
    return group_codec.encode_group_change(
        change.group, acknowledged=change.acknowledged, members=change.members, epoch=change.epoch
    )
