"""Which replicas are different and nobody has noted why, and when one of them mends it.

Members tell each other the roots of the shards that both hold, and these are equal but for writes under way.
A difference that stays is mended by a session: by the first replica in ring order, by each further one only
if it is still there some time later.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from gossipnode.core.model.property import ShardId

STILL_SECONDS = 10.0
"""Two roots that have stayed as they are for this long, and differ, differ not by a write under way."""

BUSY_SECONDS = 600.0
"""A shard that is always written to is compared after this time without one moment of equal roots."""

TURN_SECONDS = 60.0
"""How much later each further replica acts: the first one has mended it by then."""

AGAIN_MIN_SECONDS = 60.0
AGAIN_MAX_SECONDS = 3600.0
"""The pause before a difference that a session did not mend is looked at again; it doubles each time."""

DIFFERENCES_MAX = 4096
"""Pairs of a member and a shard that are remembered. Those beyond are seen later."""


@dataclass(slots=True)
class _Difference:
    roots: tuple[int, int]
    still_since: float
    differs_since: float
    due: bool = False
    not_before: float = float("-inf")
    pause: float = AGAIN_MIN_SECONDS


class RootDifferences:
    """What is known of differences between this node and others. Times are in seconds, of a steady clock."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """Nothing differs."""
        self._known: OrderedDict[tuple[str, ShardId], _Difference] = OrderedDict()

    def __len__(self) -> int:
        """How many pairs of a member and a shard differ."""
        return len(self._known)

    def equal(self, member: str, shard: ShardId | None = None) -> None:
        """The roots of a shard are equal here and there; without one, those of all shards."""
        if shard is not None:
            self._known.pop((member, shard), None)
            return
        for key in [key for key in self._known if key[0] == member]:
            del self._known[key]

    def differ(self, member: str, shard: ShardId, roots: tuple[int, int], now: float, *, turn: int) -> bool:
        """The roots of a shard, ours and theirs, differ. Gives whether it is for us to mend that now.

        `turn` is our place among the replicas, counted from 0.
        """
        known = self._known.get((member, shard))
        if known is None:
            if len(self._known) < DIFFERENCES_MAX:
                self._known[member, shard] = _Difference(roots, now, now)
            return False
        if roots != known.roots:
            known.roots, known.still_since = roots, now
        waited = turn * TURN_SECONDS
        still = now - known.still_since >= STILL_SECONDS + waited
        busy = now - known.differs_since >= BUSY_SECONDS + waited
        known.due = (still or busy) and now >= known.not_before
        return known.due

    def next_due(self) -> tuple[str, ShardId] | None:
        """A difference that is to be mended now, if there is one."""
        return next((key for key, known in self._known.items() if known.due), None)

    def tried(self, member: str, shard: ShardId, now: float) -> None:
        """A session was made. Whether it has mended the difference is seen by the roots that come next."""
        known = self._known.get((member, shard))
        if known is not None:
            known.due = False
            known.still_since = known.differs_since = now
            known.not_before = now + known.pause
            known.pause = min(2 * known.pause, AGAIN_MAX_SECONDS)
