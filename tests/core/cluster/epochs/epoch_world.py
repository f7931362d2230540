"""Stores that decide epochs, over a network that loses and repeats, and with disks that lose unsynced states.

They keep the duties that the docstrings of the acceptor and of the proposer name. What each store adopts is
checked against what the voters said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gossipnode.core.cluster.deciding.acceptor import AcceptorState, adopt, answer
from gossipnode.core.cluster.deciding.epoch_messages import (
    NO_BALLOT,
    Accept,
    Accepted,
    Ballot,
    Promise,
    Reply,
    Request,
    next_ballot,
)
from gossipnode.core.cluster.deciding.proposer import Attempt, Decided, Learned, Overtaken, votes_needed

CONFIGURED = "abc"
"""The names that form the first epoch."""
NAMES = "abcde"


@dataclass(frozen=True)
class Value:
    """A value of an epoch."""

    epoch: int
    cluster_id: bytes
    voters: Mapping[str, int]
    text: str = ""


@dataclass(frozen=True)
class Ask:
    """A request on its way to a store; `sender` is the birth of the store whose attempt it is of."""

    sender: int
    attempt: int
    voter: str
    request: Request[Value]


@dataclass(frozen=True)
class Answer:
    """A reply on its way back."""

    ask: Ask
    reply: Reply[Value]


@dataclass(frozen=True)
class Tell:
    """The value of an epoch that the store with the birth `teller` has adopted, on its way to another."""

    name: str
    teller: int
    value: Value


Mail = Ask | Answer | Tell


@dataclass
class Store:
    """A store, and the node that runs over it."""

    name: str
    birth: int
    state: AcceptorState[Value]
    durable: AcceptorState[Value]
    outbox: list[Answer] = field(default_factory=list)
    """Replies that wait for the state to be durable."""
    attempts: dict[int, Attempt[Value]] = field(default_factory=dict)
    highest: Ballot = NO_BALLOT
    births: dict[str, int] = field(default_factory=dict)
    """Which store answers under each name, as far as this node has heard."""

    @property
    def synced(self) -> bool:
        return self.state == self.durable

    def voters(self) -> dict[str, int] | None:
        """Who votes on the next epoch; None while a node that forms a cluster does not know it."""
        if self.state.decided is not None:
            return dict(self.state.decided.voters)
        if self.name not in CONFIGURED or any(name not in self.births for name in CONFIGURED):
            return None
        return {name: self.births[name] for name in CONFIGURED}


class World:
    """All stores, all messages, and what can be said of them from outside."""

    def __init__(self) -> None:
        self.stores: dict[str, Store] = {}
        self.mail: list[Mail] = []
        self.births = 0
        self.attempts = 0
        self.votes: dict[tuple[int, Ballot], set[int]] = {}
        """The births that said that they accepted, by instance and ballot."""
        self.proposed: dict[tuple[int, Ballot], Value] = {}
        self.epochs: dict[tuple[bytes, int], Value] = {}
        """What was adopted, by cluster and epoch."""
        for name in NAMES:
            self.make_store(name)

    def make_store(self, name: str) -> None:
        """Make a store for a name. The one before it is lost, and what it has sent may still come."""
        self.births += 1
        state: AcceptorState[Value] = AcceptorState(self.births)
        self.stores[name] = Store(name, self.births, state, state, births={name: self.births})

    def begin_with(self, value: Value) -> None:
        """Let all voters of a value have it as their newest epoch."""
        self.epochs[value.cluster_id, value.epoch] = value
        for name in value.voters:
            store = self.stores[name]
            store.state = store.durable = AcceptorState(store.birth, value)

    def hear(self, hearer: str, speaker: str) -> None:
        """Let one node hear which store answers under a name, and perhaps later which epoch it has."""
        other = self.stores[speaker]
        self.stores[hearer].births[speaker] = other.birth
        if other.durable.decided is not None:
            self.mail.append(Tell(hearer, other.birth, other.durable.decided))

    def sync(self, store: Store) -> None:
        """Make the state durable, and send the replies that waited for it."""
        store.durable = store.state
        for letter in store.outbox:
            if isinstance(letter.reply, Accepted):
                place = (letter.ask.request.instance, letter.reply.ballot)
                self.votes.setdefault(place, set()).add(store.birth)
        self.mail.extend(store.outbox)
        store.outbox.clear()

    def crash(self, name: str) -> None:
        """Let a node end, and start with what was durable."""
        before = self.stores[name]
        self.stores[name] = Store(
            name, before.birth, before.durable, before.durable, births={name: before.birth}
        )

    def propose(self, name: str, value: Value, nonce: int) -> int | None:
        """Start an attempt to have a value decided. Returns its number, or None if the node cannot."""
        store = self.stores[name]
        voters = store.voters()
        if voters is None or not store.synced:
            return None
        instance = store.state.instance
        self.attempts += 1
        attempt = Attempt(
            instance,
            value.cluster_id,
            voters,
            needed=votes_needed(instance, len(voters)),
            ballot=next_ballot(max(store.highest, store.state.promised), nonce),
            value=value,
        )
        store.attempts[self.attempts] = attempt
        self.send_requests(store, self.attempts)
        return self.attempts

    def send_requests(self, store: Store, number: int) -> None:
        for voter, request in store.attempts[number].requests().items():
            if isinstance(request, Accept):
                place = (request.instance, request.ballot)
                assert self.proposed.setdefault(place, request.value) == request.value
            self.mail.append(Ask(store.birth, number, voter, request))

    def deliver(self, letter: Mail) -> None:
        """Let a message arrive. It is lost if the store that it is for is lost, or no longer waits for it."""
        match letter:
            case Ask():
                self._asked(self.stores[letter.voter], letter)
            case Answer():
                for store in self.stores.values():
                    if store.birth == letter.ask.sender:
                        self._answered(store, letter)
            case Tell():
                self._learn(self.stores[letter.name], letter.value, letter.teller)

    def _asked(self, store: Store, ask: Ask) -> None:
        request = ask.request
        forming = store.state.decided is None and request.instance == 0
        if forming and isinstance(request, Accept) and store.voters() != request.value.voters:
            # A first epoch that is not of the own configuration is not accepted.
            return
        store.state, reply = answer(store.state, request)
        store.outbox.append(Answer(ask, reply))

    def _answered(self, store: Store, letter: Answer) -> None:
        attempt = store.attempts.get(letter.ask.attempt)
        voter = letter.ask.voter
        for other in store.attempts.values():
            # Attempts of one node are not told apart: replies of another ballot must do no harm.
            if other is not attempt and isinstance(letter.reply, Promise | Accepted):
                assert not other.take(voter, letter.reply)
        if attempt is None:
            return
        if attempt.take(voter, letter.reply):
            self.send_requests(store, letter.ask.attempt)
        decided = store.durable.decided
        if voter in attempt.behind and decided is not None and store.synced:
            self.mail.append(Tell(voter, store.birth, decided))
            self.mail.append(replace(letter.ask, request=attempt.requests()[voter]))
        match attempt.outcome:
            case Decided(value):
                self._learn(store, value, 0)
            case Learned(value, teller):
                self._learn(store, value, teller)
            case Overtaken(highest):
                store.highest = max(store.highest, highest)
            case None:
                pass

    def _learn(self, store: Store, value: Value, teller: int) -> None:
        if store.state.decided is None and store.birth not in value.voters.values():
            return
        before = store.state
        store.state = adopt(before, value, teller=teller)
        if store.state is not before:
            self._check_adopted(value)

    def _check_adopted(self, value: Value) -> None:
        """A value that a store adopts is the only one of its epoch, and enough voters accepted it."""
        place = (value.cluster_id, value.epoch)
        if place in self.epochs:
            assert self.epochs[place] == value, "two values for one epoch"
            return
        self.epochs[place] = value
        if value.epoch == 1:
            voters, needed = set(value.voters.values()), len(value.voters)
        else:
            voters = set(self.epochs[value.cluster_id, value.epoch - 1].voters.values())
            needed = len(voters) // 2 + 1
        assert any(
            len(self.votes.get((instance, ballot), set()) & voters) >= needed
            for (instance, ballot), proposed in self.proposed.items()
            if instance == value.epoch - 1 and proposed == value
        ), "no quorum accepted this epoch"

    def check(self) -> None:
        """The stores that there are belong to one cluster, and none knows an epoch that was not checked."""
        clusters: set[bytes] = set()
        for store in self.stores.values():
            for decided in (store.state.decided, store.durable.decided):
                if decided is not None:
                    clusters.add(decided.cluster_id)
                    assert self.epochs[decided.cluster_id, decided.epoch] == decided
        assert len(clusters) <= 1, "two clusters"
