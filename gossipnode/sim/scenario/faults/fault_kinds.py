"""The faults that a random schedule may hold: each an episode of steps that begins, lasts, and is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gossipnode.sim.scenario.faults import (
    client_faults,
    disk_faults,
    link_faults,
    machine_faults,
    member_faults,
    round_faults,
    view_faults,
)
from gossipnode.sim.scenario.faults.client_faults import INTERRUPTED_SECONDS, MOVING_SECONDS, TWIN_SECONDS
from gossipnode.sim.scenario.faults.episode import Make
from gossipnode.sim.scenario.faults.view_faults import BEHIND_SECONDS, LATE_SECONDS, NEWS_SECONDS


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault: how an episode of it is made, and how often."""

    make: Make
    """What it says of itself first is what happens in an episode."""
    weight: int = 2
    """How often it comes in comparison with others."""
    least_seconds: float = 0.0
    """How long an episode of it lasts at least."""
    calm: bool = False
    """Whether it comes after all is healed, since what it finds has an excuse before that."""


FAULT_KINDS: Final[Mapping[str, FaultKind]] = {
    "crash": FaultKind(machine_faults.crash, 4),
    "crash-loop": FaultKind(machine_faults.quick_crash),
    "power": FaultKind(machine_faults.power),
    "stop": FaultKind(machine_faults.stop),
    "pause": FaultKind(machine_faults.pause, 3),
    "slow": FaultKind(machine_faults.slow),
    "cut": FaultKind(link_faults.cut, 4),
    "one-way": FaultKind(link_faults.one_way, 3),
    "drop": FaultKind(link_faults.drop, 3),
    "flap": FaultKind(link_faults.flap),
    "reset": FaultKind(link_faults.reset),
    "latency": FaultKind(link_faults.latency),
    "bandwidth": FaultKind(link_faults.bandwidth, 1),
    "clock": FaultKind(machine_faults.clock),
    "drift": FaultKind(machine_faults.drift, 1),
    "full": FaultKind(disk_faults.full),
    "slow-disk": FaultKind(disk_faults.slow_disk),
    "fail": FaultKind(disk_faults.fail),
    "tear": FaultKind(disk_faults.tear),
    "flip": FaultKind(disk_faults.flip, 1),
    "older-disk": FaultKind(disk_faults.older_disk),
    "empty-disk": FaultKind(disk_faults.empty_disk),
    "move": FaultKind(member_faults.move, 1),
    "twin": FaultKind(member_faults.twin, 1, TWIN_SECONDS),
    "join": FaultKind(member_faults.join, 1),
    "forget": FaultKind(member_faults.forget, 1),
    "forget-two": FaultKind(member_faults.forget_two, 1),
    "rejoin": FaultKind(member_faults.rejoin, 1),
    "groups": FaultKind(member_faults.groups),
    "groups-apart": FaultKind(member_faults.groups_apart),
    "mute": FaultKind(link_faults.mute, 3),
    "ahead": FaultKind(link_faults.ahead),
    "dying-origin": FaultKind(machine_faults.dying_origin),
    "moving": FaultKind(client_faults.moving, 2, MOVING_SECONDS),
    "interrupted": FaultKind(client_faults.interrupted, 4, INTERRUPTED_SECONDS),
    "fast-writer": FaultKind(client_faults.fast_writer, 2, INTERRUPTED_SECONDS),
    "tried-again": FaultKind(client_faults.tried_again, 2, INTERRUPTED_SECONDS),
    "left-behind": FaultKind(view_faults.left_behind, 1, BEHIND_SECONDS),
    "late-commit": FaultKind(view_faults.late_commit, 1, LATE_SECONDS),
    "broken-news": FaultKind(view_faults.broken_news, 1, NEWS_SECONDS),
    "crowd": FaultKind(client_faults.crowd, calm=True),
    "purge": FaultKind(round_faults.purge, 3),
    "slow-hop": FaultKind(round_faults.slow_hop, calm=True),
    "slow-news": FaultKind(round_faults.slow_news, calm=True),
    "young-group": FaultKind(round_faults.young_group, calm=True),
    "hanging-disk": FaultKind(round_faults.hanging_disk, 1, calm=True),
}
"""All kinds of faults by name."""
