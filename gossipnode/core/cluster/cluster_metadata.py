"""The cluster metadata: who is a member, which groups there are, and by which members each shard lies.

It is one small value, numbered by epochs. A majority of the members of one epoch decides the next one, see
`acceptor.py`; `changes.py` has the changes. Two nodes at the same epoch of a cluster have the same value.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from gossipnode.core.cluster.placement import AckLevel, Placement, score
from gossipnode.core.cluster.rankings import Names, Rankings
from gossipnode.core.model.errors import CoreError
from gossipnode.core.model.limits import (
    GROUP_INDEXES_MAX,
    GROUP_MAX_BYTES,
    REPLICAS_MAX,
    RETENTION_MAX_SECONDS,
    SHARDS_MAX,
    TAG_KEY_MAX_BYTES,
)
from gossipnode.core.model.property import FIRST_EPOCH, ShardId

SYSTEM_GROUP_PREFIX = "_"
"""Names of groups that begin with it are reserved for the system."""

CLUSTER_ID_BYTES = 16
CLUSTER_KEY_BYTES = 16
"""Random bits that are drawn when a cluster is formed."""

LAYOUTS_MAX = 255
"""Layouts that shards may lie by at once. A change that would need another one has to wait."""


class InvalidGroupError(CoreError):
    """A definition that no group may have. The message names the field, and what it may hold."""


class Identity(NamedTuple):
    """One store of one member. A member whose disk is replaced has another birth, and holds nothing yet."""

    name: str
    birth: int
    """64 random bits, drawn when the store was made."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the cluster."""

    name: str
    address: str
    birth: int = 0
    leaving: bool = False
    """Whether it was told to go. It votes, and is a source, until all it holds has been handed over."""

    @property
    def identity(self) -> Identity:
        """Name and birth."""
        return Identity(self.name, self.birth)


@dataclass(frozen=True, slots=True)
class Group:
    """The definition of a group."""

    name: str
    shards: int = 1
    replicas: int = 3
    ack: AckLevel = AckLevel.QUORUM
    tombstone_retention_seconds: int = 7 * 24 * 3600
    indexes: tuple[str, ...] = ()
    incarnation: int = FIRST_EPOCH
    """The epoch that created it. The same name made later is another incarnation."""


@dataclass(frozen=True, slots=True)
class MemberLayout:
    """The members that shards are laid out over."""

    members: tuple[Identity, ...]
    """In ring order."""
    replicas: Mapping[str, int] = field(default_factory=dict[str, int])
    """The numbers of replicas of groups that had another one than today."""


