"""Rounds: those that steps ask for, and those that nodes start by their schedule.

The result of a round is its outcome (`converged`, `repaired`, `incomplete`, or `lost` with its origin), and
then the reasons that its origin shows.
"""

from __future__ import annotations

from collections.abc import Iterable

import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.turn import Cause
from gossipnode.node.refusals.request_errors import TooManyRoundsError
from gossipnode.sim.history.history import RoundSeen
from gossipnode.sim.scenario.rounds_seen import RoundUnderWay, reasons
from gossipnode.sim.scenario.scenario import ScenarioError, parse_seconds
from gossipnode.sim.scenario.stage import Stage
from gossipnode.sim.scenario.verb import Verb, Words, by_name
from gossipnode.sim.scenario.verbs.machine_verbs import crash, restart
from gossipnode.sim.world.machines import Machine
from gossipnode.sim.world.scheduler import MACHINE

ROUND_BEGINS_SECONDS = 3600.0
"""How long `until-round` waits unless it says how long."""


async def _round(stage: Stage, words: Words) -> Iterable[str]:
    host, group, number = words
    if not number.isdigit():
        raise ScenarioError("write: round HOST GROUP SHARD")
    machine = stage.machine(host)
    if machine.node is None:
        return ["fails", "down"]
    shard = machine.node.parts.local.shards.find(group, int(number))
    if shard is None:
        return ["fails", f"no shard {number} of {group}"]
    seen = await run_round(stage, machine, shard)
    return [*_said([seen]), f"{sum(hop.sent + hop.received for hop in seen.hops)}"]


async def _round_all(stage: Stage, words: Words) -> Iterable[str]:
    """Start a round of every shard of a group at once, each at its first replica that runs."""
    machines = [machine for machine in stage.machines.running if machine.node is not None]
    maps = [machine.node.parts.local.shards for machine in machines if machine.node is not None]
    shards = sorted({shard for each in maps for shard in await each.held({words[0]})})
    seen: list[RoundSeen] = []

    async def run(machine: Machine, shard: ShardId) -> None:
        seen.append(await run_round(stage, machine, shard))

    async with trio.open_nursery() as nursery:
        for shard in shards:
            if replicas := stage.replicas(shard):
                nursery.start_soon(run, replicas[0], shard)
    return [f"{len(seen)}", *_said(seen)]


async def run_round(stage: Stage, machine: Machine, shard: ShardId, *, final: bool = False) -> RoundSeen:
    """Have a node start a round, and wait for its end. The history has it then."""
    node = machine.node
    assert node is not None, "the caller has looked"
    token = MACHINE.set(machine.host)
    try:
        watch = node.parts.repair.rounds.start(shard, Cause.ASKED)
    except TooManyRoundsError as error:
        stage.tell(machine.host, f"starts no round: {error}")
        replicas, equal = len(node.parts.local.shards.replicas(shard)), stage.equal(shard)
        seen = RoundSeen(stage.now, stage.now, machine.host, shard, "", (), replicas, equal, equal, final)
        stage.rounds.add(seen)
        return seen
    finally:
        MACHINE.reset(token)
    under_way = stage.rounds.under_way[watch.now().round]
    under_way.final = final
    return await under_way.result()


def _said(rounds: Iterable[RoundSeen]) -> list[str]:
    """The outcomes of rounds, and their reasons; each word once."""
    seen = list(rounds)
    outcomes = [each.outcome or "lost" for each in seen]
    return list(dict.fromkeys([*outcomes, *(reason for each in seen for reason in reasons(each))]))


async def _rounds(stage: Stage, words: Words) -> Iterable[str]:
    """How many rounds of a group or shard a machine has opened in the last seconds, and what came of them."""
    host, shard, text = words
    stage.check_host(host)
    since = stage.now - parse_seconds(text)
    ended = [seen for seen in stage.history.rounds if _is_of(seen.origin, seen.shard, host, shard)]
    recent = [seen for seen in ended if seen.began >= since]
    open_now = [
        each
        for each in stage.rounds.under_way.values()
        if _is_of(each.host, each.shard, host, shard) and each.began >= since
    ]
    count = len(recent) + len(open_now)
    return [f"{count}", "some" if count else "none", *_said(recent), *(["open"] if open_now else [])]


def _is_of(origin: str, shard: ShardId, host: str, wanted: str) -> bool:
    return host == origin and wanted in (shard.group, str(shard))


async def _until_round(stage: Stage, words: Words) -> Iterable[str]:
    """Wait until a machine opens a round of a group or shard."""
    host, shard, *rest = words
    stage.check_host(host)
    limit = parse_seconds(rest[0]) if rest else ROUND_BEGINS_SECONDS
    begun = await _next_round(stage, shard, limit, host)
    if begun is None:
        return ["fails", f"{host} has opened no round of {shard} after {limit:g} s"]
    return ["ok", begun.watch.cause.value]


async def _next_round(stage: Stage, shard: str, limit: float, host: str = "") -> RoundUnderWay | None:
    """The next round of a group or shard that a machine opens, or None after `limit` seconds."""
    known = set(stage.rounds.under_way)
    with trio.move_on_after(limit):
        while True:
            changed = stage.rounds.changed.pending
            for number, each in stage.rounds.under_way.items():
                if number not in known and _is_of(each.host, each.shard, host or each.host, shard):
                    return each
            await changed.wait()
    return None


async def _crash_origin(stage: Stage, words: Words) -> Iterable[str]:
    """Kill the machine that opens the next round of a group or shard, as it begins."""
    shard, away, limit = words[0], parse_seconds(words[1]), parse_seconds(words[2])
    begun = await _next_round(stage, shard, limit)
    if begun is None:
        return ["fails", f"nobody has opened a round of {shard} after {limit:g} s"]
    await crash(stage, (begun.host,))
    await trio.sleep(away)
    return [begun.host, *await restart(stage, (begun.host,))]


VERBS = by_name(
    Verb("round", "HOST GROUP SHARD", "Run a round from its beginning to its end.", _round, 3, 3),
    Verb("round-all", "GROUP", "Run a round of every shard, all at once.", _round_all, 1, 1),
    Verb("rounds", "HOST GROUP[/SHARD] SECONDS", "What came of a machine's latest rounds.", _rounds, 3, 3),
    Verb(
        "crash-origin",
        "GROUP[/SHARD] AWAY LIMIT",
        "Kill the node that opens the next round in LIMIT seconds, and start it after AWAY seconds.",
        _crash_origin,
        3,
        3,
    ),
    Verb("until-round", "HOST GROUP[/SHARD] [SECONDS]", "Wait until a round begins.", _until_round, 2, 3),
)
