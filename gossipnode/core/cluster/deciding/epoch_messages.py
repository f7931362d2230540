"""What proposers and acceptors of epochs say to each other, and the ballots that order their attempts.

The epochs of a cluster are a chain of Paxos instances, each with a single decision. The voters of instance
e are the members of epoch e, and it decides the whole value of epoch e + 1. Instance 0 decides the first
epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar


class Ballot(NamedTuple):
    """The number of one attempt to have a value decided. A higher ballot overtakes a lower one."""

    number: int
    nonce: int
    """64 random bits that are drawn for each attempt.

    No ballot is ever used twice, also not by the same proposer after a crash. An acceptor cannot tell two
    values of one ballot apart, so two epochs could be decided.
    """


NO_BALLOT = Ballot(0, 0)
"""Lower than the ballot of any attempt."""


def next_ballot(highest_seen: Ballot, nonce: int) -> Ballot:
    """The ballot of the next attempt. `nonce` is drawn for this attempt alone."""
    return Ballot(highest_seen.number + 1, nonce)


class EpochValue(Protocol):
    """What deciding an epoch needs of the epoch's value. Values are equal when all that they say is equal."""

    @property
    def epoch(self) -> int:
        """Its number, from 1."""
        ...

    @property
    def cluster_id(self) -> bytes:
        """The cluster that it belongs to."""
        ...

    @property
    def voters(self) -> Mapping[str, int]:
        """The members, each name with the birth of its store. They decide the next epoch."""
        ...


V = TypeVar("V", bound=EpochValue)


@dataclass(frozen=True, slots=True)
class Prepare:
    """Asks a voter to promise that it takes part in no attempt with a lower ballot."""

    cluster_id: bytes
    instance: int
    birth: int
    """The birth of the voter that the message is meant for."""
    ballot: Ballot


@dataclass(frozen=True, slots=True)
class Accept(Generic[V]):
    """Asks a voter to accept a value."""

    cluster_id: bytes
    instance: int
    birth: int
    """The birth of the voter that the message is meant for."""
    ballot: Ballot
    value: V


@dataclass(frozen=True, slots=True)
class Promise(Generic[V]):
    """The voter takes part in no attempt with a lower ballot from now on."""

    ballot: Ballot
    accepted: tuple[Ballot, V] | None
    """The value of the highest ballot that the voter has accepted in this instance."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The voter has accepted the value of this ballot."""

    ballot: Ballot


@dataclass(frozen=True, slots=True)
class Refused:
    """The voter has promised a higher ballot to somebody else."""

    promised: Ballot


@dataclass(frozen=True, slots=True)
class DecidedAlready(Generic[V]):
    """The voter knows an epoch above the instance. This is the value of the newest epoch that it knows."""

    value: V


@dataclass(frozen=True, slots=True)
class Behind:
    """The newest epoch that the voter knows is below the instance.

    The caller sends it the value of the epoch with the number of the instance, and asks again.
    """

    epoch: int
    """The newest epoch that the voter knows; 0 while it knows none."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """The message is not meant for this voter, or cannot be of its cluster. It counts as no answer at all."""

    reason: str


Request = Prepare | Accept[V]
Reply = Promise[V] | Accepted | Refused | DecidedAlready[V] | Behind | Stranger
