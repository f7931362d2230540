"""Hellos: every member says hello to every other member now and then.

A hello is small. It says who its sender is and where, that it is up, which epoch it knows, and how far it is
with the shards that it is to hold. A member that knows another epoch is noted in `Members.differing`, and
`membership.epoch_news` compares with it.

It also says which start of its store the sender is. The reply says whether the store counts for the one who
was greeted: see `core.cluster.boots`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress

import structlog
import trio

from gossipnode import __version__
from gossipnode.concurrency.change_event import first_of
from gossipnode.core.cluster.boots import BootMark, BootVerdict
from gossipnode.core.cluster.cluster_metadata import Identity
from gossipnode.core.model.property import ShardId
from gossipnode.core.model.tag_value import NANOSECONDS_PER_SECOND
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.local.fill_state import FillProgress
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.told_states import ToldStates
from gossipnode.node.peers.members import Members, Peer
from gossipnode.node.peers.shared_roots import SharedRoots
from gossipnode.rpc import RpcError, Status
from gossipnode.store.interface import StoreError
from gossipnode.wire import services
from gossipnode.wire.epochs.boot_codec import decode_mark, decode_verdict, encode_mark, encode_verdict
from gossipnode.wire.epochs.metadata_codec import encode_cluster_groups
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb

HELLO_MIN_SECONDS = 1.0
HELLO_MAX_SECONDS = 15.0
"""The pause between two hellos to a member: the shortest while something changes, then doubled each time."""

HELLO_AWAY_MAX_SECONDS = 2.0
"""The longest pause while the member does not answer: what it misses is repaired once it is back."""

HELLO_TIMEOUT_SECONDS = 1.0
"""How long a hello waits for its answer."""

OLDER_START_SECONDS = 0.5
"""How long an older start of a store is waited for, where a newer one says hello."""

HELLO_BACK_SECONDS = 0.02
"""The pause before a member that has just come is asked what it thinks of our store."""

COMMITS_TOLD_SECONDS = 1.0
COMMITS_TOLD_SECONDS_EACH = 0.05
"""How soon members hear of new commits here: in a large cluster after this time for each member."""

FOREIGN_HELLO_SECONDS = 60.0
"""How often a member that lacks our services is asked whether it has them by now."""


ROOTS_READ_SECONDS = 0.5
"""How long a hello waits for the digests of roots."""


@contextmanager
def _unless_the_store_fails() -> Generator[None]:
    """A hello is said without roots where the store cannot be read, or a disk hangs."""
    with trio.move_on_after(ROOTS_READ_SECONDS), suppress(StoreError):
        yield


class Hellos:
    """Says hello, and answers it."""

    def __init__(self, local: LocalState, members: Members, roots: SharedRoots) -> None:
        """Say what `local` knows of this node; note in `members` and `roots` what the others say."""
        self._members = members
        self._cluster = local.cluster
        self._boot = local.cluster.boot
        self._clock = local.clock
        self._fill = local.fill
        self._written = local.writer.written
        self._roots = roots
        self._log = structlog.get_logger("gossipnode.membership")
        self._told = ToldStates(self._log)

    async def run(self) -> None:
        """Say hello to every member there is, until cancelled."""
        followed: dict[Peer, None] = {}
        async with trio.open_nursery() as nursery:
            while True:
                changed = self._members.changed.pending
                # In the order of the members: a set would put them in another one in each process.
                peers = dict.fromkeys(self._members.peers.values())
                for peer in peers:
                    if peer not in followed:
                        nursery.start_soon(self._follow, peer)
                followed = peers
                await changed.wait()

    async def greet(self, peer: Peer) -> bool:
        """Say hello; gives whether anything changed by it."""
        before = (peer.state, peer.progress, self._cluster.epoch)
        question = self.hello()
        with _unless_the_store_fails():
            await self._roots.ask(peer.name, question)
        asked_at = self._clock.now()
        try:
            reply = await peer.channel.unary(
                services.REPLICA_HELLO,
                question,
                timeout=HELLO_TIMEOUT_SECONDS,
                metadata=self._members.metadata,
                dial_now=True,
            )
        except RpcError as error:
            if error.status is Status.UNIMPLEMENTED:
                peer.foreign = True
                peer.answered()
            elif error.status is Status.DEADLINE_EXCEEDED:
                peer.problem = f"no answer in {HELLO_TIMEOUT_SECONDS:g} s"
                peer.hangs()
            else:
                peer.problem = error.message or str(error)
                peer.failed(error)
        else:
            if reply.node == peer.name:
                self._take_verdict(peer, reply)
                if reply.clock:
                    halfway = (asked_at + self._clock.now()) // 2
                    peer.clock_ahead_seconds = (halfway - reply.clock) / NANOSECONDS_PER_SECOND
            self._heard(peer, reply, at_its_address=True)
            with _unless_the_store_fails():
                await self._roots.heard(peer.name, question, reply)
        return before != (peer.state, peer.progress, self._cluster.epoch)

    async def answer(self, hello: pb.HelloMessage) -> pb.HelloMessage:
        """Answer a hello with ours, and say what we think of the caller's store."""
        peer = self._members.peers.get(hello.node)
        if peer is None:
            return self.hello()
        if peer.state != "up" and not self._boot.cleared:
            # It has just come, and its word is missing.
            self._cluster.met()
            peer.said_hello.notify()
        verdict = await self._judge(peer, hello)
        if verdict not in (BootVerdict.REWOUND, BootVerdict.RUNNING):
            self._heard(peer, hello, at_its_address=False)
        reply = self.hello()
        reply.verdict = encode_verdict(verdict)
        with _unless_the_store_fails():
            await self._roots.answer(peer.name, hello, reply)
        return reply

    async def _judge(self, peer: Peer, hello: pb.HelloMessage) -> BootVerdict:
        """What we think of the store that says hello; what it says is remembered if it counts."""
        told = decode_mark(hello)
        if told is None or self._other_than(peer, hello):
            return BootVerdict.UNKNOWN
        store, boots = Identity(hello.node, hello.birth), self._members.boots
        verdict = boots.judge(store, told)
        if verdict is BootVerdict.NEWER:
            known = boots.known(store)
            if known is not None and await self._runs(peer, known):
                return BootVerdict.RUNNING
            # Another start may have been heard of in the meantime.
            verdict = boots.judge(store, told)
        if verdict not in (BootVerdict.NEWER, BootVerdict.HEARD):
            return verdict
        try:
            await boots.remember(store, told)
        except StoreError as error:
            # Not durable, it is not heard. The next hello asks again.
            self._told.tell(
                peer.name, "the start of a member is not noted", peer=peer.name, reason=str(error)
            )
            return BootVerdict.UNKNOWN
        return BootVerdict.HEARD

    async def _runs(self, peer: Peer, known: BootMark) -> bool:
        """Whether an older start of a member's store answers, where it was last."""
        question = self.hello()
        # Nothing of our own store: it would be judged in its turn.
        question.ClearField("boot")
        try:
            reply = await peer.channel.unary(
                services.REPLICA_HELLO,
                question,
                timeout=OLDER_START_SECONDS,
                metadata=self._members.metadata,
                dial_now=True,
            )
        except RpcError:
            return False
        there = decode_mark(reply)
        return reply.node == peer.name and there is not None and there.start == known.start

    def _take_verdict(self, peer: Peer, reply: pb.HelloMessage) -> None:
        """Take note of what a member thinks of our store."""
        self._boot.judged(Identity(peer.name, reply.birth), decode_verdict(reply))

    def hello(self) -> pb.HelloMessage:
        """What this node says of itself."""
        hello = own_hello(self._cluster, str(self._members.own_address), self._fill.progress())
        hello.clock = max(0, self._clock.now())
        return hello

    def _heard(self, peer: Peer, hello: pb.HelloMessage, *, at_its_address: bool) -> None:
        """Take note of what a member says of itself, or of somebody else who answers `at_its_address`."""
        if hello.node == peer.name and self._knows_another_epoch(hello):
            # Also of another store than we know: a newer epoch may have given it this name.
            self._members.tells_of_another_epoch(peer)
        problem = self._other_than(peer, hello)
        if problem:
            if at_its_address:
                if problem != peer.problem:
                    self._log.warning("a member is not at its address", member=peer.name, reason=problem)
                peer.is_not_there(problem)
            return
        peer.foreign = False
        peer.answered()
        peer.tells_progress(_progress(hello))
        peer.tells_identity(hello)
        mark, store = decode_mark(hello), Identity(peer.name, hello.birth)
        if mark is not None and self._members.boots.judge(store, mark) in (
            BootVerdict.HEARD,
            BootVerdict.NEWER,
        ):
            self._members.boots.heard(store, mark)
        self._members.in_vain.pop(peer.name, None)
        if self._cluster.view.formed:
            self._members.moved_to(peer.name, hello.address)

    def _knows_another_epoch(self, hello: pb.HelloMessage) -> bool:
        known = self._cluster.metadata
        of_ours = known is None or hello.cluster_id in (b"", known.cluster_id)
        return of_ours and hello.epoch != self._cluster.epoch

    def _other_than(self, peer: Peer, hello: pb.HelloMessage) -> str:
        """Why a hello is not of the member of this name, by the epoch that we know; "" when it is."""
        if hello.node != peer.name:
            # The member of this name is somewhere else, or gone.
            return f"{hello.node[:80]!r} answers at {peer.address}"
        known = self._cluster.metadata
        if known is None:
            return ""
        if hello.cluster_id not in (b"", known.cluster_id):
            return (
                f"the node at {peer.address} belongs to another cluster: if that one was recovered, start "
                f"this node with --join {peer.address} --as-new"
            )
        member = known.members.get(peer.name)
        if member is not None and member.birth != hello.birth:
            return f"another data directory answers as {peer.name}"
        return ""

    def _commits_told_seconds(self) -> float:
        return max(COMMITS_TOLD_SECONDS, COMMITS_TOLD_SECONDS_EACH * len(self._members.peers))

    async def _follow(self, peer: Peer) -> None:
        """Say hello again and again, with pauses that grow while nothing changes."""
        pause = 0.0
        while not peer.gone.is_set():
            view_changed, written = self._cluster.changed.pending, self._written.pending
            said_hello = peer.said_hello.pending
            changed = await self.greet(peer)
            view = self._cluster.view
            if changed or not view.formed or not view.is_settled or not self._boot.cleared:
                pause = HELLO_MIN_SECONDS
            else:
                longest = HELLO_MAX_SECONDS if peer.state == "up" else HELLO_AWAY_MAX_SECONDS
                pause = min(max(2 * pause, HELLO_MIN_SECONDS), longest)
            if peer.foreign:
                with trio.move_on_after(FOREIGN_HELLO_SECONDS):
                    await peer.gone.wait()
                continue
            soonest = trio.current_time() + self._commits_told_seconds()
            with trio.move_on_after(pause):
                await first_of(view_changed, written, said_hello)
                if said_hello.is_set():
                    await trio.sleep(HELLO_BACK_SECONDS)
                elif not view_changed.is_set():
                    with trio.move_on_at(soonest):
                        await view_changed.wait()
            if view_changed.is_set():
                # The change is on its way to other members, too. Before it arrives, a hello would only find a
                # difference. But while a store does not count, requests wait for the members' word on it.
                await trio.sleep(HELLO_MIN_SECONDS if self._boot.cleared else HELLO_BACK_SECONDS)


