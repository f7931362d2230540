"""The holder of node b in a nursery, and its peers, which do what a test tells them."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Ended, Hop, Report
from gossipnode.core.ring.turn import Cause, HopEnd, RoundMessage
from gossipnode.node.repair.holder import Handed, Holder

SHARD = ShardId("sw", 0)


def message(
    round_id: str = "r1",
    *,
    origin: str = "a",
    nodes: str = "abc",
    count: int = 0,
    cause: Cause = Cause.ASKED,
    shard: ShardId = SHARD,
) -> RoundMessage:
    return RoundMessage(round_id, shard, origin, tuple(nodes), count, cause)


@dataclass
class FakePeers:
    """Peers whose sessions end as `ends` says in turn, the last end again and again. What is said is kept."""

    ends: dict[str, list[HopEnd]] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()
    seen: Hop | bool = False
    session_seconds: float = 0.0
    propagate_seconds: float = 0.0
    in_session: Callable[[], Awaitable[None]] | None = None
    sessions: list[tuple[float, str]] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    forwarded: list[tuple[str, RoundMessage]] = field(default_factory=list)
    told: list[tuple[str, Report]] = field(default_factory=list)

    async def repair(self, peer: str, message: RoundMessage) -> Hop:
        self.sessions.append((trio.current_time(), peer))
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            if self.in_session is not None:
                await self.in_session()
            await trio.sleep(self.session_seconds)
        finally:
            self.open -= 1
        ends = self.ends.get(peer, [HopEnd.EQUAL])
        end = ends.pop(0) if len(ends) > 1 else ends[0]
        return Hop("b", peer, end, "" if end in (HopEnd.EQUAL, HopEnd.REPAIRED) else end.value)

    async def hand_on(self, peer: str, message: RoundMessage) -> Handed:
        await trio.sleep(self.propagate_seconds)
        if peer in self.refusals:
            return Handed(self.refusals[peer], foreign=False)
        self.forwarded.append((peer, message))
        return Handed("", foreign=peer in self.foreign, seen=self.seen)

    def tell(self, origin: str, report: Report) -> None:
        self.told.append((origin, report))

    def ends_told(self, round_id: str = "r1") -> list[str]:
        """Why this holder said that a round had ended."""
        return [
            report.then.reason
            for _, report in self.told
            if isinstance(report.then, Ended) and report.round == round_id
        ]

    @property
    def last(self) -> Report:
        return self.told[-1][1]


class RunningHolder:
    """The holder of node b, running in a nursery."""

    def __init__(self, peers: FakePeers, *, max_sessions: int = 8, half_interval: float = 0.0) -> None:
        self.peers = peers
        self.ring = Holder(
            "b",
            peers,
            max_sessions=max_sessions,
            half_interval=lambda: half_interval,
            rng=random.Random(1),
        )

    async def __aenter__(self) -> Holder:
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        await self._nursery.start(self.ring.run)
        return self.ring

    async def __aexit__(self, *error: object) -> None:
        self._nursery.cancel_scope.cancel()
        await self._manager.__aexit__(None, None, None)


async def settled(ring: Holder) -> None:
    """Return once no message is held any more."""
    await ring.wait_idle()
