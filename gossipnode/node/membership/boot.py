"""How a node becomes a member when it starts: by what its store holds, by its configuration, or by asking.

Before it is ready, it compares epochs with the members that are up, so that it does not answer by an old one.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
import trio

from gossipnode.config.address import Address
from gossipnode.config.settings import Settings
from gossipnode.core.cluster.settings_check import refused_settings, settings_differences
from gossipnode.node.local.cluster_state import ClusterState, configured_groups
from gossipnode.node.membership.epoch_news import EpochNews
from gossipnode.node.membership.forming import Forming
from gossipnode.node.membership.standing import keep_channels, look_elsewhere, not_a_member
from gossipnode.node.peers.certificates import PeerDialer
from gossipnode.node.peers.hello import Hellos
from gossipnode.node.peers.members import Members, Peer
from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.metadata_codec import decode_metadata, encode_cluster_groups
from gossipnode.wire.wire_errors import WireError

JOIN_SECONDS = 30.0
JOIN_PAUSE_SECONDS = 1.0
"""How long a node tries to reach a member of the cluster that it is to join, and the pause between tries."""

BOOT_GREETING_SECONDS = 1.5
"""How long a node that starts compares epochs with other members, before it is ready all the same."""


class NotAMemberError(Exception):
    """This node is not a member of its cluster and cannot become one. The text says why, and what to do."""


class Boot:
    """Brings this node into its cluster."""

    def __init__(
        self,
        settings: Settings,
        cluster: ClusterState,
        members: Members,
        news: EpochNews,
        forming: Forming,
        hellos: Hellos,
        dialer: PeerDialer,
    ) -> None:
        """Find out who we are in `cluster`; `dialer` reaches members of unknown name."""
        self._settings = settings
        self._cluster = cluster
        self._members = members
        self._news = news
        self._forming = forming
        self._hellos = hellos
        self._dialer = dialer
        self._log = structlog.get_logger("gossipnode.membership")

    async def run(self) -> None:
        """Find the cluster, and get to know its members. Afterwards it may be that no cluster is formed yet.

        Raises:
            NotAMemberError: the cluster dropped this node, refuses it or its settings, or cannot be found.
            StoreError: the newest epoch cannot be kept.
        """
        cluster, join = self._cluster, self._settings.cluster.join
        if join and not cluster.view.formed:
            await self._join(join)
        await keep_channels(self._settings, cluster, self._members)
        formed = cluster.view.formed
        with trio.move_on_after(BOOT_GREETING_SECONDS):
            await self._get_to_know_all()
            look_elsewhere(self._members)
            await keep_channels(self._settings, cluster, self._members)
            await self._get_to_know_all()
        if not cluster.view.formed:
            await self._find_running_cluster()
        if not cluster.view.formed:
            self._refuse_difference()
            return
        await keep_channels(self._settings, cluster, self._members)
        self._judge_settings(already=formed)

    async def _get_to_know_all(self) -> None:
        async with trio.open_nursery() as nursery:
            for peer in self._members.peers.values():
                if peer.state == "unknown":
                    nursery.start_soon(self._get_to_know, peer)

    async def _get_to_know(self, peer: Peer) -> None:
        """Say hello to a member, and compare epochs if they differ."""
        await self._hellos.greet(peer)
        if self._cluster.view.formed and peer.name in self._members.differing:
            self._members.differing.discard(peer.name)
            await self._news.compare(peer.name)

    async def _find_running_cluster(self) -> None:
        """A node without an epoch never forms a cluster if those of its configuration have one."""
        for peer in list(self._members.peers.values()):
            if peer.last_hello is None or not peer.last_hello.epoch:
                continue
            await self._news.compare(peer.name)
            if self._news.refusal:
                raise NotAMemberError(self._news.refusal)
            if self._cluster.view.formed:
                return

    def _refuse_difference(self) -> None:
        """End if a node that is up wants to form another cluster: one of us is configured wrongly."""
        for peer in self._members.peers.values():
            difference = self._forming.difference(peer)
            if difference:
                raise NotAMemberError(
                    f"{peer.name} at {peer.address} is configured in another way: {difference}"
                )

    def _judge_settings(self, *, already: bool) -> None:
        value, own = self._cluster.metadata, self._cluster.own
        assert value is not None
        if not value.is_member(own):
            raise NotAMemberError(not_a_member(value, own))
        groups = {group.name: group for group in configured_groups(self._settings)}
        refusal = refused_settings(value, groups.values())
        if refusal:
            raise NotAMemberError(refusal)
        if already:
            for told in settings_differences(value, groups, self._settings.cluster.peers):
                self._log.warning("the settings say something else than the cluster", difference=told)

    async def _join(self, join: Sequence[Address]) -> None:
        """Ask the members at these addresses, one after the other, until one takes us in."""
        own, cluster = self._cluster.own, self._settings.cluster
        request = pb.JoinRequest(
            name=own.name,
            address=str(self._settings.node.advertise),
            birth=own.birth,
            replace=cluster.replace,
            accept_loss=cluster.accept_loss,
            groups=encode_cluster_groups(configured_groups(self._settings)),
        )
        problem = ""
        with trio.move_on_after(JOIN_SECONDS):
            while True:
                for address in join:
                    try:
                        reply = await self._ask(address, request)
                    except RpcError as error:
                        if error.status not in (Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED):
                            raise NotAMemberError(f"{address} does not take us in: {error.message}") from None
                        problem = error.message or str(error)
                        self._log.info("not joined yet", at=str(address), reason=problem)
                    else:
                        await self._take(reply)
                        return
                await trio.sleep(JOIN_PAUSE_SECONDS)
        raise NotAMemberError(f"no member to join: {problem}")

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
