"""Groups and members over the wire: what is answered, and the status of what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from gossipnode.rpc import Channel, RpcError, Status
from gossipnode.sim import Cluster
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1
from tests.node.asking import asked
from tests.node.moving import eventually


async def refused(channel: Channel, method: Any, request: Any) -> Status:
    with pytest.raises(RpcError) as caught:
        await channel.unary(method, request, timeout=20)
    return caught.value.status


async def test_a_group_is_made_changed_listed_and_deleted(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        new = v1.CreateGroupRequest(name="g", shards=2, replicas=2)
        made = await channel.unary(services.NODE_CREATE_GROUP, new, timeout=20)
        assert (made.group.name, made.group.shards, made.acknowledged, made.members) == ("g", 2, 3, 3)
        assert await refused(channel, services.NODE_CREATE_GROUP, new) is Status.ALREADY_EXISTS
        change = v1.AlterGroupRequest(name="g", ack="all")
        changed = await channel.unary(services.NODE_ALTER_GROUP, change, timeout=20)
        assert changed.group.ack == "all"
        listed = await channel.unary(services.NODE_LIST_GROUPS, v1.ListGroupsRequest(), timeout=20)
        assert [each.name for each in listed.groups] == ["g", "sw"]
        one = await channel.unary(services.NODE_LIST_GROUPS, v1.ListGroupsRequest(name="g"), timeout=20)
        assert [each.ack for each in one.groups] == ["all"]
        gone = await channel.unary(services.NODE_DELETE_GROUP, v1.DeleteGroupRequest(name="g"), timeout=20)
        assert gone.acknowledged == 3
        assert all("g" not in cluster.view(name).groups for name in "abc")


@pytest.mark.parametrize(
    ("replicas", "members", "why"),
    [
        (
            0,
            "a",
            "is to have 3 replicas, and the number of members is 1: `quorum` needs 2 members, and",
        ),
        (3, "ab", "is to have 3 replicas, and the number of members is 2: `all` needs 3 members; start"),
        (1024, "abc", "is to have 1024 replicas, and the number of members is 3: `quorum` needs 513 members"),
    ],
)
async def test_more_replicas_than_members_have_to_be_forced(
    replicas: int, members: str, why: str, autojump_clock: object
) -> None:
    async with asked(Cluster(names=members, groups=["sw:1:1"])) as channel:
        new = v1.CreateGroupRequest(name="g", shards=1, replicas=replicas)
        with pytest.raises(RpcError, match=why) as caught:
            await channel.unary(services.NODE_CREATE_GROUP, new, timeout=20)
        assert caught.value.status is Status.FAILED_PRECONDITION
        assert "--force" in caught.value.message
        new.force = True
        made = await channel.unary(services.NODE_CREATE_GROUP, new, timeout=20)
        assert made.group.replicas == (replicas or 3)
        new.force = False
        assert await refused(channel, services.NODE_CREATE_GROUP, new) is Status.ALREADY_EXISTS


async def test_a_group_may_have_as_many_replicas_as_there_are_members(autojump_clock: object) -> None:
    async with asked(Cluster()) as channel:
        new = v1.CreateGroupRequest(name="g", shards=1, replicas=3)
        made = await channel.unary(services.NODE_CREATE_GROUP, new, timeout=20)
        assert made.group.replicas == 3


@pytest.mark.parametrize(
    ("method", "request_of", "status"),
    [
        (services.NODE_ALTER_GROUP, lambda: v1.AlterGroupRequest(name="no"), Status.NOT_FOUND),
        (services.NODE_DELETE_GROUP, lambda: v1.DeleteGroupRequest(name="no"), Status.NOT_FOUND),
        (
            services.NODE_CREATE_GROUP,
            lambda: v1.CreateGroupRequest(name="big", replicas=4),
            Status.FAILED_PRECONDITION,
        ),
        (services.NODE_FORGET_MEMBER, lambda: v1.ForgetMemberRequest(name="b"), Status.FAILED_PRECONDITION),
        (services.NODE_LIST_GROUPS, lambda: v1.ListGroupsRequest(name="no"), Status.NOT_FOUND),
        (services.NODE_FORGET_MEMBER, lambda: v1.ForgetMemberRequest(name="no"), Status.NOT_FOUND),
        (services.NODE_CREATE_GROUP, lambda: v1.CreateGroupRequest(name="_x"), Status.PERMISSION_DENIED),
        (
            services.NODE_CREATE_GROUP,
            lambda: v1.CreateGroupRequest(name="_x", replicas=9),
            Status.PERMISSION_DENIED,
        ),
    ],
)
async def test_what_cannot_be_is_refused_with_its_status(
    method: Any, request_of: Any, status: Status, autojump_clock: object
) -> None:
    async with asked(Cluster(names="ab", groups=("sw:1:2",))) as channel:
        assert await refused(channel, method, request_of()) is status


async def test_a_member_is_forgotten_and_those_that_are_left_are_counted(autojump_clock: object) -> None:
    cluster = Cluster(names="abcd", keeps_errors=True)
    async with asked(cluster) as channel:
        request = v1.ForgetMemberRequest(name="d")
        done = await channel.unary(services.NODE_FORGET_MEMBER, request, timeout=20)
        assert (done.epoch, done.leaving, done.acknowledged, done.members) == (2, True, 4, 4)
        await cluster.ended["d"].wait()
        await eventually(lambda: "d" not in cluster.view("a").members)
        done = await channel.unary(services.NODE_FORGET_MEMBER, request, timeout=20)
        assert (done.leaving, done.members) == (False, 3)
