"""Which operation wrote a value: a history in which every value of a tag is the number of its writer.

Checks ask of each value that is shown who wrote it. If several operations wrote the same value of the same tag
of a key, that cannot be told, and the tag is left out for that key. A value that nobody wrote gets a number
below 0.
"""

from __future__ import annotations

from dataclasses import replace

from gossipnode.sim.history.history import History, Replica
from gossipnode.sim.history.operations import (
    Apply,
    Heard,
    Import,
    Operation,
    Row,
    Rows,
    Stored,
    Tags,
)


class Writers:
    """The writer of each value of each tag of each key."""

    def __init__(self, history: History) -> None:
        """Look at what every operation was asked to write."""
        self._writers: dict[tuple[str, str, int], int] = {}
        self._ambiguous: set[tuple[str, str]] = set()
        for operation in history.operations:
            if isinstance(operation.asked, Apply | Import):
                for key in operation.keys:
                    for tag, value in operation.asked.tags.items():
                        self._note(key, tag, value, operation.number)

    def _note(self, key: str, tag: str, value: int, number: int) -> None:
        if self._writers.setdefault((key, tag, value), number) != number:
            self._ambiguous.add((key, tag))

    def tags(self, key: str, tags: Tags) -> Tags:
        """The tags of a record with numbers of writers in place of their values."""
        return {
            tag: self._writers.get((key, tag, value), -1 - abs(value))
            for tag, value in tags.items()
            if (key, tag) not in self._ambiguous
        }

    def row(self, row: Row) -> Row:
        """A record that was read."""
        return replace(row, tags=self.tags(row.key, row.tags))

    def operation(self, operation: Operation) -> Operation:
        """An operation, with what was asked and heard."""
        asked, heard = operation.asked, operation.heard
        if isinstance(asked, Apply):
            asked = replace(asked, tags=self.tags(asked.key, asked.tags))
        elif isinstance(asked, Import) and asked.tags:
            asked = replace(asked, tags=dict.fromkeys(asked.tags, operation.number))
        return replace(operation, asked=asked, heard=self._heard(operation, heard))

    def _heard(self, operation: Operation, heard: Heard | None) -> Heard | None:
        match heard:
            case Stored(_, tags):
                return replace(heard, tags=self.tags(operation.keys[0], tags))
            case Row():
                return self.row(heard)
            case Rows(rows):
                return Rows(tuple(map(self.row, rows)))
            case _:
                return heard

    def replica(self, replica: Replica) -> Replica:
        """What a store held at the end."""
        held = {
            key: (revision, deleted, self.tags(key, tags))
            for key, (revision, deleted, tags) in replica.held.items()
        }
        return replace(replica, held=held)


def by_writers(history: History) -> History:
    """The history with the number of its writer in place of every value."""
    writers = Writers(history)
    return replace(
        history,
        operations=[writers.operation(operation) for operation in history.operations],
        replicas={
            shard: [writers.replica(replica) for replica in replicas]
            for shard, replicas in history.replicas.items()
        },
    )
