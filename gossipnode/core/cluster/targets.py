"""Which replicas a coordinator asks, from what it believes of each of them.

A replica that is known to be down or to hang would cost a timeout, so it is left out as long as there are
enough other replicas without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from gossipnode.core.cluster.placement import AckLevel, Placement
from gossipnode.core.cluster.tally import Tally


class Standing(Enum):
    """What a node believes of a replica."""

    OWN = "own"
    UNCLEARED = "does not know yet whether its store is the newest"
    """This node, before its store counts: see `core.cluster.boots`."""
    UP = "up"
    """It answered last, or has not been asked yet."""
    DOWN = "down"
    """It could not be reached, or let a request time out."""
    FOREIGN = "no gossipnode"
    """It lacks our services."""
    STRANGER = "no member of this cluster"


Standings = Mapping[str, Standing]
"""What is believed of each holder of a shard, by its name."""


def request_targets(placement: Placement, tally: Tally, standings: Standings) -> list[str]:
    """The replicas that a read or a write is sent to. `tally` is told of those that are left out."""
    targets, down = _askable(placement, tally, standings)
    if down and tally.impossible_without(down):
        return targets + down
    for name in down:
        tally.failed(name, "is down")
    return targets


class SearchTargets(NamedTuple):
    """The replicas that search a shard, or why there are too few of them."""

    replicas: tuple[str, ...]
    problem: str = ""


def search_targets(
    placement: Placement, level: AckLevel, standings: Standings, *, broken_off: Mapping[str, str]
) -> SearchTargets:
    """The replicas that search a shard; this node's own copy comes first.

    `broken_off` are replicas that broke off their part of this query before, and why: where one replica is
    enough, another one goes on.
    """
    here = (Standing.OWN, Standing.UNCLEARED)
    own = tuple(name for name in placement.holders if standings[name] in here)
    if level is AckLevel.LOCAL:
        return SearchTargets(own)
    tally = Tally(placement, level, reading=True)
    if level is AckLevel.ONE:
        for name in placement.holders:
            if name in broken_off:
                tally.failed(name, broken_off[name])
    askable, down = _askable(placement, tally, standings)
    there = sorted(askable, key=lambda name: standings[name] is not Standing.OWN)
    there = [name for name in there if name not in tally.failures]
    if tally.impossible_without(down):
        there += [name for name in down if name not in tally.failures]
    if tally.impossible:
        for name in there:
            tally.took(name)
        return SearchTargets((), f"{placement.shard}: {tally.problem('can be asked')}")
    if level is AckLevel.ONE:
        # A replica that is being filled may lack records that a settled one holds.
        filled = [name for name in there if name in placement.sources]
        there = (filled or there)[:1]
    return SearchTargets(tuple(there))


def _askable(placement: Placement, tally: Tally, standings: Standings) -> tuple[list[str], list[str]]:
    """The holders that can be asked, and those that seem to be down, each in ring order."""
    askable: list[str] = []
    down: list[str] = []
    for name in placement.holders:
        match standings[name]:
            case Standing.OWN | Standing.UP:
                askable.append(name)
            case Standing.DOWN:
                down.append(name)
            case Standing.FOREIGN | Standing.STRANGER | Standing.UNCLEARED:
                tally.failed(name, standings[name].value)
    return askable, down
