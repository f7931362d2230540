"""ReplicaService: what the nodes of one cluster ask each other, apart from rounds of repair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gossipnode.node.local.registry import Registry
from gossipnode.node.membership.member_admin import MemberAdmin
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.hello import Hellos
from gossipnode.node.refusals.error_status import as_status
from gossipnode.node.replica.exchange import ReplicaExchange
from gossipnode.node.replica.scan import ReplicaScan
from gossipnode.rpc import CallContext, RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb


class ReplicaService:
    """Serves other members: requests of coordinators, searches, hellos, and nodes that want to join."""

    def __init__(
        self,
        registry: Registry,
        exchange: ReplicaExchange,
        scan: ReplicaScan,
        hellos: Hellos,
        members: MemberAdmin,
    ) -> None:
        """Answer from these parts of the node."""
        self._registry = registry
        self._exchange = exchange
        self._scan = scan
        self._hellos = hellos
        self._members = members

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {
            **self._exchange.handlers(),
            services.REPLICA_SCAN: self._scan.serve,
            services.REPLICA_HELLO: self.hello,
            services.REPLICA_JOIN: self.join,
        }

    async def hello(self, request: pb.HelloRequest, call: CallContext) -> pb.HelloReply:
        """Take the hello of another member, and answer with ours."""
        said = call_metadata.text(call.metadata, call_metadata.NODE)
        if said != request.node:
            raise RpcError(Status.PERMISSION_DENIED, "hello: its node is not the caller")
        return self._hellos.answer(request)

    async def join(self, request: pb.JoinRequest, call: CallContext) -> pb.JoinReply:
        """Take a node in as a member, and give it the registry."""
        if call_metadata.text(call.metadata, call_metadata.NODE) != request.name:
            raise RpcError(Status.PERMISSION_DENIED, "join: its name is not the caller's")
        with as_status():
            await self._members.join(request.name, request.address, request.birth)
        return pb.JoinReply(
            registry=[
                pb.StoredRecord(property=record.payload, delete_time=record.version.delete_time)
                for record in self._registry.records()
            ]
        )
