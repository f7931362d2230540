"""Moving shards when members come and go: fill new replicas, settle, give up old copies.

0. A replica that is new to a shard meets those that have it, before it serves any request (`greet`).
1. It fills itself (`fill`).
2. When every new replica of a shard says that it is filled, one member has that decided (`settle`).
3. A member that holds a shard no longer hands its copy to each replica, and only then drops it (`give_up`).

A member that came with records of its own also sees to it that every replica has them (`offer`).

Each step is repeated until it has succeeded, also after a restart: what was done is found in the store.
"""

from __future__ import annotations

import logging

import structlog
import trio

from gossipnode.concurrency.change_event import first_of
from gossipnode.concurrency.loop_steps import LoopSteps
from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.model.property import ShardId
from gossipnode.node.hand_off.fill import Filler
from gossipnode.node.hand_off.give_up import Leaver
from gossipnode.node.hand_off.greet import Greeter
from gossipnode.node.hand_off.offer import Offerer
from gossipnode.node.hand_off.settle import Settler
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.told_states import ToldStates
from gossipnode.node.membership.membership import Membership
from gossipnode.node.peers.members import Members
from gossipnode.node.repair.sessions import Sessions
from gossipnode.store.interface import StoreError

HAND_OFF_PAUSE_MIN_SECONDS = 1.0
HAND_OFF_PAUSE_MAX_SECONDS = 60.0
"""The pause before a hand-off that is not finished is tried again. It doubles as long as there is no news."""


class HandOff:
    """Moves this node's part of the shards."""

    def __init__(
        self, local: LocalState, members: Members, sessions: Sessions, membership: Membership
    ) -> None:
        """Fill and hand over by `sessions`; what follows from it is decided by `membership`."""
        self._local = local
        self._members = members
        self._greeter = Greeter(local, members, sessions)
        self._filler = Filler(local, members, sessions)
        self._settler = Settler(local, members, membership.epochs)
        self._leaver = Leaver(local, members, sessions)
        self._offerer = Offerer(local, members, sessions)
        self._membership = membership
        self._log = structlog.get_logger("gossipnode.hand_off")
        self._told = ToldStates(self._log)

    def moved(self, shard: ShardId) -> tuple[int, int]:
        """How many records the new replicas of a shard have, and are to have, as far as this node knows."""
        placement = self._local.shards.view.placement(shard)
        if placement is None:
            return 0, 0
        key = shard[:2]
        counts = {name: peer.progress.moving.get(key, 0) for name, peer in self._members.peers.items()}
        counts[self._local.own_name] = self._local.fill.count(shard)
        total = max((counts.get(name, 0) for name in placement.sources), default=0)
        done = sum(min(counts.get(name, 0), total) for name in placement.filling)
        return done, total * len(placement.filling)

    async def run(self) -> None:
        """Move what is to be moved, until cancelled."""
        await self._local.fill.recall()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._local.fill.keep_counting)
            await self._work()

    async def _work(self) -> None:
        pause = HAND_OFF_PAUSE_MIN_SECONDS
        while True:
            stale = self._local.retention.became_stale.pending
            changed, news = self._local.shards.changed.pending, self._members.news.pending
            try:
                at_rest = await self._step()
            except (StoreError, OSError) as error:
                self._told.tell("hand-off", "hand-off interrupted", reason=str(error), level=logging.WARNING)
                at_rest = False
            else:
                self._told.is_over("hand-off")
            if at_rest:
                await first_of(changed, stale)
                continue
            with trio.move_on_after(HAND_OFF_PAUSE_MIN_SECONDS):
                await changed.wait()
            with trio.move_on_after(pause - HAND_OFF_PAUSE_MIN_SECONDS):
                await first_of(changed, news)
            if changed.is_set() or news.is_set():
                pause = HAND_OFF_PAUSE_MIN_SECONDS
            else:
                pause = min(2 * pause, HAND_OFF_PAUSE_MAX_SECONDS)

    async def _step(self) -> bool:
        """Do what can be done now; gives whether nothing is left to do until the view changes."""
        shards = self._local.shards
        view = shards.view
        if not shards.cleared:
            return False
        all_met = await self._greeter.greet_all(view)
        none_stale = await self._greeter.copy_stale()
        if shards.view is not view:
            return False
        await self._filler.fill_all(view)
        if shards.view is not view:
            return False
        await self._settler.settle(view)
        leftovers = await self._leaver.leftovers()
        for shard in leftovers:
            await self._leaver.give_up(shard)
        all_offered = await self._offerer.offer_all(shards.view)
        if self._is_leaving(view) and await self._has_gone(view) and shards.view is view:
            await self._membership.members.go()
        if leftovers or not all_offered or not all_met or not none_stale:
            return False
        return shards.view.is_settled and not self._is_leaving(shards.view)

    def _is_leaving(self, view: ClusterView) -> bool:
        own = view.members.get(self._local.own_name)
        return own is not None and own.leaving

    async def _has_gone(self, view: ClusterView) -> bool:
        """Whether this node holds nothing any more, and is to hold nothing."""
        loop = LoopSteps()
        for placement in view.unsettled():
            if self._local.own_name in placement.holders:
                return False
            await loop.step()
        return not self._local.store.shards()
