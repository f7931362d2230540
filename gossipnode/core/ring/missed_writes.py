"""Which replicas missed writes that others took, as far as this node knows, and when each is repaired.

A coordinator knows of a replica that did not take a write: it was down, or did not answer. What it missed is
repaired as soon as it is back, the shard that missed a write last first. What is forgotten here, by a restart
or for lack of room, is left to the scheduled rounds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

from gossipnode.core.model.property import ShardId

MISSED_SHARDS_MAX = 16_384
"""Pairs of a replica and a shard that are remembered. Beyond, that which missed a write longest ago goes."""

TRY_PAUSE_MIN_SECONDS = 1.0
TRY_PAUSE_MAX_SECONDS = 60.0
"""The pause before a shard is tried again whose session did not end well; it doubles with each try."""


@dataclass(slots=True)
class _Missed:
    writes: int = 0
    """How many writes it missed since it was last made equal."""
    due: float = 0.0
    pause: float = TRY_PAUSE_MIN_SECONDS
    trying: bool = False
    problem: str = ""
    """Why the last try did not make it equal; empty if it did, or was the first one."""


class MissedWrites:
    """What replicas missed. Times are in seconds, of any clock that only goes forward."""

    __slots__ = ("_missed",)

    def __init__(self) -> None:
        """Nobody has missed anything."""
        self._missed: OrderedDict[tuple[str, ShardId], _Missed] = OrderedDict()

    def __len__(self) -> int:
        """How many pairs of a replica and a shard there are."""
        return len(self._missed)

    def note(self, replica: str, shard: ShardId) -> None:
        """A replica did not take a write that another one took."""
        missed = self._missed.pop((replica, shard), None) or _Missed()
        missed.writes += 1
        self._missed[replica, shard] = missed
        if len(self._missed) > MISSED_SHARDS_MAX:
            self._missed.popitem(last=False)

    def count(self, replica: str, shard: ShardId) -> int:
        """How many writes a replica has missed, as far as is known."""
        missed = self._missed.get((replica, shard))
        return 0 if missed is None else missed.writes

    def by_shard(self) -> dict[ShardId, int]:
        """How many writes all replicas of each shard have missed together, as far as is known."""
        writes: dict[ShardId, int] = {}
        for (_, shard), missed in self._missed.items():
            writes[shard] = writes.get(shard, 0) + missed.writes
        return writes

    def problems(self) -> dict[str, str]:
        """By replica, why it could not be made equal when that was tried last, where it could not."""
        return {name: missed.problem for (name, _), missed in self._missed.items() if missed.problem}

    def came_back(self, replica: str, now: float) -> None:
        """A replica is there again: whatever failed before, it is tried at once."""
        for (name, _), missed in self._missed.items():
            if name == replica:
                missed.due, missed.pause = now, TRY_PAUSE_MIN_SECONDS

    def due(self, replicas: Collection[str], now: float) -> list[tuple[str, ShardId]]:
        """What is to be made equal now with one of these replicas, newest need first."""
        return [
            key
            for key, missed in reversed(self._missed.items())
            if key[0] in replicas and not missed.trying and missed.due <= now
        ]

    def next_due(self, replicas: Collection[str]) -> float | None:
        """When something is due with one of these replicas; None if nothing will be."""
        times = [
            missed.due for (name, _), missed in self._missed.items() if name in replicas and not missed.trying
        ]
        return min(times, default=None)

    def begin(self, replica: str, shard: ShardId) -> int:
        """A try begins; gives what `end` is to be told."""
        missed = self._missed[replica, shard]
        missed.trying = True
        return missed.writes

    def end(self, replica: str, shard: ShardId, begun: int, now: float, *, problem: str) -> None:
        """A try has ended; `problem` is why it did not make the replica equal, or "".

        Writes that were missed since it began are not known to be made good by it.
        """
        missed = self._missed.get((replica, shard))
        if missed is None:
            return
        missed.trying = False
        missed.problem = problem
        if not problem:
            missed.writes -= min(begun, missed.writes)
            if not missed.writes:
                del self._missed[replica, shard]
                return
            missed.pause = TRY_PAUSE_MIN_SECONDS
        missed.due = now + missed.pause
        missed.pause = min(2 * missed.pause, TRY_PAUSE_MAX_SECONDS)

    def forget(self, replica: str, shard: ShardId) -> None:
        """The replica no longer holds this shard."""
        self._missed.pop((replica, shard), None)
