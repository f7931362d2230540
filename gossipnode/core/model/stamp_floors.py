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

    __slots__ = ("_ceiling", "_floors")

    def __init__(self, ceiling: int = 0) -> None:
        """Begin as after a restart: what was taken is not known, so every floor is the durable ceiling."""
        self._ceiling = ceiling
        self._floors = array("q", (ceiling,)) * FLOOR_BUCKETS

    def covers(self, stamp: int, believed: int) -> bool:
        """Whether a floor may be raised to `stamp`; else a higher ceiling has to be made durable first."""
        return stamp <= self._ceiling <= believed

    def reserve(self, ceiling: int) -> None:
        """Note that a ceiling is durable now."""
        self._ceiling = ceiling

    def highest(self, buckets: Iterable[int], believed: int) -> int:
        """The highest floor of these buckets; 0 when there is none."""
        floors = self._floors
        return max((floor for bucket in buckets if (floor := floors[bucket]) <= believed), default=0)

    def highest_of_all(self, believed: int) -> int:
        """The highest floor of all buckets."""
        return self.highest(range(FLOOR_BUCKETS), believed)

    def propose(self, buckets: Iterable[int], stamp: int, believed: int) -> int:
        """Raise the floors of these buckets to a stamp, where they are lower; gives the highest one before.

        The stamp is taken if it is above the floor that is given back.
        """
        assert stamp <= self._ceiling <= believed, (stamp, self._ceiling, believed)
        floors, highest = self._floors, 0
        for bucket in set(buckets):
            floor = floors[bucket]
            if floor > believed:
                floors[bucket] = stamp
                continue
            highest = max(highest, floor)
            if floor < stamp:
                floors[bucket] = stamp
        return highest

    def raise_all(self, stamp: int, believed: int) -> None:
        """Raise every floor to a stamp: what another replica took up to there is taken here, too."""
        self.propose(range(FLOOR_BUCKETS), stamp, believed)
