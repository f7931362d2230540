"""Clearing: whether the store of this node counts, by the word of a majority of the members.

A store that is found to have gone back in time takes its own place as a new one: it keeps its records, and
fills itself from the others before it counts. See `core.cluster.boots`.
"""

from __future__ import annotations

import logging
import random

import structlog
import trio

from gossipnode.concurrency.change_event import first_of
from gossipnode.config.address import Address
from gossipnode.config.settings import Settings
from gossipnode.core.cluster.boots import NextStep, next_step, not_heard_by
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.local.told_states import ToldStates
from gossipnode.node.membership.epoch_news import EpochNews
from gossipnode.node.membership.joining import Joining, NotAMemberError
from gossipnode.node.membership.standing import keep_channels
from gossipnode.node.peers.call_metadata import say_start
from gossipnode.node.peers.members import Members
from gossipnode.store.interface import StoreError

CLEARING_PAUSE_SECONDS = 2.0
"""The pause before what could not be noted in the store is tried again."""

TAKE_OVER_PAUSE_SECONDS = 5.0
"""The pause before a store that went back in time tries again to take its own place."""


class Clearing:
    """Clears the store, or replaces it."""

    def __init__(
        self,
        settings: Settings,
        cluster: ClusterState,
        members: Members,
        news: EpochNews,
        joining: Joining,
        rng: random.Random,
    ) -> None:
        """Judge by what `members` say; `joining` takes the own place.

        `news` is told why the node has to stop, and `rng` draws the other birth of a store.
        """
        self._settings = settings
        self._cluster = cluster
        self._boot = cluster.boot
        self._members = members
        self._news = news
        self._joining = joining
        self._rng = rng
        self._stepping = trio.Lock()
        self.problem = ""
        """Why this store, which went back in time, could not take its own place yet."""
        self._log = structlog.get_logger("gossipnode.membership")
        self._told = ToldStates(self._log)

    def unheard(self) -> list[str]:
        """The members whose word is missing before this store counts; empty when it counts."""
        value = self._cluster.metadata
        if self._cluster.cleared or value is None:
            return []
        return sorted(not_heard_by(value, self._cluster.own, self._boot.heard_by))

    async def run(self) -> None:
        """Follow what members say, until cancelled, or until the node has to stop."""
        while True:
            changed, epoch_changed = self._boot.changed.pending, self._cluster.changed.pending
            try:
                await self.step()
                if self._boot.birth.takes_over and not await self._took_own_place():
                    await trio.sleep(TAKE_OVER_PAUSE_SECONDS)
                    continue
            except NotAMemberError as error:
                self._news.refuse(str(error))
                return
            except StoreError as error:
                event = "the start of the store is not noted"
                self._told.tell("noted", event, reason=str(error), level=logging.WARNING)
                await trio.sleep(CLEARING_PAUSE_SECONDS)
                continue
            await first_of(changed, epoch_changed)

    async def step(self) -> None:
        """Do what follows from what is known now.

        Raises:
            NotAMemberError: this store counts for nobody, since another start of it runs.
            StoreError: something was not kept.
        """
        async with self._stepping:
            await self._step()

    async def _step(self) -> None:
        boot, cluster = self._boot, self._cluster
        if not boot.counted:
            await boot.count()
        await self._take_step()
        if cluster.is_member and not boot.noted and not self.unheard():
            if not boot.cleared:
                boot.clear()
                cluster.changed.notify()
            await boot.note_cleared()

    async def _take_step(self) -> None:
        boot, cluster = self._boot, self._cluster
        verdict, member = boot.refused or (None, "")
        others = len(cluster.view.members) - 1 if cluster.is_member else 0
        match next_step(verdict, cleared=boot.cleared, lost_commits=bool(boot.lost_commits), others=others):
            case NextStep.RENEW if verdict is not None:
                self._log.error("the data directory went back in time", says=member)
                await self._renew()
            case NextStep.RENEW:
                self._log.error("the data directory has lost commits", commits=boot.lost_commits)
                await self._renew()
            case NextStep.FORGET_LOSS:
                await boot.forget_lost_commits()
            case NextStep.YIELD_TO_RUNNING:
                raise NotAMemberError(
                    f"{member} says that {cluster.own_name} is running already, with another copy of this "
                    "data directory: give every node a directory and a name of its own"
                )
            case NextStep.YIELD_TO_LATER:
                raise NotAMemberError(
                    f"{member} has heard of a later start of {cluster.own_name}, with another copy of this "
                    "data directory: stop one of them, and start only the other one"
                )
            case NextStep.GO_ON:
                pass

    async def _renew(self) -> None:
        async with self._cluster.turn:
            await self._boot.renew(self._rng)
            self._cluster.renewed()
        if self._boot.mark is not None:
            say_start(self._members.metadata, self._boot.birth.number, self._boot.mark.boot)

    async def _took_own_place(self) -> bool:
        """Become a member again, in the place of the store that this one was; gives whether it is one now.

        It may be refused as long as another member fills itself, or too few are up.
        """
        cluster = self._cluster
        if not cluster.is_member:
            # It may be the first that this node does.
            await keep_channels(self._settings, cluster, self._members)
            try:
                await self._joining.join(self._addresses(), replace=True)
            except NotAMemberError as error:
                if self.problem != str(error):
                    self.problem = str(error)
                    self._log.error("the own place is not taken yet", reason=self.problem)
                return False
        await self._boot.took_over()
        self.problem = ""
        self._log.warning("took the own place as a new store", epoch=cluster.epoch)
        await keep_channels(self._settings, cluster, self._members)
        cluster.changed.notify()
        return True

    def _addresses(self) -> list[Address]:
        """Where other members are, those that are up first."""
        peers = sorted(self._members.peers.values(), key=lambda peer: peer.state != "up")
        return [peer.address for peer in peers if not peer.foreign]
