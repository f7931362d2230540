"""A history written by hand: every kind of thing is in it, with texts that could break a page."""

from __future__ import annotations

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import HopEnd
from gossipnode.sim.checks.verdict import Violation
from gossipnode.sim.history.history import (
    Defect,
    Event,
    Harm,
    History,
    NodeEnded,
    Period,
    Replica,
    RoundSeen,
    Usage,
    WentBack,
)
from gossipnode.sim.history.operations import (
    Apply,
    Asked,
    Delete,
    Deleted,
    Failed,
    Get,
    Heard,
    Import,
    Imported,
    Nothing,
    Operation,
    Query,
    Row,
    Rows,
    Stored,
)

KEY = "sw/n/1"
NASTY = "</script><b onload=x>\x1b[2J\n\"'&"
SHARD = ShardId("sw", 0)

ASKED: list[tuple[Asked, float | None, Heard | None]] = [
    (Apply(KEY, {"x": 1}), 1.012, Stored(17, {"x": 1}, created=True)),
    (Apply(KEY, {"y": 2}, replace=True), 2.5, Failed("UnreachableError", NASTY, maybe=True)),
    (Get(KEY), 3.004, Nothing()),
    (Get(KEY), 4.004, Row(KEY, 17, {"x": 1})),
    (Query("sw"), 5.1, Rows((Row(KEY, 17, {"x": 1}),))),
    (Import((KEY, "sw/n/2"), {"z": 3}), 6.2, Imported(2)),
    (Delete(KEY), 7.0, Failed("RefusedError", "no", maybe=False)),
    (Delete(KEY), 8.003, Deleted(deleted=True)),
    (Get(KEY), None, None),
]


def made_history() -> History:
    history = History(nodes=("a", "b", "c"), groups={"sw": 3})
    for number, (asked, ended, heard) in enumerate(ASKED):
        client = "client" if number % 2 == 0 else "far"
        history.operations.append(Operation(number, client, "a", "quorum", asked, 1.0 + number, ended, heard))
    history.events = [
        Event(2.0, "network", "cut c-*", "fault"),
        Event(2.2, "b", f"warning: {NASTY}"),
        Event(4.5, "d", "crash", "fault"),
    ]
    hops = (Hop("a", "b", HopEnd.REPAIRED, sent=2), Hop("b", "c", HopEnd.SKIPPED, "it is down"))
    history.rounds = [RoundSeen(5.0, 6.5, "a", SHARD, "incomplete", hops, 3, False, False)]
    history.went_back = [WentBack(6.0, "b", KEY, "(17, 0)", "(16, 0)")]
    history.ended_nodes = [NodeEnded(9.0, "d", "it was forgotten", expected=False)]
    history.defects = [Defect(9.5, "a", "KeyError: 'x'")]
    history.calm = [Period(0.0, 2.0), Period(7.0, float("inf"))]
    history.served = [Period(0.0, float("inf"))]
    history.harms = [Harm("network", "c", 2.0, 7.0), Harm("down", "d", 4.5, float("inf"))]
    history.replicas = {SHARD: [Replica("a", "00ff", {KEY: (17, 0, {"x": 1}), "sw/n/2": (20, 21, {})})]}
    history.usage = [Usage("a", 12, 2, 4096, 30)]
    history.healed_at = 7.0
    history.count("cut")
    return history


VIOLATIONS = [
    Violation("always_reads_are_new", 3.004, f"{KEY} was not there, after #0 had been acknowledged", (0, 2)),
    Violation("finally_equal", 10.0, f"a and b differ: {NASTY}"),
]
