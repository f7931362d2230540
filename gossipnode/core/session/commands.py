"""The commands that a tree session gives to its caller, and what the caller owes the session.

A session is an object without I/O. It is handed what the peer says and what the store answers, and it gives
commands. It never waits, and it keeps a record no longer than it takes to store or send it. Its caller must:

- Call `receive(message)` for every message, in order. Go on reading while a `Send` is still on its way: if
  both sides stopped reading because their sending is blocked, both would wait for ever. Stop reading only
  while `unwritten_full` is true.
- Call `next_command()` whenever something was handed in and whenever a command was done, until it gives None.
  Carry out one command at a time, in order. Answer `ReadTree`, `ReadLeaves` and `FetchRecords` by calling the
  method that each of them names, and carry out the commands that this method returns before the next one.
  `Finish` is the last command.
- Call `next_write()` at the same times, beside the commands, and answer each `Write` by calling `written`.
- Call `peer_ended()` when the peer has ended its half of the stream in good order.
- When a method raises `SessionViolationError`, the session is over. Tell the peer why, with a status.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.session.messages import ClientMessage, ServerMessage
from gossipnode.core.session.reconcile.reconcile_messages import ReconcileMessage

EXAMPLE_MAX_CHARACTERS = 128
"""What is kept of the key of a record that was left out, so that an operator can look for it."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send these messages, in order."""

    messages: tuple[ClientMessage | ServerMessage | ReconcileMessage, ...]


@dataclass(frozen=True, slots=True)
class HalfClose:
    """Tell the peer that nothing more will be sent, and go on reading."""


@dataclass(frozen=True, slots=True)
class ReadTree:
    """Read the tree of a shard. Answer with `tree_read`."""

    shard: ShardId


@dataclass(frozen=True, slots=True)
class ReadLeaves:
    """Read up to `limit` leaves of a slot after `after`, in entity order. Answer with `leaves_read`."""

    slot: int
    after: Entity | None
    limit: int


@dataclass(frozen=True, slots=True)
class FetchRecords:
    """Read these records. Answer with `records_read`, in this order, with None for each that is not held."""

    entities: tuple[Entity, ...]


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """Give the item index of a shard. Answer with `index_read`."""

    shard: ShardId


@dataclass(frozen=True, slots=True)
class FetchNumbered:
    """Read the records with these numbers.

    Answer with `numbered_read`, in this order, with None for each that is not held.
    """

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FetchPage:
    """Read up to `limit` records that come after `after`, in the order of the tree.

    Answer with `page_read`.
    """

    after: Entity | None
    limit: int


@dataclass(frozen=True, slots=True)
class Write:
    """Store these records. Answer with `written` once they are durable."""

    records: tuple[Record, ...]


class SessionEnd(Enum):
    """How a session ended."""

    EQUAL = "equal"
    """The roots are equal."""
    REPAIRED = "repaired"
    """Both sides have sent what the other one lacked."""
    NO_TREE = "no tree"
    """The server holds no such shard."""
    OTHER_KEY = "other key"
    """The two sides make their hashes with different keys, and can compare nothing by them."""
    OTHER_TREE = "other tree"
    """The two sides hold the same, and a digest of a tree is wrong: the trees are to be compared."""
    STILL_DIFFERS = "still differs"
    """All that was found is exchanged, and the roots differ: two hashes are alike by chance."""
    OTHER_DIALECT = "other dialect"
    """The server writes the JSON of its leaves in the other way: the session is to begin again with that."""
    VERDICT = "verdict"
    """The roots differ, and the client ended the session there: it wanted to know no more."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The session is over in good order: everything owed was sent, and everything taken is durable."""

    end: SessionEnd


@dataclass(frozen=True, slots=True)
class Rest:
    """Let other tasks run, then ask for the next command: a large page is compared in several steps."""


Step: TypeAlias = Send | HalfClose | Finish
"""A command that reads nothing."""

Command: TypeAlias = Step | Rest | ReadTree | ReadLeaves | FetchRecords
"""A command of a tree session."""

ReconcileCommand: TypeAlias = Step | ReadIndex | FetchNumbered | FetchPage
"""A command of a reconcile session."""


@dataclass(slots=True)
class SessionCounts:
    """How many records a session sent and received, and how many it had to leave out."""

    sent: int = 0
    received: int = 0
    skipped: int = 0
    reasons: dict[str, int] = field(default_factory=dict[str, int])
    """Why records were left out: one of a few fixed texts, and how often it applied."""
    examples: dict[str, str] = field(default_factory=dict[str, str])
    """The key of the first record that was left out for a reason, where a key was given."""

    def skip(self, reason: str, records: int = 1, *, such_as: str = "") -> None:
        """Count records that this session leaves out. `such_as` is the key of one of them."""
        self.skipped += records
        self.reasons[reason] = self.reasons.get(reason, 0) + records
        if such_as:
            self.examples.setdefault(reason, such_as[:EXAMPLE_MAX_CHARACTERS])

    def reasons_text(self) -> str:
        """`1 never given by the peer, such as sw/n/a, 2 not storable`."""
        return ", ".join(
            f"{count} {why}, such as {self.examples[why]}" if why in self.examples else f"{count} {why}"
            for why, count in sorted(self.reasons.items())
        )
