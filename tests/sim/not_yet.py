"""What the simulator finds wrong today, in one place: who mends a thing takes it out here.

The runs of the test command and of `scripts/nightly` that must be clean leave these out. Most have a scenario
in tests/scenarios/cluster that shows it, and whose `known` says what it breaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gossipnode.sim.scenario.faults.fault_kinds import FAULT_KINDS

FAULTS: Final[Mapping[str, str]] = {
    "flip": "a round says converged while a record has rotted unread",
}
"""Faults after which a promise is broken, and why."""

CHECKS: Final[Mapping[str, str]] = {}
"""Checks that fail without a fault, and why."""

HOLDING: Final = tuple(kind for kind in FAULT_KINDS if kind not in FAULTS)
"""The faults that a cluster withstands today."""
