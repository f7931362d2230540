"""`diff`: what two nodes hold of a group and the other one does not, record by record."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.failure import NOT_FOUND, Failure
from gossipnode.cli.options import NodeTarget, group_argument, output_option, run_async, target_options
from gossipnode.cli.output import TableWriter, print_json, say
from gossipnode.config.address import Address, AddressError, parse_address

if TYPE_CHECKING:
    from gossipnode.client.calls.node_client import NodeClient
    from gossipnode.wire.generated.bp.gossipnode import v1 as messages

MISSING = "missing"
"""The state of a tree whose shard the node does not hold."""


@click.command("diff", cls=Command)
@click.argument("here", metavar="NODE")
@click.argument("there", metavar="NODE")
@group_argument
@output_option
@target_options
def command(here: str, there: str, group: str, output: str, target: NodeTarget) -> None:
    """Show which records of a group differ between two nodes, and repair nothing.

    A NODE is the name of a member, as the node asked knows it, or HOST:PORT. Shards that only one of the two
    holds are named and not compared. Writes that come meanwhile may show.
    """
    run_async(_diff, target, here, there, group, output)


@dataclass(frozen=True, slots=True)
class DiffNode:
    """One of the two nodes."""

    name: str
    client: NodeClient


class Differing(NamedTuple):
    """A record that differs, as each of the nodes has it; None where one does not have it."""

    here: messages.TreeResponseLeaf | None
    there: messages.TreeResponseLeaf | None

    @property
    def key(self) -> tuple[str, str, str]:
        """Group, name and id."""
        leaf = self.here or self.there
        assert leaf is not None
        return leaf.group, leaf.name, leaf.id


async def _diff(target: NodeTarget, here: str, there: str, group: str, output: str) -> None:
    async with AsyncExitStack() as clients:
        asked = await clients.enter_async_context(target.connect())
        known = {member.name: member.address for member in (await asked.status()).members}
        (shown,) = await asked.list_groups(group) or (None,)
        if shown is None:
            raise Failure(f"there is no group {group!r}", NOT_FOUND)
        first, second = [
            DiffNode(name, await clients.enter_async_context(replace(target, address=address).connect()))
            for name, address in ((name, _address(name, known)) for name in (here, there))
        ]
        table = TableWriter("key", first.name, second.name)
        found = compared = 0
        for shard in range(shown.shards):
            slots = await differing_slots(group, shard, first, second)
            compared += slots is not None
            if not slots:
                continue
            async for record in differing_records(group, shard, slots, first, second):
                found += 1
                if output == "json":
                    print_json(_shape(record))
                else:
                    table.add(("/".join(record.key), _told(record.here), _told(record.there)))
    if output != "json" and found:
        table.end()
    differ = "differs" if found == 1 else "differ"
    say(f"{_counted(found, 'record')} {differ}, in {_counted(compared, 'shard')} that both hold")


def _address(name: str, known: dict[str, str]) -> Address:
    """Where a node is.

    Raises:
        Failure: no member has this name, and it is no HOST:PORT.
    """
    try:
        return parse_address(known.get(name, name))
    except AddressError:
        names = ", ".join(sorted(known))
        raise Failure(f"{name!r} is no member and no HOST:PORT: the members are {names}", NOT_FOUND) from None


async def differing_slots(group: str, shard: int, *nodes: DiffNode) -> list[int] | None:
    """The slots of a shard whose digests differ; None if one of the nodes does not hold the shard."""
    slots: list[set[tuple[int, str]]] = []
    for node in nodes:
        async with node.client.tree(group, shard) as answers:
            trees = [answer async for answer in answers]
        if any(tree.state == MISSING for tree in trees):
            say(f"{group}/{shard}: {node.name} holds no copy of it, so it is not compared")
            return None
        slots.append({(slot.slot, slot.sha) for tree in trees for slot in tree.slots})
    return sorted({slot for slot, _ in slots[0] ^ slots[1]})


async def differing_records(
    group: str, shard: int, slots: Sequence[int], first: DiffNode, second: DiffNode
) -> AsyncGenerator[Differing]:
    """The records of these slots that differ, in the order of the tree."""
    async with (
        first.client.tree(group, shard, leaves=True, leaves_of=slots) as some,
        second.client.tree(group, shard, leaves=True, leaves_of=slots) as others,
    ):
        ours, theirs = _leaves(some), _leaves(others)
        own, other = await anext(ours, None), await anext(theirs, None)
        while own is not None or other is not None:
            at = min(_place(leaf) for leaf in (own, other) if leaf is not None)
            here = own if own is not None and _place(own) == at else None
            there = other if other is not None and _place(other) == at else None
            if _version(here) != _version(there):
                yield Differing(here, there)
            if here is not None:
                own = await anext(ours, None)
            if there is not None:
                other = await anext(theirs, None)


async def _leaves(answers: AsyncIterator[messages.TreeResponse]) -> AsyncIterator[messages.TreeResponseLeaf]:
    async for answer in answers:
        for leaf in answer.leaves:
            yield leaf


def _place(leaf: messages.TreeResponseLeaf) -> tuple[int, str, str, str]:
    return leaf.slot, leaf.group, leaf.name, leaf.id


def _version(leaf: messages.TreeResponseLeaf | None) -> tuple[int, int, bytes] | None:
    return None if leaf is None else (leaf.mod_revision, leaf.delete_time, leaf.digest)


def _shape(record: Differing) -> dict[str, Any]:
    group, name, identity = record.key
    here, there = map(_version_shape, record)
    return {"group": group, "name": name, "id": identity, "here": here, "there": there}


def _version_shape(leaf: messages.TreeResponseLeaf | None) -> dict[str, Any] | None:
    if leaf is None:
        return None
    return {
        "mod_revision": leaf.mod_revision,
        "delete_time": leaf.delete_time,
        "digest": leaf.digest.hex(),
    }


def _told(leaf: messages.TreeResponseLeaf | None) -> str:
    """A version in a few words."""
    if leaf is None:
        return "none"
    return f"{leaf.mod_revision}, deleted" if leaf.delete_time else str(leaf.mod_revision)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
