"""Sessions whose peer says what it likes: well-formed messages in any order, about anything.

Whatever it says, our side raises nothing but SessionViolationError, stores only records that the peer has
sent and that belong here, says no more than it was asked for, and is over once the peer has ended.
"""

from __future__ import annotations

from typing import Any

from gossipnode.core.model.errors import SessionViolationError
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.session.commands import Command, ReadTree
from gossipnode.core.session.messages import (
    AnswerTo,
    DifferSummary,
    PageLeaf,
    PropertyAnswer,
    PropertyMissing,
    PropertySync,
    RootCompare,
    TreeRoot,
    TreeSlots,
    Unreadable,
    WaitNextDiffer,
)
from gossipnode.core.session.tree import SlotDigest
from gossipnode.core.session.tree_client import TreeClient
from gossipnode.core.session.tree_server import TreeServer
from tests.core.session.talk import Message, Side, client_of, is_at_home, server_of
from tests.core.support import SHARD, Shelf, id_in_slot, record, sha_of
from tests.fuzz.tape import Tape

STEP_BYTES = 64
"""What one message counts for when the cost of an input is judged."""

IDS = [id_in_slot(slot, nth) for slot in (0, 3, 31) for nth in range(3)]
STAMPS = (1, 2, 3, 2**61, 2**62)
RECORDS = [
    record(id_, revision, content, deleted=deleted, group=group)
    for id_ in IDS
    for group in ("g", "h")
    for revision, content, deleted in (
        (1, "a", 0),
        (1, "b", 0),
        (2, "a", 0),
        (2, "a", 5),
        (STAMPS[-1], "a", 0),
    )
]
TEXTS = [*(each.entity.text for each in RECORDS), "", "/", "g/n", "g/n/", "g//i", "x" * 5000, "g/n/\ud800"]
SHAS = ("", "x", *(sha_of(each) for each in RECORDS[:6]))
SLOTS = (0, 3, 31, 1, 2, 30, 32, -1, 2**31 - 1)


class LiedToSide(Side):
    """Our side, which may be asked for a shard that it does not hold."""

    def _carry_out(self, command: Command) -> None:
        if isinstance(command, ReadTree) and command.shard != self.shelf.shard:
            assert isinstance(self.session, TreeServer)
            self.todo.extend(self.session.tree_read(None))
        else:
            super()._carry_out(command)


