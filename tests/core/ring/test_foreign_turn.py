"""What a witness knows of the turns of foreign holders, and what it makes of their messages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.foreign_turn import (
    WATCHED_MAX_SHARDS,
    ForeignTurn,
    ForeignTurns,
    first_holders,
    witnesses,
)
from gossipnode.core.ring.turn import Cause
from tests.core.ring.rounds import message
from tests.core.support import SHARD

HANDED = message("a", "b", "c", count=1, cause=Cause.ASKED)
TURN = ForeignTurn("c", HANDED)
PASSED_ON = replace(HANDED, round="", cause=Cause.SCHEDULED, count=2)
"""What a foreign holder makes of it: it knows neither the id nor the cause."""


def test_the_own_nodes_after_a_foreign_holder_are_its_witnesses_in_ring_order() -> None:
    ring = message("a", "b", "c", "d")
    assert witnesses(ring, "b", {"b"}) == ("c", "d", "a")
    assert witnesses(ring, "d", {"d", "elsewhere"}) == ("a", "b", "c")
    # Of several foreign ones nobody knows which it was.
    assert witnesses(ring, "b", {"b", "d"}) == ()


def test_own_nodes_are_offered_a_round_first() -> None:
    assert first_holders(("a", "b", "c"), {"a"}) == ("b", "c", "a")
    assert first_holders(("a", "b"), {}) == ("a", "b")


def test_a_session_is_the_hop_of_the_turn_that_is_expected_and_of_one_only() -> None:
    turns = ForeignTurns()
    assert turns.session_begins(SHARD) is None
    turns.expect(TURN, 1.0)
    assert turns.session_begins(ShardId("sw", 1)) is None
    watched = turns.session_begins(SHARD)
    assert watched is not None
    assert watched.turn == TURN
    assert turns.session_begins(SHARD) is None


def test_a_message_that_comes_from_a_foreign_holder_is_known_again() -> None:
    turns = ForeignTurns()
    turns.expect(TURN, 1.0)
    assert turns.known_again(PASSED_ON) == replace(HANDED, count=2)
    for other in (replace(PASSED_ON, count=3), replace(PASSED_ON, origin="c"), replace(PASSED_ON, round="x")):
        assert turns.known_again(other) == other
    watched = turns.of(SHARD)
    assert watched is not None
    assert watched.decided, "it has gone on, so nobody else does"


def test_the_message_and_the_session_of_one_that_was_given_up_count_for_nothing() -> None:
    turns = ForeignTurns()
    turns.expect(TURN, 1.0)
    watched = turns.of(SHARD)
    assert watched is not None
    watched.given_up = True
    assert turns.known_again(PASSED_ON) is None
    assert turns.session_begins(SHARD) is None
    # The next round of the same origin is another matter.
    turns.expect(ForeignTurn("c", replace(HANDED, round="r2")), 2.0)
    assert watched.replaced
    assert turns.known_again(PASSED_ON) == replace(HANDED, round="r2", count=2)


@pytest.mark.parametrize("more", [0, 3])
def test_turns_of_only_so_many_shards_are_looked_out_for(more: int) -> None:
    turns = ForeignTurns()
    for number in range(WATCHED_MAX_SHARDS + more):
        turns.expect(ForeignTurn("c", replace(HANDED, shard=ShardId("sw", number))), 1.0)
    assert (turns.of(ShardId("sw", 0)) is None) == (more > 0)
    assert turns.of(ShardId("sw", more)) is not None
