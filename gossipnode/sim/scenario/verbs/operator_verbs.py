"""What those who run a cluster do to it: members and groups."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from functools import partial

from gossipnode.client.errors import ClientError
from gossipnode.sim.history.history import MEMBERS
from gossipnode.sim.scenario.scenario import ScenarioError, parse_seconds
from gossipnode.sim.scenario.stage import Stage
from gossipnode.sim.scenario.verb import Verb, Words, by_name
from gossipnode.sim.scenario.verbs.machine_verbs import restart

OPERATOR = "operator"
"""The host of those who run the cluster."""

# Members


async def _join(stage: Stage, words: Words) -> Iterable[str]:
    host, _, member, *named = words
    stage.machine(member)
    if host not in stage.machines.by_host:
        # If that member is down or refuses it, it ends.
        machine = stage.machines.add(host, named[-1] if named else host, through=member)
        machine.may_end = True
    stage.harm(MEMBERS, host)
    stage.fault(host, f"joins through {member}", "join")
    return await restart(stage, (host,))


async def _appear(stage: Stage, words: Words) -> Iterable[str]:
    (host,) = words
    if host not in stage.machines.by_host:
        stage.machines.add(host, host).may_end = True  # a running cluster takes nobody in who did not ask
    stage.harm(MEMBERS, host)
    stage.fault(host, "starts with a configuration of its own", "other configuration")
    return await restart(stage, words)


async def _members(stage: Stage, words: Words) -> Iterable[str]:
    host = words[0]
    stage.machine(host)
    client = await stage.clients.client(OPERATOR, [host])
    try:
        members = await client.members()
    except ClientError as error:
        return ["fails", type(error).__name__, str(error)]
    return ["ok", f"{len(members)}", *(member.name for member in members)]


async def _forget(stage: Stage, words: Words) -> Iterable[str]:
    name, _, host = words
    for machine in stage.machines.of_name(name):
        machine.may_end = True
    stage.harm(MEMBERS, name)
    stage.fault(host, f"is told to forget {name}", "forget")
    client = await stage.clients.client(OPERATOR, [host])
    return await _told(stage, host, partial(client.forget_member, name))


# Groups


async def _create(stage: Stage, words: Words) -> Iterable[str]:
    group, _, host = words
    name, shards, replicas = _group(group)
    stage.fault(host, f"is told to create {group}", "group create")
    stage.history.gone_groups.discard(name)
    client = await stage.clients.client(OPERATOR, [host])
    # A scenario may have a group wait for its members.
    creation = partial(client.create_group, name, shards=shards, replicas=replicas, force=True)
    return await _told(stage, host, creation)


async def _alter(stage: Stage, words: Words) -> Iterable[str]:
    name, ack, _, host = words
    stage.fault(host, f"is told to alter {name}", "group alter")
    client = await stage.clients.client(OPERATOR, [host])
    return await _told(stage, host, partial(client.alter_group, name, ack=ack))  # type: ignore[arg-type]


async def _retention(stage: Stage, words: Words) -> Iterable[str]:
    name, seconds, _, host = words
    stage.fault(host, f"is told to keep deleted records of {name} for {seconds} s", "group alter")
    client = await stage.clients.client(OPERATOR, [host])
    kept = timedelta(seconds=parse_seconds(seconds))
    return await _told(stage, host, partial(client.alter_group, name, tombstone_retention=kept))


async def _drop(stage: Stage, words: Words) -> Iterable[str]:
    name, _, host = words
    stage.fault(host, f"is told to delete {name}", "group delete")
    stage.history.deleted_groups.setdefault(name, stage.now)
    client = await stage.clients.client(OPERATOR, [host])
    result = await _told(stage, host, partial(client.delete_group, name))
    if result == ["ok"]:
        stage.history.gone_groups.add(name)
    return result


def _group(text: str) -> tuple[str, int, int]:
    name, shards, replicas = [*text.split(":"), "", ""][:3]
    if not (name and shards.isdigit() and replicas.isdigit()):
        raise ScenarioError(f"{text!r} is no group: write NAME:SHARDS:REPLICAS")
    return name, int(shards), int(replicas)


async def _told(stage: Stage, host: str, ask: Callable[[], Awaitable[object]]) -> list[str]:
    stage.machine(host)
    try:
        await ask()
    except ClientError as error:
        stage.tell(host, f"answers the operator: {error}")
        return ["fails", type(error).__name__, str(error)]
    return ["ok"]


VERBS = by_name(
    Verb("join", "HOST through MEMBER [as NAME]", "Start a node that is in no configuration.", _join, 3, 5),
    Verb(
        "appear",
        "HOST",
        "Start a node that has the others in its configuration, but is not in theirs.",
        _appear,
        1,
        1,
    ),
    Verb("members", "HOST", "The names of all members, as a node sees them.", _members, 1, 1),
    Verb("forget", "NAME at HOST", "Remove a member for good.", _forget, 3, 3),
    Verb("create", "NAME:SHARDS:REPLICAS at HOST", "Create a group.", _create, 3, 3),
    Verb("alter", "NAME ACK at HOST", "Change the level of acknowledgement of a group.", _alter, 4, 4),
    Verb(
        "retention",
        "NAME SECONDS at HOST",
        "Change how long a group keeps deleted records at the least.",
        _retention,
        4,
        4,
    ),
    Verb("drop-group", "NAME at HOST", "Delete a group with its records.", _drop, 3, 3),
)
