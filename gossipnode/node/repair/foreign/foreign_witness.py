"""This node as the witness of foreign holders: it serves their sessions, and can say how they ended.

What a turn of a foreign holder means is decided in `core.ring.foreign_turn`.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.foreign_turn import FOREIGN_BEGINS_SECONDS, ForeignTurn, ForeignTurns
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import HopEnd, RoundMessage
from gossipnode.core.session.commands import SessionCounts, SessionEnd

LATE_SESSION_SECONDS = 60.0
"""How long the session of a foreign holder that was given up waits for ours at most, before it is served."""


@dataclass(slots=True)
class SeenSession:
    """A session that this node serves for a foreign client, for what is to be said of it."""

    end: HopEnd = HopEnd.FAILED
    reason: str = "broken"
    counts: SessionCounts = field(default_factory=SessionCounts)

    def note(self, outcome: str, counts: SessionCounts) -> None:
        """How it ended: the value of a `SessionEnd`, or what went wrong; and what was exchanged."""
        self.counts = counts
        if outcome in (SessionEnd.EQUAL.value, SessionEnd.REPAIRED.value):
            self.end, self.reason = HopEnd(outcome), ""
        else:
            self.reason = outcome
        if counts.skipped:
            self.reason = f"{self.reason} left out: {counts.reasons_text()}".lstrip()


class ForeignWitness:
    """Looks out for the sessions of foreign holders."""

    def __init__(self, own_name: str, deadline_seconds: float) -> None:
        """A foreign holder has the usual time to begin, but no more than a session may last."""
        self._own_name = own_name
        self._begins_seconds = min(FOREIGN_BEGINS_SECONDS, deadline_seconds)
        self._turns = ForeignTurns()
        self._changed = ChangeEvent()

    def expect(self, turn: ForeignTurn) -> None:
        """Look out for the session of a foreign holder that is about to be handed a message."""
        self._turns.expect(turn, trio.current_time() + self._begins_seconds)
        self._changed.notify()

    async def outcome(self, turn: ForeignTurn) -> Hop | bool:
        """How the session ended; True if none has begun in time, so that the holder is given up.

        False if nothing will be known: nobody has told us to expect this turn, another one of the shard has
        taken its place, or the message was passed on without a session.
        """
        watched = self._turns.of(turn.message.shard)
        if watched is None or watched.turn != turn:
            return False
        while not watched.decided:
            with trio.move_on_at(math.inf if watched.begun else watched.begins_until):
                await self._changed.wait()
                continue
            watched.given_up = True
        return watched.given_up if watched.hop is None else watched.hop

    def known_again(self, message: RoundMessage) -> RoundMessage | None:
        """See `ForeignTurns.known_again`."""
        known = self._turns.known_again(message)
        self._changed.notify()
        return known

    async def let_in(self, shard: ShardId) -> None:
        """Wait with the session of a foreign holder that was given up until our own one is over."""
        watched = self._turns.of(shard)
        if watched is not None and watched.given_up:
            with trio.move_on_after(LATE_SESSION_SECONDS):
                while self._turns.of(shard) is watched and not watched.gone_on:
                    await self._changed.wait()

    def own_session_ended(self, shard: ShardId) -> None:
        """A session of an own node with this one is over."""
        watched = self._turns.of(shard)
        if watched is not None and watched.given_up:
            watched.gone_on = True
            self._changed.notify()

    @contextmanager
    def foreign_session(self, shard: ShardId) -> Generator[SeenSession]:
        """A session of a foreign client. What is known of its end is noted in what this gives."""
        watched, seen, began = self._turns.session_begins(shard), SeenSession(), trio.current_time()
        self._changed.notify()
        try:
            yield seen
        finally:
            if watched is not None:
                counts = seen.counts
                watched.hop = Hop(
                    watched.turn.holder,
                    self._own_name,
                    seen.end,
                    seen.reason,
                    sent=counts.received,
                    received=counts.sent,
                    skipped=counts.skipped,
                    seconds=trio.current_time() - began,
                )
                self._changed.notify()
