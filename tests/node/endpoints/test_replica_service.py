"""What members ask of each other over the wire: a caller speaks for itself alone."""

from __future__ import annotations

from typing import Any

import pytest

from gossipnode.core.cluster.boots import BootMark
from gossipnode.core.cluster.cluster_metadata import Identity
from gossipnode.node.peers import call_metadata
from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import cluster_pb2 as cluster_pb
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from tests.node.asking import asked


def says(name: str) -> dict[str, str]:
    return {call_metadata.NODE: name, call_metadata.CLUSTER: "main"}


@pytest.mark.parametrize(
    ("method", "request_of", "refusal"),
    [
        (services.REPLICA_HELLO, lambda: pb.HelloMessage(node="b"), "hello: its node is not the caller"),
        (
            services.REPLICA_JOIN,
            lambda: pb.JoinRequest(name="b", address="b:1"),
            "join: its name is not the caller's",
        ),
    ],
)
async def test_nobody_says_hello_or_joins_for_another(
    method: Any, request_of: Any, refusal: str, autojump_clock: object
) -> None:
    async with asked(Cluster(), "a") as channel:
        for metadata in (says("c"), {}):
            with pytest.raises(RpcError) as caught:
                await channel.unary(method, request_of(), timeout=5, metadata=metadata)
            assert (caught.value.status, caught.value.message) == (Status.PERMISSION_DENIED, refusal)


async def test_a_hello_is_answered_with_ours(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster, "a") as channel:
        hello = pb.HelloMessage(node="b")
        reply = await channel.unary(services.REPLICA_HELLO, hello, timeout=5, metadata=says("b"))
        assert (reply.node, reply.epoch) == ("a", 1)


async def test_a_node_that_nobody_reaches_at_its_address_does_not_join(autojump_clock: object) -> None:
    cluster = Cluster(("a",), ("sw:1:1",))
    async with asked(cluster) as channel:
        request = pb.JoinRequest(name="d", address="d:7400", birth=5)
        with pytest.raises(RpcError) as caught:
            await channel.unary(services.REPLICA_JOIN, request, timeout=5, metadata=says("d"))
        assert caught.value.status is Status.FAILED_PRECONDITION
        assert "d is not reached at d:7400" in caught.value.message
        assert list(cluster.view("a").members) == ["a"]


async def test_the_newest_epoch_is_told_to_members_alone(autojump_clock: object) -> None:
    cluster = Cluster(("a", "b"), ("sw:1:1",))
    async with asked(cluster, "a") as channel:
        for name, told in (("b", "decided"), ("x", "stranger")):
            reply = await channel.unary(
                services.REPLICA_EPOCH, cluster_pb.EpochRequest(), timeout=5, metadata=says(name)
            )
            assert reply.WhichOneof("what") == told


async def test_a_join_that_makes_no_sense_is_refused_with_the_reason(autojump_clock: object) -> None:
    async with asked(Cluster(("a",), ("sw:1:1",))) as channel:
        request = pb.JoinRequest(name="a", address="elsewhere:7400", birth=5)
        with pytest.raises(RpcError) as caught:
            await channel.unary(services.REPLICA_JOIN, request, timeout=5, metadata=says("a"))
        assert caught.value.status is Status.FAILED_PRECONDITION


async def test_a_store_of_which_a_later_start_was_heard_has_no_part_in_epochs(autojump_clock: object) -> None:
    cluster = Cluster(("a", "b"), ("sw:1:1",))
    async with asked(cluster, "a") as channel:
        birth = cluster.view("a").members["b"].birth
        cluster.parts("a").members.boots.heard(Identity("b", birth), BootMark(4, 1, 9))
        for boot, refused in ((4, False), (3, True), (5, False)):
            start = {**says("b"), call_metadata.START: f"{birth}.{boot}"}
            ask = channel.unary(services.REPLICA_EPOCH, cluster_pb.EpochRequest(), timeout=5, metadata=start)
            if refused:
                with pytest.raises(RpcError, match="a later start of b was heard of"):
                    await ask
            else:
                await ask


@pytest.mark.parametrize("text", ["", "7", "7.", ".7", "x.1", "1.x", "-1.2", "1.2.3"])
def test_a_start_that_makes_no_sense_says_nothing(text: str) -> None:
    assert call_metadata.start_of({call_metadata.START: text}) is None
