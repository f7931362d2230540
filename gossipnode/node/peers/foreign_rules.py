"""What sessions with foreign peers are to know, from the settings and the clock of this node."""

from __future__ import annotations

from gossipnode.core.model.property import Record
from gossipnode.core.model.tag_value import NANOSECONDS_PER_SECOND
from gossipnode.core.session.foreign_peer import ForeignPeer
from gossipnode.node.local.clock import Clock
from gossipnode.wire.property.canonical_json import Spacing, leaf_digest, other_spacing
from gossipnode.wire.property.foreign_limits import problem_at_peer
from gossipnode.wire.property.payload import with_next_revision

FOREIGN_MESSAGE_MAX_BYTES = 10 << 20
"""The largest message of a session with a foreign peer: a record that is too large for us, or a page of the
leaves of a whole slot. Between own nodes no message is above 4 MiB."""


def foreign_peer(clock: Clock, retention_seconds: float, spoken: Spacing) -> ForeignPeer:
    """A foreign peer that purges tombstones `retention_seconds` after the delete.

    It is expected to speak the dialect `spoken`.
    """
    other = other_spacing(spoken)

    def other_sha(record: Record) -> str:
        return leaf_digest(record.payload, record.version.delete_time, other).hex()

    return ForeignPeer(
        raised=with_next_revision,
        other_sha=other_sha,
        problem_of=problem_at_peer,
        purges_before=clock.now() - int(retention_seconds * NANOSECONDS_PER_SECOND),
    )
