"""The server's side of a tree session. The server is the successor of the holder.

It judges the client's root, finds in one pass which slots differ, sends its leaves of those slots page by
page, and answers what the client asks after each page. It ends the stream itself, once everything that it
took is durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from gossipnode.core.model.errors import InvalidEntityError, SessionViolationError
from gossipnode.core.model.limits import PEER_STAMP_MAX_NANOSECONDS, SLOT_COUNT
from gossipnode.core.model.property import Entity, Record, ShardId, parse_entity
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session.commands import (
    Command,
    FetchRecords,
    Finish,
    ReadLeaves,
    ReadTree,
    Send,
    SessionEnd,
    Write,
)
from gossipnode.core.session.foreign_peer import ForeignPeer, check_slot_count, is_kept_back, is_purged_there
from gossipnode.core.session.intake import Intake
from gossipnode.core.session.lanes import OwedLane
from gossipnode.core.session.messages import (
    AnswerTo,
    ClientMessage,
    DifferSummary,
    PageLeaf,
    PropertyAnswer,
    PropertyMissing,
    PropertySync,
    RootCompare,
    TreeRoot,
    TreeSlots,
)
from gossipnode.core.session.revision_ties import RevisionTies
from gossipnode.core.session.tree import Leaf, SlotDigest, Tree, compare_slots

PAGE_MAX_BYTES = 1 << 20
"""A page of leaves ends at this size, however few leaves it holds; it always holds one."""

LEAF_OVERHEAD_BYTES = 160
"""What a leaf takes on a page beside its entity: its digest in hex, its slot, and the framing."""


class _ServerPhase(Enum):
    """What the server does next, or waits for."""

    ROOT = auto()
    """It waits for the client's root."""
    READ_TREE = auto()
    """It asks for its own tree."""
    TREE = auto()
    """It waits for its own tree."""
    SLOTS = auto()
    """It waits for the client's slots."""
    PAGE = auto()
    """It sends the next page."""
    WAIT = auto()
    """It serves the client until the client is done with the page."""
    LAST_WAIT = auto()
    """It serves the client until the client is done with the last page, which is empty."""
    DRAIN = auto()
    """The client has said all that it has to say; the store still writes."""
    OVER = auto()


_EXPECTED = {
    _ServerPhase.ROOT: "tree_root",
    _ServerPhase.READ_TREE: "nothing before root_compare",
    _ServerPhase.TREE: "nothing before root_compare",
    _ServerPhase.SLOTS: "tree_slots",
    _ServerPhase.PAGE: "property_missing or property_sync, and wait_next_differ only after the next page",
    _ServerPhase.WAIT: "property_missing, property_sync or wait_next_differ",
    _ServerPhase.LAST_WAIT: "property_missing, property_sync or wait_next_differ",
    _ServerPhase.DRAIN: "no more than property_sync after the last wait_next_differ",
    _ServerPhase.OVER: "nothing after the end",
}

# In which phases the client may say wait_next_differ, property_missing and property_sync.
_SERVING = (_ServerPhase.WAIT, _ServerPhase.LAST_WAIT)
_MAY_ASK = (_ServerPhase.PAGE, *_SERVING)
_MAY_SYNC = (_ServerPhase.SLOTS, *_MAY_ASK, _ServerPhase.DRAIN)


