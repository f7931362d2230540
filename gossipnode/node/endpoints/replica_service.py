"""ReplicaService: what the nodes of one cluster ask each other, apart from rounds of repair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gossipnode.core.cluster.cluster_metadata import Member
from gossipnode.node.membership.membership import Membership
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.audit import Audit
from gossipnode.node.peers.members import Members
from gossipnode.node.refusals.error_status import as_status
from gossipnode.node.replica.exchange import Mark, ReplicaExchange
from gossipnode.node.replica.lineages import ReplicaLineages
from gossipnode.node.replica.retention_answers import RetentionAnswers
from gossipnode.node.replica.scan import ReplicaScan
from gossipnode.node.watch.feed_server import FeedServer
from gossipnode.node.watch.replica_versions import ReplicaVersions
from gossipnode.rpc import CallContext, RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.epochs.epoch_codec import decode_question, encode_answer
from gossipnode.wire.epochs.metadata_codec import decode_cluster_groups, encode_metadata
from gossipnode.wire.generated.pb.gossipnode.v1 import cluster_pb2 as cluster_pb
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb


class ReplicaService:
    """Serves other members: requests of coordinators, searches, hellos, and nodes that want to join."""

    def __init__(
        self,
        exchange: ReplicaExchange,
        scan: ReplicaScan,
        lineages: ReplicaLineages,
        versions: ReplicaVersions,
        feeds: FeedServer,
        retention: RetentionAnswers,
        membership: Membership,
        members: Members,
        audit: Audit,
        mark: Mark,
    ) -> None:
        """Answer from these parts of the node. `mark` says which start of the store this is."""
        self._audit = audit
        self._refuse_overtaken = members.refuse_overtaken
        self._mark = mark
        self._exchange = exchange
        self._scan = scan
        self._lineages = lineages
        self._versions = versions
        self._feeds = feeds
        self._retention = retention
        self._hellos = membership.hellos
        self._members = membership.members
        self._epochs = membership.epochs
        self._admit = membership.forming.admit

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {
            **self._exchange.handlers(),
            services.REPLICA_SCAN: self._scan.serve,
            services.REPLICA_LINEAGES: self._lineages.serve,
            services.REPLICA_CHANGES: self._feeds.serve,
            services.REPLICA_ARRIVED: self._versions.serve,
            services.REPLICA_RETENTION: self._retention.serve,
            services.REPLICA_HELLO: self.hello,
            services.REPLICA_JOIN: self.join,
            services.REPLICA_EPOCH: self.epoch,
        }

    async def hello(self, request: pb.HelloMessage, call: CallContext) -> pb.HelloMessage:
        """Take the hello of another member, and answer with ours."""
        said = call_metadata.text(call.metadata, call_metadata.NODE)
        if said != request.node:
            raise RpcError(Status.PERMISSION_DENIED, "hello: its node is not the caller")
        return await self._hellos.answer(request)

    async def join(self, request: pb.JoinRequest, call: CallContext) -> pb.JoinReply:
        """Take a node in as a member, and tell it the epoch in which it is one."""
        if call_metadata.text(call.metadata, call_metadata.NODE) != request.name:
            raise RpcError(Status.PERMISSION_DENIED, "join: its name is not the caller's")
        with as_status():
            value = await self._members.join(
                Member(request.name, request.address, request.birth),
                decode_cluster_groups(request.groups),
                replace=request.replace,
                accept_loss=request.accept_loss,
            )
        self._audit.changed(call, "member joined", member=request.name, epoch=value.epoch)
        return pb.JoinReply(value=encode_metadata(value))

    async def epoch(self, request: cluster_pb.EpochRequest, call: CallContext) -> cluster_pb.EpochReply:
        """Vote on the next epoch, take note of a newer one, or tell ours."""
        self._refuse_overtaken(call)
        caller = call_metadata.text(call.metadata, call_metadata.NODE)
        with as_status():
            reply = encode_answer(await self._epochs.answer(caller, decode_question(request), self._admit))
        mark = self._mark()
        if mark is not None:
            reply.boot, reply.commit = mark.boot, mark.commit
        return reply
