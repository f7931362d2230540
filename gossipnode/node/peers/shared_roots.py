"""The roots of the shards that this node and another member both hold, which hellos compare.

The member whose name comes first says a digest of all of them, and only where that differs does the other one
answer with each root. What follows from a difference is decided in `core.ring.root_differences`.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Sequence

import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.concurrency.loop_steps import LoopSteps
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.root_differences import RootDifferences
from gossipnode.node.local.local_state import LocalState
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb

ROOTS_SECONDS = 10.0
"""How often a member is told a digest of the roots at most: writes make hellos more frequent."""

ROOTS_MAX = 4096
"""Roots in one hello, of 8 bytes each. Of more shards, each hello tells the next ones."""

_COUNT_FACTOR = 0x9E3779B97F4A7C15
_UNKNOWN = 0
"""Stands for the root of a shard whose index is not made yet."""


class SharedRoots:
    """Compares the roots of shards with those of other members."""

    def __init__(self, local: LocalState) -> None:
        """Compare what `local` holds."""
        self._local = local
        self._shared: dict[str, list[ShardId]] = {}
        self._shared_epoch = -1
        self._told_from = 0
        self._next: dict[str, float] = {}
        self.differences = RootDifferences()
        self.due = ChangeEvent()
        """Tells that a difference is to be mended."""

    async def ask(self, member: str, hello: pb.HelloMessage) -> None:
        """Put the digest of the roots into a hello, if it is for us to begin, and time."""
        now = trio.current_time()
        if self._local.own_name < member and now >= self._next.get(member, now) and self._comparable:
            self._next[member] = now + ROOTS_SECONDS
            hello.roots_digest = _digest(await self._roots(await self._shards(member)))

    async def answer(self, member: str, hello: pb.HelloMessage, reply: pb.HelloMessage) -> None:
        """Answer the digest in a hello: with ours, and with our roots where they differ."""
        if not hello.roots_digest or hello.epoch != reply.epoch or not self._comparable:
            return
        roots = await self._roots(await self._shards(member))
        reply.roots_digest = _digest(roots)
        if reply.roots_digest != hello.roots_digest:
            first = self._told_from if self._told_from < len(roots) else 0
            self._told_from = first + ROOTS_MAX
            reply.roots_from, reply.roots = first, _as_bytes(roots[first : first + ROOTS_MAX])

    async def heard(self, member: str, hello: pb.HelloMessage, reply: pb.HelloMessage) -> None:
        """Take the answer to a hello of ours."""
        if not hello.roots_digest or not reply.roots_digest or reply.epoch != hello.epoch:
            return
        if reply.roots_digest == hello.roots_digest:
            self.differences.equal(member)
            return
        shards = await self._shards(member)
        theirs = _from_bytes(reply.roots[: 8 * ROOTS_MAX])
        shards = shards[reply.roots_from : reply.roots_from + len(theirs)]
        ours = await self._roots(shards)
        if self._local.cluster.epoch != reply.epoch or len(ours) != len(theirs):
            return
        for shard, own, other in zip(shards, ours, theirs, strict=True):
            if own == other:
                self.differences.equal(member, shard)
            elif _UNKNOWN not in (own, other):
                self._differ(member, shard, (own, other))

    def _differ(self, member: str, shard: ShardId, roots: tuple[int, int]) -> None:
        placement = self._local.shards.view.placement(shard)
        assert placement is not None, "the view is that of the shard's list"
        turn = sorted({*placement.settled} - {member}).index(self._local.own_name)
        if self.differences.differ(member, shard, roots, trio.current_time(), turn=turn):
            self.due.notify()

    @property
    def _comparable(self) -> bool:
        view = self._local.shards.view
        return view.formed and self._local.cluster.boot.cleared and self._local.item_indexes.have_key

    async def _shards(self, member: str) -> list[ShardId]:
        """The shards that lie with this node and a member, and move nowhere; in one order at both."""
        view = self._local.shards.view
        if view.epoch != self._shared_epoch:
            shared: dict[str, list[ShardId]] = {}
            for shard in await self._local.shards.held():
                placement = view.placement(shard)
                if placement is not None and not placement.moving:
                    for name in placement.settled:
                        shared.setdefault(name, []).append(shard)
            self._shared, self._shared_epoch = shared, view.epoch
        return self._shared.get(member, [])

    async def _roots(self, shards: Sequence[ShardId]) -> list[int]:
        loop, indexes, roots = LoopSteps(), self._local.item_indexes, list[int]()
        held = {*self._local.store.shards()}
        for shard in shards:
            index = indexes.whole(shard)
            if index is not None:
                roots.append((index.root + index.count * _COUNT_FACTOR) % (1 << 64) or 1)
            else:
                roots.append(_UNKNOWN if shard in held else 1)
            await loop.step()
        return roots


def _digest(roots: Sequence[int]) -> bytes:
    return hashlib.blake2b(_as_bytes(roots), digest_size=8).digest()


def _as_bytes(roots: Sequence[int]) -> bytes:
    numbers = array("Q", roots)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _from_bytes(data: bytes) -> list[int]:
    numbers = array("Q", data[: len(data) // 8 * 8])
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
