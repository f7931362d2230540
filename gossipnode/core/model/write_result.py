"""What a store did with a record that it was asked to write. Replicas and sessions pass it on."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from gossipnode.core.model.version import Version


class WriteOutcome(Enum):
    """What a store did with one record of a write."""

    STORED = "stored"
    OLDER = "older"
    """The store holds a newer version and keeps that one."""
    EQUAL = "equal"
    """The store held this same version already."""
    REFUSED = "refused"
    """This record cannot be stored, while others of the write can; `WriteResult.problem` says why."""

    @property
    def taken(self) -> bool:
        """Whether the store holds this version now."""
        return self in (WriteOutcome.STORED, WriteOutcome.EQUAL)


class WriteResult(NamedTuple):
    """The outcome for one record. `version` is what the store holds now; None when it holds nothing."""

    outcome: WriteOutcome
    version: Version | None
    problem: str = ""