class LiedTo:
    """A session at this end, and all that its peer has said."""

    def __init__(self, tape: Tape) -> None:
        self.shelf = Shelf(tape.pick(RECORDS) for _ in range(tape.below(12)))
        self.shelf = Shelf(each for each in self.shelf.records.values() if is_at_home(each, self.shelf))
        page_leaves = 1 + tape.below(4)
        session: TreeClient | TreeServer
        session = (
            client_of(self.shelf, page_leaves=page_leaves)
            if tape.flag()
            else server_of(self.shelf, page_leaves=page_leaves)
        )
        self.side = LiedToSide(session, self.shelf)
        self.said: list[Message] = []
        self.heard: list[Message] = []
        self.entities = set(self.shelf.records)
        self.broken = False
        self.ended = False

    @property
    def over(self) -> bool:
        return self.broken or self.side.finished

    def step(self, tape: Tape) -> None:
        """One thing happens; a violation ends the session."""
        try:
            match tape.below(8):
                case 0 | 1 | 2 | 3:
                    self.say(
                        self.client_lie(tape)
                        if isinstance(self.side.session, TreeServer)
                        else self.server_lie(tape)
                    )
                case 4:
                    self.settle()
                case 5:
                    self.side.step_command()
                case 6:
                    self.side.step_write_begin()
                case _ if tape.flag():
                    self.end()
                case _:
                    self.side.step_write_end()
        except SessionViolationError:
            self.broken = True
        self.check()

    def say(self, message: Any) -> None:
        """The peer says something. While we do not read, it stays on its way."""
        if self.ended or self.over:
            return
        while self.side.session.unwritten_full:
            assert self.side.step_write_end() or self.side.step_write_begin(), "it reads no more"
        self.said.append(message)
        self.side.session.receive(message)

    def settle(self) -> None:
        self.heard += self.side.settle()

    def end(self) -> None:
        if not self.ended and not self.over:
            self.ended = True
            self.side.session.peer_ended()

    def finish(self) -> None:
        """The peer has said all. The session is over, in one way or the other."""
        try:
            self.end()
            self.settle()
        except SessionViolationError:
            self.broken = True
        self.check()
        assert self.over, "the session neither ends nor waits for its peer"

    def check(self) -> None:
        """What always holds."""
        sent = [each.record for each in self.said if isinstance(each, PropertySync | PropertyAnswer)]
        for stored in self.shelf.records.values():
            assert stored.entity in self.entities or any(stored is each for each in sent), (
                "a record from nowhere"
            )
            assert is_at_home(stored, self.shelf)
        counts = self.side.session.counts
        assert counts.received <= len(sent)
        if isinstance(self.side.session, TreeServer):
            self.check_server(len(sent))
        else:
            self.check_client()

    def _number(self, messages: list[Message], *kinds: type) -> int:
        return sum(isinstance(each, kinds) for each in messages)

    def check_server(self, syncs: int) -> None:
        asked = self._number(self.said, PropertyMissing)
        assert self._number(self.heard, PropertyAnswer) <= asked + syncs, "more answers than questions"
        assert self._number(self.heard, DifferSummary) <= 1 + self._number(self.said, WaitNextDiffer)
        assert self._number(self.heard, RootCompare) <= 1

    def check_client(self) -> None:
        leaves = sum(len(each.leaves) for each in self.said if isinstance(each, DifferSummary))
        assert self._number(self.heard, PropertyMissing) <= leaves, "it asks for what it was not shown"
        assert self._number(self.heard, WaitNextDiffer) <= self._number(self.said, DifferSummary)
        assert self._number(self.heard, PropertySync) <= 2 * len(self.shelf.records), "the same record again"

    # Lies

    def root(self, tape: Tape) -> str:
        return tape.pick((self.shelf.tree().root, "", "x"))

    def record(self, tape: Tape) -> Record | Unreadable:
        return Unreadable("why") if tape.byte() > 0xF0 else tape.pick(RECORDS)

    def client_lie(self, tape: Tape) -> Message:
        match tape.below(5):
            case 0:
                shard = tape.pick((SHARD, ShardId("h", 0), ShardId("g", 7), ShardId("", -1)))
                return TreeRoot(shard.group, shard.shard, tape.pick(("", "x", self.root(tape))))
            case 1:
                own = self.shelf.tree().slots
                if tape.flag():
                    return TreeSlots(own[: tape.below(4)])
                return TreeSlots(
                    tuple(SlotDigest(tape.pick(SLOTS), tape.pick(SHAS)) for _ in range(tape.below(6)))
                )
            case 2:
                return PropertyMissing(tape.pick(TEXTS))
            case 3:
                return PropertySync(self.record(tape))
            case _:
                return WaitNextDiffer()

    def server_lie(self, tape: Tape) -> Message:
        match tape.below(4):
            case 0:
                return RootCompare(tree_found=tape.below(4) != 0, root_match=tape.below(4) == 1)
            case 1:
                return DifferSummary(tuple(self.leaf(tape) for _ in range(tape.below(7))))
            case _:
                return PropertyAnswer(tape.pick(list(AnswerTo)), self.record(tape))

    def leaf(self, tape: Tape) -> PageLeaf:
        return PageLeaf(tape.pick(SLOTS), tape.below(4) != 0, tape.pick(TEXTS), tape.pick(SHAS))


def play(first: bytes, steps: tuple[bytes, ...]) -> int:
    """A whole session; gives what it is worth in bytes."""
    lied_to = LiedTo(Tape(first))
    for step in steps:
        if lied_to.over:
            break
        lied_to.step(Tape(step))
    lied_to.finish()
    return STEP_BYTES * (2 + len(lied_to.said) + len(lied_to.heard) + len(steps))
