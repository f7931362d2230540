"""Replicas that write late, are away, come back from older copies, and purge: what was deleted stays deleted.

The rules under test are those of the core; stores are dictionaries. Sessions may be under way while anything
else happens, and what they carry may arrive late.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gossipnode.core.model.property import Record
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.retention.marks import FROM_CLIENT, NO_MARKS, Entry, Marks, Way, is_purged, refusal
from gossipnode.core.retention.meeting import agree, completed, meet
from gossipnode.core.ring.turn import hop_limit
from tests.core.support import examples, record

NAMES = "abc"
IDS = ("x", "y")
NOW = 1_000
STEPS_MAX = 7
"""Hops, and replicas that keep what they prove, and the mark."""

names = st.sampled_from(NAMES)
stamps = st.integers(1, 12)


@dataclass
class Replica:
    """A store, its marks, and whether the shard lies by it."""

    name: str
    held: dict[str, Record] = field(default_factory=dict)
    marks: Marks = NO_MARKS
    settled: bool = True
    met: bool = True
    """Whether it has met the others since it came: before that it serves nothing."""
    suspect: bool = False
    """An older copy that nobody has noticed. What it shows before it has met another one is not our fault."""
    boot: int = 0
    given_up_to: int = 0
    up: bool = True

    @property
    def counts(self) -> bool:
        return self.up and self.met and not self.suspect and not (self.settled and self.marks.is_stale)

    def put(self, record: Record, entry: Entry) -> WriteOutcome:
        held = self.held.get(record.entity.id)
        if held is not None and record.version <= held.version:
            return WriteOutcome.EQUAL if record.version == held.version else WriteOutcome.OLDER
        refused = refusal(self.marks, record.version, None if held is None else held.version, entry)
        if refused is not None:
            return refused.outcome
        self.held[record.entity.id] = record
        return WriteOutcome.STORED


class RetentionMachine(RuleBasedStateMachine):
    """Three replicas of one shard."""

    def __init__(self) -> None:
        super().__init__()
        self.replicas = {name: Replica(name) for name in NAMES}
        self.epoch = 0
        self.acknowledged: dict[str, Record] = {}
        """The newest version of each entity that a client was told of."""
        self.purged: dict[str, int] = {}
        """The largest stamp of a tombstone of each entity that was purged anywhere."""
        self.quarantine: list[Record] = []
        self.copies: list[Record] = []
        self.flying: list[tuple[str, Record, Entry]] = []
        """Records of sessions that are still on their way."""
        self.older: dict[str, Replica] = {}
        self.purge: PurgeRun | None = None

    # Clients

    @rule(
        name=names,
        id_=st.sampled_from(IDS),
        stamp=stamps,
        deleted=st.booleans(),
        content=st.sampled_from("vw"),
    )
    def write(self, name: str, id_: str, stamp: int, deleted: bool, content: str) -> None:
        replica = self.replicas[name]
        if not replica.counts:
            return
        written = record(id_, stamp, content, deleted=stamp if deleted else 0)
        outcome = replica.put(written, FROM_CLIENT)
        known = self.acknowledged.get(id_)
        # One that has not settled is no source: a client is not told of what it alone has.
        is_newer = known is None or known.version < written.version
        if outcome is WriteOutcome.STORED and replica.settled and is_newer:
            self.acknowledged[id_] = written

    @rule(name=names, id_=st.sampled_from(IDS))
    def read(self, name: str, id_: str) -> None:
        replica = self.replicas[name]
        if replica.counts and id_ in replica.held:
            self.copies.append(replica.held[id_])

    @precondition(lambda self: self.copies)
    @rule(name=names, data=st.data())
    def read_repair(self, name: str, data: st.DataObject) -> None:
        copy = data.draw(st.sampled_from(self.copies))
        replica = self.replicas[name]
        if not (replica.up and replica.met):
            return
        stored = replica.put(copy, Entry(Way.COPY)) is WriteOutcome.STORED
        if stored and self.purge is not None and copy.version.stamp <= replica.marks.sealed:
            self.purge = None  # Counted as late: the replica does not say that it is complete.

    # Sessions

    def meeting(self, one: Replica, other: Replica) -> bool:
        told = other.marks, one.marks
        fine = True
        for own, marks in zip((one, other), told, strict=True):
            met = meet(own.marks, marks, settled=own.settled, given_up_to=own.given_up_to, now=NOW)
            if met.problem:
                fine = False
            if met.give_up_to:
                old = {id_: held for id_, held in own.held.items() if held.version.stamp <= met.give_up_to}
                self.quarantine += [held for held in old.values() if not held.deleted]
                for id_ in old:
                    del own.held[id_]
                own.given_up_to = met.give_up_to
            own.marks = met.after
            self.sweep(own)
        return fine

    def sweep(self, replica: Replica) -> None:
        for id_, held in list(replica.held.items()):
            if is_purged(replica.marks, held.version):
                del replica.held[id_]
                self.purged[id_] = max(self.purged.get(id_, 0), held.version.stamp)

    def begin(self, one: Replica, other: Replica) -> tuple[Marks, Marks] | None:
        """Meet until both agree; gives what each told."""
        if not (one.up and other.up):
            return None
        for _ in range(3):
            told = other.marks, one.marks
            if not self.meeting(one, other):
                return None
            if all(
                agree(own.marks, marks, settled=own.settled, given_up_to=own.given_up_to)
                for own, marks in ((one, other.marks), (other, one.marks))
            ):
                return told
        raise AssertionError(f"a meeting without an end: {one}, {other}")

    def session(self, one: Replica, other: Replica) -> bool:
        """A whole session; gives whether it left nothing out."""
        told = self.begin(one, other)
        if told is None:
            return False
        complete = True
        for to, source in ((one, other), (other, one)):
            for held in list(source.held.values()):
                outcome = to.put(held, Entry(Way.SESSION, to.marks.mark))
                complete = complete and outcome is not WriteOutcome.REFUSED
        if complete:
            for own, marks in zip((one, other), told, strict=True):
                if not own.settled or own.marks.is_stale:
                    own.marks = completed(own.marks, marks)
                own.met = own.met or not marks.is_stale
                own.suspect = False
        return complete

    @rule(one=names, other=names)
    def compare(self, one: str, other: str) -> None:
        if one != other:
            self.session(self.replicas[one], self.replicas[other])

    @rule(one=names, other=names)
    def depart(self, one: str, other: str) -> None:
        """Begin a session whose records come later, if ever."""
        source, to = self.replicas[one], self.replicas[other]
        if one != other and self.begin(source, to) is not None:
            entry = Entry(Way.SESSION, to.marks.mark)
            self.flying += [(other, held, entry) for held in source.held.values()]

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.flying) - 1))
        name, held, entry = self.flying.pop(at)
        if self.replicas[name].up:
            self.replicas[name].put(held, entry)

    # Absence and older copies

    @rule(name=names, up=st.sampled_from((True, True, False)))
    def go_or_return(self, name: str, up: bool) -> None:
        replica = self.replicas[name]
        if up and not replica.up:
            replica.boot += 1
            replica.given_up_to = 0
            self.flying = [each for each in self.flying if each[0] != name]
        replica.up = up

    @rule(name=names)
    def copy_disk(self, name: str) -> None:
        replica = self.replicas[name]
        if replica.settled and not replica.suspect:
            self.older[name] = replace(replica, held=dict(replica.held))

    @precondition(lambda self: self.older)
    @rule(data=st.data(), noticed=st.booleans())
    def put_back(self, data: st.DataObject, noticed: bool) -> None:
        """An older copy of a disk is put back. If that is noticed, it comes as a new store with records."""
        name = data.draw(st.sampled_from(sorted(self.older)))
        others = [each for each in self.replicas.values() if each.name != name]
        whole = max(each.marks.mark for each in self.replicas.values())
        if not all(
            each.settled and each.up and not each.suspect and each.marks.complete >= whole for each in others
        ):
            return
        before, copy = self.replicas[name], self.older.pop(name)
        self.replicas[name] = Replica(
            name,
            copy.held,
            copy.marks,
            settled=not noticed,
            met=not noticed,
            suspect=not noticed,
            boot=before.boot + 1,
        )
        self.flying = [each for each in self.flying if each[0] != name]
        self.epoch += noticed
        # What it alone had is lost with its disk.
        for id_, known in list(self.acknowledged.items()):
            if not any(self.has(each, known) for each in others):
                del self.acknowledged[id_]

    @rule(name=names)
    def settle(self, name: str) -> None:
        """A replica that is new compares with both others, and settles."""
        replica = self.replicas[name]
        others = [each for each in self.replicas.values() if each.name != name]
        if replica.settled or not all(each.settled for each in others):
            return
        if all(self.session(replica, each) and not each.marks.is_stale for each in others):
            replica.settled = replica.met = True
            self.epoch += 1

    # Purge

    @rule(name=names, stamp=stamps)
    def seal(self, name: str, stamp: int) -> None:
        every = list(self.replicas.values())
        self.purge = None
        if not all(each.up and each.settled and not each.marks.is_stale for each in every):
            return
        for each in every:
            each.marks = each.marks.joined(Marks(sealed=stamp))
        boots = {each.name: each.boot for each in every}
        self.purge = PurgeRun(stamp, self.epoch, boots, NAMES.index(name))

    @rule(name=names, stamp=stamps)
    def purge_at_once(self, name: str, stamp: int) -> None:
        self.seal(name, stamp)
        self.go_on(STEPS_MAX)

    @precondition(lambda self: self.purge is not None)
    @rule(steps=st.sampled_from((1, 2, 3, STEPS_MAX)))
    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            if self.purge is not None:
                self.step(self.purge)

    def step(self, purge: PurgeRun) -> None:
        """The next hop of the round that is to prove, or what follows once all were made."""
        if purge.hops < hop_limit(len(NAMES)):
            at = purge.first + purge.hops
            one, other = (self.replicas[NAMES[(at + step) % len(NAMES)]] for step in (0, 1))
            if not self.session(one, other):
                self.purge = None
            else:
                purge.hops += 1
            return
        every = self.replicas.values()
        if purge.epoch != self.epoch or any(
            not each.up or purge.boots[each.name] != each.boot for each in every
        ):
            self.purge = None
            return
        if purge.kept < len(NAMES):
            each = self.replicas[NAMES[purge.kept]]
            each.marks = each.marks.joined(Marks(complete=purge.stamp))
            purge.kept += 1
            return
        self.purge = None
        first = self.replicas[NAMES[purge.first]]
        first.marks = first.marks.joined(Marks(mark=purge.stamp))
        self.sweep(first)

    # What must hold

    def has(self, replica: Replica, known: Record) -> bool:
        """Whether a replica has a version or a newer one, or has purged a tombstone that is newer."""
        id_ = known.entity.id
        held = replica.held.get(id_)
        if held is not None and held.version >= known.version:
            return True
        return known.version.stamp <= self.purged.get(id_, 0)

    @invariant()
    def deleted_stays_deleted(self) -> None:
        for replica in self.replicas.values():
            for id_, held in replica.held.items():
                if replica.counts and not held.deleted:
                    assert held.version.stamp > self.purged.get(id_, 0), (replica, held)

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        for known in self.acknowledged.values():
            held = any(self.has(each, known) for each in self.replicas.values())
            assert held or any(known.version <= each.version for each in self.quarantine), known

    def teardown(self) -> None:
        """Everybody comes back, and compares with everybody until nothing changes: all are equal."""
        for each in self.replicas.values():
            if not each.up:
                self.go_or_return(each.name, True)
        for _ in range(3):
            for one in NAMES:
                self.settle(one)
                for other in NAMES:
                    self.compare(one, other)
        every = list(self.replicas.values())
        assert all(each.settled and not each.marks.is_stale for each in every), every
        assert every[0].held == every[1].held == every[2].held, every
        assert len({each.marks.mark for each in every}) == 1, every
        self.deleted_stays_deleted()
        self.nothing_acknowledged_is_lost()


@dataclass
class PurgeRun:
    """A purge round under way."""

    stamp: int
    epoch: int
    boots: dict[str, int]
    first: int
    hops: int = 0
    kept: int = 0


TestRetention = pytest.mark.slow(RetentionMachine.TestCase)
TestRetention.settings = examples(120, steps=50)
