"""Which members hold a shard, and how that changes when members come and go.

A shard belongs to the members with the highest rendezvous scores, so a member that joins or leaves moves only
its own share of the shards. While members change, a shard has two sets of replicas: the settled ones, which
have its records, and the coming ones, which are to have them. A read or a write then needs a quorum of each
set, because a write that reached a quorum of one set could miss a read of the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache
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
    return scores((member,), group, shard)[0][0]


def scores(members: Iterable[str], group: str, shard: int) -> list[tuple[bytes, str]]:
    """The scores of members for a shard, each with its member."""
    rest = _counted(group) + _counted(str(shard))
    found: list[tuple[bytes, str]] = []
    for member in members:
        digest = _begun_with(member).copy()
        digest.update(rest)
        found.append((digest.digest(), member))
    return found


@lru_cache(maxsize=4096)
def _begun_with(member: str) -> hashlib.blake2b:
    """What the scores of a member have in common. To be copied, and never changed."""
    return hashlib.blake2b(_counted(member), digest_size=16)


def _counted(text: str) -> bytes:
    data = text.encode()
    return b"%d:%s" % (len(data), data)


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


def levels_that_fail(replicas: int, members: int) -> str:
    """Which levels cannot be reached for the lack of members, and when they can."""
    of_all = f"`all` needs {replicas} members"
    needed = majority(replicas)
    return of_all if members >= needed else f"`quorum` needs {needed} members, and {of_all}"


@dataclass(frozen=True)
class Placement:
    """The members that hold one shard, and those that are to hold it.

    `settled` are the members that the shard lies by, and `coming` those that are to hold it, both in ring
    order. `lost` are those of `settled` that have lost its records: they are no members any more, or came
    back with an empty store. `replicas` is the number that the group asks for, and `replicas_before` the one
    that it asked for when the shard was settled. Quorums are counted by them even if there are fewer members.
    """

    shard: ShardId
    settled: tuple[str, ...]
    coming: tuple[str, ...]
    lost: frozenset[str]
    replicas: int
    replicas_before: int = 0
    """0 stands for the same as `replicas`."""
    frame: bytes = b""
    """What else the fence stands for: cluster, number of shards, and the stores of all replicas."""

    def __post_init__(self) -> None:
        """Check what the quorums and the fence rely on."""
        assert _in_ring_order(self.settled), self.settled
        assert _in_ring_order(self.coming), self.coming
        assert self.lost <= {*self.settled}

    @property
    def moving(self) -> bool:
        """Whether any replica has still to be filled, or to give its records up."""
        return self.settled != self.coming or bool(self.lost) or self.replicas != self.needed_before

    @property
    def needed_before(self) -> int:
        """The number of replicas that the group asked for when the shard was settled."""
        return self.replicas_before or self.replicas

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
    def full_sources(self) -> int:
        """The number of settled replicas of which one at least has any acknowledged write.

        Of k settled replicas, at least Q (a majority of the number asked for) hold each write that was
        acknowledged at quorum. So at most k - Q lack it, and one of any k - Q + 1 has it.
        """
        return _full(len(self.settled), self.needed_before)

    @property
    def sources_needed(self) -> int:
        """The number of sources that a joining replica must copy from, to have every acknowledged write.

        Replicas that lost their records cannot be copied from. Where somebody accepted that loss, there are
        fewer sources than `full_sources`.
        """
        return min(self.full_sources, len(self.sources))

    @cached_property
    def filling(self) -> tuple[str, ...]:
        """The coming replicas that have to copy from sources before the shard may settle, in ring order.

        Beside the joining ones these are sources, where fewer replicas are to do: of {a, b, c} a write at b
        and c was acknowledged. Once the shard lies by {a, c} alone, any single one of them has to have it.
        """
        if _full(len(self.coming), self.replicas) < self.full_sources:
            return self.coming
        return self.joining

    def copies_needed(self, name: str) -> int:
        """The number of sources, beside itself, that a replica of `filling` must copy from."""
        return self.sources_needed - (name in self.sources)

    @cached_property
    def fence(self) -> bytes:
        """A digest of this placement, which every request to a replica carries.

        A replica refuses a request whose fence differs from its own. This makes a change of members safe:
        once enough of the settled replicas know of the change, a coordinator that has not heard of it cannot
        reach a quorum any more. The births of the stores are part of the fence, so a replica whose store was
        replaced refuses coordinators that still take it for the old one.
        """
        numbers = (self.shard.incarnation, self.replicas, self.needed_before)
        lists = (self.settled, self.coming, sorted(self.lost), map(str, numbers), (str(self.shard),))
        text = "\n\n".join("\n".join(names) for names in lists)
        return hashlib.blake2b(text.encode() + b"\n\n" + self.frame, digest_size=FENCE_BYTES).digest()

    def quorums(self, level: AckLevel, *, reading: bool = False) -> tuple[Quorum, ...]:
        """The quorums that a request at this level must reach, all of them.

        A joining replica counts for a write, because it has the record once it acknowledged it. For a read at
        level ONE it does not count while there are sources, because it may still lack records that they have.
        """
        if level is AckLevel.LOCAL:
            raise ValueError("local asks no other replica, and so has no quorum")
        if level is AckLevel.ONE:
            return (Quorum(frozenset((self.sources if reading else ()) or self.holders), 1),)
        coming = Quorum(frozenset(self.coming), _needed(level, self.replicas))
        if not self.moving:
            return (coming,)
        before = _needed(level, self.needed_before)
        return (coming, Quorum(frozenset(self.sources), min(before, len(self.sources))))


def _full(copies: int, replicas: int) -> int:
    return max(1, copies - majority(replicas) + 1)


def _needed(level: AckLevel, replicas: int) -> int:
    return majority(replicas) if level is AckLevel.QUORUM else replicas


def _in_ring_order(names: tuple[str, ...]) -> bool:
    return all(one < following for one, following in pairwise(names))
