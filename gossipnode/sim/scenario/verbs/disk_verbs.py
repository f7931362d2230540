"""Verbs of the disks of machines."""

from __future__ import annotations

from collections.abc import Iterable

from gossipnode.core.model.errors import InvalidEntityError
from gossipnode.core.model.property import Entity, parse_entity
from gossipnode.node.identity.birth import BIRTH_NOTE
from gossipnode.sim.history.history import DISK, MEMBERS
from gossipnode.sim.scenario.scenario import ScenarioError, parse_seconds
from gossipnode.sim.scenario.stage import NotNowError, Stage
from gossipnode.sim.scenario.verb import Verb, Words, by_name
from gossipnode.sim.scenario.verbs.machine_verbs import end, restart
from gossipnode.sim.world.machines import Machine

REPLACEABLE_MEMBERS = 4
"""With fewer, and one more of them away, no majority is left that could replace one."""

SLOW_COMMIT_SECONDS = 0.2
"""A disk whose commits take longer is not well."""


async def _full(stage: Stage, words: Words) -> None:
    host = words[0]
    stage.machine(host).disk.set_full(True)
    stage.harm(DISK, host)
    stage.fault(host, "its disk is full", "full disk")


async def _room(stage: Stage, words: Words) -> None:
    stage.machine(words[0]).disk.set_full(False)
    stage.mended(DISK, words[0])


async def _hang(stage: Stage, words: Words) -> None:
    stage.machine(words[0]).disk.set_hanging(True)
    stage.harm(DISK, words[0])
    stage.fault(words[0], "its disk hangs", "hanging disk")


async def _go_on(stage: Stage, words: Words) -> None:
    stage.machine(words[0]).disk.set_hanging(False)
    stage.mended(DISK, words[0])


async def _commits(stage: Stage, words: Words) -> None:
    host, least, most = words
    low, high = parse_seconds(least), parse_seconds(most)
    stage.machine(host).disk.set_commit_seconds(low, high)
    if high > SLOW_COMMIT_SECONDS:
        stage.harm(DISK, host)
    stage.fault(host, f"commits take {least} to {most} s", "slow disk")


async def _fail(stage: Stage, words: Words) -> None:
    host, count = words
    if not count.isdigit():
        raise ScenarioError("write: fail HOST COUNT")
    machine = stage.machine(host)
    machine.may_end = True
    machine.disk.fail_commits(int(count))
    stage.harm(DISK, host)
    stage.fault(host, f"the next {count} commits fail", "failed commit")


async def _tear(stage: Stage, words: Words) -> None:
    host = words[0]
    machine = stage.machine(host)
    machine.may_end = True
    machine.disk.tear_commit()
    stage.harm(DISK, host)
    stage.fault(host, "a crash in the next commit", "torn commit")


async def _flip(stage: Stage, words: Words) -> Iterable[str]:
    host = words[0]
    if stage.machine(host).disk.flip_bit(_key(words[1]) if len(words) > 1 else None) is None:
        return ["fails", "there is no such record"]
    stage.harm(DISK, host)
    stage.fault(host, "a bit of a record flips", "flipped bit")
    return ["ok"]


def _key(text: str) -> Entity:
    try:
        return parse_entity(text)
    except InvalidEntityError as error:
        raise ScenarioError(str(error)) from None


async def _copy(stage: Stage, words: Words) -> None:
    host = words[0]
    stage.copies[host] = stage.machine(host).disk.copy()
    stage.tell(host, "its disk is copied")


async def _putback(stage: Stage, words: Words) -> Iterable[str]:
    host = words[0]
    machine = stage.machine(host)
    if host not in stage.copies:
        raise NotNowError(f"there is no copy of the disk of {host}: copy {host} comes first")
    if words[1:]:
        _check_no_other_loss(stage)
    if machine.running:
        await end(stage, host, "crash", told=True)
    before = machine.disk.note(BIRTH_NOTE)
    machine.disk.put_back(stage.copies[host])
    stage.fault(host, "an older copy of its disk is put back", "older disk")
    others = [other.host for other in stage.machines.running if other.host != host]
    if machine.disk.note(BIRTH_NOTE) != before and others:
        # The store has been replaced since it was copied, so that its operator has to say so once more.
        machine.may_end = True
        return await reinstate(stage, machine, others[0])
    return await restart(stage, (host,))