def own_hello(cluster: ClusterState, address: str, progress: FillProgress) -> pb.HelloMessage:
    """What a node says of itself."""
    known = cluster.metadata
    return pb.HelloMessage(
        node=cluster.own.name,
        birth=cluster.own.birth,
        address=address,
        cluster_id=b"" if known is None else known.cluster_id,
        epoch=cluster.epoch,
        moving=[
            pb.ShardCount(group=group, shard=shard, records=records)
            for (group, shard), records in progress.moving.items()
        ],
        filled=[
            pb.FilledShard(group=shard.group, shard=shard.shard, incarnation=shard.incarnation, fence=fence)
            for shard, fence in progress.filled.items()
        ],
        forming=_forming(cluster) if known is None else None,
        version=__version__,
        boot=encode_mark(cluster.boot.mark),
    )


def _forming(cluster: ClusterState) -> pb.Forming:
    configured = cluster.configured
    return pb.Forming(
        members=list(configured.members),
        groups=encode_cluster_groups(configured.groups.values()),
        foreign=list(configured.foreign),
    )


def _progress(hello: pb.HelloMessage) -> FillProgress:
    return FillProgress(
        {ShardId(each.group, each.shard, each.incarnation): each.fence for each in hello.filled},
        {(count.group, count.shard): count.records for count in hello.moving},
    )
