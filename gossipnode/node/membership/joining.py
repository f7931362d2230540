"""Asking members of a cluster to take this node in."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
import trio

from gossipnode.config.address import Address
from gossipnode.config.settings import Settings
from gossipnode.node.local.cluster_state import ClusterState, configured_groups
from gossipnode.node.local.told_states import ToldStates
from gossipnode.node.peers.certificates import PeerDialer
from gossipnode.node.peers.members import Members
from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.epochs.metadata_codec import decode_metadata, encode_cluster_groups
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.wire_errors import WireError

JOIN_SECONDS = 30.0
JOIN_PAUSE_SECONDS = 1.0
"""How long a node tries to reach a member of the cluster that it is to join, and the pause between tries."""


class NotAMemberError(Exception):
    """This node is not a member of its cluster and cannot become one. The text says why, and what to do."""


class Joining:
    """Has this node taken in."""

    def __init__(
        self, settings: Settings, cluster: ClusterState, members: Members, dialer: PeerDialer
    ) -> None:
        """Take over into `cluster` what the members say; `dialer` reaches members of unknown name."""
        self._settings = settings
        self._cluster = cluster
        self._members = members
        self._dialer = dialer
        self._log = structlog.get_logger("gossipnode.membership")
        self._told = ToldStates(self._log)

    async def join(self, at: Sequence[Address], *, replace: bool) -> None:
        """Ask the members at these addresses, one after the other, until one takes us in.

        With `replace` this store takes the place of the member of its name, if that one does not answer.

        Raises:
            NotAMemberError: none of them does.
            StoreError: the newest epoch cannot be kept.
        """
        own, cluster = self._cluster.own, self._settings.cluster
        request = pb.JoinRequest(
            name=own.name,
            address=str(self._settings.node.advertise),
            birth=own.birth,
            replace=replace,
            accept_loss=cluster.accept_loss,
            groups=encode_cluster_groups(configured_groups(self._settings)),
        )
        problems: dict[Address, str] = {}
        with trio.move_on_after(JOIN_SECONDS):
            while True:
                for address in at:
                    try:
                        reply = await self._ask(address, request)
                    except RpcError as error:
                        if error.status not in (Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED):
                            raise NotAMemberError(f"{address} does not take us in: {error.message}") from None
                        problems[address] = error.message or str(error)
                        self._told.tell(address, "not joined yet", at=str(address), reason=problems[address])
                    else:
                        await self._take(reply)
                        return
                await trio.sleep(JOIN_PAUSE_SECONDS)
        raise NotAMemberError(f"no member to join: {'; '.join(problems.values())}")

    async def _ask(self, address: Address, request: pb.JoinRequest) -> pb.JoinReply:
        async with self._dialer.open(None, address) as channel:
            return await channel.unary(
                services.REPLICA_JOIN,
                request,
                timeout=JOIN_SECONDS,
                metadata=self._members.metadata,
                dial_now=True,
            )

    async def _take(self, reply: pb.JoinReply) -> None:
        try:
            value = decode_metadata(reply.value)
        except WireError as error:
            raise NotAMemberError(f"the member that was asked sent a wrong value: {error}") from None
        if not value.is_member(self._cluster.own):
            raise NotAMemberError("the member that was asked did not take us in")
        await self._cluster.adopt(value, 0)
        if not self._cluster.is_member:
            raise NotAMemberError(
                "this data directory agreed to form another cluster: join with an empty one, or start the "
                "nodes that it was to form it with"
            )
