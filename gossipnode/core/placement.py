"""Which replicas hold a shard, and in which order the ring visits them."""

from __future__ import annotations

from collections.abc import Iterable

from gossipnode.core.property import ShardId


def replicas_of(shard: ShardId, members: Iterable[str], replicas: int) -> tuple[str, ...]:
    """The members that hold a shard, in ring order (by name).

    With at most as many members as replicas every member holds every shard.

    Raises:
        ValueError: more members than replicas, which would need a choice among them.
    """
    names = tuple(sorted(set(members)))
    if len(names) > replicas:
        raise ValueError(
            f"{shard} has {replicas} replicas for {len(names)} members: give it as many replicas as members"
        )
    return names
