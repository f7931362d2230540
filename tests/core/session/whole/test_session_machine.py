"""Two stores, joined by tree sessions over small lists, driven in any order that Hypothesis can think of.

Either side acts whenever it can, records are written and deleted beside the session, a session is cut at any
message, and messages are lost. The methods at the bottom say what must hold at every moment and at the end.
"""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gossipnode.core.model.errors import SessionViolationError
from gossipnode.core.model.property import Entity, Record
from gossipnode.core.model.version import Version
from gossipnode.core.session.commands import SessionEnd
from tests.core.session.talk import StuckError, Talk, talk
from tests.core.support import Shelf, examples, id_in_slot, record

# There are few entities, several in each slot, and few revisions, so most sessions meet differences and ties.
IDS = [id_in_slot(slot, nth) for slot in (3, 8, 20) for nth in range(4)]

records = st.builds(
    record,
    st.sampled_from(IDS),
    st.integers(1, 4),
    st.sampled_from(["a", "b"]),
    deleted=st.sampled_from([0, 0, 1, 2]),
)
sides = st.integers(0, 1)
ACTIONS = 10


class TwoStores(RuleBasedStateMachine):
    """Two replicas of one shard, and at most one session between them."""

    def __init__(self) -> None:
        super().__init__()
        self.shelves = (Shelf(), Shelf())
        self.known: set[tuple[Entity, Version]] = set()
        self.seen: list[dict[Entity, Version]] = [{}, {}]
        self.talk: Talk | None = None
        self.lossy = False

    @initialize(first=st.lists(records, max_size=15), second=st.lists(records, max_size=15))
    def fill(self, first: list[Record], second: list[Record]) -> None:
        for side, all_ in enumerate((first, second)):
            for new in all_:
                self.write(side, new)

    @rule(side=sides, new=records)
    def write(self, side: int, new: Record) -> None:
        """Write to one store. It does not matter whether a client, a replica or another session does so."""
        self.known.add((new.entity, new.version))
        self.shelves[side].write([new])

    @rule(holder=sides, capacity=st.integers(1, 3), page_leaves=st.integers(1, 3))
    def begin(self, holder: int, capacity: int, page_leaves: int) -> None:
        if self.talk is None:
            client, server = self.shelves[holder], self.shelves[1 - holder]
            self.talk = talk(client, server, capacity=capacity, page_leaves=page_leaves)
            self.lossy = False

    @rule(which=st.lists(st.integers(0, ACTIONS - 1), min_size=1, max_size=60))
    def act(self, which: list[int]) -> None:
        """Let small things happen, in any order. One that cannot happen now is passed over."""
        with self.a_lossy_session_may_break():
            for number in which:
                if self.talk is None:
                    return
                self.talk.actions[number]()
                if self.talk.over:
                    self.talk = None

    @rule(number=st.integers(0, ACTIONS - 1), times=st.integers(1, 30))
    def one_side_acts_alone(self, number: int, times: int) -> None:
        """Let one side run ahead of the other."""
        self.act([number] * times)

    @rule(to_server=st.booleans())
    def lose_a_message(self, to_server: bool) -> None:
        """Lose a message. No stream does this, but a hostile peer can look like it."""
        if self.talk is not None:
            channel = self.talk.to_server if to_server else self.talk.to_client
            if channel:
                channel.popleft()
                self.lossy = True

    @rule(keep=st.tuples(st.booleans(), st.booleans()))
    def cut(self, keep: tuple[bool, bool]) -> None:
        """Cut the session. What the stores were writing is there afterwards, or it is not."""
        if self.talk is not None:
            for side, kept in zip((self.talk.client, self.talk.server), keep, strict=True):
                if kept and not side.finished:
                    side.step_write_end()
            self.talk = None

    @rule()
    def come_to_an_end(self) -> None:
        """From any state, a session that has lost nothing ends by itself."""
        if self.talk is not None:
            running, self.talk = self.talk, None
            with self.a_lossy_session_may_break():
                running.run()
                assert running.client.end is running.server.end

    @contextlib.contextmanager
    def a_lossy_session_may_break(self):  # type: ignore[no-untyped-def]
        try:
            yield
        except (SessionViolationError, StuckError):
            if not self.lossy:
                raise
            self.talk = None

    @invariant()
    def always_every_record_is_one_that_was_written(self) -> None:
        for shelf in self.shelves:
            for entity, stored in shelf.records.items():
                assert stored.entity == entity
                assert (entity, stored.version) in self.known

    @invariant()
    def always_versions_only_go_up(self) -> None:
        for shelf, seen in zip(self.shelves, self.seen, strict=True):
            for entity, version in seen.items():
                assert shelf.records[entity].version >= version
            seen.update({entity: stored.version for entity, stored in shelf.records.items()})

    def teardown(self) -> None:
        """finally: without cuts and writes, one session makes both equal, and the next one moves nothing."""
        self.talk = None
        one, other = self.shelves
        join = Shelf([*one.records.values(), *other.records.values()]).records
        talk(one, other, capacity=1, page_leaves=2).run()
        assert one.records == other.records == join
        assert one.tree() == other.tree()
        again = talk(other, one, capacity=1).run()
        assert again.records_sent == []
        assert again.client.end is again.server.end is SessionEnd.EQUAL


TestTwoStores = pytest.mark.slow(TwoStores.TestCase)
TestTwoStores.settings = examples(50, steps=40)
