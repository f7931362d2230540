"""The members as this node sees them: a channel to each, and whether it answered last time.

The newest epoch says which members there are, and `sync` follows it. What a member itself says of its address
is believed first, then what the epoch says, then what our own configuration does.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import structlog
import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.config.address import Address
from gossipnode.core.cluster.boots import is_overtaken
from gossipnode.core.cluster.cluster_metadata import Identity
from gossipnode.core.cluster.targets import Standing
from gossipnode.node.identity.boot_memory import BootMemory
from gossipnode.node.local.fill_state import FillProgress
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.exchange_link import CrowdedOutError, ExchangeLink, RefusedByPeerError
from gossipnode.rpc import CallContext, Channel, RpcError, Status
from gossipnode.rpc.server import health
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.property.canonical_json import Spacing

PROBE_SECONDS = 1.0
"""How long a status request waits for a member to say that it is up."""

PROBE_FRESH_SECONDS = 5.0
"""How long the last answer of a member is believed."""

MemberState: TypeAlias = Literal["up", "down", "unknown"]
OpenChannel: TypeAlias = Callable[[str, Address], Channel]


def _logger() -> structlog.stdlib.BoundLogger:
    """One of its own for each peer: a logger of the module would keep the configuration of its first use."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("gossipnode.members")
    return logger


@dataclass(slots=True, eq=False)
class Peer:
    """Another member."""

    name: str
    address: Address
    channel: Channel
    link: ExchangeLink
    """Sends it the requests of coordinators here, which share a stream."""
    state: MemberState = "unknown"
    seen_at: float = float("-inf")
    """When the state was last learnt, by Trio's clock."""
    progress: FillProgress = field(default_factory=FillProgress)
    """How far it was with its shards when it last said hello."""
    foreign: bool = False
    """Whether it lacks our own services, and speaks the compatible protocol alone."""
    lacks_reconcile: bool = False
    """Whether it is an own node of a version that compares trees alone. Asked again once it was not there."""
    leaf_json: Spacing | None = None
    """How a foreign peer writes the JSON of its leaves, once a session has learnt it."""
    birth: int = 0
    """The birth of the store that answers there; 0 as long as it said no hello."""
    version: str = ""
    """The version of its software, as it said."""
    clock_ahead_seconds: float | None = None
    """How far our clock was ahead of its clock at the last hello; None as long as it did not say."""
    last_hello: pb.HelloMessage | None = None
    """What it last said of itself."""
    problem: str = ""
    """Why the last hello met nobody, or somebody else; empty while the member of this name answers."""
    gone: trio.Event = field(default_factory=trio.Event)
    """Set when it is no longer a member, or has another address."""
    said_hello: ChangeEvent = field(default_factory=ChangeEvent)
    """Tells that it has just come, and that its word on our store is missing."""
    news: ChangeEvent = field(default_factory=ChangeEvent)
    """See `Members.news`."""
    log: structlog.stdlib.BoundLogger = field(default_factory=_logger)
    asking: trio.Lock = field(default_factory=trio.Lock)
    asked_until: float = float("-inf")
    absent_because: str = ""
    """Until when nobody asks whether it is there again, and why it was not. See `node.peers.absence`."""

    def answered(self) -> None:
        """It has answered just now."""
        if self.state != "up":
            self.lacks_reconcile = False
            self.link.try_again()
            self.news.notify()
        self._is("up")

    def failed(self, error: RpcError) -> None:
        """A call failed; only some statuses say that the member is not there."""
        if error.status is Status.UNAVAILABLE:
            self._is("down", error.message or str(error))
        elif error.status is not Status.DEADLINE_EXCEEDED:
            self.answered()

    def tells_identity(self, hello: pb.HelloMessage) -> None:
        """It said who it is."""
        self.birth, self.last_hello, self.problem = hello.birth, hello, ""
        self.version = hello.version

    def is_not_there(self, problem: str) -> None:
        """Somebody else answers at its address."""
        self.problem, self.last_hello = problem, None
        self._is("down", problem)

    def tells_progress(self, progress: FillProgress) -> None:
        """It said how far it is with what it is to hold."""
        if progress != self.progress:
            self.progress = progress
            self.news.notify()

    def request_failed(self, error: RpcError) -> None:
        """A request of a coordinator failed: the peer is not there, hangs, or is of another kind."""
        if error.status is Status.UNIMPLEMENTED:
            self.foreign = True
        elif isinstance(error, CrowdedOutError):
            return
        elif error.status is Status.DEADLINE_EXCEEDED:
            self.hangs()
        elif (
            isinstance(error, RefusedByPeerError)
            or not error.never_processed
            or error.status is Status.UNAVAILABLE
        ):
            self.failed(error)
        # Any other error is a refusal by our own link, with too much under way. It says nothing of the peer.

    def hangs(self) -> None:
        """It took a request and let it time out: it is avoided until it answers."""
        self._is("down", "it does not answer in time")

    def _is(self, state: Literal["up", "down"], because: str = "") -> None:
        """Note the state as of now; the log is told when it is another one than before."""
        if state != self.state:
            say = self.log.info if state == "up" else self.log.warning
            say(f"member {state}", member=self.name, address=str(self.address), reason=because)
        self.state, self.seen_at = state, trio.current_time()