class TreeServer:
    """One tree session, on the server's side. `core.session.commands` says what a caller owes it."""

    def __init__(
        self,
        shards: dict[str, int],
        *,
        page_leaves: int,
        stamp_max: int = PEER_STAMP_MAX_NANOSECONDS,
        foreign: ForeignPeer | None = None,
    ) -> None:
        """Serve the groups of `shards`, which maps each to its number of shards.

        `page_leaves` is how many leaves a page holds at most. Records stamped above `stamp_max` are left out.
        `foreign` says what a client that is not ours cannot take.
        """
        self._intake = Intake(shards, stamp_max=stamp_max)
        self.counts = self._intake.counts
        self._page_leaves = page_leaves
        self._foreign = foreign
        self._ties = RevisionTies(None if foreign is None else foreign.raised)
        self._phase = _ServerPhase.ROOT
        self._end = SessionEnd.REPAIRED
        self._client_ended = False
        self._drained = False
        self._root = ""
        self._tree = Tree("", ())
        self._owed = OwedLane()
        self._answering: list[tuple[Entity, AnswerTo]] = []
        self._client_slots: list[SlotDigest] = []
        self._mismatch: list[int] = []
        self._missing: tuple[int, ...] = ()
        self._after: Entity | None = None

    # What the peer says

    def receive(self, message: ClientMessage) -> None:
        """Take one message of the client.

        Raises:
            SessionViolationError: the protocol does not allow it now.
        """
        phase = self._phase
        if isinstance(message, TreeRoot):
            self._require(phase is _ServerPhase.ROOT, "tree_root")
            self._intake.shard = ShardId(message.group, message.shard)
            self._root = message.sha
            self._phase = _ServerPhase.READ_TREE
        elif isinstance(message, TreeSlots):
            self._require(phase is _ServerPhase.SLOTS, "tree_slots")
            self._slots_received(message)
        elif isinstance(message, PropertySync):
            # A recorded foreign client answers late records even after its last wait, or after our end.
            if self._drained:
                return
            self._require(phase in _MAY_SYNC, "property_sync")
            self._intake.take(message.record, AnswerTo.SYNC)
        elif isinstance(message, PropertyMissing):
            self._require(phase in _MAY_ASK, "property_missing")
            self._asked(message.entity)
        else:
            self._require(phase in _SERVING, "wait_next_differ")
            self._phase = _ServerPhase.PAGE if phase is _ServerPhase.WAIT else _ServerPhase.DRAIN

    def peer_ended(self) -> None:
        """Note that the client has ended its half of the stream.

        Raises:
            SessionViolationError: it has not said all that it must say.
        """
        self._client_ended = True
        if self._phase in (_ServerPhase.READ_TREE, _ServerPhase.TREE):
            return
        if self._phase is _ServerPhase.SLOTS and not self._client_slots:
            # The client wanted to know only whether the roots are equal.
            self._end, self._phase = SessionEnd.VERDICT, _ServerPhase.DRAIN
            return
        if self._phase not in (_ServerPhase.DRAIN, _ServerPhase.OVER):
            raise SessionViolationError(f"the client ended the session: expected {_EXPECTED[self._phase]}")

    def _require(self, allowed: bool, got: str) -> None:
        if not allowed:
            raise SessionViolationError(f"expected {_EXPECTED[self._phase]}, got {got}")

    def _slots_received(self, page: TreeSlots) -> None:
        if page.slots:
            last = self._client_slots[-1].slot if self._client_slots else -1
            for slot in page.slots:
                check_slot_count(slot.slot, None, self._foreign)
                if not last < slot.slot < SLOT_COUNT:
                    raise SessionViolationError(
                        f"tree_slots: slot {slot.slot} after {last}: expected ascending, below {SLOT_COUNT}"
                    )
                last = slot.slot
            self._client_slots.extend(page.slots)
            return
        assert len(self._client_slots) <= SLOT_COUNT
        mismatch, missing = compare_slots(self._client_slots, self._tree.slots)
        self._mismatch, self._missing = list(reversed(mismatch)), tuple(missing)
        self._phase = _ServerPhase.PAGE

    def _asked(self, text: str) -> None:
        try:
            entity = parse_entity(text)
        except InvalidEntityError:
            self.counts.skip("not storable")
            return
        if not self._intake.belongs(entity):
            self.counts.skip("of another group or shard")
        elif not self._owed.add(entity, AnswerTo.MISSING):
            self.counts.skip("too many answers owed")

    @property
    def shard(self) -> ShardId | None:
        """The shard that the client wants to compare; None until it has said so."""
        return self._intake.shard

    @property
    def over(self) -> bool:
        """Whether the session is over for us, so that nothing that the peer may still say matters."""
        return self._phase is _ServerPhase.OVER

    @property
    def found_equal(self) -> bool:
        """Whether the roots were found to be equal: then it does not matter how the client leaves."""
        return self._end is SessionEnd.EQUAL

    @property
    def heard_other_dialect(self) -> bool:
        """Whether most of what the client sent was held here in the same version: only digests differ."""
        return self._intake.equal * 2 > self.counts.received

    # What the store is told

    @property
    def unwritten_full(self) -> bool:
        """Whether reading must wait for the store."""
        return self._intake.full

    def next_write(self) -> Write | None:
        """The next batch for the store, or None."""
        return self._intake.next_write()

    def written(self, outcomes: Sequence[WriteOutcome]) -> None:
        """Take the outcomes of the last `Write`, in the order of its records."""
        for taken in self._intake.written(outcomes):
            if taken.ours:
                self._owe(taken.record.entity)
            else:
                self._answer_back(taken.record)

    def _answer_back(self, theirs: Record) -> None:
        """Send our version to a client that sent us an older one.

        This is done once for each entity. A client that does not yield would otherwise get the same record
        for ever.
        """
        entity = theirs.entity
        if self._owed.was_answered(entity):
            self.counts.skip("the peer keeps an older version")
            return
        # Answer even if no more can be remembered: the client pays for each answer with a message of its own.
        if self._owed.remember(entity):
            self._ties.note(theirs)
        self._owe(entity)

    def _owe(self, entity: Entity) -> None:
        if not self._owed.add(entity, AnswerTo.SYNC):
            self.counts.skip("too many answers owed")

    # What is to be done next

    def next_command(self) -> Command | None:
        """The next command; None until something more is handed in."""
        if self._phase is _ServerPhase.READ_TREE:
            assert self.shard is not None
            self._phase = _ServerPhase.TREE
            return ReadTree(self.shard)
        if self._owed:
            self._answering = self._owed.take()
            return FetchRecords(tuple(entity for entity, _ in self._answering))
        if self._phase is _ServerPhase.PAGE:
            return self._next_page()
        if self._phase is _ServerPhase.DRAIN and self._intake.durable:
            self._phase = _ServerPhase.OVER
            self._drained = True
            return Finish(self._end)
        return None

    def tree_read(self, tree: Tree | None) -> tuple[Send | Finish, ...]:
        """Take our own tree, asked for by `ReadTree`; `tree` is None if this node holds no such shard.

        Gives the commands that follow from it.
        """
        assert self._phase in (_ServerPhase.READ_TREE, _ServerPhase.TREE), "no tree was asked for"
        if tree is None:
            self._phase = _ServerPhase.OVER
            return Send((RootCompare(tree_found=False, root_match=False),)), Finish(SessionEnd.NO_TREE)
        self._tree = tree
        if tree.root == self._root:
            self._end, self._phase = SessionEnd.EQUAL, _ServerPhase.OVER
            return Send((RootCompare(tree_found=True, root_match=True),)), Finish(self._end)
        verdict = Send((RootCompare(tree_found=True, root_match=False),))
        if self._client_ended:
            self._phase = _ServerPhase.OVER
            return verdict, Finish(SessionEnd.VERDICT)
        self._phase = _ServerPhase.SLOTS
        return (verdict,)

    def leaves_read(self, asked: ReadLeaves, leaves: Sequence[Leaf]) -> Send | None:
        """Take our own leaves, asked for by `ReadLeaves`; give the command that sends them as a page.

        None when there are no more leaves in the slot.
        """
        assert self._mismatch[-1] == asked.slot, "leaves of a slot that was not asked for"
        assert len(leaves) <= asked.limit
        page = _page_of(leaves)
        if len(page) < len(leaves) or len(leaves) == asked.limit:
            self._after = leaves[len(page) - 1].entity
        else:
            self._mismatch.pop()
            self._after = None
        if not page:
            return None
        self._phase = _ServerPhase.WAIT
        return Send((DifferSummary(page),))

    def records_read(self, records: Sequence[Record | None]) -> Send | None:
        """Take our own records, asked for by `FetchRecords`; give the command that sends them."""
        answers: list[PropertyAnswer] = []
        for (_, answer_to), record in zip(self._answering, records, strict=True):
            if record is None:
                continue
            if (raised := self._ties.broken(record)) is not None:
                self._intake.write_ours(raised)
            elif self._may_send(record, answer_to):
                answers.append(PropertyAnswer(answer_to, record))
        self.counts.sent += len(answers)
        return Send(tuple(answers)) if answers else None

    def _may_send(self, record: Record, answer_to: AnswerTo) -> bool:
        if answer_to is AnswerTo.MISSING and is_purged_there(record.version, self._foreign):
            return False
        return not is_kept_back(record, self._foreign, self.counts)

    def _next_page(self) -> Command:
        if self._mismatch:
            return ReadLeaves(self._mismatch[-1], self._after, self._page_leaves)
        if self._missing:
            page = tuple(PageLeaf(slot, False, "", "") for slot in self._missing)
            self._missing = ()
            self._phase = _ServerPhase.WAIT
            return Send((DifferSummary(page),))
        self._phase = _ServerPhase.LAST_WAIT
        return Send((DifferSummary(()),))


def _page_of(leaves: Sequence[Leaf]) -> tuple[PageLeaf, ...]:
    """The first of the leaves, as many as a page may hold, and at least one."""
    page: list[PageLeaf] = []
    size = 0
    for leaf in leaves:
        text = leaf.entity.text
        size += LEAF_OVERHEAD_BYTES + len(text.encode())
        if page and size > PAGE_MAX_BYTES:
            break
        page.append(PageLeaf(leaf.slot, True, text, leaf.sha))
    return tuple(page)
