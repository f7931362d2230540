"""The places for sessions with other nodes, and what one of those may have of them.

No caller may have all places of a purpose, as long as there is more than one. This module waits for nothing:
it admits a session or says why not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

UNSAID_PLACES = 64
UNSAID_PLACES_PER_CALLER = 16
"""Streams whose tree_root has not come yet. An honest caller sends it with the first packet of the stream."""

CLUSTER_PLACES = 8
CLUSTER_PLACES_PER_CALLER = 4
"""Sessions that the cluster itself needs.

A member has four at most: it fills two shards, hands one over, and compares its registry.
"""


class Purpose(Enum):
    """What a session is for."""

    UNSAID = "unsaid"
    """Its tree_root has not come yet, which would say what it is for."""
    ROUND = "round"
    """It repairs a shard."""
    CLUSTER = "cluster"
    """It compares registries, or it hands a shard over to a new replica."""


@dataclass(frozen=True, slots=True)
class SessionPlace:
    """The place of one session."""

    caller: str
    purpose: Purpose
    """The purpose whose places are one fewer for it."""


def places_for(max_sessions: int) -> int:
    """The places for rounds: `max_sessions` for one peer, and half as many more for the other peers."""
    return max_sessions + max_sessions // 2


class SessionSlots:
    """Hands out places. A caller is whatever text tells one caller from another."""

    def __init__(self, max_sessions: int) -> None:
        """`max_sessions` is what one caller may have for rounds; see `places_for`."""
        self._places = {
            Purpose.UNSAID: (UNSAID_PLACES, UNSAID_PLACES_PER_CALLER),
            Purpose.ROUND: (places_for(max_sessions), max_sessions),
            Purpose.CLUSTER: (CLUSTER_PLACES, CLUSTER_PLACES_PER_CALLER),
        }
        self._taken: dict[Purpose, Counter[str]] = {purpose: Counter() for purpose in Purpose}

    def admit(self, caller: str, purpose: Purpose) -> SessionPlace | str:
        """A place, to be given back to `free`; or the text that says why it is refused.

        A session that the cluster needs takes a place for rounds when its own places are taken.
        """
        refusal = self._refusal(caller, purpose)
        if refusal and purpose is Purpose.CLUSTER:
            purpose = Purpose.ROUND
            refusal = self._refusal(caller, purpose)
        if refusal:
            return refusal
        self._taken[purpose][caller] += 1
        return SessionPlace(caller, purpose)

    def free(self, place: SessionPlace) -> None:
        """Take a place back."""
        taken = self._taken[place.purpose]
        assert taken[place.caller] > 0, "a place is given back once"
        taken[place.caller] -= 1
        if not taken[place.caller]:
            del taken[place.caller]

    def _refusal(self, caller: str, purpose: Purpose) -> str:
        places, per_caller = self._places[purpose]
        taken = self._taken[purpose]
        if taken.total() >= places:
            return "all session slots are taken: try again"
        if taken[caller] >= per_caller:
            return (
                f"{caller[:80]} has {per_caller} session slots, the most for one caller: end a session first"
            )
        return ""


def caller_of(certificate_names: Collection[str], said: str, address: str) -> str:
    """The text that tells the caller of a session from other callers.

    It is the name that it says if its certificate has that name, else all names of the certificate. Without a
    certificate it is the address without the port, for anybody can say a name or open one more connection.
    """
    if said in certificate_names:
        return said
    return " ".join(sorted(certificate_names)) or address.rpartition(":")[0] or address
