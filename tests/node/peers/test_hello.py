"""Hellos: what one member learns of another, and how often it asks."""

from __future__ import annotations

import pytest
import trio
import trio.lowlevel
import trio.testing

from gossipnode.node.identity.birth import Birth
from gossipnode.node.peers.hello import HELLO_MAX_SECONDS, HELLO_TIMEOUT_SECONDS, Hellos
from gossipnode.node.peers.members import Peer
from gossipnode.sim import Cluster, running
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from tests.node.epochs import created

NO_CHANGE_SECONDS = 10 * HELLO_MAX_SECONDS


def hellos_of(cluster: Cluster, name: str) -> Hellos:
    return cluster.parts(name).membership.hellos


def peer_of(cluster: Cluster, name: str, peer: str) -> Peer:
    return cluster.parts(name).members.peers[peer]


async def test_a_member_that_hangs_is_down_after_one_hello_and_up_after_the_next(
    autojump_clock: object,
) -> None:
    async with running(Cluster()) as cluster:
        await trio.sleep(1)
        c = peer_of(cluster, "a", "c")
        assert c.state == "up"
        cluster.hang("c")
        began = trio.current_time()
        assert await hellos_of(cluster, "a").greet(c), "its state has changed"
        assert trio.current_time() - began == HELLO_TIMEOUT_SECONDS
        assert c.state == "down"
        assert peer_of(cluster, "a", "b").state == "up"
        cluster.faults.heal()
        assert await hellos_of(cluster, "a").greet(c)
        assert c.state == "up"


async def test_one_that_hangs_delays_no_hello_to_another(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await trio.sleep(1)
        cluster.hang("c")
        for _ in range(4):
            await trio.sleep(HELLO_MAX_SECONDS + 1)
            assert trio.current_time() - peer_of(cluster, "a", "b").seen_at <= HELLO_MAX_SECONDS
            assert peer_of(cluster, "a", "c").state == "down"


async def test_another_epoch_is_noted_and_taken_over(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await trio.sleep(NO_CHANGE_SECONDS)
        a, b = cluster.parts("a").local.cluster, cluster.parts("b").local.cluster
        assert b.metadata is not None
        await b.adopt(created("new")(b.metadata), 0)
        assert (a.epoch, b.epoch) == (1, 2)
        await hellos_of(cluster, "a").greet(peer_of(cluster, "a", "b"))
        await trio.sleep(0.1)
        assert a.metadata == b.metadata


async def test_one_that_is_behind_is_told(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await trio.sleep(NO_CHANGE_SECONDS)
        a, b = cluster.parts("a").local.cluster, cluster.parts("b").local.cluster
        assert a.metadata is not None
        await a.adopt(created("new")(a.metadata), 0)
        await hellos_of(cluster, "a").greet(peer_of(cluster, "a", "b"))
        await trio.sleep(0.1)
        assert b.epoch == 2


async def test_somebody_else_at_a_members_address_is_not_taken_for_it(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await trio.sleep(1)
        b, hellos = peer_of(cluster, "a", "b"), hellos_of(cluster, "a")
        b.name = "z"
        await hellos.greet(b)
        assert (b.state, b.problem) == ("down", "'b' answers at b:7400")


async def test_another_store_of_a_members_name_is_not_taken_for_the_member(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await trio.sleep(1)
        b, hellos = peer_of(cluster, "a", "b"), hellos_of(cluster, "a")
        said = hellos_of(cluster, "b").hello()
        said.birth += 1
        said.filled.add(group="sw", shard=0, incarnation=1, fence=b"fence")
        await hellos.answer(said)
        assert b.state == "up", "somebody else's word is no reason to take the member for gone"
        assert not b.progress.filled
        assert b.birth == said.birth - 1
        cluster.parts("b").local.cluster.boot.birth = Birth(said.birth)
        await hellos.greet(b)
        assert (b.state, b.problem) == ("down", "another data directory answers as b")


async def test_another_store_of_a_members_name_may_tell_of_a_newer_epoch(autojump_clock: object) -> None:
    """We may be the ones that have not heard that it took that name."""
    async with running(Cluster()) as cluster:
        await trio.sleep(1)
        said = hellos_of(cluster, "b").hello()
        said.birth += 1
        said.epoch += 1
        await hellos_of(cluster, "a").answer(said)
        assert "b" in cluster.parts("a").members.differing


async def test_a_member_is_where_it_says(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await trio.sleep(1)
        members, hellos = cluster.parts("a").members, hellos_of(cluster, "a")
        said = hellos_of(cluster, "b").hello()
        said.address = "elsewhere:1"
        await cluster.end("b")  # its own hellos would say where it is
        for wrong in ({"birth": said.birth + 1}, {"cluster_id": b"another cluster!"}):
            other = pb.HelloMessage()
            other.CopyFrom(said)
            for field, value in wrong.items():
                setattr(other, field, value)
            await hellos.answer(other)
            assert str(members.peers["b"].address) == "b:7400"
        await hellos.answer(said)
        await trio.testing.wait_all_tasks_blocked()
        assert str(members.peers["b"].address) == "elsewhere:1"


@pytest.mark.parametrize("known", [True, False])
async def test_a_hello_is_answered_and_only_a_member_is_noted(known: bool, autojump_clock: object) -> None:
    async with running(Cluster(), "a") as cluster:
        hellos, members = hellos_of(cluster, "a"), cluster.parts("a").members
        birth = cluster.view("a").members["b"].birth
        said = pb.HelloMessage(node="b" if known else "stranger", birth=birth)
        said.moving.add(group="sw", shard=0, records=7)
        answer = await hellos.answer(said)
        assert (answer.node, answer.epoch) == ("a", 1)
        progress = members.peers["b"].progress
        assert progress.moving == ({("sw", 0): 7} if known else {})
        assert members.peers["b"].state == ("up" if known else "down")
        assert "stranger" not in members.peers
