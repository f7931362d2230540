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
            "                refusal = self.refusal(request.shard, request.fence, local=local)\n"
            "                answers",
            "                refusal = None\n                answers",
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
            "return min(self.full_sources, len(self.sources))",
            "return min(1, len(self.sources))",
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
        "Shards count as settled before their new replicas are filled.",
        (
            "node/hand_off/settle.py",
            "return all(self._says_filled(placement, name) for name in placement.filling)",
            "return bool(placement.shard)",
        ),
        faults=MOVES,
    ),
    without(
        "hand-over",
        "A member drops a shard that it is to give up without handing it over.",
        (
            "node/hand_off/give_up.py",
            "if placement is not None and not await self._push(placement):",
            "if placement is not None and not self._members:",
        ),
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
        "epochs-compared",
        "Members that know another epoch do not compare theirs.",
        (
            "node/membership/epoch_news.py",
            "                for name in differing:\n"
            "                    nursery.start_soon(self._compare_told, name)\n",
            "                assert nursery, differing\n",
        ),
        faults=MOVES,
    ),
    without(
        "promises",
        "A voter takes part in an attempt although it promised a higher ballot.",
        (
            "core/cluster/deciding/acceptor.py",
            "if message.ballot < state.promised:",
            "if message.ballot < state.promised and not message.ballot:",
        ),
        faults=MOVES,
    ),
    without(
        "accepted-first",
        "A proposer has its own value decided although another one was accepted.",
        (
            "core/cluster/deciding/proposer.py",
            "            self._value = self._accepted[1]",
            "            self._value = self._own",
        ),
        faults=MOVES,
    ),
    without(
        "loss-refused",
        "A member is dropped or replaced although acknowledged writes could be lost.",
        (
            "core/cluster/change_refusals.py",
            "    if not lost:\n        return\n    more",
            "    if gone:\n        return\n    more",
        ),
        faults=MOVES,
    ),
    without(
        "leaving-source",
        "A member that is told to go is dropped at once.",
        (
            "core/cluster/changes.py",
            "return _with_members(now, [*others, replace(known, leaving=True)])",
            "return _with_members(now, others)",
        ),
        faults=MOVES,
    ),
    without(
        "settle-fence",
        "A shard is settled by what its replicas filled under another fence.",
        (
            "core/cluster/changes.py",
            "if indexes[shard.shard] != last and now.place(shard).fence == fence:",
            "if indexes[shard.shard] != last:",
        ),
        faults=MOVES,
    ),
)
