"""When the steps of a scenario are done."""

from __future__ import annotations

import pytest

from tests.sim.scenario.played import played

LATE = """\
nodes a b
seed {seed}

wait 30
@10 cut a-b
@12 mend a-b
@12.5 cut b-*
"""


@pytest.mark.parametrize("seed", range(4))
def test_steps_that_come_late_keep_their_order_and_their_distance(seed: int) -> None:
    told = [
        (event.text, round(event.time, 3))
        for event in played(LATE.format(seed=seed)).history.events
        if event.lane == "network"
    ]
    texts = [text for text, _ in told]
    begun = told[0][1]
    assert texts == ["cut a-b", "mend a-b", "cut b-*"]
    assert begun >= 30
    assert [round(time - begun, 3) for _, time in told] == [0, 2, 2.5]
