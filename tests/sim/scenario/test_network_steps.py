"""What steps do to links: those that are mended are well again, whatever was wrong with them."""

from __future__ import annotations

import pytest

from gossipnode.sim.runs.one_run import run_scenario
from gossipnode.sim.scenario.verbs.all_verbs import read_scenario

SLOW = """\
nodes a b c
groups sw:1:3

bandwidth a-* 50
apply-many a sw/n 0 2 x=1 via=none -> fails
{mended}
wait 5
apply-many a sw/n 0 20 x=2 via=none -> ok
"""


@pytest.mark.slow
@pytest.mark.parametrize("mended", ["mend a-*", "mend all", "heal"])
def test_links_that_are_mended_carry_as_much_as_before(mended: str) -> None:
    assert run_scenario(read_scenario(SLOW.format(mended=mended), "slow")).problems == []
