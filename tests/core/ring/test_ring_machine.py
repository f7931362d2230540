"""A ring of two to five replicas, and rounds that must end well whatever happens to the replicas.

Records are written and deleted, nodes are down, busy, restarted or without a tree, sessions are cut, and
messages are not handed on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count as counter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gossipnode.core.model.property import Entity, Record
from gossipnode.core.model.version import Version
from gossipnode.core.ring.admission import Admission, Mailbox
from gossipnode.core.ring.round import (
    Ended,
    Forwarded,
    Hop,
    InSession,
    OpenRound,
    Report,
    Round,
    RoundOutcome,
    outcome_of,
)
from gossipnode.core.ring.turn import (
    BUSY_RETRIES,
    Cause,
    EndRound,
    Forward,
    HolderTurn,
    HopEnd,
    RepairWith,
    RoundMessage,
    Step,
    check_message,
    hop_limit,
)
from gossipnode.core.session.commands import SessionEnd
from tests.core.session.talk import Talk, talk
from tests.core.support import SHARD, Shelf, examples, id_in_slot, record

IDS = [id_in_slot(slot, nth) for slot in (3, 8) for nth in range(3)]
ALL = "abcde"

records = st.builds(
    record,
    st.sampled_from(IDS),
    st.integers(1, 4),
    st.sampled_from(["a", "b"]),
    deleted=st.sampled_from([0, 0, 1, 2]),
)
nodes_ = st.sampled_from(ALL)


@dataclass
class Node:
    """What a node keeps. A restart loses all but its store."""

    name: str
    shelf: Shelf = field(default_factory=Shelf)
    has_tree: bool = True
    up: bool = True
    busy_for: int = 0
    admission: Admission = field(default_factory=Admission)
    mailbox: Mailbox = field(default_factory=Mailbox)

    def restart(self) -> None:
        self.admission, self.mailbox = Admission(), Mailbox()


@dataclass
class Faults:
    """What goes wrong in a round: after which step a session is cut, and which messages are not handed on."""

    cuts: list[int | None] = field(default_factory=list)
    not_forwarded: list[bool] = field(default_factory=list)

    def cut(self) -> int | None:
        return self.cuts.pop() if self.cuts else None

    def forward_fails(self) -> bool:
        return self.not_forwarded.pop() if self.not_forwarded else False


class Ring(RuleBasedStateMachine):
    """The replicas of one shard."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: dict[str, Node] = {}
        self.known: set[tuple[Entity, Version]] = set()
        self.seen: dict[str, dict[Entity, Version]] = {}
        self.numbers = counter()
        self.now = 0.0

    @initialize(size=st.integers(2, 5), held=st.lists(st.lists(records, max_size=6), min_size=5, max_size=5))
    def build(self, size: int, held: list[list[Record]]) -> None:
        self.nodes = {name: Node(name) for name in ALL[:size]}
        self.seen = {name: {} for name in self.nodes}
        for name, all_ in zip(self.nodes, held, strict=False):
            for new in all_:
                self.write(name, new)

    @rule(name=nodes_, new=records)
    def write(self, name: str, new: Record) -> None:
        if name in self.nodes:
            self.known.add((new.entity, new.version))
            self.nodes[name].shelf.write([new])

    @rule(name=nodes_)
    def go_down_or_up(self, name: str) -> None:
        if name in self.nodes:
            self.nodes[name].up = not self.nodes[name].up

    @rule(name=nodes_)
    def lose_or_find_the_tree(self, name: str) -> None:
        if name in self.nodes:
            self.nodes[name].has_tree = not self.nodes[name].has_tree

    @rule(name=nodes_, times=st.integers(1, 6))
    def be_busy(self, name: str, times: int) -> None:
        if name in self.nodes:
            self.nodes[name].busy_for = times

    @rule(name=nodes_)
    def restart(self, name: str) -> None:
        if name in self.nodes:
            self.nodes[name].restart()

    @rule(
        start=nodes_,
        cuts=st.lists(st.one_of(st.none(), st.integers(0, 60)), max_size=8),
        not_forwarded=st.lists(st.sampled_from([False, False, True]), max_size=8),
    )
    def a_round(self, start: str, cuts: list[int | None], not_forwarded: list[bool]) -> None:
        if start in self.nodes and self.nodes[start].up:
            self.play(start, Faults(cuts, not_forwarded))

    @rule(start=nodes_)
    def a_round_on_a_healed_network(self, start: str) -> None:
        """eventually: 2n-3 hops from any start leave equal stores; the next round moves nothing."""
        if start not in self.nodes:
            return
        for node in self.nodes.values():
            node.up, node.has_tree, node.busy_for = True, True, 0
        stores = [node.shelf for node in self.nodes.values()]
        join = Shelf([each for shelf in stores for each in shelf.records.values()]).records
        finished, talks = self.play(start, Faults())
        assert len([hop for hop in finished.hops if hop.successful]) == hop_limit(len(self.nodes))
        assert finished.outcome in (RoundOutcome.CONVERGED, RoundOutcome.REPAIRED)
        for shelf in stores:
            assert shelf.records == join
            assert shelf.tree() == stores[0].tree()
        again, talks = self.play(start, Faults())
        assert again.outcome is RoundOutcome.CONVERGED
        assert [hop.end for hop in again.hops] == [HopEnd.EQUAL] * hop_limit(len(self.nodes))
        assert all(each.records_sent == [] for each in talks)

    # A round, as the nodes play it

    def play(self, start: str, faults: Faults) -> tuple[Round, list[Talk]]:
        names = tuple(self.nodes)
        self.now += 1.0
        open_ = OpenRound(
            f"r{next(self.numbers)}", SHARD, start, names, started_at=0, now=self.now, deadline_seconds=600
        )
        message = RoundMessage(open_._round, SHARD, start, names, 0, Cause.ASKED)
        made: list[Hop] = []
        talks: list[Talk] = []
        holder: str | None = start
        open_.taken_by(start, self.now)
        turns = 0
        while holder is not None:
            turns += 1
            assert turns <= hop_limit(len(names)), "always: a round ends"
            assert self.take(holder, message)
            taken = self.nodes[holder].mailbox.take(SHARD)
            assert taken is not None
            step, hops, sessions = self.turn(taken, holder, faults, open_)
            made += hops
            talks += sessions
            then = Forwarded(step.peer, False) if isinstance(step, Forward) else Ended(step.reason)
            report = Report(message.round, SHARD, holder, message.count, tuple(hops), then)
            open_.report(report, self.now)
            if isinstance(step, Forward):
                message, holder = step.message, step.peer
            else:
                holder = None
        assert open_.finished is not None
        whole = len([hop for hop in made if hop.successful]) == message.limit
        expected = outcome_of(made) if whole else RoundOutcome.INCOMPLETE
        assert open_.finished.outcome is expected
        assert [hop for hop in open_.finished.hops if hop.to_node] == made
        return open_.finished, talks

    def take(self, name: str, message: RoundMessage) -> bool:
        """Do the part of the endpoint: check the message, admit it, and put it into the mailbox."""
        node = self.nodes[name]
        checked = check_message(message, own_name=name, members=self.nodes, replicas=tuple(self.nodes))
        assert checked == message
        if node.admission.comes_again(checked):
            return False
        assert node.admission.comes_again(checked)
        assert not node.admission.not_needed(checked, now=self.now, half_interval=10)
        assert node.mailbox.put(checked) is None
        return True

    def turn(
        self, message: RoundMessage, holder: str, faults: Faults, open_: OpenRound
    ) -> tuple[Forward | EndRound, list[Hop], list[Talk]]:
        turn = HolderTurn(message, holder)
        names = message.nodes
        at = names.index(holder)
        expected = [*names[at + 1 :], *names[:at]]
        hops: list[Hop] = []
        talks: list[Talk] = []
        step: Step = turn.next_step()
        while True:
            if isinstance(step, RepairWith):
                assert step.peer == expected[0], "always: successors are tried in ring order"
                open_.report(Report(message.round, SHARD, holder, message.count, (), InSession(step.peer)), 0)
                end = self.session(holder, step.peer, faults, talks)
                before, attempt = turn.count, step.attempt
                assert attempt <= BUSY_RETRIES
                following = turn.repaired(end)
                again = isinstance(following, RepairWith) and following.peer == step.peer
                assert again == (end is HopEnd.BUSY and attempt < BUSY_RETRIES)
                if not again:
                    expected.pop(0)
                    hops.append(Hop(holder, step.peer, end))
                successful = end in (HopEnd.EQUAL, HopEnd.REPAIRED)
                assert turn.count == before + successful
                step = following
            elif isinstance(step, Forward):
                assert turn.count < message.limit
                if not faults.forward_fails():
                    return step, hops, talks
                step = turn.not_forwarded()
            else:
                assert (turn.count == message.limit) == (step.reason == "")
                return step, hops, talks

    def session(self, holder: str, peer: str, faults: Faults, talks: list[Talk]) -> HopEnd:
        client, server = self.nodes[holder], self.nodes[peer]
        if not server.up:
            return HopEnd.SKIPPED
        if server.busy_for:
            server.busy_for -= 1
            return HopEnd.BUSY
        running = talk(client.shelf, server.shelf, capacity=2, page_leaves=2, tree_found=server.has_tree)
        talks.append(running)
        cut = faults.cut()
        for _ in range(cut if cut is not None else 0):
            if running.over:
                break
            for action in running.actions:
                action()
        if cut is not None and not running.over:
            return HopEnd.FAILED
        running.run()
        assert running.client.end is not None
        return {
            SessionEnd.EQUAL: HopEnd.EQUAL,
            SessionEnd.REPAIRED: HopEnd.REPAIRED,
            SessionEnd.NO_TREE: HopEnd.SKIPPED,
        }[running.client.end]

    @invariant()
    def always_every_record_is_one_that_was_written(self) -> None:
        for node in self.nodes.values():
            for entity, stored in node.shelf.records.items():
                assert (entity, stored.version) in self.known

    @invariant()
    def always_versions_only_go_up(self) -> None:
        for name, node in self.nodes.items():
            for entity, version in self.seen[name].items():
                assert node.shelf.records[entity].version >= version
            self.seen[name] = {entity: stored.version for entity, stored in node.shelf.records.items()}

    def teardown(self) -> None:
        if self.nodes:
            self.a_round_on_a_healed_network("b")


TestRing = pytest.mark.slow(Ring.TestCase)
TestRing.settings = examples(30, steps=25)
