"""The proposer of epochs: one attempt, with one ballot, to have the next epoch decided.

An attempt says what is to be sent, is told what the voters reply, and says how it stands. It never sends,
waits or tries again: its driver does.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import Enum
from typing import Generic

from gossipnode.core.cluster.deciding.epoch_messages import (
    NO_BALLOT,
    Accept,
    Accepted,
    Ballot,
    Behind,
    DecidedAlready,
    EpochValue,
    Prepare,
    Promise,
    Refused,
    Reply,
    Request,
    Stranger,
    V,
)
from gossipnode.core.cluster.placement import majority


class Phase(Enum):
    """What an attempt asks of the voters."""

    PREPARE = "prepare"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True)
class Decided(Generic[V]):
    """Enough voters accepted: the value is decided, and stays so whatever happens.

    The driver adopts it, durably, before it tells anybody. In instance 0 the acceptor may refuse to adopt
    it; then the attempt came too late, and the driver starts another one.
    """

    value: V
    own: bool
    """Whether it is the value that the attempt was made for. If not, the driver judges its change again."""


@dataclass(frozen=True, slots=True)
class Learned(Generic[V]):
    """A voter knows an epoch above the instance, so the attempt is pointless."""

    value: V
    teller: int
    """The birth of the voter, for `adopt`."""


@dataclass(frozen=True, slots=True)
class Overtaken:
    """A voter has promised a higher ballot. The driver waits for a random time before the next attempt."""

    highest: Ballot
    """The highest ballot seen, for `next_ballot`."""


Outcome = Decided[V] | Learned[V] | Overtaken


def votes_needed(instance: int, voters: int) -> int:
    """The number of voters that decide: all for the first epoch, a majority for every other one."""
    return voters if instance == 0 else majority(voters)


def dead_first_epoch(value: EpochValue, voters: Mapping[str, int]) -> bool:
    """Whether a first epoch that some voters accepted may be replaced by another one.

    It may if its voters are not exactly ours, each name with its birth: a store was lost and made again, or
    the configuration changed. Waiting for it would be waiting for a store that answers no more.

    The argument. A first epoch counts as decided when all of its voters accepted it and one of them adopted
    it. Say that this one, v, is replaced by w. To be decided, w needs the acceptance of all of its own
    voters. A voter of both that adopted v before does not give it, and makes v known instead. So when w is
    decided, each voter of both has accepted w without having adopted v, and does not adopt v afterwards
    (see `adopt`). Only stores that are not among the voters of w can then have adopted v: those that were
    lost, or left out of the configuration. Two stores of one name that run at once are not covered: they
    can end in two clusters.
    """
    return dict(value.voters) != dict(voters)


class Attempt(Generic[V]):
    """One attempt with one ballot.

    The driver sends the requests to their voters and passes every reply to `take`, until there is an
    outcome or its time is up. Requests may be sent again at any time. Replies may be late, repeated, or of
    another attempt.

    If voters accepted a value before, the attempt carries on with that one in place of its own, because it
    may be decided already. `value` is then not the one that was given.
    """

    def __init__(
        self,
        instance: int,
        cluster_id: bytes,
        voters: Mapping[str, int],
        *,
        needed: int,
        ballot: Ballot,
        value: V,
    ) -> None:
        """Start the attempt.

        Args:
            instance: the number of the epoch whose members vote.
            cluster_id: their cluster; for instance 0 that of the value.
            voters: the members of that epoch, with their births; for instance 0 all configured names.
            needed: how many of them decide, by `votes_needed`.
            ballot: higher than all that were seen, with a nonce that was never used before.
            value: what is to become epoch `instance` + 1.
        """
        assert value.epoch == instance + 1, "an instance decides the next epoch"
        assert ballot > NO_BALLOT
        assert len(voters) < 2 * needed <= 2 * len(voters), "any two quorums share a voter"
        assert instance > 0 or dict(value.voters) == dict(voters), "the first epoch names its own voters"
        self.instance = instance
        self.cluster_id = cluster_id
        self.voters = dict(voters)
        self.needed = needed
        self.ballot = ballot
        self.phase = Phase.PREPARE
        self.outcome: Outcome[V] | None = None
        self._own = value
        self._value = value
        self._accepted: tuple[Ballot, V] | None = None
        self._agreed: set[str] = set()
        self._behind: dict[str, int] = {}
        self._strangers: dict[str, str] = {}

    @property
    def value(self) -> V:
        """The value that the attempt is to have decided: its own, or one that was accepted before."""
        return self._value

    @property
    def completes_other(self) -> bool:
        """Whether the attempt carries on with a value that somebody else proposed."""
        return self._value != self._own

    @property
    def agreed(self) -> Set[str]:
        """The voters that have done what the present phase asks."""
        return self._agreed

    @property
    def behind(self) -> Mapping[str, int]:
        """The voters to teach the epoch of the instance to, with the epoch that each has.

        Once that is done, the driver sends the voter its request again. It stays here until it agrees.
        """
        return self._behind

    def requests(self) -> dict[str, Request[V]]:
        """What to send now, by voter: to all that have not done what the present phase asks."""
        return {name: self._request(name) for name in self.voters if name not in self._agreed}

    def take(self, voter: str, reply: Reply[V]) -> bool:
        """Note what a voter replied. True says that the next phase has begun: send its `requests`."""
        if voter not in self.voters:
            return False
        match reply:
            case Promise():
                return self._promised(voter, reply)
            case Accepted():
                self._took(voter, reply)
            case DecidedAlready():
                self._learned(voter, reply.value)
            case Refused():
                self._refused(reply.promised)
            case Behind():
                if voter not in self._agreed and reply.epoch < self.instance:
                    self._behind[voter] = reply.epoch
            case Stranger():
                self._strangers[voter] = reply.reason
        return False

    def problem(self, failures: Mapping[str, str]) -> str:
        """Say for people how far the attempt came, as in "2 of 5 members agreed (b: no answer in 2 s)".

        Args:
            failures: why voters could not be asked or did not answer, by name.
        """
        reasons = {name: "no answer" for name in self.voters if name not in self._agreed}
        for known in (self._strangers, failures):
            reasons.update({name: known[name] for name in reasons.keys() & known.keys()})
        text = f"{len(self._agreed)} of {len(self.voters)} members agreed"
        told = "; ".join(f"{name}: {reasons[name]}" for name in sorted(reasons))
        return f"{text} ({told})" if told else text

    def _request(self, voter: str) -> Request[V]:
        birth = self.voters[voter]
        if self.phase is Phase.PREPARE:
            return Prepare(self.cluster_id, self.instance, birth, self.ballot)
        return Accept(self.cluster_id, self.instance, birth, self.ballot, self._value)

    def _promised(self, voter: str, promise: Promise[V]) -> bool:
        # A promise that comes after the value was chosen must not change it.
        if promise.ballot != self.ballot or self.phase is not Phase.PREPARE or self.outcome is not None:
            return False
        self._note_agreed(voter)
        if promise.accepted is not None:
            self._found(*promise.accepted)
        if len(self._agreed) < self.needed:
            return False
        if self._accepted is not None:
            self._value = self._accepted[1]
        self.phase = Phase.ACCEPT
        self._agreed = set()
        return True

    def _found(self, ballot: Ballot, value: V) -> None:
        """Note a value that was accepted before. A dead one hides no other, whatever its ballot."""
        if self.instance == 0 and dead_first_epoch(value, self.voters):
            return
        if self._accepted is None or ballot > self._accepted[0]:
            self._accepted = (ballot, value)

    def _took(self, voter: str, accepted: Accepted) -> None:
        if accepted.ballot != self.ballot or self.phase is not Phase.ACCEPT:
            return
        self._note_agreed(voter)
        # Other voters may have refused, or know a newer epoch; the value is decided all the same.
        if len(self._agreed) >= self.needed:
            self.outcome = Decided(self._value, own=not self.completes_other)

    def _learned(self, voter: str, value: V) -> None:
        same_cluster = self.instance == 0 or value.cluster_id == self.cluster_id
        if value.epoch <= self.instance or not same_cluster or isinstance(self.outcome, Decided):
            return
        if isinstance(self.outcome, Learned) and self.outcome.value.epoch >= value.epoch:
            return
        self.outcome = Learned(value, teller=self.voters[voter])

    def _refused(self, promised: Ballot) -> None:
        if promised <= self.ballot or isinstance(self.outcome, Decided | Learned):
            return
        if isinstance(self.outcome, Overtaken):
            promised = max(promised, self.outcome.highest)
        self.outcome = Overtaken(promised)

    def _note_agreed(self, voter: str) -> None:
        self._agreed.add(voter)
        self._behind.pop(voter, None)
        self._strangers.pop(voter, None)
