"""Calls about groups and members: requests and answers with scripted nodes, effects with real ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from gossipnode.client import (
    AlreadyExistsError,
    Group,
    GroupChange,
    Member,
    MemberChange,
    NotFoundError,
    UnreachableError,
    connect,
)
from gossipnode.rpc import CallContext, RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.client.support import BACKENDS, Handlers, run, stage
from tests.system.nodes import Nodes
from tests.system.processes import Node

WEEK = 7 * 24 * 3600
MESSAGE = messages.Group("sw", 2, 3, "quorum", WEEK, ["a", "b"], 5)
GROUP = Group("sw", 2, 3, "quorum", timedelta(days=7), ("a", "b"), 5)


class Registry:
    """A node that remembers what it was asked, and answers with one group."""

    def __init__(self, groups: list[messages.Group] | None = None, status: Status | None = None) -> None:
        self.asked: list[Any] = []
        self.groups = [MESSAGE] if groups is None else groups
        self.status = status

    def _note(self, request: Any) -> None:
        self.asked.append(request)
        if self.status is not None:
            raise RpcError(self.status, "why")

    async def change(self, request: Any, call: CallContext) -> messages.GroupResponse:
        self._note(request)
        return messages.GroupResponse(group=MESSAGE, acknowledged=2, members=3, epoch=6)

    async def list(self, request: messages.ListGroupsRequest, call: CallContext) -> Any:
        self._note(request)
        return messages.ListGroupsResponse(groups=self.groups)

    async def forget(self, request: messages.ForgetMemberRequest, call: CallContext) -> Any:
        self._note(request)
        return messages.ForgetMemberResponse(acknowledged=1, members=2, epoch=7, leaving=True)

    async def read_status(self, request: messages.StatusRequest, call: CallContext) -> Any:
        member = messages.Member("a", "h:1", "up", birth="00ff", role="leaving", version="2")
        return messages.StatusResponse(members=[member])

    @property
    def handlers(self) -> Handlers:
        return {
            services.NODE_CREATE_GROUP: self.change,
            services.NODE_ALTER_GROUP: self.change,
            services.NODE_DELETE_GROUP: self.change,
            services.NODE_LIST_GROUPS: self.list,
            services.NODE_FORGET_MEMBER: self.forget,
            services.NODE_STATUS: self.read_status,
        }


async def test_what_is_asked_and_how_the_answers_read() -> None:
    registry = Registry()
    changed = GroupChange(2, 3, GROUP, 6)
    async with stage(a=registry.handlers) as nodes, nodes.client("a") as client:
        assert await client.groups() == [GROUP]
        assert await client.group("sw") == GROUP
        assert await client.create_group("sw") == changed
        retention = timedelta(days=7, milliseconds=1)
        await client.create_group(
            "sw", 2, 1, ack="all", tombstone_retention=retention, indexes=["a"], force=True
        )
        assert await client.alter_group("sw") == changed
        await client.alter_group("sw", ack="one", tombstone_retention=retention, indexes=["a", "b"])
        await client.alter_group("sw", indexes=[])
        await client.alter_group("sw", replicas=5, force=True)
        assert await client.delete_group("sw") == changed
        assert await client.forget_member("b") == MemberChange(1, 2, 7, leaving=True)
        await client.forget_member("b", accept_loss=True, force=True)
        assert await client.members() == [Member("a", "h:1", "up", "leaving", "00ff", "2")]
    create, alter = messages.CreateGroupRequest, messages.AlterGroupRequest
    listed, named, plain, full, nothing, all_, no_indexes, more, deleted, forgotten, lost = registry.asked
    assert (listed.name, named.name, deleted.name) == ("", "sw", "sw")
    assert forgotten == messages.ForgetMemberRequest("b")
    assert lost == messages.ForgetMemberRequest("b", accept_loss=True, force=True)
    assert bytes(more) == bytes(alter("sw", replicas=5, force=True))
    assert plain == create("sw", 1, 3)
    assert full == create("sw", 2, 1, "all", WEEK, ["a"], force=True)
    assert nothing == alter("sw")
    assert all_ == alter("sw", "one", WEEK, messages.AlterGroupRequestTagList(["a", "b"]))
    # An empty list of indexes must differ from no list, which leaves the indexes as they are.
    assert bytes(no_indexes) == bytes(alter("sw", indexes=messages.AlterGroupRequestTagList([])))
    assert bytes(no_indexes) != bytes(nothing)


async def test_a_group_that_is_not_there() -> None:
    for registry in (Registry(groups=[]), Registry(status=Status.NOT_FOUND)):
        async with stage(a=registry.handlers) as nodes, nodes.client("a") as client:
            assert await client.group("sw") is None
    async with stage(a=Registry(status=Status.NOT_FOUND).handlers) as nodes, nodes.client("a") as client:
        with pytest.raises(NotFoundError, match="why"):
            await client.delete_group("sw")


async def test_a_group_that_is_there_already() -> None:
    async with stage(a=Registry(status=Status.ALREADY_EXISTS).handlers) as nodes, nodes.client("a") as client:
        with pytest.raises(AlreadyExistsError, match="why"):
            await client.create_group("sw")


async def test_a_change_that_may_have_happened_is_not_made_again() -> None:
    a, b = Registry(status=Status.UNAVAILABLE), Registry()
    async with stage(a=a.handlers, b=b.handlers) as nodes, nodes.client("a", "b") as client:
        with pytest.raises(UnreachableError):
            await client.create_group("sw")
        assert not b.asked


async def test_a_retention_beyond_what_a_timedelta_holds() -> None:
    endless = messages.Group("sw", tombstone_retention_seconds=(1 << 64) - 1)
    async with stage(a=Registry(groups=[endless]).handlers) as nodes, nodes.client("a") as client:
        (group,) = await client.groups()
    assert group.tombstone_retention > timedelta(days=365 * 1_000_000)


# --- real nodes ---


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    made = Nodes(tmp_path_factory.mktemp("nodes"))
    yield made.start("a", "b", "c", groups=["fixed:1:3"])
    made.end_all()


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_life_of_a_group(backend: str, three_nodes: list[Node]) -> None:
    first, second, third = (node.address for node in three_nodes)
    name = f"made-{backend}"

    async def work() -> None:
        async with connect(first) as client, connect(second) as other, connect(third) as third_one:
            made = await client.create_group(name, shards=2, replicas=2, ack="quorum", indexes=["a"])
            assert (made.group.name, made.group.shards, made.group.replicas) == (name, 2, 2)
            assert made.acknowledged == made.members == 3
            assert made.group.incarnation > 0
            with pytest.raises(AlreadyExistsError):
                await other.create_group(name)
            assert await other.group(name) == made.group
            assert name in [group.name for group in await other.groups()]
            await other.apply(name, "n", "i", {"a": 1})
            found = await third_one.get(name, "n", "i")
            assert found is not None
            altered = await third_one.alter_group(
                name, ack="all", tombstone_retention=timedelta(days=1), indexes=[]
            )
            assert (altered.group.ack, altered.group.indexes) == ("all", ())
            assert altered.group.tombstone_retention == timedelta(days=1)
            assert (await client.delete_group(name)).group.name == name
            assert await other.group(name) is None
            with pytest.raises(NotFoundError):
                await other.get(name, "n", "i")
            # A group of the same name made later has none of the old records.
            await client.create_group(name)
            assert await third_one.get(name, "n", "i") is None
            with pytest.raises(NotFoundError):
                await client.delete_group("never")

    run(backend, work)


@pytest.mark.slow
def test_a_member_is_forgotten(three_nodes: list[Node]) -> None:
    """Must be the last test of this module, because it uses up a node."""
    first, _, third = three_nodes

    async def work() -> None:
        async with connect(first.address) as client:
            third.kill()
            spread = await client.forget_member("c")
            assert spread.members == spread.acknowledged == 2
            assert [member.name for member in await client.members()] == ["a", "b"]
            # What stands already is done, and what never was a member is not found.
            assert not (await client.forget_member("c")).leaving
            with pytest.raises(NotFoundError):
                await client.forget_member("zz")

    run("trio", work)
