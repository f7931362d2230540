"""`diff`: what two nodes hold of a group and the other one does not, record by record."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.failure import NOT_FOUND, Failure
from gossipnode.cli.options import NodeTarget, group_argument, output_option, run_async, target_options
from gossipnode.cli.output import TableWriter, print_json, say
from gossipnode.client.errors import UnreachableError
from gossipnode.config.address import Address, AddressError, parse_address

if TYPE_CHECKING:
    from gossipnode.client.calls.node_client import NodeClient
    from gossipnode.wire.generated.bp.gossipnode import v1 as messages

COMPARED = "compared"
"""The state of a shard of which the node says all that differs."""

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

    It costs about as much as what differs. Where more than 20,000 records of a shard differ, both nodes are
    asked for the digests of all their records, which may have to be computed first.
    """
    run_async(_diff, target, here, there, group, output)


@dataclass(frozen=True, slots=True)
class DiffNode:
    """One of the two nodes."""

    name: str
    client: NodeClient


class ShownVersion(NamedTuple):
    """A version that a node holds of a record."""

    mod_revision: int
    delete_time: int
    digest: bytes


class Differing(NamedTuple):
    """A record that differs, as each of the nodes has it; None where one does not have it."""

    key: tuple[str, str, str]
    """Group, name and id."""
    here: ShownVersion | None
    there: ShownVersion | None


async def _diff(target: NodeTarget, here: str, there: str, group: str, output: str) -> None:
    async with AsyncExitStack() as clients:
        asked = await clients.enter_async_context(target.connect())
        members = (await asked.status()).members
        known = {member.name: member.address for member in members}
        (shown,) = await asked.list_groups(group) or (None,)
        if shown is None:
            raise Failure(f"there is no group {group!r}", NOT_FOUND)
        first, second = [
            DiffNode(
                _member_name(name, known),
                await clients.enter_async_context(replace(target, address=address).connect()),
            )
            for name, address in ((name, _address(name, known)) for name in (here, there))
        ]
        table = TableWriter("key", first.name, second.name)
        found = compared = 0
        for shard in range(shown.shards):
            records = await compared_shard(group, shard, first, second)
            if records is None:
                continue
            compared += 1
            async for record in records:
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


def _member_name(said: str, known: dict[str, str]) -> str:
    """The name of the member that has this name or address; what was said where none has."""
    return next((name for name, address in known.items() if said in (name, address)), said)


async def compared_shard(
    group: str, shard: int, first: DiffNode, second: DiffNode
) -> AsyncIterator[Differing] | None:
    """The records of a shard that differ; None if one of the nodes does not hold the shard.

    The nodes find out among themselves, which costs about as much as what differs. Where they cannot, their
    trees are compared here, for which each may have to compute the digests of all its records.
    """
    surveyed = await differing_by_survey(group, shard, first, second)
    if surveyed is not None:
        return _each(surveyed)
    slots = await differing_slots(group, shard, first, second)
    if slots is None:
        return None
    return differing_records(group, shard, slots, first, second)


async def differing_by_survey(
    group: str, shard: int, first: DiffNode, second: DiffNode
) -> list[Differing] | None:
    """What the first node finds out of the second one; None where the trees are to be compared."""
    found: list[Differing] = []
    try:
        async with first.client.diff(group, shard, second.name) as answers:
            async for answer in answers:
                if answer.state not in ("", COMPARED):
                    return None
                found += [_differing(each) for each in answer.differences]
    except UnreachableError:
        # It may be a node that does not know the call. One that is away will be named for the next call.
        return None
    return found


def _differing(said: messages.DiffResponseDifference) -> Differing:
    here, there = said.here, said.there
    return Differing(
        (said.group, said.name, said.id),
        ShownVersion(here.mod_revision, here.delete_time, here.digest) if here.digest else None,
        ShownVersion(there.mod_revision, there.delete_time, there.digest) if there.digest else None,
    )


async def _each(found: Iterable[Differing]) -> AsyncGenerator[Differing]:
    for each in found:
        yield each


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
                yield Differing(at[1:], _version(here), _version(there))
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


def _version(leaf: messages.TreeResponseLeaf | None) -> ShownVersion | None:
    return None if leaf is None else ShownVersion(leaf.mod_revision, leaf.delete_time, leaf.digest)


def _shape(record: Differing) -> dict[str, Any]:
    group, name, identity = record.key
    here, there = _version_shape(record.here), _version_shape(record.there)
    return {"group": group, "name": name, "id": identity, "here": here, "there": there}


def _version_shape(version: ShownVersion | None) -> dict[str, Any] | None:
    return None if version is None else {**version._asdict(), "digest": version.digest.hex()}


def _told(version: ShownVersion | None) -> str:
    """A version in a few words."""
    if version is None:
        return "none"
    return f"{version.mod_revision}, deleted" if version.delete_time else str(version.mod_revision)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
