"""Deciding epochs between real nodes: how long it takes, who is counted, and what a voter refuses."""

from __future__ import annotations

from dataclasses import replace

import structlog.testing
import trio

from gossipnode.core.cluster.changes import first_epoch
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group, Member
from gossipnode.node.membership.epoch_news import SPREAD_SECONDS
from gossipnode.node.membership.epochs import CHANGE_SECONDS
from gossipnode.node.membership.member_admin import CHANGE_PAUSE_SECONDS
from gossipnode.sim import Cluster, running
from tests.node.moving import eventually


async def create(cluster: Cluster, at: str, name: str) -> tuple[int, float]:
    """Create a group; gives how many members are known to have the epoch, and how many seconds it took."""
    began = trio.current_time()
    made = await cluster.parts(at).membership.groups.create(name)
    return made.acknowledged, trio.current_time() - began


async def test_a_change_waits_for_no_member_that_hangs_but_to_tell_it(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await trio.sleep(1)
        assert await create(cluster, "a", "one") == (3, 0.0)
        cluster.hang("c")
        acknowledged, seconds = await create(cluster, "a", "two")
        assert acknowledged == 2
        assert seconds <= SPREAD_SECONDS + 0.1


async def test_a_change_takes_three_commits_one_after_the_other(autojump_clock: object) -> None:
    """A promise, a vote, and the epoch: all members keep each of them at the same time."""
    async with running(Cluster()) as cluster:
        await trio.sleep(1)
        for store in cluster.stores.values():
            store.commit_seconds = 0.1
        acknowledged, seconds = await create(cluster, "a", "one")
        assert acknowledged == 3
        assert 0.3 <= seconds < 0.4
        assert {cluster.view(name).epoch for name in "abc"} == {2}


async def test_changes_at_all_members_at_once_are_all_decided_soon(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await trio.sleep(1)
        for store in cluster.stores.values():
            store.commit_seconds = 0.005
        took: list[float] = []

        async def change(at: str) -> None:
            took.append((await create(cluster, at, f"of-{at}"))[1])

        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(change, name)
        await eventually(lambda: len({cluster.view(name).epoch for name in "abc"}) == 1)
        assert list(cluster.view("b").groups) == ["of-a", "of-b", "of-c", "sw"]
        assert max(took) < 0.3


async def test_a_member_that_did_not_take_an_epoch_is_not_counted(autojump_clock: object) -> None:
    """It answers, but it is of another cluster."""
    cluster, other = Cluster(), Cluster(seed=7)
    other.network = cluster.network
    async with running(cluster, "a", "b"), running(other, "c"):
        await trio.sleep(1)
        assert (await create(cluster, "a", "new"))[0] == 2
        assert list(other.view("c").groups) == ["sw"]


async def test_an_address_that_cannot_be_decided_is_tried_again_after_pauses(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery, running(Cluster()) as cluster:
        await trio.sleep(1)
        await cluster.end("c")
        await cluster.end("b")
        with structlog.testing.capture_logs() as logs:
            await cluster.start(nursery, "c", **{"node.listen": "elsewhere:7401"})
            await trio.sleep(60)
        tries = [log for log in logs if log["event"] == "change not decided yet"]
        # With two of three there is a majority: a, and c itself. So it was decided at once.
        assert not tries
        assert cluster.view("a").members["c"].address == "elsewhere:7401"
        await cluster.end("c")
        await cluster.end("a")
        with structlog.testing.capture_logs() as logs:
            await cluster.start(nursery, "c")
            await trio.sleep(60)
        tries = [log for log in logs if log["event"] == "change not decided yet"]
        assert 3 <= len(tries) <= 60 / (CHANGE_SECONDS + CHANGE_PAUSE_SECONDS) + 1
        assert all("0 of 3 members agreed" in log["reason"] for log in tries)


async def test_a_first_epoch_is_accepted_only_as_the_configuration_has_it(autojump_clock: object) -> None:
    async with running(Cluster(formed=False), "a") as cluster:
        forming = cluster.parts("a").membership.forming
        own = cluster.parts("a").local.cluster.own
        members = [Member(name, f"{name}:7400", 5) for name in "bc"]

        def value(*groups: Group, address: str = "a:7400") -> ClusterMetadata:
            return first_epoch(bytes(16), bytes(16), [Member("a", address, own.birth), *members], groups)

        right = Group("sw")
        assert forming.admit(value(right)) == ""
        for wrong, why in (
            (value(), "it has no group sw"),
            (value(replace(right, replicas=2)), "it has sw:1:2"),
            (value(right, address="elsewhere:1"), "a is at a:7400, not at elsewhere:1"),
            (replace(value(right), foreign={"p": "p:1"}), "its foreign members are p"),
        ):
            assert why in forming.admit(wrong)


async def test_nodes_that_are_configured_differently_form_no_cluster(autojump_clock: object) -> None:
    """c comes last, so that it is the one that finds out, and ends. The others go on waiting for it."""
    cluster = Cluster(formed=False, keeps_errors=True)
    async with running(cluster, "a", "b"):
        assert "c is configured in another way" not in str(cluster.errors)
        refusal = await cluster.refused("c", groups=["sw:2:3"])
        assert "is configured in another way: it has sw:1:3" in refusal
        await trio.sleep(10)
        assert not cluster.view("a").formed
        assert list(cluster.parts("a").membership.forming.waiting_for()) == ["c"]
