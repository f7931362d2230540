"""Safeguards of rounds and sessions: they repair, and they say what is so."""

from __future__ import annotations

from typing import Final

from ablations.safeguard import Safeguard, without

ROUND_SAFEGUARDS: Final[tuple[Safeguard, ...]] = (
    without(
        "root-compare",
        "A session takes any two replicas for equal.",
        (
            "core/session/reconcile/reconcile_sides.py",
            "if (opening.root, opening.count) == (index.root, index.count):",
            "if opening.root or index.root:",
        ),
    ),
    without(
        "stale-slots",
        "A write leaves the digest of its slot as it was.",
        ("store/memory_shard.py", "        self._slot_shas.pop(slot, None)\n", ""),
    ),
    without(
        "index-follows-writes",
        "An item index does not hear of writes once it is made.",
        (
            "node/local/item_indexes.py",
            "                index.hold(change.record.entity, change.record.version, change.number)\n",
            "                index.count\n",
        ),
    ),
    without(
        "unmatched-tags",
        "A session leaves out what the other side has no tag for.",
        (
            "core/session/reconcile/reconcile_side.py",
            "        self._owe_records(number for each, number in numbered.items() if each not in offers)\n",
            "",
        ),
    ),
    without(
        "session-durable",
        "A server ends a session before its disk has taken what was sent.",
        (
            "core/session/reconcile/reconcile_sides.py",
            "if self._over or not self._closed or not self._intake.durable:",
            "if self._over or not self._closed:",
        ),
    ),
    without(
        "answer-back",
        "A server that holds a newer version than it was sent keeps that to itself.",
        (
            "core/session/reconcile/reconcile_side.py",
            "        if back:\n            self._owe_records(back)\n",
            "        _ = back\n",
        ),
    ),
    without(
        "treeless-peer",
        "A peer that has no tree of the shard counts as equal.",
        (
            "node/repair/session_runs.py",
            'return HopEnd.SKIPPED, "no tree for the shard"',
            'return HopEnd.EQUAL, ""',
        ),
        faults=("young-group",),
    ),
    without(
        "hop-count",
        "A hop that failed counts as one that was made.",
        (
            "core/ring/turn.py",
            "        if end not in (HopEnd.EQUAL, HopEnd.REPAIRED):\n            return",
            "        if end not in (HopEnd.EQUAL, HopEnd.REPAIRED):\n"
            "            self._message = replace(self._message, count=self._message.count + 1)\n"
            "            return",
        ),
        faults=("hanging-disk",),
    ),
    without(
        "hop-limit",
        "A round gathers all records and does not spread them.",
        ("core/ring/turn.py", "return 2 * nodes - 3 if nodes > 1 else 0", "return max(0, nodes - 1)"),
    ),
    without(
        "hop-skips",
        "A round says nothing of the replicas that were left out.",
        (
            "core/ring/round.py",
            "if any(not hop.complete for hop in known):",
            "if any(hop.skipped for hop in known):",
        ),
    ),
    without(
        "converged-rule",
        "A round says converged although a hop moved records.",
        (
            "core/ring/round.py",
            "if all(hop.end is HopEnd.EQUAL for hop in known):",
            "if all(hop.successful for hop in known):",
        ),
    ),
    without(
        "late-reports",
        "A round ends with its last holder's report, without those of the earlier ones.",
        (
            "core/ring/round.py",
            "if self._final_count is not None and self._successes() >= self._final_count:",
            "if self._final_count is not None:",
        ),
        faults=("slow-news",),
    ),
    without(
        "silent-holders",
        "A round waits for a holder for ever.",
        ("core/ring/round.py", "SILENCE_MAX_SECONDS = 30.0", "SILENCE_MAX_SECONDS = 1e9"),
    ),
    without(
        "signs-of-life",
        "A holder says nothing until its session is over.",
        ("node/repair/holder.py", "self._tell(message, (), InSession(peer))", "pass"),
        faults=("slow-hop",),
    ),
    without(
        "message-once",
        "A node takes the message of a round as often as it comes.",
        ("core/ring/admission.py", "        if key in self._handled:\n", "        if not key:\n"),
        faults=("slow-hop",),
    ),
    without(
        "known-ends",
        "A scheduled round that was only seen stands for those of the other replicas.",
        (
            "node/repair/holder.py",
            "        message = replace(message)  # the sender may offer the same one again\n",
            "        message = replace(message)\n        self.ended_well(message.shard, message.origin)\n",
        ),
        faults=("dying-origin",),
    ),
    without(
        "overtaken-rounds",
        "The origin of a round that was overtaken is not told.",
        (
            "node/repair/holder.py",
            "        if replaced is not None:\n",
            "        if replaced is not None and not nursery:\n",
        ),
        faults=("slow-hop",),
    ),
    without(
        "session-silence",
        "A session waits for a peer that says nothing as long as its deadline lets it.",
        (
            "node/repair/session_runs.py",
            "silence_seconds=SERVER_SILENCE_SECONDS,",
            "silence_seconds=math.inf,",
        ),
        faults=("hanging-disk",),
    ),
)
