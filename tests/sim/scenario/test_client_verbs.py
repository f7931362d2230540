"""Clients of a run: what they draw by chance, and that each is one client."""

from __future__ import annotations

import pytest

from gossipnode.sim.history.operations import Stored
from tests.sim.scenario.played import played

pytestmark = pytest.mark.slow


def test_a_client_that_two_operations_want_in_one_instant_draws_each_number_once() -> None:
    """Otherwise a later request has the number of an earlier one, and is told what that one did."""
    result = played(
        "nodes a b c\ngroups sw:1:3\n@1 apply a sw/n/1 x=1 via=none\n@1 apply a sw/n/1 y=2 via=none\n"
        "@2 apply a sw/n/1 z=3 via=none -> ok x=1 y=2 z=3\n@3 apply a sw/n/1 w=4 via=none -> ok w=4"
    )
    assert not result.problems
    heard = [operation.heard for operation in result.history.operations]
    assert len({each.revision for each in heard if isinstance(each, Stored)}) == 4


def test_a_client_that_watches_hears_of_all_that_comes() -> None:
    result = played(
        "nodes a b c\ngroups sw:1:3\n@0 watch a sw\n@1 apply a sw/n/1 x=1 via=none\n"
        "@2 apply b sw/n/2 x=2 via=none\n@3 delete c sw/n/1 via=none\n@4 crash a\n"
        "@6 apply b sw/n/3 x=3 via=none\n@7 delete b sw/n/2 via=none\n@60 restart a\nwait 30\nfinish"
    )
    assert not result.problems
    assert not result.violations
    (watched,) = result.history.watched
    assert {key: tags for key, (_, tags) in watched.records.items()} == {"sw/n/3": {"x": 3}}
    assert watched.ready
    assert (watched.gaps, watched.events >= 8) == (0, True)
