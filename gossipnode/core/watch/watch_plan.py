"""Which replicas a watch listens to. The node asked comes first, and a replica of which the watch knows more.

A watch goes on where it stands only at the store whose commits it has followed. At another replica the
records come first as they are, tombstones as well: an event may then come twice, and versions that were
overwritten meanwhile are left out, but the last version of no record is missed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from gossipnode.core.watch.watch_token import FeedPosition


class WatchFeed(NamedTuple):
    """What a watch asks of one replica."""

    node: str
    birth: int
    shards: tuple[int, ...]
    since: int | None
    """The commit after which changes are wanted; None: the records as they are come first."""
    again: bool
    """Whether the watch has told of these shards before: then tombstones count as changes, too."""
    mark: int | None = None
    """See `FeedPosition.mark`: a replica that has purged more since cannot tell what was deleted."""


class FeedPlan(NamedTuple):
    """The feeds that a watch needs, and the shards for which no replica can be asked now."""

    feeds: tuple[WatchFeed, ...]
    waiting: frozenset[int]


def plan_feeds(
    own: str,
    sources: Mapping[int, Collection[str]],
    births: Mapping[str, int],
    positions: Iterable[FeedPosition],
) -> FeedPlan:
    """Choose a replica for each shard.

    Args:
        own: the node that is asked.
        sources: the replicas of each shard that hold all of its records, in ring order.
        births: the births of the stores of all members that can be asked now.
        positions: where the watch stands.
    """
    stand = {shard: position for position in positions for shard in position.shards}
    found: dict[tuple[str, int | None, bool, int | None], list[int]] = {}
    waiting: set[int] = set()
    for shard in sorted(sources):
        usable = [name for name in sources[shard] if name in births]
        before = stand.get(shard)
        if before is not None and before.node in usable and births[before.node] == before.birth:
            found.setdefault((before.node, before.sequence, True, before.mark), []).append(shard)
        elif usable:
            node = own if own in usable else usable[0]
            mark = None if before is None else before.mark
            found.setdefault((node, None, before is not None, mark), []).append(shard)
        else:
            waiting.add(shard)
    feeds = tuple(
        WatchFeed(node, births[node], tuple(shards), since, again, mark)
        for (node, since, again, mark), shards in found.items()
    )
    return FeedPlan(feeds, frozenset(waiting))
