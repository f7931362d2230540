"""Which members hold a shard, and how that changes when members come and go.

A shard belongs to the members with the highest rendezvous scores, so a member that joins or leaves moves only
its own share of the shards. While members change, a shard has two sets of replicas: the settled ones, which
have its records, and the coming ones, which are to have them. A read or a write then needs a quorum of each
set, because a write that reached a quorum of one set could miss a read of the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from gossipnode.core.model.property import ShardId

FENCE_BYTES = 8
"""The length of a fence. Two placements of a shard get the same one by chance once in 2^64 times."""


class AckLevel(Enum):
    """How many replicas must have done a request before the client gets its answer."""

    LOCAL = "local"
    """The node that the client asked does the request alone."""
    ONE = "one"
    QUORUM = "quorum"
    ALL = "all"


class Quorum(NamedTuple):
    """A request needs at least `needed` of the replicas `among`."""

    among: frozenset[str]
    needed: int


def score(member: str, group: str, shard: int) -> bytes:
    """The rendezvous score of a member for a shard: blake2b-128 of member, group and shard."""
    parts = (member.encode(), group.encode(), str(shard).encode())
    return hashlib.blake2b(b"".join(b"%d:%s" % (len(part), part) for part in parts), digest_size=16).digest()


def replicas_of(shard: ShardId, members: Iterable[str], replicas: int) -> tuple[str, ...]:
    """The `replicas` members with the highest scores, in ring order, which is the order of their names.

    If there are no more members than replicas, every member holds the shard. The incarnation of the group
    does not count: a group that is deleted and created again lies on the same members as before.
    """
    names = sorted(set(members))
    if len(names) > replicas:
        names.sort(key=lambda name: score(name, shard.group, shard.shard), reverse=True)
    return tuple(sorted(names[:replicas]))


def majority(replicas: int) -> int:
    """The smallest number of replicas that is more than half of them. Any two majorities share a replica."""
    return replicas // 2 + 1


@dataclass(frozen=True)
class Placement:
    """The members that hold one shard, and those that are to hold it.

    `settled` are the members that held the shard when every shard was last where it belongs, and `coming`
    those that are to hold it now, both in ring order. `lost` are those of `settled` that have lost its
    records: they were forgotten since then, or came back with an empty store. `replicas` is the number that
    the group asks for. Quorums are counted by it even if there are fewer members.
    """

    shard: ShardId
    settled: tuple[str, ...]
    coming: tuple[str, ...]
    lost: frozenset[str]
    replicas: int
    births: tuple[int, ...] = ()
    """For each of `holders`, the stamp of when its store was made. Empty for the system group."""

    def __post_init__(self) -> None:
        """Check what the quorums and the fence rely on."""
        assert _in_ring_order(self.settled), self.settled
        assert _in_ring_order(self.coming), self.coming
        assert self.lost <= {*self.settled}
        assert len(self.births) in (0, len(self.holders))

    @property
    def moving(self) -> bool:
        """Whether any replica has still to be filled, or to give its records up."""
        return self.settled != self.coming or bool(self.lost)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The members that have the records of the shard already, in ring order."""
        return tuple(name for name in self.settled if name not in self.lost)

    @cached_property
    def joining(self) -> tuple[str, ...]:
        """The coming replicas that have to copy the records from the sources first, in ring order."""
        return tuple(name for name in self.coming if name not in self.sources)

    @cached_property
    def holders(self) -> tuple[str, ...]:
        """Every member that has records of the shard, or is to have them, in ring order."""
        return tuple(sorted({*self.sources, *self.coming}))

    @property
    def sources_needed(self) -> int:
        """The number of sources that a joining replica must copy from, to have every acknowledged write.

        Of R replicas, at least Q (a majority) hold each write that was acknowledged at quorum. So at most R -
        Q replicas lack it, and one of any R - Q + 1 has it. Replicas that lost their records cannot be copied
        from, so there may be fewer sources than that.
        """
        needed = min(self.replicas - majority(self.replicas) + 1, len(self.sources))
        assert 0 <= needed <= self.replicas
        return needed

    @cached_property
    def fence(self) -> bytes:
        """A digest of this placement, which every request to a replica carries.

        A replica refuses a request whose fence differs from its own. This makes a change of members safe:
        once enough of the settled replicas know of the change, a coordinator that has not heard of it cannot
        reach a quorum any more. The stamps of the stores are part of the fence, so a replica whose store was
        replaced refuses coordinators that still take it for the old one.
        """

        stamps = (self.shard.incarnation, *self.births)
        lists = (self.settled, self.coming, sorted(self.lost), map(str, stamps))
        text = "\n\n".join("\n".join(names) for names in (*lists, (str(self.shard), str(self.replicas))))
        return hashlib.blake2b(text.encode(), digest_size=FENCE_BYTES).digest()

    def quorums(self, level: AckLevel, *, reading: bool = False) -> tuple[Quorum, ...]:
        """The quorums that a request at this level must reach, all of them.

        A joining replica counts for a write, because it has the record once it acknowledged it. For a read at
        level ONE it does not count while there are sources, because it may still lack records that they have.
        """
        if level is AckLevel.LOCAL:
            raise ValueError("local asks no other replica, and so has no quorum")
        if level is AckLevel.ONE:
            return (Quorum(frozenset((self.sources if reading else ()) or self.holders), 1),)
        needed = majority(self.replicas) if level is AckLevel.QUORUM else self.replicas
        assert needed <= self.replicas
        assert len(self.coming) <= self.replicas
        coming = Quorum(frozenset(self.coming), needed)
        if not self.moving:
            return (coming,)
        return (coming, Quorum(frozenset(self.sources), min(needed, len(self.sources))))


def placement_of(
    shard: ShardId,
    replicas: int,
    *,
    settled: Mapping[str, int],
    members: Mapping[str, int],
    births: Mapping[str, int] | None = None,
) -> Placement:
    """The placement of a shard, made from the members of the settled state and the members of today.

    `settled` and `members` map each name to the stamp of its joining. A member that came back with an empty
    store joined again, so its two stamps differ. `births` maps names to the stamps of their stores, as far as
    these are known.
    """
    before = replicas_of(shard, settled, replicas)
    lost = frozenset(name for name in before if members.get(name) != settled[name])
    coming = replicas_of(shard, members, replicas)
    known = births or {}
    holders = sorted({*coming, *before} - (lost - {*coming}))
    return Placement(shard, before, coming, lost, replicas, tuple(known.get(name, 0) for name in holders))


def _in_ring_order(names: tuple[str, ...]) -> bool:
    return all(one < following for one, following in pairwise(names))
