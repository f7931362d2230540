"""What became of one record that was handed to a store; replicas and sessions pass it on."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from gossipnode.core.model.version import Version


class WriteOutcome(Enum):
    """What a store did with one record of a write."""

    STORED = "stored"
    OLDER = "older"
    """The store has a newer version and kept it."""
    EQUAL = "equal"
    """The store held this very version already."""
    REFUSED = "refused"
    """This record alone cannot be stored; `WriteResult.problem` says why."""

    @property
    def taken(self) -> bool:
        """Whether the store holds this version now."""
        return self in (WriteOutcome.STORED, WriteOutcome.EQUAL)


class WriteResult(NamedTuple):
    """The outcome for one record. `version` is what the store holds now (None: nothing)."""

    outcome: WriteOutcome
    version: Version | None
    problem: str = ""
