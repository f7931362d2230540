"""The places for sessions with other nodes, of which each caller has a share.

This module waits for nothing: it admits a session or says why not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gossipnode.concurrency.shares import Caller, Shares

UNSAID_PLACES = 64
"""Streams whose tree_root has not come yet. An honest caller sends it with the first packet of the stream."""

CLUSTER_PLACES = 8
"""Sessions that the cluster itself needs.

A member has three at most: it fills two shards, and hands one over.
"""


class Purpose(Enum):
    """What a session is for."""

    UNSAID = "unsaid"
    """Its tree_root has not come yet, which would say what it is for."""
    ROUND = "round"
    """It repairs a shard."""
    CLUSTER = "cluster"
    """It hands a shard over to a new replica."""


@dataclass(frozen=True, slots=True)
class SessionPlace:
    """The place of one session."""

    caller: Caller
    purpose: Purpose
    """The purpose whose places are one fewer for it."""


def places_for(max_sessions: int) -> int:
    """The places for rounds. A caller alone gets half of them, which is `max_sessions`."""
    return 2 * max_sessions


class SessionSlots:
    """Hands out places."""

    def __init__(self, max_sessions: int) -> None:
        """`max_sessions` is what a caller alone may have for rounds; see `places_for`."""
        self._shares = {
            Purpose.UNSAID: Shares(UNSAID_PLACES),
            Purpose.ROUND: Shares(places_for(max_sessions)),
            Purpose.CLUSTER: Shares(CLUSTER_PLACES),
        }

    def admit(self, caller: Caller, purpose: Purpose) -> SessionPlace | str:
        """A place, to be given back to `free`; or the text that says why it is refused.

        A session that the cluster needs takes a place for rounds when its own places are taken.
        """
        refusal = self._refusal(caller, purpose)
        if refusal and purpose is Purpose.CLUSTER:
            purpose = Purpose.ROUND
            refusal = self._refusal(caller, purpose)
        if refusal:
            return refusal
        self._shares[purpose].take(caller)
        return SessionPlace(caller, purpose)

    def free(self, place: SessionPlace) -> None:
        """Take a place back."""
        self._shares[place.purpose].give_back(place.caller)

    def _refusal(self, caller: Caller, purpose: Purpose) -> str:
        shares = self._shares[purpose]
        if shares.may_take(caller):
            return ""
        held = shares.held_by(caller)
        if not held:
            return "all session slots are taken: try again"
        return f"{caller.name[:80]} has {held} session slots, the most for one caller: end a session first"
