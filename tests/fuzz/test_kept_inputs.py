"""The inputs that fuzzing has kept are replayed: those that reach everything together, and every finding.

A layer says what it promises; an input that breaks a promise raises.
"""

from __future__ import annotations

import pytest

from fuzzing.command import KEPT
from fuzzing.inputs import read_inputs
from fuzzing.layer import CostlyError, Layer, replay
from tests.fuzz.layers import LAYERS


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_no_kept_input_breaks_a_promise(name: str) -> None:
    layer = LAYERS[name]
    kept = read_inputs(KEPT / layer.name)
    assert len(kept) > 10, "the kept inputs are gone"
    for steps in kept:
        replay(layer, steps)


def test_the_kept_inputs_are_small() -> None:
    assert sum(path.stat().st_size for path in KEPT.rglob("*.txt")) < 300_000


def test_an_input_that_costs_more_than_its_size_allows_is_a_finding() -> None:
    frames = LAYERS["frames"]
    steps = read_inputs(KEPT / frames.name)[-1]
    with pytest.raises(CostlyError, match="at most"):
        replay(Layer("frames", frames.about, frames.run, frames.fresh, frames.folders, 0, 0), steps)
