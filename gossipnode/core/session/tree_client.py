"""The client's side of a tree session. The client is the holder of a round's message.

It sends its root, and nothing else until the server has judged it. Then it merge-joins the pages of the
server's leaves with its own leaves: it asks for what it lacks, sends what the server lacks or holds in
another version, and says when it is done with each page.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gossipnode.core.model.errors import InvalidEntityError, SessionViolationError
from gossipnode.core.model.limits import PEER_STAMP_MAX_NANOSECONDS, SLOT_COUNT
from gossipnode.core.model.property import Entity, Record, ShardId, parse_entity
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session.asked import AskedRecords
from gossipnode.core.session.client_parts import ClientPhase, OwnSlot
from gossipnode.core.session.commands import (
    Command,
    FetchRecords,
    Finish,
    HalfClose,
    ReadLeaves,
    Rest,
    Send,
    SessionEnd,
    Write,
)
from gossipnode.core.session.dialect_probe import DialectProbe
from gossipnode.core.session.foreign_peer import ForeignPeer, check_slot_count, is_kept_back, is_purged_there
from gossipnode.core.session.intake import Intake
from gossipnode.core.session.lanes import READ_BATCH_RECORDS, OwedLane, present
from gossipnode.core.session.messages import (
    AnswerTo,
    DifferSummary,
    PageLeaf,
    PropertyMissing,
    PropertySync,
    RootCompare,
    ServerMessage,
    TreeRoot,
    TreeSlots,
    WaitNextDiffer,
)
from gossipnode.core.session.revision_ties import RevisionTies
from gossipnode.core.session.tree import Leaf, Tree

SEND_BATCH_MESSAGES = 256
"""Messages without a record in them that are sent in one step."""

MERGE_STEP_LEAVES = 512
"""Leaves of a page that are compared in one step: about a millisecond. A page may hold many times more."""

PENDING_PAGES_MAX = 4
"""Pages that may wait for us. A compatible server sends none before we have said `wait_next_differ`."""


class TreeClient:
    """One tree session, on the client's side. `core.session.commands` says what a caller owes it."""

    def __init__(
        self,
        shard: ShardId,
        shards: int,
        tree: Tree,
        *,
        page_leaves: int,
        stamp_max: int = PEER_STAMP_MAX_NANOSECONDS,
        foreign: ForeignPeer | None = None,
    ) -> None:
        """Compare `tree`, our own tree of `shard`, with the tree of the server.

        The group has `shards` shards. `page_leaves` is how many of our own leaves are read at a time.
        Records stamped above `stamp_max` are left out. A `foreign` server orders versions in its own way: it
        is asked for its version of a record first, and is sent ours only where ours is the newer one.
        """
        self._shard = shard
        self._tree = tree
        self._page_leaves = page_leaves
        self._foreign = foreign
        self._ties = RevisionTies(None if foreign is None else foreign.raised)
        self._probe = DialectProbe(None if foreign is None else foreign.other_sha)
        self._phase = ClientPhase.ROOT
        self._end = SessionEnd.REPAIRED
        self._finished = False
        self._intake = Intake({shard.group: shards}, shard=shard, stamp_max=stamp_max)
        self.counts = self._intake.counts
        self._owed = OwedLane()
        self._asked = AskedRecords()
        self._pages: deque[DifferSummary] = deque()
        self._page: Sequence[PageLeaf] | None = None
        self._page_at = 0
        self._page_is_last = False
        self._last_page_came = False
        self._own: OwnSlot | None = None
        self._left_slots: set[int] = set()
        self._missing: list[str] = []
        self._sync: list[Entity] = []

    # What the peer says

    def receive(self, message: ServerMessage) -> None:
        """Take one message of the server.

        Raises:
            SessionViolationError: the protocol does not allow it now.
        """
        if self._probe.found_other:
            return
        if isinstance(message, RootCompare):
            self._root_compared(message)
        elif self._phase in (ClientPhase.ROOT, ClientPhase.VERDICT):
            raise SessionViolationError(f"expected root_compare, got {_name(message)}")
        elif self._phase is ClientPhase.OVER:
            raise SessionViolationError(f"expected the end of the session, got {_name(message)}")
        elif isinstance(message, DifferSummary):
            self._page_received(message)
        else:
            self._asked.given(message.record)
            self._intake.take(message.record, message.answer_to)

    def peer_ended(self) -> None:
        """Note that the server has ended the stream with OK.

        Raises:
            SessionViolationError: the session was not over yet.
        """
        if self._phase is ClientPhase.OVER:
            return
        if self._phase not in (ClientPhase.HALF_CLOSE, ClientPhase.SERVER_END):
            raise SessionViolationError("the server ended the session before its last page")
        self._phase = ClientPhase.OVER

    def _root_compared(self, verdict: RootCompare) -> None:
        if self._phase is not ClientPhase.VERDICT:
            raise SessionViolationError("expected one root_compare, after tree_root")
        if not verdict.tree_found:
            self._end, self._phase = SessionEnd.NO_TREE, ClientPhase.OVER
        elif verdict.root_match:
            self._end, self._phase = SessionEnd.EQUAL, ClientPhase.OVER
        else:
            self._phase = ClientPhase.SLOTS

    def _page_received(self, page: DifferSummary) -> None:
        if self._phase not in (ClientPhase.SLOTS, ClientPhase.PAGES) or self._last_page_came:
            raise SessionViolationError("differ_tree_summary after the last page")
        if len(self._pages) >= PENDING_PAGES_MAX:
            raise SessionViolationError("differ_tree_summary pages ahead of wait_next_differ")
        if not page.leaves:
            self._last_page_came = True
        self._pages.append(page)

    @property
    def over(self) -> bool:
        """Whether the session is over for us, so that nothing that the peer may still say matters."""
        return self._phase is ClientPhase.OVER

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
            elif self._foreign is not None or taken.answer_to is not AnswerTo.MISSING:
                self._answer_back(taken.record)

    def _answer_back(self, theirs: Record) -> None:
        """Send our version to a server that sent us an older one.

        This is done once for each entity. A server that does not yield would otherwise get the same record
        for ever. The last page ends it, because our last message is then due.
        """
        entity = theirs.entity
        if self._phase not in (ClientPhase.SLOTS, ClientPhase.PAGES):
            self.counts.skip("newer here, after the last page")
        elif self._owed.was_answered(entity):
            self.counts.skip("the peer keeps an older version")
        elif not self._owed.remember(entity):
            self.counts.skip("too many answers owed")
        else:
            self._ties.note(theirs)
            self._owe(entity)

    def _owe(self, entity: Entity) -> None:
        if not self._owed.add(entity, AnswerTo.SYNC):
            self.counts.skip("too many answers owed")

    # What is to be done next

    def next_command(self) -> Command | None:
        """The next command; None until something more is handed in."""
        if self._phase is ClientPhase.ROOT:
            self._phase = ClientPhase.VERDICT
            return Send((TreeRoot(self._shard.group, self._shard.shard, self._tree.root),))
        if self._phase is ClientPhase.SLOTS:
            self._phase = ClientPhase.PAGES
            pages = (TreeSlots(self._tree.slots),) if self._tree.slots else ()
            return Send((*pages, TreeSlots(())))
        if self._phase is ClientPhase.PAGES:
            return self._next_of_pages()
        if self._phase is ClientPhase.HALF_CLOSE:
            self._phase = ClientPhase.SERVER_END
            return HalfClose()
        if self._phase is ClientPhase.OVER and self._intake.durable and not self._finished:
            self._finished = True
            self._asked.count_unanswered(self.counts)
            return Finish(self._end)
        return None

    def tree_read(self, tree: Tree | None) -> Sequence[Send | Finish]:
        """Refuse: a client is given its tree from the start, and never asks for it."""
        raise AssertionError("a client does not read its tree")

    def leaves_read(self, asked: ReadLeaves, leaves: Sequence[Leaf]) -> Send | None:
        """Take our own leaves, asked for by `ReadLeaves`. Nothing has to be sent for them at once."""
        own = self._own
        if own is None or own.slot != asked.slot:
            raise AssertionError("leaves of a slot that was not asked for")
        assert len(leaves) <= asked.limit
        own.leaves.extend(leaves)
        own.exhausted = len(leaves) < asked.limit
        if leaves:
            own.after = leaves[-1].entity
        return None

    def records_read(self, records: Sequence[Record | None]) -> Send | None:
        """Take our own records, asked for by `FetchRecords`; give the command that sends them."""
        if self._probe.judge(records):
            if self._probe.found_other:
                self._end, self._phase = SessionEnd.OTHER_DIALECT, ClientPhase.OVER
            return None
        syncs: list[PropertySync] = []
        for record in present(records):
            if (raised := self._ties.broken(record)) is not None:
                self._intake.write_ours(raised)
            elif not is_kept_back(record, self._foreign, self.counts):
                syncs.append(PropertySync(record))
        self.counts.sent += len(syncs)
        return Send(tuple(syncs)) if syncs else None

    def _next_of_pages(self) -> Command | None:
        if self._owed:
            return FetchRecords(tuple(entity for entity, _ in self._owed.take()))
        if self._page is None:
            if not self._pages:
                return None
            page = self._pages.popleft()
            self._page, self._page_at = page.leaves, 0
            self._page_is_last = not page.leaves
        if self._page_is_last:
            return self._next_of_last_page()
        return self._merge() or self._page_done()

    def _next_of_last_page(self) -> Command | None:
        """The last page is empty. Send what is left of the slot before it, and then the last wait."""
        command = self._leave_slot() or self._flush(1)
        if command is not None:
            return command
        if not self._intake.durable:
            # The store may hold newer versions, which must be sent as answers, and none can follow the last
            # wait.
            return None
        assert not self._owed, "an answer would be lost"
        self._phase = ClientPhase.HALF_CLOSE
        return Send((WaitNextDiffer(),))

    def _page_done(self) -> Command:
        command = self._flush(1)
        if command is not None:
            return command
        self._page = None
        return Send((WaitNextDiffer(),))

    def _merge(self) -> Command | None:
        """Merge-join the page with our own leaves, in the order of entities; None when the page is done."""
        page = self._page
        assert page is not None
        compared = 0
        while self._page_at < len(page):
            if compared == MERGE_STEP_LEAVES:
                return Rest()
            compared += 1
            theirs = page[self._page_at]
            if self._own is None or self._own.slot != theirs.slot:
                command = self._enter_slot(theirs.slot)
                if command is not None:
                    return command
            command = self._merge_leaf(theirs)
            if command is not None:
                return command
        return None

    def _merge_leaf(self, theirs: PageLeaf) -> Command | None:
        """Compare the next leaf of the page with our own next leaf, and go past whichever comes first."""
        own = self._own
        assert own is not None
        if not theirs.exists:
            # The server lacks the whole slot: send all of ours.
            command = self._leave_slot()
            if command is None:
                self._page_at += 1
            return command
        if own.must_read():
            return ReadLeaves(own.slot, own.after, self._page_leaves)
        try:
            entity = parse_entity(theirs.entity)
        except InvalidEntityError:
            # A foreign peer may hold keys that we may not store. One bad record never ends a session.
            self.counts.skip("not storable")
            self._page_at += 1
            return None
        check_slot_count(theirs.slot, entity, self._foreign)
        if not own.leaves or entity < own.leaves[0].entity:
            self._missing.append(theirs.entity)
            self._asked.ask(theirs.entity)
            self._page_at += 1
        elif own.leaves[0].entity < entity:
            self._send_lacking(own.leaves.popleft())
        else:
            ours = own.leaves.popleft()
            self._page_at += 1
            if ours.sha == theirs.sha:
                self._probe.saw_equal()
            elif self._foreign is None:
                self._sync.append(ours.entity)
            else:
                self._missing.append(theirs.entity)
                self._asked.ask(theirs.entity)
                if self._probe.is_curious(theirs.sha):
                    return FetchRecords((ours.entity,))
        return self._flush()

    def _enter_slot(self, slot: int) -> Command | None:
        """Begin with a slot of the page, after what is left of our own slot before it has been sent."""
        command = self._leave_slot()
        if command is not None:
            return command
        if not 0 <= slot < SLOT_COUNT:
            check_slot_count(slot, None, self._foreign)
            raise SessionViolationError(f"slot {slot} is not between 0 and {SLOT_COUNT - 1}")
        if slot in self._left_slots:
            raise SessionViolationError(f"slot {slot} came again after another one")
        self._left_slots.add(slot)
        self._own = OwnSlot(slot)
        return None

    def _leave_slot(self) -> Command | None:
        """Send what is left of our own slot: the server has no more leaves in it. None when all is sent."""
        own = self._own
        while own is not None:
            if own.must_read():
                return ReadLeaves(own.slot, own.after, self._page_leaves)
            while own.leaves:
                self._send_lacking(own.leaves.popleft())
                command = self._flush()
                if command is not None:
                    return command
            if own.exhausted:
                self._own = own = None
        return None

    def _send_lacking(self, ours: Leaf) -> None:
        """Have a record sent that the server lacks."""
        if not is_purged_there(ours.version, self._foreign):
            self._sync.append(ours.entity)

    def _flush(self, at_least: int = 0) -> Command | None:
        """Send what was collected if it makes a full batch, or with `at_least`, if it has that length."""
        if len(self._sync) >= (at_least or READ_BATCH_RECORDS):
            batch, self._sync = tuple(self._sync), []
            return FetchRecords(batch)
        if len(self._missing) >= (at_least or SEND_BATCH_MESSAGES):
            missing, self._missing = self._missing, []
            return Send(tuple(PropertyMissing(entity) for entity in missing))
        return None


def _name(message: ServerMessage) -> str:
    return "differ_tree_summary" if isinstance(message, DifferSummary) else "property_sync"
