"""What the tests of clusters share: values of the metadata, and placements, made from few words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import ParamSpec

from gossipnode.core.cluster import changes
from gossipnode.core.cluster.changes import Steps, first_epoch
from gossipnode.core.cluster.cluster_metadata import (
    ClusterMetadata,
    Group,
    Identity,
    Member,
    MemberLayout,
    with_names_in_order,
)
from gossipnode.core.cluster.placement import Placement
from gossipnode.core.model.property import ShardId

CLUSTER_ID = b"0123456789abcdef"
KEY = b"fedcba9876543210"

P = ParamSpec("P")

Births = Mapping[str, int]
"""Members of one letter, each with the birth of its store."""


def member(name: str, birth: int = 0, *, leaving: bool = False) -> Member:
    return Member(name, f"{name}:1", birth, leaving)


def born(names: Iterable[str]) -> dict[str, int]:
    """These members, each with its first store."""
    return dict.fromkeys(names, 0)


def layout(births: Births, replicas: Mapping[str, int] | None = None) -> MemberLayout:
    return MemberLayout(tuple(Identity(name, births[name]) for name in sorted(births)), replicas or {})


def formed(names: str = "abc", *groups: Group, foreign: Mapping[str, str] | None = None) -> ClusterMetadata:
    """The first epoch of a cluster of these members, all with their first stores."""
    return first_epoch(CLUSTER_ID, KEY, [member(name) for name in names], groups, foreign)


def moving(
    settled: Births, members: Births, *groups: Group, leaving: Collection[str] = ()
) -> ClusterMetadata:
    """A value in which every shard lies by `settled`, and is to lie by those of `members` that stay."""
    here = with_names_in_order(
        member(name, birth, leaving=name in leaving) for name, birth in members.items()
    )
    staying = {name: birth for name, birth in members.items() if name not in leaving}
    still = dict(settled) == staying
    return ClusterMetadata(
        epoch=7,
        cluster_id=CLUSTER_ID,
        key=KEY,
        members=here,
        groups={group.name: group for group in groups},
        layouts=(layout(staying),) if still else (layout(settled), layout(staying)),
        lies={} if still else {group.name: (0,) * group.shards for group in groups},
    )


def place(
    shard: ShardId, replicas: int, *, settled: Births, members: Births, leaving: Collection[str] = ()
) -> Placement:
    """The placement of a shard that lies by `settled` and is to lie by those of `members` that stay."""
    group = Group(shard.group, shards=shard.shard + 1, replicas=replicas, incarnation=shard.incarnation)
    return moving(settled, members, group, leaving=leaving).place(shard)


def finished(made: ClusterMetadata | Steps) -> ClusterMetadata:
    """The value that a change makes, in however many steps."""
    if isinstance(made, ClusterMetadata):
        return made
    values: list[ClusterMetadata] = []

    def run() -> Iterator[None]:
        values.append((yield from made))

    assert all(step is None for step in run())
    return values[0]


def _at_once(change: Callable[P, Steps]) -> Callable[P, ClusterMetadata]:
    def made(*args: P.args, **kwargs: P.kwargs) -> ClusterMetadata:
        return finished(change(*args, **kwargs))

    return made


drop = _at_once(changes.drop)
replace_member = _at_once(changes.replace_member)
settle = _at_once(changes.settle)
