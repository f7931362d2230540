"""What this node keeps of its cluster: the newest epoch that it knows, and its part in deciding the next one.

Both are one note of the store, so that a newer epoch and the end of the promises of the one before are
durable at once. The view that other rooms look at is never ahead of that note.
"""

from __future__ import annotations

import math

import structlog
import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.config.settings import Settings
from gossipnode.core.cluster.cluster_metadata import (
    CLUSTER_ID_BYTES,
    ClusterMetadata,
    Group,
    Identity,
    Member,
    MemberLayout,
    with_names_in_order,
)
from gossipnode.core.cluster.deciding.acceptor import AcceptorState, adopt
from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.cluster.view import ClusterView
from gossipnode.node.identity.own_boot import OwnBoot
from gossipnode.node.refusals.request_errors import NotFormedError
from gossipnode.store.interface import Store, StoreError
from gossipnode.wire.epochs.epoch_codec import decode_state, encode_state
from gossipnode.wire.wire_errors import WireError

CLUSTER_NOTE = "cluster"
"""The store's note of the newest epoch, and of what was promised for the next one."""


CLEARING_PATIENCE_SECONDS = 2.0
"""How long requests wait after a start for the word of members on the store."""


class ClusterState:
    """The newest epoch, kept durably. `load` it before its first use."""

    def __init__(self, store: Store, own_name: str, boot: OwnBoot, configured: ClusterMetadata) -> None:
        """Keep the state of the member `own_name` in `store`; `configured` counts while there is no epoch."""
        self.own_name = own_name
        self.boot = boot
        self.configured = configured
        """What this node's configuration says; it is nobody's decision."""
        self.acceptor: AcceptorState[ClusterMetadata] = AcceptorState(boot.birth.number)
        self.view = ClusterView(configured, formed=False)
        self.changed = ChangeEvent()
        """Tells of every new view."""
        self.met_replicas = ChangeEvent()
        """Tells that this node has met one more replica of a shard that it is new to."""
        self.turn = trio.Lock()
        """Held from a look at `acceptor` until what follows from it is kept."""
        self._store = store
        self._formed_at = math.inf
        """When this node first knew of the cluster, by Trio's clock."""
        self._met_at = -math.inf
        """When a member last came whose word on this node's store is missing."""
        self._log = structlog.get_logger("gossipnode.cluster")

    @property
    def own(self) -> Identity:
        """This node, by its name and the birth of its store."""
        return Identity(self.own_name, self.boot.birth.number)

    @property
    def cleared(self) -> bool:
        """Whether what this node's store holds counts for others. Before there is an epoch nothing does."""
        return self.boot.cleared or not self.view.formed

    @property
    def metadata(self) -> ClusterMetadata | None:
        """The newest epoch; None as long as no cluster is formed."""
        return self.acceptor.decided

    @property
    def epoch(self) -> int:
        """The number of the newest epoch; 0 as long as no cluster is formed."""
        return self.view.epoch

    @property
    def is_member(self) -> bool:
        """Whether this node is a member, by the newest epoch."""
        return self.metadata is not None and self.metadata.is_member(self.own)

    async def wait_formed(self, seconds: float) -> None:
        """Wait until the cluster is formed, and a moment longer for this node's store to count.

        The moment is over `CLEARING_PATIENCE_SECONDS` after this node knows of the cluster, or a member came.

        Raises:
            NotFormedError: it is not formed after `seconds`.
        """
        if self.view.formed and self.cleared:
            return  # Nearly always, and each request asks.
        with trio.move_on_after(seconds):
            while not self.view.formed:
                await self.changed.wait()
        await self.wait_cleared()
        if not self.view.formed:
            raise NotFormedError("no cluster is formed yet: `status` says what it waits for")

    async def wait_cleared(self) -> None:
        """Wait until this node's store counts, as long as that can be expected to come at once.

        That is over `CLEARING_PATIENCE_SECONDS` after this node knows of the cluster, or after a member came.
        """
        with trio.move_on_at(max(self._formed_at, self._met_at) + CLEARING_PATIENCE_SECONDS):
            while not self.cleared:
                await self.changed.wait()

    def met(self) -> None:
        """A member has come whose word on this node's store is missing: it can be expected at once."""
        self._met_at = trio.current_time()

    async def load(self) -> None:
        """Read the note.

        Raises:
            StoreError: it cannot be read. Nothing may be promised on top of a note that is lost.
        """
        note = await self._store.note(CLUSTER_NOTE)
        if note is None:
            return
        try:
            self.acceptor = decode_state(self.own.birth, note)
        except WireError as error:
            raise StoreError(
                f"the note of members and groups is damaged ({error}): start with --reseed, --join ADDR and "
                "--replace, and the others fill this node again"
            ) from None
        # A node that stopped while its cluster was being formed may have promised, and know no epoch.
        if self.acceptor.decided is not None:
            self._look()

    async def keep(self, acceptor: AcceptorState[ClusterMetadata]) -> None:
        """Keep another state. Nothing is answered by it, and nothing looks at it, before it is durable.

        Raises:
            StoreError: it was not kept.
        """
        assert self.turn.locked()
        await self._store.keep_note(CLUSTER_NOTE, encode_state(acceptor))
        newer = acceptor.decided is not self.acceptor.decided
        self.acceptor = acceptor
        if newer:
            self._look()

    async def adopt(self, value: ClusterMetadata, teller: int) -> bool:
        """Take over a decided value, if it is newer; gives whether it was. `teller`: see `acceptor.adopt`.

        Raises:
            StoreError: it was not kept.
        """
        async with self.turn:
            if self.acceptor.accepted is not None and self.acceptor.accepted[1] == value:
                # What was accepted is decided now. It need not be encoded again.
                value = self.acceptor.accepted[1]
            value.remember(self.view.metadata)
            after = adopt(self.acceptor, value, teller=teller)
            if after is self.acceptor:
                return False
            await self.keep(after)
        self._log.info("epoch", epoch=value.epoch, members=list(value.members))
        return True

    def renewed(self) -> None:
        """The store got another birth: whatever the earlier one promised was not promised by this one."""
        self.acceptor = AcceptorState(self.own.birth, self.acceptor.decided)
        self.changed.notify()

    def _look(self) -> None:
        assert self.acceptor.decided is not None
        self._formed_at = min(self._formed_at, trio.current_time())
        self.view = ClusterView(self.acceptor.decided, before=self.view)
        self.changed.notify()


def configured_groups(settings: Settings) -> list[Group]:
    """The groups of a configuration, by name."""
    return [
        Group(
            name,
            shards=group.shards,
            replicas=group.replicas,
            # The level local would make a node of a cluster acknowledge what no other one has.
            ack=AckLevel.ONE if group.ack == AckLevel.LOCAL.value else AckLevel(group.ack),
            tombstone_retention_seconds=int(group.tombstone_retention_seconds),
            indexes=tuple(group.indexes),
        )
        for name, group in sorted(settings.groups.items())
    ]


def configured_metadata(settings: Settings) -> ClusterMetadata:
    """What a configuration says, as a value of no epoch. A node that is to join knows nothing yet."""
    members = with_names_in_order(Member(name, str(address)) for name, address in settings.members.items())
    joining = bool(settings.cluster.join)
    return ClusterMetadata(
        epoch=0,
        cluster_id=bytes(CLUSTER_ID_BYTES),
        members=members,
        groups={} if joining else {group.name: group for group in configured_groups(settings)},
        layouts=(MemberLayout(tuple(member.identity for member in members.values())),),
        foreign={name: str(address) for name, address in settings.cluster.foreign.items()},
    )
