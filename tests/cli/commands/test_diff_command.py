"""`diff`: the records that differ between two nodes."""

from __future__ import annotations

import pytest

from gossipnode.cli.commands.diff_command import (
    Differing,
    DiffNode,
    compared_shard,
    differing_by_survey,
    differing_records,
    differing_slots,
)
from gossipnode.client.calls.node_client import NodeClient
from gossipnode.config.address import Address
from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.session.reconcile import survey_client
from gossipnode.sim.cluster import Cluster, running
from tests.cli.conftest import Cli, refused
from tests.records import record

SHARD = ShardId("sw", 0)
REVISIONS = tuple[int, int] | None


def side(name: str, cluster_channel: object) -> DiffNode:
    return DiffNode(name, NodeClient(cluster_channel, Address(name, 1), 5.0))  # type: ignore[arg-type]


def told(differing: Differing) -> tuple[str, REVISIONS, REVISIONS]:
    _, here, there = differing
    return differing.key[2], here and here[:2], there and there[:2]


@pytest.mark.parametrize("way", ["survey", "trees"])
async def test_what_differs_is_told_and_nothing_else(autojump_clock: object, way: str) -> None:
    cluster = Cluster()
    alike = [record(f"n/{number}", revision=3) for number in range(200)]
    async with running(cluster, "a", "b"):
        await cluster.put("a", *alike, record("n/only-a"), record("n/x", revision=5), record("n/y", a="1"))
        await cluster.put("b", *alike, record("n/only-b"), record("n/x", revision=4, delete_time=9))
        await cluster.put("b", record("n/y", a="2"))
        async with cluster.channel("a") as to_a, cluster.channel("b") as to_b:
            first, second = side("a", to_a), side("b", to_b)
            if way == "survey":
                surveyed = await differing_by_survey("sw", 0, first, second)
                assert surveyed is not None
                found = surveyed
                # Neither node had to compute the digests of its tree.
                assert not any([await store.known_root(SHARD) for store in cluster.stores.values()])
            else:
                slots = await differing_slots("sw", 0, first, second)
                assert slots
                assert len(slots) <= 4
                found = [each async for each in differing_records("sw", 0, slots, first, second)]
                assert await differing_slots("sw", 0, first, first) == []
    assert sorted(map(told, found)) == [
        ("only-a", (1, 0), None),
        ("only-b", None, (1, 0)),
        ("x", (5, 0), (4, 9)),
        ("y", (1, 0), (1, 0)),
    ]
    assert [each.key for each in found] == sorted(
        (each.key for each in found), key=lambda key: (slot_of(Entity(*key)), key)
    )
    (tie,) = [each for each in found if each.key[2] == "y"]
    assert tie.here is not None
    assert tie.there is not None
    assert tie.here.digest != tie.there.digest


@pytest.mark.parametrize("lacking", ["a", "b"])
async def test_a_shard_that_one_of_them_does_not_hold_is_not_compared(
    autojump_clock: object, lacking: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster(groups=("sw:8:2",))
    async with running(cluster, "a", "b", "c"):
        held = {name: {shard.shard for shard in cluster.stores[name].shards()} for name in "ab"}
        (other,) = {"a", "b"} - {lacking}
        shards = cluster.parts("a").local.shards
        number = next(
            each
            for each in range(8)
            if lacking not in (replicas := shards.replicas(ShardId("sw", each, 1))) and other in replicas
        )
        assert number not in held[lacking]
        async with cluster.channel("a") as to_a, cluster.channel("b") as to_b:
            assert await compared_shard("sw", number, side("a", to_a), side("b", to_b)) is None
    assert f"sw/{number}: {lacking} holds no copy of it" in capsys.readouterr().err


async def test_trees_are_compared_where_the_nodes_cannot_find_out(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey_client, "SURVEY_MAX_RECORDS", 3)
    cluster = Cluster()
    async with running(cluster, "a", "b"):
        await cluster.put("a", *(record(f"n/{number}") for number in range(4)))
        async with cluster.channel("a") as to_a, cluster.channel("b") as to_b:
            first, second = side("a", to_a), side("b", to_b)
            for other in (second, first, side("nobody", to_b)):
                assert await differing_by_survey("sw", 0, first, other) is None
            compared = await compared_shard("sw", 0, first, second)
            assert compared is not None
            found = [told(each) async for each in compared]
            assert sorted(found) == [(str(number), (1, 0), None) for number in range(4)]


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
