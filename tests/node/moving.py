"""Whole nodes in memory that join, are forgotten, crash, and come back with or without their disks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from gossipnode.config.settings import Settings
from gossipnode.core.cluster.view import SYSTEM_SHARD, ClusterView
from gossipnode.core.model.property import Entity, ShardId
from gossipnode.node.membership.boot import NotAMemberError
from gossipnode.node.membership.group_admin import GroupAdmin
from gossipnode.node.node import Node, NodeFailedError, run_node
from gossipnode.node.parts import Parts
from gossipnode.wire.property.property_edit import build_property, read_tags
from tests.node.faults import FaultyCluster

LOOK_SECONDS = 0.25
PATIENCE_SECONDS = 240.0
"""The longest that anything may take here, in virtual time."""


async def eventually(look: Callable[[], bool | Awaitable[bool]], what: str = "") -> None:
    """Wait until something holds."""
    with trio.move_on_after(PATIENCE_SECONDS):
        while True:
            found = look()
            if found if isinstance(found, bool) else await found:
                return
            await trio.sleep(LOOK_SECONDS)
    raise AssertionError(f"never came to be: {what or look}")


@dataclass
class MovingCluster(FaultyCluster):
    """Its `names` are those of the configuration; others join through a member."""

    through: dict[str, str] = field(default_factory=dict[str, str])
    """Whom a node joins through that is not in the configuration."""
    errors: dict[str, Exception] = field(default_factory=dict[str, Exception])
    """Why a node has stopped, or has not started."""
    running: set[str] = field(default_factory=set[str])

    def settings(self, name: str, **overrides: object) -> Settings:
        if name in self.through:
            joins = {"cluster.peers": [], "cluster.join": [str(self.address(self.through[name]))]}
            overrides = {**joins, **overrides}
        return super().settings(name, **overrides)

    def others(self, name: str) -> Iterable[str]:
        return (other for other in {*self.names, *self.nodes} if other != name)

    async def _run(self, name: str, overrides: dict[str, object], task_status: trio.TaskStatus[Node]) -> None:
        self.ended[name] = trio.Event()
        self.running.add(name)
        with trio.CancelScope() as self.scopes[name]:
            try:
                await run_node(self.settings(name, **overrides), self.world(name), task_status=task_status)
            except (NodeFailedError, NotAMemberError) as error:
                self.errors[name] = error
            except BaseExceptionGroup as group:
                matched, rest = group.split(NotAMemberError)
                if matched is None or rest is not None:
                    raise
                self.errors[name] = _single(matched)
        self.running.discard(name)
        self.ended[name].set()

    async def end(self, name: str) -> None:
        """End a node as a crash would, and wait until it is gone."""
        self.kill(name)
        await self.ended[name].wait()

    async def restart(self, nursery: trio.Nursery, name: str, **overrides: object) -> None:
        """Start a node again that has ended."""
        await self.start(nursery, name, **overrides)

    async def lose_disk(self, name: str) -> None:
        """End a node, and everything that it has stored."""
        if name in self.running:
            await self.end(name)
        # Stores are told apart by the time of their making.
        await trio.sleep(1)
        del self.stores[name]

    async def join(self, nursery: trio.Nursery, name: str, through: str = "a") -> None:
        """Start a node that is in nobody's configuration."""
        self.through[name] = through
        await self.start(nursery, name)

    async def refused(self, name: str, **overrides: object) -> str:
        """Start a node that is not to come up; gives why."""
        async with trio.open_nursery() as nursery:
            try:
                await self.start(nursery, name, **overrides)
            except RuntimeError:
                return str(self.errors.pop(name))
            self.kill(name)
        raise AssertionError(f"{name} has started")

    # Parts

    def parts(self, name: str) -> Parts:
        return self.nodes[name].parts

    def view(self, name: str) -> ClusterView:
        return self.nodes[name].parts.local.registry.view

    def groups_at(self, name: str) -> GroupAdmin:
        return self.parts(name).membership.groups

    async def forget(self, name: str, at: str = "a") -> None:
        await self.parts(at).membership.members.forget(name)

    # What is held

    async def put_one(self, name: str, key: str, value: int, *, group: str = "sw", ack: str = "") -> None:
        entity = Entity(group, *key.split("/", 1))
        payload = build_property(entity, {"k": value})
        await self.coordinator(name).apply(payload, replace=False, ack=ack)

    async def value(self, name: str, key: str, *, group: str = "sw", ack: str = "") -> object:
        got = await self.coordinator(name).get(Entity(group, *key.split("/", 1)), ack=ack)
        return None if got.record is None else read_tags(got.record.payload)["k"]

    def held(self, name: str) -> list[ShardId]:
        """The shards, but the system's, of which a node has anything."""
        return [shard for shard in self.stores[name].shards() if shard != SYSTEM_SHARD]

    # Waiting

    def all_settled(self, members: Iterable[str]) -> bool:
        """Whether every running node sees just these members, and nothing left to be moved."""
        wanted = sorted(members)
        return all(
            list(self.view(name).members) == wanted and self.view(name).is_settled for name in self.running
        )

    async def settled(self, members: Iterable[str]) -> None:
        await eventually(lambda: self.all_settled(members), f"{list(members)} are settled")

    async def settled_but(self, members: Iterable[str], *, without: str) -> None:
        """The same, but for a node that cannot know."""

        def look() -> bool:
            views = [self.view(name) for name in self.running if name not in without]
            return all(list(view.members) == sorted(members) and view.is_settled for view in views)

        await eventually(look, f"{list(members)} are settled")

    async def tidy(self) -> None:
        """Wait until nobody has a shard that is not his."""

        def clean() -> bool:
            return all(
                (placement := self.view(name).placement(shard)) is not None and name in placement.coming
                for name in self.running
                for shard in self.held(name)
            )

        await eventually(clean, "old copies are given up")


def _single(group: BaseExceptionGroup[NotAMemberError]) -> Exception:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error


@asynccontextmanager
async def moving(cluster: MovingCluster) -> AsyncGenerator[trio.Nursery]:
    """Nodes that run while the block does; those of the configuration are started."""
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        try:
            yield nursery
        finally:
            cluster.faults.heal()
            cluster.stop()
