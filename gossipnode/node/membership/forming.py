"""The first epoch: the nodes of a configuration agree to be a cluster, all of them.

Each tells the others in its hellos what it wants to form a cluster of. The first by name proposes the value,
and each accepts only what its own configuration says.
"""

from __future__ import annotations

import random

import structlog
import trio

from gossipnode.core.cluster.changes import first_epoch
from gossipnode.core.cluster.cluster_metadata import (
    CLUSTER_ID_BYTES,
    CLUSTER_KEY_BYTES,
    ClusterMetadata,
    Member,
)
from gossipnode.core.cluster.settings_check import Formation, formation_of, forming_difference
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.local.told_states import ToldStates
from gossipnode.node.membership.epochs import Epochs
from gossipnode.node.peers.members import Members, Peer
from gossipnode.store.interface import StoreError
from gossipnode.wire.epochs.metadata_codec import decode_cluster_groups
from gossipnode.wire.wire_errors import WireError

FORMING_PAUSE_SECONDS = 0.25
"""How often the first by name looks whether all others have said hello."""


class Forming:
    """Forms the cluster of this node's configuration."""

    def __init__(self, cluster: ClusterState, members: Members, epochs: Epochs, rng: random.Random) -> None:
        """Propose by `epochs`; `rng` draws the cluster's number and key."""
        self._cluster = cluster
        self._members = members
        self._epochs = epochs
        self._rng = rng
        self._log = structlog.get_logger("gossipnode.membership")
        self._told = ToldStates(self._log)

    @property
    def needed(self) -> int:
        """How many nodes must agree: all of the configuration."""
        return len(self._cluster.configured.members)

    def waiting_for(self) -> dict[str, str]:
        """The nodes that do not agree yet, in ring order, and why as far as it is known."""
        problems = {name: self._problem(name) for name in self._cluster.configured.members}
        return {name: problem for name, problem in problems.items() if problem}

    async def run(self) -> None:
        """Form the cluster, and return once it is formed."""
        cluster, told = self._cluster, ""
        while not cluster.view.formed:
            waiting = self.waiting_for()
            if not waiting and cluster.own.name == min(cluster.configured.members):
                problem = await self._try()
                if problem:
                    self._told.tell("form", "not formed yet", reason=problem)
            text = ", ".join(f"{name} ({problem})" for name, problem in waiting.items())
            if text != told:
                told = text
                if text:
                    self._log.info("forming: waiting", waiting_for=text)
            with trio.move_on_after(FORMING_PAUSE_SECONDS):
                await cluster.changed.wait()

    async def _try(self) -> str:
        """Propose the first epoch once; gives why it was not decided, or ""."""
        try:
            return await self._epochs.form(self._value())
        except StoreError as error:
            return str(error)

    def admit(self, value: ClusterMetadata) -> str:
        """Why a first epoch is not what our configuration says; "" when it is."""
        difference = forming_difference(formation_of(self._cluster.configured), formation_of(value))
        if difference:
            return f"the configuration here is another one: {difference}"
        own = value.members[self._cluster.own.name]
        if own.address != str(self._members.own_address):
            return f"{own.name} is at {self._members.own_address}, not at {own.address}"
        return ""

    def _value(self) -> ClusterMetadata:
        configured, own = self._cluster.configured, self._cluster.own
        members = [Member(own.name, str(self._members.own_address), own.birth)]
        for name in configured.members:
            if name != own.name:
                hello = self._members.peers[name].last_hello
                assert hello is not None, name
                members.append(Member(name, hello.address, hello.birth))
        return first_epoch(
            self._rng.randbytes(CLUSTER_ID_BYTES),
            self._rng.randbytes(CLUSTER_KEY_BYTES),
            members,
            configured.groups.values(),
            configured.foreign,
        )

    def _problem(self, name: str) -> str:
        if name == self._cluster.own.name:
            return ""
        peer = self._members.peers.get(name)
        if peer is None:
            return "its address is not known"
        if peer.foreign:
            return "it is no gossipnode: name it in [cluster] foreign"
        if peer.last_hello is None or peer.state != "up":
            return peer.problem or "it has said no hello"
        return self.difference(peer)

    def difference(self, peer: Peer) -> str:
        """Why a node that said hello forms no cluster with us; "" when it does, or did not say."""
        hello = peer.last_hello
        if hello is None or hello.epoch:
            return ""
        try:
            groups = decode_cluster_groups(hello.forming.groups)
        except WireError as error:
            return str(error)
        theirs = Formation(hello.forming.members, groups, hello.forming.foreign)
        return forming_difference(formation_of(self._cluster.configured), theirs)
