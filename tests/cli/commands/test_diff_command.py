"""`diff`: the records that differ between two nodes."""

from __future__ import annotations

import pytest

from gossipnode.cli.commands.diff_command import (
    Differing,
    DiffNode,
    differing_records,
    differing_slots,
)
from gossipnode.client.calls.node_client import NodeClient
from gossipnode.config.address import Address
from gossipnode.sim.cluster import Cluster, running
from tests.cli.conftest import Cli, refused
from tests.records import record

REVISIONS = tuple[int, int] | None


def side(name: str, cluster_channel: object) -> DiffNode:
    return DiffNode(name, NodeClient(cluster_channel, Address(name, 1), 5.0))  # type: ignore[arg-type]


def told(differing: Differing) -> tuple[str, REVISIONS, REVISIONS]:
    here, there = (None if leaf is None else (leaf.mod_revision, leaf.delete_time) for leaf in differing)
    return differing.key[2], here, there


async def test_what_differs_is_told_and_nothing_else(autojump_clock: object) -> None:
    cluster = Cluster()
    alike = [record(f"n/{number}", revision=3) for number in range(200)]
    async with running(cluster, "a", "b"):
        await cluster.put("a", *alike, record("n/only-a"), record("n/x", revision=5), record("n/y", a="1"))
        await cluster.put("b", *alike, record("n/only-b"), record("n/x", revision=4, delete_time=9))
        await cluster.put("b", record("n/y", a="2"))
        async with cluster.channel("a") as to_a, cluster.channel("b") as to_b:
            first, second = side("a", to_a), side("b", to_b)
            slots = await differing_slots("sw", 0, first, second)
            assert slots
            assert len(slots) <= 4
            found = [each async for each in differing_records("sw", 0, slots, first, second)]
            again = await differing_slots("sw", 0, first, first)
    assert sorted(map(told, found)) == [
        ("only-a", (1, 0), None),
        ("only-b", None, (1, 0)),
        ("x", (5, 0), (4, 9)),
        ("y", (1, 0), (1, 0)),
    ]
    (tie,) = [each for each in found if each.key[2] == "y"]
    assert tie.here is not None
    assert tie.there is not None
    assert tie.here.digest != tie.there.digest
    assert again == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["diff", "a", "b"], ["GROUP"]), (["diff", "a", "b", "sw/x"], ["sw/x"])],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)


@pytest.mark.slow
def test_a_real_node_beside_itself(ask: Cli) -> None:
    ask("apply", "sw/diff/1", "a=1")
    ended = ask("diff", "a", "a", "sw", "-o", "json")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == "0 records differ, in 1 shard that both hold\n"
    ended = ask("diff", "a", "nobody", "sw")
    assert ended.code == 3
    assert ended.problem.startswith("'nobody' is no member and no HOST:PORT: the members are a")
