"""A node that looks out for the session of a foreign holder, and what it says of it."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gossipnode.core.ring.foreign_turn import FOREIGN_BEGINS_SECONDS, ForeignTurn
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import HopEnd
from gossipnode.core.session.commands import SessionCounts
from gossipnode.node.repair.foreign.foreign_witness import LATE_SESSION_SECONDS, ForeignWitness
from tests.node.repair.rounds.ring_peers import SHARD, message

TURN = ForeignTurn("c", message(count=1))


def looking_out() -> ForeignWitness:
    witness = ForeignWitness("a", deadline_seconds=600)
    witness.expect(TURN)
    return witness


async def serve(witness: ForeignWitness, after: float, seconds: float, outcome: str) -> None:
    """A session of the foreign holder: c sends three records and takes one."""
    await trio.sleep(after)
    with witness.foreign_session(SHARD) as seen:
        await trio.sleep(seconds)
        seen.note(outcome, SessionCounts(sent=1, received=3))


@pytest.mark.parametrize(
    ("outcome", "end", "reason"),
    [
        ("equal", HopEnd.EQUAL, ""),
        ("repaired", HopEnd.REPAIRED, ""),
        ("verdict", HopEnd.FAILED, "verdict"),
        ("UNAVAILABLE: gone", HopEnd.FAILED, "UNAVAILABLE: gone"),
    ],
)
async def test_a_session_that_begins_in_time_is_waited_for_however_long_it_takes(
    outcome: str, end: HopEnd, reason: str, autojump_clock: object
) -> None:
    witness = looking_out()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, witness, FOREIGN_BEGINS_SECONDS - 1, 500, outcome)
        hop = await witness.outcome(TURN)
    assert hop == Hop("c", "a", end, reason, sent=3, received=1, seconds=500)
    # One that asks later is told the same.
    assert await witness.outcome(TURN) == hop


async def test_a_holder_that_does_not_begin_in_time_is_given_up(autojump_clock: object) -> None:
    witness = looking_out()
    assert await witness.outcome(TURN) is True
    assert trio.current_time() == FOREIGN_BEGINS_SECONDS


async def test_nothing_is_known_of_a_turn_that_was_not_announced_or_was_replaced(
    autojump_clock: object,
) -> None:
    witness = looking_out()
    other = ForeignTurn("c", message("r2", count=1))
    assert await witness.outcome(other) is False
    async with trio.open_nursery() as nursery:

        async def replace() -> None:
            assert await witness.outcome(TURN) is False

        nursery.start_soon(replace)
        await trio.testing.wait_all_tasks_blocked()
        witness.expect(other)
    assert trio.current_time() == 0


async def test_a_late_session_waits_for_our_own_and_not_for_ever(autojump_clock: object) -> None:
    witness = looking_out()
    await witness.let_in(SHARD)
    assert trio.current_time() == 0, "nobody was given up"
    await witness.outcome(TURN)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(witness.let_in, SHARD)
        await trio.sleep(7)
        witness.own_session_ended(SHARD)
    assert trio.current_time() == began + 7
    witness.expect(TURN)
    await witness.outcome(TURN)
    began = trio.current_time()
    await witness.let_in(SHARD)
    assert trio.current_time() == began + LATE_SESSION_SECONDS
