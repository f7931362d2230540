"""Epochs decided by bare acceptors and attempts, whatever becomes of messages, nodes, stores and members.

There are never two values for one epoch, nor an epoch that too few voters of the one before accepted.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.core.cluster.epochs.epoch_moves import Moves
from tests.core.cluster.epochs.epoch_world import NAMES
from tests.core.support import EXAMPLES_FACTOR, examples

FORMED = ["", "", "abc", "abc", "abcd", "abcde"]
CHANGES = ["text", "text", "text", "join", "drop", "replace"]

RUNS = 400
RUN_MOVES = 80

names = st.sampled_from(NAMES)
orders = st.lists(st.integers(0, 4), max_size=12)


class Epochs(RuleBasedStateMachine):
    """Any order of moves. Hypothesis finds the shortest that breaks a rule."""

    moves: Moves

    @initialize(formed=st.sampled_from(FORMED))
    def begin(self, formed: str) -> None:
        self.moves = Moves(formed)

    @rule(name=names, change=st.sampled_from(CHANGES), other=names, luck=st.integers(0, 3), order=orders)
    def propose(self, name: str, change: str, other: str, luck: int, order: list[int]) -> None:
        self.moves.propose(name, change, other, luck, order)

    @rule(which=st.integers(0, 5), order=orders)
    def go_on(self, which: int, order: list[int]) -> None:
        self.moves.go_on(which, order)

    @rule(place=st.integers(0, 200), keep=st.booleans())
    def deliver(self, place: int, keep: bool) -> None:
        self.moves.deliver(place, keep)

    @rule(name=names)
    def sync(self, name: str) -> None:
        self.moves.sync(name)

    @rule(name=names)
    def crash(self, name: str) -> None:
        self.moves.crash(name)

    @rule(hearer=names, speaker=names)
    def hear(self, hearer: str, speaker: str) -> None:
        self.moves.hear(hearer, speaker)

    @rule(name=names)
    def lose_store(self, name: str) -> None:
        self.moves.lose_store(name)

    @invariant()
    def always_one_cluster_with_one_value_an_epoch(self) -> None:
        self.moves.world.check()


TestEpochs = pytest.mark.slow(Epochs.TestCase)
TestEpochs.settings = examples(60, steps=30)


@pytest.mark.slow
@pytest.mark.parametrize("formed", ["", "abc", "abcde"])
def test_random_runs_decide_one_value_an_epoch(formed: str) -> None:
    """Many more moves than the machine makes, of a likelihood that lets many epochs be decided."""
    epochs = 0
    for seed in range(max(3, round(RUNS * EXAMPLES_FACTOR))):
        epochs += epochs_of_run(random.Random(seed), formed)
    # Most runs get somewhere, or they would show nothing.
    assert epochs > RUNS * EXAMPLES_FACTOR


def epochs_of_run(rng: random.Random, formed: str) -> int:
    """Make random moves. Returns the number of epochs that were decided."""
    moves = Moves(formed)
    # Most proposers of a run are the same few nodes, so that they meet at the same instance.
    proposers = [*rng.sample(formed or "abc", 2), rng.choice(NAMES)]
    kinds = ["propose"] * 4 + ["go_on"] * 4 + ["deliver"] * 8 + ["sync"] * 4 + ["crash", "hear"]
    for _ in range(RUN_MOVES):
        name, other = rng.choice(NAMES), rng.choice(NAMES)
        # A cut network lets one proposer reach the first names, and another one the last.
        reached = rng.choice([[0], [4], range(5)])
        order = [rng.choice(reached) for _ in range(rng.randrange(8))]
        match rng.choice(kinds):
            case "propose":
                moves.propose(rng.choice(proposers), rng.choice(CHANGES), other, rng.randrange(4), order)
            case "go_on":
                moves.go_on(rng.randrange(3), order)
            case "deliver":
                moves.deliver(rng.randrange(rng.choice([3, 10, 200])), rng.random() < 0.3)
            case "sync":
                moves.sync(name)
            case "crash":
                moves.crash(name)
            case _:
                moves.hear(name, other)
        if rng.random() < 0.02:
            moves.lose_store(name)
        moves.world.check()
    return len(moves.world.epochs)
