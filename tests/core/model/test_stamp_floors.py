"""The floors of one replica, and by a machine of three replicas: stamps of quorum writes follow time."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS
from gossipnode.core.model.property import Entity
from gossipnode.core.model.stamp_floors import (
    CEILING_AHEAD_NANOSECONDS,
    FLOOR_BELIEVED_NANOSECONDS,
    FLOOR_BUCKETS,
    StampFloors,
    floor_bucket,
)
from tests.core.support import examples

NOW = 1_800_000_000_000_000_000
BELIEVED = NOW + FLOOR_BELIEVED_NANOSECONDS


def covered(ceiling: int = NOW) -> StampFloors:
    """Floors that nothing was proposed to yet, with a ceiling above all stamps of the test."""
    floors = StampFloors()
    floors.reserve(ceiling + CEILING_AHEAD_NANOSECONDS)
    return floors


def test_every_bucket_is_used_and_there_is_none_beyond() -> None:
    buckets = {floor_bucket(Entity("sw", "n", str(number))) for number in range(300_000)}
    assert min(buckets) >= 0
    assert max(buckets) < FLOOR_BUCKETS
    assert len(buckets) > FLOOR_BUCKETS * 0.95


def test_a_stamp_is_taken_above_the_floor_and_only_there() -> None:
    floors = covered()
    assert floors.propose((1, 2), NOW, BELIEVED) == 0
    assert floors.propose((2, 3), NOW, BELIEVED) == NOW
    assert floors.propose((3,), NOW - 1, BELIEVED) == NOW
    assert floors.propose((3,), NOW + 1, BELIEVED) == NOW
    assert floors.highest((1, 2, 3, 4), BELIEVED) == NOW + 1
    assert floors.highest((4,), BELIEVED) == 0
    assert floors.highest((), BELIEVED) == 0
    assert floors.highest_of_all(BELIEVED) == NOW + 1


def test_records_of_one_proposal_that_share_a_bucket_do_not_outbid_each_other() -> None:
    floors = covered()
    assert floors.propose((1, 2, 1), NOW, BELIEVED) == 0
    assert floors.propose((1, 1), NOW + 1, BELIEVED) == NOW


def test_after_a_restart_every_floor_is_the_ceiling() -> None:
    floors = StampFloors(NOW)
    assert floors.highest((0, FLOOR_BUCKETS - 1), BELIEVED) == NOW
    assert floors.covers(NOW, BELIEVED)
    assert not floors.covers(NOW + 1, BELIEVED)


def test_all_floors_are_raised_and_none_is_lowered() -> None:
    floors = covered()
    floors.propose((7,), NOW + 5, BELIEVED)
    floors.raise_all(NOW, BELIEVED)
    assert floors.highest((0,), BELIEVED) == NOW
    assert floors.highest((7,), BELIEVED) == NOW + 5


def test_a_floor_from_a_wrong_clock_binds_nobody() -> None:
    far = BELIEVED + 1
    floors = StampFloors(far)
    assert floors.highest((1,), BELIEVED) == 0
    assert not floors.covers(NOW, BELIEVED)
    floors.reserve(NOW + 10)
    assert floors.propose((1,), NOW, BELIEVED) == 0
    assert floors.highest((1,), BELIEVED) == NOW


# A machine: writers with wrong clocks, replicas that restart, messages that arrive late


@dataclass
class Site:
    """A replica. What it wrote down outlives a restart."""

    floors: StampFloors = field(default_factory=StampFloors)
    durable: int = 0
    held: int = 0

    def propose(self, stamp: int) -> int:
        if not self.floors.covers(stamp, BELIEVED):
            self.durable = stamp + CEILING_AHEAD_NANOSECONDS
            self.floors.reserve(self.durable)
        return max(self.held, self.floors.propose((0,), stamp, BELIEVED))


@dataclass
class Write:
    clock: int
    """How far the clock of its coordinator is ahead."""
    before: list[Write]
    """The writes that had ended when it began."""
    stamp: int = 0
    highest: int = 0
    taken: bool = False
    stored: set[str] = field(default_factory=set[str])
    ended: bool = False


names = st.sampled_from("abc")
writes = st.integers(0, 5)
clocks = st.sampled_from((-MAX_CLOCK_SKEW_NANOSECONDS, -1, 0, 0, 1, MAX_CLOCK_SKEW_NANOSECONDS // 2))


class StampMachine(RuleBasedStateMachine):
    """One record at three replicas. A write that has ended may still arrive anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.sites = {name: Site() for name in "abc"}
        self.writes: list[Write] = []

    def pick(self, number: int) -> Write:
        return self.writes[-1 - number % len(self.writes)]

    @rule(clock=clocks)
    def begin(self, clock: int) -> None:
        self.writes.append(Write(clock, [write for write in self.writes if write.ended]))

    @rule(nanoseconds=st.sampled_from((1, 1000, CEILING_AHEAD_NANOSECONDS)))
    def let_time_pass(self, nanoseconds: int) -> None:
        self.now += nanoseconds

    @precondition(lambda self: self.writes)
    @rule(number=writes, away=names)
    def propose(self, number: int, away: str) -> None:
        write = self.pick(number)
        if write.ended or write.taken:
            return
        write.stamp = max(self.now + write.clock, write.highest + 1)
        floors = [site.propose(write.stamp) for name, site in self.sites.items() if name != away]
        write.taken = all(floor < write.stamp for floor in floors)
        write.highest = max(floors)

    @precondition(lambda self: self.writes)
    @rule(number=writes, name=names)
    def arrive(self, number: int, name: str) -> None:
        write, site = self.pick(number), self.sites[name]
        if not write.taken:
            return
        if site.held > write.stamp:
            write.ended = True  # it fails; the next try is another write
            return
        site.held = write.stamp
        write.stored.add(name)
        if not write.ended and len(write.stored) == 2:
            write.ended = True
            assert all(earlier.stamp < write.stamp for earlier in write.before if earlier.taken)

    @rule(clock=clocks, away=names, reached=st.sets(names))
    def write_at_once(self, clock: int, away: str, reached: set[str]) -> None:
        """A whole write, of which some replicas hear; it fails where those are too few."""
        self.begin(clock)
        for _ in range(2):
            self.propose(0, away)
        for name in sorted(reached):
            self.arrive(0, name)
        self.give_up(0)

    @precondition(lambda self: self.writes)
    @rule(number=writes)
    def give_up(self, number: int) -> None:
        self.pick(number).ended = True

    @rule(name=names)
    def restart(self, name: str) -> None:
        self.sites[name].floors = StampFloors(self.sites[name].durable)


TestStampMachine = pytest.mark.slow(StampMachine.TestCase)
TestStampMachine.settings = examples(150, steps=40)


def test_what_a_wrong_clock_raised_all_floors_to_binds_nobody() -> None:
    floors = StampFloors()
    far = BELIEVED + 10
    floors.reserve(far)
    floors.raise_all(far, far)
    assert floors.highest_of_all(far) == far
    assert floors.highest((3,), BELIEVED) == floors.highest_of_all(BELIEVED) == 0
    floors.reserve(NOW + 10)
    floors.raise_all(NOW, BELIEVED)
    assert floors.highest((3,), BELIEVED) == floors.highest_of_all(BELIEVED) == NOW