@dataclass(frozen=True)
class ClusterMetadata:
    """Members, groups and layouts of one epoch. Make one by `changes`, never by hand."""

    epoch: int
    cluster_id: bytes
    members: Mapping[str, Member]
    """By name, in ring order; those that leave are among them."""
    groups: Mapping[str, Group]
    """By name, in order. A group that is not here does not exist."""
    layouts: tuple[MemberLayout, ...]
    """Those that some shard still lies by. The last one is where all shards are to lie."""
    lies: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    """For each group with a shard that does not lie by the last layout: the layout of each shard."""
    movers: Mapping[str, int] = field(default_factory=dict[str, int])
    """The members that came or went since all shards last lay where they belong, with the epoch of it."""
    altered: Mapping[str, int] = field(default_factory=dict[str, int])
    """The groups whose number of replicas changed since then, with the epoch of it."""
    forgotten: frozenset[str] = frozenset()
    """Names of members that were forgotten, and have not joined again."""
    foreign: Mapping[str, str] = field(default_factory=dict[str, str])
    """Peers of another kind, with their addresses. They stand in every ring and vote on nothing."""
    key: bytes = field(default=b"", repr=False)
    """A secret of the members, for digests that nobody else can foresee. It is shown nowhere."""
    rankings: Rankings = field(default_factory=Rankings, compare=False, repr=False)
    """What is remembered for `place`. It is no part of the value."""

    def __post_init__(self) -> None:
        """Check what placements rely on."""
        assert self.layouts, "no layout"
        staying = tuple(each.identity for each in self.members.values() if not each.leaving)
        assert self.layouts[-1].members == staying, (self.layouts[-1].members, staying)

    @property
    def voters(self) -> Mapping[str, int]:
        """Who decides the next epoch: every member with its birth, those that leave too."""
        return {name: member.birth for name, member in self.members.items()}

    @property
    def is_settled(self) -> bool:
        """Whether every shard lies where it belongs."""
        return not self.lies

    def is_member(self, identity: Identity) -> bool:
        """Whether a store is one of the members'."""
        member = self.members.get(identity.name)
        return member is not None and member.birth == identity.birth

    def foreign_of(self, shard: ShardId) -> Mapping[str, str]:
        """The foreign members in the ring of a shard. They know the groups of the configuration alone."""
        return self.foreign if shard.incarnation == FIRST_EPOCH else {}

    def shards(self, groups: Container[str] | None = None) -> Iterator[ShardId]:
        """Every shard of every group, or of these groups, in order."""
        for group in self.groups.values():
            if groups is not None and group.name not in groups:
                continue
            for number in range(group.shards):
                yield ShardId(group.name, number, group.incarnation)

    def unsettled_shards(self) -> Iterator[ShardId]:
        """The shards that do not lie by the last layout, in order."""
        last = len(self.layouts) - 1
        for name, indexes in self.lies.items():
            group = self.groups[name]
            for number, index in enumerate(indexes):
                if index != last:
                    yield ShardId(name, number, group.incarnation)

    def remember(self, before: ClusterMetadata) -> None:
        """Go by what `before` remembers. That is for values that came from others."""
        self.rankings.take_over(before.rankings)
        self.rankings.keep(self.groups)

    def place(self, shard: ShardId, earlier: Placement | None = None) -> Placement:
        """Where a shard of a present group lies, and where it is to lie.

        If it has the same placement as `earlier`, which is of another epoch, that one is given back.
        """
        group = self.groups[shard.group]
        assert shard.incarnation == group.incarnation, shard
        assert 0 <= shard.shard < group.shards, shard
        last = len(self.layouts) - 1
        index = self._index(shard)
        settled, before = self._lay(shard, index)
        coming, replicas = (settled, before) if index == last else self._lay(shard, last)
        lost = frozenset(each.name for each in settled if not self.is_member(each))
        frame = (self.cluster_id.hex(), group.shards, *settled, "", *coming)
        if settled != coming or before != replicas:
            frame = (*frame, "", *self._turns(shard, coming, replicas))
        encoded = repr(frame).encode()
        # The frame names the stores of all replicas.
        if (
            earlier is not None
            and earlier.frame == encoded
            and (earlier.shard, earlier.lost) == (shard, lost)
            and (earlier.replicas, earlier.replicas_before) == (replicas, before)
        ):
            return earlier
        return Placement(
            shard,
            tuple(each.name for each in settled),
            tuple(each.name for each in coming),
            lost,
            replicas,
            before,
            encoded,
        )

    def settled(self, shard: ShardId) -> tuple[Identity, ...]:
        """The stores that a shard of a present group lies by."""
        return self._lay(shard, self._index(shard))[0]

    def layouts_of(self, group: Group) -> dict[int, tuple[object, ...]]:
        """For each layout that shards of a group lie by, and the last one: what decides by which stores."""
        return {
            index: (
                self.layouts[index].members,
                self.layouts[index].replicas.get(group.name, group.replicas),
                self._lost[index],
            )
            for index in {len(self.layouts) - 1, *self.lies.get(group.name, ())}
        }

    @cached_property
    def _lost(self) -> tuple[frozenset[Identity], ...]:
        """The stores of each layout that are no members any more."""
        present = {each.identity for each in self.members.values()}
        return tuple(frozenset(layout.members) - present for layout in self.layouts)

    @cached_property
    def _stores(self) -> tuple[Mapping[str, Identity], ...]:
        """The stores of each layout by name."""
        return tuple({each.name: each for each in layout.members} for layout in self.layouts)

    @cached_property
    def _names(self) -> tuple[Names, ...]:
        """The names of each layout."""
        return tuple(frozenset(stores) for stores in self._stores)

    def _index(self, shard: ShardId) -> int:
        """The layout that a shard lies by."""
        indexes = self.lies.get(shard.group)
        return len(self.layouts) - 1 if indexes is None else indexes[shard.shard]

    def _turns(self, shard: ShardId, coming: tuple[Identity, ...], replicas: int) -> list[int]:
        """The epochs in which it changed by which members a moving shard is to lie.

        They make its fence one that was never there before: who comes and goes again leaves the same
        replicas, but what was written meanwhile is not in what they filled before. A member counts that is
        among the coming replicas, or would be if it were here. So this is the same in all epochs that do not
        touch the shard.
        """
        turns = [self.altered.get(shard.group, 0)]
        names = {each.name for each in coming}
        everyone = bool(self.foreign_of(shard))
        least = b""
        if not everyone and len(names) >= replicas:
            ranks = self.rankings.ranks(shard, self._names[-1], replicas)
            least = ranks.least or min(_score(name, shard) for name in names)
        for name, epoch in self.movers.items():
            if everyone or name in names or _score(name, shard) > least:
                turns.append(epoch)
        return sorted(turns)

    def _lay(self, shard: ShardId, index: int) -> tuple[tuple[Identity, ...], int]:
        """The members that hold a shard by a layout, and how many the group asks for there.

        A foreign member holds every shard of a group. Then all of our own do, so that each round meets them.
        """
        layout, group = self.layouts[index], self.groups[shard.group]
        if self.foreign_of(shard):
            return layout.members, len(layout.members)
        replicas = layout.replicas.get(group.name, group.replicas)
        stores = self._stores[index]
        ranks = self.rankings.ranks(shard, self._names[index], replicas)
        return tuple([stores[name] for name in ranks.names]), replicas


