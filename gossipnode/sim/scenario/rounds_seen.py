"""Puts every round that a node opens into the history, also those that no step asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import trio

from gossipnode.concurrency.change_event import ChangeEvent, NextChange, first_of
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.turn import Cause
from gossipnode.node.node import Node
from gossipnode.node.repair.origin import RoundWatch
from gossipnode.sim.history.history import History, RoundSeen
from gossipnode.sim.world.machines import Machine
from gossipnode.sim.world.scheduler import MACHINE


@dataclass(slots=True)
class RoundUnderWay:
    """A round that goes on."""

    watch: RoundWatch
    host: str
    shard: ShardId
    replicas: int
    began: float
    equal_before: bool
    lacking: frozenset[str]
    """Those of its replicas that run and hold no such shard as it begins."""
    mending: Mapping[str, int]
    """The steps of all menders as it begins."""
    final: bool = False
    """See `RoundSeen`."""
    seen: RoundSeen | None = None
    over: trio.Event = field(default_factory=trio.Event)

    async def result(self) -> RoundSeen:
        """What the history says of it. Waits for its end, or for that of its origin."""
        await self.over.wait()
        assert self.seen is not None, "it is over"
        return self.seen


class RoundsSeen:
    """Follows the rounds of all nodes."""

    def __init__(
        self,
        nursery: trio.Nursery,
        history: History,
        equal: Callable[[ShardId], bool],
        lacking: Callable[[ShardId], frozenset[str]],
        mending: Callable[[], Mapping[str, int]],
    ) -> None:
        """Rounds are followed in `nursery`.

        `equal` says whether the replicas of a shard hold the same, and `lacking` names the nodes that run and
        hold no such shard. `mending` gives the steps of each node's mender, see `RootMender.steps`.
        """
        self._mending = mending
        self._nursery = nursery
        self._history = history
        self._equal = equal
        self._lacking = lacking
        self.under_way: dict[str, RoundUnderWay] = {}
        """By their ids."""
        self.changed = ChangeEvent()
        """Tells of every round that begins."""

    def follow(self, machine: Machine, node: Node) -> None:
        """Follow every round that a node opens from now on."""
        node.parts.repair.origin.on_opened = partial(self._begin, machine, node)

    def _begin(self, machine: Machine, node: Node, watch: RoundWatch) -> None:
        shard = watch.open_round.shard
        replicas = node.parts.local.shards.replicas(shard)
        under_way = RoundUnderWay(
            watch,
            machine.host,
            shard,
            len(replicas),
            trio.current_time(),
            self._equal(shard),
            self._lacking(shard) & {*replicas},
            self._mending(),
        )
        self.under_way[watch.now().round] = under_way
        # Who looks on is no part of the machine: it neither stands still nor ends with it.
        token = MACHINE.set("")
        try:
            self._nursery.start_soon(self._follow, under_way, machine, machine.ended)
        finally:
            MACHINE.reset(token)
        self.changed.notify()

    async def _follow(self, under_way: RoundUnderWay, machine: Machine, ended: NextChange) -> None:
        watch = under_way.watch
        changed = watch.changed.pending
        while watch.now().outcome is None and not ended.is_set():
            await first_of(changed, ended)
            changed = watch.changed.pending
        now = watch.now()
        # A process that is killed unwinds here, and says things that no other machine hears.
        lost = now.outcome is None or ended.is_set() or not machine.disk.in_use
        outcome = "" if lost or now.outcome is None else now.outcome.value
        under_way.seen = RoundSeen(
            under_way.began,
            trio.current_time(),
            under_way.host,
            under_way.shard,
            outcome,
            () if lost else now.hops,
            under_way.replicas,
            under_way.equal_before,
            self._equal(under_way.shard),
            under_way.final,
            watch.cause.value,
            now.round,
            tuple(sorted(under_way.lacking & self._lacking(under_way.shard))),
            self._mended(under_way.mending),
        )
        del self.under_way[now.round]
        self.add(under_way.seen)
        under_way.over.set()

    def _mended(self, before: Mapping[str, int]) -> bool:
        """Whether any mender had a session since, or had one under way then."""
        return before != self._mending() or any(steps % 2 for steps in before.values())

    def add(self, seen: RoundSeen) -> None:
        """Put a round into the history, and a line about it into the story."""
        self._history.rounds.append(seen)
        what = "round" if seen.cause == Cause.ASKED.value else f"{seen.cause} round"
        said = "; ".join([seen.outcome or "lost with its origin", *reasons(seen)])
        self._history.tell(seen.ended, seen.origin, f"{what} of {seen.shard}: {said}")


def reasons(seen: RoundSeen) -> list[str]:
    """Why a round left something out, each reason once."""
    return sorted({hop.reason for hop in seen.hops if hop.reason})
