"""What sessions with foreign peers are to know, from the settings and the clock of this node."""

from __future__ import annotations

from gossipnode.core.model.tag_value import NANOSECONDS_PER_SECOND
from gossipnode.core.session.foreign_peer import ForeignPeer
from gossipnode.node.local.clock import Clock
from gossipnode.wire.property.foreign_limits import problem_at_peer

FOREIGN_MESSAGE_MAX_BYTES = 10 << 20
"""The largest message of a session with a foreign peer: a record that is too large for us, or a page of the
leaves of a whole slot. Between own nodes no message is above 4 MiB."""


def foreign_peer(clock: Clock, retention_seconds: float) -> ForeignPeer:
    """A foreign peer that purges tombstones `retention_seconds` after the delete."""
    return ForeignPeer(
        problem_of=problem_at_peer,
        purges_before=clock.now() - int(retention_seconds * NANOSECONDS_PER_SECOND),
    )
