"""The same seed gives the same history to the last byte: in another process, with another order of sets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SEEDS = 20
REPLAYS = 5

PROGRAM = """
import hashlib
from dataclasses import replace
from gossipnode.sim.history.story import history_text
from gossipnode.sim.runs.one_run import run_scenario
from gossipnode.sim.scenario.generate import generate

for seed in range({seeds}):
    made = generate(seed, nodes=3, minutes=0.3, operations=30)
    # Without its last step, which lets two quiet minutes pass.
    result = run_scenario(replace(made, steps=made.steps[:-1]))
    print(seed, hashlib.sha256(history_text(result.history).encode()).hexdigest())
"""


def start(hash_seed: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    program = PROGRAM.format(seeds=SEEDS)
    return subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_seed_gives_the_same_history_in_every_process() -> None:
    histories: list[list[str]] = []
    for first in range(0, REPLAYS, 2):
        # Two at a time: each of them keeps one core busy.
        processes = [start(hash_seed) for hash_seed in range(first, min(first + 2, REPLAYS))]
        histories += [process.communicate()[0].splitlines() for process in processes]
    assert [len(lines) for lines in histories] == [SEEDS] * REPLAYS
    for number, lines in enumerate(zip(*histories, strict=True)):
        assert len(set(lines)) == 1, f"seed {number} gives another history in another process"
    assert len({line.split()[1] for line in histories[0]}) == SEEDS
