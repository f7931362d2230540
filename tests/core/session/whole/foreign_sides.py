"""A foreign peer in a session: our session rules over a store that keeps versions as the peer does."""

from __future__ import annotations

from collections.abc import Sequence

from gossipnode.core.model.property import Record
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session.foreign_peer import ForeignPeer
from tests.core.session.talk import Side, Talk, client_of, server_of
from tests.core.support import Shelf, record


class ForeignShelf(Shelf):
    """The store of a foreign peer.

    A version with the revision and the delete time of the stored one is refused, whatever it holds. Any other
    one with the stored revision replaces it: the last to arrive wins, even over a delete.
    """

    def write(self, records: Sequence[Record]) -> list[WriteOutcome]:
        return [self._take(new) for new in records]

    def _take(self, new: Record) -> WriteOutcome:
        held = self.records.get(new.entity)
        if held is not None and (
            held.version.mod_revision > new.version.mod_revision or held.version[:2] == new.version[:2]
        ):
            return WriteOutcome.OLDER
        self.records[new.entity] = new
        return WriteOutcome.STORED


def problem_of(record: Record) -> str:
    """A foreign peer that cannot store some contents."""
    return "peer cannot store it" if record.payload.endswith(b"=bad") else ""


def raised(held: Record) -> Record:
    content = held.payload.rpartition(b"=")[2].decode()
    return record(held.entity.id, held.version.mod_revision + 1, content, deleted=held.version.delete_time)


PEER = ForeignPeer(problem_of, raised, purges_before=1000)


def to_foreign(ours: Shelf, theirs: ForeignShelf) -> Talk:
    """A session that we open with a foreign server, from its beginning to its end."""
    return Talk(Side(client_of(ours, foreign=PEER), ours), Side(server_of(theirs), theirs)).run()


def from_foreign(theirs: ForeignShelf, ours: Shelf) -> Talk:
    """A session that a foreign client opens with us, from its beginning to its end."""
    return Talk(Side(client_of(theirs), theirs), Side(server_of(ours, foreign=PEER), ours)).run()
