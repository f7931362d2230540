"""Feeds of changes between nodes, as messages and back."""

from __future__ import annotations

from typing import NamedTuple

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.watch.told_change import FeedPage, ToldChange, purged_change
from gossipnode.core.watch.watch_plan import WatchFeed
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.replica.arrival_codec import decode_arrival, fill_arrival
from gossipnode.wire.replica.stamp_codec import decode_stamp, fill_version
from gossipnode.wire.replica.stored_record import decode_stored_record, fill_stored_record
from gossipnode.wire.wire_errors import WireError

FEED_SHARDS_MAX = 65_536


class FeedAsked(NamedTuple):
    """What a node asks of a replica."""

    birth: int
    """The birth of the store that it means."""
    shards: list[ShardId]
    since: int | None
    mark: int | None


def encode_feed(group: str, incarnation: int, feed: WatchFeed) -> pb.ChangesRequest:
    """Ask for the changes of some shards of a group."""
    request = pb.ChangesRequest(group=group, incarnation=incarnation, shards=feed.shards, birth=feed.birth)
    if feed.since is not None:
        request.since = feed.since
    if feed.mark is not None:
        request.mark = feed.mark
    return request


def decode_feed(request: pb.ChangesRequest) -> FeedAsked:
    """What is asked for.

    Raises:
        WireError: no shard, or too many.
    """
    if not 0 < len(request.shards) <= FEED_SHARDS_MAX:
        raise WireError(f"ChangesRequest.shards: {len(request.shards)}, expected 1 to {FEED_SHARDS_MAX}")
    shards = [ShardId(request.group, number, request.incarnation) for number in sorted(set(request.shards))]
    since = request.since if request.HasField("since") else None
    return FeedAsked(request.birth, shards, since, request.mark if request.HasField("mark") else None)


def encode_changes(page: FeedPage) -> pb.ChangesPage:
    """Some changes of this node's store."""
    message = pb.ChangesPage(sequence=page.sequence, ready=page.ready, mark=page.mark)
    for change in page.changes:
        told = message.changes.add(shard=change.shard, sequence=change.sequence)
        if change.purged:
            told.purged.name, told.purged.id = change.record.entity[1:]
            continue
        fill_stored_record(told.record, change.record)
        if change.arrival is not None:
            fill_arrival(told.arrival, change.arrival)
        if change.replaced is not None:
            fill_version(told.replaced, Version(*change.replaced, b""))
        if change.old is not None:
            told.old = change.old
    return message


def decode_changes(group: str, message: pb.ChangesPage) -> FeedPage:
    """Some changes of another node's store.

    Raises:
        WireError: a record that no replica of this group can hold.
    """
    changes: list[ToldChange] = []
    for told in message.changes:
        if told.HasField("purged"):
            entity = Entity(group, told.purged.name, told.purged.id)
            changes.append(purged_change(told.shard, entity, told.sequence))
            continue
        record = _record(group, told)
        changes.append(
            ToldChange(
                told.shard,
                record,
                told.sequence,
                decode_arrival(told.arrival) if told.HasField("arrival") else None,
                _replaced(told),
                told.old or None,
            )
        )
    return FeedPage(changes, message.sequence, message.ready, message.mark)


def _record(group: str, told: pb.ChangesPage.Change) -> Record:
    record = decode_stored_record(told.record)
    if record.entity.group != group:
        raise WireError(f"ChangesPage.changes: a record of another group, {record.entity.group[:80]!r}")
    return record


def _replaced(told: pb.ChangesPage.Change) -> tuple[int, int] | None:
    if not told.HasField("replaced"):
        return None
    return (
        decode_stamp("Change.replaced", told.replaced.mod_revision),
        decode_stamp("Change.replaced", told.replaced.delete_time),
    )
