"""Which members hold a shard, and how that changes when members come and go.

A shard belongs to the members with the highest rendezvous scores, so that a member that joins or leaves moves
only its own share. While members change there are two placements, the settled one and the coming one, and
whoever reads or writes needs enough replicas of both: a write to one alone could never meet a read of the
other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from gossipnode.core.model.property import ShardId

FENCE_BYTES = 8


class AckLevel(Enum):
    """How many replicas must have done a request before it is answered."""

    LOCAL = "local"
    """Only the node asked does it."""
    ONE = "one"
    QUORUM = "quorum"
    ALL = "all"


class Quorum(NamedTuple):
    """`needed` of these replicas."""

    among: frozenset[str]
    needed: int


def score(member: str, group: str, shard: int) -> bytes:
    """The rendezvous score of a member for a shard: blake2b-128 of member, group and shard."""
    parts = (member.encode(), group.encode(), str(shard).encode())
    return hashlib.blake2b(b"".join(b"%d:%s" % (len(part), part) for part in parts), digest_size=16).digest()


def replicas_of(shard: ShardId, members: Iterable[str], replicas: int) -> tuple[str, ...]:
    """The `replicas` members with the highest scores, in ring order (by name).

    With at most as many members as replicas every member holds the shard. The incarnation of the group does
    not count: a group made anew lies where the old one lay.
    """
    names = sorted(set(members))
    if len(names) > replicas:
        names.sort(key=lambda name: score(name, shard.group, shard.shard), reverse=True)
    return tuple(sorted(names[:replicas]))


def majority(replicas: int) -> int:
    """More than half."""
    return replicas // 2 + 1


@dataclass(frozen=True)
class Placement:
    """Who holds one shard.

    `settled` held it when the members were last settled, `coming` are to hold it. `lost` are those of
    `settled` that have nothing any more: they were forgotten since, or came back empty. `replicas` is the
    number that the group asks for, which quorums count even when there are fewer members.
    """

    shard: ShardId
    settled: tuple[str, ...]
    coming: tuple[str, ...]
    lost: frozenset[str]
    replicas: int
    births: tuple[int, ...] = ()
    """The stamp of each holder's store, in ring order."""

    @property
    def moving(self) -> bool:
        """Whether any replica has to be filled or given up."""
        return self.settled != self.coming or bool(self.lost)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Those that hold the shard's records already, in ring order."""
        return tuple(name for name in self.settled if name not in self.lost)

    @cached_property
    def joining(self) -> tuple[str, ...]:
        """Replicas that have to fill themselves first, in ring order."""
        return tuple(name for name in self.coming if name not in self.sources)

    @cached_property
    def holders(self) -> tuple[str, ...]:
        """Every member that has records of the shard or is to have them, in ring order."""
        return tuple(sorted({*self.sources, *self.coming}))

    @property
    def sources_needed(self) -> int:
        """With how many of `sources` a joining replica must compare to have every acknowledged write.

        A quorum of the settled replicas holds each such write, so any R - Q + 1 of them meet it. Of those
        that are lost nothing can be had any more.
        """
        return min(self.replicas - majority(self.replicas) + 1, len(self.sources))

    @cached_property
    def fence(self) -> bytes:
        """A digest of this view. Replicas refuse requests that were made in another one.

        That is what makes a change of members safe: once enough of the settled replicas know of it, no
        coordinator that does not can reach a quorum. A replica that has lost its store, and does not know
        how it stood with it, agrees with nobody who knew it before.
        """
        stamps = (self.shard.incarnation, *self.births)
        lists = (self.settled, self.coming, sorted(self.lost), map(str, stamps))
        text = "\n\n".join("\n".join(names) for names in (*lists, (str(self.shard), str(self.replicas))))
        return hashlib.blake2b(text.encode(), digest_size=FENCE_BYTES).digest()

    def quorums(self, level: AckLevel, *, reading: bool = False) -> tuple[Quorum, ...]:
        """What an acknowledgement level asks for; each of them is to be reached.

        A joining replica may acknowledge a write, which it then has. What it does not have says nothing.
        """
        if level is AckLevel.LOCAL:
            raise ValueError("local asks no other replica, and so has no quorum")
        if level is AckLevel.ONE:
            return (Quorum(frozenset((self.sources if reading else ()) or self.holders), 1),)
        needed = majority(self.replicas) if level is AckLevel.QUORUM else self.replicas
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
    """The placement of a shard, from who was a member when all was settled, and who is one now.

    Both map a name to the stamp of its joining: a member that came back empty joined anew. `births` are the
    stamps of their stores, as far as they are known.
    """
    before = replicas_of(shard, settled, replicas)
    lost = frozenset(name for name in before if members.get(name) != settled[name])
    coming = replicas_of(shard, members, replicas)
    known = births or {}
    holders = sorted({*coming, *before} - (lost - {*coming}))
    return Placement(shard, before, coming, lost, replicas, tuple(known.get(name, 0) for name in holders))
