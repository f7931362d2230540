"""The same seed gives the same history to the last byte: in another process, with another order of sets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SEEDS = range(20)
OTHERS = 4
"""Processes that replay the first runs, each with an order of sets of its own and each its share.

One replay tells whether a run can be replayed, and each order of sets is tried on several runs.
"""

PROGRAM = """
import hashlib
from dataclasses import replace
from gossipnode.sim.history.story import history_text
from gossipnode.sim.runs.one_run import run_scenario
from gossipnode.sim.scenario.generate import generate

for seed in {seeds}:
    made = generate(seed, nodes=3, minutes=0.3, operations=30)
    # Without its last step, which lets two quiet minutes pass.
    result = run_scenario(replace(made, steps=made.steps[:-1]))
    print(seed, hashlib.sha256(history_text(result.history).encode()).hexdigest())
"""


def start(hash_seed: int, seeds: range) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    program = PROGRAM.format(seeds=seeds)
    return subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    )


def histories_of(*processes: subprocess.Popen[str]) -> dict[int, str]:
    """The hashes of their histories, by seed."""
    lines = [line for process in processes for line in process.communicate()[0].splitlines()]
    return {int(seed): digest for seed, digest in (line.split() for line in lines)}


@pytest.mark.slow
def test_a_seed_gives_the_same_history_in_every_process() -> None:
    # Two at a time: each of them keeps one core busy.
    half = len(SEEDS) // 2
    first = histories_of(start(0, SEEDS[:half]), start(0, SEEDS[half:]))
    assert sorted(first) == list(SEEDS)
    replayed: dict[int, str] = {}
    for other in range(1, OTHERS + 1, 2):
        replayed |= histories_of(*(start(each, SEEDS[each - 1 :: OTHERS]) for each in (other, other + 1)))
    assert replayed == first, "another process gives another history"
    assert len(set(first.values())) == len(SEEDS)
