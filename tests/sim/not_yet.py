"""What the simulator finds wrong today, in one place: who mends a thing takes it out here.

The runs of the test command and of `scripts/nightly` that must be clean leave these out. Most have a scenario
in tests/scenarios/cluster that shows it, and whose `known` says what it breaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gossipnode.sim.scenario.faults.fault_kinds import FAULT_KINDS

FAULTS: Final[Mapping[str, str]] = {
    "older-disk": "a store that went back in time counts in quorums: older_disk_put_back",
    "empty-disk": "a store that comes back empty counts in quorums before it has filled itself",
    "rejoin": "as empty-disk, and a forgotten name is taken again: forgotten_member_joins_at_another_port",
    "twin": "a second node of one name takes part beside the first: name_taken_by_an_empty_store",
    "move": "a member of the configuration is not found at another address",
    "forget": "a healthy member is no source once it is forgotten: forget_healthy_member",
    "forget-two": "as forget: two_members_forgotten_at_once",
    "groups-apart": "a minority changes groups: deleted_group_comes_back, group_created_on_both_sides",
    "moving": "a new replica does not know what requests were done: a try may be done again",
    "broken-news": "a delete that starts over because members changed says that nothing was there",
    "clock": "as fast-writer: a clock that was set back has left its node with stamps of the future",
    "ahead": "as fast-writer",
    "fast-writer": "a failed write with a higher stamp comes back: failed_write_of_a_fast_clock",
    "flip": "a round says converged while a record has rotted unread",
}
"""Faults after which a promise is broken, and why."""

CHECKS: Final[Mapping[str, str]] = {
    "always_reads_never_go_back": "a read does not wait until what it shows is at a quorum",
    "eventually_lost_rounds_are_made_good": "origin_dies_as_its_round_begins",
    "always_calm_rounds_are_complete": "a round that is not needed is reported as incomplete: healthy_nights",
}
"""Checks that fail without a fault, and why."""

HOLDING: Final = tuple(kind for kind in FAULT_KINDS if kind not in FAULTS)
"""The faults that a cluster withstands today."""
