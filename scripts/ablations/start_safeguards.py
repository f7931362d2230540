"""Safeguards of a store that starts: nobody remembers a later state of it."""

from __future__ import annotations

from typing import Final

from ablations.safeguard import Safeguard, without

OLD_DISKS = ("older-disk", "crash")
"""Older copies of disks are put back."""

START_SAFEGUARDS: Final[tuple[Safeguard, ...]] = (
    without(
        "older-commit",
        "A store that lacks commits which a member remembers is heard all the same.",
        (
            "core/cluster/boots.py",
            "if told.boot <= known.boot or told.commit < known.commit:",
            "if told.boot <= known.boot:",
        ),
        faults=OLD_DISKS,
    ),
    without(
        "uncleared",
        "A store counts before members have heard of its start.",
        (
            "node/identity/own_boot.py",
            "        self.birth = birth\n        self.cleared = False",
            "        self.birth = birth\n        self.cleared = True",
        ),
        faults=OLD_DISKS,
    ),
    without(
        "commits-of-answers",
        "A coordinator takes no note of the commits that come with answers.",
        (
            "node/peers/exchange_link.py",
            "        if batch.boot:\n",
            "        if batch.boot < 0:\n",
        ),
        faults=OLD_DISKS,
    ),
    without(
        "commits-alone",
        "A start that was not cleared tells what it has committed by itself.",
        (
            "core/cluster/boots.py",
            "return found if earlier is None else min(found, earlier)",
            "return found",
        ),
        faults=OLD_DISKS,
    ),
)
