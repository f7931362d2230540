"""Safeguards of members that come and go, and of the shards that move."""

from __future__ import annotations

from typing import Final

from ablations.safeguard import MOVES, Safeguard, without

MOVE_SAFEGUARDS: Final[tuple[Safeguard, ...]] = (
    without(
        "fence",
        "A replica takes requests that were made in another view of the members.",
        (
            "core/cluster/fence.py",
            "if fence != placement.fence:\n        return ViewConflict",
            "if not fence:\n        return ViewConflict",
        ),
        faults=("left-behind",),
    ),
    without(
        "fence-after-write",
        "A replica acknowledges a write although its view changed meanwhile.",
        (
            "node/replica/replica.py",
            "                refusal = self.refusal(request.shard, request.fence)\n"
            "                if refusal",
            "                refusal = None\n                if refusal",
        ),
        faults=("late-commit",),
    ),
    without(
        "old-quorum",
        "While a shard moves, a quorum of the new replicas is enough.",
        (
            "core/cluster/placement.py",
            "        if not self.moving:\n            return (coming,)",
            "        if self.replicas:\n            return (coming,)",
        ),
        faults=MOVES,
    ),
    without(
        "sources-needed",
        "A new replica copies from one replica, and counts as filled.",
        (
            "core/cluster/placement.py",
            "needed = min(self.replicas - majority(self.replicas) + 1, len(self.sources))",
            "needed = min(1, len(self.sources))",
        ),
        faults=MOVES,
    ),
    without(
        "fill",
        "A new replica counts as filled before it has copied anything.",
        (
            "node/hand_off/fill.py",
            '        for peer in sorted(peers, key=lambda peer: peer.state == "down"):\n',
            "        done = placement.sources_needed\n        for peer in ():\n",
        ),
        faults=MOVES,
    ),
    without(
        "settled-by-all",
        "Members count as settled before the new replicas are filled.",
        (
            "node/hand_off/settle.py",
            "if not all(self._says_filled(view, name) for name in view.joining):",
            "if not view.members:",
        ),
        faults=MOVES,
    ),
    without(
        "hand-over",
        "A member drops a shard that it is to give up without handing it over.",
        ("node/hand_off/give_up.py", "done = await self._push(shard)", "done = True"),
        faults=MOVES,
    ),
    without(
        "session-fence",
        "A replica serves sessions of members that see other replicas.",
        (
            "core/cluster/fence.py",
            "if fence and fence != placement.fence.hex():",
            "if fence and not placement.fence:",
        ),
        faults=MOVES,
    ),
    without(
        "views-compared",
        "A request does not start over when a replica sees other members.",
        ("node/coordinate/record_steps.py", "VIEW_ATTEMPTS = 5", "VIEW_ATTEMPTS = 1"),
        faults=MOVES,
    ),
    without(
        "registry-compare",
        "Members that differ do not compare their registries.",
        (
            "node/membership/registry_sync.py",
            "                for name in differing:\n"
            "                    nursery.start_soon(self.compare, name)\n",
            "                assert nursery, differing\n",
        ),
        faults=MOVES,
    ),
)