async def _wipe(stage: Stage, words: Words) -> Iterable[str]:
    host = words[0]
    machine = stage.machine(host)
    if words[1:]:
        _check_no_other_loss(stage)
    if machine.running:
        await end(stage, host, "crash", told=True)
    machine.disk.wipe()
    machine.empty = machine.may_end = True
    stage.fault(host, "its disk comes back empty", "empty disk")
    return await restart(stage, (host,))


def _check_no_other_loss(stage: Stage) -> None:
    """Two disks that lose something at once are more than all records survive.

    Raises:
        NotNowError: another one has lost something, and is not whole again.
    """
    if _any_empty(stage) or not _settled(stage):
        raise NotNowError("another disk is being replaced, or shards are on their way")


def _any_empty(stage: Stage) -> bool:
    return any(machine.empty for machine in stage.machines.by_host.values())


def _settled(stage: Stage) -> bool:
    """Whether no shard moves, all stores count, and enough members are up to replace one."""
    nodes = [machine.node for machine in stage.machines.running if machine.node is not None]
    clusters = [node.parts.local.cluster for node in nodes]
    views = [cluster.view for cluster in clusters]
    return (
        len(nodes) == len(stage.machines.by_host)
        and all(cluster.cleared for cluster in clusters)
        and all(view.is_settled and len(view.members) >= REPLACEABLE_MEMBERS for view in views)
    )


async def _reinstate(stage: Stage, words: Words) -> Iterable[str]:
    host, _, member = words
    machine = stage.machine(host)
    stage.machine(member)
    if not machine.empty:
        raise NotNowError(f"{host} has its place")
    return await reinstate(stage, machine, member)


async def reinstate(stage: Stage, machine: Machine, member: str) -> Iterable[str]:
    """Start a node with an empty disk in the place of the member of its name, or as a new one."""
    if machine.running:
        # It found nobody who could have told it that it has no place.
        await end(stage, machine.host, "crash", told=True)
    stage.harm(MEMBERS, machine.host)
    stage.fault(machine.host, f"takes its place again through {member}", "reinstate")
    machine.through = member
    machine.settings["cluster.replace"] = True
    result = await restart(stage, (machine.host,))
    machine.settings.pop("cluster.replace", None)  # another operator may have said it meanwhile
    if machine.node is not None:
        machine.empty = machine.may_end = False
    return result


async def _lose(stage: Stage, words: Words) -> Iterable[str]:
    host, count = words
    if not count.isdigit():
        raise ScenarioError("write: lose HOST COUNT")
    machine = stage.machine(host)
    if machine.running:
        await end(stage, host, "crash", told=True)
    lost = machine.disk.lose_last_commits(int(count))
    stage.fault(host, f"its disk has lost its last {lost} commits", "lost commits")
    return await restart(stage, (host,))


VERBS = by_name(
    Verb("full", "HOST", "Let a disk be full.", _full, 1, 1),
    Verb("room", "HOST", "Let a disk have room again.", _room, 1, 1),
    Verb("hang", "HOST", "Let a disk hang: neither reads nor commits end.", _hang, 1, 1),
    Verb("unhang", "HOST", "Let a disk go on that hangs.", _go_on, 1, 1),
    Verb("commits", "HOST LEAST MOST", "How many seconds commits take.", _commits, 3, 3),
    Verb("fail", "HOST COUNT", "Let the next commits fail.", _fail, 2, 2),
    Verb("tear", "HOST", "Let the node crash in the middle of its next commit.", _tear, 1, 1),
    Verb("flip", "HOST [KEY]", "Flip a bit of a stored record.", _flip, 1, 2),
    Verb("copy", "HOST", "Copy a disk as it is.", _copy, 1, 1),
    Verb(
        "putback",
        "HOST [if-settled]",
        "Crash, put the copy of the disk back, start; if asked so, only while no other disk lacks anything.",
        _putback,
        1,
        2,
    ),
    Verb(
        "wipe",
        "HOST [if-settled]",
        "Crash, empty the disk, start; if asked so, only while no shard moves and no other disk is empty.",
        _wipe,
        1,
        2,
    ),
    Verb(
        "reinstate",
        "HOST through MEMBER",
        "Start a node with an empty disk in the place of the member of its name.",
        _reinstate,
        3,
        3,
    ),
    Verb("lose", "HOST COUNT", "Crash, lose the last commits, start.", _lose, 2, 2),
)
