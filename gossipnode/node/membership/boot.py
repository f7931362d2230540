"""How a node becomes a member when it starts: by what its store holds, by its configuration, or by asking.

Before it is ready, it compares epochs with the members that are up, so that it does not answer by an old one.
"""

from __future__ import annotations

import structlog
import trio

from gossipnode.config.settings import Settings
from gossipnode.core.cluster.settings_check import refused_settings, settings_differences
from gossipnode.node.local.cluster_state import ClusterState, configured_groups
from gossipnode.node.membership.clearing import Clearing
from gossipnode.node.membership.epoch_news import EpochNews
from gossipnode.node.membership.forming import Forming
from gossipnode.node.membership.joining import Joining, NotAMemberError
from gossipnode.node.membership.standing import keep_channels, look_elsewhere, not_a_member
from gossipnode.node.peers.hello import Hellos
from gossipnode.node.peers.members import Members, Peer

BOOT_GREETING_SECONDS = 1.5
"""How long a node that starts compares epochs with other members, before it is ready all the same."""


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
        joining: Joining,
        clearing: Clearing,
    ) -> None:
        """Find out who we are in `cluster`; `joining` and `clearing` make us one of its members."""
        self._settings = settings
        self._cluster = cluster
        self._members = members
        self._news = news
        self._forming = forming
        self._hellos = hellos
        self._joining = joining
        self._clearing = clearing
        self._log = structlog.get_logger("gossipnode.membership")

    async def run(self) -> None:
        """Find the cluster, and get to know its members. Afterwards it may be that no cluster is formed yet.

        Raises:
            NotAMemberError: the cluster dropped this node, refuses it or its settings, or cannot be found.
            StoreError: the newest epoch cannot be kept.
        """
        cluster, join = self._cluster, self._settings.cluster.join
        if join and not cluster.view.formed:
            await self._joining.join(join, replace=self._settings.cluster.replace)
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
        await self._clearing.step()
        if not cluster.boot.birth.takes_over:
            self._judge_settings(already=formed)

    async def _get_to_know_all(self) -> None:
        async with trio.open_nursery() as nursery:
            for peer in self._members.peers.values():
                nursery.start_soon(self._get_to_know, peer)

    async def _get_to_know(self, peer: Peer) -> None:
        """Say hello to a member, and compare epochs if they differ."""
        if peer.state == "unknown":
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
