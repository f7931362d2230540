"""Makes replicas equal that missed writes, once they are back. `core.ring.missed_writes` has the rule.

A replica of the shard compares with the one that missed writes, in a session as a round has. A coordinator
that holds no copy starts a round instead.
"""

from __future__ import annotations

from typing import Any

import structlog
import trio

from gossipnode.concurrency.change_event import ChangeEvent, first_of
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.missed_writes import MissedWrites
from gossipnode.core.ring.turn import Cause
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.told_states import ToldStates
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.members import Members
from gossipnode.node.refusals.request_errors import TooManyRoundsError
from gossipnode.node.repair.rounds import Rounds
from gossipnode.node.repair.sessions import Sessions

CATCH_UPS_AT_ONCE = 4
"""Sessions and rounds of this kind at once, with all replicas together: rounds and hand-offs go on beside."""

STAGGER_SECONDS = 0.25
"""How much later each further replica of a shard begins: the first one has often made it equal by then."""


class CatchUp:
    """Remembers who missed writes, and repairs it while `run` runs."""

    def __init__(self, local: LocalState, members: Members, sessions: Sessions, rounds: Rounds) -> None:
        """Compare by `sessions` what `local` holds with `members`; or start one of `rounds`."""
        self._local = local
        self._members = members
        self._sessions = sessions
        self._rounds = rounds
        self._up: frozenset[str] = frozenset()
        self._changed = ChangeEvent()
        self._places = CATCH_UPS_AT_ONCE
        self.missed_writes = MissedWrites()
        self._log = structlog.get_logger("gossipnode.ring")
        self._told = ToldStates(self._log)

    def missed(self, replica: str, shard: ShardId) -> None:
        """A replica did not take a write that another one took."""
        if replica in self._members.peers:
            self.missed_writes.note(replica, shard)
            self._changed.notify()

    async def run(self) -> None:
        """Repair what replicas missed while they are up, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                changed, news = self._changed.pending, self._members.news.pending
                self._see_who_is_up()
                now = trio.current_time()
                for replica, shard in self.missed_writes.due(self._up, now)[: self._places]:
                    self._places -= 1
                    begun = self.missed_writes.begin(replica, shard)
                    nursery.start_soon(self._try, replica, shard, begun)
                due = self.missed_writes.next_due(self._up) if self._places else None
                with trio.move_on_at(float("inf") if due is None else max(due, now)):
                    await first_of(changed, news)

    def _see_who_is_up(self) -> None:
        up = frozenset(
            name for name, peer in self._members.peers.items() if peer.state == "up" and not peer.foreign
        )
        for name in sorted(up - self._up):
            self.missed_writes.came_back(name, trio.current_time())
        self._up = up

    async def _try(self, replica: str, shard: ShardId, begun: int) -> None:
        problem = "the last try broke off"
        try:
            placement = self._local.shards.view.placement(shard)
            if placement is None or replica not in placement.holders:
                self.missed_writes.forget(replica, shard)
                return
            own = self._local.own_name
            others = [
                name for name in placement.holders if name == own or (name != replica and name in self._up)
            ]
            if own in others:
                await trio.sleep(STAGGER_SECONDS * others.index(own))
                problem = await self._compare(replica, shard)
            else:
                problem = await self._start_round(shard)
        except Exception:  # noqa: BLE001 - a defect, logged with its traceback; it is tried again
            self._log.exception("making a replica equal failed", peer=replica, shard=str(shard))
        finally:
            self.missed_writes.end(replica, shard, begun, trio.current_time(), problem=problem)
            self._places += 1
            self._changed.notify()

    async def _compare(self, replica: str, shard: ShardId) -> str:
        """Compare with a replica; gives why it is not equal now, or ""."""
        peer = self._members.peers.get(replica)
        if peer is None:
            return "no member of this cluster"
        metadata = {**self._members.metadata, call_metadata.CAUSE: Cause.EVENT.value}
        hop = await self._sessions.compare(peer, shard, metadata)
        details: dict[str, Any] = {
            "peer": replica,
            "group": shard.group,
            "shard": shard.shard,
            "outcome": hop.end.value,
        }
        event = "replica that missed writes compared"
        if hop.complete:
            self._told.is_over((replica, shard))
        if hop.sent or hop.received:
            self._log.info(event, **details, reason=hop.reason, sent=hop.sent, received=hop.received)
        elif not hop.complete:
            self._told.tell((replica, shard), event, reason=hop.reason, **details)
        return "" if hop.complete else hop.reason or hop.end.value

    async def _start_round(self, shard: ShardId) -> str:
        """Have a round made; gives why the replicas are not equal after it, or ""."""
        try:
            watch = self._rounds.start(shard, Cause.EVENT)
        except TooManyRoundsError as error:
            return str(error)
        while True:
            changed, outcome = watch.changed.pending, watch.now().outcome
            if outcome is not None:
                return "" if outcome.good else f"a round is {outcome.value}"
            await changed.wait()