class Members:
    """All members by name, in ring order. This node is one of them, or is to become one."""

    def __init__(
        self,
        own_name: str,
        own_address: Address,
        open_channel: OpenChannel,
        metadata: Mapping[str, str],
        boots: BootMemory,
    ) -> None:
        """Made by `open_members`. `metadata` goes with every call: it says which cluster and node we are.

        `boots` is told of the commits that come with the answers of replicas.
        """
        self.own_name = own_name
        self.own_address = own_address
        self.metadata = dict(metadata)
        self.boots = boots
        self.peers: dict[str, Peer] = {}
        """In ring order."""
        self.changed = ChangeEvent()
        """Tells that a peer came or went."""
        self.said_addresses: dict[str, str] = {}
        """Where members say that they are, as far as they have said so."""
        self.in_vain: dict[str, set[Address]] = {}
        """Where members were looked for, and did not answer."""
        self.moved = ChangeEvent()
        """Tells that `said_addresses` has changed."""
        self.differing: set[str] = set()
        """Peers whose last hello told of another epoch than ours. A comparison removes them."""
        self.told = ChangeEvent()
        """Tells that `differing` has grown."""
        self.news = ChangeEvent()
        """Tells that a peer has come back, or is further with the shards that it fills."""
        self._syncing = trio.Lock()
        self._open_channel = open_channel
        self._nursery: trio.Nursery | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every member, in ring order."""
        return tuple(sorted((self.own_name, *self.peers)))

    async def sync(self, addresses: Mapping[str, Address], foreign: Collection[str] = ()) -> None:
        """Have a channel to each of these members and to no other one. Nothing is dialed before a call.

        Those named in `foreign` count as foreign until their hello says something else.
        """
        assert self._nursery is not None
        async with self._syncing:
            wanted = {name: address for name, address in addresses.items() if name != self.own_name}
            kept = {name: peer for name, peer in self.peers.items() if wanted.get(name) == peer.address}
            for name, peer in self.peers.items():
                if name not in kept:
                    peer.gone.set()
            new = [name for name in wanted if name not in kept]
            for name in new:
                kept[name] = await self._nursery.start(self._keep, name, wanted[name])
                kept[name].foreign = name in foreign
            assert self.own_name not in kept
            came_or_went = bool(new) or len(kept) != len(self.peers)
            self.peers = dict(sorted(kept.items()))
        if came_or_went:
            self.changed.notify()

    async def _keep(self, name: str, address: Address, *, task_status: trio.TaskStatus[Peer]) -> None:
        """Keep the channel of a peer open until it is gone."""
        async with self._open_channel(name, address) as channel, trio.open_nursery() as nursery:
            link = ExchangeLink(
                channel, self.metadata, lambda boot, commit: self.committed(name, boot, commit)
            )
            await nursery.start(link.run)
            peer = Peer(name, address, channel, link, news=self.news)
            task_status.started(peer)
            await peer.gone.wait()
            nursery.cancel_scope.cancel()

    def committed(self, name: str, boot: int, commit: int) -> None:
        """The store of a member has told the number of a commit, beside an answer."""
        peer = self.peers.get(name)
        if peer is not None and peer.birth:
            self.boots.committed(Identity(name, peer.birth), boot, commit)

    def refuse_overtaken(self, call: CallContext) -> None:
        """Refuse a call of a store of which a later start was heard: what it acknowledged would be lost.

        Raises:
            RpcError: FAILED_PRECONDITION.
        """
        start = call_metadata.start_of(call.metadata)
        if start is not None and is_overtaken(self.boots.known(start[0]), start[1]):
            raise RpcError(Status.FAILED_PRECONDITION, f"a later start of {start[0].name} was heard of")

    def standings(self, names: Iterable[str], *, cleared: bool) -> dict[str, Standing]:
        """What this node believes of each of these replicas. `cleared` says whether its own store counts."""
        own = Standing.OWN if cleared else Standing.UNCLEARED
        return {name: own if name == self.own_name else self._standing(name) for name in names}

    def _standing(self, name: str) -> Standing:
        peer = self.peers.get(name)
        if peer is None:
            return Standing.STRANGER
        if peer.foreign:
            return Standing.FOREIGN
        return Standing.DOWN if peer.state == "down" else Standing.UP

    def moved_to(self, name: str, address: str) -> None:
        """A member says where it is."""
        if self.said_addresses.get(name) != address:
            self.said_addresses[name] = address
            self.moved.notify()

    def tells_of_another_epoch(self, peer: Peer) -> None:
        """A peer's hello told of another epoch than ours: have it compared."""
        self.differing.add(peer.name)
        self.told.notify()

    async def probe(self) -> None:
        """Ask the members that have not answered lately whether they are up."""
        stale = trio.current_time() - PROBE_FRESH_SECONDS
        async with trio.open_nursery() as nursery:
            for peer in self.peers.values():
                if peer.seen_at < stale:
                    nursery.start_soon(_probe, peer)

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Members]:
        """Channels can be opened for as long as the block lasts."""
        # The caller tells the errors of the block by their kinds, so they must not come in a group.
        with one_error():
            async with trio.open_nursery() as nursery:
                assert self._nursery is None, "opened twice"
                self._nursery = nursery
                try:
                    yield self
                finally:
                    nursery.cancel_scope.cancel()
                    self._nursery = None


async def _probe(peer: Peer) -> None:
    try:
        await peer.channel.unary(health.CHECK, "", timeout=PROBE_SECONDS, dial_now=True)
    except RpcError as error:
        peer.failed(error)
        if error.status is Status.DEADLINE_EXCEEDED:
            peer.hangs()
    else:
        peer.answered()


def open_members(
    own_name: str,
    own_address: Address,
    open_channel: OpenChannel,
    metadata: Mapping[str, str],
    boots: BootMemory,
) -> AbstractAsyncContextManager[Members]:
    """The members, to be `sync`ed, with their channels open for as long as the block lasts."""
    return Members(own_name, own_address, open_channel, metadata, boots).opened()
