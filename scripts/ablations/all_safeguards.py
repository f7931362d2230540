"""All safeguards by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ablations.liveness_safeguards import LIVENESS_SAFEGUARDS
from ablations.move_safeguards import MOVE_SAFEGUARDS
from ablations.record_safeguards import RECORD_SAFEGUARDS
from ablations.round_safeguards import ROUND_SAFEGUARDS
from ablations.safeguard import Safeguard
from ablations.start_safeguards import START_SAFEGUARDS
from ablations.watch_safeguards import WATCH_SAFEGUARDS

SAFEGUARDS: Mapping[str, Safeguard] = MappingProxyType(
    {
        safeguard.name: safeguard
        for safeguard in (
            *RECORD_SAFEGUARDS,
            *ROUND_SAFEGUARDS,
            *MOVE_SAFEGUARDS,
            *START_SAFEGUARDS,
            *WATCH_SAFEGUARDS,
            *LIVENESS_SAFEGUARDS,
        )
    }
)
