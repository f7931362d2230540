"""What both sides of a reconcile session do: answer the questions of the other one.

What the peer asks is answered in order, and only when what was to be said before is on its way, so a session
keeps questions and numbers of records, and never records.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from gossipnode.core.model.errors import SessionViolationError
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session.commands import (
    FetchNumbered,
    Finish,
    ReconcileCommand,
    Send,
    SessionEnd,
    Write,
)
from gossipnode.core.session.intake import Intake
from gossipnode.core.session.messages import AnswerTo, Unreadable
from gossipnode.core.session.reconcile.item_index import FAN_OUT, ItemIndex
from gossipnode.core.session.reconcile.reconcile_dues import (
    AllDue,
    Due,
    NewerDue,
    RecordsDue,
    UnmatchedDue,
)
from gossipnode.core.session.reconcile.reconcile_messages import (
    Answered,
    Closing,
    Offer,
    Opening,
    OpeningVerdict,
    Question,
    ReconcileMessage,
    SentRecords,
    Sums,
    Tags,
    Unmatched,
    Wants,
    WantsAll,
)
from gossipnode.core.session.reconcile.reconcile_walk import (
    Findings,
    answer_sums,
    answer_tags,
    check_prefixes,
)

FETCH_FIRST_RECORDS = 16
FETCH_MAX_RECORDS = 64
"""Records that are read and sent in one step: at first, and at most."""

FETCH_BYTES = 256 << 10
"""What a step is to have. The next one has more or fewer records than the one before, by their size."""

QUESTION_MAX_ENTRIES = 16_384
"""Sums, tags and the like in one question, since all of it is answered in one step. We say fewer."""

ASKED_MAX_ENTRIES = 4 << 20
"""Sums, tags and the like that the peer may ask and that are not yet answered. One takes 4 or 8 bytes."""

READ_MAX_TIMES = 3
READ_MAX_MORE = 1024
"""How often a session reads each record that it holds, on the average, and how many records more."""

WANTED_MAX_HASHES = 1 << 18
"""Wanted records that are remembered, to tell in the end which of them never came."""


class ReconcileSide(ABC):
    """What both sides have."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.counts = intake.counts
        self._index: ItemIndex | None = None
        self._said: deque[ReconcileMessage] = deque()
        self._dues: deque[Due] = deque()
        self._records_read = 0
        self._stored = 0
        self._changes_before = 0
        """`ItemIndex.changes` when the session was opened."""
        self._fetch = FETCH_FIRST_RECORDS
        self._asked: deque[Question] = deque()
        self._asked_entries = 0
        self._tagged: deque[tuple[array[int], array[int]]] = deque()
        """For each of our `Tags` without an answer: entity hashes and numbers of its items."""
        self._wanted: set[int] = set()
        self._closed = False
        """Whether the peer has said that all is durable."""
        self._over = False

    @property
    def over(self) -> bool:
        """Whether the session is over for us, so that nothing that the peer may still say matters."""
        return self._over

    @property
    def shard(self) -> ShardId | None:
        """The shard that is compared; None until the client has said which."""
        return self._intake.shard

    # What the peer says

    def receive(self, message: ReconcileMessage) -> None:
        """Take one message of the peer.

        Raises:
            SessionViolationError: the protocol does not allow it now.
        """
        if isinstance(message, Opening | OpeningVerdict):
            self._begin(message)
        elif not self._is_open:
            raise SessionViolationError("the session is not open yet")
        elif isinstance(message, SentRecords):
            for record in message.records:
                self._take(record)
        elif isinstance(message, Answered | Closing):
            self._take_end(message)
        else:
            if self._closed:
                raise SessionViolationError("a question after the closing")
            entries = _entries(message)
            if entries > QUESTION_MAX_ENTRIES:
                raise SessionViolationError(f"a question of {entries} entries, over {QUESTION_MAX_ENTRIES}")
            self._asked_entries += entries
            if self._asked_entries > ASKED_MAX_ENTRIES:
                raise SessionViolationError(f"more than {ASKED_MAX_ENTRIES} entries asked at once")
            self._asked.append(message)

    @property
    @abstractmethod
    def _is_open(self) -> bool:
        """Whether both sides know that they differ."""

    @abstractmethod
    def _begin(self, message: Opening | OpeningVerdict) -> None:
        """Take the first message of the peer."""

    @abstractmethod
    def _take_end(self, message: Answered | Closing) -> None:
        """Take a message that leads to the end."""

    def _take(self, record: Record | Unreadable) -> None:
        if self._wanted and isinstance(record, Record):
            self._wanted.discard(self._open_index().item_hash.of_entity(record.entity))
        self._intake.take(record, AnswerTo.UNSPECIFIED)

    def _open_index(self) -> ItemIndex:
        assert self._index is not None, "the session is not open yet"
        return self._index

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
        index = self._open_index()
        self._stored += sum(outcome is WriteOutcome.STORED for outcome in outcomes)
        back: list[int] = []
        older = self._intake.written(outcomes)
        for taken in older if self._may_say else ():
            # A write came between the digests and the record, so the peer lacks our version.
            number = index.find(index.item_hash.of_entity(taken.record.entity))
            if number is not None:
                back.append(number)
        if back:
            self._owe_records(back)

    @property
    @abstractmethod
    def _may_say(self) -> bool:
        """Whether more may be said than what is owed."""

    # What is to be done next

    def next_command(self) -> ReconcileCommand | None:
        """The next command; None until something more is handed in."""
        while True:
            if self._said:
                messages = tuple(self._said)
                self._said.clear()
                return Send(messages)
            if self._dues:
                due = self._dues[0]
                if command := due.next_read(self._fetch):
                    self._count_read(
                        len(command.numbers) if isinstance(command, FetchNumbered) else command.limit
                    )
                    return command
                self._dues.popleft()
                self._say(due.finish())
            elif self._asked:
                question = self._asked.popleft()
                self._asked_entries -= _entries(question)
                self._answer(question)
            else:
                return self._at_rest()

    def _count_read(self, records: int) -> None:
        self._records_read += records
        if self._records_read > READ_MAX_TIMES * self._open_index().count + READ_MAX_MORE:
            raise SessionViolationError("asks for more records than there are")

    @abstractmethod
    def _at_rest(self) -> ReconcileCommand | None:
        """The next command while nothing is owed."""

    def numbered_read(self, records: Sequence[Record | None]) -> Send | None:
        """Take our own records, asked for by `FetchNumbered`; give the command that sends what follows."""
        sizes = [len(record.payload) for record in records if record is not None]
        if sizes:
            mean = sum(sizes) // len(sizes) + 1
            self._fetch = max(1, min(FETCH_MAX_RECORDS, FETCH_BYTES // mean))
        messages = self._dues[0].take(records)
        return Send(tuple(messages)) if messages else None

    def page_read(self, last: Entity | None, records: Sequence[Record | None]) -> Send | None:
        """As `numbered_read`, for `FetchPage`. `last` is the last entity of the page, None after the last."""
        due = self._dues[0]
        assert isinstance(due, AllDue), "no page was asked for"
        due.page_ends(last)
        return self.numbered_read(records)

    def index_read(self, index: ItemIndex | None, tree_root: str | None = None) -> tuple[Send | Finish, ...]:
        """Take our own index, asked for by `ReadIndex`; None if this node holds no such shard.

        `tree_root` is the root of its tree, if that is known without computing anything.
        """
        raise AssertionError(f"no index was asked for, and {index!r} given, {tree_root!r}")

    # Answers

    def _answer(self, question: Question) -> None:
        index = self._open_index()
        match question:
            case Sums():
                self._act_on(answer_sums(index, question))
            case Tags():
                found = answer_tags(index, question)
                self._act_on(found)
                self._owe_unmatched(found)
            case Unmatched():
                self._match(index, question)
            case Wants(hashes):
                numbers = [index.find(each) for each in hashes]
                self._owe_records(number for number in numbers if number is not None)
            case WantsAll(level, prefixes):
                check_prefixes(level, prefixes)
                self._owe_all(level, prefixes)

    def _act_on(self, found: Findings) -> None:
        self._say(found.questions)
        if found.send:
            self._owe_records(found.send)
        if found.send_all:
            self._owe_all(found.level, found.send_all)

    def _owe_unmatched(self, found: Findings) -> None:
        self._dues.append(UnmatchedDue(found.positions, found.offers, self.counts))

    def _match(self, index: ItemIndex, theirs: Unmatched) -> None:
        """Take which of our tags stand for nothing on the other side, and what it holds alone."""
        if not self._tagged:
            raise SessionViolationError("an answer to tags that were not sent")
        hashes, numbers = self._tagged.popleft()
        if any(position >= len(hashes) for position in theirs.positions):
            raise SessionViolationError("the position of a tag that was not sent")
        numbered = {hashes[at]: numbers[at] for at in theirs.positions}
        self._decide(index, numbered, {offer.entity_hash: offer for offer in theirs.offers})

    def _decide(self, index: ItemIndex, numbered: Mapping[int, int], offers: Mapping[int, Offer]) -> None:
        """Decide over the items that either side holds alone, by entity hash; ours are given by number."""
        # Where both hold a version, the newer one counts. What is held here only since the tags were sent is
        # looked up as well.
        self._owe_records(number for each, number in numbered.items() if each not in offers)
        pairs: list[tuple[int, Offer]] = []
        lacking: list[int] = []
        for each, offer in offers.items():
            number = numbered[each] if each in numbered else index.find(each)
            if number is None:
                lacking.append(each)
            else:
                pairs.append((number, offer))
        self._dues.append(NewerDue(pairs, lacking, self.counts))

    def _owe_records(self, numbers: Iterable[int]) -> None:
        self._dues.append(RecordsDue(self._open_index(), self.counts, numbers=numbers))

    def _owe_all(self, level: int, prefixes: Sequence[int]) -> None:
        index = self._open_index()
        few = len(prefixes) <= FAN_OUT
        if few and sum(index.count_at(level, prefix) for prefix in prefixes) == index.count:
            self._dues.append(AllDue(self.counts))
            return
        self._dues.append(RecordsDue(self._open_index(), self.counts, level=level, prefixes=prefixes))

    def _say(self, messages: Iterable[ReconcileMessage]) -> None:
        for message in messages:
            if isinstance(message, Tags):
                index = self._open_index()
                items = [index.items(message.level, prefix) for prefix in message.prefixes]
                hashes = array("Q", chain.from_iterable(each.entity_hashes for each in items))
                self._tagged.append((hashes, array("Q", chain.from_iterable(each.numbers for each in items))))
            elif isinstance(message, Wants) and len(self._wanted) < WANTED_MAX_HASHES:
                self._wanted.update(message.entity_hashes)
            self._said.append(message)

    def _closing_now(self) -> Closing:
        """What this side says last. What was written or left out meanwhile explains a root that differs."""
        index = self._open_index()
        alone = index.changes - self._changes_before == self._stored
        return Closing(index.root, settled=alone and not self.counts.skipped and not self._wanted)

    def _finish(self, end: SessionEnd) -> Finish:
        self._over = True
        if self._wanted:
            self.counts.skip("asked for and not sent", len(self._wanted))
        return Finish(end)


def _entries(question: Question) -> int:
    match question:
        case Sums():
            return len(question.prefixes) + len(question.sums)
        case Tags():
            return len(question.prefixes) + len(question.counts) + len(question.tags)
        case Unmatched():
            return len(question.positions) + len(question.offers)
        case Wants():
            return len(question.entity_hashes)
        case WantsAll():
            return len(question.prefixes)
