"""Changes of the store as watches tell them, and the events that tell them, encoded once for all watches."""

from __future__ import annotations

from gossipnode.core.watch.told_change import ToldChange
from gossipnode.core.watch.watch_filter import EventKind
from gossipnode.store.follower import StoredChange
from gossipnode.wire.replica.arrival_codec import decode_kept_arrival
from gossipnode.wire.watch_codec import encode_change_event, encode_purge_event


def told_of(change: StoredChange) -> ToldChange:
    """A change of this node's own store."""
    replaced = change.replaced
    return ToldChange(
        change.shard.shard,
        change.record,
        change.sequence,
        decode_kept_arrival(change.arrival),
        None if replaced is None else (replaced.mod_revision, replaced.delete_time),
        None if replaced is None or replaced.delete_time else replaced.payload,
    )


def event_of(change: ToldChange, kind: EventKind) -> bytes:
    """A change as an event of this kind."""
    event = change.events.get(kind)
    if event is None:
        if change.purged:
            event = encode_purge_event(change.record.entity)
        else:
            event = encode_change_event(kind, change.record, change.old, change.arrival)
        change.events[kind] = event
    return event