def _score(name: str, shard: ShardId) -> bytes:
    return score(name, shard.group, shard.shard)


def with_names_in_order(members: Iterable[Member]) -> dict[str, Member]:
    """Members by name, in ring order."""
    return {member.name: member for member in sorted(members, key=lambda member: member.name)}


def check_group(group: Group) -> None:
    """Refuse a definition that no group may have.

    Raises:
        InvalidGroupError: names the field that is wrong.
    """
    try:
        size = len(group.name.encode())
    except UnicodeEncodeError:
        raise InvalidGroupError(f"name: {group.name[:80]!r} is no valid Unicode text") from None
    if not group.name or size > GROUP_MAX_BYTES or "/" in group.name:
        raise InvalidGroupError(
            f'name: expected 1 to {GROUP_MAX_BYTES} bytes without "/", got {group.name[:80]!r}'
        )
    if not group.name.isprintable():
        raise InvalidGroupError(f"name: expected printable characters, got {group.name[:80]!r}")
    for what, value, most in (
        ("shards", group.shards, SHARDS_MAX),
        ("replicas", group.replicas, REPLICAS_MAX),
    ):
        if not 1 <= value <= most:
            raise InvalidGroupError(f"{what}: expected 1 to {most}, got {value}")
    if group.tombstone_retention_seconds < 1:
        raise InvalidGroupError("tombstone_retention: expected a time above 0")
    if group.tombstone_retention_seconds > RETENTION_MAX_SECONDS:
        raise InvalidGroupError(
            f"tombstone_retention: expected {RETENTION_MAX_SECONDS} s at most, "
            f"got {group.tombstone_retention_seconds} s"
        )
    if group.ack is AckLevel.LOCAL:
        raise InvalidGroupError("ack: expected one, quorum or all")
    if len(group.indexes) > GROUP_INDEXES_MAX:
        raise InvalidGroupError(f"indexes: expected {GROUP_INDEXES_MAX} at most, got {len(group.indexes)}")
    for tag in group.indexes:
        if not tag or len(tag.encode("utf-8", "surrogatepass")) > TAG_KEY_MAX_BYTES:
            raise InvalidGroupError(f"indexes: {tag[:80]!r} is no tag key")
