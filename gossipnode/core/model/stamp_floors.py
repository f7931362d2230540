"""The highest stamps that coordinators have proposed to a replica: by them, stamps follow time.

A quorum write carries only a stamp that a quorum of replicas took. Two quorums share a replica, and a replica
takes a stamp only above every one that it took before. So a write that failed, whatever clock it had, never
has a higher stamp than one that began afterwards and was acknowledged. A floor stands for all entities of one
hash bucket, which bounds the memory. This module keeps numbers; it reads no clock and makes nothing durable.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from gossipnode.core.model.entity_hash import entity_hash
from gossipnode.core.model.property import Entity

FLOOR_BUCKETS = 65_536
"""Floors of a replica, of 8 bytes each. With a single one, writers of different entities would collide."""

CEILING_AHEAD_NANOSECONDS = 1_000_000_000
"""How far above a floor the durable ceiling is laid. A busy replica writes it about once a second."""

FLOOR_BELIEVED_NANOSECONDS = 24 * 3600 * 1_000_000_000
"""A floor further ahead of the replica's clock than this comes from a wrong clock, and binds nobody."""


def floor_bucket(entity: Entity) -> int:
    """The bucket of an entity: the highest 16 bits of its hash, while its shard comes from the lowest."""
    return entity_hash(entity) >> 48


class StampFloors:
    """The floors of one replica. None is above the ceiling, which is durable before a floor reaches it.

    `believed` is the largest floor that counts, see `FLOOR_BELIEVED_NANOSECONDS`. The caller computes it from
    the clock.
    """

    __slots__ = ("_ceiling", "_floors", "_least", "_most")

    def __init__(self, ceiling: int = 0) -> None:
        """Begin as after a restart: what was taken is not known, so every floor is the durable ceiling."""
        self._ceiling = ceiling
        self._least = ceiling
        """No floor is below it. So a fill raises all floors in one step, and not each by itself."""
        self._most = ceiling
        """The largest stamp that was ever taken."""
        self._floors = array("q", (0,)) * FLOOR_BUCKETS

    def covers(self, stamp: int, believed: int) -> bool:
        """Whether a floor may be raised to `stamp`; else a higher ceiling has to be made durable first."""
        return stamp <= self._ceiling <= believed

    def reserve(self, ceiling: int) -> None:
        """Note that a ceiling is durable now."""
        self._ceiling = ceiling

    def highest(self, buckets: Iterable[int], believed: int) -> int:
        """The highest floor of these buckets; 0 for no bucket, and where nothing was taken."""
        return max((self._floor(bucket, believed) for bucket in buckets), default=0)

    def highest_of_all(self, believed: int) -> int:
        """The highest floor of all buckets."""
        if self._most <= believed:
            return self._most
        return self.highest(range(FLOOR_BUCKETS), believed)

    def propose(self, buckets: Iterable[int], stamp: int, believed: int) -> int:
        """Raise the floors of these buckets to a stamp, where they are lower; gives the highest one before.

        The stamp is taken if it is above the floor that is given back.
        """
        assert stamp <= self._ceiling <= believed, (stamp, self._ceiling, believed)
        highest = 0
        for bucket in set(buckets):
            floor = self._floor(bucket, believed)
            highest = max(highest, floor)
            self._floors[bucket] = max(floor, stamp)
        self._most = max(self._most, stamp)
        return highest

    def raise_all(self, stamp: int, believed: int) -> None:
        """Raise every floor to a stamp: what another replica took up to there is taken here, too."""
        assert stamp <= self._ceiling <= believed, (stamp, self._ceiling, believed)
        self._least = max(self._least if self._least <= believed else 0, stamp)
        self._most = max(self._most, stamp)

    def _floor(self, bucket: int, believed: int) -> int:
        floor, least = self._floors[bucket], self._least
        return max(floor if floor <= believed else 0, least if least <= believed else 0)
