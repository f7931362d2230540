"""The rule by which connections are kept, without sockets: nobody keeps all others out."""

from dataclasses import dataclass, field
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.concurrency.shares import Caller
from gossipnode.rpc import Limits
from gossipnode.rpc.server.connection_slots import ConnectionSlots, HandshakeSlot, Slot

LIMITS = Limits(max_connections=8, connections_kept_for_members=2, max_handshakes=4)

numbers = count()


@dataclass
class Scope:
    cancelled: bool = False

    def cancel(self):
        self.cancelled = True


@dataclass
class Connection:
    idle_since: float = 0.0
    streams: list[int] = field(default_factory=list)


def slot(address, *, busy=False, member=False, idle_since=0.0):
    caller = Caller(address or f"connection {next(numbers)}", member)
    return Slot(caller, Scope(), Connection(idle_since, [1] if busy else []))


def slots():
    return ConnectionSlots(LIMITS, keep_for_members=True)


def test_connections_that_are_idle_do_not_keep_others_out():
    kept = slots()
    idle = [slot(f"10.0.0.{number}", idle_since=number) for number in range(6)]
    assert all(kept.admit(each) for each in idle)
    assert kept.admit(slot("192.0.2.1"))
    assert [each.scope.cancelled for each in idle] == [True] + [False] * 5
    assert kept.admit(slot("192.0.2.1", member=True))


def test_connections_with_calls_never_give_way():
    kept = slots()
    busy = [slot(f"10.0.0.{number}", busy=True) for number in range(6)]
    assert all(kept.admit(each) for each in busy)
    assert not kept.admit(slot("192.0.2.1"))
    assert not any(each.scope.cancelled for each in busy)


def test_an_address_beyond_its_share_loses_connections_of_its_own():
    kept = slots()
    other = slot("192.0.2.1", idle_since=-1.0)
    assert kept.admit(other)
    same = [slot("10.0.0.1", busy=number > 0) for number in range(3)]
    assert all(kept.admit(each) for each in same)
    assert kept.admit(slot("10.0.0.1", busy=True))
    assert same[0].scope.cancelled
    assert not kept.admit(slot("10.0.0.1"))
    assert not other.scope.cancelled
    assert kept.admit(slot("192.0.2.2"))


def test_room_is_kept_for_members_whatever_the_others_do():
    kept = slots()
    for number in range(20):
        kept.admit(slot(f"10.0.0.{number}", busy=True))
    assert len(kept) == 6
    assert all(kept.admit(slot(f"192.0.2.{n}", busy=True, member=True)) for n in range(2))
    assert not kept.admit(slot("192.0.2.3", busy=True, member=True))


def test_peers_without_an_address_are_callers_of_their_own():
    kept = ConnectionSlots(LIMITS, keep_for_members=False)
    assert all(kept.admit(slot("", busy=True)) for _ in range(8))


def test_a_handshake_gives_way_to_one_of_an_address_with_fewer():
    kept = slots()
    honest = HandshakeSlot("192.0.2.1", Scope())
    kept.begin_handshake(honest)
    flood = [HandshakeSlot("10.0.0.1", Scope()) for _ in range(520)]
    for each in flood:
        kept.begin_handshake(each)
    assert len(kept) == 4
    assert not honest.scope.cancelled
    assert [each.scope.cancelled for each in flood] == [True] * 517 + [False] * 3
    assert kept.admit(slot("192.0.2.1"))


newcomers = st.tuples(st.integers(0, 4), st.booleans(), st.booleans(), st.integers(0, 9))


@settings(deadline=None)
@given(st.lists(newcomers, max_size=60))
def test_no_limit_is_exceeded_and_nobody_with_calls_is_ended(script):
    kept, alive = slots(), []
    for number, busy, member, idle_since in script:
        new = slot(f"10.0.0.{number}", busy=busy, member=member, idle_since=idle_since)
        if kept.admit(new):
            alive.append(new)
        alive = [each for each in alive if not each.scope.cancelled]
        others = [each for each in alive if not each.caller.member]
        assert len(kept) == len(alive) <= LIMITS.max_connections
        assert len(others) <= LIMITS.max_connections - LIMITS.connections_kept_for_members
        assert all(sum(o.caller == each.caller for o in others) <= 3 for each in others)
    assert not any(each.scope.cancelled for each in alive)
