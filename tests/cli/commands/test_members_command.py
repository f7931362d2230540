"""`members`: the members, as one node sees them."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli, lines


@pytest.mark.slow
def test_the_one_member_of_a_cluster_of_one(ask: Cli) -> None:
    (member,) = lines(ask("members", "-o", "json"))
    assert (list(member), member["name"], member["state"]) == (["name", "address", "state"], "a", "up")
